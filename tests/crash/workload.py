"""What a program does to a store before the power fails, step by step, and what must be there after each step.

Run as a program it does the steps in a workspace, and notes `try N` before and `ack N` after each.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from chatkeep.core.model import Header, Json, Message, Revision, Session
from chatkeep.errors import StorageError
from chatkeep.store.files.store import FilesStore
from chatkeep.store.files.tree.tree import file_name
from chatkeep.testing import at
from tests.crash.history import content_of, draft_of
from tests.crash.plants import PLANTS

_ATTEMPTS: Final = 30
Verb = Literal["append", "merge", "title", "delete", "tear"]


class Told(Struct, frozen=True):
    """A session as somebody was told it is stored: its title, and ids with contents in their order."""

    title: str | None
    messages: tuple[tuple[str, Json], ...]


class Step(Struct, frozen=True):
    """Something done to a session. `tear` leaves at its end what a killed append leaves."""

    verb: Verb
    key: str
    messages: tuple[tuple[str, int], ...] = ()
    title: str = ""

    def after(self, before: Told | None) -> Told | None:
        """Return what must be there when this was done to what was there."""
        if self.verb == "delete":
            return None
        title, messages = (before.title, before.messages) if before else (None, ())
        if self.verb == "title":
            return Told(self.title, messages)
        return Told(title, (*messages, *((one, content_of(one, size)) for one, size in self.messages)))


def do(workspace: Path, store: FilesStore, step: Step) -> None:
    """Do a step."""
    if step.verb == "append":
        store.append(step.key, [draft_of(one, size) for one, size in step.messages])
    elif step.verb == "merge":
        store.merge(_session(step))
    elif step.verb == "title":
        store.revise(step.key, Revision(title=step.title))
    elif step.verb == "delete":
        store.delete(step.key)
    else:
        tear(workspace / "sessions" / file_name(step.key))


def _session(step: Step) -> Session:
    header = Header(key=step.key, channel="api", title=None, created_at=at(0))
    messages = tuple(
        Message(seq=seq, role="user", content=content_of(one, size), sent_at=at(0), id=one)
        for seq, (one, size) in enumerate(step.messages, start=1)
    )
    return Session(header=header, messages=messages)


def tear(path: Path) -> None:
    """Leave at the end of a session file what a killed append leaves."""
    tail = path.read_bytes().rindex(b'],"message_count"')
    fd = os.open(path, os.O_RDWR)
    os.pwrite(fd, b',{"seq":99,"role":"user","content":"' + b"cut " * 30, tail)
    os.fdatasync(fd)
    os.close(fd)


def _do_at_last(workspace: Path, store: FilesStore, step: Step) -> None:
    """Do a step, again and again where the storage refuses."""
    for _ in range(_ATTEMPTS):
        with suppress(StorageError):
            do(workspace, store, step)
            return
    do(workspace, store, step)


def main(workspace: Path, steps: Sequence[Step], note: Callable[[bytes], object]) -> None:
    """Do steps, noting each try and each answer."""
    store = FilesStore.open(workspace)
    for number, step in enumerate(steps):
        note(b"try %d\n" % number)
        _do_at_last(workspace, store, step)
        note(b"ack %d\n" % number)
    store.close()


if __name__ == "__main__":
    PLANTS[sys.argv[3]]()
    main(Path(sys.argv[1]), msgspec.json.decode(sys.argv[2], type=list[Step]), lambda line: os.write(1, line))
