"""Usage from the index: the tokens of answers by group, and their price.

Each answer has a row, so a question reads no file, and costs by the answers of the sessions asked for. The price of an
answer depends on its model, its day and the size of its input. So the database says which models answered on which
days, the table gives the prices of these, and the database multiplies and adds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import date
from itertools import groupby
from typing import Final

import msgspec

from chatkeep.core.usage.spending import UsageGroup, UsageQuery, UsageReport, UsageRow, rounded_cost
from chatkeep.store.files.index.columns import Value
from chatkeep.store.files.index.rows import Database, row_of
from chatkeep.store.files.index.selecting import conditions
from chatkeep.store.files.index.sql import QUERIES, reading_rows

_GROUPS: Final[dict[UsageGroup, str]] = {
    "day": "c.day",
    "model": "c.model",
    "channel": "s.channel",
    "session": "s.sid",
    "tag": "t.tag",
}
_NAMES: Final[dict[UsageGroup, str]] = {
    "model": "nullif((SELECT m.name FROM models m WHERE m.model = of), '')",
    "session": "(SELECT key FROM sessions WHERE sid = of)",
}
_TAGS: Final = (
    "LEFT JOIN (SELECT DISTINCT sid AS tagged, value AS tag FROM chosen, json_each(tags)) t ON t.tagged = s.sid"
)
_BY_COST: Final = "coalesce(price, 0) DESC, input + output DESC, name"
_COPIED: Final = (
    "CASE WHEN instr(metadata, '\"forked_from\"') AND json_valid(metadata) THEN CASE"
    " coalesce(json_type(metadata, '$.forked_from.copied'), json_type(metadata, '$.forked_from.seq')) WHEN 'integer'"
    " THEN coalesce(json_extract(metadata, '$.forked_from.copied'), json_extract(metadata, '$.forked_from.seq'))"
    " ELSE 0 END ELSE 0 END"
)
"""As `core.usage.spending.copied_count`."""


def usage_report(db: Database, asked: UsageQuery) -> UsageReport:
    """Return the answer of `Store.usage`.

    Raises:
        UnreadableRowError: when the rows have impossible values: the database is damaged.
    """
    costing = _Costing(db, asked)
    with reading_rows(), db:  # one snapshot for all statements
        costing.read()
    return costing.report


class _Costing:
    """One answer in the making."""

    def __init__(self, db: Database, asked: UsageQuery) -> None:
        self._db = db
        self._asked = asked
        self.report = UsageReport(by=asked.by, rows=(), row_count=0, total=UsageRow(name=None))
        where, values = conditions(asked.selection)
        if asked.session is not None:
            where, values = [*where, "key = :session"], {**values, "session": asked.session}
        self._where = " AND ".join(where) or "true"
        since, until = asked.since or date.min, asked.until or date.max
        self._values = {**values, "since": since.toordinal(), "until": until.toordinal()}

    def read(self) -> None:
        rates = json.dumps(list(self._rates()))
        found = self._grouped(rates, self._asked.by, self._asked.limit)
        total = self._grouped(rates, None, 1)
        self.report = UsageReport(
            by=self._asked.by,
            rows=self._shown([_usage_row(values) for values in found]),
            row_count=int(found[0][-1]) if found else 0,
            total=_usage_row(total[0]) if total else UsageRow(name=None),
            prices=self._asked.prices.name,
        )

    def _rates(self) -> Iterator[tuple[Value, ...]]:
        """Yield the prices of each model, one for all neighbouring days with the same."""
        on_days = self._rows("models_on_days")
        for (model, name), rows in groupby(on_days, key=lambda row: row[:2]):
            priced = [(int(day), self._asked.prices.prices(name, date.fromordinal(day))) for _, _, day in rows]
            for same, run in groupby(priced, key=lambda one: one[1]):
                days = [day for day, _ in run]
                for one in same:
                    figures = (one.input, one.cached, one.cache_write, one.output, one.request)
                    yield model, days[0], days[-1], one.above, one.up_to, *figures

    def _grouped(self, rates: str, by: UsageGroup | None, limit: int) -> list[tuple[Value, ...]]:
        values = {"rates": rates, "limit": limit}
        shape = {
            "group": _GROUPS[by] if by else "NULL",
            "name": _NAMES.get(by, "of") if by else "of",
            "tags": _TAGS if by == "tag" else "",
            "order": "name DESC" if by == "day" else _BY_COST,
        }
        return self._rows("usage", values, **shape)

    def _shown(self, rows: Sequence[UsageRow]) -> tuple[UsageRow, ...]:
        """Return the rows with readable names: days in order, sessions with their titles."""
        if self._asked.by == "day":
            days = reversed([(one, date.fromordinal(int(one.name or 0)).isoformat()) for one in rows])
            return tuple(msgspec.structs.replace(one, name=day) for one, day in days)
        if self._asked.by == "session":
            keys = json.dumps([one.name for one in rows])
            listed = map(row_of, self._db.execute(QUERIES["listed"], {"keys": keys}))
            titles = {row.header.key: row.summary.title for row in listed}
            return tuple(msgspec.structs.replace(one, title=titles[one.name or ""]) for one in rows)
        return tuple(rows)

    def _rows(self, query: str, values: dict[str, Value] | None = None, **shape: str) -> list[tuple[Value, ...]]:
        sql = QUERIES[query].replace("{where}", self._where).replace("{copied}", _COPIED)
        for name, text in shape.items():
            sql = sql.replace(f"{{{name}}}", text)
        return list(self._db.execute(sql, {**self._values, **(values or {})}))


def _usage_row(values: Sequence[Value]) -> UsageRow:
    name, calls, uncounted, unpriced, read, said, cached, written, thought, cost, _ = values
    return UsageRow(
        name=None if name is None else str(name),
        call_count=calls,
        uncounted_count=uncounted,
        unpriced_count=unpriced,
        input_tokens=read,
        output_tokens=said,
        cached_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=thought,
        cost_usd=rounded_cost(cost),
    )
