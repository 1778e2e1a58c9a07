"""OpenAI's chat completions and our messages: requests in, answers folded from their pieces.

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
from chatkeep.core.model import NAME_CHARS_MAX, Draft, Json, Role, check_draft
from chatkeep.errors import InvalidError, TooLargeError

EXTRA: Final = "openai"
END: Final = b"[DONE]"
"""What the last event of a stream says."""

CHOICES_MAX: Final = 128
_ROOM_FOR_ID_AND_TIME: Final = 1 << 10
_ROLES: Final = {**{role: role for role in get_args(Role)}, "function": "tool"}
_ONCE: Final = frozenset(("id", "type", "role", "name", "index"))
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")
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
    if calls is not None and not isinstance(calls, list):
        extra["tool_calls"], calls = calls, None
    if content is not None and not _is_content(content):
        extra["content"], content = content, None
    if content is None and not calls:
        content = ""
    labels = {name: extra.pop(name) for name in ("name", "tool_call_id") if _is_label(extra.get(name))}
    told = {**(metadata or {}), **({EXTRA: extra} if extra else {})}
    return Draft(role=role, content=content, tool_calls=calls, metadata=told or None, **labels)


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


class Answer:
    """An answer of the model, folded from the chunks of a stream or taken whole."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._choices: dict[int, _Choice] = {}
        self._facts: dict[str, Json] = {}
        self._has_failed = False
        self._has_ended = False

    @property
    def is_complete(self) -> bool:
        """Whether the end was told, of the whole or of every choice, and nothing went wrong."""
        has_ended = self._has_ended or all(one.finish for one in self._choices.values())
        return bool(self._choices) and has_ended and not self._has_failed

    def end(self) -> None:
        """Take note that this is the end, even when no choice told why."""
        self._has_ended = True

    def fail(self) -> None:
        """Take note that a piece is lost."""
        self._has_failed = True

    def add(self, piece: Json) -> None:
        """Take in a chunk, or a whole answer."""
        if not isinstance(piece, dict) or piece.get("error"):
            self.fail()
            return
        for name, told in (("model", "model"), ("id", "response_id")):
            if isinstance(piece.get(name), str) and piece[name]:
                self._facts[told] = piece[name]
        usage = piece.get("usage")
        if isinstance(usage, dict):
            self._facts["usage"] = usage
            if isinstance(usage.get("cost"), int | float):  # OpenRouter tells it
                self._facts["cost"] = usage["cost"]
        choices = piece.get("choices")
        for place, choice in enumerate(choices if isinstance(choices, list) else ()):
            if isinstance(choice, dict):
                index = choice.get("index")
                self._choice(index if isinstance(index, int) else place).add(choice)

    def draft(self, metadata: Mapping[str, Json]) -> Draft | None:
        """Return the first choice as a message, the others in its metadata; None when nothing was said.

        A tool call of an answer that was cut off may lack its end: it was not made, and stands in the metadata.
        """
        said = [(index, one) for index, one in sorted(self._choices.items()) if one.said()]
        if not said:
            return None
        told = {**self._facts, **metadata}
        (_, first), *others = said
        if first.finish:
            told["finish_reason"] = first.finish
        if others:
            told["other_choices"] = [{"index": index, **one.message(), **one.ending()} for index, one in others]
        message = first.message()
        if not (first.finish or self._has_ended) and "tool_calls" in message:
            told["unfinished_tool_calls"] = message.pop("tool_calls")
        return storable(draft_of(message, told))

    def _choice(self, index: int) -> _Choice:
        if index not in self._choices and len(self._choices) >= CHOICES_MAX:
            return _Choice()
        return self._choices.setdefault(index, _Choice())


class _Choice:
    """One of the answers that a model gives to a request, as far as it has come."""

    def __init__(self) -> None:
        self.finish: str | None = None
        self._message: dict[str, Json] = {}
        self._calls: list[tuple[Json, dict[str, Json]]] = []

    def add(self, choice: Mapping[str, Json]) -> None:
        whole, delta = choice.get("message"), choice.get("delta")
        if isinstance(whole, dict):
            self._message = dict(whole)
        elif isinstance(delta, dict):
            calls = delta.get("tool_calls")
            for call in calls if isinstance(calls, list) else ():
                if isinstance(call, dict):
                    _merge(self._call(call), call)
            _merge(self._message, {name: value for name, value in delta.items() if name != "tool_calls"})
        if isinstance(choice.get("finish_reason"), str):
            self.finish = choice["finish_reason"] or None

    def said(self) -> bool:
        """Tell whether there is more than a role."""
        return any(value for name, value in self.message().items() if name != "role")

    def message(self) -> dict[str, Json]:
        """Return it as a message of OpenAI's, without fields that say nothing."""
        calls = [_joined({name: value for name, value in call.items() if name != "index"}) for _, call in self._calls]
        message = {"role": "assistant", **_joined(self._message), **({"tool_calls": calls} if calls else {})}
        return {name: value for name, value in message.items() if value not in (None, "", [], {})}

    def ending(self) -> dict[str, Json]:
        return {"finish_reason": self.finish} if self.finish else {}

    def _call(self, delta: Mapping[str, Json]) -> dict[str, Json]:
        """Return the call that a delta goes on with: that of its index, unless it brings another id."""
        index, given = delta.get("index"), delta.get("id")
        for place, call in reversed(self._calls):
            if index is None or index == place:
                if given and call.get("id") not in (None, "", given):
                    break
                return call
        fresh: dict[str, Json] = {}
        self._calls.append((index, fresh))
        return fresh


class _Text(list[str]):
    """A text in the pieces in which it came: joining them once is linear, adding each is not."""


def _merge(target: dict[str, Json], delta: Mapping[str, Json]) -> None:
    """Fold a delta in: texts and lists grow, objects are merged, the rest is replaced by what is told."""
    for name, value in delta.items():
        held = target.get(name)
        if value is None or (name in _ONCE and held):
            continue
        if isinstance(value, str) and name not in _ONCE:
            if not isinstance(held, _Text):
                held = target[name] = _Text()
            held.append(value)
        elif isinstance(value, list) and isinstance(held, list) and not isinstance(held, _Text):
            held.extend(value)
        elif isinstance(value, dict):
            inner: dict[str, Json] = held if isinstance(held, dict) else {}
            _merge(inner, value)
            target[name] = inner
        else:
            target[name] = list(value) if isinstance(value, list) else value


def _joined(value: Json) -> Json:
    """Return what was folded as JSON."""
    if isinstance(value, _Text):
        return "".join(value)
    return {name: _joined(inner) for name, inner in value.items()} if isinstance(value, dict) else value


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


def _scrubbed(value: Json) -> Json:
    """Return the value with U+FFFD for what cannot be stored, and numbers out of range as text."""
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
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
