"""Measure chats that stream at once: what Chatkeep adds to each token, and what lists feel of it.

    python bench/chat.py [--chats 100] [--words 100] [--pause 0.05]

A model server (that of the tests) sends each word with its time of sending after a pause; the chats hear
them directly, and then through Chatkeep. The delay of a token is from its sending to its hearing, on one
clock of one machine; what Chatkeep adds is the difference of the two. Beside the chats one client lists
sessions, fifty times a second. Times in milliseconds: median, 99th percentile, largest.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from server import PORT, Client, Server

_ROOT = Path(__file__).parents[1]
_LIST_PAUSE_S = 0.02
_WARM_S = 1.0
_BETWEEN_STARTS_S = 0.01
_TIME = re.compile(rb'"(?:content|text)":"([0-9.]+) ')


async def heard(number: int, port: int, path: str, body: object, token: str = "") -> list[float]:
    """Return the delays of the tokens of one answer. It is read by hand: what reads costs time as well."""
    await asyncio.sleep(number * _BETWEEN_STARTS_S)
    encoded = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(encoded)}\r\n\r\n".encode() + encoded)
    delays = [time.time() - float(found[1]) async for line in reader if (found := _TIME.search(line))]
    writer.close()
    return delays


async def heard_directly(model_port: int, chats: int) -> list[float]:
    """Return the delays of all tokens without Chatkeep."""
    body = {"model": "small-model", "stream": True, "messages": [{"role": "user", "content": "Go"}]}
    answers = await asyncio.gather(
        *(heard(number, model_port, "/v1/chat/completions", body) for number in range(chats))
    )
    return [delay for delays in answers for delay in delays]


async def heard_through(chats: int, token: str) -> list[float]:
    """Return the delays of all tokens through Chatkeep."""
    bodies = [{"message": "Go", "session_key": f"bench:{number}:{time.time_ns()}"} for number in range(chats)]
    answers = await asyncio.gather(
        *(heard(number, PORT, "/api/v1/chat/stream", body, token) for number, body in enumerate(bodies))
    )
    return [delay for delays in answers for delay in delays]


def listed(token: str) -> list[float]:
    """Return how long lists took, one after the other, until this process is told to stop."""
    times: list[float] = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(print(json.dumps(times))))
    client = Client(token)
    while True:
        began = time.perf_counter()
        status, _ = client.request("GET", "/api/sessions?limit=50")
        times.append(time.perf_counter() - began)
        assert status == 200, "no list"  # noqa: S101
        time.sleep(_LIST_PAUSE_S)


@contextmanager
def beside(what: str, token: str) -> Iterator[None]:
    """Let another process list sessions meanwhile, and print what it felt."""
    lister = subprocess.Popen([sys.executable, __file__, "--list-with", token], stdout=subprocess.PIPE)
    time.sleep(_WARM_S)
    yield
    lister.terminate()
    _tell(what, json.loads(lister.communicate()[0]))


def measure(chosen: argparse.Namespace, model_port: int, server: Server) -> None:
    """Print what the chats hear, directly and through Chatkeep."""
    token, pid = server.token, server.pid
    asyncio.run(heard_through(1, token))  # what is loaded once is loaded
    with beside("list, nobody chats", token):
        time.sleep(2)
    near = asyncio.run(heard_directly(model_port, chosen.chats))
    _tell("token, directly", near)
    with beside("list, beside the chats", token):
        before_s = _processor_s(pid)
        far = asyncio.run(heard_through(chosen.chats, token))
        spent_ms = (_processor_s(pid) - before_s) * 1000
    _tell("token, through Chatkeep", far)
    assert len(far) == len(near) == chosen.chats * chosen.words, "a token was lost"  # noqa: S101
    print(f"processor time of the server for a token, lists included: {spent_ms / len(far):.2f} ms")
    print(f"added at the 99th percentile: {(_percentile(far, 99) - _percentile(near, 99)) * 1000:.1f} ms")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chats", type=int, default=100)
    parser.add_argument("--words", type=int, default=100, help="of each answer")
    parser.add_argument("--pause", type=float, default=0.05, help="seconds before each word")
    parser.add_argument("--list-with", metavar="TOKEN", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.list_with:
        listed(chosen.list_with)
    told = ["--words", str(chosen.words), "--pause", str(chosen.pause), "--clock"]
    model = subprocess.Popen(
        [sys.executable, "-m", "tests.chat.upstream", *told], cwd=_ROOT, stdout=subprocess.PIPE, text=True
    )
    assert model.stdout is not None  # noqa: S101
    url = model.stdout.readline().strip()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), model_url=url, model="small-model")
        try:
            measure(chosen, int(url.split(":")[2].split("/")[0]), server)
        finally:
            server.stop()
            model.terminate()
            model.wait(20)


def _processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _tell(what: str, times: Sequence[float]) -> None:
    median, late, largest = statistics.median(times), _percentile(times, 99), max(times)
    print(f"{what:26} {median * 1000:7.1f} {late * 1000:7.1f} {largest * 1000:7.1f}   ({len(times)})")


def _percentile(times: Sequence[float], percent: int) -> float:
    return statistics.quantiles(times, n=100)[percent - 1]


if __name__ == "__main__":
    main()
