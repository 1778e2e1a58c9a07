"""Replacing a file durably: a crash leaves the old file or the new one, whole.

The new bytes go to a file beside the old one, private to its owner. They are flushed, the file takes the name,
and the folder is flushed. `fresh_file` is for files that users name: many commands may write one at a time, so each
has an unfinished file of its own. `replace_file` is for our own files under a lock: its unfinished file has one
name, so a crash leaves at most one behind, and the next change removes it.

The folder of sessions has its own way (`store.files.tree.tree`). Its files are born in another folder, and are locked
before they take a name, so that no writer can come in between. It works in open folders, so that a renamed workspace
never gets a file of another one.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

from chatkeep.disk.files import flush_folder
from chatkeep.errors import ConflictError

_NO_LINKS = frozenset((errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS))


@contextmanager
def fresh_file(output: Path, *, replace: bool = True) -> Iterator[BinaryIO]:
    """Yield a file; give it its name, durably, once complete, and remove it after an error.

    Raises:
        ConflictError: when the name is taken and `replace` is not set.
        OSError: naming the file, when the disk refuses.
    """
    if not replace and os.path.lexists(output):
        raise _taken(output)
    try:
        descriptor, unfinished = tempfile.mkstemp(prefix=f".{output.name[:100]}.", dir=output.absolute().parent)
        give_name = os.replace if replace else _claim
        with _named_when_whole(descriptor, Path(unfinished), partial(give_name, unfinished, output)) as file:
            yield file
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(output)) from error


def replace_file(path: Path, content: bytes) -> None:
    """Replace the contents of a file, atomically and durably; the caller holds its lock.

    Raises:
        OSError: when the disk refuses; the old file stays.
    """
    unfinished = path.with_name(f".{path.name}.new")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with _named_when_whole(descriptor, unfinished, partial(os.replace, unfinished, path)) as file:
        file.write(content)


@contextmanager
def _named_when_whole(descriptor: int, unfinished: Path, give_name: Callable[[], None]) -> Iterator[BinaryIO]:
    try:
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        give_name()
    finally:
        with suppress(OSError):  # the error before this one counts, and a file in place is in place
            unfinished.unlink(missing_ok=True)
    flush_folder(unfinished.absolute().parent)


def _claim(unfinished: str, output: Path) -> None:
    """Give a file its name unless it is taken."""
    try:
        os.link(unfinished, output, follow_symlinks=False)
    except FileExistsError as error:
        raise _taken(output) from error
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(output):  # without hard links, check and rename are two steps
            raise _taken(output) from error
        Path(unfinished).replace(output)


def _taken(output: Path) -> ConflictError:
    return ConflictError(f"{output} exists; --force replaces it.")
