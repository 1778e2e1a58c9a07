"""Excerpts show the hit, and their offsets cut out exactly what was found."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.search import highlighter
from chatkeep.core.search.highlighter import EXCERPT_CHARS, excerpt, highlights
from chatkeep.core.search.query import Places, Query, Term, parse_query
from chatkeep.core.search.stems import stem
from chatkeep.core.search.words import evenly_folded, folded, tokens_of

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


@pytest.mark.parametrize(
    "text,asked,hit",
    [
        ("未来。" + "今天天气很好。" * 3000 + "机器学习的未来发展", "机器学习的未来", "机器学习的未来"),
        (
            "zfoo then zbar and zbaz. " + "nothing here. " * 1500 + "a zfoo-zbar of zbaz",
            '"zfoo zbar" zbaz',
            "zfoo-zbar",
        ),
        ("an e and mail. " + "getUserName in 5ms. " * 40_000 + "a nightowl", "nightowl e-mail ", "nightowl"),
        ("Où est-il ? " * 60_000 + "des nocturnes", "nocturne", "nocturnes"),
        ("the day was indeed " * 8000 + "a dog barked" + " the day" * 500, "dog", "dog"),
        ("the day was indeed " * 8000 + "he runs", "running ", "runs"),
    ],
)
def test_excerpt_of_very_long_text(monkeypatch: pytest.MonkeyPatch, text: str, asked: str, hit: str) -> None:
    """The piece with whole terms is shown, wherever it is, without cutting all of the text into words."""
    cut: list[str] = []

    def noted(piece: str, query: Query) -> Places:
        cut.append(piece)
        return Places(piece, query)

    monkeypatch.setattr(highlighter, "Places", noted)
    shown, places = excerpt(text, parse_query(asked))
    assert hit in {shown[start:end] for start, end in places}
    assert len(cut) <= 7
    assert max(map(len, cut)) <= 9001


@pytest.mark.parametrize("much", ["nothing here, ", "niente qu\u00e0, "])
def test_excerpt_of_what_stands_as_asked(much: str) -> None:
    """The piece is shown that has the very words of the query, rather than one with as many of its terms."""
    text = "We use a lock. Don. Ever used. " + much * 50 + "Don\u2019t ever use a lock, friend. " + much * 50
    for asked in ("don't ever use a lock", "ever use"):
        shown, places = excerpt(text, parse_query(asked))
        assert "ever use a lock" in shown
        assert "use" in {shown[start:end] for start, end in places}


def test_excerpt_of_text_that_nearly_stands_as_asked() -> None:
    """What nearly stands there word by word, again and again, takes no time that grows with a power of the length."""
    shown, places = excerpt("и в не на, " * 20_000, parse_query("и в не на и и в не"))
    assert {"и", "в", "не", "на"} == {shown[start:end] for start, end in places}
    shown, places = excerpt("Кот и. " + "пустое место " * 30 + "кот сидит", parse_query("кот сидит"))
    assert ["кот", "сидит"] == [shown[start:end] for start, end in places]


@pytest.mark.parametrize(
    "text,asked,places",
    [
        ("a b c d", '"a b" "b c" "d"', [(0, 3), (6, 7)]),
        ("哈哈哈哈哈", "哈哈", [(0, 2), (2, 4)]),
        ("附近有啥好吃的地方", "地址在哪有啥好吃的餐馆的地图", [(2, 7)]),
        ("センターです", "ゲームセンターでは何ですか", [(0, 5)]),
        ("in getUserName", '"get user" getusername', [(3, 14)]),
    ],
)
def test_highlights_that_overlap(text: str, asked: str, places: list[tuple[int, int]]) -> None:
    """Hits share no characters: the first counts, the longest from one place; parts of a piece are one hit."""
    assert places == highlights(text, parse_query(asked))


def test_highlights_of_much_that_overlaps() -> None:
    """A long text in which every character begins a hit is cut up in no time that grows with the square of it."""
    text = ("哈" * 499 + "x") * 1000
    found = highlights(text, parse_query("哈" * 500))
    assert [(place, place + 499) for place in range(0, len(text), 500)] == found


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
    """Tell whether a hit is what a term asks for: its tokens, of which the last may differ, or a piece of it.

    It may have others besides where one character stands for several (`¼`).
    """
    wanted = list(term.tokens)
    tokens = [token.text for token in tokens_of(piece)]
    if evenly_folded(piece) is None and any(token in wanted for token in tokens):
        return True
    first = tokens[:-1]
    plain, whole = folded(piece), "".join(wanted)
    is_last = (
        tokens[-1] == wanted[-1]
        or (not term.exact and stem(tokens[-1]) == stem(wanted[-1]))
        or (term.prefix and tokens[-1].startswith(wanted[-1]))
    )
    return (first == wanted[:-1] and is_last) or plain in whole or (term.prefix and plain.startswith(whole))


def test_highlights_of_a_phrase_that_repeats_itself() -> None:
    """Where a long phrase stands many times over itself, the hits share no characters, and each is the phrase."""
    phrase = ("か\u3099" * 60)[:-1]
    for said in (f'"{phrase}"', f'"{"a b " * 20}"'):
        text = said.strip('"') * 50
        found = highlights(text, parse_query(said))
        assert found
        assert all(end <= after for (_, end), (after, _) in pairwise(found))
