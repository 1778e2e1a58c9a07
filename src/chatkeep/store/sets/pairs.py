"""The documents of neighbouring codes of pairs within one block of 65,536, as bytes in a row of the index.

A pair of words has a code, and 256 codes share a row. There each document stands with the *mark* of its pair, the last
byte of the code. So a row is as long as the pairs of its documents need, three bytes each, and a search takes out the
documents with one mark.

A list has three planes: the low bytes of the documents, their high bytes, their marks. A longer one is a Roaring bitmap
of mark and document together, made longer until its length is no multiple of three. So the length tells the two apart.
In memory a document and a mark are one number: `doc << 8 | mark`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from typing import Final

from pyroaring import BitMap

from chatkeep.store.sets.containers import BLOCK, BLOCK_BITS, UnreadableRowError
from chatkeep.store.sets.terms import CODES_OF_ROW

MARK_BITS: Final = CODES_OF_ROW.bit_length() - 1
LAST_MARK: Final = CODES_OF_ROW - 1
_PLANES: Final = 3
_LISTED_MAX: Final = 4096  # documents; of more, a bitmap is shorter where many have the same pair
_FEW: Final = 32  # documents of one mark in a list; taking out more of them one by one is slower than a set of all
_WIDTH: Final = 8  # bytes of a document with its mark in memory


def pair_row_with(known: bytes | None, pairs: array[int]) -> bytes:
    """Return the bytes of a row with further documents of its block, each with its mark, in order.

    Raises:
        UnreadableRowError: when the known bytes are no row: the database is damaged.
    """
    raw = pairs.tobytes()
    marks, low, high = raw[0::_WIDTH], raw[1::_WIDTH], raw[2::_WIDTH]
    if known is None and len(pairs) <= _LISTED_MAX:
        return low + high + marks
    count = 0 if known is None else len(known) // _PLANES
    if known is not None and _is_list(known) and count + len(pairs) <= _LISTED_MAX:
        last = known[2 * count - 1] << 8 | known[count - 1]
        if last < pairs[0] >> MARK_BITS & BLOCK - 1:
            return known[:count] + low + known[count : 2 * count] + high + known[2 * count :] + marks
    together = _together(low, high, marks)
    return _row(together if known is None else together | _read(known))


def docs_with(mark: int, rows: Iterable[tuple[int, bytes]]) -> BitMap:
    """Return the documents with a mark in some rows: number of the block and bytes.

    Raises:
        UnreadableRowError: when the bytes are no row: the database is damaged.
    """
    listed: list[int] = []
    docs = BitMap()
    for block, row in rows:
        first = block << BLOCK_BITS
        marks = row[2 * len(row) // _PLANES :] if _is_list(row) else b""
        if marks and marks.count(mark) <= _FEW:
            places = _places(marks, bytes((mark,)))
            listed += [first | row[len(marks) + place] << 8 | row[place] for place in places]
        else:
            begin = mark << BLOCK_BITS
            docs |= (_read(row) & BitMap(range(begin, begin + BLOCK))).shift(first - begin)
    docs.update(listed)
    return docs


def _is_list(row: bytes) -> bool:
    """Tell whether a row is a list, not a bitmap.

    Raises:
        UnreadableRowError: when it has no documents, or too many for a list.
    """
    if len(row) % _PLANES:
        return False
    if not 0 < len(row) <= _PLANES * _LISTED_MAX:
        raise UnreadableRowError
    return True


def _places(marks: bytes, mark: bytes) -> Iterator[int]:
    place = marks.find(mark)
    while place >= 0:
        yield place
        place = marks.find(mark, place + 1)


def _row(together: BitMap) -> bytes:
    """Return the bytes of a set of marks and documents together."""
    if len(together) <= _LISTED_MAX:
        raw = array("I", together).tobytes()
        return raw[0::4] + raw[1::4] + raw[2::4]
    together.run_optimize()
    data: bytes = together.serialize()
    return data if len(data) % _PLANES else data + b"\0"


def _read(row: bytes) -> BitMap:
    """Return marks and documents of a row as one set: `mark << 16 | document within the block`."""
    if _is_list(row):
        count = len(row) // _PLANES
        return _together(row[:count], row[count : 2 * count], row[2 * count :])
    try:
        return BitMap.deserialize(row)
    except ValueError as error:
        raise UnreadableRowError from error


def _together(low: bytes, high: bytes, marks: bytes) -> BitMap:
    raw = bytearray(4 * len(marks))
    raw[0::4], raw[1::4], raw[2::4] = low, high, marks
    return BitMap(array("I", bytes(raw)))
