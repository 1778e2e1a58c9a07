"""Kinds of damage to plant in a workspace, each with what a checkup has to say of it."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from chatkeep.core.bounds import MESSAGE_BYTES_MAX
from chatkeep.store.admin import FindingKind, Remedy
from chatkeep.store.files.index.index import Index
from chatkeep.store.files.store import FilesStore
from chatkeep.store.files.tree.tree import file_name
from chatkeep.testing import talk

LINES = 5
"""How many messages a session has that is to be damaged."""

Edit = Callable[[bytes], bytes]
_DEEP = b"[" * 100_000 + b"]" * 100_000
_KEPT_BYTES = (40, 200, 400, 600)
_MODES = (0o644, 0o666, 0o400, 0o000)
_LARGE_BYTES = (2 << 30) + 1


class Planted(Struct, frozen=True):
    """Damage that was planted: where, and what is to be found there."""

    file: str
    kind: FindingKind
    remedy: Remedy


def plant_all(workspace: Path, outside: Path) -> list[Planted]:
    """Damage a workspace in all the ways that go together; every kind has a session or a name of its own."""
    outside.mkdir()
    _make_sessions(workspace, [f"edited:{number}" for number in range(len(EDITS))])
    _make_sessions(workspace, [f"misplaced:{name}" for name in ("good", "lost", "linked", "owner", *_MODES)])
    plants = [*_edited(workspace), *_misplaced(workspace, outside), *_beside(workspace)]
    index = Index.path_in(workspace).name
    _let_rest(workspace)
    return [*plants, Planted(index, "behind", "update")]


def plant_in_unknown(workspace: Path) -> list[Planted]:
    """Cut files of which no index knows how many messages they had."""
    plants = []
    _make_sessions(workspace, [f"unknown:{number}" for number in range(len(_KEPT_BYTES))])
    for number, keep in enumerate(_KEPT_BYTES):
        key = f"unknown:{number}"
        path = _session(workspace, key)
        data = path.read_bytes().rstrip(b"\n")
        header = data.index(b"\n") + 1
        path.write_bytes(data[: header + keep])
        plants.append(Planted(f"sessions/{path.name}", "torn", "mend"))
    for path in workspace.glob("index*"):
        path.unlink()
    _let_rest(workspace)
    return [*plants, Planted(Index.path_in(workspace).name, "behind", "update")]


EDITS: dict[str, tuple[Edit, FindingKind, Remedy]] = {
    # a write that was cut
    "half a line": (lambda data: _head(data) + b',{"seq":6,"role":"user","content":"never ans', "torn", "mend"),
    "half a batch": (
        lambda data: _head(data) + _line(data, 2).replace(b'"seq":2', b'"seq":6').replace(b"}\n", b" }\n"),
        "torn",
        "mend",
    ),
    "one byte of a line": (lambda data: _head(data) + b",", "torn", "mend"),
    "no trailer": (lambda data: data[: data.rindex(b"],")], "torn", "mend"),
    "half a trailer": (lambda data: _head(data) + b'],"message_co', "torn", "mend"),
    "zeros for the trailer": (lambda data: _head(data) + bytes(512), "torn", "mend"),
    "zeros at the end": (lambda data: data + bytes(4096), "torn", "mend"),
    "something after the trailer": (lambda data: data.rstrip(b"\n") + b"\nx", "torn", "mend"),
    "wrong count": (lambda data: data.replace(b'"message_count":5', b'"message_count":4'), "torn", "mend"),
    "a bit of the trailer": (lambda data: data.replace(b'"message_count":5', b'"message_bount":5'), "torn", "mend"),
    # damage in the middle
    "zeros in the middle": (lambda data: _put(data, _line(data, 3), bytes(len(_line(data, 3)))), "damaged", "leave"),
    "wrong seq": (lambda data: data.replace(b'"seq":3', b'"seq":7'), "damaged", "leave"),
    "no seq": (lambda data: data.replace(b'"seq":3,', b""), "damaged", "leave"),
    "a line twice": (lambda data: data.replace(_line(data, 3), _line(data, 3) * 2), "damaged", "leave"),
    "a line lost": (lambda data: data.replace(_line(data, 3), b""), "damaged", "leave"),
    "lines exchanged": (
        lambda data: data.replace(_line(data, 3) + _line(data, 4), _line(data, 4) + _line(data, 3)),
        "damaged",
        "leave",
    ),
    "a bit of a message": (lambda data: data.replace(b'{"seq":3', b'{"req":3'), "damaged", "leave"),
    "a bracket lost": (lambda data: data.replace(_line(data, 3), _line(data, 3)[:-2] + b"\n"), "damaged", "leave"),
    "cut before its end": (lambda data: data[: data.index(b"line 4") + 3], "damaged", "leave"),
    "a sector of another file": (lambda data: data.replace(_line(data, 3), b"x" * 100 + b"\n"), "damaged", "leave"),
    "not UTF-8": (lambda data: data.replace(b"line 3", b"line\xff3"), "damaged", "leave"),
    "half a surrogate pair": (lambda data: data.replace(b"line 3", b"line\\ud8003"), "damaged", "leave"),
    "a time that is none": (lambda data: _timed(data, b"2024-13-45T99:99:99Z"), "damaged", "leave"),
    "a time out of range": (lambda data: _timed(data, b"0001-01-01T00:00:00+23:59"), "damaged", "leave"),
    "a number too large": (lambda data: _with(data, b'"metadata":{"n":1e999}'), "damaged", "leave"),
    "too deep": (lambda data: _with(data, b'"metadata":{"n":' + _DEEP + b"}"), "damaged", "leave"),
    "an unknown role": (
        lambda data: data.replace(b'"seq":3,"role":"user"', b'"seq":3,"role":"king"'),
        "damaged",
        "leave",
    ),
    # nothing left to go by
    "no byte": (lambda _: b"", "foreign", "set aside"),
    "only newlines": (lambda data: b"\n" * len(data), "foreign", "set aside"),
    "only zeros": (lambda data: bytes(len(data)), "foreign", "set aside"),
    "half a header": (lambda data: data[:50], "foreign", "set aside"),
    "a bit of the header": (lambda data: data.replace(b'{"format":2', b'{"format":6', 1), "foreign", "recover"),
    "a header's quote": (lambda data: data.replace(b'"channel":"', b'"channel:"', 1), "foreign", "recover"),
    "a header's end": (lambda data: data.replace(b',"messages":[\n', b',"mess@ges":[\n', 1), "foreign", "recover"),
    "a title not UTF-8": (lambda data: data.replace(b'"title":null', b'"title":"\xff"', 1), "foreign", "recover"),
    "a bit of the key": (lambda data: data.replace(b'"key":"e', b'"key":"a', 1), "foreign", "set aside"),
    "another program's JSON": (lambda _: b'{"cells":[],"nbformat":4}', "foreign", "set aside"),
    "a bad key": (
        lambda data: re.sub(rb'"key":"[^"]*"', b'"key":"a\\\\u0007b"', data, count=1),
        "foreign",
        "set aside",
    ),
    # another hand
    "a mark of order": (lambda data: b"\xef\xbb\xbf" + data, "loose", "rewrite"),
    "line ends of another system": (lambda data: data.replace(b"\n", b"\r\n"), "loose", "rewrite"),
    "another layout": (lambda data: msgspec.json.format(data, indent=2), "loose", "rewrite"),
    "an id twice": (lambda data: data.replace(b'"id-3"', b'"id-2"'), "odd", "leave"),
    "a NUL": (lambda data: data.replace(b"line 3", b"line\\u00003"), "odd", "leave"),
    "a message too large": (
        lambda data: data.replace(b"line 3", b"x" * (MESSAGE_BYTES_MAX + (1 << 20))),
        "odd",
        "leave",
    ),
    "a bad tag": (lambda data: data.replace(b'"metadata":{}', b'"metadata":{},"tags":[" "]', 1), "odd", "leave"),
}
"""What is done to the bytes of a session's file, by name."""


def _edited(workspace: Path) -> Iterator[Planted]:
    for number, (edit, kind, remedy) in enumerate(EDITS.values()):
        path = _session(workspace, f"edited:{number}")
        data = path.read_bytes()
        path.write_bytes(edit(data))
        assert data != path.read_bytes(), number
        yield Planted(f"sessions/{path.name}", kind, remedy)


def _misplaced(workspace: Path, outside: Path) -> Iterator[Planted]:
    """Yield names that are not what they should be, and things that are no files."""
    sessions = workspace / "sessions"
    good = _session(workspace, "misplaced:good")
    _write(outside / "secret", b"secret")

    def name_of(thing: str) -> Path:
        return sessions / file_name(f"misplaced:{thing}")

    _session(workspace, "misplaced:lost").rename(sessions / "lost.json")
    yield Planted("sessions/lost.json", "foreign", "rename")
    _write(sessions / "copy.json", good.read_bytes())
    yield Planted("sessions/copy.json", "foreign", "leave")
    _write(sessions / good.name.upper(), good.read_bytes())
    yield Planted(f"sessions/{good.name.upper()}", "foreign", "leave")
    _write(name_of("overwritten"), good.read_bytes())
    yield Planted(f"sessions/{name_of('overwritten').name}", "foreign", "set aside")
    _write(sessions / "notes.json", b"[]")
    yield Planted("sessions/notes.json", "foreign", "leave")
    _write(sessions / "session", good.read_bytes())
    yield Planted("sessions/session", "foreign", "leave")
    _write(Path(os.fsdecode(bytes(sessions) + b"/bad\xff.json")), good.read_bytes())
    yield Planted("sessions/bad\\xff.json", "foreign", "leave")
    _write(sessions / ".hidden.json", b"{}")
    yield Planted("sessions/.hidden.json", "stray", "leave")
    with (sessions / "large.json").open("wb") as file:
        file.truncate(_LARGE_BYTES)
    (sessions / "large.json").chmod(0o600)
    yield Planted("sessions/large.json", "foreign", "leave")
    for path, remedy in ((sessions / "link.json", "leave"), (name_of("link"), "set aside")):
        path.symlink_to(outside / "secret")
        yield Planted(f"sessions/{path.name}", "foreign", remedy)  # type: ignore[arg-type]
    name_of("dangling").symlink_to("nowhere")
    yield Planted(f"sessions/{name_of('dangling').name}", "foreign", "set aside")
    for path, remedy in ((sessions / "pipe.json", "leave"), (name_of("pipe"), "set aside")):
        os.mkfifo(path)
        yield Planted(f"sessions/{path.name}", "foreign", remedy)  # type: ignore[arg-type]
    for path, remedy in ((sessions / "folder.json", "leave"), (name_of("folder"), "set aside")):
        path.mkdir()
        (path / "inside").write_bytes(b"inside")
        yield Planted(f"sessions/{path.name}", "foreign", remedy)  # type: ignore[arg-type]
    _make_socket(sessions / "socket.json")
    yield Planted("sessions/socket.json", "foreign", "leave")
    linked = _session(workspace, "misplaced:linked")
    (outside / "linked").hardlink_to(linked)
    (outside / "linked").chmod(0o640)
    yield Planted(f"sessions/{linked.name}", "linked", "copy")
    yield Planted(f"sessions/{linked.name}", "access", "leave")
    for mode in _MODES:
        path = _session(workspace, f"misplaced:{mode}")
        path.chmod(mode)
        yield Planted(f"sessions/{path.name}", "access", "protect")
    if os.geteuid() == 0:
        path = _session(workspace, "misplaced:owner")
        os.chown(path, 12345, 12345)
        yield Planted(f"sessions/{path.name}", "access", "protect")


def _beside(workspace: Path) -> Iterator[Planted]:
    """Yield what is wrong beside the session files."""
    workspace.chmod(0o755)
    yield Planted(".", "access", "protect")
    (workspace / "sessions").chmod(0o777)
    yield Planted("sessions", "access", "protect")
    _write(workspace / "tmp" / "1-left", b"left")
    yield Planted("tmp/1-left", "leftover", "set aside")
    os.mkfifo(workspace / "tmp" / "pipe")
    yield Planted("tmp/pipe", "stray", "leave")
    _write(workspace / "quarantine" / "notes", b"notes")
    yield Planted("quarantine/notes", "stray", "leave")
    _write(workspace / "index-0123456789.sqlite3", b"old")
    yield Planted("index-0123456789.sqlite3", "leftover", "set aside")
    unfinished = f"{Index.path_in(workspace).name}.new"
    _write(workspace / unfinished, b"half")
    yield Planted(unfinished, "leftover", "set aside")
    _write(workspace / ".tokens.json.new", b"half")
    yield Planted(".tokens.json.new", "leftover", "set aside")
    _write(workspace / "tokens.json", b"{}")
    (workspace / "tokens.json").chmod(0o644)
    yield Planted("tokens.json", "access", "protect")
    yield Planted("tokens.json", "tokens", "set aside")
    os.mkfifo(workspace / "chatkeep.toml")
    yield Planted("chatkeep.toml", "foreign", "leave")
    (workspace / "tokens.lock").mkdir()
    yield Planted("tokens.lock", "foreign", "set aside")
    (workspace / "lock").unlink()
    (workspace / "lock").mkdir()
    yield Planted("lock", "foreign", "set aside")


def _write(path: Path, content: bytes) -> None:
    path.touch(0o600)
    path.write_bytes(content)


def _make_sessions(workspace: Path, keys: Iterable[str]) -> None:
    """Make the sessions that are to be damaged, before any damage is done: opening a store heals what it can."""
    store = FilesStore.open(workspace, durability="none")
    for key in keys:
        store.append(key, talk(LINES))
    store.close()


def _session(workspace: Path, key: str) -> Path:
    return workspace / "sessions" / file_name(key)


def _let_rest(workspace: Path) -> None:
    """Make files as old as those that nobody writes any more."""
    for path in (*(workspace / "sessions").iterdir(), *(workspace / "tmp").iterdir()):
        os.utime(path, (1_700_000_000, 1_700_000_000), follow_symlinks=False)


def _make_socket(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(f"/proc/self/fd/{folder}/{path.name}")  # a whole path can be too long for a socket
    finally:
        os.close(folder)


def _head(data: bytes) -> bytes:
    """Return a file without its trailer."""
    return data[: data.rindex(b"],")]


def _line(data: bytes, seq: int) -> bytes:
    return data.splitlines(keepends=True)[seq]


def _put(data: bytes, old: bytes, new: bytes) -> bytes:
    assert len(old) == len(new)
    return data.replace(old, new)


def _timed(data: bytes, written: bytes) -> bytes:
    line = _line(data, 3)
    return data.replace(line, re.sub(rb'"timestamp":"[^"]*"', b'"timestamp":"' + written + b'"', line))


def _with(data: bytes, field: bytes) -> bytes:
    line = _line(data, 3)
    return data.replace(line, line[:-2] + b"," + field + b"}\n")
