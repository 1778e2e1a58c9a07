"""What answers of models cost: their tokens by day, model, channel, session and tag, and the price of these.

An answer counts once: where it was given. A session that begins with copies of another one (a fork, or an imported
branch) counts only its own answers. What was taken back was paid for: dropped answers count, until they are erased.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Final, Literal, Protocol

import msgspec
from msgspec import Struct

from chatkeep.core.bounds import MODEL_CHARS_MAX
from chatkeep.core.model import Header, Json, Message, Selection, Summary
from chatkeep.core.usage.token_counts import TOKENS, TokenCounts, token_counts

UsageGroup = Literal["day", "model", "channel", "session", "tag"]

USAGE_LIMIT_DEFAULT: Final = 100  # rows
USAGE_LIMIT_MAX: Final = 1000  # rows
_COST_MAX: Final = 1e9  # US dollars of one answer
_FORKED_FROM: Final = "forked_from"
_NO_TOKENS: Final = TokenCounts(input=0, output=0)


class ModelCall(Struct, frozen=True, kw_only=True):
    """An answer of a model: when, by which model, its tokens, and its cost in US dollars as the server told it."""

    seq: int
    at: datetime
    model: str
    tokens: TokenCounts | None
    cost: float | None


class CallPrice(Struct, frozen=True, kw_only=True):
    """The price of a call with an input of more than `above` tokens, up to `up_to`: US dollars for each token."""

    above: int
    up_to: int
    input: float
    cached: float
    cache_write: float
    output: float
    request: float = 0.0
    """For the call itself."""

    def cost(self, tokens: TokenCounts) -> float:
        """Return the price of a call."""
        cached, written = tokens.cached or 0, tokens.cache_write or 0
        fresh = tokens.input - cached - written
        parts = (fresh * self.input, cached * self.cached, written * self.cache_write, tokens.output * self.output)
        return self.request + sum(parts)


class PriceTable(Protocol):
    """Prices of models over time."""

    @property
    def name(self) -> str | None:
        """The name of the table and its edition, None for an empty one."""

    def prices(self, model: str, day: date) -> tuple[CallPrice, ...]:
        """Return the prices of a model on a day, by the size of the input; none for an unknown model."""


class NoPrices:
    """A table without prices."""

    name: str | None = None

    def prices(self, model: str, day: date) -> tuple[CallPrice, ...]:  # noqa: ARG002 - as a table has it
        """Return nothing."""
        return ()


NO_PRICES: Final = NoPrices()


class UsageQuery(Struct, frozen=True, kw_only=True):
    """A question for usage: by what, in which sessions, on which days (both included), and for how many rows."""

    by: UsageGroup = "day"
    selection: Selection = Selection(archived=None)
    session: str | None = None
    since: date | None = None
    until: date | None = None
    limit: int = USAGE_LIMIT_DEFAULT
    prices: PriceTable = NO_PRICES
    """The table of prices; a server has one of its own."""

    def holds(self, call: ModelCall) -> bool:
        """Tell whether a call is of the days asked for."""
        return (self.since or date.min) <= call.at.date() <= (self.until or date.max)


class UsageRow(Struct, frozen=True, kw_only=True):
    """The answers of a group, with their tokens and their cost in US dollars.

    `name` is the day, the model, the channel, the session's key or the tag; None stands for answers without one.
    `uncounted_count` are answers without token counts, `unpriced_count` those without a known price. `cost_usd` is of
    the others; None where no price is known.
    """

    name: str | None
    call_count: int = 0
    uncounted_count: int = 0
    unpriced_count: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost_usd: float | None = None
    title: str | None = None
    """Of a session."""


class UsageReport(Struct, frozen=True, kw_only=True):
    """The usage by group, at most `limit` rows of `row_count`, and in total; a session counts at each of its tags.

    Days come in order, the latest ones if there are too many; others by cost, then by tokens. `prices` names the price
    table, None without one.
    """

    by: UsageGroup
    rows: tuple[UsageRow, ...]
    row_count: int
    total: UsageRow
    prices: str | None = None


def rounded_cost(cost: float | None) -> float | None:
    """Return a sum of costs as it is told, in billionths of a dollar."""
    return None if cost is None else round(cost, 9)


def usage_of(sessions: Iterable[tuple[Summary, Sequence[Message]]], asked: UsageQuery) -> UsageReport:
    """Return the usage of the answers in these logs, by plain addition."""
    return usage_of_calls(((session, calls_of(lines)) for session, lines in sessions), asked)


def usage_of_calls(sessions: Iterable[tuple[Summary, Iterable[ModelCall]]], asked: UsageQuery) -> UsageReport:
    """Return the usage of all calls of these sessions; those of copied lines do not count."""
    groups: dict[str | None, list[ModelCall]] = {}
    counted: list[ModelCall] = []
    titles: dict[str | None, str] = {}
    for session, told in sessions:
        copied = copied_count(session.header)
        calls = [call for call in told if call.seq > copied and asked.holds(call)]
        counted += calls
        titles |= {session.header.key: session.title} if asked.by == "session" else {}
        for call in calls:
            for name in _groups_of(session.header, call, asked.by):
                groups.setdefault(name, []).append(call)
    rows = [
        msgspec.structs.replace(_row(name, calls, asked.prices), title=titles.get(name))
        for name, calls in groups.items()
    ]
    if asked.by == "day":
        rows = sorted(rows, key=lambda row: row.name or "")[-asked.limit :]
    else:
        rows.sort(key=lambda row: (-(row.cost_usd or 0), -row.input_tokens - row.output_tokens, row.name or ""))
    total = _row(None, counted, asked.prices)
    return UsageReport(
        by=asked.by, rows=tuple(rows[: asked.limit]), row_count=len(groups), total=total, prices=asked.prices.name
    )


def call_cost(call: ModelCall, prices: PriceTable) -> float | None:
    """Return the cost of a call as the server told it, else by the price of its day; None if neither is known."""
    if call.cost is not None or call.tokens is None:
        return call.cost
    known = prices.prices(call.model, call.at.date())
    size = call.tokens.input
    return next((price.cost(call.tokens) for price in known if price.above < size <= price.up_to), None)


def model_call(message: Message) -> ModelCall | None:
    """Return the call behind a message; None for a message that is no model's answer, as far as can be told."""
    facts = message.metadata
    if message.role != "assistant" or not facts:
        return None
    model, usage = facts.get("model"), facts.get("usage")
    tokens = token_counts(facts.get(TOKENS)) or token_counts(usage)
    cost = _cost(facts, usage)
    if tokens is None and cost is None and not ("response_id" in facts or isinstance(model, str)):
        return None
    name = model[:MODEL_CHARS_MAX] if isinstance(model, str) else ""
    return ModelCall(seq=message.seq, at=message.sent_at, model=name, tokens=tokens, cost=cost)


def calls_of(lines: Iterable[Message]) -> Iterator[ModelCall]:
    """Yield the calls behind the lines of a log, dropped ones included."""
    return filter(None, map(model_call, lines))


def copied_count(header: Header) -> int:
    """Return how many of a session's first lines are copies of another session's."""
    origin = header.metadata.get(_FORKED_FROM)
    told = origin.get("copied", origin.get("seq")) if isinstance(origin, dict) else None
    return told if isinstance(told, int) and not isinstance(told, bool) else 0


def _groups_of(header: Header, call: ModelCall, by: UsageGroup) -> Sequence[str | None]:
    """Return the names of a call's groups."""
    if by == "tag":
        return tuple(dict.fromkeys(header.tags)) or (None,)
    names = {"day": call.at.date().isoformat(), "model": call.model or None}
    return ({**names, "channel": header.channel, "session": header.key}[by],)


def _row(name: str | None, calls: Iterable[ModelCall], prices: PriceTable) -> UsageRow:
    row = UsageRow(name=name)
    for call in calls:
        told, cost = call.tokens or _NO_TOKENS, call_cost(call, prices)
        row = UsageRow(
            name=name,
            call_count=row.call_count + 1,
            uncounted_count=row.uncounted_count + (call.tokens is None),
            unpriced_count=row.unpriced_count + (cost is None),
            input_tokens=row.input_tokens + told.input,
            output_tokens=row.output_tokens + told.output,
            cached_tokens=row.cached_tokens + (told.cached or 0),
            cache_write_tokens=row.cache_write_tokens + (told.cache_write or 0),
            reasoning_tokens=row.reasoning_tokens + (told.reasoning or 0),
            cost_usd=row.cost_usd if cost is None else (row.cost_usd or 0) + cost,
        )
    return msgspec.structs.replace(row, cost_usd=rounded_cost(row.cost_usd))


def _cost(facts: Mapping[str, Json], usage: Json) -> float | None:
    """Return the cost that a server told."""
    told = usage.get("cost") if isinstance(usage, dict) else None
    if isinstance(told, dict):
        told = told.get("total")
    for value in (facts.get("cost"), told):
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _COST_MAX:
            return float(value)
    return None
