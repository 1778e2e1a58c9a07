"""Conversations of other programs, read one by one from a file, each turned into a session and the forks of it.

A file has one conversation, a list of them, or one on each line. Only one is in memory at a time, and its messages
are taken from its bytes when their turn comes.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple, cast

import msgspec
from msgspec import Struct

from chatkeep.core.model import Json, Session
from chatkeep.core.scanning import BOM, BrokenValueError, LongValueError, Scanner
from chatkeep.core.text.surrogates import storable_text
from chatkeep.errors import BrokenInputError, ChatkeepError
from chatkeep.importers.assembly import ALTERED, sentence
from chatkeep.importers.glimpse import glimpse, objects_of
from chatkeep.importers.importer import Look, Reading, recognised_below
from chatkeep.importers.records import (
    ImportedMessage,
    fitting_key,
    head_of,
    lenient_json,
    mended_message,
    why,
)
from chatkeep.importers.reports import Flaw
from chatkeep.importers.sources import Source
from chatkeep.importers.threads.branching import Branch, branches
from chatkeep.importers.threads.numbering import in_parts

_FORKED_FROM: Final = "forked_from"
_HEAD_BYTES: Final = 1 << 16  # bytes of a file to find its lists in


class Saying(NamedTuple):
    """A message as in our `json` format, the id of its origin, and the changes made to it so far."""

    origin: str
    fields: dict[str, Json]
    told: tuple[str, ...] = ()


class SourceTree(Struct, frozen=True, kw_only=True):
    """A conversation with a tree of messages, not yet read.

    `fields` has the header as in our `json` format, without a key. `parents` maps each message to the one before it,
    in the order of the file. `said` returns the messages of a thread; one message of the source may become several.
    """

    name: str
    id: str
    fields: Mapping[str, Json]
    parents: Mapping[str, str | None]
    said: Callable[[Sequence[str]], Iterable[Saying]]
    active: str | None = None


class Extract(NamedTuple):
    """The bytes of a conversation, and its place in the file."""

    place: str
    raw: bytes


class TreeImporter(ABC):
    """An importer of conversations with trees of messages: a format adds its name, its mark and its reading."""

    name: ClassVar[str]
    reason: ClassVar[str]
    """The reason for taking a file for this format."""
    lists: ClassVar[tuple[str, ...]] = ()
    """The fields with the list of conversations, where a file has an object around it."""
    beginning: ClassVar[str] = ""
    """The beginning of the names of the program's own files."""

    @abstractmethod
    def is_tree(self, value: Json) -> bool:
        """Tell whether a value has the form of this format's trees."""

    @abstractmethod
    def tree_of(self, raw: bytes) -> SourceTree:
        """Return the tree of a conversation.

        Raises:
            BrokenInputError: when it is no conversation.
        """

    def recognises(self, look: Look) -> str | None:
        """Return the reason if a value at the beginning of a file is a conversation."""
        return self.reason if any(map(self.is_tree, objects_of(look.sight, *self.lists))) else None

    def files_in(self, folder: Path) -> Iterable[Path]:
        """Return the files with conversations in a folder or below it."""
        return recognised_below(folder, self.recognises, self.beginning)

    def read(self, source: Source, reading: Reading) -> Iterator[Session | Flaw]:
        """Yield the sessions of a file, each with its forks, and a flaw for each unreadable conversation."""
        for record in records_in(source, reading, self.is_tree, lists=self.lists):
            if isinstance(record, Flaw):
                yield record
                continue
            try:
                tree = self.tree_of(record.raw)
            except BrokenInputError as error:
                yield Flaw(record.place, str(error))
                continue
            yield from sessions_of(tree, record.place, reading)


def in_parts_of(
    path: Sequence[str], messages: Mapping[str, bytes], parts_of: Callable[[dict[str, Json]], list[dict[str, Json]]]
) -> Iterator[Saying]:
    """Yield the messages of a thread, each in its parts: the first has the id of the message, the others count on."""
    for one in path:
        value, told = lenient_json(messages[one])
        if not isinstance(value, dict):
            yield Saying(one, {}, told)
            continue
        for number, fields in enumerate(parts_of(value)):
            fields["id"] = None if one.startswith("#") else f"{one}.{number}" if number else one
            yield Saying(one, fields, told if number == 0 else ())


def in_a_row(ids: Iterable[str]) -> dict[str, str | None]:
    """Return the parents of messages without branches."""
    parents: dict[str, str | None] = {}
    last: str | None = None
    for one in ids:
        parents[one] = last
        last = one
    return parents


def fields_of(raw: bytes) -> dict[str, bytes]:
    """Return the fields of an object, each as its JSON: one that is not valid text spoils no other.

    Raises:
        BrokenInputError: when it is no object.
    """
    try:
        return {name: bytes(part) for name, part in msgspec.json.decode(raw, type=dict[str, msgspec.Raw]).items()}
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        value = _as_written(raw)
    if not isinstance(value, dict):
        raise BrokenInputError("It is no object, but another value.")
    return {storable_text(name): json.dumps(part).encode() for name, part in value.items()}


def items_of(raw: bytes) -> list[bytes]:
    """Return the items of a list, each as its JSON.

    Raises:
        BrokenInputError: when it is no list.
    """
    try:
        return [*map(bytes, msgspec.json.decode(raw, type=list[msgspec.Raw]))]
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        value = _as_written(raw)
    if not isinstance(value, list):
        raise BrokenInputError("It is no list, but another value.")
    return [json.dumps(item).encode() for item in value]


def _as_written(raw: bytes) -> Json:
    """Return the value of JSON with characters that cannot be stored, for writing it again as it was."""
    try:
        return json.loads(raw.decode(errors="surrogateescape"), strict=False)
    except (ValueError, RecursionError) as error:
        raise BrokenInputError(f"It is not JSON: {error}.") from error


def records_in(
    source: Source, reading: Reading, is_record: Callable[[Json], bool], *, lists: Collection[str] = ()
) -> Iterator[Extract | Flaw]:
    """Yield the conversations of a file, and a flaw for each broken one; the search for the next one is thorough.

    A conversation stands in a list, on a line, alone, or in a field of an object named in `lists`.

    Raises:
        BrokenInputError, OSError, and the errors of `READ_ERRORS`: when the file cannot be read.
    """
    with reading.content_of(source) as stream:
        if stream.peek(len(BOM)).startswith(BOM):
            stream.read(len(BOM))
        sight = glimpse(stream.peek(_HEAD_BYTES)[:_HEAD_BYTES])
        scanner = Scanner(cast("Any", stream))
        name = next((one for one in sight if one in lists), None) if isinstance(sight, dict) else None
        if name is not None:
            _go_to(scanner, name)
        yield from _records(scanner, is_record, is_inner=name is not None)


def sessions_of(tree: SourceTree, place: str, reading: Reading) -> Iterator[Session | Flaw]:
    """Yield the session of a conversation, and its forks; long ones in parts."""
    key = fitting_key(tree.name, tree.id)
    stored = reading.stored_ids(key) if _has_branches(tree.parents) else {}
    if not tree.parents:
        yield from _Thread(tree, Branch(path=()), key, place, reading).parts(key)
    for branch in branches(tree.parents, tree.active, stored):
        yield from _Thread(tree, branch, key, place, reading).parts(key)


class _Thread:
    """One branch of a conversation on its way to becoming a session."""

    def __init__(self, tree: SourceTree, branch: Branch, key: str, place: str, reading: Reading) -> None:
        self._tree = tree
        self._branch = branch
        self._place = place
        self._reading = reading
        self._zone = reading.zone
        self._key = key if branch.own is None else fitting_key(key, branch.own, "/")

    def parts(self, base_key: str) -> Iterator[Session | Flaw]:
        fields = {**self._tree.fields, "key": self._key}
        if self._branch.own is not None:
            fields["metadata"] = {**(fields.get("metadata") or {}), _FORKED_FROM: self._origin(base_key)}
        try:
            head, told = head_of(fields, self._zone)
        except ChatkeepError as error:
            yield Flaw(self._place, str(error), error.code)
            return
        if told and self._branch.own is None:
            yield Flaw(self._place, sentence(told), ALTERED)
        begun = head.created_at or self._earliest(self._branch.path) or self._reading.now()
        yield from in_parts(head, begun, self._fresh())

    def _origin(self, base_key: str) -> dict[str, Json]:
        parent = self._branch.parent
        seq = sum(1 for one in self._read(self._branch.shared) if isinstance(one, ImportedMessage))
        return {"session": base_key if parent is None else fitting_key(base_key, parent, "/"), "seq": seq}

    def _read(self, path: Sequence[str]) -> Iterator[ImportedMessage | Flaw]:
        for one, fields, changes in self._tree.said(path):
            place = f"{self._place}, message {one}"
            try:
                said, told = mended_message(fields, self._zone, changes)
            except (ChatkeepError, RecursionError) as error:
                yield Flaw(place, f"It was left out: {why(error).removesuffix('.')}.")
                continue
            if told:
                yield Flaw(place, sentence(told), ALTERED)
            yield said

    def _fresh(self) -> Iterator[ImportedMessage | Flaw]:
        """Yield the messages; the flaws of those before the fork were told with its parent."""
        is_told = frozenset(self._branch.shared)
        for one in self._read(self._branch.path):
            if not isinstance(one, Flaw) or one.place.rpartition(" ")[2] not in is_told:
                yield one

    def _earliest(self, path: Sequence[str]) -> datetime | None:
        times = (one.timestamp for one in self._read(path) if isinstance(one, ImportedMessage))
        return min((at for at in times if at is not None), default=None)


def _has_branches(parents: Mapping[str, str | None]) -> bool:
    """Tell whether a message has two answers, or none of them is the first one."""
    known = [parent for parent in parents.values() if parent in parents]
    return len(set(known)) < len(known) or len(known) + 1 < len(parents)


def _go_to(scanner: Scanner, name: str) -> None:
    """Go to the value of a field of the object here, past the fields before it."""
    scanner.skip(b"{")
    try:
        while scanner.name() != name:
            _pass(scanner)
            scanner.skip(b",")
    except BrokenValueError as error:
        raise BrokenInputError(str(error)) from error


def _pass(scanner: Scanner) -> None:
    with suppress(LongValueError):
        scanner.value()


def _records(scanner: Scanner, is_record: Callable[[Json], bool], *, is_inner: bool) -> Iterator[Extract | Flaw]:
    def is_wanted(raw: bytes) -> bool:
        return is_record(_value_of(raw))

    is_list, has_ended, number = scanner.skip(b"["), False, 0
    while not has_ended and scanner.peek():
        number += 1
        place = f"conversation {number}"
        raw: bytes | None = None
        try:
            has_ended = is_list and _has_ended(scanner, is_inner=is_inner)
            raw = None if has_ended else _object(scanner)
        except LongValueError:
            yield Flaw(place, "It is too large: a conversation has at most 48 MiB.")
        except BrokenValueError as error:
            yield Flaw(place, str(error))
            raw = scanner.find_object(is_wanted)
            if raw is None:
                break
            number += 1
        if raw is not None:
            yield Extract(f"conversation {number}", raw)
        scanner.skip(b",")
    if not number or (has_ended and number == 1):
        yield Flaw("the file", "There are no conversations in it.")
    elif is_list and not has_ended:
        yield Flaw("the end", "The list of conversations has none: the file is cut.")


def _object(scanner: Scanner) -> bytes:
    if scanner.peek() != b"{":
        raise BrokenValueError("It is no conversation, but another value.")
    return scanner.value()


def _has_ended(scanner: Scanner, *, is_inner: bool) -> bool:
    """Pass the end of the list, if it is here; an inner list is followed by another field, or the end of its object.

    Raises:
        BrokenValueError: when anything else follows: it is no end, but damage.
    """
    if not scanner.skip(b"]"):
        return False
    follows = scanner.peek()
    if not follows or (is_inner and (follows == b"}" or (scanner.skip(b",") and scanner.peek() == b'"'))):
        return True
    raise BrokenValueError("It is not JSON.")


def _value_of(raw: bytes) -> Json:
    try:
        return lenient_json(raw).value
    except BrokenInputError:
        return None
