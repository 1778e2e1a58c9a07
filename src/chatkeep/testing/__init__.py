"""The contract kit: the promises of `chatkeep.store.protocol.Store` as tests, for any store.

A store keeps the contract if these tests pass. The fixture yields an empty store and removes it afterwards:

    class TestMyStore(StoreContract):
        @pytest.fixture
        def store(self) -> Iterator[Store]:
            store = MyStore()
            yield store
            store.close()

A subclass cannot override a promise. The kit knows nothing of files, tables or networks. Only this
package needs pytest; no other part of Chatkeep imports it.
"""

from __future__ import annotations

from chatkeep.testing.append import AppendContract
from chatkeep.testing.bounds import BoundsContract
from chatkeep.testing.change import ChangeContract
from chatkeep.testing.compacting import CompactContract
from chatkeep.testing.deletions import DeletionContract
from chatkeep.testing.drops import DropContract
from chatkeep.testing.feed import FeedContract
from chatkeep.testing.finding import FindingContract
from chatkeep.testing.listing import ListContract
from chatkeep.testing.merge import MergeContract
from chatkeep.testing.ranking import RankingContract
from chatkeep.testing.read import ReadContract
from chatkeep.testing.samples import START, at, draft, search_for, session, talk
from chatkeep.testing.search import SearchContract
from chatkeep.testing.standing import StandingContract
from chatkeep.testing.stats import StatsContract
from chatkeep.testing.texts import NASTY_KEYS, NASTY_TEXTS, TextContract
from chatkeep.testing.threads import ThreadContract
from chatkeep.testing.trashing import TrashContract
from chatkeep.testing.usage import UsageContract
from chatkeep.testing.words import WordContract

__all__ = [
    "NASTY_KEYS",
    "NASTY_TEXTS",
    "START",
    "StoreContract",
    "at",
    "draft",
    "search_for",
    "session",
    "talk",
]


class StoreContract(
    AppendContract,
    BoundsContract,
    ReadContract,
    StandingContract,
    DropContract,
    CompactContract,
    ListContract,
    SearchContract,
    WordContract,
    FindingContract,
    RankingContract,
    ChangeContract,
    MergeContract,
    DeletionContract,
    TrashContract,
    TextContract,
    ThreadContract,
    FeedContract,
    StatsContract,
    UsageContract,
):
    """Every promise of a store, as tests. Subclass it and define the fixture `store`."""

    def __init_subclass__(cls, **kwargs: object) -> None:
        """Check a new subclass.

        Raises:
            TypeError: when the subclass overrides a promise.
        """
        super().__init_subclass__(**kwargs)
        kept = {name for name in dir(StoreContract) if name.startswith("test_")}
        if taken_back := sorted(kept & vars(cls).keys()):
            raise TypeError(f"{cls.__name__} takes back what a store promises: {', '.join(taken_back)}")
