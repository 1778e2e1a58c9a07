"""Storing of conversations that instrumentation tells of, for those who cannot change a client's base URL.

A call of a model is stored as the recording proxy stores it: Chatkeep finds the session that the conversation
continues, appends the new messages, and makes a fork where it leaves the session. The events of a coding agent become
messages of one session. What is sent again stores nothing twice.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final

import msgspec
from msgspec import Struct

from chatkeep.core.bounds import BATCH_MAX
from chatkeep.core.history.recognition import opening_key
from chatkeep.core.history.turns import utterance_of
from chatkeep.core.keys import parse_key
from chatkeep.core.model import Draft, Message
from chatkeep.errors import InvalidKeyError, MessageConflictError, MessageNotFoundError, SessionNotFoundError
from chatkeep.model.endings import patiently
from chatkeep.model.places import Root
from chatkeep.model.recording import Recording
from chatkeep.model.telemetry.coding_agent import (
    AGENT_PREFIX,
    AgentMessage,
    is_lone_call,
    is_of_agent,
    messages_of_event,
    order_of,
)
from chatkeep.model.telemetry.generations import (
    Generation,
    generation,
    generation_of,
    is_of_earlier_form,
    message_of_event,
)
from chatkeep.sessions.sessions import Sessions
from chatkeep.wire.otlp import Observation

PREFIX: Final = "otel:"
NO_CONTENT: Final = (
    "These records have no messages, so nothing is stored. Let the program send content: for Claude Code set "
    "OTEL_LOG_USER_PROMPTS=1 and OTEL_LOG_RAW_API_BODIES=1, for OpenTelemetry's instrumentation "
    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true."
)
_RECENT: Final = 20  # last messages searched for the call of a tool
_ANSWERS_MAX: Final = 8  # of one call
_DIGEST_CHARS: Final = 16  # of a key
_TRIES: Final = 3  # of an append beside others with the same ids
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Observed(Struct, frozen=True):
    """The outcome of a request: the number of conversations that it tells of, and a warning; empty for none."""

    talk_count: int
    warning: str = ""


def observe(sessions: Sessions, observations: Sequence[Observation], by: str) -> Observed:
    """Store the conversations of a request. `by` is its caller.

    Raises:
        BusyError, SessionDamagedError, StorageError: when storing fails. The same request may be sent again.
    """
    talks = 0
    for session, told in _agents(observations).items():
        talks += _store_messages(sessions, session, told)
    for service, call in _generations(observations):
        patiently(partial(_store_call, sessions, call, service, by))
        talks += 1
    is_of_models = any(map(_is_of_models, observations))
    return Observed(talks, NO_CONTENT if is_of_models and not talks else "")


def _is_of_models(one: Observation) -> bool:
    return one.service == "claude-code" or any(name.startswith(("gen_ai.", "llm.")) for name in one.values)


def _agents(observations: Iterable[Observation]) -> dict[str, list[AgentMessage]]:
    """Return the messages of coding agents by their sessions, in the order of their events."""
    events = [one for one in observations if is_of_agent(one.name, one.values)]
    found: dict[str, list[AgentMessage]] = defaultdict(list)
    for one in sorted(events, key=lambda one: order_of(one.values)):
        for told in messages_of_event(one.name, one.values, one.at):
            found[told.session].append(told)
    return found


def _store_messages(sessions: Sessions, session: str, told: Sequence[AgentMessage]) -> bool:
    """Append the messages that the session lacks; of two with one id, the first wins that is no substitute."""
    key = _key(sessions, AGENT_PREFIX, session)
    wholes = {one.draft.id for one in told if not one.is_substitute}
    drafts: dict[str, Draft] = {}
    for one in told:
        if one.draft.id is not None and not (one.is_substitute and one.draft.id in wholes):
            drafts.setdefault(one.draft.id, one.draft)
    for _ in range(_TRIES):
        missing = list(_missing(sessions.naming, key, drafts))
        try:
            for start in range(0, len(missing), BATCH_MAX):
                patiently(partial(sessions.append, key, missing[start : start + BATCH_MAX]))
        except MessageConflictError:  # another request told of one of them meanwhile
            continue
        break
    return bool(drafts)


def _missing(sessions: Sessions, key: str, drafts: Mapping[str, Draft]) -> Iterator[Draft]:
    """Yield the messages that a session lacks: of an answer whose words are stored only its calls."""
    try:
        recent = sessions.window(key, limit=_RECENT).messages
    except SessionNotFoundError:
        recent = ()
    made = {call.id for one in (*recent, *map(_as_message, _wholes(drafts))) for call in utterance_of(one).calls}
    for name, draft in drafts.items():
        if is_lone_call(draft) and made.intersection(call.id for call in utterance_of(_as_message(draft)).calls):
            continue
        stored = _stored(sessions, key, name) if recent else None
        missing = draft if stored is None else _rest(draft, stored)
        if missing is not None and (stored is None or _stored(sessions, key, f"{missing.id}") is None):
            yield missing


def _wholes(drafts: Mapping[str, Draft]) -> Iterator[Draft]:
    return (one for one in drafts.values() if not is_lone_call(one))


def _as_message(draft: Draft) -> Message:
    return Message(**{**msgspec.structs.asdict(draft), "seq": 1, "sent_at": _BEGINNING, "id": f"{draft.id}"})


def _stored(sessions: Sessions, key: str, name: str) -> Message | None:
    try:
        return sessions.message(key, name, log=True)
    except (MessageNotFoundError, SessionNotFoundError):
        return None


def _rest(draft: Draft, stored: Message) -> Draft | None:
    """Return the calls of a whole answer whose words alone are stored; None without any."""
    if not isinstance(draft.content, list) or isinstance(stored.content, list):
        return None
    parts = [part for part in draft.content if not (isinstance(part, dict) and part.get("type") == "text")]
    return msgspec.structs.replace(draft, id=f"{draft.id}.calls", content=parts) if parts else None


def _generations(observations: Iterable[Observation]) -> list[tuple[str, Generation]]:
    """Return the calls of models with their services, in the order of their ends."""
    found: list[tuple[datetime, str, Generation]] = []
    told_apart: dict[str, list[Observation]] = defaultdict(list)
    for one in observations:
        if is_of_earlier_form(one.name):
            told_apart[one.span].append(one)
        elif (call := generation_of(one.values, one.at)) is not None:
            found.append((one.at or _BEGINNING, one.service, call))
    found += [
        (some[-1].at or _BEGINNING, some[-1].service, call)
        for some in told_apart.values()
        if (call := _gathered(some)) is not None
    ]
    return [(service, call) for _, service, call in sorted(found, key=lambda one: (one[0], len(one[2].asked)))]


def _gathered(events: Sequence[Observation]) -> Generation | None:
    """Return the call whose messages come in an event each; None without any content."""
    asked: list[Draft] = []
    answers: list[Draft] = []
    for one in events:
        is_answer, said = message_of_event(one.name, one.values, one.body)
        (answers if is_answer else asked).extend(said)
    return generation(events[-1].values, asked, answers, events[-1].at)


def _store_call(sessions: Sessions, call: Generation, service: str, by: str) -> None:
    """Store a call; its first answer goes on with the session, and each other one is a fork."""
    asker = (by, service)
    answers: Sequence[Draft | None] = call.answers[:_ANSWERS_MAX] or (None,)
    for answer in answers:
        drafts = [answer] if answer is not None and not call.asked else call.asked
        if call.thread:
            root = Root(_key(sessions, PREFIX, f"{service}:{call.thread}" if service else call.thread), is_named=True)
        else:
            root = Root(opening_key(sessions.prefix or PREFIX, asker, drafts), asker=asker)
        recording = Recording(sessions, root, drafts)
        if answer is None or drafts == [answer]:
            recording.begin()
        else:
            recording.finish(answer)


def _key(sessions: Sessions, prefix: str, name: str) -> str:
    """Return the key of a conversation that its program names; a digest stands for a name that no key can have."""
    prefix = sessions.prefix or prefix
    try:
        return parse_key(f"{prefix}{name}")
    except InvalidKeyError:
        return f"{prefix}{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:_DIGEST_CHARS]}"
