"""Answers of a model's server as no server should send them: acts, and the bytes that they become.

A stream is a list of acts: pieces of choices, an error, an end. `rendered` makes bytes of it; what it says is worked
out of the acts in `told`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

Act = tuple[Any, ...]
Given = Any
"""An index as a server gives it: a number, text, nothing."""

WORDS = ["a", "b ", "字", "é", " ", "<", "<think>", "</think>", "<thi", "nk>", "<thinking>", "</thinking>", "x</", "🙂"]
PLAIN_FIELDS = ["reasoning_content", "reasoning"]
FIELDS = [*PLAIN_FIELDS, "both", "blocks"]
IMAGE = {"type": "image_url", "image_url": {"url": "https://a/b.png"}}
ODD = {"odd": [1]}
NESTED = ["nested"]
INDEXES: list[Given] = [0, 0, 0, 0, 0, 0, 1, 1, 2, "1", 1.0, None, "x", 7, -1]
ERROR = {"message": "Too much\x1b[2J to do, sk-abcdefghijklmnop", "code": 529}


@dataclass
class Stream:
    """Acts, and how they are put into bytes."""

    acts: list[Act]
    calls: list[Act]
    line_end: bytes
    has_mark: bool
    is_ascii: bool
    lacks_last_end: bool
    frame: str
    """`events`; `spare` without the blank behind `data:`; `named` with a name for each; `parted` over several lines;
    `lines`: JSON in the place of events."""
    media_type: str


texts = st.sampled_from(WORDS)
shapes = st.sampled_from(["str", "part", "parts", "dict", "bare"])
items = st.one_of(texts, st.sampled_from([4, None, IMAGE, ODD, NESTED, {"type": "text", "text": "b"}]))
pieces = st.one_of(
    st.tuples(st.just("text"), shapes, texts),
    st.tuples(st.just("text"), shapes, texts),
    st.tuples(st.just("text"), shapes, texts),
    st.tuples(st.just("number"), st.sampled_from([4, 4.5, True])),
    st.tuples(st.just("mixed"), st.lists(items, max_size=4)),
    st.tuples(st.just("object"), st.sampled_from([IMAGE, ODD])),
    st.tuples(st.just("thought"), texts),
    st.tuples(st.just("think"), st.sampled_from(FIELDS), texts),
    st.tuples(st.just("call"), st.integers(0, 3)),
    st.tuples(st.just("bare"), st.integers(1, 2), st.integers(1, 3)),
    st.tuples(st.just("old"), st.booleans(), st.sampled_from(['{"', "a", '":', "1", "}"])),
    st.tuples(st.just("refusal"), st.sampled_from(["field", "part"]), texts),
    st.tuples(st.just("role"), st.sampled_from(["assistant", "user", "user", "tool", "", None, 7])),
    st.tuples(st.just("nothing"), st.sampled_from([{}, {"content": None}, {"content": ""}, {"refusal": None}])),
)
closings = st.one_of(
    st.tuples(st.just("finish"), st.sampled_from(["stop", "length", "tool_calls", "", None])),
    st.tuples(st.just("finish"), st.just("stop")),
    st.tuples(st.just("fault"), st.sampled_from(["object", "words", "reason"])),
)
speech = st.tuples(
    st.just("say"), st.lists(st.tuples(st.sampled_from(INDEXES), pieces), min_size=1, max_size=3).map(tuple)
)
one_says = st.tuples(st.just("say"), pieces.map(lambda piece: ((0, piece),)))
says = st.one_of(one_says, one_says, speech)
finishes = st.tuples(
    st.just("say"), st.lists(st.tuples(st.sampled_from(INDEXES), closings), min_size=1, max_size=2).map(tuple)
)
one_finishes = st.just(("say", ((0, ("finish", "stop")),)))
beside = st.one_of(
    st.tuples(st.just("usage"), st.sampled_from([{"choices": []}, {"choices": None}, {}]), st.integers(0, 9)),
    st.tuples(st.just("comment"), st.sampled_from([": still there", ":", "id: 7", "retry: 9"])),
    st.just(("blank",)),
)
errors = st.tuples(
    st.just("error"),
    st.sampled_from(
        [
            ("", {"error": ERROR}),
            ("", {"error": "Too much to do"}),
            ("", {"error": [ERROR]}),
            ("", {"error": {"code": 7}}),
            ("", {"error": ERROR, "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]}),
            ("", {"errors": [ERROR]}),
            ("", {"object": "error", **ERROR}),
            ("", {"type": "error", "error": ERROR}),
            ("", {"detail": "Too much to do"}),
            ("", {"detail": [{"msg": "Too much"}], "type": "error"}),
            ("event", ERROR),
            ("event", "too much to do"),
            ("field", ERROR),
            ("field", "too much to do"),
            ("naked", {"error": ERROR}),
        ]
    ),
)
ends = st.one_of(
    finishes,
    one_finishes,
    one_finishes,
    st.tuples(st.just("done"), st.sampled_from([b"[DONE]", b"[DONE]", b"[DONE] "])),
    errors,
    st.tuples(st.just("garbage"), st.sampled_from([b"{", b"oops", b"\xff\xfe", b"[1", b'"text"', b"7"])),
)
calls = st.tuples(
    st.sampled_from(["index", "text", "odd", "id", "no id"]),
    st.sampled_from(["once", "again", "split"]),
    st.lists(st.sampled_from(['{"', "a", '":', "1", "}", "字"]), min_size=1, max_size=4),
)
acts = st.tuples(
    st.lists(st.one_of(says, says, says, says, beside, ends), max_size=10),
    st.lists(st.one_of(ends, ends, says, beside), max_size=4),
).map(lambda pair: [*pair[0], *pair[1]])
wholes = st.tuples(
    st.just("whole"),
    st.lists(
        st.tuples(
            st.sampled_from([0, 0, 1, 2, None, "1"]),
            st.lists(pieces, max_size=4).map(tuple),
            st.sampled_from(["stop", "stop", "length", None]),
        ),
        min_size=1,
        max_size=3,
    ).map(tuple),
)
bodies = st.tuples(wholes.map(lambda whole: [whole]), st.lists(st.one_of(ends, beside), max_size=2)).map(
    lambda pair: [*pair[0], *pair[1]]
)
frames = st.sampled_from(["events", "events", "spare", "named", "parted", "lines"])


def _fitted(stream: Stream) -> Stream:
    """Leave out of what is no stream of events what only such a stream can have."""
    if stream.frame == "lines":
        stream.acts = [act for act in stream.acts if act[0] not in ("comment", "blank", "garbage")]
        stream.acts = [act for act in stream.acts if act[0] != "error" or act[1][0] in ("", "naked")]
        if not stream.acts or stream.acts[0][0] == "done":
            stream.frame = "events"
    return stream


streams = st.builds(
    Stream,
    acts=st.one_of(acts, acts, acts, bodies),
    calls=st.lists(calls, min_size=4, max_size=4),
    line_end=st.sampled_from([b"\n", b"\r\n", b"\r"]),
    has_mark=st.booleans(),
    is_ascii=st.booleans(),
    lacks_last_end=st.booleans(),
    frame=frames,
    media_type=st.sampled_from(["text/event-stream", "text/event-stream; charset=utf-8", "application/json", ""]),
).map(_fitted)


def rendered(stream: Stream) -> bytes:
    """Return the bytes of a stream."""
    said: dict[Any, int] = {}
    out = b"\xef\xbb\xbf" if stream.has_mark else b""
    for act in stream.acts:
        out += b"".join(line + stream.line_end for line in [*_lines(stream, act, said), b""])
    return out.removesuffix(stream.line_end) if stream.lacks_last_end else out


def _lines(stream: Stream, act: Act, said: dict[Any, int]) -> list[bytes]:
    kind, *rest = act
    if kind in ("comment", "blank"):
        return [rest[0].encode() if rest else b"data:"]
    if kind in ("done", "garbage"):
        return [b"data: " + rest[0]]
    if kind == "error":
        return _error(stream, *rest[0])
    if kind == "usage":
        return _event(stream, {**rest[0], "usage": {"prompt_tokens": rest[1]}})
    chosen = _whole_choices if kind == "whole" else _choices
    return _event(stream, {"choices": chosen(stream, rest[0], said)})


def _json(stream: Stream, value: Any) -> bytes:  # noqa: ANN401 - any JSON
    return json.dumps(value, ensure_ascii=stream.is_ascii).encode()


def _event(stream: Stream, value: Any) -> list[bytes]:  # noqa: ANN401 - any JSON
    data = _json(stream, value)
    if stream.frame == "lines":
        return [data]
    if stream.frame == "spare":
        return [b"data:" + data]
    if stream.frame == "named":
        return [b"event: chunk", b"data: " + data, b"id: 3"]
    if stream.frame == "parted":
        return [b"data: " + data[:1], b"data: " + data[1:]]
    return [b"data: " + data]


def _error(stream: Stream, place: str, told: Any) -> list[bytes]:  # noqa: ANN401 - any JSON
    words = told.encode() if isinstance(told, str) else _json(stream, told)
    if place == "event":
        return [b"event: error", b"data: " + words]
    if place in ("field", "naked"):
        return [b"error: " + words if place == "field" else words]
    return _event(stream, told)


def _choices(stream: Stream, entries: tuple[Act, ...], said: dict[Any, int]) -> list[dict[str, Any]]:
    """Return the choices of an event."""
    told = []
    for (given, piece), index in zip(entries, indexes_of([given for given, _ in entries]), strict=True):
        numbered = {} if given is None else {"index": given}
        if piece[0] == "finish":
            told.append({**numbered, "delta": {}, "finish_reason": piece[1]})
        elif piece[0] == "fault":
            ending: dict[str, dict[str, Any]] = {
                "object": {"error": ERROR},
                "words": {"error": "Too much"},
                "reason": {"finish_reason": "error"},
            }
            told.append({**numbered, "delta": {}, **ending[piece[1]]})
        else:
            told.append({**numbered, "delta": _delta(stream, piece, index, said), "finish_reason": None})
    return told


def indexes_of(given: list[Given]) -> list[int]:
    """Return which choices the pieces of an event belong to: those of their places, where no number says it."""
    known = {"1": 1, 1.0: 1}
    return [
        known.get(one, one) if isinstance(one, int | float) or one == "1" else place for place, one in enumerate(given)
    ]


def _delta(stream: Stream, piece: Act, index: int, said: dict[Any, int]) -> dict[str, Any]:
    kind, *rest = piece
    if kind in ("call", "bare", "old"):
        return _calling(stream, piece, index, said)
    if kind == "think":
        return _thinking(*rest)
    if kind == "nothing":
        delta: dict[str, Any] = rest[0]
        return delta
    if kind == "role" or (kind == "refusal" and rest[0] == "field"):
        return {kind: rest[-1]}
    return {"content": _content(kind, *rest)}


def _calling(stream: Stream, piece: Act, index: int, said: dict[Any, int]) -> dict[str, Any]:
    kind, *rest = piece
    if kind == "call":
        return {"tool_calls": [_call(stream.calls[rest[0]], rest[0], index, said)]}
    if kind == "bare":
        return {"tool_calls": [part for call in bare_calls(*rest) for part in _bare(*call)]}
    return {"function_call": {**({"name": "look"} if rest[0] else {}), "arguments": rest[1]}}


def _thinking(field: str, words: str) -> dict[str, Any]:
    if field == "blocks":
        return {"thinking_blocks": [{"type": "thinking", "thinking": words}]}
    return dict.fromkeys(PLAIN_FIELDS, words) if field == "both" else {field: words}


def _content(kind: str, *rest: Any) -> Any:  # noqa: ANN401 - a content of any type
    """Return a content of this kind."""
    if kind == "thought":
        return [{"type": "thinking", "thinking": rest[0]}]
    if kind == "refusal":
        return [{"type": "refusal", "refusal": rest[1]}]
    if kind == "object":
        return [rest[0]]
    if kind in ("number", "mixed"):
        return rest[0]
    shape, text = rest
    part = {"type": "text", "text": text}
    half = len(text) // 2
    halves = [part | {"text": text[:half]}, part | {"text": text[half:]}]
    return {"str": text, "part": [part], "parts": halves, "dict": part, "bare": [text]}[shape]


def _call(call: Act, number: int, index: int, said: dict[Any, int]) -> dict[str, Any]:
    """Return the next piece of a call of a choice."""
    numbering, naming, told = call
    piece = said.get((index, number), 0)
    said[index, number] = piece + 1
    name = f"tool_{number}"
    named = {"once": [name], "again": [name] * 99, "split": ["tool", f"_{number}"]}[naming]
    function: dict[str, Any] = {"name": named[piece]} if piece < len(named) else {}
    if piece < len(told):
        function["arguments"] = told[piece]
    numbers = {"odd": [-7, 1 << 40, 50, 60][number], "text": str(number)}
    numbered = {} if numbering == "id" else {"index": numbers.get(numbering, number)}
    given = {"id": f"call_{number}"} if numbering == "id" or (not piece and numbering != "no id") else {}
    return {**numbered, **given, "type": "function", "function": function}


def bare_calls(count: int, size: int) -> list[tuple[str, list[str]]]:
    """Return calls without index and id, as names and pieces of arguments."""
    return [(f"bare_{number}", ['{"', "字", '":1}'][:size]) for number in range(count)]


def _bare(name: str, arguments: list[str]) -> list[dict[str, Any]]:
    first, *others = arguments
    return [
        {"type": "function", "function": {"name": name, "arguments": first}},
        *({"function": {"arguments": more}} for more in others),
    ]


def _whole_choices(stream: Stream, entries: tuple[Act, ...], said: dict[Any, int]) -> list[dict[str, Any]]:
    """Return the choices of an answer in one piece."""
    return [
        {
            **({} if given is None else {"index": given}),
            "message": _message(stream, said_here, ("whole", place), said),
            "finish_reason": finish,
        }
        for place, (given, said_here, finish) in enumerate(entries)
    ]


def _message(stream: Stream, said_here: tuple[Act, ...], index: Any, said: dict[Any, int]) -> dict[str, Any]:  # noqa: ANN401
    """Return a message that says these pieces: its content is a list of parts, or null."""
    message: dict[str, Any] = {"role": "assistant", "content": None}
    for kind, *rest in whole_pieces(said_here):
        if kind in ("think", "old", "refusal", "bare"):
            message |= _delta(stream, (kind, *rest), index, said)
        elif kind == "call":
            message.setdefault("tool_calls", []).append(whole_call(rest[0]))
        elif kind != "nothing":
            content = _content(kind, *rest)
            message["content"] = [*(message["content"] or []), *(content if isinstance(content, list) else [content])]
    return message


def whole_call(number: int) -> dict[str, Any]:
    """Return a call in one piece."""
    return {"id": f"call_{number}", "type": "function", "function": {"name": f"tool_{number}", "arguments": "{}"}}


def whole_pieces(said_here: tuple[Act, ...]) -> list[Act]:
    """Return the pieces that a whole message can have: of those that fill a field the last one, each call once."""
    kept: dict[Any, Act] = {}
    for place, piece in enumerate(said_here):
        kind = piece[0]
        if kind == "refusal":
            kept["refusal"] = (kind, "field", piece[2])
        elif kind == "think":
            kept["think"] = piece
        elif kind == "old":
            kept["old"] = piece
        elif kind == "call":
            kept[piece] = piece
        elif kind not in ("bare", "role", "mixed"):
            kept[place] = piece
    return sorted(kept.values(), key=lambda piece: piece[0] == "refusal")  # a field that is read behind the content
