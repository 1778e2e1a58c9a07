"""The threads of Chainlit as sessions: what is in one of them, and how it changes.

A thread holds entries: steps, feedback and elements. Each is a line of its session. A changed entry is a new line that
drops the last one, in one append, so nobody sees both and no writer loses anything. The last line of an entry counts.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple
from weakref import WeakValueDictionary

import msgspec

from chatkeep.adapters.backing import Verbs, hashed_name
from chatkeep.adapters.exact import Spoken, item_of_message, message_of_item
from chatkeep.core.checks import check_name
from chatkeep.core.life.dropping import Mark, NewSession
from chatkeep.core.model import Draft, Json, Message
from chatkeep.core.standing import EVENT, Role, SeqRange, ranges_of, standing
from chatkeep.errors import (
    InvalidError,
    MessageConflictError,
    MessageNotFoundError,
    SessionExistsError,
    SessionNotFoundError,
)

KIND: Final = "chainlit"
_ENTRY: Final = "entry"
_WINDOW: Final = 500  # lines fetched at a time
_ROLES: Final[dict[str, Role]] = {"user_message": "user", "assistant_message": "assistant", "system_message": "system"}
_TYPES: Final = {role: name for name, role in _ROLES.items()}

EntryKind = Literal["step", "feedback", "element"]
ThreadItem = dict[str, Any]


class ThreadEntry(NamedTuple):
    """The last version of a step, a feedback or an element: its line, its time, and itself as Chainlit has it."""

    seq: int
    at: datetime
    kind: EntryKind
    item: ThreadItem

    def is_of(self, kind: EntryKind, entry_id: str) -> bool:
        """Tell whether this is the entry with an id."""
        return self.kind == kind and self.item.get("id") == entry_id


class ThreadLines:
    """The sessions of all threads. Writes to one thread by one process come in the order of their calls."""

    def __init__(self, verbs: Verbs) -> None:
        """Take the way to the sessions."""
        self._verbs = verbs
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def put(self, new: NewSession, kind: EntryKind, item: ThreadItem) -> None:
        """Store an entry in a thread, in place of its last version; the thread begins as `new` if there is none."""
        draft, key = draft_of(kind, item), str(new.key)
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            try:
                await self._stored(key, kind, item, draft)
            except SessionNotFoundError:
                with suppress(SessionExistsError):
                    await self._verbs.ask("create", new)
                await self._stored(key, kind, item, draft)

    async def remove(self, key: str, kind: EntryKind, entry_id: str) -> ThreadItem | None:
        """Take an entry out of a thread and return it; a step with its feedback and elements. None if there is none."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            try:
                found = [*entries(await self.lines(key))]
            except SessionNotFoundError:
                return None
            own = [one for one in found if one.is_of(kind, entry_id)]
            if not own:
                return None
            if kind == "step":
                own += [one for one in found if one.kind != "step" and one.item.get("forId") == entry_id]
            await self._verbs.ask("append", key, [Mark().dropping(ranges_of(one.seq for one in own))])
            return own[0].item

    async def lines(self, key: str) -> Sequence[Message]:
        """Return the lines of a thread that stand, with their places in the log.

        Raises:
            SessionNotFoundError: when there is no such thread.
        """
        return standing((await self._verbs.ask("read", key, log=True)).messages)

    async def has(self, key: str, kind: EntryKind, entry_id: str) -> bool:
        """Tell whether a thread ever had an entry: a look at one line."""
        try:
            first = await self._verbs.ask("message", key, id_of_line(kind, entry_id), log=True)
        except (MessageNotFoundError, SessionNotFoundError):
            return False
        entry = _entry(first)
        return entry is not None and entry.is_of(kind, entry_id)

    async def current(self, key: str, kind: EntryKind, entry_id: str) -> ThreadEntry | None:
        """Return the last version of an entry, from the end of the thread backwards; None if there is none."""
        gone: list[SeqRange] = []
        before = None
        while await self.has(key, kind, entry_id):
            window = await self._verbs.ask("window", key, limit=_WINDOW, before=before, log=True)
            for message in reversed(window.messages):
                entry = _entry(message)
                if entry is not None and entry.is_of(kind, entry_id):
                    is_gone = any(one.first <= message.seq <= one.last for one in gone)
                    return None if is_gone else entry
                gone += message.drops or ()
            if not window.has_more:
                break
            before = window.messages[0].seq
        return None

    async def _stored(self, key: str, kind: EntryKind, item: ThreadItem, draft: Draft) -> None:
        with suppress(MessageConflictError):
            appended = await self._verbs.ask("append", key, [draft], create=False)
            if appended.stored_count:
                return
        known = await self.current(key, kind, item["id"])
        if known is not None and known.item == item:
            return
        drops = None if known is None else (SeqRange(known.seq, known.seq),)
        again = msgspec.structs.replace(draft, id=None, drops=drops)
        await self._verbs.ask("append", key, [again], create=False)


def id_of_line(kind: EntryKind, entry_id: str) -> str:
    """Return the id of the first line of an entry: the step's own if a message may have it."""
    plain = entry_id if kind == "step" else f"{kind}:{entry_id}"
    with suppress(InvalidError):
        check_name("id", plain)
        return plain
    return f"{kind}:~{hashed_name(entry_id)}"


def draft_of(kind: EntryKind, item: ThreadItem) -> Draft:
    """Return an entry as a line: what a user, an assistant or a system said as its words, anything else as an event."""
    role = _ROLES.get(str(item.get("type"))) if kind == "step" else None
    spoken = Spoken(role=role or EVENT, path=("output",) if role else (), id=id_of_line(kind, item["id"]))
    draft = message_of_item(KIND, item, spoken)
    kept = (draft.metadata or {})[KIND]
    return msgspec.structs.replace(
        draft,
        content=draft.content if role else "",
        sent_at=_moment(item.get("createdAt")),
        metadata={KIND: {**kept, _ENTRY: kind}},
    )


def entries(lines: Iterable[Message]) -> Iterator[ThreadEntry]:
    """Yield the last version of each entry, in the order of their first ones; messages of other programs as steps."""
    found: dict[tuple[str, str], ThreadEntry] = {}
    for message in lines:
        entry = _entry(message)
        if entry is None and message.role != EVENT:
            entry = ThreadEntry(message.seq, message.sent_at, "step", _foreign(message))
        if entry is not None:
            found[entry.kind, str(entry.item.get("id"))] = entry
    yield from found.values()


def thread_parts(lines: Iterable[Message], thread_id: str) -> tuple[list[ThreadItem], list[ThreadItem]]:
    """Return the steps of a thread by their times, each with its feedback, and its elements."""
    found = [*entries(lines)]
    feedback = {
        str(one.item.get("forId")): {name: one.item.get(name) for name in ("forId", "id", "value", "comment")}
        for one in found
        if one.kind == "feedback"
    }
    steps = sorted((one for one in found if one.kind == "step"), key=lambda one: one.at)
    shown = [{"threadId": thread_id, **one.item, "feedback": feedback.get(str(one.item["id"]))} for one in steps]
    return shown, [one.item for one in found if one.kind == "element"]


def plain_item(given: Mapping[str, Any]) -> ThreadItem:
    """Return a value of Chainlit as JSON has it; what JSON lacks becomes text."""
    item: ThreadItem = json.loads(json.dumps({**given}, default=str))
    return item


def _entry(message: Message) -> ThreadEntry | None:
    """Return the entry in a line; None in a line of another program."""
    kept: Json = (message.metadata or {}).get(KIND)
    kind = kept.get(_ENTRY) if isinstance(kept, Mapping) else None
    item = item_of_message(KIND, message)
    if kind not in ("step", "feedback", "element") or not isinstance(item, dict):
        return None
    return ThreadEntry(message.seq, _moment(item.get("createdAt")) or message.sent_at, kind, item)


def _foreign(message: Message) -> ThreadItem:
    """Return a message of another program as a step."""
    at = message.sent_at.isoformat()
    return {
        "id": message.id,
        "name": message.name or message.role,
        "type": _TYPES.get(message.role, "system_message" if message.role == "developer" else "tool"),
        "input": "",
        "output": message.text,
        "createdAt": at,
        "start": at,
        "end": at,
        "streaming": False,
        "metadata": {},
    }


def _moment(given: object) -> datetime | None:
    """Return a time as Chainlit writes it; one without a zone is UTC."""
    try:
        at = datetime.fromisoformat(str(given))
        return at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
