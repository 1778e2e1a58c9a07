"""The answers of models on their way into the index: one row for each."""

from __future__ import annotations

from collections.abc import Iterable

import apsw

from chatkeep.core.model import Message
from chatkeep.core.usage.spending import calls_of
from chatkeep.store.files.index.sql import QUERIES

_NO_COUNTS = (None,) * 5


def put_calls(db: apsw.Connection, sid: int, lines: Iterable[Message]) -> None:
    """Add the answers of models among new lines of a session."""
    calls = list(calls_of(lines))
    if not calls:
        return  # as for most appends
    db.executemany(QUERIES["put_model"], [(name,) for name in {call.model for call in calls}])
    rows = []
    for call in calls:
        told = call.tokens
        counts = (
            (told.input, told.output, told.cached, told.cache_write, told.reasoning) if told is not None else _NO_COUNTS
        )
        rows.append((sid, call.seq, call.at.toordinal(), call.model, *counts, call.cost))
    db.executemany(QUERIES["put_call"], rows)
