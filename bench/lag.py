"""Measure how long the server's event loop stands still while texts that strangers may send come through each door.

    python bench/lag.py [--kinds few|all|NAME ...] [--chars 60000 1000000] [--doors append import ...] [--tries 3]

The server runs as always, with one more task in its event loop: it sleeps for 3 ms again and again, and notes when that
took much longer. A door is an append, an import, an export, a search and so on, or an answer of the model in each
protocol, as JSON or as a stream. For each kind of text (tests/linear/kinds.py) and each door, printed is the longest
stand of a number of tries, of which the least counts: another program may stop the server, but not each time. A stand
counts at most the processor time that the server took meanwhile. The exit code is 1 when one is above 50 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, TextIO
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).parent.parent))

from server import Server
from tests.linear.kinds import FEW, KINDS

STAND_MAX_MS = 50.0
_STEP_S = 0.003
_NOTED_MS = 5.0
_PAUSE_S = 0.02  # after an answer: what goes on behind it counts, too
_NOTES = "LAG_NOTES"
_PATHS = {"completions": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
_FORMATS = ("json", "jsonl", "md", "html", "openai", "responses", "anthropic", "ai-sdk")
_KEY = "sk-0123456789abcdefghij"  # of the model's server: answers are looked through for it


def serve(arguments: list[str]) -> None:
    """Be the server, with the task that notes stands."""
    import uvicorn  # noqa: PLC0415 - only in the server

    from chatkeep.cli import main as chatkeep  # noqa: PLC0415

    starting = uvicorn.Server.startup

    async def started(self: uvicorn.Server, sockets: Any = None) -> None:  # noqa: ANN401 - as uvicorn has it
        await starting(self, sockets)
        self.noting = asyncio.create_task(_note(notes))  # type: ignore[attr-defined]

    uvicorn.Server.startup = started  # type: ignore[method-assign]
    with Path(os.environ[_NOTES]).open("a", buffering=1, encoding="ascii") as notes:
        chatkeep(arguments)


async def _note(notes: TextIO) -> None:
    while True:
        began, cpu = time.monotonic(), time.process_time()
        await asyncio.sleep(_STEP_S)
        stood, used = time.monotonic() - began - _STEP_S, time.process_time() - cpu
        if min(stood, used) * 1000 > _NOTED_MS:
            notes.write(f"{min(stood, used) * 1000:.1f}\n")


class Model(BaseHTTPRequestHandler):
    """A model's server that gives one answer to everything."""

    protocol_version = "HTTP/1.1"
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


def start_model() -> str:
    """Start a model's server, and return its base URL."""
    model = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    threading.Thread(target=model.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{model.server_port}/v1"


def whole(protocol: str, text: str) -> Any:  # noqa: ANN401 - JSON
    """Return an answer with this text, and with it as reasoning where that has a place."""
    said = {"role": "assistant", "content": text, "reasoning": text}
    blocks = [{"type": "thinking", "thinking": text}, {"type": "text", "text": text}]
    items = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}]
    return {
        "completions": {"choices": [{"index": 0, "message": said, "finish_reason": "stop"}]},
        "messages": {"type": "message", "role": "assistant", "content": blocks, "stop_reason": "end_turn"},
        "responses": {"object": "response", "id": "r", "status": "completed", "output": items},
    }[protocol]


def stream(protocol: str, pieces: list[str]) -> bytes:
    """Return an answer in these pieces."""
    told: dict[str, tuple[Callable[[str], Any], list[Any]]] = {
        "completions": (
            lambda piece: {"choices": [{"index": 0, "delta": {"content": piece}}]},
            [{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}],
        ),
        "messages": (
            lambda piece: {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}},
            [{"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, {"type": "message_stop"}],
        ),
        "responses": (
            lambda piece: {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": piece},
            [{"type": "response.completed", "response": {"id": "r", "status": "completed"}}],
        ),
    }
    delta, ending = told[protocol]
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in (*map(delta, pieces), *ending))


class Door(NamedTuple):
    """A request with a text in it, and what the model answers meanwhile."""

    name: str
    method: str
    path: str
    body: bytes | None = None
    media_type: str = "application/json"
    answer: bytes = b"{}"


def doors(number: int, text: str) -> Iterator[Door]:
    """Yield all doors for a text; `number` is in the keys of its sessions."""
    plain = text.encode(errors="replace").decode().replace("\0", "")
    raw, key, at = text.encode(errors="surrogatepass"), quote(f"lag:{number}"), "2024-01-15T10:30:00Z"

    def sent(value: Any) -> bytes:  # noqa: ANN401 - JSON
        return json.dumps(value, ensure_ascii=False).encode()

    said = {"role": "user", "content": plain, "timestamp": at}
    yield Door("append", "POST", f"/api/v1/messages?session={key}", sent(said))
    yield Door("append-escaped", "POST", f"/api/v1/messages?session={key}", json.dumps(said).encode())
    yield Door("import", "POST", "/api/v1/import", sent({"key": f"lag:i{number}", "messages": [said, said]}))
    lines = sent({"key": f"lag:j{number}", "messages": [said]}) + b"\n" + sent({"key": f"lag:k{number}", **said})
    yield Door("import lines", "POST", "/api/v1/import?format=jsonl", lines)
    yield Door("create", "POST", "/api/v1/sessions", sent({"key": f"lag:n{number}", "messages": [said]}))
    yield Door("replace", "PUT", f"/api/v1/messages?session={quote(f'lag:p{number}')}", sent([said]))
    for path in ("/api/v1/messages", "/api/v1/import", *_PATHS.values(), "/api/v1/chat", "/v1/embeddings", "/signin"):
        yield Door(f"bytes {path}", "POST", path, raw)
    for protocol, path in _PATHS.items():
        field = "input" if protocol == "responses" else "messages"
        asked: dict[str, Any] = {"model": "m", field: [said, {**said, "role": "assistant"}, said]}
        yield Door(f"ask {protocol}", "POST", path, sent(asked))
        short = sent({"model": "m", field: [{"role": "user", "content": f"{number}"}]})
        yield Door(f"answer {protocol}", "POST", path, short, answer=sent(whole(protocol, plain)))
        step = max(1, len(plain) // 3000)
        pieces = [plain[start : start + step] for start in range(0, len(plain), step)]
        for kind, parts in (("tokens", pieces), ("event", [plain])):
            yield Door(f"{kind} {protocol}", "POST", path, short, "text/event-stream", stream(protocol, parts))
    chat = sent({"message": plain[:90_000] or "a", "session_key": f"lag:c{number}"})
    yield Door("chat", "POST", "/api/v1/chat/stream", chat, "text/event-stream", stream("completions", [plain]))
    yield Door("patch", "PATCH", f"/api/v1/sessions/{key}", sent({"metadata": {"a": plain[:60_000]}}))
    yield Door("search", "GET", f"/api/sessions/search?q={quote(plain[:900])[:15_000]}")
    yield Door("search in it", "GET", f"/api/sessions/search?q=the%20quick&role=any&session={key}")
    yield Door("history", "GET", f"/api/memory/session?id={key}")
    yield Door("window", "GET", f"/api/v1/messages?session={key}&max_tokens=1000000")
    yield Door("fork", "POST", "/api/v1/fork", sent({"session": f"lag:{number}", "key": f"lag:f{number}"}))
    yield Door("delete many", "POST", "/api/v1/sessions/delete", sent({"keys": [plain[:128] or "a"] * 70}))
    for protocol in ("openai", "anthropic", "responses", "ui"):
        yield Door(f"shape {protocol}", "GET", f"/api/v1/messages?session={key}&shape={protocol}")
    for fmt in _FORMATS:
        yield Door(f"export {fmt}", "GET", f"/api/v1/export?session={key}&format={fmt}")


def stand_of(server: Server, door: Door, notes: Path) -> float:
    """Return the longest stand of the event loop while a door is used, in milliseconds."""
    Model.media_type, Model.answer = door.media_type, door.answer
    seen = notes.stat().st_size
    server.send(door.method, door.path, door.body)
    time.sleep(_PAUSE_S)
    with notes.open("rb") as file:
        file.seek(seen)
        return max(map(float, file.read().split()), default=0.0)


def measure(server: Server, notes: Path, chosen: argparse.Namespace) -> dict[str, list[tuple[float, str, int]]]:
    """Return the stands at each door, with the kind of text and its length."""
    found: dict[str, list[tuple[float, str, int]]] = {}
    names = {"few": list(FEW), "all": list(KINDS)}.get(chosen.kinds[0], chosen.kinds)
    number = 0
    for chars in chosen.chars:
        for name in names:
            number += 1
            text = KINDS[name](chars)
            for place, door in enumerate(doors(number, text)):
                if chosen.doors and door.name not in chosen.doors:
                    continue
                stand = stand_of(server, door, notes)
                for _ in range(chosen.tries - 1):
                    if stand <= STAND_MAX_MS / 2:
                        break
                    number += 1
                    stand = min(stand, stand_of(server, [*doors(number, text)][place], notes))
                found.setdefault(door.name, []).append((stand, name, chars))
                if stand > STAND_MAX_MS:
                    print(f"{stand:.0f} ms: {door.name}, {chars:,} of {name}", flush=True)
    return found


def main() -> None:
    """Print what is too long at once, and a line for each door at the end: the longest stands, with their texts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", default=["few"])
    parser.add_argument("--chars", nargs="+", type=int, default=[60_000, 1_000_000])
    parser.add_argument("--doors", nargs="*", default=[])
    parser.add_argument("--tries", type=int, default=3)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder, "notes")
        notes.touch()
        os.environ[_NOTES] = str(notes)
        program = (str(Path(__file__)), "--serve")
        server = Server(
            Path(folder, "workspace"),
            program=program,
            model_url=start_model(),
            model="m",
            model_key=_KEY,
            durability="os",
            rate_limit_model="0",
        )
        time.sleep(3)  # until the processes beside it are ready
        found = measure(server, notes, chosen)
        server.stop()
    for name, stands in sorted(found.items(), key=lambda one: max(one[1]), reverse=True):
        worst = ", ".join(f"{stand:.0f} ms {kind} {chars:,}" for stand, kind, chars in sorted(stands, reverse=True)[:3])
        print(f"{name:32} n={len(stands):3}  {worst}")
    sys.exit(max(stand for stands in found.values() for stand, _, _ in stands) > STAND_MAX_MS)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2:])
    else:
        main()
