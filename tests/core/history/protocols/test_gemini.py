"""An answer of Gemini's is folded as independent code folds it, wherever it is cut.

How many streams are made up is set by the environment: `CHATKEEP_STREAMS=10000`, as `make streams` does.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatkeep.core.history.folding import CHOICES_MAX
from chatkeep.core.history.protocols.gemini import GEMINI, draft_of_content, gathered_contents
from chatkeep.core.history.tape.tape import Tape
from chatkeep.core.history.windows import Window
from chatkeep.core.model import Draft, Message
from chatkeep.testing import START

Json = Any
COUNT = int(os.environ.get("CHATKEEP_STREAMS", "150"))
MANY = settings(max_examples=COUNT, deadline=None, suppress_health_check=list(HealthCheck))

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
calls = st.fixed_dictionaries(
    {"name": st.text("abc", min_size=1), "args": st.dictionaries(texts, values, max_size=3)},
    optional={"id": st.text("abc", min_size=1)},
)
parts = st.one_of(
    st.fixed_dictionaries({"text": texts}),
    st.fixed_dictionaries({"text": texts, "thought": st.sampled_from([True])}),
    st.fixed_dictionaries({"text": texts, "thoughtSignature": st.text("abc", min_size=1)}),
    st.fixed_dictionaries({"functionCall": calls}, optional={"thoughtSignature": st.text("abc", min_size=1)}),
    st.fixed_dictionaries({"inlineData": st.just({"mimeType": "image/png", "data": "iVBORw0KGgo="})}),
    st.fixed_dictionaries({"executableCode": st.fixed_dictionaries({"language": st.just("PYTHON"), "code": texts})}),
    st.fixed_dictionaries({"ofTomorrow": values}),
)
chunks = st.lists(st.lists(parts, max_size=3), max_size=5)
forms = st.sampled_from(["events", "list"])


def pieces_of(said: Sequence[Sequence[Json]], finish: str) -> Iterator[Json]:
    """Yield the chunks of a stream; the last one has the reason."""
    for place, some in enumerate(said):
        candidate: Json = {"content": {"parts": list(some), "role": "model"}, "index": 0}
        if place == len(said) - 1:
            candidate["finishReason"] = finish
        usage = {"promptTokenCount": 3, "candidatesTokenCount": place}
        yield {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "m", "responseId": "r"}


def fold(shown: Sequence[Json]) -> list[Json]:
    """Return the parts of all chunks: plain texts of one kind are one text, without empty ones."""
    found: list[Json] = []
    for part in (part for chunk in shown for part in chunk["candidates"][0]["content"]["parts"]):
        if set(part) <= {"text", "thought"} and "text" in part:
            if found and set(found[-1]) == set(part):
                found[-1] = {**part, "text": found[-1]["text"] + part["text"]}
            elif part["text"]:
                found.append(part)
        else:
            found.append(part)
    return found


def recorded(shown: Sequence[Json], form: str, size: int) -> tuple[Draft | None, bool]:
    """Return what is kept of these chunks, and whether it is whole; the bytes come in pieces of this size."""
    if form == "events":
        said = b"".join(b"data: %b\r\n\r\n" % json.dumps(one).encode() for one in shown)
    else:
        said = json.dumps(list(shown), indent=1).encode()
    tape = Tape("text/event-stream" if form == "events" else "application/json", protocol=GEMINI)
    for start in range(0, len(said), size):
        tape.add(said[start : start + size])
    tape.close()
    return tape.draft(1), tape.is_complete


def content_of(draft: Draft | None) -> list[Json]:
    """Return the parts of a message."""
    content = None if draft is None else draft.content
    return [{"text": content}] if isinstance(content, str) and content else list(content or [])


@MANY
@given(chunks, forms, st.integers(1, 200), st.data())
def test_fold_equals_independent_code(said: list[list[Json]], form: str, size: int, data: st.DataObject) -> None:
    """Parts, usage and reason are the same, as events or as a list, whole or cut after any chunk."""
    whole = list(pieces_of(said, "STOP"))
    end = data.draw(st.integers(0, len(whole)))
    for shown in (whole, whole[:end]):
        draft, is_complete = recorded(shown, form, size)
        assert fold(shown) == content_of(draft)
        if draft is None:
            continue
        metadata = draft.metadata or {}
        usage = shown[-1]["usageMetadata"]
        assert {"input": 3, "output": usage["candidatesTokenCount"]} == metadata["tokens"]
        assert ("m", "r", usage) == tuple(metadata[name] for name in ("model", "response_id", "usage"))
        if form == "events":
            assert is_complete == (len(shown) == len(whole)) == ("partial" not in metadata)


@MANY
@given(chunks, st.integers(1, 50))
def test_keep_the_beginning_of_a_cut_list(said: list[list[Json]], size: int) -> None:
    """Of a list that breaks off, the chunks before are kept, and the answer is marked."""
    whole = list(pieces_of(said, "STOP"))
    for cut in range(1, min(4, len(whole) + 1)):
        body = json.dumps(whole).encode()
        end = len(json.dumps(whole[:cut]).encode()) - 1
        tape = Tape("application/json", protocol=GEMINI)
        for start in range(0, end, size):
            tape.add(body[start : min(start + size, end)])
        tape.close()
        draft = tape.draft(1)
        assert fold(whole[:cut]) == content_of(draft)
        assert draft is None or (draft.metadata or {})["partial"] is True


@MANY
@given(chunks)
def test_pieces_sent_back_are_the_answer(said: list[list[Json]]) -> None:
    """A client that keeps each chunk as a content of its own sends back the message that is stored."""
    sent = [draft_of_content({"role": "model", "parts": some}) for some in said]
    joined = gathered_contents(sent)
    expected = fold(list(pieces_of(said, "STOP")))
    assert [expected] if said else [] == [content_of(one) for one in joined]


def test_refused_questions_have_a_reason() -> None:
    """A question that is blocked is answered by the reason alone; so is an answer that is withheld."""
    for said, reason in (
        ({"promptFeedback": {"blockReason": "SAFETY"}, "modelVersion": "m"}, "SAFETY"),
        ({"candidates": [{"finishReason": "RECITATION", "index": 0}]}, "RECITATION"),
    ):
        tape = Tape("application/json", protocol=GEMINI)
        tape.add(json.dumps(said).encode())
        tape.close()
        assert reason in str(tape.fault)
        assert tape.draft(1) is None


def test_keep_every_candidate_and_fact() -> None:
    """Further candidates and what the server says beside its words stand in the metadata."""
    one = {
        "content": {"parts": [{"text": "Hi"}], "role": "model"},
        "finishReason": "STOP",
        "index": 0,
        "avgLogprobs": -0.5,
    }
    two = {"content": {"parts": [{"text": "Ho"}], "role": "model"}, "finishReason": "MAX_TOKENS", "index": 1}
    draft, is_complete = recorded([{"candidates": [two, one], "createTime": "now"}], "events", 9)
    assert draft is not None
    metadata = draft.metadata or {}
    assert ("Hi", True, "STOP") == (draft.content, is_complete, metadata["finish_reason"])
    assert [{"index": 1, "role": "assistant", "content": "Ho", "finish_reason": "MAX_TOKENS"}] == metadata[
        "other_choices"
    ]
    assert ({"avgLogprobs": -0.5}, {"createTime": "now"}) == (metadata["choice"], metadata["response"])


def test_fold_further_candidates_into_one() -> None:
    """A server that begins ever more candidates costs no more for each: 128 stay apart, and no word is lost."""
    fold = GEMINI.answer()
    for index in range(CHOICES_MAX + 2):
        fold.add({"candidates": [{"index": index, "content": {"parts": [{"text": "ab"}], "role": "model"}}]})
    draft = fold.draft({})
    assert draft is not None
    others = (draft.metadata or {})["other_choices"]
    assert [*range(1, CHOICES_MAX), None] == [one["index"] for one in others]
    assert ["ab"] * (CHOICES_MAX - 1) + ["abab"] == [one["content"] for one in others]


@pytest.mark.parametrize(
    "error", [{"error": {"code": 503, "message": "Overloaded", "status": "UNAVAILABLE"}}, {"message": "Overloaded"}]
)
def test_error_ends_an_answer(error: Json) -> None:
    """The part before it is kept, with the server's words."""
    draft, is_complete = recorded([*list(pieces_of([[{"text": "Hel"}], []], "STOP"))[:1], error], "events", 50)
    assert draft is not None
    assert ("Hel", False, "model_reported") == (draft.content, is_complete, (draft.metadata or {})["reason"])
    assert "Overloaded" in (draft.metadata or {})["detail"]


@pytest.mark.parametrize(
    "content",
    [
        {"role": "user", "parts": [{"text": "Hello"}]},
        {"role": "model", "parts": [{"text": "Hm", "thought": True}, {"text": "Hi", "thoughtSignature": "s"}]},
        {"role": "user", "parts": [{"functionResponse": {"id": "c", "name": "f", "response": {"output": "x"}}}]},
        {"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}, {"text": "See"}]},
        {"role": "wizard", "parts": "text", "ofTomorrow": [1]},
        {"role": ["user"], "parts": [1, None]},
        {"parts": None},
        {},
    ],
)
def test_read_every_content(content: Json) -> None:
    """Nothing in a content is refused, and nothing of it is lost."""
    draft = draft_of_content(content)
    told = json.dumps([draft.content, draft.metadata])
    for value in (content.get("ofTomorrow"), *(content["parts"] if isinstance(content.get("parts"), list) else ())):
        text = value["text"] if isinstance(value, dict) and value.keys() == {"text"} else value
        assert value is None or json.dumps(text) in told


def test_windows_take_calls_media_and_results() -> None:
    """A history of Gemini's is valid for the other providers: calls with results, pictures, no thinking."""
    contents: list[Json] = [
        {"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}, {"text": "See"}]},
        {
            "role": "model",
            "parts": [{"text": "Hm", "thought": True}, {"functionCall": {"name": "f", "args": {"a": 1}}}],
        },
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"output": "x"}}}]},
        {"role": "model", "parts": [{"text": "Done"}]},
    ]
    said = [draft_of_content(one) for one in contents]
    messages = tuple(
        Message(seq=seq, role=one.role, content=one.content, sent_at=START, id=f"{seq}")
        for seq, one in enumerate(said, 1)
    )
    window = Window(messages=messages, has_more=False)
    user, call, result, done = window.for_openai()
    assert ("image_url", "See") == (user["content"][0]["type"], user["content"][1]["text"])
    assert ("f", '{"a":1}') == tuple(call["tool_calls"][0]["function"][name] for name in ("name", "arguments"))
    assert ("tool", '{"output":"x"}', "Done") == (result["role"], result["content"], done["content"])
    assert ["image", "text"] == [part["type"] for part in window.for_anthropic()["messages"][0]["content"]]
