"""Measure what other clients notice of texts that are made to take long.

    python bench/hostile.py WORKSPACE [--rounds 3] [--kinds marks-1 marks-16 others together] [--at-once 2]

Make the workspace with bench/generate.py; it grows by what is sent. One client, in a process of its own, appends,
lists, reads and searches: alone, while other processes send, and alone again, so that both meet the same machine and
the same number of messages. What it searches for stands in as many messages all the time. The other processes have
started before it measures. Sent are 20 messages of marks that are slow to put in order, at 1 MiB and at 16 MiB, and
200 of all other kinds (tests/linear/kinds.py) at 256 KiB; `together` sends the 20 of 16 MiB at once, and the 200
behind them. Printed are medians over the rounds: of the client's 50th and 99th percentile alone and beside, in
milliseconds, of their ratios, and how long what was sent took.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).parent.parent))

from server import Client, Server
from tests.linear.kinds import KINDS

_MARKS = "\u0315\u0300\u0327"
_OTHERS = 200
_OTHER_CHARS = 1 << 18
_FOUND = 2000  # messages with what the client searches for
_ROUNDS_ALONE = 300
_ROUNDS_MIN = 100
_PROCESSES = multiprocessing.get_context("spawn")

Times = dict[str, list[float]]
_T = TypeVar("_T")


def times_of(client: Client, goes_on: Callable[[int], bool]) -> Times:
    """Return how long each of a client's requests took, in milliseconds, round after round."""
    taken: Times = {}
    for number in itertools.count():
        if not goes_on(number):
            return taken
        key = f"bench:{number % 10}"
        said = {"role": "user", "content": f"a word of the day {number}"}
        for what, asked in (
            ("append", ("POST", f"/api/v1/messages?session={key}", said)),
            ("list", ("GET", "/api/sessions?limit=50")),
            ("history", ("GET", f"/api/memory/session?id={key}&limit=50")),
            ("search", ("GET", "/api/sessions/search?q=quick%20fox")),
        ):
            began = time.perf_counter()
            status, answer = client.request(*asked)
            if status >= 300:
                sys.exit(f"{what}: {status} {answer[:200]!r}")
            taken.setdefault(what, []).append((time.perf_counter() - began) * 1000)
    raise AssertionError


def _rounds(count: int) -> Callable[[int], bool]:
    return lambda number: number < count


def client_beside(token: str, begun: Event, ended: Event, done: Queue[Times]) -> None:
    """Be the client while others send; they begin with it."""
    begun.set()
    done.put(times_of(Client(token), lambda number: number < _ROUNDS_MIN or not ended.is_set()))


def client_alone(token: str, done: Queue[Times]) -> None:
    """Be the client alone."""
    done.put(times_of(Client(token), _rounds(_ROUNDS_ALONE)))


def send(token: str, name: str, bodies: Sequence[tuple[int, bytes]], begun: Event, done: Queue[list[float]]) -> None:
    """Send these messages one after the other, and tell how many seconds each took; before, tell of being ready."""
    client, taken = Client(token), []
    done.put([])
    begun.wait()
    for number, body in bodies:
        began = time.perf_counter()
        try:
            status, answer = client.send("POST", f"/api/v1/messages?session=hostile:{name}:{number}", body)
        except OSError as error:  # refused before the body was taken
            client, status, answer = Client(token), 503, repr(error).encode()
        taken.append(time.perf_counter() - began)
        if status >= 500 or status == 408:
            print(f"  {name} {number}: {status} {answer[:200]!r}")
    done.put(taken)


def started(work: Callable[..., None], *given: object) -> Queue[_T]:
    """Return where a new process tells what it measured."""
    done: Queue[_T] = _PROCESSES.Queue()
    _PROCESSES.Process(target=work, args=(*given, done), daemon=True).start()
    return done


def body_of(text: str) -> bytes:
    """Return the body of an append, of what can be stored of a text."""
    plain = text.encode(errors="replace").decode().replace("\0", "")
    return json.dumps({"role": "user", "content": plain}, ensure_ascii=False).encode()


def marks(mebibytes: int) -> list[bytes]:
    """Return 20 bodies of marks that are slow to put in order."""
    return [body_of("a" + _MARKS * (((mebibytes << 20) - 1000) // len(_MARKS.encode())))] * 20


def others() -> list[bytes]:
    """Return 200 bodies of all other kinds."""
    kinds = itertools.cycle(kind for name, kind in KINDS.items() if name != "marks of mixed classes")
    return [body_of(kind(_OTHER_CHARS)) for kind in itertools.islice(kinds, _OTHERS)]


def together() -> list[bytes]:
    """Return the long marks, and all other kinds behind them."""
    return [*marks(16), *others()]


_SENT: dict[str, Callable[[], list[bytes]]] = {
    "marks-1": lambda: marks(1),
    "marks-16": lambda: marks(16),
    "others": others,
    "together": together,
}


def compared(server: Server, name: str, bodies: Iterable[bytes], at_once: int) -> tuple[Times, Times, list[float]]:
    """Return a client's times alone, before and behind, and beside what is sent, and how long that took."""
    numbered = [(int(time.time() * 1000) + number, body) for number, body in enumerate(bodies)]
    begun, ended = _PROCESSES.Event(), _PROCESSES.Event()
    parts = (numbered[place::at_once] for place in range(at_once))
    senders: list[Queue[list[float]]] = [started(send, server.token, name, part, begun) for part in parts]
    for sender in senders:
        sender.get()  # ready
    alone: Times = started(client_alone, server.token).get()
    client: Queue[Times] = started(client_beside, server.token, begun, ended)
    taken = [one for sender in senders for one in sender.get()]
    ended.set()
    beside = client.get()
    behind: Times = started(client_alone, server.token).get()
    return {what: alone[what] + behind[what] for what in alone}, beside, taken


def put_what_is_found(server: Server) -> None:
    """Store the messages that the client searches for."""
    for first in range(0, _FOUND, 100):
        said = [{"role": "user", "content": f"the quick brown fox {first + place}"} for place in range(100)]
        status, answer = server.request("POST", f"/api/v1/messages?session=found:{first % 10}", said)
        if status >= 300:
            sys.exit(f"found: {status} {answer[:200]!r}")


def percentiles(taken: Sequence[float]) -> tuple[float, float]:
    """Return median and 99th percentile."""
    return statistics.median(taken), statistics.quantiles(taken, n=100)[98]


def tell(rounds: Sequence[tuple[Times, Times, list[float]]]) -> None:
    """Print medians over the rounds."""
    sent = [one for _, _, taken in rounds for one in taken]
    print(f"  sent {len(sent)}: median {statistics.median(sent):.2f} s, longest {max(sent):.2f} s")
    for what in rounds[0][0]:
        pairs = [(percentiles(alone[what]), percentiles(beside[what])) for alone, beside, _ in rounds]
        count = sum(len(beside[what]) for _, beside, _ in rounds)
        line = f"  {what:8} n={count:5}"
        for place, percentile in enumerate(("p50", "p99")):
            before, after = ([pair[side][place] for pair in pairs] for side in (0, 1))
            ratios = [high / low for low, high in zip(before, after, strict=True)]
            line += (
                f"  {percentile} {statistics.median(before):6.1f} -> {statistics.median(after):6.1f}"
                f" {statistics.median(ratios):5.2f}x"
            )
        print(line, " p99 ratios", *(f"{high[1] / low[1]:.2f}" for low, high in pairs), flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kinds", nargs="+", choices=[*_SENT], default=[*_SENT])
    parser.add_argument("--at-once", type=int, default=2, help="senders")
    given = parser.parse_args()
    server = Server(given.workspace or Path(tempfile.mkdtemp()) / "workspace")
    put_what_is_found(server)
    started(client_alone, server.token).get()  # warm
    for name in given.kinds:
        bodies = _SENT[name]()
        print(name, flush=True)
        at_once = 20 if name == "together" else given.at_once
        tell([compared(server, name, bodies, at_once) for _ in range(given.rounds)])
    print(f"memory at the end: {server.memory_mb():.0f} MB")
    server.stop()


if __name__ == "__main__":
    main()
