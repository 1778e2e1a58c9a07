"""An answer of OpenAI's Responses, folded from typed events, or taken whole.

Each item grows by its deltas until `response.output_item.done` brings it whole. The last event has the whole response;
its output, if it has one, stands for all items before. So a stream that breaks anywhere leaves the items whole that
were done, and the beginning of the one under way. Events of types unknown to us change nothing.

Source: the API reference of OpenAI's Responses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from chatkeep.core.history.folding import ERROR_WORDS, Complaint
from chatkeep.core.history.joining import Flow
from chatkeep.core.history.mending import storable
from chatkeep.core.history.protocols.items import (
    ITEMS_EXTRA,
    draft_of_item,
    follows,
    gathered,
    ids_of,
    opening,
    references,
)
from chatkeep.core.history.protocols.speaking import ModelProtocol
from chatkeep.core.model import Draft, Json
from chatkeep.core.text.reasoning import TextPiece

_PLACES_MAX: Final = 1 << 20  # a greater index is an error of the server
_ENDS: Final = {"completed": "stop", "incomplete": "incomplete", "failed": "failed", "cancelled": "cancelled"}
_WHOLE: Final = ("response.completed", "response.incomplete", "response.failed", "response.cancelled", "response.done")
_KEPT: Final = (
    *("created_at", "completed_at", "status", "incomplete_details", "error", "service_tier", "previous_response_id"),
    *("conversation", "background", "billing"),
)
"""Facts of a response that are kept; most of its other fields repeat the request."""


class _Growth(NamedTuple):
    """What the events of a kind change: a field of the item, or of one of its parts."""

    field: str
    parts: str = ""
    at: str = ""


_GROWTHS: Final = {
    "response.output_text": _Growth("text", "content", "content_index"),
    "response.refusal": _Growth("refusal", "content", "content_index"),
    "response.reasoning_text": _Growth("text", "content", "content_index"),
    "response.reasoning_summary_text": _Growth("text", "summary", "summary_index"),
    "response.function_call_arguments": _Growth("arguments"),
    "response.mcp_call_arguments": _Growth("arguments"),
    "response.custom_tool_call_input": _Growth("input"),
    "response.code_interpreter_call_code": _Growth("code"),
}
_PARTS: Final = {
    "response.content_part": _Growth("part", "content", "content_index"),
    "response.reasoning_summary_part": _Growth("part", "summary", "summary_index"),
}


class ResponseFold:
    """A response, as far as it has arrived."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.facts: dict[str, Json] = {}
        """The server's facts about the answer: `model`, `response_id`, `usage`."""
        self.is_known = False
        """Whether a piece had a type of this protocol."""
        self.has_ended = False
        """Whether the server ended the whole response."""
        self.has_begun = False
        """Whether the response has begun, even without output."""
        self.has_thought = False
        """Whether an item is reasoning."""
        self.has_spoken = False
        """Whether an item is another one than reasoning."""
        self._response: dict[str, Json] = {}
        self._items: dict[int, _Item] = {}

    @property
    def has_said(self) -> bool:
        """Whether there is any output."""
        return any(item.has_content for item in self._items.values())

    @property
    def finish_reason(self) -> str:
        """The reason of the end: `stop`, `tool_calls`, why it is incomplete, or how it failed; else empty."""
        details = self._response.get("incomplete_details")
        if self._status == "incomplete" and isinstance(details, dict) and isinstance(details.get("reason"), str):
            return str(details["reason"])
        if self._status == "completed" and any(item.is_call for item in self._items.values()):
            return "tool_calls"
        return _ENDS.get(self._status, "")

    @property
    def _status(self) -> str:
        """The status of the response, empty without one."""
        status = self._response.get("status")
        return status if isinstance(status, str) else ""

    def add(self, piece: Json) -> None:
        """Fold in an event, or a whole response; a value other than an object adds nothing."""
        if not isinstance(piece, dict) or self.has_ended:
            return
        kind = piece.get("type")
        if piece.get("object") == "response" or isinstance(piece.get("output"), list):
            self._take(piece)
            self.has_ended = self._status in _ENDS
        elif isinstance(kind, str) and kind.startswith("response."):
            self.is_known = self.has_begun = True
            self._add_event(kind, piece)

    def add_beginning(self, text: str) -> None:
        """Take the words of a whole answer cut in the middle."""
        if text:
            part = {"type": "output_text", "text": text}
            self._put(0, {"type": "message", "role": "assistant", "content": [part]})

    def complaint(self, piece: dict[str, Json], *, is_error: bool) -> Complaint | None:
        """Return the error in a piece, None if there is none."""
        response = piece.get("response") if isinstance(piece.get("response"), dict) else piece
        if response.get("status") == "failed" or response.get("error"):  # type: ignore[union-attr]
            return Complaint(response.get("error") or "", is_last=True)  # type: ignore[union-attr]
        kind = piece.get("type")
        is_bare = kind is None and "object" not in piece and any(piece.get(name) for name in ERROR_WORDS)
        return Complaint(piece, is_last=True) if is_error or is_bare or kind == "error" else None

    def end(self) -> None:
        """Note the end of the answer; a response still at work in the background has not ended."""
        self.has_ended = self.has_ended or self._status not in ("queued", "in_progress")

    def close(self) -> None:
        """Do nothing: no item waits for more."""

    def take(self) -> list[TextPiece]:
        """Return nothing: chat speaks Chat Completions, so nobody reads this answer along."""
        return []

    def draft(self, metadata: Mapping[str, Json]) -> Draft | None:
        """Return the response as a message with these facts, None if it has no output."""
        if not self.has_said:
            return None
        items = [item for _, item in sorted(self._items.items())]
        whole = [item.told() for item in items if self.has_ended or item.is_whole or not item.is_call]
        unfinished = [item.told() for item in items if not (self.has_ended or item.is_whole) and item.is_call]
        facts = {**self.facts, **metadata}
        if self.finish_reason:
            facts["finish_reason"] = self.finish_reason
        if unfinished:
            facts["unfinished_items"] = unfinished
        others = {name: self._response[name] for name in _KEPT if self._response.get(name) not in (None, "", [], {})}
        if others:
            facts["response"] = others
        return storable(_answer(whole, facts))

    def _add_event(self, kind: str, event: Mapping[str, Json]) -> None:
        if isinstance(event.get("response"), dict):
            self._take(event["response"])
            self.has_ended = kind in _WHOLE
            return
        place = _place(event.get("output_index"), len(self._items) - 1)
        stem, _, stage = kind.rpartition(".")
        if stem == "response.output_item":
            item = event.get("item")
            self._put(place, item if isinstance(item, dict) else {"type": "unknown", "value": item})
            self._items[place].is_whole = stage == "done"
            return
        growth = _GROWTHS.get(stem) or _PARTS.get(stem)
        if growth is None and kind != "response.output_text.annotation.added":
            return
        held = self._items.get(place) or self._put(place, _begun_by(stem, event))
        if growth is None:
            held.annotate(event)
        elif stem in _PARTS:
            held.put_part(growth, event)
        elif stage == "delta":
            held.grow(growth, event)
        elif growth.field in event:
            held.put(growth, event)

    def _take(self, response: dict[str, Json]) -> None:
        """Take a response object: its facts, and its output if it has one."""
        self.is_known = self.has_begun = True
        self._response |= {name: response[name] for name in _KEPT if name in response}
        for name, told in (("model", "model"), ("id", "response_id")):
            if isinstance(response.get(name), str) and response[name]:
                self.facts[told] = response[name]
        if isinstance(response.get("usage"), dict):
            self.facts["usage"] = response["usage"]
        output = response.get("output")
        if isinstance(output, list) and output:
            self._items.clear()
            for place, item in enumerate(output):
                self._put(place, item if isinstance(item, dict) else {"type": "unknown", "value": item})
                self._items[place].is_whole = True

    def _put(self, place: int, begun: dict[str, Json]) -> _Item:
        item = self._items[place] = _Item(begun)
        is_thought = begun.get("type") == "reasoning"
        self.has_thought, self.has_spoken = self.has_thought or is_thought, self.has_spoken or not is_thought
        return item


class _Item:
    """An item as far as it has arrived."""

    def __init__(self, begun: Mapping[str, Json]) -> None:
        self.is_whole = False
        self._fields = dict(begun)
        self._parts: dict[str, dict[int, dict[str, Json]]] = {}

    @property
    def is_call(self) -> bool:
        kind = self._fields.get("type")
        return isinstance(kind, str) and kind.endswith("_call")

    @property
    def has_content(self) -> bool:
        if self._fields.get("type") not in ("message", "reasoning"):
            return True
        held = [*self._told_parts("content"), *self._told_parts("summary"), self._fields.get("encrypted_content")]
        return any(
            any(value for name, value in one.items() if name != "type") if isinstance(one, dict) else one
            for one in held
        )

    def grow(self, growth: _Growth, event: Mapping[str, Json]) -> None:
        """Add a piece of a text."""
        holder, piece = self._holder(growth, event), event.get("delta")
        held = holder.get(growth.field)
        if isinstance(held, Flow) and isinstance(piece, str):
            held.append(piece)
        elif isinstance(piece, str):
            holder[growth.field] = Flow((held if isinstance(held, str) else "", piece))

    def put(self, growth: _Growth, event: Mapping[str, Json]) -> None:
        """Set a text that is done."""
        self._holder(growth, event)[growth.field] = event[growth.field]

    def put_part(self, growth: _Growth, event: Mapping[str, Json]) -> None:
        """Set a part that is begun or done."""
        part = event.get("part")
        place = _place(event.get(growth.at), 0)
        self._of(growth.parts)[place] = dict(part) if isinstance(part, dict) else {"type": "unknown", "value": part}

    def annotate(self, event: Mapping[str, Json]) -> None:
        """Add an annotation to a text."""
        holder = self._holder(_GROWTHS["response.output_text"], event)
        held = holder.get("annotations")
        if not isinstance(held, list):
            held = holder["annotations"] = []
        held.append(event.get("annotation"))

    def told(self) -> dict[str, Json]:
        """Return the item."""
        grown = {name: self._told_parts(name) for name in self._parts}
        return {**{name: _text(value) for name, value in self._fields.items()}, **grown}

    def _told_parts(self, name: str) -> list[Json]:
        if name not in self._parts:
            parts = self._fields.get(name)
            return parts if isinstance(parts, list) else []
        return [{field: _text(value) for field, value in part.items()} for _, part in sorted(self._parts[name].items())]

    def _holder(self, growth: _Growth, event: Mapping[str, Json]) -> dict[str, Json]:
        if not growth.parts:
            return self._fields
        kind = "summary_text" if growth.parts == "summary" else str(event.get("type")).split(".")[1]
        return self._of(growth.parts).setdefault(_place(event.get(growth.at), 0), {"type": kind, growth.field: ""})

    def _of(self, name: str) -> dict[int, dict[str, Json]]:
        """Return the parts of a field by their places."""
        if name not in self._parts:
            held = self._fields.get(name)
            parts = enumerate(held if isinstance(held, list) else ())
            self._parts[name] = {place: dict(part) for place, part in parts if isinstance(part, dict)}
        return self._parts[name]


def _place(index: Json, usual: int) -> int:
    return index if isinstance(index, int) and 0 <= index <= _PLACES_MAX else max(0, usual)


def _text(value: Json) -> Json:
    return "".join(value) if isinstance(value, Flow) else value


def _begun_by(stem: str, event: Mapping[str, Json]) -> dict[str, Json]:
    """Return the beginning of an item that begins with a delta."""
    name = stem.removeprefix("response.")
    if name.startswith("reasoning"):
        kind = "reasoning"
    elif name.startswith(("output_text", "refusal", "content_part")):
        kind = "message"
    else:
        kind = name.removesuffix("_arguments").removesuffix("_input").removesuffix("_code")
    told = {"id": event["item_id"]} if isinstance(event.get("item_id"), str) else {}
    return {**told, "type": kind, **({"role": "assistant"} if kind == "message" else {})}


def _answer(items: list[dict[str, Json]], facts: dict[str, Json]) -> Draft:
    """Return the items of an answer as one message; an output of a tool of the server is one of its parts."""
    said = [draft_of_item(item) for item in items]
    own = [
        one
        if one.role == "assistant"
        else Draft(role="assistant", content=[item], metadata={ITEMS_EXTRA: {"items": [1]}})
        for one, item in zip(said, items, strict=True)
    ]
    joined = gathered(own)
    draft = joined[0] if joined else Draft(role="assistant", content="")
    content = "" if draft.content is None and not draft.tool_calls else draft.content
    return Draft(
        role="assistant", content=content, tool_calls=draft.tool_calls, metadata={**facts, **(draft.metadata or {})}
    )


RESPONSES: Final = ModelProtocol(
    name="responses",
    prefix="openai:",
    path="responses",
    items="input",
    takes_text=True,
    opening=opening,
    draft=draft_of_item,
    gathered=gathered,
    asker=lambda request: str(request.get("safety_identifier") or request.get("user")),
    follows=follows,
    references=references,
    ids=ids_of,
    answer=ResponseFold,
    text_field=b"text",
    last_lines=tuple(
        line
        for kind in ("completed", "incomplete", "failed")
        for line in (b"event:response.%b" % kind.encode(), b'data:{"type":"response.%b"' % kind.encode())
    ),
    missing_end="response.completed",
)
"""OpenAI's Responses."""
