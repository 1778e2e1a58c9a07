"""Homes of a program on a disk, and followers of them."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from chatkeep.core.model import Selection, text_of
from chatkeep.errors import SessionNotFoundError
from chatkeep.sessions.sessions import Sessions
from chatkeep.syncing.chosen import SyncedHome
from chatkeep.syncing.copies import Copies
from chatkeep.syncing.follower import Follower, Kept
from chatkeep.syncing.positions import Positions
from chatkeep.syncing.taking import Taken, Taker

PATIENCE_S: Final = 60.0


class Home:
    """The home of Claude Code, as it writes it."""

    def __init__(self, folder: Path) -> None:
        """Make the folder of a project."""
        self.folder = folder / ".claude"
        self.project = self.folder / "projects" / "-home-me-app"
        self.project.mkdir(parents=True)

    @property
    def synced(self) -> SyncedHome:
        """The home, as a sync knows it."""
        return SyncedHome("claude-code", self.folder)

    def transcript(self, number: int) -> Path:
        """Return the path of a transcript."""
        return self.project / f"00000000-0000-4000-8000-{number:012d}.jsonl"


def key_of(number: int) -> str:
    """Return the key of the session in a transcript."""
    return f"claude-code:-home-me-app:00000000-0000-4000-8000-{number:012d}"


def line(text: str, *, session: int = 1) -> str:
    """Return a line of a transcript, whose id is made from its text."""
    return (
        json.dumps(
            {
                "type": "user",
                "uuid": hashlib.sha256(text.encode()).hexdigest(),
                "sessionId": f"00000000-0000-4000-8000-{session:012d}",
                "timestamp": "2026-01-01T00:00:00Z",
                "message": {"role": "user", "content": text},
            }
        )
        + "\n"
    )


def append(path: Path, text: str) -> None:
    """Write at the end of a file, as programs do."""
    with path.open("a") as file:
        file.write(text)


def said_in(sessions: Sessions, key: str) -> list[str]:
    """Return the texts of a session in their order; none without a session."""
    try:
        return [text_of(message.content) for message in sessions.read(key).messages]
    except SessionNotFoundError:
        return []


def count_of(sessions: Sessions) -> int:
    """Return the number of sessions."""
    return sessions.list(Selection(archived=None), limit=1).total


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds; fail if it never does."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Followed:
    """What a follower told."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.taken: list[Taken] = []
        self.problems: list[str] = []


@contextmanager
def follower(home: SyncedHome, sessions: Sessions, positions: Path, told: Followed | None = None) -> Iterator[Follower]:
    """Yield a follower of a home."""
    heard = told or Followed()
    kept = Positions(positions, "files:/anywhere")
    try:
        yield Follower(
            [home],
            Taker(sessions),
            Kept(kept, Copies(positions.parent / "copies")),
            on_taken=heard.taken.append,
            on_problem=lambda place, sentence: heard.problems.append(f"{Path(place).name}: {sentence}"),
        )
    finally:
        kept.close()


@contextmanager
def following(home: SyncedHome, sessions: Sessions, positions: Path) -> Iterator[Followed]:
    """Follow a home in a thread for the length of the block."""
    told, stop = Followed(), threading.Event()
    with follower(home, sessions, positions, told) as one, one.watching():
        thread = threading.Thread(target=one.follow, args=(stop,))
        thread.start()
        try:
            yield told
        finally:
            stop.set()
            thread.join()
