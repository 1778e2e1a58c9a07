"""The documents of a label, block by block, on their way into rows."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

from msgspec import Struct
from pyroaring import BitMap

from chatkeep.store.sets import pairs
from chatkeep.store.sets.containers import BLOCK_BITS, docs_in, row_with, short_row
from chatkeep.store.sets.terms import DocLabel

_FEW: Final = 64  # documents; so few stand in a row as a list


class Posting(Struct, frozen=True):
    """The documents of a label within one block, in order; those of a row of pairs with their marks."""

    label: DocLabel
    block: int
    docs: array[int]

    def row(self, known: bytes | None) -> bytes:
        """Return the bytes of the row with these documents."""
        if known is None and len(self.docs) < _FEW:
            return short_row(self.docs)
        docs = BitMap(self.docs)
        return row_with(docs if known is None else docs | docs_in([(self.block, known)]))


class PairPosting(Posting, frozen=True):
    """The documents of a row of pairs within one block, in order, each with its mark."""

    def row(self, known: bytes | None) -> bytes:
        """Return the bytes of the row with these documents."""
        return pairs.pair_row_with(known, self.docs)


def postings_of(
    label: DocLabel, docs: array[int], kind: type[Posting] = Posting, mark_bits: int = 0
) -> Iterator[Posting]:
    """Yield the documents of a label by block; `mark_bits` are the bits behind each document."""
    for some in in_blocks(docs, mark_bits):
        yield kind(label, some[0] >> BLOCK_BITS + mark_bits, some)


def in_blocks(docs: array[int], more_bits: int = 0) -> Iterator[array[int]]:
    """Yield the documents of each block, in order; `more_bits` are the bits behind each document."""
    bits = BLOCK_BITS + more_bits
    while docs:
        block = docs[0] >> bits
        end = len(docs) if docs[-1] >> bits == block else bisect_left(docs, (block + 1) << bits)
        yield docs[:end]
        docs = docs[end:]
