"""Read-only commands: `list`, `show`, `search_command`."""

# ruff: noqa: PLR0913 - a command has as many parameters as it has options

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, get_args

import msgspec
import typer

from chatkeep.cli import absence, completing, facts, moments, screen
from chatkeep.cli.moments import moment
from chatkeep.cli.options import (
    AsJson,
    ChannelOption,
    KeyArgument,
    PersonOption,
    PinnedOption,
    PrefixOption,
    TagsOption,
    Workspace,
    choice,
    meta_entries,
    opened_sessions,
)
from chatkeep.cli.pager import paged
from chatkeep.core.keys import parse_key
from chatkeep.core.model import ROLES, Hit, Hits, Json, Message, Role, Selection, Sort, Summary, Unit
from chatkeep.core.paging import SEARCH_LIMIT_MAX
from chatkeep.core.search.highlighter import highlights
from chatkeep.core.search.query import Query, parse_query
from chatkeep.core.search.search import DEFAULT_ROLES, Search
from chatkeep.core.unknown import written
from chatkeep.errors import InvalidError

if TYPE_CHECKING:
    from rich.text import Text

    from chatkeep.sessions.sessions import Sessions

_AROUND = 5  # messages before and after a hit
_SPARE = ("CHANNEL", "MESSAGES", "UPDATED")  # left out on narrow terminals, in this order
SearchTexts = Annotated[
    list[str] | None,
    typer.Argument(metavar="[TEXT]...", help="Words to find; a phrase in double quotes.", show_default=False),
]
OneSession = Annotated[
    str, typer.Option(help="Only in the session with this key.", autocompletion=completing.key_completions)
]
RoleOption = Annotated[
    str,
    typer.Option(
        help=f"{', '.join(ROLES)} or any; else user and assistant.",
        autocompletion=completing.one_of(*ROLES, "any"),
    ),
]


def list_command(
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", help="How many, 1 to 500.")] = 50,
    cursor: Annotated[str | None, typer.Option(help="Go on where a list ended.", show_default=False)] = None,
    channel: ChannelOption = None,
    prefix: PrefixOption = "",
    tag: TagsOption = None,
    pinned: PinnedOption = None,
    archived: Annotated[bool, typer.Option("--archived", help="Only archived sessions.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Archived sessions too.")] = False,
    since: Annotated[str, typer.Option(help=f"Active from this time on: {moments.HELP}.")] = "",
    until: Annotated[str, typer.Option(help="Active last before this time.")] = "",
    meta: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Only with this in the metadata; repeatable.", show_default=False),
    ] = None,
    person: PersonOption = None,
    metadata: Annotated[bool, typer.Option("--metadata", help="With --json: the metadata, too.")] = False,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """List sessions, the latest activity first."""
    selection = _selection(prefix, channel, tag, person, pinned=pinned, archived=None if everything else archived)
    selection = msgspec.structs.replace(selection, metadata=meta_entries(meta or ()))
    with opened_sessions(workspace) as sessions:
        selection = _active(selection, since, until, sessions.now())
        page = sessions.list(selection, limit=limit, cursor=cursor, metadata=metadata)
        now = sessions.now()
        if as_json:
            screen.show_json(facts.listed_page(page, metadata=metadata))
        if not page.total:
            absence.tell_no_session(sessions, selection, is_quiet=as_json)
    if as_json or not page.sessions:
        return
    rows = [_row(summary, now) for summary in page.sessions]
    screen.show_table(("KEY", "TITLE", "MESSAGES", "CHANNEL", "UPDATED"), rows, numbers=("MESSAGES",), spare=_SPARE)
    if page.next_cursor:
        screen.say(f"{len(rows)} of {page.total:,} sessions; go on with --cursor {page.next_cursor}")


def show(
    key: KeyArgument,
    *,
    last: Annotated[
        int, typer.Option("--last", "--limit", "-n", help="How many of the newest messages, 1 to 500.")
    ] = 50,
    before: Annotated[int | None, typer.Option(help="Only messages before this one.", show_default=False)] = None,
    log: Annotated[bool, typer.Option("--log", help="Every line: events, and what was dropped, too.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="Show answers as they are stored, not as Markdown.")] = False,
    pager: Annotated[bool, typer.Option("--pager/--no-pager", help="Show what is long in $PAGER.")] = True,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Show the newest messages of a session, oldest first."""
    with opened_sessions(workspace) as sessions, paged(wanted=pager and not as_json):
        _show(sessions, parse_key(key), last, before, as_json=as_json, plain=plain, log=log)


def search_command(
    texts: SearchTexts = None,
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", help="How many, 1 to 200.")] = 20,
    channel: ChannelOption = None,
    prefix: PrefixOption = "",
    session: OneSession = "",
    tag: TagsOption = None,
    pinned: PinnedOption = None,
    person: PersonOption = None,
    role: RoleOption = "",
    since: Annotated[str, typer.Option(help=f"From this time on: {moments.HELP}.")] = "",
    until: Annotated[str, typer.Option(help="Before this time: of a day or month, before it begins.")] = "",
    sort: Annotated[str, typer.Option(help="relevance or recent.")] = "relevance",
    unit: Annotated[str, typer.Option(help="session: its best message; message: every one.")] = "session",
    cursor: Annotated[str | None, typer.Option(help="Go on where a search ended.", show_default=False)] = None,
    open_at: Annotated[str, typer.Option("--open", help="Show what was said around a hit, KEY#SEQ.")] = "",
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Find sessions by the text of their messages, and by their names."""
    text = " ".join(texts or ())
    with opened_sessions(workspace) as sessions:
        if open_at:
            _show_around(sessions, open_at, parse_query(text), as_json=as_json)
            return
        if not text.strip():
            raise InvalidError("TEXT", "say what to search for, or which hit to --open")
        if not 1 <= limit <= SEARCH_LIMIT_MAX:
            raise InvalidError("--limit", "must be 1 to 200")
        wanted = Search(
            query=parse_query(text),
            selection=_selection(prefix, channel, tag, person, pinned=pinned, archived=None),
            session=parse_key(session) if session else None,
            roles=_roles(role),
            since=moment("--since", since, sessions.now()) if since else None,
            until=moment("--until", until, sessions.now()) if until else None,
            sort=choice("--sort", sort, get_args(Sort)),
            unit=choice("--unit", unit, get_args(Unit)),
            limit=limit,
            cursor=cursor,
        )
        hits = sessions.search(wanted)
        now = sessions.now()
        if as_json:
            screen.show_json(facts.search_facts(hits))
        if not hits.hits:
            absence.tell_no_hit(sessions, wanted, hits.elsewhere, is_quiet=as_json)
    if not as_json and hits.hits:
        show_hits(hits, now)


def show_head(summary: Summary, now: datetime) -> None:
    """Print a session's title and facts."""
    screen.say(screen.styled(summary.title, "bold"))
    count = screen.counted(summary.message_count, "message")
    screen.say(screen.styled(f"{summary.header.key} · {count} · {screen.ago(summary.updated_at, now)}", "dim"))
    if summary.damage:
        screen.say(screen.styled(f"Damaged, read-only: {summary.damage}. Run `chatkeep doctor`.", "red"))


def show_messages(
    messages: Iterable[Message], marked: int | None = None, query: Query | None = None, *, plain: bool = False
) -> None:
    """Print messages, a blank line before each; mark the message of the seq `marked`, and the words of the query.

    A terminal shows answers as Markdown, unless `plain` is set.
    """
    for message in messages:
        screen.say()
        heading = _heading(message)
        screen.say(screen.styled("\u25b6 ", "bold yellow").append(heading) if message.seq == marked else heading)
        if message.text and query is not None and query.terms:
            screen.say(_marked(message.text, highlights(message.text, query)))
        elif message.text and message.role == "assistant" and not plain:
            screen.say_markdown(message.text)
        elif message.text:
            screen.say(screen.styled(message.text, "dim" if message.role == "tool" else ""))
        if message.drops:
            ranges = ", ".join(f"{first}-{last}" for first, last in message.drops)
            screen.say(screen.styled(f"drops {ranges}", "yellow"))
        for call in message.tool_calls or ():
            screen.say(screen.styled(_call(call), "yellow"))


def show_hits(hits: Hits, now: datetime) -> None:
    """Print the hits of a search."""
    if not hits.hits:
        screen.say("Nothing found.")
        return
    for place, hit in enumerate(hits.hits):
        if place:
            screen.say()
        head = screen.styled(f"{hit.key}#{hit.seq}" if hit.seq else hit.key, "bold")
        told = f"  {screen.safe_text(hit.title, one_line=True)} · {hit.role} · {screen.ago(hit.updated_at, now)}"
        screen.say(head.append(told, "not bold dim"))
        screen.say(_excerpt(hit))
    if hits.next_cursor and len(hits.hits) >= SEARCH_LIMIT_MAX:
        screen.say("There are more: page on with --cursor and the next_cursor of --json.")
    if hits.mode == "any":
        screen.say("Not all of these have all of the words.")
    if hits.partial:
        screen.say("Not all messages could be read: add words or filters to find more.")


def _selection(
    prefix: str,
    channel: str | None,
    tags: Sequence[str] | None,
    person: str | None,
    *,
    pinned: bool | None,
    archived: bool | None,
) -> Selection:
    every = Selection(prefixes=(prefix,), channel=channel, archived=archived, pinned=pinned)
    return msgspec.structs.replace(every, tags=tuple(tags or ()), person=person)


def _active(selection: Selection, since: str, until: str, now: datetime) -> Selection:
    after = moment("--since", since, now) if since else None
    before = moment("--until", until, now) if until else None
    return msgspec.structs.replace(selection, updated_after=after, updated_before=before)


def _row(summary: Summary, now: datetime) -> tuple[str | Text, ...]:
    header = summary.header
    title = screen.styled(summary.title, "red" if summary.damage else "")
    return (header.key, title, f"{summary.message_count:,}", header.channel, screen.ago(summary.updated_at, now))


def _show(
    sessions: Sessions,
    key: str,
    limit: int,
    before: int | None,
    *,
    as_json: bool,
    marked: int | None = None,
    query: Query | None = None,
    plain: bool = False,
    log: bool = False,
) -> None:
    summary = sessions.get(key)
    window = sessions.window(key, limit=limit, before=before, log=log)
    if marked is not None and marked not in [message.seq for message in window.messages]:
        raise InvalidError("--open", f"names no message: {key} has {screen.counted(summary.message_count, 'message')}")
    if as_json:
        detail = facts.detailed(summary, sessions.now())
        screen.show_json({"session": detail, "messages": written(window.messages), "has_more": window.has_more})
        return
    show_head(summary, sessions.now())
    show_messages(window.messages, marked, query, plain=plain)
    if window.has_more:
        screen.say(screen.styled(f"Earlier messages: --before {window.messages[0].seq}", "dim"))


def _show_around(sessions: Sessions, place: str, query: Query, *, as_json: bool) -> None:
    key, _, seq = place.rpartition("#")
    if not key or not (seq.isascii() and seq.isdigit()) or len(seq) > len("9007199254740992"):
        raise InvalidError("--open", "must be KEY#SEQ, as the search prints it")
    last = int(seq) + _AROUND + 1
    _show(sessions, parse_key(key), 2 * _AROUND + 1, last, as_json=as_json, marked=int(seq), query=query)


def _heading(message: Message) -> Text:
    name = f" {screen.safe_text(message.name, one_line=True)}" if message.name else ""
    told = f" · {message.sent_at.astimezone():%Y-%m-%d %H:%M:%S} · #{message.seq}"
    return screen.styled(f"{message.role}{name}", f"bold {screen.role_style(message.role)}").append(
        told, "not bold dim"
    )


def _call(call: Json) -> str:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return f"calls {call}"
    return f"calls {function.get('name')}({function.get('arguments')})"


def _excerpt(hit: Hit) -> Text:
    return screen.styled("  ", "").append(_marked(hit.excerpt, hit.highlights, one_line=True))


def _marked(text: str, places: Iterable[tuple[int, int]], *, one_line: bool = False) -> Text:
    """Return a text with marked hits; each piece is made safe alone, so the marks keep their places."""

    def safe(piece: str) -> str:
        return screen.safe_text(piece).replace("\n", " ") if one_line else screen.safe_text(piece)

    marked = screen.styled("", "")
    end = 0
    for first, last in places:
        marked.append(safe(text[end:first]))
        marked.append(safe(text[first:last]), "bold yellow")
        end = last
    return marked.append(safe(text[end:]))


def _roles(role: str) -> tuple[Role, ...] | None:
    if not role:
        return DEFAULT_ROLES
    if role == "any":
        return None
    return (choice("--role", role, ROLES),)
