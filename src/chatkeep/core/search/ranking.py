"""Which of the messages that match are the best: one order over all candidates of a search.

A message scores what its terms weigh: rare ones much, common ones little (BM25 with each term
counted once, as messages are short). A term of a message one or two places away counts a little too,
so an answer is found by the words of its question. On top of that: words that stand side by side as
in the query, above all the whole of it as it was typed, all terms rather than one, a session that holds
many of the terms, and, gently, a message of recent days rather than an old one.

The weights are the flat middle of what was tried on LoCoMo (see bench/search_quality.py): with one of
them halved or doubled, no figure moves by more than 0.01, but recall@5 by 0.025 where neighbours count half.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final

from msgspec import Struct

from chatkeep.core.search.search import Search

_SATURATION: Final = 1.0
_LENGTH: Final = 0.3
_NEIGHBOUR: Final = 0.3
_PHRASE: Final = 0.4
_VERBATIM: Final = 1e4
_COVERAGE: Final = 0.25
_SESSION: Final = 1.0
_WHOLE: Final = 1e6
_TIES_MAX: Final = 2000
_RECENT: Final = 0.1
_RECENT_US: Final = 30 * 24 * 3600 * 1_000_000


class Match(Struct):
    """A message that has some terms of a query, as bits: the first term is 1, the second 2, the third 4.

    `phrases` are bits too: the first stands for the first two words side by side. `is_verbatim` when
    it has all words of the query as they stand there. `at` is in microseconds, `size` in bytes.
    """

    session: Hashable
    seq: int
    at: int
    size: int
    terms: int
    phrases: int = 0
    is_verbatim: bool = False


def weight(count: int, total: int) -> float:
    """Return what a term weighs that is in `count` of `total` messages."""
    count = min(count, total)
    return math.log(1 + (total - count + 0.5) / (count + 0.5))


def sum_of(weights: Sequence[float], terms: int) -> float:
    """Return what a set of terms weighs."""
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
        return round(score + _VERBATIM * match.is_verbatim, 9)

    def _near(self, match: Match) -> list[int]:
        """Return the terms of the messages up to two places away that have some."""
        held = self._terms_at[match.session]
        if len(held) == 1:
            return []
        return [held[seq] for seq in (match.seq - 2, match.seq - 1, match.seq + 1, match.seq + 2) if seq in held]

    def _said(self, own: int, near: Sequence[int], short: float) -> float:
        """Return what the terms of a message and its neighbours weigh together."""
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
    """Return the places of the matches that answer a search, best first: of each session one, or all, up to the limit.

    Those that are `whole` have every term and stand before the others. Ties go by time, newest first, then by the
    session's key, which `keys_of` tells.
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
    """The weights of each set of terms."""

    def __init__(self, weights: Sequence[float]) -> None:
        super().__init__()
        self._weights = weights

    def __missing__(self, terms: int) -> float:
        self[terms] = sum_of(self._weights, terms)
        return self[terms]


class _Parts(dict[int, float]):
    """What it counts to have some of so many terms."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count = count

    def __missing__(self, terms: int) -> float:
        self[terms] = (terms.bit_count() / self._count) ** _COVERAGE
        return self[terms]
