"""Values of a framework as messages, and back, exactly.

An item is any JSON value as Python's `json` has it. What is said in it becomes the content of the message; the rest
is in its metadata, under the framework's name. What a message cannot hold (NUL, lone surrogates, numbers that are not
finite, deeper nesting) is kept there as base64 of the whole item; the content has a mark (U+FFFD) in its place.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from chatkeep.core.bounds import DEPTH_MAX, is_nested_deeper
from chatkeep.core.checks import check_name, encoded_json
from chatkeep.core.model import Draft, Json, Message
from chatkeep.core.standing import Role
from chatkeep.errors import InvalidError

_ITEM: Final = "item"
_EXACT: Final = "base64"
_PATH: Final = "content"
_WRAPPING: Final = 8  # levels around an item in its message
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")


class Spoken(msgspec.Struct, frozen=True, kw_only=True):
    """How an item counts in a conversation: its role, and where it says something.

    `path` leads to the content within the item; `words` stand in where there is none.
    """

    role: Role
    path: tuple[str, ...] = ()
    words: str = ""
    name: str | None = None
    tool_calls: list[Json] | None = None
    tool_call_id: str | None = None
    id: str | None = None


def message_of_item(kind: str, item: Json, spoken: Spoken) -> Draft:
    """Return an item of a framework as a message.

    Raises:
        InvalidError: when it is no JSON value.
    """
    content = _at(item, spoken.path) if spoken.path else None
    in_place = _may_be_content(content)
    is_plain = _is_plain(item)
    kept: dict[str, Json]
    if not is_plain:
        kept = {_EXACT: base64.b64encode(_dumped(item)).decode()}
    elif in_place:
        kept = {_ITEM: _without(item, spoken.path), _PATH: [*spoken.path]}
    else:
        kept = {_ITEM: item}
    shown = content if in_place else spoken.words
    return Draft(
        role=spoken.role,
        content=shown if is_plain and in_place else _marked(shown),
        metadata={kind: kept},
        name=_name(spoken.name),
        tool_calls=spoken.tool_calls if _is_plain(spoken.tool_calls) else None,
        tool_call_id=_name(spoken.tool_call_id),
        id=_name(spoken.id),
    )


def item_of_message(kind: str, message: Message) -> Json | None:
    """Return the item of a framework in a message; None if another program wrote the message."""
    kept = (message.metadata or {}).get(kind)
    if not isinstance(kept, Mapping):
        return None
    if isinstance(kept.get(_EXACT), str):
        return json.loads(base64.b64decode(kept[_EXACT]))
    if _ITEM not in kept:
        return None
    path = kept.get(_PATH)
    return _with(kept[_ITEM], path, message.content) if path else kept[_ITEM]


def words_within(value: Json, *, chars: int = 100_000) -> str:
    """Return the words in a value: its texts, one per line."""
    found: list[str] = []
    rest = [value]
    while rest and sum(map(len, found)) < chars:
        one = rest.pop()
        if isinstance(one, str):
            found.append(one)
        elif isinstance(one, Mapping):
            rest += [*one.values()][::-1]
        elif isinstance(one, Sequence):
            rest += one[::-1]
    return "\n".join(found)[:chars]


def _is_plain(item: Json) -> bool:
    """Tell whether a message can hold a value as it is."""
    try:
        encoded = encoded_json("item", item)
    except InvalidError:
        return False
    try:
        is_same = bool(json.loads(encoded) == item)
    except (ValueError, RecursionError):
        return False
    return is_same and not is_nested_deeper(item, DEPTH_MAX - _WRAPPING)


def _dumped(item: Json) -> bytes:
    try:
        return json.dumps(item).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidError("item", f"is not a JSON value: {error}") from error


def _may_be_content(content: Json) -> bool:
    if isinstance(content, str):
        return True
    return isinstance(content, list) and all(isinstance(part, dict | str) for part in content)


def _marked(shown: Json) -> str | list[Json]:
    """Return content with a mark in place of each character that no message holds; parts in words."""
    text = shown if isinstance(shown, str) else words_within(shown)
    return _UNSTORABLE.sub("\ufffd", text)


def _name(name: str | None) -> str | None:
    """Return a name if a message may have it; the item has it anyhow."""
    try:
        check_name("name", name)
    except InvalidError:
        return None
    return name


def _at(item: Json, path: Sequence[str]) -> Json:
    for step in path:
        if not isinstance(item, Mapping) or step not in item:
            return None
        item = item[step]
    return item


def _without(item: dict[str, Any], path: Sequence[str]) -> Json:
    step, *rest = path
    if not rest:
        return {name: value for name, value in item.items() if name != step}
    return {**item, step: _without(item[step], rest)}


def _with(item: dict[str, Any], path: Sequence[str], content: Json) -> Json:
    step, *rest = path
    return {**item, step: content if not rest else _with(item[step], rest, content)}
