"""Any text cuts into words at their places, and into the same ones whichever way one comes by it."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chatkeep.core.search.words import (
    GAP,
    compounds_of,
    evenly_folded,
    folded,
    indexed,
    is_unspaced,
    may_go_on,
    pairs_of,
    rows_of,
    spaced,
    tokens_of,
    unevenly_folded_tokens,
)
from chatkeep.testing import NASTY_TEXTS

EMOJI = "🎉👍❤👨👩👧🇩🇪🚀"


@pytest.mark.parametrize(
    "text,tokens",
    [
        ("Don't stop_me now!", ["don", "t", "stop", "me", "now"]),
        ("ÀÉÎ õü Ёё Ω", ["aei", "ou", "ее", "ω"]),
        ("Ｆｕｌｌ ﬁre ２", ["full", "fire", "2"]),
        ("İstanbul ıssız", ["istanbul", "ıssız"]),
        ("東京タワー", ["東", "京", "タ", "ワ", "ー"]),
        ("ガラス", ["ガ", "ラ", "ス"]),
        ("か\u3099", ["が"]),
        ("한국어 abc漢字", ["한", "국", "어", "abc", "漢", "字"]),
        ("สวัสดี", ["ส", "ว", "ั", "ส", "ด", "ี"]),
        ("ສະບາຍ ភាសា မြန်", ["ສ", "ະ", "ບ", "າ", "ຍ", "ភ", "ា", "ស", "ា", "မ", "ြ", "န", "်"]),
        ("मैं हिन्दी", ["मैं", "हिन्दी"]),
        ("بَيْت בַּיִת", ["بيت", "בית"]),
        ("zebra🎉1\ufe0f\u20e3 ❤\ufe0f", ["zebra", "🎉", "1", "❤"]),
        ("👍🏽👍🏿", ["👍", "👍"]),
        ("👨\u200d👩\u200d👧", ["👨", "👩", "👧"]),
        ("🇩🇪", ["🇩", "🇪"]),
        ("a\u20bfb a\u2028b", ["a", "b", "a", "b"]),
        ("nul\0 \ue000\ue001\ue002 \ufffd\udc80", ["nul"]),
    ],
)
def test_tokens_of(text: str, tokens: list[str]) -> None:
    """Words come folded; scripts without spaces and emoji come one by one; the rest falls away."""
    assert tokens == [token.text for token in tokens_of(text)]


@pytest.mark.parametrize(
    "one,other",
    [
        ("ｶﾞﾗｽ", "ガラス"),
        ("ﾊﾟﾘ", "パリ"),
        ("STRASSE", "straße"),
        ("Cafe\u0301", "café"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("㍿", "株式会社"),
        ("㌔", "キロ"),
    ],
)
def test_tokens_of_one_word_in_two_forms(one: str, other: str) -> None:
    """Width, case, accents and compatibility forms do not matter."""
    assert [token.text for token in tokens_of(other)] == [token.text for token in tokens_of(one)]


@given(st.text())
@example("".join(NASTY_TEXTS[:16]))
@example("か\u309a e\u0301 \u1100\u1161 ا\u0653 ក្ក")
@example("น้ำ ㍿ ﬃ ｶﾞ")
def test_tokens_of_any_text(text: str) -> None:
    """Tokens stand in order at their places, and what stands there folds to them."""
    tokens = tokens_of(text)
    for token in tokens:
        assert 0 <= token.start < token.end <= len(text)
        assert token.text in folded(text[token.start : token.end])
    starts = [token.start for token in tokens]
    assert sorted(starts) == starts


@given(st.text(alphabet="aBcæé1_ .\0\1…’²™漢字ก🎉👍🏽\ufe0f\u00ad\u0301\u200d\ue001ж") | st.text())
@example("жab abж 🎉\ufe0fab")
@example("a\ufe0fb ab, b\u00ad🎉\ufe0f 漢\ufe0f字")
def test_tokens_of_an_evenly_folded_text(text: str) -> None:
    """Where each character becomes one or none, the tokens are found by that, and those that begin so, as all are."""
    even = evenly_folded(text)
    if even is not None:
        tokens = unevenly_folded_tokens(text)
        assert tokens == even.tokens()
        begun = re.compile("ab|b[a1]").match
        found = even.tokens(("ab", "b[a1]"))
        assert [token for token in tokens if begun(token.text)] == [token for token in found if begun(token.text)]


@given(st.text())
@example("A👍🏽東京 🇩🇪")
def test_spaced_text(text: str) -> None:
    """What an index takes has the same tokens, in their index form, with white space between."""
    wanted = [indexed(token.text) for token in tokens_of(text)]
    taken = spaced(text)
    assert wanted == ([token.text for token in tokens_of(text)] if text.isascii() else taken.split())


@given(st.text())
def test_tokens_of_tokens(text: str) -> None:
    """Folded tokens fold to themselves."""
    tokens = [token.text for token in tokens_of(text)]
    assert tokens == [token.text for token in tokens_of(" ".join(tokens))]


@given(st.text(alphabet=st.characters(max_codepoint=0x17F, categories=("L", "Nd", "Zs"))))
@example("Straße ŒUVRE ÿ")
def test_tokens_in_upper_case(text: str) -> None:
    """Case does not matter, whichever way it is turned."""
    text = text.replace("ı", "i").replace("ŉ", "n")  # the two whose upper case is that of other letters
    assert [token.text for token in tokens_of(text)] == [token.text for token in tokens_of(text.upper())]


@given(st.text())
def test_tokens_of_decomposed_text(text: str) -> None:
    """Letters and their marks may be one character or several."""
    tokens = [token.text for token in tokens_of(text)]
    assert tokens == [token.text for token in tokens_of(unicodedata.normalize("NFD", text))]


@pytest.mark.parametrize(
    "text,parts",
    [
        ("call getUserName now", [["get", "user", "name"]]),
        ("HTTPServer v2", [["http", "server"]]),
        ("E1234 ORA01017", [["1234"], ["ora", "01017"]]),
        ("sha256sum", [["sha", "256", "sum"]]),
        ("v1.2.3-rc.1 1.2", [["1", "2", "3", "rc", "1"]]),
        ("15T10:30:00Z, a1.b2", [["10", "30", "00z"], ["15", "10"], ["00"]]),
        ("v1" + ".1" * 40, [["1"] * 16]),
        ("parseJSONBody", [["parse", "json", "body"]]),
        ("snake_case_name", []),
        ("snake_caseName", [["case", "name"]]),
        ("plain words, McDonald", [["mc", "donald"]]),
        ("aB" * 40, []),
        ("éCole", []),
    ],
)
def test_compounds_of(text: str, parts: list[list[str]]) -> None:
    """Identifiers come apart where case or digits change, blobs do not; numbers come without letters before them."""
    assert parts == [[part.text for part in compound] for compound in compounds_of(text)]


@given(st.text(alphabet="abAB12_ é漢"))
def test_compounds_of_any_text(text: str) -> None:
    """Each part stands at its place."""
    for part in (part for compound in compounds_of(text) for part in compound):
        assert part.text == text[part.start : part.end].lower()


@pytest.mark.parametrize(
    "text,rows",
    [
        ("plain words", ""),
        ("getUserName", "get user name"),
        ("人工智能", "人工 工智 智能"),
        ("人工, 智能", f"工 智 {GAP} 人工 {GAP} 智能"),
        ("人、x工", ""),
        ("人", ""),
        ("parseXml 東京", f"parse xml {GAP} 東京"),
    ],
)
def test_rows_of(text: str, rows: str) -> None:
    """The pairs of a run and the parts of a compound are rows, with a gap between, so that no phrase crosses it.

    Two characters with a break between them are a row too.
    """
    assert rows == rows_of(text)


def test_rows_of_a_break_between_slices() -> None:
    """A long break between two characters is one break, wherever a long text is cut into slices."""
    for length in (65_534, 65_535, 65_536, 200_000):
        assert "人 工" == rows_of(f"人{' ' * length}工")


def test_pairs_of() -> None:
    """Pairs overlap; a single character has none."""
    assert [["ab", "bc"], ["ab"], [], []] == [pairs_of(run) for run in ("abc", "ab", "a", "")]


@given(st.text(alphabet=EMOJI + "a漢\U0001f980\U0001e922", min_size=1))
def test_indexed(token: str) -> None:
    """What an index may not know is told by characters that every index knows, and no two alike."""
    taken = indexed(token)
    assert all(ord(character) < 0x10000 for character in taken)
    assert not set(EMOJI) & set(taken)
    assert len({indexed(character) for character in token}) == len(set(token))


@pytest.mark.parametrize("token,expected", [("prim", True), ("4", True), ("東", False), ("ส", False), ("🎉", False)])
def test_may_go_on(token: str, expected: bool) -> None:  # noqa: FBT001 - what is expected
    """A word may be the beginning of a longer one; a character that is a token by itself may not."""
    assert expected == may_go_on(token)


CLASSES = "\u1ab0\u1ab5\u1dce"  # marks that are put in order of their classes, and stay when a text is folded
SLICE = 1 << 16  # characters that are folded at once


def test_fold_puts_no_more_than_thirty_marks_in_order() -> None:
    """Whichever mark a run begins with, it is cut behind the thirtieth, so to put it in order takes no long time."""
    marks = [
        chr(code) for code in range(0x110000) if unicodedata.combining(unicodedata.normalize("NFKD", chr(code))[0])
    ]
    for mark in marks:
        text = mark + CLASSES * 12
        assert folded(text[:30]) + folded(text[30:]) == folded(text), ascii(mark)


def test_fold_drops_accents_in_rows_as_one_by_one() -> None:
    """Accents beyond the thirtieth are dropped whole, and others stay in their order: nothing else changes."""
    for mark in map(chr, range(0x300, 0x370)):
        assert folded(f"{mark * 31}x") == f"{folded(mark) * 31}x", ascii(mark)
    accents, stays = "\u0315\u0300\u0327", "\u1ab0\u3099"
    for run in (accents * 40, accents * 10 + stays + accents * 30, accents * 40 + stays, stays * 40 + accents):
        clusters = ["か" + run[:30], *(run[start : start + 30] for start in range(30, len(run), 30))]
        assert folded(f"か{run} x{run}y").split(" ")[0] == "".join(map(folded, clusters))


def test_fold_parts_no_letter_from_what_joins_it() -> None:
    """Whatever Unicode composes with the character before it is folded with that, however long the text."""
    parts = [unicodedata.decomposition(chr(code)).split() for code in range(0x110000)]
    joined = {second: first for first, second in (pair for pair in parts if len(pair) == 2) if first[0] != "<"}
    for second, first in {**joined, "1161": "1100", "11A8": "AC00"}.items():
        pair = chr(int(first, 16)) + chr(int(second, 16))
        assert "x" + folded(pair) + "y" == folded("x" * (SLICE - 1) + pair + "y")[SLICE - 2 :], second


def test_cut_ends_a_cluster_behind_thirty_marks() -> None:
    """A word with more marks on a letter than any has is found by the same word, and the same characters are its."""
    word = "x" + "\u0315\u0300\u0327" * 50 + "y"
    tokens = tokens_of(f"one {word} two")
    assert [("one", 0, 3), ("xy", 4, 4 + len(word)), ("two", 5 + len(word), 8 + len(word))] == [
        (token.text, token.start, token.end) for token in tokens
    ]
    assert ["xy"] == [token.text for token in tokens_of(word)]


@pytest.mark.parametrize("unit", ["漢字かな", "한글", "ｶﾞｷﾞ", "か\u3099き\u3099", "ไทย", "漢\u0301\u0315字"])
def test_rows_of_a_long_run_lack_no_pair(unit: str) -> None:
    """A run longer than what is worked on at once is one row with all its pairs."""
    text = unit * (2 * SLICE // len(unit))
    plain = folded(unit) * (2 * SLICE // len(unit))
    assert " ".join(pairs_of(plain)) == rows_of(text)
    assert plain == spaced(text).replace(" ", "")


def test_rows_of_a_long_text_are_those_of_its_parts() -> None:
    """Rows neither join nor fall apart where a long text is cut."""
    part = "getUserName v1.2.3 漢字 か かな word "
    count = 3 * SLICE // len(part)
    rows = rows_of(part).split(f" {GAP} ")
    assert sorted(rows * count) == sorted(rows_of(part * count).split(f" {GAP} "))


def test_fold_of_every_character_there_is() -> None:
    """A text of all characters, many times more than any language has, folds as each of them does."""
    text = "".join(chr(code) for code in range(0x110000) if unicodedata.category(chr(code))[0] not in "MC")
    assert "".join(map(folded, text)) == folded(text)


def test_rows_of_plain_scripts_have_no_pairs() -> None:
    """No character before the first script without spaces folds to one of such a script."""
    first = 0x0E00
    assert [] == [code for code in range(first) if any(map(is_unspaced, folded(chr(code))))]
    assert "" == rows_of("".join(map(chr, range(0xA0, first))))
