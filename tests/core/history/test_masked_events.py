"""A secret that events tell piece by piece never passes; all else does, byte for byte, and soon."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.history.completions import END
from chatkeep.core.history.folding import ModelAnswer
from chatkeep.core.history.masked_events import WAITING_BYTES_MAX, MaskedEvents
from chatkeep.core.history.masking import Mask
from chatkeep.core.model import Json

KEY = "sk-proj-Aa1Bb2/Cc3"
DONE = b"data: [DONE]\n\n"


def event(text: str, *, choice: int = 0, field: str = "content", end: str = "\n\n") -> bytes:
    """Return an event with a piece of a text."""
    value = {"id": "chatcmpl-sk", "choices": [{"index": choice, "delta": {field: text}}]}
    return f"data: {json.dumps(value)}{end}".encode()


def passed(pieces: Sequence[bytes], key: str = KEY) -> tuple[bytes, list[bytes]]:
    """Return what is told in all, and after each piece."""
    masked = MaskedEvents(Mask(key))
    told = [masked.take(piece) for piece in pieces]
    return b"".join([*told, masked.end()]), told


def text_of(told: bytes, *, field: str = "content", choice: int = 0) -> str:
    """Return what events say as a client joins it."""
    said = ""
    for one in told.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n\n"):
        if one.startswith(b"data: {"):
            for found in json.loads(one.removeprefix(b"data: "))["choices"]:
                said += found["delta"].get(field, "") if found["index"] == choice else ""
    return said


@pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n", "\r\r"])
@pytest.mark.parametrize("field", ["content", "reasoning_content"])
def test_mask_a_secret_in_two_events(end: str, field: str) -> None:
    """Wherever it is cut in two, no more of it is told than three characters, and the text around it is whole."""
    for place in range(1, len(KEY)):
        pieces = [
            event(f"is {KEY[:place]}", field=field, end=end),
            b": ping\n\n",
            event(KEY[place:] + ".", field=field),
        ]
        told, _ = passed([*pieces, DONE])
        said = text_of(told, field=field)
        shown = place if place < 4 else 0
        assert f"is {KEY[:shown]}{'*' * (len(KEY) - shown)}." == said
        assert told.endswith(DONE)


def test_mask_a_secret_that_comes_character_by_character() -> None:
    """A token may be one character, and come between tokens of other choices."""
    pieces = [piece for one in f"a{KEY}b{KEY}" for piece in (event(one), event("word", choice=1))]
    told, _ = passed([*pieces, DONE])
    stars = "*" * (len(KEY) - 3)
    assert f"ask-{stars}bsk-{stars}" == text_of(told)
    assert "word" * 2 * (len(KEY) + 1) == text_of(told, choice=1)


def test_mask_a_secret_in_escapes() -> None:
    """JSON has many ways to write a character; in an event all are the same."""
    hidden = [f"\\u{ord(one):04x}" if place % 2 else one for place, one in enumerate(KEY)]
    halves = ["".join(half).encode() for half in (hidden[:9], hidden[9:])]
    told, _ = passed([*(event("X").replace(b"X", half) for half in halves), DONE])
    assert "*" * len(KEY) == text_of(told)


def test_tell_at_once_what_is_not_the_secret() -> None:
    """What cannot be its beginning, and the few characters that end many words, wait for nothing."""
    pieces = [event("words"), event("risk"), event("sk-"), event("sk-p"), event("lain"), DONE]
    told, each = passed(pieces)
    assert b"".join(pieces) == told
    assert [*pieces[:3], b"", pieces[3] + pieces[4], DONE] == each


def test_tell_the_end_at_once() -> None:
    """Nothing is held when the end has come."""
    _, each = passed([event("sk-proj"), DONE])
    assert [b"", event("sk-proj") + DONE] == each


@pytest.mark.parametrize(
    "begun", [b'{"choices":[', b"<html>", b"[1,\n\n2", b"data: " + b" " * WAITING_BYTES_MAX, b"plain"]
)
def test_hold_nothing_without_end(begun: bytes) -> None:
    """What is no event passes at once, and one that does not end when it is long."""
    told, each = passed([begun, b"more\n\n", event("x")])
    assert begun + b"more\n\n" + event("x") == told
    assert begun == each[0]


@given(
    st.lists(st.sampled_from([KEY, "sk-", "s", "k-pr", KEY[:9], KEY[9:], "word ", "\n", "é"]), max_size=12), st.data()
)
def test_masking_events_changes_nothing_else(said: list[str], data: st.DataObject) -> None:
    """However a text is cut in events, and these in pieces: but for stars in place of the secret it is as it came."""
    text = "".join(said)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=10)))
    texts = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    whole = b"".join(map(event, texts)) + DONE
    size = data.draw(st.integers(1, 200))
    told, _ = passed([whole[start : start + size] for start in range(0, len(whole), size)])
    heard = text_of(told)
    assert KEY not in heard
    assert len(text) == len(heard)
    assert all(now in (before, "*") for before, now in zip(text, heard, strict=True))
    if KEY not in text:
        assert whole == told


def test_cost_is_that_of_the_bytes() -> None:
    """Twice as much of an event that does not end, of small events and of texts that nearly have it costs twice."""

    def calls(pieces: list[bytes]) -> int:
        count = 0

        def note(*_: object) -> None:
            nonlocal count
            count += 1

        sys.setprofile(note)
        try:
            passed(pieces)
        finally:
            sys.setprofile(None)
        return count

    for piece in (b" ", event("sk-pro"), event("s"), b"data:1\n\n"):
        many, more = (calls([b"data: ", *[piece] * count]) for count in (500, 1000))
        assert more < 2.2 * many


def test_answer_is_the_same_behind_it() -> None:
    """What is told is events still."""
    told, _ = passed([event("a " + KEY[:8]), event(KEY[8:]), DONE])
    answer = ModelAnswer()
    for one in told.split(b"\n\n"):
        if one and END not in one:
            value: Json = json.loads(one.removeprefix(b"data: "))
            answer.add(value)
    draft = answer.draft({})
    assert draft is not None
    assert f"a {'*' * len(KEY)}" == draft.content
