"""Erasing for good: which bytes are left anywhere, what a crash leaves, and those who read and write meanwhile."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import apsw
import pytest

from chatkeep.core.life.dropping import Chosen, Mark
from chatkeep.core.standing import SeqRange
from chatkeep.errors import BusyError, ChatkeepError, SessionDamagedError, SessionNotFoundError
from chatkeep.store.files.care.checkup import examined
from chatkeep.store.files.index.databases import OnDisk
from chatkeep.store.files.index.sets import erasing, sealing
from chatkeep.store.files.store import FilesStore
from chatkeep.store.files.tree.tree import Tree, file_name
from chatkeep.testing import at, draft, search_for, talk

KEY = "telegram:1"
CANARY = "zyxcanaryxyz"
LETTERS = "bcdfghklmnprstvz"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilesStore]:
    """Yield an open store."""
    with closing(FilesStore.open(tmp_path, durability="none")) as opened:
        yield opened


def drop(store: FilesStore, message_id: str, *, key: str = KEY) -> None:
    """Drop the message with an id."""
    store.drop(key, Chosen(id=message_id), mark=Mark(id=f"drop-{message_id}", sent_at=at(99)))


def places_of(word: str, workspace: Path) -> list[str]:
    """Return the files with a word in any of their bytes."""
    found = [path for path in workspace.rglob("*") if path.is_file() and word.encode() in path.read_bytes().lower()]
    return sorted(path.name.partition(".")[0] for path in found)


def words(count: int, *, seed: int) -> str:
    """Return made-up words."""
    chosen = random.Random(seed)  # noqa: S311 - a sample
    return " ".join("q" + "".join(chosen.choices(LETTERS, k=chosen.randint(4, 11))) for _ in range(count))


@pytest.mark.parametrize("is_sealed", [False, True])
def test_erased_words_are_in_no_byte(tmp_path: Path, is_sealed: bool) -> None:  # noqa: FBT001 - a parameter
    """A canary stays in no file: neither in the session, nor in the index, its log, or the quarantine."""
    store = FilesStore.open(tmp_path, durability="none")
    said = draft(f"{CANARY} flew off", 3, id="c", name=CANARY, metadata={"a": CANARY})
    store.append(KEY, [said, *talk(3)])  # the title, too
    torn = tmp_path / "quarantine" / f"{file_name(KEY)}-1.cut"
    torn.write_text(CANARY)
    for number in range(12):
        store.append(f"s:{number}", [draft(words(150, seed=number * 50 + n)) for n in range(20)])
    if is_sealed:
        store.append("long", [draft(f"x{n}") for n in range(1000)])
        store.append("long", [draft(f"y{n}") for n in range(1000)])
        store.close()
        with closing(apsw.Connection(str(next(tmp_path.glob("index*.sqlite3"))))) as db:
            for _ in sealing.sealing(db):
                pass
        store = FilesStore.open(tmp_path, durability="none")
    with closing(store):
        drop(store, "c")
        assert places_of(CANARY, tmp_path)
        assert 1 == store.compact([KEY])[0].erased_count
        assert [] == places_of(CANARY, tmp_path)
        assert [] == places_of(CANARY[:9], tmp_path)
        assert "line 1" == store.get(KEY).title
        assert [1] == [hit.match_count for hit in store.search(search_for('"line 2"')).hits]
        assert [] == [finding for finding in examined(tmp_path) if finding.needs_care]


def test_erased_words_of_others_stay(store: FilesStore, tmp_path: Path) -> None:
    """A word of another message is found as before, sealed or not."""
    store.append("other", [draft(f"{CANARY} of another", 1)])
    store.append(KEY, [draft(f"{CANARY} alone", 2, id="c"), *talk(2)])
    drop(store, "c")
    store.compact([KEY])
    assert ["other"] == [hit.key for hit in store.search(search_for(CANARY)).hits]
    assert ["other"] == [hit.key for hit in store.search(search_for(CANARY[:6])).hits]
    store.append("later", [draft(f"{CANARY} again", 3)])
    assert 2 == len(store.search(search_for(CANARY)).hits)
    store.reindex()
    assert 2 == len(store.search(search_for(CANARY)).hits)


def test_a_long_text_is_erased(store: FilesStore, tmp_path: Path) -> None:
    """A message whose labels stand apart leaves no byte either, nor do those of an append that never came."""
    text = f"{CANARY} {words(9000, seed=1)}"
    store.append(KEY, [draft(text, 1, id="c"), *talk(1)])
    store.append("other", [draft(text.replace(CANARY, "kept"), 1)])
    drop(store, "c")
    store.compact([KEY])
    assert [] == places_of(CANARY, tmp_path)
    assert ["other"] == [hit.key for hit in store.search(search_for(text.split()[77])).hits]


def test_an_index_built_anew_agrees(store: FilesStore, tmp_path: Path) -> None:
    """The index of a compacted session is that of a session read from its file."""
    store.append(KEY, [*talk(40), draft("state", 41, role="event", id="e", metadata={"a": 1})])
    store.append(KEY, [draft("", 42, role="event", drops=(SeqRange(3, 9), SeqRange(33, 34)))])
    store.compact([KEY])
    before = store.read(KEY, log=True), store.window(KEY, limit=500, log=True), store.message(KEY, "id-33", log=True)
    assert [] == [finding for finding in examined(tmp_path) if finding.needs_care]
    store.reindex()
    assert before == (
        store.read(KEY, log=True),
        store.window(KEY, limit=500, log=True),
        store.message(KEY, "id-33", log=True),
    )


class _CrashError(BaseException):
    """The end of a process."""


@pytest.mark.parametrize(
    "place, name",
    [
        (erasing, "begin_erasure"),
        (erasing, "erase_labels"),
        (Tree, "drop_quarantined"),
        (Tree, "sweep"),
        (Tree, "replace"),
        (OnDisk, "scrub"),
    ],
)
def test_a_crash_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: object, name: str) -> None:
    """Wherever a compaction breaks off, the session is whole, as before or compacted, and another one ends it."""
    store = FilesStore.open(tmp_path, durability="none")
    store.append(KEY, [*talk(2), draft(f"{CANARY} gone", 3, id="c"), *talk(5)[2:]])
    drop(store, "c")

    def crash(*_: object, **__: object) -> None:
        raise _CrashError

    with monkeypatch.context() as planted:
        planted.setattr(place, name, crash)
        planted.setattr(OnDisk, "scrub", crash)  # a process that ended does not overwrite the index either
        with pytest.raises(_CrashError):
            store.compact([KEY])
    store.close()
    with closing(FilesStore.open(tmp_path, durability="none")) as again:
        assert ["line 1", "line 2", "line 3", "line 4", "line 5"] == [
            message.content for message in again.window(KEY, limit=9).messages
        ]
        again.compact([KEY])
        assert [] == places_of(CANARY, tmp_path)
        assert 7 == again.append(KEY, [draft("more")], expect_count=7).message_count - 1


def test_a_sealing_under_way_brings_nothing_back(tmp_path: Path) -> None:
    """Another process may have read the words for its sealing before they were dropped: it begins anew."""
    with closing(FilesStore.open(tmp_path, durability="none")) as store:
        store.append(KEY, [draft(f"{CANARY} {words(20, seed=n)}", n, id=f"c{n}") for n in range(60)])
        with closing(apsw.Connection(str(next(tmp_path.glob("index*.sqlite3"))))) as db:
            steps = sealing.sealing(db)
            for _ in range(5):
                next(steps)
            store.drop(KEY, Chosen(everything=True), mark=Mark(id="all", sent_at=at(99)))
            store.compact([KEY])
            for _ in steps:
                pass
        assert [] == places_of(CANARY, tmp_path)
        assert () == store.search(search_for(CANARY, roles=None)).hits


def test_writers_beside_lose_nothing(tmp_path: Path) -> None:
    """Appends of another store on the folder go on while a session is compacted again and again."""
    with closing(FilesStore.open(tmp_path, durability="none", lock_timeout_s=30)) as one:
        other = FilesStore.open(tmp_path, durability="none", lock_timeout_s=30)
        one.append(KEY, talk(1))
        stored: list[str] = []

        def append() -> None:
            for number in range(60):
                name = f"w{number}"
                other.append(KEY, [draft(f"said {number}", number, id=name)])
                stored.append(name)

        writer = threading.Thread(target=append)
        writer.start()
        dropped: set[str] = set()
        while writer.is_alive():
            with suppress(BusyError, ChatkeepError):
                gone = one.drop(KEY, Chosen(last=1), mark=Mark(id=os.urandom(8).hex(), sent_at=at(99)))
                dropped |= {message.id for message in gone.messages}
                one.compact([KEY])
        writer.join()
        other.close()
        log = one.read(KEY, log=True).messages
        assert stored == [line.id for line in log if line.id.startswith("w")]
        assert [n for n in stored if n not in dropped] == [
            message.id for message in one.read(KEY).messages if message.id.startswith("w")
        ]
        assert list(range(1, len(log) + 1)) == [line.seq for line in log]


def test_a_reader_of_old_offsets_is_right(store: FilesStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader with the places of lines from before a compaction reads the right lines."""
    store.append(KEY, [draft("long " * 400, 0, id="c"), *talk(9)])
    drop(store, "c")
    real: Callable[..., int] = Tree.open
    called: list[str] = []

    def open_late(tree: Tree, name: str, flags: int = os.O_RDONLY) -> int:
        if not called:
            called.append(name)
            store.compact([KEY])
        return real(tree, name, flags)

    monkeypatch.setattr(Tree, "open", open_late)
    read = store.window(KEY, limit=3)
    assert ["line 7", "line 8", "line 9"] == [message.content for message in read.messages]
    assert [file_name(KEY)] == called


def test_a_damaged_session_is_left_alone(store: FilesStore, tmp_path: Path) -> None:
    """A file that does not parse whole is never rewritten; the sessions before it are compacted."""
    for key in (KEY, "bad"):
        store.append(key, talk(3))
        drop(store, "id-2", key=key)
    path = tmp_path / "sessions" / file_name("bad")
    path.write_bytes(path.read_bytes().replace(b'"content":"line 1"', b'"content":"line 1'))
    spoilt = path.read_bytes()
    with pytest.raises(SessionDamagedError):
        store.compact([KEY, "bad"])
    assert spoilt == path.read_bytes()
    assert "" == store.message(KEY, "id-2", log=True).content
    with pytest.raises(SessionNotFoundError):
        store.compact(["none"])


def test_unknown_fields_and_layouts_stay(store: FilesStore, tmp_path: Path) -> None:
    """The lines around an erased one keep their bytes, fields of other programs included."""
    store.append(KEY, talk(4))
    path = tmp_path / "sessions" / file_name(KEY)
    path.write_bytes(path.read_bytes().replace(b'"id":"id-3"', b'"id":"id-3","mine":[1.50]'))
    drop(store, "id-2")
    before = path.read_bytes().split(b"\n")
    store.compact([KEY])
    after = path.read_bytes().split(b"\n")
    assert before[:2] == after[:2]
    assert before[3:6] == after[3:6]
    assert b',{"seq":2,"role":"event","content":"","timestamp":"2024-01-15T10:30:02Z","id":"id-2" }' == after[2]
