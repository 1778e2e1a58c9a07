"""Prices of models come from the package of prices, by their day and by the size of the input."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import genai_prices
import pytest

from chatkeep.core.usage.spending import ModelCall, call_cost
from chatkeep.core.usage.token_counts import TokenCounts
from chatkeep.model.prices import GenaiPrices, price_table

TABLE = price_table()
DAY = date(2026, 9, 1)


@pytest.mark.parametrize(
    "model",
    ["gpt-4o", "gpt-5", "o3", "claude-sonnet-4-5", "claude-opus-4-1-20250805", "gemini-2.5-pro", "deepseek-chat"],
)
def test_price_as_the_package_does(model: str) -> None:
    """Each call costs as the package says, small or large, with a cache and without."""
    at = datetime.combine(DAY, datetime.min.time(), UTC).replace(hour=12)
    for read in (0, 1, 1_000, 128_000, 128_001, 200_000, 200_001, 272_001, 900_000):
        for cached, written in ((0, 0), (read // 2, 0), (read // 3, read // 4)):
            tokens = TokenCounts(input=read, output=700, cached=cached, cache_write=written)
            usage = genai_prices.Usage(
                input_tokens=read, output_tokens=700, cache_read_tokens=cached, cache_write_tokens=written
            )
            expected = genai_prices.calc_price(usage, model, genai_request_timestamp=at).total_price
            assert float(expected) == pytest.approx(_cost(model, tokens)), (read, cached)


def test_price_a_model_behind_a_provider() -> None:
    """A leading provider, as routers have it, changes nothing; an unknown one neither."""
    tokens = TokenCounts(input=1000, output=1000)
    assert _cost("gpt-4o", tokens) == _cost("openai/gpt-4o", tokens) == _cost("some-router/gpt-4o", tokens) != None  # noqa: E711


@pytest.mark.parametrize("model", ["", "/", "my-own-model", "x" * 200, "gpt-4o/\x00", "ünï"])
def test_price_of_an_unknown_model_is_unknown(model: str) -> None:
    """A name that the table lacks has no price."""
    assert () == TABLE.prices(model, DAY)
    assert _cost(model, TokenCounts(input=1, output=1)) is None


def test_price_by_the_day() -> None:
    """A price that changed counts from its day on."""
    before, after = (TABLE.prices("o3", date(2025, 6, day)) for day in (1, 30))
    assert before[0].input > after[0].input


def test_name_of_the_table() -> None:
    """The table says its edition."""
    assert f"genai-prices {genai_prices.__version__}" == TABLE.name
    assert isinstance(TABLE, GenaiPrices)


def _cost(model: str, tokens: TokenCounts, **more: Any) -> float | None:  # noqa: ANN401 - fields of a call
    at = datetime.combine(DAY, datetime.min.time(), UTC)
    return call_cost(ModelCall(seq=1, at=at, model=model, tokens=tokens, cost=None, **more), TABLE)
