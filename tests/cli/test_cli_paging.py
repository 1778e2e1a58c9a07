"""On a terminal answers are Markdown, and long output goes through a pager; nothing stored acts on the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.terminals import Terminal

if TYPE_CHECKING:
    from tests.cli.conftest import Run

ANSWER = "# Steps\n\n- **one**\n- two <b>bold</b> \\(x^2\\)\nnext line\n\n```python\nx = 1\n```\n\x1b]0;taken\x07"


@pytest.fixture
def environ(run: Run, workspace: Path) -> dict[str, str]:
    """A workspace with an answer, and how the terminal finds it."""
    run("append", "a", ANSWER, "--role", "assistant")
    return {"CHATKEEP_WORKSPACE": str(workspace)}


def test_show_markdown_on_a_terminal(environ: dict[str, str], run: Run) -> None:
    """Marks become looks, every other character stays, HTML and escapes are text; programs get what is stored."""
    with Terminal("show", "a", "--no-pager", environ=environ) as terminal:
        assert 0 == terminal.end()
        shown = terminal.shown
        raw = terminal.raw
    assert "**" not in shown
    assert "```" not in shown
    for text in ("Steps", "one", "two <b>bold</b> \\(x^2\\)", "next line", "x = 1", "\\x1b]0;taken\\x07"):
        assert text in shown
    assert b"\x1b]0;" not in raw
    assert "# Steps\n\n- **one**" in run("show", "a").out
    with Terminal("show", "a", "--no-pager", "--plain", environ=environ) as terminal:
        assert 0 == terminal.end()
        assert "- **one**" in terminal.shown


def test_page_what_is_long(environ: dict[str, str], run: Run, tmp_path: Path) -> None:
    """The pager gets what is longer than the terminal, and nothing else; without it all is printed."""
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\necho paged; wc -l\n")
    pager.chmod(0o700)
    environ = {**environ, "PAGER": str(pager)}
    with Terminal("show", "a", environ=environ) as terminal:
        assert 0 == terminal.end()
        assert "paged" not in terminal.shown
    run("append", "a", "line\n" * 100, "--role", "user")
    for args, options, is_paged in (
        (("show", "a"), {}, True),
        (("show", "a", "--no-pager"), {}, False),
        (("show", "a", "--json"), {}, False),
        (("show", "a"), {"PAGER": ""}, False),
        (("show", "a"), {"PAGER": "no-such-pager"}, False),
    ):
        with Terminal(*args, environ={**environ, **options}) as terminal:
            assert 0 == terminal.end()
            assert is_paged == ("paged" in terminal.shown), (args, options)
            assert is_paged != ("next line" in terminal.shown), (args, options)
    assert "paged" not in run("show", "a").out


def test_list_keeps_titles_on_a_narrow_terminal(
    environ: dict[str, str], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where room is short, other columns are left out before the title is."""
    run("append", "telegram:5550142", "Cancel my flight to Charlotte", "--role", "user")
    monkeypatch.setattr("chatkeep.cli.screen._PIPE_COLUMNS", 40)
    listed = run("list").out
    assert "Cancel my flight" in listed
    assert all(len(line) <= 40 for line in listed.splitlines())
    assert "CHANNEL" not in listed
    monkeypatch.setattr("chatkeep.cli.screen._PIPE_COLUMNS", 240)
    assert "CHANNEL" in run("list").out
