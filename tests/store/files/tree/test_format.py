"""The session file: what is written is read, and what was cut is found, at every byte."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.model import Draft, Header, Json, Message
from chatkeep.store.files.tree import format as session_file
from chatkeep.store.files.tree.format import Scan
from chatkeep.testing import at, draft, session

HEADER = Header(key="a:b", channel="api", title=None, created_at=at(0))
FIRST_LINE = session_file.header_line(HEADER)
FULL_HEADER = msgspec.structs.replace(
    HEADER, title="Kept", metadata={"a": {"title": "x", "tags": ["t"]}}, pinned=True, tags=("x", "y"), held=True
)
FULL_LINE = session_file.header_line(FULL_HEADER)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60)
drafts = st.builds(
    draft, texts, st.integers(0, 10**9), id=texts.filter(bool), metadata=st.none() | st.just({"a": [1.5]})
)


def _messages(*texts: str) -> list[Message]:
    return list(session("a:b", [draft(text, number, id=f"m{number}") for number, text in enumerate(texts)]).messages)


def _file(*appends: list[Message]) -> bytes:
    lines = [line for messages in appends for line in session_file.message_lines(messages)]
    return session_file.whole_file(FIRST_LINE, lines, len(lines))


def _texts(scan: Scan) -> list[object]:
    return [message.content for message in scan.messages]


@given(st.lists(drafts, max_size=6))
def test_scan_what_was_written(said: list[Draft]) -> None:
    """Whatever the messages say, the file is JSON, and a scan finds them where it says they are."""
    messages = list(session("a:b", said).messages)
    data = _file(messages)
    scan = session_file.scan(data)
    found = [msgspec.json.decode(data[start:end]) for start, end in zip(scan.starts, scan.ends, strict=True)]

    assert ("whole", HEADER, messages) == (scan.state, scan.header, list(scan.messages))
    assert json.loads(data)["messages"] == found
    assert len(data) % session_file.RESERVE_STEP_BYTES == 0


def test_scan_append_cut_at_every_byte() -> None:
    """An append of three messages that is cut at any byte leaves what was there before, or all of it."""
    before = _messages("one", "two")
    batch = _messages("one", "two", "three", 'fo"ur}', "five\nlines")[2:]
    old = _file(before[:1], before[1:])
    tail = session_file.scan(old).tail
    new = b"".join(session_file.message_lines(batch)) + session_file.trailer(5)
    for cut in range(len(new) + 1):
        torn = old[:tail] + new[:cut] + old[tail + cut :]
        scan = session_file.scan(torn)
        kept = 5 if cut >= len(new) - len(session_file.trailer(5)) - 1 else 2

        assert (kept, True) == (len(scan.messages), scan.state in {"whole", "torn"}), cut


def test_scan_append_with_a_lost_piece() -> None:
    """A power cut that loses 512 bytes inside the last append loses that append, nothing else."""
    before = _messages("one")
    batch = _messages("one", "x" * 2000, "y" * 2000)[1:]
    old, new = _file(before), _file(before, batch)
    tail = session_file.scan(old).tail
    for start in range(tail - tail % 512 + 512, len(new.rstrip(b"\n")), 512):
        torn = new[:start] + b"\n" * 512 + new[start + 512 :]

        assert ("torn", ["one"]) == ((scan := session_file.scan(torn)).state, _texts(scan)), start


def test_scan_damage_in_the_middle() -> None:
    """A line that does not parse before lines that do is damage: what parses is served, nothing is cut."""
    data = _file(_messages("one"), _messages("one", "two")[1:], _messages("one", "two", "three")[2:])
    scan = session_file.scan(data.replace(b'"two"', b'"t"o"'))

    assert ("damaged", [1, 3]) == (scan.state, [message.seq for message in scan.messages])
    assert "message 2" in scan.reason


@pytest.mark.parametrize("appends", [1, 3])
@pytest.mark.parametrize(
    "edit", [(b'"seq":2', b'"seq":x'), (b'"two"', b'"t"o"'), (b"\n,", b"\n\n,"), (b'"three"', b'"th')]
)
def test_scan_an_edit_that_went_wrong(appends: int, edit: tuple[bytes, bytes]) -> None:
    """One wrong byte anywhere is damage, never taken for a cut append, however the messages were appended."""
    messages = _messages("one", "two", "three")
    data = _file(messages) if appends == 1 else _file(messages[:1], messages[1:2], messages[2:])
    scan = session_file.scan(data.replace(*edit))

    assert "damaged" == scan.state
    assert "one" in _texts(scan)


def test_scan_another_layout() -> None:
    """A session that another program wrote out in its own way is one all the same."""
    data = _file(_messages("one", "two"))
    scan = session_file.scan(json.dumps(json.loads(data), indent=2).encode())

    assert ("loose", HEADER, ["one", "two"]) == (scan.state, scan.header, _texts(scan))


def test_scan_names_in_another_form() -> None:
    """Channel and tags of a file are read in form NFC, in which they are looked for."""
    data = _file(_messages("one")).replace(b'"metadata":{}', '"metadata":{},"tags":["e\u0301","\u00e9"]'.encode())
    header = session_file.scan(data).header

    assert header is not None
    assert ("\u00e9",) == header.tags


def test_places_of_messages_that_say_no_seq_are_unknown() -> None:
    """What another program numbered by position alone cannot be served from its place."""
    document = {"format": 1, "key": "k", "channel": "api", "title": None, "created_at": "2024-01-15T10:30:00Z"}
    said = {"role": "user", "content": "x", "timestamp": "2024-01-15T10:30:00Z", "id": "1"}
    for message, is_known in (({"seq": 1, **said}, True), (said, False)):
        data = json.dumps({**document, "messages": [message]}, indent=1).encode()
        scan = session_file.scan(data)
        assert "loose" == scan.state
        assert is_known == (session_file.with_places(data, scan) is not None)


def test_scan_numbers_another_layout_anew() -> None:
    """Seqs close up over gaps, and drops name the same messages as before; a drop of nothing is left out."""
    said = {"role": "user", "content": "x", "timestamp": "2024-01-15T10:30:00Z"}
    seqs_and_drops: list[tuple[int, list[list[int]]]] = [(2, []), (4, []), (7, [[3, 4]]), (9, [[3, 3]])]
    messages = [
        {"seq": seq, **said, "id": f"m{seq}", **({"drops": drops} if drops else {})} for seq, drops in seqs_and_drops
    ]
    document = {"format": 2, "key": "k", "channel": "api", "title": None, "created_at": "2024-01-15T10:30:00Z"}
    scan = session_file.scan(json.dumps({**document, "messages": messages}, indent=1).encode())

    assert "loose" == scan.state
    assert [(1, None), (2, None), (3, ((2, 2),)), (4, None)] == [(one.seq, one.drops) for one in scan.messages]


@pytest.mark.parametrize("messages", ["assistant", ["hi"], [None], [[]], {"a": 1}, 5, None])
def test_scan_another_layout_without_messages(messages: Json) -> None:
    """Anything but a list of objects is damage, and told as such."""
    document = {"format": 2, "key": "k", "channel": "api", "title": None, "created_at": "2024-01-15T10:30:00Z"}
    scan = session_file.scan(json.dumps({**document, "messages": messages}, indent=1).encode())

    assert "damaged" == scan.state


@pytest.mark.parametrize("fmt", [1, 2])
def test_head_names_the_format(fmt: int) -> None:
    """The first bytes of a file tell its format, for the line that needs the newer one."""
    data = _file(_messages("one"))
    head = re.sub(rb'"format":\d', b'"format":%d' % fmt, data[: session_file.HEAD_BYTES])

    assert (fmt == 1) == session_file.is_old(head)


def test_loose_lines_keep_unknown_fields() -> None:
    """Bringing another layout into form loses nothing that others put in."""
    document = json.loads(_file(_messages("one")))
    document["theirs"], document["messages"][0]["stars"] = {"a": 1}, 5
    data = json.dumps(document, indent=1).encode()
    lines = session_file.loose_lines(data)
    first_line = session_file.header_line(HEADER, session_file.loose_header(data))
    again = json.loads(session_file.whole_file(first_line, lines, 1))

    assert document == again


def test_header_line_keeps_unknown_fields() -> None:
    """A new header keeps the fields of the old one that Chatkeep does not know."""
    old = FIRST_LINE.replace(b',"metadata"', b',"theirs":[1],"metadata"').rstrip(b"\n")
    new = json.loads(session_file.header_line(msgspec.structs.replace(HEADER, title="New"), old) + b"]}")

    assert ("New", [1]) == (new["title"], new["theirs"])


@given(st.binary(max_size=300) | st.binary(max_size=60).map(lambda junk: FIRST_LINE + junk))
def test_scan_anything(data: bytes) -> None:
    """No bytes are too strange to be scanned."""
    assert session_file.scan(data).state in {"whole", "torn", "loose", "damaged"}


@given(st.integers(0, 10**8))
def test_reserved_size(used: int) -> None:
    """Reserved space is whole steps, never less than what is used, never more than a step and 256 KiB."""
    size = session_file.reserved_size(used)

    assert size % session_file.RESERVE_STEP_BYTES == 0
    assert used <= size <= used + session_file.RESERVE_STEP_BYTES + (1 << 18)


def test_read_through_a_damaged_header() -> None:
    """A flipped bit loses no message, unless it hits the key, and nothing is read that was not said."""
    messages = _messages("one", "two")
    lines = session_file.message_lines(messages)
    good = session_file.whole_file(FULL_LINE, lines, len(lines))
    unread = set()
    for bit in range(8 * len(FULL_LINE)):
        data = bytearray(good)
        data[bit // 8] ^= 1 << bit % 8
        scan = session_file.scan(bytes(data))
        if scan.header is None:
            mended = session_file.with_new_header(bytes(data), lambda key: key == "a:b")
            if mended is None:
                unread.add(bit // 8)
                continue
            scan = session_file.scan(mended[1])
            assert scan.header is not None
            assert scan.header.title in {None, FULL_HEADER.title} or _differ(scan.header.title, FULL_HEADER.title)
            assert scan.header.metadata in ({}, FULL_HEADER.metadata)
            assert set(scan.header.tags) <= {"x", "y"}
        assert ("whole", messages) == (scan.state, list(scan.messages))
    assert unread == {*range(12, 24), len(FULL_LINE) - 1}  # "key":"a:b", and the end of the line


def test_read_through_a_header_that_is_well() -> None:
    """Only a header that does not parse is replaced."""
    assert session_file.with_new_header(_file(_messages("one")), lambda _: True) is None
    assert session_file.with_new_header(b"", lambda _: True) is None


def _differ(found: str | None, expected: str | None) -> bool:
    """Tell whether two titles differ in the one character that was hit."""
    return sum(one != other for one, other in zip(found or "", expected or "", strict=True)) == 1


@pytest.mark.parametrize(
    "head,began",
    [
        (b'{"format":1,"key":"a","created_at":"2024-01-15T10:30:00Z","messages":[', 1705314600.0),
        (b'{ "created_at": "2024-01-15T12:30:00.5+02:00"', 1705314600.5),
        (b'{"created_at":"2024-01-15T10:30:00"', 1705314600.0),
        (b'{"created_at":"0001-01-01T00:00:00+14:00"', -62135647200.0),
        (rb'{"title":"\"created_at\":\"2020-01-01T00:00:00Z\"",', None),
        (b'{"created_at":"2024-13-15T10:30:00Z"', None),
        (b"", None),
    ],
)
def test_begun_at(head: bytes, began: float | None) -> None:
    """The first bytes of a file tell when its session began, whoever wrote it; what only looks so does not."""
    assert began == session_file.begun_at(head)


@given(st.datetimes(timezones=st.just(UTC)))
def test_begun_at_of_a_header(created_at: datetime) -> None:
    """A header tells the time that it was given."""
    line = session_file.header_line(Header(key="a", channel="api", title='"created_at":"x"', created_at=created_at))
    assert created_at.timestamp() == session_file.begun_at(line)
