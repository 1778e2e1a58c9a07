"""What is exported can be read by people and programs, and comes back as it was."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from chatkeep import importers
from chatkeep.core.model import Header, Json, Message, Selection, Session
from chatkeep.errors import InvalidError
from chatkeep.exporters import EXPORT_FORMATS, exported
from chatkeep.sessions.sessions import Sessions
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
    """Archived, pinned, tags and held are written after the metadata, and only when they are set."""
    marked = file_of(session(archived=True, pinned=True, tags=("a", "b"), held=True), fmt="json", single=True)
    marks = b'"archived":true,"pinned":true,"tags":["a","b"],"held":true'
    assert b'"metadata":{},' + marks + b',"messages":[\n],"message_count":0}\n' in marked


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
    with pytest.raises(InvalidError, match="json, jsonl, zip, md"):
        exported([], "xml", single=True)
    formats = ["json", "jsonl", "zip", "md", "html", "openai", "responses", "anthropic", "ai-sdk"]
    assert formats == list(EXPORT_FORMATS)


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
    assert page.startswith("# How do I?\n\n- Key: `telegram:1`\n- Channel: `telegram`\n")
    assert "## User\n\n*2024-01-15 10:30:00 UTC*\n\nHow *do* I?\n\nTell me\n\n" in page
    assert "Calls `search`:\n\n```json\n{}\n```\n" in page
    assert "## Tool find\\_it\n\n*2024-01-15 10:30:00 UTC*\n\n```text\n42\n```\n" in page


@pytest.mark.parametrize("fmt", ["md", "html"])
@pytest.mark.parametrize("depth, line_count", [(20, 39), (21, 1), (400, 1)])
def test_export_deep_arguments(fmt: str, depth: int, line_count: int) -> None:
    """Arguments nested deep stand on one line, for their indents would take a room with the square of the depth."""
    function: Json = {"name": "search", "arguments": "[" * depth + "]" * depth}
    call: Json = {"id": "c", "type": "function", "function": function}
    page = file_of(session(said("", "assistant", tool_calls=[call])), fmt=fmt, single=True).decode()
    lists = [line for line in page.splitlines() if re.fullmatch(r"(<pre[^>]*>|.*<code>)? *[\[\]]+(</.*)?", line)]
    assert line_count == len(lists), lists
    assert "[" * depth == "".join(re.findall(r"\[", "".join(lists)))


def test_export_words_and_code_across_long_lines() -> None:
    """Code and marks are found wherever they stand: before, behind and within lines longer than one step."""
    long = "x" * 70_000
    text = f"{long}<b {long}\n```\n{long}<i>\n```\n{long}&\n~~~\n<u>{long}"
    page = file_of(session(said(text)), fmt="html", single=True).decode()
    assert f"{long}&lt;b {long}</p>\n<pre><code>{long}&lt;i&gt;\n</code></pre>" in page
    assert f"{long}&amp;</p>\n<pre><code>&lt;u&gt;{long}</code></pre>" in page
    written = file_of(session(said(text)), fmt="md", single=True).decode()
    assert f"{long}\\<b {long}\n```\n{long}<i>\n```\n{long}&\n~~~\n<u>{long}\n~~~\n" in written


def test_export_markdown_of_very_many_lines() -> None:
    """A long text comes in pieces of so many lines, each line as it was, whatever ends it."""
    ends = ("\n", "\r\n", "\r", "\n\n")
    text = "".join(f"line {number}{ends[number % len(ends)]}" for number in range(4000)) + "last"
    pieces = [*exported([session(said(text))], "md", single=True)]
    assert "\n".join(re.split(r"\r\n|\r|\n", text)) in b"".join(pieces).decode()
    assert 1 < len(pieces) < 20


HOSTILE = (
    "```\n# Injected\r## User\n````\n<!--",
    "# Injected",
    "   ## Tool\n\n*now*",
    "Injected\n===",
    "Injected\n---",
    "***\n\n- - -\n___",
    "~~~\n```\nnever closed",
    "- ```\n  in a list",
    "<script>alert(1)</script> <details><summary>",
    "`<b>` and ``<i>`` and <u>",
    "`\n\n<!-- `",
    "[User]: https://example.com",
    "\\`<b>`",
    "> quoted\nlazy",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "- a\n  ```\n# Injected\n\n*now*",
    "- a\nlazy\n  ~~~\n# Injected",
    "- ```\n  ```\n# Injected\n\n  <img>",
    "- a\n\n  ```\n        ```\n  ```\n  <img>\n# Injected",
    "a\n2. ```\n   <img>\n# Injected",
    "a\n    ```x\n    b``` <img>",
    "a `\n<script>alert(1)</script>\n`",
    "a `b\n- <img src=x> `",
    "a `b\nc` <img src=x> `d`",
    "`a\n \n<b> `",
    "| a | b |\n|---|---|\n| `x | <img src=x> ` |",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_export_markdown_that_content_tries_to_leave(text: str) -> None:
    """No content ends its place: after it the transcript goes on as ever, without headings or HTML of the content."""
    page = file_of(session(said(text), said("end", "assistant"), title=text, key="a``b"), fmt="md", single=True)
    tokens = MarkdownIt().enable("table").parse(page.decode())
    tops = [
        after.content
        for token, after in pairwise(tokens)
        if token.type == "heading_open" and token.tag in {"h1", "h2"} and not token.level
    ]
    assert ["User", "Assistant"] == tops[1:]
    assert "end" == tokens[-2].content
    inner = [child for token in tokens for child in token.children or ()]
    assert [] == [one.content for one in (*tokens, *inner) if one.type in {"html_block", "html_inline", "hr"}]


@pytest.mark.parametrize(
    "text",
    [
        "1. One\n\n   ```sh\n   # not a heading\n   echo <b>\n   ```\n2. Two",
        "1. One\n\n    ```sh\n    # not a heading\n    echo <b>\n    ```\n2. Two",
        " ```\n# not a heading\n<b>\n ```",
        "`ls | wc <b>` and ``a ` b <i>``",
    ],
)
def test_export_code_as_it_was(text: str) -> None:
    """Code stands in a transcript as it was written, in the items of lists and between backticks too."""
    assert f"\n\n{text}\n\n" in file_of(session(said(text)), fmt="md", single=True).decode()


@pytest.mark.parametrize("fmt", ["md", "html"])
def test_export_a_transcript_that_reads_well(fmt: str) -> None:
    """Lists, tables and code of a message stand in the transcript as they were written."""
    written = "Do this:\n\n1. One\n2. Two\n\n```python\nprint(1 < 2)  # <b>\n```"
    page = file_of(session(said(written)), fmt=fmt, single=True).decode()
    if fmt == "md":
        assert written in page
    else:
        assert "<pre><code>print(1 &lt; 2)  # &lt;b&gt;\n</code></pre>" in page
        assert "Do this:\n\n1. One\n2. Two" in page


@pytest.mark.parametrize("text", [*HOSTILE, '"><img src=x onerror=alert(1)>', "</style></title></p>", "&lt;&#0;\u2028"])
def test_export_a_page_without_anything_active(text: str) -> None:
    """The page has no scripts, no handlers and no outside places, whatever stands in it; every text comes back."""
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    fetched = {"type": "image_url", "image_url": {"url": "https://example.com/spy.png"}}
    one = session(
        said(text, name="x"),
        Message(seq=0, role="user", content=[{"type": "text", "text": text}, picture, fetched], sent_at=AT, id="p"),
        said(f"<think>{text}</think>so", "assistant", tool_calls=[{"function": {"name": text, "arguments": text}}]),
        said(text, "tool"),
        title=text,
        metadata={"x": text},
    )
    seen = Seen()
    seen.feed(file_of(one, one, fmt="html").decode())
    assert {"html", "head", "meta", "title", "style", "body", "article", "section"} <= seen.tags
    assert set() == seen.tags & {"script", "link", "iframe", "object", "embed", "form", "a", "base", "svg", "u", "b"}
    assert {"charset", "http-equiv", "content", "name", "dir", "class", "datetime", "alt", "src"} >= seen.attributes
    assert ["data:image/png;base64,iVBORw0KGgo="] * 2 == seen.sources
    assert "default-src 'none'" in seen.policies[0]
    assert " ".join(text.split()) in " ".join("".join(seen.words).split()) or "```" in text or "~~~" in text


class Seen(HTMLParser):
    """What a browser would see in a page."""

    def __init__(self) -> None:
        """Begin with nothing."""
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.sources: list[str | None] = []
        self.policies: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag and its attributes."""
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        told = dict(attrs)
        self.sources += [told["src"]] if "src" in told else []
        self.policies += [str(told["content"])] if "http-equiv" in told else []

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self.words.append(data)


def test_export_an_archive(tmp_path: Path) -> None:
    """An archive has a document for each session and a list of them, and comes back identical by an import."""
    sessions = [session(said("a"), key="x/../y"), session(said("b", id="b"), key="X/../Y", tags=("t",))]
    pieces = list(exported(sessions, "zip", single=False))
    assert len(pieces) > len(sessions)
    path = tmp_path / "all.zip"
    path.write_bytes(b"".join(pieces))
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        listed = json.loads(archive.read("_manifest.json"))["sessions"]
        assert ["x/../y", "X/../Y"] == [one["key"] for one in listed]
        for one, kept in zip(listed, sessions, strict=True):
            content = archive.read(one["file"])
            assert file_of(kept, fmt="json", single=True) == content
            assert (len(content), hashlib.sha256(content).hexdigest()) == (one["size_bytes"], one["sha256"])
    taken = Sessions(MemoryStore())
    assert 2 == importers.take_in(taken, importers.read_sessions(path, "json")).sessions_created
    again = b"".join(exported((taken.read(one["key"]) for one in listed), "zip", single=False))
    assert path.read_bytes() == again


@pytest.mark.parametrize("fmt", ["zip", "jsonl", "openai", "html"])
def test_export_one_session_at_a_time(fmt: str) -> None:
    """An export asks for the next session only when the one before it is written."""
    asked: list[int] = []

    def sessions() -> Iterator[Session]:
        for number in range(3):
            asked.append(number)
            yield session(said("x" * 100), key=f"k:{number}")

    pieces = exported(sessions(), fmt, single=False)
    for piece in pieces:
        if b"k:0" in piece or b"k-0" in piece:
            break
    assert len(asked) <= 2
    assert any(b"k:2" in piece or b"k-2" in piece for piece in pieces)
