"""Every store keeps every promise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chatkeep.store.files.store import FilesStore
from chatkeep.store.memory import MemoryStore
from chatkeep.store.protocol import Store
from chatkeep.testing import StoreContract


class TestMemoryStore(StoreContract):
    """The reference."""

    @pytest.fixture
    def store(self) -> Store:
        """Return an empty store."""
        return MemoryStore()


class TestFilesStore(StoreContract):
    """Files and their index; what a power cut does is not asked here, so nothing waits for the disk."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        """Yield a store in an empty workspace."""
        store = FilesStore.open(tmp_path, durability="none")
        yield store
        store.close()


def test_contract_taken_back() -> None:
    """A store cannot leave out a promise by overriding it."""
    with pytest.raises(TypeError, match="test_append_creates"):
        type("TestLazyStore", (StoreContract,), {"test_append_creates": None})
