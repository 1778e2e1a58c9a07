"""Answers that our client gets: from Chatkeep, or from whatever else listens at its address."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from chatkeep.client import queries
from chatkeep.client.calls import session_calls as calls
from chatkeep.client.exchange import Call, ChatEvents
from chatkeep.core.model import Draft, Header, Message, Revision, Selection, Session
from chatkeep.core.sse import EventReader
from chatkeep.errors import ChatkeepError
from chatkeep.wire.events import change_of

_AT: Final = datetime(2024, 1, 15, 10, 30, tzinfo=UTC)
_SESSION: Final = Session(
    header=Header(key="cli:a", channel="cli", title=None, created_at=_AT),
    messages=(Message(seq=1, role="user", content="a", sent_at=_AT, id="1"),),
)
_CALLS: Final[Sequence[Call[Any]]] = (
    calls.append("cli:a", (Draft(role="user", content="a"),), channel=None, create=True, expect_count=None),
    calls.get("cli:a"),
    calls.read("cli:a", log=False),
    calls.window("cli:a", {}),
    calls.sessions(Selection(), limit=50, cursor=None),
    calls.keys(Selection(), limit=None, cursor=None),
    calls.search(queries.search_of("a", prefix="", session=None, sort=None, limit=1)),
    calls.revise("cli:a", Revision(archived=True)),
    calls.delete("cli:a"),
    calls.delete_all(("cli:a",)),
    calls.merge(_SESSION),
    calls.status(""),
    calls.stats("", "day", None),
    calls.chat("a", key=None, model=None),
)
_STATUSES: Final = (200, 400, 404, 422, 429, 500)


def read_reply(data: bytes) -> None:
    """An answer to each call, and a stream of events: a value of the call's type, or one of our errors."""
    status = _STATUSES[(data[0] if data else 0) % len(_STATUSES)]
    for call in _CALLS:
        with suppress(ChatkeepError):
            call.answer(status, data[1:])
    with suppress(ChatkeepError):
        list(ChatEvents("cli:a").read(data[1:]))
    with suppress(ChatkeepError):
        for event in EventReader().read(data[1:]):
            change_of(event)


REPLIES: Final = (
    *(
        b"\x00" + json.dumps(answer).encode()
        for answer in (
            {
                "session": "a",
                "message_count": 1,
                "messages": [{"seq": 1, "id": "1", "timestamp": "2024-01-15T10:30:00Z"}],
            },
            {"sessions": ["a"], "count": 1, "next_cursor": None},
            {"sessions": [], "total": 0, "mode": "all", "next_cursor": None},
            {"key": "a", "channel": "cli", "created_at": "2024-01-15T10:30:00Z", "messages": [], "message_count": 0},
            {"messages": [{"seq": 1, "role": "user", "content": "a", "timestamp": "2024-01-15T10:30:00Z", "id": "1"}]},
            {"messages": [], "has_more": False},
            {"deleted": True, "keys": ["a"], "count": 1, "dry_run": False},
            {"response": "a", "usage": {"prompt_tokens": 1, "completion_tokens": 1}, "session_key": "a"},
        )
    ),
    b'\x02{"detail":"No session.","status":404,"code":"session_not_found"}',
    b'\x00event: token\ndata: {"text":"a"}\n\nid: p\nevent: deleted\ndata: {"key":"a"}\n\n',
)
