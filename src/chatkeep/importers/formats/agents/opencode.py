"""OpenCode's sessions: a database, the folder of JSON files of older versions, or an export of one session.

A message has its facts and, apart from them, its parts. An answer is told in the order of its parts: words behind the
results of tools begin another message. A child session names its `parent`. Parts about the program, such as steps and
snapshots, stay in the metadata.

Source: opencode 1.x, `session/message-v2.ts`, `session/session.sql.ts`, and the storage folder of 0.x.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from chatkeep.core.model import MODEL_TITLE, Json, Session
from chatkeep.core.text.reasoning import FIELD as REASONING
from chatkeep.importers.glimpse import glimpse
from chatkeep.importers.homes import HistoryPlace, Machine, database_of
from chatkeep.importers.importer import Look, Reading, recognised_below
from chatkeep.importers.logs.entries import elements_of
from chatkeep.importers.logs.gathering import PARENT, Gathering
from chatkeep.importers.logs.parts import content_of, json_in, text_for
from chatkeep.importers.logs.sqlite_files import MAGIC, SqliteFile, database_in, tables_at
from chatkeep.importers.records import fitting_key
from chatkeep.importers.reports import Flaw
from chatkeep.importers.shaping import call_of, epoch, list_in, metadata_of, object_in, rest_of, text_in, thinking
from chatkeep.importers.sources import Source, files_below, is_json_file

_SEEN_BYTES: Final = 1 << 16  # bytes looked at to tell an export from a session
_FILE_BYTES_MAX: Final = 48 << 20  # bytes of a file of the storage folder
_DEFAULT_TITLES: Final = ("New session - ", "Child session - ")
_MESSAGE_TAKEN: Final = ("id", "sessionID", "role", "time", "tokens", "modelID", "finish")
_SESSION_TAKEN: Final = ("id", "parent_id", "parentID", "title", "time", "time_created", "time_archived")
_PART_TAKEN: Final = ("id", "sessionID", "messageID", "time", "metadata")
_JSON_FOLDERS: Final = ("storage/session", "storage/message", "session/info")
_ABOUT_PROGRAM: Final = frozenset(("step-start", "step-finish", "snapshot", "patch", "retry"))
_DATABASES: Final = (".db", ".sqlite", ".sqlite3", ".json", ".json.gz", ".json.zst")


class _Said(NamedTuple):
    """A message as stored: its facts, its parts, and its place."""

    facts: Mapping[str, Json]
    parts: Iterable[Mapping[str, Json]]
    place: str


class OpenCodeImporter:
    """OpenCode's data folder, its database, or an export of a session."""

    name: Final = "opencode"

    def recognises(self, look: Look) -> str | None:
        """Recognise the folder by its database or storage, an export by its shape."""
        if look.is_folder:
            return "it has the sessions of OpenCode" if look.path is not None and _stores_in(look.path) else None
        if look.head.startswith(MAGIC):
            return "it is a database with sessions of OpenCode" if _has_sessions(look.path) else None
        sight = object_in(look.sight)
        if isinstance(sight.get("messages"), list) and text_in(object_in(sight.get("info")).get("id")):
            return "it is an export of a session of OpenCode"
        is_info = text_in(sight.get("id")).startswith("ses") and isinstance(sight.get("time"), dict)
        return "it is a session of OpenCode, beside its messages" if is_info and _has_messages(look.path) else None

    def files_in(self, folder: Path) -> Iterable[Path]:
        """Return the database and the files of sessions in the data folder, or all below another folder."""
        return _stores_in(folder) or recognised_below(
            folder, self.recognises, is_wanted=lambda name: name.endswith(_DATABASES)
        )

    def homes(self, machine: Machine) -> Sequence[Path]:
        """Return the data folder by the XDG rules, on Windows also that of local data."""
        local = machine.app_data("opencode")
        return [machine.xdg_data("opencode"), *([] if local is None else [local])]

    def places(self, home: Path) -> Sequence[HistoryPlace]:
        """Return the folder with the database, and those of the JSON files of older versions."""
        return [
            HistoryPlace(home, is_deep=False),
            *map(HistoryPlace, filter(Path.is_dir, (home / one for one in _JSON_FOLDERS))),
        ]

    def source_of(self, changed: Path) -> Path | None:
        """Return the database, or the file of the session of a message."""
        database = database_of(changed)
        if database.name.startswith("opencode") and database.name.endswith(".db"):
            return database
        if _is_info(changed.name):
            return changed
        storage = changed.parent.parent.parent  # storage/message/<session>/<message>.json
        is_message = changed.parent.parent.name == "message" and is_json_file(changed.name)
        infos = storage.glob(f"session/*/{changed.parent.name}.json") if is_message else ()
        return next(iter(infos), None)

    def read(self, source: Source, reading: Reading) -> Iterator[Session | Flaw]:
        """Yield the sessions, in parts, and the flaws."""
        with reading.content_of(source) as stream:
            is_database = stream.peek(len(MAGIC)).startswith(MAGIC)
            sight = object_in(glimpse(stream.peek(_SEEN_BYTES)[:_SEEN_BYTES])) if not is_database else {}
            if "messages" in sight or not isinstance(source, Path):
                yield from _exported(elements_of(stream, "messages"), source, reading)
                return
        if is_database:
            with database_in(source, reading) as database:
                yield from _stored(database, reading)
        else:
            yield from _in_folder(source, reading)


def _stored(database: SqliteFile, reading: Reading) -> Iterator[Session | Flaw]:
    """Yield the sessions of a database."""
    for row in database.rows("session", order=("time_created", "id")):
        said = _messages_in(database, row.get("id"))
        yield from _session(row, said, reading, text_in(row.get("id")))


def _messages_in(database: SqliteFile, session_id: Json) -> Iterator[_Said]:
    for row in database.rows("message", by="session_id", value=session_id, order=("time_created", "id")):
        facts = {
            "time": {"created": row.get("time_created")},
            **object_in(json_in(row.get("data"))),
            "id": row.get("id"),
        }
        yield _Said(facts, _parts_in(database, row.get("id")), f"message {row.get('id')}")


def _parts_in(database: SqliteFile, message_id: Json) -> Iterator[Mapping[str, Json]]:
    for row in database.rows("part", by="message_id", value=message_id, order=("id",)):
        yield {**object_in(json_in(row.get("data"))), "id": row.get("id")}


def _exported(entries: Iterable[Json], source: Source, reading: Reading) -> Iterator[Session | Flaw]:
    """Yield the session of an export."""
    info: dict[str, Json] = {}
    with closing(Gathering(reading)) as gathering:
        numbers: list[int] = []
        for entry in entries:
            if isinstance(entry, Flaw):
                yield entry
            elif entry.name == "info":
                info = object_in(entry.value)
            elif entry.name == "messages":
                value = object_in(entry.value)
                parts = [object_in(part) for part in list_in(value.get("parts"))]
                said = _Said(object_in(value.get("info")), parts, entry.place)
                yield from _kept(said, numbers, gathering)
        if info or numbers:
            yield from gathering.session(_fields_of(info), numbers, source.name)


def _in_folder(source: Path, reading: Reading) -> Iterator[Session | Flaw]:
    """Yield the session of a file in the storage folder, with the messages and parts in the folders beside it."""
    info = object_in(json_in(_bytes_of(source)))
    session_id = text_in(info.get("id"))
    yield from _session(info, _messages_beside(source, session_id), reading, source.name)


def _messages_beside(source: Path, session_id: str) -> Iterator[_Said]:
    folder = _messages_folder(source, session_id)
    files = files_below(folder, is_json_file) if folder else []
    said = []
    for file in files:
        facts = object_in(json_in(_bytes_of(file)))
        said.append((str(epoch(object_in(facts.get("time")).get("created"))), file.name, file, facts))
    for *_, file, facts in sorted(said, key=lambda one: one[:2]):
        above = file.parents[2]
        places = (above / "part" / file.stem, file.parents[2] / "part" / session_id / file.stem)
        yield _Said(facts, (part for place in places for part in _parts_of(place)), file.name)


def _parts_of(folder: Path) -> Iterator[Mapping[str, Json]]:
    for file in files_below(folder, is_json_file):
        yield object_in(json_in(_bytes_of(file)))


def _messages_folder(source: Path, session_id: str) -> Path | None:
    """Return the folder of a session's messages: `message/<session>` some levels above its file."""
    places = (above / "message" / session_id for above in source.absolute().parents[:3])
    return next((place for place in places if session_id and place.is_dir()), None)


def _session(info: Mapping[str, Json], said: Iterable[_Said], reading: Reading, place: str) -> Iterator[Session | Flaw]:
    with closing(Gathering(reading)) as gathering:
        numbers: list[int] = []
        for one in said:
            yield from _kept(one, numbers, gathering)
        yield from gathering.session(_fields_of(info), numbers, place)


def _kept(said: _Said, numbers: list[int], gathering: Gathering) -> Iterator[Flaw]:
    for fields in _messages_of(said):
        number = yield from gathering.keep(fields, said.place)
        numbers += [] if number is None else [number]


def _fields_of(info: Mapping[str, Json]) -> dict[str, Json]:
    """Return the header of a session."""
    title, time = text_in(info.get("title")), object_in(info.get("time"))
    parent = text_in(info.get("parent_id")) or text_in(info.get("parentID"))
    facts = {name: json_in(value) for name, value in rest_of(info, *_SESSION_TAKEN).items()}
    metadata = metadata_of(
        facts,
        **{
            MODEL_TITLE: None if title.startswith(_DEFAULT_TITLES) else title,
            PARENT: fitting_key("opencode", parent) if parent else None,
        },
    )
    return {
        "key": fitting_key("opencode", text_in(info.get("id")) or "unknown"),
        "channel": "opencode",
        "created_at": epoch(info.get("time_created") or time.get("created")),
        "archived": bool(info.get("time_archived") or time.get("archived")),
        "metadata": metadata,
    }


def _messages_of(said: _Said) -> Iterator[dict[str, Json]]:
    """Yield a message in pieces: words and calls, the results of the calls, words again."""
    facts, name = said.facts, text_in(said.facts.get("id"))
    role, at = facts.get("role"), epoch(object_in(facts.get("time")).get("created"))
    piece = _Piece(facts, name, role, at)
    for part in said.parts:
        if piece.results and text_in(part.get("type")) in {"text", "reasoning"}:
            yield from piece.messages()
            piece = _Piece({}, text_in(part.get("id")), role, at)
        piece.take(part)
    yield from piece.messages()


class _Piece:
    """A run of an answer's parts, or a message of the user."""

    def __init__(self, facts: Mapping[str, Json], name: str, role: Json, at: Json) -> None:
        self.results: list[dict[str, Json]] = []
        self._facts = facts
        self._fields: dict[str, Json] = {"role": role, "id": name or None, "timestamp": at}
        self._said: list[Json] = []
        self._calls: list[Json] = []
        self._thoughts: list[str] = []
        self._rest: list[Json] = []

    def take(self, part: Mapping[str, Json]) -> None:
        """Take a part."""
        kind = text_in(part.get("type"))
        if kind == "text":
            marks = {mark: True for mark in ("synthetic", "ignored") if part.get(mark) is True}
            self._said.append({"type": "text", "text": part.get("text"), **marks})
        elif kind == "reasoning":
            self._thoughts.append(text_in(part.get("text")))
        elif kind == "tool":
            state = object_in(part.get("state"))
            self._calls.append(call_of(part.get("callID"), part.get("tool"), state.get("input")))
            if text_in(state.get("status")) in {"completed", "error"}:
                self.results.append(_result(part, state))
        elif kind in _ABOUT_PROGRAM:
            self._rest.append(rest_of(part, *_PART_TAKEN))
        else:
            self._said.append(_part(part))

    def messages(self) -> Iterator[dict[str, Json]]:
        """Yield the message and the results of its calls."""
        facts = rest_of(self._facts, *_MESSAGE_TAKEN)
        metadata = metadata_of(
            {**facts, "parts": self._rest} if self._rest else facts,
            model=self._facts.get("modelID"),
            usage=self._facts.get("tokens"),
            finish_reason=self._facts.get("finish"),
            **{REASONING: thinking("\n\n".join(filter(None, self._thoughts)), "reasoning")},
        )
        content = content_of(self._said) if self._said or not self._calls else None
        yield {**self._fields, "content": content, "tool_calls": self._calls or None, "metadata": metadata}
        yield from self.results


def _result(part: Mapping[str, Json], state: Mapping[str, Json]) -> dict[str, Json]:
    is_error, time = state.get("status") == "error", object_in(state.get("time"))
    output = state.get("error" if is_error else "output")
    rest = rest_of(state, "status", "input", "output", "error", "time")
    return {
        "role": "tool",
        "id": text_in(part.get("id")) or None,
        "timestamp": epoch(time.get("end") or time.get("start")),
        "content": text_for(output),
        "tool_call_id": part.get("callID"),
        "name": part.get("tool"),
        "metadata": metadata_of(rest, is_error=is_error or None),
    }


def _part(part: Mapping[str, Json]) -> Json:
    """Return a part of a content, a picture in the form of the OpenAI API."""
    if part.get("type") == "file" and text_in(part.get("mime")).startswith("image/") and text_in(part.get("url")):
        return {"type": "image_url", "image_url": {"url": part["url"]}, **rest_of(part, "type", "url", *_PART_TAKEN)}
    return rest_of(part, *_PART_TAKEN)


def _bytes_of(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(_FILE_BYTES_MAX)


def _has_messages(path: Path | None) -> bool:
    return path is not None and _messages_folder(path, path.name.partition(".")[0]) is not None


def _has_sessions(path: Path | None) -> bool:
    tables = tables_at(path)
    return {"session_id", "data"} <= set(tables.get("message", ())) and "message_id" in tables.get("part", ())


def _is_info(name: str) -> bool:
    return name.startswith("ses") and is_json_file(name)


def _stores_in(folder: Path) -> Sequence[Path]:
    """Return the database in OpenCode's data folder, and the files of sessions of older versions."""
    databases = sorted(file for file in folder.glob("opencode*.db") if _has_sessions(file))
    infos = (files_below(folder / place, _is_info) for place in ("storage/session", "session/info"))
    return [*databases, *(file for files in infos for file in files)]
