"""Fuzzes each target for a while, several at once: `python -m tests.fuzz.run --seconds 60 [NAME ...]`.

Atheris guides it by coverage (it wraps libFuzzer). A target fails by an exception that its parser does not
document, by one input that takes more than ten seconds, or by more than a gigabyte of memory; what it fails on is
kept in `.fuzz/`, and a failed run prints where. Each run begins with the same seed: a failure comes again.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

import atheris

with atheris.instrument_imports(include=["chatkeep"]):
    from tests.fuzz.targets import TARGETS

if TYPE_CHECKING:
    from tests.fuzz.targets import Target

FOUND: Final = Path(".fuzz")
INPUT_WAIT_S: Final = 10
MEMORY_MIB_MAX: Final = 1024
_LINES_SHOWN: Final = 40


def main() -> int:
    """Run what the command line names; the exit code is that of the worst target."""
    options = _options()
    waiting = [target for target in TARGETS if target.name in (options.names or [one.name for one in TARGETS])]
    running: dict[int, tuple[Target, IO[bytes]]] = {}
    codes = [0]
    FOUND.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        while waiting or running:
            while waiting and len(running) < options.at_once:
                target, told = waiting.pop(0), tempfile.TemporaryFile()  # noqa: SIM115 - `_report` closes it
                running[_begin(target, options.seconds, Path(folder), told)] = (target, told)
            process, status = os.wait()
            codes.append(_report(*running.pop(process), os.waitstatus_to_exitcode(status)))
    return max(map(abs, codes))


def _begin(target: Target, seconds: int, folder: Path, told: IO[bytes]) -> int:
    """Fuzz one target in a process of its own; it begins with the imports made, whose instruments take long."""
    process = os.fork()
    if not process:
        os.dup2(told.fileno(), 1)
        os.dup2(told.fileno(), 2)
        _fuzz(target, seconds, folder / target.name)
    return process


def _report(target: Target, told: IO[bytes], code: int) -> int:
    """Print how a target ended; return its exit code."""
    with told:
        told.seek(0)
        lines = told.read().decode(errors="replace").splitlines()
    last = next((line for line in reversed(lines) if line.startswith(("#", "Done"))), "no run")
    print(f"{target.name}: {'passed' if not code else 'FAILED'}: {last}", flush=True)  # noqa: T201 - a script
    if code:
        print("\n".join(lines[-_LINES_SHOWN:]), flush=True)  # noqa: T201 - a script
    return code


def _fuzz(target: Target, seconds: int, corpus: Path) -> None:
    """Fuzz one target in this process, which ends with it."""
    corpus.mkdir()
    for number, seed in enumerate(target.seeds):
        (corpus / str(number)).write_bytes(seed)
    bounds = (
        "-seed=1",
        f"-max_total_time={seconds}",
        f"-timeout={INPUT_WAIT_S}",
        f"-rss_limit_mb={MEMORY_MIB_MAX}",
        f"-max_len={target.bytes_max}",
        f"-artifact_prefix={FOUND}/{target.name}-",
    )
    atheris.Setup([sys.argv[0], *bounds, str(corpus)], target.read)
    atheris.Fuzz()


def _options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *(target.name for target in TARGETS)], metavar="NAME")
    parser.add_argument("--seconds", type=int, default=60, help="how long each target runs")
    parser.add_argument("--at-once", type=int, default=2, help="how many targets run at the same time")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
