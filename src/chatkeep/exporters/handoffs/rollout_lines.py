"""A rollout for Codex, among its sessions of the day.

Items of Responses stay as they came. Beside each message stands an event with its words, which Codex shows.

Source: rollouts written by Codex 0.128.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from chatkeep.core.model import Json, Session
from chatkeep.exporters.exchanges import field_of
from chatkeep.exporters.formats.response_inputs import input_items
from chatkeep.exporters.handoffs.handing import Handed, stamp

_VERSION: Final = "0.128.0"
_EVENTS: Final = {"user": "user_message", "assistant": "agent_message"}


class CodexHandOff:
    """The tool `codex`."""

    name: Final = "codex"
    home: Final = ("CODEX_HOME", ".codex")

    def place(self, handed: Handed) -> str:
        """Return the path of the rollout."""
        at = handed.at
        return f"sessions/{at:%Y/%m/%d}/rollout-{at:%Y-%m-%dT%H-%M-%S}-{handed.session_id}.jsonl"

    def command(self, handed: Handed) -> str:
        """Return the command that resumes the session."""
        return f"codex resume {handed.session_id}"

    def lines(self, session: Session, handed: Handed) -> Iterator[dict[str, Json]]:
        """Yield the header, and a line for each item."""
        begun = stamp(session.header.created_at)
        meta = {
            "id": handed.session_id,
            "timestamp": begun,
            "cwd": handed.work_folder,
            "originator": "chatkeep",
            "cli_version": _VERSION,
            "source": "cli",
        }
        yield {"timestamp": begun, "type": "session_meta", "payload": meta}
        for message, item in input_items(session):
            at = stamp(message.sent_at)
            kind = _EVENTS.get(str(field_of(item, "role")))
            if kind and message.text.strip():
                yield {"timestamp": at, "type": "event_msg", "payload": {"type": kind, "message": message.text}}
            yield {"timestamp": at, "type": "response_item", "payload": _listed(item)}


def _listed(item: dict[str, Json]) -> dict[str, Json]:
    """Return an item with its type, its content as a list of parts."""
    content = item.get("content")
    if "role" not in item or not isinstance(content, str):
        return item if "type" in item else {"type": "message", **item}
    kind = "output_text" if item["role"] == "assistant" else "input_text"
    return {"type": "message", **item, "content": [{"type": kind, "text": content}]}
