"""What is exported can be read by people and programs, and comes back as it was."""

from __future__ import annotations

import io
import json
import re
from datetime import UTC, datetime
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep import importers
from chatkeep.core.model import Header, Json, Message, Selection, Session
from chatkeep.errors import InvalidError
from chatkeep.exporters import EXPORT_FORMATS, exported
from chatkeep.sessions import Sessions
from chatkeep.store.memory import MemoryStore

AT = datetime(2024, 1, 15, 10, 30, tzinfo=UTC)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
JSON_OBJECTS: st.SearchStrategy[dict[str, Json]] = st.dictionaries(
    TEXTS, st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | TEXTS, st.lists, max_leaves=3), max_size=3
)
MESSAGES = st.builds(
    Message,
    seq=st.just(0),
    role=st.sampled_from(["system", "developer", "user", "assistant", "tool"]),
    content=TEXTS,
    sent_at=st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)),  # noqa: DTZ001
    id=st.uuids().map(str),
    name=st.none() | st.just("search"),
    tool_calls=st.none() | st.lists(JSON_OBJECTS, min_size=1, max_size=2),
    metadata=st.none() | JSON_OBJECTS.filter(bool),
)


def session(*messages: Message, **changes: object) -> Session:
    """Return a session with these messages, numbered."""
    fields: dict[str, Json] = {"key": "telegram:1", "channel": "telegram", "title": None, "created_at": AT, **changes}
    numbered = tuple(
        Message(**{name: getattr(message, name) for name in message.__struct_fields__} | {"seq": seq})
        for seq, message in enumerate(messages, start=1)
    )
    return Session(header=Header(**fields), messages=numbered)


def said(content: str, role: Literal["user", "assistant", "tool"] = "user", **fields: Json) -> Message:
    """Return a message."""
    return Message(seq=0, role=role, content=content, sent_at=AT, id=fields.pop("id", content[:20] or "-"), **fields)


def file_of(*sessions: Session, fmt: str, single: bool = False) -> bytes:
    """Return the exported file."""
    return b"".join(exported(sessions, fmt, single=single))


def test_export_one_session_as_json() -> None:
    """A session is exported as the document that a workspace keeps: one message per line, comma first."""
    expected = (
        b'{"format":2,"key":"telegram:1","channel":"telegram","title":null,"created_at":"2024-01-15T10:30:00Z",'
        b'"metadata":{},"messages":[\n'
        b'{"seq":1,"role":"user","content":"Hi","timestamp":"2024-01-15T10:30:00Z","id":"a"}\n'
        b',{"seq":2,"role":"assistant","content":"Ho","timestamp":"2024-01-15T10:30:00Z","id":"b"}\n'
        b'],"message_count":2}\n'
    )
    assert expected == file_of(session(said("Hi", id="a"), said("Ho", "assistant", id="b")), fmt="json", single=True)


def test_export_marks_only_when_set() -> None:
    """Archived, pinned and tags are written after the metadata, and only when they are set."""
    marked = file_of(session(archived=True, pinned=True, tags=("a", "b")), fmt="json", single=True)
    assert (
        b'"metadata":{},"archived":true,"pinned":true,"tags":["a","b"],"messages":[\n],"message_count":0}\n' in marked
    )


def test_export_many_as_json() -> None:
    """Several sessions are one JSON array, and none are an empty one."""
    keys = [one["key"] for one in json.loads(file_of(session(), session(said("x"), key="b"), fmt="json"))]
    assert ["telegram:1", "b"] == keys
    assert [] == json.loads(file_of(fmt="json"))


def test_export_as_json_lines() -> None:
    """Every session is one line, whatever is said in it."""
    lines = file_of(session(said("a\nb\r\n\u2028")), session(key="b"), fmt="jsonl").split(b"\n")
    assert ["telegram:1", "b"] == [json.loads(line)["key"] for line in lines if line]
    assert 3 == len(lines)


def test_export_refuses_unknown_format() -> None:
    """A format that does not exist is an error before anything is written."""
    with pytest.raises(InvalidError, match="json, jsonl, md"):
        exported([], "xml", single=True)
    assert ["json", "jsonl", "md"] == list(EXPORT_FORMATS)


@given(st.lists(MESSAGES, max_size=4, unique_by=lambda message: message.id), st.sampled_from(["json", "jsonl"]))
def test_import_what_was_exported(messages: list[Message], fmt: Literal["json", "jsonl"]) -> None:
    """Export, import into an empty workspace, export again: the same bytes, whatever was said."""
    first = file_of(session(*messages, tags=("x",), title="T", metadata={"a": [1, "é"]}), fmt=fmt, single=True)
    sessions = Sessions(MemoryStore())
    report = importers.take_in(sessions, importers.chatkeep.read(io.BytesIO(first), fmt))
    again = b"".join(exported(sessions.read_all(Selection(archived=None)), fmt, single=True))
    assert () == report.errors
    assert first == again


def test_export_markdown_for_people() -> None:
    """Markdown shows the title, the key, the times, who said what, and calls and their results."""
    call = {"id": "c", "type": "function", "function": {"name": "search", "arguments": "{}"}}
    page = file_of(
        session(
            said("How *do* I?\n\nTell me"), said("", "assistant", tool_calls=[call]), said("42", "tool", name="find_it")
        ),
        fmt="md",
        single=True,
    ).decode()
    assert page.startswith("# How \\*do\\* I?\n\n- Key: `telegram:1`\n- Channel: `telegram`\n")
    assert "**User** (2024-01-15 10:30:00 UTC)\n\n> How *do* I?\n>\n> Tell me\n" in page
    assert '```json\n{\n  "id": "c",' in page
    assert "**Tool** find\\_it (2024-01-15 10:30:00 UTC)\n\n```text\n42\n```\n" in page


def test_export_markdown_of_very_many_lines() -> None:
    """A long text comes in pieces of so many lines, each line quoted, whatever ends it."""
    ends = ("\n", "\r\n", "\r", "\n\n")
    text = "".join(f"line {number}{ends[number % len(ends)]}" for number in range(4000)) + "last"
    page = file_of(session(said(text)), fmt="md", single=True).decode()
    quoted = [line.removeprefix(">").removeprefix(" ") for line in page.splitlines() if line.startswith(">")]
    assert re.split(r"\r\n|\r|\n", text) == quoted
    assert 1 < len([*exported([session(said(text))], "md", single=True)]) < 20


def test_export_markdown_that_content_tries_to_leave() -> None:
    """No content ends its quote or fence, and no title or key becomes a mark of the page."""
    hostile = "```\n# Injected\r**User** (now)\n````\n<!--"
    page = file_of(
        session(said(hostile), said(hostile, "tool"), title="# <b>\n`x`", key="a``b"), fmt="md", single=True
    ).decode()
    outside = [line for line in page.replace("\r", "\n").split("\n") if not line.startswith(">")]
    assert "# \\# \\<b\\> \\`x\\`" == outside[0]
    assert "- Key: ``` a``b ```" in outside
    fence = outside.index("`````text")
    assert "`````" == outside[fence + 6]
    assert 1 == sum(line.startswith("# ") for line in outside[:fence] + outside[fence + 6 :])
