"""Measure Chatkeep on the work that counts, in one run beside the alternatives and the limits of the machine.

    python bench/wanted.py [--sessions 10000] [--messages 200000] [--rounds 3] [--seconds 1.0] [--only WORK ...]
        [--envs .bench-envs] [--out bench/results] [--import]

Every work is done by all its subjects, round by round, one after the other: Chatkeep, other programs in environments
of their own (`bench/environments.py`), and limits (a static file from nginx, a bare write with its flush, a bare query
of SQLite, ripgrep). Another job on the machine slows all of them, so ratios hold better than times. `wrk` asks the
servers. The tables go to `wanted.md`, the figures to `wanted.json`, a plot of the ratios to `wanted.svg`. It needs
`apt install wrk nginx-light ripgrep`; a subject that is not installed is left out, and named.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from chatkeep import __version__
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.files.store import FilesStore
from durable import appenders, bare_writers, figures, row_writers, timed
from environments import FOLDER, PACKAGES, python_of, version_of
from server import Server
from subjects import (
    Figures,
    LibraryProcess,
    Running,
    commands,
    free_port,
    imported,
    machine,
    nginx_serving,
    other_serving,
    page_rows,
    reads_of_sqlite,
    ripgrep,
    wrk,
)

_OURS: Final = "Chatkeep"
_LONGEST: Final = "telegram:100000000"
_HISTORY: Final = f"/api/memory/session?limit=50&id={_LONGEST}"
_LIST: Final = "/api/sessions?limit=50"
_RARE: Final = "tromso"
_READS: Final = {
    "list of 50": _LIST,
    "history of 50": _HISTORY,
    "search for a rare word": f"/api/sessions/search?q={_RARE}",
}
_CONNECTIONS: Final = {1: "1 connection", 16: "16 connections"}

Subject = Callable[[], Figures]
Works = dict[str, dict[str, Subject]]


class Wanted(NamedTuple):
    """A bound on a figure of Chatkeep, or on its ratio to another subject's."""

    work: str
    figure: str
    bound: float
    than: str = ""

    def measured(self, found: Mapping[str, Mapping[str, Figures]]) -> float | None:
        """Return the figure, None if it was not measured."""
        subjects = found.get(self.work, {})
        ours = getattr(subjects.get(_OURS), self.figure, None)
        if ours is None or not self.than:
            return ours
        theirs = getattr(subjects.get(self.than), self.figure, None)
        return ours / theirs if theirs else None

    def is_met(self, value: float) -> bool:
        """Tell whether a value keeps the bound: rates are to be high, everything else low."""
        return value >= self.bound if self.figure == "per_s" else value <= self.bound


BARE: Final = "bare write and flush"
OPENAI: Final = "openai-agents SQLiteSession"
WANTED: Final = (
    Wanted("append in process, 1 writer", "p50_ms", 2.5, BARE),
    Wanted("append in process, 1 writer", "p50_ms", 1.0, OPENAI),
    Wanted("append in process, 1 writer", "p99_ms", 2.0),
    Wanted("append in process, 8 writers", "per_s", 3500),
    Wanted("append in process, 64 writers", "per_s", 3500),
    Wanted("append over HTTP, 1 connection", "p50_ms", 1.0),
    Wanted("append over HTTP, 1 connection", "p99_ms", 5.0),
    Wanted("append over HTTP, 8 connections", "per_s", 2500),
    Wanted("list of 50, 16 connections", "per_s", 4500),
    Wanted("history of 50, 16 connections", "per_s", 3500),
    Wanted("import", "per_s", 25_000),
    Wanted("chatkeep --help", "p50_ms", 120),
    Wanted("chatkeep list", "p50_ms", 200),
)
"""The bounds, as this run is to meet them."""


class Asked(NamedTuple):
    """What the command line says."""

    sessions: int
    messages: int
    rounds: int
    seconds: float
    only: list[str]
    envs: Path
    out: Path
    imports: bool


def in_process(folder: Path, asked: Asked, stack: contextlib.ExitStack) -> Works:
    """Return appends and reads through calls in a process."""
    store = FilesStore.open(folder / "calls")
    stack.callback(store.close)
    works: Works = {}
    for count in (1, 8, 64):
        place = folder / f"writers-{count}"
        place.mkdir()
        kinds = {
            _OURS: appenders(Sessions(store), count),
            BARE: bare_writers(place, count),
            "a row of SQLite": row_writers(place, count),
        }
        name = f"append in process, {count} writer{'s' if count > 1 else ''}"
        works[name] = {kind: partial(_in_threads, calls, asked.seconds) for kind, calls in kinds.items()}
    for name, label in (("openai", OPENAI), ("adk", "google-adk"), ("langchain", "LangChain SQL history")):
        python = python_of(name, asked.envs)
        if python is not None:
            place = folder / name
            place.mkdir()
            library = LibraryProcess(python, name, place)
            stack.callback(library.close)
            works["append in process, 1 writer"][label] = partial(library.append, 200)
            works.setdefault("last 50 of 1,000 messages in process", {})[label] = partial(library.history, 50)
    ours = Sessions(store)
    page_rows(ours, "bench:long", 1000)
    reads = works.setdefault("last 50 of 1,000 messages in process", {})
    reads[_OURS] = partial(_in_threads, [lambda: ours.window("bench:long", limit=50)], asked.seconds / 4)
    return works


def over_http(folder: Path, asked: Asked, stack: contextlib.ExitStack) -> Works:
    """Return requests to servers."""
    workspace = folder / "workspace"
    command = [sys.executable, str(Path(__file__).with_name("generate.py")), str(workspace)]
    sizes = ["--sessions", f"{asked.sessions}", "--messages", f"{asked.messages}"]
    subprocess.run([*command, *sizes, "--longest", f"{min(5000, asked.messages // 2)}"], check=True)
    server = Server(workspace, free_port())
    stack.callback(server.stop)
    works = our_requests(server, asked)
    answers = {"list of 50": server.request("GET", _LIST)[1], "history of 50": server.request("GET", _HISTORY)[1]}
    files = {name.replace(" ", "-"): answer for name, answer in answers.items()}
    static = stack.enter_context(nginx_serving(folder / "nginx", files))
    if static is not None:
        add_reads(
            works, "nginx, a static file", static, {name: f"/{name.replace(' ', '-')}" for name in answers}, asked
        )
    python = python_of("pocketpaw", asked.envs)
    if python is not None:
        other = stack.enter_context(other_serving(python, "pocketpaw", folder / "pocketpaw", workspace))
        add_reads(works, "PocketPaw", other, {**_READS, "history of 50": _HISTORY.replace(":", "_")}, asked)
    bare = reads_of_sqlite(folder / "bare.sqlite3", asked.sessions)
    works["list of 50, 1 connection"]["a query of SQLite in process"] = partial(_in_threads, [bare], asked.seconds / 4)
    if shutil.which("rg"):
        works["search for a rare word, 1 connection"]["ripgrep"] = partial(ripgrep, workspace / "sessions", _RARE)
    return works


def our_requests(server: Server, asked: Asked) -> Works:
    """Return the requests to Chatkeep."""

    def ask(path: str, connections: int, body: str = "") -> Figures:
        return wrk(f"http://127.0.0.1:{server.port}{path}", connections, asked.seconds, server.token, server.pid, body)

    said = json.dumps({"role": "user", "content": "a message of the bench " * 9})
    append = "/api/v1/messages?session=bench:"
    works: Works = {
        "append over HTTP, 1 connection": {_OURS: partial(ask, append, 1, said)},
        "append over HTTP, 8 connections": {_OURS: partial(ask, append, 8, said)},
    }
    for connections, many in _CONNECTIONS.items():
        for name, path in {**_READS, "a session": f"/api/sessions/{_LONGEST}", "health": "/health"}.items():
            works[f"{name}, {many}"] = {_OURS: partial(ask, path, connections)}
    return works


def add_reads(works: Works, subject: str, running: Running, paths: Mapping[str, str], asked: Asked) -> None:
    """Add the same reads of another server."""
    for connections, many in _CONNECTIONS.items():
        for name, path in paths.items():
            theirs = partial(wrk, running.url + path, connections, asked.seconds, "", running.pid)
            works[f"{name}, {many}"][subject] = theirs


def of_commands(folder: Path, asked: Asked) -> Works:
    """Return commands from start to end."""
    commands(["-m", "chatkeep", "demo"], folder, times=1)
    works: Works = {
        f"chatkeep {name}": {
            _OURS: partial(commands, ["-m", "chatkeep", name], folder),
            "python -c pass": partial(commands, ["-c", "pass"], folder),
        }
        for name in ("--help", "list")
    }
    if asked.imports:
        works["import"] = {_OURS: partial(imported, folder, asked.sessions, asked.messages)}
    return works


def _in_threads(calls: list[Callable[[], object]], seconds: float) -> Figures:
    p50, p99, per_s = figures([timed(calls, seconds)])
    return Figures(p50, p99, per_s)


def middle(rounds: list[Figures]) -> Figures:
    """Return the median of each figure."""
    cpu = [one.cpu_us for one in rounds if one.cpu_us is not None]
    times = [(one.p50_ms, one.p99_ms, one.per_s) for one in rounds]
    p50, p99, per_s = (statistics.median(values) for values in zip(*times, strict=True))
    return Figures(p50, p99, per_s, statistics.median(cpu) if cpu else None)


def measured(works: Works, asked: Asked) -> dict[str, dict[str, Figures]]:
    """Return the medians over the rounds; in each round the subjects of a work take turns."""
    chosen = {
        name: subjects for name, subjects in works.items() if not asked.only or any(o in name for o in asked.only)
    }
    found: dict[str, dict[str, list[Figures]]] = {name: {} for name in chosen}
    for _ in range(max(asked.rounds, 1)):
        for name, subjects in chosen.items():
            for subject, run in subjects.items():
                found[name].setdefault(subject, []).append(run())
                print(f"  {name}: {subject}", file=sys.stderr)
    return {name: {one: middle(rounds) for one, rounds in subjects.items()} for name, subjects in found.items()}


def markdown(found: Mapping[str, Mapping[str, Figures]], facts: Mapping[str, str]) -> str:
    """Return the tables: what is wanted, then all figures, ratios first."""
    lines = [f"{name}: {value}  " for name, value in facts.items()]
    lines += ["", "| wanted | bound | measured | |", "|---|---:|---:|---|"]
    for one in WANTED:
        value = one.measured(found)
        if value is not None:
            kind = f"{one.figure}, times that of {one.than}" if one.than else one.figure
            lines.append(
                f"| {one.work}: {kind} | {one.bound:,} | {value:,.2f} | {'met' if one.is_met(value) else 'missed'} |"
            )
    head = "times Chatkeep's p50 | p50 ms | p99 ms | a second | cpu us"
    lines += ["", f"| work | subject | {head} |", "|---|---|---:|---:|---:|---:|---:|"]
    for work, subjects in found.items():
        ours = subjects[_OURS].p50_ms if _OURS in subjects else None
        for subject, got in subjects.items():
            ratio = f"{got.p50_ms / ours:.2f}" if ours else ""
            cpu = "" if got.cpu_us is None else f"{got.cpu_us:,.0f}"
            times = f"{got.p50_ms:,.3f} | {got.p99_ms:,.3f} | {got.per_s:,.0f}"
            lines.append(f"| {work} | {subject} | {ratio} | {times} | {cpu} |")
    return "\n".join(lines) + "\n"


def plot(found: Mapping[str, Mapping[str, Figures]]) -> str:
    """Return a plot of how many times Chatkeep's median each subject takes, on a scale of powers of ten."""
    bars = [
        (f"{work}: {subject}", got.p50_ms / subjects[_OURS].p50_ms)
        for work, subjects in found.items()
        for subject, got in subjects.items()
        if subject != _OURS and _OURS in subjects
    ]
    rows = []
    for place, (name, ratio) in enumerate(bars):
        y, width = 20 + place * 22, max(-180.0, min(180.0, math.log10(ratio) * 60))
        left, colour = 640 + min(width, 0), "#2b6" if ratio >= 1 else "#c63"
        rows.append(f'<text x="440" y="{y + 12}" text-anchor="end">{name}</text>')
        rows.append(f'<rect x="{left:.0f}" y="{y}" width="{abs(width):.0f}" height="14" fill="{colour}"/>')
        rows.append(f'<text x="830" y="{y + 12}">{ratio:.2f}</text>')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="900" height="{40 + 22 * len(bars)}" font-size="11" '
    middle_line = f'<line x1="640" x2="640" y1="10" y2="{30 + 22 * len(bars)}" stroke="#888"/>'
    return f'{head}font-family="sans-serif">{middle_line}{"".join(rows)}</svg>\n'


@contextlib.contextmanager
def prepared(asked: Asked) -> Iterator[Works]:
    """Yield all works over a folder that is removed in the end."""
    with tempfile.TemporaryDirectory(dir=".") as made, contextlib.ExitStack() as stack:
        folder = Path(made).resolve()
        yield {
            **in_process(folder, asked, stack),
            **over_http(folder, asked, stack),
            **of_commands(folder, asked),
        }


def main() -> None:
    """Run everything, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--envs", type=Path, default=FOLDER)
    parser.add_argument("--out", type=Path, default=Path("bench/results"))
    parser.add_argument("--import", dest="imports", action="store_true")
    asked = Asked(**vars(parser.parse_args()))
    here = [version_of(name) for name in PACKAGES if python_of(name, asked.envs) is not None]
    facts = {
        "Time": datetime.now(UTC).isoformat(timespec="minutes"),
        "Machine": machine(),
        "Load before": f"{os.getloadavg()[0]:.1f} and {os.getloadavg()[2]:.1f} (1 and 15 minutes)",
        "Versions": ", ".join((f"Chatkeep {__version__}", f"Python {platform.python_version()}", *here)),
        "Rounds": f"{asked.rounds} of {asked.seconds} s, {asked.sessions:,} sessions, {asked.messages:,} messages",
    }
    with prepared(asked) as works:
        found = measured(works, asked)
    asked.out.mkdir(parents=True, exist_ok=True)
    figured = {work: {name: got._asdict() for name, got in subjects.items()} for work, subjects in found.items()}
    (asked.out / "wanted.json").write_text(json.dumps({**facts, "works": figured}, indent=1) + "\n")
    (asked.out / "wanted.md").write_text(markdown(found, facts))
    (asked.out / "wanted.svg").write_text(plot(found))
    sys.stdout.write(markdown(found, facts))


if __name__ == "__main__":
    main()
