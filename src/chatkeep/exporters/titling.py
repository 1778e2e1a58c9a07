"""The words about a session at the top of a transcript."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from chatkeep.core.bounds import is_nested_deeper
from chatkeep.core.digest import Digest
from chatkeep.core.model import Json, Session, title_of

_INDENTED_DEPTH_MAX: Final = 20  # deeper, the indents would outweigh what they indent


def title_in(session: Session) -> str:
    """Return the title of a session as lists show it."""
    return title_of(session.header, Digest().plus(*session.messages).made_title)


def shown_time(at: datetime) -> str:
    """Return a time for people, in UTC."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def indented(value: Json) -> str:
    """Return a value as JSON on several lines, or on one if nested deep; a text that is JSON counts as its value."""
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return str(value)
    indent = 0 if is_nested_deeper(value, _INDENTED_DEPTH_MAX) else 2
    return msgspec.json.format(msgspec.json.encode(value), indent=indent).decode()
