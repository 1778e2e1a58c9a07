"""Long answers come from the process beside the server, with the same bytes, and the server reads none of them."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest

from chatkeep import exporters
from chatkeep.access.tokens import TokenFile
from chatkeep.disk.short_reads import LongReadError, short_reads
from chatkeep.errors import ChatkeepError, SessionExistsError
from chatkeep.http.app import create_app
from chatkeep.http.gate.guard import UNLIMITED, Guard
from chatkeep.http.gate.limits import Limits
from chatkeep.http.gate.rules import SHOWN_BYTES, Pools
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.files.store import FilesStore
from chatkeep.store.memory import MemoryStore
from chatkeep.testing import draft
from chatkeep.wire.ready import ReadyAnswers
from chatkeep.workers.appending import Works, answer_of, handed_over, outcome
from chatkeep.workers.showing import (
    SessionExport,
    SessionFork,
    Showing,
    exported_beside,
    fork_made,
    shown,
    shown_beside,
)
from tests.http.listening import listening
from tests.http.test_event_loop import LONG, Watch
from tests.workers.test_appending import writing

WORKS: Works = {Showing: shown_beside, SessionExport: exported_beside, SessionFork: fork_made}
TEXT = 'He said "a\u0301 漢字 🦊".\n' * (LONG // 15)
HANDED_ON = {
    "appending.answer_of",
    "beside._length",
    "beside._size_in",
    "services.services_of",
    "keys.<genexpr>",
    "keys._slices",
}
AT = datetime(2024, 1, 15, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilesStore]:
    """A store with a long message between short ones."""
    with contextlib.closing(FilesStore.open(tmp_path / "workspace", durability="none")) as store:
        store.append("api:a", [draft("first", 1), draft(TEXT, 2, id="long"), draft("last", 3)])
        yield store


def asked(**wanted: Any) -> Showing:  # noqa: ANN401 - the fields
    """Return the task to show messages."""
    return Showing(**{"prefix": "", "key": "api:a", **wanted})


def fork(**wanted: Any) -> SessionFork:  # noqa: ANN401 - the fields
    """Return the task to fork the session."""
    return SessionFork(
        **{"prefix": "", "may_drop": True, "at": AT, "key": "api:a", "seq": None, "new_key": "api:b", **wanted}
    )


def done(store: FilesStore, what: object) -> bytes:
    """Return the answer to a task handed over."""
    return answer_of(outcome(store, WORKS, b"".join(handed_over(what, b"")))).data  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "what",
    [
        asked(),
        asked(limit=1, is_list=True),
        asked(limit=2, before=3),
        asked(after=1),
        asked(max_tokens=100),
        asked(log=True),
        asked(id="long"),
        *(asked(shape=shape) for shape in exporters.SHAPES),
    ],
)
def test_show_beside_what_is_shown_here(store: FilesStore, what: Showing) -> None:
    """The bytes are the same, whoever reads the messages."""
    assert shown(Sessions(store), what, ReadyAnswers()) == done(store, what)


@pytest.mark.parametrize("what", [asked(id="none"), asked(key="api:none"), asked(prefix="own:"), asked(limit=0)])
def test_show_beside_refuses_alike(store: FilesStore, what: Showing) -> None:
    """An error comes back as it would be here."""
    with pytest.raises(ChatkeepError) as here:
        shown(Sessions(store).confined(what.prefix), what, ReadyAnswers())
    with pytest.raises(ChatkeepError) as there:
        done(store, what)
    assert (type(here.value), str(here.value)) == (type(there.value), str(there.value))


def test_fork_beside_again_finds_the_same(store: FilesStore) -> None:
    """A fork made again because nobody knows whether it was made is made once; without that, its key is taken."""
    first = done(store, fork())
    with pytest.raises(SessionExistsError):
        fork_made(Sessions(store), fork())
    assert first == fork_made(Sessions(store), fork(is_again=True)).data
    store.append("api:c", [draft("other", 1)])
    with pytest.raises(SessionExistsError):
        fork_made(Sessions(store), fork(new_key="api:c", is_again=True))
    assert ["first", TEXT, "last"] == [message.content for message in store.read("api:b").messages]


@pytest.mark.parametrize(
    "read",
    [
        lambda sessions: sessions.window("api:a"),
        lambda sessions: sessions.window("api:a", max_tokens=10),
        lambda sessions: sessions.message("api:a", "long"),
        lambda sessions: sessions.read("api:a"),
        lambda sessions: sessions.fork("api:a", new_key="api:b"),
    ],
)
def test_read_shortly_refuses_long_texts(store: FilesStore, read: Callable[[Sessions], object]) -> None:
    """What takes more bytes than the caller wants to work on is refused, and nothing is changed; else it is read."""
    with short_reads(SHOWN_BYTES), pytest.raises(LongReadError):
        read(Sessions(store))
    with short_reads(SHOWN_BYTES):
        assert "last" == Sessions(store).window("api:a", limit=1).messages[0].content
    assert 1 == store.status().session_count
    assert read(Sessions(store))


def test_server_reads_no_long_text(store: FilesStore, tmp_path: Path) -> None:
    """No function of the server's own process, in any thread, has a long message that is read, forked or exported."""
    tokens = TokenFile(tmp_path / "tokens.json")
    secret, _ = tokens.create("admin", scopes=("admin",))
    guard = Guard(tokens, Limits(None), hosts={"127.0.0.1"}, rates=UNLIMITED)
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    watch, key, got = Watch(), quote("api:a"), {}
    with writing(tmp_path / "workspace") as writer:
        app = create_app(Sessions(store), guard, pools=Pools(writer=writer))
        threading.setprofile(watch)
        try:
            with listening(app) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                for path in (
                    f"/api/memory/session?id={key}",
                    *(f"/api/v1/messages?session={key}{rest}" for rest in ("", "&id=long", "&shape=openai")),
                    *(f"/api/v1/export?session={key}&format={name}" for name in ("json", "jsonl", "md", "html")),
                ):
                    answer = client.get(path, headers=headers)
                    assert 200 == answer.status_code, answer.text
                    got[path] = answer.content
                forked = client.post("/api/v1/fork", content=json.dumps({"session": "api:a"}), headers=headers)
                assert 201 == forked.status_code, forked.text
        finally:
            threading.setprofile(None)
    assert HANDED_ON >= watch.noted
    for path, data in got.items():
        assert len(data) > LONG, path
    assert TEXT == store.window(forked.json()["key"], limit=2).messages[0].content


def test_fork_without_a_process(tmp_path: Path) -> None:
    """A store that knows no sizes, and a server without the process, do the work here."""
    store = MemoryStore()
    store.append("api:a", [draft(TEXT, 1)])
    told = msgspec.json.decode(fork_made(Sessions(store), fork()).data)
    assert ("api:b", TEXT) == (told["key"], store.read("api:b").messages[0].content)
