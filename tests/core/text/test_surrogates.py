"""Halves of surrogate pairs are joined, or replaced, wherever they stand in a text."""

from __future__ import annotations

import pytest

from chatkeep.core.text.surrogates import storable_text, whole_characters


@pytest.mark.parametrize("shift", range(-2, 3))
def test_join_halves_wherever_a_slice_ends(shift: int) -> None:
    """A long text is looked through in slices, and a pair of halves is joined on both sides of their ends."""
    text = "é" * ((1 << 16) + shift)
    assert f"{text}🦊{text}🦊" == whole_characters(f"{text}\ud83e\udd8a{text}\ud83e\udd8a")
    assert f"{text}🦊\ufffd{text}\ufffd\ufffd" == storable_text(f"{text}\ud83e\udd8a\ud83e{text}\udd8a\0")
    assert "a\ufffdb" == storable_text("a\0b")
