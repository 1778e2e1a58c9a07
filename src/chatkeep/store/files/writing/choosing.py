"""Chosen of a locked session, chosen to be taken back or kept. The rest of the session is not read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

from chatkeep.core.life.dropping import Chosen, drops_of, kept_of
from chatkeep.core.model import Draft, Message
from chatkeep.core.standing import Drops
from chatkeep.errors import MessageNotFoundError
from chatkeep.store.files.index.index import Index
from chatkeep.store.files.index.rows import Row, Spot
from chatkeep.store.files.tree import format as session_file
from chatkeep.store.files.tree.held import LockedFile
from chatkeep.store.files.upkeep.upkeep import Upkeep
from chatkeep.store.sets.terms import EVERY_ROLE

_LOOK: Final = 512  # lines, in one look at the index


def chosen(upkeep: Upkeep, file: LockedFile, row: Row, lines: Chosen) -> tuple[Drops, tuple[Message, ...]]:
    """Return the seqs that a choice drops, and the messages if they are few.

    Raises:
        MessageNotFoundError: when nothing chosen stands.
    """
    found: tuple[Message, ...] = ()
    if lines.is_few:
        read = {line.seq: line for line in _messages(file, _spots(upkeep, row, lines))}  # an event has two spots
        found = tuple(line for line in read.values() if lines.id in {None, line.id})
    drops = drops_of(lines, found, row.digest.line_count)
    if not drops or not any(upkeep.ask(lambda index: index.standing_in(row, drops))):
        raise MessageNotFoundError
    return drops, found


def kept(upkeep: Upkeep, file: LockedFile, row: Row, drafts: Sequence[Draft]) -> list[Message]:
    """Return the standing lines that begin the session and a list of drafts alike; it reads one line more at most."""
    return kept_of(_messages(file, _standing(upkeep, row)), drafts)


def stands_from(upkeep: Upkeep, row: Row, seq: int) -> bool:
    """Tell whether any line from a seq on stands, marks left out."""
    return bool(upkeep.ask(lambda index: index.standing_after(row, seq - 1, limit=1)))


def dropped_by(upkeep: Upkeep, file: LockedFile, row: Row, drops: Drops) -> tuple[Message, ...]:
    """Return the lines in some ranges of seqs, marks left out."""
    found: list[Message] = []
    for one in drops:
        found += _messages(file, _range(upkeep, row, one.first, one.last))
    return tuple(line for line in found if not line.is_mark)


def stored_in(file: LockedFile, spots: Iterable[Spot], wanted: Collection[str]) -> dict[str, Message]:
    """Return the messages at these spots with one of these ids, by id."""
    found: dict[str, Message] = {}
    for message in _messages(file, spots):
        if message.id in wanted:
            found.setdefault(message.id, message)
    return found


def _spots(upkeep: Upkeep, row: Row, lines: Chosen) -> Sequence[Spot]:
    if lines.id is not None:
        wanted = (lines.id,)
        found = upkeep.ask(lambda index: index.row_and_spots(row.name, row.header.key, wanted))
        return () if found is None else found.spots
    if lines.seqs is not None:
        return _range(upkeep, row, *lines.seqs)
    limit = lines.last or 0
    return upkeep.ask(lambda index: index.spots(row.name, limit=limit, before=None, after=None, roles=EVERY_ROLE))[0]


def _range(upkeep: Upkeep, row: Row, first: int, last: int) -> Sequence[Spot]:
    limit = last - first + 1
    return upkeep.ask(lambda index: index.spots(row.name, limit=limit, before=last + 1, after=first - 1, roles=None))[0]


def _standing(upkeep: Upkeep, row: Row) -> Iterator[Spot]:
    after, limit = 0, 1

    def look(index: Index) -> list[Spot]:
        return index.standing_after(row, after, limit=limit)

    while spots := upkeep.ask(look):
        yield from spots
        after, limit = spots[-1].seq, min(2 * limit, _LOOK)


def _messages(file: LockedFile, spots: Iterable[Spot]) -> Iterator[Message]:
    for spot in spots:
        message = session_file.parse_message(file.read_at(spot.start, spot.size), spot.seq)
        if message is not None:
            yield message
