"""grip's workspace: one JSON object per session, with the key inside.

Messages have neither ids nor times; the last one gets the time of the session's last change. Tool calls are converted
to the form of the OpenAI API. grip drops old messages and keeps a summary of them: it becomes metadata of the session.

Source: grip-ai 1.6.1, `session/manager.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from chatkeep.core.model import Json, Session
from chatkeep.core.scanning import Scanner
from chatkeep.errors import InvalidError
from chatkeep.importers.assembly import Assembly, RecordShape
from chatkeep.importers.homes import HistoryPlace, Machine, deep_places
from chatkeep.importers.importer import Look, Reading
from chatkeep.importers.records import ReadRecord, head_of, instant
from chatkeep.importers.reports import Flaw
from chatkeep.importers.sources import Source, files_among, is_json_file


class GripImporter:
    """grip's workspace, or a session file of it."""

    name: Final = "grip"

    def recognises(self, look: Look) -> str | None:
        """Recognise an object with messages, but without the version and times of ours."""
        sight = look.sight
        if not isinstance(sight, dict) or not isinstance(sight.get("messages"), list) or look.is_lines:
            return None
        has_roles = all(isinstance(one, dict) and "role" in one for one in sight["messages"][:1])
        is_ours = "format" in sight or b'"timestamp"' in look.head
        return "it is a session with messages without times" if has_roles and not is_ours else None

    def files_in(self, folder: Path) -> Iterable[Path]:
        """Return the JSON files of the folder `sessions`, or of the folder itself."""
        return files_among((folder / "sessions", folder), is_json_file)

    def homes(self, machine: Machine) -> Sequence[Path]:
        """Return the workspace in `.grip`."""
        return [machine.home / ".grip" / "workspace"]

    def places(self, home: Path) -> Sequence[HistoryPlace]:
        """Return the folder of sessions."""
        return deep_places(home, "sessions")

    def source_of(self, changed: Path) -> Path | None:
        """Return a session."""
        return changed if is_json_file(changed.name) else None

    def read(self, source: Source, reading: Reading) -> Iterator[Session | Flaw]:
        """Yield the session of one file, in parts when it is long, and its flaws."""
        with reading.content_of(source) as stream:
            scanner = Scanner(stream)
            if scanner.peek() == b"{":
                yield from Assembly(RecordShape(_message, _head), source.name, reading.now).record(scanner)
            else:
                yield Flaw(source.name, "It is not JSON of grip's: an object.")


def _head(fields: dict[str, Json], _: str) -> ReadRecord:
    summary = fields.get("summary")
    told = {name: value for name, value in fields.items() if name not in {"summary", "updated_at", "metadata"}}
    metadata = fields.get("metadata")
    given = metadata if isinstance(metadata, dict) else {}
    read = head_of({**told, "metadata": {**given, "summary": summary} if summary else given})
    try:
        last_at = instant(fields.get("updated_at"))
    except InvalidError:
        return ReadRecord(read.value, (*read.told, "the time of its last change is none"))
    return ReadRecord(msgspec.structs.replace(read.value, last_at=last_at), read.told)


def _message(fields: dict[str, Json]) -> dict[str, Json]:
    calls = fields.get("tool_calls")
    return {**fields, "tool_calls": [*map(_call, calls)] if isinstance(calls, list) else calls}


def _call(call: Json) -> Json:
    if not isinstance(call, dict) or "function_name" not in call:
        return call
    arguments = call.get("arguments")
    written = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()
    return {"id": call.get("id"), "type": "function", "function": {"name": call["function_name"], "arguments": written}}
