"""Joins in which nothing is lost: what is said in pieces, of whatever types, and what is said again.

A text is kept in the pieces in which it came: joining them once is linear, adding each is not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from chatkeep.core.model import Json, text_of
from chatkeep.core.reasoning import (
    THOUGHT_TYPES,
    Kind,
    Piece,
    Splitter,
    is_thought,
    without_reasoning,
    words_of_thought,
)

_NAMES: Final = frozenset(("name",))
_INPUTS: Final = frozenset(("arguments", "input"))
_ONCE: Final = frozenset(("id", "type", "index", "role"))
_TEXT_TYPES: Final = (None, "text", "output_text")
_FLOWING: Final = THOUGHT_TYPES | {"text", "output_text", "refusal"}
"""The types of parts that come in pieces."""
_WORDS: Final = frozenset(("text", "thinking", "reasoning", "think", "summary", "refusal", "content"))
_DIGITS: Final = re.compile(r"-?[0-9]{1,18}")
_PAIR: Final = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_HALF: Final = re.compile("[\ud800-\udbff]\\Z")
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")


class Flow(list[str]):
    """A text in the pieces in which it came."""


def whole_characters(text: str) -> str:
    """Return the text with the halves of characters that stand side by side made whole."""
    return _PAIR.sub(lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), text)


def storable_text(text: str) -> str:
    """Return the text with U+FFFD for what cannot be stored: NUL and half characters."""
    return _UNSTORABLE.sub("\ufffd", whole_characters(text))


def json_text(value: Json) -> str:
    """Return a value as JSON text; what has none is told in other words."""
    try:
        return msgspec.json.encode(value).decode()
    except RecursionError:
        return "[nested without end]"
    except (UnicodeEncodeError, TypeError, ValueError, OverflowError):
        return f"{value}"


def index_of(given: Json, place: int) -> int:
    """Return the index that a server gives to a piece, its place in its list where that is no whole number."""
    index = _index(given)
    return place if index is None else index


def merge(target: dict[str, Json], delta: Mapping[str, Json]) -> None:
    """Fold an object into another one, field by field."""
    for name, value in delta.items():
        if value is None:
            continue
        held = target.get(name)
        if held is None:
            target[name] = _begun(value)
        elif name in _NAMES and isinstance(value, str) and isinstance(held, Flow):
            target[name] = _name(held, value)
        elif name in _INPUTS:
            target[name] = _input(held, value)
        elif name in _ONCE:
            if not _is_repeated(held, value):
                target[name] = [*_items(held), value]
        else:
            target[name] = _grown(held, value)


def note(target: dict[str, Json], facts: Mapping[str, Json]) -> None:
    """Fold in facts, which servers tell with every piece: lists grow, the rest is told once for each value."""
    for name, value in facts.items():
        held = target.get(name)
        if held is None:
            target[name] = value
        elif isinstance(held, dict) and isinstance(value, dict):
            target[name] = {**held}
            note(target[name], value)
        elif isinstance(held, list) and isinstance(value, list):
            target[name] = value if value[: len(held)] == held else [*held, *value]
        elif value is not None and not _is_repeated(held, value):
            target[name] = [*_items(held), value]


def join_whole(target: dict[str, Json], name: str, value: Json) -> None:
    """Fold in a value that may say all again that its field says by now, and perhaps more."""
    held = joined(target.get(name))
    if value is None or value == held:
        return
    if isinstance(value, str) and isinstance(held, str):
        value = value.removeprefix(held) if value.startswith(held) else "" if held.startswith(value) else value
    elif isinstance(value, list) and isinstance(held, list) and value[: len(held)] == held:
        value = value[len(held) :]
    elif isinstance(value, dict) and isinstance(held, dict):
        inner: dict[str, Json] = target[name]
        for one, told in value.items():
            join_whole(inner, one, told)
        return
    merge(target, {name: value})


def joined(value: Json) -> Json:
    """Return what was folded as JSON."""
    if isinstance(value, Flow):
        return "".join(value)
    if isinstance(value, list):
        return [joined(inner) for inner in value]
    return {name: joined(inner) for name, inner in value.items()} if isinstance(value, dict) else value


class Calls:
    """The calls of tools of an answer, whatever their pieces are numbered by."""

    def __init__(self) -> None:
        """Begin without any."""
        self._calls: list[dict[str, Json]] = []
        self._at: dict[int, dict[str, Json]] = {}
        """The latest call of each index."""
        self._named: dict[tuple[int | None, str], dict[str, Json]] = {}
        """Calls by their index and id, and by their id alone."""

    def add(self, pieces: Json) -> None:
        """Take in pieces of calls; what is no object is kept as a call by itself."""
        fresh: set[int] = set()
        for piece in pieces if isinstance(pieces, list) else [pieces]:
            if isinstance(piece, dict):
                call = self._call(piece, fresh)
                fresh.add(id(call))
                self._merge(call, piece)
            elif piece is not None and piece != "":
                self._calls.append({"unknown": piece})

    def add_whole(self, calls: Json) -> None:
        """Take in whole calls, but those that are there already."""
        known = set(map(_as_text, self.said()))
        for call in calls if isinstance(calls, list) else [calls]:
            plain = {name: value for name, value in call.items() if name != "index"} if isinstance(call, dict) else call
            if plain in (None, "") or _as_text(plain) in known:
                continue
            if not isinstance(plain, dict):
                self._calls.append({"unknown": plain})
                continue
            held = self._named.get((None, _id_of(plain)))
            if held is not None and _says_more(plain, held):
                for name, value in plain.items():
                    join_whole(held, name, value)
            else:
                self._merge(self._begin(_index(call.get("index"))), plain)

    def said(self) -> list[Json]:
        """Return the calls in the order in which they began."""
        return [joined(call) for call in self._calls]

    def _call(self, piece: Mapping[str, Json], fresh: set[int]) -> dict[str, Json]:
        """Return the call that a piece goes on with: that of its index, unless it brings another id.

        Without an index it is that of its id; without either the last one, unless the piece opens another. Pieces
        that came together and bring names are calls of their own.
        """
        given, index = _id_of(piece), _index(piece.get("index"))
        if index is not None:
            call = self._at.get(index)
            if call is not None and given and call.get("id") not in (None, "", given):
                call = self._named.get((index, given))
            return self._begin(index) if call is None else call
        if given and (call := self._named.get((None, given))) is not None:
            return call
        last = self._calls[-1] if self._calls else None
        if last is None or (given and last.get("id")) or _opens(last, piece):
            return self._begin(None)
        return self._begin(None) if id(last) in fresh and _function_of(piece).get("name") else last

    def _begin(self, index: int | None) -> dict[str, Json]:
        call: dict[str, Json] = {}
        self._calls.append(call)
        if index is not None:
            self._at[index] = call
        return call

    def _merge(self, call: dict[str, Json], piece: Mapping[str, Json]) -> None:
        given, index = _id_of(piece), _index(piece.get("index"))
        if given:
            call["id"] = given
            self._named.setdefault((None, given), call)
            self._named.setdefault((index, given), call)
        merge(call, {name: value for name, value in piece.items() if name != "index" and not (name == "id" and given)})


class Content:
    """What a model says, as it comes: a text, parts, or both by turns. It is told piece by piece."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._items: list[Flow | dict[str, Json]] = []
        self._heard: list[Piece] = []
        self._half = ""
        self._splitter: Splitter | None = Splitter()
        self._is_blank = True
        self._has_text = False
        self._is_next = False
        self.has_refused = False
        self.kinds: set[Kind] = set()
        """What was told so far: text, reasoning, or both."""

    def take(self) -> list[Piece]:
        """Return what was said since this was last asked."""
        heard, self._heard = self._heard, []
        return heard

    def add(self, value: Json) -> None:
        """Take in a piece of a content, of whatever type."""
        if isinstance(value, list):
            for one in value:
                self._add_part(one if isinstance(one, dict) or not isinstance(one, list) else {"unknown": one})
        else:
            self._add_part(value)

    def add_whole(self, value: Json) -> None:
        """Take in a content that may say all again that was said by now, and perhaps more."""
        held = self._content()
        if held in (None, "") and isinstance(value, list):
            parts = [one if isinstance(one, dict) else {"type": "text", "text": _as_text(one)} for one in value]
            self._items = [_begun(part) for part in parts]
            self.has_refused = any(part.get("type") == "refusal" for part in parts)
            self._tell_whole(parts)
            return
        if isinstance(value, str) and isinstance(held, str):
            value = value.removeprefix(held) if value.startswith(held) else None if held.startswith(value) else value
        elif isinstance(value, list) and isinstance(held, list) and value[: len(held)] == held:
            value = value[len(held) :]
        elif isinstance(value, str | list) and held is not None and text_of(value) == text_of(held):
            value = None
        self.add(value)

    def think(self, words: str) -> None:
        """Tell words of thinking that stand in a field of their own."""
        self._tell(Piece("reasoning", words))

    def close(self) -> None:
        """Tell what was held back."""
        self._speak("", is_last=True)
        if self._splitter is not None:
            for piece in self._splitter.end():
                self._tell(piece)
            self._splitter = None

    def said(self) -> tuple[Json, str | None]:
        """Return the content, None for none; and the refusal, when that is all there is of it."""
        if (
            len(self._items) == 1
            and isinstance(self._items[0], dict)
            and joined(self._items[0]).get("type") == "refusal"
        ):
            refusal = joined(self._items[0])["refusal"]
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
            self._add_text(_as_text(part))
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
        self._items[-1].append(text)  # type: ignore[union-attr]
        self._speak(text)

    def _add_object(self, part: dict[str, Json]) -> None:
        last = self._items[-1] if self._items else None
        if isinstance(last, dict) and _continues(last, part):
            merge(last, {name: value for name, value in part.items() if name != "index"})
        else:
            self._items.append(_begun(part))
            self._begin_run()
        self.has_refused = self.has_refused or part.get("type") == "refusal"
        if is_thought(part):
            self.think(words_of_thought(part))
        elif words := text_of([part]):
            self._speak(words)

    def _begin_run(self) -> None:
        """Begin another part: what the last one held back is told; a text that follows stands on another line."""
        self._speak("", is_last=True)
        if self._splitter is not None:
            for piece in self._splitter.end():
                self._tell(piece)
        self._splitter = Splitter() if self._is_blank else None
        self._is_next = True

    def _speak(self, text: str, *, is_last: bool = False) -> None:
        text, self._half = self._half + text, ""
        if not is_last and (half := _HALF.search(text)):
            text, self._half = text[: half.start()], half.group()
        if not text:
            return
        self._is_blank = self._is_blank and not text.strip()
        text = storable_text(text)
        for piece in [Piece("text", text)] if self._splitter is None else self._splitter.feed(text):
            self._tell(piece)

    def _tell_whole(self, content: list[Json]) -> None:
        for thought in filter(None, (words_of_thought(part) for part in content if is_thought(part))):
            self._tell(Piece("reasoning", thought))
        self._tell(Piece("text", storable_text(text_of(without_reasoning(content)))))
        self._is_blank, self._splitter, self._is_next = False, None, True

    def _tell(self, piece: Piece) -> None:
        if piece.kind == "tag" or not piece.text:
            return
        self.kinds.add(piece.kind)
        if piece.kind == "text":
            if self._is_next and self._has_text:
                self._heard.append(Piece("text", "\n"))
            self._is_next, self._has_text = False, True
            self._heard.append(piece)
        else:
            self._heard.append(Piece("reasoning", storable_text(piece.text)))


def _begun(value: Json) -> Json:
    """Return a value that grows."""
    if isinstance(value, str):
        return Flow([value])
    if isinstance(value, list):
        return _extended([], value)
    if isinstance(value, dict):
        held: dict[str, Json] = {}
        merge(held, value)
        return held
    return value


def _grown(held: Json, value: Json) -> Json:
    """Return both: texts and lists grow, objects are merged, what is no piece of the other stands beside it."""
    if isinstance(held, Flow) and isinstance(value, str):
        held.append(value)
        return held
    if isinstance(held, dict) and isinstance(value, dict):
        merge(held, value)
        return held
    if isinstance(held, list) and not isinstance(held, Flow):
        return _extended(held, value if isinstance(value, list) else [value])
    if not isinstance(held, Flow | dict) and not isinstance(value, list) and _is_repeated(held, value):
        return held
    return _extended(_items(held), value if isinstance(value, list) else [value])


def _extended(held: list[Json], more: list[Json]) -> list[Json]:
    for item in more:
        last = held[-1] if held else None
        if isinstance(item, dict) and isinstance(last, dict) and _continues(last, item):
            merge(last, item)
        else:
            held.append(_begun(item) if isinstance(item, dict | list) else item)
    return held


def _items(held: Json) -> list[Json]:
    return list(held) if isinstance(held, list) and not isinstance(held, Flow) else [joined(held)]


def _is_repeated(held: Json, value: Json) -> bool:
    """Tell whether a value was told before, in which 1, 1.0 and true are three values."""
    plain = joined(held)
    told = plain if isinstance(plain, list) and not isinstance(value, list) else [plain]
    return any(type(one) is type(value) and one == value for one in told)


def _name(held: Flow, value: str) -> Flow:
    """Return a name that is told once, with every piece, longer each time, or in pieces."""
    name = "".join(held)
    if value == name:
        return held
    return Flow([value]) if value.startswith(name) else Flow([name, value])


def _input(held: Json, value: Json) -> Json:
    """Return what a tool is called with: text in pieces, an object, or both by turns, as one text then."""
    if not isinstance(held, Flow):
        if isinstance(held, dict) and isinstance(value, dict):
            if joined(held) != value:
                merge(held, value)
            return held
        if value == "" or _is_repeated(held, value):
            return held
        held = Flow([_as_text(joined(held))])
    if isinstance(value, str):
        held.append(value)
        return held
    if not "".join(held).strip():
        return _begun(value)
    held.append(_as_text(value))
    return held


def _as_text(value: Json) -> str:
    if isinstance(value, str):
        return value
    is_odd = isinstance(value, float) and not math.isfinite(value)
    return str(value) if is_odd else json_text(value)


def _is_plain(part: Mapping[str, Json]) -> bool:
    """Tell whether a part is a text and nothing else."""
    others = (value for name, value in part.items() if name not in ("type", "text", "index"))
    return (
        part.get("type") in _TEXT_TYPES
        and isinstance(part.get("text"), str)
        and all(value is None or value in ([], {}) for value in others)
    )


def _continues(held: Mapping[str, Json], part: Mapping[str, Json]) -> bool:
    """Tell whether a part goes on with the one before it, as parts of a stream do."""
    kind = part.get("type")
    if not isinstance(kind, str) or kind not in _FLOWING or joined(held.get("type")) != kind:
        return False
    if held.get("signature") is not None and any(part.get(name) for name in _WORDS):
        return False
    beside = ((name, value) for name, value in part.items() if value is not None and name not in _WORDS)
    return all(name not in held or joined(held[name]) == value for name, value in beside)


def _says_more(call: Mapping[str, Json], held: Mapping[str, Json]) -> bool:
    """Tell whether a whole call says all that is held of it by now."""
    before, after = joined(held.get("function")), call.get("function")
    if not (isinstance(before, dict) and isinstance(after, dict) and before.get("name") == after.get("name")):
        return False
    told, more = before.get("arguments", ""), after.get("arguments")
    return isinstance(told, str) and isinstance(more, str) and more.startswith(told)


def _index(given: Json) -> int | None:
    """Return a whole number, however it is written."""
    if isinstance(given, str) and _DIGITS.fullmatch(given):
        return int(given)
    if isinstance(given, float) and math.isfinite(given) and given.is_integer():
        return int(given)
    return given if isinstance(given, int) and not isinstance(given, bool) else None


def _id_of(piece: Mapping[str, Json]) -> str:
    given = piece.get("id")
    return given if isinstance(given, str) else ""


def _function_of(call: Mapping[str, Json]) -> Mapping[str, Json]:
    return next((inner for name in ("function", "custom") if isinstance(inner := call.get(name), dict)), call)


def _opens(last: Mapping[str, Json], piece: Mapping[str, Json]) -> bool:
    """Tell whether a piece without an index opens a call: it brings a name, and the last call has its input."""
    held = _function_of(last)
    return bool(_function_of(piece).get("name")) and any(joined(held.get(name)) not in (None, "") for name in _INPUTS)
