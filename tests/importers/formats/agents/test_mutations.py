"""Damaged files of other tools: an import never fails as a whole, and loses nothing that is still whole.

`CHATKEEP_MUTATIONS` sets how many damages of each kind are tried; `make mutations` tries many.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatkeep import importers
from chatkeep.core.model import Json, Selection, Session, text_of
from chatkeep.importers import Flaw, Report
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.memory import MemoryStore
from tests.importers.formats.agents.counting import COUNTERS
from tests.importers.formats.agents.test_samples import OWN, samples_in

MANY: Final = settings(max_examples=int(os.environ.get("CHATKEEP_MUTATIONS", "12")), deadline=None)
LOGS: Final = ("claude-code", "codex", "openclaw", "gemini-cli", "nanobot")
DATABASES: Final = ("hermes", "opencode", "llm")
ODD: Final[Sequence[Json]] = (
    *(None, True, 0, -1, 1e308, 2**70, "", "\0", "\ud800", "2026-13-01T00:00:00Z", [], {}, [[]], [None], {"type": []}),
    *([{"type": "text"}], {"text": 1}, ["a", 1, None], "a" * 300, {"id": {"id": {}}}, [{"type": "tool_use"}]),
)
GARBAGE: Final = (b"", b"{", b'{"type":', b"null", b"[]", b'"', b"\xff\xfe", b"\0\0\0", b"{}", b'{"a":1}}', b"[" * 200)


@cache
def samples(fmt: str) -> tuple[tuple[str, bytes], ...]:
    """Return the names and bytes of our samples of a format."""
    with tempfile.TemporaryDirectory() as folder:
        found = [(path.name, path.read_bytes()) for name, path in samples_in(OWN, Path(folder)) if name == fmt]
    return tuple(found)


def stored(name: str, data: bytes, fmt: str) -> tuple[str, Report]:
    """Import bytes; return all texts that are stored, and the report."""
    sessions = Sessions(MemoryStore())
    records = list(importers.read_sessions(importers.Piped(name, io.BytesIO(data)), fmt))
    assert all(isinstance(record, Session | Flaw) for record in records)
    report = importers.take_in(sessions, records)
    keys = sessions.keys(Selection(archived=None)).keys
    texts = [text_of(message.content) for key in keys for message in sessions.read(key).messages]
    return "\n".join(texts), report


@pytest.mark.parametrize("fmt", LOGS)
@MANY
@given(data=st.data())
def test_import_a_log_with_broken_lines(fmt: str, data: st.DataObject) -> None:
    """Lines that are cut, lost or garbage cost no other line."""
    name, raw = data.draw(st.sampled_from([one for one in samples(fmt) if ".jsonl" in one[0]]))
    lines = raw.splitlines()
    broken = data.draw(st.sets(st.integers(0, len(lines) - 1), max_size=3))
    damaged = list(lines)
    for place in broken:
        cut = lines[place][: data.draw(st.integers(0, len(lines[place]) - 1))]
        damaged[place] = data.draw(st.sampled_from((cut, *GARBAGE)))
    whole = [line for place, line in enumerate(lines) if place not in broken]
    said, report = stored(name, b"\n".join(damaged), fmt)
    expected = expected_texts(fmt, whole)
    assert [] == [text for text in expected if text not in said]
    assert len(report.errors) <= 2 * len(broken)


@pytest.mark.parametrize("fmt", LOGS)
@MANY
@given(data=st.data())
def test_import_a_log_with_odd_values(fmt: str, data: st.DataObject) -> None:
    """A value of any kind in any place of any line costs no other line."""
    name, raw = data.draw(st.sampled_from([one for one in samples(fmt) if ".jsonl" in one[0]]))
    lines = raw.splitlines()
    place = data.draw(st.integers(0, len(lines) - 1))
    changed = json.dumps(replaced(json.loads(lines[place]), data)).encode()
    said, _ = stored(name, b"\n".join([*lines[:place], changed, *lines[place + 1 :]]), fmt)
    expected = expected_texts(fmt, [*lines[:place], *lines[place + 1 :]])
    replaced_texts = expected_texts(fmt, [lines[place]])  # a line may be a later version of another one
    assert [] == [text for text in expected if text not in said and text not in replaced_texts]


@pytest.mark.parametrize("fmt", [*LOGS, *DATABASES])
@MANY
@given(data=st.data())
def test_import_damaged_bytes(fmt: str, data: st.DataObject) -> None:
    """Changed, lost and added bytes anywhere become flaws, or nothing."""
    name, raw = data.draw(st.sampled_from(samples(fmt)))
    damaged = bytearray(raw)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
        damaged += b" " * (not damaged)
    stored(name, bytes(damaged), fmt)


def expected_texts(fmt: str, lines: Sequence[bytes]) -> list[str]:
    """Return the texts of whole lines, as the independent count finds them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "whole.jsonl")
        path.write_bytes(b"\n".join(lines))
        return COUNTERS[fmt](path).texts


def replaced(value: Json, data: st.DataObject) -> Json:
    """Return a JSON value with one part of it replaced by an odd one, or left out."""
    if isinstance(value, dict) and value and data.draw(st.integers(0, 4)):
        name = data.draw(st.sampled_from(sorted(value)))
        if not data.draw(st.integers(0, 6)):
            return {one: part for one, part in value.items() if one != name}
        return {**value, name: replaced(value[name], data)}
    if isinstance(value, list) and value and data.draw(st.integers(0, 4)):
        at = data.draw(st.integers(0, len(value) - 1))
        return [*value[:at], replaced(value[at], data), *value[at + 1 :]]
    return data.draw(st.sampled_from(ODD))
