"""Changes from outside at the worst moments: between a look and a write, during a flush, before the index knows."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chatkeep.core.model import Revision, Selection
from chatkeep.disk.files import to_disk
from chatkeep.errors import BusyError, SessionDamagedError, SessionNotFoundError, StorageError
from chatkeep.store.files.index.index import Index
from chatkeep.store.files.store import FilesStore
from chatkeep.store.files.tree import held, outside
from chatkeep.store.files.tree.held import LockedFile
from chatkeep.store.files.tree.tree import Tree, file_name
from chatkeep.testing import draft, search_for, talk

KEY = "telegram:1"
PATIENCE_S = 10.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilesStore]:
    """Yield a store with one session of three messages."""
    opened = FilesStore.open(tmp_path / "workspace")
    opened.append(KEY, talk(3))
    yield opened
    opened.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the file of the session."""
    return tmp_path / "workspace" / "sessions" / file_name(KEY)


def _edited(path: Path) -> bytes:
    """Return the file with an edit that leaves its size as it is."""
    return path.read_bytes().replace(b"line 2", b"LINE 2")


def _in_place(path: Path) -> bytes:
    data = _edited(path)
    path.write_bytes(data)
    return data


def _by_rename(path: Path) -> bytes:
    data = _edited(path)
    path.with_name(".new").write_bytes(data)
    path.with_name(".new").rename(path)
    return data


def _texts(store: FilesStore) -> list[object]:
    return [message.content for message in store.window(KEY, limit=10).messages]


def _soon(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("edit", [_in_place, _by_rename])
@pytest.mark.parametrize("size", [10, 6000])
def test_append_while_the_file_is_edited(
    store: FilesStore, path: Path, monkeypatch: pytest.MonkeyPatch, edit: Callable[[Path], bytes], size: int
) -> None:
    """An edit between the look at a file and the write stays, and the append is refused; the next one is stored."""
    theirs: list[bytes] = []
    reserve = LockedFile._reserve

    def edit_first(self: LockedFile, needed: int) -> None:
        theirs.append(edit(path))
        reserve(self, needed)

    with monkeypatch.context() as patch:
        patch.setattr(LockedFile, "_reserve", edit_first)
        with pytest.raises(BusyError):
            store.append(KEY, [draft("x" * size, id="more")])
    assert theirs == [path.read_bytes()]
    assert 4 == store.append(KEY, [draft("x" * size, id="more")]).message_count
    assert ["line 1", "LINE 2", "line 3", "x" * size] == _texts(store)


def test_append_while_no_byte_changes(store: FilesStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another right or name for the file, between any two looks at it, is no edit."""
    look = os.fstat

    def look_and_touch(fd: int) -> os.stat_result:
        found = look(fd)
        path.chmod(path.stat().st_mode ^ 0o040)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", look_and_touch)
        store.append(KEY, [draft("x" * 6000, id="more")])
    assert ["line 1", "line 2", "line 3", "x" * 6000] == _texts(store)


def test_append_while_the_file_is_replaced(store: FilesStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An append is not answered that went into a file which somebody replaced during its flush."""
    flush = to_disk

    def replace_first(fd: int) -> None:
        _by_rename(path)
        flush(fd)

    with monkeypatch.context() as patch:
        patch.setattr(held, "to_disk", replace_first)
        with pytest.raises(BusyError):
            store.append(KEY, [draft("more", id="more")])
    assert 4 == store.append(KEY, [draft("more", id="more")]).message_count
    assert ["line 1", "LINE 2", "line 3", "more"] == _texts(store)


def test_append_while_an_earlier_message_is_edited(
    store: FilesStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An edit in place during the flush of an append is noticed, though the size is what the append made it."""
    flush = to_disk

    def edit_first(fd: int) -> None:
        time.sleep(0.01)  # kernels that tell the time in ticks
        with path.open("r+b") as file:
            place = file.read().index(b"line 2")
            file.seek(place)
            file.write(b"plum 2")
        flush(fd)

    with monkeypatch.context() as patch:
        patch.setattr(held, "to_disk", edit_first)
        assert 4 == store.append(KEY, [draft("more")]).message_count
    assert ["line 1", "plum 2", "line 3", "more"] == _texts(store)
    assert ["plum 2"] == [hit.excerpt for hit in store.search(search_for("plum")).hits]


@pytest.mark.parametrize("edit", [_in_place, _by_rename])
@pytest.mark.parametrize("layout", ["ours", "theirs"])
def test_revise_while_the_file_is_edited(
    store: FilesStore, path: Path, monkeypatch: pytest.MonkeyPatch, edit: Callable[[Path], bytes], layout: str
) -> None:
    """An edit stays that comes while a rename, or the way into our layout, is about to replace the file."""
    if layout == "theirs":
        path.write_text(json.dumps(json.loads(path.read_bytes()), indent=1))
    theirs: list[bytes] = []
    write = Tree._write

    def edit_first(self: Tree, fd: int, content: bytes) -> None:
        theirs.append(edit(path))
        write(self, fd, content)

    with monkeypatch.context() as patch:
        patch.setattr(Tree, "_write", edit_first)
        with pytest.raises(BusyError):
            store.revise(KEY, Revision(title="New"))
    assert theirs == [path.read_bytes()]
    assert "New" == store.revise(KEY, Revision(title="New")).title
    assert ["line 1", "LINE 2", "line 3"] == _texts(store)


def test_open_while_a_file_is_edited(store: FilesStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit between the reading of a file and the look at its state is not taken for what was read."""
    path.write_text(json.dumps(json.loads(path.read_bytes())))
    read = LockedFile.read

    def edit_after(self: LockedFile) -> bytes:
        data = read(self)
        path.write_bytes(data.replace(b"line 2", b"LINE 2"))
        return data

    with monkeypatch.context() as patch:
        patch.setattr(LockedFile, "read", edit_after)
        with pytest.raises(BusyError):
            store.append(KEY, [draft("more")])
    assert ["line 1", "LINE 2", "line 3"] == _texts(store)


@pytest.mark.parametrize("edit", [_in_place, _by_rename])
def test_window_of_a_file_that_the_index_does_not_know(
    store: FilesStore, path: Path, tmp_path: Path, edit: Callable[[Path], bytes]
) -> None:
    """A window is of one state of the file: where messages were in the old one is not read in the new one."""
    twin = FilesStore.open(tmp_path / "twin")
    twin.append(KEY, talk(3))
    twin.append(KEY, talk(4)[3:])
    twin.close()
    (tmp_path / "twin" / "sessions" / path.name).rename(tmp_path / "longer")
    data = (tmp_path / "longer").read_bytes()
    edit_to = path if edit is _in_place else path.with_name(".new")
    edit_to.write_bytes(data.replace(b"line 3", b"LINE 3"))
    edit_to.rename(path)

    assert ["LINE 3", "line 4"] == [message.content for message in store.window(KEY, limit=2).messages]


@pytest.mark.parametrize("edit", [_in_place, _by_rename])
def test_search_in_a_file_that_the_index_does_not_know(
    store: FilesStore, path: Path, edit: Callable[[Path], bytes]
) -> None:
    """A hit is shown with the words that were searched for, or not at all; what is in both states is found."""
    store.append(KEY, [draft("plum")])
    edit(path)
    path.write_bytes(path.read_bytes().replace(b"plum", b"pear"))

    assert () == store.search(search_for("plum")).hits
    assert ["pear"] == [hit.excerpt for hit in store.search(search_for("pear")).hits]
    assert ["LINE 2"] == [hit.excerpt for hit in store.search(search_for('"line 2"')).hits]


def test_watch_a_longer_file_that_arrives_slowly(store: FilesStore, path: Path) -> None:
    """A copy over a session that has more messages than that one is not cut where it has got to."""
    store.close()
    whole = path.read_bytes()
    opened = FilesStore.open(path.parents[1])
    opened.append(KEY, [draft("x" * 100, id=f"n{number}") for number in range(20)])
    opened.close()
    longer = path.read_bytes()
    path.write_bytes(whole)
    watching = FilesStore.open(path.parents[1], watch=True)
    half = longer.index(b'"n15"')
    with path.open("r+b", buffering=0) as copy:
        copy.write(longer[:half])
        copy.truncate()
        assert _soon(lambda: watching.get(KEY).damage is not None)
        time.sleep(0.3)
        with pytest.raises((BusyError, SessionDamagedError)):
            watching.append(KEY, [draft("too early")])
        copy.write(longer[half:])

    assert _soon(lambda: (watching.get(KEY).damage, watching.get(KEY).message_count) == (None, 23))
    assert longer == path.read_bytes()
    watching.close()


def test_watch_a_folder_that_is_moved_away(store: FilesStore, path: Path, tmp_path: Path) -> None:
    """Sessions whose folder was moved away are gone, nothing is appended to them there; moved back they are there."""
    store.close()
    watching = FilesStore.open(path.parents[1], watch=True)
    path.parent.rename(tmp_path / "away")
    before = (tmp_path / "away" / path.name).read_bytes()
    assert _soon(lambda: watching.keys(Selection()).keys == ())
    with pytest.raises(SessionNotFoundError):
        watching.append(KEY, [draft("more")], create=False)
    assert before == (tmp_path / "away" / path.name).read_bytes()
    (tmp_path / "away").rename(path.parent)
    assert _soon(lambda: watching.keys(Selection()).keys == (KEY,))
    assert 4 == watching.append(KEY, [draft("more")]).message_count
    watching.close()


@pytest.mark.parametrize("thing", ["link", "pipe", "file"])
def test_watch_a_folder_that_becomes_something_else(
    store: FilesStore, path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, thing: str
) -> None:
    """What is put in the place of the folder is not followed: there are no sessions, and a write is told why not."""
    store.close()
    watching = FilesStore.open(path.parents[1], watch=True)
    path.parent.rename(tmp_path / "away")
    before = (tmp_path / "away" / path.name).read_bytes()
    if thing == "link":
        path.parent.symlink_to(tmp_path / "away")
    elif thing == "pipe":
        os.mkfifo(path.parent)
    else:
        path.parent.write_text("mine")
    assert _soon(lambda: watching.keys(Selection()).keys == ())
    with pytest.raises(StorageError, match="'sessions' has to be a folder"):
        watching.append(KEY, [draft("more")])
    assert before == (tmp_path / "away" / path.name).read_bytes()
    assert [] == caplog.messages
    watching.close()


def test_open_with_a_link_in_the_place_of_the_index(store: FilesStore, path: Path, tmp_path: Path) -> None:
    """A link to another database is replaced, not followed: what it leads to stays as it is."""
    store.close()
    index = Index.path_in(path.parents[1])
    index.rename(tmp_path / "theirs")
    index.symlink_to(tmp_path / "theirs")
    before = (tmp_path / "theirs").read_bytes()
    opened = FilesStore.open(path.parents[1])
    opened.append(KEY, [draft("more")])
    opened.close()

    assert before == (tmp_path / "theirs").read_bytes()
    assert ["theirs"] == [one.name for one in tmp_path.glob("theirs*")]
    assert index.is_file()
    assert not index.is_symlink()


class Noted:
    """Knows of no file, and notes which are looked at and which are read."""

    def __init__(self) -> None:
        """Begin with none."""
        self.looks, self.reads = 0, 0

    def stamp(self, _name: str) -> None:
        """Count a look."""
        self.looks += 1

    def refresh(self, _name: str) -> None:
        """Count a read."""
        self.reads += 1

    def catch_up(self) -> None:
        """Do nothing."""

    def look_after(self) -> None:
        """Do nothing."""


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert is_so()


@pytest.mark.parametrize("telling_s,reads_while_held", [(3600, False), (0, True)])
def test_watch_a_file_that_somebody_has_locked(
    path: Path, store: FilesStore, monkeypatch: pytest.MonkeyPatch, *, telling_s: float, reads_while_held: bool
) -> None:
    """Who has a file locked tells the index of it, so it is not read meanwhile; nobody is waited for without end."""
    monkeypatch.setattr(outside, "_TELLING_S", telling_s)
    assert 3 == store.get(KEY).message_count
    tree, kept = Tree(path.parent.parent), Noted()
    watch = outside.Watch(tree, kept)
    watch.start(PATIENCE_S)
    with tree.locked(path.name) as file:
        file.flush()
        path.touch()
        _until(lambda: kept.looks > 5 and bool(kept.reads) == reads_while_held)
        assert reads_while_held == bool(kept.reads)
    _until(lambda: kept.reads > 0)
    watch.stop()
    tree.close()
