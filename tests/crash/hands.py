"""Hands from outside: ways to edit, replace, move and copy session files that know nothing of the store.

A session is here what a person sees of its file: its messages as (id, text), or None when there is no file.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, Final

Said = tuple[tuple[str, str], ...]
Truth = Said | None
_NUMBERS: Final[Iterator[int]] = count(1)
_PIECES: Final = 5
_PAUSE_S: Final = 0.12


def new_word() -> str:
    """Return a word that nobody has said yet."""
    return f"word{next(_NUMBERS)}x"


def document_of(key: str, said: Said, title: str | None = None) -> dict[str, Any]:
    """Return a session as JSON, made without any of the store's own code."""
    at = "2024-01-15T10:30:00Z"
    messages = [
        {"seq": seq, "role": "user", "content": text, "timestamp": at, "id": name}
        for seq, (name, text) in enumerate(said, start=1)
    ]
    head = {"format": 1, "key": key, "channel": "api", "title": title, "created_at": at, "metadata": {}}
    return {**head, "messages": messages, "message_count": len(messages)}


def lines_of(document: dict[str, Any]) -> bytes:
    """Return a session in the layout of the store, with its reserved space."""
    head = {name: value for name, value in document.items() if name not in {"messages", "message_count"}}
    said = [_compact(message) for message in document["messages"]]
    lines = [_compact(head)[:-1] + ',"messages":[', *(("," if n else "") + one for n, one in enumerate(said))]
    data = "\n".join([*lines, f'],"message_count":{len(said)}}}\n']).encode()
    return data.ljust(-(-len(data) // 4096) * 4096, b"\n")


def pretty(document: dict[str, Any]) -> bytes:
    """Return a session as an editor that formats JSON leaves it."""
    return json.dumps(document, indent=2, ensure_ascii=False).encode()


def changed(said: Said, dice: random.Random) -> Said:
    """Return a session with something changed: a message added, removed or edited."""
    place = dice.randrange(len(said)) if said else 0
    fate = dice.random()
    if fate < 0.4 or len(said) < 2:
        return (*said[:place], (new_word(), new_word() + " " + "x" * dice.choice((1, 50, 3000))), *said[place:])
    if fate < 0.6:
        return said[:place] + said[place + 1 :]
    return (*said[:place], (said[place][0], new_word() + " " + "y" * dice.randrange(200)), *said[place + 1 :])


def by_rename(path: Path, data: bytes) -> None:
    """Put a file in place at once, as editors and rsync do."""
    fresh = path.with_name(f".{path.name}.{new_word()}")
    fresh.write_bytes(data)
    fresh.rename(path)


def from_elsewhere(path: Path, data: bytes) -> None:
    """Put a file in place that was made in another folder."""
    fresh = path.parent.parent / f"made-elsewhere-{new_word()}"
    fresh.write_bytes(data)
    fresh.rename(path)


def in_place(path: Path, data: bytes) -> None:
    """Write a file anew in its place, as `cp` and many programs do."""
    path.write_bytes(data)


def over_the_old(path: Path, data: bytes) -> None:
    """Write over a file without emptying it first, and cut it off behind that."""
    with path.open("r+b" if path.exists() else "wb", buffering=0) as file:
        file.write(data)
        file.truncate()


def slowly(path: Path, data: bytes) -> None:
    """Copy a file in pieces, with pauses in which it keeps still."""
    _in_pieces(path, data, "wb")


def slowly_over_the_old(path: Path, data: bytes) -> None:
    """Copy a file in pieces over the one that is there, the first of them at once."""
    _in_pieces(path, data, "r+b" if path.exists() else "wb")


def with_its_old_times(path: Path, data: bytes) -> None:
    """Write a file in its place and give it the times that it had, as tools do that keep times."""
    found = path.stat() if path.exists() else None
    path.write_bytes(data)
    if found is not None:
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


WAYS: Final[tuple[Callable[[Path, bytes], None], ...]] = (
    by_rename,
    from_elsewhere,
    in_place,
    over_the_old,
    slowly,
    slowly_over_the_old,
    with_its_old_times,
)


def swap_folder(sessions: Path) -> None:
    """Put a copy of the whole folder in its place; the old one is removed."""
    fresh, old = sessions.with_name("fresh"), sessions.with_name("old")
    shutil.copytree(sessions, fresh)
    sessions.rename(old)
    fresh.rename(sessions)
    shutil.rmtree(old)


def move_folder_away(sessions: Path) -> Callable[[], None]:
    """Move the whole folder away; return the way back."""
    away = sessions.with_name("away")
    sessions.rename(away)

    def move_back() -> None:
        away.rename(sessions)

    return move_back


def _in_pieces(path: Path, data: bytes, mode: str) -> None:
    used = data.rstrip(b"\n")
    size = len(used) // _PIECES + 1
    with path.open(mode, buffering=0) as file:
        for start in range(0, len(used), size):
            file.write(used[start : start + size])
            if start == 0:
                file.truncate()
            time.sleep(_PAUSE_S)
        file.write(data[len(used) :])


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
