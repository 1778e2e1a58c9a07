"""Strangers' words made safe to show: short, on one line, without keys and terminal controls."""

from __future__ import annotations

import re
from typing import Final

QUOTED_CHARS_MAX: Final = 300
_LOOKED_AT: Final = 1 << 14  # characters; bounds the cost of a long text
_HIDDEN: Final = "***"
_KEY: Final = re.compile(
    r"\b(?:sk|pk|rk|ck|gsk|xai|hf|ghp|nvapi|pplx|or|key|token)[-_][A-Za-z0-9*_-]{6,}"
    r"|\bAIza[A-Za-z0-9_-]{20,}|\beyJ[A-Za-z0-9_.-]{20,}"
)
_BEARER: Final = re.compile(r"(\bBearer[ \t]+)[^\s\"',;]+", re.IGNORECASE)
_ACTING: Final = re.compile(
    "[\x00-\x20\x7f-\xa0\xad\u061c\u115f\u1160\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f"
    "\u3000\u3164\ud800-\udfff\ufeff\ufff9-\ufffb\uffa0\U000e0000-\U000e0fff]+"
)
# Controls except tab and line feed, soft hyphen, and invisible or direction-turning characters except joiners
UNSAFE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u070f\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e0fff]"
)
_UNSEEN: Final = re.compile(r"<(script|style|svg|head)\b[^<>]*>.*?</\1[^<>]*>", re.DOTALL | re.IGNORECASE)
_TITLE: Final = re.compile(r"<title[^<>]*>([^<>]*)<", re.IGNORECASE)
_TAG: Final = re.compile(r"<[^<>]*>")


def visible(text: str) -> str:
    """Return the text with Python escapes for terminal controls and invisible characters."""
    return UNSAFE.sub(lambda found: ascii(found.group())[1:-1], text.replace("\r\n", "\n"))


def quoted(words: str) -> str:
    """Return the words on one short line, with stars in place of anything like a key."""
    text = words[:_LOOKED_AT]
    text = _BEARER.sub(rf"\1{_HIDDEN}", _KEY.sub(_HIDDEN, _ACTING.sub(" ", text).strip()))
    return text if len(text) <= QUOTED_CHARS_MAX else f"{text[:QUOTED_CHARS_MAX]}…"


def page_words(page: str) -> str:
    """Return the words of a web page: its title and its text, without its tags."""
    page = page[:_LOOKED_AT]
    title = _TITLE.search(page)
    text = _TAG.sub(" ", _UNSEEN.sub(" ", page))
    said = " ".join(text.split())
    named = " ".join(title[1].split()) if title else ""
    return said if not named or said.startswith(named) else f"{named} {said}".strip()
