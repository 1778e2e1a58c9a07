"""The messages that a search may answer, and what is known of them by now."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct
from pyroaring import BitMap

from chatkeep.store.engine.planner import Plan
from chatkeep.store.engine.proof import Verdict


class Pool(Struct, frozen=True):
    """The messages that may be answered.

    `docs` match, those in `sure` beyond doubt. Those in `whole` have every term of the query. `typed` have its words
    side by side, those in `surely_typed` beyond doubt.
    """

    plan: Plan
    docs: BitMap
    sure: BitMap
    whole: BitMap
    typed: BitMap
    surely_typed: BitMap
    is_loose: bool = False
    is_exhausted: bool = False

    def doubts(self, doc: int) -> bool:
        """Tell whether a document of the pool needs a proof."""
        return doc not in self.sure or (doc in self.typed and doc not in self.surely_typed)

    def judged(self, found: Mapping[int, Verdict]) -> Pool:
        """Return the pool after some verdicts."""
        refuted = BitMap(doc for doc, verdict in found.items() if not verdict.is_match)
        untyped = BitMap(doc for doc, verdict in found.items() if not verdict.is_verbatim)
        proven = BitMap(found) - refuted
        typed = self.typed - untyped
        return msgspec.structs.replace(
            self,
            docs=self.docs - refuted,
            sure=self.sure | proven,
            whole=self.whole - refuted,
            typed=typed,
            surely_typed=self.surely_typed | (typed & proven),
        )

    def without(self, docs: BitMap) -> Pool:
        """Return the pool without documents that nobody proved in time."""
        return msgspec.structs.replace(self, docs=self.docs - docs, whole=self.whole - docs, is_exhausted=True)
