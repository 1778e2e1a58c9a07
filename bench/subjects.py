"""The subjects of `bench/wanted.py`: how each is run and timed, and what its figures are."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from chatkeep.core.model import Draft
from chatkeep.sessions.sessions import Sessions

_TICK_US: Final = 1_000_000 / os.sysconf("SC_CLK_TCK")
_UNITS: Final = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}
_PERCENTILE: Final = re.compile(r"^\s+(50|99)%\s+([0-9.]+)(us|ms|s|m)$", re.MULTILINE)
_COUNT: Final = re.compile(r"^\s+([0-9]+) requests in ([0-9.]+)(ms|s|m)", re.MULTILINE)
_TEXT: Final = "How do I check whether a number is prime, and is there a faster way for large ones? " * 2
_APPENDS: Final = """
local n = 0
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = %s
request = function()
  n = n + 1
  return wrk.format(nil, wrk.path .. "?" .. "session=bench:" .. (n %% 50))
end
"""


class Figures(NamedTuple):
    """Medians of a subject: milliseconds, operations a second, and the server's processor time of an operation."""

    p50_ms: float
    p99_ms: float
    per_s: float
    cpu_us: float | None = None


class Running(NamedTuple):
    """A running server beside Chatkeep."""

    url: str
    pid: int


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def machine() -> str:
    """Return the machine in a line, with the time of a write of 4 KiB and its flush."""
    with tempfile.NamedTemporaryFile(dir=".") as file:
        times = []
        for _ in range(200):
            began = time.perf_counter()
            os.pwrite(file.fileno(), bytes(4096), 0)
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - began) * 1000)
    system = f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"
    return f"{system}; 4 KiB and fdatasync {statistics.median(times):.2f} ms"


def wrk(url: str, connections: int, seconds: float, token: str, pid: int, body: str = "") -> Figures:
    """Ask a server for some seconds, over so many connections; with a body, append to sessions in turn."""
    if shutil.which("wrk") is None:
        sys.exit("wrk asks the servers: apt install wrk")
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency"]
    command += ["-H", f"Authorization: Bearer {token}"] if token else []
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        if body:
            script.write(_APPENDS % json.dumps(body))
            script.flush()
            url = url.partition("?")[0]
        before = _ticks(pid)
        told = subprocess.run(
            [*command, *(["-s", script.name] if body else []), url], check=True, capture_output=True, text=True
        ).stdout
        used = _ticks(pid) - before
    if "Non-2xx" in told or "Socket errors" in told:
        sys.exit(f"{url}: {told}")
    percentiles = {name: float(value) * _UNITS[unit] for name, value, unit in _PERCENTILE.findall(told)}
    ((count, length, unit),) = _COUNT.findall(told)
    per_s = int(count) / (float(length) * _UNITS[unit] / 1000)
    return Figures(percentiles["50"], percentiles["99"], per_s, used * _TICK_US / max(1, int(count)))


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@contextlib.contextmanager
def nginx_serving(folder: Path, files: Mapping[str, bytes]) -> Iterator[Running | None]:
    """Serve files with nginx for the length of the block, one worker; yield None without nginx."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        print("nginx is not installed: apt install nginx-light", file=sys.stderr)
        yield None
        return
    port = free_port()
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    settings = folder / "nginx.conf"
    settings.write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/log;\n"
        "events { worker_connections 256; }\n"
        "http { access_log off; keepalive_requests 100000000; default_type application/json;\n"
        + "".join(
            f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        + f"server {{ listen 127.0.0.1:{port}; root {folder}; }} }}\n"
    )
    process = subprocess.Popen([program, "-c", str(settings), "-p", str(folder)], stderr=subprocess.DEVNULL)
    try:
        time.sleep(0.5)
        yield Running(f"http://127.0.0.1:{port}", process.pid)
    finally:
        process.terminate()
        process.wait()


def sessions_in(workspace: Path) -> Iterator[str]:
    """Yield the sessions of a workspace as `bench/other_server.py` takes them."""
    for file in (workspace / "sessions").glob("*.json"):
        session = json.loads(file.read_text(encoding="utf-8"))
        said = [(one["role"], one["content"], one["timestamp"]) for one in session["messages"]]
        yield json.dumps((session["key"], said)) + "\n"


@contextlib.contextmanager
def other_serving(python: Path, name: str, folder: Path, workspace: Path) -> Iterator[Running]:
    """Serve the sessions of a workspace with another program for the length of the block."""
    folder.mkdir()
    port = free_port()
    command = [str(python), str(Path(__file__).with_name("other_server.py")), name, str(folder), str(port)]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, text=True)
        try:
            if process.stdin is not None:
                process.stdin.writelines(sessions_in(workspace))
                process.stdin.close()
            while not _listens(port):
                if process.poll() is not None:
                    sys.exit(f"{name} does not start: {(folder / 'log').read_text()[-1000:]}")
                time.sleep(0.2)
            yield Running(f"http://127.0.0.1:{port}", process.pid)
        finally:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


class LibraryProcess:
    """A library at work in its own environment, see `bench/library.py`."""

    def __init__(self, python: Path, name: str, folder: Path) -> None:
        """Start it, and wait until it is ready."""
        command = [str(python), str(Path(__file__).with_name("library.py")), name, str(folder)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self._told() != "ready":
            sys.exit(f"{name} does not start")

    def append(self, count: int) -> Figures:
        """Append so many messages to sessions in turn."""
        return self._asked({"texts": [_TEXT] * count})

    def history(self, rounds: int) -> Figures:
        """Read the last messages of a long session."""
        return self._asked({"rounds": rounds})

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

    def _asked(self, work: Mapping[str, object]) -> Figures:
        if self._process.stdin is None:
            raise RuntimeError("no way to ask")
        self._process.stdin.write(json.dumps(work) + "\n")
        self._process.stdin.flush()
        return figures_of(json.loads(self._told()))

    def _told(self) -> str:
        return "" if self._process.stdout is None else self._process.stdout.readline().strip()


def figures_of(seconds: Sequence[float]) -> Figures:
    """Return the figures of calls one after the other."""
    ordered = sorted(seconds)
    p50, p99 = statistics.median(ordered) * 1000, ordered[len(ordered) * 99 // 100] * 1000
    return Figures(p50, p99, len(ordered) / sum(ordered))


def page_rows(sessions: Sessions, key: str, count: int) -> None:
    """Fill a session."""
    for start in range(0, count, 500):
        sessions.append(key, [Draft(role="user", content=f"{_TEXT} {start + place}") for place in range(500)])


def reads_of_sqlite(path: Path, count: int) -> Callable[[], object]:
    """Return a query for the newest 50 of so many rows."""
    db = sqlite3.connect(path, check_same_thread=False)
    db.execute("CREATE TABLE sessions (id INTEGER PRIMARY KEY, title TEXT, preview TEXT, at REAL)")
    rows = [(number, f"title {number}", _TEXT, (number * 7919) % count) for number in range(count)]
    db.executemany("INSERT INTO sessions VALUES (?, ?, ?, ?)", rows)
    db.execute("CREATE INDEX by_time ON sessions(at)")
    db.commit()
    return lambda: db.execute("SELECT * FROM sessions ORDER BY at DESC LIMIT 50").fetchall()


def ripgrep(folder: Path, word: str) -> Figures:
    """Search the session files for a word, as one does without an index."""
    command = ["rg", "--files-with-matches", "--ignore-case", word, str(folder)]
    return figures_of([_run(command) for _ in range(3)])


def commands(arguments: Sequence[str], folder: Path, times: int = 5) -> Figures:
    """Run Python with these arguments, from start to end."""
    place = {"CHATKEEP_WORKSPACE": str(folder / "commands")}
    return figures_of([_run([sys.executable, *arguments], place) for _ in range(times)])


def imported(folder: Path, session_count: int, message_count: int) -> Figures:
    """Import sessions into a new workspace, with each durable; the rate is in messages."""
    file = folder / "import.jsonl"
    each = max(1, message_count // session_count)
    with file.open("w") as out:
        for number in range(session_count):
            said = [{"role": "user", "content": f"{_TEXT} {number} {place}"} for place in range(each)]
            out.write(json.dumps({"key": f"cli:{number}", "messages": said}) + "\n")
    with tempfile.TemporaryDirectory(dir=folder) as workspace:
        took = _run([sys.executable, "-m", "chatkeep", "import", str(file)], {"CHATKEEP_WORKSPACE": workspace})
    return Figures(took * 1000, took * 1000, each * session_count / took)


def _run(command: Sequence[str], more: Mapping[str, str] | None = None) -> float:
    began = time.perf_counter()
    done = subprocess.run(command, env={**os.environ, **(more or {})}, check=False, capture_output=True)
    if done.returncode > 1:
        sys.exit(f"{command}: {done.stderr[-500:]!r}")
    return time.perf_counter() - began
