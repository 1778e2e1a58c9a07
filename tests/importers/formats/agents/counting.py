"""What is in a sample, counted without the importers: messages and texts, read with json and sqlite3 alone."""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

from chatkeep.core.model import Json


class Counted(NamedTuple):
    """The number of messages that a source must become, and the texts that they must have."""

    total: int
    texts: list[str]


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects on the lines of a file that are whole."""
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    for line in raw.decode(errors="replace").splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield value


def claude_code(path: Path) -> Counted:
    """Count answers by their ids, results of tools, and other lines with words."""
    entries = json.loads(path.read_text())["loglines"] if path.suffix == ".json" else lines(path)
    seen: set[str] = set()
    answers: set[object] = set()
    count, texts = 0, list[str]()
    for number, line in enumerate(entries):
        if line.get("uuid") in seen:
            continue
        seen |= {line["uuid"]} if "uuid" in line else set()
        message = line.get("message") or {}
        content = message.get("content")
        blocks = content if isinstance(content, list) else [{"type": "text", "text": content}] if content else []
        if line["type"] == "assistant":
            answers.add((line.get("agentId"), line.get("isSidechain"), message.get("id", number)))
            texts += _texts(blocks)
        elif line["type"] == "user":
            results = [block for block in blocks if block["type"] == "tool_result"]
            count += len(results) + (len(results) < len(blocks))
            texts += _texts([block for block in blocks if block["type"] != "tool_result"])
            texts += [text for block in results for text in _texts(block["content"])]
        elif line["type"] == "system" and line.get("content"):
            count, texts = count + 1, [*texts, line["content"]]
        elif line["type"] == "attachment" and line["attachment"]["type"] == "queued_command":
            count, texts = count + 1, [*texts, line["attachment"]["prompt"]]
    return Counted(count + len(answers), texts)


def codex(path: Path) -> Counted:
    """Count messages, calls and results; of a log without messages the events."""
    entries = json.loads(path.read_text())["items"] if path.suffix == ".json" else list(lines(path))
    items = [one["payload"] for one in entries if one.get("type") == "response_item"]
    items += [one for one in entries if one.get("type") in {"message", "function_call", "function_call_output"}]
    events = [one["payload"] for one in entries if one.get("type") == "event_msg"]
    summaries = [one["payload"]["message"] for one in entries if one.get("type") == "compacted"]
    said = [item for item in items if item.get("type", "message") == "message"]
    texts = summaries + [text for item in said for text in _texts(item["content"])]
    if not said:
        told = [event["message"] for event in events if event["type"] in {"user_message", "agent_message"}]
        texts += told
        return Counted(len(told), texts)
    others = [item for item in items if item.get("type", "message") not in {"message", "reasoning"}]
    texts += [item["output"] for item in others if isinstance(item.get("output"), str)]
    return Counted(len(said) + len(others) + len(summaries), texts)


def openclaw(path: Path) -> Counted:
    """Count messages, summaries and notes of extensions."""
    count, texts = 0, list[str]()
    for entry in lines(path):
        message = entry.get("message") or {}
        if entry["type"] in {"message", "compaction", "branch_summary", "custom_message"}:
            count += 1
            texts += _texts(message.get("content") or entry.get("summary") or entry.get("content") or [])
            texts += [message["output"]] if "output" in message else []
    return Counted(count, texts)


def gemini_cli(path: Path) -> Counted:
    """Count messages by their ids, and results of tools."""
    if path.suffix == ".json":
        found = {one["id"]: one for one in json.loads(path.read_text())["messages"]}
    else:
        given = [m for one in lines(path) for m in (one.get("$set", {}).get("messages") or [one])]
        found = {one["id"]: one for one in given if "id" in one}
    results = [call for one in found.values() for call in one.get("toolCalls", []) if call.get("result")]
    texts = [text for one in found.values() for text in _texts(one["content"])]
    return Counted(len(found) + len(results), texts)


def nanobot(path: Path) -> Counted:
    """Count lines without a type."""
    said = [one for one in lines(path) if "_type" not in one]
    return Counted(len(said), [text for one in said for text in _texts(one["content"] or [])])


def hermes(path: Path) -> Counted:
    """Count the rows of messages."""
    rows = list(sqlite3.connect(f"file:{path}?immutable=1", uri=True).execute("SELECT content FROM messages"))
    texts = [text for (text,) in rows if text and not text.startswith("\0json:")]
    texts += [text for (raw,) in rows if raw and raw.startswith("\0json:") for text in _texts(json.loads(raw[6:]))]
    return Counted(len(rows), texts)


def opencode(path: Path) -> Counted:
    """Count messages, finished calls, and texts behind them."""
    database = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    count, texts = 0, list[str]()
    for (message,) in database.execute("SELECT id FROM message").fetchall():
        rows = database.execute("SELECT data FROM part WHERE message_id = ? ORDER BY id", (message,)).fetchall()
        parts = [json.loads(data) for (data,) in rows]
        texts += [part["text"] for part in parts if part["type"] == "text"]
        results = [part["state"] for part in parts if part["type"] == "tool"]
        texts += [state.get("output") or state["error"] for state in results]
        kinds = [part["type"] for part in parts if part["type"] in {"text", "tool"}]
        resumed = sum(1 for pair in pairwise(kinds) if pair == ("tool", "text"))
        count += 1 + len(results) + resumed
    return Counted(count, texts)


def llm(path: Path) -> Counted:
    """Count prompts, changes of the system prompt, results of tools and answers; and the messages of threads."""
    database = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    database.row_factory = sqlite3.Row
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_schema")}
    count, texts, system = 0, list[str](), dict[object, str]()
    for row in database.execute("SELECT * FROM responses ORDER BY datetime_utc").fetchall():
        thread = row["conversation_id"] or row["id"]
        has_system = bool(row["system"]) and row["system"] != system.get(thread)
        system[thread] = row["system"] or system.get(thread, "")
        values = (row["id"],)
        results = database.execute("SELECT output FROM tool_results WHERE response_id = ?", values).fetchall()
        extra = database.execute("SELECT * FROM system_fragments WHERE response_id = ?", values).fetchall()
        count += has_system + bool(extra) + bool(row["prompt"]) + len(results) + 1
        texts += [row["response"], row["prompt"], *(output for (output,) in results)]
    if "threads" in tables:
        for (end,) in database.execute("SELECT tip_message_hash FROM threads").fetchall():
            tip = end
            while tip is not None:
                parts = database.execute("SELECT type, text FROM parts WHERE message_hash = ?", (tip,)).fetchall()
                results = [part for part in parts if part["type"] == "tool_result"]
                count += max(1, len(results))
                texts += [part["text"] for part in parts if part["text"] and part["type"] == "text"]
                [tip] = database.execute("SELECT parent_hash FROM messages WHERE hash = ?", (tip,)).fetchone()
    return Counted(count, [text for text in texts if text])


COUNTERS: Final[dict[str, Callable[[Path], Counted]]] = {
    "claude-code": claude_code,
    "codex": codex,
    "openclaw": openclaw,
    "gemini-cli": gemini_cli,
    "nanobot": nanobot,
    "hermes": hermes,
    "opencode": opencode,
    "llm": llm,
}


def _texts(content: Json) -> list[str]:
    if isinstance(content, str):
        return [content]
    return [part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)]
