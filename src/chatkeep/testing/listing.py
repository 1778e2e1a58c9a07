"""The promises of `Store.list`, `Store.keys` and `Store.status`."""

from __future__ import annotations

import pytest

from chatkeep.core.life.dropping import NewSession
from chatkeep.core.model import Json, Page, Revision, Selection
from chatkeep.errors import InvalidCursorError
from chatkeep.store.protocol import Store
from chatkeep.testing.samples import at, draft, search_for, session

EVERY = Selection(archived=None)
NOT_CURSORS = ["junk", "", "!!!", "WyJhIl0=", "ñ", "W10", "x" * 3000]


class ListContract:
    """All lists have the same order, filters and counts, and their pages fit together."""

    def test_list_empty(self, store: Store) -> None:
        """The list of an empty store is empty."""
        page = store.list(Selection(), limit=10)
        assert ((), 0, None) == (page.sessions, page.total, page.next_cursor)
        keys = store.keys(Selection())
        assert ((), 0, None) == (keys.keys, keys.total, keys.next_cursor)

    def test_list_order(self, store: Store) -> None:
        """The latest activity comes first; ties are ordered by key, by code point."""
        for key, seconds in [("b", 1), ("a", 1), ("é", 1), ("B", 1), ("old", 0), ("new", 2)]:
            store.append(key, [draft("Hello", seconds)])
        assert ["new", "B", "a", "b", "é", "old"] == _listed(store.list(Selection(), limit=10))

    def test_list_order_before_1970(self, store: Store) -> None:
        """Times are ordered to the microsecond, before and after 1970."""
        for key, seconds in [("moon", -2e9), ("now", 0), ("just now", 1e-6), ("far", 3e9)]:
            store.append(key, [draft("Hello", seconds)])
        assert ["far", "just now", "now", "moon"] == _listed(store.list(Selection(), limit=10))
        assert ["far", "just now", "now", "moon"] == _walked(store, Selection(), limit=1)

    def test_list_with_metadata(self, store: Store) -> None:
        """A list has metadata if it is asked for, in the same order."""
        for number in range(5):
            told = {"user": f"u{number}", "n": [number, None]} if number else {}
            store.create(NewSession(key=f"k{number}", metadata=told, created_at=at(number % 3)))
        page = store.list(Selection(), limit=3, metadata=True)
        rest = store.list(Selection(), limit=3, metadata=True, cursor=page.next_cursor)
        assert ["k2", "k1", "k4", "k0", "k3"] == [*_listed(page), *_listed(rest)]
        assert [store.get(key) for key in ("k2", "k1", "k4")] == list(page.sessions)
        assert [{}, {"user": "u3", "n": [3, None]}] == [one.header.metadata for one in rest.sessions]

    @pytest.mark.parametrize(
        "metadata,entry",
        [
            ({"user": "alice"}, ("user", "alice")),
            ({"user": 'é "\\ 東\n/'}, ("user", 'é "\\ 東\n/')),
            ({"a": {"b": {"c": "x"}}}, ("a.b.c", "x")),
            ({"n": 7}, ("n", "7")),
            ({"n": 1.5}, ("n", "1.5")),
            ({"n": 2**70}, ("n", f"{2**70}")),
            ({"n": True}, ("n", "true")),
            ({"n": None}, ("n", "null")),
            ({"n": ""}, ("n", "")),
            ({"日 本": "x"}, ("日 本", "x")),
        ],
    )
    def test_list_by_metadata(self, store: Store, metadata: dict[str, Json], entry: tuple[str, str]) -> None:
        """A value in the metadata chooses sessions, in lists, keys and searches."""
        others: tuple[dict[str, Json], ...] = (
            {},
            {"user": "bob", "n": "x", "a": "x"},
            {"x": metadata},
            {"user": [entry[1]], "n": {"a": 1}, "a": [1]},
        )
        for number, told in enumerate((*others, metadata)):
            hello = draft("Hello", number)
            store.create(NewSession(key=f"k{number}", metadata=told, messages=(hello,)))
        chosen = Selection(metadata=(entry,))
        page = store.list(chosen, limit=5)
        assert (["k4"], 1, ("k4",)) == (_listed(page), page.total, store.keys(chosen).keys)
        assert ["k4"] == [hit.key for hit in store.search(search_for("hello", selection=chosen)).hits]
        store.revise("k4", Revision(metadata={}, metadata_mode="replace"))
        assert () == store.keys(chosen).keys

    def test_list_by_several_entries(self, store: Store) -> None:
        """All entries must be there; a cursor belongs to its filter."""
        for key, told in (("a", {"x": "1", "y": 1}), ("b", {"x": "1"}), ("c", {"x": "1", "y": 1})):
            store.create(NewSession(key=key, metadata=told, created_at=at(0)))
        both = Selection(metadata=(("x", "1"), ("y", "1")))
        page = store.list(both, limit=1)
        assert (["a"], 2) == (_listed(page), page.total)
        assert ["c"] == _listed(store.list(both, limit=1, cursor=page.next_cursor))
        with pytest.raises(InvalidCursorError):
            store.list(Selection(metadata=(("x", "1"),)), limit=1, cursor=page.next_cursor)

    def test_list_follows_activity(self, store: Store) -> None:
        """An append moves a session up, unless the session has a later message."""
        for n, key in enumerate(["a", "b", "c"]):
            store.append(key, [draft("Hello", n)])
        store.append("a", [draft("Hello", 10)])
        store.append("b", [draft("Hello", 0.5)])
        assert ["a", "c", "b"] == _listed(store.list(Selection(), limit=10))

    def test_list_is_of_summaries(self, store: Store) -> None:
        """A list has the summaries of `get`, without their metadata."""
        store.append("cli:a", [draft("Hello", 1), draft("Hi", 2, role="assistant")])
        store.revise("cli:a", Revision(title="Greeting", tags=("x",), pinned=True))
        assert (store.get("cli:a"),) == store.list(Selection(), limit=1).sessions
        store.revise("cli:a", Revision(metadata={"a": 1}))
        assert {} == store.list(Selection(), limit=1).sessions[0].header.metadata
        assert {"a": 1} == store.get("cli:a").header.metadata

    def test_list_pages(self, store: Store) -> None:
        """Pages follow each other without gap or overlap; each has the total, and the last has no cursor."""
        for n in range(7):
            store.append(f"key-{n}", [draft("Hello", n // 3)])
        whole = _listed(store.list(Selection(), limit=10))
        for limit in (1, 2, 3, 6, 7):
            assert whole == _walked(store, Selection(), limit=limit)
        assert 7 == store.list(Selection(), limit=2).total
        assert None is store.list(Selection(), limit=7).next_cursor

    def test_list_pages_while_sessions_move(self, store: Store) -> None:
        """While some sessions move, come or go, pages neither skip nor repeat the others."""
        for n in range(8):
            store.append(f"key-{n}", [draft("Hello", n)])
        first = store.list(Selection(), limit=3)
        assert ["key-7", "key-6", "key-5"] == _listed(first)
        store.append("key-2", [draft("up", 100)])
        store.append("key-6", [draft("up", 101)])
        store.append("new", [draft("Hello", 102)])
        store.delete("key-5")
        rest = store.list(Selection(), limit=10, cursor=first.next_cursor)
        assert ["key-4", "key-3", "key-1", "key-0"] == _listed(rest)
        assert 8 == rest.total

    def test_list_filters(self, store: Store) -> None:
        """Filters apply to the list and to its total."""
        _furnish(store)
        for selection, expected in _SELECTIONS:
            page = store.list(selection, limit=10)
            assert (expected, len(expected)) == (sorted(_listed(page)), page.total)
            assert _listed(page) == _walked(store, selection, limit=1)

    def test_list_of_a_tag(self, store: Store) -> None:
        """A tag selects sessions with exactly this tag; several tags select those with all of them, in any order."""
        for key, tags in _TAGS.items():
            store.merge(session(key, [draft()], tags=tags))
        for tag in {tag for tags in _TAGS.values() for tag in tags} | {"wor", "k", "", "[]", '"', "%", "x\0"}:
            expected = sorted(key for key, tags in _TAGS.items() if tag in tags)
            page = store.list(Selection(tags=(tag,)), limit=20)
            assert (expected, len(expected)) == (sorted(_listed(page)), page.total)
            assert expected == list(store.keys(Selection(tags=(tag,))).keys)
        for tags in (("work", "home"), ("home", "work", "home")):
            assert ["both"] == _walked(store, Selection(tags=tags), limit=1)
        assert () == store.keys(Selection(tags=("work", "nowhere"))).keys

    def test_list_of_marks_that_change(self, store: Store) -> None:
        """Filters by tag and pin use the present marks of a session, and combine with the other filters."""
        for n in range(6):
            store.merge(session(f"k:{n}", [draft("Hello", n)], tags=("work",), pinned=n % 2 == 0, archived=n == 4))
        chosen = Selection(prefixes=("k:",), tags=("work",), pinned=True)
        assert ["k:2", "k:0"] == _walked(store, chosen, limit=1)
        first = store.list(Selection(tags=("work",)), limit=2)
        assert (["k:5", "k:3"], 5) == (_listed(first), first.total)
        store.revise("k:2", Revision(tags=()))
        store.revise("k:1", Revision(pinned=True))
        store.revise("k:4", Revision(archived=False))
        store.delete("k:0")
        assert ["k:4", "k:1"] == _walked(store, chosen, limit=1)
        rest = store.list(Selection(tags=("work",)), limit=9, cursor=first.next_cursor)
        assert (["k:1"], 4) == (_listed(rest), rest.total)

    def test_list_by_time(self, store: Store) -> None:
        """A list can be filtered by latest activity: before a time (exclusive), or since one (inclusive)."""
        _furnish(store)
        everything = _listed(store.list(Selection(), limit=10))
        newer = store.list(Selection(updated_after=at(3)), limit=1)
        assert everything[: newer.total] == _walked(store, Selection(updated_after=at(3)), limit=1)
        assert everything[newer.total :] == ["c:1", "ab:1"]
        assert ["c:1"] == _listed(store.list(Selection(updated_after=at(2.1), updated_before=at(3)), limit=10))
        assert ["ab:1"] == list(store.keys(Selection(updated_after=at(2), updated_before=at(2.5))).keys)
        assert ["c:1", "ab:1"] == _listed(store.list(Selection(updated_before=at(3)), limit=10))
        assert ["ab:1", "c:1"] == list(store.keys(Selection(updated_before=at(3))).keys)
        assert 1 == store.list(Selection(updated_before=at(2.5), channel="fax"), limit=10).total

    @pytest.mark.parametrize("cursor", NOT_CURSORS)
    def test_list_with_a_strange_cursor(self, store: Store, cursor: str) -> None:
        """An invalid cursor is refused."""
        store.append("a", [draft()])
        with pytest.raises(InvalidCursorError):
            store.list(Selection(), limit=10, cursor=cursor)
        with pytest.raises(InvalidCursorError):
            store.keys(Selection(), limit=10, cursor=cursor)

    def test_list_with_a_cursor_of_another_list(self, store: Store) -> None:
        """A cursor is refused by a list with other filters, and cursors of keys and of sessions do not mix."""
        for key in ("a:1", "a:2", "b:1"):
            store.append(key, [draft()])
        of_list = store.list(Selection(), limit=1).next_cursor
        of_keys = store.keys(Selection(), limit=1).next_cursor
        narrower = Selection(prefixes=("a:",))
        tagged, pinned = Selection(tags=("x",)), Selection(pinned=False)
        for selection, cursor in ((narrower, of_list), (Selection(), of_keys), (tagged, of_list), (pinned, of_list)):
            with pytest.raises(InvalidCursorError):
                store.list(selection, limit=1, cursor=cursor)
        for selection, cursor in ((narrower, of_keys), (Selection(), of_list)):
            with pytest.raises(InvalidCursorError):
                store.keys(selection, limit=1, cursor=cursor)

    def test_keys(self, store: Store) -> None:
        """Keys are ordered by code point; without a limit, all are returned."""
        for key in ["b", "a", "B", "é", "z", "🎉", "ｚ", "a:b", "a/b", "日本語:x"]:
            store.append(key, [draft()])
        page = store.keys(Selection())
        assert ("B", "a", "a/b", "a:b", "b", "z", "é", "日本語:x", "ｚ", "🎉") == page.keys
        assert (10, None) == (page.total, page.next_cursor)

    def test_keys_pages(self, store: Store) -> None:
        """Pages of keys follow each other, also while other keys come and go."""
        for key in "acegik":
            store.append(key, [draft()])
        first = store.keys(Selection(), limit=2)
        assert (("a", "c"), 6) == (first.keys, first.total)
        store.delete("c")
        store.append("b", [draft()])
        store.append("d", [draft()])
        second = store.keys(Selection(), limit=3, cursor=first.next_cursor)
        assert (("d", "e", "g"), 7) == (second.keys, second.total)
        last = store.keys(Selection(), cursor=second.next_cursor)
        assert (("i", "k"), None) == (last.keys, last.next_cursor)
        assert None is store.keys(Selection(), limit=7).next_cursor

    def test_keys_filters(self, store: Store) -> None:
        """Keys have the same filters as lists."""
        _furnish(store)
        for selection, expected in _SELECTIONS:
            page = store.keys(selection)
            assert (expected, len(expected)) == (list(page.keys), page.total)

    def test_list_prefix_is_plain_text(self, store: Store) -> None:
        """A prefix has no wildcards, and case matters."""
        for key in ["a%b", "a_b", "axb", "a*b", "A%b", "[a]b"]:
            store.append(key, [draft()])
        for prefix in ["a%", "a_", "a*", "A", "[a]"]:
            expected = [key for key in ["A%b", "[a]b", "a%b", "a*b", "a_b", "axb"] if key.startswith(prefix)]
            assert expected == list(store.keys(Selection(prefixes=(prefix,))).keys)

    def test_list_prefix_at_the_end_of_unicode(self, store: Store) -> None:
        """A prefix with the highest code points at its end works like any other."""
        keys = ["a\U0010fffe", "a\ud7ff", "a\ud7ffb", "b"]
        for key in keys:
            store.append(key, [draft()])
        assert ("a\ud7ff", "a\ud7ffb") == store.keys(Selection(prefixes=("a\ud7ff",))).keys
        assert ("a\U0010fffe",) == store.keys(Selection(prefixes=("a\U0010fffe",))).keys

    def test_status(self, store: Store) -> None:
        """The status counts sessions, messages and channels, archived ones too."""
        assert 0 == store.status().session_count
        _furnish(store)
        status = store.status()
        assert (5, 6) == (status.session_count, status.message_count)
        assert {"api": 3, "fax": 2} == status.channels
        assert {} == status.problems
        assert status.size_bytes > 0

    def test_status_of_a_prefix(self, store: Store) -> None:
        """The status of a prefix counts only the sessions under it."""
        _furnish(store)
        status = store.status("a:")
        assert (2, 3, {"api": 1, "fax": 1}) == (status.session_count, status.message_count, status.channels)
        assert 0 < status.size_bytes < store.status().size_bytes
        assert 0 == store.status("nothing:").message_count


_SELECTIONS = [
    (Selection(), ["a:1", "ab:1", "b:1", "c:1"]),
    (Selection(archived=True), ["a:2"]),
    (Selection(archived=None), ["a:1", "a:2", "ab:1", "b:1", "c:1"]),
    (Selection(prefixes=("a",)), ["a:1", "ab:1"]),
    (Selection(prefixes=("a:",), archived=None), ["a:1", "a:2"]),
    (Selection(prefixes=("a", "a:", "")), ["a:1"]),
    (Selection(prefixes=("a", "b")), []),
    (Selection(prefixes=("zzz",)), []),
    (Selection(channel="fax"), ["ab:1"]),
    (Selection(channel="fax", prefixes=("a:",), archived=True), ["a:2"]),
    (Selection(channel="telex"), []),
    (Selection(pinned=True), ["c:1"]),
    (Selection(pinned=False), ["a:1", "ab:1", "b:1"]),
    (Selection(tags=("x",), archived=None), ["a:2", "c:1"]),
    (Selection(tags=("x",), pinned=False, archived=None, channel="fax"), ["a:2"]),
    (Selection(tags=("x",), prefixes=("c",)), ["c:1"]),
    (Selection(tags=("x",), prefixes=("c", "d")), []),
]

_TAGS: dict[str, tuple[str, ...]] = {
    "none": (),
    "work": ("work",),
    "other case": ("Work",),
    "both": ("home", "work"),
    "longer": ("workshop", "homework"),
    "quoted": ('x"work"', 'x"work', "'work'"),
    "commas": ("x,", "y", ",", "work,home"),
    "json": ('["work"]', "\\work", '\\"work\\"', "\\u0077ork"),
    "é": ("café", "工作", "🎉"),
    "no accent": ("cafe",),  # no case for a decomposed "café": `check_tags` composes tags (NFC) first
}


def _furnish(store: Store) -> None:
    store.merge(session("a:1", [draft("Hello", 5), draft("Hello", 6)]))
    store.merge(session("a:2", [draft("Hello", 4)], channel="fax", archived=True, tags=("y", "x")))
    store.merge(session("b:1", [draft("Hello", 3)]))
    store.merge(session("c:1", [draft("Hello", 2.5)], pinned=True, tags=("x",)))
    store.merge(session("ab:1", [draft("Hello", 2)], channel="fax"))


def _listed(page: Page) -> list[str]:
    return [known.header.key for known in page.sessions]


def _walked(store: Store, selection: Selection, limit: int) -> list[str]:
    page = store.list(selection, limit=limit)
    keys = _listed(page)
    while page.next_cursor is not None:
        page = store.list(selection, limit=limit, cursor=page.next_cursor)
        assert 1 <= len(page.sessions) <= limit
        keys += _listed(page)
    return keys
