"""A real server on a workspace."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx

_UNLIMITED = {**os.environ, "CHATKEEP_RATE_LIMIT_IP": "0", "CHATKEEP_RATE_LIMIT_TOKEN": "0"}


End = Callable[["subprocess.Popen[bytes]"], None]


@contextmanager
def served(workspace: Path, plant: str = "", end: End = subprocess.Popen.terminate) -> Iterator[str]:
    """Run a server on the workspace and give its address.

    `plant` is code that it runs first, `end` how it is ended.
    """
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code = f"{plant}\nfrom chatkeep.cli import main\nmain()"
    command = [sys.executable, "-c", code, "serve", "--workspace", str(workspace), "--port", str(port)]
    server = subprocess.Popen(command, env=_UNLIMITED, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for(address)
        yield address
    finally:
        end(server)
        server.wait(timeout=20)


def _wait_for(address: str) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            httpx.get(f"{address}/health").raise_for_status()
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(address)
