"""Any text is a query, and what is typed finds the text that it stands in."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chatkeep.core.search.query import TERMS_MAX, Places, Query, Term, is_in, parse_query, phrases, spans, words_of
from chatkeep.core.search.stems import STOP_WORDS
from chatkeep.core.search.words import folded, tokens_of
from chatkeep.testing import NASTY_TEXTS

UNSPACED = (
    "人工智能机器学习我喜欢中文東京都"
    "あいうえおがぱタワーギャラン々"
    "한국어여러분안녕하세요값"
    "สวัสดีครับน้ำทำไมๆเาดื่มเย็น"
    "ສະບາຍດີຄຳ"
)


def _word(*texts: str) -> Term:
    return Term(texts)


def _open(*texts: str) -> Term:
    return Term(texts, prefix=True, exact=len(texts) > 1)


def _exact(*texts: str) -> Term:
    return Term(texts, exact=True)


def _run(text: str) -> Term:
    return Term(tuple(text), exact=True, run=True)


@pytest.mark.parametrize(
    "text,terms",
    [
        ("prime", [_open("prime")]),
        ("prime ", [_word("prime")]),
        ("prime.", [_word("prime")]),
        ("prime)", [_word("prime")]),
        ("prime*", [_open("prime")]),
        ("prime* ", [_word("prime")]),
        ("prime* x", [_word("prime"), _open("x")]),
        ("Prime Python", [_word("prime"), _open("python")]),
        ('"quick brown"', [_exact("quick", "brown")]),
        ('"quick"', [_exact("quick")]),
        ('"quick brown" fox', [_exact("quick", "brown"), _open("fox")]),
        ('fox "quick brown"', [_word("fox"), _exact("quick", "brown")]),
        ('"quick brown', [_word("quick"), _open("brown")]),
        ("foo:bar", [_open("foo", "bar")]),
        ("foo:bar baz", [_exact("foo", "bar"), _open("baz")]),
        ("user@example.com ", [_exact("user", "example", "com")]),
        ("snake_case_name", [_open("snake", "case", "name")]),
        ("getUserName ", [_word("getusername")]),
        ("src/core/words.py", [_open("src", "core", "words", "py")]),
        ("0x80070005 ", [_word("0x80070005")]),
        ("人工智能", [_run("人工智能")]),
        ("人工 智能", [_run("人工"), _run("智能")]),
        ("人工，智能", [_run("人工"), _run("智能")]),
        ("智", [_word("智")]),
        ("สวัสดี", [_run("สวัสดี")]),
        ("안녕", [_run("안녕")]),
        ("GPT模型", [_exact("gpt", "模", "型")]),
        ("模型GPT", [_open("模", "型", "gpt")]),
        ('"人工智能"', [_run("人工智能")]),
        ('"人工 智能"', [_exact("人", "工", "智", "能")]),
        ("🎉", [_word("🎉")]),
        ("👍🏽", [_word("👍")]),
        ("👨\u200d👩", [_exact("👨", "👩")]),
        ("🇩🇪", [_exact("🇩", "🇪")]),
        ("AND OR", [_word("and"), _open("or")]),
        ("a a a", [_word("a"), _open("a")]),
        ("Straße", [_open("strasse")]),
        ("हिन्दी", [_open("हिन्दी")]),
        ("", []),
        (" \n", []),
        ('" * ( % _ -', []),
        ('""', []),
        ("\0\ufe0f\u200d🏽", []),
    ],
)
def test_parse_query(text: str, terms: list[Term]) -> None:
    """White space parts terms, quotes and marks join them, and only the last one typed may go on."""
    assert tuple(terms) == parse_query(text).terms


@pytest.mark.parametrize(
    "text,terms",
    [
        ("the room", [_open("room")]),
        ("room of the", [_word("room")]),
        ("what is the prime number ", [_word("prime"), _word("number")]),
        ("to be or not to be", [_word("to"), _word("be"), _word("or"), _word("not"), _open("be")]),
        ("the", [_open("the")]),
        ('"the" room', [_exact("the"), _open("room")]),
        ('"to be or not" Hamlet ', [_exact("to", "be", "or", "not"), _word("hamlet")]),
        ("the 東京", [_run("東京")]),
        ("I don't know Sue's room ", [_word("know"), _word("sue"), _word("room")]),
    ],
)
def test_parse_query_with_stop_words(text: str, terms: list[Term]) -> None:
    """Words that say nothing are left out when others remain; quoted ones stay."""
    assert tuple(terms) == parse_query(text).terms


@pytest.mark.parametrize(
    "text,verbatim",
    [
        ("let it be", ("let", "it", "be")),
        ("Don\u2019t ever, ever use", ("don", "t", "ever", "ever", "use")),
        ("a b c d e f g h", ("a", "b", "c", "d", "e", "f", "g", "h")),
        ("a b c d e f g h i", None),
        ("What is it?", ("what", "is", "it")),
        ("zebra", ("zebra",)),
        ('"zebra"', None),
        ("斑", None),
        ("foo:bar", None),
        ('let "it be"', None),
        ("let 它 be", None),
        ("? !", None),
        ("", None),
    ],
)
def test_parse_query_of_what_was_said(text: str, verbatim: tuple[str, ...] | None) -> None:
    """A word, or two to eight, may be what somebody said; not with quotes, nor without spaces."""
    found = parse_query(text).verbatim
    assert verbatim == (None if found is None else found.tokens)


@pytest.mark.parametrize(
    "text,is_question",
    [
        ("What room is the meeting in", True),
        ("meeting room?", True),
        ("會議 室？", True),
        ("meeting room", False),
        ("room?", False),
        ("what", False),
        ("", False),
    ],
)
def test_parse_query_of_a_question(text: str, is_question: bool) -> None:  # noqa: FBT001 - what is expected
    """A question begins with a question word or ends with a mark, and has more than one word that says something."""
    assert is_question == parse_query(text).is_question


@pytest.mark.parametrize(
    "text,relaxed",
    [
        ("prime number ", [_word("prime"), _word("number")]),
        ("foo:bar ", [_exact("foo", "bar")]),
        ("foo:bar baz ", [_word("foo"), _word("bar"), _word("baz")]),
        ('"out of the box" zebra ', [_word("box"), _word("zebra")]),
        ('"to be" "by us"', [_exact("to", "be"), _exact("by", "us")]),
        ("人工智能", [_run("人工智能")]),
        ("我喜欢人工智能", [_run(pair) for pair in ("我喜", "喜欢", "欢人", "人工", "工智", "智能")]),
        ("GPT模型", [_exact("gpt", "模", "型")]),
        ("GPT是什么模型", [_word("gpt"), _run("是什么模型")]),
    ],
)
def test_parse_query_relaxed(text: str, relaxed: list[Term]) -> None:
    """What stands for a term that is not found whole: the words of a phrase, the pairs of a long run."""
    assert tuple(relaxed) == parse_query(text).relaxed


def test_parse_query_of_many_terms() -> None:
    """A query has at most 32 terms, however long it is."""
    query = parse_query(" ".join(f"w{n}" for n in range(10_000)))
    assert (TERMS_MAX, TERMS_MAX) == (len(query.terms), len(query.relaxed))


@given(st.text())
@example("".join(NASTY_TEXTS[:16]))
@example("Python's/Java's")
@example("don't-care")
@example("ｶﾞﾗｽ น้ำ ㍿")
def test_parse_query_of_any_text(text: str) -> None:
    """No text fails as a query, and each of its terms is found in it."""
    query = parse_query(text)
    words = words_of(text)
    assert len(query.terms) <= TERMS_MAX
    for term in query.terms:
        assert term.tokens
        assert is_in(words, term)
        assert all(0 <= start < end <= len(text) for start, end in spans(words, term))


@given(st.text(alphabet="ab12AZé漢智ส안🎉👍🏽 _-/:.*\"'%()?\u200d"))
def test_relaxed_terms_of_any_text(text: str) -> None:
    """A text has a part of itself too, if it has more than one term or a long one."""
    query = parse_query(text)
    assert all(len(term.tokens) <= 5 or term.run or term in query.terms for term in query.relaxed)
    if query.relaxed and query.terms:
        assert any(is_in(words_of(text), part) for part in query.relaxed)


@given(st.text())
@example("Don't 👍🏽東京 getUserName 0x8F")
def test_spans_of_every_token(text: str) -> None:
    """Every token of a text is found where it stands by typing it."""
    words = words_of(text)
    for token in words.tokens:
        query = parse_query(token.text)
        assert (token.text,) == query.terms[0].tokens
        for term in (query.terms[0], *parse_query(f'"{token.text}"').terms):
            assert (token.start, token.end) in spans(words, term)
    for part in (part for compound in words.compounds for part in compound):
        assert (part.start, part.end) in spans(words, parse_query(f"{part.text} ").terms[0])


@given(
    st.text(alphabet=UNSPACED + " ,。a1", min_size=1, max_size=40),
    st.integers(0, 39),
    st.text(alphabet=UNSPACED, min_size=1, max_size=5),
)
@example("ดำ มาไ", 1, "ำไ")
@example("ดำ าม", 1, "ำม")
def test_spans_of_every_piece(text: str, start: int, other: str) -> None:
    """Every piece of a script without spaces is found where it stands, and nowhere else."""
    words = words_of(text)
    start %= len(text)
    for piece in (*(text[start : start + length] for length in range(1, 6)), other):
        if set(piece) <= set(UNSPACED):
            is_found = all(is_in(words, term) for term in parse_query(piece).terms)
            assert (_plain(piece) in _plain(text)) == is_found


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


@pytest.mark.parametrize(
    "text,term,places",
    [
        ("a b a b", _exact("a", "b"), [(0, 3), (4, 7)]),
        ("primes prim primal", _open("prim"), [(0, 6), (7, 11), (12, 18)]),
        ("primes prim primal", _exact("prim"), [(7, 11)]),
        ("books book bookish", _word("book"), [(0, 5), (6, 10), (11, 18)][:2]),
        ("books book", _exact("book"), [(6, 10)]),
        ("foo barn", _open("foo", "bar"), [(0, 8)]),
        ("foox bar", _open("foo", "bar"), []),
        ("foos bars foo bar", _exact("foo", "bar"), [(10, 17)]),
        ("abc", _exact("a", "b", "c", "d"), []),
        ("東京 東，京", _run("東京"), [(0, 2)]),
        ("東京 東，京", _exact("東", "京"), [(0, 2), (3, 6)]),
        ("getUserName", _word("users"), [(3, 7)]),
        ("getUserName", _exact("user", "name"), [(3, 11)]),
        ("getUserName", _exact("get", "name"), []),
        ("👨\u200d👩\u200d👧", _word("👩"), [(2, 3)]),
        ("a👍🏽b", _word("👍"), [(1, 3)]),
    ],
)
def test_spans(text: str, term: Term, places: list[tuple[int, int]]) -> None:
    """A term stands where its tokens stand side by side; only the last may go on; exact ones have no other forms."""
    assert places == spans(words_of(text), term)


PIECES = st.sampled_from(
    [
        "ab", "ab-ba", "ba", "AB", "ǆ", "é", "e\u0301", "ß", "ﬁ", "½", "ab12", "getAb", "a", "b", "12", "_", "…",
        "\u00ad", "智", "智人", "人", "ガ", "ｶﾞ", "ｶ", "안", "น้ำ", "น", "🎉", "👍🏽", "\ufe0f", " ", ", ", "\n",
        "ال", "٣٤",
    ]
)  # fmt: skip
MIXED = st.lists(PIECES, max_size=12).map("".join)


@given(MIXED, st.lists(PIECES, min_size=1, max_size=4).map("".join), st.sampled_from(["{}", "{} ", '"{}"', "{} ab"]))
@example("漢\ufe0f字", "漢字", "{}")
@example("الab ٣٤٥", "ab 345", "{} ")
@example("ab ab ab-ba", "ab ab", '"{}"')
@example("x智人人 人人人", "人人", "{}")
@example("ßa\u00ad智", "智", "{}")
def test_places_of_every_term(text: str, asked: str, form: str) -> None:
    """However a text is looked through, a term is found where it stands, and nowhere else."""
    query = parse_query(form.format(asked))
    words, places = words_of(text), Places(text, query)
    for term in (*query.terms, *query.relaxed):
        assert sorted(spans(words, term)) == sorted(places.of(term))


def test_phrases() -> None:
    """Neighbouring single words make phrases; what is a phrase already, or of a script without spaces, makes none."""
    query = parse_query("prime number foo:bar zebra 智 crossing ahead ")
    assert [(0, _exact("prime", "number")), (5, _exact("crossing", "ahead"))] == phrases(query.terms)


def test_words_that_stop_nothing() -> None:
    """A query of stop words alone looks for all of them."""
    words = sorted(STOP_WORDS)[:5]
    assert [(word,) for word in words] == [term.tokens for term in parse_query(" ".join(words)).terms]


def test_query_without_terms() -> None:
    """Nothing typed is a query without terms."""
    assert Query("", ()) == parse_query("")


@given(st.text(alphabet="abcé東ส👍 "))
def test_parse_query_of_folded_text(text: str) -> None:
    """It does not matter how a query is written."""
    ended = f"{text} "
    assert parse_query(folded(ended)).terms == parse_query(ended.upper()).terms
    assert {token for term in parse_query(ended).terms for token in term.tokens} <= {
        token.text for token in tokens_of(text)
    }


@pytest.mark.parametrize(
    "text,terms",
    [
        ("it's", [Term(("it",))]),
        ("Caroline\u2019s flight", [Term(("caroline",)), Term(("flight",), prefix=True)]),
        ("\u201cbrown quick\u201d", [Term(("brown", "quick"), exact=True)]),
        ("\u00abbrown quick\u00bb", [Term(("brown", "quick"), exact=True)]),
        ("soft\u00adhyphen ", [Term(("softhyphen",))]),
    ],
)
def test_parse_query_as_people_type(text: str, terms: list[Term]) -> None:
    """An English ending ends a word, quotes of every kind make a phrase, what nobody sees is not there."""
    assert tuple(terms) == parse_query(text).terms


@pytest.mark.parametrize("unit,kept", [("a ", 1), ("漢", 0), ("👍🏽", 0), ("か\u3099", 0)])
def test_places_of_a_long_piece_that_repeats_itself(unit: str, kept: int) -> None:
    """A long piece is found where it stands in a text of the same, and only there."""
    piece = (unit * 40)[: len(unit) * 40 - kept]
    text = f"{unit * 30}x {piece} y{unit * 39}z {unit * 200}"
    query = parse_query(f'"{piece}"')
    found = Places(text, query).of(query.terms[0])
    assert {piece} == {text[start:end] for start, end in found}
    assert text.index(piece) == found[0][0]
