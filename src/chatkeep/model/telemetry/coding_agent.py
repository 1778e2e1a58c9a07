"""Claude Code's events as messages: what was asked, what the model answered, what its tools returned.

Each event tells a little. A prompt is in `user_prompt`. An answer is in `api_response_body`, or its words alone in
`assistant_response` just before. A tool's result is in the request that comes next, which is cut at 60 KB, or in the
span of the tool. A message has an id made of what it tells of, so that two events telling of one message, and a
repeated request, make it once.

Calls beside the conversation (titles, summaries, sub-agents) have other sources, and are left out.

Source: the events of Claude Code 2.1.197 itself; its documentation, "Monitoring".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from io import BytesIO
from typing import Final, NamedTuple

import msgspec
from msgspec import to_builtins

from chatkeep.core.history.mending import storable
from chatkeep.core.history.protocols.anthropic import MESSAGES
from chatkeep.core.model import Draft, Json
from chatkeep.core.scanning import BrokenValueError, LongValueError, Scanner
from chatkeep.core.usage.token_counts import TOKENS, token_counts

AGENT_PREFIX: Final = "claude-code:"
_EVENTS: Final = frozenset(
    ("user_prompt", "assistant_response", "api_request_body", "api_response_body", "tool_result", "tool.output")
)
_NAME: Final = re.compile(r"(?:claude_code\.)?(.+)", re.DOTALL)
_SOURCES: Final = re.compile(r"(?:sdk|repl_main_thread)(?![a-z])")
"""Where the calls of the conversation itself come from."""
_LONE_CALL: Final = ".call"
_ID_CHARS_MAX: Final = 100  # of an id; a digest stands for a longer one
_HIDDEN: Final = "<REDACTED>"
_REMINDER_END: Final = "</system-reminder>"
_REMINDER: Final = re.compile(rf"<system-reminder>.*?{_REMINDER_END}\s*", re.DOTALL)


class AgentMessage(NamedTuple):
    """A message of a session, and whether it only stands in for one that tells more."""

    session: str
    draft: Draft
    is_substitute: bool = False


def is_of_agent(name: str, values: Mapping[str, Json]) -> bool:
    """Tell whether a record is an event of Claude Code with a part of the conversation."""
    found = _NAME.fullmatch(name)
    return found is not None and found[1] in _EVENTS and isinstance(values.get("session.id"), str)


def is_lone_call(draft: Draft) -> bool:
    """Tell whether a message is the call of a tool alone, which the answer with the call tells, too."""
    return (draft.id or "").endswith(_LONE_CALL)


def order_of(values: Mapping[str, Json]) -> int:
    """Return the place of an event among those of its session, 0 for an unknown one."""
    place = values.get("event.sequence")
    return place if isinstance(place, int) and not isinstance(place, bool) else 0


def messages_of_event(name: str, values: Mapping[str, Json], at: datetime | None) -> Iterator[AgentMessage]:
    """Yield the messages that an event tells of."""
    kind, session = name.removeprefix("claude_code."), f"{values.get('session.id')}"
    source = values.get("query_source")
    if isinstance(source, str) and not _SOURCES.match(source):
        return
    place = f"{session}.{values.get('event.timestamp')}.{order_of(values)}"
    is_substitute = kind in ("assistant_response", "tool_result")
    for draft in _drafts(kind, values, place):
        yield AgentMessage(session, storable(msgspec.structs.replace(draft, sent_at=at)), is_substitute)


def _drafts(kind: str, values: Mapping[str, Json], place: str) -> Iterator[Draft]:
    if kind == "user_prompt":
        prompt = values.get("prompt")
        if isinstance(prompt, str) and prompt not in ("", _HIDDEN):
            yield Draft(role="user", content=prompt, id=_prompt_id(values, place))
    elif kind == "assistant_response":
        words = values.get("response")
        if isinstance(words, str) and words not in ("", _HIDDEN):
            facts: dict[str, Json] = {"model": model} if isinstance(model := values.get("model"), str) else {}
            yield Draft(role="assistant", content=words, id=_answer_id(values, 0), metadata=facts or None)
    elif kind == "api_response_body":
        yield from _answer(values)
    elif kind == "api_request_body":
        yield from _asked(values, place)
    elif kind == "tool_result":
        yield from _call_and_result(values)
    else:
        yield from _output(values)


def _prompt_id(values: Mapping[str, Json], place: str) -> str:
    prompt = values.get("prompt.id")
    return _id(prompt if isinstance(prompt, str) and prompt else place)


def _id(name: str, ending: str = "") -> str:
    """Return the id of the message that a name stands for."""
    if len(name) > _ID_CHARS_MAX or not name.isprintable():
        name = hashlib.sha256(name.encode(errors="replace")).hexdigest()
    return f"otel.{name}{ending}"


def _answer_id(values: Mapping[str, Json], behind: int) -> str:
    """Return the id of an answer: the whole one comes right behind its words. A resumed session counts anew."""
    asked = values.get("prompt.id") or f"{values.get('session.id')}.{values.get('event.timestamp')}"
    return _id(f"{asked}.{order_of(values) - behind}")


def _answer(values: Mapping[str, Json]) -> Iterator[Draft]:
    told = _parsed(values.get("body"))
    fold = MESSAGES.answer()
    fold.add(told)
    if (draft := fold.draft({})) is None:
        return
    counts = token_counts((draft.metadata or {}).get("usage"))
    facts = {**(draft.metadata or {}), **({TOKENS: to_builtins(counts)} if counts else {})}
    yield msgspec.structs.replace(draft, id=_answer_id(values, 1), metadata=facts or None)


def _asked(values: Mapping[str, Json], place: str) -> Iterator[Draft]:
    """Yield what a request adds to its conversation: the results of tools, or a prompt that no other event tells."""
    body = values.get("body")
    said = list(_listed(body)) if isinstance(body, str) else []
    last = said[-1] if said and values.get("body_truncated") != "true" else None
    for message in said[-2:]:
        yield from _results(message.get("content"))
    if last is not None and last.get("role") == "user" and (prompt := _prompt(last.get("content"))):
        yield Draft(role="user", content=prompt, id=_prompt_id(values, place))


def _listed(body: str) -> Iterator[dict[str, Json]]:
    """Yield the whole messages of a request, which may be cut anywhere."""
    scanner = Scanner(BytesIO(body.encode()), levels_max=len(body))
    try:
        if not scanner.skip(b"{"):
            return
        while not scanner.skip(b"}"):
            if scanner.name() == MESSAGES.items and scanner.skip(b"["):
                while not scanner.skip(b"]"):
                    message = _parsed(scanner.value().decode())
                    if isinstance(message, dict):
                        yield message
                    scanner.skip(b",")
                return
            scanner.value()
            scanner.skip(b",")
    except (BrokenValueError, LongValueError):
        return


def _parsed(text: Json) -> Json:
    try:
        found: Json = msgspec.json.decode(text) if isinstance(text, str) else None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return found


def _parts(content: Json) -> Iterator[dict[str, Json]]:
    return (part for part in content if isinstance(part, dict)) if isinstance(content, list) else iter(())


def _results(content: Json) -> Iterator[Draft]:
    for part in _parts(content):
        call = part.get("tool_use_id")
        if part.get("type") == "tool_result" and isinstance(call, str):
            yield _result(call, part.get("content"), {"is_error": True} if part.get("is_error") is True else {})


def _prompt(content: Json) -> str:
    """Return the words of a user, without those that the program adds; empty for results of tools."""
    if isinstance(content, str):
        return _own_words(content)
    parts = list(_parts(content))
    if any(part.get("type") == "tool_result" for part in parts):
        return ""
    words = (_own_words(text) for part in parts if isinstance(text := part.get("text"), str))
    return "\n\n".join(filter(None, words))


def _own_words(text: str) -> str:
    """Return a text without its reminders; without the last end, each beginning would look through all the rest."""
    rest = text.rpartition(_REMINDER_END)[2].lstrip()
    return f"{_REMINDER.sub('', text.removesuffix(rest))}{rest}".strip()


def _result(call: str, content: Json, facts: dict[str, Json], name: str | None = None) -> Draft:
    told = content if isinstance(content, str | list) else ""
    return Draft(
        role="tool", content=told, id=_id(call, ".result"), tool_call_id=call, name=name, metadata=facts or None
    )


def _call_and_result(values: Mapping[str, Json]) -> Iterator[Draft]:
    """Yield the call of a tool, for a session whose answers come without their calls."""
    call, name = values.get("tool_use_id"), values.get("tool_name")
    given = values.get("tool_input", values.get("tool_parameters"))
    if isinstance(call, str) and isinstance(name, str) and isinstance(given, str):
        function: Json = {"name": name, "arguments": given}
        calls: list[Json] = [{"id": call, "type": "function", "function": function}]
        yield Draft(role="assistant", content=None, id=_id(call, _LONE_CALL), tool_calls=calls)


def _output(values: Mapping[str, Json]) -> Iterator[Draft]:
    """Yield what a tool returned, as its span tells it."""
    call, name = values.get("tool_use_id"), values.get("tool_name")
    content = next((held for key in ("output", "content") if isinstance(held := values.get(key), str)), None)
    if isinstance(call, str) and content is not None:
        yield _result(call, content, {}, name if isinstance(name, str) else None)
