"""The state in which each followed file was last read whole: a log of JSON lines, the last one of a file counts.

A line is written after the messages of its file are durable, and is not flushed itself: a lost line only means that the
file is read again, which adds nothing. So the cost of a change is one short line, however many files there are.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from chatkeep.disk.files import make_folder, told
from chatkeep.disk.own import opened_own
from chatkeep.disk.replacing import replace_file
from chatkeep.syncing.walking import FileStamps

_SPARE_LINES: Final = 1000  # lines of earlier states before the log is written anew, besides as many as there are files


class _Line(Struct, array_like=True, frozen=True):
    file: str
    stamps: FileStamps | None


class _First(Struct, frozen=True):
    """The first line: the store that the files were read into."""

    store: str


class Positions:
    """The states of the files read into one store."""

    def __init__(self, path: Path, store: str, *, kept: bool = True, afresh: bool = False) -> None:
        """Read the log; one of another store, or an unreadable one, counts as empty, as all do `afresh`.

        Without `kept`, nothing is written.

        Raises:
            StorageError: when the disk refuses.
        """
        self._path = path
        self._states: dict[str, FileStamps] = {}
        self._fd: int | None = None
        with told():
            lines = None if afresh else self._load(store)
            if kept:
                self._open(lines, store)

    def close(self) -> None:
        """Close the log."""
        if self._fd is not None:
            os.close(self._fd)

    def _open(self, lines: int | None, store: str) -> None:
        """Open the log for writing; write it anew if it has too many lines, or is none."""
        make_folder(self._path.parent)
        if lines is None or lines > 2 * len(self._states) + _SPARE_LINES:
            states = (msgspec.json.encode(_Line(*one)) for one in self._states.items())
            replace_file(self._path, b"".join(line + b"\n" for line in (msgspec.json.encode(_First(store)), *states)))
        self._fd = opened_own(self._path, os.O_WRONLY | os.O_APPEND)
        os.write(self._fd, b"\n")  # the last line may be torn

    def of(self, file: Path) -> FileStamps | None:
        """Return the state in which a file was read, None for an unread one."""
        return self._states.get(os.fsdecode(file))

    def put(self, file: Path, stamps: FileStamps | None) -> None:
        """Note that a file was read in this state; None for a file that is gone.

        Raises:
            StorageError: when the disk refuses.
        """
        name = os.fsdecode(file)
        if stamps is None and name not in self._states:
            return
        if stamps is None:
            del self._states[name]
        else:
            self._states[name] = stamps
        if self._fd is None:
            return
        with told(), suppress(UnicodeEncodeError):  # a name of invalid UTF-8 is read again by the next sync
            os.write(self._fd, msgspec.json.encode(_Line(name, stamps)) + b"\n")

    def _load(self, store: str) -> int | None:
        """Take the states from the log and return the number of its lines; None if it is not of this store."""
        try:
            with open(opened_own(self._path, os.O_RDONLY), "rb") as file:  # noqa: PTH123 - it is open
                if msgspec.json.decode(file.readline(), type=_First).store != store:
                    return None
                count = 0
                for count, line in enumerate(file, start=1):  # noqa: B007 - its last value is the answer
                    with suppress(msgspec.MsgspecError, UnicodeError):
                        one = msgspec.json.decode(line, type=_Line)
                        if one.stamps is None:
                            self._states.pop(one.file, None)
                        else:
                            self._states[one.file] = one.stamps
                return count
        except (FileNotFoundError, msgspec.MsgspecError, UnicodeError):
            return None
