"""The newest messages: those not yet in rows of sets. Each process knows their labels by itself.

A long message keeps its labels as they are, and a search looks into these. So a long text costs a reader nothing until
a search looks for a word, and then a tenth of a millisecond. Many messages at once wait in piles (see `piles`); each
further catching up sorts one of these.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, compress
from typing import Final

from msgspec import Struct
from pyroaring import BitMap

from chatkeep.store.sets.pairs import LAST_MARK, MARK_BITS
from chatkeep.store.sets.piles import Pile, pile_of
from chatkeep.store.sets.terms import (
    BEGINNING,
    CODES_OF_ROW,
    FIRST_PAIR,
    SHORT,
    TIME_BITS,
    DocLabel,
    Indexed,
    beginnings_of_all,
    bit,
    codes_in,
    is_word,
    key_labels,
    role_label,
    session_label,
)
from chatkeep.store.sets.times import bits_of_time

_STEP: Final = 8192  # labels; adding so many takes about a millisecond
_DIGITS: Final = bytes.maketrans(b"01", b"\0\1")
_SORTED_AT_ONCE: Final = 128  # messages; sorting their labels takes about five milliseconds


class FreshMessage(Struct, frozen=True):
    """A message as the tail takes it: its document, the labels of its text, and its other facts.

    `at_us` is in microseconds since 2024; `role` is the number of the role.
    """

    doc: int
    indexed: Indexed
    sid: int
    role: int
    at_us: int
    key: str
    channel: str


class _LongMessage(Struct, frozen=True):
    """A message with very many labels: its texts with a space before and behind each, its pairs as a list."""

    doc: int
    texts: str
    pairs: array[int]

    def has(self, label: DocLabel) -> bool:
        if isinstance(label, int):
            return label >= FIRST_PAIR and _has(self.pairs, label - FIRST_PAIR)
        return (f" {label[1:]}" if label[0] == BEGINNING else f" {label} ") in self.texts

    def begun(self, letters: str) -> list[str]:
        """Return the words that begin so; they are neighbours."""
        start = self.texts.find(f" {letters}") + 1
        end = self.texts.rfind(f" {letters}") + 1
        return self.texts[start : self.texts.index(" ", end)].split() if start else []


class _Texts(dict[str, "array[int]"]):
    """The documents of each label with text; the words also by their first two letters."""

    def __init__(self) -> None:
        super().__init__()
        self.by_beginning: defaultdict[str, list[str]] = defaultdict(list)

    def __missing__(self, label: str) -> array[int]:
        self[label] = array("I")
        if is_word(label):
            self.by_beginning[label[:SHORT]].append(label)
        return self[label]


class Tail:
    """The labels of some messages, whose documents come in ascending order."""

    def __init__(self) -> None:
        """Begin without messages."""
        self._texts = _Texts()
        self._numbers: defaultdict[int, array[int]] = defaultdict(lambda: array("I"))
        self._pairs: defaultdict[int, array[int]] = defaultdict(lambda: array("Q"))
        self._long: list[_LongMessage] = []
        self._times: list[tuple[int, int]] = []
        self._waiting: deque[tuple[Pile, Sequence[FreshMessage]]] = deque()
        self.last = 0
        self.label_count = 0

    def catch_up(self, messages: Sequence[FreshMessage]) -> None:
        """Add messages, whose documents are higher than all before; many wait in piles.

        Sort the labels of the pile that has waited longest, unless all of them have just come.
        """
        is_due = bool(self._waiting) or len(messages) <= _SORTED_AT_ONCE
        for message in messages:
            self._add_facts(message)
            if message.indexed.is_long:
                texts, pairs = f" {message.indexed.texts} ", codes_in(message.indexed.pairs)
                self._long.append(_LongMessage(message.doc, texts, pairs))
        short = [message for message in messages if not message.indexed.is_long]
        for start in range(0, len(short), _SORTED_AT_ONCE):
            some = short[start : start + _SORTED_AT_ONCE]
            pile = pile_of([message.doc for message in some], [message.indexed for message in some])
            self._waiting.append((pile, some))
        if self._waiting and is_due:
            for message in self._waiting.popleft()[1]:
                for _ in self._adding_labels(message):
                    pass

    def add_exploded(self, message: FreshMessage) -> None:
        """Add a message with a list of documents for each label, however long it is."""
        for _ in self.adding(message):
            pass

    def adding(self, message: FreshMessage) -> Iterator[None]:
        """Add a message with a list of documents for each label, some thousand labels at a step."""
        self._add_facts(message)
        yield from self._adding_labels(message)

    def _adding_labels(self, message: FreshMessage) -> Iterator[None]:
        doc, rows, texts = message.doc, self._pairs, self._texts
        words, codes = message.indexed.texts.split(), codes_in(message.indexed.pairs)
        for start in range(0, len(words), _STEP):
            for label in words[start : start + _STEP]:
                texts[label].append(doc)
            yield
        for label in beginnings_of_all(words):
            texts[label].append(doc)
        for code in codes:
            rows[code >> MARK_BITS].append(doc << MARK_BITS | code & LAST_MARK)
        self.label_count += len(words) + len(codes)

    def _add_facts(self, message: FreshMessage) -> None:
        self.last = message.doc
        for number in (session_label(message.sid), role_label(message.role)):
            self._numbers[number].append(message.doc)
        self._times.append((message.doc, bits_of_time(message.at_us)))
        for label in key_labels(message.key, message.channel):
            self._texts[label].append(message.doc)

    def docs(self, label: DocLabel) -> BitMap:
        """Return the documents with a label; that of a longer beginning than two letters has none here."""
        if isinstance(label, int) and label >= FIRST_PAIR:
            row, mark = divmod(label - FIRST_PAIR, CODES_OF_ROW)
            docs = BitMap([one >> MARK_BITS for one in self._pairs.get(row, ()) if one & LAST_MARK == mark])
        elif isinstance(label, int):
            self._sort_times()
            return BitMap(self._numbers.get(label, ()))
        else:
            docs = BitMap(self._texts.get(label, ()))
        docs.update(message.doc for message in self._long if message.has(label))
        docs.update(chain.from_iterable(pile.with_label(label) for pile, _ in self._waiting))
        return docs

    def begun(self, letters: str) -> BitMap:
        """Return the documents with any word that begins so."""
        words = () if BEGINNING + letters in self._texts else self._begun(letters)
        return BitMap.union(self.docs(BEGINNING + letters), *(BitMap(self._texts[word]) for word in words))

    def words(self, letters: str) -> set[str]:
        """Return the words that begin so."""
        of_long = (message.begun(letters) for message in self._long)
        return {*self._begun(letters), *chain(*of_long, *(pile.words(letters) for pile, _ in self._waiting))}

    def _begun(self, letters: str) -> Iterable[str]:
        first = letters[:SHORT]
        groups = (of for begun, of in self._texts.by_beginning.items() if begun.startswith(first))
        alike = chain(*groups) if len(first) < SHORT else self._texts.by_beginning.get(first, ())
        return (word for word in alike if word.startswith(letters))

    def texts(self) -> Sequence[str]:
        """Return the labels with text, in order."""
        return sorted(self._texts)

    def postings(self) -> Iterator[tuple[DocLabel, array[int]]]:
        """Yield each label but pairs with its documents: numbers first, each kind in order."""
        self._sort_times()
        yield from sorted(self._numbers.items())
        for label in self.texts():
            yield label, self._texts[label]

    def pairs(self) -> Iterator[tuple[int, array[int]]]:
        """Yield the number of each row of pairs, in order, with its documents and marks (see `sets.pairs`)."""
        yield from sorted(self._pairs.items())

    def _sort_times(self) -> None:
        """Add the times of the messages to the labels of their bits, bit by bit."""
        if not self._times:
            return
        docs, times = zip(*self._times, strict=True)
        written = "".join(format(bits, f"0{TIME_BITS}b") for bits in times).encode().translate(_DIGITS)
        for place in range(TIME_BITS):
            having = array("I", compress(docs, written[TIME_BITS - 1 - place :: TIME_BITS]))
            if having:
                self._numbers[bit(place)] += having
        self._times.clear()


def _has(values: Sequence[DocLabel], value: DocLabel) -> bool:
    place = bisect_left(values, value)
    return place < len(values) and values[place] == value
