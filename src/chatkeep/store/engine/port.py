"""The questions of a search to an index. Another store that answers them finds the same, in the same order.

All sets are of one moment. They are shared: nobody changes one in place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from pyroaring import BitMap

from chatkeep.core.model import Selection
from chatkeep.core.search.ranker import Match
from chatkeep.store.sets.terms import DocLabel

Matches = dict[int, Match]
"""Messages by document."""


class SearchIndex(Protocol):
    """The sets of documents of one moment, and the messages behind them."""

    @property
    def origin(self) -> bytes:
        """The mark of this index: numbers of its documents and sessions mean nothing to another."""

    @property
    def gone(self) -> BitMap:
        """The documents that have left every set."""

    @property
    def named(self) -> BitMap:
        """The documents with the names of sessions; all others are messages."""

    def docs(self, label: DocLabel) -> BitMap:
        """Return the documents that have a label."""

    def any_of(self, labels: Iterable[DocLabel]) -> BitMap:
        """Return the documents that have any of some labels."""

    def begun(self, letters: str) -> BitMap:
        """Return the documents with any word that begins so."""

    def words(self, letters: str, most: int) -> set[str] | None:
        """Return the words that begin so, None if they are more than `most`."""

    def everything(self) -> BitMap:
        """Return a set with every document, and perhaps some numbers without one."""

    def message_count(self) -> int:
        """Return the number of all messages."""

    def of_sessions(self, selection: Selection, key: str | None) -> BitMap:
        """Return the documents of the selected sessions; with a key, only of the session with this key."""

    def messages(self, docs: Iterable[int]) -> Matches:
        """Return the messages of some documents; the names of a session as one with the seq 0."""

    def session_of(self, doc: int) -> int:
        """Return the session of a document."""

    def keys_of(self, sessions: Iterable[object]) -> Mapping[object, str]:
        """Return the keys of sessions."""

    def texts(self, docs: Sequence[int]) -> Mapping[int, Sequence[str]]:
        """Return the searched texts of each of some documents, without documents that cannot be read now."""

    def sizes(self, docs: Collection[int]) -> Mapping[int, int]:
        """Return the sizes of the messages of some documents, in bytes."""
