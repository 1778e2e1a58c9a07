"""What is wrong in one place of a file costs that place alone; the rest comes in, and it is told."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import zstandard

from chatkeep import exporters, importers
from chatkeep.core.bounds import MESSAGE_BYTES_MAX, VALUES_MAX
from chatkeep.core.model import Session
from chatkeep.importers import Flaw, Report
from chatkeep.importers.formats.chatkeep import Fmt
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.memory import MemoryStore
from chatkeep.testing import at, draft, session

KEY = "cli:a"
COUNT = 7
NESTED = "[" * 400 + "]" * 400
BAD: dict[str, str | bytes] = {
    "half an emoji": r'{"role":"user","content":"a\ud83db"}',
    "a NUL": r'{"role":"user","content":"a\u0000b"}',
    "a raw NUL": '{"role":"user","content":"a\0b"}',
    "no UTF-8": b'{"role":"user","content":"a\xffb"}',
    "too long": '{"role":"user","content":"' + "word " * (MESSAGE_BYTES_MAX // 4) + '"}',
    "too deep": f'{{"role":"user","content":"x","metadata":{{"a":{NESTED}}}}}',
    "metadata too large": '{"role":"user","content":"x","metadata":{"a":"' + "word " * 60_000 + '"}}',
    "far too deep": '{"role":"user","content":"x","metadata":' + '{"a":' * 5000 + "1" + "}" * 5001,
    "too many values": '{"role":"user","content":"x","metadata":{"a":[' + "0," * VALUES_MAX + "0]}}",
    "another role": '{"role":"bot","content":"x"}',
    "no role": '{"content":"x"}',
    "content of a number": '{"role":"user","content":7}',
    "a time that is none": '{"role":"user","content":"x","timestamp":"yesterday"}',
    "a time far away": '{"role":"user","content":"x","timestamp":1e300}',
    "an id that is none": '{"role":"user","content":"x","id":7}',
    "an id that is too long": '{"role":"user","content":"x","id":"' + "i" * 200 + '"}',
    "calls that are none": '{"role":"assistant","content":"x","tool_calls":"find"}',
    "metadata of a list": '{"role":"user","content":"x","metadata":[1]}',
    "a name with a line break": r'{"role":"user","content":"x","name":"a\nb"}',
    "an id taken by other content": '{"role":"user","content":"other","id":"m2"}',
    "no object": "7",
    "a number out of range": '{"role":"user","content":"x","metadata":{"n":1e999}}',
    "half a line": '{"role":"user","content":"x',
    "brackets that are not closed": '{"role":"user","content":["x',
    "a comma too many": '{"role":"user",,"content":"x"}',
    "no quotation mark": '{"role":"user","content":x"}',
    "words": "nonsense",
}
LEFT_OUT = {
    "far too deep",
    "another role",
    "no role",
    "content of a number",
    "an id taken by other content",
    "no object",
    "half a line",
    "brackets that are not closed",
    "a comma too many",
    "no quotation mark",
    "words",
}


def whole() -> Session:
    """Return a session of seven messages, one a second."""
    return session(KEY, [draft(f"line {n}", n, id=f"m{n}") for n in range(COUNT)])


def spoilt(bad: str | bytes, place: int, fmt: Fmt) -> bytes:
    """Return the session as a file in which a message is a bad one."""
    raw = bad if isinstance(bad, bytes) else bad.encode("utf-8", "surrogatepass")
    lines = [b"," * (n > 0) + json.dumps(message_of(n)).encode() for n in range(COUNT)]
    lines[place] = b"," * (place > 0) + raw
    head = b'{"format":1,"key":"cli:a","created_at":"2024-01-15T10:30:00Z","messages":['
    end = b'],"message_count":7}'
    return b"\n".join([head, *lines, end]) + b"\n" if fmt == "json" else b"".join([head, *lines, end]) + b"\n"


def message_of(n: int) -> dict[str, Any]:
    """Return the n-th message as a program writes it down."""
    return {"role": "user", "content": f"line {n}", "timestamp": at(n).isoformat(), "id": f"m{n}"}


def taken(data: bytes, fmt: Fmt) -> tuple[Sessions, Report]:
    """Return an empty store after an import, and the report."""
    sessions = Sessions(MemoryStore())
    return sessions, importers.take_in(sessions, importers.chatkeep.read(io.BytesIO(data), fmt))


@pytest.mark.parametrize("place", [0, 3, COUNT - 1])
@pytest.mark.parametrize("fmt", ["json", "jsonl"])
@pytest.mark.parametrize("name", BAD)
def test_import_costs_no_neighbour(name: str, fmt: Fmt, place: int) -> None:
    """Whatever one message is, wherever it stands, the others come in with their order and times, and it is told."""
    sessions, report = taken(spoilt(BAD[name], place, fmt), fmt)
    messages = sessions.read(KEY).messages
    good = [f"line {n}" for n in range(COUNT) if n != place]
    if name == "an id taken by other content" and place == 0:
        good.remove("line 2")  # it came later
    assert good == [message.content for message in messages if str(message.content).startswith("line ")]
    assert [at(n) for n in range(COUNT) if f"line {n}" in good] == [
        message.sent_at for message in messages if str(message.content).startswith("line ")
    ]
    assert report.errors
    assert all(flaw.reason for flaw in report.errors)
    expected = COUNT - 1 if name in LEFT_OUT else COUNT
    assert expected == len(messages)
    if name != "an id taken by other content":
        assert f"1, message {place + 1}" in report.errors[0].place


def test_import_replaces_single_characters() -> None:
    """Half an emoji and a NUL become U+FFFD, the words around them stay, and the message says so itself."""
    sessions, report = taken(spoilt(BAD["half an emoji"], 3, "jsonl"), "jsonl")
    message = sessions.read(KEY).messages[3]
    assert ("a\ufffdb", {"altered": ["characters replaced"]}) == (message.content, message.metadata)
    assert "line 1, message 4" == report.errors[0].place
    assert "U+FFFD" in report.errors[0].reason


@pytest.mark.parametrize("size", [MESSAGE_BYTES_MAX + 1, 4 * MESSAGE_BYTES_MAX])
def test_import_cuts_long_text_with_a_mark(size: int) -> None:
    """A text that is too long keeps its beginning, and a mark that says how much was cut; the report says it too."""
    words = "word " * (size // 5)
    text = json.dumps({"role": "user", "content": words, "id": "long"})
    sessions, report = taken(spoilt(text, 3, "json"), "json")
    content = str(sessions.read(KEY).messages[3].content)
    assert content.startswith(words[: MESSAGE_BYTES_MAX // 2 - 1000])
    assert f"of {len(words)} characters" in content[-120:]
    assert "cut" in report.errors[0].reason


def test_import_again_adds_nothing() -> None:
    """What was mended is mended the same way the next time."""
    for name, bad in BAD.items():
        data = spoilt(bad, 3, "json")
        sessions, first = taken(data, "json")
        again = importers.take_in(sessions, importers.chatkeep.read(io.BytesIO(data), "json"))
        assert (0, first.messages_added) == (again.messages_added, again.messages_skipped), name


def test_export_after_mending_is_imported_as_it_is() -> None:
    """What came in can go anywhere: export, import elsewhere, export again is the same file, without a flaw."""
    for name, bad in BAD.items():
        sessions, _ = taken(spoilt(bad, 3, "json"), "json")
        first = b"".join(exporters.exported([sessions.read(KEY)], "json", single=True))
        elsewhere, report = taken(first, "json")
        assert () == report.errors, name
        assert first == b"".join(exporters.exported([elsewhere.read(KEY)], "json", single=True))


def test_import_goes_on_behind_a_session_that_is_cut() -> None:
    """A record that breaks off in a list costs its own end alone."""
    half = spoilt(BAD["half a line"], COUNT - 1, "json").partition(b'],"message_count"')[0]
    other = json.dumps({"key": "cli:b", "messages": [message_of(1)]}).encode()
    sessions, report = taken(b"[\n" + half + b"\n," + other + b"\n]\n", "json")
    assert COUNT - 1 == len(sessions.read(KEY).messages)
    assert 1 == len(sessions.read("cli:b").messages)
    assert report.errors


def test_import_mends_headers() -> None:
    """A title, tags or metadata that break a rule cost no message."""
    record = {
        "key": KEY,
        "title": "t" * 300,
        "tags": ["good", "", 7],
        "channel": 7,
        "metadata": {"a": "x" * 300_000},
        "created_at": "then",
        "archived": "yes",
        "messages": [message_of(1)],
    }
    sessions, report = taken(json.dumps(record).encode(), "json")
    header = sessions.read(KEY).header
    assert (("good",), {}, "cli", False) == (header.tags, header.metadata, header.channel, header.archived)
    assert 200 == len(header.title or "")
    assert 1 == len(report.errors)
    for name in ("title", "tag", "channel", "metadata", "created_at", "archived"):
        assert name in report.errors[0].reason


@pytest.mark.parametrize("key", [b"cli:\\u0000a", b"cli:\\ud83da", b"cli:\xffa"])
def test_import_tells_that_a_header_was_mended(key: bytes) -> None:
    """A key that cannot be stored as it is becomes another, and the report says so."""
    sessions, report = taken(b'{"key":"%b","messages":[{"role":"user","content":"a"}]}' % key, "json")
    assert ("cli:\ufffda",) == sessions.keys().keys
    assert ["header" in flaw.reason for flaw in report.errors] == [True]


def test_import_of_many_parts_is_one_session() -> None:
    """A long session comes in part by part, numbered through, and counts once."""
    messages = [{"role": "user", "content": f"line {n}"} for n in range(2500)]
    sessions, report = taken(json.dumps({"messages": messages, "key": KEY, "created_at": 5}).encode(), "json")
    assert (1, 0, 2500) == (report.sessions_created, report.sessions_extended, report.messages_added)
    assert [f"line {n}" for n in range(2500)] == [message.content for message in sessions.read(KEY).messages]


def test_import_of_nothing_but_errors_ends() -> None:
    """A source that has only errors is given up, and that is said."""
    _, report = taken(b"{}\n" * 50_000, "jsonl")
    assert any("nothing but errors" in flaw.reason for flaw in report.errors[-2:])
    assert len(report.errors) < 1100


@pytest.mark.parametrize("kind", ["one line", "one message a line", "one session a line"])
@pytest.mark.parametrize("pack", ["gz", "zst"])
def test_import_of_a_large_archive_takes_little_memory(tmp_path: Path, kind: str, pack: str) -> None:
    """48 MB in an archive are read with less memory than a message may need, whatever their layout."""
    text = "word " * 1200
    message = '{"role":"user","content":"%s","timestamp":%d}'
    lines = [message % (text, n) for n in range(8000)]
    if kind == "one session a line":
        content = "\n".join(f'{{"key":"a:{n}","messages":[{line}]}}' for n, line in enumerate(lines))
    else:
        joint = "," if kind == "one line" else "\n,"
        content = '{"key":"a","created_at":5,"messages":[' + joint.join(lines) + "]}"
    packed = gzip.compress(content.encode(), 1) if pack == "gz" else zstandard.compress(content.encode(), 1)
    path = tmp_path / f"a.json{'l' * (kind != 'one message a line')}.{pack}"
    path.write_bytes(packed)
    code = (
        "import resource, sys; from pathlib import Path; from chatkeep import importers\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "count = sum(len(one.messages) for one in importers.read_sessions(Path(sys.argv[1]), sys.argv[2]))\n"
        "print(count, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10)"
    )
    fmt = "json" if kind == "one message a line" else "jsonl"
    done = subprocess.run([sys.executable, "-c", code, str(path), fmt], capture_output=True, text=True, check=True)
    count, growth_bytes = map(int, done.stdout.split())
    assert len(lines) == count
    assert growth_bytes < 64 << 20


def test_flaws_are_told_with_their_file(tmp_path: Path) -> None:
    """A flaw says in which file it is, in which record, and which message."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(spoilt(BAD["another role"], 3, "jsonl"))
    flaws = [one for one in importers.read_sessions(path, "jsonl") if isinstance(one, Flaw)]
    assert ["a.jsonl, line 1, message 4"] == [flaw.place for flaw in flaws]
