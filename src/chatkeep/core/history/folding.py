"""A model's answer, folded from the pieces in which it arrives.

Servers agree on little. A text comes as a string, as parts, or as both by turns. A name comes once, with every piece,
or cut in two. Indexes are missing, repeated or out of order. Whole messages follow their own pieces. So every join
keeps both sides: texts and lists grow, objects are merged, and values that do not fit together stand side by side in
order of arrival. Only a repetition of the same value is dropped.

Callers can read each addition at once, text and thinking apart, while the answer arrives.

Source: OpenAI's chat completions, and what vLLM, Ollama, llama.cpp, OpenRouter, Mistral, Perplexity, LiteLLM and
Gemini send under its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from chatkeep.core.bounds import is_nested_deeper
from chatkeep.core.history import joining
from chatkeep.core.history.completions import answer_draft
from chatkeep.core.history.contents import Content
from chatkeep.core.model import Draft, Json
from chatkeep.core.text.reasoning import FIELDS, TextPiece, words_of_thought

CHOICES_MAX: Final = 128  # choices kept apart, as many as OpenAI takes for `n`; further ones fold into one
FOLDING_DEPTH_MAX: Final = 100  # levels of a piece; leaves room below `DEPTH_MAX` for the levels that folding adds
_FAILED: Final = "error"  # the finish reason of a choice that failed
_FURTHER: Final = (1 << 63) - 1  # the index of the choice for all further ones; it sorts last
ERROR_WORDS: Final = ("message", "msg", "detail", "error", "errors")
"""Names under which servers put the words of an error."""
_EMPTY: Final = 2  # fields of a choice without any facts: its index and role
_CALLS: Final = ("tool_calls", "function_call")
_SPOKEN: Final = frozenset(("content", "refusal", "tool_calls", "role"))
_CHOICE: Final = frozenset(("index", "delta", "message", "finish_reason", "text", "usage"))
_RESPONSE: Final = frozenset(("id", "model", "object", "created", "choices", "usage", "error", "cost"))


class Complaint(NamedTuple):
    """An error that a server reports in a piece of its answer, and whether it ends the answer."""

    error: Json
    is_last: bool


class ModelAnswer:
    """A model's answer, folded from the chunks of a stream or taken whole."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.facts: dict[str, Json] = {}
        """The server's facts about the answer: `model`, `response_id`, `usage`, `cost`."""
        self._choices: dict[int, _Choice] = {}
        self._highest = 0
        self._response: dict[str, Json] = {}
        self.is_known = False
        """Whether a piece had a list of `choices`, as only a model's answer has."""
        self.has_failed = False
        """Whether the finish reason of any choice is an error."""
        self._is_ended = self._is_said = self._is_closed = False

    @property
    def has_ended(self) -> bool:
        """Whether the server ended the whole answer or every choice of it."""
        return self._is_ended or (bool(self._choices) and all(one.finish for one in self._choices.values()))

    @property
    def has_begun(self) -> bool:
        """Whether a choice has arrived, even an empty one."""
        return bool(self._choices)

    @property
    def has_said(self) -> bool:
        """Whether any choice has content."""
        self._is_said = self._is_said or any(one.has_said for one in self._choices.values())
        return self._is_said

    @property
    def has_thought(self) -> bool:
        """Whether the first choice has reasoning."""
        return self._foremost is not None and self._foremost.has_thought

    @property
    def has_spoken(self) -> bool:
        """Whether the first choice has words of its answer, or calls."""
        return self._foremost is not None and self._foremost.has_spoken

    @property
    def finish_reason(self) -> str:
        """The finish reason of the first choice with content, empty if the server gave none."""
        first = self._first() or self._foremost
        return "" if first is None else first.finish or ""

    def end(self) -> None:
        """Note the end of the answer, even if no choice has a finish reason."""
        self._is_ended = True

    def add(self, piece: Json) -> None:
        """Fold in a chunk, or a whole answer; a value other than an object adds nothing."""
        if is_nested_deeper(piece, FOLDING_DEPTH_MAX + 1):  # the piece itself is a level
            piece = _flattened(piece, FOLDING_DEPTH_MAX)
        if not isinstance(piece, dict):
            return
        for name, told in (("model", "model"), ("id", "response_id")):
            if isinstance(piece.get(name), str) and piece[name]:
                self.facts[told] = piece[name]
        self._count(piece.get("usage"))
        choices = piece.get("choices")
        self.is_known = self.is_known or isinstance(choices, list)
        self._add_choices(choices if isinstance(choices, list) else [])
        joining.gather_facts(self._response, {name: value for name, value in piece.items() if name not in _RESPONSE})

    def add_beginning(self, text: str) -> None:
        """Take the words of a whole answer cut in the middle."""
        self.add({"choices": [{"message": {"role": "assistant", "content": text}}]})

    def complaint(self, piece: dict[str, Json], *, is_error: bool) -> Complaint | None:
        """Return the error in a piece, None if there is none. The error of a choice ends that choice alone."""
        error = _error_in(piece, is_error=is_error)
        if error is not None:
            return Complaint(error, is_last=True)
        failed = _failed_choice(piece)
        return Complaint(failed or "", is_last=False) if failed is not None or self.has_failed else None

    def _add_choices(self, choices: list[Json]) -> None:
        """Add pieces to their choices. A piece without an index belongs to the choice of its place.

        Whole messages in one piece are separate choices, even with equal indexes.
        """
        indexes: set[int] = set()
        for place, choice in enumerate(choices):
            if not isinstance(choice, dict):
                continue
            self._count(choice.get("usage"))
            index = joining.index_of(choice.get("index"), place)
            if index in indexes and choice.get("message") is not None:
                index = self._highest + 1
            indexes.add(index)
            self._highest = max(self._highest, index)
            self._choice(index).add(choice)
            self.has_failed = self.has_failed or choice.get("finish_reason") == _FAILED

    def take(self) -> list[TextPiece]:
        """Return the additions since the last call: the first choice's text and thinking, in their order.

        Until the answer is closed this is choice 0: another choice is the first only if choice 0 stays empty.
        """
        first = self._first() if self._is_closed else self._choices.get(0)
        return [] if first is None else first.take()

    def close(self) -> None:
        """Note that no more comes, and release the buffered text to `take`."""
        self._is_closed = True
        for one in self._choices.values():
            one.close()

    def draft(self, metadata: Mapping[str, Json]) -> Draft | None:
        """Return the first choice as a message, the others in its metadata; None if no choice has content.

        A tool call of a cut answer may lack its end. It was not made, so it stands in the metadata as unfinished.
        """
        first = self._first()
        if first is None:
            return None
        told = {**self.facts, **metadata}
        if first.finish:
            told["finish_reason"] = first.finish
        others = [one.told(index, is_ended=self._is_ended) for index, one in self._in_order() if one is not first]
        if kept := [other for other in others if len(other) > _EMPTY]:
            told["other_choices"] = kept
        message, unfinished = first.parted(is_ended=self._is_ended)
        told |= unfinished
        response = {name: value for name, value in self._response.items() if value not in (None, "", [], {})}
        beside = {"choice": first.beside(), "response": response}
        return answer_draft(message, told, {name: value for name, value in beside.items() if value})

    def _count(self, usage: Json) -> None:
        if isinstance(usage, dict):
            held = self.facts.setdefault("usage", {})
            held.update((name, value) for name, value in usage.items() if value is not None)
            if isinstance(usage.get("cost"), int | float):  # as OpenRouter does
                self.facts["cost"] = usage["cost"]

    def _choice(self, index: int) -> _Choice:
        if index not in self._choices and len(self._choices) >= CHOICES_MAX:
            index = _FURTHER
        return self._choices.setdefault(index, _Choice())

    def _in_order(self) -> list[tuple[int, _Choice]]:
        """Return the choices in the order of their indexes, negative ones last."""
        return sorted(self._choices.items(), key=_place)

    @property
    def _foremost(self) -> _Choice | None:
        return min(self._choices.items(), key=_place)[1] if self._choices else None

    def _first(self) -> _Choice | None:
        """Return the first choice with content."""
        return next((one for _, one in self._in_order() if one.has_said), None)


def _error_in(value: dict[str, Json], *, is_error: bool) -> Json | None:
    """Return the error in a piece, None if there is none."""
    if value.get("error"):
        return value["error"]
    is_told = is_error or "error" in (value.get("object"), value.get("type"))
    has_words = value.get("choices") is None and any(isinstance(value.get(name), str) for name in ERROR_WORDS)
    return value if is_told or has_words or (value.get("errors") and value.get("choices") is None) else None


def _failed_choice(value: dict[str, Json]) -> Json | None:
    """Return the first error of a choice, None if there is none."""
    choices = value.get("choices")
    told = (one.get("error") for one in (choices if isinstance(choices, list) else ()) if isinstance(one, dict))
    return next(filter(None, told), None)


def _place(known: tuple[int, object]) -> tuple[bool, int]:
    return known[0] < 0, known[0]


class _Choice:
    """One of the answers to a request, as far as it has arrived."""

    def __init__(self) -> None:
        self.finish: str | None = None
        self._content = Content()
        self._calls = joining.Calls()
        self._fields: dict[str, Json] = {}
        self._beside: dict[str, Json] = {}
        self._roles = joining.FactList()
        self._thinks_in: str | None = None
        self._has_called = False

    @property
    def has_said(self) -> bool:
        return bool(self._content.kinds or self.message())

    @property
    def has_thought(self) -> bool:
        return "reasoning" in self._content.kinds

    @property
    def has_spoken(self) -> bool:
        return "text" in self._content.kinds or self._has_called

    def take(self) -> list[TextPiece]:
        return self._content.take()

    def close(self) -> None:
        self._content.close()

    def add(self, choice: Mapping[str, Json]) -> None:
        delta, whole = choice.get("delta"), choice.get("message")
        if delta is None and whole is None:
            delta = choice.get("text")  # the older completions API
        if delta is not None:
            self._add_delta(delta if isinstance(delta, dict) else {"content": delta})
        if whole is not None:
            self._add_whole(whole if isinstance(whole, dict) else {"content": whole})
        if isinstance(choice.get("finish_reason"), str):
            self.finish = choice["finish_reason"] or self.finish
        joining.gather_facts(self._beside, {name: value for name, value in choice.items() if name not in _CHOICE})

    def _add_delta(self, delta: Mapping[str, Json]) -> None:
        self._think(delta)
        self._content.add(delta.get("content"))
        self._content.add(_refused(delta))
        self._add_role(delta.get("role"))
        self._calls.add(delta.get("tool_calls"))
        self._has_called = self._has_called or any(delta.get(name) for name in _CALLS)
        joining.merge_into(self._fields, {name: value for name, value in delta.items() if name not in _SPOKEN})

    def _add_whole(self, message: Mapping[str, Json]) -> None:
        """Fold in a whole message, which may repeat the pieces before it."""
        self._think({name: value for name, value in message.items() if name not in self._fields})
        self._content.add_whole(message.get("content"))
        if not self._content.has_refused:
            self._content.add(_refused(message))
        self._add_role(message.get("role"))
        self._calls.add_whole(message.get("tool_calls"))
        for name, value in message.items():
            if name not in _SPOKEN:
                joining.join_whole(self._fields, name, value)

    def message(self) -> dict[str, Json]:
        """Return the choice as an OpenAI message, empty if it has no content.

        A role is present only when it is not `assistant`.
        """
        content, refusal = self._content.said()
        message = {**joining.joined(self._fields), "content": content, "tool_calls": self._calls.said()}
        if refusal is not None:
            message["refusal"] = refusal
        said = {name: value for name, value in message.items() if value not in (None, "", [], {})}
        roles = [role for role in self._roles if role not in ("assistant", None, "")]
        return {**said, "role": roles[0] if len(roles) == 1 else roles} if said and roles else said

    def told(self, index: int, *, is_ended: bool) -> dict[str, Json]:
        """Return the whole choice, as it stands in the metadata of the first one."""
        message, unfinished = self.parted(is_ended=is_ended)
        ending = {"finish_reason": self.finish} if self.finish else {}
        head = {"index": None if index == _FURTHER else index, "role": "assistant"}
        return {**head, **message, **unfinished, **self.beside(), **ending}

    def parted(self, *, is_ended: bool) -> tuple[dict[str, Json], dict[str, Json]]:
        """Return the message, and apart from it the calls of an unfinished choice: nobody made them."""
        message = self.message()
        if self.finish or is_ended:
            return message, {}
        unfinished = {f"unfinished_{name}": message.pop(name) for name in _CALLS if name in message}
        return message, unfinished

    def beside(self) -> dict[str, Json]:
        """Return the server's facts about this choice, without its message."""
        return {name: value for name, value in self._beside.items() if value not in (None, "", [], {})}

    def _add_role(self, role: Json) -> None:
        if role is not None:
            self._roles.add(role)

    def _think(self, fields: Mapping[str, Json]) -> None:
        """Add the thinking of the separate fields; of several fields only the first counts, as all say the same."""
        for name in sorted(FIELDS, key=lambda name: not isinstance(fields.get(name), str)):
            words = words_of_thought(fields.get(name))
            if words and self._thinks_in in (None, name):
                self._thinks_in = name
                self._content.think(words)


def _refused(message: Mapping[str, Json]) -> Json:
    refusal = message.get("refusal")
    return {"type": "refusal", "refusal": refusal} if isinstance(refusal, str) and refusal else refusal or None


def _flattened(value: Json, depth: int) -> Json:
    """Return the value, with deeper levels replaced by their JSON text."""
    if not isinstance(value, dict | list):
        return value
    if not depth:
        return joining.json_text(value)
    if isinstance(value, list):
        return [_flattened(inner, depth - 1) for inner in value]
    return {name: _flattened(inner, depth - 1) for name, inner in value.items()}
