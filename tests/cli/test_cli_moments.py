"""Times on the command line are those that people type, and days those of this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from chatkeep.cli.moments import moment
from chatkeep.errors import InvalidError

if TYPE_CHECKING:
    from tests.cli.conftest import Run

NOW = datetime(2024, 3, 10, 1, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "XYZ-05:30")  # five and a half hours before UTC, without a file of zones
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    "text,expected",
    [
        ("2024-01-15T10:30:00Z", "2024-01-15T10:30:00Z"),
        ("2024-01-15T10:30:00+02:00", "2024-01-15T08:30:00Z"),
        ("2024-01-15T10:30", "2024-01-15T05:00:00Z"),
        ("2024-01-15 10:30:15", "2024-01-15T05:00:15Z"),
        ("2024-01-15", "2024-01-14T18:30:00Z"),
        ("2024-1-5", "2024-01-04T18:30:00Z"),
        ("2024-01", "2023-12-31T18:30:00Z"),
        ("2024", "2023-12-31T18:30:00Z"),
        ("today", "2024-03-09T18:30:00Z"),
        ("Yesterday", "2024-03-08T18:30:00Z"),
        ("now", "2024-03-10T01:30:00Z"),
        ("7d", "2024-03-03T01:30:00Z"),
        ("2w", "2024-02-25T01:30:00Z"),
        ("12h", "2024-03-09T13:30:00Z"),
        ("90s", "2024-03-10T01:28:30Z"),
        ("999999999d", "0001-01-01T00:00:00Z"),
    ],
)
def test_moment(text: str, expected: str) -> None:
    """A day begins at midnight on this machine, a month and a year with their first day; a duration is ago."""
    assert datetime.fromisoformat(expected) == moment("--since", text, NOW)


@pytest.mark.parametrize("text", ["", "soon", "2024-13", "2024-02-30", "0000", "7", "7y", "-7d", "24-01-01", "٢٠٢٤"])
def test_moment_refused(text: str) -> None:
    """What names no time is refused with those that are taken."""
    with pytest.raises(InvalidError, match=r"--since: must be a time: 2024-01-31, 2024-01, yesterday"):
        moment("--since", text, NOW)


def test_list_and_search_by_day(run: Run) -> None:
    """`--since` includes the time, `--until` does not; both lists and searches take them."""
    said = '{{"key":"a","messages":[{{"role":"user","content":"hi","timestamp":"{0}"}}]}}'
    run("import", "-", "--as", "jsonl", stdin=said.format("2024-01-14T18:30:00Z").encode())
    for options, count in (
        (("--since", "2024-01-15"), 1),
        (("--since", "2024-01-16"), 0),
        (("--until", "2024-01-15"), 0),
        (("--until", "2024-01-16"), 1),
        (("--since", "2024-01", "--until", "2024-02"), 1),
        (("--since", "7d"), 0),
    ):
        assert count == run("list", *options, "--json").json["total"]
        assert count == len(run("search", "hi", *options, "--json").json["sessions"])
    assert datetime.now(UTC) - timedelta(days=1) > moment("--since", "2024-01-15", NOW)
