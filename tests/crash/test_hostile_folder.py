"""Hostile things in a workspace: the rest is listed, searched, exported, appended to and backed up.

Nothing hangs, nothing outside of the workspace is touched, nothing damaged is overwritten.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import subprocess
import sys
import threading
import zipfile
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from chatkeep import wiring
from chatkeep.access.page_sessions import PageSessions
from chatkeep.access.tokens import TokenFile
from chatkeep.config import Settings, settings_from
from chatkeep.core.model import Revision, Selection
from chatkeep.errors import ChatkeepError, SessionDamagedError
from chatkeep.http.gate.limits import Limits
from chatkeep.store.files.care.checkup import examined
from chatkeep.store.files.index.index import Index
from chatkeep.store.files.store import FilesStore
from chatkeep.store.files.tree.tree import file_name
from chatkeep.testing import draft, search_for, session, talk
from tests.crash.damage import plant_all
from tests.crash.scorecard import Score
from tests.crash.serving import served

JUNK = int(os.environ.get("CHATKEEP_CRASH_JUNK", "2500"))
_BOUND_S = 60.0  # far above what anything here takes: it tells waiting from waiting for ever
_GOOD = 40
_SWAPPED_USES = 10
_NOBODY = 65534
_LONGEST = 255
Look = dict[str, tuple[object, ...]]


@pytest.fixture
def workspace(scratch: Path) -> Path:
    """Return a closed workspace with good sessions in it."""
    with closing(FilesStore.open(scratch / "workspace", durability="none")) as store:
        for number in range(_GOOD):
            store.append(f"good:{number}", [*talk(2), draft(f"plum{number:03}", id="plum")])
    (scratch / "workspace").chmod(0o700)
    return scratch / "workspace"


@pytest.fixture
def outside(scratch: Path) -> Path:
    """Return a folder beside the workspace, with things in it that nobody may touch."""
    folder = scratch / "outside"
    (folder / "deep").mkdir(parents=True)
    with closing(FilesStore.open(folder / "theirs", durability="none")) as store:
        store.append("theirs:1", talk(3))
    for name in ("secret", "deep/secret", file_name("linked:1")):
        (folder / name).write_text("secret")
    for path in folder.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    return folder


def _look(folder: Path) -> Look:
    """Return everything about everything in a folder that somebody may have touched, the folder itself included."""
    found: Look = {}
    for path in (folder, *sorted(folder.rglob("*"))):
        held = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(held.st_mode) else None
        found[str(path)] = (held.st_mode, held.st_uid, held.st_mtime_ns, held.st_ctime_ns, held.st_nlink, content)
    return found


def _plant_names(sessions: Path, outside: Path) -> None:
    """Put what is no session under all kinds of names."""
    own = [sessions / file_name(f"linked:{number}") for number in range(8)]
    own[0].symlink_to(outside / "secret")
    own[1].symlink_to(outside / file_name("linked:1"))
    own[2].symlink_to(own[2].name)
    own[3].symlink_to(outside / "deep")
    own[4].symlink_to("nowhere")
    os.mkfifo(own[5])
    (own[6] / "inside").mkdir(parents=True)
    own[7].write_bytes(b"")
    (sessions / "up").symlink_to("..")
    (sessions / "theirs.json").symlink_to(next((outside / "theirs" / "sessions").iterdir()))
    (sessions / ("x" * (_LONGEST - 5) + ".json")).write_text("{}")
    Path(os.fsdecode(bytes(sessions) + b"/\xff\xfe.json")).write_text("{}")
    (sessions / "a\nb\x1b[31m.json").write_text("{}")
    (sessions / "CON.json").write_text("[" * 100_000)
    if os.geteuid() == 0:
        for name, kind, device in (("zero.json", stat.S_IFCHR, (1, 5)), ("disk.json", stat.S_IFBLK, (7, 0))):
            os.mknod(sessions / name, kind | 0o600, os.makedev(*device))


def _plant_junk(sessions: Path) -> None:
    for number in range(JUNK):
        (sessions / f"junk {number}{('', '.json', '.tmp')[number % 3]}").write_bytes(b"junk" if number % 2 else b"")


def _chatkeep(workspace: Path, *arguments: str, codes: tuple[int, ...] = (0,), uid: int | None = None) -> str:
    """Run a command and return what it prints; it ends in bounded time, without a traceback."""
    command = [sys.executable, "-m", "chatkeep", *arguments, "--workspace", str(workspace)]
    done = subprocess.run(command, capture_output=True, timeout=_BOUND_S, check=False, user=uid)
    said = (done.stdout + done.stderr).decode(errors="backslashreplace")
    assert done.returncode in codes, (arguments, done.returncode, said)
    assert "Traceback" not in said
    return said


def _good_faults(store: FilesStore, without: int | None = None) -> list[str]:
    """Return which of the good sessions are not listed, found, read or appended to."""
    keys = [f"good:{number}" for number in range(_GOOD)]
    listed = store.list(Selection(prefixes=("good:",)), limit=500).sessions
    found = [] if sorted(keys) == sorted(one.header.key for one in listed) else ["not all are listed"]
    for number, key in enumerate(keys):
        if number == without:
            continue
        if [key] != [hit.key for hit in store.search(search_for(f"plum{number:03}")).hits]:
            found.append(f"{key} is not found")
        count = len(store.read(key).messages)
        if count + 1 != store.append(key, [draft("more")]).message_count:
            found.append(f"{key} is not appended to")
    return found


@pytest.mark.campaign("hostile things among sessions")
def test_store_among_hostile_things(workspace: Path, outside: Path, score: Score) -> None:
    """Good sessions are served beside links, pipes, devices, odd names and junk; nothing else is changed."""
    _plant_names(workspace / "sessions", outside)
    _plant_junk(workspace / "sessions")
    before = _look(outside)
    damaged = {path: path.read_bytes() for path in (workspace / "sessions").glob("*") if _is_plain(path)}
    with closing(FilesStore.open(workspace, watch=True)) as store:
        problems = store.status().problems
        score.count(len(problems), _good_faults(store))
        assert all(file_name(f"linked:{number}") in problems for number in range(8))
    assert before == _look(outside)
    assert damaged == {path: path.read_bytes() for path in damaged}


def test_write_no_session_through_a_hard_link(workspace: Path, outside: Path) -> None:
    """A file with other names is read, named as a problem and never written, until it has one name again."""
    victim = outside / "kept"
    path = workspace / "sessions" / file_name("good:1")
    with closing(FilesStore.open(workspace, durability="none")) as store:
        victim.hardlink_to(path)
        kept = victim.read_bytes()
        for change in (
            lambda: store.append("good:1", [draft("more")]),
            lambda: store.revise("good:1", Revision(title="Mine")),
            lambda: store.merge(session("good:1", [draft("more")])),
        ):
            with pytest.raises(SessionDamagedError, match="hard links"):
                change()
        assert kept == victim.read_bytes()
        assert 3 == len(store.read("good:1").messages)
        assert "hard links" in store.status().problems[path.name]
        assert [] == _good_faults(store, without=1)
        victim.unlink()
        assert 4 == store.append("good:1", [draft("more")]).message_count


@pytest.mark.parametrize("tail", [b"", b',{"seq":4,"role":"us'], ids=["whole", "torn"])
def test_write_no_file_that_was_linked_into_the_workspace(workspace: Path, outside: Path, tail: bytes) -> None:
    """Another workspace's session under its own name here is shown, and an append changes neither."""
    theirs = outside / "theirs" / "sessions" / file_name("theirs:1")
    content = theirs.read_bytes()
    kept = content[: content.index(b'],"message_count"')] + tail if tail else content
    theirs.write_bytes(kept)
    os.utime(theirs, (1_000_000_000, 1_000_000_000))  # not on its way here
    (workspace / "sessions" / theirs.name).hardlink_to(theirs)
    with closing(FilesStore.open(workspace, durability="none")) as store:
        assert 3 == store.get("theirs:1").message_count
        with pytest.raises(SessionDamagedError, match="hard links"):
            store.append("theirs:1", [draft("more")])
        assert kept == theirs.read_bytes()
        store.delete("theirs:1")
    assert kept == theirs.read_bytes()


def test_write_a_file_whose_maker_died_before_it_lost_its_first_name(workspace: Path) -> None:
    """The name in `tmp` that a session is born under is none of somebody else's: it is taken away, and all goes on."""
    path = workspace / "sessions" / file_name("good:1")
    with closing(FilesStore.open(workspace, durability="none")) as store:
        (workspace / "tmp" / "1-born").hardlink_to(path)
        assert 4 == store.append("good:1", [draft("more")]).message_count
        assert 1 == path.stat().st_nlink
        assert {} == store.status().problems


def test_append_while_its_file_is_swapped_for_links(workspace: Path, outside: Path) -> None:
    """Whatever a name stands for from one moment to the next, nothing outside is written."""
    victim = outside / "theirs" / "sessions" / file_name("theirs:1")
    path, aside = workspace / "sessions" / file_name("good:1"), workspace / "aside"
    before = victim.read_bytes()
    answered = []
    with closing(FilesStore.open(workspace, durability="none", lock_timeout_s=0.2)) as store:

        def append() -> None:
            for number in range(300):
                with contextlib.suppress(ChatkeepError):
                    answered.append(store.append("good:1", [draft("more", id=f"m{number}")]).receipts[0].id)

        writer = threading.Thread(target=append)
        writer.start()
        turn = 0
        while writer.is_alive():
            turn += 1
            with contextlib.suppress(FileNotFoundError, FileExistsError):
                path.rename(aside)
                (path.symlink_to, path.hardlink_to)[turn % 2](victim)
                path.unlink()
            with contextlib.suppress(FileNotFoundError):
                aside.replace(path)
        writer.join()
        assert before == victim.read_bytes()
    assert answered
    assert before == victim.read_bytes()


def _is_plain(path: Path) -> bool:
    return not path.name.startswith("good-") and stat.S_ISREG(path.lstat().st_mode)


def test_commands_among_hostile_things(scratch: Path, workspace: Path, outside: Path) -> None:
    """Commands and a server do their work beside 60 kinds of damage and hostile names, and touch nothing outside."""
    plant_all(workspace, scratch / "planted")
    (workspace / "chatkeep.toml").unlink()
    (workspace / "lock").rmdir()
    _plant_names(workspace / "sessions", outside)
    before = _look(outside), _look(scratch / "planted" / "secret")
    assert f"{_GOOD}" in _chatkeep(workspace, "list", "--json", "--prefix", "good:")
    assert "good:7" in _chatkeep(workspace, "search", "plum007")
    assert "plum007" in _chatkeep(workspace, "export", "good:7", "--format", "json")
    assert "4" in _chatkeep(workspace, "append", "good:7", "--role", "user", "more")
    _chatkeep(workspace, "doctor", codes=(7,))
    _chatkeep(workspace, "backup", str(scratch / "backup.zip"), codes=(0, 7))
    with zipfile.ZipFile(scratch / "backup.zip") as backup:
        kept = {one["key"] for one in json.loads(backup.read("manifest.json"))["sessions"]}
    assert {f"good:{number}" for number in range(_GOOD)} <= kept
    assert "theirs:1" not in kept
    assert before == (_look(outside), _look(scratch / "planted" / "secret"))


_BESIDE = (
    "index",
    "tokens.json",
    "tokens.lock",
    "pages.json",
    "pages.lock",
    "lock",
    "limits.sqlite3",
    "chatkeep.toml",
    "sessions",
    "tmp",
    "quarantine",
)
_THINGS = ("link", "database", "dangling", "pipe", "zero", "folder")


@pytest.mark.parametrize("name", _BESIDE)
def test_hostile_things_beside_the_sessions(scratch: Path, workspace: Path, outside: Path, name: str) -> None:
    """What stands in the place of Chatkeep's own files is replaced or told of, never followed; nobody waits for it."""
    for thing in _THINGS:
        place = workspace / (Index.path_in(workspace).name if name == "index" else name)
        kept = scratch / "kept"
        if os.path.lexists(place):
            place.rename(kept)
        _put(place, thing, outside)
        before = _look(outside)
        assert [] == _used(workspace), thing
        assert before == _look(outside), thing
        if os.path.lexists(place):
            shutil.rmtree(place) if place.is_dir() and not place.is_symlink() else place.unlink()
        if os.path.lexists(kept):
            kept.rename(place)
    with closing(FilesStore.open(workspace)) as store:
        assert _GOOD == store.status().session_count


_LINKED = (
    *(f"index{ending}" for ending in ("", "-wal", "-shm")),
    *(f"limits.sqlite3{ending}" for ending in ("", "-wal", "-shm")),
    "tokens.json",
    "pages.json",
    "tokens.lock",
    "pages.lock",
    "lock",
)


@pytest.mark.parametrize("name", _LINKED)
def test_use_no_file_of_our_own_that_has_another_name(workspace: Path, outside: Path, name: str) -> None:
    """A file of Chatkeep's own that is linked to one elsewhere is never written; the doctor gives all back."""
    assert [] == _used(workspace)
    place = workspace / name.replace("index", Index.path_in(workspace).name)
    kept = outside / "kept"
    if place.exists():
        place.rename(kept)
    else:
        kept.write_bytes(b"0" * 5000)
    kept.chmod(0o600)
    before = kept.read_bytes()
    place.hardlink_to(kept)
    found = [one.kind for one in wiring.findings_in(Settings(workspace=workspace)) if one.file == place.name]
    assert "linked" in found
    assert [] == _used(workspace)
    assert before == kept.read_bytes()
    wiring.fixed_workspace(Settings(workspace=workspace))
    assert before == kept.read_bytes()
    assert not (place.exists() and place.samefile(kept))
    assert [] == [one for one in wiring.findings_in(Settings(workspace=workspace)) if one.needs_care]
    TokenFile(workspace / "tokens.json").create("another")
    with closing(FilesStore.open(workspace)) as store:
        assert _GOOD == store.status().session_count


@pytest.mark.parametrize("name", ["index", "limits.sqlite3", "tokens.json"])
def test_use_files_while_they_are_swapped_for_links(workspace: Path, outside: Path, name: str) -> None:
    """Whatever a name stands for from one moment to the next, every use ends, and any error is a sentence.

    A file that is opened here is looked at once it is open, so nothing outside is written through a link. SQLite opens
    by name: a link put there between the look and the opening leads it out. The folder is its owner's alone for that.
    """
    assert [] == _used(workspace)
    place = workspace / name.replace("index", Index.path_in(workspace).name)
    victim = outside / "victim"
    shutil.copyfile(place, victim)
    kept = victim.read_bytes()
    done = threading.Event()

    def swap() -> None:
        """Put links of both kinds, and the file again, in the place by turns."""
        while not done.is_set():
            with contextlib.suppress(OSError):
                place.rename(workspace / "aside")
                place.symlink_to(victim)
                place.unlink()
                place.hardlink_to(victim)
                place.unlink()
                (workspace / "aside").rename(place)

    swapping = threading.Thread(target=swap, daemon=True)
    swapping.start()
    try:
        for _ in range(_SWAPPED_USES):
            assert [] == _used(workspace)
    finally:
        done.set()
        swapping.join()
    assert name != "tokens.json" or kept == victim.read_bytes()


def _used(workspace: Path) -> list[str]:
    """Use everything in a workspace; return what is raised that is no sentence for people, and what never ends."""
    found: list[str] = []

    def use() -> None:
        for work in (
            lambda: _append_and_check(workspace),
            lambda: settings_from({"workspace": workspace}, {}),
            lambda: TokenFile(workspace / "tokens.json").create("one"),
            lambda: PageSessions(TokenFile(workspace / "tokens.json")).open(None),
            lambda: Limits(workspace / "limits.sqlite3").take([("address:a", 5)]),
            lambda: list(wiring.findings_in(Settings(workspace=workspace))),
        ):
            try:
                work()
            except ChatkeepError:
                pass
            except Exception as error:  # noqa: BLE001 - that is what is looked for
                found.append(f"raw {error!r}")

    user = threading.Thread(target=use, daemon=True)
    user.start()
    user.join(_BOUND_S)
    return [*found, "it does not end"] if user.is_alive() else found


def _append_and_check(workspace: Path) -> None:
    with closing(FilesStore.open(workspace)) as store:
        store.append("good:1", [draft("more")])
        list(examined(workspace))


def _put(place: Path, thing: str, outside: Path) -> None:
    if thing == "link":
        place.symlink_to(outside / ("deep" if "." not in place.name and place.name != "lock" else "secret"))
    elif thing == "database":
        place.symlink_to(next((outside / "theirs").glob("index*.sqlite3")))
    elif thing == "dangling":
        place.symlink_to(outside / "nowhere")
    elif thing == "pipe":
        os.mkfifo(place)
    elif thing == "zero" and os.geteuid() == 0:
        os.mknod(place, stat.S_IFCHR | 0o600, os.makedev(1, 5))
    else:
        (place / "inside").mkdir(parents=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others, and run as somebody else")
def test_files_of_others(workspace: Path) -> None:
    """Who may not read some files, or write some, is told so of these, and served all others."""
    try:
        _chatkeep(workspace, "list", uid=_NOBODY, codes=(0, 1))
    except (PermissionError, AssertionError):
        pytest.skip("nobody but root can run this Python")
    for path in (workspace.parent, *workspace.parents):
        if not path.stat().st_mode & stat.S_IXOTH and path.parent != path:
            path.chmod(path.stat().st_mode | stat.S_IXOTH)
    for path in (workspace, *workspace.rglob("*")):
        os.chown(path, _NOBODY, _NOBODY)
    hidden, fixed = (workspace / "sessions" / file_name(f"good:{number}") for number in (1, 2))
    os.chown(hidden, 0, 0)
    os.chown(fixed, 0, 0)
    fixed.chmod(0o644)
    before = fixed.read_bytes(), hidden.read_bytes()
    assert "good:3" in _chatkeep(workspace, "list", uid=_NOBODY)
    assert "good:2" in _chatkeep(workspace, "search", "plum002", uid=_NOBODY)
    assert "good:1 " not in _chatkeep(workspace, "list", uid=_NOBODY)
    _chatkeep(workspace, "append", "good:1", "--role", "user", "more", codes=(1, 7), uid=_NOBODY)
    _chatkeep(workspace, "append", "good:2", "--role", "user", "more", codes=(1, 7), uid=_NOBODY)
    _chatkeep(workspace, "append", "good:3", "--role", "user", "more", uid=_NOBODY)
    _chatkeep(workspace, "doctor", codes=(7,), uid=_NOBODY)
    assert before == (fixed.read_bytes(), hidden.read_bytes())


def test_serve_among_hostile_things(workspace: Path, outside: Path) -> None:
    """A server starts on such a workspace, and answers for every good session."""
    _plant_names(workspace / "sessions", outside)
    token, _ = TokenFile(workspace / "tokens.json").create(name="test", scopes=("admin",))
    before = _look(outside)
    with (
        served(workspace) as address,
        httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=_BOUND_S) as http,
    ):
        assert _GOOD == http.get("/api/v1/sessions", params={"prefix": "good:"}).json()["count"]
        for number in range(8):
            answer = http.get("/api/v1/messages", params={"session": f"linked:{number}"})
            assert answer.status_code == 409, answer.text
        hits = http.get("/api/sessions/search", params={"q": "plum003"}).json()["sessions"]
        assert ["good:3"] == [hit["id"] for hit in hits]
    assert before == _look(outside)
