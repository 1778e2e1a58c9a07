"""The JSON answer to a search: the server encodes it, the Python client decodes it."""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType

from chatkeep.core.model import Elsewhere, Hit, Hits, Mode
from chatkeep.core.standing import Role
from chatkeep.wire.bodies import At


class HitItem(Struct, frozen=True, kw_only=True):
    """The best hit in one session. `highlights` are [start, end) character offsets into `match`, others into `title`.

    A session found by its title, key or tags alone has a `match_count` of 0, and its first user message as `match`.
    """

    id: str
    title: str
    channel: str
    match: str
    match_role: Role
    last_activity: At
    seq: int
    message_id: str
    highlights: tuple[tuple[int, int], ...]
    match_count: int
    title_highlights: tuple[tuple[int, int], ...] = ()


class HitPage(Struct, frozen=True, kw_only=True):
    """The hits of a search; `partial` is true when it could not read all messages that it needed.

    `elsewhere` is there if there are no hits, but would be: it counts the messages that other values of `role` find,
    and those without any filter but `role` and `prefix`.
    """

    sessions: tuple[HitItem, ...]
    mode: Mode
    partial: bool
    next_cursor: str | None = None
    elsewhere: Elsewhere | UnsetType = UNSET


def hit_page(hits: Hits) -> HitPage:
    """Return the hits of a search in the object dialect."""
    return HitPage(
        sessions=tuple(map(_hit_item, hits.hits)),
        mode=hits.mode,
        partial=hits.partial,
        next_cursor=hits.next_cursor,
        elsewhere=hits.elsewhere or UNSET,
    )


def hits_of(answer: HitPage) -> Hits:
    """Return the hits of a `hit_page`."""
    return Hits(
        hits=tuple(map(_hit_of, answer.sessions)),
        mode=answer.mode,
        partial=answer.partial,
        next_cursor=answer.next_cursor,
        elsewhere=answer.elsewhere or None,
    )


def _hit_item(hit: Hit) -> HitItem:
    return HitItem(
        id=hit.key,
        title=hit.title,
        channel=hit.channel,
        match=hit.excerpt,
        match_role=hit.role,
        last_activity=hit.updated_at,
        seq=hit.seq,
        message_id=hit.message_id,
        highlights=hit.highlights,
        match_count=hit.match_count,
        title_highlights=hit.title_highlights,
    )


def _hit_of(item: HitItem) -> Hit:
    return Hit(
        key=item.id,
        title=item.title,
        channel=item.channel,
        updated_at=item.last_activity,
        seq=item.seq,
        message_id=item.message_id,
        role=item.match_role,
        excerpt=item.match,
        highlights=item.highlights,
        match_count=item.match_count,
        title_highlights=item.title_highlights,
    )
