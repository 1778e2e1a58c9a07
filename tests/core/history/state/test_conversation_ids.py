"""Ids of conversations are keys in other letters, and no two keys share one."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.history.state.conversation_ids import conversation_id, key_of_conversation
from chatkeep.core.keys import parse_key
from chatkeep.errors import InvalidKeyError

DIGITS = "0123456789abcdef" * 3


def _is_key(text: str) -> bool:
    try:
        return parse_key(text) == text
    except InvalidKeyError:
        return False


@given(st.text(min_size=1, max_size=128).filter(_is_key))
def test_give_back_every_key(key: str) -> None:
    """Any key becomes an id of letters safe in an address, and comes back from it."""
    made = conversation_id(key)
    assert re.fullmatch(r"conv_[A-Za-z0-9_-]+", made)
    assert key == key_of_conversation(made)


@pytest.mark.parametrize(
    "key,made",
    [
        (f"conv:{DIGITS}", f"conv_{DIGITS}"),
        (f"conv:{DIGITS.upper()}", None),
        (f"conv_{DIGITS}", None),
        (f"a:conv:{DIGITS}", None),
        ("a/b", "conv_k-YS9i"),
    ],
)
def test_keep_short_ids_for_our_own_keys(key: str, made: str | None) -> None:
    """Only a key that we make has the short form, so no other key is taken for it."""
    assert (made is not None) == (conversation_id(key) == made)
    assert key == key_of_conversation(conversation_id(key))


@pytest.mark.parametrize(
    "told",
    ["", "conv_", "conv_1", "conv_k-", "conv_k-YS9i=", "conv_k-YS9j\n", "conv_k-____", "conv_k-IA", "conv_k-YR", "x"],
)
def test_know_no_session_of_other_ids(told: str) -> None:
    """An id that `conversation_id` never makes is that of no session."""
    assert key_of_conversation(told) is None
