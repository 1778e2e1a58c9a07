"""The usage from the index is that of plain addition, for any prices."""

from __future__ import annotations

import random
from datetime import date, timedelta
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from chatkeep.core.model import Draft, Json, Revision, Selection
from chatkeep.core.usage.spending import CallPrice, UsageGroup, UsageQuery
from chatkeep.store.files.store import FilesStore
from chatkeep.store.memory import MemoryStore
from chatkeep.testing import START, draft

MODELS = ("small", "large", "unpriced", "")


class Steps:
    """Prices that depend on the model, the day and the size of the input; all are exact in binary."""

    name: str | None = "steps"

    def prices(self, model: str, day: date) -> tuple[CallPrice, ...]:
        """Return three steps of prices."""
        if model == "unpriced" or not model:
            return ()
        unit = (1 + day.toordinal() // 3 % 4) * (2.0 if model == "large" else 1.0) / 1024
        return tuple(
            CallPrice(
                above=above,
                up_to=up_to,
                input=n * unit,
                cached=n * unit / 4,
                cache_write=n * unit * 2,
                output=n * unit * 8,
                request=unit,
            )
            for n, (above, up_to) in enumerate(((-1, 100), (100, 200), (200, 1 << 40)), start=1)
        )


@pytest.mark.parametrize("seed", range(2))
def test_usage_equals_plain_addition(tmp_path: Path, seed: int) -> None:
    """Whatever was said, copied or tagged: every question has the same answer, also after a rebuild."""
    dice = random.Random(seed)  # noqa: S311 - made-up data
    model = MemoryStore()
    files = FilesStore.open(tmp_path, durability="none")
    for number in range(25):
        key = f"{dice.choice('ab')}:{number % 10}"
        said = [_said(dice) for _ in range(dice.randrange(1, 9))]
        for store in (model, files):
            store.append(key, said, channel=dice.choice("xy") if store is model else store_channel(model, key))
        tags = tuple(dice.sample("pqr", dice.randrange(3)))
        revision = Revision(tags=tags, metadata={"forked_from": {"seq": dice.randrange(4)}})
        for store in (model, files):
            store.revise(key, revision)
    for asked in _questions(dice):
        assert model.usage(asked) == files.usage(asked), asked
    files.reindex()
    for asked in _questions(dice):
        assert model.usage(asked) == files.usage(asked), asked
    files.close()


def store_channel(store: MemoryStore, key: str) -> str:
    """Return the channel of a session."""
    return store.get(key).header.channel


def _said(dice: random.Random) -> Draft:
    read = dice.choice((0, 1, 99, 100, 101, 200, 201, 5000))
    usage: dict[str, Json] = {"input": read, "output": dice.randrange(50), "cached": dice.randrange(read + 1)}
    metadata: dict[str, Json] = {"model": dice.choice(MODELS)}
    if dice.random() < 0.8:
        metadata["usage"] = usage
    if dice.random() < 0.2:
        metadata["cost"] = dice.randrange(64) / 64
    return msgspec.structs.replace(
        draft("Hi", dice.randrange(20) * 43_200),
        role=dice.choice(("assistant", "assistant", "user")),
        metadata=metadata,
    )


def _questions(dice: random.Random) -> list[UsageQuery]:
    day = START.date() + timedelta(days=dice.randrange(5))
    chosen = (
        Selection(archived=None),
        Selection(archived=None, prefixes=("a:",)),
        Selection(archived=None, channel="x"),
    )
    questions = [
        UsageQuery(by=by, selection=selection, since=since, until=until, limit=limit, prices=Steps())
        for by in get_args(UsageGroup)
        for selection in chosen
        for since, until in ((None, None), (day, None), (None, day))
        for limit in (3, 100)
    ]
    return dice.sample(questions, 30)
