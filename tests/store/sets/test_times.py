"""The newest of a set, whatever the order of arrival."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from chatkeep.store.sets.terms import TIME_BITS, bit
from chatkeep.store.sets.times import bits_of_time, newest, since

YEAR_US = 365 * 86_400 * 1_000_000
TIMES = st.lists(st.integers(-2000 * YEAR_US, 7900 * YEAR_US) | st.integers(0, 50), min_size=1, max_size=40)


def _docs_of(times: list[int]) -> defaultdict[int, BitMap]:
    found: defaultdict[int, BitMap] = defaultdict(BitMap)
    for doc, at_us in enumerate(times):
        for place in range(TIME_BITS):
            if bits_of_time(at_us) >> place & 1:
                found[bit(place)].add(doc)
    return found


@given(TIMES, st.integers(1, 45))
def test_newest_of_any_order(times: list[int], count: int) -> None:
    """The newest come first to the microsecond, in any year; of equal times, all or the last."""
    found = newest(_docs_of(times).__getitem__, BitMap(range(len(times))), count)
    last_at = sorted(times, reverse=True)[: min(count, len(times))][-1]
    assert {doc for doc, at_us in enumerate(times) if at_us >= last_at} == set(found)


@given(TIMES, st.data())
def test_since_a_time(times: list[int], data: st.DataObject) -> None:
    """A time divides a set to the microsecond."""
    at_us = data.draw(st.sampled_from(times)) + data.draw(st.sampled_from([-1, 0, 1]))
    found = since(_docs_of(times).__getitem__, BitMap(range(len(times))), at_us)
    assert {doc for doc, of_doc in enumerate(times) if of_doc >= at_us} == set(found)
