"""Read-only commands: `list`, `show`, `search_command`."""

# ruff: noqa: PLR0913 - a command has as many parameters as it has options

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, get_args

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
from chatkeep.cli.styled import Styled
from chatkeep.core.keys import parse_key
from chatkeep.core.standing import ROLES, Role
from chatkeep.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from chatkeep.core.model import Selection
    from chatkeep.core.search.query import Query
    from chatkeep.core.search.search import Search
    from chatkeep.sessions.sessions import Sessions

_AROUND = 5  # messages before and after a hit
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
    entries = meta_entries(meta or ())
    with opened_sessions(workspace) as sessions:
        selection = _active(selection, since, until, sessions.now(), entries)
        page = sessions.list(selection, limit=limit, cursor=cursor, metadata=metadata)
        now = sessions.now()
        if as_json:
            screen.show_json(facts.listed_page(page, metadata=metadata))
        if not page.total:
            absence.tell_no_session(sessions, selection, is_quiet=as_json)
    if as_json or not page.sessions:
        return
    from chatkeep.cli.printing import show_page  # noqa: PLC0415 - only for people

    show_page(page, now)


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
    from chatkeep.core.model import Sort, Unit  # noqa: PLC0415 - not for help, nor for completion
    from chatkeep.core.paging import SEARCH_LIMIT_MAX  # noqa: PLC0415
    from chatkeep.core.search.query import parse_query  # noqa: PLC0415
    from chatkeep.core.search.search import Search  # noqa: PLC0415

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
        _show_found(sessions, wanted, as_json=as_json)


def _selection(
    prefix: str,
    channel: str | None,
    tags: Sequence[str] | None,
    person: str | None,
    *,
    pinned: bool | None,
    archived: bool | None,
) -> Selection:
    from chatkeep.core.model import Selection  # noqa: PLC0415 - not for help, nor for completion

    chosen = tuple(tags or ())
    return Selection(prefixes=(prefix,), channel=channel, tags=chosen, person=person, archived=archived, pinned=pinned)


def _active(
    selection: Selection, since: str, until: str, now: datetime, entries: tuple[tuple[str, str], ...]
) -> Selection:
    """Return a selection with bounds of time, and with entries of the metadata."""
    from msgspec.structs import replace  # noqa: PLC0415 - not for help, nor for completion

    after = moment("--since", since, now) if since else None
    before = moment("--until", until, now) if until else None
    return replace(selection, updated_after=after, updated_before=before, metadata=entries)


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
        from chatkeep.core.unknown import written  # noqa: PLC0415 - only for programs

        detail = facts.detailed(summary, sessions.now())
        screen.show_json({"session": detail, "messages": written(window.messages), "has_more": window.has_more})
        return
    from chatkeep.cli.printing import show_head, show_messages  # noqa: PLC0415 - only for people

    show_head(summary, sessions.now())
    show_messages(window.messages, marked, query, plain=plain)
    if window.has_more:
        screen.say(Styled(f"Earlier messages: --before {window.messages[0].seq}", "dim"))


def _show_found(sessions: Sessions, wanted: Search, *, as_json: bool) -> None:
    hits = sessions.search(wanted)
    now = sessions.now()
    if as_json:
        screen.show_json(facts.search_facts(hits))
    if not hits.hits:
        absence.tell_no_hit(sessions, wanted, hits.elsewhere, is_quiet=as_json)
    elif not as_json:
        from chatkeep.cli.printing import show_hits  # noqa: PLC0415 - only for people

        show_hits(hits, now)


def _show_around(sessions: Sessions, place: str, query: Query, *, as_json: bool) -> None:
    key, _, seq = place.rpartition("#")
    if not key or not (seq.isascii() and seq.isdigit()) or len(seq) > len("9007199254740992"):
        raise InvalidError("--open", "must be KEY#SEQ, as the search prints it")
    last = int(seq) + _AROUND + 1
    _show(sessions, parse_key(key), 2 * _AROUND + 1, last, as_json=as_json, marked=int(seq), query=query)


def _roles(role: str) -> tuple[Role, ...] | None:
    if not role:
        from chatkeep.core.search.search import DEFAULT_ROLES  # noqa: PLC0415 - not for help, nor for completion

        return DEFAULT_ROLES
    if role == "any":
        return None
    return (choice("--role", role, ROLES),)
