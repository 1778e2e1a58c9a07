"""nanobot's sessions: a file of lines for each, a header with the key first, then the messages.

Times have no offset: they are in the zone of the machine of nanobot. The private state of a provider is left out.
Messages that nanobot hides from the chat become messages of the system. A file without a header has its key in its
name.

Source: nanobot-ai 0.3.5, `session/manager.py`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from chatkeep.core.model import MODEL_TITLE, Json, Session
from chatkeep.core.text.reasoning import FIELD as REASONING
from chatkeep.core.text.reasoning import words_of_thought
from chatkeep.importers.homes import HistoryPlace, Machine, deep_places
from chatkeep.importers.importer import Look, Reading, recognised_below
from chatkeep.importers.logs.entries import lines_of, openings
from chatkeep.importers.logs.gathering import Gathering
from chatkeep.importers.logs.parts import content_of
from chatkeep.importers.records import fitting_key
from chatkeep.importers.reports import Flaw
from chatkeep.importers.shaping import metadata_of, object_in, rest_of, text_in, thinking
from chatkeep.importers.sources import Source, files_below, is_json_file

_TAKEN: Final = (
    "role",
    "content",
    "timestamp",
    "id",
    "name",
    "tool_calls",
    "tool_call_id",
    "reasoning_content",
    "usage",
)
_ABOUT: Final = ("_type", "key", "created_at", "updated_at")


class NanobotImporter:
    """nanobot's folder, its workspace, or one session of it."""

    name: Final = "nanobot"

    def recognises(self, look: Look) -> str | None:
        """Recognise a session by the header on its first line."""
        if look.is_folder:
            return None
        found = list(openings(look.head))
        if any("_type" in one and "role" not in one for one in found):
            return "it begins with the header of a session of nanobot"
        is_named_so = bool(found) and "role" in found[0] and _own_key(look.name.partition(".jsonl")[0])
        return "it has messages, and its name is a key of nanobot" if is_named_so else None

    def files_in(self, folder: Path) -> Iterable[Path]:
        """Return the sessions of the workspace, or all below another folder."""
        for place in (folder / "workspace" / "sessions", folder / "sessions"):
            if files := [file for file in files_below(place, _is_session) if file.name.partition(".")[2]]:
                return files
        return recognised_below(folder, self.recognises, is_wanted=_is_session)

    def homes(self, machine: Machine) -> Sequence[Path]:
        """Return `.nanobot`."""
        return [machine.home / ".nanobot"]

    def places(self, home: Path) -> Sequence[HistoryPlace]:
        """Return the folder of sessions."""
        return deep_places(home, "workspace/sessions", "sessions")

    def source_of(self, changed: Path) -> Path | None:
        """Return a session."""
        return changed if _is_session(changed.name) else None

    def read(self, source: Source, reading: Reading) -> Iterator[Session | Flaw]:
        """Yield the session of a file, in parts, and its flaws."""
        header: dict[str, Json] = {}
        numbers: list[int] = []
        with reading.content_of(source) as stream, closing(Gathering(reading)) as gathering:
            for entry in lines_of(stream):
                if isinstance(entry, Flaw):
                    yield entry
                elif "_type" not in entry.value:
                    number = yield from gathering.keep(_message_of(entry.value), entry.place)
                    numbers += [] if number is None else [number]
                elif entry.value["_type"] == "metadata":
                    header = header or entry.value
            if header or numbers:
                yield from gathering.session(_fields_of(header, source), numbers, source.name)


def _fields_of(header: Mapping[str, Json], source: Source) -> dict[str, Json]:
    about = object_in(header.get("metadata"))
    metadata = metadata_of(rest_of(header, *_ABOUT), **{MODEL_TITLE: text_in(about.get("title"))})
    return {
        "key": fitting_key("nanobot", text_in(header.get("key")) or _key_in(source.name.partition(".jsonl")[0])),
        "channel": "nanobot",
        "created_at": header.get("created_at"),
        "metadata": metadata,
    }


def _message_of(message: Mapping[str, Json]) -> dict[str, Json]:
    content = message.get("content")
    is_hidden = bool(message.get("_hidden_history")) and message.get("role") == "user"
    thoughts = text_in(message.get("reasoning_content")) or words_of_thought(message.get("thinking_blocks"))
    metadata = metadata_of(
        rest_of(message, *_TAKEN), usage=message.get("usage"), **{REASONING: thinking(thoughts, "reasoning_content")}
    )
    known = {
        name: message[name] for name in ("timestamp", "id", "name", "tool_calls", "tool_call_id") if name in message
    }
    return {
        **known,
        "role": "system" if is_hidden else message.get("role"),
        "content": content_of(content) if isinstance(content, list) else content,
        "metadata": metadata,
    }


def _key_in(stem: str) -> str:
    """Return the key in the name of a file: of older versions, the key with underscores."""
    return _own_key(stem) or stem.replace("_", ":", 1)


def _own_key(stem: str) -> str:
    """Return the key whose base64 a name is; nothing for another name."""
    try:
        key = base64.urlsafe_b64decode(stem + "=" * (-len(stem) % 4)).decode()
    except (binascii.Error, ValueError):
        return ""
    return key if ":" in key and base64.urlsafe_b64encode(key.encode()).decode().rstrip("=") == stem else ""


def _is_session(name: str) -> bool:
    return is_json_file(name) and ".jsonl" in name
