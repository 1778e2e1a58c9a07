"""A checkup of a workspace: it reads every file, compares the index with them, and changes nothing.

It does not open the store, since a store repairs files on opening.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from chatkeep.disk.locks import flock, is_held
from chatkeep.errors import BusyError
from chatkeep.store.admin import Cuts, Finding, Progress, Remedy
from chatkeep.store.files.care import audit
from chatkeep.store.files.care.audit import Audit
from chatkeep.store.files.care.blob_copies import blob_findings
from chatkeep.store.files.care.findings import access_findings
from chatkeep.store.files.care.inspection import SessionFiles
from chatkeep.store.files.index.index import Index
from chatkeep.store.files.tree.tombstones import TOMBSTONES, fault_of
from chatkeep.store.files.tree.tree import KEPT, is_text
from chatkeep.store.files.upkeep.place import AN_INDEX

_FOLDERS: Final = ("sessions", "tmp", "quarantine", "trash", "pending")
_LISTS: Final = ("tokens.json", "pages.json", "people.json", TOMBSTONES)  # tokens, browsers, people, deletions
_DATABASE: Final = ("", "-wal", "-shm", "-journal")
"""Endings of the files of a SQLite database."""
_LIMITS: Final = tuple(f"limits.sqlite3{ending}" for ending in _DATABASE)
_PRIVATE: Final = (*_LISTS, "tokens.lock", "pages.lock", "people.lock", f"{TOMBSTONES}.lock", "lock", *_LIMITS)
_SETTINGS: Final = "chatkeep.toml"
_TELLING_S: Final = 0.5  # a writer's time to update the index after it removed a file


def examined(workspace: Path, on_progress: Progress | None = None) -> Iterator[Finding]:
    """Yield the findings of a workspace, folders first; none when there is no workspace."""
    if not os.path.lexists(workspace):
        return
    owner = workspace.stat().st_uid
    yield from _folder_findings(workspace, owner)
    yield from _private_findings(workspace, owner)
    yield from _settings_findings(workspace)
    yield from _deletion_findings(workspace)
    yield from _leftovers(workspace)
    with audit.opened_index(workspace) as index:
        try:
            with SessionFiles(workspace, index) as files:
                yield from files.findings(on_progress)
                yield from _index_findings(workspace, index, files)
                yield from blob_findings(workspace, owner, files.named)
        except PermissionError:
            yield Finding(file="sessions", kind="access", reason="it cannot be looked into")
        except (FileNotFoundError, NotADirectoryError):
            pass  # there are no sessions, or a finding above names the fault
    yield from _index_leftovers(workspace)


def cuts_in(workspace: Path) -> list[Cuts]:
    """Return the cuts of all session files, as kept in quarantine."""
    names: dict[str, list[str]] = {}
    for name in _names_in(workspace / "quarantine"):
        if (kept := KEPT.fullmatch(name)) and kept[2] == "cut":
            names.setdefault(kept[1], []).append(name)
    if not names or not (workspace / "sessions").is_dir():
        return [Cuts(file=file, key=None, names=tuple(cut)) for file, cut in names.items()]
    with SessionFiles(workspace, None) as files:
        return [Cuts(file=file, key=files.key(file), names=tuple(cut)) for file, cut in names.items()]


def set_aside_in(workspace: Path) -> list[str]:
    """Return the names in `quarantine` of files set aside or replaced."""
    return [name for name in _names_in(workspace / "quarantine") if (kept := KEPT.fullmatch(name)) and kept[2] == "old"]


def _folder_findings(workspace: Path, owner: int) -> Iterator[Finding]:
    yield from access_findings(".", workspace.stat(), owner)
    for name in _FOLDERS:
        path = workspace / name
        if path.is_dir() and not path.is_symlink():
            yield from access_findings(name, path.lstat(), owner)
        elif os.path.lexists(path):
            remedy: Remedy = "set aside" if name == "tmp" else "leave"
            yield Finding(file=name, kind="foreign", reason="it has to be a folder", remedy=remedy)


def _private_findings(workspace: Path, owner: int) -> Iterator[Finding]:
    """Yield findings of the files beside the folders: kind, mode, owner, links. Their contents are not read."""
    index = Index.path_in(workspace).name
    for name in (*_PRIVATE, *(f"{index}{ending}" for ending in _DATABASE)):
        try:
            held = (workspace / name).lstat()
        except FileNotFoundError:
            continue
        if stat.S_ISREG(held.st_mode):
            yield from access_findings(name, held, owner)
            yield from _link_findings(name, held)
        elif name in _PRIVATE:
            yield Finding(file=name, kind="foreign", reason="it has to be a regular file", remedy="set aside")


def _link_findings(name: str, held: os.stat_result) -> Iterator[Finding]:
    """Yield a finding if a file of Chatkeep's own has other names. Their owners could write it, so it is not used."""
    if held.st_nlink > 1:
        reason = f"it has {held.st_nlink - 1} other name(s), and is not used as long as it has"
        remedy: Remedy = "copy" if name in _LISTS else "set aside" if name in _PRIVATE else "rebuild"
        yield Finding(file=name, kind="linked", reason=reason, remedy=remedy)


def _settings_findings(workspace: Path) -> Iterator[Finding]:
    path = workspace / _SETTINGS
    if os.path.lexists(path) and not path.is_file():  # a link to a file is the owner's choice
        yield Finding(file=_SETTINGS, kind="foreign", reason="it has to be a regular file, or a link to one")


def _deletion_findings(workspace: Path) -> Iterator[Finding]:
    """Yield a finding if the list of deletions cannot be read whole; its kind, links and mode are others' business."""
    with contextlib.suppress(OSError):
        if reason := fault_of(workspace / TOMBSTONES):
            yield Finding(file=TOMBSTONES, kind="deletions", reason=reason, remedy="set aside")


def _leftovers(workspace: Path) -> Iterator[Finding]:
    """Yield findings of files left by ended processes, and of strange files in `tmp` and `quarantine`."""
    for name in _LISTS:
        unfinished = workspace / f".{name}.new"
        is_there = os.path.lexists(unfinished) and not _is_held((workspace / name).with_suffix(".lock"))
        if is_there and os.path.lexists(unfinished):  # its writer may have named it and let go meanwhile
            reason = "a file that was not finished"
            yield Finding(file=unfinished.name, kind="leftover", reason=reason, remedy="set aside")
    for name in () if (workspace / "tmp").is_symlink() else _names_in(workspace / "tmp"):
        path = workspace / "tmp" / name
        try:
            is_file = stat.S_ISREG(path.lstat().st_mode)
        except FileNotFoundError:
            continue  # it has been born: given its name
        if not is_file:
            yield Finding(file=f"tmp/{name}", kind="stray", reason="nothing of Chatkeep's: no regular file")
        elif not _is_in_use(path) and os.path.lexists(path):
            reason = "an ended process left it; it was never a session's file"
            yield Finding(file=f"tmp/{name}", kind="leftover", reason=reason, remedy="set aside")
    for name in () if (workspace / "quarantine").is_symlink() else _names_in(workspace / "quarantine"):
        if not KEPT.fullmatch(name):
            yield Finding(file=f"quarantine/{name}", kind="stray", reason="no repair has put it there")


def _index_leftovers(workspace: Path) -> Iterator[Finding]:
    current = Index.path_in(workspace).name
    for name in _names_in(workspace):
        is_building = name.startswith(f"{current}.new") and _is_held(workspace / "lock")
        is_another = not name.startswith(current) or name.startswith(f"{current}.new")
        if AN_INDEX.fullmatch(name) and is_another and not is_building:
            reason = "an index that is not in use: of another version, or not finished"
            yield Finding(file=name, kind="leftover", reason=reason, remedy="set aside")


def _index_findings(workspace: Path, index: Audit | None, files: SessionFiles) -> Iterator[Finding]:
    name = Index.path_in(workspace).name
    if index is None:
        if any(not each.startswith(".") for each in files.names()):
            yield Finding(file=name, kind="behind", reason="there is no index", remedy="update")
        return
    behind = {*files.behind, *_gone(index, files)}
    faults = list(index.faults())
    if files.wrong:
        faults.append(f"it says something else than {_counted(len(files.wrong), 'file')}")
    for reason in faults:
        yield Finding(file=name, kind="index", reason=reason, remedy="rebuild")
    if behind:
        reason = f"it is behind {_counted(len(behind), 'file')}"
        yield Finding(file=name, kind="behind", reason=reason, remedy="update")


def _gone(index: Audit, files: SessionFiles) -> set[str]:
    """Return the names in the index without a file. A process removes a file first, so it gets 0.5 s for the index."""
    gone = {name for name in index.names() if not files.is_there(name)}
    until = time.monotonic() + _TELLING_S
    while gone and time.monotonic() < until:
        time.sleep(_TELLING_S / 20)
        gone = {name for name in gone.intersection(index.names()) if not files.is_there(name)}
    return gone


def _is_in_use(path: Path) -> bool:
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return is_held(path.name, folder)
    finally:
        os.close(folder)


def _is_held(path: Path) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        flock(fd, time.monotonic())
    except BusyError:
        return True
    finally:
        os.close(fd)
    return False


def _names_in(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir() if is_text(path.name))
    except OSError:
        return []


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
