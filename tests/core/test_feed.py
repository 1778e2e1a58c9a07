"""Positions: they come back as they were made, and say nothing to others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.feed import number_of, position_of

EPOCHS = st.binary(min_size=1, max_size=64)
NUMBERS = st.integers(0, (1 << 63) - 1)


@given(NUMBERS, EPOCHS)
def test_position_round_trip(number: int, epoch: bytes) -> None:
    """A position stands for its number, in header-safe characters of one length."""
    position = position_of(number, epoch)
    assert number == number_of(position, epoch)
    assert 22 == len(position)
    assert position.replace("-", "").replace("_", "").isalnum()


@given(NUMBERS, EPOCHS, EPOCHS)
def test_position_of_another_epoch(number: int, epoch: bytes, other: bytes) -> None:
    """A position of another epoch is none."""
    same = epoch.ljust(64, b"\0") == other.ljust(64, b"\0")  # blake2b pads its key so
    assert (number if same else None) == number_of(position_of(number, epoch), other)


@given(st.text(max_size=30), EPOCHS)
def test_position_that_nobody_made(text: str, epoch: bytes) -> None:
    """Any other text is none, and no error."""
    assert number_of(text, epoch) is None


def test_positions_hide_how_many() -> None:
    """Positions next to each other have nothing in common that tells how far they are apart."""
    positions = [position_of(number, b"secret") for number in range(1000)]
    assert 1000 == len(set(positions))
    assert sorted(positions) != positions
    assert 500 < len({position[:2] for position in positions})
