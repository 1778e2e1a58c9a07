"""One order over all candidates: better matches first, and the same order however they come."""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterable, Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.model import Sort, Unit
from chatkeep.core.search.query import parse_query
from chatkeep.core.search.ranker import Match, Scores, best, weight
from chatkeep.core.search.search import Search

DAY_US = 24 * 3600 * 1_000_000
RARE, COMMON = weight(2, 10_000), weight(6000, 10_000)


def match(
    session: str = "a", seq: int = 1, terms: int = 1, *, days: float = 0, size: int = 100, phrases: int = 0
) -> Match:
    """Return a match; `days` tells how old it is."""
    return Match(session, seq, round(1_700_000_000_000_000 - days * DAY_US), size, terms, phrases)


def scores(matches: Sequence[Match], weights: Sequence[float]) -> list[float]:
    """Return the score of each match among all of them."""
    among = Scores(matches, weights)
    return [among.of(each) for each in matches]


def _best(
    matches: Sequence[Match],
    weights: Sequence[float],
    whole: Iterable[tuple[Hashable, int]] = (),
    *,
    sort: Sort = "relevance",
    unit: Unit = "message",
    limit: int = 50,
) -> list[tuple[Hashable, int]]:
    search = Search(query=parse_query("x"), sort=sort, unit=unit, limit=limit)
    are_whole = [(each.session, each.seq) in set(whole) for each in matches]
    found = best(matches, scores(matches, weights), are_whole, search, lambda sids: {sid: str(sid) for sid in sids})
    return [(matches[place].session, matches[place].seq) for place in found]


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.integers(0, 10_000))
def test_weight(count: int, other: int, total: int) -> None:
    """A rarer term never weighs less, and none weighs nothing or less."""
    low, high = sorted((count, other))
    assert weight(low, total) >= weight(high, total) > 0


def test_scores_of_nothing() -> None:
    """Without matches there are no scores, and without a weight there is no failure."""
    assert [] == scores([], [1.0])
    assert [0.0] == scores([match(terms=0)], [])


def test_scores_with_a_rare_term() -> None:
    """A rare term beats a common one."""
    rare, common = scores([match("a", terms=1), match("b", terms=2)], [RARE, COMMON])
    assert rare > common


@pytest.mark.parametrize("weights", [[RARE, COMMON], [COMMON, RARE], [COMMON, COMMON], [RARE, RARE]])
def test_scores_with_all_terms(weights: list[float]) -> None:
    """All terms beat each one of them."""
    both, first, second = scores([match("a", terms=3), match("b", terms=1), match("c", terms=2)], weights)
    assert both > first
    assert both > second


def test_scores_with_neighbours() -> None:
    """A term that a message nearby has counts, more than none, less than one of its own; far away it does not."""
    near = scores([match("a", 5, 1), match("a", 6, 2), match("a", 50, 1)], [RARE, RARE])
    assert near[0] > near[2]
    own = scores([match("a", 5, 3), match("a", 6, 2), match("a", 50, 1)], [RARE, RARE])
    assert own[0] > near[0]


@pytest.mark.parametrize("step", [1, 2])
def test_scores_with_neighbours_on_either_side(step: int) -> None:
    """It is the same whether the neighbour comes before or after."""
    before = scores([match("a", 10, 1), match("a", 10 - step, 2)], [RARE, COMMON])
    after = scores([match("a", 10, 1), match("a", 10 + step, 2)], [RARE, COMMON])
    assert before == after


def test_scores_with_neighbours_of_another_session() -> None:
    """Neighbours are of the same session."""
    alone, other, together, _ = scores(
        [match("a", 5, 1), match("b", 6, 2), match("c", 5, 1), match("c", 6, 2)], [RARE, RARE]
    )
    assert together > alone == other


def test_scores_with_a_phrase() -> None:
    """Words side by side as in the query beat the same words apart."""
    side_by_side, apart = scores([match("a", terms=3, phrases=1), match("b", terms=3)], [RARE, RARE])
    assert side_by_side > apart


def test_scores_with_a_session_of_many_terms() -> None:
    """A session that holds the other term too, however far away, beats one that does not."""
    here, _, elsewhere = scores([match("a", 1, 1), match("a", 90, 2), match("b", 1, 1)], [RARE, RARE])
    assert here > elsewhere


def test_scores_of_short_messages() -> None:
    """Of two messages with the same terms the shorter one says more of them."""
    short, long = scores([match("a", size=20), match("b", size=2000)], [RARE])
    assert short > long


def test_scores_of_recent_messages() -> None:
    """A recent message beats an old one that is as good, and no old one that is better."""
    old, new = scores([match("a", days=400), match("b")], [RARE])
    assert new > old
    old_and_whole, new_and_half = scores([match("a", terms=3, days=4000), match("b", terms=1)], [RARE, RARE])
    assert old_and_whole > new_and_half
    assert 1.2 > new / old


matches_of = st.lists(
    st.builds(
        match,
        st.sampled_from("abcdef"),
        st.integers(1, 12),
        st.integers(1, 7),
        days=st.sampled_from([0, 0, 1, 40, 400]),
        size=st.sampled_from([50, 100, 900]),
        phrases=st.integers(0, 3),
    ),
    max_size=40,
    unique_by=lambda each: (each.session, each.seq),
)
weights_of = st.lists(st.floats(0.01, 15), min_size=3, max_size=3)
sorts, units = st.sampled_from(["relevance", "recent"]), st.sampled_from(["session", "message"])


@given(matches_of, weights_of, sorts, units, st.integers(1, 20))
def test_best_of_any_order(matches: list[Match], weights: list[float], sort: Sort, unit: Unit, limit: int) -> None:
    """The order of the input does not matter, and fewer are the first of more."""
    whole = {(each.session, each.seq) for each in matches if each.terms == 7}
    every = _best(matches, weights, whole, sort=sort, unit=unit, limit=1000)
    shuffled = random.Random(7).sample(matches, len(matches))  # noqa: S311 - the same shuffle at each run
    assert every == _best(shuffled, weights, whole, sort=sort, unit=unit, limit=1000)
    assert every[:limit] == _best(matches, weights, whole, sort=sort, unit=unit, limit=limit)
    sessions = [session for session, _ in every]
    assert {each.session for each in matches} == set(sessions)
    assert len(every) == (len(set(sessions)) if unit == "session" else len(matches))


@given(matches_of, weights_of)
def test_best_with_every_term_first(matches: list[Match], weights: list[float]) -> None:
    """What has every term stands before what has not."""
    whole = {(each.session, each.seq) for each in matches if each.terms == 7}
    places = [place in whole for place in _best(matches, weights, whole)]
    assert sorted(places, reverse=True) == places


@given(matches_of, weights_of)
def test_best_of_each_session(matches: list[Match], weights: list[float]) -> None:
    """A session stands where its best message does."""
    firsts: dict[Hashable, tuple[Hashable, int]] = {}
    for place in _best(matches, weights):
        firsts.setdefault(place[0], place)
    assert list(firsts.values()) == _best(matches, weights, unit="session")


@given(matches_of, weights_of)
def test_best_by_time(matches: list[Match], weights: list[float]) -> None:
    """By time, newest first, ties by key, then the later message of a session."""
    expected = sorted(matches, key=lambda each: (-each.at, str(each.session), -each.seq))
    assert [(each.session, each.seq) for each in expected] == _best(matches, weights, sort="recent")


@given(matches_of, weights_of, st.permutations(range(3)))
def test_scores_with_terms_in_another_order(matches: list[Match], weights: list[float], order: list[int]) -> None:
    """Which term is the first does not matter, but for phrases."""
    plain = [msgspec.structs.replace(each, phrases=0) for each in matches]
    turned = [
        msgspec.structs.replace(each, terms=sum((each.terms >> old & 1) << new for new, old in enumerate(order)))
        for each in plain
    ]
    assert scores(plain, weights) == pytest.approx(scores(turned, [weights[old] for old in order]), abs=1e-8)
