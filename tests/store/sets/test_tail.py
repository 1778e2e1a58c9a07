"""The newest messages in memory: many at once are found as they are one by one."""

from __future__ import annotations

import random
from typing import Final

from chatkeep.store.sets.tail import FreshMessage, Tail
from chatkeep.store.sets.terms import (
    WORK,
    DocLabel,
    beginning,
    bit,
    indexed_of,
    key_labels,
    pair,
    role_label,
    session_label,
)

MESSAGES: Final = 400
WORDS: Final = ["zebra", "zebras", "zen", "a", "The", "getUserName", "東京", "東、京", "--force", "v1.2.3", "é", "🎉"]


def _messages() -> list[FreshMessage]:
    dice = random.Random(1)  # noqa: S311 - the same at each run
    said = [" ".join(dice.choices(WORDS, k=dice.randrange(9))) for _ in range(MESSAGES)]
    return [
        FreshMessage(
            doc, indexed_of(text, text[::-1]), doc % 7, doc % 3, dice.randrange(1 << 40), f"api:{doc % 7}", "api"
        )
        for doc, text in enumerate(said, 1)
    ]


def _found(tail: Tail) -> list[object]:
    labels: list[DocLabel] = [
        *map(str.lower, WORDS),
        WORK + "a",
        "user",
        "東京",
        beginning("ze"),
        beginning(f"{WORK}a"),
    ]
    labels += [
        pair("zebra", "the"),
        pair("東", "京"),
        pair("user", "name"),
        pair("a", "a"),
        pair("name", "a"),
    ]
    labels += [bit(3), bit(58), role_label(1), session_label(3), *key_labels("api:3", "api")]
    begun = [tail.begun(letters) for letters in ("z", "ze", "zeb", "zebras", "g", f"{WORK}se", "x")]
    return [*map(tail.docs, labels), *begun, *map(tail.words, ("z", "zeb", f"{WORK}s", "x"))]


def test_find_many_at_once() -> None:
    """Messages in piles are found as sorted ones, at each step of their sorting, with new ones behind them."""
    messages = _messages()
    one_by_one, at_once = Tail(), Tail()
    for message in messages:
        one_by_one.add_exploded(message)
    at_once.catch_up(messages[:-2])
    at_once.catch_up(messages[-2:])
    expected = _found(one_by_one)
    for _ in range(6):
        assert expected == _found(at_once)
        at_once.catch_up([])
    assert sorted(one_by_one.texts()) == sorted(at_once.texts())
    assert list(one_by_one.pairs()) == list(at_once.pairs())
    assert dict(one_by_one.postings()) == dict(at_once.postings())
