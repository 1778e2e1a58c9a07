"""Session keys are identities: taken exactly or refused, never bent."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.keys import KEY_CHARS_MAX, channel_of, composed, parse_key
from chatkeep.errors import InvalidKeyError
from chatkeep.testing import NASTY_KEYS


@pytest.mark.parametrize("key", [*NASTY_KEYS, "a b", "می\u200cخواهم", "क्\u200dष", "a" * 128, "東" * 128])
def test_parse_key_takes_any_script(key: str) -> None:
    """A key comes back as it is, whatever it looks like to a file system."""
    assert key == parse_key(key)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a" + "\u0315\u0300\u0327" * 200_000,
        " ",
        " a",
        "a ",
        "\u3000a",
        "a\u00a0",
        "a" * 129,
        "a\n",
        "a\0b",
        "a\tb",
        "a\x7f",
        "a\x85b",
        "a\u2028b",
        "a\u2029b",
        "a\u200bb",
        "\ufeffa",
        "a\u00adb",
        "a\u202eb",
        "a\U000e0041",
        "\ud800",
        "a\udfff",
    ],
)
def test_parse_key_refuses(text: str) -> None:
    """Empty, long, padded, invisible and broken text is no key."""
    with pytest.raises(InvalidKeyError):
        parse_key(text)


def test_parse_key_composes() -> None:
    """Two spellings of one text are one key; the length is that of the key, not of the spelling."""
    assert "é" == parse_key("e\u0301")
    assert "é" * 128 == parse_key("e\u0301" * 128)
    with pytest.raises(InvalidKeyError):
        parse_key("\ufb2c" * 43)  # one character that composes to three


@given(st.text(max_size=140))
def test_parse_key_of_any_text(text: str) -> None:
    """A key that is taken is in form NFC, is its own key, and is not changed beyond that."""
    try:
        key = parse_key(text)
    except InvalidKeyError:
        return
    assert unicodedata.normalize("NFC", text) == key
    assert key == parse_key(key)
    assert 1 <= len(key) <= KEY_CHARS_MAX
    assert key == key.strip()
    key.encode()


@pytest.mark.parametrize(
    "key,channel",
    [
        ("telegram:123456789", "telegram"),
        ("discord:1", "discord"),
        ("slack:U01234ABCDE", "slack"),
        ("cli:default", "cli"),
        ("api:a3f9c2e8b1d4", "api"),
        ("web:1", "web"),
        ("websocket:1", "web"),
        ("user:alice:project-planning", "api"),
        ("Telegram:1", "api"),
        ("telegram", "api"),
        ("telegram/1", "api"),
        (":", "api"),
        ("", "api"),
    ],
)
def test_channel_of(key: str, channel: str) -> None:
    """A known prefix names the channel; anything else is the API's."""
    assert channel == channel_of(key)


def test_composed_leaves_what_is_too_long_for_a_name() -> None:
    """Putting marks in order takes the square of their number, so a text that no rule lets pass is left alone."""
    text = "e\u0301" + "\u0315\u0300\u0327" * 200_000
    assert text is composed(text)
    assert "\u00e9" == composed("e\u0301")
