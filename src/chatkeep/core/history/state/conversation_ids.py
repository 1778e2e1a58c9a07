"""Ids of OpenAI's Conversations and their items, and the sessions and messages behind them.

An id of a conversation is the key of its session in other letters, one to one. A key `conv:` with 48 hexadecimal
digits gives `conv_` with the same digits. Any other key gives `conv_k-` with its bytes in base64.

An item keeps an id of its own. Without one it has that of its message: behind the usual beginning for its type, and
before its number if the message has several items.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Final

from chatkeep.core.keys import parse_key
from chatkeep.core.model import Json
from chatkeep.errors import InvalidKeyError

CONVERSATION_BEGINNING: Final = "conv_"
"""Every id of a conversation begins so."""
ID_CHARS_MAX: Final = 1024  # of an id of a conversation; the longest key gives 690
DIGITS: Final = 48  # hexadecimal, of the ids that we make
_OWN: Final = "conv:"
_SPELLED: Final = "conv_k-"
_OWN_KEY: Final = re.compile(rf"conv:([0-9a-f]{{{DIGITS}}})")
_OWN_ID: Final = re.compile(rf"conv_([0-9a-f]{{{DIGITS}}})")
_NUMBERED: Final = re.compile(r"(.+)\.[0-9]{1,6}", re.DOTALL)
_BEGINNINGS: Final = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "web_search_call": "ws",
    "file_search_call": "fs",
    "code_interpreter_call": "ci",
    "image_generation_call": "ig",
    "computer_call": "cu",
    "computer_call_output": "cuo",
    "mcp_call": "mcp",
    "mcp_list_tools": "mcpl",
    "mcp_approval_request": "mcpr",
    "local_shell_call": "lsh",
    "compaction": "cmp",
}


def conversation_id(key: str) -> str:
    """Return the id of the conversation that a session is."""
    if own := _OWN_KEY.fullmatch(key):
        return f"{CONVERSATION_BEGINNING}{own[1]}"
    return _SPELLED + base64.urlsafe_b64encode(key.encode()).rstrip(b"=").decode()


def key_of_conversation(given: str) -> str | None:
    """Return the key of the session that a conversation is, None for an id of no session."""
    if own := _OWN_ID.fullmatch(given):
        return f"{_OWN}{own[1]}"
    if not given.startswith(_SPELLED) or len(given) > ID_CHARS_MAX:
        return None
    spelled = given.removeprefix(_SPELLED)
    try:
        key = parse_key(base64.b64decode(spelled + "=" * (-len(spelled) % 4), b"-_", validate=True).decode())
    except (binascii.Error, UnicodeError, InvalidKeyError):
        return None
    return key if conversation_id(key) == given else None


def new_conversation_key(prefix: str, digits: str) -> str:
    """Return the key of a new conversation under a prefix, with these random digits."""
    return f"{prefix}{_OWN}{digits}"


def item_id(item: Mapping[str, Json], message_id: str, place: int | None = None) -> str:
    """Return the id of an item of a message; `place` is its number there, None for the only one."""
    own = item.get("id")
    if isinstance(own, str) and own:
        return own
    begun = f"{beginning_of(item)}_"
    named = message_id if message_id.startswith(begun) else f"{begun}{message_id}"
    return named if place is None else f"{named}.{place}"


def beginning_of(item: Mapping[str, Json]) -> str:
    """Return the usual beginning of an id for the type of an item."""
    return _BEGINNINGS.get(str(item.get("type", "message")), "item")


def message_ids_of(given: str) -> Iterator[str]:
    """Yield the ids that the message of an item may have."""
    yield given
    _, found, rest = given.partition("_")
    for one in (given, rest) if found and rest else (given,):
        if one != given:
            yield one
        if numbered := _NUMBERED.fullmatch(one):
            yield numbered[1]
