"""Measure what other clients notice of texts that are made to take long.

    python bench/hostile.py WORKSPACE [--rounds 200] [--largest 16]

Make the workspace with bench/generate.py; it grows by what is sent. One client appends, lists, reads and searches,
alone and while others send, two at a time: 20 messages of marks that are slow to put in order, at 1 MiB and at the
largest, and then 200 of all other kinds (tests/linear/kinds.py) at 256 KiB. Printed are the client's times alone,
median and 99th percentile in milliseconds, how many times as long they are beside those, and how long these took.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from server import Server
from tests.linear.kinds import KINDS

_MARKS = "\u0315\u0300\u0327"
_SENDERS = 2
_OTHERS = 200
_OTHER_CHARS = 1 << 18
_NOBODY_S = 4.0


def times_of(server: Server, until: threading.Event, rounds: int, name: str) -> dict[str, list[float]]:
    """Return how long each of a client's requests took, until the event is set, and so many rounds at least."""
    client = server.another()
    taken: dict[str, list[float]] = {}
    for number in itertools.count():
        if number >= rounds and until.is_set():
            return taken
        said = {"role": "user", "content": f"the quick brown fox {number}"}
        for what, asked in (
            ("append", ("POST", f"/api/v1/messages?session=bench:{number % 10}:{name.replace(' ', '-')}", said)),
            ("list", ("GET", "/api/sessions?limit=50")),
            ("history", ("GET", f"/api/memory/session?id=bench:{number % 10}:{name.replace(' ', '-')}&limit=50")),
            ("search", ("GET", "/api/sessions/search?q=quick%20fox")),
        ):
            began = time.perf_counter()
            status, answer = client.request(*asked)
            if status >= 300:
                raise SystemExit(f"{what}: {status} {answer[:200]!r}")
            taken.setdefault(what, []).append((time.perf_counter() - began) * 1000)
    return taken


def sent(server: Server, bodies: Sequence[bytes], name: str) -> list[float]:
    """Send messages, two at a time, and return how many seconds each took."""
    left: Iterator[tuple[int, bytes]] = iter(enumerate(bodies))
    lock, taken = threading.Lock(), []

    def send() -> None:
        client = server.another()
        while True:
            with lock:
                number, body = next(left, (0, b""))
            if not body:
                return
            began = time.perf_counter()
            path = f"/api/v1/messages?session=hostile:{number}:{name.replace(' ', '-')}"
            status, answer = client.request("POST", path, json.loads(body))
            taken.append(time.perf_counter() - began)
            if status >= 500 or status == 408:
                print(f"  {name} {number}: {status} {answer[:200]!r}")

    threads = [threading.Thread(target=send) for _ in range(_SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return taken


def summary(taken: Sequence[float]) -> tuple[float, float]:
    """Return median and 99th percentile."""
    return statistics.median(taken), statistics.quantiles(taken, n=100)[98]


def body_of(text: str) -> bytes:
    """Return the body of an append, of what can be stored of a text."""
    plain = text.encode(errors="replace").decode().replace("\0", "")
    return json.dumps({"role": "user", "content": plain}, ensure_ascii=False).encode()


def measure(server: Server, name: str, bodies: Sequence[bytes], rounds: int, alone: dict[str, list[float]]) -> None:
    """Print what a client notices while the bodies are sent."""
    done = threading.Event()
    slowest: list[float] = []

    def send() -> None:
        slowest.extend(sent(server, bodies, name))
        done.set()

    sender = threading.Thread(target=send)
    sender.start()
    beside = times_of(server, done, rounds // 10, name)
    sender.join()
    print(f"{name}: {len(slowest)} sent, median {statistics.median(slowest):.2f} s, longest {max(slowest):.2f} s")
    for what, taken in beside.items():
        (median, last), (median_alone, last_alone) = summary(taken), summary(alone[what])
        print(
            f"  {what:8} n={len(taken):4} p50 {median:7.1f} ({median / median_alone:.2f}x)"
            f"  p99 {last:7.1f} ({last / last_alone:.2f}x)  longest {max(taken):.0f}"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--largest", type=int, default=16, help="MiB")
    given = parser.parse_args()
    workspace = given.workspace or Path(tempfile.mkdtemp()) / "workspace"
    server = Server(workspace)
    idle = threading.Event()
    idle.set()
    times_of(server, idle, given.rounds // 4, "warm")
    alone = times_of(server, idle, given.rounds, "alone")
    for what, taken in alone.items():
        print("alone {:8} n={} p50 {:.1f} ms  p99 {:.1f} ms".format(what, len(taken), *summary(taken)))
    for mebibytes in (1, given.largest):
        text = "a" + _MARKS * (((mebibytes << 20) - 1000) // len(_MARKS.encode()))
        measure(server, f"marks of {mebibytes} MiB", [body_of(text)] * 20, given.rounds, alone)
    kinds = itertools.cycle(kind for name, kind in KINDS.items() if name != "marks of mixed classes")
    others = [body_of(kind(_OTHER_CHARS)) for kind in itertools.islice(kinds, _OTHERS)]
    measure(server, "other kinds", others, given.rounds, alone)
    print(f"memory at the end: {server.memory_mb():.0f} MB")
    server.stop()


if __name__ == "__main__":
    main()
