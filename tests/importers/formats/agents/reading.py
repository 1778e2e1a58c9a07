"""Sessions of a source, by key."""

from __future__ import annotations

from pathlib import Path

import msgspec

from chatkeep import importers
from chatkeep.core.model import Session
from chatkeep.importers import Flaw


def sessions_by_key(source: Path, fmt: str) -> dict[str, Session]:
    """Return the sessions of a source without flaws, the parts of long ones joined."""
    found: dict[str, Session] = {}
    for record in importers.read_sessions(source, fmt):
        assert not isinstance(record, Flaw), record
        key = record.header.key
        before = found[key].messages if key in found else ()
        found[key] = msgspec.structs.replace(record, messages=(*before, *record.messages))
    return found
