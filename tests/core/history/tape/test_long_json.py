"""Long JSON is decoded as a parser does it at once, in short steps."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatkeep.core.history.tape import long_json
from chatkeep.core.history.tape.long_json import SHORT_JSON_BYTES, decoded_json
from chatkeep.core.model import Json

LONG = SHORT_JSON_BYTES * 2
texts = st.text(
    st.sampled_from(["a", "\\", '"', "é", "漢", "😀", "\ud83d", "\ude00", "\n", "\u2028", "/"]), max_size=40
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)


@pytest.mark.parametrize("in_ascii", [True, False])
@settings(max_examples=20)
@given(value=values, unit=texts, shift=st.integers(0, 12))
def test_decode_long_json_as_short(*, in_ascii: bool, value: Json, unit: str, shift: int) -> None:
    """Long texts come back as they are, in their places, also with escapes and half characters between two steps."""
    long = " " * shift + (unit or "x") * (LONG // len(unit or "x") // 8) + "a" * (SHORT_JSON_BYTES // 4)
    whole: Json = {"value": value, "list": [long, value, [long]], long: {"a": long + "b"}}
    if not in_ascii:
        whole = json.loads(re.sub(r"\\u[dD][89a-fA-F]..", "", json.dumps(whole)))  # half characters have no UTF-8
    data = json.dumps(whole, ensure_ascii=in_ascii).encode()
    assert len(data) > SHORT_JSON_BYTES
    assert json.loads(data) == decoded_json(data)


@pytest.mark.parametrize(
    "broken",
    [
        b'{"a": "' + b"a" * LONG,
        b'{"a": "' + b"\\" * (LONG + 1) + b'"}',
        b'{"a": "' + b"a" * LONG + b'\\u12"}',
        b'{"a": "' + "漢".encode() * LONG + b'\xe6"}',
        b'{"a": "' + b"\x80" * LONG + b'"}',
        b'{"a": "' + b"a" * LONG + b'\x01"}',
        b'{"a": "' + b"a" * LONG + b'"} {}',
        b'{"a": "' + b"a" * LONG + b'",}',
        b"1," * LONG,
        b"[" + b"1," * (3 << 20) + b"1]",
    ],
)
def test_decode_long_json_that_is_none(broken: bytes) -> None:
    """Long data that are no JSON, or too many values, are refused."""
    with pytest.raises(ValueError):  # noqa: PT011 - parsers have errors of their own
        decoded_json(broken)


def test_decode_long_json_in_short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """No parser gets more than a step of a long text at once, whatever its characters."""
    given_bytes: list[int] = []
    at_once = long_json._at_once

    def counted(data: bytes) -> Json:
        given_bytes.append(len(data))
        return at_once(data)

    monkeypatch.setattr(long_json, "_at_once", counted)
    for unit in ("a", "漢", '"', "\\", "😀", "\x01", "\\u00e9", '","'):
        for in_ascii in (True, False):
            value = {"a": unit * (1 << 17)}
            given_bytes.clear()
            assert value == decoded_json(json.dumps(value, ensure_ascii=in_ascii).encode())
            assert max(given_bytes) <= (6 << 16) + 2  # with the quotes
