"""Side calls: requests that a coding agent makes for itself, beside the conversation with its user.

Claude Code asks the model for titles, for new topics, for the prefix of a shell command, for a next suggestion, and
whether the quota still lasts. These requests have no tools, and the system prompt or the last message states the
task. Such a call is no part of a conversation.

A request of another program, or one with tools, is never a side call, whatever its words are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from chatkeep.core.model import Json, text_of

_LOOKED_AT_CHARS: Final = 4000  # of a text; a task stands at its beginning
_AGENT: Final = re.compile(r"Claude Code|Claude agent|x-anthropic-billing-header", re.IGNORECASE)
_AGENT_USER: Final = re.compile(r'_session_|"session_id"')
_SYSTEM_TASKS: Final = re.compile(
    r"\b(?:generate|write|create|come up with|coming up with|produce)\b[^.\n]{0,80}\btitle\b"
    r"|indicates? a new conversation topic"
    r"|summarize this (?:coding )?(?:conversation|session) in under"
    r"|your task is to process bash commands|extract any file paths that this command"
    r"|suggest what the user might|predict what the user",
    re.IGNORECASE,
)
_USER_TASKS: Final = re.compile(
    r"\s*(?:quota|warmup|count|foo)\s*\Z"
    r"|\s*please write a \d+-\d+ word title"
    r"|\s*(?:generate|write) a (?:concise|short|succinct)[^.\n]{0,60}\btitle\b[^.\n]{0,60}\b(?:conversation|session)\b"
    r"|\s*summarize this coding conversation in under"
    r"|\s*<policy_spec>|\s*\[suggestion mode",
    re.IGNORECASE,
)


def is_aside(request: Mapping[str, Json]) -> bool:
    """Tell whether a request is a side call of a coding agent."""
    if request.get("tools") or not _is_of_agent(request):
        return False
    asks_for_form = _has_format(request.get("output_config")) or bool(request.get("output_format"))
    system = "\n".join(_texts(request.get("system")))
    if request.get("max_tokens") == 1 or _SYSTEM_TASKS.search(system):
        return True
    messages = request.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    if not isinstance(last, dict):
        return False
    is_prefilled = last.get("role") == "assistant"
    return asks_for_form or is_prefilled or any(map(_USER_TASKS.match, _texts(last.get("content"))))


def _is_of_agent(request: Mapping[str, Json]) -> bool:
    metadata = request.get("metadata")
    user = metadata.get("user_id") if isinstance(metadata, dict) else None
    if isinstance(user, str) and _AGENT_USER.search(user[:_LOOKED_AT_CHARS]):
        return True
    return any(map(_AGENT.search, _texts(request.get("system"))))


def _has_format(config: Json) -> bool:
    return isinstance(config, dict) and bool(config.get("format"))


def _texts(content: Json) -> Iterable[str]:
    """Return the beginnings of the texts of a content."""
    parts = [content] if isinstance(content, str) else content if isinstance(content, list) else []
    return [text_of([part])[:_LOOKED_AT_CHARS] for part in parts if isinstance(part, dict | str)]
