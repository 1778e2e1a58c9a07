"""Retention rules decide for any sessions, and refuse what is no rule."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.life.retention import Departure, Retained, RetentionRule, departures, retention_rules
from chatkeep.core.model import Header, Summary
from chatkeep.core.paging import selects
from chatkeep.errors import InvalidError
from chatkeep.testing import at

DAY_S = 86_400
NOW = at(100 * DAY_S)
FLAGS = st.booleans()


def _retained(
    key: str, *, age_days: float = 0, size_bytes: int = 1, damage: str | None = None, **marks: object
) -> Retained:
    header = Header(key=key, channel=key.partition(":")[0], title=None, created_at=at(0))
    known = Summary(
        header=msgspec.structs.replace(header, **marks),
        line_count=1,
        message_count=1,
        talk_count=1,
        title="",
        preview="",
        updated_at=NOW - timedelta(days=age_days),
        damage=damage,
    )
    return Retained(known=known, size_bytes=size_bytes)


sessions = st.lists(
    st.builds(
        _retained,
        st.builds("{}:{}".format, st.sampled_from(["cli", "web", "é"]), st.integers(0, 30)),
        age_days=st.integers(-2, 90),
        size_bytes=st.integers(1, 50),
        damage=st.sampled_from([None, None, None, "a line does not parse"]),
        pinned=FLAGS,
        held=FLAGS,
        archived=FLAGS,
        tags=st.sampled_from([(), ("x",), ("x", "y")]),
    ),
    max_size=25,
    unique_by=lambda one: one.known.header.key,
)
bounds = st.one_of(
    st.builds(lambda days: {"older_than": f"{days}d"}, st.integers(1, 60)),
    st.builds(lambda count: {"keep_newest": count}, st.integers(1, 9)),
    st.builds(lambda size: {"max_bytes": size}, st.integers(1, 200)),
)
filters = st.fixed_dictionaries(
    {},
    optional={
        "channel": st.sampled_from(["cli", "e\u0301"]),
        "prefix": st.sampled_from(["cli:", "web:1", "e\u0301"]),
        "tag": st.sampled_from(["x", "y"]),
        "archived": FLAGS,
    },
)
rules = st.builds(
    lambda action, found, bound: RetentionRule(action=action, **found, **bound),
    st.sampled_from(["archive", "trash", "delete"]),
    filters,
    bounds,
)
rule_lists = st.lists(rules, max_size=4)


@given(sessions, rule_lists)
def test_spare_what_is_marked_and_what_a_filter_leaves_out(
    some: list[Retained], given_rules: list[RetentionRule]
) -> None:
    """No pinned, held or damaged session goes, and each session goes once, by a rule whose filter has it."""
    by_key = {one.known.header.key: one for one in some}
    gone = departures(some, given_rules, NOW)
    assert len(gone) == len({one.key for one in gone})
    for one in gone:
        known, rule = by_key[one.key].known, given_rules[one.rule - 1]
        assert (False, False, None) == (known.header.pinned, known.header.held, known.damage)
        assert selects(rule.selection(NOW), known)
        assert one.action == rule.action
        assert 1 == sum(reason is not None for reason in (one.age_seconds, one.rank, one.total_bytes))


@given(sessions, rule_lists)
def test_decide_the_same_from_the_selections_alone(some: list[Retained], given_rules: list[RetentionRule]) -> None:
    """The sessions that the selections of the rules choose are enough, in any order."""
    chosen = [one for one in some if any(selects(rule.selection(NOW), one.known) for rule in given_rules)]
    assert departures(some, given_rules, NOW) == departures(reversed(chosen), given_rules, NOW)


@given(sessions, rules)
def test_leave_what_is_within_the_bound(some: list[Retained], rule: RetentionRule) -> None:
    """What stays of a rule's sessions is the newest part of them, within the bound; one more would be beyond."""
    gone = [one.key for one in departures(some, [rule], NOW)]
    own = sorted((one for one in some if rule.matches(one)), key=lambda one: one.known.header.key)
    own.sort(key=lambda one: one.known.updated_at, reverse=True)
    kept = own[: len(own) - len(gone)]
    assert [one.known.header.key for one in own[len(kept) :]] == gone
    if rule.keep_newest is not None:
        assert min(rule.keep_newest, len(own)) == len(kept)
    if rule.max_bytes is not None:
        assert sum(one.size_bytes for one in kept) <= rule.max_bytes
        assert not gone or sum(one.size_bytes for one in own[: len(kept) + 1]) > rule.max_bytes
    if (oldest := rule.oldest_kept(NOW)) is not None:
        assert all(one.known.updated_at >= oldest for one in kept)
        assert all(one.known.updated_at < oldest for one in own[len(kept) :])


def test_decide_in_the_order_of_the_rules() -> None:
    """A session goes by the first rule that takes it, and the later ones do not count it; each says why."""
    some = [_retained("a", age_days=40), *(_retained(f"b{n}", age_days=n, size_bytes=10) for n in range(4))]
    chosen = [
        RetentionRule(action="archive", older_than="30d"),
        RetentionRule(action="trash", keep_newest=3),
        RetentionRule(action="delete", max_bytes=25),
    ]
    expected = (
        Departure(rule=1, action="archive", key="a", updated_at=NOW - timedelta(days=40), age_seconds=40 * DAY_S),
        Departure(rule=2, action="trash", key="b3", updated_at=NOW - timedelta(days=3), rank=4),
        Departure(rule=3, action="delete", key="b2", updated_at=NOW - timedelta(days=2), total_bytes=30),
    )
    assert expected == departures(some, chosen, NOW)


def test_bound_an_age_beyond_the_calendar() -> None:
    """An age before the year 1 takes nothing, and is no error."""
    assert () == departures(
        [_retained("a", age_days=90)], [RetentionRule(action="delete", older_than="999999999d")], NOW
    )


@pytest.mark.parametrize(
    "table,place,sentence",
    [
        ({"keep_newest": 3}, "at 2: action", "must be archive, trash or delete"),
        ({"action": "burn", "keep_newest": 3}, "at 2: action", "must be archive, trash or delete"),
        ({"action": "trash"}, "at 2", "exactly one of older_than, keep_newest, max_bytes"),
        ({"action": "trash", "keep_newest": 1, "max_bytes": 1}, "at 2", "exactly one of"),
        ({"action": "trash", "older_than": "90"}, "at 2: older_than", "such as 90d, 12h, 5m or 90s"),
        ({"action": "trash", "older_than": "0d"}, "at 2: older_than", "such as 90d"),
        ({"action": "trash", "older_than": 90}, "at 2: older_than", "such as 90d"),
        ({"action": "trash", "keep_newest": 0}, "at 2: keep_newest", "from 1"),
        ({"action": "trash", "keep_newest": True}, "at 2: keep_newest", "from 1"),
        ({"action": "trash", "max_bytes": "5"}, "at 2: max_bytes", "number of bytes"),
        ({"action": "trash", "keep_newest": 1, "archived": "no"}, "at 2: archived", "true or false"),
        ({"action": "trash", "keep_newest": 1, "prefix": ""}, "at 2: prefix", "beginning of a key"),
        ({"action": "trash", "keep_newest": 1, "channel": 7}, "at 2: channel", "name of a channel"),
        ({"action": "trash", "keep_newest": 1, "tag": []}, "at 2: tag", "must be a tag"),
        ({"action": "trash", "keep_newest": 1, "tags": "x"}, "at 2: tags", "there are action, channel, prefix"),
        ({"action": "archive", "keep_newest": 1, "archived": True}, "at 2: archived", "must be false or left out"),
    ],
)
def test_refuse_what_is_no_rule(table: dict[str, Any], place: str, sentence: str) -> None:
    """A bad rule is named by its number and its field, with the values allowed."""
    good = {"action": "delete", "older_than": "90d"}
    with pytest.raises(InvalidError, match=sentence) as caught:
        retention_rules([good, table], "at")
    assert place == caught.value.field


def test_refuse_what_is_no_table() -> None:
    """Rules are tables, each of them."""
    for value in ("90d", {"action": "delete"}, [1]):
        with pytest.raises(InvalidError, match="must be tables"):
            retention_rules(value, "at")
    assert (RetentionRule(action="delete", older_than="90d"),) == retention_rules(
        [{"action": "delete", "older_than": "90d"}], "at"
    )
