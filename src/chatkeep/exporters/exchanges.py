"""A session as models' servers take it: each message with its calls, and their results directly behind them.

Stored histories may break any rule of a server, as `core.history.turns` says. What is left out here is what no server
takes: calls without a result, and results without a call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import msgspec

from chatkeep.core.history.shapes import with_call_ids
from chatkeep.core.history.turns import ToolResult, Utterance, answers, utterance_of
from chatkeep.core.model import Json, Message, Session
from chatkeep.core.standing import said


class AnsweredCall(NamedTuple):
    """A result, and the message that brought it. `call_id` is the id of its call in the export."""

    call_id: str
    result: ToolResult
    message: Message


class Exchange(NamedTuple):
    """A message with its answered calls, and their results in the same order."""

    message: Message
    utterance: Utterance
    answered: tuple[AnsweredCall, ...]


def exchanges(session: Session) -> list[Exchange]:
    """Return the messages of a session that have words, pictures or answered calls, in their order."""
    messages = said(session.messages)
    history = [utterance_of(message) for message in messages]
    found = answers(history)
    kept: list[tuple[Message, Utterance]] = []
    brought: list[list[tuple[ToolResult, Message]]] = []
    for place, utterance in enumerate(history):
        numbers = [number for number in range(len(utterance.calls)) if (place, number) in found]
        if utterance.parts or numbers or messages[place].reasoning:
            calls = tuple(utterance.calls[number] for number in numbers)
            kept.append((messages[place], msgspec.structs.replace(utterance, calls=calls)))
            results = (found[place, number] for number in numbers)
            brought.append([(_marked(result, messages[where]), messages[where]) for where, result in results])
    named = with_call_ids(utterance for _, utterance in kept)
    return [
        Exchange(
            message, utterance, tuple(AnsweredCall(call_id, *pair) for call_id, pair in zip(ids, pairs, strict=True))
        )
        for (message, _), (utterance, ids), pairs in zip(kept, named, brought, strict=True)
    ]


def _marked(result: ToolResult, message: Message) -> ToolResult:
    """Return a result with the mark of a failure that an import has put beside it."""
    has_failed = message.role == "tool" and field_of(message.metadata, "is_error") is True
    return msgspec.structs.replace(result, is_error=True) if has_failed else result


def json_documents(documents: Iterable[tuple[str, dict[str, Json]]], *, single: bool) -> Iterator[bytes]:
    """Yield documents as JSON, each on a line: a single one by itself, several with the `key` of their session."""
    for key, document in documents:
        yield msgspec.json.encode(document if single else {"key": key, **document}) + b"\n"


def parts_in(message: Message) -> Sequence[Json]:
    """Return the parts of a content; none for a text."""
    return message.content if isinstance(message.content, list) else ()


def field_of(value: Json, *names: str) -> Json:
    """Return a value inside of objects, None where there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def flat(lists: Iterable[Iterable[Json]]) -> list[Json]:
    """Return the items of several lists as one."""
    return list(chain.from_iterable(lists))
