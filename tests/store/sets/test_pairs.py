"""A row of pairs has each document with the mark of its pair, in whatever pieces it came."""

from __future__ import annotations

import random
from array import array
from collections import defaultdict
from typing import Final

import pytest
from pyroaring import BitMap

from chatkeep.store.sets.containers import UnreadableRowError
from chatkeep.store.sets.pairs import LAST_MARK, MARK_BITS, docs_with, pair_row_with

BLOCK: Final = 3
FIRST: Final = BLOCK << 16


def _pairs(docs: dict[int, set[int]]) -> array[int]:
    return array("Q", [doc << MARK_BITS | mark for doc in sorted(docs) for mark in sorted(docs[doc])])


def _told(row: bytes) -> dict[int, list[int]]:
    return {mark: list(docs_with(mark, [(BLOCK, row)])) for mark in range(LAST_MARK + 1)}


def _expected(docs: dict[int, set[int]]) -> dict[int, list[int]]:
    by_mark: defaultdict[int, list[int]] = defaultdict(list)
    for doc in sorted(docs):
        for mark in docs[doc]:
            by_mark[mark].append(doc)
    return {mark: by_mark[mark] for mark in range(LAST_MARK + 1)}


@pytest.mark.parametrize("count", [1, 2, 300, 3000, 20_000])
def test_row_in_pieces(count: int) -> None:
    """A row that grew piece by piece, short or long, gives the documents of each mark."""
    dice = random.Random(count)  # noqa: S311 - the same at each run
    common = (0, 7, 255)
    docs = {
        FIRST + doc: {dice.choice(common) if dice.random() < 0.5 else dice.randrange(256) for _ in range(2)}
        for doc in sorted(dice.sample(range(1 << 16), count))
    }
    row, numbers = None, list(docs)
    while numbers:
        size = dice.randint(1, max(1, count // 3))
        row = pair_row_with(row, _pairs({doc: docs[doc] for doc in numbers[:size]}))
        numbers = numbers[size:]

    assert row is not None
    assert _expected(docs) == _told(row)


@pytest.mark.parametrize("count", [5, 1500, 3000])
def test_row_with_the_same_pairs_twice(count: int) -> None:
    """Pairs that come again, as after a sealing that broke off, change neither the answer nor the length for long."""
    docs = {FIRST + 2 * doc: {doc % 256} for doc in range(count)}
    once = pair_row_with(None, _pairs(docs))
    twice = pair_row_with(once, _pairs(docs))

    assert _expected(docs) == _told(twice)
    assert len(pair_row_with(twice, _pairs(docs))) <= max(len(once), len(twice))


def test_row_of_a_common_pair_is_short() -> None:
    """A pair in most messages takes a bit of each, not three bytes."""
    row = pair_row_with(None, _pairs({FIRST + doc: {9} for doc in range(0, 1 << 16, 2)}))

    assert len(row) < (1 << 16) // 8 + 1000


def test_documents_of_several_blocks() -> None:
    """The documents with a mark come from all blocks, in lists and in bitmaps."""
    of_list = pair_row_with(None, array("Q", [5 << MARK_BITS | 9, 6 << MARK_BITS | 8]))
    second = 1 << 16
    of_bitmap = pair_row_with(None, array("Q", [(second + doc) << MARK_BITS | 9 for doc in range(5000)]))

    assert BitMap([5, *range(second, second + 5000)]) == docs_with(9, [(0, of_list), (1, of_bitmap)])


@pytest.mark.parametrize("row", [b"no row.", b"", bytes(3 * 5000)])
def test_refuse_what_is_no_row(row: bytes) -> None:
    """Bytes that are no row are damage, and no answer."""
    with pytest.raises(UnreadableRowError):
        docs_with(1, [(0, row)])
    with pytest.raises(UnreadableRowError):
        pair_row_with(row, array("Q", [1 << MARK_BITS]))
