"""The digest after lines that take others back: counts, title and preview without the messages that they drop.

The cost goes by what is dropped: the rest of the session is not read. A title or a preview that goes with its message
is found anew, from the next messages that stand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chatkeep.core.digest import Digest
from chatkeep.core.model import Message
from chatkeep.core.standing import Drops, holds, reach
from chatkeep.store.files.index.index import Index
from chatkeep.store.files.index.rows import Row, Spot
from chatkeep.store.files.tree import format as session_file
from chatkeep.store.files.tree.held import LockedFile
from chatkeep.store.files.upkeep.upkeep import Upkeep
from chatkeep.store.sets.terms import TALK, USER

_FIRST_LOOK = 8  # messages; the first of them nearly always has words
_LOOK_MAX = 512  # messages, in one look at the index


def digest_after(upkeep: Upkeep, file: LockedFile, row: Row, lines: Sequence[Message]) -> Digest:
    """Return the digest of a locked session with new lines at its end."""
    gone = reach(lines, row.digest.line_count)
    if not gone:
        return row.digest.plus(*lines)
    counts = upkeep.ask(lambda index: index.counted_in(row, gone))
    digest = row.digest.less(*counts, gone)
    if not digest.title_seq and row.digest.title_seq:
        digest = digest.titled(_standing(upkeep, file, row, gone, is_newest_first=False))
    if not digest.preview_seq and row.digest.preview_seq:
        digest = digest.previewed(_standing(upkeep, file, row, gone, is_newest_first=True))
    return digest.plus(*lines)


def _standing(upkeep: Upkeep, file: LockedFile, row: Row, gone: Drops, *, is_newest_first: bool) -> Iterator[Message]:
    """Yield the standing messages besides the `gone` ones: of user and assistant newest first, or of the user."""
    limit, before, after = _FIRST_LOOK, row.digest.line_count + 1, 0

    def look(index: Index) -> list[Spot]:
        if is_newest_first:
            return index.spots(row.name, limit=limit, before=before, after=None, roles=TALK)[0][::-1]
        return index.spots(row.name, limit=limit, before=None, after=after, roles=USER)[0]

    while spots := upkeep.ask(look):
        for spot in spots:
            if not holds(gone, spot.seq):
                message = session_file.parse_message(file.read_at(spot.start, spot.size), spot.seq)
                if message is not None:
                    yield message
        before = after = spots[-1].seq
        limit = min(2 * limit, _LOOK_MAX)
