"""Sealing: the labels of the newest messages become rows of sets.

It goes on in small steps, and each write is a transaction of its own, so it holds up no writer. A crash between two of
them loses nothing: the messages stay in `fresh` until all of their labels stand in rows. To seal the same messages
twice, even in two processes at once, does no harm, as the rows are unions.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, groupby
from typing import Final

import apsw
from msgspec.json import encode
from pyroaring import BitMap

from chatkeep.disk.sqlite import transaction
from chatkeep.store.files.index.sets import lexicon
from chatkeep.store.files.index.sets.postings import fresh_messages
from chatkeep.store.files.index.sql import QUERIES, one_number
from chatkeep.store.sets.blocks import PairPosting, Posting, postings_of
from chatkeep.store.sets.containers import docs_in
from chatkeep.store.sets.pairs import MARK_BITS
from chatkeep.store.sets.tail import FreshMessage, Tail
from chatkeep.store.sets.terms import BEGINNING, DocLabel, beginning, is_word

SEALED_FROM: Final = 8192  # documents; a reader takes in so many in about 0.1 s
SEALED_QUIET_FROM: Final = 2048  # documents, in a quiet moment
_ROWS: Final = 128  # rows in a step: a few milliseconds
_BULK_ROWS: Final = 4096  # rows in a step of a build, which holds up nobody
_MESSAGES: Final = 20  # messages read in a step; 20 long ones may have 20 MiB
_LABELS: Final = 1_500_000  # in memory at a time, about 30 MB
_DELETED: Final = 250  # rows of `fresh` deleted in a step
BULK_LABELS: Final = 6_000_000  # of the messages in memory during a build, about 100 MB
_PLACE_BITS: Final = 40  # of the number of a label, in the place of a row


def fresh_count(db: apsw.Connection) -> int:
    """Return about how many messages wait to be sealed."""
    return one_number(db, QUERIES["fresh_count"])


def sealing(db: apsw.Connection) -> Iterator[None]:
    """Seal all messages that are fresh now, a step at a time. Each write is a transaction; reading holds up nobody.

    It ends early once an erasure begins: what it read before may have the erased words.
    """
    erasures = one_number(db, QUERIES["erasures"])
    last = one_number(db, QUERIES["last_fresh"])
    upto = 0
    while upto < last:
        tail = Tail()
        yield from _reading(db, tail, upto, last)
        upto = tail.last if tail.label_count > _LABELS else last
        if not (yield from _putting(db, tail, upto, erasures)):
            return
    yield from _cleaning(db, last)


def _reading(db: apsw.Connection, tail: Tail, after: int, last: int) -> Iterator[None]:
    """Read fresh messages into memory, as many as make up so many labels; long ones come one by one."""
    some: list[FreshMessage] = []
    while tail.label_count <= _LABELS:
        most = 1 if any(message.indexed.is_long for message in some) else _MESSAGES
        some = list(fresh_messages(db, max(after, tail.last), last, most))
        if not some:
            break
        for message in some:
            yield from tail.adding(message) if message.indexed.is_long else _at_once(tail.adding(message))
        yield


def _putting(db: apsw.Connection, tail: Tail, upto: int, erasures: int) -> Generator[None, None, bool]:
    """Put the labels of messages into rows; return False, and do no more, once there were more erasures."""
    sealed: Callable[[], object] = partial(db.execute, QUERIES["put_sealed"], (upto,))
    for write in chain(row_writes(db, tail, _ROWS), (sealed,)):
        with transaction(db):
            if one_number(db, QUERIES["erasures"]) != erasures:
                return False
            write()
        yield
    return True


def put_at_once(db: apsw.Connection, tail: Tail) -> None:
    """Put the labels of messages into rows in the transaction of the caller, during a build."""
    for write in row_writes(db, tail, _BULK_ROWS):
        write()
    db.execute(QUERIES["put_sealed"], (tail.last,))


def row_writes(db: apsw.Connection, tail: Tail, row_count: int) -> Iterator[Callable[[], object]]:
    """Yield the writes that put the labels of messages into rows; run each before the next."""
    known = lexicon.longer_beginnings(db)
    new_words: list[str] = []
    for batch in _batches(tail.pairs(), row_count, PairPosting, MARK_BITS):
        yield partial(_write, db, batch)
    for batch in _batches(tail.postings(), row_count):
        yield lambda: new_words.extend(filter(is_word, _write(db, batch)))  # noqa: B023 - it runs before the next
    for batch in _batches(_begun(tail, known), row_count):
        yield partial(_write, db, batch)
    for label in lexicon.new_beginnings(db, new_words, known):
        yield partial(_make_set, db, label)


def _cleaning(db: apsw.Connection, upto: int) -> Iterator[None]:
    """Delete what sealed messages leave: long texts one by one, and those of appends that never came."""
    while True:
        with transaction(db):
            numbers = list(db.execute(QUERIES["drop_fresh_long"], (upto,)))
            db.executemany(QUERIES["drop_long"], numbers)
        yield
        if not numbers:
            break
    while True:
        with transaction(db):
            deleted = list(db.execute(QUERIES["drop_fresh"], (upto, _DELETED)))
        yield
        if not deleted:
            break
    with transaction(db):
        db.execute(QUERIES["drop_orphans"])
        db.execute(QUERIES["next_generation"])


def _at_once(steps: Iterator[None]) -> Iterator[None]:
    for _ in steps:
        pass
    yield from ()


def _batches(
    postings: Iterable[tuple[DocLabel, array[int]]], row_count: int, kind: type[Posting] = Posting, mark_bits: int = 0
) -> Iterator[list[Posting]]:
    """Yield postings in batches of about so many rows; `mark_bits` are the bits behind each document."""
    batch: list[Posting] = []
    for label, docs in postings:
        batch.extend(postings_of(label, docs, kind, mark_bits))
        if len(batch) >= row_count:
            yield batch
            batch = []
    if batch:
        yield batch


def _begun(tail: Tail, known: set[str]) -> Iterator[tuple[DocLabel, array[int]]]:
    """Yield the longer beginnings that have a set, with the documents of their words."""
    words: defaultdict[str, list[str]] = defaultdict(list)
    for word in filter(is_word, tail.texts()):
        for letters in lexicon.beginnings_in(word, known):
            words[letters].append(word)
    for letters in sorted(words):
        yield beginning(letters), BitMap.union(*map(tail.docs, words[letters])).to_array()


def _write(db: apsw.Connection, batch: list[Posting]) -> list[str]:
    """Add documents to rows, or to the entries of labels with few; return the labels that are new, in order."""
    texts = list(dict.fromkeys(one.label for one in batch if isinstance(one.label, str)))
    known = dict(zip(texts, lexicon.label_entries(db, texts), strict=True))
    numbers: dict[DocLabel, int] = {label: entry for label, entry in known.items() if isinstance(entry, int)}
    rows = [one for one in batch if isinstance(one.label, int) or one.label in numbers]
    others = (one for one in batch if isinstance(one.label, str) and one.label not in numbers)
    many: list[Posting] = []
    for label, of_label in groupby(others, key=_label_of):
        docs = array("I", sorted({*lexicon.few_docs(known[label]), *chain.from_iterable(one.docs for one in of_label)}))
        if len(docs) <= lexicon.FEW:
            db.execute(QUERIES["put_label"], (label, docs.tobytes()))
        else:
            many += postings_of(label, docs)
    if many:
        numbers.update(_put_numbers(db, list(dict.fromkeys(map(_label_of, many)))))
    _put_rows(db, [*rows, *many], numbers)
    return [label for label in texts if known[label] is None]


def _label_of(one: Posting) -> str:
    return str(one.label)


def _put_numbers(db: apsw.Connection, labels: Sequence[str]) -> Mapping[str, int]:
    """Give each label a number."""
    following = one_number(db, QUERIES["take_numbers"], (len(labels),))
    numbers = dict(zip(labels, range(following - len(labels), following), strict=True))
    db.executemany(QUERIES["put_label"], list(numbers.items()))
    return numbers


def _put_rows(db: apsw.Connection, batch: Sequence[Posting], numbers: Mapping[DocLabel, int]) -> None:
    places = [
        one.block << _PLACE_BITS | (one.label if isinstance(one.label, int) else numbers[one.label]) for one in batch
    ]
    known = dict(db.execute(QUERIES["rows_at"], (encode(places).decode(),)))
    rows = [(place, one.row(known.get(place))) for one, place in zip(batch, places, strict=True)]
    db.executemany(QUERIES["put_row"], rows)
    db.executemany(QUERIES["put_block"], [(block,) for block in {one.block for one in batch}])


def _make_set(db: apsw.Connection, label: str) -> None:
    """Give a beginning its own set: the union of the sets of its words."""
    docs = BitMap.union(*map(docs_in, lexicon.sets_begun(db, label.removeprefix(BEGINNING))))
    _write(db, list(postings_of(label, docs.to_array())))
