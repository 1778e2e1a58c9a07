"""Opening a file of Chatkeep's alone: regular, with one name, and never through a link.

Another name (a hard link) may lie anywhere and belong to anybody. Its owner could change the file, and a
write by Chatkeep would change the owner's file.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def opened_own(path: Path, flags: int) -> int:
    """Return a descriptor of the file, and make it private to its owner if it is new; a pipe never blocks it.

    Raises:
        OSError: when it cannot be opened, is no regular file, or has other names.
    """
    fd = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    try:
        _check(os.fstat(fd))
    except OSError:
        os.close(fd)
        raise
    return fd


def is_linked(path: Path) -> bool:
    """Tell whether a name stands for a file with other names; False if it cannot be looked at."""
    try:
        held = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(held.st_mode) and held.st_nlink > 1


def _check(held: os.stat_result) -> None:
    if not stat.S_ISREG(held.st_mode):  # reading a device may never end
        raise OSError(errno.EINVAL, "it is not a regular file")
    if held.st_nlink > 1:
        raise OSError(errno.EMLINK, "it has other names (hard links); `chatkeep doctor --fix` gives it one")
