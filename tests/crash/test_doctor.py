"""The doctor finds all damage that is planted, has nothing against good files, and deletes no byte.

`CHATKEEP_CRASH_GOOD_FILES` says how many good files.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import threading
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import apsw
import pytest

from chatkeep import wiring
from chatkeep.config import Settings
from chatkeep.core.model import Revision, Selection
from chatkeep.disk.locks import file_locked
from chatkeep.exporters import exported
from chatkeep.store.admin import Finding
from chatkeep.store.files.care import inspection, remedies
from chatkeep.store.files.index.index import Index
from chatkeep.store.files.store import FilesStore
from chatkeep.store.files.tree import format as session_file
from chatkeep.store.files.tree.tree import Tree, file_name
from chatkeep.testing import draft, talk
from tests.crash.damage import EDITS, Planted, plant_all, plant_in_unknown
from tests.crash.scorecard import Score

GOOD = int(os.environ.get("CHATKEEP_CRASH_GOOD_FILES", "600"))
_TEXTS = ("Grüße, 世界", "a\r\n\tb\\u0000 \\", "🧑‍🚀 rocket", '{"seq":1}', "x" * 5000, '],"message_count":1}', "\u2028")
_LOOKS = 20
_KEYS = ("plain", "Grüße", "世界", "a/b\\c", "🧑‍🚀", "x" * 100, "../up", "A:B.json")
Look = dict[str, tuple[int, bytes | str]]


@pytest.mark.campaign("doctor: planted damage found")
def test_find_all_planted_damage(tmp_path: Path, score: Score) -> None:
    """Of more than 40 kinds of damage all are found, as what they are, and nothing else is; nothing is changed."""
    workspace = _workspace(tmp_path, 20)
    planted = plant_all(workspace, tmp_path / "outside")
    assert len(EDITS) >= 40
    before = _look(tmp_path)
    found = _findings(workspace)
    expected, actual = Counter(planted), Counter(Planted(one.file, one.kind, one.remedy) for one in found)
    score.count(
        len(planted), [f"missed: {one}" for one in expected - actual] + [f"alarm: {one}" for one in actual - expected]
    )
    assert all(one.reason for one in found)
    assert before == _look(tmp_path)


@pytest.mark.campaign("doctor: planted damage put right")
def test_fix_all_planted_damage(tmp_path: Path, score: Score) -> None:
    """What can be put right is, once and for all; the rest is left and told. No byte is lost, none outside touched."""
    workspace = _workspace(tmp_path, 20)
    planted = plant_all(workspace, tmp_path / "outside")
    before, outside = _look(workspace), _look(tmp_path / "outside")
    outcomes = wiring.fixed_workspace(Settings(workspace=workspace))
    assert [] == [one for one in outcomes if one.hindrance is not None]
    assert [] == [one for one in outcomes if (one.done is None) != (one.finding.remedy == "leave")]
    assert outside == _look(tmp_path / "outside")
    score.count(
        len(planted),
        (f"lost bytes of {one}" for one in _lost(workspace, before, updated={Index.path_in(workspace).name})),
    )
    left = {one.file for one in planted if one.remedy == "leave"} - {
        one.file for one in planted if one.kind == "linked"
    }
    assert left == {one.file for one in _findings(workspace)}
    _check_served(workspace, 20)
    keys = [f"edited:{number}" for number, (_, _, remedy) in enumerate(EDITS.values()) if remedy != "leave"]
    store = FilesStore.open(workspace)
    for key in (*keys, "misplaced:lost", "misplaced:linked", "misplaced:pipe", "misplaced:0"):
        store.append(key, [draft("and on it goes")])
    store.close()
    assert b"and on it goes" not in (tmp_path / "outside" / "linked").read_bytes()


def test_fix_files_that_no_index_knows(tmp_path: Path) -> None:
    """Files that were cut are found and mended also when the index is lost."""
    workspace = _workspace(tmp_path, 3)
    planted = plant_in_unknown(workspace)
    before = _look(workspace)
    found = _findings(workspace)
    assert sorted(map(repr, planted)) == sorted(repr(Planted(one.file, one.kind, one.remedy)) for one in found)
    assert [] == [one for one in wiring.fixed_workspace(Settings(workspace=workspace)) if one.done is None]
    assert [] == _lost(workspace, before)
    assert [] == _findings(workspace)
    _check_served(workspace, 3)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO problems VALUES ('gone.json', 'x', 1, 1, 1, 1)",
        "UPDATE sessions SET user_title = 'never given' WHERE sid = 2",
        "UPDATE sessions SET tail = tail + 1 WHERE sid = 2",
        "UPDATE sessions SET modified_ns = 1 WHERE sid = 2",
        "UPDATE messages SET start = start + 1 WHERE doc = 3",
        "UPDATE messages SET sid = 99 WHERE doc = 3",
        "DELETE FROM messages WHERE doc = 3",
        "DELETE FROM runs WHERE sid = 2",
        "UPDATE runs SET doc = doc + 1 WHERE sid = 2",
        "UPDATE runs SET seq = seq + 1 WHERE sid = 2",
        "UPDATE runs SET message_count = message_count - 1 WHERE sid = 2",
        "INSERT INTO runs VALUES (99, 1, 1, 1)",
        "DELETE FROM zones",
        "UPDATE zones SET newest = oldest - 1",
        "UPDATE sessions SET sid = 99 WHERE sid = 2; UPDATE messages SET sid = 99 WHERE sid = 2",
        "UPDATE totals SET message_count = message_count + 1",
        "DELETE FROM sessions WHERE sid = 2",
        "DELETE FROM fresh WHERE doc = 3",
        "UPDATE fresh SET pairs = 'x'",
        "DROP TABLE messages",
    ],
)
def test_find_an_index_that_lies(tmp_path: Path, statement: str) -> None:
    """Whatever the index says falsely is found, and put right from the files."""
    workspace = _workspace(tmp_path, 5)
    db = apsw.Connection(str(Index.path_in(workspace)))
    db.execute(statement)
    db.close()
    before = _look(workspace)
    found = _findings(workspace)
    assert {Index.path_in(workspace).name} == {one.file for one in found}
    assert {one.kind for one in found} <= {"index", "behind"}
    assert before == _look(workspace)
    assert [] == [one for one in wiring.fixed_workspace(Settings(workspace=workspace)) if one.done is None]
    assert [] == _findings(workspace)
    updated = {one.file for one in found if one.remedy == "update"}
    assert [] == _lost(workspace, before, updated=updated)
    _check_served(workspace, 5)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM postings",
        "DELETE FROM blocks",
        "UPDATE postings SET docs = zeroblob(length(docs))",
        "UPDATE postings SET docs = randomblob(length(docs) + 1)",
        "UPDATE marks SET sealed = 0; UPDATE postings SET docs = x'00'",
    ],
)
def test_find_an_index_with_wrong_sets(tmp_path: Path, statement: str) -> None:
    """Sets that lack messages, or are none, are found, and made again from the files."""
    workspace = _workspace(tmp_path, 5)
    with contextlib.closing(FilesStore.open(workspace)) as store:
        store.reindex()
    with contextlib.closing(apsw.Connection(str(Index.path_in(workspace)))) as db:
        db.execute(statement)
    assert {"index"} == {one.kind for one in _findings(workspace)}
    assert [] == [one for one in wiring.fixed_workspace(Settings(workspace=workspace)) if one.done is None]
    assert [] == _findings(workspace)
    _check_served(workspace, 5)


@pytest.mark.parametrize("damage", ["no byte", "garbage", "a page", "half", "a pipe", "a folder", "a link"])
def test_find_an_index_that_is_none(tmp_path: Path, damage: str) -> None:
    """An index that cannot be read is found, kept, and built anew."""
    workspace = _workspace(tmp_path, 60)
    path = Index.path_in(workspace)
    data = path.read_bytes()
    path.unlink()
    if damage == "a pipe":
        os.mkfifo(path)
    elif damage == "a folder":
        path.mkdir()
    elif damage == "a link":
        path.symlink_to(tmp_path / "nowhere")
    else:
        kept = {"no byte": b"", "garbage": b"garbage" * 999, "half": data[: len(data) // 2]}
        path.write_bytes(kept.get(damage, data[:8192] + bytes(4096) + data[12288:]))
        path.chmod(0o600)
    before = _look(workspace)
    found = _findings(workspace)
    assert {(path.name, "index", "rebuild")} == {(one.file, one.kind, one.remedy) for one in found}
    assert before == _look(workspace)
    assert [] == [one for one in wiring.fixed_workspace(Settings(workspace=workspace)) if one.done is None]
    assert [] == _lost(workspace, before)
    assert [] == _findings(workspace)
    assert not (tmp_path / "nowhere").exists()
    _check_served(workspace, 60)


@pytest.mark.parametrize("name", ["tokens.json", "pages.json", "people.json", "tombstones"])
@pytest.mark.parametrize("thing", ["text", "pipe", "link", "folder"])
def test_find_a_token_file_that_is_none(tmp_path: Path, thing: str, name: str) -> None:
    """A file of tokens or page sessions that nobody can use is found without waiting for it, and set aside."""
    workspace = _workspace(tmp_path, 1)
    path = workspace / name
    if thing == "text":
        path.touch(0o600)
        path.write_text("{")
    elif thing == "pipe":
        os.mkfifo(path)
    elif thing == "link":
        path.symlink_to("/dev/null")
    else:
        path.mkdir()
    (found,) = _findings(workspace)
    assert (name, "set aside") == (found.file, found.remedy)
    (outcome,) = wiring.fixed_workspace(Settings(workspace=workspace))
    assert (found, None) == (outcome.finding, outcome.hindrance)
    wiring.token_file(workspace).create("again")
    with contextlib.closing(FilesStore.open(workspace)) as store:
        store.delete(store.keys(Selection()).keys[0])
    assert [] == _findings(workspace)


@pytest.mark.parametrize("name", ["tokens.json", "pages.json", "limits.sqlite3", "limits.sqlite3-wal", "pages.lock"])
def test_find_a_private_file_that_others_may_read(tmp_path: Path, name: str) -> None:
    """Each file beside the sessions is to be its owner's alone, and is made so."""
    workspace = _workspace(tmp_path, 1)
    path = workspace / name
    path.touch()
    if name.endswith(".json"):
        path.write_text('{"format":1,"tokens":[],"pages":[]}')
    path.chmod(0o644)
    (found,) = _findings(workspace)
    assert (name, "access", "protect") == (found.file, found.kind, found.remedy)
    wiring.fixed_workspace(Settings(workspace=workspace))
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)


def test_find_folders_that_are_none(tmp_path: Path) -> None:
    """A folder of the workspace that is something else is named; only the one for unborn files can be moved away."""
    workspace = _workspace(tmp_path, 1)
    for name in ("sessions", "tmp"):
        (workspace / name).rename(tmp_path / name)
        (workspace / name).symlink_to(tmp_path / name)
    found = {one.file: one.remedy for one in _findings(workspace)}
    assert {"sessions": "leave", "tmp": "set aside"} == found
    outcomes = {one.finding.file: one.done is not None for one in wiring.fixed_workspace(Settings(workspace=workspace))}
    assert {"sessions": False, "tmp": True} == outcomes
    assert (tmp_path / "tmp").is_dir()


@pytest.mark.campaign("doctor: good files")
def test_find_nothing_against_good_files(tmp_path: Path, score: Score) -> None:
    """Of thousands of good files, written in all the ways there are, none is complained of."""
    workspace = tmp_path / "workspace"
    store = FilesStore.open(workspace, durability="none")
    for number in range(GOOD):
        key = f"good:{number} {_KEYS[number % len(_KEYS)]}"
        for text in _TEXTS[: 1 + number % len(_TEXTS)]:
            store.append(
                key, [draft(text, metadata={"n": [number, 1.5, None]}), draft([{"type": "text", "text": text}])]
            )
        if number % 5 == 0:
            store.revise(key, Revision(title=f"Title {number}", pinned=True, tags=("a", "é"), metadata={"a": {}}))
        if number % 50 == 0:
            store.delete(key)
    wiring.token_file(workspace).create("one")
    assert [] == list(wiring.findings_in(Settings(workspace=workspace)))  # while it is open
    store.close()
    before = _look(workspace)
    told: list[tuple[int, int]] = []
    found = list(wiring.findings_in(Settings(workspace=workspace), lambda done, total: told.append((done, total))))
    score.count(GOOD, (f"alarm: {one}" for one in found))
    assert [] == wiring.fixed_workspace(Settings(workspace=workspace))
    assert before == _look(workspace)
    assert told[-1][0] == told[-1][1] == len(os.listdir(workspace / "sessions"))  # noqa: PTH208 - names will do


def test_find_nothing_while_others_write(tmp_path: Path) -> None:
    """What is under way is no damage, however often one looks."""
    workspace = _workspace(tmp_path, 3)
    stop = threading.Event()
    writers = [threading.Thread(target=_write, args=(workspace, number, stop)) for number in range(3)]
    for writer in writers:
        writer.start()
    try:
        found = [_findings(workspace) for _ in range(_LOOKS)]
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert [] == [one for look in found for one in look]
    assert [] == _findings(workspace)


def _write(workspace: Path, number: int, stop: threading.Event) -> None:
    """Append, rename, delete and create until told to stop."""
    store = FilesStore.open(workspace, durability="none")
    count = 0
    while not stop.is_set():
        count += 1
        store.append(f"busy:{count % 3}", [draft("x" * (count % 7) * 3000) for _ in range(1 + count % 3)])
        if count % 3 == 0:
            store.revise(f"busy:{count % 3}", Revision(title=f"{count}"))
        if count % 20 == 0:
            store.append(f"brief:{number}", [draft()])
            store.delete(f"brief:{number}")
    store.close()


def test_find_a_file_that_somebody_keeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that looks wrong while somebody keeps it locked is not judged, and nobody waits for ever."""
    monkeypatch.setattr(inspection, "_LOCK_WAIT_S", 0.05)
    workspace = _workspace(tmp_path, 2)
    path = workspace / "sessions" / file_name("good:0")
    data = path.read_bytes()
    with path.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        path.write_bytes(data[: data.rindex(b"],")])
        (found,) = _findings(workspace)
    assert (f"sessions/{path.name}", "busy", "leave") == (found.file, found.kind, found.remedy)
    assert {"torn"} == {one.kind for one in _findings(workspace)}


def test_fix_a_file_that_arrives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is cut, young and unknown may be on its way: it is mended once it has kept still."""
    monkeypatch.setattr(remedies, "SETTLED_S", 0.3)
    workspace = _workspace(tmp_path, 2)
    path = workspace / "sessions" / file_name("good:0")
    data = path.read_bytes()
    Index.path_in(workspace).unlink()
    path.write_bytes(data[: data.index(b"line 3")])
    kinds = {one.kind: one.reason for one in _findings(workspace)}
    assert "perhaps still being written" in kinds["torn"]
    assert [] == [one for one in wiring.fixed_workspace(Settings(workspace=workspace)) if one.done is None]
    scan = session_file.scan(path.read_bytes())
    assert ("whole", 0) == (scan.state, len(scan.messages))  # the five were one append
    (kept,) = (workspace / "quarantine").iterdir()
    assert data[scan.tail : data.index(b"line 3")] == kept.read_bytes()


def test_see_a_lost_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of this module finds what a remedy loses that keeps nothing."""
    workspace = _workspace(tmp_path, 3)
    plant_in_unknown(workspace)
    before = _look(workspace)
    monkeypatch.setattr(Tree, "quarantine", lambda *_: None)
    wiring.fixed_workspace(Settings(workspace=workspace))
    assert 4 >= len(_lost(workspace, before)) > 0


def test_fix_what_changes_meanwhile(tmp_path: Path) -> None:
    """A file that somebody put right between look and remedy is left alone."""
    workspace = _workspace(tmp_path, 1)
    path = workspace / "sessions" / file_name("good:0")
    good = path.read_bytes()
    path.write_bytes(good[: good.rindex(b"],")])
    os.utime(path, (0, 0))
    found = _findings(workspace)
    path.write_bytes(good)
    os.utime(path, (0, 0))
    looks = iter([found, [], []])
    outcomes = remedies.fixed(workspace, lambda: next(looks))
    assert "it has changed meanwhile" in {one.hindrance for one in outcomes}
    assert good == path.read_bytes()
    assert [] == list((workspace / "quarantine").iterdir())


def _workspace(folder: Path, count: int) -> Path:
    workspace = folder / "workspace"
    store = FilesStore.open(workspace, durability="none")
    for number in range(count):
        store.append(f"good:{number}", talk(5))
    store.close()
    return workspace


def _findings(workspace: Path) -> list[Finding]:
    return list(wiring.findings_in(Settings(workspace=workspace)))


def _check_served(workspace: Path, count: int) -> None:
    """Check that the good sessions are there and whole, and that the index tells the truth."""
    store = FilesStore.open(workspace)
    keys = store.keys(Selection(archived=None, prefixes=("good:",))).keys
    assert count == len(keys)
    assert all(len(store.read(key).messages) == 5 for key in keys)
    b"".join(exported((store.read(key) for key in keys), "jsonl", single=False))
    store.close()


def _look(folder: Path) -> Look:
    """Return everything in a folder: the mode of each path, and what is in it."""
    found: Look = {}
    for path in sorted(folder.rglob("*")):
        held = path.lstat()
        content: bytes | str = stat.filemode(held.st_mode)[0]
        if stat.S_ISREG(held.st_mode) and held.st_size < 1 << 30:
            content = _content(path, held.st_mode)
        elif stat.S_ISLNK(held.st_mode):
            content = f"link to {path.readlink()}"
        found[os.fsdecode(bytes(path.relative_to(folder)))] = (held.st_mode, content)
    return found


def _content(path: Path, mode: int) -> bytes:
    """Return what is in a file, also in one that may not be read."""
    try:
        return path.read_bytes()
    except PermissionError:
        path.chmod(0o600)
        content = path.read_bytes()
        path.chmod(stat.S_IMODE(mode))
        return content


def _lost(workspace: Path, before: Look, *, updated: Collection[str] = ()) -> list[str]:
    """Return the files whose bytes are not all there any more: at a name, or at two of which one is in quarantine."""
    after = _look(workspace)
    contents = {content for _, content in after.values()}
    kept = [content for name, (_, content) in after.items() if name.startswith("quarantine/")]
    lost = []
    for name, (_, content) in before.items():
        if content in contents or name in updated:
            continue
        now = after.get(name, (0, b""))[1]
        if not any(_joins(content, now, cut) for cut in kept):
            lost.append(name)
    return lost


def _joins(content: bytes | str, now: bytes | str, cut: bytes | str) -> bool:
    """Tell whether a content is the beginning of what is there now and, after it, what was cut off."""
    if not (isinstance(content, bytes) and isinstance(now, bytes) and isinstance(cut, bytes)):
        return False
    whole = content.rstrip(b"\n")
    begins = whole[: len(whole) - len(cut)]
    return whole == begins + cut and now.startswith(begins)


@pytest.mark.parametrize("name", ["tokens.json", "tombstones"])
def test_leave_a_list_alone_while_it_is_written(tmp_path: Path, name: str) -> None:
    """The unfinished file of a list is a leftover only when nobody holds the list's lock."""
    workspace = _workspace(tmp_path, 1)
    unfinished = workspace / f".{name}.new"
    unfinished.touch(0o600)
    with file_locked((workspace / name).with_suffix(".lock")):
        assert [] == _findings(workspace)
    assert [unfinished.name] == [found.file for found in _findings(workspace)]
