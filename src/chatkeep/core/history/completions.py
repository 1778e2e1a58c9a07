"""OpenAI's chat completions as our messages: requests in, answers in. `folding` joins streamed answers.

Many servers speak this protocol and few keep to it, so nothing here refuses. An id may be missing, a role may come
only in the first chunk, a delta may be null. A chunk may lack choices, and fields may be unknown. A field without a
counterpart in our messages is kept in `metadata.openai`, so the message can be sent back unchanged. One difference is
lost: null and an empty list read like a field left out.

Source: the API reference of OpenAI's chat completions, and what vLLM, Ollama, llama.cpp, OpenRouter and Gemini send
under its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from chatkeep.core.checks import NAME_CHARS_MAX
from chatkeep.core.history.mending import SHORTENED, is_too_large, marked, storable
from chatkeep.core.model import Draft, Json
from chatkeep.core.standing import SAID_ROLES, Role
from chatkeep.core.text.reasoning import FIELD, FIELDS, parted, words_of_fields

EXTRA: Final = "openai"
END: Final = b"[DONE]"
"""The data of a stream's last event."""

_PLAIN: Final = {"role", "content"}
_ROLES: Final[dict[str, Role]] = {**{role: role for role in SAID_ROLES}, "function": "tool"}


def drafts_of_request(request: Json) -> list[Draft] | None:
    """Return the messages of a request, or None unless it has a list of objects."""
    messages = request.get("messages") if isinstance(request, dict) else None
    if not isinstance(messages, list) or not messages or not all(isinstance(said, dict) for said in messages):
        return None
    return [draft_of_completion(said) for said in messages]


def draft_of_completion(said: Mapping[str, Json], metadata: Mapping[str, Json] | None = None) -> Draft:
    """Return an OpenAI message as ours, with this metadata and the fields that ours lack."""
    if metadata is None and said.keys() == _PLAIN and _is_plain(said):
        return Draft(role=said["role"], content=said["content"])
    extra = {name: value for name, value in said.items() if value is not None and value != []}
    given, content, calls = extra.pop("role", None), extra.pop("content", None), extra.pop("tool_calls", None)
    role: Role = _ROLES.get(given, "user") if isinstance(given, str) else "user"
    if given not in (None, role):
        extra["role"] = given
    return _draft(role, content, calls, extra, metadata)


def answer_draft(said: Mapping[str, Json], told: Mapping[str, Json], beside: Mapping[str, Json]) -> Draft:
    """Return a model's message as ours, in a storable form.

    Facts `beside` it, such as the odds of each word, are kept if they fit.
    """
    extra = dict(said)
    draft = _draft("assistant", extra.pop("content", None), extra.pop("tool_calls", None), extra, told)
    full = msgspec.structs.replace(draft, metadata={**(draft.metadata or {}), **beside} or None)
    if not beside or not is_too_large(full):
        return storable(full)
    return storable(marked(draft, SHORTENED))


def _is_plain(said: Mapping[str, Json]) -> bool:
    """Tell whether a role and a content are a message of ours as they are; most are."""
    role, content = said["role"], said["content"]
    if not isinstance(content, str) or role not in SAID_ROLES:
        return False
    return role != "assistant" or not parted(content).tags


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
    """Return a content without its thinking, and the thinking for the metadata with its origin.

    A field of plain text moves to the metadata. A provider's own structures stay, and their words are copied.
    """
    if words := "\n\n".join(dict.fromkeys(words_of_fields(extra))):
        came_in = next((name for name in FIELDS if extra.get(name) == words), None)
        if came_in is not None:
            del extra[came_in]
        return content, {"text": words, "from": came_in or next(name for name in FIELDS if name in extra)}
    if not isinstance(content, str) or not (found := parted(content)).tags:
        return content, None
    return found.text, {"text": found.reasoning, "from": "content", "tags": [list(tag) for tag in found.tags]}


def _is_content(value: Json) -> bool:
    if isinstance(value, list):
        return all(isinstance(part, dict | str) for part in value)
    return isinstance(value, str)


def _is_label(value: Json) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= NAME_CHARS_MAX and value.isprintable()
