# Made from async_session_log.py by `make client`: change that one
"""The verbs about the messages of one session and its beginning, and about people with several sessions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from chatkeep.client import queries
from chatkeep.client.calls import people_calls
from chatkeep.client.calls import session_calls as calls
from chatkeep.client.messages import Appendable, drafts_of
from chatkeep.client.sync_connection import Connection
from chatkeep.core.history.windows import Window
from chatkeep.core.life.compacting import Compacted
from chatkeep.core.life.dropping import Chosen, Created, Dropped, Mark, NewSession
from chatkeep.core.life.people import Person, PersonHistory
from chatkeep.core.life.trashing import Trashed
from chatkeep.core.model import Appended, Message, Summary
from chatkeep.core.paging import LIST_LIMIT_DEFAULT


class SessionLog:
    """A part of the client: what is said in a session, and taken back."""

    _connection: Connection

    def append(
        self,
        key: str | None,
        drafts: Appendable | Iterable[Appendable],
        *,
        channel: str | None = None,
        create: bool = True,
        expect_count: int | None = None,
    ) -> Appended:
        """Store 1 to 1000 messages at the end of a session, all or none; return their places.

        A message is a dict (`{"role": "user", "content": "Hello"}`), a `Draft`, or a message object of a model's SDK,
        anything with `model_dump`. A missing session is created, unless `create` is false, in `channel` or the channel
        in its key. Without a key the server makes one. With `expect_count` nothing is stored unless the session has as
        many lines. A message with a stored id keeps its place. The seqs in its `drops` no longer stand.

        Raises:
            InvalidError: for anything but a message, with the field. TooLargeError: for a message over 16 MiB.
            SessionNotFoundError: when there is no such session and `create` is false.
            MessageConflictError: when an id is taken by other content.
            CountConflictError: when the session has not `expect_count` lines.
            SessionDamagedError: when the session's file cannot be read whole.
        """
        call = calls.append(key, drafts_of(drafts), channel=channel, create=create, expect_count=expect_count)
        return self._connection.answer(call)

    def replace(
        self,
        key: str,
        drafts: Appendable | Iterable[Appendable],
        *,
        create: bool = True,
        mark: Mark = Mark(),  # noqa: B008 - an immutable value
        expect_count: int | None = None,
    ) -> Appended:
        """Replace everything that stands by at most 10,000 messages, in one append; return their places.

        The messages that begin both alike stay: the same ids and content, or the same content without an id. What goes
        stays in the log (`window(..., log=True)`). A missing session is created, unless `create` is false.

        Raises:
            InvalidError: for anything but messages, and for messages with drops of their own.
            SessionNotFoundError: when there is no such session, and `create` is false or there are no messages.
            MessageConflictError: when a new message has an id of the log.
            CountConflictError: when the session has not `expect_count` lines.
            SessionDamagedError: when the session's file cannot be read whole.
        """
        call = calls.replace_all(
            key, drafts_of(drafts), create=create, mark=calls.with_mark(mark), expect_count=expect_count
        )
        return self._connection.answer(call)

    def drop(
        self,
        key: str,
        lines: Chosen,
        *,
        mark: Mark = Mark(),  # noqa: B008 - an immutable value
        expect_count: int | None = None,
    ) -> Dropped:
        """Take back lines of a session: `Chosen(last=1)`, `Chosen(seqs=SeqRange(5, 6))`, `Chosen(id="a")`, everything.

        They stay in the log, and stand no more. The id of the `mark` is made here, so a retry drops nothing more; its
        time is the server's.

        Raises:
            InvalidError: for a choice of several kinds, or a number out of range.
            MessageNotFoundError: when nothing chosen stands. SessionNotFoundError: when there is no such session.
            MessageConflictError: when another line has the id of the mark.
            CountConflictError: when the session has not `expect_count` lines.
            SessionDamagedError: when the session's file cannot be read whole.
        """
        call = calls.drop_lines(key, lines, mark=calls.with_mark(mark), expect_count=expect_count)
        return self._connection.answer(call)

    def create(self, new: NewSession) -> Created:
        """Begin a session with its header and first messages, all or nothing; without a key the server makes one.

        The client sends the call once. After an UnreachableError `get` tells whether the session is there.

        Raises:
            SessionExistsError: when there is a session with this key.
            InvalidError: for a value against a rule. MessageConflictError: for an id twice.
        """
        return self._connection.answer(calls.begin_session(new))

    def compact(self, keys: Iterable[str]) -> tuple[Compacted, ...]:
        """Erase the dropped lines of these sessions for good; return how much went, session by session.

        Raises:
            SessionNotFoundError: when there is no such session.
            SessionDamagedError: when a session's file cannot be read whole.
        """
        done: list[Compacted] = []
        for portion in queries.portions(keys):
            erased = self._connection.answer(calls.compact(portion))
            done += erased
        return tuple(done)

    def trash(self, prefix: str = "") -> tuple[Trashed, ...]:
        """Return the sessions in the trash whose keys begin so, the last deleted first."""
        return self._connection.answer(calls.trash(prefix))

    def restore(self, key: str, *, trash_id: str | None = None) -> Summary:
        """Bring a session back from the trash: the last deleted of its key, or that of an id.

        Raises:
            SessionNotFoundError: when the trash has none.
            SessionExistsError: when there is a session with its key again.
        """
        return self._connection.answer(calls.restore_trashed_session(key, trash_id=trash_id))

    def purge(
        self, prefix: str = "", *, keys: Sequence[str] | None = None, before: datetime | None = None
    ) -> tuple[Trashed, ...]:
        """Remove sessions from the trash for good, and return them: those of the keys.

        Without keys, those whose keys begin so and that were deleted before a time; without either, all.

        Raises:
            SessionNotFoundError: when the trash has none of a key; nothing is removed then.
            InvalidError: for keys beside a prefix or a time, and for more than 10,000 keys; nothing is removed then.
        """
        return self._connection.answer(calls.purge(prefix, keys=keys, before=before))

    def fork(self, key: str, *, seq: int | None = None, new_key: str | None = None) -> Created:
        """Begin a session with what stands of another one, up to a seq; its metadata tell so in `forked_from`.

        Its messages keep ids and times, and are numbered anew. The client sends the call once.

        Raises:
            MessageNotFoundError: when the session has no line with this seq.
            SessionNotFoundError, SessionDamagedError: when there is none, or nothing of it can be read.
            SessionExistsError: when there is a session with the new key.
        """
        return self._connection.answer(calls.fork(key, seq=seq, new_key=new_key))

    def message(self, key: str, message_id: str, *, log: bool = False, inline: bool = True) -> Message:
        """Return the message with an id, if it stands and is no event; with `log`, a line of any kind.

        Without `inline` large attachments have names in it, and `attachment` returns their bytes.

        Raises:
            MessageNotFoundError: when there is none.
            SessionNotFoundError, SessionDamagedError: when there is no session, or nothing of it can be read.
        """
        return self._connection.answer(calls.message(key, message_id, log=log, inline=inline))

    def window(  # noqa: PLR0913 - the parameters of the query
        self,
        key: str,
        *,
        limit: int | None = None,
        before: int | None = None,
        after: int | None = None,
        max_tokens: int | None = None,
        reasoning: bool = False,
        log: bool = False,
        inline: bool = True,
    ) -> Window:
        """Return neighbouring messages, oldest first: the newest, or those next to a seq.

        `limit` is 1 to 500: 50 if left out, 500 with `max_tokens`. `before` and `after` are seqs, exclusive. With
        `max_tokens` the window has the newest that fit, by an estimate, without the reasoning of models unless
        `reasoning` is true. Its `for_openai()` and `for_anthropic()` give dicts for a model. With `log` every line
        counts, events and dropped ones too. Without `inline` large attachments have names in the messages, as in
        `message`.

        Raises:
            SessionNotFoundError, SessionDamagedError: when there is none, or nothing of it can be read.
            InvalidError: for numbers out of range, and for `after` or `log` together with `max_tokens`.
        """
        bounds = {"limit": limit, "before": before, "after": after, "max_tokens": max_tokens}
        return self._connection.answer(
            calls.window(key, {**bounds, "reasoning": reasoning or None, "log": log or None, "inline": inline or None})
        )

    def attachment(self, sha256: str) -> bytes:
        """Return the bytes of an attachment by the hash in its name.

        Raises:
            BlobNotFoundError: when no session that the token sees names one with this hash.
        """
        return self._connection.answer(calls.attachment(sha256))

    def people(self) -> tuple[Person, ...]:
        """Return the people with sessions that the token sees, by name, each with the keys of these."""
        return self._connection.answer(people_calls.people())

    def link(self, name: str, keys: Sequence[str]) -> Person:
        """Link sessions to a person, and return the person; no session changes.

        Raises:
            SessionNotFoundError: when one is not there; nothing is linked then.
            ConflictError: when one belongs to another person; nothing is linked then.
        """
        return self._connection.answer(people_calls.link(name, keys))

    def unlink(self, keys: Sequence[str]) -> tuple[str, ...]:
        """Let sessions belong to nobody, also those deleted since; return their keys.

        Raises:
            NotFoundError: when one of them belongs to nobody; nothing changes then.
        """
        return self._connection.answer(people_calls.unlink(keys))

    def person_history(self, name: str, *, limit: int = LIST_LIMIT_DEFAULT, cursor: str | None = None) -> PersonHistory:
        """Return the newest messages of a person over all sessions, merged by time, oldest first.

        With the `next_cursor` of a page it returns those before it.

        Raises:
            NotFoundError: when nobody within reach has the name.
            InvalidCursorError: when the links of the person have changed since.
        """
        return self._connection.answer(people_calls.person_history(name, limit=limit, cursor=cursor))
