"""A session as a transcript in Markdown, for people.

Messages stand in their own words under headings, so their lists, tables and code are read as such. Content cannot pose
as another part of the transcript. A fence left open is closed. Outside of code, headings move two levels down, lines
that would make a heading or a rule of the text above are escaped, and so is the beginning of HTML. Events and a model's
thinking are left out. Calls and results stand in fences that no content can close.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from chatkeep.core.model import Json, Message, Session
from chatkeep.core.standing import said
from chatkeep.exporters.titling import indented, shown_time, title_in

_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_MARKS: Final = re.compile(r"([\\`*_{}\[\]<>#&!|~])")
_BACKTICKS: Final = re.compile(r"`+")
_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_HEADING: Final = re.compile(r"( {0,3})(#{1,6})(?=[ \t]|$)(.*)")
_RULE: Final = re.compile(r" {0,3}(?==+[ \t]*$|(?:-[ \t]*)+$|(?:\*[ \t]*){3,}$|(?:_[ \t]*){3,}$|\[[^\]]*\]:)")
_CODE_OR_TAG: Final = re.compile(r"\\.|(?P<ticks>`+)|<(?=[A-Za-z/!?])", re.DOTALL)
_LINES_AT_ONCE: Final = 1000
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
    told: list[str] = []
    run: list[str] = []
    fence = ""
    for line in _lines_of(text):
        found = _FENCE.fullmatch(line)
        mark = found[1] if found else ""
        if fence:
            told.append(line)
            is_end = bool(mark) and mark[0] == fence[0] and len(mark) >= len(fence) and not found[2].strip()  # type: ignore[index]
            fence = "" if is_end else fence
        elif mark and not (mark[0] == "`" and "`" in found[2]):  # type: ignore[index]
            told += [*_spoken(run), line]
            run, fence = [], mark
        else:
            run.append(line)
        if len(run) + len(told) >= _LINES_AT_ONCE:
            yield "".join(f"{one}\n" for one in (*told, *_spoken(run)))
            told, run = [], []
    told += [*_spoken(run), *([fence] if fence else ())]
    yield "\n".join(told).rstrip("\n") + "\n\n"


def _lines_of(text: str) -> Iterator[str]:
    start = 0
    for found in _LINE_END.finditer(text):
        yield text[start : found.start()]
        start = found.end()
    yield text[start:]


def _spoken(lines: Sequence[str]) -> list[str]:
    """Return lines outside of fenced code: lower headings, escaped rules and tags."""
    return _without_tags("\n".join(map(_lowered, lines))).split("\n") if lines else []


def _lowered(line: str) -> str:
    if heading := _HEADING.fullmatch(line):
        level = min(len(heading[2]) + _LEVELS_DOWN, _LEVEL_MAX)
        return f"{heading[1]}{'#' * level}{heading[3]}"
    if rule := _RULE.match(line):
        return f"{rule[0]}\\{line[rule.end() :]}"
    return line


def _without_tags(text: str) -> str:
    """Return a text with the beginnings of HTML escaped, outside of code between backticks."""
    pieces: list[str] = []
    place = 0
    while found := _CODE_OR_TAG.search(text, place):
        pieces.append(text[place : found.start()])
        place = found.end()
        if found["ticks"]:
            place = _end_of_code(text, found.end(), len(found["ticks"]))
            pieces.append(text[found.start() : place])
        else:
            pieces.append("\\<" if found[0] == "<" else found[0])
    return "".join([*pieces, text[place:]])


def _end_of_code(text: str, start: int, count: int) -> int:
    """Return the place behind code that begins here; the start itself if its paragraph does not end it."""
    paragraph_end = text.find("\n\n", start)
    for ticks in _BACKTICKS.finditer(text, start, len(text) if paragraph_end < 0 else paragraph_end):
        if len(ticks[0]) == count:
            return ticks.end()
    return start


def _plain(text: str) -> str:
    """Return the text on one line, with every Markdown mark escaped."""
    return _MARKS.sub(r"\\\1", " ".join(text.split()))


def _code(text: str) -> str:
    fence = "`" * (_longest_run(text) + 1)
    room = " " if fence != "`" else ""
    return f"{fence}{room}{' '.join(text.split())}{room}{fence}"


def _fenced(language: str, text: str) -> str:
    fence = "`" * max(3, _longest_run(text) + 1)
    lines = "\n".join(_LINE_END.split(text))
    return f"{fence}{language}\n{lines}\n{fence}\n\n"


def _longest_run(text: str) -> int:
    return max(map(len, _BACKTICKS.findall(text)), default=0)
