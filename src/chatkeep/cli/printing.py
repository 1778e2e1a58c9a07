"""Sessions, messages and hits as commands print them for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from chatkeep.cli import screen
from chatkeep.cli.styled import Styled
from chatkeep.core.paging import SEARCH_LIMIT_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from chatkeep.core.model import Hit, Hits, Json, Message, Page, Summary
    from chatkeep.core.search.query import Query

_COLUMNS: Final = ("KEY", "TITLE", "MESSAGES", "CHANNEL", "UPDATED")
_SPARE: Final = ("CHANNEL", "MESSAGES", "UPDATED")  # left out on narrow terminals, in this order


def show_page(page: Page, now: datetime) -> None:
    """Print a page of a list of sessions, and how to go on."""
    rows = [_row(summary, now) for summary in page.sessions]
    screen.show_table(_COLUMNS, rows, numbers=("MESSAGES",), spare=_SPARE)
    if page.next_cursor:
        screen.say(f"{len(rows)} of {page.total:,} sessions; go on with --cursor {page.next_cursor}")


def show_head(summary: Summary, now: datetime) -> None:
    """Print a session's title and facts."""
    screen.say(Styled(summary.title, "bold"))
    count = screen.counted(summary.message_count, "message")
    screen.say(Styled(f"{summary.header.key} · {count} · {screen.ago(summary.updated_at, now)}", "dim"))
    if summary.damage:
        screen.say(Styled(f"Damaged, read-only: {summary.damage}. Run `chatkeep doctor`.", "red"))


def show_messages(
    messages: Iterable[Message], marked: int | None = None, query: Query | None = None, *, plain: bool = False
) -> None:
    """Print messages, a blank line before each; mark the message of the seq `marked`, and the words of the query.

    A terminal shows answers as Markdown, unless `plain` is set.
    """
    for message in messages:
        screen.say()
        heading = _heading(message)
        screen.say(Styled("\u25b6 ", "bold yellow").append(heading) if message.seq == marked else heading)
        if message.text and query is not None and query.terms:
            from chatkeep.core.search.highlighter import highlights  # noqa: PLC0415 - only for hits

            screen.say(_marked(message.text, highlights(message.text, query)))
        elif message.text and message.role == "assistant" and not plain:
            screen.say_markdown(message.text)
        elif message.text:
            screen.say(Styled(message.text, "dim" if message.role == "tool" else ""))
        if message.drops:
            ranges = ", ".join(f"{first}-{last}" for first, last in message.drops)
            screen.say(Styled(f"drops {ranges}", "yellow"))
        for call in message.tool_calls or ():
            screen.say(Styled(_call(call), "yellow"))


def show_hits(hits: Hits, now: datetime) -> None:
    """Print the hits of a search."""
    if not hits.hits:
        screen.say("Nothing found.")
        return
    for place, hit in enumerate(hits.hits):
        if place:
            screen.say()
        head = Styled(f"{hit.key}#{hit.seq}" if hit.seq else hit.key, "bold")
        told = f"  {screen.safe_text(hit.title, one_line=True)} · {hit.role} · {screen.ago(hit.updated_at, now)}"
        screen.say(head.append(told, "dim"))
        screen.say(_excerpt(hit))
    if hits.next_cursor and len(hits.hits) >= SEARCH_LIMIT_MAX:
        screen.say("There are more: page on with --cursor and the next_cursor of --json.")
    if hits.mode == "any":
        screen.say("Not all of these have all of the words.")
    if hits.partial:
        screen.say("Not all messages could be read: add words or filters to find more.")


def _row(summary: Summary, now: datetime) -> tuple[str | Styled, ...]:
    header = summary.header
    title = Styled(summary.title, "red" if summary.damage else "")
    return (header.key, title, f"{summary.message_count:,}", header.channel, screen.ago(summary.updated_at, now))


def _heading(message: Message) -> Styled:
    name = f" {screen.safe_text(message.name, one_line=True)}" if message.name else ""
    told = f" · {message.sent_at.astimezone():%Y-%m-%d %H:%M:%S} · #{message.seq}"
    return Styled(f"{message.role}{name}", f"bold {screen.role_style(message.role)}").append(told, "dim")


def _call(call: Json) -> str:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return f"calls {call}"
    return f"calls {function.get('name')}({function.get('arguments')})"


def _excerpt(hit: Hit) -> Styled:
    return Styled("  ").append(_marked(hit.excerpt, hit.highlights, one_line=True))


def _marked(text: str, places: Iterable[tuple[int, int]], *, one_line: bool = False) -> Styled:
    """Return a text with marked hits; each piece is made safe alone, so the marks keep their places."""

    def safe(piece: str) -> str:
        return screen.safe_text(piece).replace("\n", " ") if one_line else screen.safe_text(piece)

    marked = Styled("")
    end = 0
    for first, last in places:
        marked.append(safe(text[end:first]))
        marked.append(safe(text[first:last]), "bold yellow")
        end = last
    return marked.append(safe(text[end:]))
