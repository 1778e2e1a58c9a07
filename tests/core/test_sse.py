"""Events are read from a stream however it is cut, and come out as they were written."""

from __future__ import annotations

from itertools import chain, pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.sse import COMMENT, Event, EventReader, event_bytes
from chatkeep.errors import BrokenInputError

STREAM = (
    b'\xef\xbb\xbfdata: first\n\n: a comment\n\nevent: named\ndata: {"a": "\xc3\xa9"}\nid: 7\n\nevent: nothing\n\n'
    b"data:no space\r\n\r\ndata: two\rdata: lines\r\rdata\ndata: \n\nretry: 5\n\n"
    b"\xef\xbb\xbfdata: x\nid\ndata: [DONE]\n\n"
)
EVENTS = [
    Event("message", b"first"),
    Event("named", b'{"a": "\xc3\xa9"}', "7"),
    Event("message", b"no space", "7"),
    Event("message", b"two\nlines", "7"),
    Event("message", b"\n", "7"),
    Event("message", b"[DONE]"),
]
LABEL = st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), min_size=1).filter(lambda it: it[0] != " ")
WRITTEN = st.builds(Event, LABEL, st.text().map(msgspec.json.encode), LABEL)


def pieces_of(stream: bytes, cuts: list[int]) -> list[bytes]:
    """Return a stream in pieces; some may be empty."""
    places = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    return [stream[start:end] for start, end in pairwise(places)]


@given(st.lists(st.integers(0, len(STREAM))))
def test_read_events_however_they_are_cut(cuts: list[int]) -> None:
    """Where the network cuts the bytes does not matter."""
    reader = EventReader()
    assert EVENTS == [event for piece in pieces_of(STREAM, cuts) for event in reader.read(piece)]
    assert [] == list(reader.end())


@given(st.lists(WRITTEN), st.lists(st.integers(0, 500)))
def test_read_what_was_written(events: list[Event], cuts: list[int]) -> None:
    """Whatever is in it; comments between are nothing."""
    stream = COMMENT.join([b"", *(event_bytes(event, retry_ms=7) for event in events), b""])
    reader = EventReader()
    assert events == [event for piece in pieces_of(stream, cuts) for event in reader.read(piece)]


@pytest.mark.parametrize("ending", [b"data: end", b"data: end\n", b"data: end\r"])
def test_read_the_event_that_a_stream_ends_in(ending: bytes) -> None:
    """The blank line after the last event may be missing."""
    reader = EventReader()
    assert [b"first"] == [event.data for event in reader.read(b"data: first\n\n" + ending)]
    assert [b"end"] == [event.data for event in reader.end()]


@pytest.mark.parametrize("piece", [b"x" * 100, b"data: 34567890\n"])
def test_event_that_has_no_end_is_refused(piece: bytes) -> None:
    """In one line or in many: nobody's memory is filled."""
    reader = EventReader(bytes_max=1000)
    pieces = iter([piece] * 200)
    with pytest.raises(BrokenInputError):
        list(chain.from_iterable(map(reader.read, pieces)))
    assert len(list(pieces)) > 50


def test_read_refuses_an_event_of_lines_without_end() -> None:
    """Lines that say nothing are counted too: an event of them alone takes no more memory than another."""
    reader = EventReader(bytes_max=1000)
    with pytest.raises(BrokenInputError, match="more than 1000 bytes"):
        list(chain.from_iterable(map(reader.read, [b"data:\n"] * 1001)))
