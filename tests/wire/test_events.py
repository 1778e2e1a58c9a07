"""Events: what is written is read, however the network cuts it."""

from __future__ import annotations

from itertools import pairwise

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.feed import Change
from chatkeep.core.model import Draft, Summary
from chatkeep.core.sse import COMMENT, Event, EventReader
from chatkeep.store.memory import MemoryStore
from chatkeep.testing import at
from chatkeep.wire.events import READY, RESET, change_of, event_of, first_event


def summary_with(text: str) -> Summary:
    """Return a session whose title and preview are made of a text."""
    store = MemoryStore()
    store.append("k", [Draft(role="user", content=text, sent_at=at(0), id="1")])
    return store.get("k")


CHANGES = st.one_of(
    st.builds(
        Change,
        position=st.just("p" * 22),
        kind=st.sampled_from(["created", "appended"]),
        key=st.text("ab:/é😀 \u2028\x85", min_size=1),
        first_seq=st.integers(1, 9),
        last_seq=st.integers(9, 99),
        summary=st.builds(summary_with, st.text("x\n\r: é😀\u2028\x85", min_size=1)),
    ),
    st.builds(Change, position=st.just("q"), kind=st.sampled_from(["revised", "deleted"]), key=st.just("k")),
)


@given(st.lists(CHANGES, max_size=4), st.lists(st.integers(0, 2000), max_size=8))
def test_events_in_any_pieces(changes: list[Change], cuts: list[int]) -> None:
    """Changes come out as they went in, and once, wherever the stream is cut."""
    stream = first_event(READY, "start") + COMMENT.join([b"", *map(event_of, changes), b""])
    places = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    reader = EventReader()
    pieces = (stream[start:end] for start, end in pairwise(places))
    events = [event for piece in pieces for event in reader.read(piece)]
    assert ("ready", "start") == (events[0].name, events[0].id)
    assert changes == [change_of(event) for event in events[1:]]


def test_event_that_is_cut_off() -> None:
    """What lacks its end is no event."""
    reader = EventReader()
    assert [] == list(reader.read(event_of(Change(position="p", kind="deleted", key="k"))[:-1]))
    assert ["p"] == [event.id for event in reader.read(b"\n")]


def test_events_of_other_kinds() -> None:
    """A reset is a change without a key; what a later version may tell of is none."""
    (reset,) = EventReader().read(first_event(RESET, "now"))
    assert Change(position="now", kind="reset") == change_of(reset)
    assert change_of(Event("merged", msgspec.json.encode({"key": "k"}), "p")) is None
    assert change_of(Event("ready", b"{}", "p")) is None
