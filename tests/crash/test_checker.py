"""The checker itself: it has to find what is planted, and nothing in what could be."""

from __future__ import annotations

import pytest

from chatkeep.store.memory import MemoryStore
from chatkeep.testing import draft
from tests.crash.checker import faults
from tests.crash.history import NEVER, Operation, Seen, Verb, Witness, acknowledged_in, operations_in


class Plot:
    """A history that is made up: operations with the times they began and ended."""

    def __init__(self) -> None:
        """Begin with nothing done."""
        self.operations: list[Operation] = []

    def did(self, verb: Verb, began: int, ended: int = NEVER, **about: object) -> Plot:
        """Add an operation."""
        number = len(self.operations)
        self.operations.append(
            Operation(who="w", number=number, verb=verb, key="a", began=began, ended=ended, **about)  # type: ignore[arg-type]
        )
        return self

    def sent(self, ids: str, began: int, ended: int = NEVER, **about: object) -> Plot:
        """Add an append of messages with ids of one letter."""
        return self.did("append", began, ended, ids=tuple(ids), **about)

    def read(self, ids: str, began: int, ended: int, title: str | None = None, created: int = 1) -> Plot:
        """Add a reading of all messages."""
        seen = Seen(count=len(ids), ids=tuple(ids), created=created, title=title, is_whole=True)
        return self.did("read", began, ended, seen=seen)

    def looked(self, count: int, began: int, ended: int, title: str | None = None) -> Plot:
        """Add a look at what is known of the session."""
        return self.did("read", began, ended, seen=Seen(count=count, created=1, title=title))

    def end(self, ids: str, count: int, began: int, ended: int) -> Plot:
        """Add a reading of the newest messages."""
        return self.did("read", began, ended, seen=Seen(count=count, ids=tuple(ids)))

    def missed(self, began: int, ended: int, verb: Verb = "read") -> Plot:
        """Add an answer that there is no session."""
        return self.did(verb, began, ended, is_missing=True)

    def renamed(self, title: str, began: int, ended: int, created: int = 1) -> Plot:
        """Add a rename."""
        return self.did("rename", began, ended, title=title, seen=Seen(count=1, created=created, title=title))


def _two() -> Plot:
    return Plot().sent("a", 1, 2).sent("bc", 3, 4)


GOOD = {
    "told and seen": _two().read("abc", 5, 6).looked(3, 7, 8).end("bc", 3, 7, 8),
    "not answered, not there": _two().sent("d", 5).read("abc", 6, 7),
    "not answered, there, later than others": _two().sent("d", 5).sent("e", 6, 7).read("abced", 8, 9),
    "at the same time, either order": Plot().sent("a", 1, 5).sent("b", 2, 4).read("ba", 6, 7),
    "a reader at the same time": _two().read("a", 3, 5).sent("d", 5, 9).read("abcd", 6, 7).read("abcd", 8, 10),
    "deleted and begun anew": _two().did("delete", 5, 6).missed(7, 8).sent("d", 9, 10).read("d", 11, 12, created=2),
    "deleted by who was never answered": _two().did("delete", 5).missed(9, 10).missed(11, 12, "rename"),
    "deleted at the same time": _two().did("delete", 1, 9).read("abc", 5, 6).missed(7, 8),
    "two titles at the same time": _two().renamed("x", 5, 9).renamed("y", 6, 8).read("abc", 10, 11, "x"),
    "a title of who was never answered": _two().did("rename", 5, title="x").read("abc", 6, 7).read("abc", 8, 9, "x"),
}


@pytest.mark.parametrize("plot", GOOD.values(), ids=GOOD.keys())
def test_faults_of_what_could_be(plot: Plot) -> None:
    """What operations at the same time, and those without an answer, may lead to is no fault."""
    assert [] == faults(plot.operations)


BAD = {
    "lost": (_two().read("a", 5, 6), "lost b, c"),
    "lost, seen before": (_two().read("abc", 5, 6).read("a", 7, 8), "read 1 messages when there were 3"),
    "lost with its session": (_two().missed(5, 6), "lost a"),
    "lost, deleted before": (Plot().did("delete", 1, 2).sent("a", 3, 4).missed(5, 6), "lost a"),
    "doubled": (_two().read("abca", 5, 6), "a is there twice"),
    "phantom": (_two().read("abcd", 5, 6), "nobody sent d"),
    "altered": (_two().end("altered c", 3, 5, 6), "nobody sent"),
    "seen before it was sent": (_two().read("abcd", 5, 6).sent("d", 7, 8), "before it was sent"),
    "reordered": (_two().read("bca", 5, 6), "is before what was stored already"),
    "two orders": (Plot().sent("a", 1, 5).sent("b", 1, 5).read("ab", 6, 7).read("ba", 6, 7), "another order"),
    "a window of another order": (_two().read("abc", 5, 6).end("cb", 3, 7, 8), "another order"),
    "stale": (_two().sent("d", 5).read("abcd", 6, 7).read("abc", 8, 9), "read 3 messages when there were 4"),
    "stale look": (_two().read("abc", 7, 8).looked(1, 5, 6), "read 1 messages when there were 3"),
    "torn batch": (_two().read("abc", 5, 6).read("ab", 3, 4), "a part of the append"),
    "half a batch": (_two().read("ab", 5, 6), "a part is there"),
    "batch with others in it": (Plot().sent("ab", 1, 9).sent("c", 1, 9).read("acb", 2, 8), "not together"),
    "told another place": (Plot().sent("a", 1, 2, seqs=(2,)).read("a", 3, 4), "another place"),
    "resurrected": (_two().did("delete", 5, 6).read("abc", 7, 8), "after it was deleted"),
    "resurrected, seen before": (
        _two().read("abc", 4, 5).did("delete", 6, 7).read("abc", 8, 9),
        "after it was deleted",
    ),
    "kept by who began anew": (
        _two().did("delete", 5, 6).sent("d", 7, 8).read("abcd", 9, 10),
        "it is there after it was deleted",
    ),
    "two lives by turns": (
        _two().read("abc", 5, 6).did("delete", 7).sent("d", 8, 9).read("d", 10, 11, created=2).read("abc", 12, 13),
        "comes back after another",
    ),
    "one message in two lives": (_two().did("delete", 5).read("abc", 6, 7).read("abc", 8, 9, created=2), "two lives"),
    "missing in between": (_two().read("abc", 5, 6).did("delete", 7).missed(8, 9).read("abc", 10, 11), "gone before"),
    "deleted twice": (_two().did("delete", 5, 6).did("delete", 7, 8), "deleted twice"),
    "lost rename": (_two().renamed("x", 5, 6).read("abc", 7, 8), "is lost"),
    "older rename again": (_two().renamed("x", 5, 6).renamed("y", 7, 8).looked(3, 9, 10, "x"), "comes back"),
    "title of nobody": (_two().looked(3, 5, 6, "x"), "nobody gave the title x"),
    "title before its time": (_two().looked(3, 5, 6, "x").renamed("x", 7, 8), "before it was given"),
    "title of another life": (_two().renamed("x", 5, 6, created=9).looked(3, 7, 8, "x"), "of another life"),
    "nothing in it": (_two().looked(0, 5, 6), "read no message"),
}


@pytest.mark.parametrize("plot,expected", BAD.values(), ids=BAD.keys())
def test_faults_planted(plot: Plot, expected: str) -> None:
    """Every kind of violation is found, and named."""
    found = faults(plot.operations)
    assert any(expected in fault for fault in found), found


def test_faults_of_a_store() -> None:
    """What a witness notes of a store is without faults, until the store has something that nobody sent."""
    store, notes = MemoryStore(), list[bytes]()
    witness = Witness("w", store, notes.append)
    for size in (1, 70, 10_000):
        witness.append("a", witness.new_ids(size, size))
    witness.rename("a")
    witness.merge("a", witness.new_ids(5))
    witness.look("a", store.get)
    witness.read("a")
    witness.window("a", store.window)
    witness.delete("a")
    witness.read("a")
    witness.append("a", ids := witness.new_ids(100))
    witness.read("a")
    assert [] == faults(operations_in(notes))
    assert 8 == len(acknowledged_in(operations_in(notes)))

    store.append("a", [draft("another's", id="x.1")])
    witness.read("a")
    assert ["a: nobody sent altered x.1"] == faults(operations_in(notes))
    assert ids[0] in acknowledged_in(operations_in(notes))


def test_operations_in_notes_cut_short() -> None:
    """A line that was not finished is left out, and what has no answer is not taken for done."""
    store, notes = MemoryStore(), list[bytes]()
    Witness("w", store, notes.append).append("a", ("w.0.5",))
    (cut,) = operations_in([notes[0], notes[1][:-1]])
    assert not cut.is_answered
    assert [] == acknowledged_in([cut])
