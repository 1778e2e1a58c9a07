"""A model's content as it arrives: a text, parts, or both by turns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from chatkeep.core.history.joining import (
    Flow,
    as_text,
    continues,
    equals_folded,
    growing,
    joined,
    merge_into,
    rest_behind,
)
from chatkeep.core.model import Json, text_of
from chatkeep.core.text.reasoning import (
    PieceKind,
    Splitter,
    TextPiece,
    is_thought,
    reasoning_of,
    without_reasoning,
    words_of_thought,
)
from chatkeep.core.text.surrogates import (
    storable_text,
    whole_characters,
)

_TEXT_TYPES: Final = (None, "text", "output_text")
_HALF: Final = re.compile("[\ud800-\udbff]\\Z")


class Content:
    """A model's content as it arrives: a text, parts, or both by turns. Callers read it piece by piece."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._items: list[Flow | dict[str, Json]] = []
        self._heard: list[TextPiece] = []
        self._half = ""
        self._size = 0  # characters of text held, about
        self._splitter: Splitter | None = Splitter()
        self._is_blank = True
        self._has_text = False
        self._is_next = False
        self.has_refused = False
        self.kinds: set[PieceKind] = set()
        """The kinds of pieces so far: text, reasoning, or both."""

    def take(self) -> list[TextPiece]:
        """Return the pieces since the last call."""
        heard, self._heard = self._heard, []
        return heard

    def add(self, value: Json) -> None:
        """Add a piece of a content, of whatever type."""
        if isinstance(value, list):
            for one in value:
                self._add_part(one if isinstance(one, dict) or not isinstance(one, list) else {"unknown": one})
        else:
            self._add_part(value)

    def add_whole(self, value: Json) -> None:
        """Add a whole content, which may repeat everything held so far and go on behind it."""
        if not self._items and isinstance(value, list):
            parts = [one if isinstance(one, dict) else {"type": "text", "text": as_text(one)} for one in value]
            self._items = [growing(part) for part in parts]
            self.has_refused = any(part.get("type") == "refusal" for part in parts)
            self._tell_whole(parts)
            return
        only = self._items[0] if len(self._items) == 1 else None
        if isinstance(value, str) and isinstance(only, Flow):
            value = rest_behind(only, value) or None
        elif isinstance(value, list) and self._begins(value):
            value = value[len(self._items) :]
        elif isinstance(value, str | list) and self._says(text_of(value)):
            value = None
        self.add(value)

    def _begins(self, parts: list[Json]) -> bool:
        """Tell whether parts begin with all held items; False if these are text alone."""
        if len(self._items) > len(parts) or all(isinstance(item, Flow) for item in self._items):
            return False
        held = ({"type": "text", "text": item} if isinstance(item, Flow) else item for item in self._items)
        return all(map(equals_folded, held, parts))

    def _says(self, text: str) -> bool:
        """Tell whether the text of all held items equals this one."""
        return bool(text) and self._size <= len(text) and text_of(self._content()) == text

    def think(self, words: str) -> None:
        """Add words of thinking from a separate field."""
        self._tell(TextPiece("reasoning", words))

    def close(self) -> None:
        """Release the buffered text; no more comes."""
        self._speak("", is_last=True)
        if self._splitter is not None:
            for piece in self._splitter.end():
                self._tell(piece)
            self._splitter = None

    def said(self) -> tuple[Json, str | None]:
        """Return the content, None for none; and the refusal, if the content is nothing else."""
        only = joined(self._items[0]) if len(self._items) == 1 else None
        if isinstance(only, dict) and only.get("type") == "refusal" and only.keys() == {"type", "refusal"}:
            refusal = only["refusal"]
            if isinstance(refusal, str):
                return refusal, refusal
        return self._content(), None

    def _content(self) -> Json:
        if all(isinstance(item, Flow) for item in self._items):
            return whole_characters("".join(map(joined, self._items))) if self._items else None
        return [
            {"type": "text", "text": whole_characters(joined(item))} if isinstance(item, Flow) else joined(item)
            for item in self._items
        ]

    def _add_part(self, part: Json) -> None:
        if part is None or part == "":
            return
        if not isinstance(part, dict):
            self._add_text(as_text(part))
        elif _is_plain(part):
            self._add_text(part["text"])
        else:
            self._add_object(part)

    def _add_text(self, text: str) -> None:
        if not text:
            return
        if not (self._items and isinstance(self._items[-1], Flow)):
            self._items.append(Flow())
            self._begin_run()
        self._size += len(text)
        _flow_on(self._items[-1], text)
        self._speak(text)

    def _add_object(self, part: dict[str, Json]) -> None:
        last = self._items[-1] if self._items else None
        if isinstance(last, dict) and continues(last, part):
            merge_into(last, {name: value for name, value in part.items() if name != "index"})
        else:
            self._items.append(growing(part))
            self._begin_run()
        self._size += len(text_of([part]))
        self.has_refused = self.has_refused or part.get("type") == "refusal"
        if is_thought(part):
            self.think(words_of_thought(part))
        elif words := text_of([part]):
            self._speak(words)

    def _begin_run(self) -> None:
        """Begin another part: release the text buffered for the last one, and put later text on a new line."""
        self._speak("", is_last=True)
        if self._splitter is not None:
            for piece in self._splitter.end():
                self._tell(piece)
        self._splitter = Splitter() if self._is_blank else None
        self._is_next = True

    def _speak(self, text: str, *, is_last: bool = False) -> None:
        text, self._half = self._half + text, ""
        if not is_last and (half := _HALF.match(text, len(text) - 1)):
            text, self._half = text[: half.start()], half.group()
        if not text:
            return
        self._is_blank = self._is_blank and not text.strip()
        text = storable_text(text)
        for piece in [TextPiece("text", text)] if self._splitter is None else self._splitter.feed(text):
            self._tell(piece)

    def _tell_whole(self, content: list[Json]) -> None:
        self._tell(TextPiece("reasoning", reasoning_of(content, None)))
        self._tell(TextPiece("text", storable_text(text_of(without_reasoning(content)))))
        words = text_of([part for part in content if not is_thought(part)])
        self._is_blank, self._splitter, self._is_next = not words.strip(), None, True

    def _tell(self, piece: TextPiece) -> None:
        if piece.kind == "tag" or not piece.text:
            return
        self.kinds.add(piece.kind)
        if piece.kind == "text":
            if self._is_next and self._has_text:
                self._heard.append(TextPiece("text", "\n"))
            self._is_next, self._has_text = False, True
            self._heard.append(piece)
        else:
            self._heard.append(TextPiece("reasoning", storable_text(piece.text)))


def _flow_on(held: Json, text: str) -> None:
    """Append a text, and join a surrogate pair cut between two pieces."""
    if held and _HALF.search(held[-1][-1:]) and "\udc00" <= text[0] <= "\udfff":
        text = whole_characters(held[-1][-1] + text[0]) + text[1:]
        held[-1] = held[-1][:-1]
    held.append(text)


def _is_plain(part: Mapping[str, Json]) -> bool:
    """Tell whether a part is a text and nothing else."""
    others = (value for name, value in part.items() if name not in ("type", "text", "index"))
    return (
        part.get("type") in _TEXT_TYPES
        and isinstance(part.get("text"), str)
        and all(value is None or value in ([], {}) for value in others)
    )
