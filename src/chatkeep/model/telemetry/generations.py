"""Calls of models as instrumented programs tell of them, in values of spans and log records.

The conventions of OpenTelemetry say `gen_ai.input.messages`. Earlier ones, OpenInference, OpenLLMetry and the Vercel
AI SDK have names of their own; all tell the messages of the request, then the answer. A call without content is none.

Source: OpenTelemetry's semantic conventions for generative AI 1.37 to 1.43 and 0.1 of their own repository; the
conventions of OpenInference 0.1.24; opentelemetry-semantic-conventions-ai 0.4 (OpenLLMetry); AI SDK 5, telemetry.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final, NamedTuple

import msgspec
from msgspec import to_builtins

from chatkeep.core.history.completions import draft_of_completion
from chatkeep.core.history.mending import storable
from chatkeep.core.model import Draft, Json
from chatkeep.core.usage.token_counts import TOKENS, token_counts

_OTHER_WORK: Final = frozenset(("invoke_agent", "create_agent", "execute_tool", "embeddings", "invoke_workflow"))
"""Operations that are no call of a model: what an agent was asked and said stands in its calls, too."""
_REASON: Final = "finish_reason"
_OPERATION: Final = "gen_ai.operation.name"
_THREADS: Final = ("gen_ai.conversation.id", "session.id", "langfuse.session.id", "ai.telemetry.metadata.sessionId")
_INPUTS: Final = ("gen_ai.input.messages", "ai.prompt.messages")
_OUTPUTS: Final = ("gen_ai.output.messages",)
_PROMPTS: Final = ("gen_ai.system_instructions",)
_LISTED_INPUTS: Final = ("llm.input_messages", "gen_ai.prompt")
_LISTED_OUTPUTS: Final = ("llm.output_messages", "gen_ai.completion")
_PLACE: Final = re.compile(r"(\d{1,6})\.(.+)", re.DOTALL)
_LEVELS_MAX: Final = 32  # of objects and lists below such a name
_MODELS: Final = ("gen_ai.response.model", "gen_ai.request.model", "llm.model_name", "ai.model.id")
_RESPONSES: Final = ("gen_ai.response.id", "ai.response.id")
_INPUT_TOKENS: Final = (
    *("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt"),
    "ai.usage.promptTokens",
)
_OUTPUT_TOKENS: Final = (
    *("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion"),
    "ai.usage.completionTokens",
)
_CALLED_EARLIER: Final = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
    "gen_ai.choice": "",
}
"""Events of one message each, until version 1.36 of the conventions; the last one is the answer."""
_ROLES: Final = {"human": "user", "ai": "assistant", "model": "assistant", "developer": "developer"}


class Generation(NamedTuple):
    """A call of a model: the messages of its request, and the answers; `thread` is its program's name for the talk."""

    thread: str
    asked: list[Draft]
    answers: list[Draft]


def generation_of(values: Mapping[str, Json], at: datetime | None) -> Generation | None:
    """Return the call that a span or a record tells of; None for another one, or one without content."""
    if _first_text(values, (_OPERATION,)) in _OTHER_WORK:
        return None
    asked = [*_told(values, _PROMPTS, "system"), *_told(values, _INPUTS, "user"), *_listed(values, _LISTED_INPUTS)]
    answers = [*_told(values, _OUTPUTS, "assistant"), *_listed(values, _LISTED_OUTPUTS), *_answer_of_sdk(values)]
    return generation(values, asked, answers, at)


def generation(
    values: Mapping[str, Json], asked: Iterable[Draft], answers: Iterable[Draft], at: datetime | None
) -> Generation | None:
    """Return a call of these messages, with the facts about it; None without content."""
    facts = _facts(values)
    said = [msgspec.structs.replace(one, metadata={**(one.metadata or {}), **facts} or None) for one in answers]
    found = [[storable(msgspec.structs.replace(one, sent_at=at)) for one in some] for some in (asked, said)]
    if not any(one.content for some in found for one in some):
        return None
    return Generation(_first_text(values, _THREADS), *found)


def is_of_earlier_form(name: str) -> bool:
    """Tell whether an event is one message of a call."""
    return name in _CALLED_EARLIER


def message_of_event(name: str, values: Mapping[str, Json], body: Json) -> tuple[bool, list[Draft]]:
    """Return the messages of such an event, and whether they are the answer."""
    held = body if isinstance(body, dict) else dict(values)
    inner = held.get("message")
    said = {**held, **inner} if isinstance(inner, dict) else held
    role = _CALLED_EARLIER[name] or "assistant"
    told = {key: said[key] for key in ("content", "tool_calls", "name", _REASON) if key in said}
    if role == "tool":
        told["tool_call_id"] = said.get("id")
    return not _CALLED_EARLIER[name], list(_drafts({**told, "role": role}, role))


def _told(values: Mapping[str, Json], names: Iterable[str], role: str) -> Iterator[Draft]:
    """Yield the messages in the first of these values that has any: as JSON in a text, or as it is."""
    for name in names:
        held = values.get(name)
        if held is None:
            continue
        told = _json(held) if isinstance(held, str) else held
        if role == "system":  # a list of parts, with no message around it
            told = [
                {"role": "system", "parts": told if isinstance(told, list) else [{"type": "text", "content": told}]}
            ]
        for one in told if isinstance(told, list) else [told]:
            yield from _drafts(one if isinstance(one, dict) else {"content": one}, role)
        return


def _json(text: str) -> Json:
    try:
        found: Json = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return text
    return found


def _listed(values: Mapping[str, Json], names: Iterable[str]) -> Iterator[Draft]:
    """Yield the messages of the first of these lists, whose every value has a name with its place."""
    for name in names:
        found = _nested(values, name)
        if isinstance(found, list):
            for one in found:
                held = one.get("message", one) if isinstance(one, dict) else {"content": one}
                yield from _drafts(
                    _as_completions(held), "user" if "input" in name or "prompt" in name else "assistant"
                )
            return


def _nested(values: Mapping[str, Json], name: str) -> Json:
    """Return the list below a name: `a.0.b` and `a.1.b` make two objects with `b`."""
    begin = f"{name}."
    return (
        _in_places({key.removeprefix(begin): value for key, value in values.items() if key.startswith(begin)}) or None
    )


def _in_places(flat: Mapping[str, Json], levels: int = _LEVELS_MAX) -> list[Json]:
    """Return the objects of values whose names begin with a place."""
    places: dict[int, dict[str, Json]] = {}
    for key, value in flat.items():
        if found := _PLACE.fullmatch(key):
            places.setdefault(int(found[1]), {})[found[2]] = value
    return [_object(held, levels) for _, held in sorted(places.items())]


def _object(flat: Mapping[str, Json], levels: int) -> dict[str, Json]:
    """Return an object of values whose names have dots: those with places become lists. Deeper ones are left out."""
    found: dict[str, Json] = {}
    inner: dict[str, dict[str, Json]] = {}
    for key, value in flat.items():
        name, _, rest = key.partition(".")
        if rest:
            inner.setdefault(name, {})[rest] = value
        else:
            found[name] = value
    for name, held in inner.items() if levels else ():
        below = _in_places if all(map(_PLACE.fullmatch, held)) else _object
        found.setdefault(name, below(held, levels - 1))
    return found


def _as_completions(said: Json) -> dict[str, Json]:
    """Return a message of such a list as one of Chat Completions."""
    held = dict(said) if isinstance(said, dict) else {"content": said}
    calls = held.get("tool_calls")
    if isinstance(calls, list):
        held["tool_calls"] = [_call(one.get("tool_call", one)) for one in calls if isinstance(one, dict)]
    contents = held.pop("contents", None)
    if isinstance(contents, list) and not held.get("content"):
        held["content"] = [_content(one.get("message_content", one)) for one in contents if isinstance(one, dict)]
    return held


def _call(told: Json) -> Json:
    if not isinstance(told, dict) or isinstance(told.get("function"), dict):
        return {"type": "function", **told} if isinstance(told, dict) else told
    function = {"name": told.get("name"), "arguments": _arguments(told.get("arguments"))}
    return {"id": told.get("id"), "type": "function", "function": function}


def _content(told: Json) -> Json:
    image = told.get("image") if isinstance(told, dict) else None
    if isinstance(image, dict) and isinstance(inner := image.get("image"), dict):
        return {"type": "image_url", "image_url": {"url": inner.get("url")}}
    return told


def _drafts(said: Mapping[str, Json], role: str) -> Iterator[Draft]:
    """Yield a message: one with parts, or one of Chat Completions. Results of tools become messages of their own."""
    told = said.get("role")
    role = _ROLES.get(told, told) if isinstance(told, str) else role
    parts = said.get("parts")
    if not isinstance(parts, list):
        yield _draft({**said, "role": role})
        return
    kept: list[Json] = []
    calls: list[Json] = []
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(part, dict) and kind == "tool_call":
            calls.append(_call(part))
        elif isinstance(part, dict) and kind == "tool_call_response":
            yield _result(part)
        else:
            kept.append(_part(part))
    if kept or calls:
        told = {name: said[name] for name in ("name", _REASON) if name in said}
        yield _draft({"role": role, "content": _plain(kept), "tool_calls": calls or None, **told})


def _draft(said: Mapping[str, Json]) -> Draft:
    """Return a message of Chat Completions as ours, with the reason for its end in the metadata."""
    held = {name: value for name, value in said.items() if name != _REASON and value is not None}
    reason = said.get(_REASON)
    draft = draft_of_completion({"content": None, **held})
    if not isinstance(reason, str) or not reason:
        return draft
    return msgspec.structs.replace(draft, metadata={**(draft.metadata or {}), _REASON: reason})


def _part(part: Json) -> Json:
    """Return a part in the form that our messages have; an unknown one as it is."""
    if not isinstance(part, dict):
        return {"type": "text", "text": part if isinstance(part, str) else _arguments(part)}
    kind, content = part.get("type"), part.get("content")
    if kind in ("text", "reasoning") and isinstance(content, str):
        return {"type": "text" if kind == "text" else "thinking", ("text" if kind == "text" else "thinking"): content}
    if kind == "uri" and part.get("modality") == "image":
        return {"type": "image_url", "image_url": {"url": part.get("uri")}}
    if kind == "blob" and part.get("modality") == "image":
        return {"type": "image_url", "image_url": {"url": f"data:{part.get('mime_type')};base64,{content}"}}
    return part


def _plain(parts: list[Json]) -> str | list[Json] | None:
    only = parts[0] if len(parts) == 1 else None
    if isinstance(only, dict) and only.keys() == {"type", "text"} and isinstance(only["text"], str):
        return only["text"]
    return parts or None


def _result(part: Mapping[str, Json]) -> Draft:
    held = next((part[name] for name in ("response", "result", "content") if part.get(name) is not None), None)
    content = held if isinstance(held, str) else _arguments(held)
    return draft_of_completion({"role": "tool", "tool_call_id": part.get("id"), "content": content})


def _arguments(value: Json) -> str:
    return value if isinstance(value, str) else "" if value is None else msgspec.json.encode(value).decode()


def _answer_of_sdk(values: Mapping[str, Json]) -> Iterator[Draft]:
    """Yield the answer as the Vercel AI SDK tells it: its text, and its calls as JSON."""
    text, calls = values.get("ai.response.text"), values.get("ai.response.toolCalls")
    told = _json(calls) if isinstance(calls, str) else calls
    made = [
        _call(
            {"id": one.get("toolCallId"), "name": one.get("toolName"), "arguments": one.get("input", one.get("args"))}
        )
        for one in (told if isinstance(told, list) else [])
        if isinstance(one, dict)
    ]
    if (isinstance(text, str) and text) or made:
        yield draft_of_completion({"role": "assistant", "content": text or None, "tool_calls": made or None})


def _facts(values: Mapping[str, Json]) -> dict[str, Json]:
    """Return the model, the id of the response, and the tokens."""
    facts: dict[str, Json] = {}
    for name, names in (("model", _MODELS), ("response_id", _RESPONSES)):
        if told := _first_text(values, names):
            facts[name] = told
    counts = {
        "input_tokens": _first_count(values, _INPUT_TOKENS),
        "output_tokens": _first_count(values, _OUTPUT_TOKENS),
    }
    usage: dict[str, Json] = {name: count for name, count in counts.items() if count is not None}
    tokens = token_counts(usage)
    return {**facts, "usage": usage, TOKENS: to_builtins(tokens)} if tokens else facts


def _first_text(values: Mapping[str, Json], names: Iterable[str]) -> str:
    return next((held for name in names if isinstance(held := values.get(name), str) and held), "")


def _first_count(values: Mapping[str, Json], names: Iterable[str]) -> int | None:
    found = (values.get(name) for name in names)
    return next((held for held in found if isinstance(held, int) and not isinstance(held, bool)), None)
