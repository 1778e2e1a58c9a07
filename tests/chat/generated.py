"""What a model server answers in Gemini's protocol, worked out from the request alone, as `spoken` does.

The word `finish` at the beginning puts a finish reason into every chunk, as Gemini 1.0 did.

Source: the API reference of Gemini.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.chat import spoken

Json = Any
_PIECE_CHARS = 7
_LONG_CHARS = 10_000  # a longer text comes in one event
USAGE = {
    "promptTokenCount": 5,
    "cachedContentTokenCount": 2,
    "candidatesTokenCount": 9,
    "thoughtsTokenCount": 4,
    "totalTokenCount": 18,
}


def reply(path: str, request: Json, text: str | None, *, is_stream: bool, is_sse: bool = True) -> spoken.Reply:
    """Return the answer to a request; `text` is what the model says in place of an echo."""
    model = path.rpartition("/")[2].partition(":")[0]
    parts = parts_of(request["contents"][-1], text)
    if not is_stream:
        said = json.dumps(_chunk(model, parts, "STOP")).encode()
        return spoken.Reply([said], 200, {"Content-Type": "application/json; charset=UTF-8"})
    chunks = list(chunks_of(model, parts))
    if _words(request["contents"][-1]).startswith("finish"):
        chunks = [_chunk(model, one["candidates"][0]["content"]["parts"], "STOP") for one in chunks]
    if is_sse:
        events = [b"data: %b\r\n\r\n" % json.dumps(one).encode() for one in chunks]
        return spoken.Reply(events, 200, {"Content-Type": "text/event-stream"})
    pieces = [
        b"%b%b" % (b",\r\n" if place else b"[", json.dumps(one, indent=2).encode()) for place, one in enumerate(chunks)
    ]
    return spoken.Reply([*pieces, b"\n]\n"], 200, {"Content-Type": "application/json; charset=UTF-8"})


def other(method: str, path: str, request: Json) -> Json:
    """Return the answer to a request for something else: a model, or the count of words."""
    name = path.partition("/v1/")[2]
    if method == "DELETE":
        return {}
    if not name.endswith(":countTokens"):
        return {"name": name, "displayName": name.rpartition("/")[2]}
    texts = [part["text"] for one in request["contents"] for part in one["parts"] if "text" in part]
    return {"totalTokens": sum(len(text.split()) for text in texts)}


def parts_of(asked: Json, text: str | None = None) -> list[Json]:
    """Return the parts of the answer to a content."""
    results = [part["functionResponse"] for part in asked["parts"] if "functionResponse" in part]
    words = _words(asked)
    said = text or (f"The tool said: {results[0]['response']}" if results else f"You said: {words}")
    parts: list[Json] = [{"text": said}]
    if words.startswith(("think", "weather")):
        parts = [{"text": f"Hm, {words}.", "thought": True}, *parts]
    if words.startswith("weather"):
        call = {"name": "weather", "args": {"place": [words, 1.5]}}
        parts.append({"functionCall": call, "thoughtSignature": "c2lnbmVk"})
    return parts


def _words(asked: Json) -> str:
    return " ".join(part["text"] for part in asked["parts"] if isinstance(part.get("text"), str))


def chunks_of(model: str, parts: list[Json]) -> Iterator[Json]:
    """Yield the chunks of a streamed answer."""
    for part in parts:
        for piece in _pieces(part):
            yield _chunk(model, [piece])
    yield _chunk(model, [{"text": ""}], "STOP")


def _pieces(part: Json) -> Iterator[Json]:
    text = part.get("text")
    size = _PIECE_CHARS if text is not None and len(text) < _LONG_CHARS else len(text or "") or 1
    for start in range(0, len(text or " "), size):
        yield {**part, "text": text[start : start + size]} if text is not None else part


def _chunk(model: str, parts: list[Json], finish: str | None = None) -> Json:
    candidate: Json = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    usage = USAGE if finish else {"promptTokenCount": 5, "totalTokenCount": 5}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": model, "responseId": "r-1"}
