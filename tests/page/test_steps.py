"""No text takes the page's scripts a work with the square of its length, also where a function of the language works.

`test_cost` counts the runs of scripts in a browser. A search or a pattern in a loop runs few pieces of script, and
passes over many characters: these are counted here, for every kind of text that the server is tried with.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Final

import chatkeep
from tests.linear.kinds import KINDS
from tests.page.test_cost import GROWTH_MAX, HOSTILE

STATIC: Final = Path(chatkeep.__file__).parent / "http" / "static"
STEPS: Final = Path(__file__).parent / "js" / "steps.mjs"
NODE: Final = shutil.which("node") or "node"
CHARS: Final = 6_000  # more than the page looks for the end of a formula
SLACK: Final = 4 * CHARS  # steps: what begins once, or when a list is made larger
CONTROL: Final = "loop in a loop"


def plain(text: str) -> str:
    """Return a text as the page gets it."""
    return text.encode(errors="replace").decode()


def test_steps_grow_with_the_text() -> None:
    """Twice the text takes no more than about twice the steps, at each door of each kind of text."""
    kinds = {**KINDS, **{f"page: {name}": kind for name, kind in HOSTILE.items()}}
    texts = [(name, plain(kind(CHARS)), plain(kind(2 * CHARS))) for name, kind in kinds.items()]
    counted = subprocess.run([NODE, STEPS, STATIC], input=json.dumps(texts), capture_output=True, text=True, check=True)
    grown: defaultdict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
    longer = {name: max(1.0, len(twice) / len(text) / 2) for name, text, twice in texts}
    lines = [json.loads(line) for line in counted.stdout.splitlines()]
    for door, name, one, two in lines:
        if two > GROWTH_MAX * longer[name] * one + SLACK:
            grown[door][name] = (one, two)
    assert len(lines) == len(kinds) * len({door for door, *_ in lines})
    assert len(kinds) == len(grown.pop(CONTROL))
    assert {} == dict(grown)
