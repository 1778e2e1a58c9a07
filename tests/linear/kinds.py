"""Texts that strangers may send: each kind as a function from a number of characters to a text of about so many."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Final

Kind = Callable[[int], str]

REPEATED: Final = {
    "marks of mixed classes": "\u0315\u0300\u0327",
    "marks of one class": "\u0301",
    "thirty marks on each letter": "a" + "\u0315\u0300\u0327" * 10,
    "thirty marks that stay": "a" + "\u1ab0\u1dce\u0315" * 10,
    "marks that stay": "\u1ab0\u1ab5\u1dce",
    "marks that are several": "\u0f73\u0344",
    "zalgo": "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f\u0334\u0319\u0324\u031e\u0349\u035a\u032f",
    "letters and marks": "e\u0301o\u0308",
    "vietnamese, decomposed": "ế\u0323".replace("ế", "e\u0302\u0301"),
    "ligatures": "\ufdfa\ufb03",
    "jamo": "\u1112\u1161\u11ab",
    "jamo without end": "\u1161\u11ab",
    "hangul": "한글",
    "half-width kana": "\uff76\uff9e",
    "voiced marks": "\uff9e",
    "kana and marks": "か\u3099",
    "han": "漢字",
    "han and marks": "漢\u0301\u0315",
    "thai": "ที่นี่",
    "hindi": "क्ष\u0940",
    "arabic": "مُحَمَّد ",
    "hebrew": "שָׁלוֹם ",
    "joiners": "\u200d\u200c",
    "emoji sequences": "👩\u200d👩\u200d👧\u200d👦",
    "emoji joined without end": "👩\u200d",
    "flags": "🇩🇪",
    "skin tones": "👍🏽",
    "variations": "a\ufe0f",
    "tags": "🏴\U000e0067\U000e0062\U000e007f",
    "tag characters": "\U000e0067",
    "keycaps": "1\ufe0f\u20e3",
    "turns of direction": "\u202ea\u202c\u2067b\u2069",
    "soft hyphens": "a\u00ad",
    "capital letters that become two": "İß",
    "blank lines": "\n",
    "all line ends": "\r\n\r\x0b\x0c\x85\u2028",
    "spaces": " ",
    "spaces and lines": " \t\n",
    "wide spaces": "\u3000\u200b",
    "control characters": "\x1b[31m\x07",
    "backticks": "`",
    "backticks apart": "` `` ",
    "fences": "```\n",
    "brackets": "[",
    "links": "[a](b",
    "pictures": "![",
    "parentheses": "(((",
    "stars": "*",
    "stars and letters": "*a **b",
    "underscores": "_a_",
    "pipes": "|-|\n",
    "tildes": "~~a",
    "nested quotes": "> ",
    "lists": "- ",
    "headings": "# a\n",
    "html": "<b a='",
    "html comments": "<!--",
    "entities": "&amp",
    "thinking": "<think>a</think>",
    "thinking begun": "<think>",
    "thinking never begun": "<thin ",
    "formulas": "$\\frac{",
    "quotes": '"',
    "quoted": '"a" ',
    "apostrophes": "don't've'",
    "escapes": "\\",
    "escaped quotes": '\\"',
    "escaped surrogates": "\\ud83d",
    "surrogates": "\ud83d\ud83d",
    "digits": "1234567890 ",  # apart: one number of JSON has at most 4,300, which Python reads with their square
    "decimal points": "1.",
    "versions": "v1.1",
    "times": "t12:34-",
    "hex": "0xdeadbeef",
    "humps": "aA",
    "humps of three": "AAa",
    "letters and digits": "a1",
    "short humps": "aA ",
    "one word": "a",
    "short words": "a ",
    "words": "the quick brown fox jumps over lazy dogs ",
    "hyphens": "a-",
    "dots": "a.",
    "slashes": "a/",
    "addresses": "user@example.com ",
    "web addresses": "https://a.b/c?d=%41&",
    "percents": "%2e",
    "base64": "QUJD",
    "picture": "data:image/png;base64,",
    "objects": '{"a":',
    "lists in lists": "[",
    "empty objects": "{},",
    "closed lists": "[]",
    "members": '"a":1,',
    "commas": ",",
    "numbers": "1e9,",
    "nulls": "null,",
    "events": "data: a\n",
    "empty events": "data:\n",
    "ended events": "data: {}\n\n",
    "event fields": "id: 1\nevent: a\n",
    "bom": "\ufeff",
    "comments": ":\n",
    "cookies": "a=b; ",
    "forwarded": "127.0.0.1, ",
}


def _repeated(unit: str) -> Kind:
    return lambda size: (unit * (size // len(unit) + 1))[:size]


def _different_words(size: int) -> str:
    return "".join(f"w{number:x}q " for number in range(size // 6))


def _different_letters(size: int) -> str:
    return "".join(chr(0x4E00 + number * 7919 % 20_000) for number in range(size))


def _different_characters(size: int) -> str:
    return "".join(chr(0x20 + number * 7919 % 0xD000) for number in range(size))


def _different_members(size: int) -> str:
    return json.dumps({f"k{number:x}": number for number in range(4096, 4096 + size // 16)})


def _nested(size: int) -> str:
    return "[" * (size // 2) + "]" * (size // 2)


def _calls(size: int) -> str:
    calls = ({"index": number, "id": f"{number}", "function": {"name": "f"}} for number in range(size // 50))
    return json.dumps({"choices": [{"delta": {"tool_calls": list(calls)}}]})


def _growing_words(size: int) -> str:
    words = ("ab" * length for length in itertools.count(1))
    return " ".join(itertools.islice(words, int(size**0.5)))


KINDS: Final[dict[str, Kind]] = {
    **{name: _repeated(unit) for name, unit in REPEATED.items()},
    "marks on one letter": lambda size: "a" + _repeated("\u0315\u0300\u0327")(size - 1),
    "white space before a word": lambda size: " " * (size - 1) + "a",
    "a word between lines": lambda size: "\n" * (size // 2) + "a" + "\n" * (size // 2),
    "different words": _different_words,
    "different letters": _different_letters,
    "different characters": _different_characters,
    "different members": _different_members,
    "nested lists": _nested,
    "calls of a model": _calls,
    "words that grow": _growing_words,
}

FEW: Final = (
    "marks of mixed classes",
    "emoji joined without end",
    "blank lines",
    "quotes",
    "escapes",
    "nested lists",
    "one word",
    "humps",
    "han",
    "thinking",
    "different words",
    "spaces",
    "ended events",
    "backticks",
)
"""The kinds that are tried where each costs much."""
