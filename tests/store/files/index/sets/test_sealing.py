"""Sealing: at every step the same is found, and long texts hold up nobody."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

import apsw
import pytest

from chatkeep.core.model import Hits
from chatkeep.store.files.index.sets import lexicon, sealing
from chatkeep.store.files.index.sets.postings import Postings, withdraw
from chatkeep.store.files.store import FilesStore
from chatkeep.testing import draft, search_for

QUERIES: Final = ["w1", "w12 ", "please", '"please report"', "meetings ", "p", "東京", "zebra w"]
PAGE_BYTES: Final = 4096


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilesStore]:
    """Yield a store in an empty workspace."""
    with contextlib.closing(FilesStore.open(tmp_path, durability="none")) as opened:
        yield opened


def _fill(store: FilesStore, seed: int, count: int = 60) -> None:
    dice = random.Random(seed)  # noqa: S311 - the same at each run
    words = ["please", "report", "meeting", "meetings", "東京タワー", "zebra", *(f"w{n}" for n in range(300))]
    said = [draft(" ".join(dice.choices(words, k=8)), dice.randrange(999), id=f"{seed}-{n}") for n in range(count)]
    store.append(f"api:{seed}", said)


def _answers(store: FilesStore) -> list[Hits]:
    return [store.search(search_for(query, unit="message", limit=100)) for query in QUERIES]


@contextlib.contextmanager
def _beside(workspace: Path) -> Iterator[apsw.Connection]:
    """Yield another connection to the index, as another process has one."""
    (path,) = workspace.glob("index-*.sqlite3")
    with contextlib.closing(apsw.Connection(str(path))) as db:
        yield db


def test_seal_step_by_step(store: FilesStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each step of a sealing, and after one that broke off there, every message is found once."""
    monkeypatch.setattr(sealing, "_ROWS", 200)
    monkeypatch.setattr(lexicon, "WORDS_MAX", 20)
    _fill(store, 1)
    expected, left = _answers(store), True
    with _beside(tmp_path) as db:
        for steps in range(3, 60, 4):
            under_way = sealing.sealing(db)
            left = all(next(under_way, under_way) is None for _ in range(steps))
            assert expected == _answers(store)
        assert (False, 0) == (left, sealing.fresh_count(db))
        _fill(store, 2)
        expected = _answers(store)
        for _ in sealing.sealing(db):
            assert expected == _answers(store)


def test_find_long_texts_fresh_and_sealed(store: FilesStore, tmp_path: Path) -> None:
    """A long text is found by words, beginnings and phrases at once, and after it is sealed."""
    text = " ".join(f"{n:05x}word{n % 7}" for n in range(12_000)) + " tall zebras. getUserName"
    store.append("api:long", [draft(text), draft("short zebra")])
    for _ in range(2):
        for query in ("zebra ", "zeb", '"tall zebras"', "00abc", '"user name"', "00abcword4 00abdword5 "):
            found = [hit.seq for hit in store.search(search_for(query, unit="message")).hits]
            assert 1 in found, query
        for query in ('"zebras tall"', '"tall 00abcword4"', '"name user"', "zebrass"):
            assert () == store.search(search_for(query)).hits, query
        with _beside(tmp_path) as db:
            assert [None] == list({None for _ in sealing.sealing(db)})
            assert [] == list(db.execute("SELECT 1 FROM fresh UNION SELECT 1 FROM long_texts"))


def test_append_long_texts_in_small_transactions(store: FilesStore) -> None:
    """An append of many long texts writes no more than one of them in any transaction of the index."""
    pages, index = [0], store._upkeep.index

    def noted(_db: apsw.Connection, _name: str, count: int) -> int:
        pages.append(count)
        return apsw.SQLITE_OK

    with index._committer._turn:
        index._committer._db.set_wal_hook(noted)
    texts = [" ".join(f"{n:04x}{place}" for n in range(12_000)) for place in range(6)]
    store.append("api:1", [draft(text, id=str(place)) for place, text in enumerate(texts)])
    written = [(after - before) * PAGE_BYTES for before, after in pairwise(pages)]
    assert sum(written) > 6 * 60_000
    assert max(written) < 2 * len(texts[0])


def test_withdraw_from_every_set(store: FilesStore, tmp_path: Path) -> None:
    """A withdrawn message is found by nothing any more, whatever it is sought by, in every process."""
    store.append("api:1", [draft("one zebra", 1), draft("two zebras", 2)])
    with _beside(tmp_path) as db:
        withdraw(db, 3)  # the first document has the names of the session
        for query in ("zebra", "z", "two ", '"two zebras"'):
            assert 2 not in {hit.seq for hit in store.search(search_for(query, unit="message")).hits}
        (hit,) = store.search(search_for("zebra ")).hits
        assert (1, 1) == (hit.seq, hit.match_count)


def test_beginnings_get_sets(store: FilesStore, tmp_path: Path) -> None:
    """A beginning of very many words has a set of its own, kept up by later messages; one of few has none."""
    store.append("api:1", [draft(" ".join(f"abc{n:03}" for n in range(200)) + " abd1 abd2")])
    with _beside(tmp_path) as db:
        for _ in sealing.sealing(db):
            pass
        assert {"abc", "abc0", "abc1"} >= lexicon.longer_beginnings(db) >= {"abc"}
        store.append("api:2", [draft("abcnew")])
        for _ in sealing.sealing(db):
            pass
        postings = Postings(db)
        postings.catch_up()
        assert ([2, 4], [2]) == (list(postings.begun("abc")), list(postings.begun("abd")))
