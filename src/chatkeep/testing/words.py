"""The promises of `Store.search` about words: what a query finds in a text, in every script."""

from __future__ import annotations

import pytest

from chatkeep.store.protocol import Store
from chatkeep.testing.samples import draft, search_for, slices_of

_KEY = "api:1"
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
    ("ガラス", "ｶﾞﾗｽのコップ", "ｶﾞﾗｽ"),
    ("น้ำ", "ดื่มน้ำเย็น", "น้ำ"),
    ("ำเย", "ดื่มน้ำเย็น", "ำเย"),
    ("ຄຳ", "ຖອດຄຳເວົ້າ", "ຄຳ"),
    ("하세", "여러분 안녕하세요", "하세"),
    ("🎉", "We won! 🎉🎉", "🎉"),
    ("👩", "A family 👨\u200d👩\u200d👧 here", "👩"),
    ("👨\u200d👩\u200d👧", "A family 👨\u200d👩\u200d👧 here", "👨\u200d👩\u200d👧"),
    ("🇩🇪", "from🇩🇪to🇫🇷", "🇩🇪"),
    ("👍", "fine 👍🏽!", "👍🏽"),
    ("👍🏿", "fine 👍🏽!", "👍🏽"),
    ("❤", "with ❤\ufe0f", "❤\ufe0f"),
    ("snake_case_name", "call snake_case_name(1)", "snake_case_name"),
    ("case", "call snake_case_name(1)", "case"),
    ("snake_case", "call snake_case_name(1)", "snake_case"),
    ("case_na", "call snake_case_name(1)", "case_name"),
    ("getUserName", "call getUserName(1)", "getUserName"),
    ("getusern", "call getUserName(1)", "getUserName"),
    ("user ", "call getUserName(1)", "User"),
    ("userna", "call user_name(1) for username", "username"),
    ('"user name"', "call getUserName(1)", "UserName"),
    ("server ", "an HTTPServer runs", "Server"),
    ("src/core/words.py", "see /work/src/core/words.py:12", "src/core/words.py"),
    ("core/words", "see /work/src/core/words.py:12", "core/words"),
    ("words.py", "see /work/src/core/words.py:12", "words.py"),
    ("C:\\Windows", "in C:\\Windows\\System32", "C:\\Windows"),
    ("ERR_CONN_RESET", "failed: ERR_CONN_RESET (1)", "ERR_CONN_RESET"),
    ("conn_reset ", "failed: ERR_CONN_RESET (1)", "CONN_RESET"),
    ("E1234", "error[E1234]: no", "E1234"),
    ("1234", "error[E1234]: no", "1234"),
    ("0x80070005", "failed with 0x80070005.", "0x80070005"),
    ("80070005", "failed with 0x80070005.", "80070005"),
    ("18.19", "runs on node v18.19.0", "18.19"),
    ("1.2.3-beta.4 ", "tagged v1.2.3-beta.4 today", "1.2.3-beta.4"),
    ("10:30", "at 2024-01-15T10:30:00Z", "10:30"),
    ("pool", "getUserNameFromTheDatabaseConnectionPoolManager()", "Pool"),
    ("O'Neill's", "we met O\u2019Neill", "O\u2019Neill"),
    ("mother-in-law's", "his mother-in-law", "mother-in-law"),
    ("the zebra", "A zebra came", "zebra"),
    ("what about the zebras? ", "A zebra came", "zebra"),
    ("zebra's", "Two zebras came", "zebras"),
    ("the", "There is the thing", "There"),
    ('"the thing"', "There is the thing", "the thing"),
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


class WordContract:
    """A search finds words in every script, whatever the query."""

    @pytest.mark.parametrize("query,text,hit", FOUND)
    def test_search_finds(self, store: Store, query: str, text: str | None, hit: str) -> None:
        """Case, accents, width and inflection do not matter; every script is searchable; signs are no words."""
        store.append(_KEY, [draft(text or "all of it: \" * ( % _ - + ~ ^ : ; ' \\ /")])
        store.append("api:2", [draft("Nothing to see")])
        hits = store.search(search_for(query))
        if text is None:
            assert () == hits.hits
        else:
            assert [_KEY] == [found.key for found in hits.hits]
            assert hit == slices_of(hits)[0]
            assert "all" == hits.mode

    @pytest.mark.parametrize("query,text,hit", FOUND)
    def test_search_finds_thoughts_with_every_role(self, store: Store, query: str, text: str | None, hit: str) -> None:
        """Only a search for every role finds a model's reasoning, by the same rules as its answers."""
        store.append(_KEY, [draft(f"<think>{text}</think>§", role="assistant")])
        assert () == store.search(search_for(query)).hits
        assert () == store.search(search_for(query, roles=("assistant",))).hits
        if text is not None:
            assert hit == slices_of(store.search(search_for(query, roles=None)))[0]

    @pytest.mark.parametrize(
        "query,text",
        [
            ('"brown quick"', "The quick brown fox"),
            ("東北", "昨日は東京タワーへ、北へ"),
            ("bar:foo", "set foo:bar to 1"),
            ("prim ", "How do I find a prime number?"),
            ('"prim"', "How do I find a prime number?"),
            ("rime", "How do I find a prime number?"),
            ('"prime numbers"', "How do I find a prime number?"),
            ('"books"', "She lent me a book."),
            ('"book"', "She lent me two books."),
            ("find.books ", "Where to find. Book here!"),
            ("智人", "我喜欢人工智能"),
            ("人工智", "人工，智能"),
            ("ำเ", "ดำ มาเ"),
            ("สวด", "สวัสดี"),
            ("녕안", "여러분 안녕하세요"),
            ("🇪🇫", "from 🇩🇪 and 🇫🇷"),
            ("👧\u200d👩", "A family 👨\u200d👩\u200d👧 here"),
            ("case_snake", "call snake_case_name(1)"),
            ('"get name"', "call getUserName(1)"),
            ("sername", "call getUserName(1)"),
        ],
    )
    def test_search_does_not_find(self, store: Store, query: str, text: str) -> None:
        """A phrase matches neighbours in their order, and only the last word of a query is a prefix."""
        store.append(_KEY, [draft(text)])
        assert () == store.search(search_for(query)).hits

    @pytest.mark.parametrize("query", PLAIN)
    def test_search_for_plain_text(self, store: Store, query: str) -> None:
        """No character of a query is an operator: the words around it match."""
        store.append(_KEY, [draft("an unbalanced budget")])
        assert ["unbalanced"] == slices_of(store.search(search_for(query)))

    @pytest.mark.parametrize("query", OPERATORS)
    def test_search_for_the_words_of_operators(self, store: Store, query: str) -> None:
        """No word of a query is an operator: it matches like any other."""
        store.append(_KEY, [draft(f"They wrote {query} there")])
        hits = store.search(search_for(f"{query} "))
        assert ([_KEY], "all") == ([hit.key for hit in hits.hits], hits.mode)

    @pytest.mark.parametrize(
        "text", ["我喜欢人工智能和机器学习", "昨日は東京タワーへ", "สวัสดีครับน้ำ", "여러분안녕하세요"]
    )
    def test_search_finds_every_piece(self, store: Store, text: str) -> None:
        """In scripts without spaces, every piece of a text finds this text, and no text without the piece."""
        store.append(_KEY, [draft(f"({text})")])
        store.append("api:2", [draft(text[::-1])])
        for length in (1, 2, 3, 5):
            for start in range(len(text) - length + 1):
                piece = text[start : start + length]
                expected = {_KEY, "api:2"} if piece in text[::-1] else {_KEY}
                assert expected == {hit.key for hit in store.search(search_for(piece)).hits}

    @pytest.mark.parametrize("typed", ["z", "ze", "zeb", "zebr", "Ze*", "stripy z", "stripy zebr"])
    def test_search_as_you_type(self, store: Store, typed: str) -> None:
        """The last word is a prefix, of one letter or more."""
        store.append(_KEY, [draft("A stripy zebra")])
        store.append("api:2", [draft("A stripy horse")])
        hits = store.search(search_for(typed))
        assert ([_KEY], "all") == ([hit.key for hit in hits.hits], hits.mode)
        assert "zebra" in slices_of(hits)

    def test_search_for_a_beginning_of_many_words(self, store: Store) -> None:
        """A prefix of very many words finds all of them, and the exact word."""
        for n in range(150):
            store.append(f"api:{n}", [draft(f"x{n:03} zebra", n)])
        store.append("api:x", [draft("x")])
        assert 151 == len(store.search(search_for("x", limit=200)).hits)
        assert ["api:7"] == [hit.key for hit in store.search(search_for("zebra x007")).hits]
        assert 150 == len(store.search(search_for("zebra x", limit=200)).hits)
