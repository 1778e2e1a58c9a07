"""From an admitted request to its handler: the table by path and method, and parameters read once for each query.

Starlette tries the routes one after the other, within two layers for errors. Here a path without parameters is one
look-up, and errors leave by `http.gate.problems`. The table alone says which routes exist: the first route that
matches path and method answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Final, NamedTuple

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.routing import Route as Path
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from chatkeep.errors import ChatkeepError, InvalidError, InvalidRequestError, MethodError, NotFoundError
from chatkeep.http.gate import problems
from chatkeep.http.gate.binding import KeptQueries
from chatkeep.http.openapi import Route, bound
from chatkeep.http.services import room_for_body

_HEAD: Final = "HEAD"
_METHODS: Final = ("GET", _HEAD, "POST", "PUT", "PATCH", "DELETE")


class Endpoint:
    """A route as an ASGI application: it checks the rule and the parameters, and runs the handler."""

    def __init__(self, route: Route) -> None:
        """Read the handler's parameters."""
        self.route = route
        self.pattern, self._template, _ = compile_path(route.path)
        self._queries = KeptQueries(bound(route), is_free=route.rule.passes_query)
        self._reserves = route.body is not None and not route.lasts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request.

        Raises:
            UnauthorizedError, ForbiddenError: when the rule forbids it.
            InvalidError: when the query has a parameter unknown to the route, or a value breaks a rule; on a route that
                answers as OpenAI does, InvalidRequestError.
        """
        if not self.route.as_openai:
            return await self._answer(scope, receive, send)
        try:
            await self._answer(scope, receive, send)
        except InvalidError as error:
            raise InvalidRequestError(error.field, error.reason, error.others) from error

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        state = scope["state"]
        state["route"] = self._template  # for the log and the metrics: URLs contain keys, templates do not
        grant = state.get("grant")
        self.route.rule.check(grant)
        values = self._queries.values(request, is_checked=grant is not None)  # public routes have no filters
        async with room_for_body(request) if self._reserves else nullcontext():
            response = await self.route.endpoint(**values)
            await response(scope, receive, send)


class KnownRoute(NamedTuple):
    """The route of a request, with the parts of its path."""

    endpoint: Endpoint
    parts: dict[str, str]


class Dispatch:
    """An ASGI application: it finds the route of each request, and answers the errors of the routes."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        """Take the routes, in the order of the table."""
        self._endpoints = endpoints
        self._by_method = {
            method: [one for one in endpoints if one.route.method == method]
            for method in {one.route.method for one in endpoints}
        }
        plain = {one.route.path for one in endpoints if "{" not in one.route.path}
        found = {(method, path): self._first(method, path) for path in plain for method in self._by_method}
        self._plain = {asked: known for asked, known in found.items() if known is not None}

    def found(self, method: str, path: str) -> KnownRoute | None:
        """Return the first route of the table that matches, None if there is none."""
        return self._plain.get((method, path)) or self._first(method, path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; an error of a begun answer passes on, as nothing can be said any more."""
        method, path = scope["method"], scope["path"]
        try:
            known = self.found(method, path)
            if known is None:
                allowed = self._allowed(path)
                raise MethodError(allowed) if allowed else NotFoundError
            scope["path_params"] = known.parts
            await known.endpoint(scope, receive, send)
        except ChatkeepError as error:
            if scope["state"]["has_begun"]:
                raise
            answer = problems.response(error, scope)
            error.__traceback__ = (
                None  # its frames have the body, and one of them the error: garbage until a collection
            )
            await answer(scope, receive, send)

    def _first(self, method: str, path: str) -> KnownRoute | None:
        for endpoint in self._by_method.get(method, ()):
            if match := endpoint.pattern.match(path):
                return KnownRoute(endpoint, match.groupdict())
        return None

    def _allowed(self, path: str) -> tuple[str, ...]:
        """Return all methods of the resource at a path: those of the first template that matches it."""
        template = next((one.route.path for one in self._endpoints if one.pattern.match(path)), None)
        found = {one.route.method for one in self._endpoints if one.route.path == template}
        if "GET" in found:
            found.add(_HEAD)
        return tuple(method for method in _METHODS if method in found)


class ThinApplication(Starlette):
    """Starlette's list of routes, state and life; each request passes our layers alone."""

    def build_middleware_stack(self) -> ASGIApp:
        """Return the layers added to the application, the last one outermost, around the dispatch."""
        endpoints = [path.app for path in self.routes if isinstance(path, Path) and isinstance(path.app, Endpoint)]
        app: ASGIApp = _Lasting(Dispatch(endpoints), self.router)
        layer: Middleware
        for layer in reversed(self.user_middleware):
            app = layer.cls(app, *layer.args, **layer.kwargs)
        return app


class _Lasting:
    """Passes requests to the dispatch, and the life of the application to Starlette's router."""

    def __init__(self, dispatch: Dispatch, life: ASGIApp) -> None:
        self._dispatch = dispatch
        self._life = life

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._dispatch if scope["type"] == "http" else self._life)(scope, receive, send)
