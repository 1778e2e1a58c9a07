"""Text into words: the one way to fold and cut searched text, in messages and in queries alike.

Text is folded first. Compatibility forms become plain ones (NFKC: full-width letters, ligatures), and case goes
(`Straße`, `STRASSE`). Latin, Greek and Cyrillic letters lose their accents, Hebrew and Arabic ones their vowel
points. Then it is cut into *tokens*:

- a run of letters, digits and the marks on them is one token;
- in scripts without spaces between words (Han, Kana, Hangul, Thai, Lao, Khmer, Myanmar) every
  character is one. So any piece of Chinese text is a row of neighbouring tokens;
- every emoji is one, without its skin tone;
- characters for the joining or breaking of others are dropped, as if absent;
- all else falls away.

Beside the tokens a text has *rows* of parts. These are the bigrams of those scripts, which are far rarer than
characters; two characters of those scripts with only a break between them; the parts of compound identifiers
(`getUserName`: get, user, name; `E1234`: 1234); and the numbers of a version, without the letter before them
(`v1.2.3`: 1, 2, 3).

Texts come from strangers. The time to order the marks on one letter grows with the square of their number, so a
letter has at most 30. The marks after these begin anew, as if on a letter of their own (Unicode Standard Annex #15,
Stream-Safe Text Format). And a long text is folded in slices, so other threads run between two of them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from itertools import islice
from typing import Final

from msgspec import Struct

from chatkeep.core.text.patterns import LazyPattern

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u3035"
    "\u3041-\u30ff\u3105-\u312f\u3131-\u318e\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f"
    "\uac00-\ud7ff\uf900-\ufaff\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
_PAIRED: Final = "[\u0e00-\U0010ffff]"  # no lower character folds to a script without spaces
_ASCII_TOKEN: Final = re.compile(r"[a-z0-9]+")
_TOKEN_KINDS: Final = re.compile(r"w+|[ce]")
_EVEN_TOKEN: Final = re.compile(r"w[wj]*|[ce]j*")
_FALLEN: Final = "\0"
_SEVERAL: Final = "\1"
_JOINED: Final = LazyPattern(r"[\p{L}\p{N}\p{M}]\0")
_arabic: Final = re.compile("[\u0620-\u06ff]").search  # Arabic stems drop the beginning of a word
_RUN_KINDS: Final = re.compile(r"cc+")
_BREAK_KINDS: Final = re.compile(r"c +(?=c)")
_LAST_KINDS: Final = re.compile(r"c *\Z")
_MARKS: Final = r"\p{M}\u1160-\u11ff\uff9e\uff9f\U00016d63\U00016d67"  # characters that may compose with the one before
_MARKS_MAX: Final = 30  # on one letter
_CLUSTER: Final = LazyPattern(rf"[^{_MARKS}][{_MARKS}]{{0,{_MARKS_MAX}}}+|[{_MARKS}]{{1,{_MARKS_MAX}}}+")
_FEW: Final = LazyPattern(rf"(?:[^{_MARKS}]++|[{_MARKS}]{{1,{_MARKS_MAX}}}+(?![{_MARKS}]))*+")
_RUN_OF_MARKS: Final = LazyPattern(rf"[{_MARKS}]*+")
_ACCENTS: Final = re.compile("[\u0300-\u0344\u0346-\u036f]+")  # marks that fold to nothing; U+0345 folds to a letter
_SAMPLED: Final = 5  # every fifth character is looked at first: too many marks show up among these too
_MANY_SAMPLES: Final = LazyPattern(rf"[{_MARKS}]{{{_MARKS_MAX // _SAMPLED}}}")
_CLUSTERS_OF_A_SLICE: Final = 1 << 11
_CLUSTERS: Final = LazyPattern(rf"(?:{_CLUSTER.text}){{1,{_CLUSTERS_OF_A_SLICE}}}+")
_LETTER: Final = LazyPattern(f"[^{_MARKS}]")
_SLICE_CHARS: Final = 1 << 16  # 65,536 characters; folding them takes about 2 ms
_HALF_WIDTH: Final = re.compile("[\uff66-\uff9d][\uff9e\uff9f]")  # a kana and its mark: two characters that compose
_DECORATION: Final = LazyPattern(
    r"(?=\p{M})[\u0300-\u06ff]|[\p{Me}\p{Variation_Selector}\u00ad\u200c\u2060\ufeff\U0001f3fb-\U0001f3ff]"
)
_EMOJI: Final = LazyPattern(r"[\p{Extended_Pictographic}\p{Regional_Indicator}]")
_HUMP: Final = r"(?:[a-z][A-Z]|[A-Z]{2}[a-z]|[A-Za-z][0-9]|[0-9][A-Za-z])"
has_hump: Final = re.compile(  # same as _HUMP, but faster: few characters of a text are in its first set
    r"[A-Z0-9](?:(?<=[a-z][A-Z])|(?<=[A-Za-z][0-9])|(?<=[A-Z][A-Z])(?=[a-z])|(?<=[0-9])(?=[A-Za-z]))"
).search
"""Finds the first sign of a compound identifier in a text."""
_COMPOUND: Final = re.compile(rf"(?<![^\W_])(?=[A-Za-z0-9]{{0,96}}?{_HUMP})[A-Za-z0-9]{{3,100}}(?![^\W_])")
_PART: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_PARTS_MAX: Final = 16  # a word with more parts is a blob, not an identifier
_NUMBER: Final = re.compile(
    r"(?<=[A-Za-z])[0-9]++[.:][0-9]++(?:[.:-][A-Za-z0-9]++)*+"
)  # behind a letter: a version, a time
_white: Final = re.compile(r"\s").search
_TABLE_MAX: Final = 1 << 16  # characters; bounds memory against a text with all of Unicode
_FOLDS_MARKS_BELOW: Final = 0x0530  # Latin, Greek and Cyrillic end here; beyond, marks make other letters
_PLAIN_BELOW: Final = 0x10000
GAP: Final = "\ue001"
_YOUNG: Final = "\ue000"


class FoldedWord(Struct, frozen=True):
    """A folded word, and the offsets [start, end) of its origin in the text."""

    text: str
    start: int
    end: int


class Even(Struct, frozen=True):
    """A folded text of the same length: NUL for a dropped character, a space for one outside tokens.

    An ASCII text is only lower-cased, and nothing `has_fallen`.
    """

    plain: str
    has_fallen: bool

    @property
    def is_ascii(self) -> bool:
        """Whether every token is a run of ASCII letters and digits."""
        return not self.has_fallen and self.plain.isascii()

    def tokens(self, begun: tuple[str, ...] | None = None) -> list[FoldedWord]:
        """Return the tokens of the text, each with its place in it.

        `begun` are regular expressions of ASCII. With them, tokens with another beginning may be missing, which is
        faster.
        """
        if self.is_ascii:
            found = (_ASCII_TOKEN if begun is None else _token_begun(begun)).finditer(self.plain)
            return [FoldedWord(token.group(), *token.span()) for token in found]
        hides = (self.has_fallen and _JOINED.search(self.plain)) or _arabic(self.plain)
        spans = self._all() if begun is None or hides else self._begun(begun)
        return [FoldedWord(self.plain[first:last].replace(_FALLEN, ""), first, last) for first, last in spans]

    def _all(self) -> Iterator[tuple[int, int]]:
        return map(re.Match.span, _EVEN_TOKEN.finditer(_translated(self.plain, _EVEN_KINDS)))

    def _begun(self, beginnings: tuple[str, ...]) -> Iterator[tuple[int, int]]:
        """Yield the offsets [start, end) of each token with such a beginning, in a text without hidden beginnings."""
        for token in _token_begun(beginnings).finditer(self.plain):
            start, end = token.span()
            if not start or _KINDS[ord(self.plain[start - 1])] != "w":
                while end < len(self.plain) and _KINDS[ord(self.plain[end])] == "w":
                    end += 1
                yield start, end


class _Table(dict[int, str]):
    """The mapping of each character, computed at its first use; made for `str.translate`."""

    def __init__(self, become: Callable[[str], str]) -> None:
        super().__init__()
        self._become = become

    def __missing__(self, code: int) -> str:
        if len(self) >= _TABLE_MAX:
            self.clear()
        self[code] = become = self._become(chr(code))
        return become


def is_unspaced(token: str) -> bool:
    """Tell whether the first character of a token is of a script without spaces."""
    return not token.isascii() and _compiled(f"[{_UNSPACED}]").match(token) is not None


def _may_have_pairs(text: str) -> bool:
    return not text.isascii() and _compiled(_PAIRED).search(text) is not None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """Return the pattern, compiled when it is first used: one of many characters takes some milliseconds."""
    return re.compile(pattern)


def folded(text: str) -> str:
    """Return the text in its form for comparison: without case, width, accents."""
    if text.isascii():
        return text.lower()
    return "".join(_without_accents(piece).translate(_FOLDS) for piece in slices(text))


def evenly_folded(text: str) -> Even | None:
    """Return the text in its form for comparison, None if a character becomes several of tokens."""
    if text.isascii():
        return Even(text.lower(), has_fallen=False)
    if not unicodedata.is_normalized("NFC", text) or _HALF_WIDTH.search(text):
        return None
    plain = _translated(text, _EVEN)
    return None if _SEVERAL in plain else Even(plain, _FALLEN in plain)


def _translated(text: str, table: _Table) -> str:
    """Return the text with each character mapped, a slice at a time: no step keeps other threads waiting."""
    starts = range(0, len(text), _SLICE_CHARS)
    return "".join([text[start : start + _SLICE_CHARS].translate(table) for start in starts])


def slices(text: str) -> Iterator[str]:
    """Yield a text in slices; a letter stays with its marks, so folding each slice folds the text."""
    start = 0
    while len(text) - start > _SLICE_CHARS:
        end = _between_letters(text, start + _SLICE_CHARS) or _CLUSTERS.match(text, start).end()
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]


def stretches(text: str) -> Iterator[str]:
    """Yield a text in slices, cut at white space; a very long stretch without any is cut anywhere."""
    start = 0
    while len(text) - start > _SLICE_CHARS:
        place = start + _SLICE_CHARS
        white = _white(text, place, place + _SLICE_CHARS)
        end = place + _SLICE_CHARS if white is None else white.start()
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]


def tokens_of(text: str) -> list[FoldedWord]:
    """Return the tokens of a text, each with its place in it."""
    even = evenly_folded(text)
    return unevenly_folded_tokens(text) if even is None else even.tokens()


def unevenly_folded_tokens(text: str) -> list[FoldedWord]:
    """Return the tokens of any text, even if one character becomes several."""
    pieces, starts = _folded_pieces(text)
    joined = "".join(pieces)
    places = [place for place, piece in enumerate(pieces) for _ in piece]
    return [
        FoldedWord(joined[first:last], starts[places[first]], _end(pieces, starts, places[last - 1]))
        for first, last in map(re.Match.span, _TOKEN_KINDS.finditer(joined.translate(_KINDS)))
    ]


def compounds_of(text: str, telling: re.Pattern[str] | None = None) -> Iterator[list[FoldedWord]]:
    """Yield the parts of numbers behind letters and of compound identifiers, the latter without single characters.

    With `telling`, those without a match of it are left out, which is faster.
    """
    if has_hump(text) is None:
        return
    for number in _NUMBER.finditer(text):
        if telling is None or telling.search(text, *number.span()):
            start, digits = number.start(), islice(_ASCII_TOKEN.finditer(number.group().lower()), _PARTS_MAX)
            yield [FoldedWord(part.group(), start + part.start(), start + part.end()) for part in digits]
    for compound in _COMPOUND.finditer(text):
        if telling is None or telling.search(text, *compound.span()):
            parts = list(_PART.finditer(text, *compound.span()))
            if len(parts) <= _PARTS_MAX:
                yield [
                    FoldedWord(part.group().lower(), *part.span()) for part in parts if part.end() - part.start() > 1
                ]


def spaced(text: str) -> str:
    """Return the tokens of a text for an index, with spaces between; ASCII text unchanged."""
    return text if text.isascii() else "".join(_without_accents(piece).translate(_SPACED) for piece in slices(text))


def rows_of(text: str) -> str:
    """Return the rows of a text for an index, with spaces between parts and gaps between rows."""
    compounds = (parts for piece in stretches(text) for parts in compounds_of(piece) if parts)
    rows = [" ".join(part.text for part in parts) for parts in compounds]
    if _may_have_pairs(text):
        rows += _rows_of_pairs(text)
    return f" {GAP} ".join(rows)


def _rows_of_pairs(text: str) -> Iterator[str]:
    """Yield the bigrams of each run of a script without spaces; a run may go on from one slice to the next.

    Two characters with only a break between them, such as a comma, are a row by themselves.
    """
    row: list[str] = []
    last = ""  # the last character of the slice before, if it is of such a script, and a space if a break follows
    for plain in filter(None, map(folded, slices(text))):
        joined = f"{last}{plain}"
        kinds = _translated(joined, _KINDS)  # folding makes up to eighteen characters of one
        for gap in _BREAK_KINDS.finditer(kinds):
            yield f"{indexed(joined[gap.start()])} {indexed(joined[gap.end()])}"
        end = 0
        for run in _RUN_KINDS.finditer(kinds):
            start, end = run.span()
            if row and (start or not last):
                yield " ".join(row)
                row = []
            row.append(" ".join(map(indexed, pairs_of(joined[start:end]))))
        if row and end < len(kinds):
            yield " ".join(row)
            row = []
        left = _LAST_KINDS.search(kinds)
        last = "" if left is None else joined[left.start()] + " " * (left.end() - left.start() > 1)
    if row:
        yield " ".join(row)


def pairs_of(run: str) -> list[str]:
    """Return the bigrams of a run."""
    return [run[place : place + 2] for place in range(len(run) - 1)]


def indexed(token: str) -> str:
    """Return a token in a form for an index without emoji and young scripts."""
    return token if token.isascii() else token.translate(_INDEXED)


def may_go_on(token: str) -> bool:
    """Tell whether a token may be the beginning of a longer one."""
    return _KINDS[ord(token[-1])] == "w"


@lru_cache(maxsize=1 << 10)
def _token_begun(beginnings: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(f"(?<![a-z0-9])(?:{'|'.join(beginnings)})[a-z0-9]*")


def _end(pieces: list[str], starts: list[int], place: int) -> int:
    """Return the end of the piece at a place in the text, with the dropped characters behind it."""
    place += 1
    while place < len(pieces) and not pieces[place]:
        place += 1
    return starts[place]


def _between_letters(text: str, place: int) -> int | None:
    """Return the next place where a letter begins, None where marks without end follow."""
    letter = _LETTER.search(text, place, place + 2 * _MARKS_MAX, concurrent=False)
    return None if letter is None else letter.start()


def _composed(text: str) -> str:
    """Return the text with each letter and its marks as one character, where Unicode has one."""
    if unicodedata.is_normalized("NFC", text) and not _HALF_WIDTH.search(text):
        return text
    return "".join(map(_composed_of_few_marks, _with_few_marks(text)))


def _without_accents(text: str) -> str:
    """Return the text composed, without the accents that are left: to drop runs is faster than to map each."""
    return _ACCENTS.sub("", _composed(text))


def _with_few_marks(text: str) -> Iterator[str]:
    """Yield a text, cut at the clusters of each letter with too many marks, without those that are only accents."""
    start = place = 0
    has_many = _MANY_SAMPLES.search(text[::_SAMPLED], concurrent=False)
    while has_many and (place := _FEW.match(text, place).end()) < len(text):
        run_end = _RUN_OF_MARKS.match(text, place).end()
        yield text[start : place + _MARKS_MAX]
        for start in range(place + _MARKS_MAX, run_end, _MARKS_MAX):
            cluster = text[start : min(start + _MARKS_MAX, run_end)]
            if not _ACCENTS.fullmatch(cluster):
                yield cluster
        start = place = run_end
    yield text[start:]


def _composed_of_few_marks(text: str) -> str:
    return unicodedata.normalize("NFC", _HALF_WIDTH.sub(lambda kana: unicodedata.normalize("NFKC", kana[0]), text))


def _folded_pieces(text: str) -> tuple[list[str], list[int]]:
    """Return the folded clusters of the text, and the start of each, with the end of the text last."""
    if _composed(text) == text:
        return [_FOLDS[ord(character)] for character in text], list(range(len(text) + 1))
    pieces: list[str] = []
    starts: list[int] = []
    for cluster in _CLUSTER.finditer(text, concurrent=False):
        pieces.append(folded(cluster.group()))
        starts.append(cluster.start())
    return pieces, [*starts, len(text)]


def _fold(character: str) -> str:
    return "".join(map(_without_marks, unicodedata.normalize("NFKC", character).casefold()))


def _without_marks(character: str) -> str:
    if _DECORATION.match(character):
        return ""
    base = unicodedata.normalize("NFD", character)
    return base[0] if ord(base[0]) < _FOLDS_MARKS_BELOW and len(base) > 1 else character


def _kind(folded_character: str) -> str:
    """Return `w` for a part of a word, `c` for a token by itself, `e` for an emoji, a space for neither."""
    if unicodedata.category(folded_character)[0] in "LNM":
        return "c" if is_unspaced(folded_character) else "w"
    return "e" if _EMOJI.match(folded_character) else " "


def _even_fold(character: str) -> str:
    """Return the folded character for `Even`, or a mark for several characters of tokens."""
    piece = _FOLDS[ord(character)]
    if not piece:
        return _FALLEN
    if all(_KINDS[ord(folded_character)] == " " for folded_character in piece):
        return " "
    return piece if len(piece) == 1 else _SEVERAL


def _even_kind(even_character: str) -> str:
    return "j" if even_character == _FALLEN else _KINDS[ord(even_character)]


def _apart(character: str) -> str:
    """Return the folded character, with spaces for characters outside tokens and around single-character tokens."""
    pieces = ((piece, _KINDS[ord(piece)]) for piece in _FOLDS[ord(character)])
    shown = {"w": "{}", "c": " {} ", "e": " {} ", " ": " "}
    return "".join(shown[kind].format(_INDEXED[ord(piece)]) for piece, kind in pieces)


def _index_form(character: str) -> str:
    """Return a character in a form for an index: a young one as a private character and a number."""
    is_plain = ord(character) < _PLAIN_BELOW and not _EMOJI.match(character)
    return character if is_plain else f"{_YOUNG}{ord(character):06x}"


_FOLDS: Final = _Table(_fold)
_KINDS: Final = _Table(_kind)
_EVEN: Final = _Table(_even_fold)
_EVEN_KINDS: Final = _Table(_even_kind)
_INDEXED: Final = _Table(_index_form)
_SPACED: Final = _Table(_apart)
