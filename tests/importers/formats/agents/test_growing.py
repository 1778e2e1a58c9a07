"""A log imported while it grows: each import adds only what is new, nothing stands twice, and nothing contradicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from chatkeep import importers
from chatkeep.core.model import Json, Selection, text_of
from chatkeep.importers import Flaw
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.memory import MemoryStore
from tests.importers.formats.agents.test_mutations import LOGS
from tests.importers.formats.agents.test_samples import OWN, samples_in

AT = "2026-01-01T00:00:00Z"


def grown(path: Path, fmt: str) -> Iterator[tuple[str, list[bytes]]]:
    """Yield the name and the lines of each log of a format."""
    for name, file in samples_in(OWN, path):
        if name == fmt and file.is_file() and file.suffix == ".jsonl":
            yield file.name, file.read_bytes().splitlines(keepends=True)


def take_in(sessions: Sessions, file: Path, fmt: str) -> list[Flaw]:
    """Import a file and return what was wrong."""
    records = importers.read_sessions(file, fmt, stored_ids=importers.ids_in(sessions))
    return list(importers.take_in(sessions, records).errors)


def said(sessions: Sessions) -> dict[str, Counter[str]]:
    """Return by key the texts, calls and results of each session, with their counts."""
    found: dict[str, Counter[str]] = {}
    for key in sessions.keys(Selection(archived=None)).keys:
        things = found.setdefault(key, Counter())
        for message in sessions.read(key).messages:
            things[f"{message.role} says {text_of(message.content)}"] += bool(text_of(message.content))
            for call in message.tool_calls or ():
                things[f"calls {msgspec.json.encode(call).decode()}"] += 1
    return {key: +things for key, things in found.items()}


@pytest.mark.parametrize("fmt", LOGS)
def test_import_a_log_line_by_line(tmp_path: Path, fmt: str) -> None:
    """After every line of a log an import adds what is new; in the end all of it is there as if imported once."""
    logs = list(grown(tmp_path, fmt))
    assert logs
    for number, (name, lines) in enumerate(logs):
        file = tmp_path / str(number) / name
        file.parent.mkdir()
        growing, whole = Sessions(MemoryStore()), Sessions(MemoryStore())
        for count in range(1, len(lines) + 1):
            file.write_bytes(b"".join(lines[:count]))
            flaws = take_in(growing, file, fmt)
            assert [] == [flaw for flaw in flaws if flaw.conflicts], (name, count)
        take_in(whole, file, fmt)
        assert _once(said(whole)) == _once(said(growing)), name


def _once(found: dict[str, Counter[str]]) -> set[str]:
    """Return all that sessions say; none says a thing twice, and forks share their beginning with their origin."""
    assert [] == [thing for things in found.values() for thing, count in things.items() if count > 1]
    return {thing for things in found.values() for thing in things}


def grow(folder: Path, fmt: str, name: str, states: list[bytes]) -> tuple[Sessions, Sessions, list[Flaw]]:
    """Import a file in each of its states; return the sessions, those of the last state alone, and contradictions."""
    file = folder / name
    growing, whole = Sessions(MemoryStore()), Sessions(MemoryStore())
    flaws = []
    for state in states:
        file.write_bytes(state)
        flaws += [flaw for flaw in take_in(growing, file, fmt) if flaw.conflicts]
    take_in(whole, file, fmt)
    return growing, whole, flaws


@pytest.mark.parametrize("is_log", [True, False])
def test_import_calls_of_gemini_that_come_later(tmp_path: Path, *, is_log: bool) -> None:
    """Words, then their tokens, then calls one after the other: each is stored once, results behind their calls."""
    head: dict[str, Json] = {"sessionId": "s", "projectHash": "p", "startTime": AT}
    asked = {"id": "u", "timestamp": AT, "type": "user", "content": "Look."}
    calls = [{"id": f"c{n}", "name": "read", "args": {"n": n}, "result": f"result {n}"} for n in range(3)]
    answer = {"id": "a", "timestamp": AT, "type": "gemini", "content": "I look."}
    steps = [answer, {**answer, "tokens": {"input": 1}}]
    steps += [{**answer, "tokens": {"input": 1}, "toolCalls": calls[:count]} for count in (1, 3)]
    states = []
    for count in range(1, len(steps) + 1):
        if is_log:
            states.append(b"".join(msgspec.json.encode(one) + b"\n" for one in (head, asked, *steps[:count])))
        else:
            states.append(msgspec.json.encode({**head, "messages": [asked, steps[count - 1]]}))
    name = f"session-1.json{'l' if is_log else ''}"
    growing, whole, flaws = grow(tmp_path, "gemini-cli", name, states)
    assert [] == flaws
    assert said(whole) == said(growing)
    called: list[Json] = []
    for message in growing.read("gemini-cli:s").messages:
        called += [call["id"] for call in message.tool_calls or ()]
        assert message.tool_call_id is None or message.tool_call_id in called
    assert ["c0", "c1", "c2"] == called


def test_import_facts_of_codex_that_come_later(tmp_path: Path) -> None:
    """Thoughts at the end of a log and counts of tokens behind an answer double no message, and contradict none."""

    def line(kind: str, **payload: Json) -> bytes:
        return msgspec.json.encode({"timestamp": AT, "type": kind, "payload": payload}) + b"\n"

    def thought(text: str) -> bytes:
        return line("response_item", type="reasoning", summary=[{"type": "summary_text", "text": text}])

    def message(role: str, text: str) -> bytes:
        return line("response_item", type="message", role=role, content=[{"type": "input_text", "text": text}])

    usage = {"total_token_usage": {"total_tokens": 9}, "last_token_usage": {"total_tokens": 9}}
    lines = [line("session_meta", id="s"), message("user", "Go."), thought("One."), thought("Two.")]
    lines += [message("assistant", "Done."), line("event_msg", type="token_count", info=usage), thought("Three.")]
    lines += [message("user", "Again."), message("assistant", "Done.")]
    states = [b"".join(lines[:count]) for count in range(1, len(lines) + 1)]
    growing, _, flaws = grow(tmp_path, "codex", "rollout-2026-01-01T00-00-00-s.jsonl", states)
    assert [] == flaws
    messages = growing.read("codex:s").messages
    assert ["Go.", "Done.", "Again.", "Done."] == [text for one in messages if (text := text_of(one.content))]
    assert ["One.", "Two.", "Three."] == [one.reasoning for one in messages if one.reasoning]


def test_notice_an_edit(tmp_path: Path) -> None:
    """A message whose words changed since it was stored is told, and stays as it was."""
    states = [
        b'{"type":"session","id":"s","timestamp":"2026-01-01T00:00:00Z"}\n'
        b'{"type":"message","id":"m","timestamp":"2026-01-01T00:00:00Z","message":{"role":"user","content":"%s"}}\n'
        % text
        for text in (b"one", b"two")
    ]
    growing, _, flaws = grow(tmp_path, "openclaw", "s.jsonl", states)
    assert [("m",)] == [flaw.conflicts for flaw in flaws]
    assert ["one"] == [text_of(one.content) for one in growing.read("pi:s").messages]
