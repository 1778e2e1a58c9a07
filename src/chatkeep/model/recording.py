"""Recording what any client says to a model, by what passes through.

A request brings the whole conversation. `Recording.begin` has it stored while the model is asked,
`Recording.finish` the answer after it; both come down to `hold`, which finds where the conversation goes
on with what is stored (`core.recognition`), appends what is new, and makes a fork where it leaves a stored
session. It remembers nothing: what it needs is in the store, so it goes on after a restart and beside
other processes, and to hold what is held changes nothing. Nothing that is stored is ever changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from chatkeep.core.bounds import BATCH_MAX
from chatkeep.core.history.mending import storable
from chatkeep.core.history.recognition import (
    Common,
    common,
    deepest_fork,
    fork_key,
    forks_prefix,
    instructed_key,
    is_instructed_alike,
    likeness,
    news,
    opening_key,
    talk_of,
)
from chatkeep.core.keys import parse_key
from chatkeep.core.model import Digest, Draft, Header, Json, Message, Selection, Session
from chatkeep.errors import (
    BusyError,
    CountConflictError,
    ForbiddenError,
    InvalidError,
    InvalidKeyError,
    SessionNotFoundError,
    TooLargeError,
)
from chatkeep.sessions import Sessions

PREFIX: Final = "openai:"
FORKED_FROM: Final = "forked_from"
_BATCH_BYTES: Final = 2 << 20
_FORKS_LOOKED_AT: Final = 500
_OPENED_ALIKE: Final = 200  # sessions that open alike, the latest, among which one that ends alike is looked for
_COMPARED: Final = 20  # of them, which are read
_STEPS_MAX: Final = 1000
_SESSION_KEY: Final = "session_key"


class Recording:
    """One call: the conversation that its request brings, and then the answer to it."""

    def __init__(self, sessions: Sessions, root: str, drafts: Sequence[Draft], *, is_named: bool = False) -> None:
        """Take the sessions to store in, the key to begin at, whether it was named, and the messages of the request."""
        self.key: str | None = None
        self._sessions = sessions
        self._root = root
        self._is_named = is_named
        self._drafts = drafts
        self._held: Held | None = None

    def begin(self) -> None:
        """Have the messages of the request stored, in the session `key`, and let go of them.

        Raises:
            InvalidKeyError, SessionDamagedError, BusyError, StorageError: when they cannot be.
        """
        self._hold(self._drafts)
        self._drafts = ()

    @property
    def held(self) -> Held | None:
        """Where the request is stored, None when it is not."""
        return self._held

    def take(self, drafts: Sequence[Draft]) -> None:
        """Take the messages of the request, which were to be stored elsewhere."""
        self._drafts = drafts

    def go_on(self, held: Held) -> None:
        """Go on where the request was stored by another process."""
        self._held, self.key = held, held.key

    def forget(self) -> None:
        """Let go of messages that could not be stored: they, and so the answer, are not tried again."""
        self._drafts = ()

    def finish(self, answer: Draft) -> None:
        """Have the answer stored, and the request if it is not; nothing if its session was deleted meanwhile.

        Raises:
            InvalidKeyError, SessionDamagedError, BusyError, StorageError: when it cannot be.
        """
        if self._held is None and not self._drafts:
            raise BusyError
        if self._held is None:
            self._hold((*self._drafts, answer))
            return
        with suppress(SessionNotFoundError):
            self._go_on(self._held, answer)

    def _go_on(self, held: Held, answer: Draft) -> None:
        """Append the answer where the request ended; only when somebody else went on there, look at all of it."""
        if held.end == held.count:
            with suppress(CountConflictError):
                self._sessions.append(held.key, [storable(answer)], create=False, expect_count=held.count)
                return
        messages = self._sessions.read(held.key).messages[: held.end]
        said = [_again(message) for message in messages if message.seq not in held.passed_over]
        self._hold((*said, answer))

    def _hold(self, drafts: Sequence[Draft]) -> None:
        # The answer belongs to the session of its request: elsewhere the same may have been answered to the same words
        start = self.key or (self._root if self._is_named else None)
        try:
            self._held = _held(self._sessions, self._root, drafts, start)
        except (InvalidError, TooLargeError):  # few messages are such that they must be looked at before
            self._held = _held(self._sessions, self._root, tuple(map(storable, drafts)), start)
        self.key = self._held.key


class Held(Struct, frozen=True):
    """Where a conversation is stored: up to which message of how many of a session, but for those passed over."""

    key: str
    end: int
    count: int
    passed_over: frozenset[int] = frozenset()


class Root(NamedTuple):
    """The key that a conversation begins at, and whether its client named it."""

    key: str
    is_named: bool


def root_of(
    sessions: Sessions, request: Mapping[str, Json], drafts: Sequence[Draft], named: str | None, by: str
) -> Root:
    """Return where a conversation begins: a header or its metadata names it, else how it opens, and who asks.

    The field `user` is part of who asks. It is often the same for all that a person does, so it names no session.

    Raises:
        InvalidKeyError: when the key that is named cannot be one.
        ForbiddenError: when it lies outside the prefix that the sessions are confined to.
    """
    metadata = request.get("metadata")
    field = "X-Session-Key" if named is not None else f"metadata.{_SESSION_KEY}"
    if named is None and isinstance(metadata, dict):
        named = metadata.get(_SESSION_KEY)
    if named is None:
        key = opening_key(sessions.prefix or PREFIX, (by, str(request.get("user"))), drafts)
        return Root(key, is_named=False)
    if not isinstance(named, str):
        raise InvalidKeyError("must be a string", field)
    try:
        key = parse_key(named)
    except InvalidKeyError as error:
        raise InvalidKeyError(error.reason, field) from error
    if not key.startswith(sessions.prefix):
        raise ForbiddenError(f"This token writes only to keys that begin with {sessions.prefix!r}.")
    return Root(key, is_named=True)


def hold(sessions: Sessions, root: str, drafts: Sequence[Draft], *, start: str | None = None) -> str:
    """Have a conversation stored whole in one session, and return its key.

    `start` is the session to begin at, None for that which shares most with it. It takes a step for each stored
    session that the conversation leaves; most leave none.

    Raises:
        InvalidError, SessionDamagedError, StorageError: as `Sessions.append` says.
        BusyError: when others change the session all the time.
    """
    return _held(sessions, root, drafts, start).key


def _held(sessions: Sessions, root: str, drafts: Sequence[Draft], start: str | None) -> Held:
    """Have a conversation stored as `hold` says, and return where."""
    talk_count, attempt = len(talk_of(drafts)), 0
    if start in (None, root) and not any(said.role == "assistant" for said in drafts):  # most likely a new one
        with suppress(CountConflictError):
            return _extended(sessions, root, drafts, (), ())
    key = _deepest(sessions, root, drafts) if start in (None, root) else start or root
    if start is None:
        key = _instructed(sessions, root, key, drafts)
    left: tuple[Session, Common] | None = None
    for _ in range(_STEPS_MAX):
        stored = _stored(sessions, key)
        if stored is None and left is not None:
            _fork(sessions, key, *left, drafts)
            continue
        messages = stored.messages if stored else ()
        found = common(messages, drafts)
        if found.talk_count == talk_count and not found.at_end:
            end = found.messages[-1].seq if found.messages else 0
            return Held(key, end, len(messages), _passed_over(found.messages, end))
        if found.at_end:
            fresh = news(messages, drafts, found.talk_count)
            if not fresh:
                return Held(key, len(messages), len(messages), _passed_over(found.messages, len(messages)))
            with suppress(CountConflictError):
                return _extended(sessions, key, fresh, messages, found.messages)
            continue
        if stored is not None and (left is None or found.talk_count > left[1].talk_count):
            left, attempt = (stored, found), 0
        else:  # somebody else's session has the key
            attempt += 1
        assert left is not None  # noqa: S101 - what is not stored ends nowhere before its end
        key = fork_key(root, talk_of(drafts)[: left[1].talk_count + 1], attempt)
    raise BusyError


def _deepest(sessions: Sessions, root: str, drafts: Sequence[Draft]) -> str:
    """Return the key of the fork that goes furthest with a conversation, else the root."""
    forks = Selection(prefixes=(forks_prefix(root),), archived=None)
    stored = sessions.keys(forks, limit=_FORKS_LOOKED_AT).keys
    return deepest_fork(root, drafts, frozenset(stored)) or root if stored else root


def _instructed(sessions: Sessions, root: str, key: str, drafts: Sequence[Draft]) -> str:
    """Return the key of the session that a conversation goes on with, which opens as the one at `key` does.

    It shares an answer with the conversation, or opened under the same instructions. Of several it is the one that
    shares most, then the one whose instructions are most similar. Without any, the key of a new session.
    """
    first = _kinship(sessions, key, drafts)
    if first is None or first.is_instructed_alike:
        return key
    own = instructed_key(root, drafts)
    others = [own, *(_recent(sessions, root, drafts) if any(said.role == "assistant" for said in drafts) else ())]
    found = [first, *(_kinship(sessions, other, drafts) for other in others if other != key)]
    related = [one for one in found if one is not None and one.is_related]
    if related:
        return max(related).key
    attempts = (instructed_key(root, drafts, attempt) for attempt in range(_STEPS_MAX))
    return next((free for free in attempts if _stored(sessions, free) is None), own)


class _Kinship(NamedTuple):
    """What a stored session has in common with a conversation: the more, the greater."""

    talk_count: int
    is_instructed_alike: bool
    likeness: int
    has_answer: bool
    key: str

    @property
    def is_related(self) -> bool:
        return self.has_answer or (self.is_instructed_alike and self.talk_count > 0)


def _kinship(sessions: Sessions, key: str, drafts: Sequence[Draft]) -> _Kinship | None:
    stored = _stored(sessions, key)
    if stored is None:
        return None
    found, is_alike = common(stored.messages, drafts), is_instructed_alike(stored.messages, drafts)
    alike = 0 if is_alike else likeness(stored.messages, drafts)
    return _Kinship(found.talk_count, is_alike, alike, found.has_answer, key)


def _recent(sessions: Sessions, root: str, drafts: Sequence[Draft]) -> list[str]:
    """Return some keys of sessions that open alike: those that end where the conversation goes on, else the latest."""
    now = sessions.now()
    last = max(place for place, said in enumerate(drafts) if said.role == "assistant")
    before = [
        Message(**{**msgspec.structs.asdict(said), "seq": place, "sent_at": now, "id": f"{place}"})
        for place, said in enumerate(drafts[: last + 1], start=1)
    ]
    digest = Digest().plus(*before)
    ends_in = digest.preview or digest.preview_hint
    listed = sessions.list(Selection(prefixes=(root,), archived=None), limit=_OPENED_ALIKE).sessions
    matching = [one.header.key for one in listed if one.preview == ends_in]
    return (matching or [one.header.key for one in listed])[:_COMPARED]


def _stored(sessions: Sessions, key: str) -> Session | None:
    try:
        return sessions.read(key)
    except SessionNotFoundError:
        return None


def _extended(
    sessions: Sessions, key: str, drafts: Sequence[Draft], stored: Sequence[Message], shared: Sequence[Message]
) -> Held:
    """Append to a session of these messages, which shares some, and return where the conversation is."""
    count = len(stored)
    for batch in _batches(drafts):
        sessions.append(key, batch, expect_count=count)
        count += len(batch)
    return Held(key, count, count, _passed_over(shared, len(stored)))


def _batches(drafts: Sequence[Draft]) -> Iterator[list[Draft]]:
    """Yield the messages in parts: stored one after the other, they take little memory, and others come between."""
    batch: list[Draft] = []
    room = _BATCH_BYTES
    for draft in drafts:
        size = _size_of(draft)
        if batch and (size > room or len(batch) == BATCH_MAX):
            yield batch
            batch, room = [], _BATCH_BYTES
        batch.append(draft)
        room -= size
    yield batch


def _size_of(draft: Draft) -> int:
    try:
        return len(msgspec.json.encode(draft))
    except ValueError:  # it has half a character, and will be refused
        return 0


def _passed_over(shared: Sequence[Message], end: int) -> frozenset[int]:
    """Return which messages up to that one are answers that were cut off, and not among those that are shared."""
    if len(shared) == end:
        return frozenset()
    return frozenset(range(1, end + 1)) - {message.seq for message in shared}


def _again(message: Message) -> Draft:
    """Return a stored message as the client said it."""
    fields = msgspec.structs.asdict(message)
    del fields["seq"], fields["extra"]
    return Draft(**fields | {"id": None, "sent_at": None})


def _fork(sessions: Sessions, key: str, parent: Session, found: Common, drafts: Sequence[Draft]) -> None:
    """Create a session that begins as another one and leaves it with a message of its own, at once or not at all.

    The messages' ids are made from the key: whoever makes the same fork at the same time adds nothing.
    """
    now = sessions.now()
    own = talk_of(drafts)[found.talk_count]
    until = next(place for place, said in enumerate(drafts) if said is own) + 1
    shared = found.messages
    fresh = news(shared, drafts[:until], found.talk_count)
    ids = [f"fork.{key[-12:]}{f'.{before}' if before else ''}" for before in reversed(range(len(fresh)))]
    said = (
        Message(**{**msgspec.structs.asdict(one), "seq": len(shared) + place, "sent_at": now, "id": made_id})
        for place, (one, made_id) in enumerate(zip(fresh, ids, strict=True), start=1)
    )
    messages = (*shared, *said)
    header = Header(
        key=key,
        channel=parent.header.channel,
        title=None,
        created_at=min(message.sent_at for message in messages),
        metadata={FORKED_FROM: {"session": parent.header.key, "seq": shared[-1].seq if shared else 0}},
    )
    sessions.merge(Session(header=header, messages=messages))
