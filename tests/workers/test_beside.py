"""The process that searches for a server finds what the server would, as soon, and nothing depends on it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import httpx
import msgspec
import pytest

from chatkeep.access.tokens import TokenFile
from chatkeep.core.search.search import Search
from chatkeep.errors import StorageError
from chatkeep.http.app import create_app
from chatkeep.http.gate.guard import UNLIMITED, Guard
from chatkeep.http.gate.limits import Limits
from chatkeep.http.gate.rules import Pools
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.files.store import FilesStore
from chatkeep.store.files.tree.tree import file_name
from chatkeep.testing import draft, search_for
from chatkeep.wire.answers import json_bytes
from chatkeep.wire.hits import hit_page
from chatkeep.workers import beside
from chatkeep.workers.beside import Beside
from tests.cli.test_cli_serve import serving

PATIENCE_S = 60
CHANNELS = 2


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilesStore]:
    """A store with some sessions, kept true by this process."""
    store = FilesStore.open(tmp_path, watch=True, durability="none")
    for number in range(30):
        store.append(f"api:{number}", [draft(f"The prime number {number}", number), draft("東京タワー", number + 0.5)])
    yield store
    store.close()


@contextmanager
def searching(workspace: Path, is_told: Callable[[], bool] = lambda: True) -> Iterator[Beside]:
    """Yield a process that searches the workspace, once it is ready."""
    searcher = Beside([sys.executable, "-m", "chatkeep.processes.searcher", str(workspace)], CHANNELS, is_told)
    try:
        _wait(lambda: searcher._channels.qsize() == CHANNELS)
        yield searcher
    finally:
        searcher.close()


def _wait(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert is_so()


def _page(store: FilesStore, search: Search) -> bytes:
    return json_bytes(hit_page(store.search(search)))


async def _page_beside(searcher: Beside, search: Search) -> bytes | None:
    return await searcher.ask(msgspec.msgpack.encode(search), lasts_s=search.deadline_s)


def _pages(searcher: Beside, *searches: Search) -> list[bytes | None]:
    """Return what is answered to searches that are asked at once."""

    async def ask() -> list[bytes | None]:
        return await asyncio.gather(*(_page_beside(searcher, search) for search in searches))

    return asyncio.run(ask())


def _pid(searcher: Beside) -> int:
    process = searcher._process
    assert process is not None
    return process.pid


def test_search_beside(store: FilesStore, tmp_path: Path) -> None:
    """Another process answers byte for byte what this one does, and what was appended or deleted just now."""
    asked = [
        search_for(text, limit=5) for text in ("prime ", "prime number 7 ", "京", "what is a prime?", "pri", "none ")
    ]
    with searching(tmp_path) as searcher:
        for search in asked:
            assert [_page(store, search)] == _pages(searcher, search)
        for number in range(20):
            store.append("new:1", [draft(f"giraffe number w{number}")])
            page = _page(store, search_for(f"w{number} "))
            assert b"new:1" in page
            assert [page] == _pages(searcher, search_for(f"w{number} "))
        store.delete("new:1")
        assert [_page(store, search_for("giraffe "))] == _pages(searcher, search_for("giraffe "))
        store.reindex()
        store.append("new:2", [draft("A zebra came")])
        assert [_page(store, search_for("zebra "))] == _pages(searcher, search_for("zebra "))
        assert b"new:2" in _page(store, search_for("zebra "))


def test_search_beside_without_an_index(store: FilesStore, tmp_path: Path) -> None:
    """Who only follows builds no index: it says so, and goes over to the one that is built."""
    with contextlib.closing(FilesStore.open(tmp_path, follow=True)) as follower:
        (path,) = tmp_path.glob("index-*.sqlite3")
        with contextlib.closing(apsw.Connection(str(path))) as db:
            db.execute("DROP TABLE lexicon")
        with pytest.raises(StorageError):
            follower.search(search_for("prime "))
        assert [path] == [*tmp_path.glob("index-*.sqlite3")]
        wanted = store.search(search_for("prime "))
        assert 20 == len(wanted.hits)
        assert wanted == follower.search(search_for("prime "))
    store.close()  # else it builds another at once
    path.unlink()
    with pytest.raises(StorageError):
        FilesStore.open(tmp_path, follow=True)


@pytest.mark.parametrize("program", [["searcher"], ["writer", "{}"]])
def test_end_with_a_sentence_without_an_index(tmp_path: Path, program: list[str]) -> None:
    """A process that finds no index to follow ends with the reason, and the log of the server has no traceback."""
    FilesStore.open(tmp_path).close()
    for path in tmp_path.glob("index*"):
        path.unlink()
    module, *rest = program
    command = [sys.executable, "-m", f"chatkeep.processes.{module}", str(tmp_path), *rest]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    expected = "A process beside the server ends: The index is not there; the process that keeps it builds it.\n"
    assert (1, "", expected) == (ended.returncode, ended.stdout, ended.stderr)


def test_search_beside_of_another_folder(store: FilesStore, tmp_path: Path) -> None:
    """When another folder of sessions is put in place, no answer is of the old one, and the index is left alone."""
    asked = [search_for("prime "), search_for("prime number 7 ")]
    with searching(tmp_path) as searcher:
        assert None not in _pages(searcher, *asked)
        shutil.copytree(tmp_path / "sessions", tmp_path / "copied")
        (tmp_path / "sessions").rename(tmp_path / "old")
        (tmp_path / "copied").rename(tmp_path / "sessions")
        path = tmp_path / "sessions" / file_name("api:7")
        path.write_bytes(path.read_bytes().replace(b"prime number 7", b"prime number 7 zebra"))
        _wait(lambda: len(store.search(search_for("zebra ")).hits) == 1)
        assert _pages(searcher, search_for("zebra "))[0] in {None, _page(store, search_for("zebra "))}
        wanted = [_page(store, search) for search in asked]
        _wait(lambda: wanted == _pages(searcher, *asked))
        assert [_page(store, search_for("zebra "))] == _pages(searcher, search_for("zebra "))
        assert wanted == [_page(store, search) for search in asked]


def test_search_beside_many_at_once(store: FilesStore, tmp_path: Path) -> None:
    """Each gets its own page; those beyond the channels wait for their turn."""
    searches = [search_for(f"number {number} ") for number in range(10)]
    with searching(tmp_path) as searcher:
        assert [_page(store, search) for search in searches] == _pages(searcher, *searches)
        assert not searcher._channels.empty()


def test_search_beside_that_nobody_waits_for(store: FilesStore, tmp_path: Path) -> None:
    """A search that is cancelled does not leave its page to the next one."""

    async def leave(searcher: Beside) -> bytes | None:
        for _ in range(5):
            task = asyncio.create_task(_page_beside(searcher, search_for("prime number ")))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await asyncio.gather(*searcher._under_way)
        return await _page_beside(searcher, search_for("京"))

    with searching(tmp_path) as searcher:
        pid = _pid(searcher)
        assert _page(store, search_for("京")) == asyncio.run(leave(searcher))
        assert pid == _pid(searcher)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_search_beside_a_process_that_ends(
    store: FilesStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """While there is no such process, or it hangs, the search is to be made here; soon there is another one."""
    monkeypatch.setattr(beside, "_PAUSE_S", 0.01)
    monkeypatch.setattr(beside, "_PATIENCE_S", 0.1)
    search = msgspec.structs.replace(search_for("prime "), deadline_s=0.1)
    with searching(tmp_path) as searcher:
        pid = _pid(searcher)
        os.kill(pid, number)
        assert {None} == set(_pages(searcher, search, search))
        monkeypatch.undo()
        _wait(lambda: _pid(searcher) != pid and not searcher._channels.empty())
        assert [_page(store, search_for("prime "))] == _pages(searcher, search_for("prime "))


@pytest.mark.parametrize("code", ["", "import os, sys; [os.write(int(fd), b'no length') for fd in sys.argv[1:]]"])
def test_search_beside_another_program(code: str) -> None:
    """What is not the process that is meant answers nothing, and hinders nothing."""
    searcher = Beside([sys.executable, "-c", code], CHANNELS)
    assert [None] == _pages(searcher, search_for("prime "))
    searcher.close()
    missing = Beside(["/no/such/program"], CHANNELS)
    assert [None] == _pages(missing, search_for("prime "))
    missing.close()


def test_search_beside_when_not_all_is_told(store: FilesStore, tmp_path: Path) -> None:
    """What the index could not be told yet is known here alone, so the search is made here."""
    told = [True, False]
    with searching(tmp_path, lambda: told[0]) as searcher:
        told.reverse()
        assert [None] == _pages(searcher, search_for("prime "))
        told.reverse()
        assert [_page(store, search_for("prime "))] == _pages(searcher, search_for("prime "))


def test_search_beside_of_a_confined_token(store: FilesStore, tmp_path: Path) -> None:
    """Whoever searches, a token finds its own sessions alone."""
    tokens = TokenFile(tmp_path / "tokens.json")
    secret, _ = tokens.create("own", prefix="api:1")
    limits = Limits(tmp_path / "limits.sqlite")
    guard = Guard(tokens, limits, hosts={"localhost"}, rates=UNLIMITED)

    async def ask(searcher: Beside) -> httpx.Response:
        app = create_app(Sessions(store), guard, pools=Pools(searcher))
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://localhost")
        async with client:
            return await client.get(
                "/api/sessions/search?q=prime&limit=50", headers={"Authorization": f"Bearer {secret}"}
            )

    with searching(tmp_path) as searcher:
        found = asyncio.run(ask(searcher)).json()["sessions"]
        assert not searcher._channels.empty()
    assert {"api:1", *(f"api:1{number}" for number in range(10))} == {one["id"] for one in found}
    limits.close()


def _searchers(workspace: Path) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes().split(b"\0")[2:4] == [b"chatkeep.processes.searcher", os.fsencode(workspace)]:
                found.append(int(path.parent.name))
    return found


def test_serve_with_a_process_that_searches(tmp_path: Path) -> None:
    """A server has one such process beside it, finds without it too, and takes it along when it ends."""
    secret, _ = TokenFile(tmp_path / "tokens.json").create("admin", scopes=("admin",))
    headers = {"Authorization": f"Bearer {secret}"}
    with serving(tmp_path) as (address, _), httpx.Client(base_url=address, headers=headers) as client:
        said = {"role": "user", "content": "a giraffe"}
        assert 201 == client.post("/api/v1/messages?session=api:1", json=said).status_code
        _wait(lambda: len(_searchers(tmp_path)) == 1)
        for _ in range(3):
            found = client.get("/api/sessions/search?q=giraffe").json()["sessions"]
            assert ["api:1"] == [one["id"] for one in found]
            for pid in _searchers(tmp_path):
                os.kill(pid, signal.SIGKILL)
    _wait(lambda: not _searchers(tmp_path))
    with serving(tmp_path, "--no-search-process") as (address, _):
        assert 200 == httpx.get(f"{address}/api/sessions/search?q=giraffe", headers=headers).status_code
        assert [] == _searchers(tmp_path)
