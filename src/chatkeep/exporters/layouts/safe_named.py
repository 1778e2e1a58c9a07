"""PocketPaw's folder of sessions: an array of messages each, and an index by file name.

PocketPaw keeps words alone: no calls of tools, and no results. Who used a tool keeps the answer that came of it. A
message without words is left out. The title that somebody gave a session is its `user_title`.

Source: PocketPaw 0.4.18, `memory/file_store.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from chatkeep.core.model import Json, Session, given_title
from chatkeep.core.standing import said

_UNSAFE: Final = re.compile("[:/]")
_KEPT: Final = frozenset(("system", "user", "assistant"))
_TITLE_CHARS: Final = 80
_PREVIEW_CHARS: Final = 120


class PocketPawLayout:
    """The folder `memory/sessions` of PocketPaw."""

    name: Final = "pocketpaw"

    def file_name(self, key: str) -> str:
        """Return the name of the file of a session."""
        return f"{_UNSAFE.sub('_', key)}.json"

    def keeps_for_itself(self, file_name: str) -> bool:
        """Tell whether a name is that of the index, of the aliases or of a summary beside a session."""
        return file_name.startswith("_") or file_name.endswith("_compaction.json")

    def document(self, session: Session) -> Json:
        """Return the messages with words."""
        return [
            {
                "id": message.id,
                "role": message.role,
                "content": message.text,
                "timestamp": message.sent_at.isoformat(),
                "metadata": message.metadata or {},
            }
            for message in said(session.messages)
            if message.role in _KEPT and message.text.strip()
        ]

    def index_entry(self, session: Session, document: Json) -> Json:
        """Return the entry of a session in the index."""
        messages = [one for one in document if isinstance(one, dict)] if isinstance(document, list) else []
        asked = [str(one["content"]).strip() for one in messages if one["role"] == "user"]
        own = given_title(session.header)
        return {
            "title": own or (asked[0][:_TITLE_CHARS] if asked else "New Chat"),
            "channel": session.header.channel,
            "created": messages[0]["timestamp"],
            "last_activity": messages[-1]["timestamp"],
            "message_count": len(messages),
            "preview": str(messages[-1]["content"])[:_PREVIEW_CHARS],
            **({"user_title": own} if own else {}),
        }

    def index_file(self, entries: Mapping[str, Json]) -> tuple[str, Json]:
        """Return the index by the names of the files, without their end."""
        return "_index.json", {name.removesuffix(".json"): entry for name, entry in entries.items()}
