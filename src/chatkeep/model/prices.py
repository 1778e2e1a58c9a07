"""Prices of models, from the table that the package `genai-prices` ships (the extra `prices`).

The table knows prices over time and by the size of the input. It is on the disk: Chatkeep asks nobody for prices, and
a newer table comes with a newer package. A model counts by its name, with or without a leading provider
(`openai/gpt-5`). Prices that change with the hour are those of noon.
"""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from itertools import pairwise
from typing import Any, Final

from chatkeep.core.usage.spending import NO_PRICES, CallPrice, PriceTable
from chatkeep.core.usage.token_counts import TOKENS_MAX

_NOON: Final = time(12, tzinfo=UTC)
_KNOWN_MAX: Final = 100_000  # prices of models on days in memory; names of models are a client's own words


def price_table() -> PriceTable:
    """Return the table of prices, an empty one without the extra `prices`."""
    return NO_PRICES if find_spec("genai_prices") is None else GenaiPrices()


class GenaiPrices:
    """The prices of `genai-prices`; loaded with the first question, as this takes half a second. Safe for threads."""

    def __init__(self) -> None:
        """Load nothing yet."""
        self._lock = threading.Lock()
        self._known: dict[tuple[str, date], tuple[CallPrice, ...]] = {}
        self._shaped: dict[int, tuple[Any, tuple[CallPrice, ...]]] = {}

    @property
    def name(self) -> str | None:
        """The package and its version."""
        return f"genai-prices {version('genai-prices')}"

    def prices(self, model: str, day: date) -> tuple[CallPrice, ...]:
        """Return the prices of a model on a day, by the size of the input; none for an unknown model."""
        with self._lock:
            found = self._known.get((model, day))
            if found is None:
                if len(self._known) >= _KNOWN_MAX:
                    self._known.clear()
                found = self._known[model, day] = self._found(model, day)
            return found

    @cached_property
    def _table(self) -> Any:  # noqa: ANN401 - the package's own
        from genai_prices.data_snapshot import get_snapshot  # noqa: PLC0415 - takes 0.5 s

        return get_snapshot()

    def _found(self, model: str, day: date) -> tuple[CallPrice, ...]:
        info = self._model(model)
        if info is None:
            return ()
        table = info.get_prices(datetime.combine(day, _NOON))
        kept = self._shaped.get(id(table))
        if kept is None or kept[0] is not table:
            kept = self._shaped[id(table)] = (table, tuple(_call_prices(table)))
        return kept[1]

    def _model(self, model: str) -> Any:  # noqa: ANN401 - the package's own
        """Return what the table has about a model, None if it has nothing."""
        provider, _, name = model.partition("/")
        for asked, by in ((model, None), *(((name, provider), (name, None)) if name else ())):
            try:
                return self._table.find_provider_model(asked, None, by, None)[1]
            except LookupError:
                continue
        return None


def _call_prices(table: Any) -> list[CallPrice]:  # noqa: ANN401 - the package's own
    """Return the prices of a model by the size of the input; none if they lack that of the input or the output."""
    if table.input_mtok is None or table.output_mtok is None:
        return []
    units = (table.input_mtok, table.cache_read_mtok, table.cache_write_mtok, table.output_mtok)
    starts = sorted({tier.start for unit in units for tier in getattr(unit, "tiers", ())})
    bounds = [-1, *starts, TOKENS_MAX]
    found = []
    for above, up_to in pairwise(bounds):
        read, cached, written, said = (_unit_price(unit, above) for unit in units)
        found.append(
            CallPrice(
                above=above,
                up_to=up_to,
                input=read or 0.0,
                cached=(read or 0.0) if cached is None else cached,
                cache_write=(read or 0.0) if written is None else written,
                output=said or 0.0,
                request=float(Decimal(table.requests_kcount or 0) / 1000),
            )
        )
    return found


def _unit_price(unit: Any, above: int) -> float | None:  # noqa: ANN401 - the package's own
    """Return the price of a token where the input has more than so many, None without a price of its own."""
    if unit is None:
        return None
    reached = [tier.price for tier in getattr(unit, "tiers", ()) if above >= tier.start]
    return float((reached[-1] if reached else getattr(unit, "base", unit)) / 1_000_000)
