"""Kept selections of sessions are those of the present moment, whatever changed, and in whichever process."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from pyroaring import BitMap

from chatkeep.core.model import Hits, Revision, Selection
from chatkeep.errors import SessionNotFoundError
from chatkeep.store.files.index.columns import Value
from chatkeep.store.files.index.sets import selections
from chatkeep.store.files.index.sets.selections import Selections
from chatkeep.store.files.store import FilesStore
from chatkeep.store.memory import MemoryStore
from chatkeep.store.protocol import Store
from chatkeep.testing import draft, search_for

KEYS: Final = [f"{channel}:{number}" for channel in ("api", "web") for number in range(12)]
ASKED: Final = [
    Selection(archived=False),
    Selection(archived=None, pinned=True),
    Selection(archived=None, tags=("red",)),
    Selection(archived=None, tags=("red", "blue")),
    Selection(archived=None, metadata=(("user", "alice"),)),
    Selection(archived=None, prefixes=("api:1",)),
]
Act = Callable[[Store, str], object]


def _acts(dice: random.Random, number: int) -> Act:
    """Return a random change of a session."""
    tags = tuple(tag for tag in ("red", "blue") if dice.random() < 0.5)
    user = dice.choice(("alice", "bob"))
    revisions = [
        Revision(archived=dice.random() < 0.5),
        Revision(pinned=dice.random() < 0.5),
        Revision(tags=tags),
        Revision(metadata={"user": user}),
    ]
    revision = dice.choice(revisions)
    said = [draft(f"word {number}", number, id=f"m{number}")]
    acts: list[Act] = [
        lambda store, key: store.append(key, said),
        lambda store, key: store.revise(key, revision),
        lambda store, key: store.revise(key, revision),
        lambda store, key: store.delete(key),
    ]
    return dice.choice(acts)


def _told(hits: Hits) -> list[tuple[str, int, int]]:
    return [(hit.key, hit.seq, hit.match_count) for hit in hits.hits]


@pytest.mark.parametrize("few", [1, 200])
def test_search_a_selection_while_sessions_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    """After any change, by this process or another, each selection finds what a plain scan finds."""
    monkeypatch.setattr(selections, "_FEW", few)
    dice, memory = random.Random(few), MemoryStore()  # noqa: S311 - the same at each run
    with contextlib.closing(FilesStore.open(tmp_path)) as store, contextlib.closing(FilesStore.open(tmp_path)) as other:
        for number in range(160):
            key, act = dice.choice(KEYS), _acts(dice, number)
            for each in (dice.choice((store, other)), memory):
                with contextlib.suppress(SessionNotFoundError):
                    act(each, key)
            asked = search_for("word ", selection=dice.choice(ASKED), sort="recent", unit="message", limit=100)
            assert (asked, _told(memory.search(asked))) == (asked, _told(store.search(asked)))


def test_look_up_only_what_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A selection is looked up once; after that, only the sessions that changed are."""
    looked_up: list[int] = []
    whole, mended = Selections.look_up, Selections._mended

    def counted_whole(self: Selections, where: str, values: Mapping[str, Value]) -> BitMap:
        looked_up.append(-1)
        return whole(self, where, values)

    def counted(self: Selections, docs: BitMap, changed: Sequence[int], *rest: Any) -> BitMap:  # noqa: ANN401
        looked_up.append(len(changed))
        return mended(self, docs, changed, *rest)

    monkeypatch.setattr(Selections, "look_up", counted_whole)
    monkeypatch.setattr(Selections, "_mended", counted)
    asked = search_for("word ", selection=Selection(archived=False))
    with contextlib.closing(FilesStore.open(tmp_path)) as store:
        for key in KEYS:
            store.append(key, [draft("word", id="m")])
        for act in (
            lambda: None,
            lambda: None,
            lambda: store.append("api:1", [draft("word", id="n")]),
            lambda: store.revise("web:3", Revision(archived=True)),
            lambda: None,
        ):
            act()
            store.search(asked)
        assert [-1, 1, 1] == looked_up

        for key in KEYS:  # a search within one session keeps nothing, and pushes nothing out
            store.search(search_for("word ", session=key))
        looked_up.clear()
        store.search(asked)
        assert [] == looked_up


def test_look_up_anew_after_many_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A selection that very many changes have left behind is looked up as a whole."""
    monkeypatch.setattr(selections, "_NEW_MAX", 3)
    asked = search_for("word ", selection=Selection(archived=False), unit="message", limit=100)
    with contextlib.closing(FilesStore.open(tmp_path)) as store:
        store.append("api:1", [draft("word", id="m")])
        assert 1 == len(store.search(asked).hits)
        for key in KEYS:
            store.append(key, [draft("word", id="n")])

        assert 1 + len(KEYS) == len(store.search(asked).hits)
