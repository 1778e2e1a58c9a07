"""Sets as bytes, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from chatkeep.store.sets.containers import BLOCK, UnreadableRowError, docs_in, row_with

SHAPES = st.sets(st.integers(0, BLOCK - 1), min_size=1, max_size=300) | st.builds(
    lambda start, length, step: set(range(start, min(BLOCK, start + length), step)),
    st.integers(0, BLOCK - 1),
    st.integers(1, BLOCK),
    st.integers(1, 9),
)


@given(st.dictionaries(st.integers(0, 1000), SHAPES, max_size=4))
def test_rows_keep_a_set(blocks: dict[int, set[int]]) -> None:
    """A set of any shape comes back from its rows, a few documents as well as whole blocks."""
    sets = {block: BitMap(block * BLOCK + doc for doc in docs) for block, docs in sorted(blocks.items())}
    rows = [(block, row_with(BitMap(docs))) for block, docs in sets.items()]
    assert BitMap.union(BitMap(), *sets.values()) == docs_in(rows)


@pytest.mark.parametrize("data", [b"", b"x", b"xyz" * 7, bytes(2 * 4096 + 2)])
def test_rows_that_are_no_set(data: bytes) -> None:
    """Bytes that are no set are told from an empty one: the database is damaged."""
    with pytest.raises(UnreadableRowError):
        docs_in([(0, data)])
