"""Requests whose clients leave out older messages: the session that they go on with, and the whole conversation.

A named session goes on whatever its client leaves out. A request without a name goes on with a session only if both
come from one caller, and share so much that chance is out of the question (`Overlap.is_sure`). Two such sessions leave
it open, and then it becomes a conversation of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

import msgspec

from chatkeep.core.digest import Digest
from chatkeep.core.history.recognition import (
    DIGEST_CHARS,
    common,
    forks_prefix,
    may_be_instructed_alike,
    opening_key,
)
from chatkeep.core.history.trimming import Overlap, again, overlap, whole
from chatkeep.core.model import Draft, Message, Selection
from chatkeep.errors import SessionDamagedError
from chatkeep.model.places import Root, StoredLog, latest_keys, stored_session
from chatkeep.sessions.sessions import Sessions

_FORKS: Final = 20  # latest forks of a named session looked at
_LISTED: Final = 200  # latest sessions whose last words are compared
_READ_WHOLE: Final = 20  # of them, the most sessions read
_ENDS: Final = 8  # last messages of a request that the session may lack


class WholeRequest(NamedTuple):
    """A whole conversation, and its root."""

    root: Root
    drafts: Sequence[Draft]

    @property
    def start(self) -> str | None:
        """The key where the search for its place begins; None for the session that shares most with it."""
        return self.root.key if self.root.is_named else None


def restored(sessions: Sessions, root: Root, drafts: Sequence[Draft]) -> WholeRequest | None:
    """Return the whole conversation of a trimmed request; None if it is none, or goes on with no stored session."""
    if root.after is not None:
        return None
    if root.is_named:
        found = _named(sessions, root, drafts)
        return None if found is None else WholeRequest(root, found)
    return _unnamed(sessions, root, drafts)


def _named(sessions: Sessions, root: Root, drafts: Sequence[Draft]) -> Sequence[Draft] | None:
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


def _unnamed(sessions: Sessions, root: Root, drafts: Sequence[Draft]) -> WholeRequest | None:
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
    yield from alike[:_READ_WHOLE]


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
