"""Ways to damage an index that is in use, and a program that does so.

It has to be another process: SQLite's locks are lost when the process that has them closes any
descriptor of the file. The program reads lines `KIND SEED WORKSPACE SPARE`, damages the index a random
moment later, and answers each with a line. `SPARE` is a folder with databases to put in its place.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import apsw

if TYPE_CHECKING:
    from collections.abc import Iterator

_DELAY_S: Final = 0.02
_PAGE_BYTES: Final = 4096
_PATTERN: Final = "index-??????????.sqlite3"
Spoil = Callable[[Path, Path, random.Random], None]


def delete_all(index: Path, spare: Path, dice: random.Random) -> None:
    """Remove the database and what belongs to it."""
    for path in index.parent.glob("index-*"):
        path.unlink(missing_ok=True)


def delete_database(index: Path, spare: Path, dice: random.Random) -> None:
    """Remove the database alone."""
    index.unlink()


def delete_log(index: Path, spare: Path, dice: random.Random) -> None:
    """Remove the write-ahead log alone."""
    _log_of(index).unlink()


def truncate(index: Path, spare: Path, dice: random.Random) -> None:
    """Cut the database short, at a page or within one, or to nothing."""
    size = index.stat().st_size
    os.truncate(index, dice.choice((0, dice.randrange(size), dice.randrange(size) // _PAGE_BYTES * _PAGE_BYTES)))


def truncate_log(index: Path, spare: Path, dice: random.Random) -> None:
    """Cut the write-ahead log short."""
    log = _log_of(index)
    os.truncate(log, dice.choice((0, dice.randrange(log.stat().st_size + 1))))


def replace_by_older(index: Path, spare: Path, dice: random.Random) -> None:
    """Give the name to a database of this workspace as it was earlier."""
    _put(spare / "older", index)


def replace_by_foreign(index: Path, spare: Path, dice: random.Random) -> None:
    """Give the name to a database of another workspace, or of another program."""
    _put(spare / dice.choice(("theirs", "alien")), index)


def replace_by_noise(index: Path, spare: Path, dice: random.Random) -> None:
    """Give the name to a file that is no database."""
    (spare / "noise").write_bytes(dice.randbytes(dice.randrange(20_000)))
    _put(spare / "noise", index)


def lock(index: Path, spare: Path, dice: random.Random) -> None:
    """Keep the database from being written for a while."""
    with closing(apsw.Connection(str(index))) as db:
        db.set_busy_timeout(1000)
        with suppress(apsw.BusyError, apsw.SQLError):
            db.execute("BEGIN IMMEDIATE")
            time.sleep(dice.choice((0.05, 0.3, 3.4)))


def overwrite_by_older(index: Path, spare: Path, dice: random.Random) -> None:
    """Write what the database was earlier over it, in place, as `cp` does."""
    shutil.copyfile(spare / "older", index)


def flip_bits(index: Path, spare: Path, dice: random.Random) -> None:
    """Turn a few bits of the database over."""
    _spoil_bytes(index, dice, lambda one: bytes([one[0] ^ (1 << dice.randrange(8))]), 1, dice.choice((1, 8, 100)))


def flip_bits_of_log(index: Path, spare: Path, dice: random.Random) -> None:
    """Turn a few bits of the write-ahead log over."""
    flip_bits(_log_of(index), spare, dice)


def zero_pages(index: Path, spare: Path, dice: random.Random) -> None:
    """Fill some pages with zeros."""
    _spoil_bytes(index, dice, lambda page: bytes(len(page)), _PAGE_BYTES, dice.choice((1, 1, 3)))


LOUD: Final[dict[str, Spoil]] = {
    spoil.__name__: spoil
    for spoil in (
        delete_all,
        delete_database,
        delete_log,
        truncate,
        truncate_log,
        replace_by_older,
        replace_by_foreign,
        replace_by_noise,
        lock,
    )
}
SILENT: Final[dict[str, Spoil]] = {
    spoil.__name__: spoil for spoil in (overwrite_by_older, flip_bits, flip_bits_of_log, zero_pages)
}


def make_spares(spare: Path, older: Path, theirs: Path) -> None:
    """Keep what the damages put in the place of an index: copies of two, and a database of another program."""
    spare.mkdir(exist_ok=True)
    for name, workspace in (("older", older), ("theirs", theirs)):
        fresh = spare / "fresh"
        fresh.unlink(missing_ok=True)
        index = next(workspace.glob(_PATTERN))
        # A damage that nobody has met yet: the copy of before does as well.
        with suppress(apsw.CorruptError), closing(apsw.Connection(str(index))) as db:
            db.execute("VACUUM INTO ?", (str(fresh),))
            fresh.rename(spare / name)
    with closing(apsw.Connection(str(spare / "alien"))) as db:
        db.execute("CREATE TABLE IF NOT EXISTS bookmarks (title TEXT)")


class Spoiler:
    """The program, running."""

    def __init__(self, process: subprocess.Popen[str], workspace: Path, spare: Path) -> None:
        """Take the process, what it damages and with what."""
        self._process, self._where = process, f"{workspace} {spare}"

    def begin(self, kind: str, seed: int) -> None:
        """Let the index be damaged a moment later."""
        assert self._process.stdin
        self._process.stdin.write(f"{kind} {seed} {self._where}\n")
        self._process.stdin.flush()

    def end(self) -> str:
        """Wait until it is, and return what came of it."""
        assert self._process.stdout
        return self._process.stdout.readline().strip()


@contextmanager
def spoiler(workspace: Path, spare: Path) -> Iterator[Spoiler]:
    """Run the program."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.crash.spoiling"]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Spoiler(process, workspace, spare)
        assert process.stdin
        process.stdin.close()


def _log_of(index: Path) -> Path:
    return index.with_name(f"{index.name}-wal")


def _put(source: Path, index: Path) -> None:
    """Give the index's name to a copy of a file. The log of the one before is not its own."""
    copy = index.with_name("copied")
    shutil.copyfile(source, copy)
    _log_of(index).unlink(missing_ok=True)
    copy.rename(index)


def _spoil_bytes(path: Path, dice: random.Random, spoil: Callable[[bytes], bytes], width: int, count: int) -> None:
    fd = os.open(path, os.O_RDWR)
    for _ in range(count if os.fstat(fd).st_size >= width else 0):
        place = dice.randrange(os.fstat(fd).st_size // width) * width
        os.pwrite(fd, spoil(os.pread(fd, width, place)), place)
    os.close(fd)


def main() -> None:
    """Damage as told."""
    for line in sys.stdin:
        kind, seed, workspace, spare = line.split()
        dice = random.Random(int(seed))  # noqa: S311 - repeatable
        time.sleep(dice.uniform(0, _DELAY_S))
        try:
            (LOUD | SILENT)[kind](next(Path(workspace).glob(_PATTERN)), Path(spare), dice)
        except (OSError, StopIteration, apsw.Error, ValueError) as error:
            print(f"not done: {type(error).__name__}", flush=True)  # noqa: T201 - it is the answer
        else:
            print("done", flush=True)  # noqa: T201 - it is the answer


if __name__ == "__main__":
    main()
