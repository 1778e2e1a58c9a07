"""Turns: a stored history as a model takes it, in neither provider's shape.

Chatkeep stores a history as clients sent it, so it may break any rule of a provider. A result may lack its call. A
call may lack its result, because a run was cut. Results may come twice, late, or between two questions, and ids may
repeat. `turns_of` repairs this and invents nothing: it leaves out a call or result without a counterpart, and puts
each result directly behind its call. Its first message is a question. Every provider takes such a history.

A result answers the latest earlier call with its id. A result without an id answers the first open call of the latest
message with calls. A partial answer counts with the text it has.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from chatkeep.core.model import Json, Message
from chatkeep.core.standing import Role
from chatkeep.core.text.reasoning import THOUGHT_TYPES, without_reasoning
from chatkeep.core.text.tool_calls import call_in

PROMPT_ROLES: Final = frozenset(("system", "developer"))
REPLACES: Final = "replaces_prompt"
"""Name in the metadata of a system message: true when the message replaces the system prompt before it."""

_NO_OUTPUT: Final = "(no output)"
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9_-]")  # OpenAI and Anthropic: ^[a-zA-Z0-9_-]{1,64}$
_NAME_CHARS_MAX: Final = 64
_NAME: Final = re.compile(rf"[A-Za-z0-9_-]{{1,{_NAME_CHARS_MAX}}}")
_IMAGE: Final = re.compile(
    r"https?://\S+|data:image/(?:jpeg|png|gif|webp);base64,"
    "(?:[A-Za-z0-9+/]{4})*[A-Za-z0-9+/]{2}(?:[A-Za-z0-9+/]{2}|[A-Za-z0-9+/]=|==)"
)
_IMAGE_TYPES: Final = frozenset(("image", "image_url", "input_image"))
_CALL_TYPES: Final = frozenset(("tool_use", "tool-call", "tool_call", "toolCall", "function_call"))
_RESULT_TYPES: Final = frozenset(("tool_result", "tool-result", "toolResult", "function_call_output"))
_TOOL_TYPES: Final = _CALL_TYPES | _RESULT_TYPES
_UNSENT_TYPES: Final = _TOOL_TYPES | THOUGHT_TYPES  # a provider signs thinking for one model and one place in a history
_CALL_FIELDS: Final = ("functionCall", "function_call", "toolUse")  # of Gemini's and Bedrock's parts, without types
_RESULT_FIELDS: Final = ("functionResponse", "function_response", "toolResult")
_TOOL_FIELDS: Final = _CALL_FIELDS + _RESULT_FIELDS
_RESULT_IDS: Final = ("tool_use_id", "toolUseId", "call_id", "tool_call_id", "toolCallId", "id")
_OUTPUTS: Final = ("content", "output", "result", "response")
_TYPE: Final = re.compile(r"[\w-]{1,40}")


class Image(Struct, frozen=True):
    """A picture: a web address, or a `data:` URL in base64."""

    url: str


ContentPart = str | Image


class ToolCall(Struct, frozen=True):
    """A model's call of a tool. `arguments` is always a JSON object; `id` is empty when there was none."""

    id: str
    name: str
    arguments: str


class ToolResult(Struct, frozen=True):
    """A tool's answer to a call. `call_id` is empty when the message named none."""

    call_id: str
    parts: tuple[ContentPart, ...]
    is_error: bool = False


class Utterance(Struct, frozen=True, kw_only=True):
    """One message in neither provider's shape. A name that providers would refuse is left out.

    In `turns_of`, `results` answer the message's own calls, in their order. A system prompt with `replaces` replaces
    the prompt of the session's opening. Prompts with `replaces` directly behind it belong to the same replacement.
    """

    role: Role
    seq: int
    name: str | None = None
    parts: tuple[ContentPart, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    results: tuple[ToolResult, ...] = ()
    replaces: bool = False


def utterance_of(message: Message) -> Utterance:
    """Return the text, pictures, tool calls and results of a message, read from its fields and its parts."""
    parts = tuple(_parts(message.content, role=message.role))
    results = tuple(_results(message, parts))
    return Utterance(
        role=message.role,
        seq=message.seq,
        name=message.name if message.name and _NAME.fullmatch(message.name) else None,
        parts=() if message.role == "tool" else parts,
        calls=tuple(_calls(message)) if message.role == "assistant" else (),
        results=results,
        replaces=message.role in PROMPT_ROLES and (message.metadata or {}).get(REPLACES) is True,
    )


def answers(history: Sequence[Utterance]) -> dict[tuple[int, int], tuple[int, ToolResult]]:
    """Return the result of each answered call, with the place of its message, keyed by the call's place.

    A call's place is a pair: its message in the history, and its number in the message.
    """
    found = {}
    open_calls: dict[str, tuple[int, int]] = {}
    latest: deque[str] = deque()
    for place, said in enumerate(history):
        for result in said.results:
            while latest and latest[0] not in open_calls:
                latest.popleft()
            call_id = result.call_id or (latest[0] if latest else "")
            if call_id in open_calls:
                found[open_calls.pop(call_id)] = (place, result)
        if said.calls:
            named = {call.id or f"{place}\n{number}": (place, number) for number, call in enumerate(said.calls)}
            open_calls |= named
            latest = deque(named)
    return found


def outdated(history: Sequence[Utterance]) -> set[int]:
    """Return the places of the replaced system prompts."""
    opening = next((place for place, said in enumerate(history) if said.role not in PROMPT_ROLES), len(history))
    replaced = list(range(opening)) if history and history[0].seq == 1 else []
    gone: set[int] = set()
    for place, said in enumerate(history):
        if not said.replaces:
            continue
        if not (place and history[place - 1].replaces):
            gone.update(replaced)
            replaced = []
        replaced.append(place)
    return gone


def prompt(history: Sequence[Utterance], system: str | None = None) -> str:
    """Return the system prompt: the given one, then the history's prompts in force. Equal prompts appear once.

    A prompt counts wherever it stands in the history.
    """
    gone = outdated(history)
    standing = (said for place, said in enumerate(history) if said.role in PROMPT_ROLES and place not in gone)
    said = ("\n".join(_texts(said.parts)) for said in standing)
    return "\n\n".join(dict.fromkeys(text for text in (system or "", *said) if text.strip()))


def turns_of(history: Sequence[Utterance]) -> list[list[Utterance]]:
    """Return the turns: a question, and all messages of users, models and tools up to the next question."""
    turns: list[list[Utterance]] = []
    found = answers(history)
    for place, said in enumerate(history):
        if said.role in PROMPT_ROLES:
            continue
        answered = [
            (call, found[place, number][1]) for number, call in enumerate(said.calls) if (place, number) in found
        ]
        if said.role == "user" and said.parts:
            turns.append([])
        if turns and (said.parts or answered):
            turns[-1].append(
                msgspec.structs.replace(
                    said,
                    calls=tuple(call for call, _ in answered),
                    results=tuple(_answering(result) for _, result in answered),
                )
            )
    return turns


def _answering(result: ToolResult) -> ToolResult:
    """Return the result with at least one part: some servers refuse an empty result or drop its call."""
    return result if result.parts else msgspec.structs.replace(result, parts=(_NO_OUTPUT,))


def _texts(parts: Sequence[ContentPart]) -> Iterator[str]:
    return (part for part in parts if isinstance(part, str))


def _parts(content: Json, *, role: Role) -> Iterator[ContentPart]:
    """Yield text that is not blank, and pictures, without the model's thinking.

    A part of another kind yields its type in brackets, if a user or a tool sent it. From the model it yields nothing.
    """
    if role == "assistant":
        content = without_reasoning(content)
    for part in [content] if isinstance(content, str) else content or ():
        kind = _kind(part)
        if kind in _UNSENT_TYPES or (isinstance(part, dict) and any(name in part for name in _TOOL_FIELDS)):
            continue
        text = part if isinstance(part, str) else _text(part)
        if text is not None:
            if text.strip():
                yield text
        elif role in ("user", "tool"):
            yield _image(part) or f"[{'image' if kind in _IMAGE_TYPES else kind}]"


def _text(part: Json) -> str | None:
    """Return the words of a part, or None if it is no text."""
    words = part.get("text", part.get("refusal")) if isinstance(part, dict) else None
    return words if isinstance(words, str) else None


def _kind(part: Json) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    return kind if isinstance(kind, str) and _TYPE.fullmatch(kind) else "attachment"


def _image(part: Json) -> Image | None:
    """Return the picture of an OpenAI or Anthropic part, or None unless both providers would take it."""
    inline = part.get("inlineData") if isinstance(part, dict) else None
    if isinstance(inline, dict):
        part = {"type": "image", "source": {"media_type": inline.get("mimeType"), "data": inline.get("data")}}
    if _kind(part) not in _IMAGE_TYPES:
        return None
    holder = part.get("source", part.get("image_url"))
    url = holder.get("url") if isinstance(holder, dict) else holder
    if isinstance(holder, dict) and isinstance(holder.get("data"), str):
        url = f"data:{holder.get('media_type')};base64,{holder['data']}"
    return Image(url) if isinstance(url, str) and _IMAGE.fullmatch(url) else None


def _calls(message: Message) -> Iterator[ToolCall]:
    """Yield the calls of both shapes; a call that stands in both counts once."""
    seen = set()
    for value in _raw_calls(message):
        call = call_in(value)
        if call is not None and (not call.id or call.id not in seen):
            seen.add(call.id)
            yield ToolCall(call.id, _NO_NAME.sub("_", call.name)[:_NAME_CHARS_MAX], _arguments(call.arguments))


def _raw_calls(message: Message) -> Iterator[Json]:
    yield from message.tool_calls or ()
    parts = message.content if isinstance(message.content, list) else ()
    yield from (part for part in parts if isinstance(part, dict) and _is_call(part))


def _is_call(part: dict[str, Json]) -> bool:
    """Tell whether a part is a call: by its type, or by its field where parts have no types."""
    return _kind(part) in _CALL_TYPES or ("type" not in part and any(name in part for name in _CALL_FIELDS))


def _results(message: Message, parts: tuple[ContentPart, ...]) -> Iterator[ToolResult]:
    inner = message.content if isinstance(message.content, list) and message.role in ("user", "tool") else []
    told = [result for part in inner if isinstance(part, dict) and (result := _result(part)) is not None]
    yield from told
    if message.role == "tool" and (parts or not told):
        yield ToolResult(message.tool_call_id or "", parts)


def _result(part: dict[str, Json]) -> ToolResult | None:
    """Return the result in a part, None if it is none."""
    fields = () if "type" in part else _RESULT_FIELDS
    holders = [part] if _kind(part) in _RESULT_TYPES else [part[name] for name in fields if name in part]
    if not holders or not isinstance(holders[0], dict):
        return None
    holder = holders[0]
    call_id = next((holder[name] for name in _RESULT_IDS if isinstance(holder.get(name), str)), "")
    given = next((holder[name] for name in _OUTPUTS if holder.get(name) is not None), None)
    is_error = holder.get("is_error") is True or holder.get("isError") is True or holder.get("status") == "error"
    return ToolResult(call_id, tuple(_output(given)), is_error=is_error)


def _output(given: Json) -> Iterator[ContentPart]:
    """Yield the parts of an output: a text, a list of parts, or a JSON value, also with its type around it."""
    if isinstance(given, dict) and given.keys() == {"type", "value"}:  # the Vercel AI SDK
        given = given["value"]
    is_content = isinstance(given, list) and all(
        isinstance(part, str) or _text(part) is not None or _image(part) for part in given
    )
    if isinstance(given, str) or is_content:
        yield from _parts(given, role="tool")
    elif given is not None:
        yield msgspec.json.encode(given).decode()


def _arguments(arguments: Json) -> str:
    """Return the arguments as a JSON object, as servers parse them; other values are wrapped in one.

    Source: Anthropic, fine-grained tool streaming, on input that is not valid JSON: {"INVALID_JSON": "..."}.
    """
    if isinstance(arguments, str) and arguments.strip():
        try:
            is_object = isinstance(msgspec.json.decode(arguments), dict)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            is_object = False
        return arguments if is_object else msgspec.json.encode({"INVALID_JSON": arguments}).decode()
    if isinstance(arguments, dict):
        return msgspec.json.encode(arguments).decode()
    return "{}" if not arguments or isinstance(arguments, str) else _arguments(msgspec.json.encode(arguments).decode())
