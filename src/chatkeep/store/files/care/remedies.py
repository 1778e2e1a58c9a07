"""Remedies for the findings of a checkup.

They delete no byte. Bytes cut off, files replaced and things in the way go to quarantine. Each remedy looks
again, under the file's lock, before it changes anything. A file with other names is never changed in place,
and only regular files are opened. So everything outside of the workspace stays as it is.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from chatkeep.disk.files import flush_folder, open_folder, read_at, told
from chatkeep.disk.locks import flock
from chatkeep.disk.own import opened_own
from chatkeep.errors import ChatkeepError, StorageError
from chatkeep.store.admin import Finding, Outcome
from chatkeep.store.files.care import audit
from chatkeep.store.files.care.inspection import SessionFiles
from chatkeep.store.files.index.index import Index
from chatkeep.store.files.store import FilesStore
from chatkeep.store.files.tree import format as session_file
from chatkeep.store.files.tree.format import Scan
from chatkeep.store.files.tree.held import LockedFile
from chatkeep.store.files.tree.tree import NotRegularError, Tree, file_name, kept_name
from chatkeep.store.files.upkeep.intake import SETTLED_S, FileProblem, cut_tail, judged, rewrite
from chatkeep.store.files.upkeep.place import build_lock

_ROUNDS: Final = 8  # of looks and remedies; one remedy may reveal the need for another
_LOCK_WAIT_S: Final = 5.0  # time-out for the lock of a list


def fixed(workspace: Path, look: Callable[[], Iterable[Finding]]) -> list[Outcome]:
    """Apply the remedies for the findings of `look`, and return the outcome of each finding, in their order.

    It looks again until it finds nothing new, at most eight times: one remedy may reveal the need for another.
    """
    outcomes: dict[Finding, Outcome] = {}
    for _ in range(_ROUNDS):
        findings = list(look())
        new = [finding for finding in findings if finding not in outcomes]
        for finding in new:
            outcomes[finding] = _tried(workspace, finding)
        if all(finding.remedy == "leave" for finding in new):
            break
        for outcome in _updated(workspace, [finding for finding in new if finding.remedy == "update"]):
            outcomes[outcome.finding] = outcome
    for finding in findings:
        if outcomes[finding].done is not None:
            outcomes[finding] = Outcome(finding=finding, hindrance="it is as it was")
    return list(outcomes.values())


def _tried(workspace: Path, finding: Finding) -> Outcome:
    if finding.remedy not in _REMEDIES:
        return Outcome(finding=finding)
    try:
        done = _REMEDIES[finding.remedy](workspace, finding)
    except (ChatkeepError, OSError, NotRegularError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else f"{error}"
        return Outcome(finding=finding, hindrance=said.rstrip("."))
    return Outcome(finding=finding, done=done)


def _updated(workspace: Path, findings: Sequence[Finding]) -> Iterator[Outcome]:
    """Open the store, to bring its index up to date, and yield the outcomes of the findings about the index.

    Where the disk takes no writes, the store opens with an index in memory. Building one on the disk then fails with
    the reason.
    """
    try:
        with contextlib.closing(FilesStore.open(workspace)) as store:
            if not store.is_told:
                store.reindex()
    except ChatkeepError as error:
        yield from (Outcome(finding=finding, hindrance=f"{error}".rstrip(".")) for finding in findings)
    else:
        yield from (Outcome(finding=finding, done="brought up to date") for finding in findings)


def _mend(workspace: Path, finding: Finding) -> str:
    with _held(workspace, finding) as (tree, file, scan, data):
        cut_tail(tree, file, data, scan)
    return f"cut back to its {len(scan.messages)} whole messages; what was cut is in quarantine"


def _rewrite(workspace: Path, finding: Finding) -> str:
    with _held(workspace, finding) as (tree, file, scan, data):
        tree.quarantine(file.name, data)
        rewrite(tree, file, data, scan)
    return "brought into form; the file as it was is in quarantine"


def _recover(workspace: Path, finding: Finding) -> str:
    name = _name(finding)
    with _tree(workspace) as tree, tree.locked(name) as file:
        mended = session_file.with_new_header(data := file.read(), lambda key: file_name(key) == name)
        if mended is None:
            raise _changed()
        tree.quarantine(name, data)
        tree.replace(file, mended[1])
    return "given a header with what could be read of it; the file as it was is in quarantine"


def _copy(workspace: Path, finding: Finding) -> str:
    if not finding.file.startswith("sessions/"):
        return _copied_list(workspace / finding.file)
    name = _name(finding)
    with _tree(workspace) as tree, tree.locked(name) as file:
        if os.fstat(file.fd).st_nlink > 1:
            tree.replace(file, file.read())
    return "copied to a file of its own; the other names keep the old one"


def _copied_list(path: Path) -> str:
    """Replace a list of tokens or page sessions by a copy, under its lock, as its writers do."""
    fresh = path.with_name(f".{path.name}.copy")
    with told(), contextlib.ExitStack() as stack:
        lock = opened_own(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT)
        stack.callback(os.close, lock)
        flock(lock, time.monotonic() + _LOCK_WAIT_S)
        held = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        stack.callback(os.close, held)
        fresh.unlink(missing_ok=True)
        copy = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(copy, "wb") as file:  # noqa: PTH123 - a path cannot say the mode
            file.write(read_at(held, 0, os.fstat(held).st_size))
            file.flush()
            os.fsync(copy)
        fresh.replace(path)
        flush_folder(path.parent)
    return "copied to a file of its own; the other names keep the old one"


def _rename(workspace: Path, finding: Finding) -> str:
    name = _name(finding)
    with _tree(workspace) as tree, tree.locked(name) as file:
        found = judged(name, file.read(), file.stamp(), None)
        if not isinstance(found, FileProblem) or found.rightful is None:
            raise _changed()
        sessions = workspace / "sessions"
        os.link(sessions / name, sessions / found.rightful, follow_symlinks=False)  # fails if the name is taken
        tree.flush_names()
        tree.remove(name)
    return f"renamed to {found.rightful}"


def _protect(workspace: Path, finding: Finding) -> str:
    """Make a file or folder private to the owner of the workspace, if it has no other name."""
    path, owner = workspace / finding.file, workspace.stat()
    held = path.lstat()
    is_folder = stat.S_ISDIR(held.st_mode)
    if not is_folder and not (stat.S_ISREG(held.st_mode) and held.st_nlink == 1):
        raise StorageError("it has other names, which may be outside of the workspace")
    mode = 0o700 if is_folder else 0o600
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError:
        path.chmod(mode)  # unreadable, so we are not root, and can only change a file of our own
        return f"given the mode {mode:04o}"
    try:
        if not os.path.samestat(os.fstat(fd), held):
            raise _changed()
        if held.st_uid != owner.st_uid:
            os.fchown(fd, owner.st_uid, owner.st_gid)
        os.fchmod(fd, mode)
    finally:
        os.close(fd)
    return f"given the mode {mode:04o} and the owner of the workspace"


def _set_aside(workspace: Path, finding: Finding) -> str:
    if finding.file.startswith("sessions/"):
        with SessionFiles(workspace, None) as files:
            if finding not in files.examined(_name(finding)):
                raise _changed()
    return f"moved to {_move_away(workspace, finding.file)}"


def _rebuild(workspace: Path, _: Finding) -> str:
    """Move the index away; opening the store then builds another one, if the disk takes it."""
    path = Index.path_in(workspace)
    with build_lock(workspace):
        for suffix in ("-shm", "-wal", ""):
            if os.path.lexists(f"{path}{suffix}"):
                _move_away(workspace, f"{path.name}{suffix}")
    return "moved to quarantine, for another one to be built"


_REMEDIES: Final[dict[str, Callable[[Path, Finding], str]]] = {
    "mend": _mend,
    "rewrite": _rewrite,
    "recover": _recover,
    "copy": _copy,
    "rename": _rename,
    "protect": _protect,
    "set aside": _set_aside,
    "rebuild": _rebuild,
}


@contextlib.contextmanager
def _held(workspace: Path, finding: Finding) -> Iterator[tuple[Tree, LockedFile, Scan, bytes]]:
    """Lock a session's file once it has kept still, and yield it with its tree, its scan and its bytes."""
    name = _name(finding)
    with _tree(workspace) as tree:
        age_s = time.time() - (workspace / finding.file).lstat().st_mtime
        time.sleep(min(max(SETTLED_S - age_s, 0), SETTLED_S))  # an arriving copy is not cut
        with tree.locked(name) as file:
            stamp = file.stamp()
            if 0 <= time.time() - stamp.modified_ns / 1e9 < SETTLED_S:
                raise StorageError("it is still being written")
            data = file.read()
            with audit.opened_index(workspace) as index:
                found = judged(name, data, stamp, index.row(name) if index else None)
            if isinstance(found, FileProblem) or found.state != finding.kind:
                raise _changed()
            yield tree, file, found, data


@contextlib.contextmanager
def _tree(workspace: Path) -> Iterator[Tree]:
    with contextlib.closing(Tree(workspace)) as tree:
        yield tree


def _move_away(workspace: Path, file: str) -> str:
    """Move a file, or anything else under its name, to quarantine unchanged; return its new path."""
    path, folder = workspace / file, workspace / "quarantine"
    kept = kept_name(path.name, "old")
    with told():
        to = open_folder(folder)
        try:
            path.rename(folder / kept)
            os.fsync(to)
        finally:
            os.close(to)
        flush_folder(path.parent)
    return f"quarantine/{kept}"


def _changed() -> StorageError:
    return StorageError("it has changed meanwhile")


def _name(finding: Finding) -> str:
    return finding.file.removeprefix("sessions/")
