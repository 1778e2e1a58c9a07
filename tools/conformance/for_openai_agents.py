"""A plugin of pytest: the SDK's tests of its SQLite session get a session of Chatkeep."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import agents
from agents.memory import sqlite_session
from tools.conformance.homes import place, prefix_of

from chatkeep.adapters.openai_agents import ChatkeepSession

_numbers = itertools.count()


class Replaced(ChatkeepSession):
    """A session of Chatkeep with the parameters of the SDK's own: a database is a place."""

    def __init__(self, session_id: str, db_path: str | Path = ":memory:", *_: Any, **options: Any) -> None:
        """Make one."""
        home = place(f"memory-{next(_numbers)}" if str(db_path) == ":memory:" else str(db_path))
        super().__init__(session_id, home, prefix=prefix_of(home), session_settings=options.get("session_settings"))

    def close(self) -> None:
        """Do nothing: the place is the test's."""


agents.SQLiteSession = Replaced  # type: ignore[misc]
sqlite_session.SQLiteSession = Replaced  # type: ignore[misc]
