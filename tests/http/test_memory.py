"""No body makes the server's memory grow much: measured from outside, in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

GROWTH_BYTES_MAX = 50 << 20
MANY = 3_000_000
JSON = {"Content-Type": "application/json"}
APPEND = "/api/v1/messages?session=a"
BODIES = [
    (APPEND, b"[" + b"{}," * MANY + b"{}]"),
    (APPEND, b'{"role":"user","content":[' + b"{}," * MANY + b"{}]}"),
    (APPEND, b'{"role":"user","content":"x","metadata":{"a":[' + b"[]," * MANY + b"[]]}}"),
    (APPEND, b'{"role":"user","content":"x","metadata":{"a":[' + b'{"a":{}},' * 300_000 + b"{}]}}"),
    (APPEND, b'{"role":"user","content":"x","tool_calls":[' + b"{}," * MANY + b"{}]}"),
    (APPEND, b'{"role":"user","content":"x","colour":[' + b"{}," * MANY + b"{}]}"),
    (APPEND, b'{"role":"user","content":"' + "🎉".encode() + b"x" * 17_000_000 + b'"}'),
    (APPEND, b"[" + b'{"role":"user","content":"' + "🎉".encode() + b"x" * 17_000_000 + b'"}]'),
    (APPEND, b'["' + b'","' * MANY + b'"]'),
    ("/api/v1/import?format=json", b'["' + b'","' * MANY + b'"]'),
    ("/api/sessions/a/title", b"[" + b"{}," * MANY + b"{}]"),
    ("/api/sessions/a/title", b'{"title":[' + b"{}," * MANY + b"{}]}"),
    ("/api/v1/sessions/delete", b'{"keys":[' + b"{}," * MANY + b"{}]}"),
    ("/api/v1/import?format=json", b"[" + b"{}," * MANY + b"{}]"),
    ("/api/v1/import?format=json", b"[" + b"1," * MANY + b"1]"),
    ("/api/v1/import?format=jsonl", b"{}\n" * MANY),
    ("/api/v1/import?format=json", b'{"key":"a","messages":[],"metadata":{"a":[' + b"{}," * MANY + b"{}]}}"),
    ("/api/v1/import?format=json", b'{"key":"a","messages":[],"metadata":{"a":[' + b'{"a":1},' * 99_000 + b"{}]}}"),
]


class Process:
    """A server in a process of its own."""

    def __init__(self, workspace: Path) -> None:
        """Start it, and read from what it says where it is and who may come in."""
        rates = {"CHATKEEP_RATE_LIMIT_IP": "0", "CHATKEEP_RATE_LIMIT_TOKEN": "0"}
        command = [sys.executable, "-m", "chatkeep", "serve", "--port", "0", "--durability", "none"]
        self._process = subprocess.Popen(
            [*command, "--workspace", str(workspace)],
            env=os.environ | rates,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
        )
        self.url = self._said(r"Listening on (\S+)")
        self.token = self._said(r"(ck_\S+)")

    def _said(self, pattern: str) -> str:
        assert self._process.stdout is not None
        found = next(filter(None, (re.search(pattern, line) for line in self._process.stdout)))
        return found[1]

    def resident_bytes(self, row: str) -> int:
        """Return the memory that the process holds (`VmRSS`), or the most that it held (`VmHWM`)."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(re.search(rf"{row}:\s+(\d+)", status)[1]) << 10  # type: ignore[index]

    def forget_peak(self) -> int:
        """Begin to measure the most that it holds anew, and return what it holds now."""
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")
        return self.resident_bytes("VmRSS")

    def post(self, path: str, body: bytes) -> int:
        """Return the status that a body is answered with."""
        headers = {"Authorization": f"Bearer {self.token}", **JSON}
        return httpx.post(self.url + path, content=body, headers=headers, timeout=60).status_code

    def stop(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.communicate(timeout=20)


@contextmanager
def running_process(workspace: Path) -> Iterator[Process]:
    """A fresh server that has answered once."""
    process = Process(workspace)
    for _ in range(100):
        try:
            assert process.post(APPEND, b'{"role":"user","content":"x"}') == 201
            break
        except httpx.ConnectError:
            time.sleep(0.1)
    try:
        yield process
    finally:
        process.stop()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    """A server in a process of its own."""
    with running_process(tmp_path) as process:
        yield process


def test_sending_many_small_values_leaves_memory_alone(process: Process) -> None:
    """Every such body is refused, and all of them one by one leave less than 50 MB behind."""
    before = process.resident_bytes("VmRSS")
    for path, body in BODIES:
        answered = process.post(path, body)
        assert answered in {200, 413, 422}
        assert 422 == process.post(APPEND, b"{}")  # what an error still held goes with the next request
        assert process.resident_bytes("VmRSS") - before < GROWTH_BYTES_MAX


@pytest.mark.parametrize("number", [0, 3, 11])
def test_sending_8_such_bodies_at_once_leaves_memory_alone(number: int, process: Process) -> None:
    """Large bodies wait for one another outside of the memory."""
    before = process.resident_bytes("VmRSS")
    with ThreadPoolExecutor(8) as threads:
        answered = set(threads.map(lambda _: process.post(*BODIES[number]), range(8)))
    assert answered == {422}
    assert process.resident_bytes("VmRSS") - before < GROWTH_BYTES_MAX
