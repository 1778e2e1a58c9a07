"""What files bring with them: repairs, damage, changes from outside, an index that comes and goes."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from chatkeep.core.life.dropping import Chosen, Mark
from chatkeep.core.model import Revision, Selection
from chatkeep.errors import BusyError, SessionDamagedError, SessionNotFoundError, StorageError
from chatkeep.store.files.care.checkup import examined
from chatkeep.store.files.index import rows
from chatkeep.store.files.index.index import Index
from chatkeep.store.files.index.sql import AUDIT, LATE_INDEXES, QUERIES, SCHEMA
from chatkeep.store.files.store import FilesStore
from chatkeep.store.files.tree.tree import Tree, file_name
from chatkeep.store.files.upkeep.upkeep import Upkeep
from chatkeep.testing import at, draft, search_for, talk

KEY = "telegram:1"
NAME = file_name(KEY)
SEEN_S = 2.0  # the promise: changes from outside are seen within two seconds


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Return a workspace with one session of three messages, closed."""
    store = FilesStore.open(tmp_path / "workspace")
    store.append(KEY, talk(3))
    store.append("other:1", talk(1))
    store.close()
    return tmp_path / "workspace"


@pytest.fixture
def opened(workspace: Path) -> Iterator[Callable[..., FilesStore]]:
    """Return a way to open the workspace; what was opened is closed in the end."""
    stores: list[FilesStore] = []

    def open_it(**options: object) -> FilesStore:
        stores.append(FilesStore.open(workspace, **options))  # type: ignore[arg-type]
        return stores[-1]

    yield open_it
    for store in stores:
        store.close()


def _file(workspace: Path) -> Path:
    return workspace / "sessions" / NAME


def _texts(store: FilesStore, key: str = KEY) -> list[object]:
    return [message.content for message in store.window(key, limit=500).messages]


def _tear(workspace: Path) -> bytes:
    """Cut an append short, as a kill does; return the bytes that belong to no message."""
    data = _file(workspace).read_bytes()
    tail = data.index(b"],")
    left = b',{"seq":4,"role":"user","content":"never ans'
    _file(workspace).open("r+b").close()
    with _file(workspace).open("r+b") as file:
        file.seek(tail)
        file.write(left)
    return left


def _soon(condition: Callable[[], bool]) -> bool:
    """Tell whether something comes true within the time that is promised."""
    deadline = time.monotonic() + SEEN_S
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_open_after_a_cut_append(workspace: Path, opened: Callable[..., FilesStore]) -> None:
    """A torn tail is cut when the workspace is opened; the cut bytes are kept; a second look changes nothing."""
    left = _tear(workspace)
    store = opened()
    repaired = _file(workspace).read_bytes()
    (kept,) = (workspace / "quarantine").iterdir()

    assert ["line 1", "line 2", "line 3"] == [said["content"] for said in json.loads(repaired)["messages"]]
    assert kept.read_bytes().startswith(left)
    assert 4 == store.append(KEY, [draft("next")]).message_count
    store.close()
    opened()
    assert 1 == len(list((workspace / "quarantine").iterdir()))


@pytest.mark.parametrize("stored", [0, 2])
def test_open_after_an_append_that_the_index_missed(
    workspace: Path, opened: Callable[..., FilesStore], stored: int
) -> None:
    """However long a session is, only what the index has not is put into it when a cut or an unknown append is met."""
    docs = _docs(workspace)
    (workspace / "aside").mkdir()
    for path in workspace.glob("index*"):
        shutil.copy2(path, workspace / "aside")
    with closing(opened()) as store:
        for number in range(stored):
            store.append(KEY, [draft(f"unknown {number}")])
    for path in (workspace / "aside").iterdir():
        shutil.copy2(path, workspace)
    _tear(workspace)
    with closing(opened()) as store:
        assert ["line 1", "line 2", "line 3", *(f"unknown {number}" for number in range(stored))] == _texts(store)
        assert stored == len(store.search(search_for("unknown", unit="message")).hits)
        assert 3 + stored + 1 == store.append(KEY, [draft("next")]).message_count
        assert [] == list(examined(workspace))

    assert docs == _docs(workspace)[: len(docs)]


def test_open_after_a_cut_append_and_an_edit(workspace: Path, opened: Callable[..., FilesStore]) -> None:
    """A change of stored bytes that leaves all sizes as they were is seen all the same."""
    _tear(workspace)
    _file(workspace).write_bytes(_file(workspace).read_bytes().replace(b"line 2", b"word 2"))
    store = opened()

    assert ["line 1", "word 2", "line 3"] == _texts(store)
    assert 1 == len(store.search(search_for("word", unit="message", roles=None)).hits)
    assert [] == list(examined(workspace))


def _docs(workspace: Path) -> list[tuple[object, ...]]:
    """Return which documents of the index the messages are."""
    with closing(apsw.Connection(str(Index.path_in(workspace)))) as db:
        sql = "SELECT m.seq, m.doc FROM messages m JOIN sessions s USING (sid) WHERE key = ? ORDER BY seq"
        return list(db.execute(sql, (KEY,)))


@pytest.mark.parametrize("index", ["kept", "lost"])
def test_open_with_a_torn_file_and_a_full_disk(
    workspace: Path, opened: Callable[..., FilesStore], monkeypatch: pytest.MonkeyPatch, index: str
) -> None:
    """A torn file that cannot be put right hides no other, is told of, and is put right when there is space again."""
    _tear(workspace)
    if index == "lost":
        for path in workspace.glob("index*"):
            path.unlink()
    os.utime(_file(workspace), (0, 0))
    told: list[str] = []

    def refuse(fd: int, data: bytes, place: int) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", refuse)
        store = opened(on_problem=lambda name, _: told.append(name))
        assert 1 == len(_texts(store, "other:1"))
    assert [NAME] == told
    os.utime(_file(workspace), (0, 0))
    assert ["line 1", "line 2", "line 3"] == _texts(store)
    assert 4 == store.append(KEY, [draft("next")]).message_count
    assert ({}, []) == (store.status().problems, list(examined(workspace)))


def test_append_after_a_cut_append(workspace: Path, opened: Callable[..., FilesStore]) -> None:
    """A store that is open meets the torn tail at its next append, and puts it right first."""
    store = opened()
    _tear(workspace)

    assert 4 == store.append(KEY, [draft("next")]).message_count
    assert ["line 1", "line 2", "line 3", "next"] == _texts(store)
    json.loads(_file(workspace).read_bytes())


def test_append_to_damage(workspace: Path, opened: Callable[..., FilesStore]) -> None:
    """Damage in the middle makes a session read-only; what parses is served, the file is never written."""
    damaged = _file(workspace).read_bytes().replace(b'"line 2"', b'"li\xffe 2"')
    _file(workspace).write_bytes(damaged)
    store = opened()
    with pytest.raises(SessionDamagedError):
        store.append(KEY, [draft("more")])
    with pytest.raises(SessionDamagedError):
        store.revise(KEY, Revision(title="New"))

    assert ["line 1", "line 3"] == _texts(store)
    assert damaged == _file(workspace).read_bytes()
    assert [NAME] == list(store.status().problems)
    assert [("damaged", KEY)] == [(finding.kind, finding.key) for finding in examined(workspace)]
    store.delete(KEY)
    assert not _file(workspace).exists()


@pytest.mark.parametrize(
    "content", [b"", b"\n" * 4096, b"\0" * 4096, b"[]", b'{"key":', b"not json at all", b'"\\ud800"']
)
def test_open_with_a_file_that_does_not_parse(
    workspace: Path, opened: Callable[..., FilesStore], content: bytes
) -> None:
    """A file that cannot be parsed hides no other, is named, and is never overwritten."""
    _file(workspace).write_bytes(content)
    store = opened()
    with pytest.raises(SessionDamagedError):
        store.get(KEY)
    with pytest.raises(SessionDamagedError):
        store.append(KEY, [draft("more")])

    assert ("other:1",) == store.keys(Selection()).keys
    assert [NAME] == list(store.status().problems)
    assert content == _file(workspace).read_bytes()


def test_open_with_strange_names(workspace: Path, opened: Callable[..., FilesStore], tmp_path: Path) -> None:
    """Copies under other names, links and other files are named and not served; nothing outside is read."""
    folder = workspace / "sessions"
    shutil.copy(_file(workspace), folder / "copy.json")
    (folder / "notes.txt").write_text("mine")
    (folder / file_name("linked")).symlink_to(tmp_path / "elsewhere")
    (folder / ".hidden").write_text("")
    store = opened()

    assert {"copy.json", "notes.txt", file_name("linked")} == set(store.status().problems)
    assert (KEY, "other:1") == tuple(reversed(store.keys(Selection()).keys))
    with pytest.raises(SessionDamagedError):
        store.append("linked", [draft("into the link")])
    assert not (tmp_path / "elsewhere").exists()


def test_append_while_somebody_keeps_the_file(workspace: Path, opened: Callable[..., FilesStore]) -> None:
    """A session that somebody keeps answers busy in bounded time; the others go on; reading goes on."""
    store = opened(lock_timeout_s=0.2)
    with _file(workspace).open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(BusyError):
            store.append(KEY, [draft("more")])
        assert 2 == store.append("other:1", [draft("more")]).message_count
        assert 3 == len(_texts(store))
    assert 4 == store.append(KEY, [draft("more")]).message_count


def test_read_while_an_append_is_under_way(opened: Callable[..., FilesStore], monkeypatch: pytest.MonkeyPatch) -> None:
    """A message is read when its append is answered, also when it came between a look at the file and its bytes."""
    store = opened()
    answered, read = threading.Event(), Tree.read
    (_, seen), note = store._tree.read(NAME), Upkeep.note
    monkeypatch.setattr(Tree, "read", lambda tree, name: (read(tree, name)[0], seen))
    monkeypatch.setattr(Upkeep, "note", lambda upkeep, change: (answered.wait(10), note(upkeep, change))[1])
    append = threading.Thread(target=store.append, args=(KEY, [draft("a fourth")]))
    append.start()
    while b"a fourth" not in read(store._tree, NAME)[0]:
        time.sleep(0.001)
    assert 3 == len(store.read(KEY).messages)
    answered.set()
    append.join()
    assert 4 == len(store.read(KEY).messages)


def test_append_after_a_failed_flush(
    workspace: Path, opened: Callable[..., FilesStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed flush is told; the same message sent again is stored once, in a new file that was flushed."""
    store = opened()
    inode = _file(workspace).stat().st_ino

    def refuse(fd: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", refuse)
        with pytest.raises(StorageError):
            store.append(KEY, [draft("more", id="m")])
    assert 3 == len(_texts(store))
    assert (4, 1) == ((again := store.append(KEY, [draft("more", id="m")])).message_count, again.stored_count)
    assert inode != _file(workspace).stat().st_ino


def test_delete_leaves_no_trace(workspace: Path, opened: Callable[..., FilesStore]) -> None:
    """Deleting removes the file, what repairs cut off it, and its rows."""
    _tear(workspace)
    store = opened()
    store.delete(KEY)

    assert [] == list((workspace / "quarantine").iterdir())
    assert not _file(workspace).exists()
    assert () == store.search(search_for("line", selection=Selection(prefixes=("telegram:",), archived=None))).hits


def test_append_to_an_index_that_somebody_keeps(
    opened: Callable[..., FilesStore], workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An append is answered all the same; a list is refused until it can tell of it, and then does."""
    monkeypatch.setattr("chatkeep.store.files.index.databases._BUSY_S", 0.1)
    store = opened()
    with closing(apsw.Connection(str(Index.path_in(workspace)))) as keeper:
        keeper.execute("BEGIN IMMEDIATE")
        assert 4 == store.append(KEY, [draft("more")]).message_count
        with pytest.raises(BusyError):
            store.list(Selection(), limit=10)
    assert 4 == max(each.message_count for each in store.list(Selection(), limit=10).sessions)


def test_open_while_somebody_keeps_the_index(
    opened: Callable[..., FilesStore], workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To open waits for its turn to bring the index up to date, and ends when that does not come."""
    monkeypatch.setattr("chatkeep.store.files.index.databases._BUSY_S", 0.1)
    opened().close()
    content = _file(workspace).read_bytes()
    _file(workspace).unlink()
    with closing(apsw.Connection(str(Index.path_in(workspace)))) as keeper:
        keeper.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.5, keeper.execute, ("COMMIT",))
        release.start()
        assert ("other:1",) == opened().keys(Selection(archived=None)).keys
        release.join()
        _file(workspace).write_bytes(content)
        keeper.execute("BEGIN IMMEDIATE")
        monkeypatch.setattr("chatkeep.store.files.upkeep.upkeep._PATIENCE_S", 0.3)
        with pytest.raises(BusyError):
            opened()


def test_append_to_an_index_that_is_full(opened: Callable[..., FilesStore], monkeypatch: pytest.MonkeyPatch) -> None:
    """What the index on the disk has no space for is answered, and found by every verb at once."""
    store, grow = opened(), rows.grow

    def refuse(db: rows.Database, row: rows.Row, entry: rows.Entry) -> bool:
        if db.filename.endswith(".sqlite3"):
            raise apsw.FullError
        return grow(db, row, entry)

    monkeypatch.setattr("chatkeep.store.files.index.rows.grow", refuse)
    assert 4 == store.append(KEY, [draft("more")]).message_count

    assert [4, 1] == [one.message_count for one in store.list(Selection(), limit=10).sessions]
    assert 4 == len(_texts(store))
    assert [4] == [hit.seq for hit in store.search(search_for("more")).hits]
    assert 5 == store.status().message_count


@pytest.mark.parametrize("watch", [False, True])
def test_append_to_an_index_of_another_program(
    workspace: Path, opened: Callable[..., FilesStore], tmp_path: Path, *, watch: bool
) -> None:
    """A database of something else in the place of the index is replaced, and every answer is as before."""
    store = opened(watch=watch)
    with closing(apsw.Connection(str(tmp_path / "theirs"))) as db:
        db.execute("CREATE TABLE bookmarks (title TEXT)")
    (tmp_path / "theirs").rename(Index.path_in(workspace))

    assert 4 == store.append(KEY, [draft("more")]).message_count
    assert 4 == max(each.message_count for each in store.list(Selection(), limit=10).sessions)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE sessions SET created_at = 'never' WHERE name = ?",
        "UPDATE sessions SET channel = CAST(X'ff' AS TEXT) WHERE name = ?",
        "UPDATE sessions SET name = 'another.json' WHERE name = ?",
        "UPDATE runs SET message_count = 9 WHERE sid = (SELECT sid FROM sessions WHERE name = ?)",
    ],
)
def test_answers_from_rows_that_cannot_be(workspace: Path, opened: Callable[..., FilesStore], change: str) -> None:
    """An index that holds what nobody has put there is told of, and built again when that is met."""
    store = opened()
    with closing(apsw.Connection(str(Index.path_in(workspace)))) as db:
        db.execute(change, (NAME,))
    assert [] != list(examined(workspace))

    assert 4 == store.append(KEY, [draft("more")]).message_count
    assert [4, 1] == sorted((each.message_count for each in store.list(Selection(), limit=10).sessions), reverse=True)
    assert [] == list(examined(workspace))


@pytest.mark.parametrize("start", ["-99999", "1 << 40", "1 << 62", "0.5"])
def test_answers_from_places_that_cannot_be(workspace: Path, opened: Callable[..., FilesStore], start: str) -> None:
    """An index that says where no message can be is built again; every answer is as before."""
    texts, search = [f"line {number}" for number in (1, 2, 3)], search_for("line", unit="message", roles=None)
    for ask in (lambda store: len(store.search(search).hits), _texts):
        store = opened()
        expected = ask(store)
        with closing(apsw.Connection(str(Index.path_in(workspace)))) as db:
            db.execute(f"UPDATE messages SET start = {start} WHERE seq = 2")  # noqa: S608 - written above
        assert expected == ask(store)
        assert texts == _texts(store)
        store.close()


def test_revise_keeps_unknown_fields(workspace: Path, opened: Callable[..., FilesStore]) -> None:
    """What others wrote into the file outlives a rename and an append."""
    data = _file(workspace).read_bytes()
    changed = data.replace(b',"metadata":{}', b',"metadata":{},"theirs":{"a":1}').replace(
        b'"id":"id-2"', b'"id":"id-2","stars":5'
    )
    _file(workspace).write_bytes(changed)
    store = opened()
    store.revise(KEY, Revision(title="New"))
    store.append(KEY, [draft("more")])
    document = json.loads(_file(workspace).read_bytes())

    assert ("New", {"a": 1}, 5) == (document["title"], document["theirs"], document["messages"][1]["stars"])
    assert [1, 2, 3, 4] == [said["seq"] for said in document["messages"]]


def test_watch_an_edited_file(workspace: Path, opened: Callable[..., FilesStore]) -> None:
    """A running store sees an edit, in place or by replacement, within two seconds."""
    store = opened(watch=True)
    with _file(workspace).open("r+b") as file:
        data = file.read().replace(b"line 2", b"LINE 2")
        file.seek(0)
        file.write(data)
    assert _soon(lambda: "LINE 2" in _texts(store) and bool(store.search(search_for("LINE")).hits))
    edited = _file(workspace).with_suffix(".new")
    edited.write_text(json.dumps({**json.loads(data), "title": "Theirs"}, indent=2))
    edited.rename(_file(workspace))
    assert _soon(lambda: store.get(KEY).title == "Theirs")
    assert 4 == store.append(KEY, [draft("more")]).message_count


def test_watch_files_that_come_and_go(workspace: Path, opened: Callable[..., FilesStore], tmp_path: Path) -> None:
    """A running store sees files that are removed and put back."""
    store = opened(watch=True)
    shutil.move(_file(workspace), tmp_path / "backup")
    assert _soon(lambda: KEY not in store.keys(Selection()).keys)
    with pytest.raises(SessionNotFoundError):
        store.get(KEY)
    shutil.copy(tmp_path / "backup", _file(workspace))
    assert _soon(lambda: KEY in store.keys(Selection()).keys)
    assert ["line 1", "line 2", "line 3"] == _texts(store)


def test_watch_a_file_that_arrives_slowly(workspace: Path, opened: Callable[..., FilesStore], tmp_path: Path) -> None:
    """A copy that takes its time is not cut where it has got to, and is whole when it is there."""
    shutil.move(_file(workspace), tmp_path / "backup")
    data = (tmp_path / "backup").read_bytes()
    store = opened(watch=True)
    half = data.index(b"line 3")
    with _file(workspace).open("wb", buffering=0) as copy:
        for start in range(0, half, half // 8):
            copy.write(data[start : min(half, start + half // 8)])
            time.sleep(0.1)
        with pytest.raises((BusyError, SessionDamagedError)):
            store.append(KEY, [draft("too early")])
        copy.write(data[half:])
    assert _soon(lambda: KEY in store.keys(Selection()).keys and len(_texts(store)) == 3)
    assert data == _file(workspace).read_bytes()
    assert _soon(lambda: store.get(KEY).damage is None)


def test_watch_an_index_that_is_removed(workspace: Path, opened: Callable[..., FilesStore]) -> None:
    """An index that is removed under a running store is there again soon, and no answer changes."""
    store = opened(watch=True)
    before = store.list(Selection(), limit=10)
    for path in workspace.glob("index*"):
        path.unlink()
    assert before == store.list(Selection(), limit=10)
    assert _soon(lambda: any(workspace.glob("index*.sqlite3")))
    assert before == store.list(Selection(), limit=10)
    assert 4 == store.append(KEY, [draft("more")]).message_count


@pytest.mark.parametrize("damage", [b"", b"junk" * 5000])
def test_open_with_a_damaged_index(workspace: Path, opened: Callable[..., FilesStore], damage: bytes) -> None:
    """An index that is no database is built anew."""
    store = opened()
    before = store.list(Selection(), limit=10)
    store.close()
    (index,) = workspace.glob("index*.sqlite3")
    index.write_bytes(damage)

    assert before == opened().list(Selection(), limit=10)


def test_reindex_changes_no_answer(workspace: Path, opened: Callable[..., FilesStore]) -> None:
    """Building the index anew, with progress told, changes nothing that is answered."""
    store = opened()
    before = store.list(Selection(), limit=10), store.search(search_for("line")), store.status()
    told: list[tuple[int, int]] = []
    store.reindex(lambda done, total: told.append((done, total)))

    assert before == (store.list(Selection(), limit=10), store.search(search_for("line")), store.status())
    assert [(2, 2)] == told


def test_messages_of_sessions_that_take_turns(workspace: Path, opened: Callable[..., FilesStore]) -> None:
    """Pages, ids and deletion are of one session, however its messages lie among those of others in the index."""
    store = opened()
    texts = [f"turn {number}" for number in range(1, 201)]
    for number, text in enumerate(texts):
        for key in ("turn:a", "turn:b") if number % 3 else ("turn:a",):
            store.append(key, [draft(text, number, id=f"{key}-{number}")])
    for before in (None, 1, 2, 70, 201, 500):
        for after in (None, 0, 1, 66, 199, 200):
            for limit in (1, 5, 200):
                page = store.window("turn:a", limit=limit, before=before, after=after)
                wanted = [seq for seq in range(1, 201) if (after or 0) < seq < (before or 201)]
                kept = wanted[:limit] if after is not None and before is None else wanted[-limit:]
                assert kept == [message.seq for message in page.messages], (before, after, limit)
                assert [texts[seq - 1] for seq in kept] == [message.content for message in page.messages]
    for number in (0, 1, 31, 32, 33, 199):
        assert 200 == store.append("turn:a", [draft(texts[number], id=f"turn:a-{number}")]).message_count
    assert 200 == store.append("turn:a", [draft(texts[n], id=f"turn:a-{n}") for n in range(200)]).message_count
    store.delete("turn:a")
    assert 133 == len(store.window("turn:b", limit=200).messages)
    assert 133 == len(store.search(search_for("turn", unit="message", limit=200)).hits)
    assert [] == list(examined(workspace))


def test_read_after_another_reindexed(workspace: Path, opened: Callable[..., FilesStore]) -> None:
    """Who only reads goes over to the index that another process has built."""
    reader, writer = opened(), opened()
    assert 3 == reader.get(KEY).message_count
    writer.reindex()
    writer.append(KEY, [draft("line 4")])
    assert 4 == reader.get(KEY).message_count
    assert ["line 1", "line 2", "line 3", "line 4"] == _texts(reader)
    assert [("telegram:1", 1)] == [(hit.key, hit.match_count) for hit in reader.search(search_for("line 4")).hits]


def test_no_question_makes_an_index() -> None:
    """No question to the index makes another one for itself: that would take the time of all it has, every time."""
    makes = []
    fillings = {
        "{where}": "true",
        "{column}": "size",
        "{that}": "IN (SELECT value FROM json_each(:that))",
        "{page}": QUERIES["page"].replace("{where}", "true"),
        "{copied}": "0",
        "{group}": "s.sid",
        "{name}": "of",
        "{tags}": "",
        "{order}": "name",
    }
    with closing(apsw.Connection(":memory:")) as db:
        db.execute(SCHEMA + LATE_INDEXES)
        for name, sql in {**QUERIES, "strangers": AUDIT["strangers"]}.items():
            filled = re.sub(r"\{\w+\}", lambda part: fillings[part[0]], sql)
            values = dict.fromkeys(re.findall(r":(\w+)", filled), 1) or (1,) * len(set(re.findall(r"\?\d*", filled)))
            if "?, ?" not in filled:  # which only adds a row
                plan = db.execute(f"EXPLAIN QUERY PLAN {filled}", values)
                makes += [name for step in plan if "AUTOMATIC" in step[3]]
    assert [] == makes


def test_append_to_another_layout(workspace: Path, opened: Callable[..., FilesStore]) -> None:
    """An append to a session that another program wrote out in its own way stays, and so does a rename."""
    store = opened()
    document = json.loads(_file(workspace).read_bytes())
    _file(workspace).write_text(json.dumps(document, indent=1))
    assert 4 == store.append(KEY, [draft("more")]).message_count
    _file(workspace).write_text(json.dumps(json.loads(_file(workspace).read_bytes()), indent=1))
    assert "New" == store.revise(KEY, Revision(title="New")).title

    store.close()
    assert ["line 1", "line 2", "line 3", "more"] == _texts(opened())


@pytest.mark.parametrize("batches", [1, 3])
def test_open_with_a_file_cut_off(workspace: Path, opened: Callable[..., FilesStore], batches: int) -> None:
    """A file that ends before messages that were in it is damaged: served as far as it goes, named, not written."""
    store = opened()
    store.delete(KEY)
    messages = talk(3)
    for start in range(0, 3, 3 // batches):
        store.append(KEY, messages[start : start + 3 // batches])
    store.close()
    data = _file(workspace).read_bytes()
    cut = data[: data.index(b"line 3")]
    _file(workspace).write_bytes(cut)
    told: list[tuple[str, str]] = []
    store = opened(on_problem=lambda name, reason: told.append((name, reason)))

    assert ["line 1", "line 2"] == _texts(store)
    with pytest.raises(SessionDamagedError):
        store.append(KEY, [draft("more")])
    assert ([NAME], [NAME]) == ([name for name, _ in told], list(store.status().problems))
    assert [("damaged", KEY)] == [(finding.kind, finding.key) for finding in examined(workspace)]
    assert cut == _file(workspace).read_bytes()
    _file(workspace).write_bytes(data)
    store.close()
    assert 4 == opened().append(KEY, [draft("more")]).message_count


@pytest.mark.parametrize(
    "written",
    [b'"timestamp":"2024-01-15T10:30:00"', b'"timestamp":"2024-01-15T19:30:00+09:00"'],
)
def test_open_with_times_of_others(workspace: Path, opened: Callable[..., FilesStore], written: bytes) -> None:
    """Times that others wrote with another offset, or none, are read as the instants they are."""
    data = _file(workspace).read_bytes()
    start = data.index(b'"timestamp"')
    _file(workspace).write_bytes(data[:start] + written + data[data.index(b",", start) :])
    times = [message.sent_at for message in opened().window(KEY, limit=3).messages]

    assert [at(0), at(2), at(3)] == times


@pytest.mark.parametrize("written", [b"0001-01-01T00:00:00+14:00", b"9999-12-31T23:59:59-12:00"])
def test_open_with_times_out_of_range(workspace: Path, opened: Callable[..., FilesStore], written: bytes) -> None:
    """A time that is none is damage of that session alone."""
    data = _file(workspace).read_bytes()
    start = data.index(b'"timestamp":"') + len(b'"timestamp":"')
    _file(workspace).write_bytes(data[:start] + written + data[data.index(b'"', start) :])
    store = opened()

    assert ([NAME], ("other:1", KEY)) == (list(store.status().problems), store.keys(Selection()).keys)
    assert ["line 2", "line 3"] == _texts(store)


def test_open_with_a_name_that_is_no_text(workspace: Path, opened: Callable[..., FilesStore]) -> None:
    """A file whose name is no text is left out, and named by the check."""
    (workspace / "sessions" / os.fsdecode(b"bad\xff.json")).write_text("{}")
    store = opened(watch=True)

    assert 2 == store.status().session_count
    assert ["sessions/bad\\xff.json"] == [finding.file for finding in examined(workspace)]
    store.append("new:1", talk(1))


def test_open_leaves_strange_files_alone(workspace: Path, opened: Callable[..., FilesStore]) -> None:
    """What the owner keeps beside the index is never removed."""
    for path in workspace.glob("index*"):
        path.unlink()
    (workspace / "index-of-my-chats.txt").write_text("mine")
    (workspace / "index-notes").mkdir()
    opened()

    assert "mine" == (workspace / "index-of-my-chats.txt").read_text()
    assert (workspace / "index-notes").is_dir()


@pytest.mark.parametrize("watch", ["", "watched"])
def test_append_after_the_folder_was_replaced(
    workspace: Path, opened: Callable[..., FilesStore], tmp_path: Path, watch: str
) -> None:
    """A running store follows a folder that was put in the place of the old one, and makes one that is gone."""
    store = opened(watch=bool(watch))
    shutil.move(workspace / "sessions", tmp_path / "old")
    shutil.copytree(tmp_path / "old", workspace / "sessions")
    assert 4 == store.append(KEY, [draft("more", id="m")]).message_count
    assert b"more" in _file(workspace).read_bytes()
    shutil.rmtree(workspace / "sessions")
    assert 1 == store.append("other:2", talk(1)).message_count
    if watch:
        assert _soon(lambda: store.keys(Selection()).keys == ("other:2",))


def test_watch_a_folder_that_is_put_back(workspace: Path, opened: Callable[..., FilesStore], tmp_path: Path) -> None:
    """A folder that is removed is not made again before its backup can be put in its place."""
    store = opened(watch=True)
    shutil.copytree(workspace / "sessions", tmp_path / "backup")
    shutil.rmtree(workspace / "sessions")
    assert _soon(lambda: store.keys(Selection()).keys == ())
    assert not (workspace / "sessions").exists()
    shutil.copytree(tmp_path / "backup", workspace / "sessions")
    assert _soon(lambda: store.keys(Selection()).keys == ("other:1", KEY))
    assert 4 == store.append(KEY, [draft("more")]).message_count


def test_verbs_after_close(workspace: Path, opened: Callable[..., FilesStore]) -> None:
    """A store that is closed says so, and waits for nothing."""
    store = opened()
    store.close()
    verbs: list[Callable[[], object]] = [
        lambda: store.append(KEY, [draft("more")]),
        lambda: store.get(KEY),
        lambda: store.delete(KEY),
        store.status,
    ]
    for verb in verbs:
        with pytest.raises(StorageError):
            verb()


def test_close_while_the_index_is_read(workspace: Path, opened: Callable[..., FilesStore]) -> None:
    """Whoever still reads then reads to the end, and nothing of the index stays open after that."""
    store = opened()
    reads, is_closed = threading.Event(), threading.Event()

    def read() -> int:
        reads.set()
        is_closed.wait(SEEN_S)
        return 0

    index = store._upkeep.index
    reader = threading.Thread(target=index._read, args=[lambda db: (read(), db.execute("SELECT 1").get)])
    reader.start()
    assert reads.wait(SEEN_S)
    store.close()
    is_closed.set()
    reader.join()

    assert [] == [path for path in Path("/proc/self/fd").iterdir() if str(index.medium.path) in os.path.realpath(path)]


def test_rows_are_in_memory_when_a_server_starts(workspace: Path, opened: Callable[..., FilesStore]) -> None:
    """What a search looks up is read from the index once, at the start, by the connection that is lent first."""
    store = opened()
    store.append("api:1", [draft(f"message {number}", number) for number in range(1000)])
    store.close()
    store = opened()
    index, misses = store._upkeep.index, []
    for _ in range(2):
        one, another = index._readers.borrowed(), index._readers.borrowed()
        first, second = one.__enter__(), another.__enter__()
        assert second is not first
        one.__exit__(None, None, None)
        another.__exit__(None, None, None)
        with index._readers.borrowed() as lent:
            assert lent is first
            before = lent.status(apsw.SQLITE_DBSTATUS_CACHE_MISS)[0]
            for doc in range(1, 1001, 10):
                rows = "SELECT size FROM messages WHERE doc = ?1 UNION ALL SELECT size FROM names WHERE doc = ?1"
                assert lent.execute(rows, (doc,)).get
            misses.append(lent.status(apsw.SQLITE_DBSTATUS_CACHE_MISS)[0] - before)
        store.close()
        store = opened()
        index = store._upkeep.index
        index.warm_up()

    assert misses[0] > 0
    assert misses[1] == 0


@pytest.mark.parametrize("is_dropped", [False, True])
def test_open_where_most_lines_are_events(workspace: Path, opened: Callable[..., FilesStore], is_dropped: bool) -> None:  # noqa: FBT001 - of two cases
    """Standing events are no waste, so no start builds their index again; once they are dropped, one start does."""
    store = FilesStore.open(workspace, durability="none")
    for batch in range(11):
        store.append("a:1", [draft("state", role="event", id=f"{batch} {number}") for number in range(1000)])
    if is_dropped:
        store.drop("a:1", Chosen(everything=True), mark=Mark(id="mark", sent_at=at(9)))
    store.close()

    for is_new in (is_dropped, False):
        store = opened()
        assert is_new == store.has_new_index
        store.close()


def test_warming_up_a_closed_index(opened: Callable[..., FilesStore]) -> None:
    """Who closes the store before its index is in memory sees nothing of that."""
    store = opened()
    store.close()
    store.warm_up()


def test_append_while_the_index_is_kept(workspace: Path, opened: Callable[..., FilesStore]) -> None:
    """Somebody who keeps the index keeps nobody from storing: the file is the truth, the index follows."""
    store = opened(watch=True)
    (path,) = workspace.glob("index*.sqlite3")
    code = f"import sqlite3, sys; db = sqlite3.connect({str(path)!r}, isolation_level=None); "
    code += "db.execute('BEGIN IMMEDIATE'); print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as keeper:
        assert keeper.stdout is not None
        keeper.stdout.readline()
        assert 4 == store.append(KEY, [draft("more")]).message_count
        with pytest.raises(BusyError):
            store.get(KEY)
        assert 1 == store.get("other:1").message_count
        keeper.communicate(b"")
    assert _soon(lambda: store.get(KEY).message_count == 4)


def test_get_with_a_full_index(workspace: Path, opened: Callable[..., FilesStore]) -> None:
    """An index without space keeps nobody from storing, nor from reading what others store."""
    content = _file(workspace).read_bytes()
    _file(workspace).unlink()
    store = opened()
    writer = store._upkeep.index._committer._db
    pages = writer.execute("PRAGMA page_count").get
    writer.execute(f"PRAGMA max_page_count = {pages}")
    words = " ".join(f"word{number}" for number in range(20_000))

    assert 2 == store.append("other:1", [draft(words)]).message_count
    _file(workspace).write_bytes(content.replace(b"line 3", words.encode()))
    assert (3, 2) == (store.get(KEY).message_count, store.get("other:1").message_count)
    assert 2 == len(store.search(search_for("word19999")).hits)


def test_reindex_while_others_append(workspace: Path, opened: Callable[..., FilesStore]) -> None:
    """What was answered is found while the index is built again and again beside it."""
    store, other = opened(watch=True), opened()
    stop = threading.Event()
    missed: list[int] = []

    def write() -> None:
        for number in range(10_000):
            if stop.is_set():
                return
            count = store.append("busy:1", [draft(f"number {number}", number)]).message_count
            if [count] != [said.seq for said in store.window("busy:1", limit=1).messages]:
                missed.append(number)

    writer = threading.Thread(target=write)
    writer.start()
    for _ in range(5):
        other.reindex()
    stop.set()
    writer.join()

    assert [] == missed
    assert other.get("busy:1") == store.get("busy:1")
