"""Sessions as one page for browsers and printers: a file of its own, without scripts and without requests.

Every text is escaped. A policy in the page forbids scripts, forms and all outside places, whatever a text says. Only
pictures inside of messages are shown, and no other picture is fetched. A new session begins on a new sheet of paper.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

from chatkeep.core.history.turns import Image, utterance_of
from chatkeep.core.model import Json, Message, Session
from chatkeep.core.standing import said
from chatkeep.exporters.titling import indented, shown_time, title_in

_ESCAPES: Final = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#39;"))
_STEP_CHARS: Final = 1 << 16  # looked through at once; other threads run between two steps
_OPENING: Final = re.compile(r"^ {0,3}(`{3,}|~{3,})[^\n]*\n", re.MULTILINE)
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; base-uri 'none'"
_STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; line-height: 1.25; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; font-size: .85rem; color: GrayText; }
dd { margin: 0; overflow-wrap: anywhere; }
section { border-top: 1px solid color-mix(in srgb, currentColor 20%, transparent); padding: .5rem 0; }
h2 { font-size: .85rem; margin: .25rem 0; }
h2 time { font-weight: normal; color: GrayText; margin-left: .5rem; }
.user { background: color-mix(in srgb, Highlight 10%, transparent); margin: 0 -1rem; padding: .5rem 1rem; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; margin: 0; }
pre { font: .85rem/1.45 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere;
  background: color-mix(in srgb, currentColor 7%, transparent); padding: .5rem .75rem; margin: .5rem 0; }
details { color: GrayText; } img { max-width: 100%; height: auto; }
@media print {
  body { font-size: 10.5pt; max-width: none; margin: 0; padding: 0; }
  article + article { break-before: page; } h1, h2 { break-after: avoid; } img { break-inside: avoid; }
  .user { background: none; margin: 0; padding: .5rem 0; } pre { background: none; border: 1px solid; }
  details:not([open]) { display: none; }
}
"""


class PageExporter:
    """The format `html`."""

    name: Final = "html"
    media_type: Final = "text/html; charset=utf-8"
    suffix: Final = ".html"
    has_logs: Final = False
    is_binary: Final = False

    def exported(self, sessions: Iterable[Session], *, single: bool) -> Iterator[bytes]:
        """Yield the page, an article for each session."""
        waiting = iter(sessions)
        first = next(waiting, None)
        title = title_in(first) if single and first is not None else "Sessions"
        yield (
            f'<!DOCTYPE html>\n<html>\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
            f'<meta name="viewport" content="width=device-width">\n<meta name="referrer" content="no-referrer">\n'
            f"<title>{_escaped(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        ).encode()
        for session in waiting if first is None else chain((first,), waiting):
            yield from (piece.encode() for piece in _article(session))
        yield b"</body>\n</html>\n"


def _article(session: Session) -> Iterator[str]:
    header = session.header
    messages = said(session.messages)
    facts = {"Key": header.key, "Channel": header.channel, "Begun": shown_time(header.created_at)}
    if messages:
        facts["Latest"] = shown_time(max(message.sent_at for message in messages))
    facts["Messages"] = f"{len(messages)}"
    told = "".join(f"<dt>{name}</dt><dd>{_escaped(value)}</dd>" for name, value in facts.items())
    yield f'<article>\n<h1 dir="auto">{_escaped(title_in(session))}</h1>\n<dl>{told}</dl>\n'
    for message in messages:
        yield from _section(message)
    yield "</article>\n"


def _section(message: Message) -> Iterator[str]:
    name = f" · {_escaped(message.name)}" if message.name else ""
    at = f'<time datetime="{message.sent_at:%Y-%m-%dT%H:%M:%SZ}">{shown_time(message.sent_at)}</time>'
    yield f'<section class="{message.role}">\n<h2>{message.role.capitalize()}{name} {at}</h2>\n'
    if message.reasoning.strip():
        yield f"<details><summary>Thinking</summary>{_text(message.reasoning)}</details>\n"
    if message.text.strip():
        yield f"<pre>{_escaped(message.text)}</pre>\n" if message.role == "tool" else _words(message.text)
    elif message.content and not message.reasoning:
        yield f"<pre>{_escaped(indented(message.content))}</pre>\n"
    yield from _pictures(message)
    for call in message.tool_calls or ():
        yield from _call(call)
    yield "</section>\n"


def _pictures(message: Message) -> Iterator[str]:
    said = utterance_of(message)
    for part in (*said.parts, *(part for result in said.results for part in result.parts)):
        if isinstance(part, Image):
            is_inside = part.url.startswith("data:")
            yield f'<img alt="" src="{_escaped(part.url)}">\n' if is_inside else _text(f"[picture: {part.url}]")


def _call(call: Json) -> Iterator[str]:
    function = call.get("function") if isinstance(call, dict) else None
    if isinstance(function, dict) and isinstance(function.get("name"), str):
        yield f"<p>Calls <code>{_escaped(function['name'])}</code></p>\n"
        call = function.get("arguments")
    yield f"<pre>{_escaped(indented(call))}</pre>\n"


def _words(text: str) -> str:
    """Return a text with its fenced code set apart."""
    pieces: list[str] = []
    place = 0
    while (opening := _line_like(_OPENING, text, place)) is not None:
        closing = _line_like(re.compile(rf"^ {{0,3}}{opening[1]}[`~]*+[ \t]*+$", re.MULTILINE), text, opening.end())
        code = text[opening.end() : len(text) if closing is None else closing.start()]
        pieces += [_text(text[place : opening.start()]), f"<pre><code>{_escaped(code)}</code></pre>\n"]
        place = len(text) if closing is None else closing.end()
    return "".join([*pieces, _text(text[place:])])


def _line_like(pattern: re.Pattern[str], text: str, start: int) -> re.Match[str] | None:
    """Return the first match of a pattern of a line at or behind a place; no step takes long, whatever the text."""
    while start < len(text):
        end = text.rfind("\n", start, start + _STEP_CHARS) + 1
        if end:
            found = pattern.search(text, start, end)
        else:  # a line longer than a step: it matches at its beginning or nowhere
            found = pattern.match(text, start)
            end = text.find("\n", start) + 1 or len(text)
        if found is not None:
            return found
        start = end
    return None


def _text(text: str) -> str:
    stripped = text.strip("\r\n")
    return f'<p class="text" dir="auto">{_escaped(stripped)}</p>\n' if stripped.strip() else ""


def _escaped(text: str) -> str:
    return "".join(_escaped_step(text[start : start + _STEP_CHARS]) for start in range(0, len(text), _STEP_CHARS))


def _escaped_step(text: str) -> str:
    for character, escape in _ESCAPES:
        text = text.replace(character, escape)
    return text
