"""The protocol of a store: the only way to stored sessions.

A *store* keeps *sessions*; a session is a *header* and numbered *messages*. Every answer of a store
includes all writes acknowledged before, also after a crash. How a store lists and searches fast (by
an index, by a table) never shows here.

Promises of every store, each with tests from the contract kit in `chatkeep.testing`:

- An append is atomic and durable. When it returns, all its messages are stored for good, in the
  given order; when it raises, none is.
- Message ids are unique within a session. A repeated append of a stored message returns its first
  place, and stores nothing twice. So does a repeated drop with the same mark.
- Nothing is taken out of a session: it is a log of lines. A line may drop earlier ones; from then on they
  stand no more anywhere but in the log. An `event` is in the log alone, and in searches for its role.
- A compaction erases the words of dropped lines. Their places, ids and times stay.
- A store compares keys exactly. No key ever reaches another key's session.
- A list, a search or a count never shows half a write.
- Content within the bounds comes back unchanged: a message of 16 MiB or 128 levels, metadata of 256 KiB. A store may
  keep attachments elsewhere; then their names stand in the messages, and `blob` has their bytes (see `core.blobs`).
- The feed has every change once, in the order in which the changes become visible.
- A store is safe for many threads. Several processes are safe, too, if they share a place.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import BinaryIO, Protocol

from chatkeep.core.blobs.blob_names import BlobName
from chatkeep.core.feed import Changes
from chatkeep.core.history.windows import Window
from chatkeep.core.life.compacting import Compacted
from chatkeep.core.life.dropping import Chosen, Created, Dropped, Mark, NewSession
from chatkeep.core.life.trashing import Trashed
from chatkeep.core.model import (
    Appended,
    Draft,
    Hits,
    KeyPage,
    Merged,
    Message,
    Page,
    Revision,
    Selection,
    Session,
    Status,
    Summary,
)
from chatkeep.core.search.search import Search
from chatkeep.core.stats import PeriodUnit, Stats
from chatkeep.core.usage.spending import UsageQuery, UsageReport
from chatkeep.errors import ChatkeepError


class Store(Protocol):
    """A place for sessions. Callers pass keys from `parse_key`, and drafts checked by `check_draft`."""

    def append(
        self,
        key: str,
        drafts: Sequence[Draft],
        *,
        channel: str | None = None,
        create: bool = True,
        expect_count: int | None = None,
    ) -> Appended:
        """Store the drafts at the end of the session; return their receipts. Each draft has an id and a time.

        A missing session is created, with `channel` or else the channel of its key. Its `created_at`
        is the earliest time of the drafts. A draft already stored with the same id and content keeps its
        first place. If every draft is stored already, `expect_count` does not apply; it counts every line of the log.
        What a draft `drops` no longer stands: at once no window, count, title, preview or search has it.

        Raises:
            InvalidError: when a draft drops itself or later lines.
            SessionNotFoundError: when there is no such session and `create` is false.
            MessageConflictError: when the session or another draft has an id with other content.
            CountConflictError: when there are new drafts and the session does not have `expect_count` lines.
            SessionDamagedError: when the stored session is not readable whole.
            BusyError: when the session stays locked for too long.
            StorageError: when the disk refuses.
        """
        ...

    def drop(self, key: str, lines: Chosen, *, mark: Mark, expect_count: int | None = None) -> Dropped:
        """Take back the chosen lines, by an append of a line of its own: the mark, with an id and a time.

        The choice is made and dropped under one lock: of two callers that drop the last message, each gets another.
        If the session has the mark already, nothing is dropped; the answer is that of the first time.

        Raises:
            MessageNotFoundError: when nothing chosen stands.
            MessageConflictError: when the id of the mark belongs to another line.
            CountConflictError: when the session does not have `expect_count` lines.
            SessionNotFoundError, SessionDamagedError, BusyError, StorageError: as in `append`.
        """
        ...

    def replace(
        self,
        key: str,
        drafts: Sequence[Draft],
        *,
        mark: Mark,
        create: bool = True,
        expect_count: int | None = None,
    ) -> Appended:
        """Replace everything that stands by these drafts, each with an id and a time, in one append.

        The lines that begin both alike, with the same ids and content, stay. The first new draft drops all others;
        without a new one the mark does. If the session reads like that already, nothing is stored, and `expect_count`
        does not apply. With drafts a missing session is created.

        Raises:
            SessionNotFoundError: when there is no such session, and `create` is false or there are no drafts.
            MessageConflictError: when another line of the log, or another draft, has an id.
            CountConflictError: when the session does not have `expect_count` lines.
            SessionDamagedError, BusyError, StorageError: as in `append`.
        """
        ...

    def create(self, new: NewSession) -> Created:
        """Begin a session with its header and first messages, whole or not at all; it has a key.

        Each message has an id and a time. The session has a `created_at`, or takes that of its earliest message.

        Raises:
            SessionExistsError: when there is one with this key, also a damaged one.
            MessageConflictError: when two messages have one id.
            InvalidError: when a message drops itself or a later one.
            StorageError: when the disk refuses.
        """
        ...

    def message(self, key: str, message_id: str, *, log: bool = False) -> Message:
        """Return the message with an id, if it stands and is no event; with `log`, a line of any kind.

        Raises:
            MessageNotFoundError: when there is none.
            SessionNotFoundError, SessionDamagedError: as in `window`.
        """
        ...

    def get(self, key: str) -> Summary:
        """Return the summary of a session, without its messages.

        Raises:
            SessionNotFoundError: when there is no such session.
            SessionDamagedError: when no part of it is readable.
        """
        ...

    def read(self, key: str, *, log: bool = False) -> Session:
        """Return a whole session as it stands: numbered as if what was dropped had never been there, without drops.

        With `log` it has every line, as stored.

        Raises:
            SessionNotFoundError: when there is no such session.
            SessionDamagedError: when no part of it is readable.
        """
        ...

    def window(
        self, key: str, *, limit: int, before: int | None = None, after: int | None = None, log: bool = False
    ) -> Window:
        """Return at most `limit` neighbouring messages, oldest first; by default the newest.

        These are the messages that stand, without events. With `log` they are lines of every kind.

        `before` and `after` are seqs, both exclusive. With `before`, the window ends directly before it;
        with `after`, it begins directly after it. With both, it has the newest messages between them.
        `has_more` tells whether more messages follow in that direction.

        Raises:
            SessionNotFoundError: when there is no such session.
            SessionDamagedError: when no part of it is readable.
        """
        ...

    def list(self, selection: Selection, *, limit: int, cursor: str | None = None, metadata: bool = False) -> Page:
        """Return a page of sessions, latest activity first, ties by key.

        The headers in a list have no metadata, unless `metadata` is set; `get` returns it.

        Raises:
            InvalidCursorError: when the cursor is not one of this list.
        """
        ...

    def keys(self, selection: Selection, *, limit: int | None = None, cursor: str | None = None) -> KeyPage:
        """Return a page of keys by code point, all keys without a limit.

        Raises:
            InvalidCursorError: when the cursor is not one of this list.
        """
        ...

    def search(self, search: Search) -> Hits:
        """Return the best messages for a query, by the rules of `core.search.search`."""
        ...

    def revise(self, key: str, revision: Revision) -> Summary:
        """Change a session's header, atomically; return the new summary.

        Raises:
            SessionNotFoundError: when there is no such session.
            SessionDamagedError: when the stored session is not readable whole.
            InvalidError: when the patched metadata would be too large.
            BusyError: when the session stays locked for too long.
            StorageError: when the disk refuses.
        """
        ...

    def compact(self, keys: Sequence[str]) -> tuple[Compacted, ...]:
        """Erase the dropped lines of these sessions for good; return what went, session by session.

        An erased line is an empty event with its seq, id, time and drops. So counts, cursors and `expect_count` stay
        right. Its words are in no byte of the store afterwards. An answer that an erased line counted for `usage` is
        gone from it. A repetition does no harm, and finishes what broke off.

        Raises:
            SessionNotFoundError: when there is no such session; those before it are compacted.
            SessionDamagedError: when the stored session is not readable whole; likewise.
            BusyError: when a session or what the store keeps about it stays locked for too long.
            StorageError: when the disk refuses. Each session is as before, or compacted.
        """
        ...

    def delete(self, key: str, *, to_trash: bool = False) -> None:
        """Delete a session and every trace of its words, also a damaged one; remember that its key was deleted.

        With `to_trash` it can come back, until it is purged. Nothing but `trash` finds it there.

        Raises:
            SessionNotFoundError: when there is no such session.
            BusyError: when the session stays locked for too long.
            StorageError: when the disk refuses.
        """
        ...

    def trash(self, prefix: str = "") -> tuple[Trashed, ...]:
        """Return the sessions in the trash whose keys begin so, the last deleted first.

        A damaged one without a readable header is not among them.
        """
        ...

    def restore(self, key: str, *, trash_id: str | None = None) -> Summary:
        """Bring a session back from the trash, as it was; of several with its key the last deleted, or that of an id.

        Its deletion is forgotten.

        Raises:
            SessionNotFoundError: when the trash has none.
            SessionExistsError: when there is a session with its key again; both stay where they are.
            SessionDamagedError: when it has no readable header; it is back nevertheless.
            BusyError: when the list of deletions stays locked for too long.
            StorageError: when the disk refuses.
        """
        ...

    def purge(
        self, prefix: str = "", *, keys: Sequence[str] | None = None, before: datetime | None = None
    ) -> tuple[Trashed, ...]:
        """Remove sessions from the trash for good, and return them: those of the keys, deleted before a time.

        Without keys, those of every key that begins so; without a time, of any. Where every key is meant, damaged ones
        without a readable header go too.

        Raises:
            StorageError: when the disk refuses.
        """
        ...

    def merge(self, session: Session, *, unless_deleted: bool = False) -> Merged:
        """Add a session from elsewhere: create it, or append its messages with new ids.

        With `unless_deleted` a session deleted here is left alone, even where an append has made another one of its
        key. Without it the merge takes the session, and forgets the deletion.

        A merge never changes stored content: the header counts only for a new session. Messages get new
        seqs, in their order, and the seqs that they drop move with them. If the first message has a seq above 1, its
        drops are seqs of the stored session. A message with a stored id but other content is left out, and `conflicts`
        has its id.

        Raises:
            SessionDeletedError: with `unless_deleted`, when the session was deleted here.
            SessionDamagedError: when the stored session is not readable whole.
            BusyError: when the session stays locked for too long.
            StorageError: when the disk refuses.
        """
        ...

    def status(self, prefix: str = "") -> Status:
        """Return counts and sizes of the sessions under a prefix."""
        ...

    def stats(self, prefix: str = "", *, unit: PeriodUnit = "month", since: date | None = None) -> Stats:
        """Return statistics of the sessions under a prefix, as `core.stats` defines them.

        With `since`, only periods that begin on that day or later.
        """
        ...

    def usage(self, asked: UsageQuery) -> UsageReport:
        """Return the tokens and the cost of answers by group, by the rules of `core.usage`.

        Every line of the log counts, except the copies at the beginning of a fork. Cost: by the answers of the
        selected sessions; no message is read.
        """
        ...

    def changes(self, after: str | None, *, limit: int, prefix: str = "") -> Changes:
        """Return the changes after a position, oldest first; without a position, only the present one.

        A call reads at most `limit` changes, and returns those of keys under the prefix.

        The feed has every acknowledged change once, in the order in which the changes become visible. A reader
        continues from the position of an answer, or of one of its changes. A store closed and opened again still
        knows its positions. For an unknown one the answer has no changes, the present position, and `is_known` false.
        A position of another store or epoch is unknown. So may be one with over 100,000 changes after it.
        """
        ...

    def close(self) -> None:
        """Release all resources; acknowledged writes stay stored."""
        ...


class OwnStore(Store, Protocol):
    """A store opened by this process."""

    def size_of(self, key: str) -> int:
        """Return the bytes of a session, its whole log included.

        Raises:
            SessionNotFoundError, SessionDamagedError: as in `get`.
        """
        ...

    def blob(self, sha256: str, prefix: str = "") -> BinaryIO:
        """Return an open attachment that a session under a prefix names; the caller closes it.

        Raises:
            BlobNotFoundError: when there is none, as in a store that keeps attachments in their messages.
            StorageError: when the disk refuses.
        """
        ...

    def put_blob(self, source: BinaryIO) -> BlobName | None:
        """Store an attachment for a message to come, durably, and return its name; None in a store without blobs.

        Raises:
            TooLargeError: when it is larger than 1 GiB.
            StorageError: when the disk refuses.
        """
        ...

    def is_deleted(self, key: str) -> bool:
        """Tell whether a merge with `unless_deleted` would leave out the session of this key.

        Raises:
            StorageError: when the disk does not say.
        """
        ...

    def merge_all(
        self, sessions: Sequence[Session], *, unless_deleted: bool = False
    ) -> tuple[Merged | ChatkeepError, ...]:
        """Merge sessions in order, and return for each what `merge` returns or raises. All of them are durable then.

        Raises:
            StorageError: when the disk refuses; some of the sessions may be stored.
        """
        ...


class Served(OwnStore, Protocol):
    """A store, and a server's questions to it beside the verbs."""

    @property
    def is_told(self) -> bool:
        """Whether other processes can see every change answered here."""
        ...

    def warm_up(self) -> None:
        """Load the tables of searches into memory."""
        ...
