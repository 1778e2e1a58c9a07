"""The promises about text: any key and any content comes back unchanged."""

from __future__ import annotations

import re
from typing import Final

import pytest

from chatkeep.core.checks import check_title
from chatkeep.core.model import Json, Revision, Selection
from chatkeep.errors import InvalidError, SessionNotFoundError
from chatkeep.store.protocol import Store
from chatkeep.testing.samples import draft, search_for

SIX_KEYS: Final = ("a:b", "a/b", "a_b", "a b", "a@b", "A:b")
NASTY_KEYS: Final = (
    "..",
    ".",
    "../x",
    "../../etc/passwd",
    "/etc/passwd",
    "//",
    "a//b",
    "a/../b",
    "_index",
    "_aliases",
    "index.sqlite",
    "con",
    "NUL",
    "lpt1.txt",
    "a.json",
    "a",
    "A",
    "a.",
    "-rf",
    "~",
    "$HOME",
    "`id`",
    "%2e%2e%2f",
    "%00",
    "a%2Fb",
    "a?b=c&d#e",
    "a+b",
    'a"b',
    "a'b; DROP TABLE sessions; --",
    "a\\b",
    "C:\\x",
    "*",
    "<b>x</b>",
    "export",
    "delete",
    "search",
    "🎉",
    "👨‍👩‍👧‍👦",
    "日本語:x",
    "ключ",
    "مفتاح",
    "é",
    "e",
    "ß",
    "ss",
    "ｅ",
    "I",
    "ı",
    "x" * 128,
    "東" * 128,
    "𝕏" * 128,
)
NASTY_TEXTS: Final = (
    "",
    " ",
    "\n",
    "line one\r\nline two\r\n",
    "old\rmac",
    "  leading and trailing  \n\n",
    "\ttab\x0b\x0c\x1b[31m\x7f",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f and 👩🏽‍💻",
    "\u202eright to left\u202c עברית العربية",
    "separators \u2028 and \u2029 and \x85 and \ufeff",
    "e\u0301 is not é, and \u1100\u1161 is not 가",
    '# Title\n\n```json\n{"a": [1, 2], "b": "\\u0000"}\n```\n| a | b |\n|---|---|\n',
    '],"message_count":0}\n{"seq":1}\n,{"seq":2}',
    "back\\slash \\n \\u0041 \"quotes\" 'single' </script><img src=x>",
    "\ufffd\ufffe\uffff\U0010ffff",
    "%s %d {0} ${x} #{y}",
    "x" * 200_000,
    "長い文" * 50_000,
)
MARKS: Final = "\u0315\u0300\u0327" * 1000
"""3,000 combining marks of several classes: Unicode normalization sorts them, and is slow on so many."""

PARTS: Final[list[Json]] = [
    {"type": "text", "text": "What is this?\r\n"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": None}},
    "a bare string",
]
CALLS: Final[list[Json]] = [
    {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1.0, "b": "\\n"}'}},
]
METADATA: Final[dict[str, Json]] = {
    "floats": [0.1, 1e-300, 1e300, -0.5, 3.0],
    "integers": [0, -1, 2**53 + 1, 2**63 - 1, -(2**63)],
    "": {"nested": [[], {}, [None, True, False]], "ключ": "значение", "a\nb": "\r\n"},
}


class TextContract:
    """A store compares keys exactly and returns content exactly."""

    def test_append_six_keys(self, store: Store) -> None:
        """Similar keys are different sessions."""
        for n, key in enumerate(SIX_KEYS):
            store.append(key, [draft(f"I am {n}")])
        for n, key in enumerate(SIX_KEYS):
            assert [f"I am {n}"] == [message.content for message in store.read(key).messages]
        assert tuple(sorted(SIX_KEYS)) == store.keys(Selection()).keys
        store.delete("a/b")
        with pytest.raises(SessionNotFoundError):
            store.get("a/b")
        assert 5 == store.keys(Selection()).total

    @pytest.mark.parametrize("key", NASTY_KEYS)
    def test_append_nasty_key(self, store: Store, key: str) -> None:
        """Every verb takes every key."""
        assert key == store.append(key, [draft("a zebra", id="z")]).key
        assert key == store.get(key).header.key
        assert "a zebra" == store.read(key).messages[0].content
        assert 1 == len(store.window(key, limit=5).messages)
        assert (key,) == store.keys(Selection(prefixes=(key,))).keys
        assert [key] == [hit.key for hit in store.search(search_for("zebra")).hits]
        assert "Mine" == store.revise(key, Revision(title="Mine")).title
        assert [key] == [known.header.key for known in store.list(Selection(), limit=5).sessions]
        store.delete(key)
        assert 0 == store.status().session_count

    def test_append_all_nasty_keys(self, store: Store) -> None:
        """All of these keys are different sessions in one store."""
        for key in NASTY_KEYS:
            store.append(key, [draft(f"I am {key}")])
        assert tuple(sorted(NASTY_KEYS)) == store.keys(Selection()).keys
        for key in NASTY_KEYS:
            assert [f"I am {key}"] == [message.content for message in store.read(key).messages]

    def test_get_key_that_is_not_there(self, store: Store) -> None:
        """No key finds the session of another key."""
        store.append("a:b", [draft()])
        for key in (*SIX_KEYS[1:], *NASTY_KEYS):
            with pytest.raises(SessionNotFoundError):
                store.get(key)

    def test_append_nasty_texts(self, store: Store) -> None:
        """Every text comes back character by character, in one session with all of them."""
        store.append("texts", [draft(text) for text in NASTY_TEXTS])
        store.append("texts", [draft("the end")])
        assert [*NASTY_TEXTS, "the end"] == [message.content for message in store.read("texts").messages]
        assert [*NASTY_TEXTS, "the end"] == [message.content for message in store.window("texts", limit=50).messages]

    @pytest.mark.parametrize("text", NASTY_TEXTS[:16])
    def test_revise_nasty_title(self, store: Store, text: str) -> None:
        """Metadata takes any text, and a title any valid one."""
        store.append("texts", [draft()])
        title = _title_of(text)
        header = store.revise("texts", Revision(title=title, metadata={text: text})).header
        assert (title, {text: text}) == (header.title, header.metadata)
        assert header == store.read("texts").header
        assert title == store.list(Selection(), limit=1).sessions[0].title

    def test_append_parts(self, store: Store) -> None:
        """Content parts come back unchanged."""
        store.append("parts", [draft(PARTS), draft([])])
        assert [PARTS, []] == [message.content for message in store.read("parts").messages]

    def test_append_tool_calls(self, store: Store) -> None:
        """Null content beside tool calls stays null, and an empty string stays empty."""
        called = draft(None, role="assistant", tool_calls=CALLS)
        store.append("calls", [called, draft("", role="assistant", tool_calls=CALLS)])
        messages = store.read("calls").messages
        assert [(None, CALLS), ("", CALLS)] == [(message.content, message.tool_calls) for message in messages]
        assert 0 == store.append("calls", [called]).stored_count

    def test_append_metadata(self, store: Store) -> None:
        """Numbers keep their value and type, objects their members and order."""
        store.append("metadata", [draft("Hello", metadata=METADATA)])
        store.revise("metadata", Revision(metadata=METADATA))
        whole = store.read("metadata")
        assert repr(METADATA) == repr(whole.messages[0].metadata)
        assert repr(METADATA) == repr(whole.header.metadata)
        assert repr(METADATA) == repr(store.get("metadata").header.metadata)

    def test_append_largest_message(self, store: Store) -> None:
        """A message of a million bytes comes back like any other."""
        text = "0123456789" * 100_000
        store.append("large", [draft("before"), draft(text), draft("after")])
        assert ["before", text, "after"] == [message.content for message in store.read("large").messages]

    def test_search_among_marks_without_end(self, store: Store) -> None:
        """Words are found under any number of combining marks, far more than in any language."""
        text = f"quokka{MARKS} and wombat, then z{MARKS}ebra"
        store.append("marks", [draft(text)])
        assert text == store.read("marks").messages[0].content
        for word in ("quokka", "Wombat", "zebra"):
            (hit,) = store.search(search_for(word)).hits
            shown = [hit.excerpt[start:end] for start, end in hit.highlights]
            assert [word.lower()] == [re.sub(r"[^a-z]", "", one.lower()) for one in shown]

    def test_search_every_word_of_a_long_message(self, store: Store) -> None:
        """Each of 9,000 words of a message is found, also by an inflection or a prefix."""
        words = [f"w{number:05}x" for number in range(9000)]
        store.append("long", [draft(" ".join(("wallabies", *words, "wombats")))])
        for query in ("wallaby", "wombat", *words[::1500], words[-1][:-1]):
            assert ["long"] == [hit.key for hit in store.search(search_for(query)).hits]


def _title_of(text: str) -> str:
    try:
        return check_title(text)
    except InvalidError:
        return "x"
