"""The parsers between a client and a model's server, for each protocol: requests, answers, and streams that pass."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import msgspec

from chatkeep.core.history.masked_events import MaskedEvents
from chatkeep.core.history.masking import Mask
from chatkeep.core.history.mending import storable
from chatkeep.core.history.tape.tape import Tape
from chatkeep.core.life.message_rules import check_draft
from chatkeep.core.model import Draft, Json, Message
from chatkeep.errors import ChatkeepError
from chatkeep.http.streams.last_event import LastEvent
from chatkeep.model.asked import asked_in
from chatkeep.model.protocols import PROTOCOLS
from chatkeep.model.telemetry.observing import observe
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.files.tree import format as session_file
from chatkeep.store.memory import MemoryStore
from chatkeep.wire.otlp import observations_in
from tests.model.telemetry.told import agent_event, logs, protobuf_of, span, traces

_AT: Final = datetime(2024, 1, 15, 10, 30, tzinfo=UTC)
_PROTOCOLS: Final = tuple(PROTOCOLS.values())
_FIRST_JSON: Final = 128
_LAST: Final = 255
_SECRET: Final = "sk-471147"  # noqa: S105 - of nothing


def read_telemetry(data: bytes) -> None:
    """A request of telemetry: what it tells can be stored, or it is refused. The first byte says how it was sent."""
    first = data[0] if data else 0
    with suppress(ChatkeepError):
        told = observations_in(data[1:], "logs" if first & 0x80 else "traces", is_protobuf=bool(first & 0x41))
        observe(Sessions(MemoryStore()), told, "t")


def read_answer(data: bytes) -> None:
    """What a model's server sends: the same is kept however it is cut, and it can be stored.

    The first byte is the number of the protocol; at 128 and above, the answer is declared as JSON.
    """
    media_type = "text/event-stream" if not data or data[0] < _FIRST_JSON else "application/json"
    protocol = _PROTOCOLS[(data[0] if data else 0) % len(_PROTOCOLS)]
    said = data[2:]
    drafts = []
    for size in (max(len(said), 1), _size_in(data[1:2])):
        tape = Tape(media_type, protocol=protocol)
        for piece in _pieces(said, size):
            tape.add(piece)
        tape.close()
        drafts.append((tape.draft(1, "cut"), tape.is_complete))
    assert drafts[0] == drafts[1]
    if drafts[0][0] is not None:
        check_draft(drafts[0][0])
        check_storage(drafts[0][0])


def read_request(data: bytes) -> None:
    """What a client sends to the model: every message of it can be stored, and making it so once is enough."""
    for protocol in _PROTOCOLS:
        asked = asked_in(data, protocol)
        if asked is None:
            continue
        protocol.follows(asked.request)
        protocol.is_aside(asked.request)
        protocol.asker(asked.request)
        for draft in asked.drafts:
            protocol.references(draft)
            kept = storable(draft)
            check_draft(kept)
            assert storable(kept) == kept
            check_storage(kept)


def read_passage(data: bytes) -> None:
    """A stream on its way to the client: no byte is lost or changed, except a secret's."""
    size, said = _size_in(data[:1]), data[1:]
    for protocol in _PROTOCOLS:
        last = LastEvent(protocol.last_lines)
        parts = [last.part(piece) for piece in _pieces(said, size)]
        before, ending = (b"".join(side) for side in zip(*parts, strict=True)) if parts else (b"", b"")
        assert before + ending + last.end() == said
    for secret in ("", _SECRET):
        masked = MaskedEvents(Mask(secret))
        told = b"".join(map(masked.take, _pieces(said, size))) + masked.end()
        if secret:
            assert secret.encode() not in told
        if not secret or secret[:1].encode() not in _plain(said):
            assert told == said


def _plain(said: bytes) -> bytes:
    """Return all characters that bytes may spell, in any escape: those as they are, and for an escape, all."""
    return said + _SECRET.encode() if b"\\" in said or b"%" in said else said


def _size_in(byte: bytes) -> int:
    return byte[0] % 64 + 1 if byte else 1


def _pieces(said: bytes, size: int) -> Iterator[bytes]:
    return (said[start : start + size] for start in range(0, len(said), size))


def check_storage(draft: Draft) -> None:
    """Check that a draft that passed the door is read back from its line as it was."""
    fields = {**msgspec.structs.asdict(draft), "seq": 1, "id": draft.id or "1", "sent_at": draft.sent_at or _AT}
    message = Message(**fields)
    [line] = session_file.message_lines([message])
    assert session_file.parse_message(line.rstrip(b"\n"), 1) == message


def _chunk(delta: str, finish: str = "null") -> bytes:
    return b'data: {"choices":[{"index":0,"delta":%b,"finish_reason":%b}]}\n\n' % (delta.encode(), finish.encode())


def _stream(*events: dict[str, Json]) -> bytes:
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


COMPLETION: Final = b"".join(
    (
        _chunk('{"role":"assistant","content":"<think>a</think>"}'),
        _chunk('{"content":[{"type":"text","text":"b"}],"reasoning_content":"c"}'),
        _chunk('{"tool_calls":[{"index":0,"id":"t","function":{"name":"f","arguments":"{\\"x\\":1}"}}]}'),
        _chunk("{}", '"stop"'),
        b"data: [DONE]\n\n",
    )
)
_MESSAGE: Final[dict[str, Json]] = {
    "id": "m",
    "type": "message",
    "role": "assistant",
    "model": "small",
    "content": [
        {"type": "thinking", "thinking": "a", "signature": "s"},
        {"type": "text", "text": "b"},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"x": 1}},
    ],
    "stop_reason": "tool_use",
    "usage": {"input_tokens": 1, "output_tokens": 2},
}
_MESSAGE_STREAM: Final = _stream(
    {"type": "message_start", "message": {**_MESSAGE, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "a"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "s"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "b"}},
    {"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "id": "t", "name": "f"}},
    {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": '{"x":1}'}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
)
_ITEMS: Final[list[Json]] = [
    {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "a"}]},
    {"type": "message", "id": "i", "role": "assistant", "content": [{"type": "output_text", "text": "b"}]},
    {"type": "function_call", "id": "c", "call_id": "t", "name": "f", "arguments": '{"x":1}'},
]
_RESPONSE: Final[dict[str, Json]] = {"id": "resp_1", "object": "response", "status": "completed", "output": _ITEMS}
_RESPONSE_STREAM: Final = _stream(
    {"type": "response.created", "response": {**_RESPONSE, "status": "in_progress", "output": []}},
    {"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "id": "i"}},
    {"type": "response.output_text.delta", "item_id": "i", "output_index": 0, "content_index": 0, "delta": "b"},
    {"type": "response.output_text.done", "item_id": "i", "output_index": 0, "content_index": 0, "text": "b"},
    {"type": "response.output_item.done", "output_index": 0, "item": _ITEMS[1]},
    {"type": "response.function_call_arguments.delta", "item_id": "c", "output_index": 1, "delta": '{"x":'},
    {"type": "response.completed", "response": _RESPONSE},
)
_COMPLETION: Final = b'{"choices":[{"message":{"content":"a"}}]}'

_CANDIDATES: Final[list[Json]] = [
    {"candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": "a", "thought": True}]}}]},
    {"candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": "b", "thoughtSignature": "s"}]}}]},
    {
        "candidates": [
            {
                "index": 0,
                "content": {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"x": 1}}}]},
                "finishReason": "STOP",
            }
        ],
        "usageMetadata": {"promptTokenCount": 1},
        "responseId": "r",
    },
]
_CANDIDATE_STREAM: Final = b"".join(b"data: %b\r\n\r\n" % json.dumps(one).encode() for one in _CANDIDATES)
_STREAMS: Final = (COMPLETION, _MESSAGE_STREAM, _RESPONSE_STREAM, _CANDIDATE_STREAM)
_WHOLE: Final = (_COMPLETION, *(json.dumps(one).encode() for one in (_MESSAGE, _RESPONSE, _CANDIDATES)))
_JSON_NUMBERS: Final = range(_FIRST_JSON + -_FIRST_JSON % len(_PROTOCOLS), _LAST + 1)

ANSWERS: Final = (
    *(bytes((number, 5)) + stream for number, stream in enumerate(_STREAMS)),
    *(bytes((number, 5)) + answer for number, answer in zip(_JSON_NUMBERS, _WHOLE, strict=False)),
)
TELEMETRY: Final = tuple(
    sent
    for request in (
        logs(
            agent_event("user_prompt", 1, {"prompt": "a"}),
            agent_event("api_request_body", 2, {"body": '{"messages":[]}'}),
        ),
        traces(span({"gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"a"}]}]'})),
        traces(span({"gen_ai.completion.0.content": "a", "llm.input_messages.0.message.content": "b"})),
    )
    for first in (b"\x80" if "resourceLogs" in request else b"\x00",)
    for sent in (first + msgspec.json.encode(request), bytes((first[0] + 0x41,)) + protobuf_of(request))
)
REQUESTS: Final = tuple(
    json.dumps(request).encode()
    for request in (
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": [{"text": "b"}]}]},
        {"system": [{"type": "text", "text": "s"}], "metadata": {"user_id": "u"}, "messages": [_MESSAGE]},
        {
            "messages": [
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "1"}]},
                {"role": "assistant", "content": "b"},
            ]
        },
        {"instructions": "s", "input": "a", "previous_response_id": "resp_1"},
        {
            "conversation": {"id": "conv_1"},
            "input": [
                *_ITEMS,
                {"type": "function_call_output", "call_id": "t", "output": "1"},
                {"type": "item_reference", "id": "i"},
                {"role": "user", "content": [{"type": "input_text", "text": "a"}]},
            ],
        },
        {
            "systemInstruction": {"parts": [{"text": "s"}]},
            "contents": [
                {"role": "user", "parts": [{"text": "a"}, {"inlineData": {"mimeType": "image/png", "data": "QUJD"}}]},
                {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"x": 1}}}]},
                {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"y": 2}}}]},
            ],
        },
    )
)
PASSAGES: Final = (
    *(b"\x05" + stream for stream in _STREAMS),
    b"\x07" + _chunk('{"content":"sk-"}') + _chunk('{"content":"471147"}') + b"data: [DONE]\n\n",
    b'\x09{"echo":"sk-471147"}',
)
