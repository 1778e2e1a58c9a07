"""Sessions and headers from elsewhere, checked by every rule before a store takes them."""

from __future__ import annotations

from datetime import UTC

import msgspec

from chatkeep.core.checks import check_channel, check_metadata, check_tags, check_title
from chatkeep.core.keys import parse_key
from chatkeep.core.life.dropping import NewSession
from chatkeep.core.life.message_rules import check_draft, check_extra
from chatkeep.core.model import Draft, Header, Message, Revision, Session, utc
from chatkeep.errors import InvalidError


def checked_session(session: Session) -> Session:
    """Return a session from elsewhere after checking every rule, its key in NFC and its times in UTC.

    Raises:
        InvalidError, TooLargeError: naming the bad value and its message.
    """
    header = checked_header(session.header)
    messages = tuple(checked_message(message) for message in session.messages)
    return Session(header=header, messages=messages, extra=check_metadata(session.extra))


def checked_header(header: Header) -> Header:
    """Return a header from elsewhere after checking every rule.

    Raises:
        InvalidError: naming the bad value.
    """
    return Header(
        key=parse_key(header.key),
        channel=check_channel(header.channel),
        title=None if header.title is None else check_title(header.title),
        created_at=utc(header.created_at),
        metadata=check_metadata(header.metadata),
        archived=header.archived,
        pinned=header.pinned,
        tags=check_tags(header.tags),
        held=header.held,
    )


def checked_message(message: Message) -> Message:
    """Return a message from elsewhere after checking every rule, its times in UTC.

    Raises:
        InvalidError, TooLargeError: naming the bad value.
    """
    fields = msgspec.structs.asdict(message)
    seq = fields.pop("seq")
    del fields["extra"]
    try:
        check_draft(Draft(**fields))
        check_extra(message)
        return in_utc(message)
    except InvalidError as error:
        raise InvalidError(f"messages[{seq}].{error.field}", error.reason) from error


def in_utc(message: Message) -> Message:
    """Return a message with its times in UTC; other programs may have written another time zone.

    Raises:
        InvalidError: when a time lies outside the years 1 to 9999.
    """
    sent_at, stored_at = message.sent_at, message.stored_at
    if sent_at.tzinfo is UTC and (stored_at is None or stored_at.tzinfo is UTC):
        return message
    stored_at = None if stored_at is None else utc(stored_at)
    return msgspec.structs.replace(message, sent_at=utc(sent_at), stored_at=stored_at)


def checked_revision(revision: Revision) -> Revision:
    """Return changes of a header after checking every rule.

    Raises:
        InvalidError: naming the bad value.
    """
    changes: dict[str, object] = {}
    if isinstance(revision.title, str):
        changes["title"] = check_title(revision.title)
    if isinstance(revision.tags, tuple):
        changes["tags"] = check_tags(revision.tags)
    if isinstance(revision.metadata, dict):
        check_metadata(revision.metadata)
    return msgspec.structs.replace(revision, **changes)


def checked_new(new: NewSession) -> NewSession:
    """Return a session to begin, with a key, after checking every rule of its header; its messages stay unchecked.

    Raises:
        InvalidError: naming the bad value.
    """
    return msgspec.structs.replace(
        new,
        key=parse_key(new.key or ""),
        channel=None if new.channel is None else check_channel(new.channel),
        title=None if new.title is None else check_title(new.title),
        created_at=None if new.created_at is None else utc(new.created_at),
        metadata=check_metadata(new.metadata),
        tags=check_tags(new.tags),
    )
