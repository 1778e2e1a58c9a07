"""A reader of the feed that loses its connection all the time, and its server now and then, is told everything once.

Writers go on meanwhile: some have the workspace open themselves, one goes through the server. The server is stopped and
killed by turns. `CHATKEEP_CRASH_RECONNECTS` says how often the reader connects; from 1000 on with ten restarts.
"""

from __future__ import annotations

import os
import random
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import count, takewhile
from pathlib import Path
from typing import Any, Self

import httpx
import msgspec
import pytest

from chatkeep.access.tokens import TokenFile
from chatkeep.client import Client
from chatkeep.core.model import Revision
from chatkeep.errors import ChatkeepError
from chatkeep.store.files.store import FilesStore
from chatkeep.store.protocol import Store
from chatkeep.testing import draft
from tests.crash.scorecard import Score
from tests.crash.serving import served

RECONNECTS = int(os.environ.get("CHATKEEP_CRASH_RECONNECTS", "24"))
RESTARTS = 10 if RECONNECTS >= 1000 else 2
_PATIENCE_S = 60
_PAUSE_S = 0.005
_EVENTS_MAX = 30

Fact = tuple[str, int | None, int | None]
Facts = dict[str, list[Fact]]
Resume = Callable[[list[str]], str | None]


@dataclass
class Writer:
    """Somebody who changes sessions of their own, and notes what has to be told of it."""

    name: str
    store: Store
    done: Facts = field(default_factory=lambda: defaultdict(list))
    problems: list[Exception] = field(default_factory=list)

    def run(self, is_over: threading.Event) -> None:
        """Write until it is over."""
        dice = random.Random(self.name)  # noqa: S311 - the same at every run
        lengths: dict[str, int] = {}
        try:
            for number in count():
                if is_over.wait(_PAUSE_S):
                    return
                self._write(dice, f"{self.name}:{number % 4}", lengths)
        except Exception as error:  # noqa: BLE001 - the test tells of it
            self.problems.append(error)

    def _write(self, dice: random.Random, key: str, lengths: dict[str, int]) -> None:
        known, how = lengths.get(key, 0), dice.random()
        if known and how < 0.1:
            self.store.revise(key, Revision(title=f"title {how}"))
            self.done[key].append(("revised", None, None))
        elif known and how < 0.2 and key.endswith(":0"):  # an index of which most is gone would be built anew
            self.store.delete(key)
            self.done[key].append(("deleted", None, None))
            del lengths[key]
        else:
            more = dice.randint(1, 3)
            self.store.append(key, [draft(f"{key} {known + n}") for n in range(more)])
            lengths[key] = known + more
            self.done[key].append(("appended" if known else "created", known + 1, known + more))


class Patient(Writer):
    """A writer through a server that is not always there; it only appends, which may be sent again."""

    def _write(self, _: random.Random, key: str, lengths: dict[str, int]) -> None:
        known = lengths.get(key, 0)
        drafts = [draft(f"{key} {known}")]
        while True:
            with suppress(ChatkeepError):
                self.store.append(key, drafts)
                break
            time.sleep(0.05)
        lengths[key] = known + 1
        self.done[key].append(("appended" if known else "created", known + 1, known + 1))


@dataclass
class Reader:
    """Somebody who follows the feed over connections that do not last; `resume` gives the id to go on from."""

    token: str
    resume: Resume
    ids: list[str] = field(default_factory=list)
    told: Facts = field(default_factory=lambda: defaultdict(list))
    resets: int = 0
    connections: int = 0

    def connect(self, address: str, events_max: int, wait_s: float) -> None:
        """Follow until so many events came, or none for a while, or the connection breaks."""
        headers = {"Authorization": f"Bearer {self.token}"}
        if (last := self.resume(self.ids)) is not None:
            headers["Last-Event-ID"] = last
        self.connections += 1
        with (
            suppress(httpx.TransportError),
            httpx.stream("GET", f"{address}/api/v1/events", headers=headers, timeout=wait_s) as answer,
        ):
            answer.raise_for_status()
            for number, (name, event_id, data) in enumerate(_events(answer), start=1):
                self.ids.append(event_id)
                self.resets += name == "reset"
                if name not in {"ready", "reset"}:
                    self.told[data["key"]].append((name, data.get("first_seq"), data.get("last_seq")))
                if number == events_max:
                    return


def _events(answer: httpx.Response) -> Iterator[tuple[str, str, Any]]:
    """Yield name, id and data of each event; what is cut off is none."""
    fields: dict[str, str] = {}
    rest = b""
    for piece in answer.iter_bytes():
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if line:
                name, _, value = line.decode().partition(": ")
                fields[name] = value
            else:
                if "event" in fields:
                    yield fields["event"], fields["id"], msgspec.json.decode(fields["data"])
                fields = {}


def faults(done: Facts, told: Facts) -> list[str]:
    """Return where what was told of the sessions is not what was done to them, in order and once."""
    found = []
    for key in sorted(done.keys() | told.keys()):
        wanted, came = done.get(key, []), told.get(key, [])
        if wanted != came:
            same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(wanted, came, strict=False)))
            found.append(f"{key}: told {len(came)} of {len(wanted)}, the first other one is {came[same : same + 1]}")
    return found


def last(ids: list[str]) -> str | None:
    """Go on from the last event."""
    return ids[-1] if ids else None


def _followed(workspace: Path, reconnects: int, restarts: int, resume: Resume = last) -> list[str]:
    """Let a reader follow writers, and return what it was not told in order and once."""
    FilesStore.open(workspace).close()
    token, _ = TokenFile(workspace / "tokens.json").create(name="test", scopes=("admin",))
    reader, is_over, dice = Reader(token, resume), threading.Event(), random.Random(1)  # noqa: S311
    with closing(FilesStore.open(workspace, durability="none")) as ours, _Moving(token) as theirs:
        writers = [Writer("a", ours), Writer("b", ours), Patient("c", theirs.client)]
        threads = [threading.Thread(target=writer.run, args=(is_over,)) for writer in writers]
        for number in range(restarts + 1):
            end = subprocess.Popen.kill if number % 2 else subprocess.Popen.terminate
            with served(workspace, end=end) as address:
                theirs.address = address
                if not number:
                    reader.connect(address, 1, 10)  # from here on everything is to be told
                    for thread in threads:
                        thread.start()
                while reader.connections < reconnects * (number + 1) // (restarts + 1):
                    reader.connect(address, dice.randint(1, _EVENTS_MAX), 2)
                if number == restarts:
                    is_over.set()
                    for thread in threads:
                        thread.join()
                    _read_out(reader, address, writers)
    assert [] == [problem for writer in writers for problem in writer.problems]
    done = {key: facts for writer in writers for key, facts in writer.done.items()}
    assert sum(map(len, done.values())) > reconnects
    return ["reset"] * reader.resets + faults(done, reader.told)


def _read_out(reader: Reader, address: str, writers: list[Writer]) -> None:
    """Connect until as much was told as was done, or nothing more comes."""
    wanted = sum(len(facts) for writer in writers for facts in writer.done.values())
    deadline = time.monotonic() + _PATIENCE_S
    while sum(map(len, reader.told.values())) < wanted and time.monotonic() < deadline:
        before = len(reader.told)
        reader.connect(address, wanted, 2)
        if reader.resume is not last and before == len(reader.told):
            return


class _Moving:
    """A client of a server that is at another address after each restart."""

    def __init__(self, token: str) -> None:
        self.address = ""
        transport = httpx.HTTPTransport()
        self._http = httpx.Client(transport=transport, event_hooks={"request": [self._send_there]}, timeout=10)
        self.client = Client("http://127.0.0.1:1", token, http=self._http, sleep=lambda _: time.sleep(0.01))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def _send_there(self, request: httpx.Request) -> None:
        request.url = httpx.URL(self.address + request.url.raw_path.decode())
        request.headers["host"] = request.url.netloc.decode()


@pytest.mark.campaign("reader that reconnects")
def test_reader_that_reconnects(scratch: Path, score: Score) -> None:
    """Nothing is missed and nothing is told twice, whatever ends in between."""
    score.count(RECONNECTS, _followed(scratch / "workspace", RECONNECTS, RESTARTS))


@pytest.mark.parametrize(
    "resume",
    [
        lambda ids: ids[-2] if len(ids) > 1 else last(ids),  # the bug of a server that begins one too early
        lambda ids: None if len(ids) % 3 == 0 else last(ids),  # the bug of one that has forgotten where it was
    ],
)
def test_reader_finds_what_is_doubled_or_missing(scratch: Path, resume: Resume) -> None:
    """A reader that goes on from the wrong place is found out."""
    assert [] != _followed(scratch / "workspace", 8, 0, resume)


def test_faults_of_every_kind() -> None:
    """One change that is missing, twice, in another order or of nobody is a fault."""
    one: Fact = ("created", 1, 1)
    two: Fact = ("appended", 2, 3)
    three: Fact = ("deleted", None, None)
    assert [] == faults({"k": [one, two, three]}, {"k": [one, two, three]})
    for told in ([one, three], [one, two], [one, two, two, three], [two, one, three], [one, ("appended", 2, 2), three]):
        assert 1 == len(faults({"k": [one, two, three]}, {"k": told}))
    assert 1 == len(faults({}, {"k": [one]}))
