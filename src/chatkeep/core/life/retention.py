"""Retention rules: the sessions to archive, to move to the trash or to delete, and the reason for each.

A rule has a filter and one bound. It looks at the sessions that match its filter, by latest activity, newest first,
ties by key. Those beyond the bound *go*: without activity for too long, behind too many newer ones, or in too much
room together with all newer ones. No rule touches a pinned, a held or a damaged session, or counts it. The rules act
in order: a session goes by the first rule that takes it, and the later rules do not count it. An archived session
is not archived again, so a rule that archives looks only at the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from chatkeep.core.keys import composed
from chatkeep.errors import InvalidError

if TYPE_CHECKING:
    from chatkeep.core.model import Selection, Summary

RetentionAction = Literal["archive", "trash", "delete"]

KEPT_MAX: Final = (1 << 53) - 1  # sessions or bytes; the largest integer exact in JavaScript
_UNITS_S: Final = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_BOUNDS: Final = ("older_than", "keep_newest", "max_bytes")
_Name = Annotated[str, Meta(min_length=1)]
_Count = Annotated[int, Meta(ge=1, le=KEPT_MAX)]
_MEANINGS: Final = {
    "action": "must be archive, trash or delete",
    "channel": "must be the name of a channel",
    "prefix": "must be the beginning of a key",
    "tag": "must be a tag",
    "archived": "must be true or false",
    "older_than": "must be a time such as 90d, 12h, 5m or 90s",
    "keep_newest": "must be a number of sessions from 1",
    "max_bytes": "must be a number of bytes from 1",
}


class RetentionRule(Struct, frozen=True, kw_only=True):
    """A rule: its filter, one bound, and what happens to the sessions beyond."""

    action: RetentionAction
    channel: _Name | None = None
    prefix: _Name | None = None
    tag: _Name | None = None
    archived: bool | None = None
    older_than: Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,8}[dhms]\Z")] | None = None
    keep_newest: _Count | None = None
    max_bytes: _Count | None = None

    def oldest_kept(self, now: datetime) -> datetime | None:
        """Return the time of the oldest activity that keeps a session; None if the rule does not bound the age."""
        if self.older_than is None:
            return None
        try:
            return now - timedelta(seconds=int(self.older_than[:-1]) * _UNITS_S[self.older_than[-1]])
        except OverflowError:
            return datetime.min.replace(tzinfo=UTC)

    def selection(self, now: datetime) -> Selection:
        """Return a choice of sessions with all those that can go by this rule."""
        from chatkeep.core.model import Selection  # noqa: PLC0415 - settings name rules, and no command needs them all

        return Selection(
            prefixes=(self.prefix or "",),
            channel=self.channel,
            archived=False if self.action == "archive" else self.archived,
            tags=() if self.tag is None else (self.tag,),
            updated_before=self.oldest_kept(now),
        ).composed()

    def matches(self, one: Retained) -> bool:
        """Tell whether the filter of the rule has a session."""
        header = one.known.header
        return (
            not one.is_spared
            and not (header.archived and self.action == "archive")
            and (self.channel is None or composed(self.channel) == header.channel)
            and (self.prefix is None or header.key.startswith(composed(self.prefix)))
            and (self.tag is None or composed(self.tag) in header.tags)
            and self.archived in (None, header.archived)
        )


class Retained(Struct, frozen=True, kw_only=True):
    """A session that rules look at, with its bytes in the store."""

    known: Summary
    size_bytes: int = 0

    @property
    def is_spared(self) -> bool:
        """Whether no rule touches the session."""
        header = self.known.header
        return header.pinned or header.held or self.known.damage is not None


class Departure(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A session that goes: by which rule, counted from 1, and why.

    The reason is its age, or its rank among the sessions of the rule, or the room of it and all newer ones.
    """

    rule: int
    action: RetentionAction
    key: str
    updated_at: datetime
    age_seconds: int | None = None
    rank: int | None = None
    total_bytes: int | None = None


def departures(sessions: Iterable[Retained], rules: Sequence[RetentionRule], now: datetime) -> tuple[Departure, ...]:
    """Return the sessions that go now, rule by rule, each once."""
    by_key = sorted(sessions, key=lambda one: one.known.header.key)
    left = sorted(by_key, key=lambda one: one.known.updated_at, reverse=True)
    gone: list[Departure] = []
    for number, rule in enumerate(rules, start=1):
        found = _beyond(rule, number, [one for one in left if rule.matches(one)], now)
        keys = {one.key for one in found}
        left = [one for one in left if one.known.header.key not in keys]
        gone += found
    return tuple(gone)


def _beyond(rule: RetentionRule, number: int, sessions: Sequence[Retained], now: datetime) -> list[Departure]:
    """Return the sessions beyond the bound of a rule; they come newest first."""
    totals = accumulate(one.size_bytes for one in sessions)
    oldest = rule.oldest_kept(now)
    found: list[Departure] = []
    for rank, (one, total) in enumerate(zip(sessions, totals, strict=True), start=1):
        key, used_at = one.known.header.key, one.known.updated_at
        going = Departure(rule=number, action=rule.action, key=key, updated_at=used_at)
        if oldest is not None and used_at < oldest:
            age = int((now - used_at).total_seconds())
            found.append(msgspec.structs.replace(going, age_seconds=age))
        elif rule.keep_newest is not None and rank > rule.keep_newest:
            found.append(msgspec.structs.replace(going, rank=rank))
        elif rule.max_bytes is not None and total > rule.max_bytes:
            found.append(msgspec.structs.replace(going, total_bytes=total))
    return found


def retention_rules(tables: object, told_by: str) -> tuple[RetentionRule, ...]:
    """Return the rules of tables; `told_by` stands before the number of a bad one.

    Raises:
        InvalidError: naming the rule and its field, with the values allowed.
    """
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise InvalidError(told_by, "must be tables: [[retention]], and below it the fields of a rule")
    return tuple(_rule(table, f"{told_by} {number}") for number, table in enumerate(tables, start=1))


def _rule(table: Mapping[str, object], told_by: str) -> RetentionRule:
    types = {field.name: field.type for field in msgspec.structs.fields(RetentionRule)}
    for name, value in table.items():
        if name not in _MEANINGS:
            raise InvalidError(f"{told_by}: {name}", f"is not a field of a rule; there are {', '.join(_MEANINGS)}")
        try:
            msgspec.convert(value, types[name])
        except msgspec.ValidationError as error:
            raise InvalidError(f"{told_by}: {name}", _MEANINGS[name]) from error
    if "action" not in table:
        raise InvalidError(f"{told_by}: action", f"is missing: it {_MEANINGS['action']}")
    if sum(name in table for name in _BOUNDS) != 1:
        raise InvalidError(told_by, f"must have exactly one of {', '.join(_BOUNDS)}")
    if table["action"] == "archive" and table.get("archived"):
        raise InvalidError(f"{told_by}: archived", "must be false or left out, as the action is archive")
    return msgspec.convert(table, RetentionRule)
