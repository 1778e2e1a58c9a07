"""Further pages of a search: the cursor that goes on after one.

The pages of a search answer each match once, or with `unit="session"` each session. At first every page ranks what no
page has shown: the cursor lists the results shown. Once these are many, and in a search by time from the beginning, the
rest follows by time, newest first. Then the cursor has the time of the last result, and lists those of that very time.

So a cursor is short, a page costs the same wherever it stands, and no change of other sessions skips or repeats one.
The listed numbers mean something to one store only; its `origin` tells.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from msgspec import Struct

from chatkeep.core.search.search import Search
from chatkeep.errors import InvalidCursorError

RANKED_MAX: Final = 200  # results; after so many the rest follows by time, else the cursor would grow too long
_FINGERPRINT_BYTES: Final = 6
_CURSOR_CHARS_MAX: Final = 4096  # 400 results far apart take about 3,200
_TOTAL_MAX: Final = 1 << 20  # numbers in a cursor; in runs, so many can be of one time
_NUMBER_MAX: Final = 1 << 31
_TIME_MAX: Final = 1 << 62  # microseconds


class SearchPage(Struct, frozen=True):
    """Where a further page begins.

    `ranked` has the results that the pages before ranked. With `by_time` the others follow by time: those older than
    `until_us`, in microseconds since 2024, and those of that time besides `shown`. `is_loose` means that some of the
    terms are enough. Results are numbers of documents, with `unit="session"` of sessions.
    """

    origin: bytes = b""
    is_loose: bool = False
    by_time: bool = False
    until_us: int | None = None
    ranked: frozenset[int] = frozenset()
    shown: frozenset[int] = frozenset()


class _Content(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A cursor: the page, with its results as gaps and lengths of runs."""

    fingerprint: bytes
    origin: bytes
    is_loose: bool
    by_time: bool
    until_us: int | None
    ranked: list[int]
    shown: list[int]


def cursor_of(search: Search, page: SearchPage) -> str | None:
    """Return the cursor of a page, None if it would be too long: if very many results are of one time."""
    facts = (_fingerprint(search), page.origin, page.is_loose, page.by_time, page.until_us)
    content = _Content(*facts, list(_runs(sorted(page.ranked))), list(_runs(sorted(page.shown))))
    cursor = base64.urlsafe_b64encode(msgspec.msgpack.encode(content)).rstrip(b"=").decode()
    return cursor if len(cursor) <= _CURSOR_CHARS_MAX else None


def page_of_cursor(search: Search, origin: bytes) -> SearchPage | None:
    """Return the page of a search's cursor, None for the first one.

    Raises:
        InvalidCursorError: when `cursor_of` did not make the cursor for this search and origin.
    """
    cursor = search.cursor
    if cursor is None:
        return None
    if len(cursor) > _CURSOR_CHARS_MAX:
        raise InvalidCursorError
    try:
        encoded = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
        told = msgspec.msgpack.decode(encoded, type=_Content)
        results = (frozenset(_numbers(told.ranked)), frozenset(_numbers(told.shown)))
    except (binascii.Error, msgspec.MsgspecError, ValueError, OverflowError) as error:
        raise InvalidCursorError from error
    page = SearchPage(told.origin, told.is_loose, told.by_time, told.until_us, *results)
    if page.origin != origin or not -_TIME_MAX < (page.until_us or 0) < _TIME_MAX or cursor_of(search, page) != cursor:
        raise InvalidCursorError
    return page


def _fingerprint(search: Search) -> bytes:
    """Return a short fingerprint of a search: its query and every filter, whatever the limit."""
    chosen = search.selection
    tags, metadata = tuple(sorted(set(chosen.tags))), tuple(sorted(set(chosen.metadata)))
    filters = (
        search.query.text,
        (chosen.prefix, msgspec.structs.replace(chosen, prefixes=(), tags=tags, metadata=metadata)),
        (search.session, search.roles, search.since, search.until, search.sort, search.unit),
    )
    return hashlib.blake2b(msgspec.json.encode(filters), digest_size=_FINGERPRINT_BYTES).digest()


def _runs(numbers: Iterable[int]) -> Iterator[int]:
    """Yield runs of neighbouring numbers as gaps between them and lengths, in turn."""
    end = start = 0
    for number in numbers:
        if number != end or end == start:
            if end > start:
                yield end - start
            yield number - end
            start = number
        end = number + 1
    if end > start:
        yield end - start


def _numbers(runs: list[int]) -> Iterator[int]:
    """Yield the numbers of `_runs`.

    Raises:
        ValueError: when the values are no runs, or too long.
    """
    end, total = 0, 0
    for gap, length in zip(runs[::2], runs[1::2], strict=True):
        total += length
        if gap < 0 or length < 1 or total > _TOTAL_MAX or end > _NUMBER_MAX:
            raise ValueError(gap)
        yield from range(end + gap, end + gap + length)
        end += gap + length
