"""The parameters shared by routes: their types, bounds and descriptions."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from chatkeep.core.checks import ENTRIES_MAX, TAGS_MAX, check_name
from chatkeep.core.keys import parse_key
from chatkeep.core.model import MetadataMode, Selection, Sort, Unit
from chatkeep.core.paging import LIST_LIMIT_MAX, SEARCH_LIMIT_MAX
from chatkeep.core.search.search import DEFAULT_ROLES
from chatkeep.core.standing import ROLES, Role
from chatkeep.core.stats import PeriodUnit
from chatkeep.core.usage.spending import USAGE_LIMIT_MAX, UsageGroup
from chatkeep.errors import InvalidKeyError
from chatkeep.exporters import EXPORT_FORMATS
from chatkeep.http.gate.binding import Computed, InPath, InQuery
from chatkeep.wire.bodies import KEY_SCHEMA, LABEL_SCHEMA, NAME_SCHEMA, parse_time

_SEQ_MAX: Final = (1 << 53) - 1  # the largest integer exact in JavaScript
_TIME_SCHEMA: Final = {"format": "date-time"}
_CHOICES: Final = {"true": True, "false": False, "all": None}

PathKey = Annotated[str, InPath(description="The key of the session.", schema=KEY_SCHEMA)]
QueryKey = Annotated[str, InQuery(description="The key of the session.", schema=KEY_SCHEMA)]
AppendedKey = Annotated[
    str | None, InQuery(description="The key of the session; without it the server makes a new one.", schema=KEY_SCHEMA)
]
OnlyKey = Annotated[str | None, InQuery(description="Only the session with this key.", schema=KEY_SCHEMA)]
ListLimit = Annotated[int, InQuery(ge=1, le=LIST_LIMIT_MAX, description="Return at most so many.")]
MaybeLimit = Annotated[
    int | None, InQuery(ge=1, le=LIST_LIMIT_MAX, description="Return at most so many; without it, all of them.")
]
ToTrash = Annotated[
    bool | None,
    InQuery(alias="trash", description="Whether the session can come back; else the setting `trash_days` says."),
]
WindowLimit = Annotated[
    int | None,
    InQuery(
        ge=1,
        le=LIST_LIMIT_MAX,
        description="Return at most so many messages; without it 50, or 500 with `max_tokens`.",
    ),
]
SearchLimit = Annotated[int, InQuery(ge=1, le=SEARCH_LIMIT_MAX, description="Return at most so many hits.")]
SearchOrder = Annotated[Sort, InQuery(description="The best hits first, or the newest.")]
SearchUnit = Annotated[Unit, InQuery(description="The best message of each session, or every message on its own.")]
Cursor = Annotated[
    str | None, InQuery(description="`next_cursor` of the page before, to continue there with the same parameters.")
]
Channel = Annotated[str | None, InQuery(min_length=1, description="Only sessions of this channel.")]
NewChannel = Annotated[
    str | None,
    InQuery(
        description="The channel of a new session; without it the part of the key before its first colon.",
        schema=LABEL_SCHEMA,
    ),
]
Prefix = Annotated[str | None, InQuery(description="Only sessions with keys that begin with this text.")]
PersonName = Annotated[str, InQuery(description="The name of the person.", schema=NAME_SCHEMA)]
OfPerson = Annotated[
    str | None,
    InQuery(alias="person", description="Only sessions linked to this person.", schema=NAME_SCHEMA),
]
Archived = Annotated[
    Literal["true", "false", "all"],
    InQuery(description="`true`: only archived sessions. `false`: only sessions not archived. `all`: both."),
]
Pinned = Annotated[
    Literal["true", "false", "all"],
    InQuery(description="`true`: only pinned sessions. `false`: only sessions not pinned. `all`: both."),
]
Tags = Annotated[
    tuple[str, ...],
    InQuery(
        alias="tag",
        max_length=TAGS_MAX,
        description="Only sessions with this tag. Repeat it for sessions with all of several tags.",
    ),
]
WithMetadata = Annotated[bool, InQuery(description="Return the metadata of each session, too.")]
WithReasoning = Annotated[bool, InQuery(description="Return the reasoning of models in answers, too.")]
Parent = Annotated[
    str | None,
    InQuery(description="Only sessions with this key as `parent` in their metadata, such as forks.", schema=KEY_SCHEMA),
]
Entries = Annotated[
    tuple[tuple[str, str], ...],
    InQuery(
        alias="meta.*",
        max_length=ENTRIES_MAX,
        description="Only sessions with this value under this name in their metadata: `meta.user=alice`.",
    ),
]
MetadataChange = Annotated[
    MetadataMode | None,
    InQuery(description="`merge`: change the given names, and remove those with null. `replace`: put these in place."),
]
Log = Annotated[bool, InQuery(description="Return every line of the log: events and dropped messages, too.")]
Inline = Annotated[bool, InQuery(description="Return attachments in their messages, in place of their names.")]
RestoreDeleted = Annotated[bool, InQuery(description="Import sessions that were deleted here, too.")]
Shape = Annotated[
    Literal["openai", "responses", "anthropic", "ui"] | None,
    InQuery(
        description="Return the messages as this protocol has them, ready for its next request. "
        "Messages that came in the protocol return as they came."
    ),
]
MessageId = Annotated[str | None, InQuery(description="The message with this id.", schema=NAME_SCHEMA)]
MarkId = Annotated[
    str | None,
    InQuery(
        description="Your own id for the line that drops the others: a repeated request changes nothing.",
        schema=NAME_SCHEMA,
    ),
]
Before = Annotated[int | None, InQuery(ge=0, le=_SEQ_MAX, description="Only messages before this seq.")]
After = Annotated[int | None, InQuery(ge=0, le=_SEQ_MAX, description="Only messages after this seq, oldest first.")]
Create = Annotated[bool, InQuery(description="Create the session if there is none; with `false` the answer is 404.")]
CountCondition = Annotated[
    int | None,
    InQuery(
        ge=0,
        le=_SEQ_MAX,
        description="Change nothing and answer 409 unless the log of the session has exactly so many lines.",
    ),
]
TokenBudget = Annotated[
    int | None,
    InQuery(ge=0, le=_SEQ_MAX, description="Return only as many of the newest messages as fit into so many tokens."),
]
Since = Annotated[str | None, InQuery(description="Only messages from this time on (RFC 3339).", schema=_TIME_SCHEMA)]
Until = Annotated[str | None, InQuery(description="Only messages before this time (RFC 3339).", schema=_TIME_SCHEMA)]
UpdatedAfter = Annotated[
    str | None,
    InQuery(description="Only sessions with activity at this time or later (RFC 3339).", schema=_TIME_SCHEMA),
]
UpdatedBefore = Annotated[
    str | None,
    InQuery(description="Only sessions with the last activity before this time (RFC 3339).", schema=_TIME_SCHEMA),
]
FirstDay = Annotated[
    str | None, InQuery(description="The first day that counts, in UTC: 2024-01-15.", schema={"format": "date"})
]
LastDay = Annotated[
    str | None, InQuery(description="The last day that counts, in UTC: 2024-01-15.", schema={"format": "date"})
]
StatsUnit = Annotated[PeriodUnit, InQuery(description="The length of a period.")]
UsageBy = Annotated[UsageGroup, InQuery(description="A row for each day, model, channel, session or tag.")]
UsageLimit = Annotated[int, InQuery(ge=1, le=USAGE_LIMIT_MAX, description="Return at most so many rows.")]
SearchRole = Annotated[
    Role | Literal["any"] | None,
    InQuery(description="Only messages of this role, or of any; without it those of user and assistant."),
]
ExportFormat = Annotated[str, InQuery(description="The format of the file.", schema={"enum": [*EXPORT_FORMATS]})]
ImportFormat = Annotated[
    Literal["json", "jsonl"], InQuery(description="`json`: one session, or a list. `jsonl`: a session in each line.")
]


def _entries(entries: Entries = (), parent: Parent = None) -> tuple[tuple[str, str], ...]:
    return entries if parent is None else (*entries, ("parent", key("parent", parent)))


ChosenEntries = Annotated[tuple[tuple[str, str], ...], Computed(_entries)]


def _filtered(  # noqa: PLR0913 - one parameter per filter
    channel: Channel = None,
    prefix: Prefix = None,
    tags: Tags = (),
    *,
    pinned: Pinned = "all",
    updated_after: UpdatedAfter = None,
    updated_before: UpdatedBefore = None,
    entries: ChosenEntries = (),
    person: OfPerson = None,
) -> Selection:
    check_name("person", person)
    return Selection(
        prefixes=(prefix,) if prefix else (),
        channel=channel,
        archived=None,
        pinned=_CHOICES[pinned],
        tags=tags,
        metadata=entries,
        person=person,
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
