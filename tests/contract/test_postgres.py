"""The store on PostgreSQL keeps every promise."""

from __future__ import annotations

import pytest

from chatkeep.core.model import Hits
from chatkeep.core.search.search import Search
from chatkeep.store.postgres.postgres_store import PostgresStore
from chatkeep.store.postgres.words.sealing_rows import seal
from chatkeep.store.protocol import Store
from chatkeep.testing import StoreContract
from chatkeep.testing.compacting import CompactContract
from chatkeep.testing.finding import FindingContract
from chatkeep.testing.ranking import RankingContract
from chatkeep.testing.search import SearchContract
from tests.store.postgres.cluster import emptied


class TestPostgresStore(StoreContract):
    """A database; what a crash of it does is not asked here, so nothing waits for the disk."""

    @pytest.fixture
    def store(self, postgres_store: PostgresStore) -> Store:
        """Return the store, emptied."""
        return emptied(postgres_store)


class _SealedStore(PostgresStore):
    """A store that seals everything before each search, so that all labels are read from rows."""

    def search(self, search: Search) -> Hits:
        """Seal, then search."""
        while seal(self._database):
            pass
        return super().search(search)


class TestSealedPostgresStore(SearchContract, RankingContract, FindingContract, CompactContract):
    """What is sealed is found as what is fresh."""

    @pytest.fixture
    def store(self, postgres_store: PostgresStore) -> Store:
        """Return the store, emptied."""
        return emptied(_SealedStore(postgres_store._database))
