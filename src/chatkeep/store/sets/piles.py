"""Messages as they came: their labels are not yet sorted, and a search looks through them.

A process that has just begun meets some thousand new messages. To sort their labels takes longer than its first search
may. So it keeps them in piles, and a label is looked up in the whole text of a pile: some microseconds each.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final

from msgspec import Struct

from chatkeep.store.sets.terms import BEGINNING, FIRST_PAIR, DocLabel, Indexed, codes_in

_CODE_BYTES: Final = array("I").itemsize


class Pile(Struct, frozen=True):
    """The labels of some messages: all texts and all codes of pairs in one piece each, and where each message ends."""

    docs: Sequence[int]
    texts: str
    text_ends: Sequence[int]
    codes: bytes
    code_ends: Sequence[int]

    def with_label(self, label: DocLabel) -> list[int]:
        """Return the documents with a label of a text or a pair; of a beginning, those with a word that begins so."""
        if isinstance(label, int):
            return self._with_code(label - FIRST_PAIR) if label >= FIRST_PAIR else []
        return self.begun(label[1:]) if label[0] == BEGINNING else self._with_text(f" {label} ")

    def begun(self, letters: str) -> list[int]:
        """Return the documents with a word that begins so."""
        return self._with_text(f" {letters}")

    def words(self, letters: str) -> Iterator[str]:
        """Yield the words that begin so, perhaps more than once."""
        place = self.texts.find(f" {letters}")
        while place >= 0:
            end = self.texts.index(" ", place + 1)
            yield self.texts[place + 1 : end]
            place = self.texts.find(f" {letters}", end)

    def _with_text(self, piece: str) -> list[int]:
        """Return the documents with a piece of their labels; after a hit, the rest of its message is skipped."""
        found = []
        place = self.texts.find(piece)
        while place >= 0:
            number = bisect_right(self.text_ends, place)
            found.append(self.docs[number])
            place = self.texts.find(piece, self.text_ends[number])
        return found

    def _with_code(self, code: int) -> list[int]:
        found, wanted = [], array("I", [code]).tobytes()
        place = self.codes.find(wanted)
        while place >= 0:
            if place % _CODE_BYTES:
                place = self.codes.find(wanted, place + 1)
                continue
            number = bisect_right(self.code_ends, place)
            found.append(self.docs[number])
            place = self.codes.find(wanted, self.code_ends[number])
        return found


def pile_of(docs: Sequence[int], labels: Sequence[Indexed]) -> Pile:
    """Return the pile of some messages, their documents in ascending order."""
    texts = [f" {one.texts} \n" for one in labels]
    codes = [codes_in(one.pairs).tobytes() for one in labels]
    text_ends, code_ends = (list(accumulate(map(len, pieces))) for pieces in (texts, codes))
    return Pile(docs, "".join(texts), text_ends, b"".join(codes), code_ends)
