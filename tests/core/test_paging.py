"""Cursors hold a place, and nothing but `cursor_at` makes them."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.model import Selection
from chatkeep.core.paging import CURSOR_CHARS_MAX, Place, cursor_at, place_of, scope_of
from chatkeep.errors import InvalidCursorError

SCOPE = "a1"
keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=128)


@given(keys, st.integers(-(1 << 61), 1 << 61))
def test_cursor_round_trip(key: str, at_us: int) -> None:
    """A cursor gives back its place, and is safe in an address."""
    cursor = cursor_at(Place(key, at_us), SCOPE)
    assert Place(key, at_us) == place_of(cursor, SCOPE)
    assert cursor.replace("-", "").replace("_", "").isalnum()
    assert len(cursor) <= CURSOR_CHARS_MAX


@given(st.text(max_size=60))
def test_place_of_any_text(text: str) -> None:
    """Text is a cursor or is refused; a cursor has one spelling."""
    try:
        place = place_of(text, SCOPE)
    except InvalidCursorError:
        return
    assert text == cursor_at(place, SCOPE)


@given(st.binary(max_size=60))
def test_place_of_any_bytes(content: bytes) -> None:
    """So it is with any bytes in the right alphabet."""
    test_place_of_any_text.hypothesis.inner_test(base64.urlsafe_b64encode(content).rstrip(b"=").decode())  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b'"a"',
        b'["a",1,2,"a1"]',
        b'["a","1","a1"]',
        b'["a",1.5,"a1"]',
        b'["a",99999999999999999999,"a1"]',
        b'["a",4611686018427387904,"a1"]',
        b'[1,1,"a1"]',
        b'[ "a",1,"a1"]',
        b'["a",1,"a1"]\n',
        b'["\xff",1,"a1"]',
        b"[" * 5000,
    ],
)
def test_place_of_junk(content: bytes) -> None:
    """JSON that is no place, or is one in another spelling, is refused."""
    with pytest.raises(InvalidCursorError):
        place_of(base64.urlsafe_b64encode(content).rstrip(b"=").decode(), SCOPE)


def test_place_of_padded_cursor() -> None:
    """A cursor that was changed on its way is refused."""
    cursor = cursor_at(Place("a", 1), SCOPE)
    for changed in (f"{cursor}=", f" {cursor}", f"{cursor}\n", cursor[:-1], cursor + "A", cursor * 500):
        with pytest.raises(InvalidCursorError):
            place_of(changed, SCOPE)


def test_place_of_another_list() -> None:
    """A cursor belongs to one kind of list with one choice of filters; how they are spelt does not matter."""
    scopes = [
        scope_of("keys", Selection()),
        scope_of("sessions", Selection()),
        scope_of("sessions", Selection(prefixes=("a",))),
        scope_of("sessions", Selection(channel="a")),
        scope_of("sessions", Selection(archived=None)),
        scope_of("sessions", Selection(archived=None, prefixes=("a",))),
        scope_of("sessions", Selection(pinned=True)),
        scope_of("sessions", Selection(pinned=False)),
        scope_of("sessions", Selection(tags=("a",))),
        scope_of("sessions", Selection(tags=("a", "b"))),
        scope_of("sessions", Selection(tags=("a,b",))),
    ]
    assert len(scopes) == len(set(scopes))
    for scope in scopes[1:]:
        with pytest.raises(InvalidCursorError):
            place_of(cursor_at(Place("a"), scopes[0]), scope)
    assert scopes[2] == scope_of("sessions", Selection(prefixes=("", "a")))
    assert scopes[9] == scope_of("sessions", Selection(tags=("b", "a", "b")))
