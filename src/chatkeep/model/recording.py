"""Recording of the calls passing through to a model.

Each request has the whole conversation. `Recording.begin` stores it while the model works, and `Recording.finish`
stores the answer. Both rest on `hold`: find where the conversation continues a stored session
(`core.history.recognition`), append the new messages, and make a fork where it leaves the session.

All state is in the store, so recording survives restarts and runs beside other processes. `hold` is idempotent, and it
never changes a stored message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from chatkeep.core.bounds import BATCH_MAX
from chatkeep.core.digest import Digest
from chatkeep.core.history.mending import storable
from chatkeep.core.history.protocols.chat_completions import COMPLETIONS
from chatkeep.core.history.protocols.speaking import ModelProtocol
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
from chatkeep.core.history.trimming import again
from chatkeep.core.keys import parse_key
from chatkeep.core.life.dropping import FORKED_FROM, origin_of_fork
from chatkeep.core.model import Draft, Header, Json, Message, Selection, Session
from chatkeep.errors import (
    BusyError,
    CountConflictError,
    ForbiddenError,
    InvalidError,
    InvalidKeyError,
    SessionNotFoundError,
    TooLargeError,
)
from chatkeep.model.asked import Asked
from chatkeep.model.places import Root, StoredLog, WholeRequest, followed_place, restored, stored_session, whole_of
from chatkeep.model.state.registers import KeptResponse, KeptResponses
from chatkeep.sessions.sessions import Sessions

_BATCH_BYTES: Final = 2 << 20  # bytes of messages in one append
_FORKS_LOOKED_AT: Final = 500  # forks of a root compared by key
_OPENED_ALIKE: Final = 200  # latest sessions with the same opening, searched for one with the same end
_COMPARED: Final = 20  # of them, the most sessions read whole
_STEPS_MAX: Final = 1000  # steps, one for each fork; a bound on the search under constant changes by others
_TAIL: Final = 6  # messages: an answer that was just stored is one of them
_SESSION_KEY: Final = "session_key"

Restore = Callable[[Sequence[Draft]], WholeRequest | None]


class Recording:
    """One call: its conversation, then the answer."""

    def __init__(
        self, sessions: Sessions, root: Root, drafts: Sequence[Draft], protocol: ModelProtocol = COMPLETIONS
    ) -> None:
        """Take the sessions, the root to begin at, and the messages of the request with their protocol."""
        self.key: str | None = None
        self.protocol = protocol
        self.kept: dict[str, Json] | None = None
        """The settings to keep with the response, where Chatkeep keeps it; else None."""
        self._sessions = sessions
        self._root = root
        self._drafts = drafts
        self._held: Held | None = None

    def begin(self) -> None:
        """Store the messages of the request in the session `key`, and free them.

        Raises:
            InvalidKeyError, SessionDamagedError, BusyError, StorageError: when storing fails.
        """
        self._hold(whole_of(self._sessions, self._root, self._drafts, self.protocol))
        self._drafts = ()

    @property
    def root(self) -> Root:
        """The root of the conversation."""
        return self._root

    @property
    def prefix(self) -> str:
        """The prefix of all keys within reach."""
        return self._sessions.prefix

    @property
    def held(self) -> Held | None:
        """The place of the stored request; None before it is stored."""
        return self._held

    def take(self, drafts: Sequence[Draft]) -> None:
        """Take back the messages of the request, after another process failed to store them."""
        self._drafts = drafts

    def go_on(self, held: Held) -> None:
        """Continue at the place where another process stored the request."""
        self._held, self.key, self._root = held, held.key, self._root.of(held.key)

    def forget(self) -> None:
        """Free unstorable messages: neither they nor the answer are tried again."""
        self._drafts = ()

    def finish(self, answer: Draft) -> None:
        """Store the answer, and the request if it is not stored yet; do nothing if its session was deleted.

        If others appended meanwhile, match the whole conversation again.

        Raises:
            InvalidKeyError, SessionDamagedError, BusyError, StorageError: when storing fails.
        """
        if self._held is None and not self._drafts:
            raise BusyError
        if self._held is None:
            self._hold((*whole_of(self._sessions, self._root, self._drafts, self.protocol), answer))
        elif not self.is_behind(answer):
            with suppress(SessionNotFoundError):
                self._match_again(self._held, answer)

    def is_behind(self, answer: Draft) -> bool:
        """Append the answer right behind its stored request; return False when `finish` has to read sessions first.

        Raises:
            InvalidKeyError, SessionDamagedError, BusyError, StorageError: when storing fails.
        """
        held = self._held
        if held is None or held.end < held.count:
            return False
        try:
            self._sessions.append(held.key, [storable(answer)], create=False, expect_count=held.count)
        except CountConflictError:
            return False
        except SessionNotFoundError:  # deleted meanwhile
            return True
        return True

    def keep(self, response_id: str) -> None:
        """Note the place of the stored response, if it is to be kept.

        Raises:
            StorageError: as in `KeptResponses.keep`.
        """
        if self.kept is None or self.key is None:
            return
        last = self._sessions.window(self.key, limit=_TAIL).messages
        end = 0 if self._held is None else self._held.end
        at_end = self._sessions.window(self.key, limit=1, before=end + 1).messages  # of an answer stored before
        for message in (*reversed(last), *at_end):
            told = (message.metadata or {}).get("response_id")
            if message.role == "assistant" and (
                told == response_id or (told and not response_id) or message.seq == end
            ):
                place = KeptResponse(session=self.key, message=message.id, request=self.kept)
                KeptResponses(self._sessions).keep(response_id or f"{told}", place)
                break

    def _match_again(self, held: Held, answer: Draft) -> None:
        stored = stored_session(self._sessions, held.key)
        messages = [message for message in stored.messages if message.seq <= held.end] if stored else ()
        said = [again(message) for message in messages if message.seq not in held.passed_over]
        self._hold((*said, answer))

    def _hold(self, drafts: Sequence[Draft]) -> None:
        # An answer belongs to the session of its request. Another session may have the same words with the same answer
        start = self.key or (self._root.key if self._root.is_named else None)
        restore = None if self.key else partial(restored, self._sessions, self._root)
        try:
            self._held = _walked(self._sessions, self._root.key, drafts, start, restore)
        except (InvalidError, TooLargeError):  # few drafts break a rule, so they are mended only here
            mended = tuple(map(storable, drafts))
            self._held = _walked(self._sessions, self._root.key, mended, start, restore)
        self.key, self._root = self._held.key, self._root.of(self._held.key)


class Held(Struct, frozen=True):
    """The place of a conversation in a session: its last seq `end`, of `count` lines, without those `passed_over`."""

    key: str
    end: int
    count: int
    passed_over: frozenset[int] = frozenset()


def root_of(sessions: Sessions, asked: Asked, named: str | None, by: str) -> Root:
    """Return the root of a conversation: the place that its request goes on behind, else the named key.

    A header or the metadata names a key. Without any of these, the opening and the caller make the key. The request's
    name for the person asking counts as part of the caller; clients often send one name for all work, so it names no
    session. A side call (`core.history.protocols.asides`) has a root without a key.

    Raises:
        InvalidKeyError: when the named key breaks a rule.
        ForbiddenError: when the key lies outside the prefix of `sessions`.
    """
    model = asked.request.get("model")
    root = _root_of(sessions, asked, named, by)
    return root._replace(model=model) if isinstance(model, str) else root


def hold(sessions: Sessions, root: str, drafts: Sequence[Draft], *, start: str | None = None) -> str:
    """Store a whole conversation in one session, and return its key.

    The search begins at `start`; None begins at the session sharing most with it. Each stored session left by the
    conversation costs a step; most conversations leave none.

    Raises:
        InvalidError, SessionDamagedError, StorageError: as in `Sessions.append`.
        BusyError: when others keep changing the session.
    """
    return _walked(sessions, root, drafts, start).key


def _root_of(sessions: Sessions, asked: Asked, named: str | None, by: str) -> Root:
    request, protocol = asked.request, asked.protocol
    if protocol.is_aside(request):
        return Root("")
    if (place := followed_place(sessions, protocol, protocol.follows(request))) is not None:
        return place
    metadata = request.get("metadata")
    field = "X-Session-Key" if named is not None else f"metadata.{_SESSION_KEY}"
    if named is None and isinstance(metadata, dict):
        named = metadata.get(_SESSION_KEY)
    if named is None:
        asker = (by, protocol.asker(request))
        key = opening_key(sessions.prefix or protocol.prefix, asker, asked.drafts)
        return Root(key, is_named=False, asker=asker)
    if not isinstance(named, str):
        raise InvalidKeyError("must be a string", field)
    try:
        key = parse_key(named)
    except InvalidKeyError as error:
        raise InvalidKeyError(error.reason, field) from error
    if not key.startswith(sessions.prefix):
        raise ForbiddenError(f"This token writes only to keys that begin with {sessions.prefix!r}.")
    return Root(key, is_named=True)


def _walked(
    sessions: Sessions, root: str, drafts: Sequence[Draft], start: str | None, restore: Restore | None = None
) -> Held:
    """Store a conversation as `hold` does, and return its place.

    At the first message that leaves a stored session, or has none, `restore` may put back what a client left out.
    """
    talk_count, attempt = len(talk_of(drafts)), 0
    if start in (None, root) and not any(one.role == "assistant" for one in drafts):  # most likely a new one
        with suppress(CountConflictError):
            return _extended(sessions, root, drafts, 0, ())
    key = _first_key(sessions, root, drafts, start)
    left: tuple[StoredLog, Common] | None = None
    for _ in range(_STEPS_MAX):
        stored = stored_session(sessions, key)
        if stored is None and left is not None:
            _fork(sessions, key, *left, drafts)
            continue
        messages, count = (stored.messages, stored.count) if stored else ((), 0)
        found = common(messages, drafts)
        if found.talk_count == talk_count and not found.at_end:
            end = found.messages[-1].seq if found.messages else 0
            return Held(key, end, count, _passed_over(found.messages, end))
        if restore is not None and not (stored is not None and found.at_end):
            whole, restore = restore(drafts), None
            if whole is not None:
                return _walked(sessions, whole.root.key, whole.drafts, whole.start)
        if found.at_end:
            fresh = news(messages, drafts, found.talk_count)
            with suppress(CountConflictError):
                place = Held(key, count, count, _passed_over(found.messages, count))
                return _extended(sessions, key, fresh, count, found.messages) if fresh else place
            continue
        if stored is not None and (left is None or found.talk_count > left[1].talk_count):
            left, attempt = (stored, found), 0
        else:  # an unrelated session has the key
            attempt += 1
        assert left is not None  # noqa: S101 - an unstored conversation leaves its session before its end
        key = fork_key(root, talk_of(drafts)[: left[1].talk_count + 1], attempt)
    raise BusyError


def _first_key(sessions: Sessions, root: str, drafts: Sequence[Draft], start: str | None) -> str:
    """Return the key where a search begins."""
    if start not in (None, root):
        return start or root
    key = _deepest(sessions, root, drafts)
    return _instructed(sessions, root, key, drafts) if start is None else key


def _deepest(sessions: Sessions, root: str, drafts: Sequence[Draft]) -> str:
    """Return the key of the fork sharing most with a conversation, else the root."""
    forks = Selection(prefixes=(forks_prefix(root),), archived=None)
    stored = sessions.keys(forks, limit=_FORKS_LOOKED_AT).keys
    return deepest_fork(root, drafts, frozenset(stored)) or root if stored else root


def _instructed(sessions: Sessions, root: str, key: str, drafts: Sequence[Draft]) -> str:
    """Return the key to continue at, among the sessions with the opening of `key`.

    A related session shares an answer with the conversation, or opened under the same instructions. Of several, the
    most shared messages win, then the most similar instructions. With none related, return the key of a new session.
    """
    first = _kinship(sessions, key, drafts)
    if first is None or first.is_instructed_alike:
        return key
    own = instructed_key(root, drafts)
    others = [own, *(_recent(sessions, root, drafts) if any(one.role == "assistant" for one in drafts) else ())]
    found = [first, *(_kinship(sessions, other, drafts) for other in others if other != key)]
    related = [one for one in found if one is not None and one.is_related]
    if related:
        return max(related).key
    attempts = (instructed_key(root, drafts, attempt) for attempt in range(_STEPS_MAX))
    return next((free for free in attempts if stored_session(sessions, free) is None), own)


class _Kinship(NamedTuple):
    """The common ground of a stored session and a conversation; a greater value shares more."""

    talk_count: int
    is_instructed_alike: bool
    likeness: int
    has_answer: bool
    key: str

    @property
    def is_related(self) -> bool:
        return self.has_answer or (self.is_instructed_alike and self.talk_count > 0)


def _kinship(sessions: Sessions, key: str, drafts: Sequence[Draft]) -> _Kinship | None:
    stored = stored_session(sessions, key)
    if stored is None:
        return None
    found, is_alike = common(stored.messages, drafts), is_instructed_alike(stored.messages, drafts)
    alike = 0 if is_alike else likeness(stored.messages, drafts)
    return _Kinship(found.talk_count, is_alike, alike, found.has_answer, key)


def _recent(sessions: Sessions, root: str, drafts: Sequence[Draft]) -> list[str]:
    """Return up to 20 keys of sessions with the same opening: those ending where the request does, else the latest."""
    now = sessions.now()
    last = max(place for place, one in enumerate(drafts) if one.role == "assistant")
    before = [
        Message(**{**msgspec.structs.asdict(one), "seq": place, "sent_at": now, "id": f"{place}"})
        for place, one in enumerate(drafts[: last + 1], start=1)
    ]
    digest = Digest().plus(*before)
    ends_in = digest.preview or digest.preview_hint
    listed = sessions.list(Selection(prefixes=(root,), archived=None), limit=_OPENED_ALIKE).sessions
    matching = [one.header.key for one in listed if one.preview == ends_in]
    return (matching or [one.header.key for one in listed])[:_COMPARED]


def _extended(
    sessions: Sessions, key: str, drafts: Sequence[Draft], line_count: int, shared: Sequence[Message]
) -> Held:
    """Append to a session with so many lines, which has `shared` with the conversation; return the place."""
    count = line_count
    for batch in _batches(drafts):
        sessions.append(key, batch, expect_count=count)
        count += len(batch)
    return Held(key, count, count, _passed_over(shared, line_count))


def _batches(drafts: Sequence[Draft]) -> Iterator[list[Draft]]:
    """Yield the messages in batches: each takes little memory, and other writers get a turn in between."""
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
    except ValueError:  # a lone surrogate: `append` will refuse it
        return 0


def _passed_over(shared: Sequence[Message], end: int) -> frozenset[int]:
    """Return the seqs up to `end` of cut-off answers, absent from the shared messages."""
    if len(shared) == end:
        return frozenset()
    return frozenset(range(1, end + 1)) - {message.seq for message in shared}


def _fork(sessions: Sessions, key: str, parent: StoredLog, found: Common, drafts: Sequence[Draft]) -> None:
    """Create a session with the shared messages and the first of its own, atomically.

    The message ids are made from the key, so two callers making one fork at a time store it once.
    """
    now = sessions.now()
    own = talk_of(drafts)[found.talk_count]
    until = next(place for place, one in enumerate(drafts) if one is own) + 1
    shared = found.messages
    fresh = news(shared, drafts[:until], found.talk_count)
    ids = [f"fork.{key[-12:]}{f'.{before}' if before else ''}" for before in reversed(range(len(fresh)))]
    new = (
        Message(**{**msgspec.structs.asdict(one), "seq": len(shared) + place, "sent_at": now, "id": made_id})
        for place, (one, made_id) in enumerate(zip(fresh, ids, strict=True), start=1)
    )
    messages = (*(msgspec.structs.replace(one, drops=None) for one in shared), *new)
    last = shared[-1].seq if shared else 0
    origin = origin_of_fork(parent.header.key, last, len(shared))  # answers that were cut off stay behind
    header = Header(
        key=key,
        channel=parent.header.channel,
        title=None,
        created_at=min(message.sent_at for message in messages),
        metadata={FORKED_FROM: origin},
    )
    sessions.merge(Session(header=header, messages=messages))
