"""Measure Chatkeep beside the limits of the machine and beside a library, in one run, in turn.

    python bench/limits.py [--rounds 5] [--appends 400] [--sessions 1000] [--beside PYTHON] [--out bench/results]

The limits are a bare pwrite with fdatasync, and a bare SQLite database with one durable transaction for each message.
`--beside` is the Python of an environment with `openai-agents`: then its SQLiteSession runs too, in a process of its
own. Each round runs every subject on the same work, one after the other. So another job on the machine slows all of
them, and the ratios hold better than the times. Figures are medians of the rounds: milliseconds, or operations a
second; `cpu` is the processor time of an operation in microseconds. The results go to a JSON and a Markdown file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from chatkeep.core.model import Draft, Selection
from chatkeep.store.files.store import FilesStore

_WORDS: Final = 20_000  # made words, drawn by Zipf's law
_LONG: Final = 5000  # messages in the long session
_T0: Final = datetime(2026, 1, 1, tzinfo=UTC)
_OPENAI: Final = """
import asyncio, json, sys, time
from agents import SQLiteSession

async def work(path, texts):
    times, sessions = [], {}
    for place, text in enumerate(texts):
        name = f"s{place % 50}"
        session = sessions.get(name) or sessions.setdefault(name, SQLiteSession(name, path))
        began = time.perf_counter()
        await session.add_items([{"role": "user", "content": text}])
        times.append(time.perf_counter() - began)
    return times

print(json.dumps(asyncio.run(work(sys.argv[1], json.load(sys.stdin)))))
"""

Times = list[float]
Subject = Callable[[list[str]], Times]


class Texts:
    """Made texts of about 200 characters, the same in every run."""

    def __init__(self) -> None:
        """Make the words."""
        self._dice = random.Random(20)
        letters = "abcdefghijklmnopqrstuvwxyz"
        self._words = ["".join(self._dice.choices(letters, k=self._dice.randint(3, 9))) for _ in range(_WORDS)]
        self._weights = [1 / rank for rank in range(1, _WORDS + 1)]

    def some(self, count: int) -> list[str]:
        """Return so many texts."""
        return [" ".join(self._dice.choices(self._words, self._weights, k=33))[:200] for _ in range(count)]


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that some work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@contextmanager
def bare_file(folder: Path) -> Iterator[Subject]:
    """Yield appends as the least that is durable: write over reserved space, then fdatasync."""
    fd = os.open(folder / "bare", os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, bytes(4 << 20), 0)
    os.fsync(fd)
    place = 0

    def append(text: str) -> None:
        nonlocal place
        place = (place + os.pwrite(fd, text.encode(), place)) % (3 << 20)
        os.fdatasync(fd)

    try:
        yield lambda texts: [timed(partial(append, text)) for text in texts]
    finally:
        os.close(fd)


@contextmanager
def bare_sqlite(folder: Path) -> Iterator[Subject]:
    """Yield appends as two statements in a durable transaction of SQLite."""
    with closing(sqlite3.connect(folder / "bare.sqlite3", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE sessions (id INTEGER PRIMARY KEY, count INTEGER, at REAL)")
        db.execute("CREATE TABLE messages (session INTEGER, seq INTEGER, text TEXT, PRIMARY KEY (session, seq))")
        db.executemany("INSERT INTO sessions VALUES (?, 0, 0)", [(number,) for number in range(50)])

        def append(number: int, text: str) -> None:
            db.execute("BEGIN IMMEDIATE")
            again = "UPDATE sessions SET count = count + 1, at = ? WHERE id = ? RETURNING count"
            ((seq,),) = db.execute(again, (time.time(), number)).fetchall()
            db.execute("INSERT INTO messages VALUES (?, ?, ?)", (number, seq, text))
            db.execute("COMMIT")

        yield lambda texts: [timed(partial(append, place % 50, text)) for place, text in enumerate(texts)]


def openai_session(python: str, folder: Path) -> Subject:
    """Return appends to the SQLiteSession of `openai-agents`, in its own environment."""

    def work(texts: list[str]) -> Times:
        command = [python, "-c", _OPENAI, str(folder / "openai.sqlite3")]
        done = subprocess.run(command, check=True, capture_output=True, text=True, input=json.dumps(texts))
        times: Times = json.loads(done.stdout)
        return times

    return work


class Keeper:
    """A workspace of Chatkeep with many short sessions and a long one."""

    def __init__(self, folder: Path, texts: Texts, session_count: int) -> None:
        """Fill the workspace."""
        self.store = FilesStore.open(folder / "chatkeep")
        self._count = session_count
        self._next = 0
        for number in range(session_count):
            self.store.append(self._key(number), [self._draft(text) for text in texts.some(8)])
        self.store.append("bench:long", [self._draft(text) for text in texts.some(_LONG)])

    def append(self, texts: list[str], writers: int = 1) -> Times:
        """Append each text durably to one of the sessions, by so many threads; return the times."""
        times: Times = []

        def write(first: int) -> None:
            for place in range(first, len(texts), writers):
                draft = self._draft(texts[place])
                key = self._key(first + writers * (place // writers % 5))
                times.append(timed(partial(self.store.append, key, [draft])))

        threads = [threading.Thread(target=write, args=(first,)) for first in range(writers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return times

    def lists(self, texts: list[str]) -> Times:
        """Return the times of the newest 50 sessions, each after an append."""
        return [self._after_append(text, partial(self.store.list, Selection(), limit=50)) for text in texts]

    def windows(self, texts: list[str]) -> Times:
        """Return the times of the last 50 messages of the long session, each after an append to it."""
        work = partial(self.store.window, "bench:long", limit=50)
        return [self._after_append(text, work, "bench:long") for text in texts]

    def lists_again(self, texts: list[str]) -> Times:
        """Return the times of the newest 50 sessions while nobody writes."""
        return [timed(partial(self.store.list, Selection(), limit=50)) for _ in texts]

    def windows_again(self, texts: list[str]) -> Times:
        """Return the times of the last 50 messages of the long session while nobody writes to it."""
        return [timed(partial(self.store.window, "bench:long", limit=50)) for _ in texts]

    def _after_append(self, text: str, work: Callable[[], object], key: str = "bench:0") -> float:
        self.store.append(key, [self._draft(text)])
        return timed(work)

    def _key(self, number: int) -> str:
        return f"bench:{number % self._count}"

    def _draft(self, text: str) -> Draft:
        self._next += 1
        return Draft(role="user", content=text, id=f"m{self._next}", sent_at=_T0 + timedelta(seconds=self._next))


class Round(NamedTuple):
    """The figures of one subject in one round."""

    p50_ms: float
    p99_ms: float
    per_s: float
    cpu_us: float


def measured(subject: Subject, texts: list[str]) -> Round:
    """Return the figures of a subject for some texts."""
    began, used = time.perf_counter(), time.process_time()
    times = sorted(subject(texts))
    per_s, cpu = len(times) / (time.perf_counter() - began), (time.process_time() - used) / len(times)
    return Round(times[len(times) // 2] * 1e3, times[len(times) * 99 // 100] * 1e3, per_s, cpu * 1e6)


def report(found: dict[str, list[Round]]) -> list[dict[str, float | str]]:
    """Return the medians of the rounds, with the ratio of each median time to the bare file's."""
    bare = statistics.median(one.p50_ms for one in found["bare pwrite and fdatasync"])
    rows: list[dict[str, float | str]] = []
    for name, rounds in found.items():
        middle = Round(*(statistics.median(values) for values in zip(*rounds, strict=True)))
        figures = {key: round(value, 3) for key, value in middle._asdict().items()}
        rows.append({"subject": name, **figures, "of_bare": round(middle.p50_ms / bare, 2)})
    return rows


def markdown(rows: list[dict[str, float | str]], facts: dict[str, str]) -> str:
    """Return the figures as a table, below the facts of the run."""
    head = "| | p50 ms | p99 ms | a second | cpu us | p50 of the bare file's |\n|---|---:|---:|---:|---:|---:|\n"
    names = ("p50_ms", "p99_ms", "per_s", "cpu_us", "of_bare")
    lines = [f"| {row['subject']} | " + " | ".join(f"{row[name]:,}" for name in names) + " |\n" for row in rows]
    return "".join(f"{name}: {value}  \n" for name, value in facts.items()) + "\n" + head + "".join(lines)


def main() -> None:
    """Run all subjects, round after round, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--appends", type=int, default=400)
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--beside", metavar="PYTHON")
    parser.add_argument("--out", type=Path, default=Path("bench/results"))
    chosen = parser.parse_args()
    texts, found = Texts(), defaultdict(list)
    with tempfile.TemporaryDirectory(dir=".") as made:
        folder = Path(made)
        keeper = Keeper(folder, texts, chosen.sessions)
        with bare_file(folder) as file, bare_sqlite(folder) as sqlite, closing(keeper.store):
            subjects: dict[str, Subject] = {
                "bare pwrite and fdatasync": file,
                "bare SQLite, durable": sqlite,
                **({"openai-agents SQLiteSession": openai_session(chosen.beside, folder)} if chosen.beside else {}),
                "append, 1 writer": keeper.append,
                "append, 8 writers": partial(keeper.append, writers=8),
                "append, 64 writers": partial(keeper.append, writers=64),
                "list of 50 after an append": keeper.lists,
                "list of 50 again": keeper.lists_again,
                "last 50 of 5,000 messages after an append": keeper.windows,
                "last 50 of 5,000 messages again": keeper.windows_again,
            }
            for _ in range(chosen.rounds):
                for name, subject in subjects.items():
                    found[name].append(measured(subject, texts.some(chosen.appends)))
    facts = {
        "Time": datetime.now(UTC).isoformat(timespec="minutes"),
        "Machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "Load before": f"{os.getloadavg()[2]:.1f}",
        "Python": platform.python_version(),
        "Rounds": f"{chosen.rounds} of {chosen.appends}, {chosen.sessions} sessions",
    }
    rows = report(found)
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "limits.json").write_text(json.dumps({**facts, "figures": rows}, indent=1) + "\n")
    (chosen.out / "limits.md").write_text(markdown(rows, facts))
    sys.stdout.write(markdown(rows, facts))


if __name__ == "__main__":
    main()
