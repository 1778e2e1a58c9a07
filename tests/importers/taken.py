"""Imports of foreign files into a store in memory, and damage to them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from hypothesis import strategies as st

from chatkeep import importers
from chatkeep.core.model import Json, Message, Selection, Session
from chatkeep.errors import ChatkeepError
from chatkeep.importers import Flaw, Report
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.memory import MemoryStore

SAMPLES = Path(__file__).parent / "samples"


class Taken:
    """The sessions of a file after two imports; the second one must add nothing."""

    def __init__(self, path: Path, fmt: str, store: Sessions | None = None) -> None:
        """Import the file by its own looks, twice."""
        assert fmt == importers.recognised(path).name
        self.sessions = store or Sessions(MemoryStore())
        self.flaws: list[Flaw] = []
        self.order: list[str] = []
        self.report = self._import(path, fmt)
        again = self._import(path, fmt)
        assert (0, 0, 0) == (again.sessions_created, again.sessions_extended, again.messages_added)
        self.by_key = {key: self.sessions.read(key) for key in self.sessions.keys(Selection(archived=None)).keys}

    @property
    def messages(self) -> dict[str, Message]:
        """The messages of all sessions by id; a fork has those before it, too."""
        return {message.id: message for session in self.by_key.values() for message in session.messages}

    def session(self, key: str) -> Session:
        """Return one session."""
        return self.by_key[key]

    def _import(self, path: Path, fmt: str) -> Report:
        records = importers.read_sessions(path, fmt, stored_ids=importers.ids_in(self.sessions))

        def note(record: Session | Flaw) -> None:
            if isinstance(record, Flaw):
                self.flaws.append(record)
            elif record.header.key not in self.order:
                self.order.append(record.header.key)

        return importers.take_in(self.sessions, records, on_session=note)


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """Return the data with a few bytes cut, changed, doubled or added anywhere."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        until = min(len(data), at + draw(st.sampled_from([0, 1, 1, 7, 300])))
        put = draw(
            st.sampled_from([b"", b'"', b"}", b"]", b"[", b"{", b",", b"\\", b"\xff", b"\n", b"null", b"\\ud83d"])
        )
        data = data[:at] + put + (data[at:until] if draw(st.booleans()) else b"") + data[until:]
    return data


def outcome(path: Path, data: bytes, fmt: str) -> list[Session | Flaw]:
    """Return the records of damaged data, after a look at it; only documented errors may come."""
    path.write_bytes(data)
    with suppress(ChatkeepError):
        importers.recognised(path)
    return list(importers.read_sessions(path, fmt))


def texts_of(session: Session) -> list[Json]:
    """Return the roles and words of a session."""
    return [(message.role, message.text) for message in session.messages]
