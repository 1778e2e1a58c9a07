"""Reasoning: a model's thinking before its answer, kept apart from the answer.

Models send their thinking in several ways: between tags at the start of the answer, as parts of another type beside
the text, or in fields beside the content. The functions here part all of these from the answer, and only in messages
of a model: in a person's message, a tag is text.

A block of thinking stands at the very start of an answer, behind white space at most, and another may follow it. It
ends at its closing tag, or with the answer. So a tag in a code block, or further on, is text.

Source: what DeepSeek, Qwen, Mistral, Kimi, Seed, Cohere, Anthropic, OpenAI, OpenRouter, Gemini and LibreChat send and
store.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping
from itertools import chain, pairwise
from typing import Any, Final, Literal, NamedTuple

from msgspec import Struct

_Json = Any

FIELD: Final = "reasoning"
"""Name in a message's metadata of an answer's thinking: its `text`, and its origin."""

THOUGHT_TYPES: Final = frozenset(
    (
        "thinking",
        "redacted_thinking",
        "think",
        "thought",
        "reasoning",
        "reasoning_content",
        "reasoning_text",
        "reasoning.text",
        "reasoning.summary",
        "reasoning.encrypted",
        "summary_text",
    )
)
"""Types of content parts with thinking."""

FIELDS: Final = ("reasoning_content", "reasoning", "reasoning_text", "thinking", "reasoning_details", "thinking_blocks")
"""Fields beside the content in which servers send thinking; several may repeat one another."""

_HOLDERS: Final = ("thinking", "reasoning", "think", "thought", "reasoning_content", "text", "content", "summary")
_NAMES: Final = ("think", "thinking", "reasoning", "thought")
_CLOSING: Final = {f"<{name}>": f"</{name}>" for name in _NAMES} | {
    "[think]": "[/think]",  # Mistral
    "◁think▷": "◁/think▷",  # Kimi
    "<seed:think>": "</seed:think>",  # Seed
    "<|start_thinking|>": "<|end_thinking|>",  # Cohere
}
_OPENS: Final = re.compile(rf"\s*(?P<tag>(?ai:{'|'.join(map(re.escape, _CLOSING))}))")
_CLOSES: Final = {
    close: re.compile(re.escape(close), re.ASCII | re.IGNORECASE) for close in sorted(set(_CLOSING.values()))
}
_SEEN: Final = re.compile(r"\S")
_TAG_CHARS_MAX: Final = max(map(len, _CLOSING)) + 1  # a longer text is no beginning of a tag
_NESTED_MAX: Final = 8  # levels searched in a provider's own structure

PieceKind = Literal["text", "reasoning", "tag"]


class TextPiece(NamedTuple):
    """A piece of a model's output: of its answer, of its thinking, or a tag with the white space beside it."""

    kind: PieceKind
    text: str


class Parted(Struct, frozen=True):
    """A text in two: the answer and the thinking before it.

    `tags` has the rest of the text, each with its place in the thinking. Inserting them, from the last one on, and
    appending the answer restores the text as it was written.
    """

    text: str
    reasoning: str = ""
    tags: tuple[tuple[int, str], ...] = ()

    def as_written(self) -> str:
        """Return the original text."""
        places = [0, *(place for place, _ in self.tags), len(self.reasoning)]
        said = [self.reasoning[start:end] for start, end in pairwise(places)]
        return "".join(chain.from_iterable(zip(said, [*(tag for _, tag in self.tags), ""], strict=True))) + self.text


class Splitter:
    """Parts a text that arrives in pieces; pieces of any size give the same result."""

    def __init__(self) -> None:
        """Begin before the first piece."""
        self._close: str | None = None
        """The closing tag of the block, None outside of one."""
        self._is_answering = False
        self._has_thought = False
        self._blank: list[str] = []
        self._rest = ""
        """A possible beginning of a tag."""

    def feed(self, text: str) -> Iterator[TextPiece]:
        """Yield the pieces known after this text; none is empty."""
        text, self._rest = self._rest + text, ""
        place = 0
        while place < len(text):
            if self._is_answering:
                yield TextPiece("text", text[place:])
                return
            if self._close is None:
                place = yield from self._outside(text, place)
            else:
                place = yield from self._inside(text, place, self._close)

    def end(self) -> Iterator[TextPiece]:
        """Yield the buffered rest; no more comes."""
        blank, rest = "".join(self._blank), self._rest
        self._blank, self._rest = [], ""
        if blank:
            yield TextPiece("tag" if self._has_thought else "text", blank)
        if rest:
            yield TextPiece("text" if self._close is None else "reasoning", rest)

    def _outside(self, text: str, place: int) -> Generator[TextPiece, None, int]:
        """Look for an opening tag from a place on; return the place to go on from."""
        seen = _SEEN.search(text, place)
        begun = len(text) if seen is None else seen.start()
        if begun > place:
            self._blank.append(text[place:begun])
        if seen is None:
            return begun
        opened = _OPENS.match(text, begun)
        rest = text[begun : begun + _TAG_CHARS_MAX].lower()
        if opened is None and any(tag.startswith(rest) for tag in _CLOSING):
            self._rest = text[begun:]
            return len(text)
        blank, self._blank = "".join(self._blank), []
        if opened is None:
            self._is_answering = True
            if blank:
                yield TextPiece("tag" if self._has_thought else "text", blank)
            return begun
        if blank and self._has_thought:  # white space between two blocks is part of the thinking
            yield TextPiece("reasoning", blank)
            blank = ""
        yield TextPiece("tag", blank + opened.group())
        self._close, self._has_thought = _CLOSING[opened["tag"].lower()], True
        return opened.end()

    def _inside(self, text: str, place: int, close: str) -> Generator[TextPiece, None, int]:
        """Look for the closing tag of the block from a place on; return the place to go on from."""
        closed = _CLOSES[close].search(text, place)
        if closed is None:
            tail = text[max(place, len(text) - len(close)) :].lower()
            end = len(text) - next((size for size in range(len(close) - 1, 0, -1) if tail.endswith(close[:size])), 0)
            self._rest = text[end:]
            if end > place:
                yield TextPiece("reasoning", text[place:end])
            return len(text)
        if closed.start() > place:
            yield TextPiece("reasoning", text[place : closed.start()])
        yield TextPiece("tag", closed.group())
        self._close = None
        return closed.end()


def parted(text: str) -> Parted:
    """Return a model's text in two: its answer and its thinking. Without thinking, the text stays as it is."""
    if not _OPENS.match(text.lstrip()[:_TAG_CHARS_MAX]):  # a pattern takes twenty times as long over white space
        return Parted(text)
    splitter = Splitter()
    said: dict[PieceKind, list[str]] = {"text": [], "reasoning": []}
    tags: list[tuple[int, str]] = []
    place = 0
    for kind, piece in (*splitter.feed(text), *splitter.end()):
        if kind == "tag":
            tags.append((place, piece))
            continue
        said[kind].append(piece)
        place += len(piece) if kind == "reasoning" else 0
    return Parted("".join(said["text"]), "".join(said["reasoning"]), tuple(tags))


def without_reasoning(content: str | list[_Json] | None) -> str | list[_Json] | None:
    """Return the content of a model's message without its thinking."""
    if isinstance(content, str):
        return parted(content).text
    if content is None:
        return None
    first = _first_text(content)
    kept = ((place, part) for place, part in enumerate(content) if not is_thought(part))
    return [_part_without(part) if place == first else part for place, part in kept]


def reasoning_of(content: str | list[_Json] | None, metadata: Mapping[str, _Json] | None) -> str:
    """Return the words of a model's thinking, wherever they stand in its message; empty if there are none."""
    found = [_words((metadata or {}).get(FIELD))]
    extra = (metadata or {}).get("openai")
    if isinstance(extra, dict) and not found[0]:
        found += words_of_fields(extra)
    if isinstance(content, str):
        found.append(parted(content).reasoning)
    elif content:
        first = _first_text(content)
        found += (_words(part) for part in content if is_thought(part))
        found += (parted(_part_text(content[first])).reasoning for _ in range(1) if first is not None)
    return "\n\n".join(dict.fromkeys(text.strip() for text in found if text.strip()))


def is_thought(part: _Json) -> bool:
    """Tell whether a part of a model's content is thinking."""
    if not isinstance(part, dict):
        return False
    kind = part.get("type")
    return (isinstance(kind, str) and kind in THOUGHT_TYPES) or part.get("thought") is True


def words_of_thought(value: _Json) -> str:
    """Return the words in a server's thinking: a text, a part, a list of parts."""
    return _words(value)


def words_of_fields(fields: Mapping[str, _Json]) -> list[str]:
    """Return the thinking in the fields beside a content; structures count only without plain text."""
    plain = [words for name in FIELDS if isinstance(words := fields.get(name), str) and words]
    return plain or [words for name in FIELDS if (words := _words(fields.get(name)))]


def _words(value: _Json, depth: int = _NESTED_MAX) -> str:
    if isinstance(value, str) or not depth:
        return value if isinstance(value, str) else ""
    if isinstance(value, list):
        return "\n\n".join(filter(None, (_words(inner, depth - 1) for inner in value)))
    if isinstance(value, dict):
        return next(filter(None, (_words(value.get(name), depth - 1) for name in _HOLDERS)), "")
    return ""


def _first_text(content: list[_Json]) -> int | None:
    """Return the place of the first part with words of the answer."""
    places = (place for place, part in enumerate(content) if not is_thought(part) and _part_text(part).strip())
    return next(places, None)


def _part_text(part: _Json) -> str:
    text = part.get("text", part.get("refusal")) if isinstance(part, dict) else part
    return text if isinstance(text, str) else ""


def _part_without(part: _Json) -> _Json:
    text = parted(_part_text(part)).text
    return text if isinstance(part, str) else {**part, "text" if "text" in part else "refusal": text}
