"""A disk that takes no writes: all that is stored is read, and only writes are refused."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from chatkeep.core.model import Revision, Selection
from chatkeep.errors import SessionNotFoundError, StorageError, StorageFullError, StorageReadOnlyError
from chatkeep.store.files.care.checkup import examined
from chatkeep.store.files.index.databases import InMemory
from chatkeep.store.files.store import FilesStore
from chatkeep.store.files.tree.tree import file_name
from chatkeep.testing import draft, search_for, talk
from tests.disks import SmallDisk, in_an_image, in_memory

SEEN_S = 5.0
KEYS = [f"api:{number}" for number in range(5)]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """Return a small disk with a workspace of five sessions of three messages."""
    with in_memory(tmp_path / "disk") as disk:
        _furnish(disk.workspace)
        yield disk


def _furnish(workspace: Path) -> None:
    with closing(FilesStore.open(workspace)) as store:
        for key in KEYS:
            store.append(key, talk(3))


def _answers(store: FilesStore) -> dict[str, object]:
    """Return what the store says of its sessions, verb by verb."""
    return {
        "list": {one.header.key: one.message_count for one in store.list(Selection(), limit=50).sessions},
        "keys": store.keys(Selection()).keys,
        "windows": {key: [said.content for said in store.window(key, limit=500).messages] for key in KEYS},
        "read": {key: [said.content for said in store.read(key).messages] for key in KEYS},
        "search": sorted(hit.key for hit in store.search(search_for("line")).hits),
        "status": store.status().message_count,
        "stats": store.stats().message_count,
    }


def _refused(store: FilesStore, again: Callable[[], None] = lambda: None) -> list[type[StorageError]]:
    """Return how each verb that writes is refused; `again` takes what room there may be by then."""
    verbs: list[Callable[[], object]] = [
        lambda: store.append(KEYS[0], [draft("x" * 10_000)]),
        lambda: store.append("new:1", [draft("x")]),
        lambda: store.revise(KEYS[1], Revision(title="New")),
        store.reindex,
    ]
    found = []
    for verb in verbs:
        again()
        with pytest.raises(StorageError) as refused:
            verb()
        found.append(refused.type)
    return found


def test_read_on_a_full_disk(disk: SmallDisk) -> None:
    """What was answered before and after the disk filled is found by every verb, here and by who opens it then."""
    with closing(FilesStore.open(disk.workspace)) as store:
        expected = _answers(store)
        disk.fill()
        assert 4 == store.append(KEYS[0], [draft("the last line")]).message_count
        with closing(FilesStore.open(disk.workspace)) as other:
            assert _answers(store) == _answers(other)
            assert [StorageFullError] * 4 == _refused(store, disk.fill)
            assert [StorageFullError] * 4 == _refused(other, disk.fill)
            assert expected["status"] + 1 == other.status().message_count  # type: ignore[operator]
        assert [4] == [hit.seq for hit in store.search(search_for('"the last"')).hits]


def test_open_a_full_disk_without_an_index(disk: SmallDisk) -> None:
    """Where there is no index and no space for one, it is built in memory, and nothing half-done is left behind."""
    with closing(FilesStore.open(disk.workspace)) as store:
        expected = _answers(store)
    for path in disk.workspace.glob("index*"):
        path.unlink()
    disk.fill()
    before = set(disk.workspace.iterdir())
    with closing(FilesStore.open(disk.workspace)) as store:
        assert expected == _answers(store)
    assert before == set(disk.workspace.iterdir())


def test_memory_grows_with_what_changes(disk: SmallDisk) -> None:
    """What an index that cannot be written takes in memory is what changed in it, however long it is open."""
    with closing(FilesStore.open(disk.workspace)) as store:
        for number in range(300):
            store.append(f"more:{number}", [draft(f"line {number} " + "words " * 100)])
    disk.let_read_only()
    with closing(FilesStore.open(disk.workspace)) as store:
        assert 305 == store.status().session_count
        time.sleep(0.5)  # longer than the quiet that is waited for before parts are joined
        medium = store._upkeep.index.medium
        assert isinstance(medium, InMemory)
        assert medium.written_bytes < 50_000 < medium.path.stat().st_size
        _answers(store)
        assert medium.written_bytes < 50_000
    disk.let_write()


def test_make_room_by_deleting(disk: SmallDisk) -> None:
    """On a full disk sessions can be deleted, and are gone at once; when there is room all is as ever."""
    with closing(FilesStore.open(disk.workspace, watch=True)) as store:
        disk.fill()
        store.append(KEYS[0], [draft("the last line")])
        store.delete(KEYS[4])
        assert KEYS[:4] == list(store.keys(Selection()).keys)
        with pytest.raises(SessionNotFoundError):
            store.get(KEYS[4])
        disk.empty()
        assert 1 == store.append("new:1", [draft("room")]).message_count
        assert _soon(lambda: store.is_told)
        with closing(FilesStore.open(disk.workspace)) as other:
            assert other.is_told
            assert _answers_of_all(store) == _answers_of_all(other)
            assert [] == list(examined(disk.workspace))


def test_read_on_a_disk_that_fails(tmp_path: Path) -> None:
    """A file system that goes over to read-only under an open store stops its writes, and nothing else."""
    with in_an_image(tmp_path / "disk", tmp_path / "image") as disk:
        _furnish(disk.workspace)
        with closing(FilesStore.open(disk.workspace, watch=True)) as store:
            expected = _answers(store)
            disk.fail()
            assert {StorageReadOnlyError} == set(_refused(store))
            with pytest.raises(StorageReadOnlyError):
                store.delete(KEYS[0])
            assert expected == _answers(store)


@pytest.mark.parametrize("index", ["kept", "lost", "behind"])
@pytest.mark.parametrize("folders", ["all", "bare"])
def test_open_a_disk_that_can_only_be_read(disk: SmallDisk, index: str, folders: str) -> None:
    """Whatever there is of an index, all sessions are served, torn ones too as far as they go; no write is taken."""
    _spoil(disk.workspace, index, folders)
    disk.let_read_only()
    with closing(FilesStore.open(disk.workspace)) as store:
        found = _answers(store)
        assert dict.fromkeys(KEYS, 3) == found["list"]
        assert KEYS == found["search"]
        assert {KEYS[0], KEYS[1]} == {one for one in KEYS if store.get(one).damage}
        assert [StorageReadOnlyError] * 4 == _refused(store)
        with pytest.raises(StorageReadOnlyError):
            store.delete(KEYS[2])
        disk.let_write()
        time.sleep(1.1)  # it is tried again once a second
        assert [4, 4] == [store.append(key, [draft("on")]).message_count for key in KEYS[:2]]
        assert {} == store.status().problems
        assert store.is_told


def _spoil(workspace: Path, index: str, folders: str) -> None:
    """Cut an append of the first session, let an editor write the second, and take away what is said."""
    torn, loose, *_ = (workspace / "sessions" / file_name(key) for key in KEYS)
    torn.write_bytes(torn.read_bytes().replace(b'],"message_count":3}\n', b',{"seq":4,"role":"user","con'))
    loose.write_text(json.dumps(json.loads(loose.read_bytes()), indent=2))
    for path in (torn, loose):
        os.utime(path, (0, 0))
    if index == "behind":
        content = (workspace / "sessions" / file_name(KEYS[2])).read_bytes()
        (workspace / "sessions" / file_name(KEYS[2])).unlink()
        FilesStore.open(workspace).close()
        _spoil(workspace, "kept", "all")
        (workspace / "sessions" / file_name(KEYS[2])).write_bytes(content)
    if index == "lost":
        for path in workspace.glob("index*"):
            path.unlink()
    if folders == "bare":
        for name in ("tmp", "quarantine"):
            for path in (workspace / name).iterdir():
                path.unlink()
            (workspace / name).rmdir()
        (workspace / "lock").unlink()


def _answers_of_all(store: FilesStore) -> object:
    page = store.list(Selection(), limit=50)
    return page.sessions, store.keys(Selection()).keys, store.status(), store.stats()


def _soon(is_so: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + SEEN_S
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
