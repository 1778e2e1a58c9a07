"""grip's workspace: one JSON object per session, the key inside it.

Messages have neither ids nor times; the last one is given the time of the session's last change.
Tool calls are turned into the form of the OpenAI API. grip forgets old messages and keeps a summary
of them: it becomes metadata of the session.

Source: grip-ai 1.6.1, `session/manager.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import BinaryIO

import msgspec
from msgspec import Struct

from chatkeep.core.model import Json, Role, Session
from chatkeep.errors import ChatkeepError
from chatkeep.importers.records import Record, Said, document_in, instant, session_of, why
from chatkeep.importers.reports import Flaw


class _Call(Struct, frozen=True, kw_only=True):
    id: str
    function_name: str
    arguments: Json = None


class _Message(Struct, frozen=True, kw_only=True):
    role: Role
    content: str | list[Json] | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None
    name: str | None = None


class _Document(Struct, frozen=True, kw_only=True):
    key: str
    messages: Sequence[_Message]
    summary: str | None = None
    created_at: float | None = None
    updated_at: float | None = None


_decode = msgspec.json.Decoder(_Document).decode


def read(stream: BinaryIO, name: str, *, now: Callable[[], datetime]) -> Session | Flaw:
    """Return the session of one file; `name` says which it is, should it be flawed."""
    try:
        document = _decode(document_in(stream))
        return _changed_at(session_of(_record(document), now=now), instant(document.updated_at))
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ChatkeepError) as error:
        return Flaw(name, why(error))


def _record(document: _Document) -> Record:
    return Record(
        key=document.key,
        messages=[_said(message) for message in document.messages],
        created_at=document.created_at,
        metadata={"summary": document.summary} if document.summary else {},
    )


def _said(message: _Message) -> Said:
    calls = [_call(call) for call in message.tool_calls or ()]
    return Said(
        role=message.role,
        content="" if message.content is None and not calls else message.content,
        name=message.name,
        tool_calls=calls or None,
        tool_call_id=message.tool_call_id,
    )


def _call(call: _Call) -> Json:
    arguments = call.arguments if isinstance(call.arguments, str) else msgspec.json.encode(call.arguments).decode()
    return {"id": call.id, "type": "function", "function": {"name": call.function_name, "arguments": arguments}}


def _changed_at(session: Session, at: datetime | None) -> Session:
    """Return the session with its last message at this time, so that lists show it where it belongs."""
    if at is None or not session.messages or at < session.header.created_at:
        return session
    *others, last = session.messages
    return msgspec.structs.replace(session, messages=(*others, msgspec.structs.replace(last, sent_at=at)))
