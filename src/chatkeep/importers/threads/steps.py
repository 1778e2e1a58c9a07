"""An answer of several steps, parted into messages: words and thinking, calls of tools, their results, more words."""

from __future__ import annotations

from typing import Final

from chatkeep.core.model import Json
from chatkeep.core.text.reasoning import FIELD
from chatkeep.importers.shaping import call_of, metadata_of, object_in, text_in, thinking

_PLAIN: Final = frozenset(("type", "text"))


class Steps:
    """The steps of one message of a program, on their way to becoming messages of ours.

    Words after a call begin another message, and each result is one of its own, so every call stands before its result.
    """

    def __init__(self, role: str, sent_at: Json) -> None:
        """Begin with nothing said."""
        self._role = role
        self._sent_at = sent_at
        self._done: list[dict[str, Json]] = []
        self._open: dict[str, str] = {}
        self._call_count = 0
        self._begin()

    def say(self, part: Json) -> None:
        """Add a text, or a part of a content."""
        if self._calls:
            self._end()
        self._parts.append({"type": "text", "text": part} if isinstance(part, str) else part)

    def think(self, words: str, origin: str) -> None:
        """Add a model's thinking; `origin` names the field with the words."""
        if self._calls:
            self._end()
        self._thoughts.append(words)
        self._origin = origin

    def call(self, call_id: Json, name: Json, arguments: Json) -> None:
        """Add a call of a tool; a missing id is made from its place."""
        self._call_count += 1
        made = text_in(call_id) or f"call-{self._call_count}"
        self._open[text_in(name)] = made
        self._calls.append(call_of(made, name, arguments))

    def result(self, call_id: Json, name: Json, content: Json, rest: dict[str, Json], sent_at: Json = None) -> None:
        """Add the result of a call; without its id, the last call of that tool is meant."""
        if self._parts or self._thoughts or self._calls:
            self._end()
        self._done.append(
            {
                "role": "tool",
                "content": content_from(content),
                "timestamp": sent_at or self._sent_at,
                "name": text_in(name) or None,
                "tool_call_id": text_in(call_id) or self._open.get(text_in(name)),
                "metadata": metadata_of(rest),
            }
        )

    def keep(self, rest: dict[str, Json]) -> None:
        """Keep the fields of a step that found no other place."""
        if rest:
            self._kept.append(rest)

    def messages(self, rest: dict[str, Json], **facts: Json) -> list[dict[str, Json]]:
        """Return the messages, an empty one for no steps; the first has the facts and the rest of the whole message."""
        if self._parts or self._thoughts or self._calls or self._kept or not self._done:
            self._end()
        first, known = self._done[0], object_in(self._done[0].get("metadata"))
        merged = {**object_in(known.get("source")), **rest}
        thought = {FIELD: known[FIELD]} if FIELD in known else {}
        first["metadata"] = {**metadata_of(merged, **facts), **thought}
        return self._done

    def _begin(self) -> None:
        self._parts: list[Json] = []
        self._thoughts: list[str] = []
        self._calls: list[dict[str, Json]] = []
        self._kept: list[dict[str, Json]] = []
        self._origin = ""

    def _end(self) -> None:
        thought = thinking("\n\n".join(self._thoughts), self._origin)
        fields: dict[str, Json] = {
            "role": self._role,
            "content": content_from(self._parts) or (None if self._calls else ""),
            "timestamp": self._sent_at,
            "metadata": metadata_of({"blocks": self._kept} if self._kept else {}, **{FIELD: thought}),
        }
        if self._calls:
            fields["tool_calls"] = self._calls
        self._done.append(fields)
        self._begin()


def content_from(parts: Json) -> Json:
    """Return a content: a single text without other fields as a text, else the parts, each an object or a text."""
    if not isinstance(parts, list):
        return parts if isinstance(parts, str) else "" if parts is None else [{"type": "unknown", "value": parts}]
    shaped = [one if isinstance(one, dict | str) else {"type": "unknown", "value": one} for one in parts]
    only = shaped[0] if len(shaped) == 1 else None
    if isinstance(only, dict) and only.keys() == _PLAIN and only["type"] in {"text", "input_text", "output_text"}:
        return only["text"] if isinstance(only["text"], str) else shaped
    return only if isinstance(only, str) else shaped
