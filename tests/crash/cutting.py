"""A proxy that cuts connections: sometimes before a request has arrived, more often after it was carried out."""

from __future__ import annotations

import random
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Final, Literal

_CHUNK_BYTES: Final = 65536
_PATIENCE_S: Final = 30.0
Cut = Literal["reply", "half a reply", "request", "nothing"]
_CUTS: Final[dict[Cut, int]] = {"reply": 5, "half a reply": 2, "request": 1, "nothing": 2}


class CuttingProxy:
    """Carries one request and its answer on each connection, or not all of it. `cuts` counts what was cut."""

    def __init__(self, target: tuple[str, int], seed: int) -> None:
        """Listen on a port of this machine for what goes to the target."""
        self._target = target
        self._dice = random.Random(seed)  # noqa: S311 - repeatable
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "http://{}:{}".format(*self._listener.getsockname())
        self.cuts: Counter[Cut] = Counter()
        self._guard = threading.Lock()

    def run(self) -> None:
        """Serve each connection in a thread of its own until the listener is closed."""
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _carry(self, client: socket.socket) -> None:
        with self._guard:
            (cut,) = self._dice.choices([*_CUTS], [*_CUTS.values()])
            self.cuts[cut] += 1
        with suppress(OSError), closing(client):
            client.settimeout(_PATIENCE_S)
            request = _message(client)
            if cut == "request":
                request = request[: len(request) // 2]
            with socket.create_connection(self._target, timeout=_PATIENCE_S) as server:
                server.sendall(request)
                if cut == "request":
                    return
                answer = _message(server)  # it is whole: what was asked for is done
            client.sendall({"reply": b"", "half a reply": answer[: len(answer) // 2]}.get(cut, answer))


def _message(source: socket.socket) -> bytes:
    """Return a request or an answer: its head, and as much body as that says."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _received(source)
    head, _, body = data.partition(b"\r\n\r\n")
    fields = [line.lower().partition(b":") for line in head.split(b"\r\n")[1:]]
    size = next((int(value) for name, _, value in fields if name == b"content-length"), 0)
    while len(body) < size:
        body += _received(source)
    return head + b"\r\n\r\n" + body


def _received(source: socket.socket) -> bytes:
    data = source.recv(_CHUNK_BYTES)
    if not data:
        raise ConnectionError
    return data


@contextmanager
def cutting_proxy(target: tuple[str, int], seed: int) -> Iterator[CuttingProxy]:
    """Run a proxy."""
    proxy = CuttingProxy(target, seed)
    thread = threading.Thread(target=proxy.run, daemon=True)
    thread.start()
    yield proxy
    proxy.close()
    thread.join()
