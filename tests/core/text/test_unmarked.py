"""Titles are plain text: the marks of Markdown go, and every other sign stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.text.titles import preview, title
from chatkeep.core.text.unmarked import unmarked


@pytest.mark.parametrize(
    "text,plain",
    [
        ("**Plan** for _x_", "Plan for x"),
        ("## Steps to take ##", "Steps to take ##"),
        ("> quoted: *really*?", "quoted: really?"),
        ("- [x] buy `milk`", "buy milk"),
        ("* one", "one"),
        ('See [the docs](https://a.example/b_(c)) and ![a cat](cat.png "A cat").', "See the docs and a cat."),
        ("[**Bold** link](x) & [ref][1]", "Bold link & ref"),
        ("Use ``a`b`` or `x*y*z`", "Use a`b or x*y*z"),
        ("**注意：**请看`代码`", "注意：请看代码"),
        ("~~old~~ new <https://a.example/x_y_z>", "old new https://a.example/x_y_z"),
        ("***Both*** and __so on__", "Both and so on"),
        ("*Fix:* the **_nested_** one", "Fix: the nested one"),
        ("# Übersicht der *Straße*", "Übersicht der Straße"),
    ],
)
def test_leave_out_marks(text: str, plain: str) -> None:
    """Headings, quotes, lists, emphasis, links and code lose their marks, and keep their words."""
    assert plain == unmarked(text)
    assert plain == title(text, text).said


@pytest.mark.parametrize(
    "text",
    [
        "2*3*4 and (a)*(b)*(c)",
        "snake_case_name and __init__.py",
        "*.py,*.md and COUNT(*) of f(*args, **kwargs)",
        "C# or F#? #hashtag",
        "a_b and /tmp/_x_/y",
        "5 > 3 and x -> y, a - b",
        "array[0] and [WIP] fix [1]",
        "~3 to ~5 days",
        "2 ** 3 ** 4",
        "<div> or List<String>",
        r"C:\_new_ and \*not\*",
        "-5 degrees, +3 tomorrow",
        "**",
        "***",
        "`",
        "****",
    ],
)
def test_leave_other_signs(text: str) -> None:
    """Products, globs, names, comparisons and paths stay as they are."""
    assert text == unmarked(text)


def test_preview_without_marks() -> None:
    """A preview of several lines has none either."""
    said = "## Plan\n\n- **one**\n- two\n\n```python\nx = a*b*c\n```\n> end"
    assert "Plan one two x = a*b*c end" == preview(said, said).said


@given(st.text(st.sampled_from("ab *_`[]()#>~-+\n\\<:/."), max_size=60))
def test_lose_no_letter(text: str) -> None:
    """Whatever the marks, no word of the text itself goes, but for addresses of links and languages of code."""
    plain = unmarked(text)
    assert plain.strip() or not text.strip()
    assert len(plain) <= len(text)


def test_take_a_bounded_time() -> None:
    """Thousands of marks that open and never close are looked at once each."""
    for mark in ("*", "**", "_", "`", "[", "![", "[](", "~~", "<http:", "> ", "# ", "__a", "*a", "[a]("):
        assert unmarked(mark * (4096 // len(mark))) is not None
