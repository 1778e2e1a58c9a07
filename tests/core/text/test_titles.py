"""Titles and previews are short and never cut a character that people see."""

from __future__ import annotations

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.text.patterns import PLAIN_LINE
from chatkeep.core.text.titles import MADE_TITLE_CHARS_MAX, PREVIEW_CHARS_MAX, Short, first_line, preview, title
from chatkeep.core.text.unmarked import unmarked

FAMILY = "👨‍👩‍👧‍👦"
SCOTLAND = "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"


@pytest.mark.parametrize(
    "text,title",
    [
        ("Hello", "Hello"),
        ("  Hello   there \t you ", "Hello there you"),
        ("\r\n \n\tFirst\r\nSecond", "First"),
        ("\u2028First\u2029Second", "First"),
        ("a\x00b\x1bc", "a b c"),
        ("x" * 80, "x" * 80),
        ("x" * 81, "x" * 80),
        (FAMILY * 90, FAMILY * 80),
        (SCOTLAND * 90, SCOTLAND * 80),
        ("e\u0301" * 90, "e\u0301" * 80),
        ("\n" * 10_000 + "late", "late"),
        (" " * 10_000 + "late\nlater", "late"),
        ("", None),
        (" \n\t\r\n\u3000", None),
        ("\x00\x01", None),
    ],
)
def test_first_line(text: str, title: str | None) -> None:
    """The first line that is not blank is the title, folded and cut between visible characters."""
    assert title == first_line(text)


@pytest.mark.parametrize(
    "text,expected",
    [("one\n two\r\n\nthree", "one two three"), ("", ""), ("é" * 200, "é" * 120), (" \n ", "")],
)
def test_preview(text: str, expected: str) -> None:
    """A preview is the beginning of the text on one line."""
    assert expected == preview(text, text).said


@given(st.text(max_size=400))
def test_short_texts_of_any_text(text: str) -> None:
    """A cut leaves whole graphemes, within its length, without space at its ends; without marks it is a beginning."""
    for short, chars_max in (
        (first_line(text) or "", MADE_TITLE_CHARS_MAX),
        (title(text, text).said, MADE_TITLE_CHARS_MAX),
        (preview(text, text).said, PREVIEW_CHARS_MAX),
    ):
        graphemes = regex.findall(r"\X", short)
        assert len(graphemes) <= chars_max
        assert "\n" not in short
        assert not short.startswith(" ")
        if unmarked(text) == text:
            folded = regex.sub(r"[\s\p{Cc}]+", " ", text)
            whole = regex.findall(r"\X", folded[folded.find(short) :])
            assert graphemes == whole[: len(graphemes)]


@given(st.from_regex(PLAIN_LINE, fullmatch=True))
def test_short_texts_of_plain_lines(text: str) -> None:
    """A line of plain words gives the same title and preview as one that is looked at with every pattern."""
    assert title(f"\n{text}", text) == title(text, text)
    assert preview(f"\n{text}", text) == preview(text, text)


@given(st.lists(st.sampled_from([FAMILY, SCOTLAND, "e\u0301", "🇩🇪", "각", "x"]), min_size=70, max_size=100))
def test_first_line_of_long_graphemes(graphemes: list[str]) -> None:
    """Flags, families and accents are kept whole."""
    expected = regex.findall(r"\X", "".join(graphemes))[:MADE_TITLE_CHARS_MAX]
    assert "".join(expected) == first_line("".join(graphemes))


def test_title_of_a_description() -> None:
    """A description is as short as a title, and keeps its characters whole."""
    assert Short("", f"Code: {'x' * 74}") == title(f"```\n{'x' * 90}\n```", None)
    assert Short("", FAMILY * 80) == title(FAMILY * 90, None)
