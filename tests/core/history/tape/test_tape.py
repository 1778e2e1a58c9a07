"""One judgement of what is whole, and the true reason of what is not, in the server's own words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chatkeep.core.history.masking import Mask
from chatkeep.core.history.tape.tape import Tape

CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
WHOLE = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}'
PAGE = b"<!doctype html><html><head><title>502 Bad Gateway</title></head><body><h1>nginx</h1></body></html>"
EVENTS = "text/event-stream"
JSON = "application/json"


def heard(said: bytes, media_type: str, size: int = 1 << 20, **more: Any) -> Tape:  # noqa: ANN401 - what a tape takes
    """Return the tape of an answer that came in pieces of this size."""
    tape = Tape(media_type, **more)
    for start in range(0, len(said), size):
        tape.add(said[start : start + size])
    tape.close()
    return tape


def facts_of(tape: Tape, cut: str) -> dict[str, Any]:
    """Return what is noted of an answer that ends so."""
    draft = tape.draft(1, cut)
    assert draft
    return draft.metadata or {}


@pytest.mark.parametrize("media_type", [EVENTS, JSON, "text/plain", ""])
@pytest.mark.parametrize(
    "said",
    [
        CHUNK + FINISH + DONE,
        CHUNK + FINISH,
        CHUNK + DONE,
        b"\xef\xbb\xbf" + CHUNK + FINISH + DONE,
        (CHUNK + FINISH + DONE).replace(b"\n", b"\r\n"),
        (CHUNK + FINISH + DONE).replace(b"\n", b"\r"),
        b": wait\n\ndata:\n\ndata: \n\nevent: ping\ndata: {}\n\nid: 7\nretry: 9\n\n" + CHUNK + FINISH + DONE,
        CHUNK + FINISH + b"data: [DONE]",
        CHUNK + FINISH + DONE + b"data: what follows is no part of it",
        b"data: " + WHOLE + b"\n\n" + DONE,
        WHOLE,
        b" \r\n\t" * 5000 + WHOLE + b"\n",
        b"\xef\xbb\xbf" + WHOLE,
        WHOLE + b"\n\ndata: [DONE]\n\n",
        WHOLE + b"[DONE]",
        json.dumps(json.loads(WHOLE), indent=2).encode(),
        CHUNK[6:] + FINISH[6:],
        CHUNK + b'data: {"choices":[{"index":0,"delta":{"content":null},"finish_reason":"stop","error":null}]}\n\n',
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_take_an_answer_for_what_it_is(said: bytes, media_type: str, size: int) -> None:
    """Events or JSON, whatever was asked for and whatever type is told: it is whole and says the same."""
    tape = heard(said, media_type, size)
    draft = tape.draft(1)
    assert (None, "Hi") == (tape.fault, draft.content if draft else None)
    assert "Hi" == "".join(piece.text for piece in tape.take())


@pytest.mark.parametrize(
    "said,code,words",
    [
        (b"", "model_silent", "sent nothing"),
        (b" \n\n", "model_silent", "sent nothing"),
        (b": wait\n\n: wait\n\n", "model_silent", "sent nothing"),
        (b"data:\n\n", "model_silent", "sent nothing"),
        (DONE, "model_silent", "answered nothing"),
        (b"[DONE]", "model_silent", "answered nothing"),
        (FINISH + DONE, "model_silent", "answered nothing (finish reason: stop)"),
        (b'{"choices":[]}', "model_silent", "answered nothing"),
        (PAGE, "model_unreadable", "a web page: '502 Bad Gateway nginx'; is model_url right?"),
        (b"upstream connect error", "model_unreadable", "'upstream connect error'"),
        (b'{"id": 7, "object": "list"}', "model_unreadable", '{"id": 7'),
        (b'{"choices": oops}', "model_unreadable", "oops"),
        (b"\xff\xfe\x00", "model_unreadable", "cannot be read"),
        (b'["a"]', "model_unreadable", '["a"]'),
        (b"data: oops\n\n" + DONE, "model_unreadable", "'oops'"),
        (b'event: message_start\ndata: {"type":"message_start"}\n\n', "model_unreadable", "message_start"),
        (WHOLE[:-20], "model_cut_off", "its JSON ends in the middle"),
        (CHUNK, "model_cut_off", "without a finish reason and without [DONE]"),
        (CHUNK + FINISH[:30], "model_cut_off", "in the middle of an event"),
        (b'{"error":{"message":"Overloaded","code":529}}', "model_reported", "'Overloaded'"),
        (b'{"error":"Overloaded"}', "model_reported", "'Overloaded'"),
        (b'{"object":"error","message":"Overloaded"}', "model_reported", "'Overloaded'"),
        (b'{"detail":"Overloaded"}', "model_reported", "'Overloaded'"),
        (b'{"detail":[{"loc":["body"],"msg":"Overloaded"}],"type":"error"}', "model_reported", "'Overloaded'"),
        (b'{"error":{"code":7}}', "model_reported", '{"code": 7}'),
        (CHUNK + b'data: {"error":{"message":"Overloaded"}}\n\n' + DONE, "model_reported", "'Overloaded'"),
        (CHUNK + b"event: error\ndata: Overloaded\n\n", "model_reported", "'Overloaded'"),
        (CHUNK + b'event: error\ndata: {"message":"Overloaded"}\n\n', "model_reported", "'Overloaded'"),
        (CHUNK + b'data: {"type":"error","error":{"message":"Overloaded"}}\n\n', "model_reported", "'Overloaded'"),
        (CHUNK + FINISH.replace(b"stop", b"error"), "model_reported", "not why"),
        (CHUNK + b'data: {"detail":"Overloaded"}\n\n' + FINISH + DONE, "model_reported", "'Overloaded'"),
        (CHUNK + b'data: {"code":529,"message":"Overloaded"}\n\n' + FINISH, "model_reported", "'Overloaded'"),
        (CHUNK + b'data: {"errors":[{"message":"Overloaded"}]}\n\n' + FINISH, "model_reported", "'Overloaded'"),
        (CHUNK + b'error: {"code":500,"message":"Overloaded"}\n\n', "model_reported", "'Overloaded'"),
        (CHUNK + b"error: Overloaded\n\n", "model_reported", "'Overloaded'"),
        (CHUNK + b'{"error":{"message":"Overloaded"}}\n\n', "model_reported", "'Overloaded'"),
        (b'error: {"message":"Overloaded"}\n\n', "model_reported", "'Overloaded'"),
        (b'{"errors":[{"message":"Overloaded"}]}', "model_reported", "'Overloaded'"),
        (b'[{"error":{"code":503,"message":"Overloaded"}}]', "model_reported", "'Overloaded'"),
        (CHUNK + b'data: [{"error":{"message":"Overloaded"}}]\n\n', "model_reported", "'Overloaded'"),
    ],
)
@pytest.mark.parametrize("media_type", [EVENTS, JSON, ""])
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_say_why_an_answer_is_not_whole(said: bytes, code: str, words: str, media_type: str, size: int) -> None:
    """Each reason has a code that stays, and a sentence in which the server has its say."""
    tape = heard(said, media_type, size)
    fault = tape.fault
    assert fault is not None
    if media_type != EVENTS or said not in (b"upstream connect error", b"\xff\xfe\x00"):
        assert (code, True) == (fault.code, words in str(fault))
    draft = tape.draft(1)
    if draft is not None:
        assert {"partial": True, "reason": code, "detail": str(fault)}.items() <= (draft.metadata or {}).items()


def choice(index: int, **told: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """Return a piece of a choice."""
    return {"index": index, "delta": {}, **told}


def events(*choices: dict[str, Any]) -> bytes:
    """Return an event for each of these."""
    return b"".join(b"data: %b\n\n" % json.dumps({"choices": [one]}).encode() for one in choices)


def test_stream_the_choice_that_is_stored() -> None:
    """Text of another choice, even if it comes first, is neither streamed nor lost."""
    tape = Tape(EVENTS)
    tape.add(events(choice(1, delta={"content": "Other"}), choice(0, delta={"content": "Hi"})))
    assert ["Hi"] == [piece.text for piece in tape.take()]
    tape.add(events(choice(0, finish_reason="stop"), choice(1, finish_reason="length")))
    tape.close()
    draft = tape.draft(1)
    assert ("Hi", None) == (draft.content if draft else None, tape.fault)
    other = {"index": 1, "role": "assistant", "content": "Other", "finish_reason": "length"}
    assert [other] == facts_of(tape, "x")["other_choices"]


def test_stream_another_choice_at_the_end_where_choice_0_stays_empty() -> None:
    """The text of the first choice with content is streamed late rather than never; the empty one keeps its ending."""
    tape = Tape(EVENTS)
    tape.add(events(choice(2, delta={"content": "Late"}), choice(0, finish_reason="content_filter")))
    assert [] == tape.take()
    tape.add(DONE)
    tape.close()
    assert ["Late"] == [piece.text for piece in tape.take()]
    assert "" == tape.answer.finish_reason
    facts = facts_of(tape, "x")
    assert [{"index": 0, "role": "assistant", "finish_reason": "content_filter"}] == facts["other_choices"]


def test_hear_the_others_when_a_choice_fails() -> None:
    """An error of one choice makes the answer partial and stands with its choice; nothing of the others is lost."""
    tape = Tape(EVENTS)
    tape.add(events(choice(1, error={"message": "Overloaded"}), choice(0, delta={"content": "Hi"})) + DONE)
    tape.close()
    facts = facts_of(tape, "x")
    assert "Hi" == "".join(piece.text for piece in tape.take())
    assert ("model_reported", True) == (facts["reason"], "'Overloaded'" in facts["detail"])
    assert [{"index": 1, "role": "assistant", "error": {"message": "Overloaded"}}] == facts["other_choices"]


@pytest.mark.parametrize("indexes", [[0, 0], [None, None], [1, 1], [5, None]])
def test_keep_whole_messages_apart_whatever_their_indexes(indexes: list[int | None]) -> None:
    """Two messages in one answer are two choices, even if the server repeats or leaves out the index."""
    messages = [{"index": index, "message": {"content": text}} for index, text in zip(indexes, "ab", strict=True)]
    tape = heard(json.dumps({"choices": messages}).encode(), JSON)
    draft = tape.draft(1)
    said = [draft.content if draft else None, *(other["content"] for other in facts_of(tape, "x")["other_choices"])]
    assert ["a", "b"] == sorted(said)


@pytest.mark.parametrize(
    "refusal", [{"type": "refusal"}, {"type": "refusal", "refusal": 7}, {"type": "refusal", "refusal": "No", "why": 1}]
)
def test_keep_a_refusal_of_an_odd_shape(refusal: dict[str, Any]) -> None:
    """A refusal without words, with others than text, or with more than words is kept as it came."""
    draft = heard(events(choice(0, delta={"content": [refusal]})) + DONE, EVENTS).draft(1)
    assert [refusal] == (draft.content if draft else None)


def test_set_a_call_of_the_older_kind_apart_that_was_cut() -> None:
    """Nobody made a `function_call` whose end is missing."""
    call = {"name": "look", "arguments": '{"a'}
    said = events(choice(0, delta={"function_call": call}))
    assert call == facts_of(heard(said, EVENTS), "x")["unfinished_function_call"]
    assert call == facts_of(heard(said + DONE, EVENTS), "x")["openai"]["function_call"]


def test_take_usage_in_lines_of_json() -> None:
    """A line without choices among lines of JSON makes them no less an answer."""
    tape = heard(b'{"usage":{"prompt_tokens":3}}\n' + CHUNK[6:] + FINISH[6:], JSON)
    assert (None, {"prompt_tokens": 3}) == (tape.fault, facts_of(tape, "x")["usage"])


def test_quote_a_server_harmlessly() -> None:
    """Its words are short and on one line; keys are hidden, and nothing in them acts on a screen."""
    words = "Bad key SECRET-of-ours, sk-proj-abcdefghijk, Bearer abc.def\n\x1b[2J\u202egnp\u200b\0" + "x" * 9000
    tape = heard(json.dumps({"error": words}).encode(), JSON, mask=Mask("SECRET-of-ours"))
    said = str(tape.fault)
    assert "SECRET" not in said
    assert "abcdefghijk" not in said
    assert "abc.def" not in said
    assert said.isprintable()
    assert len(said) < 400


def test_keep_what_an_outside_end_leaves() -> None:
    """Of an answer that nobody waited for, the reason is who left; an error told before stays the reason."""
    tape = Tape(EVENTS)
    tape.add(CHUNK)
    assert {"partial": True, "reason": "client_gone", "latency_ms": 1} == facts_of(tape, "client_gone")
    tape.add(b'data: {"error":"Overloaded"}\n\n')
    assert "model_reported" == facts_of(tape, "client_gone")["reason"]


def test_mend_a_character_that_comes_in_halves() -> None:
    """The halves of a pair of surrogates, in two pieces, are the character."""
    halves = [
        b'data: {"choices":[{"delta":{"content":"\\ud83d"}}]}\n\n',
        b'data: {"choices":[{"delta":{"content":"\\ude42!"}}]}\n\n',
    ]
    tape = heard(b"".join(halves) + DONE, EVENTS)
    draft = tape.draft(1)
    assert draft
    assert ("\U0001f642!", None) == (draft.content, (draft.metadata or {}).get("altered"))
    assert "\U0001f642!" == "".join(piece.text for piece in tape.take())


STREAM = "text/event-stream"
EVENT = b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n'


class Meter:
    """Room for so many bytes."""

    def __init__(self, size: int) -> None:
        """Take how many."""
        self.left = size

    def take(self, size: int) -> bool:
        """Take some, if they are there."""
        if size > self.left:
            return False
        self.left -= size
        return True


def test_cut_an_answer_that_finds_no_room() -> None:
    """What is kept of a stream is its beginning, and says why; nothing that comes later is held."""
    meter = Meter(1000)
    tape = Tape(STREAM, take_room=meter.take)
    for number in range(1000):
        tape.add(EVENT % b"%d " % number)
    tape.close()
    draft = tape.draft(1, "model_cut_off")
    assert draft is not None
    assert str(draft.content).startswith("0 1 2 ")
    assert {"partial": True, "reason": "model_cut_off"}.items() <= (draft.metadata or {}).items()
    assert len(str(draft.content)) < 100


@pytest.mark.parametrize(
    "values", [b"[%b]" % b",".join([b"{}"] * 10_000), b'"%b"' % (b"x" * 100_000), b"[" + b"[]," * 10_000 + b"[]]"]
)
def test_count_what_values_take(values: bytes) -> None:
    """An event of many values takes more room than its bytes."""
    meter = Meter(10_000_000)
    Tape(STREAM, take_room=meter.take).add(b'data: {"choices":[{"delta":{"x":%b}}]}\n\n' % values)
    assert 10_000_000 - meter.left > 1.5 * len(values)


def test_hold_no_event_without_end() -> None:
    """An event that does not end takes room as it grows, and then is let go."""
    meter = Meter(1 << 20)
    tape = Tape(STREAM, take_room=meter.take)
    tape.add(EVENT % b"kept")
    for _ in range(100):
        tape.add(b"data: " + b"x" * (1 << 16))
    tape.close()
    assert "kept" == getattr(tape.draft(1, "cut"), "content", None)


@pytest.mark.parametrize("place", range(40, 75))
def test_keep_the_text_that_a_long_answer_begins_with(place: int) -> None:
    """Of an answer in one piece that finds no room all text that came is kept, wherever it was cut."""
    whole = b'{"id":"a","choices":[{"message":{"content": "a\\"b\\ud83e\\udd8a c\xf0\x9f\xa6\x8a, and more"}}]}'
    tape = Tape("application/json", take_room=Meter(place * 8).take)
    for byte in whole:
        tape.add(bytes((byte,)))
    tape.close()
    draft = tape.draft(1, "cut")
    text = str(draft.content) if draft else ""
    assert 'a"b\U0001f98a c\U0001f98a, and more'.startswith(text)
    assert text or place < 46
    assert draft is None or "model_cut_off" == (draft.metadata or {})["reason"]


@pytest.mark.parametrize(
    "pieces,expected",
    [
        (['{"reasoning":"Hm"}', '{"reasoning":"m"}', '{"content":"Hi"}', '{"content":"!"}'], 4000),
        (['{"content":"<think>Hm"}', '{"content":"m</think>Hi"}', '{"content":"!"}'], 2000),
        (['{"role":"assistant"}', '{"reasoning":"Hm"}', '{"tool_calls":[{"index":0,"id":"a"}]}'], 2000),
        (['{"content":"Hi"}', '{"reasoning":"Hm"}', '{"content":"!"}'], None),
        (['{"reasoning":"Hm","content":"Hi"}', '{"content":"!"}'], None),
        (['{"reasoning":"Hm"}'], None),
    ],
    ids=["field", "tags", "call", "words first", "at once", "no answer"],
)
def test_measure_how_long_a_model_thinks(pieces: list[str], expected: int | None) -> None:
    """`reasoning_ms` lasts from the first piece with reasoning to the first of the answer, where they are two."""
    now = 100.0
    tape = Tape(EVENTS, clock=lambda: now)
    for piece in pieces:
        now += 2
        tape.add(f'data: {{"choices":[{{"index":0,"delta":{piece}}}]}}\n\n'.encode())
    tape.add(FINISH)
    assert expected == facts_of(tape, "x").get("reasoning_ms")


@pytest.mark.parametrize("end", range(66, len(WHOLE) - 1, 3))
def test_keep_the_text_of_json_that_stops_in_the_middle(end: int) -> None:
    """Of an answer in one piece whose end never came the text until there is kept."""
    tape = heard(WHOLE.replace(b"Hi", b"Hi, all of you")[:end], JSON)
    draft = tape.draft(1)
    assert draft is not None
    assert "Hi, all of you".startswith(str(draft.content))
    assert "Hi, all of you" == str(draft.content) or end < 80
    assert "model_cut_off" == (draft.metadata or {})["reason"]
