"""PocketPaw's memory folder: one file per session, named after its key, and an index beside them.

A file is an array of messages or, by its documentation, an object with `session_id` and `messages`. Times have no
offset: they are in the zone of the machine of PocketPaw. The file name loses the key (`:` and `/` became `_`). We
restore it from the table of aliases, from the channel in the index, or from a known prefix. The summary of a compaction
and the other names of a session become its metadata.

Source: PocketPaw 0.4.18, `memory/file_store.py`, and its pages on memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, tzinfo
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from chatkeep.core.keys import channel_of, composed
from chatkeep.core.model import Json, Session
from chatkeep.core.scanning import Scanner
from chatkeep.core.text import titles
from chatkeep.importers.assembly import Assembly, RecordShape
from chatkeep.importers.homes import HistoryPlace, Machine, deep_places
from chatkeep.importers.importer import Look, Reading
from chatkeep.importers.records import ReadRecord, head_of
from chatkeep.importers.reports import Flaw
from chatkeep.importers.sources import Source, files_among, is_json_file

_PREFIXES: Final = (
    *("google_chat", "websocket", "web", "telegram", "discord", "slack", "cli", "api"),
    *("whatsapp", "signal", "matrix", "teams", "email"),
)


_TAKEN: Final = frozenset(("session_id", "key", "channel", "title", "created_at", "metadata", "format"))


_AS_FILE: Final = re.compile("[:/]")  # characters of a key that its file name cannot have


class _Compaction(Struct, frozen=True):
    """A summary of older messages, made for the model."""

    summary: str


class Note(Struct, frozen=True, kw_only=True):
    """The index entry of a session. Some versions write `created_at` for `created`."""

    title: str | None = None
    user_title: str | None = None
    channel: str | None = None
    created: datetime | None = None
    created_at: datetime | None = None


class _Facts(Struct, frozen=True):
    """What the files beside the sessions say: their notes, and keys by the names of files."""

    notes: Mapping[str, Note] = {}
    keys: Mapping[str, str] = {}
    aliases: Mapping[str, Sequence[str]] = {}


class PocketPawImporter:
    """PocketPaw's memory folder, or a file of it. One import reads the index of a folder once."""

    name: Final = "pocketpaw"

    def __init__(self) -> None:
        """Begin without any index."""
        self._facts_in = cache(_facts_in)

    def recognises(self, look: Look) -> str | None:
        """Recognise a folder by its index, and a file by an array of messages or a session id without a key."""
        if look.is_folder:
            has_index = look.path is not None and any(map(_has_index, _places(look.path)))
            return "it has an index of sessions" if has_index else None
        sight = look.sight
        if isinstance(sight, list):
            is_messages = bool(sight) and isinstance(sight[0], dict) and "role" in sight[0]
            return "it is an array of messages" if is_messages else None
        is_document = isinstance(sight, dict) and "session_id" in sight and "messages" in sight and "key" not in sight
        return "it has a session id and no key" if is_document and not look.is_lines else None

    def files_in(self, folder: Path) -> Iterable[Path]:
        """Return the session files of the memory folder, which may be this one or below it."""
        return files_among(_places(folder), _is_session_file)

    def homes(self, machine: Machine) -> Sequence[Path]:
        """Return `.pocketpaw`."""
        return [machine.home / ".pocketpaw"]

    def places(self, home: Path) -> Sequence[HistoryPlace]:
        """Return the folder of sessions."""
        return deep_places(home, "memory/sessions", "sessions")

    def source_of(self, changed: Path) -> Path | None:
        """Return a session; the index and the summaries are none."""
        return changed if _is_session_file(changed.name) else None

    def read(self, source: Source, reading: Reading) -> Iterator[Session | Flaw]:
        """Yield the session of one file, long ones in parts, and its flaws."""
        name, zone = source.name.partition(".json")[0], reading.zone
        facts = self._facts_in(source.parent) if isinstance(source, Path) else _Facts()
        summary = _summary_of(source.with_name(f"{name}_compaction.json")) if isinstance(source, Path) else None

        def head(fields: Mapping[str, Json], asked: str) -> ReadRecord:
            return _head(fields, asked, name, facts, summary, zone)

        shape = RecordShape(lambda fields: fields, head, zone)
        assembly = Assembly(shape, name, reading.now)
        with reading.content_of(source) as stream:
            scanner = Scanner(stream)
            first = scanner.peek()
            if first == b"[":
                yield from assembly.messages(scanner, {})
            elif first == b"{":
                yield from assembly.record(scanner)
            else:
                yield Flaw(name, "It is not JSON." if first else "It is empty.")


def notes_in(folder: Path) -> Mapping[str, Note]:
    """Return the index of a folder by safe name; empty when it is missing or unreadable.

    The names are normalised to NFC, unlike the file names of some systems.
    """
    try:
        entries = msgspec.json.decode((folder / "_index.json").read_bytes(), type=dict[str, msgspec.Raw])
    except (OSError, ValueError, RecursionError):
        return {}
    notes = {}
    for name, entry in entries.items():
        try:
            notes[composed(name)] = msgspec.json.decode(entry, type=Note)
        except (ValueError, RecursionError):
            continue
    return notes


def _facts_in(folder: Path) -> _Facts:
    """Return what the index and the table of aliases in a folder say; both may be missing or unreadable."""
    try:
        table = msgspec.json.decode((folder / "_aliases.json").read_bytes(), type=dict[str, str])
    except (OSError, ValueError, RecursionError):
        table = {}
    aliases: dict[str, list[str]] = {}
    for name, key in sorted(table.items()):
        aliases.setdefault(key, []).append(name)
    keys = {composed(_AS_FILE.sub("_", key)): key for key in (*table, *aliases)}
    return _Facts(notes_in(folder), keys, aliases)


def _summary_of(compaction: Path) -> str | None:
    try:
        return msgspec.json.decode(compaction.read_bytes(), type=_Compaction).summary
    except (OSError, ValueError, RecursionError):
        return None


def key_of(name: str, channel: str | None) -> str:
    """Return the key restored from a file name: a known prefix gets its `:` back, other names stay."""
    for prefix in (channel, *_PREFIXES):
        if prefix and name.startswith(f"{prefix}_") and len(name) > len(prefix) + 1:
            return f"{prefix}:{name[len(prefix) + 1 :]}"
    return name


def _places(folder: Path) -> Sequence[Path]:
    return [folder / name for name in ("memory/sessions", "memory", "sessions", ".")]


def _has_index(folder: Path) -> bool:
    with suppress(OSError):  # `files_in` reports an unreadable folder
        return (folder / "_index.json").is_file()
    return False


def _is_session_file(name: str) -> bool:
    return is_json_file(name) and not name.endswith("_compaction.json")


def _head(
    fields: Mapping[str, Json], asked: str, name: str, facts: _Facts, summary: str | None, zone: tzinfo | None
) -> ReadRecord:
    note = facts.notes.get(composed(name), Note())
    given, metadata = fields.get("session_id"), fields.get("metadata")
    told = metadata.get("channel") if isinstance(metadata, dict) else None
    channel = note.channel or (told if isinstance(told, str) else None)
    named = given if isinstance(given, str) else name
    key = named if ":" in named else facts.keys.get(composed(named)) or key_of(named, channel)
    known = {"summary": summary, "aliases": facts.aliases.get(key)}
    if any(known.values()):
        metadata = {**(metadata if isinstance(metadata, dict) else {}), **{k: v for k, v in known.items() if v}}
    return head_of(
        {
            "key": key,
            "channel": channel_of(key) if not channel or key.startswith(f"{channel}:") else channel,
            "title": note.user_title or _own_title(note.title, asked),
            "created_at": note.created or note.created_at,
            "metadata": metadata,
            **{name: value for name, value in fields.items() if name not in _TAKEN},
        },
        zone,
    )


def _own_title(title: str | None, asked: str) -> str | None:
    """Return the title in the index, except one made from the first question, as Chatkeep makes its own."""
    made = not title or title == titles.NO_TITLE or " ".join(asked.split()).startswith(" ".join(title.split()))
    return None if made else title
