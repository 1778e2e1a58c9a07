"""New files, many together: written first, flushed side by side, then named, with one flush of the folder for all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

from chatkeep.disk.files import Durability, to_disk, to_disk_together, told, write_drained
from chatkeep.disk.locks import flock
from chatkeep.store.files.tree.folders import Folders
from chatkeep.store.files.tree.held import LockedFile


class _Unborn(NamedTuple):
    """A file in `tmp`: its descriptor and its name there."""

    fd: int
    name: str


@contextlib.contextmanager
def born_together(
    folders: Folders, contents: Mapping[str, bytes], durability: Durability
) -> Iterator[dict[str, LockedFile]]:
    """Make new files durably, locked for this thread alone; a name that is taken is left out.

    Raises:
        StorageError: when the disk refuses; then there is none of these files.
    """
    folders.make()
    with contextlib.ExitStack() as born:
        with told():
            is_durable = durability != "none"
            unborn = {
                name: _unborn(folders, content, born, is_durable=is_durable) for name, content in contents.items()
            }
            if is_durable:
                to_disk_together([file.fd for file in unborn.values()])
            made = {name: LockedFile(file.fd, name, durability, os.fstat(file.fd)) for name, file in unborn.items()}
            for name in made.keys() - _named(folders, unborn, is_durable=is_durable):
                del made[name]
            for file in unborn.values():
                forget_unborn(folders, file.name)
        yield made


def take_back(folders: Folders, names: Iterable[str]) -> None:
    """Remove the names of new files, where possible: still locked, no client has heard of them."""
    for name in names:
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=folders.sessions)


def forget_unborn(folders: Folders, name: str) -> None:
    """Remove a name in `tmp`, where possible: the next open of the workspace sweeps it."""
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=folders.tmp)


def _unborn(folders: Folders, content: bytes, born: contextlib.ExitStack, *, is_durable: bool) -> _Unborn:
    """Write a file without a name among the sessions, locked, its end not flushed; the stack removes and closes it."""
    name = f"{os.getpid()}-{os.urandom(8).hex()}"
    fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folders.tmp)
    born.callback(os.close, fd)
    born.callback(forget_unborn, folders, name)
    flock(fd)
    write_drained(fd, 0, content, partial(to_disk, fd) if is_durable else lambda: None)
    return _Unborn(fd, name)


def _named(folders: Folders, unborn: Mapping[str, _Unborn], *, is_durable: bool) -> set[str]:
    """Give files their names among the sessions, durably, or none of them; return the names that were free."""
    named: set[str] = set()
    try:
        for name, file in unborn.items():
            with contextlib.suppress(FileExistsError):
                os.link(file.name, name, src_dir_fd=folders.tmp, dst_dir_fd=folders.sessions, follow_symlinks=False)
                named.add(name)
        if is_durable:
            os.fsync(folders.sessions)
    except OSError:
        take_back(folders, named)
        raise
    return named
