"""Processes that work with sessions through every door: programs, servers and their clients, commands.

They are forked from a process that has loaded everything, which spares the second that a start
takes, and nothing else: a server listens on a socket of its own, a command opens and closes the
workspace each time it is run.
"""

from __future__ import annotations

import gc
import io
import os
import signal
import socket
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, redirect_stderr, suppress
from pathlib import Path
from typing import Final, NoReturn

import httpx
import uvicorn  # noqa: F401

import chatkeep.http.app
import chatkeep.http.gate.connection  # noqa: F401 - a server loads these when it starts
from chatkeep import cli, importers
from chatkeep.client import Client
from chatkeep.core.model import Draft, Revision, Session
from chatkeep.errors import BusyError, ChatkeepError, SessionNotFoundError
from chatkeep.exporters import exported
from chatkeep.store.files.store import FilesStore
from chatkeep.wire.answers import exit_code_of

_PATIENCE_S: Final = 60.0
_LOCALHOST: Final = "127.0.0.1"


def forked(work: Callable[[], object], problems: Path) -> int:
    """Do work in a process of its own; what goes wrong there is written to a file. Return the process."""
    gc.freeze()  # the child would copy every page that it looks through for garbage
    if pid := os.fork():
        return pid
    status = 1
    try:
        _silence()
        work()
        status = 0
    except BaseException:  # noqa: BLE001 - the test tells of it
        problems.write_text(traceback.format_exc())
    finally:
        os._exit(status)


def _silence() -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with closing(socket.socket()) as probe:
        probe.bind((_LOCALHOST, 0))
        return int(probe.getsockname()[1])


def serve(workspace: Path, port: int) -> NoReturn:
    """Be a server, without limits, until somebody ends it."""
    os.environ |= {"CHATKEEP_RATE_LIMIT_IP": "0", "CHATKEEP_RATE_LIMIT_TOKEN": "0"}
    cli.main(["serve", "--workspace", str(workspace), "--port", str(port)])


@contextmanager
def client(port: int, token: str, sleep: Callable[[float], None] = time.sleep) -> Iterator[Client]:
    """Give a client of the server on this port, once that answers; `sleep` makes its pauses."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection((_LOCALHOST, port)):
            break
        time.sleep(0.005)
    with httpx.Client(timeout=_PATIENCE_S, verify=False) as http:  # noqa: S501 - there is no TLS here
        yield Client(f"http://{_LOCALHOST}:{port}", token, http=http, sleep=sleep)


@contextmanager
def program(workspace: Path) -> Iterator[FilesStore]:
    """Give the store, as to a program of its own."""
    with closing(FilesStore.open(workspace, lock_timeout_s=_PATIENCE_S)) as store:
        yield store


class CommandLine:
    """The commands; several messages go in as an import. They answer nothing but that it is done."""

    def __init__(self, workspace: Path, file: Path) -> None:
        """Take the workspace, and a file for what is carried in and out."""
        self._workspace = ["--workspace", str(workspace)]
        self._file = file

    def append(self, key: str, drafts: Sequence[Draft], /) -> None:
        """Append one message."""
        (draft,) = drafts
        self._run(key, "append", key, str(draft.content), "--role", draft.role, "--id", str(draft.id))

    def merge(self, session: Session, /) -> None:
        """Import a session."""
        self._file.write_bytes(b"".join(exported([session], "json", single=True)))
        self._run(session.header.key, "import", str(self._file))

    def revise(self, key: str, revision: Revision, /) -> None:
        """Rename a session."""
        self._run(key, "rename", key, str(revision.title))

    def delete(self, key: str, /) -> None:
        """Delete a session."""
        self._run(key, "delete", key, "--yes")

    def read(self, key: str, /) -> Session:
        """Export a session, and read what was exported."""
        self._file.unlink(missing_ok=True)
        self._run(key, "export", key, "--output", str(self._file))
        (session,) = importers.read_sessions(self._file, "json")
        assert isinstance(session, Session)
        return session

    def _run(self, key: str, *arguments: str) -> None:
        said = io.StringIO()
        try:
            with redirect_stderr(said):
                cli.main([*arguments, *self._workspace])
        except SystemExit as end:
            if end.code == exit_code_of(SessionNotFoundError):
                raise SessionNotFoundError(key) from None
            for held in ("index", "session"):
                if f"{BusyError(held)}" in said.getvalue():
                    raise BusyError(held) from None
            if end.code:
                raise ChatkeepError(f"{arguments[0]} ended with {end.code}: {said.getvalue()}") from None


def is_killed(pid: int) -> bool:
    """Kill a process, and tell whether it was still at work."""
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status)
