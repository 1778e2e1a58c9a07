"""Changes as those are told who see the keys under a prefix alone: nothing they get moves while others write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatkeep.core import feed
from chatkeep.core.feed import Changes
from chatkeep.core.model import Draft, Revision
from chatkeep.errors import SessionNotFoundError
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.files.index import rows
from chatkeep.store.files.store import FilesStore
from chatkeep.store.memory import MemoryStore
from chatkeep.store.protocol import OwnStore

STEPS = ("own:1", "own:2", "other:1", "other:2", "-own:1", "-other:1")
HELLO = [Draft(role="user", content="Hello")]


@pytest.fixture(params=["memory", "files"])
def sessions(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sessions]:
    """Yield the sessions of each kind of store."""
    with ExitStack() as stack:
        store: OwnStore = MemoryStore()
        if request.param == "files":
            store = FilesStore.open(tmp_path, durability="none")
            stack.callback(store.close)
        yield Sessions(store)


def told(answer: Changes) -> list[tuple[str, str]]:
    """Return what an answer tells."""
    return [(change.kind, change.key) for change in answer.changes]


@pytest.mark.parametrize(
    "act",
    [
        lambda all_: all_.append("other:new", HELLO),
        lambda all_: all_.append("other:1", HELLO),
        lambda all_: all_.revise("other:1", Revision(title="Mine")),
        lambda all_: all_.delete("other:1"),
        lambda all_: [all_.append(f"ow:{n}", HELLO) for n in range(30)],
        lambda all_: all_.append("OWN:1", HELLO),
    ],
    ids=["create", "append", "revise", "delete", "many", "case"],
)
@pytest.mark.parametrize("has_own", [True, False])
def test_resting_position_stays_while_others_act(
    sessions: Sessions, act: Callable[[Sessions], object], *, has_own: bool
) -> None:
    """What happens outside a view does not move its position; what happens inside does, and is told from there."""
    own = sessions.confined("own:")
    sessions.append("other:1", HELLO)
    if has_own:
        own.append("own:1", HELLO)
    before = own.changes(None)
    act(sessions)
    after = own.changes(None)
    assert before.resting == after.resting
    assert before.resting == own.changes(before.resting).resting
    own.append("own:2", HELLO)
    act_again = own.changes(before.resting, limit=500)
    assert [("created", "own:2")] == told(act_again)
    assert act_again.resting == act_again.changes[-1].position != before.resting


def test_changes_within_a_prefix_stay_within_the_own(sessions: Sessions) -> None:
    """A prefix chooses among what one may see, and never more than that."""
    own = sessions.confined("own:")
    begun = own.changes(None).resting
    for key in ("other:1", "own:a", "own:b"):
        sessions.append(key, HELLO)
    chosen = [told(own.changes(begun, prefix=prefix)) for prefix in ("", "own:b", "o", "other:")]
    assert [[("created", "own:a"), ("created", "own:b")], [("created", "own:b")], chosen[0], []] == chosen


def test_resting_position_of_who_sees_all_is_the_present(sessions: Sessions) -> None:
    """Nothing is hidden from them."""
    sessions.append("a", HELLO)
    answer = sessions.changes(None)
    assert answer.position == answer.resting


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(STEPS), max_size=40), st.data())
def test_resting_positions_lead_on_exactly(steps: list[str], data: st.DataObject) -> None:
    """From wherever a view rested, each later change in it is told once and in order, also over round numbers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feed, "ROUND", data.draw(st.integers(3, 12)))
        sessions = Sessions(MemoryStore())
        own = sessions.confined("own:")
        rested = [own.changes(None).resting]
        happened: list[list[tuple[str, str]]] = [[]]
        for step in steps:
            try:
                if step.startswith("-"):
                    sessions.delete(step[1:])
                else:
                    sessions.append(step, HELLO)
            except SessionNotFoundError:
                continue
            rested.append(own.changes(None).resting)
            happened.append([] if "other" in step else told(own.changes(rested[-2], limit=500)))
        for place, position in enumerate(rested):
            expected = [one for some in happened[place + 1 :] for one in some]
            assert expected == told(own.changes(position, limit=500))


def test_resting_position_is_good_for_as_long_as_any(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others who write much do not soon make a quiet view begin anew, and what is remembered is bounded."""
    for module in (rows, feed):
        monkeypatch.setattr(module, "ROUND", 20)
    monkeypatch.setattr(rows, "CHANGES_KEPT", 20)
    monkeypatch.setattr(rows, "_FORGOTTEN_AT_ONCE", 10)
    store = FilesStore.open(tmp_path, durability="none")
    sessions = Sessions(store)
    own = sessions.confined("own:")
    own.append("own:1", HELLO)
    positions = []
    for _ in range(150):
        positions.append(own.changes(None).resting)
        sessions.append("other:1", HELLO)
    known = [own.changes(position).is_known for position in positions]
    store.close()
    assert known[-20:] == [True] * 20
    assert 20 <= known.count(True) <= 50
    assert len(set(positions)) <= 150 // 20 + 1
