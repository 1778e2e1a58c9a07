"""Recording what any client says to a model, by what passes through.

A request brings the whole conversation. `Recording.begin` has it stored while the model is asked,
`Recording.finish` the answer after it; both come down to `hold`, which finds where the conversation goes
on with what is stored (`core.recognition`), appends what is new, and makes a fork where it leaves a stored
session. It remembers nothing: what it needs is in the store, so it goes on after a restart and beside
other processes, and to hold what is held changes nothing. Nothing that is stored is ever changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from chatkeep.core.bounds import BATCH_MAX
from chatkeep.core.completions import END, Answer, storable
from chatkeep.core.keys import parse_key
from chatkeep.core.model import Draft, Header, Json, Message, Selection, Session
from chatkeep.core.recognition import common, deepest_fork, fork_key, forks_prefix, opening_key
from chatkeep.core.sse import MEDIA_TYPE, EventReader
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
ANSWER_BYTES_MAX: Final = 64 << 20
_FORKS_LOOKED_AT: Final = 500
_STEPS_MAX: Final = 1000
_SESSION_KEY: Final = "session_key"


class Recording:
    """One call: the conversation that its request brings, and then the answer to it."""

    def __init__(self, sessions: Sessions, root: str, drafts: Sequence[Draft]) -> None:
        """Take the sessions to store in, the key to begin at, and the messages of the request."""
        self.key: str | None = None
        self._sessions = sessions
        self._root = root
        self._drafts = drafts

    def begin(self) -> None:
        """Have the messages of the request stored, in the session `key`.

        Raises:
            InvalidKeyError, SessionDamagedError, BusyError, StorageError: when they cannot be.
        """
        self._hold()

    def finish(self, answer: Draft) -> None:
        """Have the answer stored, and the request if it is not; nothing if its session was deleted meanwhile.

        Raises:
            InvalidKeyError, SessionDamagedError, BusyError, StorageError: when it cannot be.
        """
        if self.key is None or _stored(self._sessions, self.key):
            self._drafts = (*self._drafts, answer)
            self._hold()

    def _hold(self) -> None:
        try:
            self.key = hold(self._sessions, self._root, self._drafts)
        except (InvalidError, TooLargeError):  # few messages are such that they must be looked at before
            self._drafts = tuple(map(storable, self._drafts))
            self.key = hold(self._sessions, self._root, self._drafts)


class Tape:
    """What has passed of an answer. Nothing that passes is too odd for it."""

    def __init__(self, content_type: str) -> None:
        """Begin before the first byte of an answer of this media type."""
        self._answer = Answer()
        self._events = EventReader(bytes_max=ANSWER_BYTES_MAX) if content_type.startswith(MEDIA_TYPE) else None
        self._whole = bytearray()
        self._size = 0

    @property
    def is_complete(self) -> bool:
        """Whether the answer has come to its end."""
        return self._answer.is_complete

    def add(self, piece: bytes) -> None:
        """Take in what has passed."""
        self._size += len(piece)
        if self._size > ANSWER_BYTES_MAX:
            self._answer.fail()
        elif self._events is None:
            self._whole += piece
        else:
            for event in self._events.read(piece):
                self._take(event.data)

    def close(self) -> None:
        """Take note that no more comes: what is whole by itself is complete."""
        if self._events is not None:
            for event in self._events.end():
                self._take(event.data)
        elif self._whole:
            self._take(bytes(self._whole))
            self._answer.end()

    def draft(self, latency_ms: int, cut: str) -> Draft | None:
        """Return the answer as a message, None when nothing was said; `cut` is why, if it is not complete."""
        facts: dict[str, Json] = {"latency_ms": latency_ms}
        if not self.is_complete:
            facts |= {"partial": True, "reason": cut}
        return self._answer.draft(facts)

    def _take(self, event: bytes) -> None:
        if event == END:
            self._answer.end()
            return
        try:
            self._answer.add(_decoded(event))
        except (ValueError, RecursionError):
            self._answer.fail()


def _decoded(event: bytes) -> Json:
    try:
        return msgspec.json.decode(event)
    except msgspec.DecodeError:  # half a pair of surrogates is JSON, too, and no reason to lose an answer
        return json.loads(event)


def root_key(
    sessions: Sessions, request: Mapping[str, Json], drafts: Sequence[Draft], named: str | None, by: str
) -> str:
    """Return the key that a conversation begins at: a header or its metadata names it, else how it opens, and who asks.

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
        return opening_key(sessions.prefix or PREFIX, (by, str(request.get("user"))), drafts)
    if not isinstance(named, str):
        raise InvalidKeyError("must be a string", field)
    try:
        key = parse_key(named)
    except InvalidKeyError as error:
        raise InvalidKeyError(error.reason, field) from error
    if not key.startswith(sessions.prefix):
        raise ForbiddenError(f"This token writes only to keys that begin with {sessions.prefix!r}.")
    return key


def hold(sessions: Sessions, root: str, drafts: Sequence[Draft]) -> str:
    """Have a conversation stored whole in one session, and return its key.

    It takes a step for each stored session that the conversation leaves; most leave none.

    Raises:
        InvalidError, SessionDamagedError, StorageError: as `Sessions.append` says.
        BusyError: when others change the session all the time.
    """
    key, attempt = _start(sessions, root, drafts), 0
    if not any(said.role == "assistant" for said in drafts):  # most likely a new conversation: nothing to look at
        with suppress(CountConflictError):
            return _extended(sessions, key, drafts, 0)
    left: tuple[Session, tuple[Message, ...]] | None = None
    for _ in range(_STEPS_MAX):
        stored = _stored(sessions, key)
        if stored is None and left is not None:
            _fork(sessions, key, *left, drafts[len(left[1])])
            continue
        messages = stored.messages if stored else ()
        found = common(messages, drafts)
        shared = len(found.messages)
        if shared == len(drafts):
            return key
        if stored is None or found.at_end:
            with suppress(CountConflictError):
                return _extended(sessions, key, drafts[shared:], len(messages))
            continue
        if left is None or shared > len(left[1]):
            left, attempt = (stored, found.messages), 0
        else:  # somebody else's session has the key
            attempt += 1
        key = fork_key(root, (*left[1], drafts[len(left[1])]), attempt)
    raise BusyError


def _start(sessions: Sessions, root: str, drafts: Sequence[Draft]) -> str:
    """Return the key of the session to look at first: the fork that goes furthest, else the root."""
    forks = Selection(prefixes=(forks_prefix(root),), archived=None)
    stored = sessions.keys(forks, limit=_FORKS_LOOKED_AT).keys
    return deepest_fork(root, drafts, frozenset(stored)) or root if stored else root


def _stored(sessions: Sessions, key: str) -> Session | None:
    try:
        return sessions.read(key)
    except SessionNotFoundError:
        return None


def _extended(sessions: Sessions, key: str, drafts: Sequence[Draft], count: int) -> str:
    """Append to a session of so many messages, and return its key."""
    for start in range(0, len(drafts), BATCH_MAX):
        sessions.append(key, drafts[start : start + BATCH_MAX], expect_count=count + start)
    return key


def _fork(sessions: Sessions, key: str, parent: Session, shared: Sequence[Message], draft: Draft) -> None:
    """Create a session that begins as another one and leaves it with this message, at once or not at all.

    The message's id is made from the key: whoever makes the same fork at the same time adds nothing.
    """
    now = sessions.now()
    own = Message(
        **{**msgspec.structs.asdict(draft), "seq": len(shared) + 1, "sent_at": now, "id": f"fork.{key[-12:]}"}
    )
    messages = (*shared, own)
    header = Header(
        key=key,
        channel=parent.header.channel,
        title=None,
        created_at=min(message.sent_at for message in messages),
        metadata={FORKED_FROM: {"session": parent.header.key, "seq": shared[-1].seq if shared else 0}},
    )
    sessions.merge(Session(header=header, messages=messages))
