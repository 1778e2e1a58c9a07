"""Pages of other origins are let in only when they are named, and then with a token like everybody."""

from __future__ import annotations

import anyio
import httpx
import pytest

from chatkeep.http.app import create_app
from chatkeep.http.gate.guard import UNLIMITED, Guard
from chatkeep.http.gate.limits import Limits
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.memory import MemoryStore
from tests.http.conftest import Server

OURS, THEIRS = "https://app.example", "https://app.example.evil"


def _answered(server: Server, method: str, origins: tuple[str, ...], **headers: str) -> httpx.Response:
    """Return the answer of an application that knows these origins."""
    guard = Guard(server.tokens, Limits(None), hosts={"testserver"}, rates=UNLIMITED)
    app = create_app(Sessions(MemoryStore()), guard, cors_origins=origins)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            return await client.request(method, "/api/sessions", headers=headers)

    return anyio.run(ask)


@pytest.mark.parametrize("origin,origins", [(OURS, ()), (THEIRS, (OURS,)), ("null", (OURS,))])
def test_origin_that_is_not_named(server: Server, origin: str, origins: tuple[str, ...]) -> None:
    """No header lets a page of another origin read an answer."""
    answer = _answered(server, "GET", origins, Origin=origin, Authorization=f"Bearer {server.secret}")

    assert (200, False) == (answer.status_code, "access-control-allow-origin" in answer.headers)


def test_origin_that_is_named(server: Server) -> None:
    """A named origin may read answers; without a token there is none but a refusal."""
    answer = _answered(server, "GET", (OURS,), Origin=OURS, Authorization=f"Bearer {server.secret}")
    refusal = _answered(server, "GET", (OURS,), Origin=OURS)

    assert (200, OURS) == (answer.status_code, answer.headers["access-control-allow-origin"])
    assert "access-control-allow-credentials" not in answer.headers
    assert (401, OURS) == (refusal.status_code, refusal.headers["access-control-allow-origin"])


def test_preflight(server: Server) -> None:
    """A browser's question before a request is answered without a token, to named origins only."""
    asked = {"Access-Control-Request-Method": "DELETE", "Access-Control-Request-Headers": "authorization"}
    ours = _answered(server, "OPTIONS", (OURS,), Origin=OURS, **asked)
    theirs = _answered(server, "OPTIONS", (OURS,), Origin=THEIRS, **asked)

    assert (200, OURS) == (ours.status_code, ours.headers["access-control-allow-origin"])
    assert "DELETE" in ours.headers["access-control-allow-methods"]
    assert "access-control-allow-origin" not in theirs.headers
