"""The order of matches: one ranking over all candidates of a search.

A message scores the weight of its terms: rare ones much, common ones little (BM25 with each term counted once, as
messages are short). A term of a message one or two places away counts a little too, so the words of a question find
its answer. More score comes from words side by side as in the query, above all from the whole query verbatim, and
from words with marks as typed; from all terms rather than one; from a session with many of the terms; and, gently,
from a recent day.

The weights are the flat middle of the values tried on LoCoMo (see bench/search_quality.py). Halving or doubling one
of them moves no figure by more than 0.01, with one exception: recall@5 by 0.025 where neighbours count half.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final

from msgspec import Struct

from chatkeep.core.search.search import Search

_SATURATION: Final = 1.0  # BM25's k1
_LENGTH: Final = 0.3  # BM25's b: how far a long message counts less
_NEIGHBOUR: Final = 0.3  # of an occurrence, for each neighbouring message with the term
_PHRASE: Final = 0.4  # of the lower weight of two words side by side
_VERBATIM: Final = 1e4  # above any other score
_MARKED: Final = 1e5  # for each word with its marks as typed: above the whole query without them
_NAMED: Final = 1e-3  # of the score of a key or tag: below that of any message
_COVERAGE: Final = 0.25  # exponent of the share of terms in a message
_SESSION: Final = 1.0  # added to the factor 1 for a session with every term
_WHOLE: Final = 1e6  # above any score: matches of every term come first
_TIES_MAX: Final = 2000  # matches beyond the limit that may tie with the last one
_RECENT: Final = 0.1  # added to the factor 1 for the newest match
_RECENT_US: Final = 30 * 24 * 3600 * 1_000_000  # 30 days in microseconds: half-life of that bonus


class Match(Struct):
    """A message with some terms of a query, as bits: the first term is 1, the second 2, the third 4.

    `phrases` are bits too: the first stands for the first two words side by side. `is_verbatim` means all words of
    the query as they stand there. `marked` counts the words with marks of the query. `at` is in microseconds, `size`
    in bytes.
    """

    session: Hashable
    seq: int
    at: int
    size: int
    terms: int
    phrases: int = 0
    is_verbatim: bool = False
    marked: int = 0
    is_named: bool = False
    """Whether it stands for the key and the tags of a session, or for a title with some of the terms."""


def weight(count: int, total: int) -> float:
    """Return the weight of a term found in `count` of `total` messages."""
    count = min(count, total)
    return math.log(1 + (total - count + 0.5) / (count + 0.5))


def sum_of(weights: Sequence[float], terms: int) -> float:
    """Return the weight of a set of terms."""
    return sum(weight for place, weight in enumerate(weights) if terms >> place & 1)


class Scores:
    """The score of each match among all of them, higher for better."""

    def __init__(self, matches: Iterable[Match], weights: Sequence[float]) -> None:
        """Take all matches; `weights` are those of the terms."""
        self._weights = weights
        self._sums = _Sums(weights)
        whole = self._sums[(1 << len(weights)) - 1] or 1.0
        self._parts = _Parts(len(weights))
        self._terms_at: defaultdict[Hashable, dict[int, int]] = defaultdict(dict)
        held: defaultdict[Hashable, int] = defaultdict(int)
        size = count = 0
        self._newest = 0
        for match in matches:
            self._terms_at[match.session][match.seq] = match.terms
            held[match.session] |= match.terms
            self._newest = max(self._newest, match.at)
            size += match.size
            count += 1
        self._of_session = {session: 1 + _SESSION * self._sums[terms] / whole for session, terms in held.items()}
        self._mean_size = size / (count or 1) or 1.0

    def of(self, match: Match) -> float:
        """Return the score of a match."""
        count = len(self._weights)
        short = _SATURATION * (1 - _LENGTH + _LENGTH * match.size / self._mean_size)
        near = self._near(match) if count > 1 else ()
        if near:
            score = self._said(match.terms, near, short)
        else:
            score = self._sums[match.terms] * (1 + _SATURATION) / (1 + short)
        if match.phrases:
            score += _PHRASE * sum(
                min(self._weights[place : place + 2]) for place in range(count) if match.phrases >> place & 1
            )
        if count > 1:
            score *= self._parts[match.terms] * self._of_session[match.session]
        score *= 1 + _RECENT * math.exp2((match.at - self._newest) / _RECENT_US)
        if match.is_named:
            return round(_NAMED * score, 9)
        return round(score + _VERBATIM * match.is_verbatim + _MARKED * match.marked, 9)

    def _near(self, match: Match) -> list[int]:
        """Return the terms of matching messages up to two places away."""
        held = self._terms_at[match.session]
        if len(held) == 1:
            return []
        return [held[seq] for seq in (match.seq - 2, match.seq - 1, match.seq + 1, match.seq + 2) if seq in held]

    def _said(self, own: int, near: Sequence[int], short: float) -> float:
        """Return the weight of the terms of a message and its neighbours together."""
        total = 0.0
        for place, of_term in enumerate(self._weights):
            count = (own >> place & 1) + _NEIGHBOUR * sum(terms >> place & 1 for terms in near)
            if count:
                total += of_term * count * (1 + _SATURATION) / (count + short)
        return total


def best(
    matches: Sequence[Match],
    scores: Sequence[float],
    whole: Sequence[bool],
    search: Search,
    keys_of: Callable[[Iterable[Hashable]], Mapping[Hashable, str]],
) -> list[int]:
    """Return the places of the best matches, best first: one of each session, or all, up to the limit.

    Matches with `whole` have every term and come first. Ties go by time, newest first, then by the session's key,
    read with `keys_of`.
    """
    by_time = search.sort == "recent"
    ordered = sorted(
        (0.0 if by_time else -score - _WHOLE * is_whole, -match.at, -match.seq, place)
        for place, (match, score, is_whole) in enumerate(zip(matches, scores, whole, strict=True))
    )
    if search.unit == "session":
        of_session: dict[Hashable, tuple[float, int, int, int]] = {}
        for entry in ordered:
            of_session.setdefault(matches[entry[-1]].session, entry)
        ordered = list(of_session.values())
    if not ordered:
        return []
    last = ordered[: search.limit][-1][:2]
    head = [entry for entry in ordered[: search.limit + _TIES_MAX] if entry[:2] <= last]
    tied = [entry for pair in pairwise(head) if pair[0][:2] == pair[1][:2] for entry in pair]
    if tied:
        keys = keys_of({matches[entry[-1]].session for entry in tied})
        head.sort(key=lambda entry: (entry[:2], keys.get(matches[entry[-1]].session, ""), entry[2]))
    return [entry[-1] for entry in head[: search.limit]]


class _Sums(dict[int, float]):
    """The weight of each set of terms."""

    def __init__(self, weights: Sequence[float]) -> None:
        super().__init__()
        self._weights = weights

    def __missing__(self, terms: int) -> float:
        self[terms] = sum_of(self._weights, terms)
        return self[terms]


class _Parts(dict[int, float]):
    """The factor for each set of terms: its share of all terms, flattened."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count = count

    def __missing__(self, terms: int) -> float:
        self[terms] = (terms.bit_count() / self._count) ** _COVERAGE
        return self[terms]
