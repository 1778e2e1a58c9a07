"""What holds for every route: rules, problems, headers, methods."""

from __future__ import annotations

import json
import logging
import re
import time
from typing import TYPE_CHECKING

import httpx
import pytest
from starlette.routing import Route as Path

from chatkeep.http.dispatch import Endpoint
from chatkeep.http.gate.guard import SIGN_IN_PATH, is_public
from chatkeep.http.gate.rules import PUBLIC, SIGN_IN, Rule
from chatkeep.http.openai_table import KEPT_RESPONSES
from chatkeep.http.services import services_of
from chatkeep.http.table import ROUTES

if TYPE_CHECKING:
    from tests.http.conftest import Server

PAGES = [
    "/health",
    "/openapi.json",
    "/docs",
    "/metrics",
    "/api/sessions",
    "/api/v1/sessions",
    "/api/v1/status",
    "/api/v1/stats",
    "/api/v1/usage",
    "/api/v1/export",
    "/api/sessions/search?q=x",
]


def test_every_route_has_a_rule(server: Server) -> None:
    """A route that is not in the table, or has no rule, does not exist."""
    rules = {
        (path.path, path.app.route.method): path.app.route.rule
        for path in server.app.routes
        if isinstance(path, Path) and isinstance(path.app, Endpoint)
    }
    served = [route for route in ROUTES if route not in KEPT_RESPONSES]  # no setting keeps responses here
    assert len(rules) == len(server.app.routes) == len(served)
    assert {(route.path, route.method): route.rule for route in served} == rules
    assert all(isinstance(rule, Rule) for rule in rules.values())


def test_only_public_paths_have_the_public_rule() -> None:
    """What the guard lets in without a token is what the table calls public."""
    assert [route.path for route in ROUTES if route.rule is PUBLIC] == [
        route.path for route in ROUTES if is_public(route.path)
    ]
    assert {route.path for route in ROUTES if route.rule is SIGN_IN} == {SIGN_IN_PATH}


def test_asking_without_a_token_is_refused_everywhere_else(server: Server) -> None:
    """401 with the challenge, whatever else is wrong with the request."""
    for route in ROUTES:
        if route.rule in (PUBLIC, SIGN_IN):
            continue
        path = re.sub(r"{.*?}", "x", route.path)
        answer = httpx.request(route.method, server.url + path)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer"), route
        assert answer.json()["code"] == "unauthorized"


@pytest.mark.parametrize("path", PAGES)
def test_head_answers_the_headers_of_get_without_a_body(path: str, client: httpx.Client) -> None:
    """HEAD works wherever GET does."""
    get, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert head.headers["content-type"] == get.headers["content-type"]


@pytest.mark.parametrize(
    "method,path,allowed",
    [
        ("PUT", "/api/sessions", "GET, HEAD"),
        ("PUT", "/api/v1/sessions/a/b", "GET, HEAD, PATCH, DELETE"),
        ("PATCH", "/api/v1/messages", "GET, HEAD, POST, PUT, DELETE"),
        ("HEAD", "/api/v1/import", "POST"),
        ("OPTIONS", "/api/sessions/search", "GET, HEAD"),
    ],
)
def test_unknown_method_names_those_that_exist(method: str, path: str, allowed: str, client: httpx.Client) -> None:
    """405 with all methods of the resource in Allow."""
    answer = client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize(
    "path", ["/nope", "/index.html", "/api", "/api/sessions/", "/api/v1/sessions/", "/api/v1/status/"]
)
def test_unknown_address_is_a_problem(path: str, client: httpx.Client) -> None:
    """404 as problem+json, and no redirect to a spelling with or without a slash."""
    answer = client.get(path)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == answer.status_code == 404


def test_every_answer_has_safe_headers(client: httpx.Client) -> None:
    """Good answers, refusals and unknown addresses alike."""
    for path in (*PAGES, "/nope", "/api/memory/session"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert re.fullmatch(r"[0-9a-f]{12}", headers["x-request-id"])


def test_request_id_of_the_client_comes_back_if_it_is_safe(client: httpx.Client) -> None:
    """An id is echoed; one that could break a log line is replaced."""
    assert client.get("/health", headers={"X-Request-ID": "abc-1"}).headers["x-request-id"] == "abc-1"
    assert client.get("/health", headers={"X-Request-ID": 'a"b c'}).headers["x-request-id"] != 'a"b c'


def test_invalid_value_names_the_field(client: httpx.Client) -> None:
    """422 with the field, a message and a type for each value."""
    problem = client.get("/api/sessions", params={"limit": 0, "archived": "maybe"}).json()
    assert {flaw["field"] for flaw in problem["errors"]} == {"limit", "archived"}
    assert all(flaw["message"] and flaw["type"] for flaw in problem["errors"])


def test_unforeseen_failure_says_nothing_of_its_cause(
    server: Server, client: httpx.Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """500 without the cause; the log has the place and the request's id, but no message that may quote content."""
    secret = "what a session says".replace(" ", "-")

    def break_down() -> bytes:
        raise RuntimeError(secret)

    monkeypatch.setattr(services_of(server.app).metrics, "exposition", break_down)
    with caplog.at_level(logging.ERROR):
        answer = client.get("/metrics")
    assert (answer.status_code, answer.json()["code"]) == (500, "failed")
    assert answer.headers["x-request-id"] in caplog.text
    assert "break_down" in caplog.text
    assert secret not in answer.text + caplog.text


def test_log_has_one_line_per_request_and_nothing_private(
    client: httpx.Client, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """Route templates are logged; keys, queries and tokens are not."""
    with caplog.at_level(logging.INFO, logger="chatkeep.access"):
        client.get("/api/v1/sessions/private-key%0Aforged")
        client.get("/api/sessions/search?q=private-query&prefix=private-key")
        deadline = time.monotonic() + 5  # the line is written when the answer has been sent
        while len(caplog.records) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
    lines = [json.loads(record.getMessage()) for record in caplog.records if record.name == "chatkeep.access"]
    assert [(line["method"], line["route"], line["status"]) for line in lines] == [
        ("GET", "(none)", 422),
        ("GET", "/api/sessions/search", 200),
    ]
    assert not any(secret in caplog.text for secret in ("private", "forged", server.secret))


def test_metrics_count_requests_by_template(client: httpx.Client) -> None:
    """Prometheus reads requests by route template, and how much is stored."""
    client.get("/api/v1/sessions/not-in-the-metrics")
    text = client.get("/metrics").text
    assert 'chatkeep_http_requests_total{method="GET",route="/api/v1/sessions/{key}",status="404"}' in text
    assert re.search(r"^chatkeep_sessions \d", text, re.MULTILINE)
    assert re.search(r"^chatkeep_messages \d", text, re.MULTILINE)
    assert "not-in-the-metrics" not in text


def test_docs_page_needs_nothing_from_afar(client: httpx.Client) -> None:
    """The page has every route, no script, and no address of another server."""
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert not re.search(r"<script|https?://|src=", page.text)
    for route in ROUTES:
        assert f"{route.method} {route.path.replace(':path', '')}" in page.text


def test_openapi_document_has_every_route_and_its_answers(client: httpx.Client) -> None:
    """OpenAPI 3.1 with the shapes of answers and bodies, and the token where one is needed."""
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    for route in ROUTES:
        operation = document["paths"][route.path.replace(":path", "")][route.method.lower()]
        assert ("requestBody" in operation) == (route.body is not None)
        assert operation["security"] == ([] if route.rule in (PUBLIC, SIGN_IN) else [{"bearer": []}])
        assert set(map(str, route.answer.statuses)) <= set(operation["responses"])
