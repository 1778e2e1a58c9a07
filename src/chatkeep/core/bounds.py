"""How large things may be: one number for every door, and how to see without parsing whether JSON keeps to it.

HTTP, imports, the recorder, the command line and the library in a process all ask here. What one of them
takes, every other gives back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import accumulate, chain
from typing import Final

from chatkeep.errors import BrokenInputError

MESSAGE_BYTES_MAX: Final = 16 << 20  # of a message as JSON
METADATA_BYTES_MAX: Final = 256 << 10  # of a session's metadata as JSON
DEPTH_MAX: Final = 128  # levels of lists and objects; a message is the first one itself
VALUES_MAX: Final = 100_000  # in a message, and in a body: a list of `{}` takes thirty times its bytes once parsed
BATCH_MAX: Final = 1000  # messages in an append

BODY_BYTES_MAX: Final = 10 << 20  # of a request
LARGE_BODY_BYTES_MAX: Final = 64 << 20  # of a request that brings messages: an append, an import, a call of the model

_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_RUN: Final = re.compile(rb'(?:[^"]++|"(?:[^"\\]++|\\.)*+"?){1,4096}', re.DOTALL)
_NOT_STRUCTURE: Final = bytes(set(range(256)) - set(b",[]{}"))
_DEEPER: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1, ord(","): 0}
_BEGINNINGS: Final = b",[{"


def is_deeper(data: bytes, depth_max: int = DEPTH_MAX) -> bool:
    """Tell, without parsing, whether JSON is nested deeper than that."""
    if data.count(b"[") + data.count(b"{") <= depth_max:
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
    """Yield the commas and brackets of JSON that are not in strings, piece by piece, whatever its size."""
    for run in _RUN.finditer(data):
        yield _STRING.sub(b"", run.group()).translate(None, _NOT_STRUCTURE)


def count_of(data: bytes, characters: bytes) -> int:
    """Return how many of these characters there are."""
    return sum(map(data.count, characters))
