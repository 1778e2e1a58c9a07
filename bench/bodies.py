"""Measure the memory that bodies take while the model is silent, and after their clients have gone.

    python bench/bodies.py [--calls 200] [--megabytes 10] [--waves 5] [--text ascii] [--body-memory BYTES]

A model server takes requests whole and says nothing. Each wave sends so many calls at once through Chatkeep, waits
until every one is with the model or refused with 503, and then all clients leave. Printed for each wave: how many were
passed on and refused, the resident memory of the server and the processes beside it at its most, while the model is
silent, and as it settles within ten seconds of the end. The exit code is 1 when the last is more than 30 MB above the
start of the first wave, or the most is above the start, the setting and 100 MB.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from server import PORT, Server

_MB = 1 << 20
_LEFT_MAX = 30 * _MB  # above the start, ten seconds after the end
_BESIDE_MAX = 100 * _MB  # beside the setting: connections, the index, what the allocator keeps
_SETTLED_S = 10.0
_PATIENCE_S = 600.0
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_TEXTS = {"ascii": "The quick brown fox. ", "emoji": "Fox \U0001f98a runs. ", "cjk": "\u6f22\u5b57\u4ed6\u5011 "}


class SilentModel:
    """A model server that takes requests and never answers."""

    def __init__(self) -> None:
        """Begin without any."""
        self.taken = 0

    async def start(self) -> str:
        """Listen, and return the base URL."""
        self._server = await asyncio.start_server(self._visit, "127.0.0.1", 0, limit=1 << 18, backlog=1024)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            rest = int(_LENGTH.search(head)[1])  # type: ignore[index]
            while rest:
                piece = await reader.read(min(rest, 1 << 18))
                if not piece:
                    return
                rest -= len(piece)
            self.taken += 1
            await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


class Call:
    """A client that sends one call and waits."""

    def __init__(self, token: str, key: str, body: bytes) -> None:
        """Take what it sends."""
        self.status = 0
        self._head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
            f"X-Session-Key: {key}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode()
        self._body = body

    async def run(self) -> None:
        """Send, and take note of the status when one comes; leave when cancelled."""
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
        try:
            writer.write(self._head)
            for start in range(0, len(self._body), 1 << 18):
                writer.write(self._body[start : start + (1 << 18)])
                await writer.drain()
            line = await reader.readline()
            self.status = int(line.split()[1]) if line else -1
        except ConnectionError:
            self.status = -1
        finally:
            writer.transport.abort()


def body_of(megabytes: int, text: str) -> bytes:
    """Return a request of about that size, in messages of about 64 KiB."""
    said = _TEXTS[text] * ((1 << 16) // len(_TEXTS[text].encode()))
    messages = [{"role": ("user", "assistant")[n % 2], "content": f"{n} {said}"} for n in range(megabytes * 15)]
    return json.dumps({"model": "small-model", "messages": messages}, ensure_ascii=False).encode()


def processes(pid: int) -> list[int]:
    """Return a server's process and those that it started."""
    children = [path.read_text("ascii").split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [pid, *(int(child) for some in children for child in some)]


def resident(pid: int, row: str = "VmRSS") -> int:
    """Return the memory that a server and its processes hold, or with `VmHWM` the sum of the most that each held."""
    told = (Path(f"/proc/{one}/status").read_text("ascii") for one in processes(pid))
    rows = (re.search(rf"{row}:\s+(\d+)", status) for status in told)
    return sum(int(found[1]) << 10 for found in rows if found)


def forget_peak(pid: int) -> None:
    """Begin to measure the most that each process holds anew."""
    for one in processes(pid):
        Path(f"/proc/{one}/clear_refs").write_text("5", encoding="ascii")


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until it is so, but not for ever."""
    deadline = time.perf_counter() + _PATIENCE_S
    while not is_so() and time.perf_counter() < deadline:  # noqa: ASYNC110 - two things are waited for
        await asyncio.sleep(0.05)


async def wave(server: Server, model: SilentModel, name: str, body: bytes, count: int) -> tuple[int, int]:
    """Send the calls, and return the most memory and that of ten seconds after the end."""
    forget_peak(server.pid)
    model.taken, began = 0, time.perf_counter()
    calls = [Call(server.token, f"{name}:{number}", body) for number in range(count)]
    tasks = [asyncio.create_task(call.run()) for call in calls]
    await until(lambda: model.taken + sum(call.status != 0 for call in calls) >= count)
    sent_s = time.perf_counter() - began
    refused = sum(call.status == 503 for call in calls)
    odd = {call.status for call in calls} - {0, 503}
    await asyncio.sleep(2)
    silent = resident(server.pid)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(_SETTLED_S)
    most, left = resident(server.pid, "VmHWM"), resident(server.pid)
    print(
        f"{name}: {model.taken} passed on, {refused} refused in {sent_s:.1f} s; memory at most {most / _MB:.0f} MiB, "
        f"while silent {silent / _MB:.0f}, ten seconds after {left / _MB:.0f}{f'; odd: {odd}' if odd else ''}",
        flush=True,
    )
    return most, left


async def measure(chosen: argparse.Namespace, folder: Path) -> bool:
    """Run the waves, and tell whether the memory stayed within bounds."""
    model = SilentModel()
    server = Server(folder, model_url=await model.start(), durability="os", body_memory=str(chosen.body_memory))
    try:
        body = body_of(chosen.megabytes, chosen.text)
        await asyncio.sleep(3)  # until the processes beside it are ready
        before = resident(server.pid)
        print(f"start: {before / _MB:.0f} MiB", flush=True)
        figures = [await wave(server, model, f"wave {n}", body, chosen.calls) for n in range(1, chosen.waves + 1)]
    finally:
        server.stop()
    within = max(most for most, _ in figures) <= before + chosen.body_memory + _BESIDE_MAX
    return within and max(left for _, left in figures) <= before + _LEFT_MAX


def main() -> None:
    """Print a line for each wave."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--megabytes", type=int, default=10, help="of each call")
    parser.add_argument("--waves", type=int, default=5)
    parser.add_argument("--text", choices=_TEXTS, default="ascii")
    parser.add_argument("--body-memory", type=int, default=1 << 30, help="the server's setting, in bytes")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(0 if asyncio.run(measure(chosen, Path(folder))) else 1)


if __name__ == "__main__":
    main()
