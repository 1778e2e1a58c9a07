"""The work behind an answer, in words: the calls of tools with their arguments, and what tools gave back.

Providers write calls in several ways: in `tool_calls`, as parts of the content (Anthropic's `tool_use`), or as items
of a list (`function_call`); `tool_calls` reads them. Arguments are a JSON value, or a text with one. A search reads
both as lines of `name: value`, so no escape of JSON stands between a person and a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from chatkeep.core.text.tool_calls import call_in

_Json = Any
_CALLS: Final = ("tool_use", "_call")
_RESULTS: Final = ("tool_result", "_call_output")
_OUTPUTS: Final = ("content", "output", "result")


def words_of_calls(calls: list[_Json] | None) -> Iterator[str]:
    """Yield the words of each call in a message's `tool_calls`: the tool's name, then its arguments, a line each."""
    for call in calls or ():
        if isinstance(call, dict):
            yield _words_of_call(call)


def words_of_parts(content: str | list[_Json] | None) -> Iterator[str]:
    """Yield the words of the calls and results among the parts of a content."""
    for part in content if isinstance(content, list) else ():
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(kind, str) and kind.endswith(_CALLS):
            yield _words_of_call(part)
        elif isinstance(kind, str) and kind.endswith(_RESULTS):
            yield "\n".join(_lines(next((part[name] for name in _OUTPUTS if name in part), None)))


def _words_of_call(call: dict[str, _Json]) -> str:
    found = call_in(call)
    if found is None:
        return "\n".join(_lines(call))
    return "\n".join([found.name, *_lines(_decoded(found.arguments))])


def _decoded(given: _Json) -> _Json:
    """Return the JSON value in a text, the text itself if it has none."""
    if isinstance(given, str) and given.lstrip().startswith(("{", "[")):
        try:
            return msgspec.json.decode(given)
        except (ValueError, OverflowError, RecursionError):
            pass
    return given


def _lines(value: _Json) -> Iterator[str]:
    """Yield the strings and numbers in a JSON value in their order, each with its name."""
    waiting: list[tuple[str, _Json]] = [("", value)]
    while waiting:
        name, one = waiting.pop()
        if isinstance(one, dict):
            if name:
                yield f"{name}:"
            waiting.extend((_plain(inner), one[inner]) for inner in reversed(one))
        elif isinstance(one, list):
            waiting.extend((name, inner) for inner in reversed(one))
        elif one is not None:
            yield f"{name}: {_plain(one)}" if name else _plain(one)


def _plain(value: _Json) -> str:
    told = str(value).lower() if isinstance(value, bool) else str(value)
    return told.replace("\0", " ")
