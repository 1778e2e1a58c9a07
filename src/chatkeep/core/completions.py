"""OpenAI's chat completions and our messages: requests in, answers in; `folding` puts these together.

Many servers speak this protocol and few keep to it, so nothing here refuses: an id that is missing, a
role only in the first chunk, a null delta, a chunk without choices, a field that nobody has heard of.
What a message of ours has no field for is kept in `metadata.openai`, so that the message comes back as
it came; only fields that are null or an empty list are not told from those that are left out.

Source: the API reference of OpenAI's chat completions, and what vLLM, Ollama, llama.cpp, OpenRouter
and Gemini send under its name.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, get_args

import msgspec

from chatkeep.core.bounds import MESSAGE_BYTES_MAX
from chatkeep.core.joining import storable_text
from chatkeep.core.model import NAME_CHARS_MAX, Draft, Json, Role, check_draft
from chatkeep.core.reasoning import FIELD, FIELDS, parted, words_of_fields
from chatkeep.errors import InvalidError, TooLargeError

EXTRA: Final = "openai"
END: Final = b"[DONE]"
"""What the last event of a stream says."""

_ROOM_FOR_ID_AND_TIME: Final = 1 << 10
_ROLES: Final = {**{role: role for role in get_args(Role)}, "function": "tool"}
_SPACE: Final = re.compile(r"\s")
_INT_BOUND: Final = 1 << 63
_LONGEST: Final = (1 << 16, 1 << 10)
_DATA_HEAD_CHARS: Final = 64


def drafts_of(request: Json) -> list[Draft] | None:
    """Return the messages of a request, None when it has none that are objects."""
    messages = request.get("messages") if isinstance(request, dict) else None
    if not isinstance(messages, list) or not messages or not all(isinstance(said, dict) for said in messages):
        return None
    return [draft_of(said) for said in messages]


def draft_of(said: Mapping[str, Json], metadata: Mapping[str, Json] | None = None) -> Draft:
    """Return a message of OpenAI's as ours, with this metadata beside what we have no field for."""
    extra = {name: value for name, value in said.items() if value is not None and value != []}
    given, content, calls = extra.pop("role", None), extra.pop("content", None), extra.pop("tool_calls", None)
    role: Role = _ROLES.get(given, "user") if isinstance(given, str) else "user"
    if given not in (None, role):
        extra["role"] = given
    return _draft(role, content, calls, extra, metadata)


def answer_draft(said: Mapping[str, Json], told: Mapping[str, Json], beside: Mapping[str, Json]) -> Draft:
    """Return a message that a model said as ours, as it can be stored.

    What was told `beside` it, as the odds of each word, is kept if there is room for it.
    """
    extra = dict(said)
    draft = _draft("assistant", extra.pop("content", None), extra.pop("tool_calls", None), extra, told)
    full = msgspec.structs.replace(draft, metadata={**(draft.metadata or {}), **beside} or None)
    if not beside or not isinstance(_fault(full), TooLargeError):
        return storable(full)
    return storable(_changed(draft, _same, "shortened"))


def _draft(
    role: Role, content: Json, calls: Json, extra: dict[str, Json], metadata: Mapping[str, Json] | None
) -> Draft:
    if calls is not None and not isinstance(calls, list):
        extra["tool_calls"], calls = calls, None
    if content is not None and not _is_content(content):
        extra["content"], content = content, None
    if role == "assistant":
        content, thought = _thought_apart(content, extra)
        metadata = {**(metadata or {}), **({FIELD: thought} if thought else {})}
    if content is None and not calls:
        content = ""
    labels = {name: extra.pop(name) for name in ("name", "tool_call_id") if _is_label(extra.get(name))}
    told = {**(metadata or {}), **({EXTRA: extra} if extra else {})}
    return Draft(role=role, content=content, tool_calls=calls, metadata=told or None, **labels)


def _thought_apart(content: Json, extra: dict[str, Json]) -> tuple[Json, dict[str, Json] | None]:
    """Return a content without its thinking, and this as it stands in the metadata, with how it came.

    A field of plain text moves there; a provider's own structures stay, and what they say in words is told.
    """
    if words := "\n\n".join(dict.fromkeys(words_of_fields(extra))):
        came_in = next((name for name in FIELDS if extra.get(name) == words), None)
        if came_in is not None:
            del extra[came_in]
        return content, {"text": words, "from": came_in or next(name for name in FIELDS if name in extra)}
    if not isinstance(content, str) or not (found := parted(content)).tags:
        return content, None
    return found.text, {"text": found.reasoning, "from": "content", "tags": [list(tag) for tag in found.tags]}


def storable(draft: Draft) -> Draft:
    """Return the draft, or what can be stored of it: the same for the same draft, and marked in its metadata.

    Characters that cannot be stored become U+FFFD; of a message that is too large the long strings are
    cut, each with its length and checksum told, so that two of them are still told apart.
    """
    fault = _fault(draft)
    if isinstance(fault, InvalidError):
        draft = _changed(draft, _scrubbed, "characters replaced")
        fault = _fault(draft)
    for longest in _LONGEST:
        if fault:
            draft = _changed(draft, partial(_cut, longest=longest), "shortened")
            fault = _fault(draft)
    return _nothing_of(draft) if fault else draft


def _is_content(value: Json) -> bool:
    if isinstance(value, list):
        return all(isinstance(part, dict | str) for part in value)
    return isinstance(value, str)


def _is_label(value: Json) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= NAME_CHARS_MAX and value.isprintable()


def _fault(draft: Draft) -> InvalidError | TooLargeError | None:
    try:
        check_draft(draft)
        if len(msgspec.json.encode(draft)) > MESSAGE_BYTES_MAX - _ROOM_FOR_ID_AND_TIME:
            raise TooLargeError("message", MESSAGE_BYTES_MAX)  # noqa: TRY301 - one way out
    except (InvalidError, TooLargeError) as error:
        return error
    return None


def _changed(draft: Draft, change: Callable[[Json], Json], mark: str) -> Draft:
    """Return the draft with a change made to all that a client may fill, and marked."""
    metadata = change(draft.metadata) or {}
    marks = [one for one in metadata.get("altered", ()) if one != mark]
    return msgspec.structs.replace(
        draft,
        content=change(draft.content),
        tool_calls=change(draft.tool_calls),
        metadata={**metadata, "altered": [*marks, mark]},
    )


def _same(value: Json) -> Json:
    return value


def _scrubbed(value: Json) -> Json:
    """Return the value with U+FFFD for what cannot be stored, and numbers out of range as text."""
    if isinstance(value, str):
        return storable_text(value)
    if isinstance(value, dict):
        return {_scrubbed(name): _scrubbed(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_scrubbed(inner) for inner in value]
    is_odd = isinstance(value, float) and not math.isfinite(value)
    is_huge = isinstance(value, int) and not -_INT_BOUND <= value < 2 * _INT_BOUND
    return str(value) if is_odd or is_huge else value


def _cut(value: Json, longest: int) -> Json:
    """Return the value with its long strings cut: of a text its beginning stays, of encoded data next to nothing."""
    if isinstance(value, dict):
        return {name: _cut(inner, longest) for name, inner in value.items()}
    if isinstance(value, list):
        return [_cut(inner, longest) for inner in value]
    if not isinstance(value, str) or len(value) <= longest:
        return value
    is_data = value.isascii() and not _SPACE.search(value, 0, longest)
    return f"{value[: _DATA_HEAD_CHARS if is_data else longest]} [{len(value)} characters, SHA-256 {_digest(value)}]"


def _nothing_of(draft: Draft) -> Draft:
    """Return a message that stands for one that is too large in many small parts."""
    content = f"[A message too large to keep, SHA-256 {_digest(_whole(draft))}]"
    metadata = {"altered": ["left out"]}
    return msgspec.structs.replace(draft, content=content, tool_calls=None, metadata=metadata)


def _whole(draft: Draft) -> str:
    return msgspec.json.encode((draft.content, draft.tool_calls), order="deterministic").decode()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
