"""Measure what greedy clients cost the others: one client's calls alone, and beside each kind of attack.

    python bench/greedy.py WORKSPACE [--rounds 300]

Make the workspace with bench/generate.py. For each kind: the 99th percentile of the client's calls before
and during it, in milliseconds, their ratio, and by how much the server's memory and open files have grown.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import socket
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Final

from server import Client, Server

_HEAD: Final = b"%b HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %b\r\nContent-Type: application/json\r\n"
_POST: Final = b"POST /api/v1/messages?session=bench:greedy"
_CHUNK: Final = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
_GB: Final = 1 << 30

Attack = Callable[[socket.socket, Event], None]
_FORK: Final = multiprocessing.get_context("fork")


def _dripping(first: bytes, piece: bytes) -> Attack:
    def attack(connection: socket.socket, over: Event) -> None:
        connection.sendall(first)
        while piece and not over.wait(1):
            connection.sendall(piece)
        over.wait()

    return attack


def _pouring(first: bytes, piece: bytes, size: int) -> Attack:
    def attack(connection: socket.socket, over: Event) -> None:
        connection.sendall(first)
        for _ in range(size // len(piece)):
            connection.sendall(piece)
            if over.is_set():
                return

    return attack


def kinds(token: bytes) -> Iterator[tuple[str, int, Attack]]:
    """Yield each kind of greed: its name, how many connections, what each of them does."""
    post = _HEAD % (_POST, token)
    yield "nothing", 0, _dripping(b"", b"")
    yield "500 slow heads", 500, _dripping(b"GET /health HTTP/1.1\r\nHost: localhost\r\n", b"X-A: b\r\n")
    yield "500 slow bodies", 500, _dripping(post + b"Content-Length: 1000\r\n\r\n", b"x")
    yield "500 slow bodies of strangers", 500, _dripping(_HEAD % (_POST, b"x") + b"Content-Length: 1000\r\n\r\n", b"x")
    yield "1000 idle connections", 1000, _dripping(b"", b"")
    yield "1500 idle connections", 1500, _dripping(b"", b"")
    yield "100 exports, not read", 100, _dripping(_HEAD % (b"GET /api/v1/export", token) + b"\r\n", b"")
    yield "a chunked body of 1 GB", 1, _pouring(post + b"Transfer-Encoding: chunked\r\n\r\n", _CHUNK, _GB)
    yield "a body of 1 GB", 1, _pouring(post + b"Content-Length: %d\r\n\r\n" % _GB, b"x" * 0x10000, _GB)
    yield "20 heads of 200 kB", 20, _pouring(b"GET /health HTTP/1.1\r\nX-A: ", b"x" * 1000, 200_000)
    yield "20 times 2000 pipelined", 20, _pouring(b"", b"GET /docs HTTP/1.1\r\nHost: localhost\r\n\r\n", 80_000)
    search = _HEAD % (b"GET /api/sessions/search?q=why+does+it+fail", token) + b"\r\n"
    yield "20 times 50 searches", 20, _pouring(b"", search, 50 * len(search))


@contextlib.contextmanager
def attacked(port: int, count: int, attack: Attack) -> Iterator[None]:
    """Attack from so many connections, which are opened anew when they are closed."""
    over = _FORK.Event()
    attacker = _FORK.Process(target=_attack, args=(port, count, attack, over))  # whose work is not the client's
    attacker.start()
    time.sleep(1)
    yield
    over.set()
    attacker.join(40)


def _attack(port: int, count: int, attack: Attack, over: Event) -> None:
    def keep_on() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
                attack(connection, over)
            over.wait(0.1)

    threading.stack_size(1 << 18)
    threads = [threading.Thread(target=keep_on) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def p99_ms(client: Client, rounds: int) -> float:
    """Return the 99th percentile of a mix of calls; a refused one is a failure of the benchmark."""
    times = []
    said = {"role": "user", "content": "a message of the bench " * 9}
    for _ in range(rounds):
        for method, path, body in (
            ("GET", "/api/sessions?limit=50", None),
            ("POST", "/api/v1/messages?session=bench:new", said),
            ("GET", "/api/memory/session?id=bench:new", None),
        ):
            began = time.perf_counter()
            status, answer = client.request(method, path, body)
            times.append((time.perf_counter() - began) * 1000)
            if status >= 300:
                raise RuntimeError(f"{method} {path}: {status} {answer[:200]!r}")
    return sorted(times)[int(len(times) * 0.99)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--rounds", type=int, default=300)
    options = parser.parse_args()
    server = Server(options.workspace)
    p99_ms(server, 30)
    for name, count, attack in kinds(server.token.encode()):
        memory, files, before = server.memory_mb(), server.open_files(), p99_ms(server.another(), options.rounds)
        with attacked(server.port, count, attack):
            during, grown = p99_ms(server.another(), options.rounds), server.memory_mb() - memory
        time.sleep(1)
        print(
            f"{name:30} p99 {before:7.2f} -> {during:7.2f} ms ({during / before:4.1f} x)  memory {grown:+4.0f} MB,"
            f" after {server.memory_mb() - memory:+4.0f} MB  files after {server.open_files() - files:+d}",
            flush=True,
        )
    server.stop()


if __name__ == "__main__":
    main()
