"""How long commands take from start to end, beside a Python that does nothing and one that imports Typer.

    python bench/startup.py [--rounds 20] [--beside /path/to/other/python]

All are run in turn, round by round, on a small workspace of their own, with compiled modules as an installation has
them. Medians in milliseconds, and how many times `python -c pass` that is. `--beside` runs the commands of another
environment as well, as that of an earlier version.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

COMMANDS: Mapping[str, Sequence[str]] = {
    "chatkeep --help": ("--help",),
    "chatkeep list": ("list",),
    "chatkeep list --json": ("list", "--json"),
    "chatkeep search": ("search", "cancel flight"),
    "chatkeep append": ("append", "cli:bench", "hello", "--role", "user"),
}
COMPLETED: Mapping[str, tuple[str, str]] = {
    "complete a command": ("chatkeep sea", "1"),
    "complete an option": ("chatkeep list --cha", "2"),
    "complete a key": ("chatkeep show tele", "2"),
}
_CODES = ("pass", "import typer")


class Run(NamedTuple):
    """A program that is run to its end."""

    command: Sequence[str]
    environ: Mapping[str, str]

    def seconds(self) -> float:
        """Run it, and return how long it took."""
        began = time.perf_counter()
        subprocess.run(self.command, env=self.environ, stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - began


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--beside", help="the python of another environment")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        runs = _runs(sys.executable, options.beside, Path(place))
        medians = _medians(runs, options.rounds)
    print(f"{'':34}{'ms':>8}{'times pass':>12}")
    for name, took in medians.items():
        print(f"{name:34}{took * 1000:8.1f}{took / medians['python -c pass']:12.1f}")


def _runs(python: str, other: str | None, place: Path) -> dict[str, Run]:
    """Return what is run, by what it is called; each environment has a workspace of its own."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environ["PYTHONPYCACHEPREFIX"] = str(place / "compiled")
    runs = {f"python -c {code!r}".replace("'pass'", "pass"): Run((python, "-c", code), environ) for code in _CODES}
    for label, program in (("", python), *([("beside: ", other)] if other else [])):
        own = environ | {"CHATKEEP_WORKSPACE": str(place / (label.rstrip(": ") or "here"))}
        chatkeep = (program, "-m", "chatkeep")
        Run((*chatkeep, "demo"), own).seconds()
        for name, args in COMMANDS.items():
            runs[f"{label}{name}"] = Run((*chatkeep, *args), own)
        for name, (line, place_of_word) in COMPLETED.items():
            asked = {"_CHATKEEP_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": place_of_word}
            runs[f"{label}{name}"] = Run((program, "-c", "from chatkeep.cli import main; main()"), own | asked)
    return runs


def _medians(runs: Mapping[str, Run], rounds: int) -> dict[str, float]:
    took: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            seconds = run.seconds()
            if number:  # the first compiles modules
                took[name].append(seconds)
    return {name: statistics.median(times) for name, times in took.items()}


if __name__ == "__main__":
    main()
