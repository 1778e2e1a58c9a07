"""The bounds of JSON, seen without parsing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.bounds import (
    BODY_BYTES_MAX,
    DEPTH_MAX,
    LARGE_BODY_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    METADATA_BYTES_MAX,
    VALUES_MAX,
    check_depth,
    has_more_values,
    is_deeper,
    is_nested_deeper,
    structure_of,
)
from chatkeep.core.checks import check_metadata
from chatkeep.core.life.message_rules import check_draft
from chatkeep.errors import BrokenInputError, InvalidError
from chatkeep.testing import draft

BLOCK = 1 << 16  # bytes that are looked at at once
texts = st.text(st.sampled_from('ab"\\[]{},:字'), max_size=6)
values = st.recursive(
    texts | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=30,
)


def depth_of(value: Any) -> int:  # noqa: ANN401 - JSON
    """Return how many levels of lists and objects a value has."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth_of, inner), default=0)


def count_of(value: Any) -> int:  # noqa: ANN401 - JSON
    """Return how many beginnings of values there are: lists and objects, and what stands behind a comma in them."""
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(len(inner) - 1, 0) + sum(map(count_of, inner))


@given(values, st.integers(0, 6))
def test_is_nested_deeper_agrees_with_is_deeper(value: Any, depth_max: int) -> None:  # noqa: ANN401 - JSON
    """A parsed value and its bytes have one depth."""
    encoded = json.dumps(value).encode()
    assert (depth_of(value) > depth_max,) * 2 == (is_nested_deeper(value, depth_max), is_deeper(encoded, depth_max))


def test_bounds_are_those_of_the_contract() -> None:
    """The numbers that every door and every page of the documentation tells."""
    mebibyte = 1 << 20
    assert (16 * mebibyte, 256 << 10, 128) == (MESSAGE_BYTES_MAX, METADATA_BYTES_MAX, DEPTH_MAX)
    assert (10 * mebibyte, 64 * mebibyte) == (BODY_BYTES_MAX, LARGE_BODY_BYTES_MAX)


@given(values, st.integers(0, 4))
def test_tell_depth_without_parsing(value: Any, depth_max: int) -> None:  # noqa: ANN401 - JSON
    """The levels are those of the parsed value, whatever stands in its strings."""
    assert (depth_of(value) > depth_max) == is_deeper(json.dumps(value).encode(), depth_max)


@given(values, st.integers(0, 6))
def test_tell_values_without_parsing(value: Any, values_max: int) -> None:  # noqa: ANN401 - JSON
    """The number of values is that of the parsed value, whatever stands in its strings."""
    assert (count_of(value) > values_max) == has_more_values(json.dumps(value).encode(), values_max)


def test_check_depth_names_the_limit() -> None:
    """One level more than allowed is refused with a sentence."""
    check_depth(b"[" * 3 + b"]" * 3, 3)
    with pytest.raises(BrokenInputError, match="more than 3 levels"):
        check_depth(b"[" * 4 + b"]" * 4, 3)


def test_check_draft_of_too_many_levels_or_values() -> None:
    """Messages that come in process keep to the same bounds as those that come as bytes."""
    nested: Any = []
    for _ in range(DEPTH_MAX - 2):
        nested = [nested]
    for metadata in ({"a": nested}, {"a": [0] * (VALUES_MAX + 1)}):
        with pytest.raises(InvalidError, match="message: "):
            check_draft(draft("x", metadata=metadata))
        with pytest.raises(InvalidError, match="metadata: "):
            check_metadata({"b": metadata, "c": 1})


@pytest.mark.parametrize("escape", [rb"\\", rb"\"", rb"\\\"", rb"\u005c", "é".encode()])
def test_structure_of_json_in_blocks(escape: bytes) -> None:
    """Wherever a string, an escape or a quote is cut by a block, only what is outside of strings is structure."""
    for size in range(BLOCK - 12, BLOCK + 3):
        data = b'["' + b"x" * size + escape + b'[,{",{"a' + escape + b'":"]"}]'
        json.loads(data)
        assert b"[,{}]" == b"".join(structure_of(data)), size
