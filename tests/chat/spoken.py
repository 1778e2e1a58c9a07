"""What a model server answers in the newer protocols: Anthropic's Messages and OpenAI's Responses, and other routes.

Worked out from the request alone, as in `completions`. An answer is a list of pieces: the events of a stream, or the
one body. A word at the beginning of what the user says asks for more than an echo: `think`, `weather` (calls a tool),
`search` (a tool of the server).

Source: the API references of both.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.chat import generated
from tests.chat.completions import CREATED, MODELS

Json = Any
_PIECE_CHARS = 7
_LONG_CHARS = 10_000  # a longer text comes in one event
_HEADERS = {
    "messages": {"request-id": "req_tests", "anthropic-ratelimit-requests-remaining": "42"},
    "responses": {"openai-version": "2020-10-01", "x-ratelimit-remaining-tokens": "9"},
}


@dataclass
class Reply:
    """An answer in pieces, its status and its headers."""

    pieces: list[bytes]
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def reply(method: str, path: str, request: Json, text: str | None = None, query: str = "") -> Reply:
    """Return the answer to a request; `text` is what the model says in place of an echo."""
    if method == "POST" and path.endswith("/messages"):
        return _spoken("messages", Message(request, text), request)
    if method == "POST" and path.endswith("enerateContent"):
        return generated.reply(path, request, text, is_stream="stream" in path, is_sse="alt=sse" in query)
    if method == "POST" and path.endswith("/responses"):
        return _spoken("responses", Response(request, text), request)
    if "models/gemini" in path or "cachedContents/" in path:
        return _whole(generated.other(method, path, request))
    return _whole(_other(method, path, request))


def fault(path: str) -> bytes:
    """Return the event of an error within a stream."""
    if path.endswith("enerateContent"):
        error = {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}
        return b"data: %b\r\n\r\n" % json.dumps({"error": error}).encode()
    if path.endswith("/messages"):
        return event({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
    return event({"type": "error", "code": "server_error", "message": "It broke.", "sequence_number": 9})


def event(data: Json) -> bytes:
    """Return an event with its type as its name."""
    return f"event: {data['type']}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


def _spoken(name: str, answer: Message | Response, request: Json) -> Reply:
    if not request.get("stream"):
        return _whole(answer.whole(), _HEADERS[name])
    return Reply([event(one) for one in answer.events()], 200, {"Content-Type": "text/event-stream", **_HEADERS[name]})


def _whole(said: Json, headers: dict[str, str] | None = None) -> Reply:
    return Reply([json.dumps(said).encode()], 200, {"Content-Type": "application/json", **(headers or {})})


def _other(method: str, path: str, request: Json) -> Json:
    name = path.partition("/v1/")[2]
    if name == "messages/count_tokens":
        return {"input_tokens": len(json.dumps(request.get("messages", "")).split())}
    if name == "embeddings":
        return {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -0.25]}]}
    if name.removeprefix("models/") in MODELS:
        return {"id": name.removeprefix("models/"), "object": "model", "created": CREATED, "owned_by": "tests"}
    if method == "DELETE":
        return {"id": name.rpartition("/")[2], "object": "response", "deleted": True}
    return {"method": method, "path": name}


def _id(prefix: str, *of: Json) -> str:
    return prefix + hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:24]


def _pieces(text: str) -> Iterator[str]:
    size = _PIECE_CHARS if len(text) < _LONG_CHARS else len(text)
    return (text[start : start + size] for start in range(0, len(text), size))


def _words(content: Json) -> str:
    if isinstance(content, str):
        return content
    return " ".join(part["text"] for part in content or () if isinstance(part.get("text"), str))


class Message:
    """An answer of Anthropic's Messages."""

    def __init__(self, request: Json, text: str | None) -> None:
        """Take the request, and what to say in place of an echo."""
        self._id = _id("msg_", request["messages"])
        self._model = request["model"]
        self._blocks = self._content(request["messages"][-1]["content"], text)
        self._is_call = any(block["type"] == "tool_use" for block in self._blocks)
        self._reason = "tool_use" if self._is_call else "end_turn"

    def _content(self, asked: Json, text: str | None) -> list[Json]:
        results = [part for part in asked if part["type"] == "tool_result"] if isinstance(asked, list) else []
        words = _words(asked)
        said = text or (f"The tool said: {_words(results[0]['content'])}" if results else f"You said: {words}")
        blocks: list[Json] = [{"type": "text", "text": said}]
        if words.startswith(("think", "weather")):
            thought = {"type": "thinking", "thinking": f"Hm, {words}.", "signature": _id("sig", words)}
            blocks = [thought, {"type": "redacted_thinking", "data": _id("", words)}, *blocks]
        if words.startswith("weather"):
            call = {"type": "tool_use", "id": _id("toolu_", words), "name": "weather", "input": {"place": [words, 1.5]}}
            blocks.append(call)
        return blocks

    def whole(self) -> Json:
        """Return the answer at once."""
        return {**self._begun(), "content": self._blocks, "stop_reason": self._reason, "stop_sequence": None}

    def events(self) -> Iterator[Json]:
        """Yield its events."""
        yield {"type": "message_start", "message": self._begun()}
        yield {"type": "ping"}
        for index, block in enumerate(self._blocks):
            empty = {name: "" if name in ("text", "thinking", "signature") else value for name, value in block.items()}
            begun = empty | ({"input": {}} if "input" in block else {})
            yield {"type": "content_block_start", "index": index, "content_block": begun}
            for delta in _deltas(block):
                yield {"type": "content_block_delta", "index": index, "delta": delta}
            yield {"type": "content_block_stop", "index": index}
        delta = {"stop_reason": self._reason, "stop_sequence": None}
        yield {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 12}}
        yield {"type": "message_stop"}

    def _begun(self) -> Json:
        usage = {"input_tokens": 5, "cache_read_input_tokens": 3, "output_tokens": 12}
        told = {"id": self._id, "type": "message", "role": "assistant", "model": self._model, "content": []}
        return {**told, "stop_reason": None, "stop_sequence": None, "usage": usage}


def _deltas(block: Json) -> Iterator[Json]:
    for name in ("text", "thinking"):
        yield from ({"type": f"{name}_delta", name: piece} for piece in _pieces(block.get(name, "")))
    if "signature" in block:
        yield {"type": "signature_delta", "signature": block["signature"]}
    if "input" in block:
        text = json.dumps(block["input"])
        yield from ({"type": "input_json_delta", "partial_json": piece} for piece in ("", *_pieces(text)))


class Response:
    """An answer of OpenAI's Responses."""

    def __init__(self, request: Json, text: str | None) -> None:
        """Take the request, and what to say in place of an echo."""
        self._request = request
        self._id = _id("resp_", {name: value for name, value in request.items() if name != "stream"})
        self._output = self._items(request.get("input"), text)

    def _items(self, asked: Json, text: str | None) -> list[Json]:
        last = {"content": asked} if isinstance(asked, str) else (asked or [{}])[-1]
        words = _words(last.get("content"))
        said = text or (f"The tool said: {last['output']}" if "output" in last else f"You said: {words}")
        items: list[Json] = []
        if words.startswith(("think", "weather")):
            summary = [{"type": "summary_text", "text": f"Hm, {words}."}]
            items.append(
                {"id": _id("rs_", words), "type": "reasoning", "summary": summary, "encrypted_content": "gA=="}
            )
        if words.startswith("search"):
            action = {"type": "search", "query": words}
            items.append({"id": _id("ws_", words), "type": "web_search_call", "status": "completed", "action": action})
        if words.startswith("weather"):
            call = {"call_id": _id("call_", words), "name": "weather", "arguments": json.dumps({"place": words})}
            items.append({"id": _id("fc_", words), "type": "function_call", "status": "completed", **call})
        else:
            part = {"type": "output_text", "annotations": [], "logprobs": [], "text": said}
            told = {"id": _id("msg_", words), "type": "message", "status": "completed", "role": "assistant"}
            items.append({**told, "content": [part]})
        return items

    def whole(self) -> Json:
        """Return the answer at once."""
        usage = {
            "input_tokens": 5,
            "input_tokens_details": {"cached_tokens": 2},
            "output_tokens": 9,
            "output_tokens_details": {"reasoning_tokens": 4},
            "total_tokens": 14,
        }
        return {**self._begun(), "status": "completed", "output": self._output, "usage": usage}

    def events(self) -> Iterator[Json]:
        """Yield its events, numbered."""
        for number, one in enumerate(self._events()):
            yield {**one, "sequence_number": number}

    def _events(self) -> Iterator[Json]:
        yield {"type": "response.created", "response": self._begun()}
        yield {"type": "response.in_progress", "response": self._begun()}
        for index, item in enumerate(self._output):
            at = {"item_id": item["id"], "output_index": index}
            begun = {**item, **{name: [] for name in ("content", "summary") if name in item}}
            begun |= {"arguments": ""} if "arguments" in item else {}
            yield {"type": "response.output_item.added", "output_index": index, "item": begun}
            if "arguments" in item:
                for piece in _pieces(item["arguments"]):
                    yield {"type": "response.function_call_arguments.delta", **at, "delta": piece}
                yield {"type": "response.function_call_arguments.done", **at, "arguments": item["arguments"]}
            yield from self._parts(item, at)
            yield {"type": "response.output_item.done", "output_index": index, "item": item}
        yield {"type": "response.completed", "response": self.whole()}

    def _parts(self, item: Json, at: Json) -> Iterator[Json]:
        kinds = {
            "content": ("content_part", "output_text", "content_index"),
            "summary": ("reasoning_summary_part", "reasoning_summary_text", "summary_index"),
        }
        for name, (part_kind, text_kind, index_name) in kinds.items():
            for place, part in enumerate(item.get(name, ())):
                here = {**at, index_name: place}
                yield {"type": f"response.{part_kind}.added", **here, "part": {**part, "text": ""}}
                for piece in _pieces(part["text"]):
                    yield {"type": f"response.{text_kind}.delta", **here, "delta": piece}
                yield {"type": f"response.{text_kind}.done", **here, "text": part["text"]}
                yield {"type": f"response.{part_kind}.done", **here, "part": part}

    def _begun(self) -> Json:
        names = ("instructions", "previous_response_id", "conversation", "tools", "temperature", "metadata")
        told = {"id": self._id, "object": "response", "created_at": CREATED, "model": self._request.get("model")}
        asked: Json = {
            "instructions": None,
            "tools": [],
            "metadata": {},
            "temperature": 1.0,
            "previous_response_id": None,
        }
        asked |= {name: self._request[name] for name in names if name in self._request}
        fixed = {"tool_choice": "auto", "parallel_tool_calls": True, "top_p": 1.0, "store": True}
        return {
            **told,
            **asked,
            **fixed,
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
            "output": [],
        }
