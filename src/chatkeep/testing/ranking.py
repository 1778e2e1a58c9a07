"""The promises about the order of hits of `Store.search`."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from itertools import product

import pytest

from chatkeep.core.model import Hits, Sort, Unit
from chatkeep.store.address import store_address
from chatkeep.store.open import StoreOptions, opened_at
from chatkeep.store.protocol import Store
from chatkeep.testing.samples import draft, places_of, search_for

_KEY = "api:1"
_SORTS: tuple[Sort, ...] = ("relevance", "recent")
_WORDS = (
    *("zebra", "zebras", "horse", "Horses", "giraffe", "stripes", "getUserName", "café"),
    *("東京", "東京タワー", "prime-number", "v1.2.3", "quick", "brown", "fox"),
)
_QUERIES = (
    *(
        "zebra",
        "horse giraffe ",
        "quick brown fox",
        '"brown fox"',
        "zeb",
        "quick zebra",
        "東京",
        "stripes zebra horse ",
    ),
    *("where is the quick giraffe?", "user name ", "prime number ", "fox brown quick zebra cafe ", "unicorn zebra "),
)


class RankingContract:
    """The best hit comes first, whatever the limit."""

    @pytest.mark.parametrize("sort", ["relevance", "recent"])
    @pytest.mark.parametrize("unit", ["session", "message"])
    def test_search_with_a_smaller_limit(self, store: Store, sort: Sort, unit: Unit) -> None:
        """A smaller limit returns the first hits of a larger one."""
        for n in range(12):
            said = [draft(f"zebra {'horse ' * ((n + m) % 4)}", (7 * n + 5 * m) % 31) for m in range(5)]
            store.append(f"api:{n}", said)
        for query in ("zebra", "zebra horse ", "horse giraffe "):
            every = places_of(store.search(search_for(query, sort=sort, unit=unit, limit=100)))
            for limit in (1, 2, 5, 11, 40):
                shown = places_of(store.search(search_for(query, sort=sort, unit=unit, limit=limit)))
                assert every[:limit] == shown

    def test_search_prefers(self, store: Store) -> None:
        """A message with more of the terms, nearer together, comes first."""
        store.append("api:apart", [draft("Number one is a cat, and prime beef is dear.", 5)])
        store.append("api:together", [draft("Seven is a prime number, and one is not dear.", 5)])
        for n in range(8):
            store.append(f"api:{n}", [draft("Any number will do.", 5)])
        hits = store.search(search_for("prime number ")).hits
        assert ["api:together", "api:apart"] == [hit.key for hit in hits]
        hits = store.search(search_for("dear giraffe number ")).hits
        assert {"api:together", "api:apart"} == {hit.key for hit in hits[:2]}

    @pytest.mark.parametrize(
        "query,said",
        [
            ("let it be", "Oh, let it be!"),
            ("don't ever use", "Please don\u2019t ever use that."),
            ("years now, so there have been", "It is for years now. So there have been some."),
            ("is the place nice?", "He asked: is the place nice?"),
            ("to be or not to be", "To be, or not to be"),
        ],
    )
    def test_search_prefers_what_was_said_word_by_word(self, store: Store, query: str, said: str) -> None:
        """A message with the exact words of the query comes first, stop words included."""
        store.append(_KEY, [draft(said, 0)])
        for n in range(60):
            store.append(
                f"api:other{n}", [draft("years use let place nice be", 100 + n), draft("not to be or now", 99)]
            )
        for limit in (1, 20):
            hits = store.search(search_for(query, limit=limit)).hits
            assert ((_KEY, 1), limit) == (places_of(Hits(hits=hits))[0], len(hits))

    @pytest.mark.parametrize(
        "query,said,others",
        [
            ("c++", "I write C++ now", "a letter c"),
            ("c#", "in C#, too", "c++ and c"),
            ("--force", "push --force it", "force, -force and the-force"),
            ("git --dry-run", "with --dry-run in git", "git, a dry run"),
            ("#urgent", "this is #Urgent.", "urgent ##urgent"),
            ("@alice", "(@alice) said", "alice@example.com alice"),
            (".env", "in .env.local", "env node.env"),
            ("__init__", "the __init__ method", "init _init"),
            ("#緊急", "これは #緊急", "緊急"),
            ("$HOME", "cd ＄home $home", "home"),
            ("50%", "by 50%", "50"),
        ],
    )
    def test_search_prefers_words_with_their_marks(self, store: Store, query: str, said: str, others: str) -> None:
        """A message with the marks of the query comes before newer ones without them, and all of them are found."""
        store.append(_KEY, [draft(said, 0)])
        for n in range(60):
            store.append(f"api:other{n}", [draft(others, 100 + n), draft(f"so {others}", 99)])
        for unit in ("session", "message"):
            for sent in (query, f"{query} "):
                hits = store.search(search_for(sent, limit=200, unit=unit)).hits
                assert ((_KEY, 1), 61 if unit == "session" else 121) == (places_of(Hits(hits=hits))[0], len(hits))

    @pytest.mark.parametrize(
        "query,others",
        [("books ", "book booking"), ("books", "book bookstore"), ("prim", "primes"), ("книги", "книга")],
    )
    def test_search_prefers_the_form_as_typed(self, store: Store, query: str, others: str) -> None:
        """For a single word, messages with its own form come before newer ones with its relatives."""
        store.append(_KEY, [draft(f"some {query} here", 0), draft("horse")])
        for n in range(60):
            store.append(f"api:other{n}", [draft(others, 100 + n)])
        hits = store.search(search_for(query, limit=200))
        assert ((_KEY, 1), 61) == (places_of(hits)[0], len(hits.hits))

    def test_search_prefers_what_was_said_in_long_messages(self, store: Store) -> None:
        """Long messages with the exact words come first, too; the first eight of ten words are not enough."""
        long = " lorem ipsum" * 2000
        store.append(
            _KEY, [draft(f"Oh let it be now{long}", 0), draft(f"one two three four five six seven eight{long}", 1)]
        )
        for n in range(20):
            store.append(
                f"api:other{n}", [draft(f"let be it{long}", 100 + n), draft("let", 200), draft("nine ten", 300)]
            )
        assert (_KEY, 1) == places_of(store.search(search_for("let it be ")))[0]
        assert (_KEY, 1) == places_of(store.search(search_for("will oh let it be now?")))[0]
        hits = store.search(search_for("one two three four five six seven eight nine ten "))
        assert ("any", 20) == (hits.mode, len(hits.hits))

    @pytest.mark.parametrize("unit", ["session", "message"])
    def test_search_with_a_question_and_a_smaller_limit(self, store: Store, unit: Unit) -> None:
        """A smaller limit returns the first hits of a larger one, also if some hits have every term."""
        for n in range(20):
            store.append(
                f"api:{n}", [draft("a zebra sleeps", n), draft("the horse", n), draft("a horse, a zebra", n)][n % 3 :]
            )
        every = places_of(store.search(search_for("Where does a zebra meet the horse?", unit=unit, limit=30)))
        for limit in (1, 2, 5, 11, 29):
            shown = places_of(store.search(search_for("Where does a zebra meet the horse?", unit=unit, limit=limit)))
            assert every[:limit] == shown

    @pytest.fixture
    def reference(self) -> Iterator[Store]:
        """Return the reference store; what stores the messages of a test in another form needs one behind the same."""
        with closing(opened_at(store_address("memory:"), StoreOptions())) as reference:
            yield reference

    @pytest.mark.parametrize("unit", ["session", "message"])
    @pytest.mark.parametrize("seed", [1, 2])
    def test_search_ranks_as_the_reference(self, store: Store, reference: Store, unit: Unit, seed: int) -> None:
        """In random talk a search has the hits of the reference store, in its order: the weights are the same."""
        chance = random.Random(seed)  # noqa: S311 - talk, no secret
        for number in range(25):
            said = [
                draft(" ".join(chance.choices(_WORDS, range(len(_WORDS), 0, -1), k=chance.randint(1, 9))), at)
                for at in sorted(chance.sample(range(40), 5))
            ]
            for one in (store, reference):
                for message in said:  # one by one: a store may need a byte more for each message of a batch
                    one.append(f"api:{number}", [message])
        for query, sort in product(_QUERIES, _SORTS):
            search = search_for(query, sort=sort, unit=unit)
            expected, found = reference.search(search), store.search(search)
            assert (expected.mode, expected.hits) == (found.mode, found.hits), (query, sort)
