"""A glimpse of the beginning of JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.model import Json
from chatkeep.importers.glimpse import glimpse

VALUE: Json = {"a": [{"b": 'x"}'}, 2, {"c": None}], "d": {"e": "long"}}


@pytest.mark.parametrize(
    "head,seen",
    [
        ('{"a":1', {"a": 1}),
        ('{"a":"cut', {"a": None}),
        (' {"a":[1,{"b":2,"c', {"a": [1, {"b": 2}]}),
        ('[{"a":{"b":[', [{"a": {"b": []}}]),
        ('{"text":"\\"mapping\\":{","a":', {"text": '"mapping":{', "a": None}),
        ("{", {}),
        ("", None),
        ("PK", None),
        ('{"a":1}\n{"b":2}', {"a": 1}),
    ],
)
def test_glimpse_what_is_before_the_cut(head: str, seen: Json) -> None:
    """Whole values before the cut are there, with the lists and objects around them; words in a text are no names."""
    assert seen == glimpse(head.encode())


@given(st.integers(0, len(json.dumps(VALUE))), st.binary(max_size=3))
def test_glimpse_anything(end: int, more: bytes) -> None:
    """Any beginning is seen without an error, also with garbage behind it."""
    glimpse(json.dumps(VALUE).encode()[:end] + more)
    assert glimpse(json.dumps(VALUE).encode()) == VALUE
