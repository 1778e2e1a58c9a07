"""The newest messages: those not yet in rows of sets. Each process knows their labels by itself.

A message of very many words keeps its labels as sorted lists, and a search looks into these. So a long text costs a
reader one split, not a step for each of its words.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from msgspec import Struct
from pyroaring import BitMap

from chatkeep.store.files.index.sets.terms import (
    BEGINNING,
    PAIR_BUCKETS,
    SHORT,
    DocLabel,
    Indexed,
    beginnings_of_all,
    is_word,
    key_labels,
    role_label,
    session_label,
)
from chatkeep.store.files.index.sets.times import time_labels

_LONG: Final = 4096  # labels; a message with more keeps them in lists
_END: Final = "\U0010ffff"


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

    def facts(self) -> list[int]:
        """Return the labels of all but its text, its key and its channel."""
        return [session_label(self.sid), role_label(self.role), *time_labels(self.at_us)]


class _LongMessage(Struct, frozen=True):
    """A message with very many labels, each list in order."""

    doc: int
    texts: list[str]
    pairs: array[int]

    def has(self, label: DocLabel) -> bool:
        if isinstance(label, int):
            return label < PAIR_BUCKETS and _has(self.pairs, label)
        return self.begins(label[1:]) if label[0] == BEGINNING else _has(self.texts, label)

    def begins(self, letters: str) -> bool:
        place = bisect_left(self.texts, letters)
        return place < len(self.texts) and self.texts[place].startswith(letters)

    def begun(self, letters: str) -> list[str]:
        return self.texts[bisect_left(self.texts, letters) : bisect_left(self.texts, letters + _END)]


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

    def __init__(self, *, keeps_long: bool = True) -> None:
        """Begin without messages. Unless it `keeps_long` messages, all labels get their own lists of documents."""
        self._long_from = _LONG if keeps_long else 1 << 62
        self._texts = _Texts()
        self._numbers: defaultdict[int, array[int]] = defaultdict(lambda: array("I"))
        self._long: list[_LongMessage] = []
        self.last = 0
        self.label_count = 0

    def add(self, message: FreshMessage) -> None:
        """Add a message; its document is higher than all before."""
        doc, numbers, texts = message.doc, self._numbers, self._texts
        words, pairs = message.indexed.texts.split(), array("H", message.indexed.pairs)
        for number in message.facts():
            numbers[number].append(doc)
        for label in key_labels(message.key, message.channel):
            texts[label].append(doc)
        if len(words) > self._long_from:
            self._long.append(_LongMessage(doc, words, pairs))
        else:
            for label in words:
                texts[label].append(doc)
            for label in beginnings_of_all(words):
                texts[label].append(doc)
            for number in pairs:
                numbers[number].append(doc)
        self.last = doc
        self.label_count += len(words) + len(pairs)

    def docs(self, label: DocLabel) -> BitMap:
        """Return the documents with a label; that of a longer beginning than two letters has none here."""
        found = self._texts.get(label) if isinstance(label, str) else self._numbers.get(label)
        docs = BitMap() if found is None else BitMap(found)
        docs.update(message.doc for message in self._long if message.has(label))
        return docs

    def begun(self, letters: str) -> BitMap:
        """Return the documents with any word that begins so."""
        if BEGINNING + letters in self._texts:
            return self.docs(BEGINNING + letters)
        docs = BitMap.union(BitMap(), *(BitMap(self._texts[word]) for word in self._begun(letters)))
        docs.update(message.doc for message in self._long if message.begins(letters))
        return docs

    def words(self, letters: str) -> set[str]:
        """Return the words that begin so."""
        return {*self._begun(letters), *(word for message in self._long for word in message.begun(letters))}

    def _begun(self, letters: str) -> Iterable[str]:
        return (word for word in self._texts.by_beginning.get(letters[:SHORT], ()) if word.startswith(letters))

    def texts(self) -> Sequence[str]:
        """Return the labels with text, in order."""
        return sorted(self._texts)

    def postings(self) -> Iterator[tuple[DocLabel, array[int]]]:
        """Yield each label with its documents: numbers first, each kind in order."""
        yield from sorted(self._numbers.items())
        for label in self.texts():
            yield label, self._texts[label]


def _has(values: Sequence[DocLabel], value: DocLabel) -> bool:
    place = bisect_left(values, value)
    return place < len(values) and values[place] == value
