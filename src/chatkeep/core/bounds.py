"""Bounds: one limit for each size, the same everywhere, and checks of JSON without parsing it.

HTTP, imports, the recorder, the command line and the library in a process all use these bounds. So each gives back
whatever another takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, chain
from typing import Final

from chatkeep.errors import BrokenInputError

MESSAGE_BYTES_MAX: Final = 16 << 20  # 16 MiB, of a message as JSON, without its id and time
METADATA_BYTES_MAX: Final = 256 << 10  # 256 KiB, of the metadata of a session or a message, as JSON
DEPTH_MAX: Final = 128  # levels of lists and objects; a message is the first one itself
VALUES_MAX: Final = 100_000  # in a message, and in a body: a list of `{}` takes thirty times its bytes once parsed
BATCH_MAX: Final = 1000  # messages in an append
DROPS_MAX: Final = 1000  # ranges dropped by one message

BODY_BYTES_MAX: Final = 10 << 20  # 10 MiB, of a request
LARGE_BODY_BYTES_MAX: Final = 64 << 20  # 64 MiB, of a request with messages: an append, an import, a call of the model
MODEL_CHARS_MAX: Final = 256  # of the name of a model
RATE_MAX: Final = 1_000_000  # requests a minute, in settings and for a token

_NESTING: Final = (dict, list)
_BLOCK_BYTES: Final = 1 << 16  # scanned at once; other threads run between two blocks
_NEITHER: Final = bytes(set(range(256)) - set(b'",[]{}'))  # neither structure nor the bounds of a string
_DEEPER: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1, ord(","): 0}
_BEGINNINGS: Final = b",[{"


def is_deeper(data: bytes, depth_max: int = DEPTH_MAX) -> bool:
    """Tell, without parsing, whether JSON is nested deeper than `depth_max` levels."""
    if len(data) <= depth_max or count_of(data, b"[{") <= depth_max:
        return False
    structure = chain.from_iterable(structure_of(data))
    return max(accumulate(map(_DEEPER.__getitem__, structure)), default=0) > depth_max


def is_nested_deeper(value: object, depth_max: int = DEPTH_MAX) -> bool:
    """Tell whether a parsed value is nested deeper than `depth_max` levels; on a long one this beats encoding it."""
    level = [value] if isinstance(value, _NESTING) else []
    for _ in range(max(0, depth_max)):
        if not level:
            return False
        inside = chain.from_iterable(one.values() if isinstance(one, dict) else one for one in level)
        level = [one for one in inside if isinstance(one, _NESTING)]
    return bool(level)


def check_depth(data: bytes, depth_max: int = DEPTH_MAX) -> None:
    """Check, without parsing, the nesting of JSON.

    Raises:
        BrokenInputError: when it is nested deeper than `depth_max` levels.
    """
    if is_deeper(data, depth_max):
        raise BrokenInputError(f"The JSON is nested more than {depth_max} levels deep.")


def has_more_values(data: bytes, values_max: int = VALUES_MAX) -> bool:
    """Tell, without parsing, whether JSON has more than `values_max` values."""
    return (
        len(data) > values_max
        and count_of(data, _BEGINNINGS) > values_max
        and (sum(count_of(piece, _BEGINNINGS) for piece in structure_of(data)) > values_max)
    )


def structure_of(data: bytes) -> Iterator[bytes]:
    """Yield the commas and brackets of JSON outside strings, block by block, so memory stays bounded."""
    is_outside = True
    start = 0
    while start < len(data):
        block = data[start : start + _BLOCK_BYTES]
        start += len(block)
        if (len(block) - len(block.rstrip(b"\\"))) % 2:  # the last escape goes on in the next block
            block += data[start : start + 1]
            start += 1
        unescaped = block.replace(b"\\\\", b"").replace(b'\\"', b"")
        parts = unescaped.translate(None, _NEITHER).split(b'"')
        yield b"".join(parts[0 if is_outside else 1 :: 2])
        is_outside ^= len(parts) % 2 == 0


def count_of(data: bytes, characters: bytes) -> int:
    """Return the number of these characters, counted block by block, so that other threads can run in between."""
    if len(data) <= _BLOCK_BYTES:
        return sum(map(data.count, characters))
    blocks = range(0, len(data), _BLOCK_BYTES)
    return sum(data.count(character, start, start + _BLOCK_BYTES) for start in blocks for character in characters)
