"""What is stored comes back: out as JSON or JSON lines, into another store, and out again, byte by byte."""

from __future__ import annotations

import io
import json
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatkeep import importers
from chatkeep.core.model import Draft, Header, Json, Message, Selection, Session
from chatkeep.core.standing import ROLES
from chatkeep.errors import TooLargeError
from chatkeep.exporters import exported
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.files.store import FilesStore
from chatkeep.store.memory import MemoryStore

FORMATS = ("json", "jsonl")
OWN: Final[set[str]] = {
    *Message.__struct_encode_fields__,
    *Header.__struct_encode_fields__,
    "format",
    "messages",
    "message_count",
} - {""}
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
NAMES = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(TEXT, VALUES, max_size=3)
TIMES = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds
STRANGE = st.sampled_from(["drops", "thread", "extra", "sent_at", "", "édité", "annotations", "tool", "Role", "seqs"])
EXTRA = st.dictionaries(STRANGE | TEXT, VALUES, max_size=3).map(
    lambda fields: {name: value for name, value in fields.items() if name not in OWN}
)


@st.composite
def sessions(draw: st.DrawFn) -> Session:
    """Return any session that may be stored."""
    header = Header(
        key=draw(NAMES),
        channel=draw(NAMES),
        title=draw(st.none() | NAMES),
        created_at=draw(TIMES),
        metadata=draw(OBJECTS),
        archived=draw(st.booleans()),
        pinned=draw(st.booleans()),
        tags=tuple(draw(st.lists(NAMES, max_size=3, unique=True))),
        held=draw(st.booleans()),
    )
    ids = draw(st.lists(NAMES, max_size=4, unique=True))
    messages = tuple(draw(messages_of(seq, message_id)) for seq, message_id in enumerate(ids, start=1))
    return Session(header=header, messages=messages, extra=draw(EXTRA))


@st.composite
def messages_of(draw: st.DrawFn, seq: int, message_id: str) -> Message:
    """Return any message that may be stored."""
    calls = draw(st.none() | st.lists(OBJECTS, max_size=2))
    parts = st.lists(OBJECTS | TEXT, max_size=3)
    return Message(
        seq=seq,
        id=message_id,
        role=draw(st.sampled_from(ROLES)),
        content=draw(TEXT | parts | st.none() if calls else TEXT | parts),
        sent_at=draw(TIMES),
        name=draw(st.none() | NAMES),
        tool_calls=calls,
        tool_call_id=draw(st.none() | NAMES),
        metadata=draw(st.none() | OBJECTS),
        extra=draw(EXTRA) or None,
    )


def stored(*all_of_them: Session, into: Sessions | None = None) -> Sessions:
    """Return a store with these sessions."""
    held = Sessions(MemoryStore()) if into is None else into
    for session in all_of_them:
        held.merge(session)
    return held


def all_of(held: Sessions) -> list[Session]:
    """Return all sessions of a store."""
    return [held.read(key) for key in held.keys(Selection(archived=None)).keys]


def out(held: Sessions, fmt: str, *, single: bool = False) -> bytes:
    """Return all sessions of a store as they are exported."""
    return b"".join(exported(all_of(held), fmt, single=single))


def taken(data: bytes, fmt: str, into: Sessions | None = None) -> Sessions:
    """Return a store with what was exported."""
    held = Sessions(MemoryStore()) if into is None else into
    report = importers.take_in(held, importers.chatkeep.read(io.BytesIO(data), "json" if fmt == "json" else "jsonl"))
    assert () == report.errors
    return held


@pytest.mark.parametrize("fmt", FORMATS)
@given(session=sessions(), other=sessions())
def test_export_and_import_any_session(fmt: str, session: Session, other: Session) -> None:
    """Whatever is stored comes back equal in another store, and is exported as the same bytes."""
    held = stored(session, other)
    back = taken(out(held, fmt), fmt)
    assert all_of(held) == all_of(back)
    assert out(held, fmt) == out(back, fmt)
    alone = stored(session)
    assert all_of(alone) == all_of(taken(out(alone, fmt, single=True), fmt))


@given(session=sessions())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_keep_any_session_in_files(session: Session, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A file gives back what was merged, with the fields that are not known, also read by a store opened later."""
    folder = tmp_path_factory.mktemp("files")
    with closing(FilesStore.open(folder)) as store:
        stored(session, into=Sessions(store))
    expected = all_of(stored(session))
    with closing(FilesStore.open(folder)) as store:
        held = Sessions(store)
        assert expected == all_of(held)
        window = held.window(expected[0].header.key, limit=100, log=True).messages
        assert expected[0].messages == window
        held.rename(expected[0].header.key, "Renamed")
        assert expected[0].extra == held.read(expected[0].header.key).extra


def test_keep_empty_values() -> None:
    """Empty metadata, calls and parts, and a field without a name or value, are there in every copy, byte by byte."""
    empty = Message(
        seq=1, id="a", role="user", content=[], sent_at=datetime(2024, 1, 1, tzinfo=UTC), metadata={}, tool_calls=[]
    )
    unnamed = msgspec.structs.replace(empty, seq=2, id="b", metadata=None, tool_calls=None, extra={"": None})
    session = Session(
        header=Header(key="a", channel="api", title=None, created_at=empty.sent_at, metadata={}),
        messages=(empty, unnamed),
    )
    held = stored(session)
    for fmt in FORMATS:
        said = out(held, fmt)
        assert (b'"metadata":{},"messages"' in said, b'"tool_calls":[]' in said, b',"":null' in said) == (
            True,
            True,
            True,
        )
        assert said == out(taken(said, fmt), fmt)


FOREIGN: dict[str, tuple[str, Json]] = {
    "pocketpaw": (
        "websocket_1.json",
        [{"role": "user", "content": "hi", "timestamp": "2024-01-01T10:00:00", "id": "1", "mood": {"good": [1, None]}}],
    ),
    "grip": (
        "s.json",
        {
            "key": "cli:1",
            "created_at": 1704067200.0,
            "updated_at": 1704067260.0,
            "pinned_by": "Ann",
            "messages": [{"role": "user", "content": "hi", "tokens": 3}, {"role": "assistant", "content": "yes"}],
        },
    ),
}


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("program", FOREIGN)
def test_export_and_import_what_came_from_elsewhere(program: str, fmt: str, tmp_path: Path) -> None:
    """What an importer takes of another program is given back, its own fields included."""
    name, document = FOREIGN[program]
    (tmp_path / name).write_text(json.dumps(document), encoding="utf-8")
    held = Sessions(MemoryStore())
    assert () == importers.take_in(held, importers.read_sessions(tmp_path / name, program, zone=UTC)).errors
    back = taken(out(held, fmt), fmt)
    assert all_of(held) == all_of(back)
    (session,) = all_of(back)
    expected = {"pocketpaw": ({}, {"mood": {"good": [1, None]}}), "grip": ({"pinned_by": "Ann"}, {"tokens": 3})}
    assert expected[program] == (session.extra, session.messages[0].extra)


def test_import_again_what_has_unknown_fields() -> None:
    """It adds nothing; the same id with another value of such a field is a conflict."""
    record = {"key": "a", "messages": [{"role": "user", "content": "x", "id": "1", "mood": "good"}]}
    held = taken(json.dumps(record).encode(), "jsonl")
    taken(json.dumps(record).encode(), "jsonl", held)
    record["messages"] = [{"role": "user", "content": "x", "id": "1", "mood": "bad"}]
    report = importers.take_in(held, importers.chatkeep.read(io.BytesIO(json.dumps(record).encode()), "jsonl"))
    assert ("1",) == report.errors[0].conflicts
    assert {"mood": "good"} == all_of(held)[0].messages[0].extra


@pytest.mark.parametrize(
    "value,told",
    [
        ('"\\ud83d"', "replaced by U+FFFD"),
        (f'"{"x" * (17 << 20)}"', "characters was cut to"),
        ("[" * 300 + "]" * 300, "cut to fit"),
        ("123456789012345678901234567890", ""),
    ],
)
def test_mend_what_cannot_be_kept_of_an_unknown_field(value: str, told: str) -> None:
    """The rules of messages hold for it too: it is mended and told, and the rest of the message stays."""
    record = '{"key":"a","messages":[{"role":"user","content":"words","id":"1","mood":%s,"other":1}]}' % value  # noqa: UP031
    held = Sessions(MemoryStore())
    report = importers.take_in(held, importers.chatkeep.read(io.BytesIO(record.encode()), "jsonl"))
    assert told in " ".join(flaw.reason for flaw in report.errors)
    message = all_of(held)[0].messages[0]
    assert ("words", 1) == (message.content, (message.extra or {})["other"])
    assert all_of(held) == all_of(taken(out(held, "jsonl"), "jsonl"))


def test_refuse_too_much_of_unknown_fields() -> None:
    """In a process, too, a message keeps to its size with all of its fields."""
    message = Message(seq=1, id="1", role="user", content="", sent_at=datetime(2024, 1, 1, tzinfo=UTC))
    large = msgspec.structs.replace(message, extra={"x": "x" * (16 << 20)})
    header = Header(key="a", channel="api", title=None, created_at=message.sent_at)
    with pytest.raises(TooLargeError):
        Sessions(MemoryStore()).merge(Session(header=header, messages=(large,)))


def test_read_a_file_whose_unknown_fields_cannot_be_kept(tmp_path: Path) -> None:
    """A session file stays readable: an unknown field out of range is left out where it is shown, not there."""
    with closing(FilesStore.open(tmp_path)) as store:
        Sessions(store).append("a", [Draft(role="user", content="x", id="1")])
    (file,) = (tmp_path / "sessions").glob("*.json")
    data = file.read_bytes().replace(b'"id":"1"', b'"id":"1","far":1e999,"mood":"good"')
    file.write_bytes(data)
    with closing(FilesStore.open(tmp_path)) as store:
        assert {"mood": "good"} == Sessions(store).window("a", limit=1).messages[0].extra
    assert data == file.read_bytes()


def test_keep_the_time_of_storing(tmp_path: Path) -> None:
    """A round trip keeps it and adds none; what another program said gets the time of the import."""
    held = Sessions(MemoryStore())
    said = datetime(2024, 1, 1, tzinfo=UTC)
    held.append("a", [Draft(role="user", content="x", sent_at=said), Draft(role="user", content="now")])
    for fmt in ("json", "jsonl"):
        assert out(held, fmt) == out(taken(out(held, fmt), fmt), fmt)
    (session,) = all_of(held)
    assert [True, False] == [one.stored_at is not None for one in session.messages]

    imported_at = datetime(2030, 1, 1, tzinfo=UTC)
    path = tmp_path / "messages.jsonl"
    path.write_text('{"role":"user","content":"said elsewhere"}\n', encoding="utf-8")
    (foreign,) = importers.read_sessions(path, "openai", now=lambda: imported_at)
    assert isinstance(foreign, Session)
    assert [imported_at] == [one.stored_at for one in foreign.messages]


@pytest.mark.parametrize("value", ["5", '"soon"', "1e999", '"0001-01-01T00:00:00+14:00"', "[null]"])
def test_read_a_file_with_a_field_of_the_same_name(value: str, tmp_path: Path) -> None:
    """A `stored_at` of another program that is no time stays an unknown field, and costs no line."""
    with closing(FilesStore.open(tmp_path)) as store:
        Sessions(store).append("a", [Draft(role="user", content="x", id="1"), Draft(role="user", content="y")])
    (file,) = (tmp_path / "sessions").glob("*.json")
    data = file.read_bytes().replace(b'"id":"1"', b'"id":"1","stored_at":%s' % value.encode())
    file.write_bytes(data)
    with closing(FilesStore.open(tmp_path)) as store:
        held = Sessions(store)
        assert ["x", "y"] == [one.content for one in held.window("a", limit=5).messages]
        assert held.get("a").damage is None
        held.append("a", [Draft(role="user", content="z")])
    expected = None if value == "1e999" else {"stored_at": json.loads(value)}
    with closing(FilesStore.open(tmp_path)) as store:
        (first, *_) = Sessions(store).read("a").messages
    assert (None, expected) == (first.stored_at, first.extra)
    assert value.encode() in file.read_bytes()


def test_read_the_time_of_storing_in_another_zone(tmp_path: Path) -> None:
    """Another program may write it in a zone of its own; it comes back in UTC."""
    with closing(FilesStore.open(tmp_path)) as store:
        Sessions(store).append("a", [Draft(role="user", content="x", id="1")])
    (file,) = (tmp_path / "sessions").glob("*.json")
    zoned = b'"id":"1","stored_at":"2024-01-01T09:00:00+09:00"'
    file.write_bytes(file.read_bytes().replace(b'"id":"1"', zoned))
    with closing(FilesStore.open(tmp_path)) as store:
        (message,) = Sessions(store).read("a").messages
    assert b'"stored_at":"2024-01-01T00:00:00Z"' in msgspec.json.encode(message)
