"""The branches of a conversation: one session follows a thread, and each other branch is a fork of it.

A program keeps a tree of messages when an answer is made anew, or a question changed. The active thread becomes the
first session. Every other branch becomes a session with the messages from the beginning on, so a reader needs no other
session to understand it. Its key has the id of the first message of its own.

Trees grow between two exports, and another thread may become the active one. So the first session goes on with the
thread that is stored under its key, and the keys of the forks stay as they are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

COPIES_MAX: Final = 100_000  # messages of one conversation copied into its forks; later forks have only their own


class Branch(Struct, frozen=True, kw_only=True):
    """A thread of a conversation: the ids of its messages, in order.

    `own` is the first message of its own, None in the first branch. `parent` is the `own` of the branch that it leaves,
    and `shared` has the messages up to there, even if `path` begins after them.
    """

    path: Sequence[str]
    own: str | None = None
    parent: str | None = None
    shared: Sequence[str] = ()


def branches(parents: Mapping[str, str | None], active: str | None, stored: Collection[str] = ()) -> Iterator[Branch]:
    """Yield the branches of a tree: first the one for the session itself, then the active one, if another is stored.

    `parents` maps the id of each message to the one before it, in the order of the file. A message with an unknown
    parent begins a branch. `stored` has the ids in the session of the first branch from an earlier import.
    """
    if not parents:
        return
    tree = _Tree(parents)
    first = tree.first_thread(active, frozenset(stored))
    yield Branch(path=first)
    owners: dict[str, str | None] = dict.fromkeys(first)
    active_thread = frozenset(tree.thread_to(active))
    urgent, waiting = deque[str](), deque[str]()
    fresh, copies = first, 0
    while True:
        for own in tree.beginnings(fresh, owners, is_first=fresh is first):
            (urgent if own in active_thread else waiting).append(own)
        if not urgent and not waiting:
            return
        own = (urgent or waiting).popleft()
        fresh = tree.onwards(own)
        shared = tree.thread_to(own)[:-1]
        copies += len(shared)
        path = [*shared, *fresh] if copies <= COPIES_MAX else fresh
        yield Branch(path=path, own=own, parent=owners[shared[-1]] if shared else None, shared=shared)
        owners.update(dict.fromkeys(fresh, own))


class _Tree:
    """The messages of a conversation, with the answers to each, and None for the beginning."""

    def __init__(self, parents: Mapping[str, str | None]) -> None:
        self._parents = _without_circles(parents)
        self._children: dict[str | None, list[str]] = {}
        for one, parent in self._parents.items():
            self._children.setdefault(parent, []).append(one)

    def first_thread(self, active: str | None, stored: Collection[str]) -> list[str]:
        """Return the stored thread and its continuation, else the active thread, else the one with the last message."""
        wanted = frozenset(self.thread_to(active if active in self._parents else next(reversed(self._parents))))
        thread: list[str] = []
        children = self._children[None]
        while children:
            thread.append(_one_of(children, stored) or _one_of(children, wanted) or children[-1])
            children = self._children.get(thread[-1], [])
        return thread

    def thread_to(self, end: str | None) -> list[str]:
        """Return the messages from the beginning to this one."""
        thread: list[str] = []
        while end is not None and end in self._parents:
            thread.append(end)
            end = self._parents[end]
        return thread[::-1]

    def onwards(self, own: str) -> list[str]:
        """Return a message and the thread of first answers behind it: later ones never change it."""
        thread = [own]
        while children := self._children.get(thread[-1]):
            thread.append(children[0])
        return thread

    def beginnings(self, thread: Sequence[str], covered: Collection[str], *, is_first: bool) -> Iterator[str]:
        """Yield the first message of each branch that leaves a thread."""
        for at in (None, *thread) if is_first else thread:
            yield from (one for one in self._children.get(at, ()) if one not in covered)


def _without_circles(parents: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return the parents, None for an unknown one and for one message of each circle."""
    known: dict[str, str | None] = {one: parent if parent in parents else None for one, parent in parents.items()}
    is_rooted = set[str]()
    for one in parents:
        at: str | None = one
        walked: dict[str, None] = {}
        while at is not None and at not in is_rooted:
            walked[at] = None
            above = known[at]
            if above in walked:
                known[at] = above = None
            at = above
        is_rooted.update(walked)
    return known


def _one_of(children: Sequence[str], wanted: Collection[str]) -> str | None:
    return next((one for one in children if one in wanted), None)
