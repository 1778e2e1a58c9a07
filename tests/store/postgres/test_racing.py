"""Two servers on one database that change the same session at the same moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing
from datetime import datetime
from typing import Final

import pytest

from chatkeep.core.feed import ChangeKind
from chatkeep.core.life.trashing import Trashed, trashed_in
from chatkeep.core.model import Selection
from chatkeep.errors import SessionDeletedError
from chatkeep.store.postgres import removing
from chatkeep.store.postgres.postgres_store import PostgresStore
from chatkeep.store.postgres.row_writing import note
from chatkeep.store.postgres.tables.postgres_pool import PgConnection
from chatkeep.testing import draft, search_for
from tests.store.postgres.cluster import Cluster

_WAIT_S: Final = 10.0
_SERVERS: Final = 8


@pytest.fixture
def two(postgres: Cluster, request: pytest.FixtureRequest) -> Iterator[tuple[PostgresStore, PostgresStore]]:
    """Yield two stores on one new database; neither seals by itself."""
    url = postgres.make(f"racing_{abs(hash(request.node.name))}")
    with closing(PostgresStore.open(url, seals=False)) as one, closing(PostgresStore.open(url, seals=False)) as other:
        yield one, other


def test_purge_spares_a_session_brought_back(
    two: tuple[PostgresStore, PostgresStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that another server restores after a purge has chosen it keeps its messages, and is not reported."""
    one, other = two
    for key in ("api:back", "api:gone"):
        one.append(key, [draft(f"zebra of {key}")])
        one.delete(key, to_trash=True)

    def chosen(found: Iterable[Trashed], keys: Collection[str] | None, before: datetime | None) -> tuple[Trashed, ...]:
        sessions = trashed_in(found, keys, before)
        other.restore("api:back")
        return sessions

    monkeypatch.setattr(removing, "trashed_in", chosen)
    assert ["api:gone"] == [trashed.key for trashed in one.purge()]
    for store in two:
        assert ["zebra of api:back"] == [message.content for message in store.read("api:back").messages]
        assert ["api:back"] == [hit.key for hit in store.search(search_for("zebra")).hits]
    assert () == one.trash()


def test_merge_leaves_a_session_alone_whose_deletion_is_under_way(two: tuple[PostgresStore, PostgresStore]) -> None:
    """A merge that waits for a deletion by another server does not bring the session back."""
    one, other = two
    one.append("api:1", [draft("zebra", id="a")])
    session = one.read("api:1")
    outcomes: list[object] = []

    def merge() -> None:
        try:
            outcomes.append(other.merge(session, unless_deleted=True))
        except SessionDeletedError as error:
            outcomes.append(error)

    merging = threading.Thread(target=merge)

    def slowly(db: PgConnection, kind: ChangeKind, key: str) -> None:
        merging.start()
        _wait_for_a_waiting_one(one)
        note(db, kind, key)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(removing, "note", slowly)
        one.delete("api:1")
    merging.join()
    assert [SessionDeletedError] == [type(outcome) for outcome in outcomes]
    assert () == one.keys(Selection()).keys
    assert one.is_deleted("api:1")


def _wait_for_a_waiting_one(store: PostgresStore) -> None:
    """Wait until somebody waits for a lock in the database."""
    until = time.monotonic() + _WAIT_S
    while time.monotonic() < until:
        with store._database.borrowed() as db:
            if db.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone():
                return
        time.sleep(0.01)
    raise TimeoutError


def test_servers_that_start_at_once_make_the_tables_once(postgres: Cluster) -> None:
    """Of several servers that find an empty database one makes its tables, and all of them start."""
    url = postgres.make("racing_to_begin")
    outcomes: list[object] = []

    def begin() -> None:
        try:
            PostgresStore.open(url, seals=False).close()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is shown
            outcomes.append(error)

    servers = [threading.Thread(target=begin) for _ in range(_SERVERS)]
    for server in servers:
        server.start()
    for server in servers:
        server.join()
    assert [] == outcomes
