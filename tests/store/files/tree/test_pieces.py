"""Pieces of many files: each as it is in its file, few files open at once, none for longer than it is read."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatkeep.errors import StorageError
from chatkeep.store.files.tree.pieces import FilePiece, readings
from chatkeep.store.files.tree.tree import NotRegularError, Tree

COUNT = 70
OPEN_MAX = 20
SPARE = 3  # descriptors


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    """Yield a tree with many files."""
    tree = Tree(tmp_path, durability="none")
    for number in range(COUNT):
        (tmp_path / "sessions" / f"{number}.json").write_bytes(b"0123456789" * (number + 1))
    yield tree
    tree.close()


def _open_count() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("has_hints", [True, False])
def test_pieces(tree: Tree, monkeypatch: pytest.MonkeyPatch, *, has_hints: bool) -> None:
    """They come in order, each with the state of its file; the system need not take hints."""
    if not has_hints:
        monkeypatch.delattr(os, "posix_fadvise")
    before = _open_count()
    found, most = [], 0
    for reading in readings(tree, [FilePiece(f"{number}.json", number, 12) for number in range(COUNT)]):
        data, stamp = reading.read()
        found.append((data, stamp.size))
        most = max(most, _open_count() - before)

    assert found == [(((b"0123456789" * (n + 1))[n : n + 12]), 10 * (n + 1)) for n in range(COUNT)]
    assert 1 < most <= OPEN_MAX
    assert _open_count() <= before  # what other tests left may have been collected meanwhile


def test_pieces_that_cannot_be_read(tree: Tree, tmp_path: Path) -> None:
    """What is missing, or no file, is told when it is read, and the others are read all the same."""
    (tmp_path / "sessions" / "1.json").unlink()
    (tmp_path / "sessions" / "2.json").unlink()
    (tmp_path / "sessions" / "2.json").symlink_to("3.json")
    told: list[object] = []
    for reading in readings(tree, [FilePiece(f"{number}.json", 0, 3) for number in range(4)]):
        try:
            told.append(reading.read()[0])
        except (FileNotFoundError, NotRegularError, StorageError) as error:
            told.append(type(error))

    assert told == [b"012", FileNotFoundError, NotRegularError, b"012"]


@pytest.mark.parametrize("spare", [1, 2, SPARE])
def test_pieces_with_few_descriptors(tree: Tree, spare: int) -> None:
    """Where few files can be open at once, all are read all the same."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    holes = [os.open("/", os.O_RDONLY) for _ in range(highest + 1 - _open_count())]
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1 + spare, limits[1]))
    try:
        found = [reading.read()[0] for reading in readings(tree, [FilePiece(f"{n}.json", 0, 3) for n in range(COUNT)])]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for fd in holes:
            os.close(fd)

    assert found == [b"012"] * COUNT


def test_pieces_for_several_at_once(tree: Tree) -> None:
    """Together they hold no more files open ahead than one does, and each reads all of its own."""
    before = _open_count()
    wanted = [readings(tree, [FilePiece(f"{number}.json", 0, 3) for number in range(COUNT)]) for _ in range(8)]
    found, most = [], 0
    for together in zip(*wanted, strict=True):
        found += [reading.read()[0] for reading in together]
        most = max(most, _open_count() - before)

    assert found == [b"012"] * (8 * COUNT)
    assert most <= OPEN_MAX + len(wanted)
    assert _open_count() == before


def test_pieces_that_nobody_wants_any_more(tree: Tree) -> None:
    """Files are closed when whoever reads them stops early."""
    before = _open_count()
    wanted = readings(tree, [FilePiece(f"{number}.json", 0, 3) for number in range(COUNT)])
    next(wanted)
    assert _open_count() > before
    wanted.close()

    assert _open_count() == before
