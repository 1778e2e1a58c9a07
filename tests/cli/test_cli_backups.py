"""Putting a workspace away and taking it back from the command line."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import struct
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from chatkeep.errors import StorageFullError
from chatkeep.store.files.tree.held import LockedFile
from chatkeep.store.files.tree.tree import Tree

if TYPE_CHECKING:
    from tests.cli.conftest import Run

Parts = dict[str, bytes]


@pytest.fixture
def saved(run: Run, tmp_path: Path) -> Path:
    """Return a backup of the sample sessions, one of which has marks."""
    run("demo")
    run("rename", "telegram:5550142", "Flights")
    run("backup", str(tmp_path / "saved.zip"))
    return tmp_path / "saved.zip"


def test_restore_a_workspace(run: Run, workspace: Path, saved: Path, tmp_path: Path) -> None:
    """All sessions come back byte for byte, titles included; tokens are not among them."""
    run("token", "create")
    assert 0o600 == stat.S_IMODE(saved.stat().st_mode)
    assert [saved] == [path for path in tmp_path.iterdir() if path != workspace]
    new = tmp_path / "new"
    assert "Restored 11 sessions with 193 messages." in run("restore", str(saved), "-w", str(new)).out
    assert _files(workspace) == _files(new)
    assert not (new / "tokens.json").exists()
    assert "Flights" in run("list", "-w", str(new)).out
    assert "All files are well." in run("doctor", "-w", str(new)).out
    assert 0o600 == stat.S_IMODE(next((new / "sessions").iterdir()).stat().st_mode)


def test_list_what_is_in_it(run: Run, saved: Path, workspace: Path) -> None:
    """A backup says of each session its key, its size and its checksum, and any zip program can unpack it."""
    with zipfile.ZipFile(saved) as packed:
        manifest = json.loads(packed.read("manifest.json"))
        assert packed.testzip() is None
        for item in manifest["sessions"]:
            data = packed.read(f"sessions/{item['file']}")
            assert data == (workspace / "sessions" / item["file"]).read_bytes()
            assert hashlib.sha256(data).hexdigest() == item["sha256"]
            document = json.loads(data)
            told = (document["key"], document["message_count"], len(data))
            assert told == (item["key"], item["message_count"], item["size_bytes"])
    facts = run("backup", "--verify", str(saved), "--json").json
    assert (11, 193) == (facts["session_count"], facts["message_count"])
    assert "All is well: 11 sessions with 193 messages" in run("backup", "--verify", str(saved)).out


def test_overwrite_a_backup(run: Run, saved: Path, tmp_path: Path) -> None:
    """A file that exists is replaced only if that is asked for; what cannot be written leaves nothing behind."""
    before = saved.read_bytes()
    assert "--force" in run("backup", str(saved), code=4).err
    assert before == saved.read_bytes()
    facts = run("backup", str(saved), "--force", "--json").json
    assert (11, saved.stat().st_size) == (facts["session_count"], facts["file_bytes"])
    run("backup", str(tmp_path / "no" / "where.zip"), code=1)
    run("backup", str(tmp_path / "none.zip"), "-w", str(tmp_path / "no workspace"), code=3)
    run("backup", str(tmp_path / "workspace" / "sessions" / "x.zip"), code=2)
    assert {"workspace", "saved.zip"} == {path.name for path in tmp_path.iterdir()}


def test_restore_single_sessions(run: Run, workspace: Path, saved: Path) -> None:
    """Sessions can be put back by their keys, beside others; what is there already is left alone."""
    before = _files(workspace)
    run("delete", "telegram:5550142", "--yes")
    assert "has sessions" in run("restore", str(saved), code=4).err
    assert "Would restore 1 session" in run("restore", str(saved), "telegram:5550142", "--dry-run").out
    assert before != _files(workspace)
    facts = run("restore", str(saved), "telegram:5550142", "--json").json
    assert (1, 0) == (facts["session_count"], facts["already_there"])
    assert before == _files(workspace)
    assert "11 sessions there already" in run("restore", str(saved), "--add").out
    assert "nobody" in run("restore", str(saved), "nobody", code=3).err


def test_restore_over_other_content(run: Run, workspace: Path, saved: Path, tmp_path: Path) -> None:
    """A session that has other content is never overwritten, and then nothing at all is restored."""
    run("append", "telegram:5550142", "more", "--role", "user")
    run("delete", "--prefix", "discord:", "--yes")
    before = _files(workspace)
    told = run("restore", str(saved), "--add", code=4).err
    assert "telegram:5550142" in told
    assert "import" in told
    run("restore", str(saved), "--add", "--dry-run", code=4)
    assert before == _files(workspace)
    with zipfile.ZipFile(saved) as packed:
        packed.extractall(tmp_path / "unpacked")
    assert "Imported 1 new" in run("import", str(tmp_path / "unpacked")).out


def test_restore_deletions(run: Run, workspace: Path, tmp_path: Path) -> None:
    """A backup has the deletions: a whole restore brings them along, and a restored session is deleted no more."""
    exported, before, after = tmp_path / "all.jsonl", tmp_path / "before.zip", tmp_path / "after.zip"
    run("append", "a", "x", "--role", "user")
    run("append", "b", "x", "--role", "user")
    run("export", "--format", "jsonl", "--output", str(exported))
    run("backup", str(before))
    run("delete", "a", "--yes")
    run("backup", str(after))
    new = str(tmp_path / "new")
    run("restore", str(after), "-w", new)
    assert ["a"] == run("import", str(exported), "--leave-deleted", "-w", new, "--json").json["left_out"]
    run("restore", str(before), "a")
    assert [] == run("import", str(exported), "--leave-deleted", "--json").json["left_out"]
    with zipfile.ZipFile(after) as packed, zipfile.ZipFile(tmp_path / "bad.zip", "w") as bad:
        for name in packed.namelist():
            bad.writestr(name, packed.read(name).replace(b'"deleted": {', b'"deleted": {"x": 5, '))
    assert "damaged" in run("restore", str(tmp_path / "bad.zip"), "-w", str(tmp_path / "other"), code=2).err


def test_back_up_what_is_not_whole(run: Run, workspace: Path, tmp_path: Path) -> None:
    """A damaged session is copied as it is, a torn one up to its end; what is none is left out; all three are told."""
    for key in ("good", "hurt", "torn"):
        for text in ("one", "two", "three"):
            run("append", key, text, "--role", "user")
    hurt, torn = (next((workspace / "sessions").glob(f"{key}-*")) for key in ("hurt", "torn"))
    hurt.write_bytes(hurt.read_bytes().replace(b'{"seq":2,', b'{"seq":x,'))
    whole = torn.read_bytes()
    torn.write_bytes(whole[: whole.rindex(b"],")] + b',{"seq":4,"ro')
    os.mkfifo(workspace / "sessions" / "pipe.json")
    (workspace / "sessions" / "notes.txt").write_bytes(b"notes")
    saved = tmp_path / "saved.zip"
    outcome = run("backup", str(saved), "--json", code=7)
    assert {hurt.name} == set(outcome.json["damaged"])
    assert {"pipe.json", "notes.txt"} == set(outcome.json["left_out"])
    assert all(name in outcome.err for name in (hurt.name, "pipe.json", "notes.txt"))
    run("restore", str(saved), "-w", str(tmp_path / "new"))
    restored = tmp_path / "new" / "sessions"
    assert hurt.read_bytes() == (restored / hurt.name).read_bytes()
    assert whole.rstrip() == (restored / torn.name).read_bytes().rstrip()


def _listed(parts: Parts, **changes: object) -> Parts:
    """Change what the list says of the first session."""
    manifest = json.loads(parts["manifest.json"])
    manifest["sessions"][0] |= changes
    return {**parts, "manifest.json": json.dumps(manifest).encode()}


def _renamed(parts: Parts, name: str) -> Parts:
    """Put the first session under another name, in the list too."""
    first = _first(parts)
    moved = {(f"sessions/{name}" if path == first else path): data for path, data in parts.items()}
    return _listed(moved, file=name)


def _replaced(parts: Parts, data: bytes) -> Parts:
    """Give the first session another content and the size and checksum that go with it."""
    return _listed({**parts, _first(parts): data}, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def _altered(parts: Parts) -> Parts:
    return _replaced(parts, b'{"cells":[]}')


def _bombed(parts: Parts) -> Parts:
    return _replaced(parts, parts[_first(parts)] + b"\n" * (1 << 27))


def _first(parts: Parts) -> str:
    return f"sessions/{json.loads(parts['manifest.json'])['sessions'][0]['file']}"


@pytest.mark.parametrize(
    "harm",
    [
        lambda parts: _renamed(parts, "../../escaped.json"),
        lambda parts: _renamed(parts, "/tmp/escaped.json"),  # noqa: S108 - nothing is written there
        lambda parts: _renamed(parts, "other.json"),
        lambda parts: {**parts, "../escaped.json": b"{}"},
        lambda parts: {**parts, "tokens.json": b"{}"},
        lambda parts: {name: data for name, data in parts.items() if name != "manifest.json"},
        lambda parts: {name: data for name, data in parts.items() if name != _first(parts)},
        lambda parts: {**parts, "manifest.json": b"[" * 100_000},
        lambda parts: {**parts, "manifest.json": b"{}"},
        lambda parts: {**parts, _first(parts): parts[_first(parts)].replace(b"user", b"tool", 1)},
        lambda parts: _listed(parts, sha256="0" * 64),
        lambda parts: _listed(parts, size_bytes=1),
        lambda parts: _listed(parts, message_count=1),
        lambda parts: _listed(parts, key="another"),
        lambda parts: _listed(parts, key="\ud800"),
        lambda parts: _listed(parts, key=None),
        _altered,
        _bombed,
    ],
)  # fmt: skip
def test_restore_a_hostile_backup(run: Run, saved: Path, tmp_path: Path, harm: Callable[[Parts], Parts]) -> None:
    """Whatever is wrong with a backup is said in a sentence, before anything is put in place."""
    with zipfile.ZipFile(saved) as packed:
        parts = {name: packed.read(name) for name in packed.namelist()}
    hostile = tmp_path / "hostile.zip"
    with zipfile.ZipFile(hostile, "w", zipfile.ZIP_DEFLATED) as into:
        for name, data in harm(parts).items():
            into.writestr(name, data)
    _check_refused(run, hostile, tmp_path)


def test_restore_a_backup_with_links(run: Run, saved: Path, tmp_path: Path) -> None:
    """A link in a backup is no session, whatever it leads to."""
    hostile = tmp_path / "hostile.zip"
    with zipfile.ZipFile(saved) as packed, zipfile.ZipFile(hostile, "w") as into:
        for place, name in enumerate(packed.namelist()):
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFREG if place else stat.S_IFLNK) << 16
            into.writestr(info, packed.read(name))
    _check_refused(run, hostile, tmp_path)


def test_restore_a_backup_with_a_name_twice(run: Run, saved: Path, tmp_path: Path) -> None:
    """Of two things with one name neither is taken."""
    hostile = tmp_path / "hostile.zip"
    hostile.write_bytes(saved.read_bytes())
    with zipfile.ZipFile(hostile, "a") as into, pytest.warns(UserWarning, match="Duplicate"):
        into.writestr(into.namelist()[0], b"{}")
    _check_refused(run, hostile, tmp_path)


def test_restore_a_backup_of_overlapping_parts(run: Run, saved: Path, tmp_path: Path) -> None:
    """Names that all stand for the same bytes, as in a bomb, are not read."""
    hostile = tmp_path / "hostile.zip"
    data = bytearray(saved.read_bytes())
    at = data.index(b"PK\x01\x02")
    (first,) = struct.unpack_from("<I", data, at + 42)
    for _ in range(11):
        struct.pack_into("<I", data, at + 42, first)
        at = data.index(b"PK\x01\x02", at + 4)
    hostile.write_bytes(data)
    _check_refused(run, hostile, tmp_path)


@pytest.mark.parametrize("part", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_restore_a_backup_that_is_cut_off(run: Run, saved: Path, tmp_path: Path, part: float) -> None:
    """A backup that was copied in part is refused, wherever it ends."""
    hostile = tmp_path / "hostile.zip"
    data = saved.read_bytes()
    hostile.write_bytes(data[: int(len(data) * part)])
    _check_refused(run, hostile, tmp_path)


def test_restore_a_backup_with_flipped_bits(run: Run, saved: Path, tmp_path: Path) -> None:
    """A bit that was flipped anywhere is found, or changes nothing."""
    whole = saved.read_bytes()
    hostile = tmp_path / "hostile.zip"
    refused = 0
    for place in range(0, len(whole), max(1, len(whole) // 150)):
        data = bytearray(whole)
        data[place] ^= 0x10
        hostile.write_bytes(data)
        try:
            run("restore", str(hostile), "-w", str(tmp_path / "other"), "--dry-run", code=2)
            refused += 1
        except AssertionError:  # in a date, say
            run("restore", str(hostile), "-w", str(tmp_path / f"bit{place}"))
            assert _files(tmp_path / "workspace") == _files(tmp_path / f"bit{place}")
    assert refused > 100
    assert not (tmp_path / "other").exists()


def test_restore_until_the_disk_is_full(
    run: Run, workspace: Path, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was put in place until then is whole, the error says how to go on, and going on does the rest."""
    new = tmp_path / "new"
    whole = Tree.created
    left = iter(range(3))

    def created(tree: Tree, name: str, content: bytes) -> AbstractContextManager[LockedFile]:
        if next(left, None) is None:
            raise StorageFullError
        return whole(tree, name, content)

    with monkeypatch.context() as patched:
        patched.setattr(Tree, "created", created)
        told = run("restore", str(saved), "-w", str(new), code=1).err
    assert "No space is left" in told
    assert "3 sessions restored so far; go on with --add" in told
    assert 3 == len(_files(new))
    assert _files(new).items() <= _files(workspace).items()
    assert "Restored 8 sessions" in run("restore", str(saved), "-w", str(new), "--add").out
    assert _files(workspace) == _files(new)


def test_restore_what_does_not_fit(run: Run, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no room for all of it nothing is begun."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1000, 999, 1))
    assert "No space is left" in run("restore", str(saved), "-w", str(tmp_path / "new"), code=1).err
    assert not (tmp_path / "new").exists()


def test_restore_from_what_is_no_file(run: Run, tmp_path: Path) -> None:
    """A pipe or a folder is not waited for."""
    os.mkfifo(tmp_path / "pipe")
    run("restore", str(tmp_path / "pipe"), code=2)
    run("restore", str(tmp_path), code=2)
    run("backup", "--verify", str(tmp_path / "nothing"), code=3)


def test_put_away_what_expands_much(run: Run, workspace: Path, tmp_path: Path) -> None:
    """A large session that compresses extremely well, as a bomb does, comes back all the same."""
    run("append", "big", "x" * 1000, "--role", "user")
    (path,) = (workspace / "sessions").iterdir()
    data = path.read_bytes()
    path.write_bytes(data.rstrip(b"\n") + b"\n" * (70 << 20))
    run("backup", str(tmp_path / "saved.zip"))
    run("restore", str(tmp_path / "saved.zip"), "-w", str(tmp_path / "new"))
    assert path.read_bytes() == (tmp_path / "new" / "sessions" / path.name).read_bytes()


def _check_refused(run: Run, hostile: Path, tmp_path: Path) -> None:
    before = {path.name for path in tmp_path.iterdir()}
    new = tmp_path / "new"
    for args in (("restore", str(hostile), "-w", str(new)), ("backup", "--verify", str(hostile))):
        assert "backup" in run(*args, code=2).err
    assert before == {path.name for path in tmp_path.iterdir()}


def _files(workspace: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (workspace / "sessions").iterdir()}


def test_restore_links_people_again(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup has the people, for restored sessions alone; nobody loses a session to somebody of the backup."""
    for key in ("telegram:1", "discord:2", "cli:3"):
        run("append", key, "x", "--role", "user")
    run("link", "telegram:1", "discord:2", "--person", "alice")
    run("link", "cli:3", "--person", "bob")
    backup = str(tmp_path / "backup.zip")
    run("backup", backup)
    monkeypatch.setenv("CHATKEEP_WORKSPACE", str(tmp_path / "one"))
    elsewhere = ("--workspace", str(tmp_path / "other"))
    run("restore", backup, *elsewhere)
    found = [(one["person"], one["keys"]) for one in run("people", "--json", *elsewhere).json["people"]]
    assert [("alice", ["discord:2", "telegram:1"]), ("bob", ["cli:3"])] == found
    run("unlink", "telegram:1", *elsewhere)
    run("link", "telegram:1", "--person", "carol", *elsewhere)
    told = run("restore", backup, "--add", *elsewhere).err
    assert "telegram:1 is not linked to alice: telegram:1 belongs to carol" in told
    single = ("--workspace", str(tmp_path / "single"))
    run("restore", backup, "cli:3", *single)
    assert [("bob", ["cli:3"])] == [
        (one["person"], one["keys"]) for one in run("people", "--json", *single).json["people"]
    ]


def test_back_up_without_a_list_of_people(run: Run, workspace: Path, tmp_path: Path) -> None:
    """Where the list of people cannot be read, the sessions are backed up all the same, and the list is named."""
    run("append", "a", "x", "--role", "user")
    (workspace / "people.json").write_text("{")
    assert "people.json: left out" in run("backup", str(tmp_path / "backup.zip"), code=7).err
    assert "All is well: 1 session" in run("backup", str(tmp_path / "backup.zip"), "--verify").out
