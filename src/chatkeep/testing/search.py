"""What `Store.search` promises."""

from __future__ import annotations

import pytest

from chatkeep.core.excerpts import EXCERPT_CHARS
from chatkeep.core.model import Hits, Mode, Revision, Role, Selection
from chatkeep.core.query import folded
from chatkeep.store.protocol import Store
from chatkeep.testing.samples import at, draft, search_for, session, talk

KEY = "api:1"
FOUND = [
    ("PRIME", "How do I find a prime number?", "prime"),
    ("cafe", "Meet me at the Café Zoë.", "Café"),
    ("CAFÉ zoe", "Meet me at the Cafe\u0301 Zoe\u0308.", "Cafe\u0301"),
    ("STRASSE", "Die Straße ist lang.", "Straße"),
    ("straße", "DIE STRASSE IST LANG.", "STRASSE"),
    ("istanbul", "İstanbul is large.", "İstanbul"),
    ("ελλαδα", "Η Ελλάδα είναι εδώ.", "Ελλάδα"),
    ("привет", "Привет, мир!", "Привет"),
    ("hello", "Ｈｅｌｌｏ, full width", "Ｈｅｌｌｏ"),
    ("books", "She lent me a book.", "book"),
    ("book", "She lent me two books.", "books"),
    ("running", "He runs every day.", "runs"),
    ("prim", "How do I find a prime number?", "prime"),
    ("c", "Only capital letters", "capital"),
    ("42", "The answer is 42.", "42"),
    ("東", "昨日は東京タワーへ行きました。", "東"),
    ("東京", "昨日は東京タワーへ行きました。", "東京"),
    ("タワ", "昨日は東京タワーへ行きました。", "タワ"),
    ("ひ", "また あした、ひるに", "ひ"),
    ("智", "我喜欢人工智能和机器学习", "智"),
    ("人工", "我喜欢人工智能和机器学习", "人工"),
    ("机器学习", "我喜欢人工智能和机器学习", "机器学习"),
    ("안", "여러분 안녕하세요", "안"),
    ("안녕", "여러분 안녕하세요", "안녕"),
    ("สวัสดี", "สวัสดีครับ", "สวัสดี"),
    ("שלום", "שלום עולם", "שלום"),
    ("مرحبا", "مرحبا بالعالم", "مرحبا"),
    ("हिन्दी", "मैं हिन्दी बोलता हूँ", "हिन्दी"),
    ('"quick brown"', "The quick brown fox", "quick brown"),
    ("foo:bar", "set foo:bar to 1", "foo:bar"),
    ("user@example.com", "write to user@example.com today", "user@example.com"),
    ("c++", "I write C++ and Rust", "C"),
    ('"', None, ""),
    ("*", None, ""),
    ("(", None, ""),
    ("%", None, ""),
    ("_", None, ""),
    ("- + ~ ^ : ; ' \\ /", None, ""),
]
PLAIN = [
    '"unbalanced',
    "(unbalanced",
    "unbalanced)",
    "unbalanced*",
    "*unbalanced",
    "-unbalanced",
    "^unbalanced",
    "unbalanced:",
    "{unbalanced}",
    "unbalanced%",
    "unbalanced\\",
    "'unbalanced'; --",
]
OPERATORS = [
    "AND",
    "OR",
    "NOT",
    "NEAR",
    "NEAR(alpha omega)",
    "alpha AND omega",
    "alpha NOT omega",
    "foo:bar",
    "title:x",
]


class SearchContract:
    """What was said is found, in every script and by any text; what is gone is not."""

    @pytest.mark.parametrize("query,text,hit", FOUND)
    def test_search_finds(self, store: Store, query: str, text: str | None, hit: str) -> None:
        """Case, accents, width and word endings do not matter; every script is searched; marks are no words."""
        store.append(KEY, [draft(text or "all of it: \" * ( % _ - + ~ ^ : ; ' \\ /")])
        store.append("api:2", [draft("Nothing to see")])
        hits = store.search(search_for(query))
        if text is None:
            assert () == hits.hits
        else:
            assert [KEY] == [found.key for found in hits.hits]
            assert hit == _slices(hits)[0]
            assert "all" == hits.mode

    @pytest.mark.parametrize(
        "query,text",
        [
            ('"brown quick"', "The quick brown fox"),
            ("東北", "昨日は東京タワーへ、北へ"),
            ("bar:foo", "set foo:bar to 1"),
            ("prim ", "How do I find a prime number?"),
            ('"prim"', "How do I find a prime number?"),
            ("rime", "How do I find a prime number?"),
        ],
    )
    def test_search_does_not_find(self, store: Store, query: str, text: str) -> None:
        """Neighbours must be neighbours in their order, and only the last word typed may go on."""
        store.append(KEY, [draft(text)])
        assert () == store.search(search_for(query)).hits

    @pytest.mark.parametrize("query", PLAIN)
    def test_search_for_plain_text(self, store: Store, query: str) -> None:
        """No character of a query is an operator: the words around it are found."""
        store.append(KEY, [draft("an unbalanced budget")])
        assert ["unbalanced"] == _slices(store.search(search_for(query)))

    @pytest.mark.parametrize("query", OPERATORS)
    def test_search_for_the_words_of_operators(self, store: Store, query: str) -> None:
        """No word of a query is an operator: it is found like any other."""
        store.append(KEY, [draft(f"They wrote {query} there")])
        hits = store.search(search_for(f"{query} "))
        assert ([KEY], "all") == ([hit.key for hit in hits.hits], hits.mode)

    def test_search_with_all_terms(self, store: Store) -> None:
        """While a message has every term, one that has only some is not answered."""
        store.append("api:both", [draft("a prime number in Python")])
        store.append("api:one", [draft("a python in the garden")])
        hits = store.search(search_for("python prime"))
        assert ("all", ["api:both"]) == (hits.mode, [hit.key for hit in hits.hits])

    def test_search_with_any_term(self, store: Store) -> None:
        """When no message has every term, those that have one are answered, and the mode says so."""
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
        """A hit says where it is, what it shows and what its session is."""
        store.append("telegram:9", [draft("Say something", 1), draft("A zebra! Zebras!", 2, id="z", role="assistant")])
        hit = store.search(search_for("zebra")).hits[0]
        assert ("telegram:9", "telegram", "Say something") == (hit.key, hit.channel, hit.title)
        assert (2, "z", "assistant", at(2), 1) == (hit.seq, hit.message_id, hit.role, hit.updated_at, hit.match_count)
        assert ("A zebra! Zebras!", ((2, 7), (9, 15))) == (hit.excerpt, hit.highlights)

    def test_search_excerpt(self, store: Store) -> None:
        """Of a long message, the piece with the hit is shown."""
        store.append(KEY, [draft(f"{'много слов ' * 400}ZEBRA 🎉 {'more words ' * 400}")])
        hits = store.search(search_for("zebra"))
        assert ["ZEBRA"] == _slices(hits)
        assert len(hits.hits[0].excerpt) <= 2 * EXCERPT_CHARS

    def test_search_one_hit_per_session(self, store: Store) -> None:
        """A session is answered once, however many of its messages match, and tells how many do."""
        for key, count in (("api:1", 3), ("api:2", 1)):
            store.append(key, [draft("zebra", n) for n in range(count)] + [draft("horse")])
        hits = store.search(search_for("zebra")).hits
        assert {"api:1": 3, "api:2": 1} == {hit.key: hit.match_count for hit in hits}
        assert 2 == len(hits)

    def test_search_messages(self, store: Store) -> None:
        """By message, every match is answered, and the limit counts messages."""
        store.append("api:1", [draft("zebra", 1), draft("horse", 2), draft("zebra", 3)])
        store.append("api:2", [draft("zebra", 2)])
        hits = store.search(search_for("zebra", unit="message", sort="recent")).hits
        assert [("api:1", 3), ("api:2", 1), ("api:1", 1)] == [(hit.key, hit.seq) for hit in hits]
        assert 2 == len(store.search(search_for("zebra", unit="message", limit=2)).hits)

    def test_search_recent(self, store: Store) -> None:
        """By time, the newest match comes first and stands for its session."""
        store.append("api:1", [draft("zebra", 1), draft("zebra zebra", 5), draft("horse", 100)])
        store.append("api:2", [draft("zebra zebra zebra", 9)])
        store.append("api:3", [draft("zebra", 7)])
        hits = store.search(search_for("zebra", sort="recent")).hits
        assert [("api:2", 1), ("api:3", 1), ("api:1", 2)] == [(hit.key, hit.seq) for hit in hits]
        assert ["api:2"] == [hit.key for hit in store.search(search_for("zebra", sort="recent", limit=1)).hits]

    def test_search_limit(self, store: Store) -> None:
        """No more sessions are answered than asked for."""
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
        """Only messages of the roles asked for are searched."""
        spoken: tuple[Role, ...] = ("system", "user", "assistant", "tool", "developer")
        store.append(KEY, [draft("zebra", role=role) for role in spoken])
        hits = store.search(search_for("zebra", roles=roles, unit="message")).hits
        assert seqs == sorted(hit.seq for hit in hits)

    def test_search_times(self, store: Store) -> None:
        """`since` is inclusive, `until` is not; they are times of messages."""
        store.append(KEY, [draft("zebra", n) for n in range(1, 6)])
        hits = store.search(search_for("zebra", since=at(2), until=at(4), unit="message")).hits
        assert [2, 3] == sorted(hit.seq for hit in hits)
        assert 2 == store.search(search_for("zebra", since=at(4))).hits[0].match_count
        assert 3 == store.search(search_for("zebra", until=at(4))).hits[0].match_count
        assert () == store.search(search_for("zebra", since=at(6))).hits

    def test_search_selection(self, store: Store) -> None:
        """Only sessions of the selection are searched; others do not even decide the mode."""
        store.merge(session("a:1", [draft("zebra")]))
        store.merge(session("a:2", [draft("zebra")], channel="fax"))
        store.merge(session("b:1", [draft("zebra horse")]))
        for selection, expected in [
            (Selection(archived=None), ["a:1", "a:2", "b:1"]),
            (Selection(prefixes=("a:",)), ["a:1", "a:2"]),
            (Selection(prefixes=("a:", "a:2")), ["a:2"]),
            (Selection(prefixes=("a:", "b:")), []),
            (Selection(channel="fax"), ["a:2"]),
        ]:
            hits = store.search(search_for("zebra", selection=selection)).hits
            assert expected == sorted(hit.key for hit in hits)
        mode: Mode = store.search(search_for("zebra horse", selection=Selection(prefixes=("a:",)))).mode
        assert "any" == mode

    def test_search_archived(self, store: Store) -> None:
        """Archived sessions are found, unless the selection leaves them out."""
        store.append(KEY, [draft("zebra")])
        store.revise(KEY, Revision(archived=True))
        assert [KEY] == [hit.key for hit in store.search(search_for("zebra")).hits]
        assert () == store.search(search_for("zebra", selection=Selection(archived=False))).hits

    def test_search_right_after_append(self, store: Store) -> None:
        """A message is found as soon as its append was answered."""
        for n in range(20):
            store.append(KEY, [draft(f"word{n}x")])
            assert [n + 1] == [hit.seq for hit in store.search(search_for(f"word{n}x ")).hits]

    def test_search_is_of_messages(self, store: Store) -> None:
        """Text is searched, content parts too; titles, ids, names and tool calls are not."""
        parts = [{"type": "text", "text": "a zebra"}, {"type": "image_url", "image_url": {"url": "giraffe"}}]
        called = draft(None, role="assistant", tool_calls=[{"function": {"name": "hippo"}}])
        store.append(KEY, [draft(parts), called, draft("Hello", id="lion", name="tiger")])
        store.revise(KEY, Revision(title="Rhino"))
        for word in ("giraffe", "hippo", "lion", "tiger", "rhino"):
            assert () == store.search(search_for(word)).hits
        hits = store.search(search_for("zebra"))
        assert (["zebra"], "Rhino") == (_slices(hits), hits.hits[0].title)

    def test_search_does_not_cross_messages(self, store: Store) -> None:
        """A phrase lies within one message."""
        store.append(KEY, [draft("the quick"), draft("brown fox")])
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
        """A word that is everywhere is found everywhere."""
        for n in range(5):
            store.append(f"api:{n}", talk(20))
        hits = store.search(search_for("line ")).hits
        assert [20] * 5 == [hit.match_count for hit in hits]

    def test_search_highlights_every_term(self, store: Store) -> None:
        """Each highlight folds to what was asked for, in the order of the text."""
        store.append(KEY, [draft("Ein CAFÉ, zwei Cafés: die Straße am Café")])
        slices = _slices(store.search(search_for("strasse cafe")))
        assert ["cafe", "cafes", "strasse", "cafe"] == [folded(each) for each in slices]


def _slices(hits: Hits) -> list[str]:
    return [hit.excerpt[start:end] for hit in hits.hits for start, end in hit.highlights]
