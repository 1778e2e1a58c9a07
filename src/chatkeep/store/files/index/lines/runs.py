"""Runs: the documents of a session's messages, as stretches that follow each other by seq and by document."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from chatkeep.store.files.index.sql import QUERIES
from chatkeep.store.sets.containers import UnreadableRowError


def put_runs(db: apsw.Connection, sid: int, messages: Sequence[tuple[int, int]]) -> None:
    """Store a session's messages, each a seq and a document, as runs; extend its last run if possible.

    Raises:
        UnreadableRowError: when the session has one of the messages already: the database is damaged.
    """
    runs: list[list[int]] = []
    for seq, doc in messages:
        if runs and (seq, doc) == (runs[-1][0] + runs[-1][2], runs[-1][1] + runs[-1][2]):
            runs[-1][2] += 1
        else:
            runs.append([seq, doc, 1])
    for seq, doc, count in list(db.execute(QUERIES["last_run"], {"sid": sid})) if runs else ():
        if runs[0][0] < seq + count:
            raise UnreadableRowError
        if runs[0][:2] == [seq + count, doc + count]:
            db.execute(QUERIES["grow_run"], {"sid": sid, "seq": seq, "more": runs.pop(0)[2]})
    if runs:
        db.executemany(QUERIES["put_run"], [(sid, *run) for run in runs])
