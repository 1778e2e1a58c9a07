"""The OpenAPI document: the parameters of the handlers, the schemas of `wire`, and an example for every route.

A route states all that is described here; nothing is concluded from its path. The sentence for a problem is the
first one of the docstring of its error.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from http import HTTPStatus
from importlib.resources import files
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct, UnsetType
from starlette.responses import Response
from starlette.routing import compile_path

import chatkeep
from chatkeep.core.model import Json, Message
from chatkeep.errors import ChatkeepError
from chatkeep.http.docs import Document
from chatkeep.http.gate.binding import Binding
from chatkeep.http.gate.problems import PROBLEM_TYPE
from chatkeep.http.gate.rules import JSON_TYPE, PUBLIC, SIGN_IN, Rule
from chatkeep.wire import bodies
from chatkeep.wire.answers import status_of
from chatkeep.wire.errors import Problem

Problems = tuple[type[ChatkeepError], ...]
"""The errors that a route may answer; each has its status in `wire.answers.STATUS`."""

_REF: Final = "#/components/schemas/{name}"
_BEARER: Final[Document] = {"type": "http", "scheme": "bearer"}
_EXAMPLES: Final = "examples.json"
_TEXT: Final = "text/"
_ABOUT: Final = (
    "A session has a key, such as `cli:notes`, and messages numbered from 1 (`seq`). "
    "Every request needs a token: `chatkeep token create` makes one. "
    "Errors are `application/problem+json` with a `code`; the description of a status lists the codes."
)
_DONE: Final = {
    HTTPStatus.OK: "Done.",
    HTTPStatus.CREATED: "Stored.",
    HTTPStatus.ACCEPTED: "Taken; there is nothing to answer.",
    HTTPStatus.PARTIAL_CONTENT: "The asked range.",
}


class RouteAnswer(Struct, frozen=True):
    """The answer of a route to a good request: a type of JSON, or another media type."""

    kind: Any = None
    statuses: tuple[int, ...] = (200,)
    media_types: tuple[str, ...] = (JSON_TYPE,)
    events: Mapping[str, Any] = {}
    """The types of the data of an answer's events, by the names of these."""
    has_shapes: bool = False
    """Whether a parameter may ask for another object in place of the usual one."""


class Body(Struct, frozen=True):
    """The body of a route: a type of JSON, or any JSON."""

    kind: Any = None


class Route(Struct, frozen=True):
    """One line of the table."""

    method: str
    path: str
    rule: Rule
    endpoint: Callable[..., Coroutine[Any, Any, Response]]
    answer: RouteAnswer
    problems: Problems
    body: Body | None = None
    lasts: bool = False
    """The handler waits for the model's server, so it reserves and releases the memory of its body itself."""
    named: str = ""
    """The name of the route, where its handler has several."""
    as_openai: bool = False
    """The route answers as OpenAI does: a value against a rule is 400 there."""

    @property
    def name(self) -> str:
        """The id of the operation: the name of the handler, unless the route has its own."""
        return self.named or self.endpoint.__name__

    @property
    def kinds(self) -> Iterator[Any]:
        """The types of JSON in the request and the answers."""
        told = (self.answer.kind, *self.answer.events.values(), self.body and self.body.kind)
        return (kind for kind in told if kind)


class Example(Struct, frozen=True, forbid_unknown_fields=True):
    """A good request to a route, and the answer in each of its media types."""

    answers: dict[str, Json]
    parameters: dict[str, Json] = {}
    body: Json | UnsetType = UNSET


def examples() -> dict[str, Example]:
    """Return an example for every route, by its name."""
    data = (files("chatkeep.http") / _EXAMPLES).read_bytes()
    return msgspec.json.decode(data, type=dict[str, Example])


def bound(route: Route) -> Binding:
    """Return the parameters of a route's handler."""
    return Binding(route.endpoint, tuple(compile_path(route.path)[2]))


def described(routes: Sequence[Route]) -> Document:
    """Return the OpenAPI document of these routes."""
    paths: Document = {}
    shown = examples()
    for route in routes:
        operation = _operation(route)
        _show(shown[route.name], route, operation)
        paths.setdefault(compile_path(route.path)[1], {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Chatkeep",
            "summary": "Keeps the conversations of AI agents.",
            "description": _ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
            "version": chatkeep.__version__,
        },
        "paths": paths,
        "components": {
            "schemas": dict(sorted(_components(routes).items())),
            "securitySchemes": {"bearer": _BEARER},
        },
    }


def _operation(route: Route) -> Document:
    description = inspect.getdoc(route.endpoint) or ""
    told: Document = {
        "operationId": route.name,
        "summary": description.partition("\n")[0].partition(". ")[0].rstrip("."),
        "description": description,
        "parameters": [given.described for given in bound(route).parameters],
        "responses": _responses(route.answer, route.problems),
        "security": [] if route.rule in (PUBLIC, SIGN_IN) else [{"bearer": []}],
    }
    if route.body is not None:
        schema = _schema(route.body.kind) if route.body.kind else {}
        told["requestBody"] = {"required": True, "content": {JSON_TYPE: {"schema": schema}}}
    return told


def _responses(answer: RouteAnswer, problems: Problems) -> Document:
    """Return all answers of a route by their statuses, errors included."""
    problem = {PROBLEM_TYPE: {"schema": _schema(Problem)}}
    good = {media_type: {"schema": _answer_schema(answer, media_type)} for media_type in answer.media_types}
    causes: dict[int, list[str]] = {}
    for error in problems:
        causes.setdefault(status_of(error), []).append(_cause(error))
    return {
        **{f"{one}": {"description": _DONE[HTTPStatus(one)], "content": dict(good)} for one in answer.statuses},
        **{f"{status}": {"description": " ".join(causes[status]), "content": problem} for status in sorted(causes)},
    }


def _show(example: Example, route: Route, operation: Document) -> None:
    """Put an example into the description of a route."""
    for parameter in operation.get("parameters", ()):
        if parameter["name"] in example.parameters:
            parameter["example"] = example.parameters[parameter["name"]]
    if example.body is not UNSET:
        operation["requestBody"]["content"][JSON_TYPE]["example"] = example.body
    contents = operation["responses"][str(route.answer.statuses[-1])]["content"]
    for media_type, answer in example.answers.items():
        contents[media_type] = {**contents[media_type], "example": answer}


def _cause(error: type[ChatkeepError]) -> str:
    """Return an error in words: its code, and the first sentence about it."""
    sentence = (error.__doc__ or "").partition("\n")[0].partition(". ")[0].rstrip(".")
    return f"`{error.code}`: {sentence}."


def _answer_schema(answer: RouteAnswer, media_type: str) -> Document:
    if answer.events:
        return {"type": "string", "x-events": {name: _schema(kind) for name, kind in answer.events.items()}}
    if media_type.startswith(_TEXT):
        return {"type": "string"}
    usual = _schema(answer.kind) if answer.kind else {}
    return {"anyOf": [usual, {"type": "object"}]} if answer.has_shapes else usual


def _schema(kind: object) -> Document:
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=_REF)
    return schema


def _components(routes: Sequence[Route]) -> Document:
    kinds = [kind for route in routes for kind in route.kinds]
    _, components = msgspec.json.schema_components([*kinds, Problem], ref_template=_REF)
    for name, rules in bodies.RULES.items():
        components[name].update(rules)
    if message := components.get(Message.__name__):  # unknown fields come back beside the known ones
        del message["properties"][""]
        message["additionalProperties"] = True
    return components
