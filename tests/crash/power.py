"""Power cuts over a traced program: which states they may leave, and what must be there when each was recovered."""

from __future__ import annotations

import json
import os
import random
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath

import msgspec

from chatkeep.errors import ChatkeepError, SessionNotFoundError
from chatkeep.store.files.care.checkup import examined
from chatkeep.store.files.store import FilesStore
from chatkeep.store.files.tree.tree import file_name
from tests.crash.disk import Content, Disk, Inode, positions
from tests.crash.history import draft_of
from tests.crash.trace import Call, traced
from tests.crash.workload import Step, Told

_NOISE = {"close", "dup2", "dup3"}
_LONG_AGO = (1_700_000_000, 1_700_000_000)  # a machine takes longer to come back than a copy is waited for
_LABEL = re.compile(r"p\d{9}")
_TRAILER = b'],"message_count"'
_NEXT = draft_of("next", 60)


@dataclass(frozen=True)
class State:
    """What a power cut left of a session: its file, and what repairs had put aside.

    `allowed` is what may be there after the recovery. `known` is the file that the index still
    describes. `cut` must be in quarantine, for an earlier repair has taken it off.
    """

    content: bytes | None
    quarantine: tuple[bytes, ...]
    allowed: tuple[Told | None, ...]
    known: bytes | None
    key: str
    cut: bytes = b""
    story: str = field(default="", compare=False)


@dataclass(frozen=True)
class Crash:
    """A moment at which the power may fail, and the dials for what is left then."""

    files: tuple[Content | None, ...]
    quarantine: tuple[tuple[Content | None, ...], ...]
    may_vanish: bool
    allowed: tuple[Told | None, ...]
    known: bytes | None
    key: str
    cut: bytes
    story: str = field(compare=False)

    def states(self, dice: random.Random) -> Iterator[State]:
        """Yield states, the telling ones first; for ever where there are many."""
        dials = (1 + self.may_vanish, *_dials(self.files), *(dial for one in self.quarantine for dial in _dials(one)))
        for turned in positions(dials, dice):
            left = iter(turned)
            is_gone = bool(next(left))
            content = _picked(self.files, left)
            kept = tuple(found for one in self.quarantine if (found := _picked(one, left)) is not None)
            if is_gone:
                content, kept = None, ()
            for known in dict.fromkeys((None, self.known)):
                yield State(content, kept, self.allowed, known, self.key, self.cut, self.story)


def _dials(versions: Sequence[Content | None]) -> tuple[int, ...]:
    return (len(versions), *(dial for one in versions if one is not None for dial in one.dials))


def _picked(versions: Sequence[Content | None], turned: Iterator[int]) -> bytes | None:
    which = next(turned)
    contents = [None if one is None else one.at(tuple(islice(turned, len(one.dials)))) for one in versions]
    return contents[which]


class Watch:
    """What a trace may leave of sessions, call by call."""

    def __init__(self, disk: Disk, workspace: Path) -> None:
        """Take the disk that the trace goes over."""
        self.disk = disk
        self.workspace = PurePosixPath(workspace)

    def crash(self, key: str, allowed: Sequence[Told | None], known: bytes | None, cut: bytes, story: str) -> Crash:
        """Return what a power cut may leave of a session now."""
        sessions, quarantine = self.workspace / "sessions", self.workspace / "quarantine"
        name = file_name(key)
        aside = sorted(one for one in self._names(quarantine) if one.startswith(f"{name}-"))
        return Crash(
            self._contents(sessions, name),
            tuple(self._contents(quarantine, one) for one in aside),
            not self.disk.is_there(sessions),
            tuple(dict.fromkeys(allowed)),
            known,
            key,
            cut,
            story,
        )

    def content(self, key: str) -> bytes | None:
        """Return a session's file as programs see it now."""
        folder = self.disk.folders.get(self.workspace / "sessions")
        found = folder.now.get(file_name(key)) if folder else None
        return bytes(found.now) if isinstance(found, Inode) else None

    def _names(self, folder: PurePosixPath) -> set[str]:
        return self.disk.folders[folder].names() if folder in self.disk.folders else set()

    def _contents(self, folder: PurePosixPath, name: str) -> tuple[Content | None, ...]:
        if folder not in self.disk.folders:
            return (None,)
        found = self.disk.folders[folder].versions(name)
        return tuple(one.dials() if isinstance(one, Inode) else None for one in found)


def run(workspace: Path, steps: Sequence[Step], plant: str = "none") -> list[Call]:
    """Do steps in a workspace, with a bug planted, and return the calls that were made."""
    program = [sys.executable, "-m", "tests.crash.workload", str(workspace), msgspec.json.encode(steps).decode(), plant]
    return traced(program, workspace.parent.parent)


def crashes(workspace: Path, steps: Sequence[Step], plant: str = "none") -> Iterator[Crash]:
    """Do steps in a workspace that is not there yet, and yield each moment at which the power may fail."""
    watch = Watch(Disk(workspace.parent), workspace)
    told: dict[str, Told | None] = {}
    known: dict[str, bytes | None] = {}
    doing: Step | None = None
    last: Crash | None = None
    for call in run(workspace, steps, plant):
        note = call.data().split() if call.name == "write" and call.descriptor(0).number == 1 else []
        if not note:
            watch.disk.apply(call)
        elif note[0] == b"try":
            doing = steps[int(note[1])]
        elif note[0] == b"lost":
            watch.disk.fail(int(note[1]))
        if doing is None or call.name in _NOISE:
            continue
        done = doing.after(told.get(doing.key))
        if note and note[0] == b"ack":
            told[doing.key], known[doing.key] = done, watch.content(doing.key)
        allowed = (told.get(doing.key), done) if doing.verb != "tear" else (told.get(doing.key),)
        if note and note[0] == b"ack":
            allowed = (done,)
        crash = watch.crash(doing.key, allowed, known.get(doing.key), b"", f"{doing.verb}, after {call.name}")
        if crash != last:
            yield crash
        last = crash


def repair_crashes(workspace: Path, states: Sequence[State], plant: str = "none") -> list[Crash]:
    """Open a workspace with these states, and return each moment of the repairs at which the power may fail again."""
    labelled = {_label(place): state for place, state in enumerate(states)}
    _lay_out(workspace, labelled)
    watch = Watch(Disk(workspace.parent), workspace)
    calls = run(workspace, (), plant)
    cuts = {
        label: _cut(_relabelled(state.content or b"", state.key, label), _content(workspace, label))
        for label, state in labelled.items()
    }
    found: list[Crash] = []
    last: dict[str, Crash] = {}
    for call in calls:
        watch.disk.apply(call)
        named = _LABEL.search(f"{call.arguments}") if call.name not in _NOISE else None
        if named is None:  # a folder that is flushed leaves nothing that was not left before
            continue
        label, state = named[0], labelled[named[0]]
        story = f"repair, after {call.name}, of: {state.story}"
        crash = watch.crash(label, state.allowed, None, cuts[label], story)
        if crash != last.get(label):
            found.append(crash)
        last[label] = crash
    return found


def some_states(moments: Sequence[Crash], wanted: int, dice: random.Random) -> Iterator[State]:
    """Yield so many different states, shared out among the moments; fewer where there are no more."""
    seen: set[int] = set()
    going = [moment.states(dice) for moment in moments]
    tries = 0
    while going and tries < wanted * 20:
        still = []
        for states in going:
            share = list(islice(states, 32))
            tries += len(share)
            for state in share:
                if hash(state) not in seen:
                    seen.add(hash(state))
                    yield state
                if len(seen) == wanted:
                    return
            if share:
                still.append(states)
        going = still


def faults(states: Sequence[State], workspace: Path) -> list[str]:
    """Let a store recover from states, all in one workspace, and return what is wrong afterwards."""
    labelled = {_label(place): state for place, state in enumerate(states)}
    _lay_out(workspace, {label: state for label, state in labelled.items() if state.known is not None}, known=True)
    if any((workspace / "sessions").iterdir()):
        FilesStore.open(workspace).close()
    _lay_out(workspace, labelled)
    found: list[str] = []
    with closing(FilesStore.open(workspace)) as store:
        aside = _put_aside(workspace)
        for label, state in labelled.items():
            path = workspace / "sessions" / file_name(label)
            found += _faults_of(state, label, store, path, aside.get(path.name, ()))
        found += [f"{finding.file}: {finding.kind}, {finding.reason}" for finding in examined(workspace)]
    recovered = _all_files(workspace)
    with closing(FilesStore.open(workspace)) as store:
        if _all_files(workspace) != recovered:
            found.append("a second recovery changed something")
        found += _unwritable(store, labelled)
    return found


def _label(place: int) -> str:
    """Return a key of the same length as those of the workload, so that pieces stay where they are."""
    return f"p{place:09}"


def _lay_out(workspace: Path, labelled: Mapping[str, State], *, known: bool = False) -> None:
    """Put states into a workspace as sessions of their own: what the index is to know, or what the power cut left."""
    for folder in (workspace.parent, workspace, *(workspace / name for name in ("sessions", "tmp", "quarantine"))):
        folder.mkdir(mode=0o700, exist_ok=True)
    _put(workspace / "tmp" / "1-0123456789abcdef", b"{")
    for label, state in labelled.items():
        path = workspace / "sessions" / file_name(label)
        content = state.known if known else state.content
        if content is None:
            path.unlink(missing_ok=True)
        else:
            _put(path, _relabelled(content, state.key, label))
        for number, kept in enumerate(state.quarantine if not known else ()):
            _put(workspace / "quarantine" / f"{path.name}-1700000000000000000-{number:08x}.cut", kept)


def _put(path: Path, content: bytes) -> None:
    """Leave a file as a store does: nobody else's, and old."""
    path.touch(mode=0o600)
    path.write_bytes(content)
    os.utime(path, _LONG_AGO)


def _relabelled(content: bytes, key: str, label: str) -> bytes:
    return content.replace(b'"key":"%s"' % key.encode(), b'"key":"%s"' % label.encode(), 1)


def _faults_of(state: State, label: str, store: FilesStore, path: Path, kept: Sequence[bytes]) -> list[str]:
    found: list[str] = []
    told: Told | None = None
    try:
        session = store.read(label)
        told = Told(session.header.title, tuple((one.id, one.content) for one in session.messages))
        if [one.seq for one in session.messages] != list(range(1, len(session.messages) + 1)):
            found.append("seqs are not 1, 2, 3 ...")
        if store.window(label, limit=500).messages != session.messages:
            found.append("the index and the file differ")
        document = json.loads(path.read_bytes())
        if document["message_count"] != len(session.messages) or len(document["messages"]) != len(session.messages):
            found.append("json.load finds something else")
    except SessionNotFoundError:
        found += ["there is a file that is not served"] if path.exists() else []
    except (ChatkeepError, ValueError) as error:
        found.append(f"{type(error).__name__}: {error}")
    if told not in state.allowed:
        found.append(_difference(told, state.allowed))
    now = path.read_bytes() if path.exists() else None
    found += _quarantine_faults(state, label, now, kept)
    return [f"{state.story}: {fault}" for fault in found]


def _difference(told: Told | None, allowed: Sequence[Told | None]) -> str:
    """Return in words what is there instead of what may be there."""
    ids = _ids(told)
    expected = [_ids(may) for may in allowed]
    words = "altered"
    if missing := set.intersection(*map(set, expected)) - set(ids):
        words = f"lost {sorted(missing)}"
    elif len(set(ids)) < len(ids):
        words = "doubled ids"
    elif invented := set(ids) - set().union(*expected):
        words = f"nobody sent {sorted(invented)}"
    return f"{words}: found {told.title if told else None!r} {ids}, expected one of {expected}"


def _ids(told: Told | None) -> list[str]:
    return [one for one, _ in told.messages] if told else []


def _quarantine_faults(state: State, label: str, now: bytes | None, kept: Sequence[bytes]) -> list[str]:
    """Return what is wrong with what was put aside: every byte that was cut is there, none of a deleted session."""
    if state.allowed == (None,):
        return ["what was cut off a deleted session is still there"] if kept else []
    cut = _cut(_relabelled(state.content or b"", state.key, label), now or b"")
    return [
        "bytes were cut and not kept"
        for wanted in (cut, state.cut)
        if wanted and not any(wanted in one for one in kept)
    ]


def _content(workspace: Path, key: str) -> bytes:
    path = workspace / "sessions" / file_name(key)
    return path.read_bytes() if path.exists() else b""


def _cut(before: bytes, after: bytes) -> bytes:
    """Return the bytes that a repair took off a file."""
    if before == after or _TRAILER not in after:
        return b""
    left = before[after.rindex(_TRAILER) :].rstrip(b"\n")
    return b"" if after.rstrip(b"\n").endswith(left) else left


def _put_aside(workspace: Path) -> dict[str, list[bytes]]:
    """Return what is in quarantine, by the name of the file it was cut off."""
    found: dict[str, list[bytes]] = {}
    for path in (workspace / "quarantine").iterdir():
        found.setdefault(path.name.partition(".json-")[0] + ".json", []).append(path.read_bytes())
    return found


def _all_files(workspace: Path) -> dict[str, bytes]:
    """Return all files but the index and the lock."""
    folders = ("sessions", "tmp", "quarantine")
    return {str(path): path.read_bytes() for folder in folders for path in (workspace / folder).iterdir()}


def _unwritable(store: FilesStore, labelled: Mapping[str, State]) -> list[str]:
    """Return what refuses a next message, of some of the sessions."""
    found = []
    for label, state in islice(labelled.items(), 0, None, 5):
        try:
            said = store.append(label, [_NEXT])
            if said.message_count != len(store.read(label).messages):
                found.append(f"{state.story}: the next message is not one more")
        except ChatkeepError as error:
            found.append(f"{state.story}: the next message is refused: {error}")
    return found
