"""No text is worked on in the event loop: what grows with a request or an answer is done in threads.

The tests watch the thread of the loop while requests with long texts pass. A function that is no coroutine and is
given a long text there, or returns one, works on it where all others wait for it.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Final

import httpx
import msgspec
import pytest
from starlette.types import Receive, Scope, Send

import chatkeep
from chatkeep.access.tokens import TokenFile
from chatkeep.core.model import Draft, Message
from chatkeep.core.search.words import spaced
from chatkeep.http.app import create_app
from chatkeep.http.gate.guard import UNLIMITED, Guard
from chatkeep.http.gate.limits import Limits
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.files.store import FilesStore
from tests.http.listening import listening

LONG: Final = 200_000  # characters; more than any part of a request that is not its text
HANDED_ON: Final = frozenset(("json_response", "revision_of", "services_of", "_services"))
"""Functions that put what is ready into an answer or a value, or hand on the services with the ready API's document."""
_ROOM: Final = str(Path(chatkeep.__file__).parent)
_COROUTINES: Final = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


class Watch:
    """Notes which functions of ours are given or return a long text in one thread."""

    def __init__(self) -> None:
        """Begin with nothing noted."""
        self.noted: set[str] = set()

    def __call__(self, frame: FrameType, event: str, told: Any) -> None:  # noqa: ANN401 - as `sys.setprofile` calls it
        """Look at a call or a return."""
        code = frame.f_code
        if event not in {"call", "return"} or not code.co_filename.startswith(_ROOM) or code.co_flags & _COROUTINES:
            return
        given = frame.f_locals.values() if event == "call" else (told,)
        if any(map(is_long, given)) and code.co_name not in HANDED_ON:
            self.noted.add(f"{Path(code.co_filename).stem}.{code.co_name}")


def is_long(value: object) -> bool:
    """Tell whether a value is a long text, or has one in it."""
    if isinstance(value, str | bytes | bytearray | memoryview):
        return len(value) >= LONG
    if isinstance(value, Draft | Message):
        return is_long(value.content)
    if isinstance(value, msgspec.Struct):
        return any(is_long(getattr(value, name)) for name in value.__struct_fields__)
    return isinstance(value, list | tuple) and len(value) < 100 and any(map(is_long, value))


@pytest.fixture
def watch() -> Watch:
    """What was noted of the thread of the event loop."""
    return Watch()


@pytest.fixture
def client(watch: Watch, tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of a server whose event loop is watched."""
    tokens = TokenFile(tmp_path / "tokens.json")
    secret, _ = tokens.create("admin", scopes=("admin",))
    store = FilesStore.open(tmp_path / "workspace", durability="none")
    guard = Guard(tokens, Limits(None), hosts={"127.0.0.1"}, rates=UNLIMITED)
    app = create_app(Sessions(store), guard)

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        sys.setprofile(watch)
        await app(scope, receive, send)

    with listening(watched) as port:
        headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client:
            yield client
    store.close()


def said(text: str, **fields: object) -> bytes:
    """Return the body of an append."""
    return json.dumps({"role": "user", "content": text, **fields}).encode()


@pytest.mark.parametrize("unit", ["quick brown ", "a\u0315\u0300\u0327 ", '"\\', "漢字"])
def test_append_and_read_a_long_message(client: httpx.Client, watch: Watch, unit: str) -> None:
    """A long message is taken in, listed, read, searched and exported without the loop looking at it."""
    text = unit * (LONG // len(unit) + 1)
    for role in ("user", "assistant"):
        client.post("/api/v1/messages?session=a", content=said(text, role=role)).raise_for_status()
    for path in (
        "/api/sessions",
        "/api/sessions/search?q=quick",
        "/api/memory/session?id=a",
        "/api/v1/messages?session=a",
        "/api/v1/messages?session=a&max_tokens=1000000",
        "/api/v1/export?session=a",
        "/api/v1/export?session=a&format=jsonl",
        "/api/v1/export?session=a&format=md",
    ):
        assert 200 == client.get(path).status_code, path
    exported = client.get("/api/v1/export?session=a").content
    assert 200 == client.post("/api/v1/import", content=exported.replace(b'"a"', b'"b"')).status_code
    assert set() == watch.noted


@pytest.mark.parametrize(
    "method,path,body",
    [
        ("POST", "/api/v1/messages", b'{"role":"user","content":"' + b"\\ud83d" * LONG + b'"}'),
        ("POST", "/api/v1/messages", b"[" * LONG),
        ("POST", "/api/v1/messages", b'{"role":"user","content":"' + b"a" * LONG),
        ("POST", "/api/v1/import", b'{"key":"' + b"a" * LONG + b'","messages":[]}'),
        ("POST", "/api/v1/sessions/delete", b'{"keys":["' + b"a" * LONG + b'"]}'),
        ("POST", "/api/v1/chat", b'{"message":"' + b"a" * LONG + b'"}'),
        ("POST", "/api/sessions/a/title", b'{"title":"' + b"a" * LONG + b'"}'),
        ("PATCH", "/api/v1/sessions/a", b'{"metadata":{"a":"' + b"a" * LONG * 2 + b'"}}'),
        ("PATCH", "/api/v1/sessions/a", b'{"tags":["' + b"\xcc\x95\xcc\x80" * LONG + b'"]}'),
    ],
)
def test_refuse_a_long_body(client: httpx.Client, watch: Watch, method: str, path: str, body: bytes) -> None:
    """What is refused in the end is not looked at in the loop either."""
    client.post("/api/v1/messages?session=a", content=said("x")).raise_for_status()
    assert client.request(method, path, content=body).status_code in {200, 400, 404, 409, 413, 422, 503}
    assert set() == watch.noted


def test_watch_notes_what_works_in_the_loop() -> None:
    """A function of ours that is given a long text in the thread that is watched is noted."""
    watch = Watch()
    sys.setprofile(watch)
    try:
        spaced("a" * LONG)
        spaced("a" * 10)
    finally:
        sys.setprofile(None)
    assert {"words.spaced"} == watch.noted
