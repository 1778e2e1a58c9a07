"""The branches of a conversation, and the sessions and forks made of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chatkeep.importers.threads import branching
from chatkeep.importers.threads.branching import Branch, branches

TREE = {"q": None, "a1": "q", "a2": "q", "q2": "a2", "b1": "q2", "b2": "q2"}


def _paths(parents: dict[str, str | None], active: str | None, stored: tuple[str, ...] = ()) -> list[str]:
    return [" ".join(branch.path) for branch in branches(parents, active, stored)]


def test_begin_with_the_active_thread() -> None:
    """The active thread is the session; each other branch is a fork with all messages from the beginning on."""
    assert ["q a2 q2 b2", "q a1", "q a2 q2 b1"] == _paths(TREE, "b2")
    assert ["q a1", "q a2 q2 b1", "q a2 q2 b2"] == _paths(TREE, "a1")
    first, fork, inner = branches(TREE, "a1")
    assert Branch(path=["q", "a1"]) == first
    assert Branch(path=["q", "a2", "q2", "b1"], own="a2", shared=["q"]) == fork
    assert ("b2", "a2", ["q", "a2", "q2"]) == (inner.own, inner.parent, inner.shared)


def test_go_on_with_the_stored_thread() -> None:
    """After an import, another active thread becomes a fork and comes next; what is stored never gets its messages."""
    assert ["q a1", "q a2 q2 b1", "q a2 q2 b2"] == _paths(TREE, "b2", ("q", "a1"))
    wide = {"q": None, "a1": "q", "a2": "q", "a3": "q"}
    assert ["q a1", "q a3", "q a2"] == _paths(wide, "a3", ("q", "a1"))


def test_keep_the_forks_of_a_growing_tree() -> None:
    """A fork keeps its key and its messages when the tree grows, and goes on with the first answer."""
    grown = {**TREE, "c1": "b1", "c2": "b1", "a3": "q"}
    before = {branch.own: branch.path for branch in branches(TREE, "a1")}
    after = {branch.own: branch.path for branch in branches(grown, "a3", ("q", "a1"))}
    assert all(list(path) == list(after[own])[: len(path)] for own, path in before.items())
    assert {"c2", "a3"} == after.keys() - before.keys()


def test_read_a_tree_with_faults() -> None:
    """An unknown parent, a circle or a message that is its own parent begins a branch, and loses nothing."""
    assert ["b", "a"] == _paths({"a": "nobody", "b": "b"}, None)
    assert {"a", "b", "c"} == set(" ".join(_paths({"a": "c", "b": "a", "c": "b"}, "a")).split())
    assert [] == _paths({}, "a")


def test_bound_the_copies_of_many_forks() -> None:
    """Many forks of a long thread do not multiply it: from a bound on, a fork has only its own messages."""
    length = 1000
    parents: dict[str, str | None] = {"0": None}
    for number in range(1, length):
        parents[str(number)] = str(number - 1)
        parents[f"{number} again"] = str(number - 1)
    found = list(branches(parents, str(length - 1)))
    assert length == len(found)
    assert sum(len(branch.path) for branch in found) <= branching.COPIES_MAX + 2 * length
    assert {1} == {len(branch.path) for branch in found[-100:]}


@given(st.lists(st.integers(-1, 30), min_size=1, max_size=30), st.integers(0, 35), st.sets(st.integers(0, 30)))
def test_find_every_message_of_any_tree(above: list[int], active: int, stored: set[int]) -> None:
    """Each message is in some branch, its own once, and each fork leaves a branch that came before."""
    parents = {str(one): str(parent) for one, parent in enumerate(above)}
    found = list(branches(parents, str(active), {str(one) for one in stored}))
    own = [one for branch in found for one in branch.path[len(branch.shared) :]]
    assert sorted(parents) == sorted(own)
    begun: set[str | None] = set()
    for branch in found:
        begun.add(branch.own)
        assert branch.parent in begun or not branch.shared
