"""Long calls of a model are stored by the process beside the server, whatever is stored already."""

from __future__ import annotations

import contextlib
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chatkeep.core.model import Draft
from chatkeep.errors import SessionNotFoundError
from chatkeep.model.places import Root
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.files.store import FilesStore
from chatkeep.store.memory import MemoryStore
from chatkeep.workers.appending import answer_of, handed_over, outcome
from chatkeep.workers.holding import CallHolder, Holding, RootRequest, held_of_answer, root_of_answer


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilesStore]:
    """A store kept true by this process."""
    with contextlib.closing(FilesStore.open(tmp_path, durability="none")) as store:
        yield store


@pytest.fixture
def follower(store: FilesStore, tmp_path: Path) -> Iterator[FilesStore]:
    """The same store, as the process beside the server has it."""
    with contextlib.closing(FilesStore.open(tmp_path, durability="none", follow=True)) as follower:
        yield follower


def body_of(*texts: str) -> bytes:
    """Return a request with a conversation, the user first."""
    messages = [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(texts)]
    return json.dumps({"model": "small", "messages": messages}).encode()


def held_beside(follower: FilesStore, root: Root, body: bytes) -> tuple[str, int]:
    """Return the key and the last seq of a conversation stored by the other process."""
    asked = Holding(prefix="", protocol="completions", root=root)
    told = outcome(follower, {Holding: CallHolder().held}, b"".join(handed_over(asked, body)))
    place = held_of_answer(answer_of(told))
    assert place is not None
    return place.key, place.end


def test_hold_a_new_conversation_with_answers(store: FilesStore, follower: FilesStore) -> None:
    """A session that is not there yet is none, also for a process that only follows the index."""
    root = Root("cli:talk", is_named=True)
    assert ("cli:talk", 3) == held_beside(follower, root, body_of("a", "b", "c"))
    assert ["a", "b", "c"] == [message.content for message in store.read("cli:talk").messages]
    assert ("cli:talk", 5) == held_beside(follower, root, body_of("a", "b", "c", "d", "e"))


def test_hold_a_conversation_that_leaves_another(store: FilesStore, follower: FilesStore) -> None:
    """The process beside the server makes forks, too."""
    Sessions(store).append("cli:talk", [Draft(role="user", content="a"), Draft(role="assistant", content="b")])
    key, _ = held_beside(follower, Root("cli:talk", is_named=True), body_of("a", "other", "c"))
    assert "cli:talk" != key
    assert ["a", "other", "c"] == [message.content for message in store.read(key).messages]


def test_find_the_root_beside(follower: FilesStore) -> None:
    """The root of a new conversation is a key that is free."""
    asked = RootRequest(prefix="", protocol="completions", named=None, by="t")
    told = outcome(follower, {RootRequest: CallHolder().opened}, b"".join(handed_over(asked, body_of("a", "b"))))
    root = root_of_answer(answer_of(told))
    assert root is not None
    with pytest.raises(SessionNotFoundError):
        Sessions(follower).read(root.key)


class NotingStore(MemoryStore):
    """A store that notes how many bytes Python has when it is to store the first messages."""

    noted_bytes = 0

    def append(self, *given: Any, **named: Any) -> Any:  # noqa: ANN401 - as the store has it
        """Note, and store."""
        self.noted_bytes = self.noted_bytes or tracemalloc.get_traced_memory()[0]
        return super().append(*given, **named)


def test_hold_a_long_call_in_little_memory() -> None:
    """When the messages of a call are stored, its body is gone: the process has the call once."""
    store, body = NotingStore(), body_of(*(["word " * 13_000] * 50))
    holding = Holding(prefix="", protocol="completions", root=Root("cli:talk", is_named=True))
    tracemalloc.start()
    try:
        outcome(store, {Holding: CallHolder().held}, b"".join(handed_over(holding, body)))
    finally:
        tracemalloc.stop()
    assert 50 == len(store.read("cli:talk").messages)
    assert store.noted_bytes < 1.2 * len(body)
