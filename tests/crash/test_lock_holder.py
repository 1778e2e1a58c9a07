"""A process that is stopped while it holds a session holds up that session alone, and for a bounded time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest

from chatkeep.access.tokens import TokenFile
from chatkeep.client import Client
from chatkeep.core.model import Selection
from chatkeep.errors import BusyError
from chatkeep.store.files.store import FilesStore
from chatkeep.store.files.tree.tree import Tree, file_name
from chatkeep.store.protocol import Store
from chatkeep.testing import draft, search_for
from chatkeep.wire.answers import STATUS
from tests.crash import doors
from tests.crash.serving import served

_SESSIONS = 5
_TIMEOUT_S = 0.3
_BOUND_S = 60.0  # far above any time-out here: it tells waiting from waiting for ever
_ALL = Selection(archived=None)

# Appends to a session, and says so and waits while it holds the lock, its message half written.
_HOLDER = """
import os, sys, time
from pathlib import Path
from chatkeep.store.files.store import FilesStore
from chatkeep.store.files.tree.held import LockedFile
from chatkeep.testing import draft

overwrite = LockedFile.overwrite_tail

def stopped(self, tail, content):
    os.pwrite(self.fd, content[: len(content) // 2], tail)
    self.stamp()
    print("holding", flush=True)
    sys.stdin.readline()
    overwrite(self, tail, content)

LockedFile.overwrite_tail = stopped
FilesStore.open(Path(sys.argv[1])).append(sys.argv[2], [draft("the holder's", id="held")])
print("answered", flush=True)
"""

# The same inside a transaction of the index, the message being in its file.
_INDEX_HOLDER = _HOLDER.replace(
    "LockedFile.overwrite_tail = stopped",
    """
from chatkeep.store.files.index import rows

grow = rows.grow

def stopped(db, row, entry):
    found = grow(db, row, entry)
    print("holding", flush=True)
    sys.stdin.readline()
    return found

rows.grow = stopped
""",
)


@contextmanager
def _held(workspace: Path, key: str, program: str = _HOLDER) -> Iterator[subprocess.Popen[str]]:
    """Give a process that is stopped while it holds a session."""
    root = Path(__file__).parents[2]
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(workspace), key],
        env={**os.environ, "PYTHONPATH": str(root / "src")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout
        assert "holding\n" == holder.stdout.readline()
        holder.send_signal(signal.SIGSTOP)
        try:
            yield holder
        finally:
            holder.kill()


def _go_on(holder: subprocess.Popen[str]) -> str:
    """Let the process go on, and return what it says at its end."""
    holder.send_signal(signal.SIGCONT)
    said, _ = holder.communicate("\n", timeout=_BOUND_S)
    return said


def _faults_while_held(store: Store, key: str) -> list[str]:
    """Return what does not go as it should while somebody holds this session of the store."""
    found = []
    began_s = time.monotonic()
    try:
        store.append(key, [draft("not now", id="refused")])
        found.append("the held session was written")
    except BusyError as error:
        found += [] if STATUS[type(error)] == 503 else ["the status is not 503"]
    if time.monotonic() - began_s > _BOUND_S:
        found.append("the held session was waited for without end")
    count = store.status().message_count
    others = [other for other in store.keys(_ALL).keys if other != key]
    for other in others:
        store.append(other, [draft("meanwhile")])
    if len(others) != len(store.search(search_for("meanwhile")).hits):
        found.append("what was appended meanwhile is not found")
    if count + len(others) != store.status().message_count:
        found.append("what was appended meanwhile is not counted")
    if len(others) + 1 != len(store.list(_ALL, limit=50).sessions):
        found.append("not all sessions are listed")
    return found + ([] if store.window(key, limit=5).messages else ["the held session is not read"])


def _fill(workspace: Path) -> str:
    """Make sessions, and return the key of one."""
    with closing(FilesStore.open(workspace)) as store:
        for number in range(_SESSIONS):
            store.append(f"held:{number}", [draft("first")])
    return "held:0"


@pytest.mark.parametrize("end", ["goes on", "is killed"])
def test_append_while_the_holder_is_stopped(scratch: Path, end: str) -> None:
    """Only its session is busy; when it goes on, or is killed, that goes on too, with what was answered."""
    key = _fill(scratch)
    with closing(FilesStore.open(scratch, lock_timeout_s=_TIMEOUT_S)) as store, _held(scratch, key) as holder:
        assert [] == _faults_while_held(store, key)
        if end == "goes on":
            assert "answered\n" == _go_on(holder)
        else:
            holder.kill()
            holder.wait()
        store.append(key, [draft("again", id="after")])
        expected = [*(["held"] if end == "goes on" else []), "after"]
        assert expected == [said.id for said in store.read(key).messages[1:]]
        assert {} == store.status().problems


def test_append_over_http_while_the_holder_is_stopped(scratch: Path) -> None:
    """A server answers 503 for that session, and everything else as ever."""
    key = _fill(scratch)
    token, _ = TokenFile(scratch / "tokens.json").create(name="test", scopes=("admin",))
    with served(scratch) as address, _held(scratch, key) as holder, Client(address, token, sleep=_fail) as client:
        with pytest.raises(_AskedToWaitError):
            client.append(key, [draft("not now")])
        count = client.status().message_count
        assert 2 == client.append("held:1", [draft("meanwhile")]).message_count
        assert 1 == len(client.search(search_for("meanwhile")).hits)
        assert count + 1 == client.status().message_count
        assert "answered\n" == _go_on(holder)
        assert 3 == client.append(key, [draft("again")]).message_count


def _outcome(call: Callable[[], object]) -> str:
    """Return how a call ends, which it does in bounded time."""
    began_s = time.monotonic()
    try:
        call()
    except BusyError:
        outcome = "busy"
    else:
        outcome = "answered"
    return outcome if time.monotonic() - began_s < _BOUND_S else "late"


def test_work_while_the_index_is_kept(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Appends are durable and answered; what the index cannot tell now is busy, and nothing waits for ever."""
    key = _fill(scratch)
    monkeypatch.setattr("chatkeep.store.files.index.databases._BUSY_S", _TIMEOUT_S)
    with (
        closing(FilesStore.open(scratch, lock_timeout_s=_TIMEOUT_S)) as store,
        _held(scratch, key, _INDEX_HOLDER) as holder,
    ):
        others = [f"held:{number}" for number in range(1, _SESSIONS)]
        assert "answered" == _outcome(lambda: store.list(_ALL, limit=50))
        assert ["answered"] * len(others) == [_outcome(partial(store.append, one, [draft("kept")])) for one in others]
        assert 1 == len(store.read(key).messages)  # what is not answered yet may still be taken back
        assert {"busy"} == {_outcome(partial(store.read, one)) for one in others}
        assert "busy" == _outcome(lambda: store.append(others[0], [draft("again")]))
        assert "busy" == _outcome(lambda: store.list(_ALL, limit=50))
        assert "busy" == _outcome(lambda: FilesStore.open(scratch))
        assert "answered\n" == _go_on(holder)
        store.append(others[0], [draft("again")])
        assert [2, 3, *[2] * (len(others) - 1)] == [len(store.read(one).messages) for one in (key, *others)]
        assert len(others) == len(store.search(search_for("kept")).hits)
        assert 2 * _SESSIONS + 1 == store.status().message_count


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # nothing else runs when the server is made
def test_requests_while_the_index_is_kept(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server answers appends with 201, other sessions with 200, and 503 where it would not tell the truth."""
    key = _fill(scratch)
    token, _ = TokenFile(scratch / "tokens.json").create(name="test", scopes=("admin",))
    monkeypatch.setattr("chatkeep.store.files.index.databases._BUSY_S", _TIMEOUT_S)
    port = doors.free_port()
    server = doors.forked(partial(doors.serve, scratch, port), scratch / "problem")
    try:
        with doors.client(port, token, sleep=_fail) as client, _held(scratch, key, _INDEX_HOLDER) as holder:
            assert 2 == client.append("held:1", [draft("meanwhile")]).message_count
            assert 1 == len(client.read("held:2").messages)
            with pytest.raises(_AskedToWaitError):
                client.read("held:1")
            assert "answered\n" == _go_on(holder)
            assert 2 == len(client.read("held:1").messages)
            assert _SESSIONS + 2 == client.status().message_count
    finally:
        assert doors.is_killed(server)


class _AskedToWaitError(Exception):
    """The server answered 503, which the client would answer by trying again."""


def _fail(_: float) -> None:
    raise _AskedToWaitError


def test_finds_a_lock_for_all_sessions(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that does not wait for its turn is found out, and so is one with one lock for everything."""
    key = _fill(scratch)
    with closing(FilesStore.open(scratch, lock_timeout_s=_TIMEOUT_S)) as store, _held(scratch, key):
        with monkeypatch.context() as patch:
            patch.setattr("chatkeep.store.files.tree.tree.flock", lambda *_: None)
            assert ["the held session was written"] == _faults_while_held(store, key)
        locked = Tree.locked
        monkeypatch.setattr(Tree, "locked", lambda self, _: locked(self, file_name(key)))
        with pytest.raises(BusyError):
            _faults_while_held(store, key)
