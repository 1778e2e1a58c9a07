"""The search language: plain text in, terms out. No character of it is an operator that can fail.

Text becomes *tokens*. It is folded first: compatibility forms to plain ones (NFKC: full-width
letters, ligatures), case away (`Straße`, `STRASSE`), accents off Latin, Greek and Cyrillic letters,
vowel points off Hebrew and Arabic ones. Then every run of letters, digits and the marks on them is
one token, except in scripts that do not put spaces between words (Han, Kana, Hangul, Thai, Lao,
Khmer, Myanmar): there every character is one. So any piece of
Chinese text, from one character on, is a run of neighbouring tokens, and is found as a phrase.

A query is cut at white space. Each piece, and each part in double quotes, is one *term*: tokens
that must stand side by side (`foo:bar`, `user@example.com` and `人工智能` are phrases). The last
word, unless white space or a quote follows it, may be the beginning of a longer one.

English words match by their stem (Porter), so `books` finds `book`.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

import regex
import snowballstemmer
from msgspec import Struct

TERMS_MAX: Final = 32
QUERY_CHARS_MAX: Final = 1000

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u3035"
    "\u3041-\u30ff\u3105-\u312f\u3131-\u318e\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f"
    "\uac00-\ud7ff\uf900-\ufaff\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
_IS_UNSPACED = re.compile(f"[{_UNSPACED}]").match
_ASCII_TOKEN = re.compile(r"[a-z0-9]+")
_TOKEN_KINDS = re.compile(r"w+|c")
_CLUSTER = regex.compile(r"(?s).[\p{M}\u1160-\u11ff]*")
_IS_DECORATION = regex.compile(r"(?=\p{M})[\u0300-\u06ff]|[\p{Me}\p{Variation_Selector}]").match
_PIECE = re.compile(r'"([^"]*)"|(\S+)')
_FOLDS_MARKS_BELOW: Final = 0x0530  # Latin, Greek and Cyrillic end here; farther on, marks make other letters


class Term(Struct, frozen=True):
    """Tokens that must stand side by side; with `prefix` the last one may go on."""

    tokens: tuple[str, ...]
    prefix: bool = False


class Query(Struct, frozen=True):
    """What a person asks for: the text as typed, and its terms. Without terms nothing is found."""

    text: str
    terms: tuple[Term, ...]


class Token(Struct, frozen=True):
    """A folded word and the characters [start, end) of the text that it stands for."""

    text: str
    start: int
    end: int


class _Folds(dict[int, str]):
    """What each character folds to, worked out when it is first met; made for `str.translate`."""

    def __missing__(self, code: int) -> str:
        folded = unicodedata.normalize("NFKC", chr(code)).casefold()
        self[code] = "".join(map(_without_marks, folded))
        return self[code]


class _Kinds(dict[int, str]):
    """What each folded character is: `w` part of a word, `c` a token by itself, a space neither."""

    def __missing__(self, code: int) -> str:
        is_of_words = unicodedata.category(chr(code))[0] in "LNM"
        self[code] = ("c" if _IS_UNSPACED(chr(code)) else "w") if is_of_words else " "
        return self[code]


class _Spaced(dict[int, str]):
    """What each character folds to, with spaces for what is no token and around what is one by itself."""

    def __missing__(self, code: int) -> str:
        apart = {"w": "{}", "c": " {} ", " ": " "}
        self[code] = "".join(apart[_KINDS[ord(folded)]].format(folded) for folded in _FOLDS[code])
        return self[code]


_FOLDS = _Folds()
_KINDS = _Kinds()
_SPACED = _Spaced()


def parse_query(text: str) -> Query:
    """Return the terms of a query; at most 32, the rest is left out."""
    terms = []
    for piece in _PIECE.finditer(text):
        quoted, word = piece.groups()
        tokens = tuple(token.text for token in tokens_of(word if quoted is None else quoted))
        if tokens:
            open_ended = quoted is None and piece.end() == len(text)
            terms.append(Term(tokens, prefix=open_ended and not _IS_UNSPACED(tokens[-1])))
    return Query(text, tuple(dict.fromkeys(terms[:TERMS_MAX])))


def folded(text: str) -> str:
    """Return the text as it is compared: without case, width, accents."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFC", text).translate(_FOLDS)


def spaced(text: str) -> str:
    """Return the tokens of a text with spaces between them; ASCII text as it is, for any tokenizer to cut."""
    return text if text.isascii() else unicodedata.normalize("NFC", text).translate(_SPACED)


def tokens_of(text: str) -> list[Token]:
    """Return the tokens of a text, each with its place in it."""
    if text.isascii():
        return [Token(found.group(), *found.span()) for found in _ASCII_TOKEN.finditer(text.lower())]
    pieces, starts = _folded_pieces(text)
    joined = "".join(pieces)
    places = [place for place, piece in enumerate(pieces) for _ in piece]
    return [
        Token(joined[first:last], starts[places[first]], starts[places[last - 1] + 1])
        for first, last in map(re.Match.span, _TOKEN_KINDS.finditer(joined.translate(_KINDS)))
    ]


def stem(token: str) -> str:
    """Return the stem of an English word, and any other token as it is."""
    return _stem(token) if token.isascii() and len(token) > 2 else token  # noqa: PLR2004 - no shorter word has one


def spans(tokens: list[Token], term: Term) -> list[tuple[int, int]]:
    """Return the characters [start, end) of each place where the term stands."""
    wanted = [stem(token) for token in term.tokens]
    length = len(wanted)
    return [
        (tokens[first].start, tokens[first + length - 1].end)
        for first in range(len(tokens) - length + 1)
        if all(_matches(tokens[first + k].text, term, wanted, k) for k in range(length))
    ]


def _matches(token: str, term: Term, wanted: list[str], place: int) -> bool:
    if stem(token) == wanted[place]:
        return True
    return term.prefix and place == len(wanted) - 1 and token.startswith(term.tokens[place])


def _without_marks(character: str) -> str:
    if _IS_DECORATION(character):
        return ""
    base = unicodedata.normalize("NFD", character)
    return base[0] if ord(base[0]) < _FOLDS_MARKS_BELOW and len(base) > 1 else character


def _folded_pieces(text: str) -> tuple[list[str], list[int]]:
    """Return what each cluster of the text folds to, and where each starts, with the end of the text last."""
    if unicodedata.is_normalized("NFC", text):
        return [_FOLDS[ord(character)] for character in text], list(range(len(text) + 1))
    pieces: list[str] = []
    starts: list[int] = []
    for cluster in _CLUSTER.finditer(text):
        pieces.append(folded(cluster.group()))
        starts.append(cluster.start())
    return pieces, [*starts, len(text)]


@lru_cache(maxsize=65536)
def _stem(token: str) -> str:
    return str(_PORTER.stemWord(token))


_PORTER = snowballstemmer.stemmer("porter")
