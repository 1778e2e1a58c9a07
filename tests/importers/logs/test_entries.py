"""Entries of logs and documents: each broken one costs itself alone, and tells its place."""

from __future__ import annotations

import io
import json

from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.bounds import MESSAGE_BYTES_MAX
from chatkeep.importers import Flaw
from chatkeep.importers.logs.entries import RECORD_END, LogEntry, elements_of, entries_of, lines_of, records_of


def stream(data: bytes) -> io.BufferedReader:
    """Return a stream of bytes."""
    return io.BufferedReader(io.BytesIO(data), 1 << 16)


def told(found: list[LogEntry | Flaw]) -> list[object]:
    """Return the values of entries and the places of flaws."""
    return [one.value if isinstance(one, LogEntry) else one.place for one in found]


def test_read_lines_between_broken_ones() -> None:
    """Blank lines are passed; lines that are no object are told with their numbers."""
    data = b'\xef\xbb\xbf{"a":1}\n\n[1]\n{"b":\n{"c":3}\n\0\0\0\n{"d":"\xff"}\n{"e":5'
    found = told(list(lines_of(stream(data))))
    assert [{"a": 1}, "line 3", "line 4", {"c": 3}, {"d": "\ufffd"}, "line 8"] == found


def test_cut_a_text_too_long_to_keep() -> None:
    """Of a line longer than any message, its long text is cut; the next line is whole."""
    data = b'{"a":"' + b"word " * (4 * MESSAGE_BYTES_MAX // 5) + b'"}\n{"b":2}\n'
    flaw, entry, after = lines_of(stream(data))
    assert isinstance(flaw, Flaw)
    assert ("line 1", "altered") == (flaw.place, flaw.code)
    assert isinstance(entry, LogEntry)
    assert entry.value["a"].startswith("word word")
    assert isinstance(after, LogEntry)
    assert {"b": 2} == after.value


def test_read_a_document_by_its_elements() -> None:
    """The elements of a list come one by one, other fields with their names, objects behind it without one."""
    data = b'{"x": 1, "items": [{"n":1}, {"n":2}], "y": {"z": []}}\n{"n":3}'
    found = [one for one in entries_of(stream(data), "items") if isinstance(one, LogEntry)]
    assert [("x", 1), ("items", {"n": 1}), ("items", {"n": 2}), ("y", {"z": []}), ("", {"n": 3})] == [
        (one.name, one.value) for one in found
    ]


def test_read_on_behind_a_broken_element() -> None:
    """Behind a broken element the next object is found."""
    found = told(list(elements_of(stream(b'{"items": [{"n":1}, {"n":oops}, {"n":3}]}'), "items")))
    assert [{"n": 1}, "items 2", {"n": 3}] == found


def test_close_each_record_of_many() -> None:
    """Every record ends with a mark, in a list and on lines; a broken line costs its own record."""
    for data in (b'[{"a":1,"m":[1]},{"a":2,"m":[]}]', b'{"a":1,"m":[1]}\n{"a":2,"m":[]}\n'):
        found = [one for one in records_of(stream(data), "m") if isinstance(one, LogEntry)]
        assert [("a", 1), ("m", 1), (RECORD_END, None), ("a", 2), (RECORD_END, None)] == [
            (one.name, one.value) for one in found
        ]
    broken = list(records_of(stream(b'{"a":1}\n{"a":\n{"a":3}\n'), "m"))
    assert [("a", 1), (RECORD_END, None), (RECORD_END, None), ("a", 3), (RECORD_END, None)] == [
        (one.name, one.value) for one in broken if isinstance(one, LogEntry)
    ]
    assert ["line 2"] == [one.place for one in broken if isinstance(one, Flaw)]


@given(st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=9) | st.integers(-9, 9), max_size=3), max_size=6))
def test_read_back_any_lines(values: list[dict[str, object]]) -> None:
    """Lines of whole objects come back as they are."""
    data = b"".join(json.dumps(value).encode() + b"\n" for value in values)
    assert values == [one.value for one in lines_of(stream(data)) if isinstance(one, LogEntry)]
