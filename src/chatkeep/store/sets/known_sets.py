"""The sets that a process has read, by their labels: settled ones from rows, and what the newest messages add.

Each store says how its rows are read; all else about keeping and joining the sets is the same for all of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Final

from pyroaring import BitMap

from chatkeep.store.sets.tail import Tail
from chatkeep.store.sets.terms import DocLabel, beginning

_CACHE_BYTES: Final = 48 << 20  # bytes of sets kept; those of a question over 2,000,000 messages
_SET_BYTES: Final = 300  # bytes of a set beside its rows


class KnownSets(ABC):
    """For each label the documents that have it, as of one moment.

    The returned sets are shared: never change one in place.
    """

    def __init__(self) -> None:
        """Begin without any set."""
        self._tail = Tail()
        self._settled: dict[DocLabel, BitMap] = {}
        self._whole: dict[DocLabel, BitMap] = {}
        self._cached_bytes = 0

    def docs(self, label: DocLabel) -> BitMap:
        """Return the documents that have a label."""
        if label not in self._whole:
            settled, fresh = self._settled_docs(label), self._tail.docs(label)
            self._whole[label] = settled | fresh if fresh else settled
        return self._whole[label]

    def any_of(self, labels: Iterable[DocLabel]) -> BitMap:
        """Return the documents that have any of some labels."""
        return BitMap.union(BitMap(), *map(self.docs, labels))

    def begun(self, letters: str) -> BitMap:
        """Return the documents with any word that begins so."""
        label = beginning(letters)
        if label not in self._whole:
            settled, fresh = self._settled_begun(letters), self._tail.begun(letters)
            self._whole[label] = settled | fresh if fresh else settled
        return self._whole[label]

    @abstractmethod
    def _settled_docs(self, label: DocLabel) -> BitMap:
        """Return the settled documents with a label, from `_settled` or the rows."""

    @abstractmethod
    def _settled_begun(self, letters: str) -> BitMap:
        """Return the settled documents with any word that begins so, from `_settled` or the rows."""

    def _count(self, size: int) -> None:
        """Count the bytes of another set; beyond the bound, all sets are forgotten."""
        self._cached_bytes += _SET_BYTES + size
        if self._cached_bytes > _CACHE_BYTES:
            self._forget()

    def _forget(self) -> None:
        self._settled.clear()
        self._whole.clear()
        self._cached_bytes = 0
