"""Message ids sort by time."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.ids import RANDOM_BITS, message_id

times = st.datetimes(datetime(1970, 1, 2), datetime(9999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - set beside
bits = st.integers(0, (1 << RANDOM_BITS) - 1)


@given(times, times, bits, bits)
def test_message_id_order(one: datetime, other: datetime, first_bits: int, other_bits: int) -> None:
    """Ids have 26 plain characters, and those of a later millisecond are greater."""
    ids = [message_id(one, first_bits), message_id(other, other_bits)]
    for each in ids:
        assert 26 == len(each)
        assert each.isalnum()
        assert each == each.lower()
    millis = [int(moment.timestamp() * 1000) for moment in (one, other)]
    if millis[0] != millis[1]:
        assert (millis[0] < millis[1]) == (ids[0] < ids[1])
