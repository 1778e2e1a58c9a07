"""The promises of `Store.search` beside the text of messages: their work, names of sessions, further pages."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from chatkeep.core.model import Elsewhere, Json, Revision, Selection, Sort, Unit
from chatkeep.core.search.search import Search
from chatkeep.errors import InvalidCursorError
from chatkeep.store.protocol import Store
from chatkeep.testing.samples import at, draft, places_of, search_for, session

_KEY = "api:1"
_SORTS = get_args(Sort)
_UNITS = get_args(Unit)
MADE_CALLS: list[dict[str, Json]] = [
    {"tool_calls": [{"function": {"name": "hippo", "arguments": '{"cmd": "ls -la\\nrhino", "at": {"x": [7]}}'}}]},
    {"tool_calls": [{"function": {"name": "hippo", "arguments": {"cmd": "ls -la\nrhino", "at": {"x": 7}}}}]},
    {"tool_calls": [{"custom": {"name": "hippo", "input": "cmd ls -la rhino at x: 7"}}]},
    {"content": [{"type": "tool_use", "name": "hippo", "input": {"cmd": "ls -la rhino", "at": [{"x": 7}]}}]},
    {"content": [{"type": "function_call", "name": "hippo", "arguments": '{"cmd": "ls -la rhino", "at": {"x": 7}}'}]},
    {"content": [{"type": "tool_result", "content": [{"text": "hippo cmd ls -la rhino at x 7"}]}], "role": "user"},
]
WORKED = ["hippo", "rhino", '"ls -la"', "cmd at ", '"x 7"']


class FindingContract:
    """A search finds the work behind messages and the names of sessions, and pages through all results."""

    @pytest.mark.parametrize("called", MADE_CALLS)
    def test_search_finds_the_work_behind_messages(self, store: Store, called: dict[str, Json]) -> None:
        """The names and arguments of calls, and what tools gave back, are found with the role `tool`, or with every."""
        store.append(_KEY, [draft(**{"content": None, "role": "assistant", **called})])
        for query in WORKED:
            assert () == store.search(search_for(query)).hits
            for roles in (("tool",), None):
                hits = store.search(search_for(query, roles=roles))
                assert [(_KEY, "all", 1)] == [(hit.key, hits.mode, hit.match_count) for hit in hits.hits], query
                assert hits.hits[0].highlights

    def test_search_with_the_role_of_tools(self, store: Store) -> None:
        """The role `tool` finds results, names and calls of tools, and thinking; no text of anybody else."""
        said = [
            draft("a zebra", role="tool", name="look_up"),
            draft("a zebra", role="assistant"),
            draft("<think>a zebra</think>Yes.", role="assistant"),
            draft("a zebra"),
        ]
        store.append(_KEY, said)
        found = store.search(search_for("zebra", roles=("tool",), unit="message")).hits
        assert [(1, 2), (3, 2)] == sorted((hit.seq, hit.match_count) for hit in found)
        assert [1] == [hit.seq for hit in store.search(search_for("look_up", roles=("tool",))).hits]
        assert 4 == len(store.search(search_for("zebra", roles=None, unit="message")).hits)

    def test_search_does_not_cross_into_the_work(self, store: Store) -> None:
        """A phrase stands within the text of a message, or within the work behind it."""
        store.append(_KEY, [draft("<think>brown fox</think>the quick", role="assistant")])
        assert () == store.search(search_for('"quick brown"', roles=None)).hits
        assert [_KEY] == [hit.key for hit in store.search(search_for("quick fox ", roles=None)).hits]

    def test_search_says_where_else_there_are_hits(self, store: Store) -> None:
        """A search without hits counts the messages that other roles or no filters would find."""
        store.append(
            "api:1", [draft("a zebra", role="tool"), draft("zebras", role="tool"), draft("zebra", role="system")]
        )
        store.append("api:2", [draft("the big horse", 5), draft("a horse", 5), draft("a big one", 5)])
        assert Elsewhere(roles={"system": 1, "tool": 2}) == store.search(search_for("zebra ")).elsewhere
        assert Elsewhere(roles={"tool": 1}) == store.search(search_for('"a zebra"')).elsewhere
        asked = [
            search_for("horse", until=at(5)),
            search_for("horse", session="api:1"),
            search_for("horse", selection=Selection(channel="fax")),
            search_for("horse", selection=Selection(tags=("x",), prefixes=("api:",))),
        ]
        assert [Elsewhere(roles={}, unfiltered=2)] * 4 == [store.search(search).elsewhere for search in asked]
        assert store.search(search_for("horse", selection=Selection(prefixes=("b",)))).elsewhere is None
        assert store.search(search_for("horse")).elsewhere is None
        assert store.search(search_for("okapi")).elsewhere is None

    def test_search_finds_sessions_by_their_names(self, store: Store) -> None:
        """A title, a key and a tag find a session; without a matching message it shows its first one of the user."""
        store.append("api:rome-7", [draft("Hi", role="assistant"), draft("Hello there", 2, id="x"), draft("zebra")])
        store.revise("api:rome-7", Revision(title="Plans for Spring", tags=("holiday", "big trip")))
        for query, lit in [("spring plan", ("Plans", "Spring")), ("rome", ()), ("holidays ", ()), ('"big trip"', ())]:
            for sort in ("relevance", "recent"):
                hits = store.search(search_for(query, sort=sort))
                (hit,) = hits.hits
                assert ("all", "api:rome-7", 2, "x", 0) == (
                    hits.mode, hit.key, hit.seq, hit.message_id, hit.match_count
                )  # fmt: skip
                assert ("Hello there", ()) == (hit.excerpt, hit.highlights)
                assert set(lit) == {hit.title[start:end] for start, end in hit.title_highlights}
        for nothing in (
            search_for('"holiday big"'),
            search_for('"spring rome"'),
            search_for("spring", unit="message"),
            search_for("spring", roles=("tool",)),
            search_for("spring", session="api:rome-7"),
            search_for("spring", since=at(0)),
            search_for("spring", selection=Selection(prefixes=("b",))),
            search_for("spring", selection=Selection(tags=("x",))),
        ):
            assert () == store.search(nothing).hits

    def test_search_finds_names_together_with_messages(self, store: Store) -> None:
        """A session found by its title and its messages shows a matching message, and counts these."""
        store.append("api:1", [draft("a zebra", 1), draft("zebras", 2), draft("horse", 3)])
        store.revise("api:1", Revision(title="My zebra"))
        for sort in ("relevance", "recent"):
            (hit,) = store.search(search_for("zebra ", sort=sort)).hits
            assert 2 == hit.match_count
            assert hit.seq in {1, 2}
            assert ["zebra"] == [hit.title[start:end] for start, end in hit.title_highlights]

    def test_search_after_a_change_of_names(self, store: Store) -> None:
        """Only the present title and tags of a session find it, of no deleted session, and of one without messages."""
        store.append("api:1", [draft("Hello")])
        store.revise("api:1", Revision(title="zebra", tags=("horse",)))
        store.revise("api:1", Revision(title="giraffe"))
        store.revise("api:1", Revision(pinned=True))
        store.append("api:1", [draft("More")])
        assert [0, 1, 1] == [len(store.search(search_for(word)).hits) for word in ("zebra", "giraffe", "horse")]
        store.revise("api:1", Revision(title=None, tags=()))
        assert [0, 0] == [len(store.search(search_for(word)).hits) for word in ("giraffe", "horse")]
        store.revise("api:1", Revision(title="okapi"))
        store.delete("api:1")
        assert () == store.search(search_for("okapi")).hits
        store.merge(session("b:empty", [], title="Okapi"))
        (hit,) = store.search(search_for("okapi")).hits
        assert ("b:empty", 0, "", "") == (hit.key, hit.seq, hit.message_id, hit.excerpt)

    def test_search_ranks_titles_with_messages_and_keys_below(self, store: Store) -> None:
        """A title with every term comes before messages with some, a key or tag after all messages with every term."""
        for n in range(40):
            store.append(f"zebra:{n}", [draft("Hello", 100 + n)])
        for n in range(30):
            store.append(f"api:{n}", [draft("a zebra came", n)])
        store.append("api:titled", [draft("Hello", 0)])
        store.revise("api:titled", Revision(title="Zebra"))
        hits = [hit.key for hit in store.search(search_for("zebra ", limit=200)).hits]
        assert (71, {"zebra"}) == (len(hits), {key.split(":")[0] for key in hits[31:]})
        assert "api:titled" in hits[:20]
        found = store.search(search_for("Where did the zebra sleep?", limit=200))
        assert ("any", 30) == (found.mode, len(found.hits))

    @pytest.mark.parametrize("sort", _SORTS)
    @pytest.mark.parametrize("unit", _UNITS)
    def test_search_pages(self, store: Store, sort: Sort, unit: Unit) -> None:
        """The pages have every result once, the first ones of a larger page first; by time all are in order."""
        for n in range(24):
            said = [draft(f"zebra {'horse ' * (m % 3)}", (7 * n + 5 * m) % 13) for m in range(3)]
            store.append(f"api:{n}", said)
            store.revise(f"api:{n}", Revision(tags=("zebra",) if n % 5 else ("horse",)))
        store.append("api:named", [draft("Hello", 3)])
        store.revise("api:named", Revision(title="A zebra on a horse"))
        for query in ("zebra", "zebra horse ", '"zebra horse"', "Which horse, which giraffe?"):
            asked = search_for(query, sort=sort, unit=unit)
            whole = _everything(store, asked, 200)
            pages = _everything(store, asked, 7)
            assert (query, sorted(whole)) == (query, sorted(pages))
            assert len(pages) == len(set(pages))
            assert whole[:7] == pages[:7]
            assert whole == pages or sort == "relevance"

    @pytest.mark.parametrize("sort", _SORTS)
    @pytest.mark.parametrize("unit", _UNITS)
    def test_search_pages_beyond_the_largest(self, store: Store, sort: Sort, unit: Unit) -> None:
        """The pages go on until there is nothing more, whatever the times: also if very many are the same."""
        for n in range(130):
            store.append(f"api:{n}", [draft("zebra", min(n, 60)), draft("a zebra", 5), draft("zebra", 200 - n)])
        asked = search_for("zebra", sort=sort, unit=unit)
        found = _everything(store, asked, 90)
        assert (130 if unit == "session" else 390) == len(found) == len(set(found))

    @pytest.mark.parametrize("sort", _SORTS)
    @pytest.mark.parametrize("unit", _UNITS)
    def test_search_pages_while_sessions_change(self, store: Store, sort: Sort, unit: Unit) -> None:
        """Appends and deletions between two pages neither skip nor repeat a result of another session."""
        for n in range(30):
            store.append(f"api:{n}", [draft("zebra", n), draft("a zebra", 100 - n)])
        asked = search_for("zebra", sort=sort, unit=unit, limit=8)
        found, cursor = [], None
        for turn in range(20):
            hits = store.search(_on(asked, cursor))
            found += places_of(hits) if unit == "message" else [(hit.key, 0) for hit in hits.hits]
            if (cursor := hits.next_cursor) is None:
                break
            store.append(f"new:{turn}", [draft("zebra", 50 + turn)])
            store.append("api:0", [draft("zebra", 300 + turn)])
            store.delete(f"api:{29 - turn}")
        steady = {f"api:{n}" for n in range(1, 20)}
        kept = [place for place in found if place[0] in steady]
        assert len(kept) == len(set(kept)) == (19 if unit == "session" else 38)

    def test_search_with_a_wrong_cursor(self, store: Store) -> None:
        """A cursor serves its own search only; what is no cursor is refused."""
        store.append(_KEY, [draft("zebra") for _ in range(9)])
        asked = search_for("zebra", unit="message", limit=4)
        cursor = store.search(asked).next_cursor
        assert cursor is not None
        assert 4 == len(store.search(_on(asked, cursor)).hits)
        others = [
            search_for("horse", unit="message"),
            search_for("zebra", unit="message", sort="recent"),
            search_for("zebra", unit="message", roles=None),
            search_for("zebra", unit="message", selection=Selection(prefixes=("a",))),
            search_for("zebra", unit="message", selection=Selection(archived=None, metadata=(("user", "a"),))),
        ]
        for search, wrong in [
            *((other, cursor) for other in others),
            (asked, "x"),
            (asked, f"{cursor}A"),
            (asked, "é"),
        ]:
            with pytest.raises(InvalidCursorError):
                store.search(_on(search, wrong))


def _on(search: Search, cursor: str | None) -> Search:
    return msgspec.structs.replace(search, cursor=cursor)


def _everything(store: Store, search: Search, limit: int) -> list[tuple[str, int]]:
    """Return the results of all pages of a search: key and seq, 0 for a session."""
    found: list[tuple[str, int]] = []
    cursor = None
    for _ in range(100):
        hits = store.search(msgspec.structs.replace(search, limit=limit, cursor=cursor))
        found += places_of(hits) if search.unit == "message" else [(hit.key, 0) for hit in hits.hits]
        cursor = hits.next_cursor
        assert len(hits.hits) == limit or cursor is None
        if cursor is None:
            return found
    raise AssertionError(found)
