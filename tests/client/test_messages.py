"""What may be appended: dicts, drafts, stored messages and the objects of models' SDKs."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionMessage
from openai.types.responses import ResponseOutputMessage, ResponseOutputText

from chatkeep.client.messages import drafts_of
from chatkeep.core.model import Draft, Message
from chatkeep.core.standing import ROLES
from chatkeep.errors import InvalidError

HELLO = Draft(role="user", content="Hello")
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}


class Dumped:
    """An object that some SDK might have."""

    def __init__(self, **fields: Any) -> None:  # noqa: ANN401 - of any kind
        """Take its fields."""
        self.fields = fields

    def model_dump(self) -> Mapping[str, Any]:
        """Return them."""
        return self.fields


class Speaker(enum.Enum):
    """Roles, as some programs have them."""

    USER = "user"


@pytest.mark.parametrize(
    "given_one",
    [
        HELLO,
        {"role": "user", "content": "Hello"},
        MappingProxyType({"role": "user", "content": "Hello", "name": None}),
        {"role": Speaker.USER, "content": "Hello"},
        {"role": "user", "content": "Hello", "refusal": None, "annotations": []},
        Dumped(role="user", content="Hello", tool_calls=None, audio=None),
        Dumped(role="user", content="Hello", type="message", model="m", stop_reason="end_turn", usage={"tokens": 1}),
    ],
)
def test_take_one_message(given_one: Any) -> None:  # noqa: ANN401 - of any kind
    """A message alone is as good as a list of one, in whatever form it comes."""
    assert [HELLO] == drafts_of(given_one)
    assert [HELLO, HELLO] == drafts_of([given_one, HELLO]) == drafts_of(each for each in (HELLO, given_one))


@pytest.mark.parametrize("role", ROLES)
def test_take_every_field(role: str) -> None:
    """A dict has the fields of a draft; times come as text, as numbers and as they are."""
    fields = {"role": role, "content": [{"type": "text", "text": "x"}], "id": "a", "name": "b", "metadata": {"c": [1]}}
    expected = Draft(**fields, sent_at=AT, tool_calls=[CALL], tool_call_id="d")  # type: ignore[arg-type]
    for at in (AT, AT.isoformat(), AT.timestamp()):
        assert [expected] == drafts_of({**fields, "timestamp": at, "tool_calls": [CALL], "tool_call_id": "d"})


def test_take_a_stored_message_with_its_id() -> None:
    """What was read is appended elsewhere with its id and time, without its place."""
    stored = Message(seq=7, role="assistant", content=None, sent_at=AT, id="x", tool_calls=[CALL])
    assert [Draft(role="assistant", content=None, sent_at=AT, id="x", tool_calls=[CALL])] == drafts_of(stored)


def test_take_the_messages_of_openai() -> None:
    """The objects of OpenAI's own client, as they come in an answer, with what we have no field for kept."""
    said = ChatCompletionMessage.model_validate({"role": "assistant", "content": None, "tool_calls": [CALL]})
    assert [Draft(role="assistant", content=None, tool_calls=[CALL])] == drafts_of(said)
    assert [Draft(role="assistant", content=None, tool_calls=[CALL])] == drafts_of(said.model_dump())
    refused = ChatCompletionMessage(role="assistant", content=None, refusal="No.")
    assert [{"openai": {"refusal": "No."}}] == [draft.metadata for draft in drafts_of([refused])]
    thought = ChatCompletionMessage.model_validate({"role": "assistant", "content": "4", "reasoning_content": "2+2"})
    assert ["2+2"] == [(draft.metadata or {})["reasoning"]["text"] for draft in drafts_of(thought)]
    part = ResponseOutputText(type="output_text", text="Hi", annotations=[])
    answer = ResponseOutputMessage(id="msg_1", role="assistant", type="message", status="completed", content=[part])
    (draft,) = drafts_of(answer)
    assert isinstance(draft.content, list)
    assert ("msg_1", "Hi") == (draft.id, draft.content[0]["text"])


def test_take_objects_within_a_dict() -> None:
    """The blocks and calls of an answer are put into a dict as they are, as examples of SDKs do."""
    blocks = [Dumped(type="text", text="Hi"), Dumped(type="tool_use", id="t", name="look", input={"at": 1})]
    expected = [{"type": "text", "text": "Hi"}, {"type": "tool_use", "id": "t", "name": "look", "input": {"at": 1}}]
    assert [Draft(role="assistant", content=expected)] == drafts_of({"role": "assistant", "content": blocks})


@pytest.mark.parametrize(
    "wrong,field",
    [
        ("Hello", "messages"),
        (b"Hello", "messages"),
        (7, "messages"),
        (None, "messages"),
        ([7], "messages[0]"),
        ([HELLO, "Hello"], "messages[1]"),
        ({"role": "user", "contnet": "Hello"}, "message.contnet"),
        ([{"role": "user", "content": "x", "seq": 1}], "messages[0].seq"),
        ({"content": "Hello"}, "message.role"),
        ({"role": "robot", "content": "Hello"}, "message.role"),
        ({"role": ["user"], "content": "Hello"}, "message.role"),
        ({"role": "user", "content": 7}, "message.content"),
        ({"role": "user", "content": b"Hello"}, "message.content"),
        ({"role": "user", "content": [7]}, "message.content[0]"),
        ({"role": "user", "content": "x", "timestamp": "soon"}, "message.timestamp"),
        ({"role": "user", "content": "x", "metadata": []}, "message.metadata"),
        ({"role": "user", "content": "x", "metadata": {"a": object()}}, "message"),
        (Dumped(choices=[{"message": {}}], id="x"), "message"),
        (Dumped(content="Hello"), "message.role"),
    ],
)
def test_refuse_what_is_no_message(wrong: Any, field: str) -> None:  # noqa: ANN401 - of any kind
    """The error names the message, its field and what is allowed, before anything is sent."""
    with pytest.raises(InvalidError) as caught:
        drafts_of(wrong)
    assert field == caught.value.field
    assert caught.value.reason


def test_refuse_a_message_within_itself() -> None:
    """What has no end is no JSON."""
    endless: dict[str, Any] = {"role": "user", "content": "x", "metadata": {}}
    endless["metadata"]["again"] = endless
    with pytest.raises(InvalidError):
        drafts_of(endless)


def test_keep_a_number_that_is_none() -> None:
    """What JSON cannot say is not made null here: it is refused when it is sent."""
    (draft,) = drafts_of({"role": "user", "content": "x", "metadata": {"a": math.nan}})
    assert math.isnan((draft.metadata or {})["a"])


_JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3))


@given(content=st.text(), metadata=st.dictionaries(st.text(), _JSON, max_size=3), role=st.sampled_from(ROLES))
def test_take_a_dict_as_its_draft(content: str, metadata: dict[str, Any], role: Any) -> None:  # noqa: ANN401
    """A dict is the draft of the same fields, whatever they say."""
    fields = {"role": role, "content": content, "metadata": metadata}
    assert [Draft(**fields)] == drafts_of(fields)
