"""The parsers of outside bytes, each as a function that may fail only in the ways its parser documents.

A target takes any bytes, feeds one room of the code with them, and asserts what must hold of the result. An
exception that the parser does not document leaves the target, and is a finding. `run.py` looks for such
bytes with coverage as its guide; `test_targets.py` runs the seeds and their mutations as ordinary tests.
"""

from __future__ import annotations

import gzip
import io
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
import zstandard
from msgspec import Struct

from chatkeep import config, exporters, importers
from chatkeep.access.tokens import TokenFile
from chatkeep.core import keys, paging
from chatkeep.core.checks import check_channel, check_tags, check_title
from chatkeep.core.life.message_rules import check_draft
from chatkeep.core.model import Header, Message, Selection, Session
from chatkeep.core.search.highlighter import excerpt
from chatkeep.core.search.query import QUERY_CHARS_MAX, parse_query
from chatkeep.core.search.words import rows_of, spaced, tokens_of
from chatkeep.core.sse import EventReader
from chatkeep.core.text import titles
from chatkeep.errors import ChatkeepError
from chatkeep.http.gate import addresses, cookies, envelope, guard
from chatkeep.http.gate.limits import Limits
from chatkeep.store.files.care import backups
from chatkeep.store.files.tree import format as session_file
from chatkeep.store.files.tree.tree import file_name
from chatkeep.wire import bodies
from chatkeep.wire.bodies import decoded
from tests.fuzz import client, files, models, wires

_AT: Final = datetime(2024, 1, 15, 10, 30, tzinfo=UTC)
_DRAFTS: Final[msgspec.json.Decoder[bodies.DraftBody | list[bodies.DraftBody]]] = msgspec.json.Decoder(
    bodies.DraftsBody
)


class Target(Struct, frozen=True):
    """A parser by name: the function that takes any bytes, and bytes to begin with."""

    name: str
    read: Callable[[bytes], None]
    seeds: Sequence[bytes]
    bytes_max: int = 4096
    """Of an input; the fuzzer cuts longer seeds."""


def read_body(data: bytes) -> None:
    """Each JSON body of the API: typed, or refused; a draft that passes is stored as it is read back."""
    types = (bodies.TitleBody, bodies.RevisionBody, bodies.BulkBody, bodies.ChatBody, bodies.SignInBody)
    kind, rest = data[:1], data[1:]
    with suppress(ChatkeepError):
        if kind and kind[0] % 8 < len(types):
            decoded(rest, _decoder(types[kind[0] % 8]))
            return
        body = decoded(rest, _DRAFTS)
        for one in body if isinstance(body, list) else [body]:
            draft = bodies.draft_of_body(one)
            check_draft(draft)
            models.check_storage(draft)


def read_address(data: bytes) -> None:
    """Keys, labels, cursors, times, and the headers that the guard reads."""
    text = data.decode(errors="surrogateescape")
    for parse in (keys.parse_key, check_channel, check_title, lambda one: check_tags((one,))):
        with suppress(ChatkeepError):
            parse(text)
    with suppress(ChatkeepError):
        assert keys.parse_key(keys.parse_key(text)) == keys.parse_key(text)
    with suppress(ChatkeepError):
        scope = paging.scope_of("sessions", Selection())
        assert paging.cursor_at(paging.place_of(text, scope), scope) == text
    for parse_text in (bodies.parse_time, bodies.parse_date, bodies.parse_duration):
        with suppress(ChatkeepError):
            parse_text("field", text)
    with suppress(ChatkeepError):
        bodies.parse_age("field", text, _AT)
    _read_headers(data)


def read_query(data: bytes) -> None:
    """A query and a text: every highlight is a slice of the excerpt, and the excerpt one of the text."""
    asked, _, text = data.decode(errors="replace").replace("\0", "").partition("\n")
    query = parse_query(asked[:QUERY_CHARS_MAX])
    assert all(term.tokens for term in query.terms)
    shown, places = excerpt(text, query)
    assert shown in text
    assert all(0 <= start < end <= len(shown) for start, end in places)
    assert all(text[token.start : token.end] for token in tokens_of(text))
    assert "\0" not in spaced(text) + rows_of(text)
    for short in (*titles.title(text, text), *titles.preview(text, text)):
        assert len(short.splitlines()) <= 1


def read_events(data: bytes) -> None:
    """An event stream, in our client: pieces of any size make the same events."""
    size = data[0] % 64 + 1 if data else 1
    whole, pieces = EventReader(), EventReader()
    with suppress(ChatkeepError):
        expected = [*whole.read(data), *whole.end()]
        found = [event for start in range(0, len(data), size) for event in pieces.read(data[start : start + size])]
        assert expected == [*found, *pieces.end()]


def read_session_file(data: bytes) -> None:
    """A session file: what is served of it is what stands at the places told, and it is judged the same again."""
    scan = session_file.scan(data)
    assert scan == session_file.scan(data)
    for message, start, end in zip(scan.messages, scan.starts, scan.ends, strict=False):
        assert session_file.parse_message(data[start:end], message.seq) == message
    session_file.begun_at(data)
    mended = session_file.with_new_header(data, lambda _: True)
    assert mended is None or session_file.scan(mended[1]).state != "damaged"
    if scan.state == "loose":
        session_file.loose_header(data)
        assert len(session_file.loose_lines(data)) == len(scan.messages)


def read_import(data: bytes) -> None:
    """A file to import, in each format: whole sessions and flaws come of it; a session goes out and in again."""
    for fmt in importers.IMPORT_FORMATS:
        source = importers.Piped("standard input", io.BytesIO(data))
        with suppress(ChatkeepError):
            for found in importers.read_sessions(source, fmt, zone=UTC, now=lambda: _AT):
                if isinstance(found, Session):
                    _check_export(found)
    with suppress(ChatkeepError):
        importers.sniff(importers.Piped("standard input", io.BytesIO(data)), files.catalogue())


def read_backup(data: bytes) -> None:
    """A backup: its list is checked before anything in it is believed."""
    with suppress(ChatkeepError):
        backup = backups.BackupFile(io.BytesIO(data))
        backup.verify(backup.manifest.sessions)


def read_settings(data: bytes) -> None:
    """The files beside the sessions: settings and tokens are read, or refused with a sentence."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / config.FILE_NAME).write_bytes(data)
        (place / "tokens.json").write_bytes(data)
        with suppress(ChatkeepError):
            config.settings_from({"workspace": place}, {})
        tokens = TokenFile(place / "tokens.json")
        with suppress(ChatkeepError):
            tokens.find("ck_" + "x" * 43)
        with suppress(ChatkeepError):
            tokens.create_first()
            assert tokens.all()


def _read_headers(data: bytes) -> None:
    path, _, value = data.partition(b"\n")
    names = (b"host", b"cookie", b"x-forwarded-for", b"authorization", b"origin", b"x-request-id", b"last-event-id")
    scope = {
        "type": "http",
        "method": "GET",
        "path": path.decode("latin-1"),
        "raw_path": path,
        "query_string": value,
        "headers": [(name, value) for name in names],
        "client": ("127.0.0.1", 1),
    }
    with suppress(ChatkeepError):
        envelope.check_url(scope)
    doorman = _guard()
    with suppress(ChatkeepError):
        doorman.check_host(scope)
        cookies.is_from_page(scope)
        doorman.find(scope)
    doorman.count(scope, None)
    addresses.canonical(value.decode("latin-1"))


@cache
def _guard() -> guard.Guard:
    nowhere = Path(tempfile.mkdtemp()) / "tokens.json"
    return guard.Guard(
        TokenFile(nowhere), Limits(None), hosts=("localhost",), rates=guard.UNLIMITED, trusted_proxies=("127.0.0.0/8",)
    )


@cache
def _decoder(kind: type) -> msgspec.json.Decoder[object]:
    return msgspec.json.Decoder(kind)


def _check_export(session: Session) -> None:
    """Check that an exported session is imported as itself, and exported as the same bytes."""
    exported = b"".join(exporters.exported([session], "json", single=True))
    [again] = importers.read_sessions(
        importers.Piped("export", io.BytesIO(exported)), "json", zone=UTC, now=lambda: _AT
    )
    assert isinstance(again, Session), again
    assert exported == b"".join(exporters.exported([again], "json", single=True))


def _session() -> Session:
    asked = Message(seq=1, role="user", content="Hi \u4f60\u597d, v1.2.3 getUserName", sent_at=_AT, id="1")
    said = Message(seq=2, role="assistant", content=[{"type": "text", "text": "x"}], sent_at=_AT, id="2")
    header = Header(key="cli:a", channel="cli", title="T", created_at=_AT)
    return Session(header=header, messages=(asked, said))


def _exports(fmt: str) -> bytes:
    return b"".join(exporters.exported([_session()], fmt, single=fmt == "json"))


def _file() -> bytes:
    kept = _session()
    first = session_file.header_line(kept.header)
    return session_file.whole_file(first, session_file.message_lines(kept.messages), len(kept.messages))


def _backup() -> bytes:
    packed = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        sessions = Path(folder) / "sessions"
        sessions.mkdir()
        (sessions / file_name("cli:a")).write_bytes(_file())
        backups.write_backup(Path(folder), packed, _AT)
    return packed.getvalue()


def _token_file() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "tokens.json"
        TokenFile(place).create("laptop", prefix="cli:")
        return place.read_bytes()


_DRAFT: Final = (
    b'{"role":"user","content":"a\\ud83d\\ude00","timestamp":"2024-01-15T10:30:00Z","id":"1","metadata":{"n":1e3}}'
)

TARGETS: Final = (
    Target(
        "body",
        read_body,
        (
            b"\x07" + _DRAFT,
            b"\x07[" + _DRAFT + b"]",
            b'\x00{"title":"T"}',
            b'\x01{"tags":["a"],"metadata":{"a":null}}',
            b'\x02{"keys":["a"],"dry_run":false}',
            b'\x03{"message":"m","session_key":"a:b"}',
        ),
    ),
    Target(
        "address",
        read_address,
        (
            b"cli:default",
            b"telegram:1\nlocalhost:8000",
            "e\u0301/\u4e2d".encode(),
            b"2024-01-15T10:30:00Z",
            b"30d",
            paging.cursor_at(paging.Place("cli:a", 1), paging.scope_of("sessions", Selection())).encode(),
            b"/a%2fb\n127.0.0.1, [::1]:80; chatkeep-8000=x",
        ),
    ),
    Target(
        "query",
        read_query,
        (
            'user "quick brown" \u4eba\u5de5\nThe quick brown getUserName v1.2.3 \u4eba\u5de5\u667a\u80fd'.encode(),
            "stra\u00dfe\nSTRASSE e\u0315\u0300\u0327 \uff76\uff9e \U0001f468\u200d\U0001f469".encode(),
        ),
    ),
    Target("answer", models.read_answer, models.ANSWERS),
    Target("request", models.read_request, models.REQUESTS),
    Target("telemetry", models.read_telemetry, models.TELEMETRY),
    Target("passage", models.read_passage, models.PASSAGES),
    Target("events", read_events, (b"id: 1\nevent: a\ndata: b\r\ndata:c\r\r: x\n\n", models.COMPLETION)),
    Target(
        "session-file",
        read_session_file,
        (_file(), _file()[:-200], _exports("json"), _exports("json").replace(b"\n", b"")),
    ),
    Target(
        "import",
        read_import,
        (
            _exports("json"),
            _exports("jsonl"),
            gzip.compress(_exports("jsonl"), mtime=0),
            zstandard.compress(_exports("jsonl")),
            *(file.read_bytes() for file in sorted(files.SAMPLES.rglob("*.json*")) if file.is_file()),
        ),
        bytes_max=1 << 14,
    ),
    Target("database", files.read_database, files.DATABASES, bytes_max=1 << 14),
    Target("archive", files.read_archive, files.ARCHIVES),
    Target("reply", client.read_reply, client.REPLIES),
    Target("backup", read_backup, (_backup(),)),
    Target("settings", read_settings, (b'port = 8000\nallow_hosts = ["a"]\n', _token_file())),
    Target("http-request", wires.read_http_request, wires.REQUESTS),
    Target("http-answer", wires.read_http_answer, wires.ANSWERS),
)
