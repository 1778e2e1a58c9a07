"""Where adapters keep sessions: keys for any names, and the messages of one session."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep import AsyncClient
from chatkeep.adapters.backing import SessionItems, Verbs, key_for_name, open_workspace
from chatkeep.core.keys import parse_key
from chatkeep.core.life.dropping import Chosen
from chatkeep.core.model import Draft
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.memory import MemoryStore

ROOT = Path(__file__).parents[2]


@given(first=st.text(st.characters(), max_size=150), second=st.text(st.characters(), max_size=150))
def test_key_of_any_name(first: str, second: str) -> None:
    """Any name has a good key, a good one itself, and different names have different keys."""
    keys = [key_for_name("app:", name) for name in (first, second)]
    assert keys == [parse_key(key) for key in keys]
    assert (first == second) == (keys[0] == keys[1])


def test_key_is_readable() -> None:
    """A name that a key can have is the rest of the key; one that looks like a hash is hashed."""
    assert "app:user/1" == key_for_name("app:", "user/1")
    hashed = key_for_name("app:", "a\nb")
    assert hashed != key_for_name("app:", hashed.removeprefix("app:"))


def test_items_of_a_session() -> None:
    """A session is read, added to, replaced and taken back; a missing one is empty; more than a batch fits."""
    sessions = Sessions(MemoryStore())
    items = SessionItems("a", Verbs(sessions))
    drafts = [Draft(role="user", content=str(number)) for number in range(2500)]

    def texts(last: int | None = None) -> list[object]:
        return [message.content for message in asyncio.run(items.read(last))]

    assert [] == texts() == texts(5)
    assert () == asyncio.run(items.drop(Chosen(last=1)))
    asyncio.run(items.clear())
    asyncio.run(items.add(drafts))
    assert [draft.content for draft in drafts] == texts()
    assert [str(number) for number in range(1400, 2500)] == texts(1100)
    assert ["2499"] == [message.content for message in asyncio.run(items.drop(Chosen(last=1)))]
    asyncio.run(items.replace(drafts[:2]))
    assert ["0", "1"] == texts()
    asyncio.run(items.replace([]))
    assert [] == texts()
    assert 2500 < sessions.get("a").line_count


def test_read_no_events() -> None:
    """Events that other programs keep in a session are no items: no framework knows their role."""
    sessions = Sessions(MemoryStore())
    items = SessionItems("a", Verbs(sessions))
    event = Draft(role="event", content=None, metadata={"state": 1})
    sessions.append("a", [event, Draft(role="user", content="x"), event])
    for last in (None, 1, 5):
        assert ["x"] == [message.content for message in asyncio.run(items.read(last))]


def test_block_with_a_client_for_coroutines() -> None:
    """An adapter that blocks says so, instead of returning a coroutine."""
    verbs = Verbs(AsyncClient("http://127.0.0.1:9", "ck_x"))
    with pytest.raises(TypeError, match="give it a Client"):
        verbs.call("get", "a")


def test_open_a_workspace(tmp_path: Path) -> None:
    """A workspace is opened without a server, and what was stored is there the next time."""
    for count in (1, 2):
        with open_workspace(tmp_path / "w") as sessions:
            asyncio.run(SessionItems("a", Verbs(sessions)).add([Draft(role="user", content="x")]))
            assert count == sessions.get("a").message_count


def test_delete_into_the_trash(tmp_path: Path) -> None:
    """What an adapter deletes can come back if the workspace was opened so."""
    with open_workspace(tmp_path, trash_days=7) as sessions:
        sessions.append("a", [Draft(role="user", content="x")])
        sessions.delete("a")
        assert ["a"] == [one.key for one in sessions.trash.sessions()]


@pytest.mark.parametrize("module", ["chatkeep", "chatkeep.adapters", "chatkeep.adapters.backing"])
def test_load_no_framework(module: str) -> None:
    """The package and what adapters share load neither a framework nor a server."""
    program = (
        f"import {module}, sys; names = {{'agents', 'langchain_core', 'claude_agent_sdk', 'google.adk', 'pydantic_ai', "
        "'llama_index', 'mcp', 'starlette', 'apsw'}; assert not names & sys.modules.keys(), names & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
