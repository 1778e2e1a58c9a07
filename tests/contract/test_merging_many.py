"""The promises of `OwnStore.merge_all`, by each store that a process opens itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from chatkeep.core.model import Merged, Selection
from chatkeep.errors import SessionDeletedError
from chatkeep.store.files.store import FilesStore
from chatkeep.store.memory import MemoryStore
from chatkeep.store.protocol import OwnStore
from chatkeep.testing.samples import draft, search_for, session, talk


@pytest.fixture(params=["memory", "files"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OwnStore]:
    """Yield an empty store of each kind."""
    with closing(MemoryStore() if request.param == "memory" else FilesStore.open(tmp_path)) as opened:
        yield opened


def test_merge_all_as_one_by_one(store: OwnStore) -> None:
    """Sessions merged together come to the same as one by one: in their order, each with its own outcome."""
    store.append("cli:old", [draft("line 1", 1, id="id-1")])
    store.append("cli:gone", talk(1))
    store.delete("cli:gone")
    sessions = [
        session("cli:new", talk(2)),
        session("cli:old", talk(3)),
        session("cli:other", [draft("x", 1, id="x"), draft("y", 2, id="x")]),
        session("cli:new", talk(3)),
        session("cli:gone", talk(2)),
        session("cli:empty"),
    ]
    told = store.merge_all(sessions, unless_deleted=True)
    found = [_counts(one) if isinstance(one, Merged) else type(one) for one in told]
    expected = [(True, 2, 0), (False, 2, 1), (True, 1, 0), (False, 1, 2), SessionDeletedError, (True, 0, 0)]
    assert expected == found
    assert [3, 3, 1] == [store.get(key).line_count for key in ("cli:new", "cli:old", "cli:other")]
    assert ["cli:empty", "cli:new", "cli:old", "cli:other"] == list(store.keys(Selection()).keys)
    assert {"cli:new", "cli:old"} == {hit.key for hit in store.search(search_for("line 2")).hits}
    assert [] == [one for one in store.merge_all(()) if one]


def test_merge_all_tells_its_feed(store: OwnStore) -> None:
    """A reader of the feed gets each of the sessions merged together, in their order."""
    begun = store.changes(None, limit=1).position
    store.merge_all([session(f"cli:{number}", talk(number)) for number in range(3)])
    found = store.changes(begun, limit=100).changes
    expected = [("created", "cli:0", None), ("created", "cli:1", 1), ("created", "cli:2", 2)]
    assert expected == [(one.kind, one.key, one.last_seq) for one in found]


def _counts(merged: Merged) -> tuple[bool, int, int]:
    return merged.created, merged.added_count, merged.skipped_count
