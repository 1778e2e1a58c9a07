"""The last event of a stream is found however the stream is cut, and not a byte is lost."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.http.streams.last_event import LastEvent

LINES = (b"data:[DONE]", b"event:message_stop", b'data:{"type":"response.completed"')
TALK = b'event: ping\ndata: {"text": "event: message_stop"}\r\n\r\n: data: [DONE]\n\ndata: [DON\n\n'
ENDS = [
    b"data: [DONE]\n\n",
    b"data:[DONE]",
    b"event:  message_stop\r\ndata: {}\r\n\r\n",
    b'data: { "type" :"response.completed", "response": {}}\n\n',
]


def parted(said: bytes, cuts: list[int]) -> tuple[bytes, bytes]:
    """Return what comes before the last event of a stream in pieces, and the rest."""
    last, before, after = LastEvent(LINES), b"", b""
    places = sorted({0, len(said), *(cut for cut in cuts if cut < len(said))})
    for start, end in pairwise(places):
        early, late = last.part(said[start:end])
        assert not (early and after)
        before, after = before + early, after + late
    return before, after + last.end()


@pytest.mark.parametrize("end", ENDS)
@given(cuts=st.lists(st.integers(0, 140), max_size=20))
def test_find_the_last_event_however_it_is_cut(end: bytes, cuts: list[int]) -> None:
    """Its first line parts the stream; the same words within another line do not."""
    assert (TALK, end) == parted(TALK + end, cuts)
    assert (TALK, end + TALK) == parted(TALK + end + TALK, cuts)


def test_pass_all_of_a_stream_without_a_last_event() -> None:
    """Nothing of it waits but a line that may still begin one."""
    last = LastEvent(LINES)
    assert (b"data: {}\n\n", b"") == last.part(b"data: {}\n\ndata: [D")
    assert (b"data: [Dear", b"") == last.part(b"ear")
    assert (b" data: [DONE]\n", b"") == last.part(b" data: [DONE]\n")
    assert b"" == last.end()
