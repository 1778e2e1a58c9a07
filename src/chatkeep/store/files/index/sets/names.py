"""The names of sessions as documents: the title that somebody gave, the key and the tags.

Each session has one such document, with labels of its own kind, so only a search for names finds it. Other names get
another document, and the one before leaves every set.
"""

from __future__ import annotations

import apsw

from chatkeep.store.files.index.sets.postings import put_fresh, withdraw
from chatkeep.store.files.index.sql import QUERIES
from chatkeep.store.sets.tail import FreshMessage, Tail


def put_names(db: apsw.Connection, names: FreshMessage, bulk: Tail | None) -> None:
    """Add the names of a session as a document; during a build, to the labels in memory."""
    size = len(names.indexed.texts)
    db.execute(QUERIES["put_names"], (names.doc, names.sid, names.at_us, size))
    if bulk is None:
        put_fresh(db, [names.indexed], names.doc)
    else:
        bulk.add_exploded(names)


def drop_names(db: apsw.Connection, sid: int) -> None:
    """Take the names of a session out of every set."""
    for (doc,) in list(db.execute(QUERIES["drop_names"], (sid,))):
        withdraw(db, doc)
