"""Files written by commands: private, durable, and in place only when complete."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from chatkeep.errors import ConflictError
from chatkeep.wiring import flush_folder


@contextmanager
def fresh_file(output: Path, *, replace: bool = True) -> Iterator[BinaryIO]:
    """Yield a file; give it its name, durably, once complete, and remove it after an error.

    Raises:
        ConflictError: when the name is taken and `replace` is not set.
        OSError: naming the file, when the disk refuses.
    """
    if not replace and os.path.lexists(output):
        raise _taken(output)
    unfinished: Path | None = None
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{output.name[:100]}.", dir=output.absolute().parent)
        unfinished = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        _give_name(unfinished, output, replace=replace)
        flush_folder(output.absolute().parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(output)) from error
    finally:
        if unfinished is not None:
            unfinished.unlink(missing_ok=True)


def _give_name(unfinished: Path, output: Path, *, replace: bool) -> None:
    if replace:
        unfinished.replace(output)
        return
    try:
        os.link(unfinished, output, follow_symlinks=False)
    except FileExistsError as error:
        raise _taken(output) from error
    except OSError as error:
        if error.errno not in {errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS}:
            raise
        if os.path.lexists(output):  # without hard links, check and rename are two steps
            raise _taken(output) from error
        unfinished.replace(output)


def _taken(output: Path) -> ConflictError:
    return ConflictError(f"{output} exists; --force replaces it.")
