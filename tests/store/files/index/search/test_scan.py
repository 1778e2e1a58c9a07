"""Random queries over corpora of different shapes: the answers by time and the counts equal those of a plain scan.

The memory store looks at every message, so it is the scan. `make scan` asks 20,000 queries, a run of the tests a few.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Final

import msgspec
import pytest

from chatkeep.core.model import Draft, Hits, Selection
from chatkeep.core.search.search import Search
from chatkeep.core.standing import Role
from chatkeep.store.files.index.sets import sealing
from chatkeep.store.files.index.turns import committing
from chatkeep.store.files.store import FilesStore
from chatkeep.store.memory import MemoryStore
from chatkeep.testing import at, draft, search_for

ASKED: Final = int(os.environ.get("CHATKEEP_SCAN", "240"))
MESSAGES: Final = 240
ROLES: Final[tuple[Role, ...]] = ("user", "assistant", "assistant", "tool")
KEYS: Final = ["telegram:1", "telegram:12", "api:1", "api:2/a", "api:2/b", "web"]
HAN: Final = "人工智能和机器学习的未来发展很好今天天气"
Said = Callable[[random.Random, int], str]


def _made_up(dice: random.Random, _: int) -> str:
    words = [
        f"{first}{last}" for first in ("ka", "lo", "mi", "ne", "pu", "ra", "si") for last in ("n", "ns", "t", "ting")
    ]
    weights = list(accumulate(1 / place for place in range(1, len(words) + 1)))
    said = dice.choices(words, cum_weights=weights, k=dice.randint(1, 12))
    return " ".join([*said, *(["common"] if dice.random() < 0.93 else [])])


def _code(dice: random.Random, number: int) -> str:
    names = ("getUserName", "snake_case_name", "src/core/words.py", "E1234", "foo.bar", "v1.2.3")
    return f"{number} {dice.getrandbits(32):08x} {dice.choice(names)}({dice.choice(names)}) --force"


def _han(dice: random.Random, _: int) -> str:
    letters = HAN[: dice.choice((4, 20))]
    pieces = ["".join(dice.choices(letters, k=dice.randint(1, 5))) for _ in range(dice.randint(1, 3))]
    return dice.choice(("、", "", ", ")).join(pieces) + dice.choice(["", " OK", "。"])


def _apart(dice: random.Random, number: int) -> str:
    return (
        f"{'early' if number < MESSAGES // 10 else 'late'} {dice.choice(['north', 'south'])} {dice.choice('abc')} pole"
    )


CORPORA: Final[dict[str, Said]] = {"made up": _made_up, "code": _code, "Han": _han, "apart": _apart}
ORDERS: Final[dict[str, Callable[[random.Random, int], float]]] = {
    "ascending": lambda _, number: number,
    "descending": lambda _, number: -number,
    "shuffled": lambda dice, _: dice.randrange(60),
}


def _sessions(dice: random.Random, said: Said, order: str) -> Iterator[tuple[str, list[Draft]]]:
    for start in range(0, MESSAGES, 8):
        key = dice.choice(KEYS) if order != "descending" else KEYS[0]  # of the second kind, one session has all
        yield (
            key,
            [
                draft(said(dice, number), int(ORDERS[order](dice, number)), id=str(number), role=dice.choice(ROLES))
                for number in range(start, start + 8)
            ],
        )


def _query(dice: random.Random, texts: Sequence[str]) -> str:
    """Return words, a phrase, a beginning or a piece of what somebody said, or of two."""
    words = dice.choice(texts).split()
    start = dice.randrange(len(words))
    phrase = " ".join(words[start : start + dice.randint(1, 3)])
    kind = dice.randrange(5)
    if kind == 0:
        return f'"{phrase}"'
    if kind == 1:
        return words[start][: dice.randint(1, 4)]
    if kind == 2:
        return f"{words[start]} {dice.choice(dice.choice(texts).split())} "
    return f"{phrase} " if kind == 3 else f"what {dice.choice(texts)}?"


def _search(dice: random.Random, texts: Sequence[str]) -> Search:
    since = dice.randrange(-200, 200)
    filters: list[dict[str, object]] = [
        {},
        {"roles": None},
        {"roles": ("tool",)},
        {"since": at(since), "until": at(since + 60)},
        {
            "selection": Selection(
                archived=None, prefixes=(dice.choice(["telegram:", "telegram:1", "api:2/", "a", "x"]),)
            )
        },
        {"selection": Selection(archived=None, channel=dice.choice(["telegram", "api"]))},
    ]
    unit = dice.choice(["session", "message"])
    limit = dice.choice([3, 20])
    return search_for(_query(dice, texts), unit=unit, sort="recent", limit=limit, **dice.choice(filters))  # type: ignore[arg-type]


def _told(hits: Hits) -> tuple[str, list[tuple[str, int, int]]]:
    return hits.mode, [(hit.key, hit.seq, hit.match_count) for hit in hits.hits]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("corpus", CORPORA)
def test_search_as_a_plain_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, corpus: str, order: str) -> None:
    """By time, and in counts, the sets answer what a scan of all messages answers, fresh and sealed."""
    monkeypatch.setattr(sealing, "SEALED_FROM", 100)
    monkeypatch.setattr(sealing, "_ROWS", 1000)
    monkeypatch.setattr(committing, "_PAUSE_S", 0)
    dice = random.Random(f"{corpus} {order}")  # noqa: S311 - the same at each run
    memory, texts = MemoryStore(), []
    with contextlib.closing(FilesStore.open(tmp_path, durability="none")) as store:
        for key, drafts in _sessions(dice, CORPORA[corpus], order):
            for each in (store, memory):
                each.append(key, drafts)
            texts += [str(one.content) for one in drafts]
        for _ in range(ASKED // len(CORPORA) // len(ORDERS)):
            search = _search(dice, texts)
            expected, found = _told(memory.search(search)), _told(store.search(search))
            assert (search, expected) == (search, found)
            best = store.search(msgspec.structs.replace(search, sort="relevance"))
            assert len(found[1]) == len(best.hits)
