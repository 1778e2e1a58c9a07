"""Power cuts in the life of sessions: which states of a whole workspace they may leave, and what must be there then.

A power cut may leave each file, and each name, as `tests.crash.disk` says. A rename between two folders is atomic: the
file has its old name, its new one, or both, never neither.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Final

from msgspec import Struct

from chatkeep.core.model import Selection
from chatkeep.store.files.care.checkup import examined
from chatkeep.store.files.store import FilesStore
from tests.crash.disk import Content, Disk, Folder, Inode, positions
from tests.crash.lives import A_WORD, Act, Model, Picture, act_at, pictures, words_left
from tests.crash.trace import traced

FOLDERS: Final = ("sessions", "trash", "quarantine", "tmp")
_NOISE: Final = {"close", "dup2", "dup3"}
_LONG_AGO: Final = (1_700_000_000, 1_700_000_000)  # a machine takes longer to come back than a copy is waited for
_LIST: Final = "tombstones"

Layout = Mapping[str, bytes]
Pictures = Mapping[str, Picture]


class Name(Struct, frozen=True):
    """A name in the workspace, and the files that it may stand for; each has a number, None is no file."""

    path: str
    files: tuple[tuple[int, Content] | None, ...]


class Moment(Struct, frozen=True):
    """A moment at which the power may fail, and what may be seen of the sessions afterwards.

    `standing` has the numbers of the files that no rename may lose. `index` is one that knows the sessions before the
    act, and `words` are those that a compaction may have to erase.
    """

    act: Act
    story: str
    names: tuple[Name, ...]
    standing: frozenset[int]
    allowed: tuple[Pictures, ...]
    index: Layout
    words: frozenset[str]

    def layouts(self, dice: random.Random) -> Iterator[Layout]:
        """Yield what may be left, the telling ones first; for ever where there is much."""
        dials = [
            dial
            for name in self.names
            for dial in (len(name.files), *(top for file in name.files if file for top in file[1].dials))
        ]
        for turned in positions(dials, dice):
            left = iter(turned)
            picked = [(name.path, _picked(name, left)) for name in self.names]
            there = {found[0] for _, found in picked if found is not None}
            if self.standing <= there:
                yield {path: found[1] for path, found in picked if found is not None}


class Left(Struct, frozen=True):
    """What a power cut has left of a workspace at a moment."""

    moment: Moment
    files: Layout


def _picked(name: Name, turned: Iterator[int]) -> tuple[int, bytes] | None:
    which = next(turned)
    contents = [
        None if one is None else (one[0], one[1].at(tuple(islice(turned, len(one[1].dials))))) for one in name.files
    ]
    return contents[which]


def moments(workspace: Path, prefix: str, acts: int, plant: str = "none") -> Iterator[Moment]:
    """Do acts in a workspace that is not there yet, and yield each moment at which the power may fail."""
    disk, model = Disk(workspace.parent), Model()
    before = after = model.pictures(prefix)
    doing: Act | None = None
    index: Layout = {}
    words: set[str] = set()
    last: tuple[object, ...] = ()
    program = [sys.executable, "-m", "tests.crash.lives", str(workspace), prefix, str(acts), plant]
    for call in traced(program, workspace.parent.parent):
        note = call.data().split() if call.name == "write" and call.descriptor(0).number == 1 else []
        if not note:
            disk.apply(call)
        elif note[0] == b"try":
            words = model.erasable.copy()
            doing, before = act_at(prefix, int(note[1])), after
            index = _index_of(_now(disk, workspace), workspace.parent.parent / "indexed")
            model.do(doing)
            words &= model.erasable
            after = model.pictures(prefix)
        if doing is None or call.name in _NOISE:
            continue
        is_answered = bool(note) and note[0] == b"ack"
        allowed = (after,) if is_answered else (before, after)
        names, standing = _names(disk, workspace)
        if (names, is_answered) != last:
            story = f"{doing.verb} {doing.key}, after {call.name}"
            yield Moment(doing, story, names, standing, allowed, index, frozenset(words))
        last = (names, is_answered)


def _names(disk: Disk, workspace: Path) -> tuple[tuple[Name, ...], frozenset[int]]:
    """Return the names of a workspace, and the numbers of the files that surely are under one of them."""
    names: list[Name] = []
    now: set[int] = set()
    durable: set[int] = set()
    for path, folder, name in _places(disk, workspace):
        versions = [one if isinstance(one, Inode) else None for one in folder.versions(name)]
        files = tuple(None if one is None else (id(one), one.dials()) for one in versions)
        durable |= {id(versions[0])} if versions[0] is not None else set()
        found = folder.now.get(name)
        now |= {id(found)} if isinstance(found, Inode) else set()
        names.append(Name(path, files))
    return tuple(names), frozenset(now & durable)


def _places(disk: Disk, workspace: Path) -> Iterator[tuple[str, Folder, str]]:
    root = PurePosixPath(workspace)
    for folder in FOLDERS:
        if (found := disk.folders.get(root / folder)) is not None:
            for name in sorted(found.names()):
                yield f"{folder}/{name}", found, name
    top = disk.folders[root]
    if _LIST in top.names():
        yield _LIST, top, _LIST


def _now(disk: Disk, workspace: Path) -> Layout:
    return {
        path: bytes(found.now)
        for path, folder, name in _places(disk, workspace)
        if isinstance(found := folder.now.get(name), Inode)
    }


def _index_of(files: Layout, workspace: Path) -> Layout:
    """Return the files of an index that knows this state."""
    _lay_out(workspace, files)
    FilesStore.open(workspace, durability="none").close()
    found = {path.name: path.read_bytes() for path in workspace.glob("index*") if path.is_file()}
    shutil.rmtree(workspace)
    return found


def some_left(those: Sequence[Moment], wanted: int, dice: random.Random) -> Iterator[Left]:
    """Yield so many different states, shared out among the moments; fewer where there are no more."""
    seen: set[int] = set()
    going = [(moment, moment.layouts(dice)) for moment in those]
    tries = 0
    while going and tries < wanted * 20:
        still = []
        for moment, layouts in going:
            share = list(islice(layouts, 8))
            tries += len(share)
            for files in share:
                known = hash((moment.act, len(moment.allowed), tuple(sorted(files.items()))))
                if known not in seen:
                    seen.add(known)
                    yield Left(moment, files)
                if len(seen) == wanted:
                    return
            if share:
                still.append((moment, layouts))
        going = still


def faults(left: Left, workspace: Path, *, prefix: str, with_index: bool, compacts: bool) -> list[str]:
    """Let a store recover from a state, and return what is wrong afterwards; the workspace is gone then.

    An index may be there that knows the state before the act. With `compacts` the recovered sessions are compacted, and
    opened once more.
    """
    _lay_out(workspace, {**left.files, **(left.moment.index if with_index else {})})
    try:
        with closing(FilesStore.open(workspace, durability="none")) as store:
            seen = pictures(store, workspace, prefix)
            found = differences(seen, left.moment.allowed)
            found += [f"{one.file}: {one.kind}, {one.reason}" for one in examined(workspace)]
        if compacts:
            found += _compaction_faults(workspace, prefix, seen, left.moment.words)
    finally:
        shutil.rmtree(workspace)
    return [f"{left.moment.act.number}: {left.moment.story}: {fault}" for fault in found]


def _compaction_faults(workspace: Path, prefix: str, seen: Pictures, words: frozenset[str]) -> list[str]:
    with closing(FilesStore.open(workspace, durability="none")) as store:
        store.compact(store.keys(Selection(prefixes=(prefix,), archived=None)).keys)
        again = pictures(store, workspace, prefix)
    found = words_told(workspace, words - words_left(again.values()))
    if {key: one.standing for key, one in again.items()} != {key: one.standing for key, one in seen.items()}:
        found.append("a second recovery changed something")
    return found


def differences(seen: Pictures, allowed: Sequence[Pictures]) -> list[str]:
    """Return the keys of which something is seen that may not be there."""
    found = []
    for key, one in seen.items():
        may = [those[key] for those in allowed]
        if one not in may and not _is_between(one, may):
            found.append(f"{key}: found {one}, expected one of {may}")
    return found


def _is_between(one: Picture, may: Sequence[Picture]) -> bool:
    """Tell whether an act that was not answered has come halfway without harm.

    The session is as before or after. The trash may have some of what a purge removes, and a copy of what came back. A
    deletion may be remembered before it is done, and as long as its session is not back.
    """
    if len(may) == 1:
        return False
    fewest, most = sorted((each.trash for each in may), key=len)
    sessions = {(each.header, each.log, each.standing, each.is_listed) for each in may}
    is_somewhere = one.log is not None or one.trash == most or all(each.log is None for each in may)
    is_as_told = any(each.log is None and each.trash == one.trash for each in may)
    return (
        (one.header, one.log, one.standing, one.is_listed) in sessions
        and _is_part(fewest, one.trash)
        and _is_part(one.trash, most)
        and (is_somewhere or is_as_told)
    )


def _is_part(some: Sequence[object], every: Sequence[object]) -> bool:
    """Tell whether a list has these in their order."""
    left = iter(every)
    return all(each in left for each in some)


def words_told(workspace: Path, gone: frozenset[str]) -> list[str]:
    """Return the words that are gone, and still in a byte of the workspace."""
    files = {path: path.read_bytes() for path in workspace.rglob("*") if path.is_file()}
    return [
        f"{path.name} still tells what was dropped and erased"
        for path, content in files.items()
        if not gone.isdisjoint(word.decode() for word in A_WORD.findall(content))
    ]


def _lay_out(workspace: Path, files: Layout) -> None:
    for folder in (workspace, *(workspace / name for name in FOLDERS)):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, content in files.items():
        path = workspace / name
        path.touch(mode=0o600)
        path.write_bytes(content)
        os.utime(path, _LONG_AGO)
