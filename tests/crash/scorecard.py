"""One scorecard for all campaigns: what each tried, what it found wrong, and what it measured.

A campaign is a test with the mark `campaign(NAME)`. It counts what it tries on the fixture `score`; what is
wrong fails it there and then. Tests with the same name share a line of the table that ends the run.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Final

import msgspec
import pytest
from msgspec import Struct

_KINDS: Final = {
    "lost": re.compile(r"\blost\b|is gone|half of|a part|not kept|not flushed|not in quarantine"),
    "doubled": re.compile(r"doubled|twice|in two lives"),
    "phantom": re.compile(r"nobody|still there|comes back"),
    "unreadable": re.compile(r"not parse|json\.load|torn|damaged|Error\b"),
}
_OTHER: Final = "wrong"
_COLUMNS: Final = (*_KINDS, _OTHER)
_TOLD: Final = 5
_SCORE: Final = pytest.StashKey["Score"]()


class Score(Struct):
    """A campaign's line of the scorecard."""

    campaign: str
    tried: int = 0
    faults: dict[str, int] = {}
    figures: dict[str, int] = {}
    times_ms: dict[str, list[float]] = {}
    fate: str = ""

    def count(self, tried: int, faults: Iterable[str]) -> None:
        """Count what was tried, and fail if anything is wrong with it."""
        told = list(faults)
        self.tried += tried
        self.faults = Counter(self.faults) + Counter(map(kind_of, told))
        assert not told, "\n".join((f"{len(told)} faults in {self.campaign}", *told[:_TOLD]))

    def note(self, **figures: int) -> None:
        """Add to figures that belong to the record."""
        self.figures = Counter(self.figures) + Counter(figures)

    def took(self, name: str, times_ms: Iterable[float]) -> None:
        """Add to how long something took."""
        self.times_ms.setdefault(name, []).extend(times_ms)

    def take_in(self, other: Score) -> None:
        """Add another part of the same campaign."""
        self.tried += other.tried
        self.faults = Counter(self.faults) + Counter(other.faults)
        self.figures = Counter(self.figures) + Counter(other.figures)
        for name, times in other.times_ms.items():
            self.took(name, times)
        self.fate = self.fate or other.fate

    def cells(self) -> tuple[str, ...]:
        """Return what stands in its line."""
        figures = [self.fate] if self.fate else []
        figures += [f"{name.replace('_', ' ')} {figure:,}" for name, figure in self.figures.items()]
        figures += [f"{name} {_percentiles(times)}" for name, times in self.times_ms.items()]
        return (
            self.campaign,
            f"{self.tried:,}",
            *(str(self.faults.get(kind, 0)) for kind in _COLUMNS),
            ", ".join(figures),
        )


def kind_of(fault: str) -> str:
    """Return the column that a fault belongs to."""
    return next((kind for kind, words in _KINDS.items() if words.search(fault)), _OTHER)


def _percentiles(times_ms: Sequence[float]) -> str:
    ordered = sorted(times_ms)
    median, late = (ordered[int(len(ordered) * share)] for share in (0.5, 0.99))
    return f"p50 {median:.1f} p99 {late:.1f} max {ordered[-1]:.1f} ms"


def table(scores: Iterable[Score]) -> Iterator[str]:
    """Yield the scorecard, line by line."""
    rows = [("campaign", "tried", *_COLUMNS, "figures"), *(score.cells() for score in scores)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *numbers, figures in rows:
        places = zip(numbers, widths[1:-1], strict=True)
        yield "  ".join([name.ljust(widths[0]), *(number.rjust(width) for number, width in places), figures]).rstrip()


@pytest.fixture
def score(request: pytest.FixtureRequest) -> Score:
    """Give a campaign its line."""
    found: Score = request.node.stash[_SCORE]
    return found


def pytest_configure(config: pytest.Config) -> None:
    """Let there be campaigns, and a table of them."""
    config.addinivalue_line("markers", "campaign(name): a test that counts on the scorecard")
    config.pluginmanager.register(_Recorder())


class _Recorder:
    """Takes the lines from the tests, which may run in other processes, and prints them at the end."""

    def __init__(self) -> None:
        self._scores: dict[str, Score] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if (mark := item.get_closest_marker("campaign")) is not None:
            item.stash[_SCORE] = Score(mark.args[0])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        found = item.stash.get(_SCORE, None)
        if found is not None and not report.passed:
            reason = f": {report.longrepr[2]}" if isinstance(report.longrepr, tuple) else ""
            found.fate = f"{report.outcome.upper()}{reason}"
        if found is not None and report.when == "teardown":
            report.user_properties.append(("score", msgspec.json.encode(found).decode()))
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, value in report.user_properties:
            if name == "score":
                part = msgspec.json.decode(str(value), type=Score)
                self._scores.setdefault(part.campaign, Score(part.campaign)).take_in(part)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._scores:
            terminalreporter.section("scorecard")
            terminalreporter.write("".join(f"{line}\n" for line in table(self._scores.values())))
