"""Excerpts show the hit, and their offsets cut out exactly what was found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.excerpts import EXCERPT_CHARS, excerpt, highlights
from chatkeep.core.query import Term, parse_query
from chatkeep.core.stems import stem
from chatkeep.core.words import folded, tokens_of

words = st.sampled_from(
    [
        "prime", "primes", "Straße", "東京タワー", "東京", "cafe\u0301", "हिन्दी", "🎉", "👍🏽", "👨\u200d👩", "foo:bar",
        "getUserName", "สวัสดี", "안녕하세요", "x" * 70, "\r\n", "a", "the",
    ]
)  # fmt: skip
texts = st.lists(st.one_of(words, st.text(max_size=20)), max_size=80).map(" ".join)


def test_excerpt_of_short_text() -> None:
    """A short text is shown whole, with every hit."""
    shown, places = excerpt("A zebra, two Zebras", parse_query("zebra"))
    assert ("A zebra, two Zebras", ((2, 7), (13, 19))) == (shown, places)


def test_excerpt_of_long_text() -> None:
    """Of a long text, about 200 characters around the first hit are shown, from the start of a word."""
    text = "word " * 500 + "zebra" + " more" * 500
    shown, places = excerpt(text, parse_query("zebra"))
    assert EXCERPT_CHARS - len("word ") < len(shown) <= EXCERPT_CHARS
    assert ["zebra"] == [shown[start:end] for start, end in places]
    assert shown.startswith("word ")


def test_excerpt_of_long_hit() -> None:
    """A hit that is longer than an excerpt is shown whole."""
    text = "a " * 100 + "y" * 500
    shown, places = excerpt(text, parse_query("y" * 500))
    assert ["y" * 500] == [shown[start:end] for start, end in places]


def test_excerpt_of_text_without_spaces() -> None:
    """Text without spaces is cut anywhere."""
    text = "あ" * 500 + "東京タワー" + "い" * 500
    shown, places = excerpt(text, parse_query("東京タワー"))
    assert (EXCERPT_CHARS, ["東京タワー"]) == (len(shown), [shown[start:end] for start, end in places])


def test_excerpt_with_most_terms() -> None:
    """The piece with the most different terms is shown, not the first hit."""
    text = "zebra " * 50 + "nothing here " * 50 + "a zebra and a giraffe"
    shown, places = excerpt(text, parse_query("zebra giraffe"))
    assert {"zebra", "giraffe"} == {shown[start:end] for start, end in places}


def test_highlights_that_overlap() -> None:
    """Hits that share characters are joined, neighbours are not."""
    assert [(0, 5), (6, 7)] == highlights("a b c d", parse_query('"a b" "b c" "d"'))


@pytest.mark.parametrize(
    "text,asked,places",
    [
        ("call getUserName here", "user", [(8, 12)]),
        ("call getUserName here", "getusername", [(5, 16)]),
        ("in snake_case_name", "snake_case", [(3, 13)]),
        ("in snake_case_name", "case", [(9, 13)]),
        ("a 👨\u200d👩\u200d👧 b", "👩", [(4, 5)]),
        ("a 👨\u200d👩\u200d👧 b", "👨\u200d👩", [(2, 5)]),
        ("ok 👍🏽!", "👍", [(3, 5)]),
        ("from 🇩🇪 to 🇫🇷", "🇫🇷", [(11, 13)]),
        ("ดื่มน้ำเย็น", "น้ำ", [(4, 7)]),
        ("Cafe\u0301s", "café", [(0, 6)]),
        ("the prime of the number", "the prime", [(4, 9)]),
        ("foo, then bar", "foo:bar zebra", [(0, 3), (10, 13)]),
        ("我说喜欢机器", "我喜欢人工智能", [(2, 4)]),
    ],
)
def test_highlights(text: str, asked: str, places: list[tuple[int, int]]) -> None:
    """What was found is shown, whole or by part; of what is not whole, the parts; of what is, nothing else."""
    assert places == highlights(text, parse_query(asked))


def test_excerpt_without_hit() -> None:
    """Without a hit, the beginning is shown."""
    assert ("x " * 100, ()) == excerpt("x " * 400, parse_query("zebra"))


@given(texts, st.one_of(words, st.text(max_size=10), st.tuples(words, words).map(" ".join)))
def test_excerpt_of_any_text(text: str, asked: str) -> None:
    """An excerpt is a piece of the text; it has a highlight if there is a hit; each folds to terms of the query."""
    query = parse_query(asked)
    shown, places = excerpt(text, query)
    assert shown in text
    found = highlights(text, query)
    assert bool(found) == bool(places)
    assert sorted(places) == list(places)
    for start, end in places:
        assert 0 <= start < end <= len(shown)
        assert any(_folds_to(shown[start:end], term) for term in (*query.terms, *query.relaxed))
    longest = max((end - start for start, end in found), default=0)
    assert len(shown) <= max(EXCERPT_CHARS, longest + EXCERPT_CHARS)


def _folds_to(piece: str, term: Term) -> bool:
    """Tell whether a hit, which may be several that share characters, begins with what a term asks for."""
    tokens = [token.text for token in tokens_of(piece)]
    first, wanted = tokens[: len(term.tokens)], list(term.tokens)
    is_last = (
        first[-1:] == wanted[-1:]
        or (not term.exact and stem(first[-1]) == stem(wanted[-1]))
        or (term.prefix and first[-1].startswith(wanted[-1]))
    )
    is_compound = folded(piece).startswith("".join(wanted))
    return (first[:-1] == wanted[:-1] and is_last) or is_compound


def test_excerpt_of_a_very_long_text() -> None:
    """A hit is shown wherever it is, the place with all terms rather than one before it; words are never cut in two."""
    text = "zebra needlework " + "word " * 50_000 + "a needle for a zebra " + "é" * 50_000 + " giraffe"
    shown, places = excerpt(text, parse_query("needle zebra "))
    assert ["needle", "zebra"] == [shown[start:end] for start, end in places]
    shown, places = excerpt(text, parse_query("GIRAFFE"))
    assert ["giraffe"] == [shown[start:end] for start, end in places]
    for asked in ("work ", "rd ", "eedle "):
        assert () == excerpt(text, parse_query(asked))[1]


@given(st.integers(0, 40_000), st.sampled_from(["東京タワー", "needle", "Straße", "foo:bar"]))
def test_excerpt_around_any_place(place: int, word: str) -> None:
    """Wherever in a long text a word stands, it is found."""
    text = ("filler " * 6000)[:place] + f" {word} " + "more " * 6000
    shown, places = excerpt(text, parse_query(f'"{word}"'))
    assert [word] == [shown[start:end] for start, end in places]
