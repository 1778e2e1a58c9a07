"""The store on PostgreSQL beside others, without its database, and over its versions."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import closing

import msgspec
import psycopg
import pytest
from psycopg import sql

from chatkeep.core.life.dropping import Chosen, Mark, NewSession
from chatkeep.core.model import Hits, Selection
from chatkeep.core.search.search import Search
from chatkeep.core.standing import SeqRange
from chatkeep.errors import BusyError, CountConflictError, InvalidError, StorageError
from chatkeep.store.address import store_address
from chatkeep.store.open import StoreOptions, opened_at, state_of_tables
from chatkeep.store.postgres import postgres_store
from chatkeep.store.postgres.postgres_store import PostgresStore
from chatkeep.store.postgres.tables.postgres_pool import PgConnection
from chatkeep.store.postgres.words import sealing_rows
from chatkeep.store.postgres.words.postgres_index import found_hits
from chatkeep.store.postgres.words.sealing_rows import seal
from chatkeep.store.postgres.words.stored_sets import StoredSets
from chatkeep.testing import at, draft, search_for
from tests.store.postgres.cluster import Cluster, cluster


@pytest.fixture
def two(postgres: Cluster, request: pytest.FixtureRequest) -> Iterator[tuple[PostgresStore, PostgresStore]]:
    """Yield two stores on one new database; neither seals by itself."""
    url = postgres.make(f"two_{abs(hash(request.node.name))}")
    with closing(PostgresStore.open(url, seals=False)) as one, closing(PostgresStore.open(url, seals=False)) as other:
        yield one, other


def test_find_in_every_process_at_once(two: tuple[PostgresStore, PostgresStore]) -> None:
    """What one store answered is found by the other, before and after a sealing and with deletions between."""
    one, other = two
    database = one._database
    for number in range(30):
        one.append(f"api:{number}", [draft(f"zebra {number} quick brown fox", number)])
        assert [f"api:{number}"] == [hit.key for hit in other.search(search_for(f"zebra {number} ")).hits]
        if number % 10 == 5:
            assert seal(database) > 0
            other.delete(f"api:{number}")
            one.append("api:0", [draft(f"late horse {number}", number)])
    expected = sorted(f"api:{number}" for number in range(30) if number % 10 != 5)
    for store in two:
        found = store.search(search_for('"brown fox"', limit=50)).hits
        assert expected == sorted(hit.key for hit in found)
        assert 1 == len(store.search(search_for("hors", unit="session")).hits)
        assert "any" == store.search(search_for("5 zebra ", unit="message")).mode


def test_find_beside_an_open_transaction(two: tuple[PostgresStore, PostgresStore]) -> None:
    """A transaction that began before and commits after others hides nothing, and its own message is found at last."""
    one, other = two
    with one._database.writing() as db:
        db.execute("SELECT pg_current_xact_id()")
        other.append("api:1", [draft("zebra")])
        assert ["api:1"] == [hit.key for hit in other.search(search_for("zebra")).hits]
        db.execute("UPDATE fresh SET xid = xid")
        other.append("api:2", [draft("zebra")])
        assert 2 == len(other.search(search_for("zebra")).hits)
    other.append("api:3", [draft("zebra")])
    assert 3 == len(other.search(search_for("zebra")).hits)


def test_keep_what_a_search_read_before_its_deadline(
    two: tuple[PostgresStore, PostgresStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search that ran out of time says so, and the next one need not read the same again."""
    one, _ = two
    one.append("api:1", [draft("zebra")])

    def late(db: PgConnection, sets: StoredSets, search: Search) -> Hits:
        sets.catch_up(db)
        db.execute("SELECT pg_sleep(9)")
        return found_hits(db, sets, search)

    monkeypatch.setattr(postgres_store, "found_hits", late)
    assert one.search(msgspec.structs.replace(search_for("zebra"), deadline_s=0.3)).partial
    monkeypatch.undo()
    assert [2] == [sets.fresh_count for sets in one._sets]  # the message, and the names of its session
    assert ["api:1"] == [hit.key for hit in one.search(search_for("zebra")).hits]


def test_compact_leaves_no_word(two: tuple[PostgresStore, PostgresStore]) -> None:
    """After a compaction no table has a word that only erased lines had, sealed or not; other words stay found."""
    one, other = two
    for is_sealed in (True, False):
        key = f"api:{is_sealed}"
        one.append(key, [draft("Xylophonist zebra", 1), draft("zebra stays", 2)])
        if is_sealed:
            seal(one._database)
        one.drop(key, Chosen(seqs=SeqRange(1, 1)), mark=Mark(id="m", sent_at=at(3)))
        assert 1 == one.compact([key])[0].erased_count
        with one._database.borrowed() as db:
            for table in ("sessions", "messages", "fresh", "postings", "changes", "calls"):
                asked = sql.SQL("SELECT count(*) FROM {} t WHERE t::text ILIKE '%xylo%'").format(sql.Identifier(table))
                assert ((0,), table) == (db.execute(asked).fetchone(), table)
        assert [(key, 2)] == [(hit.key, hit.seq) for hit in other.search(search_for("zebra", session=key)).hits]


def test_compact_leaves_no_word_of_a_line_that_waits_for_its_sealing(
    two: tuple[PostgresStore, PostgresStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line dropped while many wait is known as gone before it is sealed; its words go with the compaction, too."""
    one, _ = two
    monkeypatch.setattr(sealing_rows, "_AT_ONCE", 1)
    one.append("api:1", [draft("Xylophonist zebra", 1), draft("zebra stays", 2)])
    one.drop("api:1", Chosen(seqs=SeqRange(1, 1)), mark=Mark(id="m", sent_at=at(3)))
    seal(one._database)
    one.compact(["api:1"])
    for _ in range(2):
        with one._database.borrowed() as db:
            for table in ("fresh", "postings"):
                asked = sql.SQL("SELECT count(*) FROM {} t WHERE t::text ILIKE '%xylo%'").format(sql.Identifier(table))
                assert ((0,), table) == (db.execute(asked).fetchone(), table)
        while seal(one._database):
            pass
    assert [2] == [hit.seq for hit in one.search(search_for("zebra")).hits]


def test_answer_busy_while_the_database_is_away() -> None:
    """Without its database every verb says so; the next call after its return is answered, with all that was stored."""
    with cluster() as running, closing(PostgresStore.open(running.make("away"))) as store:
        store.append("api:1", [draft("before", id="a")])
        running.stop("fast")
        for ask in (lambda: store.get("api:1"), lambda: store.append("api:1", [draft()]), store.status):
            with pytest.raises(BusyError, match="cannot be reached"):
                ask()
        running.start()
        assert 1 == store.get("api:1").message_count
        assert 2 == store.append("api:1", [draft("after")]).message_count


def test_refuse_tables_of_another_version(postgres: Cluster) -> None:
    """Newer tables are refused, and no command takes them back; older ones are renewed once."""
    url = postgres.make("versions")
    address = store_address(url)
    assert (0, 1) == state_of_tables(address)
    assert (0, 1) == state_of_tables(address, renew=True)
    assert (1, 1) == state_of_tables(address, renew=True)
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("INSERT INTO chatkeep_schema (version) VALUES (99)")
    for attempt in (lambda: opened_at(address, StoreOptions()), lambda: state_of_tables(address, renew=True)):
        with pytest.raises(StorageError, match="newer Chatkeep"):
            attempt()


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_refuse_a_database_that_does_not_hold_every_text(postgres: Cluster, encoding: str) -> None:
    """A database in another encoding than UTF-8 is refused before it has tables; so is its making of them."""
    name = encoding.lower()
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as db:
        made = sql.SQL("CREATE DATABASE {} ENCODING {} LOCALE 'C' TEMPLATE template0")
        db.execute(made.format(sql.Identifier(name), sql.Literal(encoding)))
    address = store_address(postgres.url(name))
    for attempt in (lambda: opened_at(address, StoreOptions()), lambda: state_of_tables(address, renew=True)):
        with pytest.raises(StorageError, match=f"encoding {encoding}"):
            attempt()


def test_store_every_text_whatever_the_environment_says(postgres: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connections are in UTF-8, also where the environment asks libpq for another encoding."""
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    with closing(PostgresStore.open(postgres.make("elsewhere"), seals=False)) as store:
        store.append("api:1", [draft("\N{SNOWMAN} zebra")])
        assert ["\N{SNOWMAN} zebra"] == [message.content for message in store.read("api:1").messages]


@pytest.mark.parametrize("url", ["postgresql:", "postgresql:x", "postgresql://h/x?secret=1"])
def test_refuse_a_bad_address(url: str) -> None:
    """An address that libpq cannot read is refused, and never repeated."""
    with pytest.raises(InvalidError, match="postgresql://user@host") as refused:
        opened_at(store_address(url), StoreOptions())
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("count", [1 << 31, (1 << 53) - 1, 10**30])
def test_answer_to_counts_beyond_every_column(two: tuple[PostgresStore, PostgresStore], count: int) -> None:
    """A count that no session has is answered as any other wrong one, and so many last messages are all of them."""
    one, _ = two
    one.append("api:1", [draft("zebra", 1), draft("horse", 2)])
    with pytest.raises(CountConflictError):
        one.append("api:1", [draft("more")], expect_count=count)
    assert 3 == one.drop("api:1", Chosen(last=count), mark=Mark(id="m", sent_at=at(3))).message_count


def test_read_the_metadata_of_a_session_once(two: tuple[PostgresStore, PostgresStore]) -> None:
    """A whole session comes with its metadata once, not with each of its lines."""
    one, _ = two
    one.create(NewSession(key="a", created_at=at(1), metadata={"x": "y" * 100_000}))
    one.append("a", [draft(f"zebra {number}", number) for number in range(300)])
    tracemalloc.start()
    try:
        assert 300 == len(one.read("a").messages)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10_000_000


def test_select_by_metadata_as_ever(two: tuple[PostgresStore, PostgresStore]) -> None:
    """A filter by metadata tells kinds of values apart, and leads into objects."""
    one, _ = two
    one.create(NewSession(key="a", created_at=at(1), metadata={"n": 1, "o": {"p": "x", "q": None}, "a.b": 1}))
    one.create(NewSession(key="b", created_at=at(1), metadata={"n": 1.0, "o": "x"}))
    for entry, keys in (
        (("n", "1"), "a"),
        (("n", "1.0"), "b"),
        (("o.p", "x"), "a"),
        (("o.q", "null"), "a"),
        (("a.b", "1"), ""),
    ):
        assert tuple(keys) == one.keys(Selection(metadata=(entry,))).keys
