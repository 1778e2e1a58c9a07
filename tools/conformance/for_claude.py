"""A module of tests: the Claude Agent SDK's own suite for stores, with every optional method there."""

from __future__ import annotations

import asyncio
import itertools

from claude_agent_sdk.testing import run_session_store_conformance
from claude_agent_sdk.types import SessionStore
from tools.conformance.homes import place, prefix_of

from chatkeep.adapters.claude import ChatkeepSessionStore

_numbers = itertools.count()


def _store() -> ChatkeepSessionStore:
    home = place(f"claude-{next(_numbers)}")
    return ChatkeepSessionStore(home, prefix=f"{prefix_of(home)}claude:")


def test_keep_the_contracts_of_stores() -> None:
    """All 14 contracts hold, none for want of a method."""
    for name in ("list_sessions", "list_session_summaries", "delete", "list_subkeys"):
        assert getattr(ChatkeepSessionStore, name) is not getattr(SessionStore, name)
    asyncio.run(run_session_store_conformance(_store))


def test_store_once_what_comes_again() -> None:
    """An entry with a stored `uuid` is stored once, changed or not; its neighbours are stored all the same."""
    store, key = _store(), {"project_key": "p", "session_id": "s"}
    first, second = {"type": "user", "uuid": "1", "n": 1}, {"type": "x", "uuid": "2"}

    async def told() -> object:
        await store.append(key, [first, first])  # type: ignore[arg-type, list-item]
        await store.append(key, [{**first, "n": 2}, second, {"type": "title"}])  # type: ignore[arg-type, list-item]
        return await store.load(key)  # type: ignore[arg-type]

    assert [first, second, {"type": "title"}] == asyncio.run(told())


def test_keep_projects_apart() -> None:
    """Names that look like parts of keys lead to transcripts of their own."""
    store = _store()
    pairs = [("a", "b:c"), ("a:b", "c"), ("a", "b/c"), ("a/b", "c"), ("A", "b:c"), ("a" * 300, "b"), ("a\n", "b\0")]

    async def told() -> object:
        for number, (project, session) in enumerate(pairs):
            await store.append({"project_key": project, "session_id": session}, [{"type": "x", "n": number}])  # type: ignore[typeddict-unknown-key]
        return [await store.load({"project_key": project, "session_id": session}) for project, session in pairs]

    assert [[{"type": "x", "n": number}] for number in range(len(pairs))] == asyncio.run(told())
