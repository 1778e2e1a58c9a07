"""Excerpts show the hit, and their offsets cut out exactly what was found."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.excerpts import EXCERPT_CHARS, excerpt, highlights
from chatkeep.core.query import parse_query, spans, tokens_of

words = st.sampled_from(
    ["prime", "Straße", "東京タワー", "cafe\u0301", "हिन्दी", "🎉", "foo:bar", "x" * 70, "\r\n", "a"]
)
texts = st.lists(st.one_of(words, st.text(max_size=20)), max_size=80).map(" ".join)


def test_excerpt_of_short_text() -> None:
    """A short text is shown whole, with every hit."""
    shown, places = excerpt("A zebra, two Zebras", parse_query("zebra"))
    assert ("A zebra, two Zebras", ((2, 7), (13, 19))) == (shown, places)


def test_excerpt_of_long_text() -> None:
    """Of a long text, about 200 characters around the first hit are shown, from the start of a word."""
    text = "word " * 500 + "zebra" + " more" * 500
    shown, places = excerpt(text, parse_query("zebra"))
    assert EXCERPT_CHARS == len(shown)
    assert ["zebra"] == [shown[start:end] for start, end in places]
    assert shown.startswith("word ")


def test_excerpt_of_long_hit() -> None:
    """A hit that is longer than an excerpt is shown whole."""
    text = "a " * 100 + "y" * 500
    shown, places = excerpt(text, parse_query("y" * 500))
    assert ["y" * 500] == [shown[start:end] for start, end in places]


def test_highlights_that_overlap() -> None:
    """Hits that share characters are joined, neighbours are not."""
    assert [(0, 5), (6, 7)] == highlights("a b c d", parse_query('"a b" "b c" "d"'))


def test_excerpt_without_hit() -> None:
    """Without a hit, the beginning is shown."""
    assert ("x " * 100, ()) == excerpt("x " * 400, parse_query("zebra"))


@given(texts, st.one_of(words, st.text(max_size=10)))
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
        tokens = tokens_of(shown[start:end])
        assert any(spans(tokens, term) for term in query.terms)
    longest = max((end - start for start, end in found), default=0)
    assert len(shown) <= max(EXCERPT_CHARS, longest + EXCERPT_CHARS)
