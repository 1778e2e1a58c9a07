"""Whole sessions of a store, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from chatkeep.core.model import KeyPage, Session
from chatkeep.errors import SessionDamagedError, SessionNotFoundError, StorageError
from chatkeep.store.protocol import Store


def whole_sessions(
    store: Store, pages: Callable[[str | None], KeyPage], *, log: bool, on_unread: Callable[[str], None]
) -> Iterator[Session]:
    """Yield the sessions of all pages of keys, as `Sessions.read_all` says; `pages` gives the page at a cursor.

    Raises:
        StorageError: at the end, when the disk refused and no session could be read.
    """
    cursor: str | None = None
    count, refusal = 0, None
    while True:
        page = pages(cursor)
        for key in page.keys:
            try:
                session = store.read(key, log=log)
            except SessionNotFoundError:
                continue
            except (StorageError, SessionDamagedError) as error:
                refusal = error if isinstance(error, StorageError) else refusal
                on_unread(key)
            else:
                count += 1
                yield session
        cursor = page.next_cursor
        if cursor is None:
            break
    if refusal is not None and not count:
        raise refusal
