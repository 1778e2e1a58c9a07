"""Values of frameworks as messages, and back: nothing of them is lost, and what they say is found."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatkeep.adapters.exact import Spoken, item_of_message, message_of_item, words_within
from chatkeep.core.model import Draft, Json
from chatkeep.core.search.query import parse_query
from chatkeep.core.search.search import Search
from chatkeep.errors import InvalidError
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.memory import MemoryStore

CHARACTERS = st.characters() | st.sampled_from("\0\ud800\udfff\ufeff\u2028e\u0301")
TEXTS = st.text(CHARACTERS, max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)


def stored(*drafts: Draft) -> list[Json]:
    """Return what comes back of messages: their items."""
    sessions = Sessions(MemoryStore())
    for draft in drafts:
        sessions.append("a", [draft])
    return [item_of_message("k", message) for message in sessions.read("a").messages]


@settings(max_examples=150, deadline=None)
@given(item=st.dictionaries(st.sampled_from(["content", "role", "x"]) | TEXTS, VALUES, max_size=5))
def test_keep_any_value(item: dict[str, Any]) -> None:
    """Any value of JSON comes back as it was, with NUL, lone surrogates, NaN and numbers of any size."""
    (found,) = stored(message_of_item("k", item, Spoken(role="user", path=("content",))))
    assert json.dumps(item, sort_keys=True) == json.dumps(found, sort_keys=True)


@pytest.mark.parametrize(
    "content",
    [
        "plain",
        "",
        "a\0b",
        "a\ud800b",
        [],
        ["text", {"type": "text", "text": "x"}],
        [{"type": "text", "text": "x\0"}],
        None,
        3,
        [1, "x"],
        {"text": "x"},
        1.0,
        True,
        -0.0,
        2**70,
        [[[]]],
    ],
)
def test_keep_content_of_any_kind(content: Json) -> None:
    """Content that a message can have is its content; any other is kept beside it; no type changes."""
    item = {"message": {"role": "user", "content": content, "more": [1.0, 1, True]}, "type": "user"}
    draft = message_of_item("k", item, Spoken(role="user", path=("message", "content"), words="in words"))
    (found,) = stored(draft)
    assert json.dumps(item, sort_keys=True) == json.dumps(found, sort_keys=True)
    if content in ("plain", "", []) or content == ["text", {"type": "text", "text": "x"}]:
        assert content == draft.content
        assert "content" not in draft.metadata["k"]["item"]["message"]  # type: ignore[index]


def test_keep_what_is_nested_deeper() -> None:
    """A value deeper than a message may be is kept, at any depth that Python's parser has."""
    deep: Json = "x"
    for _ in range(400):
        deep = [deep]
    assert [{"deep": deep}] == stored(message_of_item("k", {"deep": deep}, Spoken(role="system")))


def test_mark_and_find_what_cannot_be_held() -> None:
    """The content has a mark in place of such a character, and a search finds the words around it."""
    draft = message_of_item("k", {"content": "the quokka\0 sleeps\ud800"}, Spoken(role="user", path=("content",)))
    assert "the quokka\ufffd sleeps\ufffd" == draft.content
    sessions = Sessions(MemoryStore())
    sessions.append("a", [draft])
    assert ["a"] == [hit.key for hit in sessions.search(Search(query=parse_query("quokka"))).hits]


def test_leave_names_that_no_message_may_have() -> None:
    """A name, an id or a call that breaks a rule of messages is left to the item."""
    call: Json = {"id": "a\0", "type": "function", "function": {"name": "x", "arguments": "{}"}}
    spoken = Spoken(role="tool", name="a\n", id="x" * 200, tool_call_id="", tool_calls=[call])
    draft = message_of_item("k", {"n": 1}, spoken)
    assert [None] * 4 == [draft.name, draft.id, draft.tool_call_id, draft.tool_calls]
    assert [{"n": 1}] == stored(draft)


def test_refuse_what_is_no_json() -> None:
    """An object that no JSON has is refused, with the field."""
    with pytest.raises(InvalidError, match="JSON"):
        message_of_item("k", {"x": object()}, Spoken(role="user"))


def test_leave_messages_of_others() -> None:
    """A message that another program wrote has no item, whatever its metadata."""
    kept: list[dict[str, Json]] = [{}, {"k": 3}, {"k": {}}, {"other": {"item": 1}}]
    assert [None] * 4 == stored(*(Draft(role="user", content="x", metadata=one or None) for one in kept))


def test_words_are_bounded() -> None:
    """The words of a value are its texts in order, up to a bound."""
    assert "a\nb\nc" == words_within({"x": ["a", {"y": "b"}], "n": 3, "z": "c"})
    assert 10 == len(words_within(["xxxx"] * 100, chars=10))
