"""Plain messages in the form of OpenAI's APIs: `{"messages": [...]}`, a list of messages, or lines of either.

Items of the Responses API are read as far as they are messages, calls, results or thinking. A record without an id of
its own gets one: a line from a digest of it, a whole file from its name and its first messages, so that it may grow.

Source: OpenAI's reference of chat completions, of responses, and of the lines for batches and fine-tuning.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from chatkeep.core.model import Json, Session
from chatkeep.core.text.reasoning import FIELD
from chatkeep.errors import BrokenInputError
from chatkeep.importers.glimpse import objects_of
from chatkeep.importers.importer import Look, Reading, recognised_below
from chatkeep.importers.records import lenient_json
from chatkeep.importers.reports import Flaw
from chatkeep.importers.shaping import (
    SOURCE,
    call_of,
    epoch,
    list_in,
    metadata_of,
    object_in,
    rest_of,
    text_in,
    thinking,
)
from chatkeep.importers.sources import Source
from chatkeep.importers.threads.steps import content_from
from chatkeep.importers.threads.trees import Extract, Saying, SourceTree, in_a_row, records_in, sessions_of

_LISTS: Final = ("messages", "input")
_IDS: Final = ("id", "conversation_id", "custom_id")
_OTHERS: Final = frozenset(
    ("key", "session_id", "format", "conversationId", "chat_messages", "mapping", "history", "sessionId")
)
_THOUGHTS: Final = ("reasoning_content", "reasoning", "thinking")
_ROLES: Final = frozenset(("system", "developer", "user", "assistant", "tool"))
_BEGINNING: Final = 2  # messages; a file that grows keeps them


class OpenAiImporter:
    """Messages in the form of OpenAI's APIs."""

    name: Final = "openai"

    def recognises(self, look: Look) -> str | None:
        """Recognise messages by their roles, without a key or times of another program."""
        if isinstance(look.sight, list) and _are_messages(look.sight):
            return "it is a list of messages with roles"
        if any(map(_is_one, objects_of(look.sight))):
            return "it has lists of messages with roles"
        return "it has a message with a role on each line" if look.is_lines and _are_messages([look.sight]) else None

    def files_in(self, folder: Path) -> Iterable[Path]:
        """Return the files with messages in a folder or below it."""
        return recognised_below(folder, self.recognises)

    def read(self, source: Source, reading: Reading) -> Iterator[Session | Flaw]:
        """Yield the sessions of a file, and a flaw for each unreadable record."""
        name = source.name.partition(".json")[0]
        met: dict[int, int] = {}
        loose: list[bytes] = []
        only: Extract | None = None
        count = 0
        for record in records_in(source, reading, lambda value: _is_one(value) or _are_messages([value])):
            if isinstance(record, Flaw):
                yield record
                continue
            count += 1
            value = _value(record.raw)
            if isinstance(value, dict) and not _is_one(value) and not _inner(value):
                loose.append(record.raw)
                continue
            if only is not None:
                yield from _sessions(only, None, met, reading)
            only = record
        if only is not None:
            yield from _sessions(only, name if count == 1 else None, met, reading)
        if loose:
            yield from sessions_of(_tree({"messages": [*map(_value, loose)]}, name, b"", met), "the messages", reading)


def _are_messages(values: list[Json]) -> bool:
    first = next((value for value in values if isinstance(value, dict)), None)
    return first is not None and _is_message(first) and "timestamp" not in first and "parentId" not in first


def _is_message(value: Json) -> bool:
    if not isinstance(value, dict):
        return False
    is_item = value.get("type") in {"function_call", "function_call_output", "reasoning"} and "role" not in value
    is_said = "content" in value or "tool_calls" in value or "function_call" in value
    return is_item or (isinstance(value.get("role"), str) and is_said and not {"uuid", "sessionId"} & value.keys())


def _inner(value: dict[str, Json]) -> list[Json]:
    """Return the messages in a record, also in the body of a line for a batch."""
    body = {**value, **object_in(value.get("body")), **object_in(value.get("request"))}
    listed = next((messages for name in _LISTS if (messages := list_in(body.get(name)))), [])
    return [*listed, *_answers(value)]


def _answers(value: dict[str, Json]) -> list[Json]:
    """Return the messages of a response beside its request."""
    response = object_in(value.get("response")) or value
    body = object_in(response.get("body")) or response
    choices = (object_in(choice).get("message") for choice in list_in(body.get("choices")))
    return [*(one for one in choices if isinstance(one, dict)), *list_in(body.get("output"))]


def _is_one(value: Json) -> bool:
    if not isinstance(value, dict) or _OTHERS & value.keys():
        return False
    messages = _inner(value)
    return bool(messages) and _is_message(messages[0])


def _value(raw: bytes) -> Json:
    try:
        return lenient_json(raw).value
    except BrokenInputError:
        return None


def _sessions(record: Extract, name: str | None, met: dict[int, int], reading: Reading) -> Iterator[Session | Flaw]:
    value = _value(record.raw)
    if not isinstance(value, dict) or not _inner(value):
        yield Flaw(record.place, "It has no list of `messages`.")
        return
    yield from sessions_of(_tree(value, name, record.raw, met, lenient_json(record.raw).told), record.place, reading)


def _tree(
    value: dict[str, Json], name: str | None, raw: bytes, met: dict[int, int], told: tuple[str, ...] = ()
) -> SourceTree:
    messages = {f"#{number}": one for number, one in enumerate(_inner(value), start=1)}
    given = next((text_in(value.get(one)) for one in _IDS if text_in(value.get(one))), None)
    if given is None and name is not None:
        begin = msgspec.json.encode([*messages.values()][:_BEGINNING], order="deterministic")
        given = f"{name}-{hashlib.blake2b(begin, digest_size=4).hexdigest()}"
    outside_id = given or hashlib.blake2b(raw, digest_size=16).hexdigest()
    mark = int.from_bytes(hashlib.blake2b(outside_id.encode(), digest_size=8).digest())
    count = met[mark] = met.get(mark, 0) + 1
    outside_id += f"#{count}" if count > 1 else ""
    rest = rest_of(value, *_LISTS, *_IDS, "title", "created_at", "created", "output")
    created = epoch(value.get("created_at", value.get("created")))
    return SourceTree(
        name="openai",
        id=outside_id,
        fields={
            "channel": "openai",
            "title": text_in(value.get("title")) or None,
            "created_at": created if isinstance(created, int | float | str) else None,
            "metadata": {SOURCE: {"format": "openai", "id": outside_id, **rest}},
        },
        parents=in_a_row(messages),
        said=lambda path: _said(path, messages, told),
    )


def _said(path: Sequence[str], messages: dict[str, Json], told: tuple[str, ...]) -> Iterator[Saying]:
    for one in path:
        value = messages[one]
        yield Saying(one, _message(value) if isinstance(value, dict) else {"content": value}, told)


def _message(value: dict[str, Json]) -> dict[str, Json]:
    kind = value.get("type")
    if "role" not in value and kind in {"function_call", "custom_tool_call", "local_shell_call", "web_search_call"}:
        arguments = value.get("arguments", value.get("input", value.get("action")))
        call = call_of(value.get("call_id") or value.get("id"), value.get("name") or kind, arguments)
        rest = rest_of(value, "type", "id", "call_id", "name", "arguments", "input", "status")
        return {"role": "assistant", "content": None, "tool_calls": [call], "metadata": metadata_of(rest)}
    if "role" not in value and isinstance(kind, str) and kind.endswith("_output"):
        rest = rest_of(value, "type", "id", "call_id", "output", "status")
        content = content_from(value.get("output"))
        called = text_in(value.get("call_id")) or None
        return {"role": "tool", "content": content, "tool_call_id": called, "metadata": metadata_of(rest)}
    if "role" not in value and kind == "reasoning":
        steps = (object_in(part) for name in ("summary", "content") for part in list_in(value.get(name)))
        words = [text_in(step.get("text")) for step in steps]
        rest = rest_of(value, "type", "id", "summary", "content", "status")
        return {
            "role": "assistant",
            "content": "",
            "metadata": metadata_of(rest, **{FIELD: thinking("\n\n".join(words), "reasoning")}),
        }
    return _chat_message(value)


def _chat_message(value: dict[str, Json]) -> dict[str, Json]:
    fields = {name: one for name, one in value.items() if one is not None or name == "content"}
    if fields.get("type") == "message":
        del fields["type"]
        fields.pop("status", None)
    role = fields.get("role")
    if role == "function":
        fields["role"] = "tool"
    elif role in {"human", "model", "ai"}:
        fields["role"] = "user" if role == "human" else "assistant"
    fields["content"] = content_from(value.get("content")) if value.get("content") is not None else None
    if isinstance(legacy := fields.pop("function_call", None), dict) and "tool_calls" not in fields:
        fields["tool_calls"] = [call_of(None, legacy.get("name"), legacy.get("arguments"))]
    if fields["content"] is None and not fields.get("tool_calls"):
        fields["content"] = text_in(fields.pop("refusal", None))
    thought = next((name for name in _THOUGHTS if text_in(fields.get(name))), None)
    if thought is not None and fields.get("role") == "assistant":
        metadata = object_in(fields.get("metadata"))
        fields["metadata"] = {**metadata, FIELD: thinking(fields.pop(thought), thought)}
    if "created_at" in fields and "timestamp" not in fields:
        fields["timestamp"] = epoch(fields.pop("created_at"))
    return fields
