"""Long answers of a model are read and stored by the process beside the server, as the server would store them."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from msgspec.structs import replace

from chatkeep.access.tokens import TokenFile
from chatkeep.core.history.masking import Mask
from chatkeep.core.history.protocols.anthropic import MESSAGES
from chatkeep.core.history.protocols.chat_completions import COMPLETIONS
from chatkeep.core.history.protocols.item_folding import RESPONSES
from chatkeep.core.history.protocols.speaking import ModelProtocol
from chatkeep.core.history.tape.tape import Tape
from chatkeep.core.model import Draft, Message
from chatkeep.core.sse import EVENT_STREAM_TYPE
from chatkeep.http.app import create_app
from chatkeep.http.gate.guard import UNLIMITED, Guard
from chatkeep.http.gate.limits import Limits
from chatkeep.http.gate.rules import Pools
from chatkeep.http.streams.relay import Relay
from chatkeep.model.places import Root
from chatkeep.model.recording import Recording
from chatkeep.model.upstream import ModelSettings
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.files.store import FilesStore
from chatkeep.store.memory import MemoryStore
from chatkeep.workers.appending import answer_of, handed_over, outcome
from chatkeep.workers.beside import Beside
from chatkeep.workers.heard import READ_BYTES_MAX, HeardAnswer, draft_of_tape, heard_answer, store_heard
from tests.http.listening import listening
from tests.http.test_event_loop import Watch

RULES = '{"durability": "none"}'  # of the settings, for a process beside the server

SECRET = "sk-abcdefghijklmnop"  # noqa: S105 - made up
WORDS = "The quick brown fox \u0301 \ud83e\udd8a. ".encode("utf-16", "surrogatepass").decode("utf-16") * 6000
LONG = f"{WORDS}{SECRET} {WORDS}"
ROOT = Root("cli:talk", is_named=True)
ASKED = [Draft(role="user", content="Tell me.")]
JSON = "application/json"
CARRIERS = {
    *("appending.handed_over", "beside._length", "heard.heard_answer", "sse.read", "sse._event_at"),
    *("tape.kept", "tape.add", "tape.covers", "tape._has_room", "tape._cost_of", "tape._read"),
    "answer_values.take_event",
}
"""Functions that pass long bytes on, and look for the ends of lines in them at most."""
AT = datetime(2024, 1, 15, 10, 30, tzinfo=UTC)


def events(*values: object) -> bytes:
    """Return a stream of these events."""
    return b"".join(b"data: " + json.dumps(value).encode() + b"\n\n" for value in values)


def completion(delta: dict[str, object], finish: str | None = None) -> dict[str, object]:
    """Return a chunk of a completion."""
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


SAID = {"role": "assistant", "content": LONG, "reasoning": "So."}
BLOCKS = [{"type": "thinking", "thinking": LONG}, {"type": "text", "text": "Yes."}]
ITEMS = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": LONG}]}]
ANSWERS = {
    "completion": (
        COMPLETIONS,
        JSON,
        json.dumps({"choices": [{"index": 0, "message": SAID, "finish_reason": "stop"}]}).encode(),
    ),
    "broken completion": (COMPLETIONS, JSON, json.dumps({"choices": [{"index": 0, "message": SAID}]}).encode()[:-9]),
    "tokens": (
        COMPLETIONS,
        EVENT_STREAM_TYPE,
        events(
            *(completion({"content": LONG[at : at + 999]}) for at in range(0, len(LONG), 999)), completion({}, "stop")
        ),
    ),
    "one event": (
        COMPLETIONS,
        EVENT_STREAM_TYPE,
        events(completion({"content": "First. "}), completion({"content": LONG}), completion({}, "stop")),
    ),
    "one event, without its end": (
        COMPLETIONS,
        EVENT_STREAM_TYPE,
        events(completion({"content": "First. "}), completion({"content": LONG}))[:-20],
    ),
    "blocks": (
        MESSAGES,
        JSON,
        json.dumps({"type": "message", "role": "assistant", "content": BLOCKS, "stop_reason": "end_turn"}).encode(),
    ),
    "items": (
        RESPONSES,
        EVENT_STREAM_TYPE,
        events(
            {"type": "response.completed", "response": {"id": "r", "status": "completed", "output": ITEMS}},
        ),
    ),
}


def heard(protocol: ModelProtocol, media_type: str, data: bytes, *, as_server: bool) -> Tape:
    """Return the tape of an answer, as the server keeps one while it passes, or read whole."""
    tape = Tape(media_type, protocol=protocol, mask=Mask(SECRET), read_bytes_max=READ_BYTES_MAX if as_server else None)
    for start in range(0, len(data), 8192):
        tape.add(data[start : start + 8192])
    return tape


def recorded(store: MemoryStore, protocol: ModelProtocol) -> Recording:
    """Return a recording whose request is stored."""
    recording = Recording(Sessions(store), ROOT, ASKED, protocol)
    recording.begin()
    return recording


def stored_in(store: MemoryStore) -> list[Message]:
    """Return the messages of the recorded session, without what is made anew each time."""
    return [replace(message, id="", sent_at=AT) for message in store.read(ROOT.key).messages]


@pytest.mark.parametrize("cut", [None, "client_gone"])
@pytest.mark.parametrize("name", ANSWERS)
def test_store_a_long_answer_beside(name: str, cut: str | None) -> None:
    """Whoever reads a long answer, the same is stored, without the key of the model's server."""
    protocol, media_type, data = ANSWERS[name]
    here, there = MemoryStore(), MemoryStore()
    whole = draft_of_tape(heard(protocol, media_type, data, as_server=False), 7, cut)
    assert whole is not None
    recorded(here, protocol).finish(whole)
    task = heard_answer(
        recorded(there, protocol), heard(protocol, media_type, data, as_server=True), Mask(SECRET), 7, cut
    )
    assert task is not None
    for _ in range(2):  # a task done twice stores once
        answer_of(outcome(there, {HeardAnswer: store_heard}, b"".join(handed_over(task, data))))
        assert stored_in(here) == stored_in(there)
    assert 2 == len(stored_in(there))
    assert SECRET not in str(stored_in(there)[1])


@pytest.mark.parametrize("name", ANSWERS)
def test_read_what_the_server_left_out(name: str) -> None:
    """Without the other process, the server reads the events that it left out, and stores the same."""
    protocol, media_type, data = ANSWERS[name]
    whole, left = (heard(protocol, media_type, data, as_server=as_server) for as_server in (False, True))
    assert draft_of_tape(whole, 7, None) == draft_of_tape(left, 7, None)


def test_hear_the_end_behind_a_left_out_event() -> None:
    """An answer counts as whole once its end is there, even if its one event was not read."""
    protocol, media_type, data = ANSWERS["one event"]
    tape = heard(protocol, media_type, data, as_server=True)
    assert tape.has_left_out
    assert tape.is_complete
    assert "First. " == "".join(piece.text for piece in tape.take())


def test_hand_over_no_short_answer() -> None:
    """The server itself stores a short answer, and one whose request is not stored."""
    protocol, media_type, data = ANSWERS["tokens"]
    short = heard(protocol, media_type, data[:1000], as_server=True)
    assert heard_answer(recorded(MemoryStore(), protocol), short, Mask(SECRET), 7, None) is None
    unstored = Recording(Sessions(MemoryStore()), ROOT, ASKED, protocol)
    assert heard_answer(unstored, heard(protocol, media_type, data, as_server=True), Mask(SECRET), 7, None) is None


class Model(BaseHTTPRequestHandler):
    """A model's server that gives one answer to everything."""

    media_type, answer = "", b""

    def do_POST(self) -> None:
        """Read the request, and answer."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", Model.media_type)
        self.send_header("Content-Length", str(len(Model.answer)))
        self.end_headers()
        self.wfile.write(Model.answer)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def answering(media_type: str, answer: bytes) -> Iterator[str]:
    """Yield the base URL of a model's server with this answer."""
    Model.media_type, Model.answer = media_type, answer
    with ThreadingHTTPServer(("127.0.0.1", 0), Model) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


@contextmanager
def writing(workspace: Path) -> Iterator[Beside]:
    """Yield a process that stores for a server, once it is ready."""
    writer = Beside([sys.executable, "-m", "chatkeep.processes.writer", str(workspace), RULES], 2)
    while writer._channels.qsize() < 2:
        time.sleep(0.01)
    yield writer
    writer.close()


@pytest.mark.parametrize("name", ["completion", "one event"])
def test_server_reads_no_long_answer(tmp_path: Path, name: str) -> None:
    """No function of the server's own process is given the words of a long answer, which gets to its session."""
    tokens, (_, media_type, data) = TokenFile(tmp_path / "tokens.json"), ANSWERS[name]
    secret, _ = tokens.create("admin", scopes=("admin",))
    guard = Guard(tokens, Limits(None), hosts={"127.0.0.1"}, rates=UNLIMITED)
    headers = {"Authorization": f"Bearer {secret}", "X-Session-Key": ROOT.key}
    asked = {"model": "m", "messages": [{"role": "user", "content": "Tell me."}]}
    watch = Watch()
    with (
        closing(FilesStore.open(tmp_path / "workspace", durability="none")) as store,
        writing(tmp_path / "workspace") as writer,
        answering(media_type, data) as url,
    ):
        relay = Relay(ModelSettings(url=url, key=SECRET, model="m", timeout_s=60, retries=0))
        app = create_app(Sessions(store), guard, pools=Pools(writer=writer), relay=relay)
        with listening(app) as port:
            threading.setprofile(watch)
            address = f"http://127.0.0.1:{port}/v1/chat/completions"
            answer = httpx.post(address, json=asked, headers=headers, timeout=60)
            threading.setprofile(None)
        assert 200 == answer.status_code, answer.text[:500]
        assert SECRET not in answer.text
        said = store.read(ROOT.key).messages
    masked = LONG.replace(SECRET, "*" * len(SECRET))
    assert ["Tell me.", ("First. " if name == "one event" else "") + masked] == [one.content for one in said]
    assert watch.noted <= CARRIERS
