"""The event stream: who is told what, and how it ends."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from chatkeep.access.page_sessions import PageSessions
from chatkeep.access.tokens import TokenFile
from chatkeep.core.feed import Changes
from chatkeep.core.model import Draft
from chatkeep.errors import BusyError
from chatkeep.http.routes import events as events_api
from chatkeep.http.services import services_of
from chatkeep.http.streams import followers
from chatkeep.http.streams import responses as streams
from chatkeep.http.streams.followers import Feed
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.files.store import FilesStore
from tests.crash.serving import served
from tests.http.conftest import Server

PATH = "/api/v1/events"
PATIENCE_S = 20.0
_MORE = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
Told = tuple[str, str, dict[str, Any]]


@contextlib.contextmanager
def followed(client: httpx.Client, after: str | None = None) -> Iterator[Iterator[Told]]:
    """Yield the events of a new stream: name, id, data; a heartbeat is an event without a name."""
    headers = {} if after is None else {"Last-Event-ID": after}
    with client.stream("GET", PATH, headers=headers) as answer:
        assert 200 == answer.status_code, answer.read()
        assert "text/event-stream; charset=utf-8" == answer.headers["content-type"]
        yield _told(answer)


def _told(answer: httpx.Response) -> Iterator[Told]:
    rest = b""
    for piece in answer.iter_bytes():
        *blocks, rest = (rest + piece).split(b"\n\n")
        for block in blocks:
            fields = dict(line.split(": ", 1) for line in block.decode().split("\n") if ": " in line)
            yield fields.get("event", ""), fields.get("id", ""), json.loads(fields.get("data", "{}"))


def assert_ended(events: Iterator[Told]) -> None:
    """Read a stream to its end; a heartbeat says that it goes on, and for ever."""
    for name, _, _ in events:
        assert "" != name, "the stream goes on"


def _say(sessions: Sessions, key: str, text: str = "Hello") -> None:
    sessions.append(key, [Draft(role="user", content=text)])


def _soon(is_so: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.02)
    return is_so()


def _break_off(reader: socket.socket) -> None:
    """Close a connection as if its client had died: to say that one will ask no more could mean that one goes on."""
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    reader.close()


_KEPT: list[socket.socket] = []


def _say_no_more(reader: socket.socket) -> None:
    """Close one side of a connection alone."""
    reader.shutdown(socket.SHUT_WR)
    _KEPT.append(reader)


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while _KEPT:
        _KEPT.pop().close()


def test_follow_tells_what_happens(server: Server, client: httpx.Client) -> None:
    """The stream says that it is ready, and then what happens, with the session as a list shows it."""
    with followed(client) as events:
        assert ("ready", {}) == next(events)[::2]
        _say(server.sessions, "feed:one")
        name, _, data = next(events)
        assert ("created", "feed:one", 1, 1) == (name, data["key"], data["first_seq"], data["last_seq"])
        (listed,) = client.get("/api/sessions?prefix=feed:one").json()["sessions"]
        assert listed == data["session"]
        client.post("/api/sessions/feed:one/title", json={"title": "Mine"})
        name, _, data = next(events)
        assert ("revised", "Mine") == (name, data["session"]["title"])
        client.delete("/api/v1/sessions/feed:one")
        name, _, data = next(events)
        assert ("deleted", {"key": "feed:one", "session": None}) == (name, data)


def test_follow_goes_on(server: Server, client: httpx.Client) -> None:
    """Who comes back with an id is told first what followed that, then that nothing is missing."""
    with followed(client) as events:
        begun = next(events)[1]
    for number in range(450):  # more than one question to the store
        _say(server.sessions, f"on:{number % 3}")
    with followed(client, begun) as events:
        told = [next(events) for _ in range(451)]
    assert ["ready"] == [name for name, _, _ in told[450:]]
    seqs = [(data["key"], data["first_seq"]) for _, _, data in told[:450]]
    assert [(f"on:{number % 3}", number // 3 + 1) for number in range(450)] == seqs
    with followed(client, told[100][1]) as events:
        assert told[101][1] == next(events)[1]


@pytest.mark.parametrize("after", ["", "x", "A" * 22, "0" * 5000])
def test_follow_from_nowhere(server: Server, client: httpx.Client, after: str) -> None:
    """An id that is not known is answered by a reset, and what happens then."""
    with followed(client, after) as events:
        assert ("reset", {}) == next(events)[::2]
        _say(server.sessions, "nowhere:1")
        assert "nowhere:1" == next(events)[2]["key"]


def test_follow_confined(server: Server) -> None:
    """A confined token is told of its own sessions alone, missed or live."""
    secret, _ = server.tokens.create("confined", scopes=("read",), prefix="own:")
    with server.client(secret) as client:
        with followed(client) as events:
            _, begun, _ = next(events)
            for key in ("other:1", "own:1", "other:2", "own:2"):
                _say(server.sessions, key)
            assert ["own:1", "own:2"] == [next(events)[2]["key"] for _ in range(2)]
        with followed(client, begun) as events:
            assert ["own:1", "own:2", None] == [next(events)[2].get("key") for _ in range(3)]


def test_follow_confined_learns_nothing_of_others(server: Server) -> None:
    """No id moves while others write, neither the first one nor that after an unknown one; each leads on exactly."""
    secret, _ = server.tokens.create("confined", scopes=("read",), prefix="still:")

    def begun(client: httpx.Client, after: str | None = None) -> tuple[str, str]:
        with followed(client, after) as events:
            return next(events)[:2]

    with server.client(secret) as client:
        for _ in range(2):
            ready, reset = begun(client), begun(client, "x")
            assert ("ready", "reset", ready[1]) == (ready[0], *reset)
            for number in range(5):
                _say(server.sessions, f"noise:{number}")
            server.sessions.delete("noise:0")
            assert (ready, reset) == (begun(client), begun(client, "x"))
            assert ready == begun(client, ready[1])
            with followed(client, ready[1]) as events:
                next(events)
                _say(server.sessions, "noise:1")
                _say(server.sessions, "still:1")
                told = next(events)
                assert "still:1" == told[2]["key"]
            assert ("ready", told[1]) == begun(client)
            with followed(client, ready[1]) as events:
                assert [told[1], told[1]] == [next(events)[1], next(events)[1]]


def test_follow_gives_signs_of_life(server: Server, client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """While there is nothing to tell, a comment is sent now and then, also when others have much to tell."""
    secret, _ = server.tokens.create("quiet", scopes=("read",), prefix="quiet:")
    monkeypatch.setattr(streams, "BEAT_S", 0.3)
    with server.client(secret) as quiet, followed(quiet) as events:
        assert "ready" == next(events)[0]
        for number in range(20):
            _say(server.sessions, f"loud:{number}")
            time.sleep(0.02)
        assert ["", ""] == [next(events)[0] for _ in range(2)]


@pytest.mark.parametrize("end", ["revoked", "expired", "changed"])
def test_follow_ends_with_its_token(server: Server, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    """A token that is revoked, expires or is changed ends its streams, and in order."""
    monkeypatch.setattr(events_api, "TOKEN_CHECK_S", 0.05)
    lifetime = timedelta(seconds=2) if end == "expired" else None
    secret, token = server.tokens.create(end, scopes=("read",), lifetime=lifetime)
    with server.client(secret) as client, followed(client) as events:
        assert "ready" == next(events)[0]
        if end == "revoked":
            server.tokens.revoke(token.id)
        elif end == "changed":
            path = server.tokens.path
            path.write_bytes(path.read_bytes().replace(b'"name": "changed"', b'"name": "again"'))
        assert_ended(events)


def test_follow_ends_with_a_token_changed_before_its_first_event(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token of the admission counts: a change of it is noticed however early it comes."""
    monkeypatch.setattr(events_api, "TOKEN_CHECK_S", 0.05)
    secret, _ = server.tokens.create("early", scopes=("read",))
    begin = Feed.begin

    async def renamed(feed: Feed, sessions: Sessions, after: str | None) -> Changes:
        path = server.tokens.path
        path.write_bytes(path.read_bytes().replace(b'"name": "early"', b'"name": "later"'))
        return await begin(feed, sessions, after)

    monkeypatch.setattr(Feed, "begin", renamed)
    with server.client(secret) as client, followed(client) as events:
        assert_ended(events)


@pytest.mark.parametrize("end", ["page", "token"])
def test_follow_ends_with_its_page_session(server: Server, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    """A browser that is signed out, by itself or with its token, is told nothing more; one that is renewed is."""
    monkeypatch.setattr(events_api, "TOKEN_CHECK_S", 0.05)
    secret, token = server.tokens.create("browser", scopes=("read",), prefix="page:")
    with httpx.Client(base_url=server.url, headers={"Sec-Fetch-Site": "same-origin"}) as browser:
        assert 200 == browser.post("/signin", json={"token": secret}).status_code
        pages = PageSessions(server.tokens)
        (page,) = [one for one in pages.all() if one.token_id == token.id]
        with followed(browser) as events:
            assert "ready" == next(events)[0]
            with monkeypatch.context() as patch:
                patch.setattr(PageSessions, "is_due", lambda *_: True)
                pages.renew(page)
            time.sleep(0.2)
            _say(server.sessions, f"page:{end}")
            assert "created" == next(events)[0]
            if end == "page":
                pages.end(page.id)
            else:
                server.tokens.revoke(token.id)
            assert [] == [name for name, _, _ in events if name]


def test_follow_is_limited(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many streams to a token, so many in all; one that ends makes room."""
    monkeypatch.setattr(followers, "STREAMS_PER_TOKEN", 2)
    secret, _ = server.tokens.create("many", scopes=("read",))
    with server.client(secret) as client, contextlib.ExitStack() as streams:
        held = [streams.enter_context(followed(client)) for _ in range(2)]
        assert ["ready", "ready"] == [next(events)[0] for events in held]
        refused = client.get(PATH)
        assert (429, "too_many_streams", 2) == (
            refused.status_code,
            refused.json()["code"],
            refused.json()["limit"],
        )
        assert "retry-after" in refused.headers
        monkeypatch.setattr(followers, "STREAMS_MAX", 2)
        with server.client() as other:
            assert "on this server" in other.get(PATH).json()["detail"]
            monkeypatch.setattr(followers, "STREAMS_PER_ADDRESS", 2)
            assert "from this address" in other.get(PATH).json()["detail"]
        streams.close()
        assert _soon(lambda: not services_of(server.app).feed._open)
        with followed(client) as events:
            assert "ready" == next(events)[0]
    assert _soon(lambda: services_of(server.app).feed._following is None)


def test_follow_head(client: httpx.Client, server: Server) -> None:
    """HEAD says what GET would, and ends."""
    answer = client.head(PATH)
    assert (200, b"") == (answer.status_code, answer.content)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "no-store" == answer.headers["cache-control"]
    assert _soon(lambda: not services_of(server.app).feed._open)


def test_follow_needs_a_token(server: Server) -> None:
    """No token is 401, one that may not read is 403, and a misspelt parameter is refused."""
    secret, _ = server.tokens.create("writer", scopes=("write",))
    with server.client(secret) as client:
        assert 403 == client.get(PATH).status_code
        assert 401 == client.get(PATH, headers={"Authorization": ""}).status_code
    with server.client() as client:
        assert 422 == client.get(PATH, params={"after": "x"}).status_code


def test_follow_a_store_that_cannot_tell(server: Server, client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is busy at the beginning is 503; one that is busy later is asked again."""

    def busy(*_: object, **__: object) -> None:
        raise BusyError("index")

    monkeypatch.setattr(followers, "_PAUSE_S", 0.05)
    with monkeypatch.context() as patch:
        patch.setattr(server.sessions._store, "changes", busy)
        assert 503 == client.get(PATH).status_code
    with followed(client) as events:
        next(events)
        with monkeypatch.context() as patch:
            patch.setattr(server.sessions._store, "changes", busy)
            _say(server.sessions, "busy:1")
            time.sleep(0.2)
        assert "busy:1" == next(events)[2]["key"]


def test_follow_slowly(server: Server, client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that does not read holds nobody up, and is told everything once when it does."""
    monkeypatch.setattr(followers, "_RECENT_MAX", 50)
    where = httpx.URL(server.url)
    with followed(client) as events, socket.socket() as slow:
        next(events)
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect((where.host, where.port))
        slow.settimeout(PATIENCE_S)
        head = f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {server.secret}\r\n\r\n"
        slow.sendall(head.encode())
        got = b""
        while b"event: ready" not in got:
            got += slow.recv(4096)
        for number in range(1500):
            _say(server.sessions, "slow:1", f"{number} {'long ' * 40}")
        assert [*range(1, 1501)] == [next(events)[2]["first_seq"] for _ in range(1500)]
        while got.count(b"event: appended") + got.count(b"event: created") < 1500:
            piece = slow.recv(1 << 16)
            assert piece
            got += piece
    assert b"event: reset" not in got
    assert 1 == got.count(b'"first_seq":1500,')


def test_follow_until_the_server_ends(tmp_path: Path) -> None:
    """A server that is stopped ends its streams in order: what waits for its grace to be over is cut off instead."""
    workspace = tmp_path / "workspace"
    FilesStore.open(workspace).close()
    secret, _ = TokenFile(workspace / "tokens.json").create("reader", scopes=("read",))
    is_ready = threading.Event()

    def follow(address: str) -> list[str]:
        headers = {"Authorization": f"Bearer {secret}"}
        with httpx.Client(base_url=address, headers=headers, timeout=PATIENCE_S) as client, followed(client) as events:
            assert "ready" == next(events)[0]
            is_ready.set()
            return [name for name, _, _ in events if name]

    with ThreadPoolExecutor(1) as pool:
        with served(workspace) as address:
            ended = pool.submit(follow, address)
            assert is_ready.wait(PATIENCE_S)
        assert [] == ended.result()  # one that is cut off raises


_NO_HEARTBEAT = "from chatkeep.http.streams import responses; responses.BEAT_S = 1e6"


@pytest.mark.parametrize("more", [_MORE, b"GET /he"])
def test_follow_with_a_request_behind(tmp_path: Path, more: bytes) -> None:
    """Whatever a reader has sent after its request, its stream ends when it is gone, and with the server."""
    workspace = tmp_path / "workspace"
    FilesStore.open(workspace).close()
    secret, _ = TokenFile(workspace / "tokens.json").create("reader", scopes=("read",))
    head = f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {secret}\r\n\r\n".encode()
    readers: list[socket.socket] = []

    def is_followed() -> bool:
        readers.append(socket.create_connection((url.host, cast("int", url.port)), timeout=PATIENCE_S))
        readers[-1].sendall(head + more)
        return readers[-1].recv(1 << 16).startswith(b"HTTP/1.1 200")

    with served(workspace, _NO_HEARTBEAT) as address:
        url = httpx.URL(address)
        assert all(is_followed() for _ in range(followers.STREAMS_PER_TOKEN))
        while readers:
            _break_off(readers.pop())
        assert _soon(is_followed)
    rest = b"".join(iter(lambda: readers[-1].recv(1 << 16), b""))
    while readers:
        readers.pop().close()
    assert b"0\r\n\r\n" in rest  # what is cut off has no end


class Real:
    """A server as it is run, without signs of life in its streams, and a token for it."""

    def __init__(self, address: str, secret: str) -> None:
        """Take both."""
        self._place = (httpx.URL(address).host, cast("int", httpx.URL(address).port))
        self._secret = secret

    def asked(self, *, method: str = "GET", more: bytes = b"") -> socket.socket:
        """Return a connection on which the events were asked for, and more behind that."""
        head = f"{method} {PATH} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self._secret}\r\n\r\n"
        reader = socket.create_connection(self._place, timeout=PATIENCE_S)
        reader.sendall(head.encode() + more)
        return reader

    def has_room(self) -> bool:
        """Tell whether another stream is begun; it is left at once."""
        with self.asked() as reader:
            return reader.recv(1 << 16).startswith(b"HTTP/1.1 200")


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    """One server for the tests of how streams end."""
    workspace = tmp_path_factory.mktemp("real")
    FilesStore.open(workspace).close()
    secret, _ = TokenFile(workspace / "tokens.json").create("reader", scopes=("read",), rate=0)
    with served(workspace, _NO_HEARTBEAT) as address:
        yield Real(address, secret)


@pytest.mark.parametrize("leave", [_break_off, socket.socket.close, _say_no_more], ids=["reset", "close", "half"])
@pytest.mark.parametrize("more", [b"", _MORE, b"GET /he", _MORE * 50, b"\0" * 5000], ids=range(5))
def test_follow_ends_when_its_reader_leaves(real: Real, leave: Callable[[socket.socket], None], more: bytes) -> None:
    """A stream does not outlive its reader, however that leaves, whatever it said, while there is nothing to tell."""
    assert _soon(real.has_room)
    readers = [real.asked(more=more) for _ in range(followers.STREAMS_PER_TOKEN)]
    if more.startswith(b"\0"):
        readers += [real.asked() for _ in range(followers.STREAMS_PER_TOKEN)]
    for reader in readers:
        reader.recv(1 << 16)
    while readers:
        leave(readers.pop())
    assert _soon(real.has_room)


def test_follow_asked_and_left_in_one_piece(real: Real) -> None:
    """Who has closed its side before the stream begins gets an answer with an end."""
    assert _soon(real.has_room)
    with real.asked() as reader:
        reader.shutdown(socket.SHUT_WR)
        got = b"".join(iter(lambda: reader.recv(1 << 16), b""))
    assert got.startswith(b"HTTP/1.1 200")
    assert got.endswith(b"0\r\n\r\n")


def test_follow_head_keeps_the_connection(real: Real) -> None:
    """HEAD ends at once, and the next request on the same connection is answered."""
    assert _soon(real.has_room)
    with real.asked(method="HEAD", more=_MORE) as reader:
        reader.shutdown(socket.SHUT_WR)
        got = b"".join(iter(lambda: reader.recv(1 << 16), b""))
    assert 2 == got.count(b"HTTP/1.1 200")


def test_follow_takes_nothing_more(real: Real) -> None:
    """What a reader says behind its request is not kept, and not taken without end."""
    assert _soon(real.has_room)
    with real.asked() as reader:
        assert reader.recv(1 << 16).startswith(b"HTTP/1.1 200")
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 1 << 30:
                sent += reader.send(b"x" * (1 << 20))
    assert sent < 1 << 27
