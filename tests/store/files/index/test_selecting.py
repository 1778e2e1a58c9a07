"""How the index answers lists of tags and pins: the same whichever way it goes, and without reading all rows out."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from chatkeep.core.model import Selection
from chatkeep.store.files.index import index
from chatkeep.store.files.index.index import Index
from chatkeep.store.files.index.selecting import conditions
from chatkeep.store.files.index.sql import QUERIES
from chatkeep.store.files.store import FilesStore
from chatkeep.testing import draft, session

SELECTIONS = [
    Selection(tags=("x",)),
    Selection(tags=("y", "x")),
    Selection(pinned=True),
    Selection(pinned=False, archived=None),
    Selection(pinned=True, tags=("x",), prefixes=("k",), channel="api"),
]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Return a workspace with 24 sessions."""
    store = FilesStore.open(tmp_path, durability="none")
    for n in range(24):
        tags = ("x", "y")[: n % 3]
        store.merge(session(f"k:{n * 7 % 24}", [draft("Hello", n // 2)], tags=tags, pinned=n % 4 == 0, archived=n == 8))
    store.close()
    return tmp_path


def test_page_is_the_same_whether_few_match_or_many(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few are sorted, of many the newest are met by time: pages, totals and cursors do not tell which."""
    store = FilesStore.open(workspace, durability="none")
    pages = {}
    for few in (0, 1 << 30):
        monkeypatch.setattr(index, "_FEW", few)
        for place, selection in enumerate(SELECTIONS):
            pages[few, place] = [store.list(selection, limit=3)]
            while (cursor := pages[few, place][-1].next_cursor) is not None:
                pages[few, place].append(store.list(selection, limit=3, cursor=cursor))
    store.close()
    for place in range(len(SELECTIONS)):
        assert pages[0, place] == pages[1 << 30, place]
        assert 0 < pages[0, place][0].total == sum(len(page.sessions) for page in pages[0, place])


@pytest.mark.parametrize("selection", SELECTIONS[:3])
def test_page_of_many_follows_an_index(workspace: Path, selection: Selection) -> None:
    """A page of a common tag or of pins comes in the order of an index, and ends where the page does."""
    where, values = conditions(selection)
    db = apsw.Connection(str(Index.path_in(workspace)), flags=apsw.SQLITE_OPEN_READONLY)
    sql = QUERIES["page"].replace("{where}", " AND ".join(where))
    plan = db.execute(f"EXPLAIN QUERY PLAN {sql}", {**values, "limit": 5})
    steps = [str(step) for _, parent, _, step in plan if parent == 0]
    db.close()
    assert "SEARCH sessions USING INDEX sessions_by_archive (archived=?)" == steps[0]
    assert "USE TEMP B-TREE FOR ORDER BY" not in steps
