"""A disk on which nothing is certain before it is flushed, and every state that a power cut may leave on it.

A file's content is a size and pieces of 512 bytes. Until the file is flushed, each piece and the size are
as they were at any moment since the last flush, each for itself; where the size came and a piece did not,
there are zeros or what was there. A name stands for what it stood for at any moment since its folder
was flushed, each name for itself. So all orders in which a file system may write are among the states,
and more than any one file system leaves.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod
from pathlib import Path, PurePosixPath
from typing import TypeVar

from tests.crash.trace import Call

T = TypeVar("T")

PIECE_BYTES = 512
_FEW = 4096


@dataclass(eq=False)
class Inode:
    """A file: what is on the disk for certain, what it is in memory, and the versions in between."""

    durable: bytes = b""
    now: bytearray = field(default_factory=bytearray)
    pieces: dict[int, list[bytes]] = field(default_factory=dict)
    sizes: list[int] = field(default_factory=list)
    lost: set[int] = field(default_factory=set)

    def write(self, start: int, data: bytes) -> None:
        """Put data at a place."""
        end = start + len(data)
        if end > len(self.now):
            self.resize(end)
        self.now[start:end] = data
        self._note(start, end)

    def resize(self, size: int) -> None:
        """Make the file longer, with zeros, or shorter."""
        old = len(self.now)
        self.now[size:] = bytes(max(0, size - old))
        self.sizes.append(size)
        if size < old:
            self._note(size, old)

    def flush(self) -> None:
        """Make the present content durable, all but the pieces that a flush has failed on since they were written."""
        content, kept = bytearray(self.now), {}
        for place in self.lost:
            before = self.durable[place : place + PIECE_BYTES]
            content[place : place + PIECE_BYTES] = before.ljust(PIECE_BYTES, b"\0")[: max(0, len(content) - place)]
            kept[place] = self.pieces[place]
        self.durable = bytes(content)
        self.pieces, self.sizes = kept, []

    def fail(self) -> None:
        """Take what is not durable for written, as Linux does when a flush fails: it may never be, whatever follows."""
        self.lost = set(self.pieces)

    def dials(self) -> Content:
        """Return what a power cut may leave now."""
        before = [self.durable[place : place + PIECE_BYTES].ljust(PIECE_BYTES, b"\0") for place in self.pieces]
        versions = [[first, *later] for first, later in zip(before, self.pieces.values(), strict=True)]
        return Content(
            self.durable, tuple(self.pieces), tuple(map(_unique, versions)), _unique([len(self.durable), *self.sizes])
        )

    def _note(self, start: int, end: int) -> None:
        for place in range(start - start % PIECE_BYTES, end, PIECE_BYTES):
            version = bytes(self.now[place : place + PIECE_BYTES]).ljust(PIECE_BYTES, b"\0")
            self.pieces.setdefault(place, []).append(version)
            self.lost.discard(place)


@dataclass(frozen=True)
class Content:
    """The contents that a file may have after a power cut: one dial for its size, one for each piece."""

    durable: bytes
    places: tuple[int, ...]
    versions: tuple[tuple[bytes, ...], ...]
    sizes: tuple[int, ...]

    @property
    def dials(self) -> tuple[int, ...]:
        """How many positions each dial has."""
        return (len(self.sizes), *map(len, self.versions))

    def at(self, positions: Sequence[int]) -> bytes:
        """Return the content for a position of each dial."""
        size = self.sizes[positions[0]]
        content = bytearray(self.durable[:size].ljust(size, b"\0"))
        for place, versions, position in zip(self.places, self.versions, positions[1:], strict=True):
            if place < size:
                content[place : place + PIECE_BYTES] = versions[position][: size - place]
        return bytes(content)


@dataclass(eq=False)
class Folder:
    """A folder: what its names stand for, and what each stood for since the last flush."""

    now: dict[str, Inode | Folder] = field(default_factory=dict)
    pending: dict[str, list[Inode | Folder | None]] = field(default_factory=dict)

    def put(self, name: str, what: Inode | Folder | None) -> None:
        """Let a name stand for something, or for nothing."""
        self.pending.setdefault(name, [self.now.get(name)]).append(what)
        self.now.pop(name, None)
        if what is not None:
            self.now[name] = what

    def flush(self) -> None:
        """Make the present names durable."""
        self.pending = {}

    def versions(self, name: str) -> tuple[Inode | Folder | None, ...]:
        """Return what a name may stand for after a power cut."""
        return _unique(self.pending.get(name, [self.now.get(name)]))

    def names(self) -> set[str]:
        """Return all names that may be there after a power cut."""
        return self.now.keys() | self.pending.keys()


class Disk:
    """The files under a folder, as a trace of calls changes them."""

    def __init__(self, root: Path) -> None:
        """Take what is in the folder now; all of it is durable."""
        self.root = PurePosixPath(root)
        self.folders: dict[PurePosixPath, Folder] = {}
        self._open: dict[int, tuple[Inode | Folder, list[int]]] = {}
        self._load(root)

    def _load(self, path: Path) -> Folder:
        folder = self.folders[PurePosixPath(path)] = Folder()
        for child in path.iterdir():
            if child.is_dir():
                folder.now[child.name] = self._load(child)
            else:
                content = child.read_bytes()
                folder.now[child.name] = Inode(content, bytearray(content))
        return folder

    def apply(self, call: Call) -> None:
        """Do what a call did."""
        if (do := _DOINGS.get(call.name)) is not None:
            do(self, call)

    def fail(self, number: int) -> None:
        """Let a flush of a descriptor fail."""
        found, _ = self._open[number]
        if isinstance(found, Inode):
            found.fail()

    def is_there(self, path: PurePosixPath) -> bool:
        """Tell whether a folder's name, and those above it, are durable."""
        above = [path, *path.parents]
        return all(
            len(self.folders[one.parent].versions(one.name)) == 1
            for one in above
            if one.parent in self.folders and one in self.folders
        )

    def _opened(self, call: Call) -> None:
        place = self._place(call, 0)
        folder = self.folders.get(place.parent)
        if place in self.folders:
            self._open[call.result] = (self.folders[place], [0])
        elif folder is not None:
            if place.name not in folder.now:
                folder.put(place.name, Inode())
            self._open[call.result] = (folder.now[place.name], [0])
        else:
            self._open.pop(call.result, None)

    def _closed(self, call: Call) -> None:
        self._open.pop(_number(call), None)

    def _copied(self, call: Call) -> None:
        if (found := self._open.get(_number(call))) is not None:
            self._open[call.result] = found

    def _written(self, call: Call) -> None:
        inode, place = self._open.get(_number(call), (None, [0]))
        if isinstance(inode, Inode):
            inode.write(place[0], call.data())
            place[0] += call.result

    def _written_at(self, call: Call) -> None:
        inode, _ = self._open.get(_number(call), (None, None))
        if isinstance(inode, Inode):
            inode.write(int(call.text(3)), call.data())

    def _resized(self, call: Call) -> None:
        inode, _ = self._open.get(_number(call), (None, None))
        if isinstance(inode, Inode):
            inode.resize(int(call.text(1)))

    def _flushed(self, call: Call) -> None:
        found, _ = self._open.get(_number(call), (None, None))
        if found is not None:
            found.flush()

    def _linked(self, call: Call) -> None:
        self._put(self._place(call, 2), self._named(self._place(call, 0)))

    def _renamed(self, call: Call) -> None:
        old = self._place(call, 0)
        self._put(self._place(call, 2), self._named(old))
        self._put(old, None)

    def _removed(self, call: Call) -> None:
        self._put(self._place(call, 0), None)

    def _made(self, call: Call) -> None:
        place = self._place(call, 0)
        if place.parent in self.folders:
            self._put(place, self.folders.setdefault(place, Folder()))

    def _named(self, place: PurePosixPath) -> Inode | Folder | None:
        folder = self.folders.get(place.parent)
        return None if folder is None else folder.now.get(place.name)

    def _put(self, place: PurePosixPath, what: Inode | Folder | None) -> None:
        if place.parent in self.folders:
            self.folders[place.parent].put(place.name, what)

    def _place(self, call: Call, first: int) -> PurePosixPath:
        """Return the path that a folder and a name stand for; calls without `at` have only the path."""
        if call.name in {"rename", "link"}:
            return PurePosixPath(call.text(first // 2))
        if call.name in {"unlink", "mkdir"}:
            return PurePosixPath(call.text(first))
        return PurePosixPath(call.descriptor(first).path, call.text(first + 1))


def _number(call: Call) -> int:
    return call.descriptor(0).number


_DOINGS: dict[str, Callable[[Disk, Call], None]] = {
    "openat": Disk._opened,
    "close": Disk._closed,
    "dup2": Disk._copied,
    "dup3": Disk._copied,
    "write": Disk._written,
    "pwrite64": Disk._written_at,
    "ftruncate": Disk._resized,
    "fsync": Disk._flushed,
    "fdatasync": Disk._flushed,
    "link": Disk._linked,
    "linkat": Disk._linked,
    "rename": Disk._renamed,
    "renameat": Disk._renamed,
    "renameat2": Disk._renamed,
    "unlink": Disk._removed,
    "unlinkat": Disk._removed,
    "mkdir": Disk._made,
    "mkdirat": Disk._made,
}


def positions(dials: Sequence[int], dice: random.Random) -> Iterator[tuple[int, ...]]:
    """Yield positions of dials: all where these are few, else the telling ones and then random ones for ever."""
    if prod(dials) <= _FEW:
        yield from product(*map(range, dials))
        return
    last = tuple(size - 1 for size in dials)
    turning = [place for place, top in enumerate(last) if top]
    for place in turning:
        yield tuple(top if at < place else 0 for at, top in enumerate(last))  # cut at one place
        yield tuple(0 if at < place else top for at, top in enumerate(last))
        yield tuple(0 if at == place else top for at, top in enumerate(last))  # one piece lost
        yield tuple(top if at in {0, place} else 0 for at, top in enumerate(last))  # one piece came
    while True:
        share = dice.choice((0.1, 0.5, 0.9))
        yield tuple(dice.randint(1, top) if top and dice.random() < share else 0 for top in last)


def _unique(versions: Sequence[T]) -> tuple[T, ...]:
    """Return the different versions, the first one first."""
    return tuple(dict.fromkeys(versions))
