"""PocketPaw's memory folder: one file per session, named after its key, and an index beside them.

A file is an array of messages or, by its documentation, an object with `session_id` and `messages`. Times have no
offset: they are in the zone of the machine of PocketPaw. The file name loses the key (`:` and `/` became `_`). We
restore it from the channel in the index, or from a known prefix.

Source: PocketPaw 0.4.18, `memory/file_store.py`, and its pages on memory.
"""

from __future__ import annotations

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
from chatkeep.importers.importer import Look, Reading
from chatkeep.importers.records import ReadRecord, head_of
from chatkeep.importers.reports import Flaw
from chatkeep.importers.sources import Source, files_among, is_json_file

_PREFIXES: Final = (
    *("google_chat", "websocket", "web", "telegram", "discord", "slack", "cli", "api"),
    *("whatsapp", "signal", "matrix", "teams", "email"),
)


_TAKEN: Final = frozenset(("session_id", "key", "channel", "title", "created_at", "metadata", "format"))


class Note(Struct, frozen=True, kw_only=True):
    """The index entry of a session. Some versions write `created_at` for `created`."""

    title: str | None = None
    user_title: str | None = None
    channel: str | None = None
    created: datetime | None = None
    created_at: datetime | None = None


class PocketPawImporter:
    """PocketPaw's memory folder, or a file of it. One import reads the index of a folder once."""

    name: Final = "pocketpaw"

    def __init__(self) -> None:
        """Begin without any index."""
        self._notes_in = cache(notes_in)

    def recognises(self, look: Look) -> str | None:
        """Recognise a folder by its index, and a file by an array of messages or a session id without a key."""
        head = look.head
        if look.path is not None and look.is_folder:
            return "it has an index of sessions" if any(map(_has_index, _places(look.path))) else None
        if head.startswith(b"["):
            is_messages = head[1:].lstrip().startswith(b"{") and b'"messages"' not in head
            return "it is an array of messages" if is_messages else None
        is_document = head.startswith(b"{") and b'"session_id"' in head and b'"key"' not in head
        return "it has a session id and no key" if is_document and not look.is_lines else None

    def files_in(self, folder: Path) -> Iterable[Path]:
        """Return the session files of the memory folder, which may be this one or below it."""
        return files_among(_places(folder), _is_session_file)

    def read(self, source: Source, reading: Reading) -> Iterator[Session | Flaw]:
        """Yield the session of one file, long ones in parts, and its flaws."""
        name, zone = source.name.partition(".json")[0], reading.zone
        notes = self._notes_in(source.parent) if isinstance(source, Path) else {}
        note = notes.get(composed(name), Note())
        shape = RecordShape(lambda fields: fields, lambda fields, asked: _head(fields, asked, name, note, zone), zone)
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


def _head(fields: Mapping[str, Json], asked: str, name: str, note: Note, zone: tzinfo | None) -> ReadRecord:
    given, metadata = fields.get("session_id"), fields.get("metadata")
    told = metadata.get("channel") if isinstance(metadata, dict) else None
    channel = note.channel or (told if isinstance(told, str) else None)
    named = given if isinstance(given, str) else name
    key = named if ":" in named else key_of(named, channel)
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
