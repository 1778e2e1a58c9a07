"""The logs of the command `llm`: a database of conversations and, since 0.36, of threads; a file may have both.

A conversation is a list of responses, each with its prompt. A thread is the end of a chain of messages, each found by
its hash; two threads may share a beginning. Fragments and attachments are put in their places.

Source: llm 0.26 and 0.36, `migrations.py` and `logs.py`.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import Final

from chatkeep.core.model import Json, Session
from chatkeep.core.text.reasoning import FIELD as REASONING
from chatkeep.importers.importer import Look, Reading, recognised_below
from chatkeep.importers.logs.gathering import FORK_ORIGIN, Gathering
from chatkeep.importers.logs.parts import content_of, json_in, text_for
from chatkeep.importers.logs.sqlite_files import FoundRow, SqliteFile, database_in, tables_at
from chatkeep.importers.records import fitting_key
from chatkeep.importers.reports import Flaw
from chatkeep.importers.shaping import call_of, list_in, metadata_of, object_in, rest_of, text_in, thinking
from chatkeep.importers.sources import Source

_CHAIN_MAX: Final = 1_000_000  # messages of a thread; a longer chain is a circle
_TAKEN: Final = (
    *("id", "prompt", "system", "response", "conversation_id", "model", "datetime_utc", "input_tokens"),
    *("output_tokens", "token_details", "reasoning", "response_json", "prompt_json", "schema_id"),
)
_TURN_TAKEN: Final = (
    *("id", "thread_id", "parent_message_hash", "tip_message_hash", "model", "input_tokens", "output_tokens"),
    *("token_details", "datetime_utc", "response_json", "schema_id"),
)


class LlmImporter:
    """The folder of `llm`, or its logs."""

    name: Final = "llm"

    def recognises(self, look: Look) -> str | None:
        """Recognise the folder and the logs by their tables."""
        if look.is_folder:
            return "it has the logs of llm" if look.path is not None and _has_talks(look.path / "logs.db") else None
        return "it is a database with conversations of llm" if _has_talks(look.path) else None

    def files_in(self, folder: Path) -> Iterable[Path]:
        """Return the logs in the folder, or all below it."""
        logs = folder / "logs.db"
        if logs.is_file():
            return [logs]
        return recognised_below(
            folder, self.recognises, is_wanted=lambda name: name.endswith((".db", ".sqlite", ".sqlite3"))
        )

    def read(self, source: Source, reading: Reading) -> Iterator[Session | Flaw]:
        """Yield the sessions of the threads and of the conversations, in parts, and the flaws."""
        with database_in(source, reading) as database:
            threads = set[Json]()
            for row in database.rows("threads", order=("datetime_utc", "id")):
                threads.add(row.get("id"))
                yield from _thread(database, row, reading)
            rows = database.rows("responses", order=("conversation_id", "datetime_utc", "id"))
            for conversation, group in groupby(rows, lambda row: row.get("conversation_id") or row.get("id")):
                if conversation not in threads:
                    yield from _responses_of(database, text_in(conversation), group, reading)


def _has_talks(path: Path | None) -> bool:
    tables = tables_at(path)
    is_old = {"prompt", "response", "datetime_utc"} <= set(tables.get("responses", ()))
    return is_old or "tip_message_hash" in tables.get("threads", ())


def _responses_of(
    database: SqliteFile, name: str, responses: Iterable[FoundRow], reading: Reading
) -> Iterator[Session | Flaw]:
    """Yield the session of a conversation."""
    numbers: list[int] = []
    system: str = ""
    with closing(Gathering(reading)) as gathering:
        for row in responses:
            for fields in _exchange(database, row, system):
                number = yield from gathering.keep(fields, f"response {row.get('id')}")
                numbers += [] if number is None else [number]
            system = text_in(row.get("system")) or system
        about = next(database.rows("conversations", by="id", value=name), {})
        metadata = metadata_of(rest_of(about, "id"))
        yield from gathering.session(
            {"key": fitting_key("llm", name), "channel": "llm", "metadata": metadata}, numbers, name
        )


def _exchange(database: SqliteFile, row: FoundRow, system_before: str) -> Iterator[dict[str, Json]]:
    """Yield the messages of a response: results of tools, the prompt, the answer."""
    name, at = text_in(row.get("id")), row.get("datetime_utc")
    system = "\n".join(filter(None, [*_fragments(database, "system_fragments", name), text_in(row.get("system"))]))
    if system and system != system_before:
        yield {"role": "system", "id": f"{name}/system", "timestamp": at, "content": system}
    for result in database.rows("tool_results", by="response_id", value=name, order=("id",)):
        yield {
            "role": "tool",
            "id": f"{name}/result/{result.get('id')}",
            "timestamp": at,
            "content": text_in(result.get("output")),
            "tool_call_id": text_in(result.get("tool_call_id")) or None,
            "name": text_in(result.get("name")) or None,
            "metadata": metadata_of(rest_of(result, "id", "response_id", "output", "tool_call_id", "name", "tool_id")),
        }
    prompt = "\n".join(filter(None, [*_fragments(database, "prompt_fragments", name), text_in(row.get("prompt"))]))
    attachments = _attachments(database, name)
    if prompt or attachments:
        parts = [*([{"type": "text", "text": prompt}] if prompt else []), *attachments]
        yield {"role": "user", "id": f"{name}/prompt", "timestamp": at, "content": content_of(parts)}
    yield _answer(database, row, name, at)


def _answer(database: SqliteFile, row: FoundRow, name: str, at: Json) -> dict[str, Json]:
    calls = [
        call_of(call.get("tool_call_id") or f"{name}/{call.get('id')}", call.get("name"), call.get("arguments"))
        for call in database.rows("tool_calls", by="response_id", value=name, order=("id",))
    ]
    rest = {key: json_in(value) for key, value in rest_of(row, *_TAKEN).items()}
    metadata = metadata_of(
        rest_of(rest),
        model=row.get("model"),
        usage=_usage(row),
        **{REASONING: thinking(text_in(row.get("reasoning")), "reasoning")},
    )
    said = text_in(row.get("response"))
    return {
        "role": "assistant",
        "id": name,
        "timestamp": at,
        "content": said if said or not calls else None,
        "tool_calls": calls or None,
        "metadata": metadata,
    }


def _thread(database: SqliteFile, row: FoundRow, reading: Reading) -> Iterator[Session | Flaw]:
    """Yield the session of a thread."""
    name = text_in(row.get("id"))
    chain = _chain(database, row.get("tip_message_hash"))
    turns = {turn.get("tip_message_hash"): turn for turn in database.rows("turns", by="thread_id", value=name)}
    numbers: list[int] = []
    with closing(Gathering(reading)) as gathering:
        for message, turn in _with_turns(chain, turns):
            for fields in _messages_of(database, message, turn):
                number = yield from gathering.keep(fields, f"message {message['hash']}")
                numbers += [] if number is None else [number]
        origin = text_in(row.get("forked_from"))
        metadata = metadata_of(
            rest_of(row, "id", "tip_message_hash", "forked_from", "datetime_utc"),
            **{FORK_ORIGIN: {"session": fitting_key("llm", origin)} if origin else None},
        )
        fields = {"key": fitting_key("llm", name), "channel": "llm", "metadata": metadata}
        yield from gathering.session({**fields, "created_at": row.get("datetime_utc")}, numbers, name)


def _chain(database: SqliteFile, tip: Json) -> Sequence[FoundRow]:
    """Return the messages from the beginning to the tip."""
    chain: list[FoundRow] = []
    seen: set[Json] = set()
    while tip is not None and tip not in seen and len(chain) < _CHAIN_MAX:
        seen.add(tip)
        message = next(database.rows("messages", by="hash", value=tip), None)
        if message is None:
            break
        chain.append(message)
        tip = message.get("parent_hash")
    return chain[::-1]


def _with_turns(chain: Sequence[FoundRow], turns: Mapping[Json, FoundRow]) -> Sequence[tuple[FoundRow, FoundRow]]:
    """Return each message with its turn: a turn has the messages up to its tip."""
    found: list[tuple[FoundRow, FoundRow]] = []
    turn: FoundRow = {}
    for message in reversed(chain):
        turn = turns.get(message.get("hash"), turn)
        found.append((message, turn))
    return found[::-1]


def _messages_of(database: SqliteFile, message: FoundRow, turn: FoundRow) -> Iterator[dict[str, Json]]:
    """Yield the message of a chain, and one for each result of a tool in it."""
    name, role = text_in(message.get("hash")), message.get("role")
    parts = [
        _part(database, row) for row in database.rows("parts", by="message_hash", value=name, order=("position", "id"))
    ]
    results = [part for part in parts if part.get("type") == "tool_result"]
    calls = [
        call_of(part.get("tool_call_id") or f"{name}/{number}", part.get("name"), part.get("arguments"))
        for number, part in enumerate(parts, start=1)
        if part.get("type") == "tool_call"
    ]
    thoughts = [text_in(part.get("text")) for part in parts if part.get("type") == "reasoning"]
    said = [
        _content_part(part)
        for part in parts
        if text_in(part.get("type")) not in {"tool_result", "tool_call", "reasoning"}
    ]
    at = turn.get("datetime_utc")
    for number, part in enumerate(results):
        yield _result(part, f"{name}/{number}" if number or said or calls else name, at)
    if results and not said and not calls:
        return
    is_tip = name == turn.get("tip_message_hash")
    rest = {key: json_in(value) for key, value in rest_of(turn, *_TURN_TAKEN).items()} if is_tip else {}
    metadata = metadata_of(
        rest_of({**rest, "provider_metadata": json_in(message.get("provider_metadata"))}),
        model=turn.get("model") if is_tip else None,
        usage=_usage(turn) if is_tip else None,
        **{REASONING: thinking("\n\n".join(filter(None, thoughts)), "reasoning")},
    )
    content = content_of(said) if said or not calls else None
    fields = {"role": role, "id": name, "timestamp": at, "content": content}
    yield {**fields, "tool_calls": calls or None, "metadata": metadata}


def _result(part: Mapping[str, Json], name: str, at: Json) -> dict[str, Json]:
    output = part.get("output")
    is_error = bool(part.get("exception")) or None
    attachments = list_in(part.get("attachments"))
    said = text_for(output)
    return {
        "role": "tool",
        "id": name,
        "timestamp": at,
        "content": content_of([{"type": "text", "text": said}, *attachments]),
        "tool_call_id": text_in(part.get("tool_call_id")) or None,
        "name": text_in(part.get("name")) or None,
        "metadata": metadata_of(
            rest_of(part, "type", "output", "tool_call_id", "name", "attachments"), is_error=is_error
        ),
    }


def _part(database: SqliteFile, row: FoundRow) -> dict[str, Json]:
    """Return a part of a message, its fragments and attachments in their places."""
    part = {"type": row.get("type"), **object_in(json_in(row.get("payload")))}
    if row.get("text") is not None:
        part["text"] = row["text"]
    if isinstance(pieces := part.pop("text_ref", None), list):
        part["text"] = "".join(_piece(database, object_in(piece)) for piece in pieces)
    if part["type"] == "attachment":
        return {**part, "attachment": _attached(database, object_in(part.get("attachment")).get("id"))}
    if isinstance(part.get("attachments"), list):
        part["attachments"] = [_attached(database, object_in(one).get("id")) for one in part["attachments"]]
    return part


def _content_part(part: Mapping[str, Json]) -> Json:
    if part.get("type") == "attachment":
        return part["attachment"]
    return {"type": "text", **rest_of(part, "type"), "text": text_in(part.get("text"))}


def _piece(database: SqliteFile, piece: Mapping[str, Json]) -> str:
    if "fragment" not in piece:
        return text_in(piece.get("literal"))
    found = next(database.rows("fragments", by="id", value=_number(piece["fragment"])), {})
    return text_in(found.get("content"))


def _fragments(database: SqliteFile, table: str, response_id: str) -> list[str]:
    """Return the fragments of a prompt, or of its system prompt."""
    rows = database.rows(table, by="response_id", value=response_id, order=("order",))
    return [_piece(database, {"fragment": row.get("fragment_id")}) for row in rows]


def _attachments(database: SqliteFile, response_id: str) -> list[Json]:
    rows = database.rows("prompt_attachments", by="response_id", value=response_id, order=("order",))
    return [_attached(database, row.get("attachment_id")) for row in rows]


def _attached(database: SqliteFile, attachment_id: Json) -> dict[str, Json]:
    """Return an attachment as a part of a content, with its bytes if they are in the database."""
    found = next(database.rows("attachments", by="id", value=text_in(attachment_id)), {})
    content, kind = found.get("content"), text_in(found.get("type")) or "application/octet-stream"
    url = text_in(found.get("url"))
    if isinstance(content, bytes):
        url = f"data:{kind};base64,{base64.b64encode(content).decode()}"
    rest = rest_of({"id": attachment_id, "mime": found.get("type"), "path": found.get("path")})
    if url and kind.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": url}, **rest}
    return {"type": "file", **rest_of({"url": url}), **rest}


def _usage(row: Mapping[str, Json]) -> dict[str, Json]:
    counts = rest_of({name: row.get(name) for name in ("input_tokens", "output_tokens")})
    details = json_in(row.get("token_details"))
    return {**counts, "details": details} if details else counts


def _number(value: Json) -> int:
    return value if isinstance(value, int) else -1
