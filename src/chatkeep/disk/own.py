"""Opening a file that is Chatkeep's alone: a regular one with one name, and never through a link.

Another name (a hard link) may lie anywhere and belong to anybody. Its owner could say what the file is to say,
and what is written to the file changes what lies there.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def opened_own(path: Path, flags: int) -> int:
    """Return a descriptor of the file, private to its owner if it is made; what it waits for never hangs.

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
    """Tell whether a name stands for a file that has other names; what cannot be looked at has none."""
    try:
        held = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(held.st_mode) and held.st_nlink > 1


def _check(held: os.stat_result) -> None:
    if not stat.S_ISREG(held.st_mode):  # what a device has to say may never end
        raise OSError(errno.EINVAL, "it is not a regular file")
    if held.st_nlink > 1:
        raise OSError(errno.EMLINK, "it has other names (hard links); `chatkeep doctor --fix` gives it one")
