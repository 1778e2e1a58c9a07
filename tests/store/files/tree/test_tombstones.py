"""Deletions are remembered: through crashes, in many processes, in bounded room."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path

import pytest

from chatkeep.core.life.dropping import NewSession
from chatkeep.core.model import Selection
from chatkeep.disk.locks import file_locked
from chatkeep.errors import (
    SessionDeletedError,
    SessionExistsError,
    SessionNotFoundError,
    StorageDeniedError,
    StorageError,
    StorageFullError,
)
from chatkeep.store.files.store import FilesStore
from chatkeep.store.files.tree import tombstones as module
from chatkeep.store.files.tree.tombstones import TombstoneBounds, Tombstones, fault_of, is_digest
from chatkeep.store.files.tree.tree import digest_in, file_name
from chatkeep.testing import draft, session, talk

KEYS = [f"telegram:{number}" for number in range(40)]
NAMES = [file_name(key) for key in KEYS]
SMALL = TombstoneBounds(remembered=10, unsorted=6, share=2)


def opened(workspace: Path, bounds: TombstoneBounds = TombstoneBounds()) -> Tombstones:  # noqa: B008 - an immutable value
    """Return the tombstones of a workspace, not flushed."""
    return Tombstones(workspace, is_flushed=False, bounds=bounds)


def bury(stones: Tombstones, *names: str) -> None:
    """Remember the deletions of these files."""
    for name in names:
        stones.end(name, has_begun=stones.begin(name))


@pytest.fixture
def stones(tmp_path: Path) -> Iterator[Tombstones]:
    """Yield the tombstones of an empty workspace."""
    with closing(opened(tmp_path)) as stones:
        yield stones


def test_remember_a_deletion(stones: Tombstones, tmp_path: Path) -> None:
    """A deletion is remembered by this reader and by others, until it is forgotten; no key is in the file."""
    with closing(opened(tmp_path)) as other:
        assert not other.has(NAMES[0], is_there=False)
        bury(stones, NAMES[0])
        assert [True, True, False] == [
            stones.has(NAMES[0], is_there=True),
            other.has(NAMES[0], is_there=False),
            other.has(NAMES[1], is_there=False),
        ]
        assert b"telegram" not in (tmp_path / "tombstones").read_bytes()
        other.forget(NAMES[:2])
        assert not stones.has(NAMES[0], is_there=False)
        assert {} == stones.deleted()
    assert 0o600 == (tmp_path / "tombstones").stat().st_mode & 0o777


def test_remember_a_deletion_not_ended(stones: Tombstones) -> None:
    """A deletion without an end counts where the session is gone, and not where it still is."""
    assert stones.begin(NAMES[0])
    assert [True, False] == [stones.has(NAMES[0], is_there=is_there) for is_there in (False, True)]


def test_end_a_deletion_that_was_forgotten_meanwhile(stones: Tombstones, tmp_path: Path) -> None:
    """A session that an import brings back before its deletion has ended is not deleted."""
    has_begun = stones.begin(NAMES[0])
    with closing(opened(tmp_path)) as other:
        other.forget(NAMES[:1])
    stones.end(NAMES[0], has_begun=has_begun)
    assert [False, False] == [stones.has(NAMES[0], is_there=is_there) for is_there in (False, True)]


def test_settle_a_deletion_not_ended(stones: Tombstones, tmp_path: Path) -> None:
    """A deletion left open counts for good once its session was found gone; others stay as they are."""
    assert stones.begin(NAMES[0])
    for name in NAMES[:2]:
        stones.settle(name)
    assert [True, False] == [stones.has(name, is_there=True) for name in NAMES[:2]]
    (tmp_path / "tombstones").write_bytes(b"no list")
    stones.settle(NAMES[0])
    assert b"no list" == (tmp_path / "tombstones").read_bytes()


def test_settle_a_deletion_not_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a deletion is flushed before another session of the key can be made; one that is sorted was before."""
    flushed: list[int] = []
    with closing(Tombstones(tmp_path)) as stones:
        bury(stones, *NAMES[:3])
        monkeypatch.setattr(module, "to_disk", flushed.append)
        stones.settle(NAMES[2])
        assert 1 == len(flushed)
        stones.settle(NAMES[5])
        assert 1 == len(flushed)
    with closing(Tombstones(tmp_path, bounds=TombstoneBounds(unsorted=0))) as stones:
        stones.forget([NAMES[1]])  # this sorts the file
        stones.settle(NAMES[2])
        assert 1 == len(flushed)


@pytest.mark.parametrize("by", ["append", "delete"])
def test_remember_a_killed_deletion_beside_another_session(tmp_path: Path, by: str) -> None:
    """A deletion whose process died at its end is remembered, also where another session has the key by now."""
    with closing(FilesStore.open(tmp_path)) as store, closing(opened(tmp_path)) as stones:
        assert stones.begin(file_name("a"))
        if by == "delete":
            with pytest.raises(SessionNotFoundError):
                store.delete("a")
            assert [True, True] == [stones.has(file_name("a"), is_there=is_there) for is_there in (False, True)]
        store.append("a", [draft("new")])
        assert store.is_deleted("a")
        with pytest.raises(SessionDeletedError):
            store.merge(session("a", talk(2)), unless_deleted=True)


def test_keep_a_session_whose_deletion_failed(tmp_path: Path) -> None:
    """A session that stands after a failed deletion is not deleted by an attempt to make another one of its key."""
    (tmp_path / "trash").write_bytes(b"no folder")
    with closing(FilesStore.open(tmp_path)) as store:
        store.append("a", talk(1))
        with pytest.raises(StorageError):
            store.delete("a", to_trash=True)
        with pytest.raises(SessionExistsError):
            store.create(NewSession(key="a", messages=tuple(talk(1))))
        assert not store.is_deleted("a")
        assert 2 == store.merge(session("a", talk(3)), unless_deleted=True).added_count


def test_sort_the_file(tmp_path: Path) -> None:
    """Sorting keeps every deletion, drops repetitions and forgotten ones, and others' readers go on."""
    large = TombstoneBounds(remembered=1000, unsorted=6, share=2)
    with closing(opened(tmp_path, large)) as stones, closing(opened(tmp_path, large)) as reader:
        for number, name in enumerate(NAMES):
            bury(stones, name)
            if number % 3 == 0:
                stones.forget([name])
            assert (number % 3 != 0) == reader.has(name, is_there=True)
        kept = {digest_in(name) for number, name in enumerate(NAMES) if number % 3}
        assert kept == set(stones.deleted())
        assert [name in kept for name in map(digest_in, NAMES)] == [reader.has(name, is_there=True) for name in NAMES]
    assert (tmp_path / "tombstones").stat().st_size <= 33 * (1 + len(kept) + max(6, len(kept) // 2))


def test_bound_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of too many deletions the newest stay, however many there were."""
    with closing(opened(tmp_path, SMALL)) as stones:
        for number, name in enumerate(NAMES):
            monkeypatch.setattr(time, "time", lambda number=number: 1_700_000_000 + number)
            bury(stones, name)
        assert all(stones.has(name, is_there=True) for name in NAMES[-8:])
        assert len(stones.deleted()) <= 10 + 6
        assert not stones.has(NAMES[0], is_there=False)
    assert (tmp_path / "tombstones").stat().st_size <= 33 * 17


def test_sort_the_file_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that could not be stored counts for nobody, also not for its writer."""

    def refuse(*_: object) -> None:
        raise StorageFullError

    with closing(opened(tmp_path, TombstoneBounds(unsorted=3))) as stones:
        bury(stones, *NAMES[:4])
        monkeypatch.setattr(module, "replace_file", refuse)
        with pytest.raises(StorageFullError):
            stones.forget(NAMES[:4])
        assert [True] * 4 == [stones.has(name, is_there=True) for name in NAMES[:4]]
        monkeypatch.undo()
        stones.forget(NAMES[:4])
        assert {} == stones.deleted()


@pytest.mark.parametrize("cut", range(1, 33))
def test_add_behind_a_torn_line(stones: Tombstones, tmp_path: Path, cut: int) -> None:
    """A line cut off by a crash is no line; the next one takes its place, and no other is lost."""
    bury(stones, *NAMES[:2])
    size = (tmp_path / "tombstones").stat().st_size
    os.truncate(tmp_path / "tombstones", size - cut)
    with closing(opened(tmp_path)) as fresh:
        assert [True, True] == [fresh.has(name, is_there=False) for name in NAMES[:2]]
        bury(fresh, NAMES[2])
        assert fresh.has(NAMES[2], is_there=True)
    assert 0 == (tmp_path / "tombstones").stat().st_size % 33
    assert fault_of(tmp_path / "tombstones") is None


def test_add_from_many_threads(tmp_path: Path) -> None:
    """Threads, each with a list of its own, lose no deletion, also while the file is sorted."""
    bounds = TombstoneBounds(remembered=1000, unsorted=4, share=8)

    def work(names: list[str]) -> None:
        with closing(opened(tmp_path, bounds)) as stones:
            bury(stones, *names)

    threads = [threading.Thread(target=work, args=(NAMES[first::4],)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with closing(opened(tmp_path)) as stones:
        assert all(stones.has(name, is_there=True) for name in NAMES)


@pytest.mark.parametrize("content", [b"", b"something else", b"chatkeep tombstones 1 0000000009\n", b"x" * 66])
def test_refuse_another_file(stones: Tombstones, tmp_path: Path, content: bytes) -> None:
    """A file that is no list of deletions is neither taken for an empty one nor written over."""
    path = tmp_path / "tombstones"
    path.write_bytes(content)
    with pytest.raises(StorageError, match="doctor"):
        stones.has(NAMES[0], is_there=False)
    with pytest.raises(StorageError, match="doctor"):
        stones.begin(NAMES[0])
    assert content == path.read_bytes()
    assert "no whole list" in str(fault_of(path))


def test_go_on_after_another_file(stones: Tombstones, tmp_path: Path) -> None:
    """Once the list is back in place of another file, it is read again; no descriptor was closed twice."""
    bury(stones, NAMES[0])
    path, aside = tmp_path / "tombstones", tmp_path / "aside"
    path.rename(aside)
    path.write_bytes(b"no list")
    with pytest.raises(StorageError):
        stones.has(NAMES[0], is_there=False)
    with (tmp_path / "foreign").open("wb") as foreign:  # takes the number of a closed descriptor
        with pytest.raises(StorageError):
            stones.has(NAMES[0], is_there=False)
        aside.rename(path)
        assert stones.has(NAMES[0], is_there=False)
        assert os.fstat(foreign.fileno())


def test_find_bad_lines(stones: Tombstones, tmp_path: Path) -> None:
    """Bad lines cost their neighbours nothing, and the checkup counts them."""
    bury(stones, *NAMES[:3])
    path = tmp_path / "tombstones"
    content = bytearray(path.read_bytes())
    content[33 * 2 + 5] = 0
    path.write_bytes(content)
    with closing(opened(tmp_path)) as fresh:
        assert [True, True, True] == [fresh.has(name, is_there=False) for name in NAMES[:3]]
    assert "1 of its" in str(fault_of(path))


@pytest.mark.parametrize("page", [slice(0, 33), slice(0, 4096 % 33), slice(4096 % 33, 33)])
def test_read_behind_a_line_that_a_power_cut_left_out(stones: Tombstones, tmp_path: Path, page: slice) -> None:
    """Zeros in place of an end that was not flushed are no fault: the deletion is remembered by its beginning."""
    path = tmp_path / "tombstones"
    for _ in range(61):
        bury(stones, NAMES[0])
    assert stones.begin(NAMES[1])
    size = path.stat().st_size
    assert 4096 // 33 * 33 == size  # so that the next line lies in two pages of the disk
    stones.end(NAMES[1], has_begun=True)
    content = bytearray(path.read_bytes())
    line = content[size:]
    line[page] = bytes(len(line[page]))
    content[size:] = line
    path.write_bytes(content)
    with closing(opened(tmp_path)) as fresh:
        assert fresh.has(NAMES[1], is_there=False)
        bury(fresh, NAMES[2])
    with closing(opened(tmp_path)) as fresh:
        assert [True, True] == [fresh.has(name, is_there=False) for name in NAMES[1:3]]
    assert fault_of(path) is None


def test_tell_what_can_be_a_digest() -> None:
    """The hash of a file's name is one, and no other text."""
    assert is_digest(digest_in(NAMES[0]))
    assert [False] * 4 == [is_digest(text) for text in ("", "x", "1" * 20, digest_in(NAMES[0]) + "é")]


def refusing(error: type[StorageError], times: int) -> Callable[..., AbstractContextManager[None]]:
    """Return a lock that cannot be taken so many times, as its file cannot be made."""
    refusals = iter(range(times))

    def lock(*args: object, **named: object) -> AbstractContextManager[None]:
        if next(refusals, None) is None:
            return file_locked(*args, **named)  # type: ignore[arg-type]
        raise error("closed") if error is StorageDeniedError else error()

    return lock


@pytest.mark.parametrize("times", [1, 2])
def test_delete_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """A full disk hinders no deletion: it gives room, and the deletion is remembered after it if it can be."""
    with closing(FilesStore.open(tmp_path)) as store:
        store.append(KEYS[0], talk(1))
        monkeypatch.setattr(module, "file_locked", refusing(StorageFullError, times))
        store.delete(KEYS[0])
        assert (times == 1) == store.is_deleted(KEYS[0])
        assert () == store.keys(Selection()).keys


def test_delete_where_nothing_can_be_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deletion that cannot be remembered for another reason is refused, and the session stays."""
    with closing(FilesStore.open(tmp_path)) as store:
        store.append(KEYS[0], talk(1))
        monkeypatch.setattr(module, "file_locked", refusing(StorageDeniedError, 1))
        with pytest.raises(StorageDeniedError):
            store.delete(KEYS[0])
        assert KEYS[0] == store.get(KEYS[0]).header.key
        assert not store.is_deleted(KEYS[0])


def test_remember_through_a_kill(tmp_path: Path) -> None:
    """A deletion that was answered is remembered, whatever became of the process."""
    script = (
        "import os,sys; from pathlib import Path; from chatkeep.store.files.store import FilesStore\n"
        "from chatkeep.testing.samples import talk\n"
        "store = FilesStore.open(Path(sys.argv[1])); store.append(sys.argv[2], talk(1)); store.delete(sys.argv[2])\n"
        "os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path), KEYS[0]], check=False)
    with closing(FilesStore.open(tmp_path)) as store:
        assert store.is_deleted(KEYS[0])
        with pytest.raises(SessionDeletedError):
            store.merge(session(KEYS[0], talk(1)), unless_deleted=True)
