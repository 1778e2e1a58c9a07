"""Message ids sort by time."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.keys import RANDOM_BITS, id_of, number_after

times = st.datetimes(datetime(1970, 1, 2), datetime(9999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - set beside
bits = st.integers(0, (1 << RANDOM_BITS) - 1)


@given(times, times, bits, bits)
def test_message_id_order(one: datetime, other: datetime, first_bits: int, other_bits: int) -> None:
    """Ids have 26 plain characters, and those of a later millisecond are greater."""
    ids = [id_of(number_after(0, one, first_bits)), id_of(number_after(0, other, other_bits))]
    for each in ids:
        assert 26 == len(each)
        assert each.isalnum()
        assert each == each.lower()
    millis = [int(moment.timestamp() * 1000) for moment in (one, other)]
    if millis[0] != millis[1]:
        assert (millis[0] < millis[1]) == (ids[0] < ids[1])


@given(st.lists(st.tuples(times, bits), min_size=2, max_size=20))
def test_number_after_keeps_the_order(made: list[tuple[datetime, int]]) -> None:
    """Whatever the clock says, each id is greater than the one before, and has its time if that is later."""
    last = 0
    for at, random_bits in made:
        number = number_after(last, at, random_bits)
        assert id_of(last) < id_of(number)
        is_later = int(at.timestamp() * 1000) > last >> RANDOM_BITS
        assert (
            int(at.timestamp() * 1000) << RANDOM_BITS | random_bits if is_later else last + 1 + (random_bits >> 16)
        ) == number
        last = number


def test_number_after_tells_nothing_of_others() -> None:
    """Numbers of one millisecond are a random step apart, so that one between them does not show."""
    at, last, steps = datetime(2024, 1, 15, tzinfo=UTC), 0, set[int]()
    for _ in range(100):
        number = number_after(last, at, secrets.randbits(RANDOM_BITS))
        steps.add(number - last)
        last = number
    assert 100 == len(steps)
    assert min(steps) > 1


def test_number_after_the_last_of_a_millisecond() -> None:
    """When the random bits run out, the next millisecond begins."""
    at = datetime(2024, 1, 15, tzinfo=UTC)
    last = number_after(0, at, (1 << RANDOM_BITS) - 1)
    assert id_of(last) < id_of(number_after(last, at, 0))
