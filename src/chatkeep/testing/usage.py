"""The promises of `Store.usage`."""

from __future__ import annotations

from datetime import date

import msgspec

from chatkeep.core.model import Draft, Json, Revision, Selection
from chatkeep.core.standing import SeqRange
from chatkeep.core.usage.spending import UsageGroup, UsageQuery, UsageRow
from chatkeep.store.protocol import Store
from chatkeep.testing.samples import draft, session

_TOLD = {"prompt_tokens": 100, "completion_tokens": 20, "cost": 0.5}
_DAY_S = 86_400


class UsageContract:
    """Usage counts each answer of a model once, in its groups, and never takes an unknown number for 0."""

    def test_usage_of_nothing(self, store: Store) -> None:
        """Without answers of models there are no rows, and the total is empty."""
        store.append("a:1", [draft("Hello"), _answer("Hi", {})])
        for by in ("day", "model", "channel", "session", "tag"):
            found = store.usage(UsageQuery(by=by))
            assert ((), 0, UsageRow(name=None)) == (found.rows, found.row_count, found.total)

    def test_usage_by_every_group(self, store: Store) -> None:
        """Days, models, channels, sessions and tags have the same sum, a session at each of its tags."""
        _furnish(store)
        expected: dict[UsageGroup, list[tuple[str | None, int, int]]] = {
            "day": [("2024-01-15", 3, 220), ("2024-01-16", 1, 100)],
            "model": [("m-2", 1, 120), ("m-1", 2, 200), (None, 1, 0)],
            "channel": [("fax", 1, 120), ("api", 3, 200)],
            "session": [("b:1", 1, 120), ("a:1", 3, 200)],
            "tag": [("x", 4, 320), ("y", 3, 200)],
        }
        for by, rows in expected.items():
            found = store.usage(UsageQuery(by=by))
            assert rows == [(one.name, one.call_count, one.input_tokens) for one in found.rows], by
            assert (len(rows), 4, 320) == (found.row_count, found.total.call_count, found.total.input_tokens)
        sessions = store.usage(UsageQuery(by="session")).rows
        assert [store.get(one.name or "").title for one in sessions] == [one.title for one in sessions]

    def test_usage_of_every_kind_of_token(self, store: Store) -> None:
        """The cached and the written input are parts of the input, the thinking a part of the output."""
        usage = {"input_tokens": 10, "cache_read_input_tokens": 70, "cache_creation_input_tokens": 20}
        thought = {"promptTokenCount": 7, "candidatesTokenCount": 2, "thoughtsTokenCount": 3}
        store.append(
            "a:1", [_answer("Hi", {"usage": {**usage, "output_tokens": 5}}), _answer("Oh", {"usage": thought})]
        )
        total = store.usage(UsageQuery()).total
        assert (107, 70, 20) == (total.input_tokens, total.cached_tokens, total.cache_write_tokens)
        assert (10, 3) == (total.output_tokens, total.reasoning_tokens)

    def test_usage_says_what_is_unknown(self, store: Store) -> None:
        """Answers without tokens and answers without a price are counted as such; a cost of nothing is unknown."""
        store.append(
            "a:1", [_answer("Hi", {"model": "m"}), _answer("Oh", {"model": "m", "usage": {"input": 4, "output": 2}})]
        )
        total = store.usage(UsageQuery()).total
        assert (2, 1, 2, None) == (total.call_count, total.uncounted_count, total.unpriced_count, total.cost_usd)
        store.append("a:1", [_answer("Ah", {"model": "m", "usage": _TOLD}), _answer("Eh", {"cost": 0})])
        total = store.usage(UsageQuery()).total
        assert (4, 2, 2, 0.5) == (total.call_count, total.uncounted_count, total.unpriced_count, total.cost_usd)

    def test_usage_of_odd_numbers(self, store: Store) -> None:
        """Numbers that cannot be are none, a part is at most its whole, and sums never overflow."""
        odd: list[Json] = [-1, 1.5, True, "7", None, [], 1 << 60, float(1 << 60)]
        said = [_answer("Hi", {"model": "m", "usage": {"input_tokens": one, "output_tokens": one}}) for one in odd]
        most = {"input_tokens": 1_000_000_000, "output_tokens": 5.0, "input_tokens_details": {"cached_tokens": 2_000}}
        parts = {"prompt_tokens": 5, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 9}}
        store.append("a:1", [*said, _answer("a", {"usage": most}), _answer("b", {"usage": parts, "cost": -1})])
        total = store.usage(UsageQuery()).total
        assert (10, 8, 10) == (total.call_count, total.uncounted_count, total.unpriced_count)
        assert (1_000_000_005, 2_005, 8) == (total.input_tokens, total.cached_tokens, total.output_tokens)

    def test_usage_in_a_selection(self, store: Store) -> None:
        """Prefix, channel, tags, a session and days choose; the limit leaves out rows, but not from the total."""
        _furnish(store)

        def count(**chosen: Json) -> int:
            return store.usage(UsageQuery(**chosen)).total.call_count

        assert 3 == count(selection=Selection(prefixes=("a:",), archived=None))
        assert 1 == count(selection=Selection(channel="fax", archived=None))
        assert 3 == count(selection=Selection(tags=("y",), archived=None))
        assert [1, 3] == [count(session=key) for key in ("b:1", "a:1")]
        assert [1, 3] == [count(since=date(2024, 1, 16)), count(until=date(2024, 1, 15))]
        found = store.usage(UsageQuery(by="model", limit=1))
        assert (["m-2"], 3, 4) == ([one.name for one in found.rows], found.row_count, found.total.call_count)
        assert ["2024-01-16"] == [one.name for one in store.usage(UsageQuery(by="day", limit=1)).rows]

    def test_usage_counts_a_copied_answer_once(self, store: Store) -> None:
        """A fork counts only its own answers; a mark that is no number changes nothing."""
        said = [draft("Hello"), _answer("Hi", {"usage": _TOLD}), draft("More"), _answer("Yes", {"usage": _TOLD})]
        for key, origin, expected in (
            ("a:1", {"session": "a:0", "seq": 2}, 1),
            ("a:2", {"session": "a:0", "seq": 9, "copied": 3}, 1),
            ("a:3", {"session": "a:0", "seq": "two"}, 2),
            ("a:4", "a:0", 2),
        ):
            store.merge(session(key, said))
            store.revise(key, Revision(metadata={"forked_from": origin}))
            assert expected == store.usage(UsageQuery(session=key)).total.call_count, origin

    def test_usage_follows_every_change(self, store: Store) -> None:
        """A drop changes nothing, as the answer was paid for; a deletion takes all away."""
        store.append("a:1", [draft("Hello"), _answer("Hi", {"usage": _TOLD})])
        before = store.usage(UsageQuery()).total
        store.append("a:1", [msgspec.structs.replace(draft("Again", 5), drops=(SeqRange(1, 2),))])
        assert before == store.usage(UsageQuery()).total
        store.append("a:1", [_answer("Ho", {"usage": _TOLD})])
        assert 1.0 == store.usage(UsageQuery()).total.cost_usd
        store.delete("a:1")
        assert UsageRow(name=None) == store.usage(UsageQuery()).total


def _furnish(store: Store) -> None:
    said = [
        draft("Hello"),
        _answer("Hi", {"model": "m-1", "usage": _TOLD}),
        _answer("Ho", {"model": "m-1", "usage": _TOLD}, _DAY_S),
        _answer("Ha", {"response_id": "r-1"}),
    ]
    store.merge(session("a:1", said, tags=("x", "y", "x")))
    other = {"model": "m-2", "usage": {"input": 120, "output": 1}, "cost": 2}
    store.merge(session("b:1", [_answer("Hm", other)], channel="fax", tags=("x",), archived=True))


def _answer(text: str, metadata: dict[str, Json], later_s: float = 0) -> Draft:
    return msgspec.structs.replace(draft(text, 1 + later_s), role="assistant", metadata=metadata or None)
