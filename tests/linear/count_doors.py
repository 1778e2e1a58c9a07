"""Counts what each door takes for each kind of text; runs below valgrind, for `test_linearity`."""

from __future__ import annotations

import gc
import json
import os
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.linear.counting import Counter
from tests.linear.doors import COARSE, DOORS, FINE, Door
from tests.linear.kinds import FEW, KINDS

_PART: Final = 3
_COARSE_PART: Final = int(os.environ.get("CHATKEEP_LINEAR_PART", "3"))  # of few kinds, for the door that takes most
NOTHING: Final = "a"
CONTROL: Final = "control"
"""A door that takes a time with the square of the length, to show that it is seen."""


def cases(half: int) -> Iterator[tuple[str, Door, int, str]]:
    """Yield what is to be counted, of coarse doors (1) or others (0): door, characters, and kind of text."""
    yield CONTROL, lambda text: lambda: unicodedata.normalize("NFC", text), 400, FEW[0]
    for number, (name, (door, size)) in enumerate(DOORS.items()):
        if (name in COARSE) != half:
            continue
        few = FEW[::_COARSE_PART] if name == "imported" else FEW
        some = few if name in COARSE else list(KINDS)[number % _PART :: _PART]
        for kind in KINDS if name in FINE else some:
            yield name, door, size, kind


def main(log: Path, half: int) -> None:
    """Print a line for each door and kind: instructions for next to nothing, for a text, and for one twice as long."""
    bases: dict[str, int] = {}
    for _, door, size, kind in cases(half):
        door(KINDS[kind](size // 4))()  # what is only done once is done
        door(NOTHING)()
    counter = Counter(log)
    gc.disable()
    for name, door, size, kind in cases(half):
        if name not in bases:
            bases[name] = counter.instructions(door(NOTHING))
        counted = [counter.instructions(door(KINDS[kind](chars))) for chars in (size, 2 * size)]
        sys.stdout.write(json.dumps((name, kind, size, bases[name], *counted)) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
