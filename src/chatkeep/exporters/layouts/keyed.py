"""grip's folder of sessions: an object each, with the key, the messages, and the times of the session.

Messages of grip have neither ids nor times. They keep calls of tools, and the results behind them. What a model's
server would refuse is left out: a call without a result, a result without a call, a message without words and calls.

Source: grip-ai 1.6.1, `session/manager.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, cast

import msgspec

from chatkeep.core.history.shapes import only_text
from chatkeep.core.model import Json, Session
from chatkeep.exporters.exchanges import Exchange, exchanges, field_of

_UNSAFE: Final = re.compile(r"[^\w\-.]")


class GripLayout:
    """The folder `sessions` in the workspace of grip."""

    name: Final = "grip"

    def file_name(self, key: str) -> str:
        """Return the name of the file of a session."""
        return f"{_UNSAFE.sub('_', key)}.json"

    def keeps_for_itself(self, file_name: str) -> bool:  # noqa: ARG002 - every file is a session
        """Return False: grip reads every file as a session."""
        return False

    def document(self, session: Session) -> Json:
        """Return the session as grip reads it, nothing without messages."""
        messages = [one for exchange in exchanges(session) for one in _messages(exchange)]
        if not messages:
            return {}
        summary = field_of(session.header.metadata, "summary")
        return {
            "key": session.header.key,
            "messages": messages,
            "summary": summary if isinstance(summary, str) else None,
            "created_at": session.header.created_at.timestamp(),
            "updated_at": max(message.sent_at for message in session.messages).timestamp(),
        }

    def index_entry(self, session: Session, document: Json) -> Json:  # noqa: ARG002 - there is no index
        """Return nothing: grip has no index."""
        return None

    def index_file(self, entries: Mapping[str, Json]) -> None:
        """Return nothing: grip has no index."""


def _messages(exchange: Exchange) -> Iterator[dict[str, Json]]:
    """Yield a message with its calls, then their results."""
    uttered = exchange.utterance
    text = only_text(uttered.parts)
    calls: list[Json] = [
        {"id": one.call_id, "function_name": call.name, "arguments": cast("Json", msgspec.Raw(call.arguments.encode()))}
        for one, call in zip(exchange.answered, uttered.calls, strict=True)
    ]
    if text or calls:
        yield {
            "role": uttered.role,
            **({"content": text} if text else {}),
            **({"tool_calls": calls} if calls else {}),
            **({"name": uttered.name} if uttered.name else {}),
        }
    for one, call in zip(exchange.answered, uttered.calls, strict=True):
        yield {"role": "tool", "content": only_text(one.result.parts), "tool_call_id": one.call_id, "name": call.name}
