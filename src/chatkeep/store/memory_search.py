"""The search of a store in memory: a look at every message."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from chatkeep.core.model import Hits, Selection
from chatkeep.core.search.highlighter import hit_of
from chatkeep.core.search.ranker import Match, Scores, weight
from chatkeep.core.search.ranker import best as best_of
from chatkeep.core.search.search import Search, elsewhere_of, is_enough, names_of, searched_texts
from chatkeep.core.standing import said, standing
from chatkeep.store.memory_sessions import StoredSession
from chatkeep.store.plain_search import (
    PlainPages,
    SaidMessage,
    SaidTexts,
    is_candidate,
    matches_in,
    names_as_message,
    result_of,
)

SelectedSessions = Callable[[Selection], Sequence[StoredSession]]
"""Returns the sessions of a selection."""


class MemorySearcher:
    """Searches the sessions of a store in memory, and knows the pages of its results."""

    def __init__(self) -> None:
        """Begin without pages."""
        self._pages = PlainPages(secrets.token_bytes(16))

    def search(self, search: Search, selected: SelectedSessions) -> Hits:
        """Return the best messages for a query, by the rules of `core.search.search`."""
        query = search.query
        sessions, texts = _searched(search, selected)
        found = whole = matches_in(texts, query, query.terms, needed=len(query.terms))
        terms = query.terms
        if not is_enough(search, len(whole), len({match.session for match in whole})) and query.relaxed != terms[:1]:
            terms = query.relaxed
            places = {(match.session, match.seq) for match in whole}
            some = matches_in(texts, query, terms, needed=1)
            found = [match for match in some if match.seq or (match.session, match.seq) in places]
        total = sum(message.seq > 0 for _, message, _ in texts)  # names are found, but count for no weight
        weights = [weight(sum(one.has(term) for _, _, one in texts), total) for term in terms]
        places = {(match.session, match.seq) for match in whole}
        scores = Scores(found, weights)
        are_whole = [(match.session, match.seq) in places for match in found]
        every = best_of(
            found,
            [scores.of(match) for match in found],
            are_whole,
            msgspec.structs.replace(search, limit=len(found)),
            lambda keys: {key: str(key) for key in keys},
        )
        ranked, next_cursor = self._pages.page(search, {result_of(search, found[place]): place for place in every})
        best = [found[place] for place in ranked]
        counts = Counter(match.session for match in found if match.seq)
        hits = []
        for match in best:
            stored = sessions[str(match.session)]
            shown = match.seq or _seq_shown(stored, [one for one in found if one.session == match.session])
            message = stored.messages[shown - 1] if shown else None
            hits.append(hit_of(stored.summary, message, search, counts[match.session]))
        is_all = all(are_whole[place] for place in ranked)
        elsewhere = (
            None if hits or search.cursor is not None else elsewhere_of(search, lambda other: _count(other, selected))
        )
        return Hits(hits=tuple(hits), mode="all" if is_all else "any", elsewhere=elsewhere, next_cursor=next_cursor)


def _searched(search: Search, selected: SelectedSessions) -> tuple[dict[str, StoredSession], Sequence[SaidMessage]]:
    """Return the sessions that a search looks at, and their messages with the searched texts."""
    chosen = {stored.header.key: stored for stored in selected(search.selection)}
    sessions = {key: stored for key, stored in chosen.items() if search.session in (None, key)}
    texts = [
        (key, message, SaidTexts(searched_texts(message, search)))
        for key, stored in sessions.items()
        for message in standing(stored.messages)
        if is_candidate(message, search)
    ]
    if search.covers_names:
        texts += [
            (key, names_as_message(stored.header), SaidTexts(names_of(stored.header)))
            for key, stored in sessions.items()
        ]
    return sessions, texts


def _count(search: Search, selected: SelectedSessions) -> int:
    terms = search.query.terms
    found = matches_in(_searched(search, selected)[1], search.query, terms, needed=len(terms))
    return sum(match.seq > 0 for match in found)


def _seq_shown(stored: StoredSession, matches: Sequence[Match]) -> int:
    """Return the seq of the message that a session found by its names shows, 0 without messages."""
    newest = max(((match.at, match.seq) for match in matches if match.seq), default=None)
    if newest is not None:
        return newest[1]
    return next((one.seq for one in said(stored.messages) if one.seq >= stored.digest.title_seq), 0)
