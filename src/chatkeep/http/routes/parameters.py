"""The parameters shared by routes: their types, bounds and descriptions."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from chatkeep.core.checks import ENTRIES_MAX, TAGS_MAX
from chatkeep.core.keys import parse_key
from chatkeep.core.model import ROLES, MetadataMode, Role, Selection
from chatkeep.core.paging import LIST_LIMIT_MAX, SEARCH_LIMIT_MAX
from chatkeep.core.search.search import DEFAULT_ROLES
from chatkeep.core.usage.spending import USAGE_LIMIT_MAX
from chatkeep.errors import InvalidKeyError
from chatkeep.exporters import EXPORT_FORMATS
from chatkeep.http.gate.binding import Computed, InPath, InQuery
from chatkeep.wire.bodies import KEY_SCHEMA, LABEL_SCHEMA, NAME_SCHEMA, parse_time

_SEQ_MAX: Final = (1 << 53) - 1  # the largest integer exact in JavaScript
_CHOICES: Final = {"true": True, "false": False, "all": None}

PathKey = Annotated[str, InPath(description="The session's key, exactly.", schema=KEY_SCHEMA)]
QueryKey = Annotated[str, InQuery(description="The session's key, exactly.", schema=KEY_SCHEMA)]
MaybeKey = Annotated[str | None, InQuery(description="The session's key, exactly.", schema=KEY_SCHEMA)]
ListLimit = Annotated[int, InQuery(ge=1, le=LIST_LIMIT_MAX, description="How many at most.")]
MaybeLimit = Annotated[int | None, InQuery(ge=1, le=LIST_LIMIT_MAX, description="How many at most; all without it.")]
WindowLimit = Annotated[
    int | None,
    InQuery(ge=1, le=LIST_LIMIT_MAX, description="How many at most; without it 50, beside `max_tokens` 500."),
]
SearchLimit = Annotated[int, InQuery(ge=1, le=SEARCH_LIMIT_MAX, description="How many at most.")]
Cursor = Annotated[str | None, InQuery(description="`next_cursor` of the page before.")]
Channel = Annotated[str | None, InQuery(min_length=1, description="Only sessions of this channel.")]
NewChannel = Annotated[str | None, InQuery(description="The channel of a new session.", schema=LABEL_SCHEMA)]
Prefix = Annotated[str | None, InQuery(description="Only sessions whose key begins so.")]
Archived = Annotated[Literal["true", "false", "all"], InQuery(description="Archived sessions: only, none, or too.")]
Pinned = Annotated[Literal["true", "false", "all"], InQuery(description="Pinned sessions: only, none, or too.")]
Tags = Annotated[
    tuple[str, ...],
    InQuery(alias="tag", max_length=TAGS_MAX, description="Only sessions with this tag; repeated, with all."),
]
WithMetadata = Annotated[bool, InQuery(description="The metadata of each session, too.")]
Parent = Annotated[
    str | None, InQuery(description="Only sessions with this session as `parent` in their metadata.", schema=KEY_SCHEMA)
]
Entries = Annotated[
    tuple[tuple[str, str], ...],
    InQuery(
        alias="meta.*",
        max_length=ENTRIES_MAX,
        description="Only sessions with this value under that name of their metadata: `meta.user=alice`.",
    ),
]
MetadataChange = Annotated[
    MetadataMode | None, InQuery(description="Whether metadata are a merge patch, or replace all.")
]
Log = Annotated[bool, InQuery(description="Every line of the log: events, and what was dropped, too.")]
RestoreDeleted = Annotated[bool, InQuery(description="Bring back sessions that were deleted here.")]
Shape = Annotated[
    Literal["openai", "responses", "anthropic", "ui"] | None,
    InQuery(description="As that protocol has a history: valid for it, and as it came where it came in it."),
]
MessageId = Annotated[str | None, InQuery(description="The message with this id.", schema=NAME_SCHEMA)]
MarkId = Annotated[
    str | None, InQuery(description="An id of your own for the line that drops others.", schema=NAME_SCHEMA)
]
Seq = Annotated[int | None, InQuery(ge=0, le=_SEQ_MAX, description="A message's seq; itself is left out.")]
CountParameter = Annotated[int | None, InQuery(ge=0, le=_SEQ_MAX)]
Time = Annotated[str | None, InQuery(description="RFC 3339.", schema={"format": "date-time"})]
Day = Annotated[str | None, InQuery(description="A day, as 2024-01-15.", schema={"format": "date"})]
LastDay = Annotated[str | None, InQuery(description="The last day, as 2024-01-15.", schema={"format": "date"})]
UsageLimit = Annotated[int, InQuery(ge=1, le=USAGE_LIMIT_MAX, description="How many rows at most.")]
SearchRole = Annotated[Role | Literal["any"] | None, InQuery(description="Only messages of this role.")]
ExportFormat = Annotated[str, InQuery(description="The format of the file.", schema={"enum": [*EXPORT_FORMATS]})]
ImportFormat = Literal["json", "jsonl"]


def _entries(entries: Entries = (), parent: Parent = None) -> tuple[tuple[str, str], ...]:
    return entries if parent is None else (*entries, ("parent", key("parent", parent)))


ChosenEntries = Annotated[tuple[tuple[str, str], ...], Computed(_entries)]


def _filtered(
    channel: Channel = None,
    prefix: Prefix = None,
    tags: Tags = (),
    pinned: Pinned = "all",
    updated_after: Time = None,
    updated_before: Time = None,
    entries: ChosenEntries = (),
) -> Selection:
    return Selection(
        prefixes=(prefix,) if prefix else (),
        channel=channel,
        archived=None,
        pinned=_CHOICES[pinned],
        tags=tags,
        metadata=entries,
        updated_after=None if updated_after is None else parse_time("updated_after", updated_after),
        updated_before=None if updated_before is None else parse_time("updated_before", updated_before),
    )


Filtered = Annotated[Selection, Computed(_filtered)]


def _listed(filtered: Filtered, archived: Archived = "false") -> Selection:
    return msgspec.structs.replace(filtered, archived=_CHOICES[archived])


def _searched(filtered: Filtered, archived: Archived = "all") -> Selection:
    return msgspec.structs.replace(filtered, archived=_CHOICES[archived])


Selected = Annotated[Selection, Computed(_listed)]
Searched = Annotated[Selection, Computed(_searched)]


def key(name: str, text: str) -> str:
    """Return the key in the text of a parameter.

    Raises:
        InvalidKeyError: naming the parameter, when the text is no key.
    """
    try:
        return parse_key(text)
    except InvalidKeyError as error:
        raise InvalidKeyError(error.reason, name) from error


def roles(role: Role | Literal["any"] | None) -> tuple[Role, ...] | None:
    """Return the roles for a search; None means all roles, and no parameter means the default roles."""
    if role == "any":
        return None
    return DEFAULT_ROLES if role is None else tuple(known for known in ROLES if known == role)
