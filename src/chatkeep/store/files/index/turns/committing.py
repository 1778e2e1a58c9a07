"""Changes of an index, committed one group after the other.

A thread with a change waits in a queue. The first one leads: it commits its own change and those behind it in one
transaction, then the next in the queue leads. So a thread alone commits at once, and many threads share the cost of a
commit, without a handover to another thread.

A thread of the index does the rest: it commits changes nobody waits for, seals fresh messages, and copies the
write-ahead log back into the database, so that no change has to wait for the flushes of that copy.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, Final, Protocol, TypeVar

import apsw

from chatkeep.disk.sqlite import transaction
from chatkeep.store.files.index.databases import (
    IndexBehindError,
    IndexLostError,
    IndexRefusedError,
    Medium,
    lost_as_such,
)
from chatkeep.store.files.index.rows import Database
from chatkeep.store.files.index.sets import sealing

_T = TypeVar("_T")
Write = Callable[[Database], _T]

FAILURES: Final = (IndexLostError, IndexBehindError, IndexRefusedError)
_GROUP_MAX: Final = 256  # changes in one transaction
_QUIET_S: Final = 0.3  # seconds without a change; then fewer fresh messages are sealed
_PAUSE_S: Final = 0.002  # seconds between two steps of sealing, as long as one of them: for searches and appends
_BEHIND: Final = 4  # times the messages to seal; with more of them, changes wait for the sealing
_COUNTED_AGAIN: Final = 256  # rows changed; then the fresh messages are counted again
_LOG_PAGES: Final = 1000  # of the write-ahead log; with more, it is copied back beside the changes
_LOG_PAGES_MAX: Final = 8000  # with more, the changes wait for the copy: 32 MB
_COPY_CACHE_KB: Final = 64  # KiB of pages, for the connection that copies the log back
_log = logging.getLogger("chatkeep.store")


class _Outcome(Protocol):
    """The place for the outcome of a change: a future, or a waiting thread."""

    def set_result(self, result: Any, /) -> None:  # noqa: ANN401 - of any change
        """Give the result."""

    def set_exception(self, exception: BaseException | None, /) -> None:
        """Give the error."""


_Task = tuple[Write[Any], _Outcome]


class _Waiting:
    """A thread in the queue, until its change is committed or it is the next to lead."""

    __slots__ = ("_answer", "_error", "_woken", "is_settled", "leads")

    def __init__(self) -> None:
        self._answer: Any = None
        self._error: BaseException | None = None
        self._woken = threading.Lock()
        self._woken.acquire()
        self.is_settled = False
        self.leads = False

    def set_result(self, result: Any, /) -> None:  # noqa: ANN401 - of any change
        self._answer, self.is_settled = result, True
        self.wake()

    def set_exception(self, exception: BaseException | None, /) -> None:
        self._error, self.is_settled = exception, True
        self.wake()

    def wake(self) -> None:
        """Let the thread go on: to lead, unless its change is settled."""
        self._woken.release()

    def wait(self) -> None:
        self._woken.acquire()

    def result(self) -> Any:  # noqa: ANN401 - of any change
        if self._error is not None:
            raise self._error
        return self._answer


class Committer:
    """The only writer of a database: it commits changes, and keeps the database in shape."""

    def __init__(self, db: Database, medium: Medium) -> None:
        """Take the writing connection, and its medium."""
        self._db = db
        self._waiting: deque[tuple[Write[Any], _Waiting]] = deque()
        self._sent: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._gate = threading.Lock()  # of both queues
        self._turn = threading.Lock()  # held by the thread that writes
        self._is_led = False  # whether a thread in the queue leads
        self._is_closed = False
        self._housework = _Housework(db, medium)
        self._thread = threading.Thread(target=self._work, name="chatkeep-index", daemon=True)
        self._thread.start()

    def write(self, change: Write[_T]) -> _T:
        """Run a change in a transaction, and return its result after the commit.

        Raises:
            IndexLostError: when the index is closed.
        """
        own = _Waiting()
        try:
            if not self._leads(change, own):
                own.wait()
            if not own.is_settled:
                self._lead()
        except BaseException:  # Ctrl-C
            self._leave(own)
            raise
        answer: _T = own.result()
        return answer

    def send(self, change: Write[_T]) -> Future[_T]:
        """Hand a change to the thread of the index; the future has its result after the commit.

        Raises:
            IndexLostError: when the index is closed.
        """
        outcome: Future[_T] = Future()
        with self._gate:
            if self._is_closed:
                raise IndexLostError("closed")
            self._sent.put((change, outcome))
        return outcome

    def close(self) -> None:
        """Commit the changes sent, end the thread, and close the connection; a second call does no harm.

        A thread that is still in the queue by then gets an IndexLostError.
        """
        with self._gate:
            self._is_closed = True
            self._sent.put(None)
        self._thread.join()
        with self._turn:
            self._housework.close()
            with contextlib.suppress(apsw.Error):
                self._db.close()

    def _leads(self, change: Write[Any], own: _Waiting) -> bool:
        """Put a thread into the queue; tell whether it leads."""
        with self._gate:
            if self._is_closed:
                raise IndexLostError("closed")
            self._waiting.append((change, own))
            own.leads, self._is_led = not self._is_led, True
            return own.leads

    def _lead(self) -> None:
        """Commit the changes in the queue, and let the next thread lead."""
        group: list[_Task] = []
        is_due = False
        try:
            with self._gate:
                group += [self._waiting.popleft() for _ in range(min(len(self._waiting), _GROUP_MAX))]
            with self._turn:
                self._commit(group)
                is_due = self._housework.is_due()
        finally:
            self._pass_on(group)
        if is_due:
            with contextlib.suppress(IndexLostError):  # a closed index does its housework at its end
                self.send(_nothing)

    def _pass_on(self, group: Sequence[_Task]) -> None:
        """Let the next thread in the queue lead. Changes of a group that was stopped midway may be made or not."""
        for _, outcome in group:
            if isinstance(outcome, _Waiting) and not outcome.is_settled:
                outcome.set_exception(IndexBehindError())
        with self._gate:
            self._is_led = bool(self._waiting)
            if self._is_led:
                following = self._waiting[0][1]
                following.leads = True
                following.wake()

    def _leave(self, own: _Waiting) -> None:
        """Take a stopped thread out of the queue; if it was to lead, the next one does."""
        with self._gate:
            found = [task for task in self._waiting if task[1] is own]
            for task in found:
                self._waiting.remove(task)
        if found and own.leads:
            self._pass_on(())

    def _commit(self, group: Sequence[_Task]) -> None:
        """Commit the changes in one transaction; if one fails, each in its own, so that the others succeed."""
        try:
            with lost_as_such(), transaction(self._db):
                answers = [change(self._db) for change, _ in group]
        except Exception as error:  # noqa: BLE001 - the outcome hands it to the caller
            if len(group) == 1 or isinstance(error, FAILURES) or self._db.is_building:
                for _, outcome in group:
                    outcome.set_exception(error)
            else:
                for task in group:
                    self._commit([task])
        else:
            for (_, outcome), answer in zip(group, answers, strict=True):
                outcome.set_result(answer)

    def _work(self) -> None:
        while (first := self._next_sent()) is not None:
            group, ended = [first], False
            with contextlib.suppress(queue.Empty):
                while len(group) < _GROUP_MAX:
                    task = self._sent.get_nowait()
                    if task is None:
                        ended = True
                        break
                    group.append(task)
            with self._turn:
                self._commit(group)
            if ended:
                break
        with self._turn:
            self._housework.finish()

    def _next_sent(self) -> _Task | None:
        """Return the next change nobody waits for, None at the end; do the housework until then.

        If very many messages wait to be sealed, the changes wait: else each search of every process would take them
        all in.
        """
        has_sealed = True
        while True:
            self._housework.copy_log()
            with self._turn:
                pause_s, must_seal = self._housework.pause_s(has_sealed=has_sealed)
            if not must_seal or self._is_closed or not has_sealed:
                with contextlib.suppress(queue.Empty):
                    return self._sent.get(timeout=pause_s)
            with self._turn:
                has_sealed = self._housework.seal()


class _PutOff:
    """A block of housework. After any error it is done later: no change fails for it, and no thread ends.

    The next change reports a lost or refusing database. The log names each other kind of error once.
    """

    def __init__(self) -> None:
        self._logged: set[str] = set()

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        """Let an error pass only if it ends the process."""
        if not isinstance(error, Exception):
            return False
        name = type(error).__name__
        if not isinstance(error, FAILURES) and name not in self._logged:
            self._logged.add(name)
            _log.warning("the care for the index is put off: %s", name)
        return True


class _Housework:
    """The care for the database between changes: fresh messages are sealed, the write-ahead log is copied back."""

    def __init__(self, db: Database, medium: Medium) -> None:
        self._put_off = _PutOff()
        self._db = db
        self._medium = medium
        self._sealing: Iterator[None] | None = None
        self._is_awake = False  # whether the thread of the index looks at the fresh messages by itself
        self._counted_at = 0  # rows changed when the fresh messages were last counted
        self._log_pages, self._copied_pages = 0, 0
        self._copying: apsw.Connection | None = None
        db.set_wal_hook(self._committed)

    def is_due(self) -> bool:
        """Tell after a commit whether the thread of the index has to wake up."""
        with self._put_off, lost_as_such():
            return self._is_due()
        return False

    def _is_due(self) -> bool:
        if self._is_log_long():
            if self._log_pages < _LOG_PAGES_MAX:
                return True
            self._copy(self._db)
        changed = self._db.total_changes()
        if self._is_awake or changed - self._counted_at < _COUNTED_AGAIN:
            return False
        self._counted_at = changed
        self._is_awake = self._fresh_count() >= sealing.SEALED_QUIET_FROM
        return self._is_awake

    def pause_s(self, *, has_sealed: bool) -> tuple[float | None, bool]:
        """Return the pause until the next step of sealing, None if nothing is to seal, and whether changes wait."""
        count = self._fresh_count()
        is_due = self._sealing is not None or count >= sealing.SEALED_FROM
        self._is_awake = is_due or count >= sealing.SEALED_QUIET_FROM
        pause_s = _PAUSE_S if is_due and has_sealed else _QUIET_S
        return pause_s if self._is_awake else None, count >= _BEHIND * sealing.SEALED_FROM

    def seal(self) -> bool:
        """Take a step of sealing; tell whether it succeeded. After an error, sealing begins again at the next step."""
        is_done = False
        with self._put_off, lost_as_such():
            self._sealing = self._sealing or sealing.sealing(self._db)
            if next(self._sealing, self) is self:
                self._sealing = None
            is_done = True
        if not is_done:
            self._sealing = None
        return is_done

    def finish(self) -> None:
        """Seal all there is to seal, before the database is closed."""
        while self._medium.is_shared and self._fresh_count() >= sealing.SEALED_FROM and self.seal():
            pass

    def copy_log(self) -> None:
        """Copy a long write-ahead log back into the database, by a connection of its own, beside the changes."""
        with self._put_off, lost_as_such():
            if self._is_log_long() and self._medium.is_in_place():
                self._copying = self._copying or self._medium.connected(cache_kb=_COPY_CACHE_KB)
                self._copy(self._copying)

    def close(self) -> None:
        """Close the connection that copies the log."""
        if self._copying is not None:
            with contextlib.suppress(apsw.Error):
                self._copying.close()

    def _committed(self, _db: apsw.Connection, _name: str, pages: int) -> int:
        """Note the length of the log after a commit; SQLite would copy it back here, and let the change wait."""
        if pages < self._copied_pages:
            self._copied_pages = 0  # the log began anew
        self._log_pages = pages
        return apsw.SQLITE_OK

    def _is_log_long(self) -> bool:
        return self._log_pages - self._copied_pages >= _LOG_PAGES

    def _copy(self, db: apsw.Connection) -> None:
        self._copied_pages = self._log_pages
        with contextlib.suppress(apsw.BusyError):  # another process copies it
            db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)

    def _fresh_count(self) -> int:
        """Return about how many messages wait to be sealed; 0 during a build, which puts them into rows itself."""
        if self._db.bulk is None:
            with self._put_off, lost_as_such():
                return sealing.fresh_count(self._db)
        return 0


def _nothing(_: Database) -> None:
    """Change nothing: only wake the thread of the index."""
