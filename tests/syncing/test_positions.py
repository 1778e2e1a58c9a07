"""The states of files, as they were read: durable, in a log that heals."""

from __future__ import annotations

from pathlib import Path

from chatkeep.disk.files import Stamp
from chatkeep.syncing.positions import Positions

STAMPS = (Stamp(1, 2, 3, 4),)
FILE = Path("/a/b.jsonl")


def test_keep_positions(tmp_path: Path) -> None:
    """A later sync knows them, the last one of a file; one of another store knows none."""
    path = tmp_path / "positions.jsonl"
    first = Positions(path, "files:/x")
    first.put(FILE, (Stamp(9, 9, 9, 9),))
    first.put(FILE, STAMPS)
    first.put(Path("/gone"), STAMPS)
    first.put(Path("/gone"), None)
    first.close()
    again = Positions(path, "files:/x")
    assert (STAMPS, None) == (again.of(FILE), again.of(Path("/gone")))
    again.close()
    other = Positions(path, "files:/y")
    assert None is other.of(FILE)
    other.close()


def test_heal_a_torn_log(tmp_path: Path) -> None:
    """A line torn by a crash costs that line alone, and the next one stands."""
    path = tmp_path / "positions.jsonl"
    first = Positions(path, "s")
    first.put(FILE, STAMPS)
    first.close()
    with path.open("a") as file:
        file.write('["/torn",[[1,')
    second = Positions(path, "s")
    second.put(Path("/next"), STAMPS)
    second.close()
    third = Positions(path, "s")
    assert [STAMPS, None, STAMPS] == [third.of(one) for one in (FILE, Path("/torn"), Path("/next"))]
    third.close()


def test_write_a_long_log_anew(tmp_path: Path) -> None:
    """A log of many changes of few files does not grow without end."""
    path = tmp_path / "positions.jsonl"
    first = Positions(path, "s")
    for number in range(3000):
        first.put(FILE, (Stamp(number, 0, 0, 0),))
    first.close()
    long_bytes = path.stat().st_size
    second = Positions(path, "s")
    second.close()
    assert path.stat().st_size < long_bytes / 100
    assert (Stamp(2999, 0, 0, 0),) == second.of(FILE)


def test_write_nothing_for_a_preview(tmp_path: Path) -> None:
    """A sync that only looks reads the positions and leaves no file."""
    looking = Positions(tmp_path / "positions.jsonl", "s", kept=False)
    looking.put(FILE, STAMPS)
    looking.close()
    assert [] == list(tmp_path.iterdir())
