"""Measure durable appends in this process beside their limits: a bare write with its flush, and a row of SQLite.

    python bench/durable.py [--rounds 5] [--seconds 0.8] [--writers 1 8 64]

The three take turns, round by round, on one disk. Chatkeep appends through `Sessions`, with full durability, each
writer to sessions of its own. The ratios come first; times are in milliseconds.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct

from chatkeep.core.model import Draft
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.files.store import FilesStore

_TEXT = "How do I check whether a number is prime, and is there a faster way for large ones? " * 2
_SESSIONS_EACH = 4  # sessions of a writer
_LENGTH = 10  # messages of a session at the start


class Round(Struct, frozen=True):
    """The times of a round's calls in milliseconds, and its length in seconds."""

    times: list[float]
    length_s: float


def timed(calls: Sequence[Callable[[], object]], seconds: float) -> Round:
    """Run each call in a thread of its own, again and again."""
    times: list[list[float]] = [[] for _ in calls]
    began = time.perf_counter()
    until = began + seconds

    def work(call: Callable[[], object], out: list[float]) -> None:
        while (now := time.perf_counter()) < until:
            call()
            out.append((time.perf_counter() - now) * 1000)

    threads = [threading.Thread(target=work, args=pair) for pair in zip(calls, times, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Round([one for some in times for one in some], time.perf_counter() - began)


def bare_writers(folder: Path, count: int) -> list[Callable[[], object]]:
    """Return calls that write 300 bytes to a file with reserved space, and flush it."""

    def writer(number: int) -> Callable[[], object]:
        fd = os.open(folder / f"bare-{number}", os.O_RDWR | os.O_CREAT)
        os.pwrite(fd, bytes(1 << 22), 0)
        os.fsync(fd)
        place = 0

        def write() -> None:
            nonlocal place
            os.pwrite(fd, b"x" * 300, place)
            os.fdatasync(fd)
            place = (place + 300) % ((1 << 22) - 300)

        return write

    return [writer(number) for number in range(count)]


def row_writers(folder: Path, count: int) -> list[Callable[[], object]]:
    """Return calls that insert a row and update another in one durable transaction of SQLite."""
    path = folder / "rows.sqlite3"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE IF NOT EXISTS messages (id INTEGER PRIMARY KEY, session INTEGER, body TEXT)")
        db.execute("CREATE TABLE IF NOT EXISTS sessions (id INTEGER PRIMARY KEY, message_count INTEGER)")
        db.executemany("INSERT OR IGNORE INTO sessions VALUES (?, 0)", [(number,) for number in range(count)])

    def writer(number: int) -> Callable[[], object]:
        own = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        own.execute("PRAGMA synchronous = FULL")

        def write() -> None:
            own.execute("BEGIN IMMEDIATE")
            own.execute("INSERT INTO messages (session, body) VALUES (?, ?)", (number, _TEXT))
            own.execute("UPDATE sessions SET message_count = message_count + 1 WHERE id = ?", (number,))
            own.execute("COMMIT")

        return write

    return [writer(number) for number in range(count)]


def appenders(sessions: Sessions, count: int) -> list[Callable[[], object]]:
    """Return calls that append a message to sessions of their own in turn."""

    def appender(number: int) -> Callable[[], object]:
        keys = [f"bench:{count}:{number}:{place}" for place in range(_SESSIONS_EACH)]
        for key in keys:
            sessions.append(key, [Draft(role="user", content=_TEXT) for _ in range(_LENGTH)])
        turn = 0

        def append() -> None:
            nonlocal turn
            turn += 1
            sessions.append(keys[turn % _SESSIONS_EACH], [Draft(role="user", content=_TEXT)])

        return append

    return [appender(number) for number in range(count)]


def shown(name: str, rounds: Sequence[Round], bare: Sequence[Round]) -> None:
    """Print the medians over the rounds, and how many times as long as the bare write."""
    p50, p99, rate = figures(rounds)
    limit = figures(bare)[0]
    print(f"  {name:24} {p50 / limit:6.2f}x   p50 {p50:8.3f}   p99 {p99:8.3f}   {rate:9,.0f} per s")


def figures(rounds: Sequence[Round]) -> tuple[float, float, float]:
    """Return the medians over rounds: of p50, of p99, and of the calls per second."""
    ordered = [(sorted(one.times), one.length_s) for one in rounds]
    return (
        statistics.median(statistics.median(times) for times, _ in ordered),
        statistics.median(times[int(len(times) * 0.99)] for times, _ in ordered),
        statistics.median(len(times) / length_s for times, length_s in ordered),
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.8)
    parser.add_argument("--writers", type=int, nargs="*", default=[1, 8, 64])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name)
        store = FilesStore.open(folder / "workspace")
        for count in options.writers:
            kinds = {
                "bare write and flush": bare_writers(folder, count),
                "a row of SQLite": row_writers(folder, count),
                "Chatkeep": appenders(Sessions(store), count),
            }
            found: dict[str, list[Round]] = {kind: [] for kind in kinds}
            for _ in range(options.rounds):
                for kind, calls in kinds.items():
                    found[kind].append(timed(calls, options.seconds))
            print(f"{count} writers")
            for kind, rounds in found.items():
                shown(kind, rounds, found["bare write and flush"])
        store.close()


if __name__ == "__main__":
    main()
