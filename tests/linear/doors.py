"""The doors by which a text comes in, and the rooms that read it: each as a function that does all that is done there.

A door is given a text and returns the work that is to be counted. The parsers of outside bytes are those of the
fuzz targets, which assert besides what has to hold of what they make of the bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Final

from chatkeep import exporters
from chatkeep.cli import screen
from chatkeep.core.history import recognition
from chatkeep.core.history.protocols.anthropic import MESSAGES
from chatkeep.core.history.protocols.chat_completions import COMPLETIONS
from chatkeep.core.history.protocols.gemini import GEMINI
from chatkeep.core.history.protocols.item_folding import RESPONSES
from chatkeep.core.history.protocols.speaking import ModelProtocol
from chatkeep.core.history.tape.tape import Tape
from chatkeep.core.history.windows import Window, fitting, for_anthropic, for_openai
from chatkeep.core.model import Draft, Header, Json, Message, Session
from chatkeep.core.search.highlighter import excerpt, highlights
from chatkeep.core.search.query import QUERY_CHARS_MAX, parse_query
from chatkeep.core.search.words import rows_of, spaced, tokens_of
from chatkeep.core.sse import EVENT_STREAM_TYPE
from chatkeep.core.text import titles
from chatkeep.core.text.reasoning import Splitter, parted
from chatkeep.store.files.tree import format as session_file
from chatkeep.store.sets.terms import indexed_of
from tests.fuzz import models, targets, wires

Work = Callable[[], object]
Door = Callable[[str], Work]

_AT: Final = datetime(2024, 1, 15, 10, 30, tzinfo=UTC)
_QUERY: Final = 'the quick "a b" fo'
_TOKENS: Final = 1_000_000


def _plain(text: str) -> str:
    """Return a text that can be stored."""
    return text.encode(errors="replace").decode().replace("\0", "")


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _each(read: Callable[[bytes], None], *said: bytes) -> Work:
    def work() -> None:
        for one in said:
            read(one)

    return work


def _all(works: Iterable[Work]) -> Work:
    todo = tuple(works)
    return lambda: [work() for work in todo]


def _said(text: str, *, ascii_only: bool = True, role: str = "user") -> bytes:
    said = {"role": role, "content": text if ascii_only else _plain(text)}
    return json.dumps(said, ensure_ascii=ascii_only).encode()


def _messages(text: str) -> list[Message]:
    plain = _plain(text)
    call = {"id": "c", "type": "function", "function": {"name": plain, "arguments": plain}}
    parts = [{"type": "text", "text": plain}, {"type": "image_url", "image_url": {"url": plain}}]
    return [
        Message(seq=1, id="1", role="system", content=plain, sent_at=_AT),
        Message(seq=2, id="2", role="user", content=parts, sent_at=_AT),
        Message(seq=3, id="3", role="assistant", content=plain, tool_calls=[call], sent_at=_AT),
        Message(seq=4, id="4", role="tool", content=plain, tool_call_id="c", sent_at=_AT),
        Message(seq=5, id="5", role="assistant", content=parts, sent_at=_AT),
    ]


def _session(text: str) -> Session:
    return Session(header=Header(key="cli:a", channel="cli", title=None, created_at=_AT), messages=(*_messages(text),))


def _stream(text: str) -> bytes:
    pieces = (text[start : start + 20] for start in range(0, len(text), 20))
    chunks = ({"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces)
    return b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in chunks) + b"data: [DONE]\n\n"


def _blocks(text: str) -> bytes:
    """Return the same as blocks of Messages, with a block of thinking."""
    block = {"type": "thinking", "thinking": text}
    events: list[dict[str, Json]] = [
        {"type": "message_start", "message": {"role": "assistant"}},
        {"type": "content_block_start", "index": 0, "content_block": block},
        *(
            {
                "type": "content_block_delta",
                "index": 1,
                "delta": {"type": "text_delta", "text": text[start : start + 20]},
            }
            for start in range(0, len(text), 20)
        ),
        {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": text}},
        {"type": "message_stop"},
    ]
    return b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events)


def _items(text: str) -> bytes:
    """Return the same as items of Responses, with reasoning."""
    at: dict[str, Json] = {"output_index": 0, "content_index": 0}
    done: Json = [{"type": "reasoning", "summary": [{"type": "summary_text", "text": text}]}]
    events: list[dict[str, Json]] = [
        *(
            {"type": "response.output_text.delta", **at, "delta": text[start : start + 20]}
            for start in range(0, len(text), 20)
        ),
        {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": text},
        {"type": "response.completed", "response": {"status": "completed", "output": done}},
    ]
    return b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events)


def _candidates(text: str) -> bytes:
    """Return the same as parts of Gemini's candidates, with a thought."""
    parts = [{"text": text, "thought": True}, *({"text": text[at : at + 20]} for at in range(0, len(text), 20))]
    events = ({"candidates": [{"index": 0, "content": {"role": "model", "parts": [part]}}]} for part in parts)
    return b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events)


def index_tokens(text: str) -> Work:
    """What the index is given of a message."""
    return partial(spaced, _plain(text))


def index_rows(text: str) -> Work:
    """The parts that the index is given of a message."""
    return partial(rows_of, _plain(text))


def index_words(text: str) -> Work:
    """The labels of a message, for the sets of the index."""
    return partial(indexed_of, _plain(text))


def tokens(text: str) -> Work:
    """The words of a text at their places, as highlights need them."""
    return partial(tokens_of, _plain(text))


def shown(text: str) -> Work:
    """The excerpt of a message that is found."""
    return partial(excerpt, _plain(text), parse_query(_QUERY))


def queried(text: str) -> Work:
    """A query of such text, of a message of such text."""
    asked = " ".join(_plain(text)[:QUERY_CHARS_MAX].splitlines())
    return lambda: excerpt(_plain(text), parse_query(asked))


def titled(text: str) -> Work:
    """Title and preview."""
    plain = _plain(text)
    return lambda: (titles.title(plain, plain), titles.preview(plain, plain))


def marked(text: str) -> Work:
    """A message shown whole with its hits, as the command line does it."""
    plain = _plain(text)
    return lambda: (
        highlights(plain, parse_query(_QUERY)),
        screen.safe_text(plain),
        screen.safe_text(plain, one_line=True),
    )


def body(text: str) -> Work:
    """The body of an append, in escapes and in UTF-8, to a line of a file and back."""
    bodies = (_said(text), _said(text, ascii_only=False))
    return _each(targets.read_body, *(b"\x07" + one for one in bodies))


def raw_body(text: str) -> Work:
    """A body that is this text, of each type."""
    return _each(targets.read_body, *(kind + _bytes(text) for kind in (b"\x00", b"\x01", b"\x02", b"\x07")))


def address(text: str) -> Work:
    """Key, label, title, tag, cursor, time, headers."""
    return partial(targets.read_address, _bytes(text) + b"\n" + _bytes(text))


def streamed(text: str) -> Work:
    """An answer of the model that is recorded from its stream."""
    streams = ((_stream, COMPLETIONS), (_blocks, MESSAGES), (_items, RESPONSES), (_candidates, GEMINI))
    return _all(partial(_taped, spoken(text), EVENT_STREAM_TYPE, protocol) for spoken, protocol in streams)


def answered(text: str) -> Work:
    """An answer of the model that is recorded whole."""
    message = {"role": "assistant", "content": text, "reasoning": text}
    return partial(_taped, json.dumps({"choices": [{"message": message}]}).encode(), "application/json")


def raw_answer(text: str) -> Work:
    """Events of a model's server that are this text."""
    return partial(_taped, b"data: " + b" ".join(_bytes(text).splitlines()) + b"\n\n" + _bytes(text), EVENT_STREAM_TYPE)


def _taped(said: bytes, media_type: str, protocol: ModelProtocol = COMPLETIONS) -> None:
    tape = Tape(media_type, protocol=protocol)
    for start in range(0, len(said), 100):
        tape.add(said[start : start + 100])
    tape.close()
    tape.draft(1, "cut")


def request(text: str) -> Work:
    """A request to the model that is recorded."""
    messages = [{"role": role, "content": text, "name": text} for role in ("system", "user", "assistant")]
    contents = [
        {"role": "user", "parts": [{"text": text}]},
        {"role": "model", "parts": [{"functionCall": {"name": text}}]},
    ]
    asked = (
        {"messages": messages},
        {"contents": contents},
        {"input": [*messages, {"type": "function_call", "arguments": text}]},
    )
    return _each(models.read_request, *(json.dumps(one).encode() for one in asked))


def events(text: str) -> Work:
    """Events that the client reads."""
    return partial(targets.read_events, b"\x3f" + _bytes(text))


def wire(text: str) -> Work:
    """What comes on a connection, from a client and from a model's server."""
    asked = b"POST /api/v1/messages HTTP/1.1\r\nHost: localhost\r\nX-A: " + _bytes(text)
    told = b"HTTP/1.1 200 OK\r\n\r\n" + _bytes(text)
    return _each(lambda one: (wires.read_http_request if one is asked else wires.read_http_answer)(one), asked, told)


def kept_file(text: str) -> Work:
    """A session file with such messages, whole and cut, and one that is nothing but such text."""
    kept = _session(text)
    first = session_file.header_line(kept.header)
    whole = session_file.whole_file(first, session_file.message_lines(kept.messages), len(kept.messages))
    return _each(targets.read_session_file, whole, whole[: len(whole) // 2], _bytes(text))


def imported(text: str) -> Work:
    """Files to import, in each format."""
    messages = [json.loads(_said(text)), json.loads(_said(text, role="assistant"))]
    record = json.dumps({"key": "cli:a", "session_id": "cli:a", "messages": messages}).encode()
    return _each(targets.read_import, record, record + b"\n" + record, _bytes(text))


def windows(text: str) -> Work:
    """A history as models take it."""
    messages = _messages(text)

    def work() -> None:
        for_openai(messages, budget=_TOKENS)
        for_anthropic(messages, budget=_TOKENS)
        fitting(Window(messages=tuple(messages), has_more=False), _TOKENS)

    return work


def recognised(text: str) -> Work:
    """A conversation that comes again, and goes on."""
    messages = _messages(text)
    drafts = [Draft(role=said.role, content=said.content, tool_calls=said.tool_calls) for said in messages]
    return lambda: (
        recognition.opening_key("openai:", ("a",), drafts),
        recognition.common(messages, drafts),
        recognition.deepest_fork("openai:a", drafts, frozenset()),
    )


def thought(text: str) -> Work:
    """An answer whose thinking is parted from it, whole and in small pieces."""
    plain = _plain(text)

    def work() -> None:
        assert parted(plain).as_written() == plain
        splitter = Splitter()
        for start in range(0, len(plain), 3):
            list(splitter.feed(plain[start : start + 3]))
        list(splitter.end())

    return work


def exported(text: str) -> Work:
    """Each format of an export."""
    kept = _session(text)
    return lambda: [list(exporters.exported([kept], fmt, single=True)) for fmt in exporters.EXPORT_FORMATS]


DOORS: Final[dict[str, tuple[Door, int]]] = {
    door.__name__: (door, size)
    for door, size in (
        (index_tokens, 200),
        (index_rows, 200),
        (index_words, 200),
        (tokens, 200),
        (shown, 200),
        (queried, 200),
        (titled, 200),
        (marked, 200),
        (body, 200),
        (raw_body, 1500),
        (request, 450),
        (events, 200),
        (address, 200),
        (windows, 200),
        (recognised, 200),
        (thought, 200),
        (exported, 200),
        (kept_file, 1000),
        (streamed, 200),
        (answered, 200),
        (raw_answer, 200),
        (wire, 400),
        (imported, 800),
    )
}
"""Each door by its name, and characters at which it is counted; twice as many are counted too."""

FINE: Final = frozenset(("index_rows", "tokens", "shown", "thought", "body", "raw_body"))
"""Doors through which every kind goes; through the others goes a part of them."""

COARSE: Final = frozenset(("wire", "imported", "kept_file", "windows", "exported", "address"))
"""Doors that take much for any text, so that few kinds are tried; most of what they do is counted apart as well."""
