"""What the files store tells of: changes of its own, of others, and those that the index learnt of late."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from chatkeep.core.model import Revision
from chatkeep.errors import BusyError
from chatkeep.store.files.index import rows
from chatkeep.store.files.index.index import Index
from chatkeep.store.files.store import FilesStore
from chatkeep.store.files.tree.tree import file_name
from chatkeep.testing import draft, talk

KEY = "telegram:1"
PATIENCE_S = 10.0
Fact = tuple[str, str, int | None, int | None]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Return a workspace with one session of three messages, closed."""
    store = FilesStore.open(tmp_path / "workspace", durability="none")
    store.append(KEY, talk(3))
    store.close()
    return tmp_path / "workspace"


@pytest.fixture
def opened(workspace: Path) -> Iterator[Callable[..., FilesStore]]:
    """Return a way to open the workspace; what was opened is closed in the end."""
    stores: list[FilesStore] = []

    def open_it(**options: object) -> FilesStore:
        stores.append(FilesStore.open(workspace, durability="none", **options))  # type: ignore[arg-type]
        return stores[-1]

    yield open_it
    for store in stores:
        store.close()


def _file(workspace: Path, key: str = KEY) -> Path:
    return workspace / "sessions" / file_name(key)


def _now(store: FilesStore) -> str:
    return store.changes(None, limit=1).position


def _told(store: FilesStore, after: str) -> list[Fact]:
    answer = store.changes(after, limit=1000)
    assert answer.is_known
    return [(change.kind, change.key, change.first_seq, change.last_seq) for change in answer.changes]


def _soon(store: FilesStore, after: str, count: int) -> list[Fact]:
    """Return what is told as soon as there is so much of it."""
    deadline = time.monotonic() + PATIENCE_S
    while len(told := _told(store, after)) < count and time.monotonic() < deadline:
        time.sleep(0.05)
    return told


def _edit(path: Path, **fields: object) -> None:
    """Change a file as a person with a script does."""
    edited = path.with_suffix(".new")
    edited.write_text(json.dumps({**json.loads(path.read_bytes()), **fields}, indent=1))
    edited.rename(path)


def test_changes_across_openings(opened: Callable[..., FilesStore]) -> None:
    """A position outlives the process; what another store on the workspace does is told too."""
    store = opened()
    begun = _now(store)
    store.append(KEY, [draft("four")])
    store.close()
    other, again = opened(), opened()
    other.revise(KEY, Revision(title="Mine"))
    assert [("appended", KEY, 4, 4), ("revised", KEY, None, None)] == _told(again, begun)


def test_changes_while_nobody_looked(workspace: Path, opened: Callable[..., FilesStore]) -> None:
    """What others did to the files while the workspace was closed is told when it is opened."""
    store = opened()
    store.append("gone:1", talk(1))
    begun = _now(store)
    store.close()
    _edit(_file(workspace), title="Theirs")
    _file(workspace, "gone:1").unlink()
    assert [("deleted", "gone:1", None, None), ("revised", KEY, None, None)] == sorted(_told(opened(), begun))


def test_changes_of_edited_files(workspace: Path, opened: Callable[..., FilesStore]) -> None:
    """An edited header or text, more messages, fewer: each is told as what it is, by a running store."""
    store = opened(watch=True)
    path, begun = _file(workspace), _now(store)
    _edit(path, title="Theirs")
    assert [("revised", KEY, None, None)] == _soon(store, begun, 1)
    messages = json.loads(path.read_bytes())["messages"]
    begun = _now(store)
    _edit(path, messages=[*messages, {**messages[0], "id": "new", "seq": 4}])
    assert [("appended", KEY, 4, 4)] == _soon(store, begun, 1)
    begun = _now(store)
    _edit(path, messages=[{**messages[0], "content": "LINE 1"}, *messages[1:]])
    assert [("deleted", KEY, None, None), ("created", KEY, 1, 3)] == _soon(store, begun, 2)
    begun = _now(store)
    _edit(path, messages=[{**messages[0], "content": "line 1"}, *messages[1:]])
    assert [("revised", KEY, None, None)] == _soon(store, begun, 1)


def test_changes_of_damaged_files(workspace: Path, opened: Callable[..., FilesStore]) -> None:
    """The seqs are those of the messages that are left."""
    data = _file(workspace).read_bytes()
    store = opened()
    after = _now(store)
    _file(workspace).write_bytes(data.replace(b'"seq":2', b'"seq":?'))
    opened()
    assert [("deleted", KEY, None, None), ("created", KEY, 1, 3)] == _told(store, after)


def test_changes_of_files_that_come_and_go(workspace: Path, opened: Callable[..., FilesStore], tmp_path: Path) -> None:
    """A file that is taken away is a deletion, and put back a creation."""
    store = opened(watch=True)
    begun = _now(store)
    shutil.move(_file(workspace), tmp_path / "backup")
    assert [("deleted", KEY, None, None)] == _soon(store, begun, 1)
    shutil.copy(tmp_path / "backup", _file(workspace))
    assert [("deleted", KEY, None, None), ("created", KEY, 1, 3)] == _soon(store, begun, 2)


def test_changes_of_copies(workspace: Path, opened: Callable[..., FilesStore], tmp_path: Path) -> None:
    """A file in whose place its own copy is put, times and all, has not changed."""
    store = opened()
    begun = _now(store)
    store.close()
    shutil.copy2(_file(workspace), tmp_path / "copy")
    (tmp_path / "copy").rename(_file(workspace))
    assert [] == _told(opened(), begun)


@pytest.mark.parametrize("is_asked", [False, True])
def test_changes_that_could_not_be_told(
    workspace: Path, opened: Callable[..., FilesStore], monkeypatch: pytest.MonkeyPatch, *, is_asked: bool
) -> None:
    """What is durable while somebody keeps the index is told once that is free: once, with its seqs."""
    monkeypatch.setattr("chatkeep.store.files.index.databases._BUSY_S", 0.1)
    store = opened()
    begun = _now(store)
    with closing(apsw.Connection(str(Index.path_in(workspace)))) as keeper:
        keeper.execute("BEGIN IMMEDIATE")
        store.append(KEY, [draft("four"), draft("five")])
        store.append("new:1", talk(2))
        if is_asked:
            with pytest.raises(BusyError):
                store.changes(begun, limit=10)
    store.append(KEY, [draft("six")])
    told = _told(store, begun)
    seqs = [seq for kind, key, first, end in told if key == KEY for seq in range(first or 0, (end or 0) + 1)]
    assert [4, 5, 6] == seqs
    assert [("created", "new:1", 1, 2)] == [fact for fact in told if fact[1] == "new:1"]


def test_changes_that_the_watch_was_quicker_with(
    opened: Callable[..., FilesStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A verb whose file is read by the watch before it tells of it tells nothing a second time."""
    store = opened()
    begun = _now(store)
    note = store._upkeep.note

    def late(change: Callable[[rows.Database], object]) -> object:
        store._upkeep.refresh(file_name(KEY))
        return note(change)

    monkeypatch.setattr(store._upkeep, "note", late)
    store.append(KEY, [draft("four")])
    store.revise(KEY, Revision(title="Mine"))
    store.delete(KEY)
    store.append(KEY, talk(1))
    expected = [("appended", KEY, 4, 4), *((kind, KEY, None, None) for kind in ("revised", "deleted"))]
    assert [*expected, ("created", KEY, 1, 1)] == _told(store, begun)


def test_delete_before_another_creates(opened: Callable[..., FilesStore], monkeypatch: pytest.MonkeyPatch) -> None:
    """A session made anew while its predecessor's end is being told stays in the index."""
    store, other = opened(), opened()
    note = store._upkeep.note

    def late(change: Callable[[rows.Database], object]) -> object:
        other.append(KEY, talk(1))
        return note(change)

    begun = _now(store)
    monkeypatch.setattr(store._upkeep, "note", late)
    store.delete(KEY)
    assert [("deleted", KEY, None, None), ("created", KEY, 1, 1)] == _told(store, begun)
    assert 1 == store.status().session_count


def test_changes_of_another_index(workspace: Path, opened: Callable[..., FilesStore]) -> None:
    """An index that is built anew, or a copy of an older one, does not know the positions; a build tells nothing."""
    store = opened()
    begun = _now(store)
    store.reindex()
    assert not store.changes(begun, limit=10).is_known
    begun = _now(store)
    store.close()
    path = Index.path_in(workspace)
    shutil.copy2(path, path.with_suffix(".copy"))
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.with_suffix(".copy").rename(path)
    assert not opened().changes(begun, limit=10).is_known


def test_changes_after_another_boot(opened: Callable[..., FilesStore], monkeypatch: pytest.MonkeyPatch) -> None:
    """After a boot a position may have been given to what a power cut took away, so it is not known."""
    store = opened()
    begun = _now(store)
    assert store.changes(begun, limit=1).is_known
    monkeypatch.setattr("chatkeep.store.files.index.changes._boot", lambda: "another")
    assert not store.changes(begun, limit=1).is_known


def test_changes_of_long_ago(opened: Callable[..., FilesStore], monkeypatch: pytest.MonkeyPatch) -> None:
    """So many are remembered and not many more; who asks for older ones is told to begin anew."""
    monkeypatch.setattr(rows, "CHANGES_KEPT", 20)
    monkeypatch.setattr(rows, "ROUND", 0)
    monkeypatch.setattr(rows, "_FORGOTTEN_AT_ONCE", 10)
    store = opened()
    begun, positions = _now(store), []
    for _ in range(60):
        store.append(KEY, [draft("more")])
        positions.append(_now(store))
    known = [store.changes(position, limit=100) for position in (begun, *positions)]
    lengths = [len(answer.changes) for answer in known if answer.is_known]
    assert [*range(len(lengths) - 1, -1, -1)] == lengths
    assert 20 <= len(lengths) - 1 < 20 + 10


def test_changes_heal_after_a_crash(workspace: Path, opened: Callable[..., FilesStore]) -> None:
    """An append that was durable when its process died is told by whoever comes next, once."""
    store = opened()
    begun = _now(store)
    store.close()
    path = Index.path_in(workspace)
    before = path.read_bytes()
    store = opened()
    store.append(KEY, [draft("four")])
    store.close()
    path.write_bytes(before)  # the same file: what was told last is lost with the process
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    assert [("appended", KEY, 4, 4)] == _told(opened(), begun)
    assert [("appended", KEY, 4, 4)] == _told(opened(), begun)
