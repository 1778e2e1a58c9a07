"""The one port to where sessions live.

A *store* keeps *sessions*; a session is a *header* and numbered *messages*. A store answers at any
moment what was acknowledged before it, also after a crash. How it lists and searches quickly (an
index, a table) is its own business and never shows here.

Promises of every store, each of them tested by the contract kit in `chatkeep.testing`:

- An append is atomic and durable: when it returns, all its messages are stored for good, in the
  order given; when it raises, none is.
- Message ids are unique within a session. Appending a stored message again is answered with its
  first place, and stores nothing twice.
- Keys are compared exactly. No key ever reaches another key's session.
- What is answered is whole: a list, a search or a count never shows half a write.
- What the rules let in comes back as it went in: a message of 16 MiB or 128 levels, metadata of 256 KiB.
- Every change is told in the order in which it is to be seen, once.
- Stores are safe to use from many threads, and from several processes where they share a place.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Protocol

from chatkeep.core.feed import Changes
from chatkeep.core.history.windows import Window
from chatkeep.core.model import (
    Appended,
    Draft,
    Hits,
    KeyPage,
    Merged,
    Page,
    Revision,
    Selection,
    Session,
    Status,
    Summary,
)
from chatkeep.core.search.search import Search
from chatkeep.core.stats import PeriodUnit, Stats


class Store(Protocol):
    """Where sessions live. Keys are such as `parse_key` returns; drafts have passed `check_draft`."""

    def append(
        self,
        key: str,
        drafts: Sequence[Draft],
        *,
        channel: str | None = None,
        create: bool = True,
        expect_count: int | None = None,
    ) -> Appended:
        """Store the drafts, each with id and time, at the end of the session; return their places.

        A missing session is created: with the channel given, else the one that its key names, and
        with the earliest time of the drafts as its `created_at`. Drafts whose id is stored with the
        same content keep their first place and are not counted by `expect_count`.

        Raises:
            SessionNotFoundError: when there is no such session and `create` is false.
            MessageConflictError: when an id is taken, in the session or in the drafts, by other content.
            CountConflictError: when something is to be stored and the session has not `expect_count` messages.
            SessionDamagedError: when what is stored cannot be read whole.
            BusyError: when the session stays locked for too long.
            StorageError: when the disk refuses.
        """
        ...

    def get(self, key: str) -> Summary:
        """Return what is known of a session.

        Raises:
            SessionNotFoundError: when there is none.
            SessionDamagedError: when nothing of it can be read.
        """
        ...

    def read(self, key: str) -> Session:
        """Return a whole session.

        Raises:
            SessionNotFoundError: when there is none.
            SessionDamagedError: when nothing of it can be read.
        """
        ...

    def window(self, key: str, *, limit: int, before: int | None = None, after: int | None = None) -> Window:
        """Return at most `limit` messages, oldest first: the newest, those before `before`, or those after `after`.

        `before` and `after` are exclusive seqs; with `after` the messages are those that follow it
        directly. With both, the newest of those between them. `has_more` tells whether messages
        further on in that direction were left out.

        Raises:
            SessionNotFoundError: when there is no such session.
            SessionDamagedError: when nothing of it can be read.
        """
        ...

    def list(self, selection: Selection, *, limit: int, cursor: str | None = None) -> Page:
        """Return sessions by latest activity, newest first, ties by key.

        The headers of a list carry no metadata: `get` does.

        Raises:
            InvalidCursorError: when the cursor is not one of this list.
        """
        ...

    def keys(self, selection: Selection, *, limit: int | None = None, cursor: str | None = None) -> KeyPage:
        """Return keys by code point; all of them without a limit.

        Raises:
            InvalidCursorError: when the cursor is not one of this list.
        """
        ...

    def search(self, search: Search) -> Hits:
        """Return the messages that the query finds, as `core.search` describes it."""
        ...

    def revise(self, key: str, revision: Revision) -> Summary:
        """Change a session's header, all of it or nothing; return what is known then.

        Raises:
            SessionNotFoundError: when there is no such session.
            SessionDamagedError: when what is stored cannot be read whole.
            InvalidError: when the merged metadata would be too large.
            BusyError: when the session stays locked for too long.
            StorageError: when the disk refuses.
        """
        ...

    def delete(self, key: str) -> None:
        """Remove a session and every trace of it; a damaged one too.

        Raises:
            SessionNotFoundError: when there is none.
            BusyError: when the session stays locked for too long.
            StorageError: when the disk refuses.
        """
        ...

    def merge(self, session: Session) -> Merged:
        """Take in a session: create it, or append the messages whose ids are not stored yet.

        The header counts only when the session is created; what is stored is never changed.
        Messages whose id is stored with other content are left out and named in `conflicts`.
        The messages are numbered anew, in their order.

        Raises:
            SessionDamagedError: when what is stored cannot be read whole.
            BusyError: when the session stays locked for too long.
            StorageError: when the disk refuses.
        """
        ...

    def status(self, prefix: str = "") -> Status:
        """Return counts and sizes of the sessions whose keys begin with the prefix."""
        ...

    def stats(self, prefix: str = "", *, unit: PeriodUnit = "month", since: date | None = None) -> Stats:
        """Return counts of the sessions whose keys begin with the prefix, as `core.stats` describes them.

        With `since`, periods that begin before that day are left out.
        """
        ...

    def changes(self, after: str | None, *, limit: int, prefix: str = "") -> Changes:
        """Return at most `limit` changes that follow a position, oldest first; without one, only the present position.

        At most so many are looked at, and of these come those of keys that begin with the prefix.

        Every change that was answered is told, in the order in which it is to be seen, once. Asked with
        the position of an answer, or of one of its changes, the next answer goes on from there, also
        after the store was closed and opened. A position that is not known (it is another store's, or
        older than the last 100,000 changes) is answered by the present one, and `is_known` false.
        """
        ...

    def close(self) -> None:
        """Let go of everything that is held; what was answered stays stored."""
        ...
