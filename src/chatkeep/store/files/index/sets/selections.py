"""The documents of selections of sessions, by tag, pin, archive, metadata or any prefix, kept by a connection.

Such a selection is no set of the index: a session changes its tags, and its documents leave no set. So the documents
are looked up once, session by session. Afterwards the selection is mended by the sessions that changed since, and these
are few: the feed of changes names them, and so do the documents that are new.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import apsw
from msgspec import Struct
from msgspec.json import encode
from pyroaring import BitMap

from chatkeep.store.files.index.columns import Value
from chatkeep.store.files.index.sets.postings import Postings
from chatkeep.store.files.index.sql import QUERIES, one_number, reading_rows
from chatkeep.store.sets.terms import session_label

_KEPT_MAX: Final = 16  # selections; 250 KB each at 2,000,000 messages
_FEW: Final = 200  # sessions; the sets of so few are united, 15 us each. Of more, the runs of documents are read
_NEW_MAX: Final = 2000  # documents whose sessions are looked up, 2 us each


class _Moment(Struct, frozen=True):
    """A moment of the index: the last change, and the next document."""

    change: int
    doc: int


class _Kept(Struct, frozen=True):
    """The documents of a selection at a moment; some of them may have left every set."""

    moment: _Moment
    docs: BitMap


class Selections:
    """The selections that one connection has looked up last, in the order of their use."""

    def __init__(self, db: apsw.Connection, postings: Postings) -> None:
        """Begin without any."""
        self._db = db
        self._postings = postings
        self._kept: dict[tuple[object, ...], _Kept] = {}

    def docs(self, where: str, values: Mapping[str, Value]) -> BitMap:
        """Return the documents of the sessions under a condition. Call it inside a transaction."""
        asked = (where, *sorted(values.items()))
        kept, now = self._kept.pop(asked, None), self._now()
        changed = None if kept is None else self._changed(kept.moment, now)
        if kept is None or changed is None:
            docs = self.look_up(where, values)
        else:
            docs = self._mended(kept.docs, changed, where, values) if changed else kept.docs
        self._kept[asked] = _Kept(now, docs)
        if len(self._kept) > _KEPT_MAX:
            del self._kept[next(iter(self._kept))]
        return docs

    def _now(self) -> _Moment:
        ((_, newest),) = self._db.execute(QUERIES["kept"])
        return _Moment(newest, one_number(self._db, QUERIES["next_doc"]))

    def _changed(self, before: _Moment, now: _Moment) -> Sequence[int] | None:
        """Return the sessions that changed between two moments, None if they are many or not known."""
        if before == now:
            return []
        ((oldest, _),) = self._db.execute(QUERIES["kept"])
        is_many = now.doc - before.doc > _NEW_MAX or now.change - before.change > _FEW
        if is_many or not oldest - 1 <= before.change <= now.change:
            return None
        found = self._db.execute(QUERIES["sids_changed"], {"change": before.change, "doc": before.doc})
        return [sid for (sid,) in found]

    def _mended(self, docs: BitMap, changed: Sequence[int], where: str, values: Mapping[str, Value]) -> BitMap:
        """Return the documents of a selection once these sessions have changed."""
        among = "sid IN (SELECT value FROM json_each(:changed)) AND "
        sql = QUERIES["sids_where"].replace("{where}", f"{among}({where})")
        given = {**values, "changed": encode(changed).decode(), "limit": len(changed)}
        inside = [sid for (sid,) in self._db.execute(sql, given)]
        return (docs - self._of(changed)) | self._of(inside)

    def look_up(self, where: str, values: Mapping[str, Value]) -> BitMap:
        """Return the documents of the sessions under a condition without keeping them, as for a single session.

        It reads the sessions inside the selection, or those outside, if these are few; else the runs of all inside.
        """
        for condition in (where, f"NOT ({where})"):
            sql = QUERIES["sids_where"].replace("{where}", condition)
            sids = [sid for (sid,) in self._db.execute(sql, {**values, "limit": _FEW + 1})]
            if len(sids) <= _FEW:
                found = self._of(sids)
                return found if condition is where else self._postings.everything() - found
        docs = BitMap()
        with reading_rows():
            for doc, count in self._db.execute(QUERIES["runs_where"].replace("{where}", where), values):
                docs.add_range(doc, doc + count)
        return docs

    def _of(self, sids: Iterable[int]) -> BitMap:
        return self._postings.any_of(map(session_label, sids))
