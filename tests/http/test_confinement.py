"""Whoever is confined to a prefix learns nothing of what is outside: no answer changes with what others do there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

import httpx
import pytest

from chatkeep.core.model import Draft
from tests.http.conftest import Server, serving

_MOVES = re.compile(r'"(uptime_seconds|age_seconds)":[0-9.]+')
_HEADERS = {"x-request-id", "date"}
_OUTSIDE = "other:1"

READS = (
    "/api/sessions?limit=5",
    "/api/sessions?channel=api",
    "/api/sessions?prefix=other:",
    "/api/sessions/search?q=zebra",
    "/api/sessions/search?q=ze",
    "/api/sessions/search?q=zebra&sort=recent&limit=3",
    "/api/sessions/search?q=zebra&unit=message&limit=100",
    "/api/sessions/search?q=zebra+unicorn",
    "/api/sessions/search?q=where+is+the+zebra",
    "/api/sessions/search?q=%22crosses+river%22&role=any",
    f"/api/sessions/search?q=zebra&session={_OUTSIDE}",
    "/api/memory/session?id=own:1",
    f"/api/memory/session?id={_OUTSIDE}",
    "/api/v1/sessions",
    "/api/v1/sessions?limit=3",
    "/api/v1/sessions?prefix=other:",
    "/api/v1/sessions/own:1",
    f"/api/v1/sessions/{_OUTSIDE}",
    "/api/v1/messages?session=own:1",
    f"/api/v1/messages?session={_OUTSIDE}",
    "/api/v1/export",
    "/api/v1/export?format=md",
    f"/api/v1/export?session={_OUTSIDE}",
    "/api/v1/status",
    "/api/v1/status?prefix=other:",
    "/api/v1/stats",
    "/api/v1/stats?unit=day",
    "/api/v1/stats?prefix=other:",
    "/api/v1/usage",
    "/api/v1/usage?by=session&prefix=other:",
    "/api/v1/usage?by=tag",
    "/metrics",
    "/nope",
)
MESSAGE = {"role": "user", "content": "x", "id": "m1"}
WRITES = (
    ("POST", f"/api/v1/messages?session={_OUTSIDE}", MESSAGE),
    ("POST", f"/api/v1/messages?session={_OUTSIDE}&create=false", MESSAGE),
    ("POST", f"/api/v1/messages?session={_OUTSIDE}&expect_count=7", MESSAGE),
    ("DELETE", f"/api/v1/sessions/{_OUTSIDE}", None),
    ("DELETE", f"/api/sessions/{_OUTSIDE}", None),
    ("POST", f"/api/sessions/{_OUTSIDE}/title", {"title": "x"}),
    ("POST", f"/api/sessions/{_OUTSIDE}/title", {"title": ""}),
    ("PATCH", f"/api/v1/sessions/{_OUTSIDE}", {"title": "x"}),
    ("PATCH", f"/api/v1/sessions/{_OUTSIDE}", {"pinned": 3}),
    ("POST", "/api/v1/sessions/delete", {"keys": [_OUTSIDE, "own:1"]}),
    ("POST", "/api/v1/sessions/delete", {"prefix": "other:"}),
    ("POST", "/api/v1/sessions/delete", {"channel": "api"}),
    ("POST", "/api/v1/chat", {"message": "x", "session_key": _OUTSIDE}),
    ("POST", "/api/v1/import?format=json", {"key": _OUTSIDE, "messages": [MESSAGE]}),
)


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of its own: what is outside is what these tests put there."""
    with serving(tmp_path_factory.mktemp("confined")) as server:
        for number in range(20):
            asked = Draft(role="user", content=f"the zebra crosses river {number}")
            server.sessions.append(f"own:{number}", [asked, Draft(role="assistant", content="Yes")])
        yield server


def answers(client: httpx.Client) -> Mapping[str, tuple[int, str, Mapping[str, str]]]:
    """Return what the confined are answered, without what moves by itself."""
    given = {path: client.get(path) for path in READS}
    given |= {f"{how} {path} {json.dumps(body)}": client.request(how, path, json=body) for how, path, body in WRITES}
    return {
        name: (
            answer.status_code,
            _MOVES.sub("", answer.text),
            {header: value for header, value in answer.headers.items() if header not in _HEADERS},
        )
        for name, answer in given.items()
    }


def test_answers_stay_whatever_happens_outside(own_server: Server) -> None:
    """Bodies, statuses, counts, cursors and headers are the same before, while and after others have sessions there."""
    secret, _ = own_server.tokens.create("confined", scopes=("read", "write", "delete"), prefix="own:")
    with own_server.client(secret) as client:
        before = answers(client)
        for number in range(30):
            texts = ("zebra unicorn zest zeppelin", f"{number}", "where is the zebra")
            said = [Draft(role="user", content=text) for text in texts]
            own_server.sessions.append(f"other:{number}", [*said, Draft(role="user", content="x", id="m1")])
        own_server.sessions.rename(_OUTSIDE, "Zebra")
        during = answers(client)
        own_server.sessions.delete_all([f"other:{number}" for number in range(30)])
        after = answers(client)
    assert before == during
    assert before == after
    assert {200, 403, 404, 422} <= {status for status, _, _ in before.values()}


@pytest.mark.parametrize("code", ["unauthorized", "rate_limited", "unknown_host", "forbidden"])
def test_every_refusal_is_counted(server: Server, client: httpx.Client, code: str) -> None:
    """What is turned away shows in the metrics, with its status: guesses, floods, wrong names, lacking scopes."""

    def counted() -> float:
        wanted = {"unauthorized": "401", "rate_limited": "429", "unknown_host": "421", "forbidden": "403"}[code]
        lines = client.get("/metrics").text.splitlines()
        answered = (line for line in lines if line.startswith("chatkeep_http_requests_total{"))
        return sum(float(line.rpartition(" ")[2]) for line in answered if f'status="{wanted}"' in line)

    before = counted()
    for _ in range(3):
        refused(server, code)
    assert before + 3 == counted()


def refused(server: Server, code: str) -> None:
    """Be refused in one way."""
    if code == "unauthorized":
        answer = httpx.get(f"{server.url}/metrics", headers={"Authorization": "Bearer wrong"})
    elif code == "unknown_host":
        answer = httpx.get(f"{server.url}/health", headers={"Host": "evil.example"})
    else:
        with server.client(server.tokens.create(scopes=("write",), rate=1)[0]) as limited:
            answer = limited.get("/api/sessions") if code == "forbidden" else limited.get("/docs")
            while code == "rate_limited" and answer.status_code != 429:
                answer = limited.get("/api/v1/nope")
    assert code == answer.json()["code"]
