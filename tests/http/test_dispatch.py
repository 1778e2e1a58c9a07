"""The way from a request to its handler: the table's first route answers, and nothing kept is old or another's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.routing import Match, Route

from chatkeep.core.model import Draft
from chatkeep.http.dispatch import Dispatch, Endpoint
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.files.store import FilesStore
from tests.http.conftest import Server

KEYS = ("cli:a", "search", "delete", "a/title", "x/y/z", "title", "models", "gpt:generateContent", "é b")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def routes_of(server: Server) -> list[Route]:
    """Return the routes of the application, in the order of the table."""
    return [route for route in server.app.routes if isinstance(route, Route)]


def paths_for(routes: list[Route]) -> list[str]:
    """Return paths for every template, and some that belong to none."""
    found = {"/nothing", "/api", "/api/v1", "//", "/health/", "/v1", "/api/sessions/", "/api/v1/sessions/"}
    for route in routes:
        begin, mark, rest = route.path.partition("{")
        found.update([begin + key + rest.partition("}")[2] for key in KEYS] if mark else [begin])
    return sorted(found)


def test_dispatch_as_the_table_says(server: Server) -> None:
    """For every path and method the same line of the table answers as by trying them from its top."""
    routes = routes_of(server)
    endpoints = [route.app for route in routes if isinstance(route.app, Endpoint)]
    dispatch = Dispatch(endpoints)
    assert len(endpoints) == len(routes)
    for path in paths_for(routes):
        for method in METHODS:
            scope = {"type": "http", "method": method, "path": path, "root_path": ""}
            tried = next((route for route in routes if route.matches(scope)[0] is Match.FULL), None)
            known = dispatch.found(method, path)
            assert (None if known is None else known.endpoint) is (None if tried is None else tried.app), path
            if tried is not None and known is not None:
                assert tried.matches(scope)[1]["path_params"] == known.parts


def test_repeat_reads_of_confined_tokens(server: Server) -> None:
    """Tokens that ask the same in turn get their own sessions each, however often: nothing kept is another's."""
    secrets = [server.secret]
    for name in ("north", "south"):
        secrets.append(server.tokens.create(name, prefix=f"dispatch-{name}:")[0])
        server.sessions.append(f"dispatch-{name}:1", [Draft(role="user", content=f"a lighthouse in the {name}")])
    asked = (
        "/api/sessions?limit=50",
        "/api/v1/sessions?prefix=dispatch-",
        "/api/sessions/search?q=lighthouse",
        "/api/memory/session?id=dispatch-north:1",
        "/api/v1/messages?session=dispatch-north:1",
        "/api/sessions/dispatch-north:1",
        "/api/v1/sessions/dispatch-north:1",
    )
    admin, north, south = (server.client(secret) for secret in secrets)
    for path in asked * 3:
        answers = [client.get(path).text for client in (admin, north, south)]
        assert [True, True, False] == ["north:1" in text or "the north" in text for text in answers], path
        assert "the south" not in answers[1], path
    for client in (admin, north, south):
        client.close()


def test_read_what_another_process_stored(server: Server) -> None:
    """What another opener of the workspace has stored is in the next list, history, detail and search."""
    key = "dispatch:fresh"
    asked: dict[str, Callable[[Any], int]] = {
        f"/api/memory/session?id={key}&limit=500": len,
        f"/api/sessions?prefix={key}": lambda found: found["sessions"][0]["message_count"],
        f"/api/sessions/{key}": lambda found: found["message_count"],
        f"/api/v1/sessions/{key}": lambda found: found["total_message_count"],
        f"/api/sessions/search?q=quokka&session={key}&unit=message": lambda found: len(found["sessions"]),
    }
    other = FilesStore.open(server.workspace, durability="none")
    there = Sessions(other)
    with server.client() as client:
        for count in range(1, 6):
            there.append(key, [Draft(role="user", content=f"quokka {count}")])
            for _ in range(2):  # the second answer may be a kept one
                for path, counted in asked.items():
                    assert count == counted(client.get(path).json()), path
    other.close()
