"""The labels of a message. The index has the exact set of documents for each label.

A label is a word; the stem of a word, where it is another; a word with the marks beside it; a pair of neighbouring
words, as one of 4,194,304 codes; the beginning of a word; the session, its channel, or a part of its key; the role; or
a bit of the time. So words, phrases, filters and the order by time are all the same to the index: sets of documents.

Labels with text stand in the lexicon. A mark, a private character that no word contains, tells their kinds apart. All
other labels are numbers.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from operator import xor
from typing import Final, TypeVar
from zlib import crc32

from msgspec import Struct

from chatkeep.core.model import Message
from chatkeep.core.search.marks import marked_forms
from chatkeep.core.search.stems import stem
from chatkeep.core.search.words import GAP, indexed, is_unspaced, may_go_on, rows_of, spaced, stretches
from chatkeep.core.standing import ROLES, Role

SPOKEN: Final[tuple[Role, ...]] = ("user", "assistant")
ROLE_NUMBERS: Final = {role: number for number, role in enumerate(sorted(ROLES, key=lambda role: role not in SPOKEN))}
USER: Final = 1  # the user's messages have role numbers below
TALK: Final = 2  # those of user and assistant have
EVERY_ROLE: Final = len(ROLES)
NAMED: Final = len(ROLES)
"""The number of the role of the documents with the names of sessions; no message has it."""
_T = TypeVar("_T")
DocLabel = str | int

PAIR_CODES: Final = 1 << 22  # a message of 46 words has one of 90,000 by chance
CODES_OF_ROW: Final = 1 << 8  # neighbouring codes, whose documents share a row
PAIR_ROWS: Final = PAIR_CODES // CODES_OF_ROW
LONG_BYTES: Final = 1 << 16  # of labels; a message with more enters the index by itself, before its append
PAIR_BYTES: Final = 3  # of a code in a list
TIME_BITS: Final = 59  # 39 for the seconds and 20 for the microseconds
SHORT: Final = 2  # letters; so short a beginning always has a set of its own
_FIRST_BIT: Final = PAIR_ROWS
_FIRST_ROLE: Final = _FIRST_BIT + TIME_BITS
FIRST_TEXT: Final = 1 << 16
"""The number of the first label with text; those of bits, roles and rows of pairs are lower."""
FIRST_SESSION: Final = 1 << 39
"""The number of the first label of a session, above those of all texts."""
FIRST_PAIR: Final = 1 << 40
"""The number of the first label of a pair, above those of all sessions and rows."""
WORK: Final = "\ue003"
"""Begins the words of the work behind a message: see `core.model.Message.work`."""
STEM: Final = "\ue004"
BEGINNING: Final = "\ue005"
OF_CHANNEL: Final = "\ue006"
OF_KEY_PART: Final = "\ue007"
MARKED: Final = "\ue008"
"""Begins a word with the marks beside it."""
OF_TITLE: Final = "\ue009"
"""Begins the words of a session's title."""
OF_NAME: Final = "\ue00a"
"""Begins the words of a session's key and tags."""
_KINDS: Final = frozenset((WORK, OF_TITLE, OF_NAME))
_WORD_MAX: Final = 1001  # characters; a query is shorter, so it cannot tell longer words apart
_KEY_PARTS_MAX: Final = 8  # a deeper part of a key has no set of its own
_TABLE_MAX: Final = 1 << 18  # words; bounds the memory for what was worked out about them
_SEPARATORS: Final = re.compile("[:/]")
_ASCII_TOKENS: Final = "".join(chr(code).lower() if chr(code).isalnum() else " " for code in range(128))
"""Each character of ASCII as in a token: folded, or a space between two tokens."""
_ODD: Final = 0x9E3779B1  # spreads the bits of a hash
_HASH_BITS: Final = 32
_FROM_TOP: Final = _HASH_BITS - PAIR_CODES.bit_length() + 1
_FIRST_ALONE: Final = PAIR_CODES
_SECOND_ALONE: Final = 2 * PAIR_CODES
_BOTH_ALONE: Final = 3 * PAIR_CODES


class Indexed(Struct, frozen=True):
    """The labels of a message's text: `texts` in order, with spaces between; `pairs` are codes, see `codes_in`."""

    texts: str
    pairs: bytes
    long: int | None = None
    """The number of a long text that the index has already."""

    @property
    def is_long(self) -> bool:
        """Whether these are very many labels."""
        return len(self.texts) + len(self.pairs) > LONG_BYTES


def labels_of(message: Message) -> Indexed:
    """Return the labels of a message's text, and of the work behind it."""
    return indexed_of(message.text, message.work)


def indexed_of(text: str, work: str = "") -> Indexed:
    """Return the labels of a message. A long message takes long: call this before the write transaction.

    The words of the work behind it carry a mark. So only a search for them finds them.
    """
    return indexed_texts([(text, ""), (work, WORK)])


def indexed_texts(texts: Sequence[tuple[str, str]]) -> Indexed:
    """Return the labels of some texts together, each with the mark of its words."""
    words: set[str] = set()
    pairs: set[int] = set()
    parts: set[int] = set()
    for text, mark in texts:
        _add(_sliced(spaced(text), mark), words, pairs)
        for row in rows_of(text).split(GAP):
            _add(_sliced(row, mark), words, parts)
    if pairs and max(pairs) >= PAIR_CODES:
        pairs = {code % PAIR_CODES for code in pairs if code < _BOTH_ALONE}
    pairs.update(code % PAIR_CODES for code in parts)
    forms = (marked_label(form, mark) for text, mark in texts if text for form in marked_forms(text))
    labels = sorted({word[:_WORD_MAX] for word in words}.union(filter(None, map(_STEMS, words)), forms))
    return Indexed(" ".join(labels), _packed(sorted(pairs)))


def labels_of_names(title: str, *others: str) -> Indexed:
    """Return the labels of a session's names: those of its title, and those of its key and tags."""
    return indexed_texts([(title, OF_TITLE), *((name, OF_NAME) for name in others)])


def _packed(codes: Sequence[int]) -> bytes:
    """Return codes as three planes: their low bytes, their middle bytes, their high bytes."""
    raw = array("I", codes).tobytes()
    return b"".join(raw[place :: array("I").itemsize] for place in range(PAIR_BYTES))


def codes_in(pairs: bytes) -> array[int]:
    """Return the codes of pairs, in order."""
    count = len(pairs) // PAIR_BYTES
    raw = bytearray(array("I").itemsize * count)
    for place in range(PAIR_BYTES):
        raw[place :: array("I").itemsize] = pairs[place * count : (place + 1) * count]
    return array("I", bytes(raw))


def bare(word: str) -> str:
    """Return a word without the mark of its kind."""
    return word[1:] if word[0] in _KINDS else word


def _add(rows: Iterable[list[str]], words: set[str], pairs: set[int]) -> None:
    """Add the tokens of some rows, and the codes of the pairs in them."""
    for row in rows:
        words.update(row)
        pairs.update(map(xor, map(_AS_FIRST, row), map(_AS_SECOND, row[1:])))


def _sliced(tokens: str, mark: str) -> Iterator[list[str]]:
    """Yield tokens with spaces between in slices, each with the last token before it: no step takes long."""
    last: list[str] = []
    for piece in stretches(tokens):
        found = (piece.translate(_ASCII_TOKENS) if tokens.isascii() else piece).split()
        row = [mark + token for token in found] if mark else found
        yield last + row
        last = row[-1:]


def pair(one: str, other: str) -> int:
    """Return the label of two neighbouring tokens; for two lone characters, that of those with a break between them."""
    return FIRST_PAIR + (_AS_FIRST(one) ^ _AS_SECOND(other)) % PAIR_CODES


def bigram(one: str, other: str) -> str | None:
    """Return the label of two lone characters without a break between them, None for other tokens."""
    return one + bare(other) if _is_alone(one) and _is_alone(other) else None


def stem_labels(word: str) -> tuple[str, ...]:
    """Return the labels of all words with the stem of this one."""
    plain = bare(word)
    mark, of_word = word[: len(word) - len(plain)], stem(plain)
    own = (mark + of_word,) if stem(of_word) == of_word else ()
    return (*own, f"{STEM}{mark}{of_word}")


def marked_label(form: str, mark: str = "") -> str:
    """Return the label of a word with the marks beside it."""
    return f"{MARKED}{mark}{indexed(form)}"


def beginning(letters: str) -> str:
    """Return the label of the words that begin so."""
    return BEGINNING + letters


def short_beginnings(label: str) -> tuple[str, ...]:
    """Return the labels of a word's first letter and first two letters; none for another label or a lone character."""
    return _BEGINNINGS(label)


def key_labels(key: str, channel: str) -> tuple[str, ...]:
    """Return the labels of a session's messages: its channel, and each part of its key up to a colon or slash."""
    places = [found.end() for found in _SEPARATORS.finditer(key)][:_KEY_PARTS_MAX]
    return (OF_CHANNEL + channel, *(OF_KEY_PART + key[:place] for place in places))


def key_part(prefix: str) -> str | None:
    """Return the label of the keys with a prefix, None if it does not end a part with a label."""
    is_part = prefix.endswith((":", "/")) and len(_SEPARATORS.findall(prefix)) <= _KEY_PARTS_MAX
    return OF_KEY_PART + prefix if is_part else None


def bit(place: int) -> int:
    """Return the label of a bit of the time."""
    return _FIRST_BIT + place


def role_label(number: int) -> int:
    """Return the label of the messages of a role, by its number in the index."""
    return _FIRST_ROLE + number


def session_label(sid: int) -> int:
    """Return the label of the messages of a session."""
    return FIRST_SESSION + sid


def is_word(label: str) -> bool:
    """Tell whether a label with text is a word, perhaps of the work behind a message."""
    return not STEM <= label[0] <= MARKED


class _Table(dict[str, _T]):
    """A function of tokens that remembers its results."""

    def __init__(self, become: Callable[[str], _T]) -> None:
        super().__init__()
        self._become = become

    def __missing__(self, token: str) -> _T:
        if len(self) >= _TABLE_MAX:
            self.clear()
        self[token] = self._become(token)
        return self[token]


def _is_alone(token: str) -> bool:
    plain = bare(token)
    return len(plain) == 1 and is_unspaced(plain)


def _as_first(token: str) -> int:
    return crc32(token.encode()) % PAIR_CODES | _FIRST_ALONE * _is_alone(token)


def _as_second(token: str) -> int:
    return (crc32(token.encode()) * _ODD % (1 << _HASH_BITS)) >> _FROM_TOP | _SECOND_ALONE * _is_alone(token)


def _stem_label(word: str) -> str | None:
    """Return the label of a word's stem, None if the word is its own stem."""
    plain = bare(word)
    of_word = stem(plain)
    return None if of_word == plain else f"{STEM}{word[: len(word) - len(plain)]}{of_word}"


def _beginnings(label: str) -> tuple[str, ...]:
    plain = bare(label)
    if not is_word(label) or is_unspaced(plain) or not may_go_on(plain[:SHORT]):
        return ()
    mark = label[: len(label) - len(plain)]
    return tuple(BEGINNING + mark + plain[:length] for length in range(1, min(SHORT, len(plain)) + 1))


def beginnings_of_all(labels: Iterable[str]) -> set[str]:
    """Return the short beginnings of some labels."""
    return set(chain.from_iterable(map(_BEGINNINGS, labels)))


_AS_FIRST: Final = _Table(_as_first).__getitem__
_AS_SECOND: Final = _Table(_as_second).__getitem__
_STEMS: Final = _Table(_stem_label).__getitem__
_BEGINNINGS: Final = _Table(_beginnings).__getitem__
