"""Anthropic's Messages as our messages: requests in, answers in, whole or streamed.

Content blocks stay as they came, in their order: text, thinking with its signature, tool use, images, documents,
cache control, and blocks of types unknown to us. So a history can be given back exactly. Only an answer of one plain
text block becomes a string. A user's message of tool results alone has the role `tool`.

Source: the API reference of Anthropic's Messages, and how its clients fold events.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from chatkeep.core.checks import NAME_CHARS_MAX
from chatkeep.core.history.folding import ERROR_WORDS, Complaint
from chatkeep.core.history.joining import Flow
from chatkeep.core.history.mending import storable
from chatkeep.core.history.protocols.asides import is_aside
from chatkeep.core.history.protocols.speaking import ModelProtocol
from chatkeep.core.model import Draft, Json
from chatkeep.core.standing import SAID_ROLES, Role
from chatkeep.core.text.reasoning import THOUGHT_TYPES, TextPiece

_EXTRA: Final = "anthropic"  # name in a message's metadata of fields without a counterpart in our messages

_SESSION: Final = "_session_"  # Claude Code puts its session behind the person's id
_KNOWN: Final = frozenset(("id", "type", "role", "model", "content", "stop_reason", "usage"))
_EVENTS: Final = ("message", "content_block", "ping")
_INDEX_MAX: Final = 1 << 20  # a greater index is an error of the server


class _Cut(NamedTuple):
    """A block without its end, and the input that came of it."""

    block: dict[str, Json]
    input: str


class MessageFold:
    """An answer, folded from events as Anthropic's own clients do, or taken whole."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.facts: dict[str, Json] = {}
        """The server's facts about the answer: `model`, `response_id`, `usage`."""
        self.is_known = False
        """Whether a piece had a type of this protocol."""
        self.has_ended = False
        """Whether the server ended the whole answer."""
        self.has_begun = False
        """Whether the message has begun, even without content."""
        self.has_thought = False
        """Whether a block is thinking."""
        self.has_spoken = False
        """Whether a block is another one than thinking."""
        self._message: dict[str, Json] = {}
        self._blocks: dict[int, _Block] = {}
        self._latest = 0

    @property
    def has_said(self) -> bool:
        """Whether any block has content."""
        return any(block.has_content for block in self._blocks.values())

    @property
    def finish_reason(self) -> str:
        """The server's reason for the end, empty without one."""
        reason = self._message.get("stop_reason")
        return reason if isinstance(reason, str) else ""

    def add(self, piece: Json) -> None:
        """Fold in an event, or a whole message; a value other than an object adds nothing."""
        if not isinstance(piece, dict) or self.has_ended:
            return
        kind = piece.get("type")
        self.is_known = self.is_known or (isinstance(kind, str) and kind.startswith(_EVENTS))
        if kind == "message":
            self._begin(piece)
            self.has_ended = True
        elif kind == "message_start":
            self._begin(piece.get("message"))
        elif kind == "message_delta":
            self._revise(piece)
        elif kind == "message_stop":
            self.has_ended = True
        elif kind in ("content_block_start", "content_block_delta", "content_block_stop"):
            self._add_to_block(kind, piece)

    def add_beginning(self, text: str) -> None:
        """Take the words of a whole answer cut in the middle."""
        if text:
            self.has_begun = True
            self._put(0, {"type": "text", "text": text})

    def complaint(self, piece: dict[str, Json], *, is_error: bool) -> Complaint | None:
        """Return the error in a piece, None if there is none."""
        is_bare = "type" not in piece and any(isinstance(piece.get(name), str | dict) for name in ERROR_WORDS)
        if is_error or is_bare or piece.get("type") == "error":
            return Complaint(piece.get("error") or piece, is_last=True)
        return None

    def end(self) -> None:
        """Note the end of the answer, even without a reason."""
        self.has_ended = True

    def close(self) -> None:
        """Do nothing: no block waits for more."""

    def take(self) -> list[TextPiece]:
        """Return nothing: chat speaks Chat Completions, so nobody reads this answer along."""
        return []

    def draft(self, metadata: Mapping[str, Json]) -> Draft | None:
        """Return the answer as a message with these facts, None if it has no content."""
        if not self.has_said:
            return None
        told = [block.told() for _, block in sorted(self._blocks.items())]
        whole = [one if isinstance(one, dict) else one.block for one in told if self._stands(one)]
        unfinished = [{**one.block, "partial_json": one.input} for one in told if not self._stands(one)]  # type: ignore[union-attr]
        facts = {**self.facts, **metadata}
        if self.finish_reason:
            facts["finish_reason"] = self.finish_reason
        if unfinished:
            facts["unfinished_blocks"] = unfinished
        others = {name: value for name, value in self._message.items() if name not in _KNOWN and value is not None}
        if others:
            facts["response"] = others
        return storable(Draft(role="assistant", content=_plain(whole), metadata=facts))

    @staticmethod
    def _stands(told: dict[str, Json] | _Cut) -> bool:
        """Tell whether a block is said: a call that lacks its end was not made."""
        return isinstance(told, dict) or not told.input

    def _begin(self, message: Json) -> None:
        if not isinstance(message, dict):
            return
        self.has_begun = True
        self._message |= message
        for name, told in (("model", "model"), ("id", "response_id")):
            if isinstance(message.get(name), str) and message[name]:
                self.facts[told] = message[name]
        self._count(message.get("usage"))
        content = message.get("content")
        for place, block in enumerate(content if isinstance(content, list) else ()):
            self._put(place, block if isinstance(block, dict) else {"type": "text", "text": f"{block}"}).is_whole = True

    def _revise(self, event: Mapping[str, Json]) -> None:
        """Take the changes of a message at its end."""
        delta = event.get("delta")
        if isinstance(delta, dict):
            self._message |= {name: value for name, value in delta.items() if value is not None}
        self._message |= {name: value for name, value in event.items() if name not in ("type", "delta", "usage")}
        self._count(event.get("usage"))

    def _count(self, usage: Json) -> None:
        if isinstance(usage, dict):
            held = self.facts.setdefault("usage", {})
            held.update((name, value) for name, value in usage.items() if value is not None)

    def _add_to_block(self, kind: str, event: Mapping[str, Json]) -> None:
        self.has_begun = True
        index = event.get("index")
        if not isinstance(index, int) or not 0 <= index <= _INDEX_MAX:
            index = self._latest
        if kind == "content_block_start":
            block = event.get("content_block")
            self._put(index, block if isinstance(block, dict) else {"type": "unknown", "value": block})
            return
        delta = event.get("delta")
        held = self._blocks.get(index) or self._put(index, _begun_by(delta))
        if kind == "content_block_stop":
            held.is_whole = True
        elif isinstance(delta, dict):
            held.add(delta)

    def _put(self, index: int, begun: Mapping[str, Json]) -> _Block:
        """Begin a block."""
        self._latest, block = index, _Block(begun)
        self._blocks[index] = block
        self.has_thought = self.has_thought or block.kind in THOUGHT_TYPES
        self.has_spoken = self.has_spoken or block.kind not in THOUGHT_TYPES
        return block


def _begun_by(delta: Json) -> dict[str, Json]:
    """Return the beginning of a block that begins with a delta."""
    kind = str(delta.get("type", "")).removesuffix("_delta") if isinstance(delta, dict) else ""
    return {"type": "tool_use" if kind == "input_json" else kind or "unknown"}


class _Block:
    """A content block as far as it has arrived."""

    def __init__(self, begun: Mapping[str, Json]) -> None:
        self.is_whole = False
        self._fields: dict[str, Json] = dict(begun)
        self._input: list[str] = []
        self._citations: list[Json] = []

    @property
    def kind(self) -> str:
        kind = self._fields.get("type")
        return kind if isinstance(kind, str) else ""

    @property
    def has_content(self) -> bool:
        if self.kind in ("text", "thinking", ""):
            return any(value for name, value in self._fields.items() if name in ("text", "thinking", "signature"))
        return True

    def add(self, delta: Mapping[str, Json]) -> None:
        """Take a delta: texts grow, a citation joins the others, and any other value replaces the one before."""
        for name, value in delta.items():
            if name == "partial_json" and isinstance(value, str):
                self._input.append(value)
            elif name == "citation":
                self._cite(value)
            elif name != "type" and value is not None:
                self._grow(name, value)

    def _cite(self, citation: Json) -> None:
        if not self._citations:
            held = self._fields.get("citations")
            self._citations = self._fields["citations"] = list(held) if isinstance(held, list) else []
        self._citations.append(citation)

    def _grow(self, name: str, value: Json) -> None:
        held = self._fields.get(name)
        if not isinstance(value, str) or name == "signature" or not isinstance(held, str | Flow):
            self._fields[name] = value
        elif isinstance(held, Flow):
            held.append(value)
        else:
            self._fields[name] = Flow((held, value))

    def told(self) -> dict[str, Json] | _Cut:
        """Return the block; without its end, or with an input that is no JSON, as a cut one."""
        block = {name: "".join(value) if isinstance(value, Flow) else value for name, value in self._fields.items()}
        text = "".join(self._input)
        if text and self.is_whole:
            try:
                return {**block, "input": msgspec.json.decode(text)}
            except (msgspec.DecodeError, UnicodeError, RecursionError):
                return {**block, "partial_json": text}
        is_call = "input" in block and not self.is_whole
        return _Cut(block, text or ("{}" if is_call else "")) if not self.is_whole else block


def _plain(blocks: list[dict[str, Json]]) -> Json:
    """Return one plain text block as its text, as most clients send it back; others as they are."""
    if len(blocks) == 1 and blocks[0].get("type") == "text" and isinstance(blocks[0].get("text"), str):
        others = (value for name, value in blocks[0].items() if name not in ("type", "text"))
        if all(value is None or value == [] for value in others):
            return blocks[0]["text"]
    return blocks


def _opening(request: Mapping[str, Json]) -> list[Draft]:
    """Return the system prompt of a request as a message."""
    system = request.get("system")
    if not system:
        return []
    if _is_content(system):
        return [Draft(role="system", content=system)]
    return [Draft(role="system", content="", metadata={_EXTRA: {"system": system}})]


def draft_of_message(said: Mapping[str, Json]) -> Draft:
    """Return a message of a request as ours; fields that ours lack go to the metadata."""
    extra = {name: value for name, value in said.items() if name not in ("role", "content")}
    given, content = said.get("role"), said.get("content")
    role: Role = given if given in SAID_ROLES else "user"
    if given not in (None, role):
        extra["role"] = given
    if not _is_content(content):
        content, extra = "", ({**extra, "content": content} if content is not None else extra)
    call_id = None
    if role == "user" and isinstance(content, list) and content and all(map(_is_result, content)):
        role = "tool"
        named = content[0].get("tool_use_id") if len(content) == 1 else None
        is_label = isinstance(named, str) and 1 <= len(named) <= NAME_CHARS_MAX and named.isprintable()
        call_id = named if is_label else None
    return Draft(role=role, content=content, tool_call_id=call_id, metadata={_EXTRA: extra} if extra else None)


def _is_content(value: Json) -> bool:
    if isinstance(value, list):
        return all(isinstance(part, dict | str) for part in value)
    return isinstance(value, str)


def _is_result(part: Json) -> bool:
    return isinstance(part, dict) and part.get("type") == "tool_result"


def _asker(request: Mapping[str, Json]) -> str:
    """Return the person's id in the metadata, without the session that Claude Code puts into it."""
    metadata = request.get("metadata")
    told = metadata.get("user_id") if isinstance(metadata, dict) else None
    if not isinstance(told, str):
        return str(None)
    try:
        fields = msgspec.json.decode(told)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        fields = None
    if isinstance(fields, dict):
        return str(sorted((name, f"{value}") for name, value in fields.items() if name != "session_id"))
    return told.partition(_SESSION)[0]


MESSAGES: Final = ModelProtocol(
    name="messages",
    prefix="anthropic:",
    path="messages",
    kind="anthropic",
    key_header="x-api-key",
    items="messages",
    opening=_opening,
    draft=draft_of_message,
    asker=_asker,
    is_aside=is_aside,
    answer=MessageFold,
    text_field=b"text",
    last_lines=(b"event:message_stop", b'data:{"type":"message_stop"'),
    missing_end="message_stop",
)
"""Anthropic's Messages."""
