"""Deleting sessions, and the trash."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from psycopg import errors

from chatkeep.core.life.trashing import Trashed, trashed_in
from chatkeep.core.model import Summary
from chatkeep.core.standing import SeqRange
from chatkeep.errors import SessionExistsError, SessionNotFoundError
from chatkeep.store.postgres.row_writing import existing_row, locked_row, messages_in, note
from chatkeep.store.postgres.tables.cells import (
    Cell,
    StoredRow,
    bucket_of,
    key_hash,
    moment_at,
    named_values,
    place_of_key,
    stored_row,
)
from chatkeep.store.postgres.tables.conditions import bounds_of
from chatkeep.store.postgres.tables.postgres_pool import PgConnection, Postgres, asked_rows, run
from chatkeep.store.sets.terms import labels_of

_ID_DIGITS: Final = 19  # of the number of a session, so that ids in the trash are in the order of their sessions
_LINES: Final = 500  # whose labels are made at a time


def remove_session(database: Postgres, key: str, *, to_trash: bool) -> None:
    """Delete a session, or move it to the trash, as `Store.delete` says."""
    with database.writing() as db:
        row = existing_row(db, key)
        run(db, "withdraw", row.place)
        if to_trash:
            run(db, "hide", row.place)
            run(db, "to_trash", row.place)
        else:
            _drop_lines(db, [row.sid], [row.bucket])
            run(db, "drop_session", row.place)
        run(db, "remember_deletion", {"bucket": row.bucket, "hash": key_hash(key)})
        note(db, "deleted", key)


def trashed_sessions(db: PgConnection, prefix: str) -> tuple[Trashed, ...]:
    """Return the sessions in the trash, the last deleted first."""
    found = asked_rows(db, "trashed", bounds_of(prefix) if prefix else {"first": "", "after": None})
    return tuple(
        Trashed(
            id=_trash_id(sid),
            key=key,
            title=title,
            channel=channel,
            deleted_at=moment_at(deleted_at),
            size_bytes=size,
        )
        for sid, _, key, title, channel, deleted_at, size in found
    )


def bring_back(database: Postgres, key: str, trash_id: str | None) -> Summary:
    """Bring a session back from the trash, as `Store.restore` says."""
    try:
        with database.writing() as db:
            ids = {_trash_id(sid): sid for (sid,) in asked_rows(db, "in_trash", place_of_key(key))}
            sid = next(iter(ids.values()), None) if trash_id is None else ids.get(trash_id)
            if sid is None:
                raise SessionNotFoundError(key)
            if locked_row(db, key) is not None:
                raise SessionExistsError(key)
            row = stored_row(asked_rows(db, "from_trash", {"bucket": bucket_of(key), "sid": sid})[0])
            _find_again(db, row)
            forget_deletion(db, key)
            gone = tuple(SeqRange(*run) for run in asked_rows(db, "dropped_seqs", row.place))
            count = row.digest.line_count
            note(db, "created", key, (1, count) if count else None, gone)
            return row.summary
    except errors.UniqueViolation as error:
        raise SessionExistsError(key) from error


def purge_sessions(
    database: Postgres, prefix: str, keys: Sequence[str] | None, before: datetime | None
) -> tuple[Trashed, ...]:
    """Remove sessions from the trash for good, as `Store.purge` says."""
    with database.writing() as db:
        found = trashed_in(trashed_sessions(db, prefix), keys, before)
        buckets = list({bucket_of(one.key) for one in found})
        dropped = asked_rows(db, "drop_trashed", {"sids": [int(one.id) for one in found], "buckets": buckets})
        sids = {sid for (sid,) in dropped}  # without those that somebody has just brought back
        _drop_lines(db, list(sids), buckets)
    return tuple(one for one in found if int(one.id) in sids)


def is_deleted_key(db: PgConnection, key: str) -> bool:
    """Tell whether a session of this key was deleted."""
    return bool(asked_rows(db, "is_deleted", _deletion(key)))


def forget_deletion(db: PgConnection, key: str) -> None:
    """Forget that a session of this key was deleted."""
    run(db, "forget_deletion", _deletion(key))


def _deletion(key: str) -> dict[str, Cell]:
    return {"bucket": bucket_of(key), "hash": key_hash(key)}


def _drop_lines(db: PgConnection, sids: Sequence[int], buckets: Sequence[int]) -> None:
    for statement in ("drop_messages", "drop_calls"):
        run(db, statement, {"sids": list(sids), "buckets": list(buckets)})


def _find_again(db: PgConnection, row: StoredRow) -> None:
    """Give new documents to the names and the standing lines of a session that comes back."""
    run(db, "put_names", {**row.place, **named_values(row.header)})
    after = 0
    while found := messages_in(asked_rows(db, "standing_from", {**row.place, "after": after, "limit": _LINES})):
        after = found[-1].seq
        labels = [labels_of(line) for line in found]
        values = {
            "seqs": [line.seq for line in found],
            "texts": [one.texts for one in labels],
            "pairs": [one.pairs for one in labels],
        }
        run(db, "put_docs", {**row.place, **values})


def _trash_id(sid: int) -> str:
    return f"{sid:0{_ID_DIGITS}d}"
