"""Lossless joins of a model's output: pieces of any type, and whole values that repeat their pieces.

A text is kept as a list of its pieces: joining once is linear, appending to a string each time is not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from chatkeep.core.model import Json
from chatkeep.core.text.reasoning import THOUGHT_TYPES

_NAMES: Final = frozenset(("name",))
_INPUTS: Final = frozenset(("arguments", "input"))
_ONCE: Final = frozenset(("id", "type", "index", "role"))
_FLOWING: Final = THOUGHT_TYPES | {"text", "output_text", "refusal"}
"""Types of parts that servers stream in pieces."""
_WORDS: Final = frozenset(("text", "thinking", "reasoning", "think", "summary", "refusal", "content"))
_NAME_CHARS_MAX: Final = 1000  # a longer name comes in pieces; comparing it with each would take quadratic time
_DIGITS: Final = re.compile(r"-?[0-9]{1,18}")


class Flow(list[str]):
    """A text as the list of its pieces, in order of arrival."""


class FactList(list[Json]):
    """Distinct values, in order of arrival."""

    def __init__(self, values: Iterable[Json] = ()) -> None:
        """Begin with these values."""
        super().__init__()
        self._known: set[tuple[str, str]] = set()
        for value in values:
            self.add(value)

    def add(self, value: Json) -> None:
        """Add a value unless it is there; 1, 1.0 and true are three values."""
        known = type(value).__name__, as_text(value)
        if known not in self._known:
            self._known.add(known)
            self.append(value)


def json_text(value: Json) -> str:
    """Return a value as JSON text, or a description if JSON cannot hold it."""
    try:
        return msgspec.json.encode(value).decode()
    except RecursionError:
        return "[nested without end]"
    except (UnicodeEncodeError, TypeError, ValueError, OverflowError):
        return f"{value}"


def index_of(given: Json, place: int) -> int:
    """Return a server's index of a piece, or its place in its list if the index is no whole number."""
    index = _index(given)
    return place if index is None else index


def merge_into(target: dict[str, Json], delta: Mapping[str, Json]) -> None:
    """Fold an object into another one, field by field."""
    for name, value in delta.items():
        if value is None:
            continue
        held = target.get(name)
        if held is None:
            target[name] = growing(value)
        elif name in _NAMES and isinstance(value, str) and isinstance(held, Flow):
            target[name] = _name(held, value)
        elif name in _INPUTS:
            target[name] = _input(held, value)
        elif name in _ONCE:
            target[name] = _also(held, value)
        else:
            target[name] = _grown(held, value)


def gather_facts(target: dict[str, Json], facts: Mapping[str, Json]) -> None:
    """Fold in facts. Servers repeat them with every piece, so lists grow, and other values are kept once each."""
    for name, value in facts.items():
        held = target.get(name)
        if held is None:
            target[name] = _own(value)
        elif isinstance(held, dict) and isinstance(value, dict):
            gather_facts(held, value)
        elif isinstance(held, list) and isinstance(value, list) and not isinstance(held, FactList):
            is_longer = len(value) >= len(held) and value[: len(held)] == held
            held.extend(value[len(held) :] if is_longer else value)
        elif value is not None:
            target[name] = _also(held, value)


def join_whole(target: dict[str, Json], name: str, value: Json) -> None:
    """Fold in a whole value, which may repeat its field's value and go on behind it."""
    held = target.get(name)
    if value is None:
        return
    if isinstance(value, dict) and isinstance(held, dict):
        for one, told in value.items():
            join_whole(held, one, told)
        return
    if isinstance(value, str) and isinstance(held, Flow):
        value = rest_behind(held, value)
        if not value:
            return
    elif isinstance(value, list) and isinstance(held, list) and equals_folded(held, value[: len(held)]):
        value = value[len(held) :]
    elif equals_folded(held, value):
        return
    merge_into(target, {name: value})


def joined(value: Json) -> Json:
    """Return a folded value as JSON."""
    if isinstance(value, Flow):
        return "".join(value)
    if isinstance(value, list):
        return [joined(inner) for inner in value]
    return {name: joined(inner) for name, inner in value.items()} if isinstance(value, dict) else value


class Calls:
    """The tool calls of an answer, by whatever index or id servers number their pieces."""

    def __init__(self) -> None:
        """Begin without any."""
        self._calls: list[dict[str, Json]] = []
        self._at: dict[int, dict[str, Json]] = {}
        """The latest call of each index."""
        self._named: dict[tuple[int | None, str], dict[str, Json]] = {}
        """Calls by their index and id, and by their id alone."""
        self._known: set[str] = set()
        """JSON texts of calls without an id, in every state seen so far."""
        self._unread: dict[int, dict[str, Json]] = {}

    def add(self, pieces: Json) -> None:
        """Add pieces of calls; a value other than an object is kept as a call by itself."""
        fresh: set[int] = set()
        for piece in pieces if isinstance(pieces, list) else [pieces]:
            if isinstance(piece, dict):
                call = self._call(piece, fresh)
                fresh.add(id(call))
                self._merge(call, piece)
            elif piece is not None and piece != "":
                self._calls.append({"unknown": piece})

    def add_whole(self, calls: Json) -> None:
        """Add whole calls, without those already held."""
        for call in calls if isinstance(calls, list) else [calls]:
            plain = {name: value for name, value in call.items() if name != "index"} if isinstance(call, dict) else call
            if plain in (None, "") or self._has(plain):
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

    def _has(self, call: Json) -> bool:
        """Tell whether this very call is held: by its id, else among calls without one."""
        if not isinstance(call, dict):
            return False
        if given := _id_of(call):
            held = self._named.get((None, given))
            return held is not None and equals_folded(held, call)
        for held in self._unread.values():
            if not held.get("id"):
                self._known.add(as_text(joined(held)))
        self._unread.clear()
        return as_text(call) in self._known

    def said(self) -> list[Json]:
        """Return the calls in the order of their beginnings."""
        return [joined(call) for call in self._calls]

    def _call(self, piece: Mapping[str, Json], fresh: set[int]) -> dict[str, Json]:
        """Return a piece's call: the one with its index, unless the piece brings another id.

        Without an index, the id decides. Without either, the piece continues the last call unless it opens another.
        Pieces that arrive together, each with a name, are separate calls.
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
        merge_into(
            call, {name: value for name, value in piece.items() if name != "index" and not (name == "id" and given)}
        )
        if not call.get("id"):
            self._unread[id(call)] = call


def growing(value: Json) -> Json:
    """Return a value in a growing form."""
    if isinstance(value, str):
        return Flow([value])
    if isinstance(value, list):
        return _extended([], value)
    if isinstance(value, dict):
        held: dict[str, Json] = {}
        merge_into(held, value)
        return held
    return value


def _grown(held: Json, value: Json) -> Json:
    """Return both: texts and lists grow, objects are merged, other values stand side by side."""
    if isinstance(held, Flow) and isinstance(value, str):
        held.append(value)
        return held
    if isinstance(held, dict) and isinstance(value, dict):
        merge_into(held, value)
        return held
    if isinstance(held, list) and not isinstance(held, Flow):
        return _extended(held, value if isinstance(value, list) else [value])
    if not isinstance(held, Flow | dict) and not isinstance(value, list) and _is_repeated(held, value):
        return held
    return _extended(_items(held), value if isinstance(value, list) else [value])


def _extended(held: list[Json], more: list[Json]) -> list[Json]:
    for item in more:
        last = held[-1] if held else None
        if isinstance(item, dict) and isinstance(last, dict) and continues(last, item):
            merge_into(last, item)
        else:
            held.append(growing(item) if isinstance(item, dict | list) else item)
    return held


def _items(held: Json) -> list[Json]:
    return list(held) if isinstance(held, list) and not isinstance(held, Flow) else [joined(held)]


def _own(value: Json) -> Json:
    """Return a copy of an object or list, so that folding leaves the original unchanged."""
    if isinstance(value, dict):
        return {name: _own(inner) for name, inner in value.items()}
    return list(value) if isinstance(value, list) else value


def _also(held: Json, value: Json) -> Json:
    """Return the held values, with this one added unless it is there."""
    if not isinstance(held, FactList):
        if _is_repeated(held, value):
            return held
        held = FactList(_items(held))
    if not (isinstance(value, list) and len(value) == len(held) and value == held):
        held.add(value)
    return held


def equals_folded(held: Json, value: Json) -> bool:
    """Tell whether a folded value equals a plain one. Cost: linear in the plain value, whatever is held."""
    if isinstance(held, Flow):
        return isinstance(value, str) and _is_text(held, value)
    if isinstance(held, dict):
        names = isinstance(value, dict) and len(held) == len(value) and held.keys() == value.keys()
        return names and all(equals_folded(held[name], value[name]) for name in held)
    if isinstance(held, list):
        return isinstance(value, list) and len(held) == len(value) and all(map(equals_folded, held, value))
    return bool(type(held) is type(value) and held == value)


def _is_text(held: Flow, text: str) -> bool:
    at = 0
    for piece in held:
        if not text.startswith(piece, at) or (piece and at == len(text)):
            return False
        at += len(piece)
    return at == len(text)


def _is_prefix(held: Flow, text: str) -> bool:
    at = 0
    for piece in held:
        if not text.startswith(piece, at):
            return False
        at += len(piece)
    return True


def rest_behind(held: Flow, text: str) -> str:
    """Return the text behind the held one, or all of it if it does not begin so. Cost: linear in the text."""
    at = 0
    for piece in held:
        if at == len(text):
            return ""
        if not text.startswith(piece, at):
            return "" if piece.startswith(text[at:]) else text
        at += len(piece)
    return text[at:]


def _is_repeated(held: Json, value: Json) -> bool:
    """Tell whether a value is held already; 1, 1.0 and true are three values."""
    plain = joined(held)
    told = plain if isinstance(plain, list) and not isinstance(value, list) else [plain]
    return any(type(one) is type(value) and one == value for one in told)


def _name(held: Flow, value: str) -> Flow:
    """Return a name, sent once, with every piece, longer each time, or in pieces."""
    if len(held[0]) > _NAME_CHARS_MAX:
        held.append(value)
        return held
    name = "".join(held)
    if value == name:
        return held
    return Flow([value]) if value.startswith(name) else Flow([name, value])


def _input(held: Json, value: Json) -> Json:
    """Return a tool's input: text in pieces, an object, or, for a mix of both, one text."""
    if not isinstance(held, Flow):
        if isinstance(held, dict) and isinstance(value, dict):
            if not equals_folded(held, value):
                merge_into(held, value)
            return held
        if value == "" or _is_repeated(held, value):
            return held
        held = Flow([as_text(joined(held))])
    if isinstance(value, str):
        held.append(value)
        return held
    if not any(map(str.strip, held)):
        return growing(value)
    held.append(as_text(value))
    return held


def as_text(value: Json) -> str:
    """Return a text as it is, another value as JSON."""
    if isinstance(value, str):
        return value
    is_odd = isinstance(value, float) and not math.isfinite(value)
    return str(value) if is_odd else json_text(value)


def continues(held: Mapping[str, Json], part: Mapping[str, Json]) -> bool:
    """Tell whether a part goes on with the one before it, as parts of a stream do."""
    kind = part.get("type")
    if not isinstance(kind, str) or kind not in _FLOWING or joined(held.get("type")) != kind:
        return False
    if held.get("signature") is not None and any(part.get(name) for name in _WORDS):
        return False
    beside = ((name, value) for name, value in part.items() if value is not None and name not in _WORDS)
    return all(name not in held or joined(held[name]) == value for name, value in beside)


def _says_more(call: Mapping[str, Json], held: Mapping[str, Json]) -> bool:
    """Tell whether a whole call begins with everything held of it."""
    before, after = held.get("function"), call.get("function")
    if not (
        isinstance(before, dict) and isinstance(after, dict) and equals_folded(before.get("name"), after.get("name"))
    ):
        return False
    told, more = before.get("arguments", Flow()), after.get("arguments")
    return isinstance(told, Flow) and isinstance(more, str) and _is_prefix(told, more)


def _index(given: Json) -> int | None:
    """Return a whole number, however it is written; None for another value."""
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
    """Tell whether a piece without an index opens a call: it has a name, and the last call has its input."""
    held = _function_of(last)
    return bool(_function_of(piece).get("name")) and any(joined(held.get(name)) not in (None, "") for name in _INPUTS)
