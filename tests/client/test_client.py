"""The client: a store like any other, over a network that breaks."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import httpx
import msgspec
import pytest
import uvicorn
from starlette.applications import Starlette

from chatkeep import errors
from chatkeep.access.tokens import TokenFile
from chatkeep.client import AsyncClient, Client
from chatkeep.core.bounds import MESSAGE_BYTES_MAX
from chatkeep.core.life.dropping import Chosen, NewSession
from chatkeep.core.model import Draft, Message, Revision, Selection
from chatkeep.core.search.query import parse_query
from chatkeep.core.search.search import Search
from chatkeep.errors import (
    BusyError,
    ChatkeepError,
    CountConflictError,
    ForbiddenError,
    InvalidCursorError,
    InvalidError,
    InvalidKeyError,
    MessageConflictError,
    ModelUnsetError,
    RateLimitedError,
    SessionNotFoundError,
    TooLargeError,
    UnauthorizedError,
    UnreachableError,
)
from chatkeep.http.app import create_app
from chatkeep.http.gate.guard import UNLIMITED, Guard
from chatkeep.http.gate.limits import Limits
from chatkeep.http.services import services_of
from chatkeep.http.streams.followers import Feed
from chatkeep.sessions.persons import People
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.memory import MemoryStore
from chatkeep.store.protocol import Store
from chatkeep.testing import StoreContract

KEY = "cli:default"
TRASH = {"purge", "restore", "trash"}
PEOPLE: dict[str, Callable[..., object]] = {
    "people": People.all,
    "link": People.link,
    "unlink": People.unlink,
    "person_history": People.history,
}
VERBS = {
    *(
        "append",
        "changes",
        "close",
        "compact",
        "create",
        "delete",
        "delete_all",
        "drop",
        "existing",
        "fork",
        "get",
        "keys",
        "list",
    ),
    *("merge", "message", "read", "read_all", "rename", "replace", "revise", "search", "stats", "status", "usage"),
    "window",
}


@dataclass(frozen=True)
class Server:
    """A running server: where it is, and who may come in."""

    url: str
    secret: str
    tokens: TokenFile
    app: Starlette

    def emptied(self) -> Server:
        """Return the server with nothing stored."""
        services_of(self.app).sessions = Sessions(MemoryStore())
        services_of(self.app).feed = Feed(services_of(self.app).sessions, services_of(self.app).pools)
        return self


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a server on a loopback port."""
    folder: Path = tmp_path_factory.mktemp("server")
    tokens = TokenFile(folder / "tokens.json")
    secret, _ = tokens.create("admin", scopes=("admin",))
    limits = Limits(None)
    guard = Guard(tokens, limits, hosts=("127.0.0.1",), rates=UNLIMITED)
    app = create_app(Sessions(MemoryStore()), guard)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    yield Server(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", secret, tokens, app)
    server.should_exit = True
    thread.join(10)
    limits.close()


@pytest.fixture
def server(running: Server) -> Server:
    """Return the server, empty."""
    return running.emptied()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    """Return a client of the administrator."""
    with Client(server.url, server.secret) as client:
        yield client


class TestHttpStore(StoreContract):
    """HTTP keeps every promise of a store."""

    @pytest.fixture
    def reference(self) -> Store:
        """Return a store behind the rules of a server: they add `stored_at`, whose bytes count in the weights."""
        return cast("Store", Sessions(MemoryStore()))

    @pytest.fixture
    def store(self, client: Client) -> Store:
        """Return an empty store behind a server."""
        return client


def said(content: str, message_id: str | None = None) -> Draft:
    """Return what a person says."""
    return Draft(role="user", content=content, id=message_id)


class Network(httpx.BaseTransport):
    """A network that troubles the first requests: each trouble sees the request, and may pass it on."""

    def __init__(self, *troubles: Callable[[httpx.BaseTransport, httpx.Request], httpx.Response]) -> None:
        """Take the troubles in their order."""
        self.troubles = list(troubles)
        self.requests: list[httpx.Request] = []
        self._inner = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a request on, or not."""
        self.requests.append(request)
        if self.troubles:
            return self.troubles.pop(0)(self._inner, request)
        return self._inner.handle_request(request)

    def close(self) -> None:
        """Close the network below."""
        self._inner.close()


def refuse(_: httpx.BaseTransport, request: httpx.Request) -> httpx.Response:
    """Never reach the server."""
    raise httpx.ConnectError("refused", request=request)


def lose_answer(inner: httpx.BaseTransport, request: httpx.Request) -> httpx.Response:
    """Reach the server, and lose what it answers."""
    response = inner.handle_request(request)
    response.read()
    response.close()
    raise httpx.ReadError("reset", request=request)


def busy(_: httpx.BaseTransport, request: httpx.Request) -> httpx.Response:
    """Be busy for three seconds."""
    problem = {"detail": "The session is busy; try again.", "status": 503, "code": "busy"}
    return httpx.Response(503, json=problem, headers={"Retry-After": "3"}, request=request)


def busy_for_long(_: httpx.BaseTransport, request: httpx.Request) -> httpx.Response:
    """Be busy for an hour."""
    problem = {"detail": "The session is busy; try again.", "status": 503, "code": "busy"}
    return httpx.Response(503, json=problem, headers={"Retry-After": "3600"}, request=request)


@dataclass(frozen=True)
class Troubled:
    """A client on a bad network, and how long it waited."""

    client: Client
    network: Network
    pauses_s: list[float]


@pytest.fixture
def troubled(server: Server) -> Iterator[Callable[..., Troubled]]:
    """Return a maker of clients on bad networks."""
    opened: list[httpx.Client] = []

    def make(*troubles: Callable[[httpx.BaseTransport, httpx.Request], httpx.Response]) -> Troubled:
        network = Network(*troubles)
        pauses_s: list[float] = []
        opened.append(httpx.Client(transport=network))
        client = Client(server.url, server.secret, http=opened[-1], sleep=pauses_s.append)
        return Troubled(client, network, pauses_s)

    yield make
    for http in opened:
        http.close()


def test_append_whose_answer_is_lost_is_stored_once(troubled: Callable[..., Troubled]) -> None:
    """The same ids are sent again: the server knows them."""
    there = troubled(lose_answer, lose_answer)
    appended = there.client.append(KEY, [said("Hello"), said("Are you there?")])
    assert (2, 0) == (appended.message_count, appended.stored_count)
    assert ["Hello", "Are you there?"] == [message.content for message in there.client.read(KEY).messages]
    assert [0.1, 0.2] == there.pauses_s


def test_append_with_a_count_whose_answer_is_lost_is_no_conflict(troubled: Callable[..., Troubled]) -> None:
    """What one stored oneself has not moved the session on."""
    there = troubled(lose_answer)
    assert there.client.append(KEY, [said("Hello")], expect_count=0).message_count == 1


def test_append_to_a_busy_session_waits_as_it_is_told(troubled: Callable[..., Troubled]) -> None:
    """The server knows best when to come back."""
    there = troubled(busy, refuse, busy)
    assert there.client.append(KEY, [said("Hello")]).stored_count == 1
    assert [3, 0.2, 3] == there.pauses_s


def test_append_gives_up_after_a_few_times(troubled: Callable[..., Troubled]) -> None:
    """Nobody tries for ever."""
    there = troubled(*[refuse] * 99)
    with pytest.raises(UnreachableError, match="refused"):
        there.client.append(KEY, [said("Hello")])
    assert (5, [0.1, 0.2, 0.4, 0.8]) == (len(there.network.requests), there.pauses_s)


def test_append_that_stays_busy_raises_it(troubled: Callable[..., Troubled]) -> None:
    """The last answer is the answer."""
    there = troubled(*[busy] * 99)
    with pytest.raises(BusyError, match="session is busy"):
        there.client.append(KEY, [said("Hello")])
    assert len(there.network.requests) == 5


def test_append_that_is_told_to_wait_for_long_does_not(troubled: Callable[..., Troubled]) -> None:
    """A program that must wait for an hour had better know."""
    there = troubled(busy_for_long)
    with pytest.raises(BusyError):
        there.client.append(KEY, [said("Hello")])
    assert [] == there.pauses_s


def test_append_without_a_key_is_sent_once(troubled: Callable[..., Troubled]) -> None:
    """Each time the server would make another session."""
    there = troubled(lose_answer)
    with pytest.raises(UnreachableError):
        there.client.append(None, [said("Hello")])
    assert 1 == there.client.status().session_count


def test_delete_is_sent_once(troubled: Callable[..., Troubled]) -> None:
    """Sent again, a deletion that worked would look like one that did not."""
    there = troubled()
    there.client.append(KEY, [said("Hello")])
    there.network.troubles.append(lose_answer)
    with pytest.raises(UnreachableError):
        there.client.delete(KEY)
    assert () == there.client.keys().keys


def test_drop_whose_answer_is_lost_drops_once(troubled: Callable[..., Troubled]) -> None:
    """The mark is sent again with its id: the server knows it."""
    there = troubled()
    there.client.append(KEY, [said("one"), said("two"), said("three")])
    there.network.troubles += [lose_answer, lose_answer]
    dropped = there.client.drop(KEY, Chosen(last=1), expect_count=3)
    assert ["three"] == [message.content for message in dropped.messages]
    assert ["one", "two"] == [message.content for message in there.client.read(KEY).messages]


def test_replace_whose_answer_is_lost_replaces_once(troubled: Callable[..., Troubled]) -> None:
    """The same list again changes nothing, with a count and without ids, too."""
    there = troubled()
    there.client.append(KEY, [said("one"), said("two")])
    there.network.troubles.append(lose_answer)
    replaced = there.client.replace(KEY, [said("one"), said("other")], expect_count=2)
    assert ([1, 3], 3) == ([receipt.seq for receipt in replaced.receipts], replaced.message_count)


def test_create_is_sent_once(troubled: Callable[..., Troubled]) -> None:
    """Sent again, a beginning that worked would look like one that did not."""
    there = troubled(lose_answer)
    with pytest.raises(UnreachableError):
        there.client.create(NewSession(key=KEY))
    assert 0 == there.client.get(KEY).line_count


def test_fork_and_create_through_a_client(client: Client) -> None:
    """Header, messages and origin arrive; messages of another session may come with it."""
    whole = NewSession(key=KEY, title="Mine", metadata={"user": "alice"}, messages=(said("one", "a"), said("two", "b")))
    created = client.create(whole)
    assert (created.summary, [1, 2]) == (client.get(KEY), [receipt.seq for receipt in created.receipts])
    forked = client.fork(KEY, seq=1, new_key="other")
    assert {"user": "alice", "forked_from": {"session": KEY, "seq": 1}} == forked.summary.header.metadata
    assert "one" == client.message("other", "a").content
    copied = client.create(NewSession(key="third", messages=client.read(KEY).messages))
    assert ["a", "b"] == [receipt.id for receipt in copied.receipts]
    strange = msgspec.structs.replace(client.read(KEY).messages[0], extra={"odd": 1})
    with pytest.raises(InvalidError):
        client.create(NewSession(key="fourth", messages=(strange,)))


def test_token_tells_its_rights(client: Client) -> None:
    """A program may ask what it is allowed."""
    assert (("admin",), "", None) == ((told := client.token()).scopes, told.prefix, told.rate)


def test_read_over_a_broken_connection_is_sent_again(troubled: Callable[..., Troubled]) -> None:
    """Reading changes nothing."""
    there = troubled(refuse, lose_answer)
    assert () == there.client.keys().keys


def test_call_of_another_server_is_unreachable(server: Server) -> None:
    """What answers in another language is no Chatkeep."""
    for status in (200, 404, 500):
        transport = httpx.MockTransport(lambda _, status=status: httpx.Response(status, text="<html>"))
        with httpx.Client(transport=transport) as http, pytest.raises(UnreachableError, match=str(status)):
            Client(server.url, "x", http=http).get(KEY)


def test_append_fills_in_ids_that_sort(client: Client) -> None:
    """Messages get their ids here, and their times from the server."""
    receipts = client.append(KEY, [said("Hello")]).receipts + client.append(KEY, [said("Again", "mine")]).receipts
    assert [26, 4] == [len(receipt.id) for receipt in receipts]
    assert receipts[0].sent_at <= receipts[1].sent_at


@pytest.mark.parametrize(
    "key", ["a/b", "..", ".", "a//b/../c", "%2F", "a b?c#d&e=f+g", "日本語:x", "🎉", "a:b", "delete"]
)
def test_verbs_reach_the_session_of_any_key(client: Client, key: str) -> None:
    """No character of a key leads elsewhere."""
    client.append(key, [said("Hello")])
    client.append("other", [said("Hello")])
    assert "Mine" == client.rename(key, "Mine").title
    assert key == client.get(key).header.key
    assert key == client.read(key).header.key
    assert 1 == len(client.window(key).messages)
    assert (key,) == client.existing([key, "none"])
    client.delete(key)
    assert ("other",) == client.keys().keys


def test_delete_all_removes_what_exists(client: Client) -> None:
    """Unknown keys are left out of the answer, repeated ones count once."""
    for key in ("a", "b", "c"):
        client.append(key, [said("Hello")])
    assert ("c", "a") == client.delete_all(["c", "none", "a", "c"])
    assert () == client.delete_all([])
    assert ("b",) == client.keys().keys


def test_read_all_yields_the_chosen_sessions(client: Client) -> None:
    """Sessions come whole, by key."""
    for key in ("b:2", "a:1", "b:1"):
        client.append(key, [said(key)])
    chosen = list(client.read_all(Selection(prefixes=("b:",))))
    assert ["b:1", "b:2"] == [session.header.key for session in chosen]
    assert ["b:1", "b:2"] == [session.messages[0].content for session in chosen]


def unread(*codes: str) -> httpx.MockTransport:
    """Return a server with a session for each code of an error, which reading it meets; none meets no error."""
    keys = [f"k{number}" for number in range(len(codes))]

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/sessions"):
            return httpx.Response(200, json={"sessions": keys, "count": len(keys), "next_cursor": None})
        key = request.url.params["session"]
        if code := codes[int(key[1:])]:
            return httpx.Response(500, json={"detail": "It cannot be read.", "status": 500, "code": code})
        head: dict[str, object] = {
            "key": key,
            "channel": "cli",
            "title": None,
            "created_at": "2026-01-01T00:00:00Z",
            "messages": [],
        }
        return httpx.Response(200, json=head)

    return httpx.MockTransport(answer)


def test_read_all_tells_what_it_cannot_read() -> None:
    """One session that cannot be read costs no other; where the disk lets none be read, that is an error."""
    damaged, missing, refused = "session_damaged", "session_not_found", "storage_failed"
    told: list[str] = []
    with httpx.Client(transport=unread("", damaged, missing, refused, "")) as http:
        sessions = list(Client("http://x", "t", http=http).read_all(on_unread=told.append))
    assert (["k0", "k4"], ["k1", "k3"]) == ([session.header.key for session in sessions], told)
    with httpx.Client(transport=unread(refused, damaged)) as http, pytest.raises(errors.StorageError):
        list(Client("http://x", "t", http=http).read_all())


def test_merge_of_a_read_session_is_identical(client: Client, server: Server) -> None:
    """What is read here and merged elsewhere is the same, an empty session too."""
    client.append(KEY, [said("Hello"), Draft(role="assistant", content=[{"type": "text", "text": "Hi 👋\r\n"}])])
    client.revise(KEY, Revision(title="Mine", tags=("x",), metadata={"a": {"b": [1, None]}}))
    session = client.read(KEY)
    server.emptied()
    merged = client.merge(session)
    assert (True, 2, 0, ()) == (merged.created, merged.added_count, merged.skipped_count, merged.conflicts)
    assert session == client.read(KEY)
    assert 2 == client.merge(session).skipped_count


@pytest.mark.parametrize(
    "call, error",
    [
        (lambda client: client.get("none"), SessionNotFoundError),
        (lambda client: client.read("none"), SessionNotFoundError),
        (lambda client: client.window("none"), SessionNotFoundError),
        (lambda client: client.delete("none"), SessionNotFoundError),
        (lambda client: client.rename("none", "x"), SessionNotFoundError),
        (lambda client: client.append("none", [said("x")], create=False), SessionNotFoundError),
        (lambda client: client.get(""), InvalidKeyError),
        (lambda client: client.get("x" * 129), InvalidKeyError),
        (lambda client: client.append("\ud800", [said("x")]), InvalidKeyError),
        (lambda client: client.append(KEY, []), InvalidError),
        (lambda client: client.append(KEY, [said("x")] * 1001), InvalidError),
        (lambda client: client.append(KEY, [said("\ud800")]), InvalidError),
        (lambda client: client.append(KEY, [said("\0")]), InvalidError),
        (lambda client: client.append(KEY, [said("x", "")]), InvalidError),
        (lambda client: client.append(KEY, [said("x" * MESSAGE_BYTES_MAX)]), TooLargeError),
        (lambda client: client.append(KEY, [said("x")], expect_count=7), CountConflictError),
        (lambda client: client.append(KEY, [said("x", "1"), said("y", "1")]), MessageConflictError),
        (lambda client: client.list(limit=501), InvalidError),
        (lambda client: client.list(cursor="x"), InvalidCursorError),
        (lambda client: client.list(Selection(prefixes=("\ud800",))), InvalidError),
        (lambda client: client.search(Search(query=parse_query("x"), limit=201)), InvalidError),
        (lambda client: client.rename(KEY, " "), InvalidError),
    ],
)
def test_call_that_is_refused_raises_the_same_error(
    client: Client, call: Callable[[Client], object], error: type[Exception]
) -> None:
    """An error is of the class that it has on the server, and keeps its facts."""
    with pytest.raises(error) as caught:
        call(client)
    assert error is type(caught.value)
    assert str(caught.value)


def test_error_keeps_its_facts(client: Client) -> None:
    """What a program decides by comes along."""
    with pytest.raises(CountConflictError) as counted:
        client.append(KEY, [said("x")], expect_count=7)
    assert (7, 0) == (counted.value.expected, counted.value.found)
    with pytest.raises(SessionNotFoundError) as missing:
        client.get("none")
    assert "none" == missing.value.key


def test_call_with_a_bad_token_is_unauthorized(server: Server) -> None:
    """Whatever the token is made of."""
    for token in ("", "ck_x", "клю\u0447", "\udcff", "a b"):
        with Client(server.url, token) as client, pytest.raises(UnauthorizedError):
            client.keys()


def test_call_without_the_scope_is_forbidden(server: Server) -> None:
    """A reader reads."""
    secret, _ = server.tokens.create(scopes=("read",))
    with Client(server.url, secret) as client:
        assert () == client.keys().keys
        for call in (
            lambda: client.append(KEY, [said("x")]),
            lambda: client.delete(KEY),
            lambda: client.rename(KEY, "x"),
        ):
            with pytest.raises(ForbiddenError, match="scope"):
                call()


def test_call_with_a_confined_token_stays_inside(server: Server, client: Client) -> None:
    """Elsewhere nothing exists, and nothing can be written."""
    secret, _ = server.tokens.create(scopes=("read", "write", "delete"), prefix="a:")
    client.append("b:1", [said("zebra")])
    with Client(server.url, secret) as confined:
        made = confined.append(None, [said("zebra")]).key
        assert made.startswith("a:")
        assert (made,) == confined.keys().keys
        assert 1 == confined.status().session_count
        assert 0 == confined.status("b:").session_count
        assert [made] == [one.key for one in confined.stats().largest]
        assert () == confined.stats("b:").channels
        assert [made] == [hit.key for hit in confined.search(Search(query=parse_query("zebra"))).hits]
        assert () == confined.delete_all(["b:1"])
        with pytest.raises(SessionNotFoundError):
            confined.delete("b:1")
        with pytest.raises(ForbiddenError, match="a:"):
            confined.append("b:1", [said("x")])
    assert 1 == len(client.read("b:1").messages)


def test_call_too_often_waits_as_the_server_says(server: Server) -> None:
    """A limit is waited for, within bounds; then it is an error that says what it is and what changes it."""
    secret, _ = server.tokens.create(rate=2)
    pauses_s: list[float] = []
    with Client(server.url, secret, sleep=pauses_s.append) as client:
        client.keys()
        client.keys()
        with pytest.raises(RateLimitedError, match="token create --rate") as caught:
            client.keys()  # no time goes by in these pauses
    assert 60 <= sum(pauses_s) <= 120
    assert {True} == {1 <= pause_s <= 60 for pause_s in pauses_s}
    assert (2, "own", 60) == (caught.value.limit, caught.value.limited_by, caught.value.window_s)
    assert 1 <= caught.value.retry_after_s <= 60


def test_call_too_often_fails_at_once_if_told_so(server: Server) -> None:
    """Who does not want to wait does not."""
    secret, _ = server.tokens.create(rate=1)
    with Client(server.url, secret, limit_wait_s=0, sleep=lambda _: pytest.fail("waited")) as client:
        client.keys()
        with pytest.raises(RateLimitedError):
            client.keys()


class Limited(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """A server that refuses the first calls by a limit and passes the rest on to a real one."""

    def __init__(self, waits_s: Sequence[str]) -> None:
        """Take what each refusal says of how long to wait."""
        self.waits_s = list(waits_s)
        self._real = httpx.HTTPTransport()
        self._real_async = httpx.AsyncHTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Refuse, or ask the real one."""
        if self.waits_s:
            refused = {"detail": "Rate limit exceeded", "status": 429, "code": "rate_limited"}
            return httpx.Response(429, headers={"Retry-After": self.waits_s.pop(0)}, json=refused)
        return self._real.handle_request(request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Do the same."""
        if self.waits_s:
            return self.handle_request(request)
        return await self._real_async.handle_async_request(request)

    def close(self) -> None:
        """Let go of the connections."""
        self._real.close()

    async def aclose(self) -> None:
        """Do the same."""
        await self._real_async.aclose()


def chat_fails(client: Client) -> None:
    """Ask a server that has no model."""
    with pytest.raises(ModelUnsetError):
        list(client.chat_stream("Hello"))


@pytest.mark.parametrize(
    "waits_s,pauses_s",
    [(["7"], [7]), (["0", "x", "", "-1"], [1, 1, 1, 1]), (["60", "60"], [60, 60]), (["5"] * 9, [5] * 9)],
)
@pytest.mark.parametrize(
    "call", [lambda client: client.append(None, [said("Hello")]), lambda client: client.changes(None), chat_fails]
)
def test_call_that_a_limit_refused_is_sent_again(
    server: Server, call: Callable[[Client], object], waits_s: list[str], pauses_s: list[float]
) -> None:
    """Whatever was refused was not carried out: also an append without a key, a chat, and the feed come through."""
    slept: list[float] = []
    with httpx.Client(transport=Limited(waits_s)) as http:
        call(Client(server.url, server.secret, http=http, sleep=slept.append))
    assert pauses_s == slept


def test_async_call_that_a_limit_refused_is_sent_again(server: Server) -> None:
    """The awaited client waits too, in calls, in streams and in the feed."""
    slept: list[float] = []

    async def sleep(pause_s: float) -> None:
        slept.append(pause_s)

    @asynccontextmanager
    async def limited() -> AsyncIterator[AsyncClient]:
        async with httpx.AsyncClient(transport=Limited(["7", "8"])) as http:
            yield AsyncClient(server.url, server.secret, http=http, sleep=sleep)

    async def talk() -> None:
        async with limited() as client:
            assert 1 == (await client.append(None, [said("Hello")])).message_count
        async with limited() as client:
            assert (await client.changes(None)).is_known
        async with limited() as client:
            with pytest.raises(ModelUnsetError):
                [_ async for _ in client.chat_stream("Hello")]

    asyncio.run(talk())
    assert [7, 8] * 3 == slept


@pytest.mark.parametrize("wait_s", ["121", "999999999", "9" * 5000])
def test_call_is_not_kept_waiting_for_ever(server: Server, wait_s: str) -> None:
    """A wait beyond the bound is not begun."""
    with httpx.Client(transport=Limited([wait_s] * 99)) as http:
        slept: list[float] = []
        with pytest.raises(ChatkeepError):
            Client(server.url, server.secret, http=http, sleep=slept.append).keys()
    assert sum(slept) <= 120


def test_append_takes_dicts_and_objects(client: Client) -> None:
    """One message or several, as a dict, a draft or an object; ids that are given are kept."""

    class Answer:
        def model_dump(self) -> dict[str, object]:
            return {"role": "assistant", "content": "Hi", "refusal": None}

    assert 1 == client.append(KEY, {"role": "user", "content": "Hello", "id": "a"}).message_count
    client.append(KEY, [said("Are you there?"), {"role": "user", "content": "?"}, Answer()])
    stored = client.read(KEY).messages
    assert ["Hello", "Are you there?", "?", "Hi"] == [message.content for message in stored]
    assert 0 == client.append(KEY, {"role": "user", "content": "Hello", "id": "a"}).stored_count
    client.append("copy", stored)
    copied = client.read("copy").messages
    assert stored == tuple(msgspec.structs.replace(message, stored_at=None) for message in copied)
    assert all(message.stored_at for message in copied)  # with the times of the originals, said by the sender


def test_search_takes_a_text(client: Client) -> None:
    """A text is a search, narrowed by what is given besides, and so is a search."""
    for key in ("a:1", "a:2", "b:1"):
        client.append(key, [said("zebra"), said("zebra again")])
    assert {"a:1", "a:2", "b:1"} == {hit.key for hit in client.search("zebra").hits}
    assert ["a:2", "a:1"] == [hit.key for hit in client.search("zebra", prefix="a:", sort="recent").hits]
    assert ["b:1"] == [hit.key for hit in client.search("zebra", session="b:1").hits]
    assert 1 == len(client.search("zebra", limit=1).hits)
    asked = Search(query=parse_query("zebra"), selection=Selection(prefixes=("a:",)), unit="message", limit=3)
    assert 3 == len(client.search(asked).hits)
    assert {"a:2"} == {hit.key for hit in client.search(asked, prefix="a:2").hits}
    assert () == client.search(asked, prefix="b:").hits
    assert () == client.search("").hits
    with pytest.raises(InvalidError):
        client.search("zebra", limit=0)


def test_list_takes_a_prefix(client: Client) -> None:
    """A prefix narrows lists, keys and reading, beside a selection too."""
    for key in ("a:1", "a:2", "b:1"):
        client.append(key, said(key))
    client.revise("a:1", Revision(tags=("x",)))
    tagged = Selection(tags=("x",))
    assert {"a:1", "a:2"} == {known.header.key for known in client.list(prefix="a:").sessions}
    assert ["a:1"] == [known.header.key for known in client.list(tagged, prefix="a:").sessions]
    assert () == client.list(tagged, prefix="b:").sessions
    assert ("a:1", "a:2") == client.keys(prefix="a:").keys
    assert () == client.keys(Selection(prefixes=("a:",)), prefix="b:").keys
    assert ["b:1"] == [session.header.key for session in client.read_all(prefix="b:")]


def test_window_gives_dicts_for_a_model(client: Client) -> None:
    """What was appended as dicts comes back as dicts that a model takes."""
    talk = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]
    client.append(KEY, [{"role": "system", "content": "Be kind."}, *talk])
    assert [{"role": "system", "content": "Be kind."}, *talk] == client.window(KEY).for_openai()
    kind = client.window(KEY).for_anthropic()
    assert "Be kind." == kind["system"]
    assert ["user", "assistant"] == [message["role"] for message in kind["messages"]]


def test_async_client_does_the_same(server: Server) -> None:
    """All verbs, awaited."""

    async def talk() -> None:
        async with AsyncClient(server.url, server.secret) as client:
            assert 1 == (await client.append(KEY, [said("zebra")])).message_count
            assert "Mine" == (await client.rename(KEY, "Mine")).title
            assert (await client.revise(KEY, Revision(pinned=True))).header.pinned
            assert "Mine" == (await client.get(KEY)).title
            assert "zebra" == (await client.window(KEY)).messages[0].content
            assert [KEY] == [known.header.key for known in (await client.list()).sessions]
            assert (KEY,) == (await client.keys()).keys
            assert [KEY] == [hit.key for hit in (await client.search(Search(query=parse_query("zebra")))).hits]
            assert 1 == (await client.status()).message_count
            assert 1 == (await client.stats(unit="day")).periods[-1].message_count
            assert (KEY,) == await client.existing([KEY, "none"])
            session = await client.read(KEY)
            assert [session] == [whole async for whole in client.read_all(Selection())]
            assert (KEY,) == await client.delete_all([KEY])
            assert (await client.merge(session)).created
            await client.delete(KEY)
            with pytest.raises(SessionNotFoundError):
                await client.get(KEY)

    asyncio.run(talk())


def test_async_append_over_a_broken_connection_is_stored_once(server: Server) -> None:
    """The awaited client tries again too."""
    pauses_s: list[float] = []
    troubles = [httpx.ReadError("reset"), httpx.ConnectError("refused")]

    class BadNetwork(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            response = await super().handle_async_request(request)
            if troubles:
                await response.aread()
                await response.aclose()
                raise troubles.pop()
            return response

    async def sleep(pause_s: float) -> None:
        pauses_s.append(pause_s)

    async def talk() -> int:
        async with httpx.AsyncClient(transport=BadNetwork()) as http:
            client = AsyncClient(server.url, server.secret, http=http, sleep=sleep)
            await client.append(KEY, [said("Hello")])
            return len((await client.read(KEY)).messages)

    assert 1 == asyncio.run(talk())
    assert [0.1, 0.2] == pauses_s


class Cut(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A stream that breaks after so many bytes."""

    def __init__(self, stream: httpx.SyncByteStream | httpx.AsyncByteStream, size: int) -> None:
        """Take the whole stream."""
        self._stream, self._size = stream, size

    def __iter__(self) -> Iterator[bytes]:
        """Yield what comes through."""
        assert isinstance(self._stream, httpx.SyncByteStream)
        for piece in self._stream:
            yield self._cut(piece)
            if self._size <= 0:
                raise httpx.ReadError("broken")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield what comes through."""
        assert isinstance(self._stream, httpx.AsyncByteStream)
        async for piece in self._stream:
            yield self._cut(piece)
            if self._size <= 0:
                raise httpx.ReadError("broken")

    def close(self) -> None:
        """Close what is cut."""
        assert isinstance(self._stream, httpx.SyncByteStream)
        self._stream.close()

    async def aclose(self) -> None:
        """Close what is cut."""
        assert isinstance(self._stream, httpx.AsyncByteStream)
        await self._stream.aclose()

    def _cut(self, piece: bytes) -> bytes:
        self._size -= len(piece)
        return piece if self._size >= 0 else piece[: self._size]


class CuttingTransport(httpx.HTTPTransport):
    """A network that breaks every event stream soon."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a request on; a stream that is answered to it will break."""
        answer = super().handle_request(request)
        if request.url.path == "/api/v1/events":
            answer.stream = Cut(answer.stream, 900)
        return answer


class AsyncCuttingTransport(httpx.AsyncHTTPTransport):
    """The same for asynchronous programs."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a request on; a stream that is answered to it will break."""
        answer = await super().handle_async_request(request)
        if request.url.path == "/api/v1/events":
            answer.stream = Cut(answer.stream, 900)
        return answer


def _six(server: Server) -> str:
    """Store six sessions and return the position before them."""
    sessions: Sessions = services_of(server.app).sessions
    begun = sessions.changes(None).position
    for number in range(6):
        sessions.append(f"k{number}", [said("Hello")])
    return begun


def test_events_over_connections_that_break(server: Server) -> None:
    """Every change comes once, in order, however often the connection breaks."""
    begun = _six(server)
    pauses_s: list[float] = []
    with (
        httpx.Client(transport=CuttingTransport()) as http,
        Client(server.url, server.secret, http=http, sleep=pauses_s.append) as client,
        closing(client.events(begun)) as events,
    ):
        assert [f"k{number}" for number in range(6)] == [next(events).key for _ in range(6)]
    assert len(pauses_s) > 1


def test_events_of_an_async_client(server: Server) -> None:
    """The same, awaited; the changes of a position too."""
    begun = _six(server)

    async def sleep(_: float) -> None:
        pass

    async def follow() -> list[str]:
        async with (
            httpx.AsyncClient(transport=AsyncCuttingTransport()) as http,
            AsyncClient(server.url, server.secret, http=http, sleep=sleep) as client,
        ):
            answer = await client.changes(begun, limit=4)
            found = [change.key for change in answer.changes]
            async with aclosing(client.events(answer.position)) as events:
                async for change in events:
                    found.append(change.key)
                    if len(found) == 6:
                        break
            assert not (await client.changes("nowhere", limit=4)).is_known
        return found

    assert [f"k{number}" for number in range(6)] == asyncio.run(follow())


def test_events_reset(client: Client) -> None:
    """A position that is not known is told by a change of its own, and what comes then follows."""
    with closing(client.events("nowhere")) as events:
        assert "reset" == next(events).kind
        client.append(KEY, [said("Hello")])
        assert KEY == next(events).key


def test_events_of_nobody(server: Server) -> None:
    """A refusal is raised as it is, at once; a server that is gone after about a minute of pauses."""
    with Client(server.url, "wrong") as stranger, pytest.raises(UnauthorizedError):
        next(stranger.events())
    pauses_s: list[float] = []
    with Client("http://127.0.0.1:1", "t", sleep=pauses_s.append) as client, pytest.raises(UnreachableError):
        next(client.events())
    assert 50 < sum(pauses_s) < 80


def test_events_of_something_else() -> None:
    """A page of another program is no feed: that is told in the end, and no event of it."""
    page = httpx.MockTransport(lambda _: httpx.Response(200, text="id: 1\nevent: party\ndata: {}\n<html>"))
    with (
        httpx.Client(transport=page) as http,
        Client("http://x", "t", http=http, sleep=lambda _: None) as client,
        pytest.raises(UnreachableError),
    ):
        next(client.events())


def runs_as(asked: Callable[..., object], verb: Callable[..., object]) -> bool:
    """Tell whether every call of the one is a call of the other that means the same; it may take more."""
    wanted, taken = inspect.signature(asked).parameters, inspect.signature(verb).parameters
    more = [each for name, each in taken.items() if name not in wanted]
    return (
        [name for name in taken if name in wanted] == list(wanted)
        and all(each.kind is each.KEYWORD_ONLY and each.default is not each.empty for each in more)
        and all(
            each.kind is taken[name].kind
            and (callable(each.default) or each.default in (each.empty, taken[name].default))
            for name, each in wanted.items()
        )
    )


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_clients_have_the_verbs_of_sessions(kind: type) -> None:
    """What is written for sessions runs on a client."""
    public = {name for name in dir(kind) if not name.startswith("_")}
    of_servers = {"attachment", "chat", "chat_stream", "events", "token"}
    assert VERBS | TRASH | {*PEOPLE} | of_servers == public
    for verb in TRASH:
        assert runs_as(getattr(Store, verb), getattr(kind, verb)), verb
    for verb, asked in PEOPLE.items():
        assert runs_as(asked, getattr(kind, verb)), verb
    for verb in VERBS - {"close"}:
        assert runs_as(getattr(Sessions, verb), getattr(kind, verb)), verb


def test_close_leaves_open_what_was_given(server: Server) -> None:
    """A connection belongs to who opened it."""
    with httpx.Client() as http:
        with Client(server.url, server.secret, http=http) as client:
            client.keys()
        assert not http.is_closed


def test_unreachable_has_a_code() -> None:
    """Scripts tell it from other failures."""
    assert "unreachable" == errors.UnreachableError.code


def test_both_clients_read_the_time_of_storing(server: Server, client: Client) -> None:
    """A message with a time of its sender has it; a message read and appended elsewhere gets the time of that."""
    long_ago = Draft(role="user", content="Hello", sent_at=datetime(2001, 2, 3, tzinfo=UTC))
    client.append(KEY, [long_ago, said("Now")])
    read = client.read(KEY).messages

    async def read_by_the_other() -> tuple[Message, ...]:
        async with AsyncClient(server.url, server.secret) as other:
            await other.append("cli:other", read[0])
            return (await other.window(KEY)).messages

    assert read == asyncio.run(read_by_the_other())
    assert [True, False] == [one.stored_at is not None for one in read]
    (again,) = client.read("cli:other").messages
    assert read[0].sent_at == again.sent_at
    assert (again.stored_at or again.sent_at) > (read[0].stored_at or read[0].sent_at)


def test_purge_chooses_in_one_way(client: Client) -> None:
    """Keys beside a prefix or a time are refused, and nothing is removed."""
    client.append("purge:a", [said("Now")])
    client.delete("purge:a", to_trash=True)
    now = datetime.now(UTC)
    with pytest.raises(InvalidError):
        client.purge("purge:", keys=["purge:a"])
    with pytest.raises(InvalidError):
        client.purge(keys=["purge:a"], before=now)
    assert ["purge:a"] == [one.key for one in client.trash("purge:")]
    assert ["purge:a"] == [one.key for one in client.purge("purge:", before=now + timedelta(hours=1))]
