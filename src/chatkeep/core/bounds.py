"""How large things may be: one number for every door, and how to see without parsing whether JSON keeps to it.

HTTP, imports, the recorder, the command line and the library in a process all ask here. What one of them
takes, every other gives back.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, chain
from typing import Final

from chatkeep.errors import BrokenInputError

MESSAGE_BYTES_MAX: Final = 16 << 20  # of a message as JSON, without its id and time
METADATA_BYTES_MAX: Final = 256 << 10  # of a session's metadata as JSON
DEPTH_MAX: Final = 128  # levels of lists and objects; a message is the first one itself
VALUES_MAX: Final = 100_000  # in a message, and in a body: a list of `{}` takes thirty times its bytes once parsed
BATCH_MAX: Final = 1000  # messages in an append

BODY_BYTES_MAX: Final = 10 << 20  # of a request
LARGE_BODY_BYTES_MAX: Final = 64 << 20  # of a request that brings messages: an append, an import, a call of the model

_BLOCK_BYTES: Final = 1 << 16
_NEITHER: Final = bytes(set(range(256)) - set(b'",[]{}'))  # neither structure nor the bounds of a string
_DEEPER: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1, ord(","): 0}
_BEGINNINGS: Final = b",[{"


def is_deeper(data: bytes, depth_max: int = DEPTH_MAX) -> bool:
    """Tell, without parsing, whether JSON is nested deeper than that."""
    if count_of(data, b"[{") <= depth_max:
        return False
    structure = chain.from_iterable(structure_of(data))
    return max(accumulate(map(_DEEPER.__getitem__, structure)), default=0) > depth_max


def check_depth(data: bytes, depth_max: int = DEPTH_MAX) -> None:
    """Check, without parsing, that JSON is not nested too deep.

    Raises:
        BrokenInputError: when it is.
    """
    if is_deeper(data, depth_max):
        raise BrokenInputError(f"The JSON is nested more than {depth_max} levels deep.")


def has_more_values(data: bytes, values_max: int = VALUES_MAX) -> bool:
    """Tell, without parsing, whether JSON has more values than that."""
    return count_of(data, _BEGINNINGS) > values_max and (
        sum(count_of(piece, _BEGINNINGS) for piece in structure_of(data)) > values_max
    )


def structure_of(data: bytes) -> Iterator[bytes]:
    """Yield the commas and brackets of JSON that are not in strings, block by block, whatever its size."""
    is_outside = True
    start = 0
    while start < len(data):
        block = data[start : start + _BLOCK_BYTES]
        start += len(block)
        if (len(block) - len(block.rstrip(b"\\"))) % 2:  # an escape has its other half in the next block
            block += data[start : start + 1]
            start += 1
        unescaped = block.replace(b"\\\\", b"").replace(b'\\"', b"")
        parts = unescaped.translate(None, _NEITHER).split(b'"')
        yield b"".join(parts[0 if is_outside else 1 :: 2])
        is_outside ^= len(parts) % 2 == 0


def count_of(data: bytes, characters: bytes) -> int:
    """Return how many of these characters there are, block by block, so that other threads go on in between."""
    blocks = range(0, len(data), _BLOCK_BYTES)
    return sum(data.count(character, start, start + _BLOCK_BYTES) for start in blocks for character in characters)
