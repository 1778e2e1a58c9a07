"""The tools: each with its arguments, its scope, and its work on the sessions of a caller."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from chatkeep.core.model import Draft, Hits, Selection, Sort
from chatkeep.core.search.query import QUERY_CHARS_MAX, parse_query
from chatkeep.core.search.search import DEFAULT_ROLES, Search
from chatkeep.core.standing import Role
from chatkeep.mcp import shown
from chatkeep.sessions.sessions import Sessions

ToolScope = Literal["read", "write"]
Lane = Literal["read", "write", "search"]
"""The kinds of work: each has threads of its own."""

GivenKey = Annotated[str, Meta(min_length=1)]
Moment = Annotated[datetime, Meta(tz=True)]
SessionKey = Annotated[str, Meta(min_length=1, description="The session's key, exactly as another tool named it.")]
MaxChars = Annotated[
    int, Meta(ge=shown.CHARS_LEAST, le=shown.CHARS_MOST, description="The longest answer wanted, in characters.")
]
PageCursor = Annotated[str | None, Meta(description="`next_cursor` of the answer before; the rest as before.")]
ListedCount = Annotated[int, Meta(ge=1, le=50, description="How many at most.")]
KeyPrefix = Annotated[str | None, Meta(description="Only sessions whose key begins so.")]
OnlyChannel = Annotated[str | None, Meta(description="Only sessions of this channel.")]
OnlyTag = Annotated[str | None, Meta(description="Only sessions with this tag.")]
OnlyPerson = Annotated[str | None, Meta(description="Only sessions linked to this person.")]
NeighbourCount = Annotated[int, Meta(ge=0, le=50, description="How many messages.")]
WithWork = Annotated[bool, Meta(description="Also thinking, and the calls and results of tools.")]
NOTES: Final = "notes"


class SearchArguments(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The arguments of `search`."""

    query: Annotated[
        str, Meta(min_length=1, max_length=QUERY_CHARS_MAX, description='Words, a question, or a "phrase" in quotes.')
    ]
    session: Annotated[str | None, Meta(description="Search in this session alone: every message counts.")] = None
    prefix: KeyPrefix = None
    channel: OnlyChannel = None
    tag: OnlyTag = None
    person: OnlyPerson = None
    roles: Annotated[Literal["said", "tool", "any"], Meta(description="`tool`: the work of tools; `any`: all.")] = (
        "said"
    )
    since: Annotated[Moment | None, Meta(description="From this time on, in RFC 3339.")] = None
    until: Annotated[Moment | None, Meta(description="Before this time, in RFC 3339.")] = None
    sort: Sort = "relevance"
    limit: ListedCount = 10
    cursor: PageCursor = None
    max_chars: MaxChars = shown.CHARS_USUAL


class AroundArguments(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The arguments of `read_around`."""

    session: SessionKey
    seq: Annotated[int, Meta(ge=1, lt=1 << 53, description="The message's number, as in a hit.")]
    before: NeighbourCount = 4
    after: NeighbourCount = 6
    with_work: WithWork = False
    max_chars: MaxChars = shown.CHARS_USUAL


class ListArguments(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The arguments of `list_sessions`."""

    prefix: KeyPrefix = None
    channel: OnlyChannel = None
    tag: OnlyTag = None
    person: OnlyPerson = None
    archived: Annotated[bool, Meta(description="Archived sessions in place of the others.")] = False
    limit: ListedCount = 20
    cursor: PageCursor = None
    max_chars: MaxChars = shown.CHARS_USUAL


class ReadArguments(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The arguments of `read_session`."""

    session: SessionKey
    start: Annotated[Literal["beginning", "end"], Meta(description="Where to begin, without a cursor.")] = "beginning"
    cursor: PageCursor = None
    with_work: WithWork = False
    max_chars: MaxChars = shown.CHARS_USUAL


class AppendArguments(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The arguments of `append`."""

    session: Annotated[GivenKey | None, Meta(description="The session's key; without one it is made.")] = None
    role: Annotated[Literal["user", "assistant", "system", "tool"], Meta(description="Who said it.")]
    content: Annotated[str, Meta(description="The text, exactly.")]
    id: Annotated[str | None, Meta(description="An id of your own: sent again with it, it is stored once.")] = None
    create: Annotated[bool, Meta(description="Begin the session if there is none.")] = True


class NoteArguments(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The arguments of `save_note`."""

    text: Annotated[str, Meta(min_length=1, description="What to remember; searches find it.")]
    session: Annotated[GivenKey | None, Meta(description="The session of your notes, if not the usual.")] = None


class StoredMessage(Struct, frozen=True, kw_only=True):
    """Where a message is stored; `stored` is false if it was there already."""

    session: str
    seq: int
    id: str
    stored: bool


class McpTool(Struct, frozen=True, kw_only=True):
    """A tool: a caller needs its scope. One that only reads is free to use; none destroys anything."""

    name: str
    title: str
    description: str
    scope: ToolScope
    arguments: type[Struct]
    answer: type[Struct]
    work: Callable[[Sessions, Any], Struct]
    lane: Lane = "read"

    @property
    def only_reads(self) -> bool:
        """Whether it changes nothing."""
        return self.scope == "read"


def _searched(sessions: Sessions, asked: SearchArguments) -> shown.HitList:
    roles: dict[str, tuple[Role, ...] | None] = {"said": DEFAULT_ROLES, "tool": ("tool",), "any": None}
    search = Search(
        query=parse_query(asked.query),
        selection=_selection(asked, archived=None),
        session=asked.session,
        roles=roles[asked.roles],
        since=asked.since,
        until=asked.until,
        sort=asked.sort,
        unit="session" if asked.session is None else "message",
        cursor=asked.cursor,
    )

    def page(limit: int) -> shown.HitList:
        hits = sessions.search(msgspec.structs.replace(search, limit=limit))
        return shown.HitList(
            about=shown.UNTRUSTED,
            mode=hits.mode,
            hits=tuple(map(shown.shown_hit, hits.hits)),
            hint=_hint(hits),
            partial=hits.partial,
            next_cursor=hits.next_cursor,
        )

    return shown.fitted(page, asked.limit, asked.max_chars)


def _hint(hits: Hits) -> str | None:
    """Return where else there would be hits, in words."""
    if hits.hits:
        return None
    if hits.elsewhere is None:
        return "Nothing anywhere. Try fewer or other words."
    roles = [f"{count} with the role {role}" for role, count in hits.elsewhere.roles.items()]
    wide = [f"{hits.elsewhere.unfiltered} without the filters"] if hits.elsewhere.unfiltered else []
    return f"Elsewhere: {', '.join((*roles, *wide))}. Ask with roles=any, or with fewer filters."


def _read_around(sessions: Sessions, asked: AroundArguments) -> shown.SessionPart:
    return _reader(sessions, asked.session, asked.max_chars, with_work=asked.with_work).around(
        asked.seq, asked.before, asked.after
    )


def _listed(sessions: Sessions, asked: ListArguments) -> shown.SessionList:
    selection = _selection(asked, archived=asked.archived)

    def page(limit: int) -> shown.SessionList:
        found = sessions.list(selection, limit=limit, cursor=asked.cursor)
        return shown.SessionList(
            about=shown.UNTRUSTED,
            total=found.total,
            sessions=tuple(map(shown.shown_session, found.sessions)),
            next_cursor=found.next_cursor,
        )

    return shown.fitted(page, asked.limit, asked.max_chars)


def session_part(sessions: Sessions, asked: ReadArguments) -> shown.SessionPart:
    """Return a part of a session.

    Raises:
        InvalidCursorError, SessionNotFoundError, SessionDamagedError: when it cannot be read so.
    """
    reader = _reader(sessions, asked.session, asked.max_chars, with_work=asked.with_work)
    return reader.page(asked.cursor, from_end=asked.start == "end")


def _reader(sessions: Sessions, key: str, max_chars: int, *, with_work: bool) -> shown.PartReader:
    known = sessions.get(key)
    return shown.PartReader(lambda **bounds: sessions.window(key, **bounds), known, max_chars, with_work=with_work)


def _appended(sessions: Sessions, asked: AppendArguments) -> StoredMessage:
    draft = Draft(role=asked.role, content=asked.content, id=asked.id)
    return _stored(sessions, asked.session, draft, create=asked.create)


def _noted(sessions: Sessions, asked: NoteArguments) -> StoredMessage:
    draft = Draft(role="assistant", content=asked.text, metadata={"note": True})
    return _stored(sessions, asked.session or f"{sessions.prefix}{NOTES}", draft, create=True)


def _stored(sessions: Sessions, key: str | None, draft: Draft, *, create: bool) -> StoredMessage:
    done = sessions.append(key, [draft], create=create)
    place = done.receipts[0]
    return StoredMessage(session=done.key, seq=place.seq, id=place.id, stored=done.stored_count > 0)


def _selection(asked: SearchArguments | ListArguments, *, archived: bool | None) -> Selection:
    return Selection(
        prefixes=(asked.prefix,) if asked.prefix else (),
        channel=asked.channel or None,
        tags=(asked.tag,) if asked.tag else (),
        person=asked.person or None,
        archived=archived,
    )


TOOLS: Final[Sequence[McpTool]] = (
    McpTool(
        name="search",
        title="Search sessions",
        description="Find what was said in stored sessions: the best message of each session, or of one session all "
        "that match. Then read_around shows a hit with its neighbours.",
        scope="read",
        arguments=SearchArguments,
        answer=shown.HitList,
        work=_searched,
        lane="search",
    ),
    McpTool(
        name="read_around",
        title="Read around a message",
        description="Read a message, by its session and seq, with the messages before and after it.",
        scope="read",
        arguments=AroundArguments,
        answer=shown.SessionPart,
        work=_read_around,
    ),
    McpTool(
        name="list_sessions",
        title="List sessions",
        description="List sessions, the latest activity first.",
        scope="read",
        arguments=ListArguments,
        answer=shown.SessionList,
        work=_listed,
    ),
    McpTool(
        name="read_session",
        title="Read a session",
        description="Read a session page by page, from its beginning or its end. A cursor of a cut message reads on in "
        "it.",
        scope="read",
        arguments=ReadArguments,
        answer=shown.SessionPart,
        work=session_part,
    ),
    McpTool(
        name="append",
        title="Append a message",
        description="Store a message at the end of a session. What is stored stays.",
        scope="write",
        arguments=AppendArguments,
        answer=StoredMessage,
        work=_appended,
        lane="write",
    ),
    McpTool(
        name="save_note",
        title="Save a note",
        description="Store something worth remembering, so that a later search finds it.",
        scope="write",
        arguments=NoteArguments,
        answer=StoredMessage,
        work=_noted,
        lane="write",
    ),
)
"""All tools."""
