"""What a webhook keeps in the workspace: its place in the feed, and its dead letters.

    webhooks/NAME/place.json    {"format": 1, "position": "..."}
    webhooks/NAME/dead/*.json   requests that nobody took, oldest first by their names

One server at a time tells a webhook: it holds the lock of the folder.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from chatkeep.core.life.hooks import HookRequest
from chatkeep.disk.files import flush_folder, is_there, make_folder, told
from chatkeep.disk.locks import file_locked
from chatkeep.disk.private import PrivateFile
from chatkeep.errors import BusyError, StorageError

HOOKS_FOLDER: Final = "webhooks"
DEAD_LETTERS_MAX: Final = 10_000  # dead letters of a webhook; with so many it waits instead of giving up
_FORMAT: Final = 1


class DeadLetter(Struct, frozen=True, kw_only=True):
    """A request that nobody took: when it was given up, after how many tries, and why the last one failed."""

    request: HookRequest
    failed_at: datetime
    attempts: int
    reason: str


class _Place(Struct, frozen=True):
    format: int
    position: str


class Letters:
    """The files of one webhook."""

    def __init__(self, workspace: Path, name: str) -> None:
        """Take the workspace and the name of the webhook; nothing is made yet."""
        self._folder = workspace / HOOKS_FOLDER / name
        self._dead = self._folder / "dead"
        self._place = PrivateFile(self._folder / "place.json")

    @contextmanager
    def owned(self, wait_s: float) -> Iterator[None]:
        """Let no other process tell this webhook.

        Raises:
            BusyError: when another one does for so long.
            StorageError: when the disk refuses.
        """
        with told():
            for folder in (self._folder.parent, self._folder, self._dead):
                make_folder(folder)
        with file_locked(self._folder / "lock", time.monotonic() + wait_s, guarded="webhook"):
            yield

    def is_owned(self) -> bool:
        """Tell whether a process tells this webhook now."""
        if not is_there(self._folder / "lock"):
            return False
        try:
            with file_locked(self._folder / "lock", time.monotonic(), guarded="webhook"):
                return False
        except BusyError:
            return True

    def position(self) -> str | None:
        """Return the place in the feed behind the last change that was told; None at first.

        Raises:
            StorageError: when the file cannot be read. It is not overwritten then.
        """
        try:
            kept = msgspec.json.decode(self._place.read(), type=_Place)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as error:
            raise StorageError(f"{self._folder.name}/place.json is no place of a webhook: remove it") from error
        return kept.position

    def keep_position(self, position: str) -> None:
        """Keep the place in the feed."""
        self._place.replace(msgspec.json.encode(_Place(_FORMAT, position)))

    def bury(self, letter: DeadLetter) -> None:
        """Keep a dead letter, durably."""
        name = f"{letter.failed_at:%Y%m%dT%H%M%S%f}-{letter.request.id}.json"
        PrivateFile(self._dead / name).replace(msgspec.json.encode(letter))

    def dead(self) -> Iterator[tuple[str, DeadLetter]]:
        """Yield the dead letters and the names of their files, oldest first; a file that is none is left out."""
        for name in self.dead_names():
            try:
                yield name, msgspec.json.decode(PrivateFile(self._dead / name).read(), type=DeadLetter)
            except (FileNotFoundError, msgspec.MsgspecError):
                continue

    def dead_names(self) -> list[str]:
        """Return the names of the files of dead letters, oldest first."""
        with suppress(FileNotFoundError), told(FileNotFoundError):
            return sorted(name for name in os.listdir(self._dead) if name.endswith(".json") and name[0] != ".")  # noqa: PTH208 - names
        return []

    def forget(self, name: str) -> None:
        """Remove a dead letter."""
        with suppress(FileNotFoundError), told(FileNotFoundError):
            (self._dead / name).unlink()
            flush_folder(self._dead)
