"""Texts in styles, and tables that fit a terminal."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from chatkeep.cli.styled import Rendering, Styled, rendering_of
from chatkeep.cli.tables import table_lines

COLUMNS = ("KEY", "TITLE", "MESSAGES", "CHANNEL")


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    "rendering,drawn",
    [
        ("plain", "one two\\x1b[2J"),
        ("weights", "\x1b[1mone\x1b[0m two\\x1b[2J"),
        ("colours", "\x1b[1;31mone\x1b[0m\x1b[32m two\\x1b[2J\x1b[0m"),
    ],
)
def test_draw_a_text_in_styles(rendering: Rendering, drawn: str) -> None:
    """Each piece has the codes of its style around it, and no control of its own."""
    assert drawn == Styled("one", "bold red").append(" two\x1b[2J", "green").drawn(rendering)


@pytest.mark.parametrize(
    "environ,rendering",
    [
        ({"TERM": "xterm"}, "colours"),
        ({"TERM": "xterm", "NO_COLOR": "1"}, "weights"),
        ({"TERM": "dumb"}, "plain"),
    ],
)
def test_render_as_the_environment_says(
    environ: dict[str, str], rendering: Rendering, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal shows styles unless it says otherwise; a pipe shows none, unless forced to."""
    for name in ("TERM", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert rendering == rendering_of(_Terminal())
    assert rendering_of(io.StringIO()) == "plain"
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert rendering == rendering_of(io.StringIO())


def test_cut_a_table_to_its_terminal() -> None:
    """The title is cut first, then spare columns go, then the first column is cut to half of the width."""
    rows = [("telegram:123456", "A title of some more words", "7", "telegram"), ("k", "B", "1,234", "c")]

    def drawn(width: int) -> list[str]:
        lines = table_lines(COLUMNS, rows, width, numbers=("MESSAGES",), spare=("CHANNEL", "MESSAGES"))
        return [line.plain for line in lines]

    assert [
        "KEY              TITLE                       MESSAGES  CHANNEL",
        "telegram:123456  A title of some more words         7  telegram",
        "k                B                              1,234  c",
    ] == drawn(80)
    assert [
        "KEY              TITLE                   MESSAGES  CHANNEL",
        "telegram:123456  A title of some more …         7  telegram",
        "k                B                          1,234  c",
    ] == drawn(59)
    assert ["KEY              TITLE", "telegram:123456  A title of some more …", "k                B"] == drawn(39)
    assert ["KEY              TIT…", "telegram:123456  A t…", "k                B"] == drawn(21)


@given(
    st.lists(st.tuples(st.text(), st.text(), st.text(), st.text()), max_size=4),
    st.integers(12, 120),
    st.sampled_from([(), ("CHANNEL",), ("CHANNEL", "MESSAGES")]),
)
def test_keep_a_table_within_any_width(rows: list[tuple[str, ...]], width: int, spare: tuple[str, ...]) -> None:
    """No line is wider than the terminal, whatever the cells say, and each stands on one line."""
    lines = [line.drawn("plain") for line in table_lines(COLUMNS, rows, width, spare=spare)]
    assert len(rows) + 1 == len(lines)
    assert [] == [line for line in lines if cell_len(line) > width or "\n" in line]
