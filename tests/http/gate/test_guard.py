"""The guard: nobody gets in by another name, without a token, or too often."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from msgspec import UnsetType
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatkeep.access.page_sessions import PageSessions
from chatkeep.access.tokens import TokenFile
from chatkeep.errors import ForbiddenError, UnauthorizedError
from chatkeep.http.gate.addresses import canonical
from chatkeep.http.gate.guard import Grant, Guard, GuardMiddleware, authorise, authorise_everywhere
from chatkeep.http.gate.limits import Limits
from chatkeep.wire.errors import Problem

NOON = datetime(2024, 1, 15, 12, tzinfo=UTC)
PEER = "203.0.113.5"
Pairs = Sequence[tuple[str, str]]


@dataclass
class Clocks:
    """The two clocks of a server, which a test sets."""

    now: datetime = NOON
    monotonic_s: float = 1000.0


@dataclass
class Reply:
    """What a client gets."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class Server:
    """A guarded application that answers every request with its grant."""

    tokens: TokenFile
    app: ASGIApp

    def ask(
        self,
        token: str | None = None,
        *,
        path: str = "/api/sessions",
        host: str = "localhost:8000",
        peer: str = PEER,
        headers: Pairs = (),
        method: str = "GET",
    ) -> Reply:
        """Return the answer to a request."""
        borne = [] if token is None else [("authorization", f"Bearer {token}")]
        return self.ask_raw([("host", host), *borne, *headers], path=path, peer=peer, method=method)

    def ask_raw(
        self, headers: Pairs, *, path: str = "/api/sessions", peer: str | None = PEER, method: str = "GET"
    ) -> Reply:
        """Return the answer to a request with exactly these headers."""
        place, _, query = path.partition("?")
        scope: Scope = {
            "type": "http",
            "method": method,
            "path": place,
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
            "client": None if peer is None else (peer, 50000),
        }
        reply = Reply()

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                reply.status = message["status"]
                reply.headers = {name.decode().lower(): value.decode() for name, value in message["headers"]}
            else:
                reply.body += message.get("body", b"")

        asyncio.run(_awaited(self.app, scope, receive, send))
        return reply


async def _awaited(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, send)


async def show_grant(scope: Scope, _: Receive, send: Send) -> None:
    """Answer with the grant of the request."""
    body = msgspec.json.encode(scope["state"]["grant"], order="deterministic")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-own", b"1")]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def clocks() -> Clocks:
    """Return clocks at noon."""
    return Clocks()


@pytest.fixture
def limits(clocks: Clocks) -> Iterator[Limits]:
    """Return empty limits."""
    made = Limits(None, clock=lambda: clocks.monotonic_s)
    yield made
    made.close()


@pytest.fixture
def server(tmp_path: Path, clocks: Clocks, limits: Limits) -> Server:
    """Return a server known as localhost, 127.0.0.1, [::1] and chat.example, behind a proxy at 192.0.2.1."""
    tokens = TokenFile(tmp_path / "tokens.json", now=lambda: clocks.now)
    guard = Guard(
        tokens,
        limits,
        hosts=("localhost", "127.0.0.1", "[::1]", "Chat.Example"),
        trusted_proxies=("192.0.2.1", "10.0.0.0/8"),
    )
    return Server(tokens, GuardMiddleware(show_grant, guard))


@pytest.fixture
def token(server: Server) -> str:
    """Return the secret of a token that reads and writes everything."""
    return server.tokens.create()[0]


def code_of(reply: Reply) -> str:
    """Return the code of a refusal, which has the shape of all errors."""
    problem = msgspec.json.decode(reply.body, type=Problem)
    assert reply.status == problem.status
    assert reply.headers["content-type"].startswith("application/problem+json")
    return problem.code


def spend(server: Server, token: str | None, count: int, *, peer: str = PEER) -> list[int]:
    """Return the statuses of so many requests, each once."""
    return sorted({server.ask(token, peer=peer).status for _ in range(count)})


def test_request_with_a_token_gets_its_grant(server: Server) -> None:
    """The grant says what the token may do, and where."""
    secret, token = server.tokens.create(scopes=("read", "delete"), prefix="telegram:")
    reply = server.ask(secret)
    assert reply.status == 200
    grant = msgspec.json.decode(reply.body, type=Grant)
    assert Grant(scopes=frozenset(("read", "delete")), prefix="telegram:", token_id=token.id) == grant
    assert reply.headers["x-own"] == "1"


def test_request_without_a_token_is_refused(server: Server) -> None:
    """There is no way in without a token, not even from this machine."""
    for peer in (PEER, "127.0.0.1", "::1", "192.0.2.1"):
        reply = server.ask(peer=peer)
        assert "unauthorized" == code_of(reply)
        assert (401, "Bearer") == (reply.status, reply.headers["www-authenticate"])


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_request_with_the_scheme_in_any_case_passes(server: Server, token: str, scheme: str) -> None:
    """Schemes are compared without case."""
    assert server.ask(headers=[("authorization", f"{scheme} {token}")]).status == 200


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer  ",
        "Basic {token}",
        "Token {token}",
        "{token}",
        "Bearer{token}",
        "Bearer x{token}",
        "Bearer {token}x",
        "Bearer {token} {token}",
        "Bearer {token},",
        'Bearer "{token}"',
        "Bearer \u00e9\u00ff",
        "Bearer \x00",
        "Bearer " + "x" * 10_000,
        "Bearer null",
    ],
)
def test_request_with_a_bad_token_is_refused(server: Server, token: str, value: str) -> None:
    """Whatever is no valid token is unauthorized, never an error."""
    reply = server.ask(headers=[("authorization", value.replace("{token}", token))])
    assert (401, "unauthorized") == (reply.status, code_of(reply))
    assert token not in reply.body.decode()


def test_request_with_two_tokens_is_refused(server: Server, token: str) -> None:
    """Two headers could be read as either; neither counts."""
    assert server.ask(token, headers=[("authorization", f"Bearer {token}")]).status == 401


@pytest.mark.parametrize(
    "borne,own,status",
    [
        ("", "{token}", 200),
        ("Bearer {token}", "sk-of-the-provider", 200),
        ("Bearer sk-of-the-provider", "{token}", 200),
        ("Basic xyz", "{token}", 200),
        ("Bearer sk-of-the-provider", "sk-other", 401),
        ("", "sk-other", 401),
    ],
)
def test_request_of_a_model_has_its_token_in_either_header(
    server: Server, token: str, borne: str, own: str, status: int
) -> None:
    """Clients of models' servers send two keys; one of them is the token, on these routes alone."""
    sent = [("x-api-key", own.replace("{token}", token))]
    sent += [("authorization", borne.replace("{token}", token))] if borne else []
    assert status == server.ask(path="/v1/messages", headers=sent).status
    alone = server.ask(headers=[one for one in sent if one[0] == "x-api-key"])
    assert 401 == alone.status


@pytest.mark.parametrize(
    "path,status",
    [
        ("/v1beta/models/m:generateContent?key={token}", 200),
        ("/v1beta/models/m:generateContent?alt=sse&key={token}", 200),
        ("/v1beta/models/m:generateContent?key={token}&key={token}", 401),
        ("/v1beta/models/m:generateContent?key=", 401),
        ("/v1beta/models/m:generateContent?token={token}", 401),
        ("/v1/chat/completions?key={token}", 401),
        ("/api/sessions?key={token}", 401),
    ],
)
def test_request_of_gemini_may_have_its_token_in_the_query(server: Server, token: str, path: str, status: int) -> None:
    """Its clients send their key there; no other route takes one."""
    assert status == server.ask(path=path.replace("{token}", token)).status


def test_request_with_the_token_in_the_address_is_refused(server: Server, token: str) -> None:
    """Addresses end up in logs: a token in one is none."""
    assert server.ask(path=f"/api/sessions?token={token}").status == 401


def test_request_with_an_expired_token_is_refused(server: Server, clocks: Clocks) -> None:
    """An expiry holds to the second, without a restart."""
    secret, _ = server.tokens.create(lifetime=timedelta(hours=12))
    assert server.ask(secret).status == 200
    clocks.now = NOON + timedelta(hours=12)
    assert server.ask(secret).status == 401


def test_request_with_a_revoked_token_is_refused(server: Server) -> None:
    """Revoking counts from the next request on, whoever did it."""
    secret, token = server.tokens.create()
    assert server.ask(secret).status == 200
    TokenFile(server.tokens.path).revoke(token.id)
    assert server.ask(secret).status == 401


def test_request_with_a_broken_token_file_is_refused_without_its_place(server: Server, token: str) -> None:
    """Nobody gets in, and nobody learns where the file is."""
    server.tokens.path.write_text("{")
    reply = server.ask(token)
    assert (503, "storage_failed") == (reply.status, code_of(reply))
    assert str(server.tokens.path.parent) not in reply.body.decode()


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8000",
        "LOCALHOST:1",
        "127.0.0.1",
        "127.0.0.1:8000",
        "[::1]",
        "[::1]:8000",
        "chat.example",
        "CHAT.example:443",
    ],
)
def test_request_to_a_known_host_passes(server: Server, token: str, host: str) -> None:
    """A name counts without its case and port."""
    assert server.ask(token, host=host).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "",
        " ",
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil-localhost",
        "localhost.",
        "chat.example.",
        "127.0.0.1.",
        "127.0.0.2",
        "127.1",
        "2130706433",
        "0.0.0.0",  # noqa: S104 - a name, no binding
        "::1",
        "[::1",
        "[::1]x",
        "[::1]:x",
        "[127.0.0.1]",
        "[localhost]",
        "[::ffff:127.0.0.1]",
        "localhost:",
        "localhost:8000:8000",
        "localhost:123456",
        "localhost:-1",
        "localhost:8000 ",
        " localhost",
        "localhost/",
        "localhost#",
        "user@localhost",
        "localhost@evil.example",
        "localhost,evil.example",
        "localhost\x00",
        "\u00e9",
        "*",
        "null",
        "http://localhost",
    ],
)
def test_request_to_another_host_is_refused(server: Server, token: str, host: str) -> None:
    """A name that is not this server's gets nothing, not even the public pages."""
    for path in ("/api/sessions", "/health", "/docs", "/metrics"):
        reply = server.ask(token, host=host, path=path)
        assert (421, "unknown_host") == (reply.status, code_of(reply))


@pytest.mark.parametrize("hosts", [[], ["localhost", "localhost"], ["localhost", "evil.example"]])
def test_request_without_one_host_is_refused(server: Server, token: str, hosts: list[str]) -> None:
    """A request names its server once."""
    headers = [("host", host) for host in hosts]
    reply = server.ask_raw([*headers, ("authorization", f"Bearer {token}")])
    assert "unknown_host" == code_of(reply)


def test_request_in_absolute_form_is_refused(server: Server, token: str) -> None:
    """A target that names a host of its own is not served under the name in the header."""
    assert "unknown_host" == code_of(server.ask(token, path="http://evil.example/api/sessions"))


@pytest.mark.parametrize("path", ["/health", "/openapi.json", "/docs"])
def test_request_to_a_public_page_needs_nothing_and_counts_nothing(server: Server, path: str) -> None:
    """Public pages are open and free; a token there changes nothing."""
    for _ in range(100):
        reply = server.ask(path=path)
        assert (200, b"null") == (reply.status, reply.body)
        assert "x-ratelimit-limit" not in reply.headers
    assert server.ask("wrong", path=path).status == 200
    assert server.ask().headers["x-ratelimit-remaining"] == "59"


def test_request_for_metrics_needs_a_token_and_counts_nothing(server: Server, token: str) -> None:
    """Metrics are collected often, but not by everybody."""
    assert [server.ask(token, path="/metrics").status for _ in range(100)] == [200] * 100
    assert server.ask(path="/metrics").status == 401
    assert server.ask(token).headers["x-ratelimit-remaining"] == "59"


@pytest.mark.parametrize("path", ["/health/", "/healthz", "//health", "/HEALTH", "/docs/x", "/health/../api/sessions"])
def test_request_near_a_public_page_needs_a_token(server: Server, path: str) -> None:
    """Public is what is named, exactly."""
    assert server.ask(path=path).status == 401


def test_request_61_from_one_address_is_refused(server: Server, token: str, clocks: Clocks) -> None:
    """Sixty a minute pass, the next does not, and the client is told when it will."""
    for number in range(60):
        reply = server.ask(token)
        told = {name: reply.headers[f"x-ratelimit-{name}"] for name in ("limit", "remaining", "reset")}
        assert (200, {"limit": "60", "remaining": str(59 - number), "reset": "60"}) == (reply.status, told)
    clocks.monotonic_s += 20
    reply = server.ask(token)
    assert (429, "rate_limited") == (reply.status, code_of(reply))
    assert "Rate limit exceeded" == msgspec.json.decode(reply.body, type=Problem).detail
    assert ("40", "60", "0", "40") == (
        reply.headers["retry-after"],
        reply.headers["x-ratelimit-limit"],
        reply.headers["x-ratelimit-remaining"],
        reply.headers["x-ratelimit-reset"],
    )
    clocks.monotonic_s += 40
    assert server.ask(token).status == 200


def told(reply: Reply) -> tuple[str | UnsetType, int | UnsetType, int | UnsetType]:
    """Return which limit a refusal names: its kind, its number and its window."""
    problem = msgspec.json.decode(reply.body, type=Problem)
    assert (429, "rate_limited", "Rate limit exceeded") == (problem.status, problem.code, problem.detail)
    return problem.limited_by, problem.limit, problem.window_s


def test_bad_tokens_are_refused_as_such_until_they_are_too_many(server: Server, token: str) -> None:
    """Guessing is slow, and a wrong token reads as one until then, however busy the known ones are."""
    assert [200] == spend(server, token, 60)
    assert [429] == spend(server, token, 1)
    assert [401] == spend(server, "wrong", 60)
    assert ("tries", 60, 60) == told(server.ask("wrong"))


@pytest.mark.parametrize("peer", [PEER, "127.0.0.1", "2001:db8::1"])
@pytest.mark.parametrize("path", ["/api/sessions", "/v1/models", "/metrics"])
def test_bad_tokens_lock_nobody_out(server: Server, token: str, peer: str, path: str) -> None:
    """A flood of guesses at an address takes nothing from the tokens that are known there, nor from signing in."""
    assert {401, 429} == {server.ask(f"wrong{n}", peer=peer, path=path).status for n in range(200)}
    assert [200] == spend(server, token, 60, peer=peer)
    assert 200 == server.ask(peer=peer, path="/signin", method="POST").status


def test_bad_tokens_are_counted_where_good_ones_are_not(server: Server) -> None:
    """Metrics, where nobody counts, are no place to guess."""
    assert [401] * 60 + [429] == [server.ask("wrong", path="/metrics").status for _ in range(61)]


def test_refusal_says_which_limit_and_how_to_raise_it(server: Server) -> None:
    """Who is refused learns which limit was met, its number and its window, and what changes it."""
    secrets = [server.tokens.create()[0] for _ in range(2)]
    assert [200] == spend(server, secrets[0], 30) == spend(server, secrets[1], 30)
    reply = server.ask(secrets[0])
    assert ("address", 60, 60) == told(reply)
    assert "token create --rate" in reply.body.decode()
    assert "rate_limit_ip" in reply.body.decode()
    for number in range(30):
        server.ask(secrets[0], peer=f"198.51.100.{number}")
    reply = server.ask(secrets[0], peer="198.51.100.99")
    assert ("token", 60, 60) == told(reply)
    assert "token create --rate" in reply.body.decode()
    assert "rate_limit_token" in reply.body.decode()
    tight, _ = server.tokens.create(rate=1)
    assert [200, 429] == spend(server, tight, 2)
    assert ("own", 1, 60) == told(server.ask(tight))


def test_model_routes_have_a_limit_of_their_own(server: Server, token: str) -> None:
    """Calls of the model are no calls of sessions: 600 a minute a token, and nothing from the other limits."""
    assert [200] == sorted({server.ask(token, path="/v1/chat/completions", method="POST").status for _ in range(600)})
    reply = server.ask(token, path="/v1/models")
    assert ("model", 600, 60) == told(reply)
    assert "rate_limit_model" in reply.body.decode()
    assert "59" == server.ask(token).headers["x-ratelimit-remaining"]
    other, _ = server.tokens.create(rate=700)
    assert "699" == server.ask(other, path="/v1/models").headers["x-ratelimit-remaining"]
    assert "698" == server.ask(other).headers["x-ratelimit-remaining"]


def test_confined_token_sees_its_own_standing_alone(server: Server, token: str) -> None:
    """How busy others are at its address is not told, until there is no more room for anybody."""
    confined, _ = server.tokens.create(prefix="own:")
    assert "59" == server.ask(confined).headers["x-ratelimit-remaining"]
    assert [200] == spend(server, token, 20)
    assert "58" == server.ask(confined).headers["x-ratelimit-remaining"]


@pytest.mark.parametrize(
    "peers",
    [
        [f"127.{n}.{255 - n}.{n + 1}" for n in range(61)],
        ["::1", *(f"127.0.0.{n + 1}" for n in range(60))],
        [f"::ffff:127.0.{n}.1" for n in range(61)],
        [f"2002:cb00:7105:{n:x}::1" for n in range(61)],
        ["203.0.113.5", *(f"2002:cb00:7105:{n:x}::1" for n in range(60))],
        [f"64:ff9b::cb00:7105%{n}" for n in range(61)],
        [f"2001:db8:0:7:{n:x}::{n:x}" for n in range(61)],
        [f"fe80::{n:x}%eth{n}" for n in range(61)],
    ],
)
def test_one_machine_has_one_bucket(server: Server, peers: list[str]) -> None:
    """Whoever owns many addresses is one client: the loopback network, a site of IPv6, an IPv4 address in another."""
    assert [401] * 60 + [429] == [server.ask(peer=peer).status for peer in peers]


def test_request_with_a_token_from_many_addresses_counts_against_the_token(server: Server, token: str) -> None:
    """A token has sixty a minute wherever it is used."""
    assert [200] == sorted({server.ask(token, peer=f"203.0.113.{n}").status for n in range(60)})
    assert [429] == spend(server, token, 3, peer="198.51.100.1")


def test_request_with_a_limit_of_its_own_counts_against_that_alone(server: Server) -> None:
    """A token's own limit replaces both: the address's and the usual one."""
    roomy, _ = server.tokens.create(rate=100)
    tight, _ = server.tokens.create(rate=2)
    free, _ = server.tokens.create(rate=0)
    assert [200] == spend(server, server.tokens.create()[0], 60)
    assert [200] == spend(server, roomy, 100)
    assert [429] == spend(server, roomy, 3)
    assert [200] == spend(server, tight, 2)
    assert [429] == spend(server, tight, 3)
    assert [200] == spend(server, free, 200)
    assert "x-ratelimit-limit" not in server.ask(free).headers


def test_request_that_is_refused_shows_its_limit(server: Server) -> None:
    """A 401 is a counted answer too."""
    assert server.ask("wrong").headers["x-ratelimit-remaining"] == "59"


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "CF-Connecting-IP", "True-Client-IP"])
def test_request_with_a_forged_address_counts_against_its_peer(server: Server, name: str) -> None:
    """Anybody can write these headers: who is no configured proxy is not believed."""
    replies = [server.ask(headers=[(name, f"198.51.100.{n}")]) for n in range(61)]
    assert 429 == replies[-1].status
    assert [401] * 60 == [reply.status for reply in replies[:-1]]


@pytest.mark.parametrize(
    "forwarded",
    [
        ["198.51.100.7"],
        ["198.51.100.7:1234"],
        ["  198.51.100.7  "],
        ["1.1.1.1, 198.51.100.7"],
        ["1.1.1.1", "198.51.100.7"],
        ["not an address, 198.51.100.7"],
        ["198.51.100.7, 10.1.2.3"],
        ["198.51.100.7, 10.1.2.3, 192.0.2.1"],
        ["::ffff:198.51.100.7"],
        ["[::ffff:198.51.100.7]:1234"],
        ["[2002:c633:6407::1%eth0]:99"],
        ["198.51.100.7" + ", 10.9.9.9" * 19],
        ["1.1.1.1," * 5000 + "198.51.100.7"],
    ],
)
def test_request_through_a_proxy_counts_against_the_last_foreign_hop(server: Server, forwarded: list[str]) -> None:
    """What our proxies have seen is believed, what came to them is not."""
    assert [401] == spend(server, None, 60, peer="198.51.100.7")
    headers = [("x-forwarded-for", value) for value in forwarded]
    assert server.ask(peer="192.0.2.1", headers=headers).status == 429
    assert server.ask(peer="192.0.2.1", headers=[("x-forwarded-for", "198.51.100.8")]).status == 401


@pytest.mark.parametrize("peer", ["2002:c000:201::1", "64:ff9b::c000:201", "2001:0:1:1:0:1:3fff:fdfe"])
def test_request_with_an_address_that_carries_a_proxys_is_no_proxys(server: Server, peer: str) -> None:
    """Anybody may take an IPv6 address with an IPv4 address in it: what it forwards is not believed."""
    for number in range(60):
        forwarded = [("x-forwarded-for", f"198.51.100.{number}")]
        assert server.ask(peer=peer, headers=forwarded).status == 401
    assert server.ask(peer=peer, headers=[("x-forwarded-for", "198.51.100.99")]).status == 429


@pytest.mark.parametrize(
    "forwarded",
    [
        "",
        "unknown",
        "198.51.100.7, _hidden",
        ",",
        "999.1.1.1",
        "198.51.100.7, [::1",
        "1.2.3.4:5:6",
        "\x00",
        ", " * 9999,
    ],
)
def test_request_through_a_proxy_that_says_nothing_counts_against_the_proxy(server: Server, forwarded: str) -> None:
    """A hop that is no address hides nobody."""
    assert [401] == spend(server, None, 60, peer="192.0.2.1")
    assert server.ask(peer="192.0.2.1", headers=[("x-forwarded-for", forwarded)]).status == 429


def test_request_in_both_spellings_of_an_address_counts_once(server: Server) -> None:
    """An IPv4 address in IPv6 form is the same client; and a whole IPv6 site is one."""
    assert [401] == spend(server, None, 60, peer="203.0.113.5")
    assert [429] == spend(server, None, 1, peer="::ffff:203.0.113.5")
    assert [401] == spend(server, None, 60, peer="2001:db8:1:2::1")
    assert [429] == spend(server, None, 1, peer="2001:db8:1:2:ffff::9")
    assert [401] == spend(server, None, 1, peer="2001:db8:1:3::1")


def test_request_without_a_peer_is_counted(server: Server) -> None:
    """A Unix socket has no address, and a limit all the same."""
    statuses = [server.ask_raw([("host", "localhost")], peer=None).status for _ in range(61)]
    assert [401] * 60 + [429] == statuses


@pytest.mark.parametrize(
    "host, name",
    [
        ("1.2.3.4", "1.2.3.4"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("::FFFF:102:304", "1.2.3.4"),
        ("2001:DB8::1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
        ("127.0.0.1", "local"),
        ("127.255.255.254", "local"),
        ("::1", "local"),
        ("::ffff:127.9.9.9", "local"),
        ("2002:102:304::1", "1.2.3.4"),
        ("64:ff9b::102:304", "1.2.3.4"),
        ("2001:0:ffff::fefd:fcfb", "1.2.3.4"),
        ("2002:7f00:1::1", "127.0.0.1"),
        ("64:ff9b::7f00:1", "127.0.0.1"),
        ("1.2.3.4.5", "1.2.3.4.5"),
        ("", ""),
    ],
)
def test_canonical_gives_one_name(host: str, name: str) -> None:
    """One client, one name."""
    assert name == canonical(host)


def test_websocket_is_closed(server: Server) -> None:
    """There is no other door."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(_awaited(server.app, {"type": "websocket", "path": "/", "headers": []}, receive, send))
    assert ["websocket.close"] == [message["type"] for message in sent]


def test_lifespan_passes() -> None:
    """What is no request is for the application."""
    passed: list[str] = []

    async def app(scope: Scope, _: Receive, __: Send) -> None:
        passed.append(scope["type"])

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        raise AssertionError(message)

    guarded = GuardMiddleware(app, Guard(TokenFile(Path("none")), Limits(None), hosts=()))
    asyncio.run(_awaited(guarded, {"type": "lifespan"}, receive, send))
    assert ["lifespan"] == passed


@pytest.mark.parametrize("method", ["OPTIONS", "HEAD", "GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"])
@pytest.mark.parametrize(
    "path", ["/api/sessions", "/api/v1/sessions/x", "/v1/models", "/metrics", "/nope", "/api", "*"]
)
def test_methods_without_a_token_are_refused_alike(server: Server, method: str, path: str) -> None:
    """Whoever has no token does not learn what there is."""
    if path == "*":
        path = "/*"
    reply = server.ask(method=method, path=path)
    assert (401, "unauthorized") == (reply.status, code_of(reply))
    assert "allow" not in reply.headers


PAGE = ("sec-fetch-site", "same-origin")
NAME = "chatkeep-8000"
HOST_NAME = "__Host-chatkeep-8000"


def cookie(secret: str, name: str = NAME) -> tuple[str, str]:
    """Return a header with cookies, ours among them."""
    return ("cookie", f"theme=dark; {name}={secret}; a=b")


@pytest.fixture
def pages(server: Server) -> PageSessions:
    """Return the sessions of the page."""
    return PageSessions(server.tokens)


@pytest.fixture
def signed(pages: PageSessions) -> str:
    """Return the secret of a browser that signed in by a link."""
    return pages.open(None)[0]


@pytest.mark.parametrize(
    "method,headers",
    [
        ("GET", [PAGE]),
        ("DELETE", [PAGE]),
        ("GET", []),
        ("HEAD", []),
        ("POST", [("origin", "http://localhost:8000")]),
        ("POST", [("origin", "https://LOCALHOST:8000")]),
    ],
)
def test_cookie_lets_the_own_page_in(server: Server, signed: str, method: str, headers: Pairs) -> None:
    """A page of this server gets in with the secret in its cookie."""
    reply = server.ask(method=method, headers=[cookie(signed), *headers])
    assert 200 == reply.status
    assert b"token_id" in reply.body


@pytest.mark.parametrize(
    "method,headers",
    [
        *(
            (method, [("sec-fetch-site", site)])
            for method in ("GET", "POST")
            for site in ("cross-site", "same-site", "none")
        ),
        ("GET", [("sec-fetch-site", "cross-site"), ("origin", "http://localhost:8000")]),
        ("POST", []),
        ("DELETE", []),
        *((method, [("origin", "http://localhost:9000")]) for method in ("GET", "POST")),
        ("POST", [("origin", "http://evil.example")]),
        ("POST", [("origin", "null")]),
    ],
)
def test_cookie_from_another_page_is_nothing(server: Server, signed: str, method: str, headers: Pairs) -> None:
    """Browsers send the cookie for pages of others too, also for one on another port: it opens nothing there."""
    assert 401 == server.ask(method=method, headers=[cookie(signed), *headers]).status


def test_cookie_is_no_token_and_a_token_no_cookie(server: Server, token: str, signed: str) -> None:
    """Who is sent the cookie on another port has nothing for `Authorization`; a token is not good in the cookie."""
    assert 401 == server.ask(signed, headers=[PAGE]).status
    assert 401 == server.ask(signed).status
    assert 401 == server.ask(headers=[cookie(token), PAGE]).status
    assert 401 == server.ask(headers=[cookie(token, HOST_NAME), PAGE]).status


@pytest.mark.parametrize("name", ["chatkeep", "chatkeep-80", "chatkeep-80000", "Chatkeep-8000", "x-chatkeep-8000"])
def test_cookie_of_another_name_is_nothing(server: Server, signed: str, name: str) -> None:
    """Servers on other ports of the same machine have cookies of their own."""
    assert 401 == server.ask(headers=[cookie(signed, name), PAGE]).status


def test_cookie_without_a_port_has_the_plain_name(server: Server, signed: str) -> None:
    """Behind a proxy there is often no port."""
    assert 200 == server.ask(host="localhost", headers=[cookie(signed, "chatkeep"), PAGE]).status


def test_cookie_made_over_tls_counts_under_its_name_alone(server: Server, pages: PageSessions, signed: str) -> None:
    """What plain HTTP, or a neighbour, may set is not taken for what TLS has set, nor the other way round."""
    secure, _ = pages.open(None, is_secure=True)
    assert 200 == server.ask(headers=[cookie(secure, HOST_NAME), PAGE]).status
    assert 401 == server.ask(headers=[cookie(secure), PAGE]).status
    assert 401 == server.ask(headers=[cookie(signed, HOST_NAME), PAGE]).status


@pytest.mark.parametrize("place", [0, 1])
def test_cookies_that_others_set_keep_nobody_out(server: Server, signed: str, place: int) -> None:
    """A neighbour on another port can set a cookie of our name; what is none of our secrets does not count."""
    values = ["ckp_forged", "", "\u00e9", "x" * 3000]
    values.insert(place, signed)
    together = ("cookie", "; ".join(f"{NAME}={value}" for value in values))
    apart = [("cookie", f"{NAME}={value}") for value in values]
    assert 200 == server.ask(headers=[together, PAGE]).status
    assert 200 == server.ask(headers=[*apart, PAGE]).status
    assert 200 == server.ask(headers=[cookie(signed), cookie(signed), PAGE]).status


@pytest.mark.parametrize("name", [NAME, HOST_NAME])
def test_cookies_of_two_sessions_are_nothing(server: Server, pages: PageSessions, signed: str, name: str) -> None:
    """A neighbour who sets the cookie of a session of its own gets nobody to work in that."""
    other, _ = pages.open(None, is_secure=name == HOST_NAME)
    for headers in ([cookie(signed), cookie(other, name)], [cookie(other, name), cookie(signed)]):
        assert 401 == server.ask(headers=[*headers, PAGE]).status


def test_cookies_without_number_are_nothing(server: Server, signed: str) -> None:
    """A request costs at most so many look-ups."""
    many = "; ".join(f"{NAME}=x{n}" for n in range(1000))
    assert 401 == server.ask(headers=[("cookie", f"{many}; {NAME}={signed}"), PAGE]).status


def test_cookie_does_not_help_a_wrong_header(server: Server, signed: str) -> None:
    """Who sends a token is judged by that alone."""
    assert 401 == server.ask("ck_wrong", headers=[cookie(signed), PAGE]).status


@pytest.mark.parametrize("end", ["page", "token", "expiry"])
def test_cookie_ends_with_its_session_and_its_token(
    server: Server, pages: PageSessions, clocks: Clocks, end: str
) -> None:
    """From the next request on nothing opens; another browser stays signed in."""
    _, token = server.tokens.create(lifetime=timedelta(hours=1))
    secret, page = pages.open(token)
    other, _ = pages.open(None)
    assert 200 == server.ask(headers=[cookie(secret), PAGE]).status
    if end == "page":
        pages.end(page.id)
    elif end == "token":
        server.tokens.revoke(token.id)
    else:
        clocks.now += timedelta(hours=1)
    assert 401 == server.ask(headers=[cookie(secret), PAGE]).status
    assert 200 == server.ask(headers=[cookie(other), PAGE]).status


def test_cookie_in_use_is_renewed_once_a_day(server: Server, pages: PageSessions, clocks: Clocks) -> None:
    """A visit keeps a browser signed in: the answer brings the cookie again, for another week, once."""
    secret, page = pages.open(None, is_secure=True)
    held = [cookie(secret, HOST_NAME), PAGE]
    assert "set-cookie" not in server.ask(headers=held).headers
    clocks.now += timedelta(days=1, seconds=1)
    renewed = server.ask(headers=held).headers["set-cookie"]
    assert f"{HOST_NAME}={secret}; HttpOnly; Max-Age=604800; Path=/; SameSite=strict; Secure" == renewed
    assert "set-cookie" not in server.ask(headers=held).headers
    assert page.expires_at + timedelta(days=1, seconds=1) == pages.find(secret)[0].expires_at


def test_cookie_that_cannot_be_renewed_stays_good(server: Server, signed: str, clocks: Clocks) -> None:
    """A disk that refuses to note it ends nobody's session."""
    clocks.now += timedelta(days=2)
    lock = server.tokens.path.with_name("pages.lock")
    lock.unlink()
    lock.mkdir()
    reply = server.ask(headers=[cookie(signed), PAGE])
    assert (200, None) == (reply.status, reply.headers.get("set-cookie"))


def test_cookie_that_ended_meanwhile_is_not_renewed(tmp_path: Path) -> None:
    """A session may end between the request that it let in and the look at its age."""
    guard = Guard(TokenFile(tmp_path / "tokens.json"), Limits(None), hosts=("localhost",))
    scope = {
        "type": "http",
        "method": "GET",
        "headers": [(b"host", b"localhost:8000"), (b"cookie", b"chatkeep-8000=x")],
    }
    assert not guard.is_cookie_due(scope)


def test_page_has_a_limit_of_its_own(server: Server, pages: PageSessions) -> None:
    """It may ask far more often than a program with the same token, and takes nothing from it; but not without end."""
    secret, token = server.tokens.create()
    signed, _ = pages.open(token)
    limits = {server.ask(headers=[cookie(signed), PAGE]).headers["x-ratelimit-limit"] for _ in range(1200)}
    assert {"1200"} == limits
    assert ("page", 1200, 60) == told(server.ask(headers=[cookie(pages.open(token)[0]), PAGE]))
    assert ("60", "59") == (
        (reply := server.ask(secret)).headers["x-ratelimit-limit"],
        reply.headers["x-ratelimit-remaining"],
    )


def test_page_with_a_limited_token_keeps_its_limit(server: Server, pages: PageSessions) -> None:
    """The limit that a token was given holds wherever it is used."""
    _, token = server.tokens.create(rate=2)
    signed, _ = pages.open(token)
    assert [200, 200, 429] == [server.ask(headers=[cookie(signed), PAGE]).status for _ in range(3)]


def test_wrong_cookies_count_against_the_address(server: Server) -> None:
    """Guessing is as slow in a cookie as in the header."""
    statuses = [server.ask(headers=[cookie("ckp_guess"), PAGE]).status for _ in range(61)]
    assert [401] * 60 + [429] == statuses


def test_sign_in_needs_no_token_and_is_counted(server: Server) -> None:
    """Here one gets a token; guessing codes is slow."""
    assert [200] * 60 + [429] == [server.ask(path="/signin", method="POST").status for _ in range(61)]


@pytest.mark.parametrize("path", ["/", "/page/0123/main.js"])
def test_files_of_the_page_are_public(server: Server, path: str) -> None:
    """Who may not see a session may see the page that asks for a token; it is not counted."""
    assert [(200, b"null")] * 61 == [((reply := server.ask(path=path)).status, reply.body) for _ in range(61)]


def grant_of(*scopes: str, prefix: str = "") -> Grant:
    """Return a grant."""
    return Grant(scopes=frozenset(scopes), prefix=prefix, token_id="t")  # noqa: S106 - an id, no secret


@pytest.mark.parametrize("scope", ["read", "write", "delete", "admin"])
def test_authorise_names_the_missing_scope(scope: str) -> None:
    """Who lacks a scope is told which; administrators lack none."""
    others = tuple({"read", "write", "delete"} - {scope})
    authorise(grant_of(scope), scope)
    authorise(grant_of("admin"), scope)
    with pytest.raises(ForbiddenError, match=scope):
        authorise(grant_of(*others), scope)
    with pytest.raises(ForbiddenError, match=scope):
        authorise(grant_of(), scope)


def test_authorise_without_a_grant_is_unauthorized() -> None:
    """A public path grants nothing."""
    with pytest.raises(UnauthorizedError):
        authorise(None, "read")


def test_authorise_everywhere_refuses_the_confined() -> None:
    """What cannot be cut to a prefix is not shown to who has one."""
    authorise_everywhere(grant_of("read"), "read")
    with pytest.raises(ForbiddenError, match="prefix"):
        authorise_everywhere(grant_of("admin", prefix="a:"), "read")
    with pytest.raises(ForbiddenError, match="'read'"):
        authorise_everywhere(grant_of("write"), "read")


def test_guard_with_a_bad_proxy_does_not_start(server: Server, limits: Limits) -> None:
    """A proxy is an address or a network."""
    with pytest.raises(ValueError, match="proxy"):
        Guard(server.tokens, limits, hosts=(), trusted_proxies=("proxy",))
