"""A set of documents within one block of 65,536, as bytes in a row of the index.

A small set is the list of its documents, two bytes each. Any other is a Roaring bitmap in its portable format, made one
byte longer if its length is even. So the parity of the length tells the two apart.
Source: github.com/RoaringBitmap/RoaringFormatSpec.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable
from typing import Final

from pyroaring import BitMap

BLOCK_BITS: Final = 16
BLOCK: Final = 1 << BLOCK_BITS
_LISTED_MAX: Final = 4096  # documents; Roaring lists so many in a container, two bytes each
_WORTH_RUNS: Final = 64  # documents; in a smaller set, runs save nothing worth the look
_COOKIE: Final = 12346  # the first number of a portable bitmap without runs
_HEAD_BYTES: Final = 8
_KEY_BYTES: Final = 8  # of a container's key, cardinality and offset together


class UnreadableRowError(Exception):
    """A row has a value that this program never writes: the database is damaged."""


def row_with(docs: BitMap) -> bytes:
    """Return the bytes of a set within one block."""
    if len(docs) <= _LISTED_MAX and not (len(docs) >= _WORTH_RUNS and docs.run_optimize()):
        return short_row(docs.to_array())
    docs.run_optimize()
    data: bytes = docs.serialize()
    return data if len(data) % 2 else data + b"\0"


def short_row(docs: Iterable[int]) -> bytes:
    """Return the bytes of a small set, from its documents in order."""
    return array("H", [doc & (BLOCK - 1) for doc in docs]).tobytes()


def docs_in(rows: Iterable[tuple[int, bytes]]) -> BitMap:
    """Return the set of one label from its rows: number of the block and bytes, in order of the blocks.

    Raises:
        UnreadableRowError: when the bytes are no set: the database is damaged.
    """
    try:
        return _decoded(rows)
    except (TypeError, ValueError, struct.error) as error:
        raise UnreadableRowError from error


def _decoded(rows: Iterable[tuple[int, bytes]]) -> BitMap:
    lists: list[tuple[int, bytes]] = []
    others: list[BitMap] = []
    for block, docs in rows:
        if len(docs) % 2:
            others.append(BitMap.deserialize(docs))
        elif 0 < len(docs) <= 2 * _LISTED_MAX:
            lists.append((block, docs))
        else:
            raise ValueError(block)
    if lists:
        others.append(BitMap.deserialize(_joined(lists)))
    return others[0] if len(others) == 1 else BitMap.union(*others) if others else BitMap()


def _joined(lists: list[tuple[int, bytes]]) -> bytes:
    """Return the lists of several blocks as one portable bitmap."""
    keys = b"".join(struct.pack("<HH", block, len(docs) // 2 - 1) for block, docs in lists)
    offsets = []
    end = _HEAD_BYTES + _KEY_BYTES * len(lists)
    for _, docs in lists:
        offsets.append(end)
        end += len(docs)
    head = struct.pack("<II", _COOKIE, len(lists)) + keys + struct.pack(f"<{len(lists)}I", *offsets)
    return head + b"".join(docs for _, docs in lists)
