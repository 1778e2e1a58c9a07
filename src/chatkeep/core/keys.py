"""Names: keys of sessions, and ids of messages.

The exact string of a key is the identity of a session, and Chatkeep never changes it to fit.

A key has 1 to 128 characters of any script, slashes, colons and inner spaces included. It is brought to Unicode form
NFC on entry, so that two spellings of one text are one session. White space at the ends, lone surrogates, control and
format characters are refused. The joiners U+200C and U+200D are allowed: some scripts need them.

An id of a message is unique without coordination, and sorts by time as text.
"""

from __future__ import annotations

import unicodedata
from datetime import datetime
from typing import Final

from chatkeep.errors import InvalidKeyError

KEY_CHARS_MAX = 128
CHANNEL_CHARS_MAX = 64
_SPELLED_CHARS_MAX = 4 * KEY_CHARS_MAX  # a letter in form NFC decomposes to at most four characters
JOINERS = "\u200c\u200d"
_REFUSED_CATEGORIES = {
    "Cc": "control characters",
    "Cf": "invisible format characters",
    "Cs": "lone surrogates",
    "Zl": "line separators",
    "Zp": "paragraph separators",
}
_CHANNELS_BY_PREFIX = {"websocket": "web"}
RANDOM_BITS: Final = 80  # as a ULID has
_STEP_SHIFT: Final = 16
_TIME_BITS: Final = 48
_CROCKFORD: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_DIGIT_PAIRS: Final = tuple(one + other for one in _CROCKFORD for other in _CROCKFORD)
_KNOWN_PREFIXES = frozenset(
    (
        "web",
        "telegram",
        "discord",
        "slack",
        "cli",
        "api",
        "whatsapp",
        "signal",
        "matrix",
        "teams",
        "google_chat",
        "email",
    )
)


def parse_key(text: str) -> str:
    """Return the key spelled by `text`, in form NFC.

    Raises:
        InvalidKeyError: when it is empty, too long, or has characters not allowed in a key.
    """
    if len(text) > _SPELLED_CHARS_MAX:
        raise InvalidKeyError(f"must have 1 to {KEY_CHARS_MAX} characters, has {len(text)}")
    for character in "" if text.isascii() and text.isprintable() else text:
        refused = _REFUSED_CATEGORIES.get(unicodedata.category(character))
        if refused and character not in JOINERS:
            raise InvalidKeyError(f"must not contain {refused}")
    key = composed(text)
    if not 1 <= len(key) <= KEY_CHARS_MAX:
        raise InvalidKeyError(f"must have 1 to {KEY_CHARS_MAX} characters, has {len(key)}")
    if key != key.strip():
        raise InvalidKeyError("must not begin or end with white space")
    return key


def composed(text: str) -> str:
    """Return a name in Unicode form NFC, as stored and compared: `e` and an accent become one letter.

    Keys, prefixes of keys, channels and tags take this form on entry. Ids of messages do not. A text too long for any
    name stays as it is: the rule for names refuses it, so its marks cost no time here.
    """
    return text if len(text) > _SPELLED_CHARS_MAX else unicodedata.normalize("NFC", text)


def channel_of(key: str) -> str:
    """Return the channel named by the known prefix of a key, else `api`.

    Source: the table of key formats in grip-ai's Sessions API; `websocket:` is PocketPaw's name for the web.
    """
    prefix = key.partition(":")[0] if ":" in key else ""
    return _CHANNELS_BY_PREFIX.get(prefix, prefix if prefix in _KNOWN_PREFIXES else "api")


def number_after(last: int, at: datetime, random_bits: int) -> int:
    """Return a number greater than the last: milliseconds and 80 random bits, else the last plus a random step.

    So numbers made in one millisecond, or after a clock was set back, keep their order. Begin with 0. The step has up
    to 64 random bits: two numbers do not reveal whether another one lies between them.

    Source: ULID specification, monotonicity; the step, and the carry into the milliseconds in place of its overflow,
    are ours.
    """
    fresh = (int(at.timestamp() * 1000) & ((1 << _TIME_BITS) - 1)) << RANDOM_BITS | random_bits
    return fresh if fresh >> RANDOM_BITS > last >> RANDOM_BITS else last + 1 + (random_bits >> _STEP_SHIFT)


def id_of(number: int) -> str:
    """Return a number as an id of 26 characters, sorted like the numbers.

    Source: the ULID layout (48 bits of milliseconds, 80 random bits, Crockford's base 32).
    """
    return "".join([_DIGIT_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)])
