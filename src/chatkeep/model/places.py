"""The place of a request in the store: the root of its conversation, and the messages that it leaves to the server.

Most requests have their whole conversation. A request of Responses may go on behind an answer, or at the end of a
conversation, and bring only the new messages. It may also name single items by their ids. Chatkeep then looks for the
stored messages. The search is bounded; a request that it does not find becomes a conversation of its own.

Other clients leave out older messages, to stay within a model's window. A named session goes on whatever its client
leaves out. A request without a name goes on with a session only if both come from one caller, and share so much that
chance is out of the question (`Overlap.is_sure`). Two such sessions leave it open, and then it becomes a conversation
of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import takewhile
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from chatkeep.core.digest import Digest
from chatkeep.core.history.protocols.speaking import Follows, ModelProtocol
from chatkeep.core.history.recognition import (
    DIGEST_CHARS,
    common,
    forks_prefix,
    is_same,
    may_be_instructed_alike,
    opening_key,
)
from chatkeep.core.history.state.conversation_ids import key_of_conversation
from chatkeep.core.history.trimming import Overlap, again, overlap, whole
from chatkeep.core.history.turns import PROMPT_ROLES
from chatkeep.core.model import Draft, Header, Message, Selection
from chatkeep.core.standing import said
from chatkeep.errors import SessionDamagedError, SessionNotFoundError
from chatkeep.model.state.registers import KeptResponses
from chatkeep.sessions.sessions import Sessions

_END: Final = 1 << 62  # behind every message
_PAGE: Final = 20  # sessions listed at a time
_RECENT: Final = 200  # latest sessions whose last messages are looked at for an answer
_TAIL: Final = 6  # messages: an answer, and the outputs of its tools, stand this near the end
_READ_WHOLE: Final = 20  # latest sessions read whole for an older answer, or for items
_FORKS: Final = 20  # latest forks of a named session looked at for a trimmed request
_LISTED: Final = 200  # latest sessions whose last words are compared with a trimmed request
_READ_ALIKE: Final = 20  # of them, the most sessions read
_ENDS: Final = 8  # last messages of a trimmed request that the session may lack


class Root(NamedTuple):
    """The key to begin a conversation at, and whether its client named it; no key for a side call.

    A request that has only its new messages goes on behind the message `after`, None for any other. `model` is the
    model that the request names. Without a name, `asker` is the caller: with the opening, it makes the key.
    """

    key: str
    is_named: bool = False
    after: int | None = None
    model: str = ""
    asker: tuple[str, ...] = ()

    @property
    def is_aside(self) -> bool:
        """Whether the request belongs to no conversation."""
        return not self.key

    def of(self, key: str) -> Root:
        """Return the root of a stored session that a conversation without a name goes on in; else this one."""
        return self._replace(key=key[: len(self.key)]) if self.asker else self


def followed_place(sessions: Sessions, protocol: ModelProtocol, follows: Follows) -> Root | None:
    """Return the place of a request that goes on behind an answer or a thread, None for another one.

    A thread may be a conversation of ours. An answer not stored here, or too long ago, has no place.
    """
    if follows.answer and (kept := KeptResponses(sessions).find(follows.answer)) is not None:
        return Root(kept[0].session, is_named=True, after=kept[1].seq)
    if follows.answer and (found := _answer(sessions, follows.answer)) is not None:
        return found
    if not follows.thread:
        return None
    own = key_of_conversation(follows.thread)
    if own is not None and own.startswith(sessions.prefix):
        with suppress(SessionNotFoundError):
            return Root(sessions.get(own).header.key, is_named=True, after=_END)
    digest = hashlib.sha256(f"thread {follows.thread}".encode()).hexdigest()[:DIGEST_CHARS]
    return Root(f"{sessions.prefix or protocol.prefix}{digest}", is_named=True, after=_END)


def whole_of(sessions: Sessions, root: Root, drafts: Sequence[Draft], protocol: ModelProtocol) -> Sequence[Draft]:
    """Return the whole conversation of a request, with the stored messages that it leaves out."""
    drafts = _named(sessions, root, drafts, protocol)
    stored = None if root.after is None else stored_session(sessions, root.key)
    if stored is None or root.after is None:
        return drafts
    prompts = list(takewhile(lambda one: one.role in PROMPT_ROLES, drafts))
    before = [message for message in stored.messages if message.seq <= root.after]
    if root.after == _END and _ends_with(before, drafts[len(prompts) :]):
        return [*map(again, before)]
    earlier = [again(message) for message in before]
    opening = list(takewhile(lambda one: one.role in PROMPT_ROLES, earlier))
    return [*(prompts or opening), *earlier[len(opening) :], *drafts[len(prompts) :]]


class WholeRequest(NamedTuple):
    """A whole conversation, and its root."""

    root: Root
    drafts: Sequence[Draft]

    @property
    def start(self) -> str | None:
        """The key where the search for its place begins; None for the session that shares most with it."""
        return self.root.key if self.root.is_named else None


class StoredLog(Struct, frozen=True):
    """A stored session: its messages that stand, with their seqs, and the number of all its lines."""

    header: Header
    messages: Sequence[Message]
    count: int


def stored_session(sessions: Sessions, key: str) -> StoredLog | None:
    """Return a session, None if there is none."""
    try:
        log = sessions.read(key, log=True)
    except SessionNotFoundError:
        return None
    return StoredLog(log.header, said(log.messages), len(log.messages))


def latest_keys(sessions: Sessions, prefix: str, count: int) -> Iterator[str]:
    """Yield the keys of the latest sessions under a prefix."""
    cursor: str | None = None
    for _ in range(0, count, _PAGE):
        page = sessions.list(Selection(prefixes=(prefix,), archived=None), limit=min(_PAGE, count), cursor=cursor)
        yield from (summary.header.key for summary in page.sessions)
        cursor = page.next_cursor
        if cursor is None:
            return


def restored(sessions: Sessions, root: Root, drafts: Sequence[Draft]) -> WholeRequest | None:
    """Return the whole conversation of a trimmed request; None if it is none, or goes on with no stored session."""
    if root.after is not None:
        return None
    if root.is_named:
        found = _named_whole(sessions, root, drafts)
        return None if found is None else WholeRequest(root, found)
    return _unnamed_whole(sessions, root, drafts)


def _answer(sessions: Sessions, response_id: str) -> Root | None:
    """Return the place behind an answer: among the last messages of recent sessions, else anywhere in a few."""
    for key in latest_keys(sessions, "", _RECENT):
        with suppress(SessionNotFoundError, SessionDamagedError):
            if (seq := _seq_of(sessions.window(key, limit=_TAIL).messages, response_id)) is not None:
                return Root(key, is_named=True, after=seq)
    for key in latest_keys(sessions, "", _READ_WHOLE):
        with suppress(SessionDamagedError):
            stored = stored_session(sessions, key)
            if stored and (seq := _seq_of(stored.messages, response_id)) is not None:
                return Root(key, is_named=True, after=seq)
    return None


def _seq_of(messages: Sequence[Message], response_id: str) -> int | None:
    return next((one.seq for one in reversed(messages) if (one.metadata or {}).get("response_id") == response_id), None)


def _ends_with(stored: Sequence[Message], said: Sequence[Draft]) -> bool:
    """Tell whether a session ends with these messages, not answered: a client asks again after a failure."""
    whole = list(stored)
    while whole and whole[-1].role == "assistant" and (whole[-1].metadata or {}).get("partial"):
        whole.pop()
    return bool(said) and len(said) <= len(whole) and all(map(is_same, whole[-len(said) :], said))


def _named(sessions: Sessions, root: Root, drafts: Sequence[Draft], protocol: ModelProtocol) -> Sequence[Draft]:
    """Return the messages with the stored ones in place of those that only name them by their ids."""
    wanted = {name for draft in drafts for name in protocol.references(draft)}
    if not wanted:
        return drafts
    known: dict[str, Message] = {}
    for key in (root.key, *latest_keys(sessions, forks_prefix(root.key), _READ_WHOLE)):
        stored = stored_session(sessions, key)
        for message in stored.messages if stored else ():
            ids = protocol.ids(message)
            known |= {name: message for name in wanted if name in ids and name not in known}
        if known.keys() == wanted:
            break
    return [_in_place_of(draft, known, protocol) for draft in drafts]


def _in_place_of(draft: Draft, known: dict[str, Message], protocol: ModelProtocol) -> Draft:
    found = next((known[name] for name in protocol.references(draft) if name in known), None)
    return draft if found is None else again(found)


def _named_whole(sessions: Sessions, root: Root, drafts: Sequence[Draft]) -> Sequence[Draft] | None:
    """Return the conversation as it goes on with a named session or one of its forks; None for an edit."""
    keys = [root.key, *latest_keys(sessions, forks_prefix(root.key), _FORKS)]
    stored = {key: one for key in keys if (one := _readable(sessions, key)) is not None}
    best: tuple[Overlap, StoredLog] | None = None
    for one in stored.values():
        found = overlap(one.messages, drafts)
        if found is not None and (best is None or best[0] < found):
            best = found, one
    if best is not None:
        return whole(best[1].messages, drafts, best[0])
    named = stored.get(root.key)
    if named is None or common(named.messages, drafts).talk_count:
        return None
    return whole(named.messages, drafts, None)


def _unnamed_whole(sessions: Sessions, root: Root, drafts: Sequence[Draft]) -> WholeRequest | None:
    """Return the conversation as it goes on with the one session of its caller that surely ends as it begins."""
    if not root.asker or not any(one.role == "assistant" for one in drafts):
        return None
    sure = []
    for key in _ending_alike(sessions, root, drafts):
        stored = _readable(sessions, key)
        if stored is None or not (_is_of_asker(root, stored) and may_be_instructed_alike(stored.messages, drafts)):
            continue
        found = overlap(stored.messages, drafts)
        if found is not None and found.is_sure:
            sure.append((found, stored))
    if len(sure) != 1:
        return None
    found, stored = sure[0]
    return WholeRequest(root.of(stored.header.key), whole(stored.messages, drafts, found))


def _readable(sessions: Sessions, key: str) -> StoredLog | None:
    with suppress(SessionDamagedError):
        return stored_session(sessions, key)
    return None


def _is_of_asker(root: Root, stored: StoredLog) -> bool:
    """Tell whether the caller began a session: its key is made from both."""
    opening = [again(one) for one in stored.messages]
    return opening_key(root.key[:-DIGEST_CHARS], root.asker, opening) == root.of(stored.header.key).key


def _ending_alike(sessions: Sessions, root: Root, drafts: Sequence[Draft]) -> Iterator[str]:
    """Yield the keys of the latest sessions whose last words are among the last ones of a request."""
    ends = set(_last_words(sessions, drafts))
    prefix = root.key[:-DIGEST_CHARS]
    listed = sessions.list(Selection(prefixes=(prefix,), archived=None), limit=_LISTED).sessions
    alike = [one.header.key for one in listed if one.preview in ends]
    yield from alike[:_READ_ALIKE]


def _last_words(sessions: Sessions, drafts: Sequence[Draft]) -> Iterator[str]:
    """Yield the preview of a session that ends with a message of the request, for each of its last messages."""
    now = sessions.now()
    said = [
        Message(**{**msgspec.structs.asdict(one), "seq": place, "sent_at": now, "id": f"{place}"})
        for place, one in enumerate(drafts, start=1)
    ]
    for end in range(len(said), max(len(said) - _ENDS, 0), -1):
        digest = Digest().plus(*said[:end])
        if words := digest.preview or digest.preview_hint:
            yield words
