"""A transcript for Claude Code, in the folder of the project that the user works in.

Source: transcripts written by Claude Code 2.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from chatkeep.core.history.turns import PROMPT_ROLES
from chatkeep.core.model import Json, Session
from chatkeep.exporters.exchanges import Exchange, exchanges
from chatkeep.exporters.formats.message_blocks import blocks_of, result_block
from chatkeep.exporters.handoffs.handing import Handed, line_id, named_model, stamp

_UNFIT: Final = re.compile(r"[^A-Za-z0-9-]")
_VERSION: Final = "2.1.0"


class ClaudeCodeHandOff:
    """The tool `claude-code`."""

    name: Final = "claude-code"
    home: Final = ("CLAUDE_CONFIG_DIR", ".claude")

    def place(self, handed: Handed) -> str:
        """Return the path of the transcript."""
        return f"projects/{_UNFIT.sub('-', handed.work_folder)}/{handed.session_id}.jsonl"

    def command(self, handed: Handed) -> str:
        """Return the command that resumes the session."""
        return f"claude --resume {handed.session_id}"

    def lines(self, session: Session, handed: Handed) -> Iterator[dict[str, Json]]:
        """Yield a line for each message and each result, each naming the one before."""
        if session.header.title:
            yield {"type": "custom-title", "customTitle": session.header.title, "sessionId": handed.session_id}
        before: str | None = None
        for exchange in exchanges(session):
            for line in _lines(exchange, handed):
                yield {"parentUuid": before, **line}
                before = line["uuid"]


def _lines(exchange: Exchange, handed: Handed) -> Iterator[dict[str, Json]]:
    message, role = exchange.message, exchange.utterance.role
    envelope = {
        "isSidechain": False,
        "userType": "external",
        "cwd": handed.work_folder,
        "sessionId": handed.session_id,
        "version": _VERSION,
        "gitBranch": "",
        "uuid": line_id(handed, message),
        "timestamp": stamp(message.sent_at),
    }
    if role in PROMPT_ROLES:
        yield {**envelope, "type": "system", "subtype": "informational", "content": message.text, "level": "info"}
        return
    blocks = list(blocks_of(exchange))
    if role == "assistant" and blocks:
        yield {**envelope, "type": "assistant", "message": _answer(exchange, blocks)}
    elif blocks:
        content = message.content if isinstance(message.content, str) else blocks
        yield {**envelope, "type": "user", "message": {"role": "user", "content": content}}
    for number, one in enumerate(exchange.answered, start=1):
        told = {"role": "user", "content": [result_block(one)]}
        uuid, at = line_id(handed, one.message, number), stamp(one.message.sent_at)
        yield {**envelope, "uuid": uuid, "timestamp": at, "type": "user", "message": told}


def _answer(exchange: Exchange, blocks: list[dict[str, Json]]) -> dict[str, Json]:
    return {
        "id": f"msg_{exchange.message.id}",
        "type": "message",
        "role": "assistant",
        "model": named_model(exchange.message),
        "content": blocks,
        "stop_reason": "tool_use" if exchange.answered else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 0, "output_tokens": 0},
    }
