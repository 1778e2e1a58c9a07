"""Any text is a query, and cuts into the same words whichever way one comes by them."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chatkeep.core.query import TERMS_MAX, Term, folded, parse_query, spaced, spans, stem, tokens_of
from chatkeep.testing import NASTY_TEXTS


@pytest.mark.parametrize(
    "text,terms",
    [
        ("prime", [Term(("prime",), prefix=True)]),
        ("prime ", [Term(("prime",))]),
        ("Prime Python", [Term(("prime",)), Term(("python",), prefix=True)]),
        ('"quick brown"', [Term(("quick", "brown"))]),
        ('"quick brown" fox', [Term(("quick", "brown")), Term(("fox",), prefix=True)]),
        ('"quick brown', [Term(("quick",)), Term(("brown",), prefix=True)]),
        ("foo:bar", [Term(("foo", "bar"), prefix=True)]),
        ("user@example.com ", [Term(("user", "example", "com"))]),
        ("人工智能", [Term(("人", "工", "智", "能"))]),
        ("AND OR", [Term(("and",)), Term(("or",), prefix=True)]),
        ("a a a", [Term(("a",)), Term(("a",), prefix=True)]),
        ("prime*", [Term(("prime",), prefix=True)]),
        ("Straße", [Term(("strasse",), prefix=True)]),
        ("हिन्दी", [Term(("हिन्दी",), prefix=True)]),
        ("", []),
        (" \n", []),
        ('" * ( % _ -', []),
        ('""', []),
        ("🎉", []),
    ],
)
def test_parse_query(text: str, terms: list[Term]) -> None:
    """White space parts terms, quotes join them, and the last word may go on."""
    assert tuple(terms) == parse_query(text).terms


def test_parse_query_of_many_terms() -> None:
    """A query has at most 32 terms, however long it is."""
    assert TERMS_MAX == len(parse_query(" ".join(f"w{n}" for n in range(10_000))).terms)


@pytest.mark.parametrize(
    "text,tokens",
    [
        ("Don't stop_me now!", ["don", "t", "stop", "me", "now"]),
        ("ÀÉÎ õü Ёё Ω", ["aei", "ou", "ее", "ω"]),
        ("Ｆｕｌｌ ﬁre ２", ["full", "fire", "2"]),
        ("İstanbul ıssız", ["istanbul", "ıssız"]),
        ("東京タワー", ["東", "京", "タ", "ワ", "ー"]),
        ("ｶﾞﾗｽ", ["カ", "゙", "ラ", "ス"]),
        ("한국어 abc漢字", ["한", "국", "어", "abc", "漢", "字"]),
        ("मैं हिन्दी", ["मैं", "हिन्दी"]),
        ("بَيْت בַּיִת", ["بيت", "בית"]),
        ("zebra🎉1️⃣ ❤️", ["zebra", "1"]),
        ("a\u20bfb a\u2028b", ["a", "b", "a", "b"]),
    ],
)
def test_tokens_of(text: str, tokens: list[str]) -> None:
    """Words come folded; scripts without spaces come character by character; the rest falls away."""
    assert tokens == [token.text for token in tokens_of(text)]


@given(st.text())
@example("".join(NASTY_TEXTS[:16]))
@example("か\u309a e\u0301 \u1100\u1161 ا\u0653 ក្ក")
def test_tokens_of_any_text(text: str) -> None:
    """Tokens stand in order at their places; an index that takes the spaced text has the same ones."""
    tokens = tokens_of(text)
    for token in tokens:
        assert 0 <= token.start < token.end <= len(text)
        assert token.text in folded(text[token.start : token.end])
    starts = [token.start for token in tokens]
    assert sorted(starts) == starts
    assert [token.text for token in tokens] == [token.text for token in tokens_of(spaced(text))]


@given(st.text())
def test_parse_query_of_any_text(text: str) -> None:
    """No text fails as a query, and each of its terms is found in it."""
    tokens = tokens_of(text)
    for term in parse_query(text).terms:
        for start, end in spans(tokens, term)[:5]:
            assert 0 <= start < end <= len(text)
        assert spans(tokens, term)


@given(st.text())
def test_spans_of_every_token(text: str) -> None:
    """Every token is found where it stands."""
    tokens = tokens_of(text)
    for token in tokens:
        assert (token.start, token.end) in spans(tokens, Term((token.text,)))


@given(st.text())
def test_folded_again(text: str) -> None:
    """Case does not matter, whichever way it is turned; folded tokens fold to themselves."""
    tokens = [token.text for token in tokens_of(text)]
    assert tokens == [token.text for token in tokens_of(" ".join(tokens))]


@pytest.mark.parametrize(
    "word,expected", [("books", "book"), ("running", "run"), ("is", "is"), ("café", "café"), ("東", "東")]
)
def test_stem(word: str, expected: str) -> None:
    """English words lose their endings, others stay."""
    assert expected == stem(word)


@pytest.mark.parametrize(
    "text,term,places",
    [
        ("a b a b", Term(("a", "b")), [(0, 3), (4, 7)]),
        ("primes prim primal", Term(("prim",), prefix=True), [(0, 6), (7, 11), (12, 18)]),
        ("primes prim primal", Term(("prim",)), [(7, 11)]),
        ("foo barn", Term(("foo", "bar"), prefix=True), [(0, 8)]),
        ("foox bar", Term(("foo", "bar"), prefix=True), []),
        ("abc", Term(("a", "b", "c", "d")), []),
    ],
)
def test_spans(text: str, term: Term, places: list[tuple[int, int]]) -> None:
    """A term stands where its tokens stand side by side; only the last may go on, and only if it is typed so."""
    assert places == spans(tokens_of(text), term)
