"""The promises of `Store.search`."""

from __future__ import annotations

import pytest

from chatkeep.core.model import Mode, Revision, Selection
from chatkeep.core.search.highlighter import EXCERPT_CHARS
from chatkeep.core.search.words import folded
from chatkeep.core.standing import Role
from chatkeep.store.protocol import Store
from chatkeep.testing.samples import at, draft, places_of, search_for, session, slices_of, talk

_KEY = "api:1"


class SearchContract:
    """A search finds stored messages that pass its filters; it never finds deleted ones."""

    def test_search_with_all_terms(self, store: Store) -> None:
        """If a message has every term, messages with only some are not hits."""
        store.append("api:both", [draft("a prime number in Python")])
        store.append("api:one", [draft("a python in the garden")])
        hits = store.search(search_for("python prime"))
        assert ("all", ["api:both"]) == (hits.mode, [hit.key for hit in hits.hits])

    def test_search_with_any_term(self, store: Store) -> None:
        """If no message has every term, messages with some are hits, and the mode is `any`."""
        store.append("api:1", [draft("a prime number"), draft("a python")])
        store.append("api:2", [draft("a zebra")])
        hits = store.search(search_for("python prime "))
        assert ("any", ["api:1"], [2]) == (
            hits.mode,
            [hit.key for hit in hits.hits],
            [hit.match_count for hit in hits.hits],
        )

    def test_search_with_a_question(self, store: Store) -> None:
        """A question in plain words finds its answer."""
        store.append("api:1", [draft("The meeting moved to Thursday in the blue room.", role="assistant")])
        store.append("api:2", [draft("Bananas are yellow.", role="assistant")])
        assert "api:1" == store.search(search_for("What room is the meeting in now?")).hits[0].key

    def test_search_hit(self, store: Store) -> None:
        """A hit has its place, its excerpt with highlights, and its session."""
        store.append("telegram:9", [draft("Say something", 1), draft("A zebra! Zebras!", 2, id="z", role="assistant")])
        hit = store.search(search_for("zebra")).hits[0]
        assert ("telegram:9", "telegram", "Say something") == (hit.key, hit.channel, hit.title)
        assert (2, "z", "assistant", at(2), 1) == (hit.seq, hit.message_id, hit.role, hit.updated_at, hit.match_count)
        assert ("A zebra! Zebras!", ((2, 7), (9, 15))) == (hit.excerpt, hit.highlights)

    def test_search_excerpt(self, store: Store) -> None:
        """The excerpt of a long message is the piece around the match."""
        store.append(_KEY, [draft(f"{'много слов ' * 400}ZEBRA 🎉 {'more words ' * 400}")])
        hits = store.search(search_for("zebra"))
        assert ["ZEBRA"] == slices_of(hits)
        assert len(hits.hits[0].excerpt) <= 2 * EXCERPT_CHARS

    def test_search_one_hit_per_session(self, store: Store) -> None:
        """A session has one hit with the count of its matches."""
        for key, count in (("api:1", 3), ("api:2", 1)):
            store.append(key, [draft("zebra", n) for n in range(count)] + [draft("horse")])
        hits = store.search(search_for("zebra")).hits
        assert {"api:1": 3, "api:2": 1} == {hit.key: hit.match_count for hit in hits}
        assert 2 == len(hits)

    def test_search_messages(self, store: Store) -> None:
        """With `unit="message"`, every match is a hit, and the limit counts messages."""
        store.append("api:1", [draft("zebra", 1), draft("horse", 2), draft("zebra", 3)])
        store.append("api:2", [draft("zebra", 2)])
        hits = store.search(search_for("zebra", unit="message", sort="recent")).hits
        assert [("api:1", 3), ("api:2", 1), ("api:1", 1)] == [(hit.key, hit.seq) for hit in hits]
        assert 2 == len(store.search(search_for("zebra", unit="message", limit=2)).hits)

    def test_search_recent(self, store: Store) -> None:
        """With `sort="recent"`, the newest match comes first, as the hit of its session."""
        store.append("api:1", [draft("zebra", 1), draft("zebra zebra", 5), draft("horse", 100)])
        store.append("api:2", [draft("zebra zebra zebra", 9)])
        store.append("api:3", [draft("zebra", 7)])
        hits = store.search(search_for("zebra", sort="recent")).hits
        assert [("api:2", 1), ("api:3", 1), ("api:1", 2)] == [(hit.key, hit.seq) for hit in hits]
        assert ["api:2"] == [hit.key for hit in store.search(search_for("zebra", sort="recent", limit=1)).hits]

    def test_search_limit(self, store: Store) -> None:
        """The limit bounds the number of sessions."""
        for n in range(25):
            store.append(f"api:{n}", [draft("zebra", n)])
        assert 20 == len(store.search(search_for("zebra")).hits)
        assert 25 == len(store.search(search_for("zebra", limit=50)).hits)

    @pytest.mark.parametrize(
        "roles,seqs",
        [
            (("user", "assistant"), [2, 3]),
            (("user",), [2]),
            (("tool",), [4]),
            (("system",), [1]),
            (None, [1, 2, 3, 4, 5]),
        ],
    )
    def test_search_roles(self, store: Store, roles: tuple[Role, ...] | None, seqs: list[int]) -> None:
        """Only messages of the given roles are searched."""
        spoken: tuple[Role, ...] = ("system", "user", "assistant", "tool", "developer")
        store.append(_KEY, [draft("zebra", role=role) for role in spoken])
        hits = store.search(search_for("zebra", roles=roles, unit="message")).hits
        assert seqs == sorted(hit.seq for hit in hits)

    def test_search_times(self, store: Store) -> None:
        """`since` is inclusive, `until` is exclusive; both are times of messages."""
        store.append(_KEY, [draft("zebra", n) for n in range(1, 6)])
        hits = store.search(search_for("zebra", since=at(2), until=at(4), unit="message")).hits
        assert [2, 3] == sorted(hit.seq for hit in hits)
        assert 2 == store.search(search_for("zebra", since=at(4))).hits[0].match_count
        assert 3 == store.search(search_for("zebra", until=at(4))).hits[0].match_count
        assert () == store.search(search_for("zebra", since=at(6))).hits

    def test_search_selection(self, store: Store) -> None:
        """Only sessions of the selection are searched; others do not even affect the mode."""
        store.merge(session("a:1", [draft("zebra")]))
        store.merge(session("a:2", [draft("zebra")], channel="fax", tags=("y", "x")))
        store.merge(session("b:1", [draft("zebra horse")], pinned=True, tags=("x",)))
        for selection, expected in [
            (Selection(archived=None), ["a:1", "a:2", "b:1"]),
            (Selection(prefixes=("a:",)), ["a:1", "a:2"]),
            (Selection(prefixes=("a:", "a:2")), ["a:2"]),
            (Selection(prefixes=("a:", "b:")), []),
            (Selection(channel="fax"), ["a:2"]),
            (Selection(pinned=True), ["b:1"]),
            (Selection(pinned=False), ["a:1", "a:2"]),
            (Selection(tags=("x",)), ["a:2", "b:1"]),
            (Selection(tags=("x", "y")), ["a:2"]),
            (Selection(tags=("x",), prefixes=("b:",)), ["b:1"]),
            (Selection(tags=("z",)), []),
        ]:
            hits = store.search(search_for("zebra", selection=selection)).hits
            assert expected == sorted(hit.key for hit in hits)
        mode: Mode = store.search(search_for("zebra horse", selection=Selection(prefixes=("a:",)))).mode
        assert "any" == mode

    def test_search_in_one_session(self, store: Store) -> None:
        """A search in one session finds all of its matches, and none of sessions with longer keys."""
        for n in range(40):
            store.append(f"{_KEY}{n}", [draft("zebra", 100 + n), draft("horse", 200)])
        store.append(_KEY, [draft("zebra", 1), draft("horse", 2), draft("a zebra", 3)])
        for asked in (
            search_for("zebra", session=_KEY, unit="message", sort="recent", limit=2),
            search_for("the zebra ", session=_KEY, unit="message"),
        ):
            assert {(_KEY, 1), (_KEY, 3)} == set(places_of(store.search(asked)))
        assert () == store.search(search_for("zebra", session="api:", unit="message")).hits
        assert () == store.search(search_for("zebra", session=_KEY, selection=Selection(prefixes=("x",)))).hits

    def test_search_archived(self, store: Store) -> None:
        """Archived sessions are searched, unless the selection excludes them."""
        store.append(_KEY, [draft("zebra")])
        store.revise(_KEY, Revision(archived=True))
        assert [_KEY] == [hit.key for hit in store.search(search_for("zebra")).hits]
        assert () == store.search(search_for("zebra", selection=Selection(archived=False))).hits

    def test_search_right_after_append(self, store: Store) -> None:
        """A message is found as soon as its append returns."""
        for n in range(20):
            store.append(_KEY, [draft(f"word{n}x")])
            assert [n + 1] == [hit.seq for hit in store.search(search_for(f"word{n}x ")).hits]

    def test_search_is_of_messages(self, store: Store) -> None:
        """Text and content parts are searched; ids and the names of people are not."""
        parts = [{"type": "text", "text": "a zebra"}, {"type": "image_url", "image_url": {"url": "giraffe"}}]
        store.append(_KEY, [draft(parts), draft("Hello", id="lion", name="tiger")])
        store.revise(_KEY, Revision(title="Rhino"))
        for word in ("giraffe", "lion", "tiger"):
            assert () == store.search(search_for(word, roles=None)).hits
        hits = store.search(search_for("zebra"))
        assert (["zebra"], "Rhino") == (slices_of(hits), hits.hits[0].title)

    def test_search_does_not_cross_messages(self, store: Store) -> None:
        """A phrase matches only within one message."""
        store.append(_KEY, [draft("the quick"), draft("brown fox")])
        assert () == store.search(search_for('"quick brown"')).hits

    def test_search_after_change(self, store: Store) -> None:
        """Deleted sessions are not found; revised and merged ones are found once."""
        store.append("api:1", [draft("zebra")])
        store.append("api:2", [draft("zebra")])
        store.delete("api:1")
        assert ["api:2"] == [hit.key for hit in store.search(search_for("zebra")).hits]
        store.revise("api:2", Revision(title="Mine"))
        store.merge(session("api:2", [draft("horse")]))
        hits = store.search(search_for("zebra", unit="message")).hits
        assert [("api:2", 1, "Mine")] == [(hit.key, hit.seq, hit.title) for hit in hits]

    def test_search_counts_common_words(self, store: Store) -> None:
        """A word in every message is found in every message."""
        for n in range(5):
            store.append(f"api:{n}", talk(20))
        hits = store.search(search_for("line ")).hits
        assert [20] * 5 == [hit.match_count for hit in hits]

    def test_search_highlights_every_term(self, store: Store) -> None:
        """Each highlight folds to a word of the query, or an inflection; highlights are in the order of the text."""
        store.append(_KEY, [draft("Ein CAFÉ, zwei Cafés: die Straße am Café")])
        slices = slices_of(store.search(search_for("strasse cafe")))
        assert ["cafe", "cafes", "strasse", "cafe"] == [folded(each) for each in slices]

    def test_search_without_stop_words(self, store: Store) -> None:
        """Stop words of a query are ignored if other words remain, and searched if none does."""
        store.append("api:1", [draft("room seven")])
        store.append("api:2", [draft("Is this the one that you are in?")])
        hits = store.search(search_for("Which is the room that you are in?"))
        assert ("all", ["api:1"]) == (hits.mode, [hit.key for hit in hits.hits])
        hits = store.search(search_for("is the "))
        assert ("all", ["api:2"]) == (hits.mode, [hit.key for hit in hits.hits])

    def test_search_with_a_question_mode(self, store: Store) -> None:
        """A question with too few full matches gets partial ones after them, and the mode is `any`."""
        store.append("api:all", [draft("Where did the zebra sleep yesterday? It did sleep.")])
        store.append("api:some", [draft("The zebra stayed in the stable.")])
        hits = store.search(search_for("Where did the zebra sleep yesterday?"))
        assert ("any", ["api:all", "api:some"]) == (hits.mode, [hit.key for hit in hits.hits])
        hits = store.search(search_for("Where did the zebra sleep yesterday?", limit=1))
        assert ("all", ["api:all"]) == (hits.mode, [hit.key for hit in hits.hits])
        hits = store.search(search_for("zebra sleep yesterday "))
        assert ("all", ["api:all"]) == (hits.mode, [hit.key for hit in hits.hits])

    @pytest.mark.parametrize("query", ["zebra", "the zebra ", '"common zebra"', "zebra common", "z", "斑马"])
    def test_search_with_a_filter_among_many(self, store: Store, query: str) -> None:
        """A filter loses no hit, however many messages match outside it."""
        common = "a common zebra 斑马"
        for n in range(30):
            store.append(f"out:{n}", [draft(common, 1000 + 50 * n + m) for m in range(40)])
        for n in range(6):
            said = [draft("a horse", n), draft(common, 100 + n), draft(common, 200 + n, role="tool")]
            store.append(f"in:{n}", said, channel="fax")
        inside = {f"in:{n}" for n in range(6)}
        for asked in (
            search_for(query, selection=Selection(channel="fax")),
            search_for(query, selection=Selection(prefixes=("in:",))),
            search_for(query, selection=Selection(prefixes=("in:", "in")), unit="message"),
            search_for(query, roles=("tool",), limit=6),
            search_for(query, roles=("tool",), limit=6, sort="recent"),
            search_for(query, until=at(150)),
            search_for(query, since=at(100), until=at(150), sort="recent"),
            search_for(query, since=at(100), until=at(150), unit="message"),
        ):
            hits = store.search(asked).hits
            assert inside == {hit.key for hit in hits}
            assert 6 == len(hits)

    def test_search_recent_out_of_order(self, store: Store) -> None:
        """The newest messages come first, whatever their order of arrival."""
        times = [(37 * n) % 101 for n in range(100)]
        for n, time in enumerate(times):
            store.append(f"api:{n % 9}", [draft("zebra" if time % 3 else "horse", time, id=f"id-{time}")])
        expected = [f"id-{time}" for time in sorted(times, reverse=True) if time % 3]
        for limit in (1, 10, 100):
            hits = store.search(search_for("zebra", sort="recent", unit="message", limit=limit)).hits
            assert expected[:limit] == [hit.message_id for hit in hits]

    def test_search_match_counts(self, store: Store) -> None:
        """A hit counts the matches in its session, within the filters and by the same mode."""
        said = [draft("zebra and horse"), draft("zebra"), draft("horse"), draft("zebras", role="tool"), draft("none")]
        store.append(_KEY, said)
        for query, roles, unit, expected in [
            ("zebra horse", None, "session", [1]),
            ("zebra", None, "session", [3]),
            ("zebra", ("user",), "session", [2]),
            ("zebra", None, "message", [3, 3, 3]),
            ("zebra giraffe ", None, "session", [3]),
            ("Which zebra, which horse?", None, "session", [4]),
        ]:
            hits = store.search(search_for(query, roles=roles, unit=unit)).hits  # type: ignore[arg-type]
            assert expected == [hit.match_count for hit in hits]

    def test_search_right_after_change(self, store: Store) -> None:
        """A search shows a delete, a new title or an append as soon as the write returns."""
        for n in range(10):
            key = f"api:{n}"
            store.append(key, [draft(f"zebra{n}x")])
            store.revise(key, Revision(title=f"Title {n}"))
            assert [f"Title {n}"] == [hit.title for hit in store.search(search_for(f"zebra{n}x ")).hits]
            store.delete(key)
            assert () == store.search(search_for(f"zebra{n}x ")).hits
            store.append(key, [draft(f"horse{n}x")])
            assert () == store.search(search_for(f"zebra{n}x ")).hits
            assert [1] == [hit.seq for hit in store.search(search_for(f"horse{n}")).hits]
