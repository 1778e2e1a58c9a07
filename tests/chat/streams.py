"""Answers of a model's server as no server should send them, and what each of them says, worked out by hand.

A stream is a list of acts: a piece of text in one of its types, a piece of thinking or of a call, an error, an end.
`rendered` makes bytes of it, `told` says what it tells: by the acts, and without any code of Chatkeep.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

Act = tuple[Any, ...]

WORDS = ["a", "b ", "字", "é", " ", "<", "<think>", "</think>", "<thi", "nk>", "<thinking>", "</thinking>", "x</", "🙂"]
FIELDS = ["reasoning_content", "reasoning"]
MARKED = re.compile(r"(?is)<(think|thinking|reasoning|thought)>(.*?)(?:</\1>|\Z)")
IMAGE = {"type": "image_url", "image_url": {"url": "https://a/b.png"}}


@dataclass
class Told:
    """What a stream says."""

    text: str = ""
    thoughts: list[str] = field(default_factory=list)
    calls: list[tuple[str | None, str, str]] = field(default_factory=list)
    is_whole: bool = False
    code: str | None = None
    """Why it is not whole; None when it is, or when the connection broke."""


@dataclass
class Stream:
    """Acts, and how they are put into bytes."""

    acts: list[Act]
    calls: list[Act]
    thinks_in: str
    line_end: bytes
    has_mark: bool
    is_cut: bool
    lacks_last_end: bool
    media_type: str


texts = st.sampled_from(WORDS)
shapes = st.sampled_from(["str", "part", "parts", "dict", "bare"])
speech = st.one_of(
    st.tuples(st.just("text"), shapes, texts),
    st.tuples(st.just("text"), shapes, texts),
    st.tuples(st.just("number"), st.sampled_from([4, 4.5, True])),
    st.tuples(st.just("image")),
    st.tuples(st.just("thought"), texts),
    st.tuples(st.just("think"), texts),
    st.tuples(st.just("call"), st.integers(0, 2)),
    st.tuples(st.just("nothing"), st.sampled_from([{}, {"content": None}, {"content": ""}, {"role": "assistant"}])),
    st.tuples(st.just("usage"), st.integers(0, 9)),
    st.tuples(st.just("comment")),
    st.tuples(st.just("blank")),
)
ends = st.one_of(
    st.tuples(st.just("finish"), st.sampled_from(["stop", "length", "tool_calls"])),
    st.tuples(st.just("finish"), st.just("stop")),
    st.tuples(st.just("done")),
    st.tuples(st.just("error"), st.sampled_from(["event", "object", "words", "choice"])),
    st.tuples(st.just("garbage"), st.sampled_from([b"{", b"oops", b"\xff\xfe", b"[1", b'"text"', b"7"])),
)
calls = st.tuples(
    st.sampled_from(["index", "odd", "id"]),
    st.sampled_from(["once", "again", "split"]),
    st.lists(st.sampled_from(['{"', "a", '":', "1", "}", "字"]), min_size=1, max_size=4),
)
streams = st.builds(
    Stream,
    acts=st.tuples(st.lists(speech, max_size=10), st.lists(st.one_of(ends, ends, speech), max_size=4)).map(
        lambda pair: [*pair[0], *pair[1]]
    ),
    calls=st.lists(calls, min_size=3, max_size=3),
    thinks_in=st.sampled_from(FIELDS),
    line_end=st.sampled_from([b"\n", b"\r\n", b"\r"]),
    has_mark=st.booleans(),
    is_cut=st.booleans(),
    lacks_last_end=st.booleans(),
    media_type=st.sampled_from(["text/event-stream", "text/event-stream; charset=utf-8", "application/json", ""]),
)


def rendered(stream: Stream) -> bytes:
    """Return the bytes of a stream."""
    said: dict[int, int] = {}
    out = b"\xef\xbb\xbf" if stream.has_mark else b""
    for act in stream.acts:
        out += b"".join(line + stream.line_end for line in [*_lines(stream, act, said), b""])
    return out.removesuffix(stream.line_end) if stream.lacks_last_end else out


def _lines(stream: Stream, act: Act, said: dict[int, int]) -> list[bytes]:
    kind = act[0]
    plain = {"comment": b": still there", "blank": b"data:", "done": b"data: [DONE]"}
    if kind in plain:
        return [plain[kind]]
    if kind == "garbage":
        return [b"data: " + act[1]]
    if kind == "error":
        return _error(act[1])
    if kind == "usage":
        return [_data({"choices": [], "usage": {"prompt_tokens": act[1]}})]
    said_here = {"delta": {}, "finish_reason": act[1]} if kind == "finish" else {"delta": _delta(stream, act, said)}
    return [_data({"choices": [{"index": 0, **said_here}]})]


def _error(shape: str) -> list[bytes]:
    error = {"message": "Too much\x1b[2J to do, sk-abcdefghijklmnop", "code": 529}
    if shape == "event":
        return [b"event: error", _data(error)]
    if shape == "words":
        return [b"event: error", b"data: too much to do"]
    return [_data({"error": error} if shape == "object" else {"choices": [{"index": 0, "delta": {}, "error": error}]})]


def _data(value: Any) -> bytes:  # noqa: ANN401 - any JSON
    return b"data: " + json.dumps(value).encode()


def _delta(stream: Stream, act: Act, said: dict[int, int]) -> dict[str, Any]:
    kind, *rest = act
    if kind == "nothing":
        delta: dict[str, Any] = rest[0]
        return delta
    if kind == "think":
        return {stream.thinks_in: rest[0]}
    if kind == "call":
        return {"tool_calls": [_call(stream.calls[rest[0]], rest[0], said)]}
    if kind == "thought":
        return {"content": [{"type": "thinking", "thinking": rest[0]}]}
    return {"content": [IMAGE] if kind == "image" else rest[0] if kind == "number" else _content(*rest)}


def _content(shape: str, text: str) -> Any:  # noqa: ANN401 - a content of any type
    part = {"type": "text", "text": text}
    half = len(text) // 2
    halves = [part | {"text": text[:half]}, part | {"text": text[half:]}]
    return {"str": text, "part": [part], "parts": halves, "dict": part, "bare": [text]}[shape]


def _call(call: Act, number: int, said: dict[int, int]) -> dict[str, Any]:
    """Return the next piece of a call."""
    numbering, naming, pieces = call
    piece = said.get(number, 0)
    said[number] = piece + 1
    name = f"tool_{number}"
    named = {"once": [name], "again": [name] * 9, "split": ["tool", f"_{number}"]}[naming]
    function: dict[str, Any] = {"name": named[piece]} if piece < len(named) else {}
    if piece < len(pieces):
        function["arguments"] = pieces[piece]
    index = {"index": {"index": number}, "odd": {"index": [-7, 1 << 40, 0][number]}, "id": {}}[numbering]
    given = {"id": f"call_{number}"} if numbering == "id" or not piece else {}
    return {**index, **given, "type": "function", "function": function}


def told(stream: Stream) -> Told:
    """Return what a stream says."""
    answer = Told()
    acts = []
    ends: set[str] = set()
    for act in stream.acts:
        if act[0] in ("done", "error", "finish", "garbage"):
            ends.add(act[0])
            is_begun = stream.lacks_last_end and act is stream.acts[-1] and act[-1] == b"{"  # JSON without its end
            codes = {"error": "model_reported", "garbage": "model_cut_off" if is_begun else "model_unreadable"}
            answer.code = answer.code or codes.get(act[0])
        if act[0] in ("done", "error"):
            break
        acts.append(act)
    has_said = _fold(stream, acts, answer)
    has_ended = bool(ends & {"done", "finish"})
    answer.is_whole = has_said and has_ended and answer.code is None
    if answer.code is None and not answer.is_whole:
        has_begun = any(act[0] not in ("comment", "blank", "usage") for act in acts)
        answer.code = "model_silent" if has_ended or not has_begun else "model_cut_off"
    return answer


def _fold(stream: Stream, acts: list[Act], answer: Told) -> bool:
    """Write down what is said by acts; tell whether anything is."""
    runs: list[str] = []
    parts: list[str] = []
    last = ""
    for kind, *rest in acts:
        words = json.dumps(rest[0]) if kind == "number" else rest[-1] if kind == "text" else ""
        if words:
            if last != "text":
                runs.append("")
            runs[-1] += words
            last = "text"
        elif kind == "thought":
            if last != "thought":
                parts.append("")
            parts[-1] += rest[0]
            last = "thought"
        elif kind == "image":
            last = "image"
    field_words = "".join(rest[0] for kind, *rest in acts if kind == "think")
    answer.text, tagged = _apart(runs)
    answer.thoughts = [words.strip() for words in (field_words, *parts, tagged) if words.strip()]
    answer.thoughts = list(dict.fromkeys(answer.thoughts))
    called = [rest[0] for kind, *rest in acts if kind == "call"]
    for number in dict.fromkeys(called):
        _, naming, pieces = stream.calls[number]
        count = called.count(number)
        name = "tool" if naming == "split" and count == 1 else f"tool_{number}"
        answer.calls.append((f"call_{number}", name, "".join(pieces[:count])))
    return bool(last or field_words or called)


def _apart(runs: list[str]) -> tuple[str, str]:
    """Return the text of an answer and what stands between tags at its beginning."""
    thought = ""
    for place, run in enumerate(runs):
        if not run.strip():
            continue
        rest, is_first = run, True
        while found := MARKED.match(rest.lstrip()):
            gap = rest[: len(rest) - len(rest.lstrip())]
            thought += ("" if is_first else gap) + found[2]
            rest, is_first = rest.lstrip()[found.end() :], False
        return "\n".join(
            filter(None, [*runs[:place], rest if is_first else rest.lstrip(), *runs[place + 1 :]])
        ), thought
    return "\n".join(filter(None, runs)), thought
