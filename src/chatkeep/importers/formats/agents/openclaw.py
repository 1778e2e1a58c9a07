"""OpenClaw's and pi's sessions: a log for each, whose entries form a tree.

An entry names the one before it; in the first version of the format it is the line above. A branch that was left
becomes a fork. OpenClaw keeps the logs of sessions that were reset or deleted under longer names: they are archived.
Its `sessions.json` knows the latest session of each chat only, so all logs of the folder are read. Copies made before
a compaction (`.checkpoint.`) are not.

Summaries of compactions and branches, and what extensions or commands put into the conversation, become messages of
the system. Changes of the model, labels and an extension's own state are left out; a session's name is its title.

Source: pi-coding-agent 0.73, `docs/session.md` and `core/session-manager`; folders of OpenClaw 2026.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct, field

from chatkeep.core.model import MODEL_TITLE, Json, Session
from chatkeep.core.text.reasoning import FIELD as REASONING
from chatkeep.importers.homes import HistoryPlace, Machine, deep_places
from chatkeep.importers.importer import Look, Reading, recognised_below
from chatkeep.importers.logs.entries import LogEntry, entries_of, openings
from chatkeep.importers.logs.gathering import FORK_ORIGIN, PARENT, Gathering, MessageTree
from chatkeep.importers.logs.parts import content_of, texts_in, value_digest
from chatkeep.importers.records import fitting_key
from chatkeep.importers.reports import Flaw
from chatkeep.importers.shaping import call_of, epoch, metadata_of, object_in, rest_of, text_in, thinking
from chatkeep.importers.sources import Source, files_below

_LOG: Final = re.compile(r"[^_.].*\.jsonl(\.(?P<end>reset|deleted)\.(?P<at>.+?))?(\.gz|\.zst)?")
_TOPIC: Final = re.compile(r"-topic-(?P<topic>[^.]+)\.jsonl")
_PI_FILE: Final = re.compile(r"[0-9T.:Z-]+_(?P<id>[^/\\]+)\.jsonl$")
_INDEX_BYTES_MAX: Final = 64 << 20  # bytes of `sessions.json`
_SCALARS: Final = (str, int, float, bool)
_ENTRIES: Final = frozenset(
    (
        *("message", "model_change", "thinking_level_change", "compaction", "branch_summary", "custom"),
        *("custom_message", "label", "session_info"),
    )
)
_SUMMARIES: Final = frozenset(("compaction", "branch_summary", "compactionSummary", "branchSummary"))
_TAKEN: Final = ("role", "content", "timestamp", "toolCallId", "toolName", "isError", "model", "usage", "stopReason")


class OpenClawImporter:
    """The folder of OpenClaw or pi, or one log of a session."""

    name: Final = "openclaw"

    def __init__(self) -> None:
        """Begin without any index."""
        self._chats_in = cache(_chats_in)

    def recognises(self, look: Look) -> str | None:
        """Recognise the folder by its agents or sessions, and a log by its header."""
        if look.is_folder:
            return "it has agents with sessions" if look.path is not None and any(_logs_in(look.path)) else None
        found = list(openings(look.head))
        first: dict[str, Json] = found[0] if found else {}
        is_header = first.get("type") == "session" and "id" in first and not {"message", "payload"} & first.keys()
        if is_header and ("timestamp" in first or "version" in first):
            return "it begins with the header of a session of OpenClaw or pi"
        is_entry = any(text_in(one.get("type")) in _ENTRIES and "parentId" in one for one in found)
        return "its lines are entries of a session of OpenClaw or pi" if is_entry else None

    def files_in(self, folder: Path) -> Iterable[Path]:
        """Return the logs of all agents, or all below another folder, without the checkpoints."""
        return _logs_in(folder) or recognised_below(folder, self.recognises, is_wanted=_is_log)

    def homes(self, machine: Machine) -> Sequence[Path]:
        """Return the folders of OpenClaw, its profiles and its earlier names, and pi's."""
        above = machine.folder("OPENCLAW_HOME")
        named = machine.named("OPENCLAW_STATE_DIR") or machine.named("CLAWDBOT_STATE_DIR")
        profiles = sorted(above.glob(".openclaw-*"))
        own = [above / ".openclaw", *profiles, above / ".clawdbot", above / ".moltbot"] if named is None else [named]
        return [*own, machine.named("PI_CODING_AGENT_DIR") or machine.home / ".pi"]

    def places(self, home: Path) -> Sequence[HistoryPlace]:
        """Return the folder of agents, or pi's folder of sessions."""
        return deep_places(home, "agents", "agent/sessions", "sessions")

    def source_of(self, changed: Path) -> Path | None:
        """Return the log of a session."""
        return changed if _is_log(changed.name) else None

    def read(self, source: Source, reading: Reading) -> Iterator[Session | Flaw]:
        """Yield the session of a log and its forks, in parts, and the flaws."""
        with reading.content_of(source) as stream, closing(Gathering(reading)) as gathering:
            log = _Log(source, gathering)
            for entry in entries_of(stream):
                if isinstance(entry, Flaw):
                    yield entry
                else:
                    yield from log.take(entry)
            chats = self._chats_in(source.parent) if isinstance(source, Path) else _Chats()
            yield from log.sessions(chats)


class _Chats(Struct):
    """The index of a folder: the facts of each session, and the session of each chat."""

    facts: dict[str, dict[str, Json]] = field(default_factory=dict)
    sessions: dict[str, str] = field(default_factory=dict)


class _Log:
    """One log on its way to becoming a session and its forks."""

    def __init__(self, source: Source, gathering: Gathering) -> None:
        self._source = source
        self._gathering = gathering
        self._header: dict[str, Json] = {}
        self._digest = ""
        self._title: str | None = None
        self._tree = MessageTree()
        self._at: dict[str, str | None] = {}  # the message at or before each entry
        self._left_out: dict[str, int] = {}

    def take(self, entry: LogEntry) -> Iterator[Flaw]:
        """Take an entry of the log."""
        value = entry.value
        kind = text_in(value.get("type"))
        self._digest = self._digest or value_digest(value)
        if kind == "session":
            self._header = self._header or value
            return
        name = text_in(value.get("id"))
        name = name if name and name not in self._at else entry.place
        named_parent = value.get("parentId", self._tree.active)
        parent = self._at.get(named_parent, self._tree.active) if isinstance(named_parent, str) else None
        if "parentId" not in value:  # the first version of the format
            parent = self._tree.active
        fields = _message_of(value, kind)
        number = None
        if fields is not None:
            made = value.get("id")
            fields = {"timestamp": value.get("timestamp"), **fields, "id": made}
            number = yield from self._gathering.keep(fields, entry.place)
        else:
            self._title = text_in(value.get("name")) or self._title if kind == "session_info" else self._title
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
        if number is not None:
            self._tree.add(name, parent, number)
        self._at[name] = name if number is not None else parent
        self._tree.active = self._at[name]

    def sessions(self, chats: _Chats) -> Iterator[Session | Flaw]:
        """Yield the session and its forks; nothing when there are no messages."""
        if not self._tree.parents:
            return
        header = self._header
        session_id = text_in(header.get("id")) or self._digest
        found = _LOG.fullmatch(self._source.name)
        topic = _TOPIC.search(self._source.name)
        facts = chats.facts.get(session_id, {})
        rest = (
            rest_of(header, "type", "id", "timestamp") | {"chat": facts}
            if facts
            else rest_of(header, "type", "id", "timestamp")
        )
        if found and found["end"]:
            rest[found["end"]] = found["at"]
        if self._left_out:
            rest["left_out"] = self._left_out
        name = self._name()
        origin = _PI_FILE.search(text_in(header.get("parentSession")) or text_in(header.get("branchedFrom")))
        spawner = chats.sessions.get(text_in(facts.get("spawnedBy")))
        metadata = metadata_of(
            rest,
            **{
                MODEL_TITLE: next(
                    filter(None, map(text_in, map(facts.get, ("label", "displayName", "subject")))), None
                ),
                PARENT: fitting_key(name, spawner) if spawner else None,
                FORK_ORIGIN: {"session": fitting_key(name, origin["id"])} if origin else None,
            },
        )
        key = fitting_key(name, session_id)
        yield from self._gathering.forks(
            {
                "key": fitting_key(key, f"topic-{topic['topic']}", "/") if topic else key,
                "channel": name.partition(":")[0],
                "title": self._title,
                "created_at": header.get("timestamp"),
                "metadata": metadata,
                "archived": bool(found and found["end"]),
            },
            self._tree,
            self._source.name,
        )

    def _name(self) -> str:
        """Return the beginning of the key: OpenClaw and the agent, or pi."""
        folders = self._source.absolute().parts[-4:-1] if isinstance(self._source, Path) else ()
        if len(folders) == 3 and (folders[0], folders[2]) == ("agents", "sessions"):  # noqa: PLR2004 - agents/<id>/sessions
            return f"openclaw:{folders[1]}"
        return "pi"


def _message_of(entry: Mapping[str, Json], kind: str) -> dict[str, Json] | None:
    """Return the message of an entry, None for an entry that has none."""
    if kind == "message":
        return _said(object_in(entry.get("message")))
    rest = rest_of(entry, "id", "timestamp", "parentId", "summary", "content")
    if kind in _SUMMARIES:
        return {"role": "system", "content": text_in(entry.get("summary")), "metadata": metadata_of(rest)}
    if kind == "custom_message":
        return {"role": "system", "content": _content(entry.get("content")), "metadata": metadata_of(rest)}
    return None


def _said(message: Mapping[str, Json]) -> dict[str, Json]:
    role, content, at = text_in(message.get("role")), message.get("content"), epoch(message.get("timestamp"))
    rest = rest_of(message, *_TAKEN)
    sent: dict[str, Json] = {"timestamp": at} if at is not None else {}
    if role == "assistant":
        return {**sent, **_answer(message, rest)}
    if role == "toolResult":
        metadata = metadata_of(rest, is_error=message.get("isError") is True or None)
        result = {"tool_call_id": message.get("toolCallId"), "name": message.get("toolName")}
        return {**sent, "role": "tool", "content": _content(content), **result, "metadata": metadata}
    if role == "bashExecution":
        words = f"Ran `{text_in(message.get('command'))}`\n{text_in(message.get('output'))}"
        return {**sent, "role": "system", "content": words.strip(), "metadata": metadata_of(rest_of(rest, "output"))}
    if role in _SUMMARIES:
        return {**sent, "role": "system", "content": text_in(message.get("summary")), "metadata": metadata_of(rest)}
    if role in {"custom", "hookMessage"}:
        return {**sent, "role": "system", "content": _content(content), "metadata": metadata_of(rest)}
    return {**sent, "role": role, "content": _content(content), "metadata": metadata_of(rest)}


def _answer(message: Mapping[str, Json], rest: Mapping[str, Json]) -> dict[str, Json]:
    content = message.get("content")
    calls: list[Json] = []
    said: list[Json] = []
    thoughts: list[dict[str, Json]] = []
    for part in content if isinstance(content, list) else [content] if content else []:
        kind = text_in(object_in(part).get("type"))
        if kind == "toolCall":
            calls.append(call_of(part.get("id"), part.get("name"), part.get("arguments")))
        elif kind == "thinking":
            thoughts.append(part)
        else:
            said.append(_part(part))
    words = "\n\n".join(filter(None, (text_in(one.get("thinking")) for one in thoughts)))
    raw = [*filter(None, (rest_of(one, "type", "thinking") for one in thoughts))]
    metadata = metadata_of(
        {**rest, "thinking": raw} if raw else rest,
        model=message.get("model"),
        usage=message.get("usage"),
        finish_reason=message.get("stopReason"),
        **{REASONING: thinking(words, "thinking")},
    )
    content = content_of(said) if said or not calls else None
    return {"role": "assistant", "content": content, "tool_calls": calls or None, "metadata": metadata}


def _content(content: Json) -> Json:
    if isinstance(content, list):
        return content_of([*map(_part, content)])
    return content if isinstance(content, str) else texts_in(content)


def _part(part: Json) -> Json:
    """Return a part of a content, a picture in the form of the OpenAI API."""
    fields = object_in(part)
    if fields.get("type") == "text":
        return {"type": "text", **rest_of(fields, "type", "text"), "text": fields.get("text")}
    data, kind = text_in(fields.get("data")), text_in(fields.get("mimeType"))
    if fields.get("type") == "image" and data and kind:
        return {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{data}"}}
    return part


def _is_log(name: str) -> bool:
    return _LOG.fullmatch(name) is not None and ".checkpoint." not in name


def _logs_in(folder: Path) -> Sequence[Path]:
    """Return the logs in the folder of OpenClaw, or of pi."""
    agents = (one / "sessions" for one in sorted((folder / "agents").glob("*")))
    places = (*agents, folder / "agent" / "sessions")
    return [file for place in places for file in files_below(place, _is_log)]


def _chats_in(folder: Path) -> _Chats:
    """Return the index of a folder of sessions; an empty one when it is missing or unreadable."""
    try:
        with (folder / "sessions.json").open("rb") as file:
            entries = msgspec.json.decode(file.read(_INDEX_BYTES_MAX), type=dict[str, dict[str, Json]])
    except (OSError, ValueError, RecursionError):
        return _Chats()
    chats = _Chats()
    for name, entry in entries.items():
        if session_id := text_in(entry.get("sessionId")):
            facts = {field: value for field, value in entry.items() if isinstance(value, _SCALARS)}
            chats.facts[session_id] = {"key": name, **rest_of(facts, "sessionId", "sessionFile")}
            chats.sessions[name] = session_id
    return chats
