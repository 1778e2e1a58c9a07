"""Whole sessions of a store, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from chatkeep.core.model import KeyPage, Session
from chatkeep.errors import SessionDamagedError, SessionNotFoundError, StorageError
from chatkeep.store.protocol import Store


class KeyPages(Protocol):
    """The pages of a list of keys."""

    def __call__(self, *, cursor: str | None) -> KeyPage:
        """Return the page at a cursor."""


def whole_sessions(store: Store, pages: KeyPages, *, log: bool, on_unread: Callable[[str], None]) -> Iterator[Session]:
    """Yield the sessions of all pages of keys, as `Sessions.read_all` says; `pages` gives the page at a cursor.

    Raises:
        StorageError: at the end, when the disk refused and no session could be read.
    """
    cursor: str | None = None
    count, refusal = 0, None
    while True:
        page = pages(cursor=cursor)
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
