"""Messages gathered from a transcript: they wait on disk until the heads of their sessions are known.

A transcript is a log: messages of several sessions may alternate in it, and a title may follow at its end. So each
message goes to a spool file and gets a number. An importer keeps lists of these numbers, a list for each session or
branch. Memory holds eight bytes for each message, whatever its size.
"""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import IO, Final

import msgspec
from msgspec import Struct, field

from chatkeep.core.bounds import METADATA_BYTES_MAX
from chatkeep.core.model import Json, Session
from chatkeep.errors import ChatkeepError
from chatkeep.importers.assembly import ALTERED, sentence
from chatkeep.importers.importer import Reading
from chatkeep.importers.records import ImportedMessage, fitting_key, head_of, mended_message, why
from chatkeep.importers.reports import Flaw
from chatkeep.importers.shaping import SOURCE
from chatkeep.importers.threads.branching import branches
from chatkeep.importers.threads.numbering import in_parts

FORK_ORIGIN: Final = "forked_from"
"""Name in a session's metadata of its origin: the `session` it leaves, and the `seq` of the last shared message."""

PARENT: Final = "parent"
"""Name in a sub-agent's metadata of the session that gave it its task."""

_IN_MEMORY_BYTES: Final = 1 << 20  # bytes of a spool in memory; more go to disk

_decode = msgspec.json.Decoder(ImportedMessage).decode
_encode = msgspec.json.Encoder().encode


class MessageTree(Struct):
    """Messages of a session with branches, by their ids in the source: the one before each, and its numbers.

    A message of the source may become several messages, such as an answer and the results of its tools.
    """

    parents: dict[str, str | None] = field(default_factory=dict)
    numbers: dict[str, Sequence[int]] = field(default_factory=dict)
    active: str | None = None

    def add(self, name: str, parent: str | None, *numbers: int) -> None:
        """Add a message behind its parent, or to the beginning; it is the active one now."""
        self.parents[name] = parent
        self.numbers[name] = numbers
        self.active = name

    @property
    def has_branches(self) -> bool:
        """Whether any message has two answers, or two messages have no parent."""
        return len(set(self.parents.values())) < len(self.parents)


class Gathering:
    """The messages of one source, by number."""

    def __init__(self, reading: Reading) -> None:
        """Begin empty; `close` it at the end."""
        self._reading = reading
        self._spool: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115 - closed by `close`
        self._spots = array("Q")

    def close(self) -> None:
        """Drop the spool."""
        self._spool.close()

    def keep(self, fields: Mapping[str, Json], place: str) -> Generator[Flaw, None, int | None]:
        """Take a message with the fields of our `json` format, and return its number; None for one beyond mending."""
        try:
            said, told = mended_message(fields, self._reading.zone)
        except (ChatkeepError, RecursionError) as error:
            yield Flaw(place, f"It was left out: {why(error).removesuffix('.')}.")
            return None
        if told:
            yield Flaw(place, sentence(told), ALTERED)
        self._spool.seek(0, 2)
        self._spots.append(self._spool.tell())
        self._spool.write(_encode(said) + b"\n")
        return len(self._spots) - 1

    def stored_ids(self, key: str) -> Mapping[str, int]:
        """Return the ids of the messages that an earlier import stored under a key, with the counts of their calls."""
        return self._reading.stored_ids(key)

    def session(self, fields: Mapping[str, Json], numbers: Iterable[int], place: str) -> Iterator[Session | Flaw]:
        """Yield the session with these header fields and messages, in parts when it is long."""
        try:
            head, told = head_of({**fields, "metadata": _fitting(fields.get("metadata") or {})}, self._reading.zone)
        except ChatkeepError as error:
            yield Flaw(place, str(error), error.code)
            return
        if told:
            yield Flaw(place, sentence(told), ALTERED)
        numbers = array("Q", numbers)
        begun = head.created_at or self._earliest(numbers) or self._reading.now()
        yield from in_parts(head, begun, map(self._said, numbers))

    def forks(self, fields: Mapping[str, Json], tree: MessageTree, place: str) -> Iterator[Session | Flaw]:
        """Yield the session of the active branch, then a fork for each other one; it begins as its origin does."""
        key = str(fields["key"])
        stored = self._reading.stored_ids(key) if tree.has_branches else {}
        for branch in branches(tree.parents, tree.active, stored):
            numbers = [number for one in branch.path for number in tree.numbers[one]]
            if branch.own is None:
                yield from self.session(fields, numbers, place)
                continue
            origin = key if branch.parent is None else fitting_key(key, branch.parent, "/")
            forked_from = {"session": origin, "seq": sum(len(tree.numbers[one]) for one in branch.shared)}
            metadata = {**(fields.get("metadata") or {}), FORK_ORIGIN: forked_from}
            yield from self.session(
                {**fields, "key": fitting_key(key, branch.own, "/"), "metadata": metadata}, numbers, place
            )

    def _said(self, number: int) -> ImportedMessage:
        self._spool.seek(self._spots[number])
        return _decode(self._spool.readline())

    def _earliest(self, numbers: Iterable[int]) -> datetime | None:
        times = (self._said(number).timestamp for number in numbers)
        return min((at for at in times if at is not None), default=None)


def _fitting(metadata: Mapping[str, Json]) -> dict[str, Json]:
    """Return a session's metadata without the largest facts of its source, when all of them are too large to store."""
    facts = metadata.get(SOURCE)
    if not isinstance(facts, dict) or len(_encode(metadata)) <= METADATA_BYTES_MAX:
        return dict(metadata)
    by_size = sorted(facts, key=lambda name: len(_encode(facts[name])), reverse=True)
    for count in range(1, len(by_size) + 1):
        kept = {name: value for name, value in facts.items() if name not in by_size[:count]}
        fitting = {**metadata, SOURCE: {**kept, "too_large": by_size[:count]}}
        if len(_encode(fitting)) <= METADATA_BYTES_MAX:
            return fitting
    return {name: value for name, value in metadata.items() if name != SOURCE}
