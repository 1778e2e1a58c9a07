"""Files in Chatkeep's own format are read whole, and what is wrong in them is named."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pytest
import zstandard

from chatkeep import importers
from chatkeep.core.model import Json, Session
from chatkeep.importers import Flaw
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.memory import MemoryStore

SCALE: dict[str, Json] = {
    "key": "telegram:7",
    "channel": "telegram",
    "created_at": "2024-01-01T09:00:00+09:00",
    "messages": [
        {"role": "user", "content": "東京", "timestamp": "2024-01-01T09:00:00+09:00"},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "1"}]},
        {"role": "tool", "content": "{}", "tool_call_id": "1", "name": "find", "timestamp": 1704067260.5},
    ],
}


def now() -> datetime:
    """Return one time for ever."""
    return datetime(2026, 1, 1, tzinfo=UTC)


def read(data: bytes | str, fmt: Literal["json", "jsonl"] = "jsonl") -> list[Session | Flaw]:
    """Return all that a file holds."""
    raw = data if isinstance(data, bytes) else data.encode()
    return list(importers.chatkeep.read(io.BytesIO(raw), fmt, now=now))


def one(data: bytes | str, fmt: Literal["json", "jsonl"] = "jsonl") -> Session:
    """Return the one session that a file holds."""
    (session,) = read(data, fmt)
    assert isinstance(session, Session), session
    return session


def test_read_record_without_ids() -> None:
    """Times of any offset become UTC, a missing time is the one before, ids are made the same way each time."""
    session = one(json.dumps(SCALE))
    start = datetime(2024, 1, 1, tzinfo=UTC)
    assert start == session.header.created_at
    assert [start, start, datetime(2024, 1, 1, 0, 1, 0, 500000, tzinfo=UTC)] == [m.sent_at for m in session.messages]
    assert session == one(json.dumps(SCALE))
    assert 3 == len({message.id for message in session.messages})


def test_read_record_without_any_time() -> None:
    """A session begins with its earliest message; when nothing is known, it begins now."""
    timed = {
        "key": "a",
        "messages": [{"role": "user", "content": "x"}, {"role": "user", "content": "y", "timestamp": 9}],
    }
    assert datetime(1970, 1, 1, 0, 0, 9, tzinfo=UTC) == one(json.dumps(timed)).header.created_at
    assert now() == one('{"key":"a","messages":[{"role":"user","content":"x"}]}').messages[0].sent_at


def test_read_again_after_the_source_forgot_messages() -> None:
    """Made ids do not depend on the place in the file: what is left of it is still known."""
    said = [{"role": "user", "content": text} for text in ("one", "two", "two", "three")]
    whole = {"key": "a", "created_at": 5, "messages": said}
    sessions = Sessions(MemoryStore())
    importers.take_in(sessions, read(json.dumps(whole)))
    report = importers.take_in(
        sessions, read(json.dumps({**whole, "messages": [*said[1:], {**said[0], "content": "4"}]}))
    )
    assert (1, 3) == (report.messages_added, report.messages_skipped)


def test_read_session_file_with_reserved_space() -> None:
    """A file copied out of a workspace, padding included, is read like any other."""
    document = (
        '{"format":1,"key":"a/b","channel":"api","title":null,"created_at":"2024-01-15T10:30:00Z","metadata":{},'
        '"messages":[\n{"seq":1,"role":"user","content":"x","timestamp":"2024-01-15T10:30:00Z","id":"i"}\n'
        '],"message_count":1}\n' + "\n" * 4096
    )
    assert "a/b" == one(document, "json").header.key


def test_read_lines_with_flaws_between() -> None:
    """A bad line is named with its number and reason; the others are read."""
    lines = [
        "\ufeff" + json.dumps(SCALE),
        "",
        "not json",
        "[1]",
        '{"key":"a"}',
        '{"key":"a","messages":[{"role":"bot","content":"x"}]}',
        '{"format":3,"key":"a","messages":[]}',
        '{"key":"a","created_at":1e300,"messages":[]}',
        '{"key":"a","messages":[{"role":"user","content":"\\ud800"}]}',
        json.dumps({**SCALE, "key": "z"}),
    ]
    found = read("\n".join(lines))
    flaws = [record for record in found if isinstance(record, Flaw)]
    assert [
        "line 3",
        "line 4",
        "line 5",
        "line 6, message 1",
        "line 7",
        "line 8",
        "line 9, message 1",
    ] == [flaw.place for flaw in flaws]
    assert ["telegram:7", "a", "a", "z"] == [record.header.key for record in found if isinstance(record, Session)]
    assert "`messages`" in flaws[2].reason
    assert "bot" in flaws[3].reason


def test_read_array_with_flaws_between() -> None:
    """A bad element of an array is named with its place; the others are read."""
    found = read(json.dumps([SCALE, 3, SCALE]), "json")
    assert [Session, Flaw, Session] == [type(record) for record in found]
    assert isinstance(found[1], Flaw)
    assert "session 2" == found[1].place


@pytest.mark.parametrize("data", ["", "{", "[1,", "[" * 100_000, '{"a":' * 100_000, "nonsense"])
def test_read_broken_document(data: str) -> None:
    """A document that is no JSON, or nested too deep, is named with a sentence, never with a crash."""
    assert all(isinstance(record, Flaw) for record in read(data, "json"))
    assert read(data, "json")
    assert all(isinstance(record, Flaw) for record in read(data))


def test_read_nested_metadata() -> None:
    """128 levels of a message are read; more are refused; brackets within strings do not count."""

    def record(depth: int) -> str:
        nested = "[" * depth + "]" * depth
        return f'{{"key":"a","messages":[{{"role":"user","content":"{"[" * 500}","metadata":{{"a":{nested}}}}}]}}'

    assert isinstance(read(record(126))[0], Session)
    assert isinstance(read(record(127 + 3))[0], Flaw)


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_read_compressed_file(tmp_path: Path, suffix: str) -> None:
    """Compression is told by the content, and progress by the bytes on the disk."""
    packs: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}
    path = tmp_path / f"sessions.jsonl{suffix}"
    path.write_bytes(packs[suffix](json.dumps(SCALE).encode() + b"\n" + json.dumps({**SCALE, "key": "b"}).encode()))
    seen: list[int] = []
    assert "jsonl" == importers.sniff(path)
    assert 2 == len(list(importers.read_sessions(path, "jsonl", on_bytes=seen.append)))
    assert path.stat().st_size == sum(seen)


@pytest.mark.parametrize("cut", ["in a block", "between blocks", "before the checksum"])
@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_read_cut_compressed_file(tmp_path: Path, suffix: str, cut: str) -> None:
    """Compressed data that ends too early is a flaw that blames the compression; what came whole is read."""
    first, second = (
        b"".join(json.dumps({**SCALE, "key": f"{part}:{number}"}).encode() + b"\n" for number in range(9))
        for part in "ab"
    )
    pack = (
        zlib.compressobj(wbits=31) if suffix == ".gz" else zstandard.ZstdCompressor(write_checksum=True).compressobj()
    )
    flush_block = zlib.Z_FULL_FLUSH if suffix == ".gz" else zstandard.COMPRESSOBJ_FLUSH_BLOCK
    head = pack.compress(first) + pack.flush(flush_block)
    tail = pack.compress(second) + pack.flush()
    path = tmp_path / f"sessions.jsonl{suffix}"
    path.write_bytes(head + {"in a block": tail[:20], "between blocks": b"", "before the checksum": tail[:-3]}[cut])
    *sessions, flaw = importers.read_sessions(path, "jsonl")
    assert "jsonl" == importers.sniff(path)
    assert (9 if cut != "before the checksum" else 18) == sum(isinstance(one, Session) for one in sessions)
    assert isinstance(flaw, Flaw)
    assert path.name == flaw.place
    assert "The compressed data is damaged" in flaw.reason


def test_read_several_frames(tmp_path: Path) -> None:
    """Compressed files that were put one after the other are read as one, as their tools do."""
    path = tmp_path / "sessions.jsonl.zst"
    lines = [json.dumps({**SCALE, "key": key}).encode() + b"\n" for key in "abc"]
    path.write_bytes(b"".join(map(zstandard.compress, lines)))
    assert 3 == len([one for one in importers.read_sessions(path, "jsonl") if isinstance(one, Session)])


def test_read_file_that_expands_beyond_measure(tmp_path: Path) -> None:
    """A small file that unpacks to gigabytes is given up before it fills the memory."""
    path = tmp_path / "bomb.jsonl.zst"
    compressor = zstandard.ZstdCompressor().compressobj()
    zeros = bytes(1 << 20)
    path.write_bytes(b"".join([*(compressor.compress(zeros) for _ in range(300)), compressor.flush()]))
    *_, flaw = importers.read_sessions(path, "jsonl")
    assert isinstance(flaw, Flaw)
    assert "1000 times" in flaw.reason


def test_read_folder_of_files(tmp_path: Path) -> None:
    """All session files of a folder are read, lines and documents alike; a bad one is named, others go on."""
    (tmp_path / "sessions").mkdir()
    (tmp_path / "sessions" / "a.json").write_text(json.dumps(SCALE))
    (tmp_path / "sessions" / "b.json").write_text("{broken")
    (tmp_path / "sessions" / "c.jsonl").write_text(json.dumps({**SCALE, "key": "c"}) + "\n{}\n")
    (tmp_path / "sessions" / "notes.txt").write_text("x")
    assert "json" == importers.sniff(tmp_path)
    found = list(importers.read_sessions(tmp_path, "json"))
    assert ["telegram:7", "c"] == [record.header.key for record in found if isinstance(record, Session)]
    assert ["b.json, session 1", "c.jsonl, line 2"] == [record.place for record in found if isinstance(record, Flaw)]
