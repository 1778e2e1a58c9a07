"""A program that receives webhooks on loopback: it takes, fails, hangs, drips or goes away, as it is told."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = b"0123456789abcdef0123456789abcdef"
SECRET_TEXT = f"whsec_{base64.b64encode(SECRET).decode()}"


class Receiver:
    """What came in, in order, and what to answer next: a status, `hang` or `drip`; 200 when nothing is left."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.url = ""
        self.taken: list[dict[str, Any]] = []
        self.ids: list[str] = []
        self.tries = 0
        self.answers: list[int | str] = []
        self.ended = threading.Event()

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        """Check a signature, and answer."""
        body = request.rfile.read(int(request.headers["content-length"]))
        self.tries += 1
        answer = self.answers.pop(0) if self.answers else 200
        if answer == "hang":
            self.ended.wait(20)
            return
        request.send_response(answer if isinstance(answer, int) else 200)
        if answer == 302:
            request.send_header("Location", self.url)
        if answer == "drip":
            request.flush_headers()
            while not self.ended.wait(0.05):
                request.wfile.write(b"X-Slow: 1\r\n")
            return
        request.end_headers()
        if answer == 200:
            assert request.headers["webhook-signature"] == signed(request.headers, body)
            self.ids.append(request.headers["webhook-id"])
            self.taken.append(json.loads(body))

    def told(self) -> list[tuple[Any, ...]]:
        """Return each taken request: its type, key and last seq."""
        return [(one["type"], one["data"].get("key"), one["data"].get("last_seq")) for one in self.taken]


def signed(headers: Mapping[str, str] | Message, body: bytes) -> str:
    """Return the signature as Standard Webhooks makes it."""
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    return f"v1,{base64.b64encode(hmac.digest(SECRET, content, hashlib.sha256)).decode()}"


@contextmanager
def receiving(port: int = 0) -> Iterator[Receiver]:
    """Hand over a receiver that listens."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.handle(self)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass

    with Server(("127.0.0.1", port), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}/hook?x=1"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield receiver
        receiver.ended.set()
        server.shutdown()
