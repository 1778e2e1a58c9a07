"""Long texts are stored by a process beside the server: the same is stored, once, and the server looks at none."""

from __future__ import annotations

import asyncio
import contextlib
import cProfile
import json
import os
import pstats
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import msgspec
import pytest

from chatkeep.access.tokens import TokenFile
from chatkeep.core.model import Draft
from chatkeep.errors import ChatkeepError, CountConflictError, InvalidError, MessageConflictError, TooLargeError
from chatkeep.http.app import create_app
from chatkeep.http.gate.guard import UNLIMITED, Guard
from chatkeep.http.gate.limits import Limits
from chatkeep.http.gate.rules import SHORT_BYTES, Pools
from chatkeep.model.asked import asked_in
from chatkeep.model.places import Root
from chatkeep.model.recording import Recording, root_of
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.files.store import FilesStore
from chatkeep.store.memory import MemoryStore
from chatkeep.testing import draft, search_for
from chatkeep.wire.answers import AppendAnswer, appended_of
from chatkeep.workers.appending import Append, StoredAnswer, answer_of, done, handed_over, outcome
from chatkeep.workers.beside import Beside
from chatkeep.workers.holding import CallHolder, Holding, RootRequest, held_of_answer, root_of_answer
from tests.chat.upstream import Upstream
from tests.cli.test_cli_serve import serving
from tests.http.listening import listening
from tests.http.test_event_loop import Watch

RULES = '{"durability": "none"}'  # of the settings, for a process beside the server

AT = datetime(2024, 1, 15, 10, 30, tzinfo=UTC)
PATIENCE_S = 60
WORKS = {Append: done}
MARKS = "a" + "\u0315\u0300\u0327" * SHORT_BYTES


def asked(key: str = "api:a", **fields: object) -> Append:
    """Return an append that a client might ask for."""
    told = {"prefix": "", "channel": None, "create": True, "expect_count": None, "at": AT}
    return Append(key=key, **(told | fields))  # type: ignore[arg-type]


def body(*texts: str, **fields: object) -> bytes:
    """Return the body of an append."""
    return json.dumps([{"role": "user", "content": text, **fields} for text in texts]).encode()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilesStore]:
    """A store that this process keeps true."""
    store = FilesStore.open(tmp_path / "workspace", durability="none")
    yield store
    store.close()


@contextmanager
def writing(workspace: Path) -> Iterator[Beside]:
    """Yield a process that stores long texts in the workspace, once it is ready."""
    writer = Beside([sys.executable, "-m", "chatkeep.processes.writer", str(workspace), RULES], 2)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while writer._channels.qsize() < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert 2 == writer._channels.qsize()
        yield writer
    finally:
        writer.close()


def test_append_done_twice_stores_once() -> None:
    """Who does the work again, because nobody knows whether it was done, stores nothing and tells the same places."""
    store = MemoryStore()
    what, said = asked(), body("first", "second")
    first, again = (done(Sessions(store), what, said) for _ in range(2))
    assert (2, 0) == (first.stored_count, again.stored_count)
    told = [appended_of(json_of(answer)) for answer in (first, again)]
    assert told[0].receipts == told[1].receipts
    assert ["first", "second"] == [message.content for message in store.read("api:a").messages]


def json_of(answer: StoredAnswer) -> AppendAnswer:
    """Return what a client reads of an answer."""
    return msgspec.json.decode(answer.data, type=AppendAnswer)


def test_append_handed_over_is_the_same() -> None:
    """Whoever stores a message, it has the same id and time."""
    here, there = MemoryStore(), MemoryStore()
    what, said = asked(), body("a", "b", "c")
    answer = done(Sessions(here), what, said)
    assert answer == answer_of(outcome(there, WORKS, b"".join(handed_over(what, said))))
    assert here.read("api:a") == there.read("api:a")


@pytest.mark.parametrize(
    "what,said,kind",
    [
        (asked(), b'{"role": "user", "contnt": "a"}', InvalidError),
        (asked(), b"[1, 2", ChatkeepError),
        (asked(), body("a", id="taken"), MessageConflictError),
        (asked(expect_count=7), body("a"), CountConflictError),
        (asked(create=False, key="api:none"), body("a"), ChatkeepError),
        (asked(prefix="own:"), body("a"), ChatkeepError),
        (asked(), body("a" * (16 << 20)), TooLargeError),
    ],
)
def test_append_refused_beside_is_refused_alike(what: Append, said: bytes, kind: type[ChatkeepError]) -> None:
    """An error is the same, with all its facts, whether the work was done here or in the other process."""
    store = MemoryStore()
    store.append("api:a", [draft("stored", 1, id="taken")])
    with pytest.raises(kind) as there:
        answer_of(outcome(store, WORKS, b"".join(handed_over(what, said))))
    with pytest.raises(kind) as here:
        done(Sessions(store).confined(what.prefix), what, said)
    assert (type(here.value), str(here.value)) == (type(there.value), str(there.value))
    assert vars(here.value) == vars(there.value)
    assert 1 == len(store.read("api:a").messages)


def test_append_beside_is_found_at_once(store: FilesStore, tmp_path: Path) -> None:
    """What the other process has answered, this one lists, reads and finds."""

    async def append(writer: Beside, number: int) -> StoredAnswer:
        told = await writer.ask(*handed_over(asked(), body(f"giraffe w{number} {MARKS}")), lasts_s=PATIENCE_S)
        assert told is not None
        return answer_of(told)

    with writing(tmp_path / "workspace") as writer:
        for number in range(1, 6):
            told = json_of(asyncio.run(append(writer, number)))
            assert number == told.message_count
            assert number == store.get("api:a").message_count
            assert ["api:a"] == [hit.key for hit in store.search(search_for(f"w{number} ")).hits]
            assert f"giraffe w{number} {MARKS}" == store.window("api:a", limit=1).messages[0].content


def test_server_looks_at_no_long_text(store: FilesStore, tmp_path: Path) -> None:
    """No function of the server's own process, in any thread, is given a long message that is appended."""
    tokens = TokenFile(tmp_path / "tokens.json")
    secret, _ = tokens.create("admin", scopes=("admin",))
    guard = Guard(tokens, Limits(None), hosts={"127.0.0.1"}, rates=UNLIMITED)
    watch = Watch()
    with writing(tmp_path / "workspace") as writer:
        app = create_app(Sessions(store), guard, pools=Pools(writer=writer))
        threading.setprofile(watch)
        try:
            with listening(app) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
                for path in ("?session=api:a", ""):
                    said = body(MARKS * 10)
                    answer = client.post(f"/api/v1/messages{path}", content=said, headers=headers)
                    assert 201 == answer.status_code, answer.text
                messages = [{"role": "user", "content": MARKS * 50}]
                for path, status in (("sessions", 201), ("import", 200)):
                    said = json.dumps({"key": f"api:{path}", "messages": messages}).encode()
                    answer = client.post(f"/api/v1/{path}", content=said, headers=headers)
                    assert status == answer.status_code, answer.text
        finally:
            threading.setprofile(None)
    assert {"appending.handed_over", "beside._length", "services.services_of"} >= watch.noted
    assert 4 == store.status().message_count


CALL = {"messages": [{"role": "user", "content": f"giraffe {MARKS}"}, {"role": "user", "content": "and?"}]}


@pytest.mark.parametrize("named", [None, "telegram:1"])
def test_call_recorded_beside_is_the_same(named: str | None) -> None:
    """A long call is stored in the session where it would be stored here, and its answer after it."""
    here, there = (Sessions(MemoryStore()) for _ in range(2))
    said = json.dumps(CALL).encode()
    asked_for = asked_in(said)
    assert asked_for is not None
    root = root_of(here, asked_for, named, "token")
    call = Recording(here, root, asked_for.drafts)
    call.begin()
    opening = RootRequest(prefix="", protocol="completions", named=named, by="token")
    holder = CallHolder()
    assert root == root_of_answer(holder.opened(there, opening, said))
    holding = Holding(prefix="", protocol="completions", root=root)
    found = held_of_answer(holder.held(there, holding, said))
    assert call.held == found
    assert found is not None
    beside = Recording(there, root, ())
    beside.go_on(found)
    for recording, sessions in ((call, here), (beside, there)):
        recording.finish(Draft(role="assistant", content="Yes."))
        texts = [message.content for message in sessions.read(root.key).messages]
        assert [f"giraffe {MARKS}", "and?", "Yes."] == texts


def test_call_recorded_beside_is_parsed_once() -> None:
    """The second task of a call takes what the first one parsed, but never another call's or another protocol's."""
    bodies = [json.dumps({"messages": [{"role": "user", "content": f"{n}"}]}).encode() for n in range(2)]
    sessions, holder = Sessions(MemoryStore()), CallHolder()
    opening = RootRequest(prefix="", protocol="completions", named="a:1", by="token")
    parsed = cProfile.Profile()
    for body, protocol in ((bodies[0], "completions"), (bodies[1], "completions"), (bodies[1], "messages")):
        holder.opened(sessions, opening, bodies[0])
        with parsed:
            holder.held(sessions, Holding(prefix="", protocol=protocol, root=Root("a:1")), body)
    counts = {name: count for (_, _, name), (count, *_) in pstats.Stats(parsed).stats.items()}  # type: ignore[attr-defined]
    assert 2 == counts["asked_in"]
    assert ["0", "1"] == [one.text for key in sessions.keys().keys for one in sessions.read(key).messages][:2]


def test_call_without_messages_is_recorded_nowhere() -> None:
    """What brings no conversation has no place to begin at."""
    assert (
        root_of_answer(
            CallHolder().opened(
                Sessions(MemoryStore()), RootRequest(prefix="", protocol="completions", named=None, by=""), b"[]"
            )
        )
        is None
    )


@pytest.mark.parametrize("is_killed", [False, True])
def test_serve_a_long_call(tmp_path: Path, *, is_killed: bool) -> None:
    """A long call is passed on and recorded whole, also when the process that stores has just ended."""
    secret, _ = TokenFile(tmp_path / "tokens.json").create("admin", scopes=("admin",))
    headers = {"Authorization": f"Bearer {secret}", "X-Session-Key": "telegram:1"}
    with (
        Upstream() as model,
        serving(tmp_path, "--model-url", model.url) as (address, _),
        httpx.Client(base_url=address, headers=headers, timeout=60) as client,
    ):
        deadline = time.monotonic() + PATIENCE_S
        while not _writers(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.01)
        for pid in _writers(tmp_path) if is_killed else ():
            os.kill(pid, signal.SIGKILL)
        answer = client.post("/v1/chat/completions", json={"model": "small-model", "stream": False, **CALL})
        assert 200 == answer.status_code, answer.text
        stored = client.get("/api/v1/messages?session=telegram:1").json()["messages"]
        assert [said["content"] for said in CALL["messages"]] == [message["content"] for message in stored[:2]]
        assert ["user", "user", "assistant"] == [message["role"] for message in stored]


def _writers(workspace: Path) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes().split(b"\0")[2:4] == [b"chatkeep.processes.writer", os.fsencode(workspace)]:
                found.append(int(path.parent.name))
    return found


@pytest.mark.parametrize("number", [None, signal.SIGKILL])
def test_serve_with_a_process_that_stores(tmp_path: Path, number: signal.Signals | None) -> None:
    """Long texts are stored with that process, without it, and while it is killed; it ends with the server."""
    secret, _ = TokenFile(tmp_path / "tokens.json").create("admin", scopes=("admin",))
    headers = {"Authorization": f"Bearer {secret}"}
    with serving(tmp_path) as (address, _), httpx.Client(base_url=address, headers=headers, timeout=60) as client:
        for count in range(1, 6):
            said = {"role": "user", "content": f"w{count} {MARKS}"}
            answer = client.post("/api/v1/messages?session=api:1", json=said)
            assert (201, count) == (answer.status_code, answer.json()["message_count"])
            found = client.get(f"/api/sessions/search?q=w{count}").json()["sessions"]
            assert ["api:1"] == [one["id"] for one in found]
            for pid in _writers(tmp_path) if number else ():
                os.kill(pid, number)  # type: ignore[arg-type]
    deadline = time.monotonic() + PATIENCE_S
    while _writers(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [] == _writers(tmp_path)
