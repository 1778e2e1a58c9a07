"""An append whose answer was lost is sent again by the client, and is stored once.

A proxy between client and server drops answers after the work is done, and now and then a request
before. `CHATKEEP_CRASH_RETRIES` says how many appends are to be left in doubt.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from chatkeep.client import Client
from chatkeep.errors import UnreachableError
from chatkeep.store.files.store import FilesStore
from chatkeep.tokens import TokenFile
from tests.crash.cutting import CuttingProxy, cutting_proxy
from tests.crash.history import History, draft_of
from tests.crash.serving import served

RETRIES = int(os.environ.get("CHATKEEP_CRASH_RETRIES", "300"))
_WRITERS = 4
_SESSIONS = 3
_SIZE = 40
_TIMEOUT_S = 30
_PAUSE_S = 0.001  # the client's own pauses are for servers in trouble, and would take hours here


def _pause(_: float) -> None:
    time.sleep(_PAUSE_S)


class _Writer:
    """Somebody who appends through the proxy, and notes what was tried and answered."""

    def __init__(self, name: str, proxy: CuttingProxy, token: str, transport: type[httpx.HTTPTransport]) -> None:
        self.name, self._proxy, self._token, self._transport = name, proxy, token, transport
        self.notes: list[str] = []
        self.problems: list[Exception] = []

    def run(self, goal: int) -> None:
        """Append until so many appends were in doubt."""
        try:
            with httpx.Client(transport=self._transport(), timeout=_TIMEOUT_S) as http:
                client = Client(self._proxy.address, self._token, http=http, sleep=_pause)
                for number in count():
                    if _in_doubt(self._proxy) >= goal:
                        return
                    self._append(client, f"retry:{number % _SESSIONS}", [f"{self.name}.{number}.{n}" for n in (0, 1)])
        except Exception as error:  # noqa: BLE001 - the test tells of it
            self.problems.append(error)

    def _append(self, client: Client, key: str, ids: list[str]) -> None:
        self.notes += [f"try {key} {one} {_SIZE}" for one in ids]
        drafts = [draft_of(one, _SIZE) for one in ids]
        while True:
            with suppress(UnreachableError):  # the client has tried five times: its caller sends the same again
                assert len(ids) == len(client.append(key, drafts).receipts)
                break
        self.notes += [f"ack {key} {one}" for one in ids]


def _in_doubt(proxy: CuttingProxy) -> int:
    return proxy.cuts["reply"] + proxy.cuts["half a reply"] + proxy.cuts["request"]


def _faults(workspace: Path, goal: int, transport: type[httpx.HTTPTransport] = httpx.HTTPTransport) -> list[str]:
    """Let writers append through a proxy that cuts, and return what is wrong with what is stored then."""
    FilesStore.open(workspace).close()
    token, _ = TokenFile(workspace / "tokens.json").create(name="test", scopes=("admin",))
    history = History()
    with served(workspace) as address:
        where = urlsplit(address)
        with cutting_proxy((str(where.hostname), int(where.port or 0)), seed=1) as proxy:
            writers = [_Writer(f"w{number}", proxy, token, transport) for number in range(_WRITERS)]
            threads = [threading.Thread(target=writer.run, args=(goal,)) for writer in writers]
            for thread in threads:
                thread.start()
            for writer, thread in zip(writers, threads, strict=True):
                thread.join()
                history.take(writer.name, writer.notes)
                assert [] == writer.problems
        with Client(address, token) as client:
            found = [fault for key in sorted(history.keys()) for fault in history.faults(client.read(key))]
    told = sum(map(len, history.acknowledged.values()))
    print(f"{told} messages acknowledged, cuts: {dict(proxy.cuts)}")  # noqa: T201 - the figure belongs to the record
    assert told > goal // 10
    with closing(FilesStore.open(workspace)) as store:
        return found + [fault for key in sorted(history.keys()) for fault in history.faults(store.read(key))]


class _Renaming(httpx.HTTPTransport):
    """The bug to be found: what is sent again has another id."""

    def __init__(self) -> None:
        super().__init__()
        self._sent: Counter[bytes] = Counter()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        body = request.read()
        again = self._sent[body]
        self._sent[body] += 1
        if not again:
            return super().handle_request(request)
        renamed = body.replace(b'"id":"', b'"id":"again%d-' % again)
        headers = {**request.headers, "content-length": str(len(renamed))}
        return super().handle_request(httpx.Request(request.method, request.url, headers=headers, content=renamed))


def test_append_whose_answer_is_lost(scratch: Path) -> None:
    """Every message is there once, in the order each writer was told."""
    assert [] == _faults(scratch / "workspace", RETRIES)


def test_append_finds_doubles(scratch: Path) -> None:
    """A client that gives what it sends again another id is found out."""
    assert any("nobody sent again" in fault for fault in _faults(scratch / "workspace", 20, _Renaming))
