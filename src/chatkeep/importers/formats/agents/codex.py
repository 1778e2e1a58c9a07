"""Codex's rollouts: a log for each session, with the items that the model got and gave, and events for the screen.

Events repeat most items, so the items are taken. An old log may have no items of messages: then its events are taken.
Thinking goes to the next item of the assistant, the counts of tokens to the answer before them. Texts made by Codex
itself stand as messages of the user in the log; they become messages of the system.

Three layouts are read: lines with `type` and `payload`; the older lines, bare items behind a header; and the document
with `session` and `items` of the first versions.

Source: rollouts of Codex 0.1 to 0.14x, `codex-rs/protocol`, and the schema in Sinity/polylogue.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Final

from msgspec import Struct, field

from chatkeep.core.model import MODEL_TITLE, Json, Session
from chatkeep.core.text.reasoning import FIELD as REASONING
from chatkeep.importers.homes import HistoryPlace, Machine, deep_places
from chatkeep.importers.importer import Look, Reading, recognised_below
from chatkeep.importers.logs.entries import LogEntry, entries_of, lines_of, openings
from chatkeep.importers.logs.gathering import Gathering
from chatkeep.importers.logs.parts import content_of, text_for, texts_in, value_digest
from chatkeep.importers.records import fitting_key
from chatkeep.importers.reports import Flaw
from chatkeep.importers.shaping import call_of, metadata_of, object_in, rest_of, text_in, thinking
from chatkeep.importers.sources import READ_ERRORS, Source, files_below, is_json_file, unpacked

_DOCUMENT: Final = "items"  # the list in a document of the first versions
_WRAPPED: Final = frozenset(("session_meta", "turn_context", "response_item", "event_msg", "compacted"))
_CALLS: Final = frozenset(
    (
        *("function_call", "custom_tool_call", "local_shell_call", "web_search_call", "tool_search_call"),
        *("image_generation_call", "mcp_tool_call", "computer_call"),
    )
)
_RESULT_ENDS: Final = ("_output", "_result")
_BY_PROGRAM: Final = (
    *("<environment_context>", "<user_instructions>", "<permissions instructions>", "<turn_aborted>", "<skill>"),
    *("<collaboration_mode>", "<subagent_notification>", "<user_shell_command>", "# AGENTS.md instructions for "),
)
_TEXT_TYPES: Final = frozenset(("input_text", "output_text", "text"))
_FILE_ID: Final = re.compile(r"rollout-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-(?P<id>.+)")
_TITLES_MAX: Final = 100_000  # titles read from the index


class CodexImporter:
    """Codex's folder `.codex`, its sessions, or one rollout."""

    name: Final = "codex"

    def __init__(self) -> None:
        """Begin without any title."""
        self._titles_in = cache(_titles_in)

    def recognises(self, look: Look) -> str | None:
        """Recognise the folder by its rollouts, and a rollout by the shape of its lines."""
        if look.is_folder:
            has_rollouts = look.path is not None and any(_rollouts_in(look.path))
            return "it has a folder of sessions with rollouts" if has_rollouts else None
        sight = object_in(look.sight)
        if isinstance(sight.get(_DOCUMENT), list) and isinstance(sight.get("session"), dict):
            return "it is a rollout: a session with items"
        return "its lines are entries of a rollout" if any(_is_ours(one) for one in openings(look.head)) else None

    def files_in(self, folder: Path) -> Iterable[Path]:
        """Return the rollouts of Codex's folder, archived ones too, or all below another folder."""
        return _rollouts_in(folder) or recognised_below(folder, self.recognises)

    def homes(self, machine: Machine) -> Sequence[Path]:
        """Return the folder of `CODEX_HOME`, else `.codex`."""
        return [machine.folder("CODEX_HOME", ".codex")]

    def places(self, home: Path) -> Sequence[HistoryPlace]:
        """Return the folders of sessions and of archived ones."""
        return deep_places(home, "sessions", "archived_sessions")

    def source_of(self, changed: Path) -> Path | None:
        """Return a rollout."""
        return changed if _is_rollout(changed.name) else None

    def read(self, source: Source, reading: Reading) -> Iterator[Session | Flaw]:
        """Yield the session of a rollout, in parts, and its flaws."""
        with reading.content_of(source) as stream, closing(Gathering(reading)) as gathering:
            rollout = _Rollout(source, gathering)
            for entry in entries_of(stream, _DOCUMENT):
                if isinstance(entry, Flaw):
                    yield entry
                else:
                    yield from rollout.take(entry)
            yield from rollout.session(self._title)

    def _title(self, source: Source, session_id: str) -> str | None:
        """Return a title from the index in Codex's folder, some levels above the rollout."""
        above = source.absolute().parents[1:6] if isinstance(source, Path) else ()
        titles = (self._titles_in(folder).get(session_id) for folder in above)
        return next(filter(None, titles), None)


class _About(Struct):
    """The facts of a rollout besides its messages."""

    meta: dict[str, Json] = field(default_factory=dict)
    turn: dict[str, Json] = field(default_factory=dict)
    digest: str = ""  # of the first entry, for a rollout without an id
    left_out: dict[str, int] = field(default_factory=dict)


class _Held(Struct):
    """The last message of the assistant, before the count of its tokens. `slot` is its place among the numbers."""

    slot: int
    place: str
    fields: dict[str, Json]


class _Rollout:
    """One rollout on its way to becoming a session."""

    def __init__(self, source: Source, gathering: Gathering) -> None:
        self._source = source
        self._gathering = gathering
        self._about = _About()
        self._items: list[int] = []  # numbers of messages from items, -1 for the held one
        self._events: list[int] = []  # of messages from events
        self._held: _Held | None = None
        self._thoughts: list[dict[str, Json]] = []
        self._stored: Collection[str] | None = None
        self._names: dict[str, Json] = {}  # of tools, by the id of a call without its result
        self._has_talk = False

    def take(self, entry: LogEntry) -> Iterator[Flaw]:
        """Take an entry of the log, or a part of the document."""
        value, about = entry.value, self._about
        about.digest = about.digest or value_digest(value)
        if entry.name and entry.name != _DOCUMENT:
            about.meta |= object_in(value) if entry.name == "session" else {entry.name: value}
            return
        line = object_in(value)
        kind, at = text_in(line.get("type")), line.get("timestamp")
        payload = line.get("payload")
        if kind in _WRAPPED and isinstance(payload, dict):
            item = payload
        else:
            item, kind = line, "response_item" if "role" in line or kind else "session_meta"
        if kind == "session_meta":
            self._note_session(item, at)
        elif kind == "turn_context":
            about.turn = item
        elif kind == "event_msg":
            yield from self._event(item, at, entry.place)
        elif kind == "compacted":
            summary = {"role": "system", "content": text_in(item.get("message"))}
            yield from self._keep(summary, at, entry.place, rest_of(item, "message", "replacement_history"))
        else:
            yield from self._item(item, at, entry.place)

    def session(self, title_of: Callable[[Source, str], str | None]) -> Iterator[Session | Flaw]:
        """Yield the session; nothing when there are no messages."""
        if self._thoughts:
            yield from self._hold({"content": "", "id": self._thoughts_id()}, None, "the end", {})
        yield from self._release()
        numbers = self._items if self._has_talk or not self._events else sorted((*self._items, *self._events))
        numbers = [number for number in numbers if number >= 0]
        if not numbers:
            return
        meta = self._about.meta
        session_id = self._session_id()
        rest = rest_of(meta, "id", "session_id", "timestamp")
        if self._about.left_out:
            rest["left_out"] = self._about.left_out
        spawned = object_in(object_in(object_in(meta.get("source")).get("subagent")).get("thread_spawn"))
        parent = text_in(spawned.get("parent_thread_id")) or text_in(meta.get("parent_thread_id"))
        origin = text_in(meta.get("forked_from_id"))
        metadata = metadata_of(
            rest,
            parent=fitting_key("codex", parent) if parent else None,
            forked_from={"session": fitting_key("codex", origin)} if origin else None,
            **{MODEL_TITLE: title_of(self._source, session_id)},
        )
        fields = {"channel": "codex", "created_at": _time_of(meta.get("timestamp")), "metadata": metadata}
        if isinstance(self._source, Path) and "archived_sessions" in self._source.parts:
            fields["archived"] = True
        yield from self._gathering.session(
            {"key": fitting_key("codex", session_id), **fields}, numbers, self._source.name
        )

    def _session_id(self) -> str:
        meta = self._about.meta
        return text_in(meta.get("id")) or text_in(meta.get("session_id")) or self._name()

    def _name(self) -> str:
        """Return an id from the name of the file, or made from the first entry."""
        found = _FILE_ID.fullmatch(self._source.name.partition(".json")[0])
        return found["id"] if found else self._about.digest

    def _note_session(self, item: dict[str, Json], at: Json) -> None:
        if not self._about.meta:  # a fork repeats the headers of its origin
            self._about.meta = {**item, "timestamp": item.get("timestamp") or at}

    def _event(self, item: Mapping[str, Json], at: Json, place: str) -> Iterator[Flaw]:
        kind = text_in(item.get("type"))
        if kind == "token_count":
            usage = object_in(object_in(item.get("info")).get("last_token_usage"))
            if usage and self._held is not None:
                self._held.fields["metadata"].setdefault("usage", usage)
        elif kind in {"user_message", "agent_message"}:
            role = "user" if kind == "user_message" else "assistant"
            fields = {"role": _role(role, item.get("message")), "content": item.get("message"), "timestamp": at}
            number = yield from self._gathering.keep(
                {**fields, "metadata": metadata_of(rest_of(item, "type", "message"))}, place
            )
            self._events += [] if number is None else [number]
        else:
            self._leave_out(kind)

    def _leave_out(self, kind: Json) -> None:
        self._about.left_out[str(kind)] = self._about.left_out.get(str(kind), 0) + 1

    def _item(self, item: dict[str, Json], at: Json, place: str) -> Iterator[Flaw]:
        kind = text_in(item.get("type")) or "message"
        at = item.get("timestamp") or at
        if kind == "message" and "role" in item:
            yield from self._message(item, at, place)
        elif kind == "reasoning":
            self._thoughts.append(item)
            if self._thoughts_id() in self._stored_ids():  # an import met them at the end of the log
                yield from self._hold({"content": "", "id": self._thoughts_id()}, None, place, {})
        elif kind in _CALLS:
            call = _call(item)
            if call_id := text_in(item.get("call_id")):
                self._names[call_id] = call["function"]["name"]
            yield from self._hold({"content": None, "tool_calls": [call]}, at, place, _rest_of_call(item, kind))
        elif kind.endswith(_RESULT_ENDS):
            yield from self._keep(self._result(item), at, place, rest_of(item, "type", "call_id", "output"))
        else:
            self._leave_out(item.get("record_type", kind))

    def _message(self, item: Mapping[str, Json], at: Json, place: str) -> Iterator[Flaw]:
        content = item.get("content")
        parts = [_part(part) for part in content] if isinstance(content, list) else content
        said = content_of(parts) if isinstance(parts, list) else parts
        role = _role(item.get("role"), said)
        self._has_talk |= text_in(role) in {"user", "assistant"}
        rest = rest_of(item, "type", "role", "content", "timestamp", "id")
        if role == "assistant":
            yield from self._hold({"id": item.get("id"), "content": said}, at, place, rest)
        else:
            yield from self._keep({"role": role, "id": item.get("id"), "content": said}, at, place, rest)

    def _result(self, item: Mapping[str, Json]) -> dict[str, Json]:
        output, call_id = item.get("output"), text_in(item.get("call_id"))
        whole = object_in(output)
        content = whole.get("content", output) if whole else output
        said = content_of([*map(_part, content)]) if isinstance(content, list) else content
        return {
            "role": "tool",
            "content": said if isinstance(said, str | list) else text_for(said),
            "tool_call_id": call_id or None,
            "name": self._names.pop(call_id, None),
            "metadata": metadata_of({}, is_error=whole.get("success") is False or None),
        }

    def _hold(self, fields: dict[str, Json], at: Json, place: str, rest: Mapping[str, Json]) -> Iterator[Flaw]:
        """Take a message of the assistant; it waits for the count of its tokens."""
        yield from self._release()
        thoughts, self._thoughts = self._thoughts, []
        words = "\n\n".join(
            filter(None, (texts_in(one.get(name)) for one in thoughts for name in ("summary", "content")))
        )
        raw = [*filter(None, (rest_of(one, "type", "summary", "content", "timestamp") for one in thoughts))]
        metadata = metadata_of(
            {**rest, "reasoning": raw} if raw else rest,
            model=self._about.turn.get("model"),
            **{REASONING: thinking(words, "reasoning")},
        )
        fields = {"role": "assistant", "timestamp": at, **fields, "metadata": metadata}
        self._held = _Held(len(self._items), place, fields)
        self._items.append(-1)

    def _thoughts_id(self) -> str:
        """Return the id of the message with the open thoughts, if no item follows them."""
        return f"thoughts-{value_digest(self._thoughts)}"

    def _stored_ids(self) -> Collection[str]:
        if self._stored is None:
            self._stored = self._gathering.stored_ids(fitting_key("codex", self._session_id()))
        return self._stored

    def _release(self) -> Iterator[Flaw]:
        held, self._held = self._held, None
        if held is not None:
            number = yield from self._gathering.keep(held.fields, held.place)
            self._items[held.slot] = -1 if number is None else number

    def _keep(self, fields: dict[str, Json], at: Json, place: str, rest: Mapping[str, Json]) -> Iterator[Flaw]:
        if text_in(fields["role"]) in {"user", "system"}:
            yield from self._release()
        metadata = {**fields.get("metadata", {}), **metadata_of(rest)}
        number = yield from self._gathering.keep({"timestamp": at, **fields, "metadata": metadata}, place)
        self._items += [] if number is None else [number]


def _role(role: Json, content: Json) -> Json:
    """Return the role of a message; texts made by Codex itself are the system's."""
    return "system" if role == "user" and texts_in(content).lstrip().startswith(_BY_PROGRAM) else role


def _part(part: Json) -> Json:
    """Return a part of a content in the form of the OpenAI Chat API."""
    fields = object_in(part)
    if text_in(fields.get("type")) in _TEXT_TYPES:
        return {**fields, "type": "text"}
    if fields.get("type") == "input_image" and isinstance(fields.get("image_url"), str):
        rest = rest_of(fields, "type", "image_url")
        return {"type": "image_url", "image_url": {"url": fields["image_url"], **rest}}
    return part


def _call(item: Mapping[str, Json]) -> dict[str, Json]:
    kind = text_in(item.get("type"))
    name = text_in(item.get("name")) or kind.removesuffix("_call")
    arguments = next((item[field] for field in ("arguments", "input", "action") if item.get(field) is not None), None)
    return call_of(item.get("call_id") or item.get("id"), name, arguments)


def _rest_of_call(item: Mapping[str, Json], kind: str) -> dict[str, Json]:
    rest = rest_of(item, "type", "name", "arguments", "input", "action", "call_id", "timestamp")
    return rest if kind == "function_call" else {**rest, "type": kind}


def _time_of(value: Json) -> Json:
    return value if isinstance(value, str | int | float) else None


def _is_ours(entry: Mapping[str, Json]) -> bool:
    if text_in(entry.get("type")) in _WRAPPED:
        return isinstance(entry.get("payload"), dict)
    is_header = isinstance(entry.get("id"), str) and "timestamp" in entry and "instructions" in entry
    return is_header or "record_type" in entry


def _is_rollout(name: str) -> bool:
    return name.startswith("rollout-") and is_json_file(name)


def _rollouts_in(folder: Path) -> list[Path]:
    """Return the rollouts in the folder of Codex."""
    places = (folder / "sessions", folder / "archived_sessions")
    return [file for place in places for file in files_below(place, _is_rollout)]


def _titles_in(folder: Path) -> Mapping[str, str]:
    """Return the titles of sessions by their ids, from the index in the folder; the last one counts."""
    titles: dict[str, str] = {}
    try:
        with unpacked(folder / "session_index.jsonl") as stream:
            for entry in islice(lines_of(stream), _TITLES_MAX):
                value = object_in(entry.value) if isinstance(entry, LogEntry) else {}
                if text_in(value.get("id")) and text_in(value.get("thread_name")):
                    titles[value["id"]] = value["thread_name"]
    except READ_ERRORS:
        return {}
    return titles
