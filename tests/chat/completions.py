"""What an OpenAI-compatible model server answers, worked out from the request alone: no clock, no dice.

Source: the API reference of OpenAI's chat completions, and what Ollama, vLLM and llama.cpp send.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

MODELS = ("small-model", "large-model")
CREATED = 1_700_000_000
_PIECES_OF_ARGUMENTS = 3


@dataclass(frozen=True)
class Answer:
    """One answer of the model and what goes wrong with it. Without a text it echoes the request.

    The counts of tokens for the faults are of pieces of content (text, reasoning, arguments of tools).
    """

    text: str | None = None
    reasoning: str = ""
    tool_calls: Sequence[tuple[str, Json]] = ()
    """Names of functions and their arguments."""
    finish_reason: str | None = None
    pause_s: float = 0.0
    """Before each token."""
    hold_after: int | None = None
    """After so many tokens, wait for `Upstream.release` or until the client is gone."""
    cut_after: int | None = None
    """After so many tokens, close the connection in the middle of the body."""
    reset_after: int | None = None
    """The same, but reset the connection."""
    malformed_after: int | None = None
    """After so many tokens, send an event that is no JSON."""
    error_after: int | None = None
    """After so many tokens, send an error as an event, as servers do that have answered 200 already."""
    silent: bool = False
    """Take the request and never answer."""
    empty: bool = False
    """Answer 200 with an empty body."""
    status: int = 200
    error: Json | None = None
    headers: dict[str, str] = field(default_factory=dict)


ECHO = Answer()


def refusal(status: int, message: str, *, code: str | None = None, kind: str = "invalid_request_error") -> Answer:
    """Return an answer with an error of OpenAI's shape."""
    error = {"message": message, "type": kind, "param": None, "code": code}
    return Answer(status=status, error={"error": error})


def unauthorised() -> Answer:
    """Return what a wrong key gets."""
    return refusal(401, "Incorrect API key provided.", code="invalid_api_key")


def unknown_model(name: str) -> Answer:
    """Return what a request for a model gets that is not there."""
    return refusal(404, f"The model `{name}` does not exist.", code="model_not_found")


def rate_limited(retry_after_s: int | None = 7) -> Answer:
    """Return what too many requests get."""
    limited = refusal(429, "Rate limit reached.", code="rate_limit_exceeded", kind="requests")
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    return Answer(status=429, error=limited.error, headers=headers)


def broken() -> Answer:
    """Return what a server says that has failed."""
    return refusal(500, "The server had an error.", kind="server_error")


def context_too_long(limit: int = 4096, found: int = 5000) -> Answer:
    """Return what a request gets that the model cannot hold."""
    told = f"This model's maximum context length is {limit} tokens. However, your messages resulted in {found} tokens."
    return refusal(400, told, code="context_length_exceeded")


def flaw_of(request: Json) -> Answer | None:
    """Return the refusal of a request that a strict provider does not take, None when it is well."""
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(said, dict) for said in messages):
        return refusal(400, "'messages' must be a list of objects that is not empty.")
    awaited: set[str] = set()
    for message in messages:
        role = message.get("role")
        if role == "tool":
            if message.get("tool_call_id") not in awaited:
                return refusal(400, "A message of role 'tool' must answer a preceding message with 'tool_calls'.")
            awaited.discard(message["tool_call_id"])
            continue
        if awaited:
            return refusal(400, f"Tool calls without an answer: {', '.join(sorted(awaited))}.")
        if role not in ("system", "developer", "user", "assistant"):
            return refusal(400, f"Invalid role: {role!r}.")
        if message.get("content") is None and not message.get("tool_calls"):
            return refusal(400, "A message needs content.")
        awaited = {call["id"] for call in message.get("tool_calls") or ()}
    return refusal(400, f"Tool calls without an answer: {', '.join(sorted(awaited))}.") if awaited else None


def filled(answer: Answer, request: Json) -> Answer:
    """Return the answer with what it says; an echo says again what was asked, or calls the first tool."""
    if answer.text is not None or answer.tool_calls or answer.reasoning:
        return answer
    last = request["messages"][-1]
    said = text_of(last.get("content"))
    if request.get("tools") and last["role"] == "user" and request.get("tool_choice") != "none":
        name = request["tools"][0]["function"]["name"]
        return _with(answer, text=None, tool_calls=((name, {"text": said}),))
    words = "The tool said" if last["role"] == "tool" else "You said"
    return _with(answer, text=f"{words}: {said}", tool_calls=())


def text_of(content: object) -> str:
    """Return the text of a message's content; a part that is no text is named."""
    if isinstance(content, list):
        parts = ({"type": "text", "text": part} if isinstance(part, str) else part for part in content)
        return " ".join(part["text"] if part.get("type") == "text" else f"[{part.get('type')}]" for part in parts)
    return content if isinstance(content, str) else ""


def tokens(text: str) -> list[str]:
    """Return a text in pieces: words with the white space after them."""
    return re.findall(r"\s*\S+\s*|\s+", text)


def prompt_tokens(request: Json) -> int:
    """Return what the request counts."""
    return sum(4 + len(tokens(text_of(message.get("content")))) for message in request["messages"])


def whole(answer: Answer, request: Json) -> Json:
    """Return a complete answer that is not streamed."""
    choices = []
    for index in range(_n(request)):
        message: Json = {"role": "assistant", "content": None, "refusal": None}
        for delta in _said(answer, request, index):
            _extend(message, delta)
        finish = _finish_reason(answer, request)
        choices.append({"index": index, "message": message, "logprobs": None, "finish_reason": finish})
    return {**_frame(request, "chat.completion"), "choices": choices, "usage": _usage(answer, request)}


def chunks(answer: Answer, request: Json) -> Iterator[tuple[Json, bool]]:
    """Yield the chunks of a streamed answer, each with whether it carries a token."""
    counted = bool((request.get("stream_options") or {}).get("include_usage"))
    frame = _frame(request, "chat.completion.chunk") | ({"usage": None} if counted else {})
    for index in range(_n(request)):
        yield _chunk(frame, index, {"role": "assistant", "content": ""}), False
    for index in range(_n(request)):
        for delta in _said(answer, request, index):
            yield _chunk(frame, index, delta), True
    for index in range(_n(request)):
        yield _chunk(frame, index, {}, _finish_reason(answer, request)), False
    if counted:
        yield {**frame, "choices": [], "usage": _usage(answer, request)}, False


def models() -> Json:
    """Return the list of models."""
    listed = [{"id": name, "object": "model", "created": CREATED, "owned_by": "tests"} for name in MODELS]
    return {"object": "list", "data": listed}


def _said(answer: Answer, request: Json, index: int) -> list[Json]:
    """Return the deltas that a choice consists of, a token each."""
    deltas: list[Json] = [{"reasoning_content": token} for token in tokens(answer.reasoning)]
    text = answer.text or ""
    if text and index:
        text = f"{text} ({index + 1})"
    deltas.extend({"content": token} for token in tokens(text)[: _tokens_max(request)])
    for place, (name, arguments) in enumerate(answer.tool_calls):
        call_id = f"call_{_digest(request)[:20]}_{index}_{place}"
        function = {"name": name, "arguments": ""}
        deltas.append({"tool_calls": [{"index": place, "id": call_id, "type": "function", "function": function}]})
        pieces = _pieces(json.dumps(arguments))
        deltas.extend({"tool_calls": [{"index": place, "function": {"arguments": piece}}]} for piece in pieces)
    return deltas


def _extend(message: Json, delta: Json) -> None:
    for name in ("content", "reasoning_content"):
        if name in delta:
            message[name] = (message.get(name) or "") + delta[name]
    for call in delta.get("tool_calls", ()):
        calls = message.setdefault("tool_calls", [])
        if "id" in call:
            calls.append({"id": call["id"], "type": "function", "function": dict(call["function"])})
        else:
            calls[call["index"]]["function"]["arguments"] += call["function"]["arguments"]


def _finish_reason(answer: Answer, request: Json) -> str:
    if answer.finish_reason:
        return answer.finish_reason
    if answer.tool_calls:
        return "tool_calls"
    limit = _tokens_max(request)
    return "length" if limit is not None and len(tokens(answer.text or "")) > limit else "stop"


def _usage(answer: Answer, request: Json) -> Json:
    prompt = prompt_tokens(request)
    completion = sum(len(_said(answer, request, index)) for index in range(_n(request)))
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _frame(request: Json, kind: str) -> Json:
    frame = {"id": f"chatcmpl-{_digest(request)[:24]}", "object": kind, "created": CREATED, "model": request["model"]}
    return frame | {"system_fingerprint": "fp_tests"}


def _chunk(frame: Json, index: int, delta: Json, finish_reason: str | None = None) -> Json:
    return {**frame, "choices": [{"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}]}


def _with(answer: Answer, *, text: str | None, tool_calls: Sequence[tuple[str, Json]]) -> Answer:
    return Answer(**{**vars(answer), "text": text, "tool_calls": tool_calls})


def _n(request: Json) -> int:
    return int(request.get("n") or 1)


def _tokens_max(request: Json) -> int | None:
    return request.get("max_completion_tokens") or request.get("max_tokens")


def _pieces(text: str) -> list[str]:
    size = -(-len(text) // _PIECES_OF_ARGUMENTS)
    return [text[start : start + size] for start in range(0, len(text), size)]


def _digest(request: Json) -> str:
    asked = {name: value for name, value in request.items() if name not in ("stream", "stream_options")}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
