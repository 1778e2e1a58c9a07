"""Windows for a model: the newest messages that fit a budget, never a tool call without its results.

The token count of a message is an estimate: four ASCII characters, or one other character, are one
token, and four more stand for the message's frame. It is a little high for the tokenizers in use,
so that what it lets through fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from chatkeep.core.model import Message, Window, encoded_json

_FRAME_TOKENS: Final = 4
_ASCII_CHARS_PER_TOKEN: Final = 4


def token_estimate(message: Message) -> int:
    """Return about how many tokens a model takes for a message."""
    text = message.content if isinstance(message.content, str) else _json_text(message.content)
    if message.tool_calls:
        text += _json_text(message.tool_calls)
    ascii_count = len(text.encode("ascii", "ignore"))
    return _FRAME_TOKENS + -(-ascii_count // _ASCII_CHARS_PER_TOKEN) + len(text) - ascii_count


def neighbours(messages: Sequence[Message], *, limit: int, before: int | None, after: int | None) -> Window:
    """Return neighbouring messages of a whole session, as `Store.window` says."""
    between = [
        said for said in messages if (before is None or said.seq < before) and (after is None or said.seq > after)
    ]
    follows = after is not None and before is None
    return Window(messages=tuple(between[:limit] if follows else between[-limit:]), has_more=len(between) > limit)


def fitting(window: Window, tokens_max: int) -> Window:
    """Return the newest whole exchanges of a window that fit the budget.

    A tool call and its results stay together; results whose call is not in the window are left out.
    """
    start = len(window.messages)
    kept: list[Message] = []
    tokens = 0
    for first, last in reversed(_exchanges(window.messages)):
        exchange = window.messages[first:last]
        tokens += sum(map(token_estimate, exchange))
        if tokens > tokens_max:
            break
        kept[:0] = exchange
        start = first
    return Window(messages=tuple(kept), has_more=window.has_more or start > 0)


def _exchanges(messages: Sequence[Message]) -> list[tuple[int, int]]:
    """Return [first, last) of the runs that must not be split: a call with the tool messages after it."""
    runs: list[tuple[int, int]] = []
    orphaned = True
    for place, message in enumerate(messages):
        if message.role != "tool":
            runs.append((place, place + 1))
            orphaned = not message.tool_calls
        elif not orphaned:
            runs[-1] = (runs[-1][0], place + 1)
    return runs


def _json_text(value: object) -> str:
    return encoded_json("content", value).decode() if value else ""
