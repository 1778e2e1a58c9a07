"""Gemini CLI's chats: a document for each session, or a log with a header and a message on each line.

In a log a message may come again, with its tools' results: the last one counts. A record with `$set` may bring a list
of messages, and one with `$rewindTo` takes messages back: they become a fork. A message of the model has its calls and
their results, which become messages of tools. Notes of the program become messages of the system.

Source: gemini-cli 0.61, `services/chatRecordingService` and `chatRecordingTypes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from chatkeep.core.model import MODEL_TITLE, Json, Session
from chatkeep.core.text.reasoning import FIELD as REASONING
from chatkeep.importers.homes import HistoryPlace, Machine, deep_places
from chatkeep.importers.importer import Look, Reading, recognised_below
from chatkeep.importers.logs.entries import LogEntry, entries_of, openings
from chatkeep.importers.logs.gathering import PARENT, Gathering, MessageTree
from chatkeep.importers.logs.parts import content_of, text_for, texts_in, value_digest
from chatkeep.importers.records import fitting_key
from chatkeep.importers.reports import Flaw
from chatkeep.importers.shaping import call_of, list_in, metadata_of, object_in, rest_of, text_in, thinking
from chatkeep.importers.sources import Source, files_below, is_json_file

_DOCUMENT: Final = "messages"
_FACTS: Final = frozenset(("projectHash", "startTime", "lastUpdated"))
_ROLES: Final = {"user": "user", "gemini": "assistant", "model": "assistant"}
_TAKEN: Final = ("id", "timestamp", "type", "content", "thoughts", "toolCalls", "tokens", "model")


class GeminiCliImporter:
    """Gemini CLI's folder `.gemini`, the chats in it, or one chat."""

    name: Final = "gemini-cli"

    def recognises(self, look: Look) -> str | None:
        """Recognise the folder by its chats, and a chat by its header."""
        if look.is_folder:
            return "it has projects with chats" if look.path is not None and any(_chats_in(look.path)) else None
        is_chat = any(_is_header(one) for one in (object_in(look.sight), *openings(look.head)))
        return "it has the header of a chat of Gemini CLI" if is_chat else None

    def files_in(self, folder: Path) -> Iterable[Path]:
        """Return the chats of all projects, or all below another folder."""
        return _chats_in(folder) or recognised_below(folder, self.recognises)

    def homes(self, machine: Machine) -> Sequence[Path]:
        """Return `.gemini` in the folder of `GEMINI_CLI_HOME`, else in the user's home."""
        return [machine.folder("GEMINI_CLI_HOME") / ".gemini"]

    def places(self, home: Path) -> Sequence[HistoryPlace]:
        """Return the folder of projects."""
        return deep_places(home, "tmp")

    def source_of(self, changed: Path) -> Path | None:
        """Return a chat."""
        return changed if _is_chat(changed.name) else None

    def read(self, source: Source, reading: Reading) -> Iterator[Session | Flaw]:
        """Yield the session of a chat and its forks, in parts, and the flaws."""
        with reading.content_of(source) as stream, closing(Gathering(reading)) as gathering:
            chat = _Chat(gathering)
            for entry in entries_of(stream, _DOCUMENT):
                if isinstance(entry, Flaw):
                    yield entry
                else:
                    yield from chat.take(entry)
            yield from chat.sessions(source)


class _Chat:
    """One chat on its way to becoming a session and its forks."""

    def __init__(self, gathering: Gathering) -> None:
        self._gathering = gathering
        self._facts: dict[str, Json] = {}
        self._digest = ""
        self._is_document = False
        self._stored: Mapping[str, int] | None = None
        self._begun: str | None = None  # the last message, if its words are still to come
        self._tree = MessageTree()

    def take(self, entry: LogEntry) -> Iterator[Flaw]:
        """Take a line of a log, a field of a document, or a message of either."""
        value = object_in(entry.value)
        self._digest = self._digest or value_digest(entry.value)
        self._is_document = bool(entry.name)
        if entry.name == _DOCUMENT:
            yield from self._message(value, entry.place)
        elif entry.name:
            self._facts[entry.name] = entry.value
        elif "$rewindTo" in value:
            self._rewind(text_in(value["$rewindTo"]))
        elif isinstance(value.get("$set"), dict):
            yield from self._set(value["$set"], entry.place)
        elif "sessionId" in value and "type" not in value:
            yield from self._set(value, entry.place)
        elif "id" in value or "type" in value:
            yield from self._message(value, entry.place)

    def sessions(self, source: Source) -> Iterator[Session | Flaw]:
        """Yield the session and its forks; nothing when there are no messages."""
        if self._begun is not None and self._begun == self._tree.active:
            self._tree.active = self._tree.parents.pop(self._begun)
        if not self._tree.parents:
            return
        facts, key = self._facts, self._key()
        above = source.absolute().parent.name if isinstance(source, Path) else ""
        is_side = facts.get("kind") == "subagent" and above not in {"", "chats"}
        metadata = metadata_of(
            rest_of(facts, "sessionId", "startTime", "summary", _DOCUMENT),
            **{MODEL_TITLE: facts.get("summary"), PARENT: fitting_key("gemini-cli", above) if is_side else None},
        )
        fields = {"key": key, "channel": "gemini-cli", "created_at": facts.get("startTime"), "metadata": metadata}
        yield from self._gathering.forks(fields, self._tree, source.name)

    def _key(self) -> str:
        return fitting_key("gemini-cli", text_in(self._facts.get("sessionId")) or self._digest)

    def _stored_calls(self) -> Mapping[str, int]:
        """Return the stored messages with the counts of their calls."""
        if self._stored is None:
            self._stored = self._gathering.stored_ids(self._key())
        return self._stored

    def _set(self, fields: Mapping[str, Json], place: str) -> Iterator[Flaw]:
        self._facts.update({name: value for name, value in fields.items() if name != _DOCUMENT})
        for number, message in enumerate(list_in(fields.get(_DOCUMENT)), start=1):
            yield from self._message(object_in(message), f"{place}, message {number}")

    def _rewind(self, name: str) -> None:
        """Go back before a message, or to the beginning when it is unknown."""
        self._tree.active = self._tree.parents.get(name)

    def _message(self, message: Mapping[str, Json], place: str) -> Iterator[Flaw]:
        numbers: list[int] = []
        for fields in _messages_of(message, self._stored_calls() if message.get("toolCalls") else {}):
            number = yield from self._gathering.keep(fields, place)
            numbers += [] if number is None else [number]
        name = text_in(message.get("id")) or place
        is_begun = not self._is_document and _ROLES.get(text_in(message.get("type"))) == "assistant"
        self._begun = name if is_begun and not any(map(message.get, ("content", "toolCalls", "thoughts"))) else None
        if name in self._tree.parents:
            self._tree.numbers[name] = numbers or self._tree.numbers[name]
            self._tree.active = name
        elif numbers:
            self._tree.add(name, self._tree.active, *numbers)


def _messages_of(message: Mapping[str, Json], stored: Mapping[str, int]) -> Iterator[dict[str, Json]]:
    """Yield the message, and those of its tools.

    Calls of tools come later than the words of their message. An import in between stored it with the calls so far;
    then the others have a message of their own.
    """
    kind, name = text_in(message.get("type")), text_in(message.get("id"))
    tools = [object_in(one) for one in list_in(message.get("toolCalls"))]
    calls = [_call(one, f"{name}/{number}") for number, one in enumerate(tools, start=1)]
    begun = min(stored.get(name, len(calls)), len(calls))
    yield {**_said(message, kind, bool(begun)), "tool_calls": calls[:begun] or None}
    yield from _results(message, tools, calls, range(begun))
    while begun < len(calls):
        piece = f"{name}/calls-{begun + 1}"
        end = min(begun + (stored.get(piece) or len(calls)), len(calls))
        role, at = _ROLES.get(kind, "system"), message.get("timestamp")
        yield {"role": role, "id": piece, "timestamp": at, "content": None, "tool_calls": calls[begun:end]}
        yield from _results(message, tools, calls, range(begun, end))
        begun = end


def _said(message: Mapping[str, Json], kind: str, has_calls: bool) -> dict[str, Json]:  # noqa: FBT001 - a fact
    """Return the words of a message, its thinking and its facts."""
    role = _ROLES.get(kind, "system")
    said, thoughts = _parted(message.get("content"))
    thoughts += [_thought(object_in(one)) for one in list_in(message.get("thoughts"))]
    rest = rest_of(message, *_TAKEN) if role != "system" else rest_of(message, *_TAKEN) | {"type": kind}
    metadata = metadata_of(
        rest,
        model=message.get("model"),
        usage=message.get("tokens"),
        **{REASONING: thinking("\n\n".join(filter(None, thoughts)), "thoughts")},
    )
    content = content_of(said) if said or not has_calls else None
    name = text_in(message.get("id")) or None
    fields = {"role": role, "id": name, "timestamp": message.get("timestamp"), "content": content}
    return {**fields, "metadata": metadata}


def _results(
    message: Mapping[str, Json], tools: Sequence[Mapping[str, Json]], calls: Sequence[Mapping[str, Json]], taken: range
) -> Iterator[dict[str, Json]]:
    """Yield the results of some of the calls, as far as there are any."""
    name = text_in(message.get("id"))
    for place in taken:
        if tools[place].get("result") is not None:
            made_id = f"{name}/{place + 1}" if name else None
            yield _result(tools[place], calls[place], made_id, message.get("timestamp"))


def _call(tool: Mapping[str, Json], made_id: str) -> dict[str, Json]:
    return call_of(text_in(tool.get("id")) or made_id, tool.get("name"), tool.get("args"))


def _result(tool: Mapping[str, Json], call: Mapping[str, Json], name: str | None, at: Json) -> dict[str, Json]:
    result = tool["result"]
    outputs = [_output(part) for part in (result if isinstance(result, list) else [result])]
    rest = rest_of(tool, "id", "name", "args", "result", "timestamp")
    metadata = metadata_of(rest, is_error=True if tool.get("status") == "error" else None)
    return {
        "role": "tool",
        "id": name,
        "timestamp": tool.get("timestamp") or at,
        "content": content_of(outputs),
        "tool_call_id": call["id"],
        "name": tool.get("name"),
        "metadata": metadata,
    }


def _output(part: Json) -> Json:
    """Return the output in a part of a result."""
    response = object_in(object_in(part).get("functionResponse")).get("response")
    if response is None:
        return _part(part)
    fields = object_in(response)
    output = next((fields[name] for name in ("output", "error") if isinstance(fields.get(name), str)), response)
    return {"type": "text", "text": text_for(output)}


def _parted(content: Json) -> tuple[list[Json], list[str]]:
    """Return the parts of a content, and the thoughts among them."""
    parts: Sequence[Json] = content if isinstance(content, list) else [content] if content else []
    thoughts = [texts_in(part) for part in parts if object_in(part).get("thought") is True]
    return [_part(part) for part in parts if object_in(part).get("thought") is not True], thoughts


def _part(part: Json) -> Json:
    fields = object_in(part)
    if isinstance(fields.get("text"), str):
        return {"type": "text", **fields}
    data = object_in(fields.get("inlineData"))
    if text_in(data.get("data")) and text_in(data.get("mimeType")).startswith("image/"):
        return {"type": "image_url", "image_url": {"url": f"data:{data['mimeType']};base64,{data['data']}"}}
    return part


def _thought(thought: Mapping[str, Json]) -> str:
    return "\n".join(filter(None, (text_in(thought.get("subject")), text_in(thought.get("description")))))


def _is_header(entry: Mapping[str, Json]) -> bool:
    return "sessionId" in entry and not _FACTS.isdisjoint(entry) and not {"type", "cwd", "payload"} & entry.keys()


def _is_chat(name: str) -> bool:
    return name.startswith("session-") and is_json_file(name)


def _chats_in(folder: Path) -> list[Path]:
    """Return the chats of the projects in Gemini CLI's folder."""
    projects = sorted((folder / "tmp").glob("*/chats"))
    return [file for project in projects for file in files_below(project, _is_chat)]
