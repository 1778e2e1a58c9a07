"""Hermes' state database: all sessions and their messages; its exports, and the logs of older versions.

Columns differ by version, so only those that are there are read. Messages that a compaction put aside are history and
stay in their place. Messages that the user took back become a fork. A sub-agent names its `parent`, and so does a
session that goes on after a compaction.

Source: hermes-agent 0.19, `hermes_state.py`, and the contract of its database in Sinity/polylogue.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from io import BufferedReader
from itertools import groupby
from pathlib import Path
from typing import Final

from chatkeep.core.model import MODEL_TITLE, Json, Session
from chatkeep.core.text.reasoning import FIELD as REASONING
from chatkeep.importers.homes import HistoryPlace, Machine, database_of
from chatkeep.importers.importer import Look, Reading, recognised_below
from chatkeep.importers.logs.entries import RECORD_END, lines_of, openings, records_of
from chatkeep.importers.logs.gathering import FORK_ORIGIN, PARENT, Gathering
from chatkeep.importers.logs.parts import content_of, json_in, text_for, value_digest
from chatkeep.importers.logs.sqlite_files import MAGIC, SqliteFile, database_in, tables_at
from chatkeep.importers.records import fitting_key
from chatkeep.importers.reports import Flaw
from chatkeep.importers.shaping import list_in, metadata_of, object_in, rest_of, text_in, thinking
from chatkeep.importers.sources import Source

_SEEN_BYTES: Final = 1 << 16  # bytes looked at to tell a database, a log and an export apart
_JSON_PREFIX: Final = "\0json:"  # of a content that is no text
_FILES: Final = re.compile(r"[^_.].*\.(db|sqlite3?|json|jsonl)(\.gz|\.zst)?")
_TAKEN: Final = (
    *("id", "session_id", "role", "content", "timestamp", "tool_call_id", "tool_calls", "tool_name", "name"),
    *("reasoning", "reasoning_content", "finish_reason", "observed", "active", "compacted", "model"),
)
_ENCODED: Final = ("reasoning_details", "codex_reasoning_items", "codex_message_items", "model_config", "origin_json")
_ABOUT: Final = ("id", "title", "started_at", "messages", "parent_session_id", "archived", "message_count")


class HermesImporter:
    """Hermes' folder, its state database, or an export of its sessions."""

    name: Final = "hermes"

    def recognises(self, look: Look) -> str | None:
        """Recognise the folder and the database by its tables, an export by its fields."""
        if look.is_folder:
            return "it has the state database of Hermes" if look.path and _is_home(look.path) else None
        if look.head.startswith(MAGIC):
            return "it is a database with sessions of Hermes" if _has_sessions(look.path) else None
        if any(map(_is_header, openings(look.head))):
            return "it begins with the header of a session of Hermes"
        sight = look.sight[0] if isinstance(look.sight, list) and look.sight else look.sight
        return "it is an export of sessions of Hermes" if _is_export(sight) else None

    def files_in(self, folder: Path) -> Iterable[Path]:
        """Return the state databases of the folder and its profiles, or the databases and exports below another one."""
        if _is_home(folder):
            profiles = (one / "state.db" for one in sorted((folder / "profiles").glob("*")))
            return [file for file in (folder / "state.db", *profiles) if file.is_file()]
        return recognised_below(folder, self.recognises, is_wanted=lambda name: _FILES.fullmatch(name) is not None)

    def homes(self, machine: Machine) -> Sequence[Path]:
        """Return the folder of `HERMES_HOME`, else `.hermes`, on Windows also in the folder of local data."""
        named, local = machine.named("HERMES_HOME"), machine.app_data("hermes")
        return [named or machine.home / ".hermes", *([] if local is None or named is not None else [local])]

    def places(self, home: Path) -> Sequence[HistoryPlace]:
        """Return the home and its profiles: each has a state database."""
        return [HistoryPlace(one, is_deep=False) for one in (home, *sorted((home / "profiles").glob("*")))]

    def source_of(self, changed: Path) -> Path | None:
        """Return the state database."""
        database = database_of(changed)
        return database if database.name == "state.db" else None

    def read(self, source: Source, reading: Reading) -> Iterator[Session | Flaw]:
        """Yield the sessions, in parts, and the flaws."""
        with reading.content_of(source) as stream:
            head = stream.peek(_SEEN_BYTES)[:_SEEN_BYTES]
            is_database = head.startswith(MAGIC)
            if any(map(_is_header, openings(head))):
                yield from _logged(stream, source, reading)
            elif not is_database:
                yield from _exported(stream, reading)
        if is_database:
            with database_in(source, reading) as database:
                yield from _stored(database, reading)


def _stored(database: SqliteFile, reading: Reading) -> Iterator[Session | Flaw]:
    """Yield the sessions of a database; those without messages are left out."""
    rows = database.rows("messages", order=("session_id", "id"))
    for session_id, group in groupby(rows, lambda row: str(row.get("session_id"))):
        with closing(Gathering(reading)) as gathering:
            talk = _Talk(gathering)
            for row in group:
                yield from talk.take(row, f"message {row.get('id')} of {session_id}")
            yield from talk.sessions(next(database.rows("sessions", by="id", value=session_id), {"id": session_id}))


def _exported(stream: BufferedReader, reading: Reading) -> Iterator[Session | Flaw]:
    """Yield the sessions of an export."""
    about: dict[str, Json] = {}
    with ExitStack() as stack:
        talk = _Talk(stack.enter_context(closing(Gathering(reading))))
        for entry in records_of(stream, "messages", "segments"):
            if isinstance(entry, Flaw):
                yield entry
            elif entry.name == RECORD_END:
                yield from talk.sessions(about)
                stack.close()
                about, talk = {}, _Talk(stack.enter_context(closing(Gathering(reading))))
            elif entry.name == "messages":
                yield from talk.take(object_in(entry.value), entry.place)
            elif entry.name == "segments":
                yield from _segment(object_in(entry.value), entry.place, reading)
            else:
                about[entry.name] = entry.value


def _logged(stream: BufferedReader, source: Source, reading: Reading) -> Iterator[Session | Flaw]:
    """Yield the session of a log of older versions: a header, then a message on each line; the name is the id."""
    about: dict[str, Json] = {"id": source.name.partition(".")[0]}
    with closing(Gathering(reading)) as gathering:
        talk = _Talk(gathering)
        for entry in lines_of(stream):
            if isinstance(entry, Flaw):
                yield entry
            elif _is_header(entry.value):
                about = {**rest_of(entry.value, "role", "timestamp"), **about}
            else:
                yield from talk.take(entry.value, entry.place)
        yield from talk.sessions(about)


def _segment(session: Mapping[str, Json], place: str, reading: Reading) -> Iterator[Session | Flaw]:
    """Yield an earlier part of a session that was compacted."""
    with closing(Gathering(reading)) as gathering:
        talk = _Talk(gathering)
        for message in list_in(session.get("messages")):
            yield from talk.take(object_in(message), place)
        yield from talk.sessions(session)


class _Talk:
    """The messages of one session: those of its history, and those taken back."""

    def __init__(self, gathering: Gathering) -> None:
        self._gathering = gathering
        self._said: list[int] = []
        self._taken_back: list[int] = []
        self._place = ""

    def take(self, row: Mapping[str, Json], place: str) -> Iterator[Flaw]:
        """Take a message."""
        self._place = self._place or place
        if _is_header(row):
            return
        number = yield from self._gathering.keep(_message_of(row), place)
        is_history = row.get("active", 1) != 0 or row.get("compacted") == 1
        if number is not None:
            (self._said if is_history else self._taken_back).append(number)

    def sessions(self, about: Mapping[str, Json]) -> Iterator[Session | Flaw]:
        """Yield the session and the fork of what was taken back; nothing without messages."""
        if not self._said and not self._taken_back:
            return
        key = fitting_key("hermes", text_in(about.get("id")) or value_digest(dict(about)))
        fields = _fields_of(about, key)
        yield from self._gathering.session(fields, self._said, self._place)
        if self._taken_back:
            metadata = {**fields["metadata"], FORK_ORIGIN: {"session": key}}
            fork = {**fields, "key": fitting_key(key, "taken-back", "/"), "title": None, "metadata": metadata}
            yield from self._gathering.session(fork, self._taken_back, self._place)


def _fields_of(about: Mapping[str, Json], key: str) -> dict[str, Json]:
    """Return the header of a session."""
    facts = {name: json_in(value) if name in _ENCODED else value for name, value in about.items()}
    config = object_in(facts.get("model_config"))
    parent, origin = text_in(about.get("parent_session_id")), text_in(config.get("_branched_from"))
    metadata = metadata_of(
        rest_of(facts, *_ABOUT),
        **{
            MODEL_TITLE: about.get("title"),
            PARENT: fitting_key("hermes", parent) if parent and not origin else None,
            FORK_ORIGIN: {"session": fitting_key("hermes", origin)} if origin else None,
        },
    )
    return {
        "key": key,
        "channel": "hermes",
        "created_at": about.get("started_at"),
        "archived": about.get("archived") == 1,
        "metadata": metadata,
    }


def _message_of(row: Mapping[str, Json]) -> dict[str, Json]:
    calls, identity = json_in(row.get("tool_calls")), row.get("id")
    thoughts = text_in(row.get("reasoning")) or text_in(row.get("reasoning_content"))
    rest = rest_of(row, *_TAKEN)
    rest.update({name: json_in(rest[name]) for name in _ENCODED if name in rest})
    metadata = metadata_of(
        rest,
        model=row.get("model"),
        finish_reason=row.get("finish_reason"),
        **{REASONING: thinking(thoughts, "reasoning")},
    )
    return {
        "role": row.get("role"),
        "content": _content(row.get("content")),
        "timestamp": row.get("timestamp"),
        "id": None if identity is None else str(identity),
        "name": text_in(row.get("tool_name")) or text_in(row.get("name")) or None,
        "tool_calls": calls if isinstance(calls, list) else None,
        "tool_call_id": row.get("tool_call_id"),
        "metadata": metadata,
    }


def _content(content: Json) -> Json:
    value = json_in(content.removeprefix(_JSON_PREFIX)) if text_in(content).startswith(_JSON_PREFIX) else content
    if isinstance(value, list):
        return content_of(value)
    return value if value is None else text_for(value)


def _is_home(folder: Path) -> bool:
    return _has_sessions(folder / "state.db")


def _has_sessions(path: Path | None) -> bool:
    return {"session_id", "role", "tool_name"} <= set(tables_at(path).get("messages", ()))


def _is_header(entry: Mapping[str, Json]) -> bool:
    return entry.get("role") == "session_meta"


def _is_export(sight: Json) -> bool:
    fields = object_in(sight)
    return {"id", "source", "started_at"} <= fields.keys() or ("parent_session_id" in fields and "messages" in fields)
