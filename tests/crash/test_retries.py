"""An append whose answer was lost is sent again by the client, and is stored once.

A proxy between client and server drops answers after the work is done, and now and then a request
before. `CHATKEEP_CRASH_RETRIES` says how many appends are to be left in doubt.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing, suppress
from itertools import count
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import httpx
import pytest

from chatkeep.access.tokens import TokenFile
from chatkeep.client import Client
from chatkeep.core.model import Appended, Draft
from chatkeep.errors import UnreachableError
from chatkeep.store.files.store import FilesStore
from tests.crash.checker import faults
from tests.crash.cutting import CuttingProxy, cutting_proxy
from tests.crash.history import Door, Witness, acknowledged_in, operations_in
from tests.crash.scorecard import Score
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
    """Somebody who appends through the proxy, and sends the same again for as long as there is no answer."""

    def __init__(self, name: str, proxy: CuttingProxy, token: str, transport: type[httpx.HTTPTransport]) -> None:
        self._proxy = proxy
        self._http = httpx.Client(transport=transport(), timeout=_TIMEOUT_S)
        self._client = Client(proxy.address, token, http=self._http, sleep=_pause)
        self.notes: list[bytes] = []
        self.problems: list[Exception] = []
        self._witness = Witness(name, cast("Door", self), self.notes.append)  # it appends only

    def run(self, goal: int) -> None:
        """Append until so many appends were in doubt."""
        try:
            with self._http:
                for number in count():
                    if _in_doubt(self._proxy) >= goal:
                        return
                    self._witness.append(f"retry:{number % _SESSIONS}", self._witness.new_ids(_SIZE, _SIZE))
        except Exception as error:  # noqa: BLE001 - the test tells of it
            self.problems.append(error)

    def append(self, key: str, drafts: Sequence[Draft]) -> Appended:
        while True:
            with suppress(UnreachableError):  # the client has tried five times: its caller sends the same again
                return self._client.append(key, drafts)


def _in_doubt(proxy: CuttingProxy) -> int:
    return proxy.cuts["reply"] + proxy.cuts["half a reply"] + proxy.cuts["request"]


def _faults(
    workspace: Path, goal: int, score: Score, transport: type[httpx.HTTPTransport] = httpx.HTTPTransport
) -> list[str]:
    """Let writers append through a proxy that cuts, and return what is wrong with what is stored then."""
    FilesStore.open(workspace).close()
    token, _ = TokenFile(workspace / "tokens.json").create(name="test", scopes=("admin",))
    lines: list[bytes] = []
    with served(workspace) as address:
        where = urlsplit(address)
        with cutting_proxy((str(where.hostname), int(where.port or 0)), seed=1) as proxy:
            writers = [_Writer(f"w{number}", proxy, token, transport) for number in range(_WRITERS)]
            threads = [threading.Thread(target=writer.run, args=(goal,)) for writer in writers]
            for thread in threads:
                thread.start()
            for writer, thread in zip(writers, threads, strict=True):
                thread.join()
                lines += writer.notes
                assert [] == writer.problems
        with Client(address, token) as client:
            _read_all(Witness("client", client, lines.append))
    told = len(acknowledged_in(operations_in(lines)))
    lost_answers = proxy.cuts["reply"] + proxy.cuts["half a reply"]
    score.note(messages=told, lost_answers=lost_answers, cut_requests=proxy.cuts["request"])
    assert told > goal // 10
    with closing(FilesStore.open(workspace)) as store:
        _read_all(Witness("store", store, lines.append))
    return faults(operations_in(lines))


def _read_all(reader: Witness) -> None:
    for number in range(_SESSIONS):
        reader.read(f"retry:{number}")


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


@pytest.mark.campaign("retries")
def test_append_whose_answer_is_lost(scratch: Path, score: Score) -> None:
    """Every message is there once, in the order each writer was told."""
    score.count(RETRIES, _faults(scratch / "workspace", RETRIES, score))


def test_append_finds_doubles(scratch: Path) -> None:
    """A client that gives what it sends again another id is found out."""
    found = _faults(scratch / "workspace", 20, Score("planted"), _Renaming)
    assert any("nobody sent altered again" in fault for fault in found)
