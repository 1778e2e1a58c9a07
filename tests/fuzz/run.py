"""Fuzzes each target for a while, several at once: `python -m tests.fuzz.run --seconds 60 [NAME ...]`.

Atheris guides it by coverage (it wraps libFuzzer). A target fails by an exception that its parser does not
document, by one input that takes more than ten seconds, or by more than a gigabyte of memory; what it fails on is
kept in `.fuzz/`, and a failed run prints where. Each run begins with the same seed: a failure comes again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

FOUND: Final = Path(".fuzz")
INPUT_WAIT_S: Final = 10
MEMORY_MIB_MAX: Final = 1024
_LINES_SHOWN: Final = 40


def main() -> int:
    """Run what the command line names; the exit code is that of the worst target."""
    options = _options()
    if options.worker:
        _fuzz(options.names[0], options.seconds)
    from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - a worker has it imported under instruments

    names = options.names or [target.name for target in TARGETS]
    with ThreadPoolExecutor(options.at_once) as pool:
        codes = list(pool.map(lambda name: _run(name, options.seconds), names))
    return max(codes)


def _run(name: str, seconds: int) -> int:
    """Fuzz one target in a process of its own."""
    command = [sys.executable, "-m", "tests.fuzz.run", "--worker", "--seconds", str(seconds), name]
    done = subprocess.run(command, capture_output=True, text=True, check=False, errors="replace")
    lines = done.stderr.splitlines()
    told = next((line for line in reversed(lines) if line.startswith(("#", "Done"))), "no run")
    print(f"{name}: {'passed' if not done.returncode else 'FAILED'}: {told}", flush=True)  # noqa: T201 - a script
    if done.returncode:
        print("\n".join((done.stdout.splitlines() + lines)[-_LINES_SHOWN:]), flush=True)  # noqa: T201 - a script
    return done.returncode


def _fuzz(name: str, seconds: int) -> None:
    """Fuzz one target in this process, which ends with it."""
    import atheris  # noqa: PLC0415 - only workers need it

    with atheris.instrument_imports(include=["chatkeep"]):
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - under instruments

    [target] = [target for target in TARGETS if target.name == name]
    FOUND.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(target.seeds):
            (Path(corpus) / str(number)).write_bytes(seed)
        bounds = (
            "-seed=1",
            f"-max_total_time={seconds}",
            f"-timeout={INPUT_WAIT_S}",
            f"-rss_limit_mb={MEMORY_MIB_MAX}",
            f"-max_len={target.bytes_max}",
            f"-artifact_prefix={FOUND}/{name}-",
        )
        atheris.Setup([sys.argv[0], *bounds, corpus], target.read)
        atheris.Fuzz()


def _options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--seconds", type=int, default=60, help="how long each target runs")
    parser.add_argument("--at-once", type=int, default=2, help="how many targets run at the same time")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
