"""OpenAI's Conversations over the sessions: a conversation is a session, and an item is a message or a part of one.

A session made in any other way can be read, extended and deleted as a conversation too. Its metadata are those entries
of the session's metadata that OpenAI's limits allow.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import msgspec

from chatkeep.core.history.state.conversation_ids import (
    CONVERSATION_BEGINNING,
    DIGITS,
    beginning_of,
    key_of_conversation,
    message_ids_of,
    new_conversation_key,
)
from chatkeep.core.history.state.conversation_items import (
    ITEM_ID,
    ITEMS_MAX,
    ConversationItem,
    base_of,
    conversation_items_of,
    draft_of_new_item,
)
from chatkeep.core.life.dropping import Chosen, NewSession, standing_lines
from chatkeep.core.model import Draft, Json, Message, Revision, Selection, Summary
from chatkeep.core.paging import Place, cursor_at, scope_of
from chatkeep.errors import (
    InvalidError,
    InvalidRequestError,
    MessageNotFoundError,
    NotFoundError,
    SessionNotFoundError,
)
from chatkeep.sessions.sessions import Sessions
from chatkeep.wire.conversation_objects import METADATA_ENTRIES_MAX, METADATA_NAME_CHARS_MAX, METADATA_TEXT_CHARS_MAX

_SCANNED: Final = 500  # messages read at a time in search of an item
_NAME_CHARS_MAX: Final = 128  # of an id of a message
_DROPPED_MAX: Final = 100  # of one id; a further item has an id made here
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class ItemPage(NamedTuple):
    """Neighbouring items, and whether there are more."""

    items: tuple[ConversationItem, ...]
    has_more: bool


class ConversationPage(NamedTuple):
    """Neighbouring conversations, and whether there are more."""

    conversations: tuple[Summary, ...]
    has_more: bool


class _Found(NamedTuple):
    """An item, with its message and its place among the message's items."""

    item: ConversationItem
    message: Message
    place: int


class Conversations:
    """The operations on conversations, for one caller."""

    def __init__(self, sessions: Sessions) -> None:
        """Take the sessions within the caller's reach."""
        self._sessions = sessions

    def create(self, metadata: Mapping[str, str], items: Sequence[Mapping[str, Json]]) -> Summary:
        """Begin a conversation with at most 20 items.

        Raises:
            InvalidError, MessageConflictError: when the metadata or an item breaks a rule.
            StorageError: as in `Sessions.create`.
        """
        check_metadata_texts(metadata)
        key = new_conversation_key(self._sessions.prefix, self._digits())
        drafts = self._drafts(items)
        new = NewSession(key=key, metadata=dict(metadata), messages=tuple(drafts))
        return self._sessions.create(new).summary

    def get(self, given: str) -> Summary:
        """Return a conversation.

        Raises:
            InvalidRequestError: when the id has another form.
            NotFoundError: when there is no such conversation.
        """
        with _known(given) as key:
            return self._sessions.get(key)

    def update(self, given: str, metadata: Mapping[str, str]) -> Summary:
        """Put metadata in place of those of a conversation; what else the session's metadata have stays.

        Raises:
            InvalidError: when they break a rule. Others are those of `get`.
        """
        check_metadata_texts(metadata)
        with _known(given) as key:
            gone = dict.fromkeys(metadata_texts_of(self._sessions.get(key).header.metadata))
            return self._sessions.revise(key, Revision(metadata={**gone, **metadata}))

    def delete(self, given: str) -> None:
        """Delete a conversation, and the session that it is.

        Raises:
            InvalidRequestError, NotFoundError: as in `get`.
        """
        with _known(given) as key:
            self._sessions.delete(key)

    def page(self, after: str | None, limit: int) -> ConversationPage:
        """Return conversations by their latest activity, newest first, behind the one `after`.

        Raises:
            InvalidRequestError, NotFoundError: about the one `after`, as in `get`.
        """
        cursor = None
        if after is not None:
            last = self.get(after)
            place = Place(last.header.key, (last.updated_at - _EPOCH) // timedelta(microseconds=1))
            cursor = cursor_at(place, scope_of("sessions", Selection(prefixes=(self._sessions.prefix,))))
        page = self._sessions.list(limit=limit, cursor=cursor, metadata=True)
        return ConversationPage(page.sessions, page.next_cursor is not None)

    def add(self, given: str, items: Sequence[Mapping[str, Json]]) -> tuple[ConversationItem, ...]:
        """Append at most 20 items to a conversation, all or none, and return them.

        An item sent again with its id and content is there once.

        Raises:
            InvalidError: when an item breaks a rule.
            MessageConflictError: when another item has the id.
            InvalidRequestError, NotFoundError: as in `get`.
        """
        with _known(given) as key:
            self._sessions.get(key)
            drafts = self._drafts(items, key)
            if drafts:
                self._sessions.append(key, drafts, create=False)
            return tuple(item for draft in drafts for item in conversation_items_of(_as_stored(draft, self._sessions)))

    def items(self, given: str, *, after: str | None, limit: int, is_rising: bool) -> ItemPage:
        """Return items in their order or, without `is_rising`, the last ones first, behind the one `after`.

        Raises:
            InvalidRequestError: when no item has the id `after`. Others are those of `get`.
        """
        with _known(given) as key:
            begun: list[ConversationItem] = []
            edge: int | None = 0 if is_rising else None
            if after is not None:
                found = self._anchor(key, after)
                own = conversation_items_of(found.message)
                begun = own[found.place + 1 :] if is_rising else own[: found.place][::-1]
                edge = found.message.seq
            before, behind = (None, edge) if is_rising else (edge, None)
            window = self._sessions.window(key, limit=limit + 1, before=before, after=behind)
        messages = window.messages if is_rising else reversed(window.messages)
        rest = (
            one
            for message in messages
            for one in (conversation_items_of(message) if is_rising else conversation_items_of(message)[::-1])
        )
        every = [*begun, *rest]
        return ItemPage(tuple(every[:limit]), len(every) > limit)

    def item(self, given: str, item_id: str) -> ConversationItem:
        """Return an item.

        Raises:
            NotFoundError: when there is no such item. Others are those of `get`.
        """
        with _known(given) as key:
            self._sessions.get(key)
            return self._found(key, item_id).item

    def drop(self, given: str, item_id: str) -> Summary:
        """Take an item out of a conversation, and return the conversation.

        It stays in the log. If its message has other items too, these and all later messages are stored again, in
        their order and in one append, and what stood there is dropped.

        Raises:
            ForbiddenError: when messages may not drop others here.
            CountConflictError: when others changed the session meanwhile. Others are those of `item`.
        """
        with _known(given) as key:
            count = self._sessions.get(key).line_count
            found = self._found(key, item_id)
            kept = [one for one in conversation_items_of(found.message) if one.id != item_id]
            if kept:
                self._replace_tail(key, found.message, kept, count)
            else:
                self._sessions.drop(key, Chosen(id=found.message.id))
            return self._sessions.get(key)

    def _replace_tail(self, key: str, gone: Message, kept: Sequence[ConversationItem], count: int) -> None:
        """Store messages again without an item of `gone`; their items keep their ids."""
        lines = standing_lines(self._sessions.read(key, log=True).messages)
        before = [_again(line) for line in lines if line.seq < gone.seq]
        own = [draft_of_new_item(one.item, self._sessions.new_id()) for one in kept]
        behind = [_moved(line) for line in lines if line.seq > gone.seq]
        self._sessions.replace(key, [*before, *own, *behind], create=False, expect_count=count)

    def _digits(self) -> str:
        return hashlib.sha256(f"conversation {self._sessions.new_id()}".encode()).hexdigest()[:DIGITS]

    def _anchor(self, key: str, item_id: str) -> _Found:
        try:
            return self._found(key, item_id)
        except NotFoundError as error:
            self._sessions.get(key)
            raise InvalidRequestError("after", f"is no item of this conversation: {item_id!r}") from error

    def _found(self, key: str, item_id: str) -> _Found:
        """Return an item by its id: at once if the id leads to its message, else by a search from the end."""
        for message_id in message_ids_of(item_id):
            with suppress(MessageNotFoundError, InvalidError):
                found = _in_message(self._sessions.message(key, message_id), item_id)
                if found is not None:
                    return found
        before: int | None = None
        while True:
            window = self._sessions.window(key, limit=_SCANNED, before=before)
            for message in reversed(window.messages):
                found = _in_message(message, item_id)
                if found is not None:
                    return found
            if not window.has_more:
                raise NotFoundError(f"Item with id {item_id!r} not found.")
            before = window.messages[0].seq

    def _drafts(self, items: Sequence[Mapping[str, Json]], key: str | None = None) -> list[Draft]:
        """Return items as messages; those of one request have ids that sort in their order."""
        if len(items) > ITEMS_MAX:
            raise InvalidError("items", f"must be at most {ITEMS_MAX}")
        drafts = []
        for place, item in enumerate(items):
            try:
                drafts.append(draft_of_new_item(item, self._message_id(item, key)))
            except InvalidError as error:
                raise InvalidError(f"items[{place}].{error.field}", error.reason) from error
        return drafts

    def _message_id(self, item: Mapping[str, Json], key: str | None) -> str:
        """Return the id for the message of an item: its own, or behind a number while dropped messages have that.

        So an item that was dropped can be added again, and sent twice it is there once.
        """
        own = item.get("id")
        if not isinstance(own, str) or not own:
            return f"{beginning_of(item)}_{self._sessions.new_id()}"
        if len(own) > _NAME_CHARS_MAX:
            raise InvalidError("id", f"must have at most {_NAME_CHARS_MAX} characters")
        again = (f"{own[: _NAME_CHARS_MAX - 4]}~{number}" for number in range(1, _DROPPED_MAX))
        named = (one for one in (own, *again) if key is None or not self._is_gone(key, one))
        return next(named, None) or self._sessions.new_id()

    def _is_gone(self, key: str, message_id: str) -> bool:
        """Tell whether a message was dropped that had the id."""
        try:
            self._sessions.message(key, message_id, log=True)
        except MessageNotFoundError:
            return False
        try:
            self._sessions.message(key, message_id)
        except MessageNotFoundError:
            return True
        return False


def metadata_texts_of(metadata: Mapping[str, Json]) -> dict[str, str]:
    """Return those entries of a session's metadata that a conversation may have: texts within OpenAI's limits."""
    fitting = {
        name: value
        for name, value in metadata.items()
        if isinstance(value, str) and len(name) <= METADATA_NAME_CHARS_MAX and len(value) <= METADATA_TEXT_CHARS_MAX
    }
    return dict(list(fitting.items())[:METADATA_ENTRIES_MAX])


def check_metadata_texts(metadata: Mapping[str, str]) -> None:
    """Check the metadata of a conversation.

    Raises:
        InvalidError: when they are over one of OpenAI's limits.
    """
    if len(metadata) > METADATA_ENTRIES_MAX:
        raise InvalidError("metadata", f"has {len(metadata)} entries; at most {METADATA_ENTRIES_MAX} are allowed")
    for name, value in metadata.items():
        if not 1 <= len(name) <= METADATA_NAME_CHARS_MAX:
            raise InvalidError("metadata", f"names have 1 to {METADATA_NAME_CHARS_MAX} characters")
        if len(value) > METADATA_TEXT_CHARS_MAX:
            raise InvalidError(f"metadata.{name}", f"must have at most {METADATA_TEXT_CHARS_MAX} characters")


@contextmanager
def _known(given: str) -> Iterator[str]:
    """Hand over the key of a conversation; a missing session is a missing conversation.

    Raises:
        InvalidRequestError: when the id has another form.
        NotFoundError: when there is no such conversation.
    """
    if not given.startswith(CONVERSATION_BEGINNING):
        raise InvalidRequestError("conversation_id", f"{given[:64]!r} is none: such an id begins with conv_")
    missing = f"Conversation with id {given[:200]!r} not found."
    key = key_of_conversation(given)
    if key is None:
        raise NotFoundError(missing)
    try:
        yield key
    except SessionNotFoundError as error:
        raise NotFoundError(missing) from error


def _in_message(message: Message, item_id: str) -> _Found | None:
    found = enumerate(conversation_items_of(message))
    return next((_Found(one, message, place) for place, one in found if one.id == item_id), None)


def _as_stored(draft: Draft, sessions: Sessions) -> Message:
    """Return a message as it is once it is stored, for its items."""
    fields = {name: value for name, value in msgspec.structs.asdict(draft).items() if name != "sent_at"}
    return Message(seq=1, sent_at=draft.sent_at or sessions.now(), **fields)


def _again(message: Message) -> Draft:
    fields = msgspec.structs.asdict(message)
    del fields["seq"], fields["extra"]
    return Draft(**fields | {"drops": None, "stored_at": None})


def _moved(message: Message) -> Draft:
    """Return a message to be stored at another place: with an id of its own there, and the ids of its items."""
    named = {**(message.metadata or {}), ITEM_ID: base_of(message)}
    return msgspec.structs.replace(_again(message), id=None, metadata=named)
