"""A session as a transcript in Markdown, for people.

Messages stand in their own words under headings, so their lists, tables and code are read as such. Content cannot pose
as another part of the transcript. A fence left open is closed. Outside of code, headings move two levels down, lines
that would make a heading or a rule of the text above are escaped, and so is the beginning of HTML. Code in an item of a
list ends with the item, and code between backticks with its line, as far as these escapes go. Events and a model's
thinking are left out. Calls and results stand in fences that no content can close.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from chatkeep.core.model import Json, Message, Session
from chatkeep.core.standing import said
from chatkeep.exporters.titling import indented, shown_time, title_in

_MARKS: Final = re.compile(r"([\\`*_{}\[\]<>#&!|~])")
_BACKTICKS: Final = re.compile(r"`+")
_ITEM: Final = re.compile(r"[ \t>]*(?:[-+*]|[0-9]{1,9}[.)])(?:[ \t]|$)")
_OPENING: Final = re.compile(r"(?P<room>[ \t]*(?:(?:[-+*]|[0-9]{1,9}[.)])[ \t]+)*)(?P<mark>`{3,}(?=[^`]*$)|~{3,})")
_TABLE: Final = re.compile(r"[-:> \t*+]*+\|[-|:> \t*+]*+")
"""The line between the head of a table and its rows: in a table, `|` ends code."""
_HEADING: Final = re.compile(r"( {0,3})(#{1,6})(?=[ \t]|$)(.*)")
_RULE_MARKS_MIN: Final = 3  # stars or underscores of a rule
_CODE_OR_TAG_BEGINS: Final = re.compile(r"[\\`<]")
_CODE_OR_TAG: Final = re.compile(r"\\.|(?P<ticks>`+)|<(?=[A-Za-z/!?])")
_CODE_INDENT: Final = 4  # columns; so deep, a line outside of lists is no fence
_LINES_AT_ONCE: Final = 1000
_PIECES_AT_ONCE: Final = 10_000  # of a line, joined at once
_STEP_CHARS: Final = 1 << 16  # of a line looked through at once; other threads run between two steps
_LEVELS_DOWN: Final = 2  # the transcript's own headings have the levels above
_LEVEL_MAX: Final = 6


class MarkdownExporter:
    """The format `md`."""

    name: Final = "md"
    media_type: Final = "text/markdown; charset=utf-8"
    suffix: Final = ".md"
    has_logs: Final = False
    is_binary: Final = False

    def exported(self, sessions: Iterable[Session], *, single: bool) -> Iterator[bytes]:  # noqa: ARG002 - one or many
        """Yield the transcripts, with a rule between two."""
        rule = b""
        for session in sessions:
            yield rule
            yield from (block.encode() for block in _written(session))
            rule = b"---\n\n"


def _written(session: Session) -> Iterator[str]:
    header = session.header
    yield f"# {_plain(title_in(session))}\n\n"
    yield f"- Key: {_code(header.key)}\n- Channel: {_code(header.channel)}\n- Begun: {shown_time(header.created_at)}\n"
    messages = said(session.messages)
    if messages:
        yield f"- Latest: {shown_time(max(message.sent_at for message in messages))}\n"
    yield f"- Messages: {len(messages)}\n\n"
    for message in messages:
        yield from _blocks(message)


def _blocks(message: Message) -> Iterator[str]:
    name = f" {_plain(message.name)}" if message.name else ""
    yield f"## {message.role.capitalize()}{name}\n\n*{shown_time(message.sent_at)}*\n\n"
    if message.text.strip():
        yield from (_fenced("text", message.text),) if message.role == "tool" else _words(message.text)
    elif message.content and not message.reasoning:
        yield _fenced("json", indented(message.content))
    for call in message.tool_calls or ():
        yield from _call(call)


def _call(call: Json) -> Iterator[str]:
    function = call.get("function") if isinstance(call, dict) else None
    if isinstance(function, dict) and isinstance(function.get("name"), str):
        yield f"Calls {_code(function['name'])}:\n\n"
        yield _fenced("json", indented(function.get("arguments")))
    else:
        yield _fenced("json", indented(call))


def _words(text: str) -> Iterator[str]:
    """Yield a text as it is read in Markdown, without a way out of its place, some lines at a time.

    No step takes long, however many lines there are.
    """
    words = _Words(has_table="|" in text and any(map(_TABLE.fullmatch, _lines_of(text))))
    told: list[str] = []
    for line in _lines_of(text):
        told += words.lines_for(line)
        if len(told) >= _LINES_AT_ONCE:
            yield "".join(f"{one}\n" for one in told)
            told = []
    told += words.ending()
    yield "\n".join(told).rstrip("\n") + "\n\n"


class _Fence(NamedTuple):
    """Fenced code: its backticks or tildes, and its indent if it may stand in an item of a list."""

    mark: str
    indent: int

    @property
    def end(self) -> str:
        return " " * self.indent + self.mark

    def is_ended_by(self, line: str) -> bool:
        words = line.strip(" \t")
        is_mark = len(words) >= len(self.mark) and not words.strip(self.mark[0])
        return is_mark and (self.indent > 0 or _indent_of(line) < _CODE_INDENT)

    def is_left_by(self, line: str) -> bool:
        """Tell whether a line may stand outside of the item with this code."""
        return bool(line.strip(" \t")) and _indent_of(line) < self.indent


class _Words:
    """The place in a message's text: in fenced code or not, and what else could end the code or the text there."""

    def __init__(self, *, has_table: bool) -> None:
        self._has_table = has_table
        self._has_items = False
        self._is_open = False  # behind backticks without an end on their line: code of several lines may begin there
        self._follows_words = False
        self._fence: _Fence | None = None

    def lines_for(self, line: str) -> Iterator[str]:
        """Yield the lines of the transcript for one of the text."""
        fence = self._fence
        if fence is not None:
            is_left = fence.is_left_by(line)
            if not is_left and not fence.is_ended_by(line):
                yield line
                return
            yield fence.end if fence.indent else line
            self._fence = None
            if not is_left:
                return
        yield from self._outside(line)

    def ending(self) -> Iterator[str]:
        """Yield the line that ends a fence left open."""
        if self._fence is not None:
            yield self._fence.end

    def _outside(self, line: str) -> Iterator[str]:
        self._has_items = self._has_items or _ITEM.match(line) is not None
        opening = _OPENING.match(line)
        indent = len(opening["room"].expandtabs(_CODE_INDENT)) if opening else 0
        if opening is None or (indent >= _CODE_INDENT and not self._has_items):
            self._follows_words = bool(line.strip(" \t"))
            self._is_open = self._is_open and self._follows_words
            yield self._without_tags(_lowered(line))
            return
        self._fence = _Fence(opening["mark"], indent if self._has_items else 0)
        if self._fence.indent and self._follows_words:
            yield ""  # so it is code for every reader, and never more words of a paragraph
        self._is_open = self._follows_words = False
        yield line

    def _without_tags(self, line: str) -> str:
        """Return a line with the beginnings of HTML escaped, outside of code between backticks on this line."""
        parts: list[str] = []
        pieces: list[str] = []
        place = 0
        while found := _code_or_tag(line, place):
            if len(pieces) > _PIECES_AT_ONCE:
                parts.append("".join(pieces))
                pieces.clear()
            pieces.append(line[place : found.start()])
            place = found.end()
            if found["ticks"]:
                end = self._end_of_code(line, place, len(found["ticks"]))
                self._is_open = end == place
                pieces.append(line[found.start() : end])
                place = end
            else:
                pieces.append("\\<" if found[0] == "<" else found[0])
        return "".join([*parts, *pieces, line[place:]])

    def _end_of_code(self, line: str, start: int, count: int) -> int:
        """Return the place behind code that begins here; the start itself if it is no code for certain."""
        for ticks in () if self._is_open else _BACKTICKS.finditer(line, start):
            if len(ticks[0]) == count:
                is_parted = self._has_table and "|" in line[start : ticks.start()]
                return start if is_parted else ticks.end()
        return start


def _lines_of(text: str) -> Iterator[str]:
    for line in _parted_at("\n", text.replace("\r\n", "\n")):
        yield from _parted_at("\r", line)


def _parted_at(mark: str, text: str) -> Iterator[str]:
    start = 0
    while (end := text.find(mark, start)) >= 0:
        yield text[start:end]
        start = end + 1
    yield text[start:]


def _code_or_tag(line: str, start: int) -> re.Match[str] | None:
    """Return the first beginning of code or HTML, or escape, at or behind a place."""
    while start < len(line):
        begun = _CODE_OR_TAG_BEGINS.search(line, start, start + _STEP_CHARS)
        if begun is not None and (found := _CODE_OR_TAG.match(line, begun.start())):
            return found
        start = start + _STEP_CHARS if begun is None else begun.end()
    return None


def _lowered(line: str) -> str:
    if heading := _HEADING.fullmatch(line):
        level = min(len(heading[2]) + _LEVELS_DOWN, _LEVEL_MAX)
        return f"{heading[1]}{'#' * level}{heading[3]}"
    words = line.lstrip(" ")
    indent = len(line) - len(words)
    return f"{line[:indent]}\\{words}" if indent < _CODE_INDENT and _would_part(words) else line


def _would_part(words: str) -> bool:
    """Tell whether a line would be a rule, make a heading of the line above, or define a link."""
    mark = words[:1]
    if mark == "[":
        return words.startswith("]:", words.find("]"))
    if mark == "=":
        return not words.rstrip(" \t").strip("=")
    is_all = mark in ("-", "*", "_") and not words.strip(f"{mark} \t")
    return is_all and (mark == "-" or words.count(mark) >= _RULE_MARKS_MIN)


def _indent_of(line: str) -> int:
    return len(line[: len(line) - len(line.lstrip(" \t"))].expandtabs(_CODE_INDENT))


def _plain(text: str) -> str:
    """Return the text on one line, with every Markdown mark escaped."""
    return _MARKS.sub(r"\\\1", " ".join(text.split()))


def _code(text: str) -> str:
    fence = "`" * (_longest_run(text) + 1)
    room = " " if fence != "`" else ""
    return f"{fence}{room}{' '.join(text.split())}{room}{fence}"


def _fenced(language: str, text: str) -> str:
    fence = "`" * max(3, _longest_run(text) + 1)
    lines = "\n".join(_lines_of(text))
    return f"{fence}{language}\n{lines}\n{fence}\n\n"


def _longest_run(text: str) -> int:
    return max((len(run[0]) for run in _BACKTICKS.finditer(text)), default=0)
