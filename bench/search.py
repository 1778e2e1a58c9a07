"""Measure searches over HTTP on loopback, by what is asked for, and how they grow with the store.

    python bench/search.py WORKSPACE [LARGER_WORKSPACE] [--rounds 200] [--beside]

Make the workspaces with bench/generate.py (200,000 and 2,000,000 messages, say). The words of each
class are drawn from the workspace by how many of its messages have them; phrases and pieces are cut
from its messages. One client, one request at a time; median and 99th percentile in milliseconds of
both sorts, and with two workspaces how many times as long the larger one takes. At the end: appends
alone, and while searches run. With --beside the same queries are put, in this process, to a plain FTS5
table of the same messages, ordered by bm25, as search over SQLite is usually done.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import accumulate
from pathlib import Path
from urllib.parse import urlencode

import apsw
from rich.console import Console
from rich.progress import track
from rich.table import Table

from chatkeep.store.files.index.sets.postings import Postings
from chatkeep.store.files.tree import format as session_file
from server import PORT, Server

_SEED = 20261121
_SEARCH = "/api/sessions/search"
_BANDS = {"rare": (2e-6, 5e-5), "middle": (0.002, 0.0075), "frequent": (0.03, 0.1), "common": (0.3, 1.0)}
_APPENDS = 300
_FORK = multiprocessing.get_context("fork")
Times = dict[tuple[str, str], tuple[float, float, int]]
"""Median, 99th percentile and how many answers were partial, by class and sort."""


class Asker:
    """Makes up queries of each class from what a workspace holds."""

    def __init__(self, workspace: Path) -> None:
        """Read the words of the workspace and the texts of some sessions."""
        self._dice = random.Random(_SEED)
        (path,) = workspace.glob("index-*.sqlite3")
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        ((total,),) = db.execute("SELECT sum(message_count) FROM totals")
        postings = Postings(db)
        postings.catch_up()
        found = [word for (word,) in db.execute("SELECT label FROM lexicon WHERE label GLOB '[a-z]*'")]
        self._words = [(word, len(postings.docs(word)) / total) for word in found if word.isalpha()]
        self._said = [word for word, _ in self._words if len(word) > 3]
        self._shares = list(accumulate(share for word, share in self._words if len(word) > 3))
        self._texts = list(_texts(workspace, self._dice))
        self._chinese = [piece for text in self._texts for piece in re.findall(r"[\u4e00-\u9fff]{8,}", text)]

    def classes(self) -> dict[str, Callable[[], str]]:
        """Return what makes a query of each class."""
        bands = {
            name: [word for word, share in self._words if low <= share < high] for name, (low, high) in _BANDS.items()
        }
        scarce = sorted(self._words, key=lambda word: word[1])[: max(50, len(self._words) // 20)]
        bands["rare"] = bands["rare"] or [word for word, _ in scarce]
        bands["common"] = bands["common"] or [word for word, _ in sorted(self._words, key=lambda one: -one[1])[:20]]
        one = {name: partial(self._several, words, 1) for name, words in bands.items() if words}
        return {
            **one,
            "2 common": lambda: self._several(bands["common"], 2),
            "3 common": lambda: self._several(bands["common"], 3),
            "middle and common": lambda: self._several(bands["middle"], 1) + self._several(bands["common"], 1),
            "2 middle": lambda: self._several(bands["middle"], 2),
            "phrase of 2": lambda: self._phrase(2),
            "phrase of 3": lambda: self._phrase(3),
            **{f"first {count}": partial(self._beginning, count) for count in (1, 2, 3, 4)},
            "question of 8": lambda: f"how do {' '.join(self._drawn(6))}?",
            "question of 12": lambda: f"what is the {' '.join(self._drawn(9))}?",
            **{f"Chinese {count}": partial(self._piece, count) for count in (1, 2, 4)},
            "no hit": lambda: f"zzqx{self._dice.randrange(10**6)} ",
        }

    def _several(self, words: list[str], count: int) -> str:
        return "".join(f"{word} " for word in self._dice.choices(words, k=count))

    def _drawn(self, count: int) -> list[str]:
        """Return words as often as they are said."""
        return self._dice.choices(self._said, cum_weights=self._shares, k=count)

    def _beginning(self, count: int) -> str:
        return self._drawn(1)[0][:count]

    def _phrase(self, count: int) -> str:
        while True:
            words = re.findall(r"[a-z]+", self._dice.choice(self._texts))
            if len(words) > count:
                start = self._dice.randrange(len(words) - count)
                return f'"{" ".join(words[start : start + count])}"'

    def _piece(self, count: int) -> str:
        piece: str = self._dice.choice(self._chinese)
        start = self._dice.randrange(len(piece) - count + 1)
        return piece[start : start + count]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspaces", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--beside", action="store_true")
    options = parser.parse_args()
    console = Console(width=150)
    measured = _measured(options.workspaces, options.rounds)
    console.print(_table(options.workspaces, measured))
    if options.beside:
        console.print(_beside(options.workspaces[-1], options.rounds // 10, measured[-1]))


def _measured(workspaces: list[Path], rounds: int) -> list[Times]:
    """Return median, 99th percentile and how many were partial, for each workspace, by class and sort."""
    servers = [Server(workspace, PORT + place) for place, workspace in enumerate(workspaces)]
    classes = [Asker(workspace).classes() for workspace in workspaces]
    times: list[Times] = [{} for _ in workspaces]
    for name in track([name for name in classes[0] if all(name in asks for asks in classes)], description="searching"):
        for sort in ("relevance", "recent"):
            asked = [
                [_search(server, asks[name](), sort) for server, asks in zip(servers, classes, strict=True)]
                for _ in range(rounds)
            ]
            for of_workspace, answers in zip(times, zip(*asked, strict=True), strict=True):
                taken = sorted(ms for ms, _ in answers)
                cut = sum(is_partial for _, is_partial in answers)
                of_workspace[name, sort] = (statistics.median(taken), taken[int(rounds * 0.99)], cut)
    for workspace, server, asks in zip(workspaces, servers, classes, strict=True):
        paths = [f"{_SEARCH}?{urlencode({'q': ask()})}" for _ in range(10) for ask in asks.values()]
        print(f"{workspace.name}: appends {_appends(server, [])} ms, while searches run {_appends(server, paths)} ms")
        server.stop()
    return times


def _search(server: Server, query: str, sort: str) -> tuple[float, bool]:
    """Return how many milliseconds a search takes, and whether its answer is partial."""
    path = f"{_SEARCH}?{urlencode({'q': query, 'sort': sort})}"
    began = time.perf_counter()
    status, body = server.request("GET", path)
    taken = (time.perf_counter() - began) * 1000
    if status != 200:
        sys.exit(f"{query}: {status} {body[:200]!r}")
    return taken, json.loads(body)["partial"]


def _appends(server: Server, asked: list[str]) -> str:
    """Return median and 99th percentile of appends, with these searches running beside them, if there are any."""
    beside = _FORK.Process(target=_search_on, args=(server, asked), daemon=True)  # whose work is not the client's
    beside.start()
    taken = []
    for _ in range(_APPENDS):
        began = time.perf_counter()
        server.request("POST", "/api/v1/messages?session=bench:appends", {"role": "user", "content": "a word " * 40})
        taken.append((time.perf_counter() - began) * 1000)
    beside.terminate()
    beside.join()
    return f"{statistics.median(taken):.2f} / {sorted(taken)[int(_APPENDS * 0.99)]:.2f}"


def _search_on(server: Server, asked: list[str]) -> None:
    """Search one after the other until somebody ends it."""
    client = server.another()
    while asked:
        for path in asked:
            client.request("GET", path)


def _table(workspaces: list[Path], measured: list[Times]) -> Table:
    table = Table(title="Searches over HTTP, ms")
    table.add_column("class")
    for workspace in workspaces:
        for sort in ("relevance", "recent"):
            table.add_column(f"{workspace.name} {sort}\np50 / p99 (partial)", justify="right")
    if len(workspaces) > 1:
        table.add_column("growth", justify="right")
    for name in dict.fromkeys(name for name, _ in measured[0]):
        cells = []
        for times in measured:
            for sort in ("relevance", "recent"):
                median, last, cut = times[name, sort]
                cells.append(f"{median:.1f} / {last:.1f}" + (f" ({cut})" if cut else ""))
        if len(workspaces) > 1:
            cells.append(
                ", ".join(
                    f"{measured[-1][name, sort][0] / measured[0][name, sort][0]:.1f}x"
                    for sort in ("relevance", "recent")
                )
            )
        table.add_row(name, *cells)
    return table


def _beside(workspace: Path, rounds: int, ours: Times) -> Table:
    """Return how long a plain FTS5 table takes for the same, by bm25."""
    db = apsw.Connection(":memory:")
    db.execute("CREATE VIRTUAL TABLE said USING fts5 (text, content='', tokenize='porter unicode61')")
    with db:
        for path in track(sorted((workspace / "sessions").iterdir()), description="the plain table"):
            texts = [(message.text,) for message in session_file.scan(path.read_bytes()).messages]
            db.executemany("INSERT INTO said (text) VALUES (?)", texts)
    table = Table(title="The same by FTS5 alone: any word, ORDER BY bm25 LIMIT 20, no session, no excerpt, no HTTP")
    for column in ("class", "plain p50 ms", "ours p50 ms", "plain / ours"):
        table.add_column(column, justify="right" if column != "class" else "left")
    for name, ask in Asker(workspace).classes().items():
        taken = []
        for _ in range(max(3, rounds)):
            asked = ask()
            words = re.findall(r"\w+", asked)
            match = f'"{" ".join(words)}"' if asked.startswith('"') else " OR ".join(f'"{word}"' for word in words)
            match += "*" if name.startswith("first") else ""
            began = time.perf_counter()
            list(db.execute("SELECT rowid FROM said WHERE said MATCH ? ORDER BY bm25(said) LIMIT 20", (match,)))
            taken.append((time.perf_counter() - began) * 1000)
        median, own = statistics.median(taken), ours[name, "relevance"][0]
        table.add_row(name, f"{median:.1f}", f"{own:.1f}", f"{median / own:.1f}x")
    return table


def _texts(workspace: Path, dice: random.Random) -> Iterator[str]:
    """Yield the texts of some sessions."""
    for path in dice.sample(sorted((workspace / "sessions").iterdir()), 400):
        if path.stat().st_size < 1 << 20:
            for message in session_file.scan(path.read_bytes()).messages:
                yield message.text


if __name__ == "__main__":
    main()
