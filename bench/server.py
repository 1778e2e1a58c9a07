"""Measure a server over HTTP on loopback: list, history, durable append, start, reindex, memory.

    python bench/server.py WORKSPACE [--rounds 300] [--reindex]

Make the workspace with bench/generate.py. Every figure is one client's, one request at a time, over
a kept connection; times in milliseconds: median and 99th percentile.
"""

from __future__ import annotations

import argparse
import atexit
import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

PORT = 18765
_LONGEST = "telegram:100000000"


class Client:
    """A kept connection to the server."""

    def __init__(self, token: str, port: int = PORT) -> None:
        """Take the token."""
        self._token = token
        self._connection = http.client.HTTPConnection("127.0.0.1", port)

    def request(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        """Return the status and the body of an answer."""
        return self.send(method, path, None if body is None else json.dumps(body).encode())

    def send(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        """Return the status and the body of the answer to a body of bytes."""
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read()


class Server(Client):
    """A running server and a connection to it."""

    def __init__(
        self, workspace: Path, port: int = PORT, program: Sequence[str] = ("-m", "chatkeep"), **settings: str
    ) -> None:
        """Start it with these settings, and wait until it answers; `program` is given to Python."""
        unlimited = {"CHATKEEP_RATE_LIMIT_IP": "0", "CHATKEEP_RATE_LIMIT_TOKEN": "0"}
        chosen = {f"CHATKEEP_{name.upper()}": value for name, value in settings.items()}
        self._env = {**os.environ, **unlimited, **chosen}
        self._workspace = workspace
        self.port = port
        self.token = self._made_token()
        began = time.perf_counter()
        command = [sys.executable, *program, "serve", "--workspace", str(workspace), "--port", str(port)]
        self._process = subprocess.Popen(command, env=self._env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        atexit.register(self._process.kill)  # it does not outlive a bench that fails
        while not self._answers():
            time.sleep(0.01)
        self.start_s = time.perf_counter() - began
        self.pid = self._process.pid
        super().__init__(self.token, port)

    def another(self) -> Client:
        """Return another connection to the server."""
        return Client(self.token, self.port)

    def memory_mb(self) -> float:
        """Return the resident memory of the server's process."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]

    def open_files(self) -> int:
        """Return how many descriptors the server's process has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def stop(self) -> None:
        """Stop it."""
        self._process.terminate()
        self._process.wait()

    def _made_token(self) -> str:
        command = [sys.executable, "-m", "chatkeep", "token", "create", "--scope", "admin", "--json"]
        made = subprocess.run([*command, "--workspace", str(self._workspace)], check=True, capture_output=True)
        return re.search(rb"ck_[A-Za-z0-9_-]+", made.stdout)[0].decode()  # type: ignore[index]

    def _answers(self) -> bool:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port)
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False


def measured(name: str, rounds: int, call: Callable[[int], tuple[int, bytes]]) -> None:
    """Print the median and the 99th percentile of a call."""
    times = []
    for number in range(rounds):
        began = time.perf_counter()
        status, body = call(number)
        times.append((time.perf_counter() - began) * 1000)
        if status >= 300:
            sys.exit(f"{name}: {status} {body[:200]!r}")
    ordered = sorted(times)
    print(f"{name:45} p50 {statistics.median(times):8.2f} ms   p99 {ordered[int(len(times) * 0.99)]:8.2f} ms")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--reindex", action="store_true")
    options = parser.parse_args()
    if options.reindex:
        began = time.perf_counter()
        reindex = [sys.executable, "-m", "chatkeep", "reindex", "--workspace", str(options.workspace)]
        subprocess.run(reindex, check=True)
        print(f"reindex {time.perf_counter() - began:.1f} s")
    server = Server(options.workspace)
    print(f"start {server.start_s:.2f} s, {server.memory_mb():.0f} MB")
    longest, rounds = quote(_LONGEST), options.rounds
    measured("list of 50", rounds, lambda _: server.request("GET", "/api/sessions?limit=50"))
    measured("list of 50, one channel", rounds, lambda _: server.request("GET", "/api/sessions?channel=slack"))
    history = f"/api/memory/session?limit=50&id={longest}"
    measured("history, last 50 of the longest", rounds, lambda _: server.request("GET", history))
    for key in ("bench:new", _LONGEST):
        path, said = (
            f"/api/v1/messages?session={quote(key)}",
            {"role": "user", "content": "a message of the bench " * 9},
        )
        measured(f"append to {key}", rounds, lambda _, path=path, said=said: server.request("POST", path, said))  # type: ignore[misc]
    print(f"memory {server.memory_mb():.0f} MB")
    server.stop()


if __name__ == "__main__":
    main()
