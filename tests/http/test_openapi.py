"""The examples in the description of the API: every route has one, it keeps its schema, and a server answers it so."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest

from chatkeep.access.page_sessions import SignInCode
from chatkeep.access.tokens import TokenFile
from chatkeep.core.sse import EVENT_STREAM_TYPE
from chatkeep.core.usage.spending import CallPrice
from chatkeep.http.app import create_app
from chatkeep.http.gate.guard import UNLIMITED, Guard
from chatkeep.http.gate.limits import Limits
from chatkeep.http.gate.rules import JSON_TYPE
from chatkeep.http.openapi import Example, Route, examples
from chatkeep.http.routes.page import edition
from chatkeep.http.services import services_of
from chatkeep.http.streams.relay import Relay
from chatkeep.http.streams.upstreams import Upstreams
from chatkeep.http.table import ROUTES
from chatkeep.model.chat import Chats
from chatkeep.model.upstream import Upstream as Asked
from chatkeep.sessions.confinement import Confinement
from chatkeep.sessions.people_file import PeopleFile
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.files.store import FilesStore
from chatkeep.store.memory import MemoryStore
from tests.chat.completions import Answer
from tests.chat.conftest import MODEL_KEY, settings_of
from tests.chat.upstream import Upstream
from tests.http.listening import listening

AT = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)
FORMATS = {"application/json": "json", "application/jsonl": "jsonl", "text/markdown": "md"}
OF_THE_MOMENT = ("version", "uptime_seconds", "size_bytes")
ANSWERS = (Answer("101 is prime."), Answer("103."), Answer("Hello!"), Answer("Hello!"))
RECORDED = ("complete_chat", "create_message", "create_response")
STREAMED = ("stream_content", "stream_beta_content")
ROUTE_OF = {route.name: route for route in ROUTES}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The description of the API."""
    guard = Guard(TokenFile(Path("tokens.json")), Limits(None), hosts={"127.0.0.1"})
    app = create_app(Sessions(MemoryStore()), guard)
    told: dict[str, Any] = json.loads(services_of(app).description.document)
    return told


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_describe_every_route_with_an_example(document: dict[str, Any], route: Route) -> None:
    """A route shows an answer, a body if it takes one, and a value for each parameter it must have."""
    operation = operation_of(document, route)
    good = operation["responses"][str(route.answer.statuses[-1])]["content"]
    assert any("example" in content for content in good.values())
    assert all("example" in content for content in operation.get("requestBody", {}).get("content", {}).values())
    assert all("example" in one for one in operation.get("parameters", ()) if one["required"])


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_describe_every_route_and_parameter_in_words(document: dict[str, Any], route: Route) -> None:
    """A reader of the document alone learns from a sentence each what they do."""
    operation = operation_of(document, route)
    assert len(operation["summary"].split()) > 1
    said = {one["name"]: one.get("description", "") for one in operation["parameters"]}
    assert {} == {name: words for name, words in said.items() if not re.fullmatch(r"\S+ \S+ .*\.", words)}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_show_examples_valid_by_their_schemas(document: dict[str, Any], route: Route) -> None:
    """Parameters, bodies, answers and the data of events keep the schemas beside them."""
    operation = operation_of(document, route)
    holders = [*operation.get("parameters", ()), *operation.get("requestBody", {}).get("content", {}).values()]
    holders += [content for answer in operation["responses"].values() for content in answer["content"].values()]
    shown = [holder for holder in holders if "example" in holder]
    assert shown
    for holder in shown:
        check(document, holder["schema"], holder["example"])
        for name, data in events_of(holder["example"]) if "x-events" in holder["schema"] else ():
            check(document, holder["schema"]["x-events"][name], data)


def test_name_only_parameters_and_types_of_the_route(document: dict[str, Any]) -> None:
    """An example of a route that is gone, or of a parameter or a media type that it has not, is a mistake."""
    shown = examples()
    assert set(ROUTE_OF) == set(shown)
    for name, example in shown.items():
        operation = operation_of(document, ROUTE_OF[name])
        assert set(example.parameters) <= {one["name"] for one in operation.get("parameters", ())}
        assert set(example.answers) <= set(ROUTE_OF[name].answer.media_types)


def test_answer_the_examples_as_shown(tmp_path: Path) -> None:
    """A new server that gets the requests, from first to last, answers each with the example's answer."""
    with telling(tmp_path) as story:
        for name, example in examples().items():
            assert story.shown(example.answers) == story.told(name, example), name


def operation_of(document: dict[str, Any], route: Route) -> dict[str, Any]:
    """Return the description of a route."""
    found: dict[str, Any] = document["paths"][route.path.replace(":path", "")][route.method.lower()]
    return found


def check(document: dict[str, Any], schema: dict[str, Any], value: Any) -> None:  # noqa: ANN401 - any JSON
    """Check a value against a schema of the document."""
    jsonschema_rs.validator_for({**schema, "components": document["components"]}).validate(value)


def events_of(text: str) -> Iterator[tuple[str, Any]]:
    """Yield the names and the data of a stream of events."""
    for event in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in event.splitlines())
        yield fields["event"], json.loads(fields["data"])


class Flat:
    """A table with one price for all tokens of known models."""

    name: str | None = "genai-prices 0.2.3"

    def prices(self, model: str, day: date) -> tuple[CallPrice, ...]:  # noqa: ARG002 - as a table has it
        """Return a price, none for a model of our own."""
        if model == "small-model":
            return ()
        return (CallPrice(above=-1, up_to=1 << 30, input=1e-6, cached=1e-6, cache_write=1e-6, output=1e-6),)


class Story:
    """A new server, which gets the requests of the examples one after the other."""

    def __init__(self, code: SignInCode, client: httpx.Client) -> None:
        """Take the code to sign in with, and a client."""
        self._client = client
        self._in_place_of = {"edition": edition().name, "code": code.unspent or ""}

    def told(self, name: str, example: Example) -> dict[str, Any]:
        """Return the answers to a request, in each media type of the example, without what is of the moment."""
        return self.shown({media_type: self.answer(name, example, media_type) for media_type in example.answers})

    def shown(self, answers: dict[str, Any]) -> dict[str, Any]:
        """Return answers without what is of the moment."""
        return {media_type: lasting(answer) for media_type, answer in answers.items()}

    def answer(self, name: str, example: Example, media_type: str) -> Any:  # noqa: ANN401 - any JSON, or text
        """Return the answer of the server in a media type; of a long text, the lines that the example shows."""
        route = ROUTE_OF[name]
        parameters = self._really(example.parameters)
        body: Any = self._really(example.body) if route.body else None
        if name == "get_blob":
            self._attach()
        if name == "export_sessions":
            parameters["format"] = FORMATS[media_type]
        if name in RECORDED:
            body["stream"] = media_type == EVENT_STREAM_TYPE
        if name in STREAMED:
            parameters["alt"] = "sse" if media_type == EVENT_STREAM_TYPE else "json"
        path, query, headers = placed(route, parameters)
        request = self._client.build_request(route.method, path, params=query, headers=headers, json=body)
        if name == "follow_events":
            return self._overheard(request)
        response = self._client.send(request)
        if name == "get_blob":
            self._client.delete("/api/v1/sessions/app:notes")
        assert route.answer.statuses[-1] == response.status_code, response.text
        assert media_type == response.headers["content-type"].partition(";")[0]
        if media_type == JSON_TYPE:
            return part_of(response.json(), example.answers[media_type]) if name == "get_openapi" else response.json()
        if route.answer.events or name in (*RECORDED, "export_sessions"):
            return response.text
        return "\n".join(line for line in example.answers[media_type].splitlines() if line in response.text)

    def _really(self, values: Any) -> Any:  # noqa: ANN401 - any JSON
        if not isinstance(values, dict):
            return values
        return {name: self._in_place_of.get(name, value) for name, value in values.items()}

    def _attach(self) -> None:
        """Store the attachment of the example; its session is in no other one."""
        notes = b64encode(b"Is 97 a prime number?\n" * 200).decode()
        part = {"type": "file", "file": {"filename": "notes.txt", "file_data": f"data:text/plain;base64,{notes}"}}
        said = {"role": "user", "content": [part], "id": "notes"}
        self._client.post("/api/v1/messages", params={"session": "app:notes"}, json=said)

    def _overheard(self, request: httpx.Request) -> str:
        """Return the first events of the feed: it begins, and then a session gets a title."""
        response = self._client.send(request, stream=True)
        lines = response.iter_lines()
        text = ""
        while text.count("\n\n") < 2:
            if text.count("\n\n") == 1 and text.endswith("\n\n"):
                self._client.post("/api/sessions/app:greeting/title", json={"title": "A greeting"})
            line = next(lines)
            text += "" if line.startswith(":") else f"{line}\n"
        response.close()
        return text


def placed(route: Route, parameters: dict[str, Any]) -> tuple[str, dict[str, Any], dict[str, str]]:
    """Return the path, the query and the headers of a request with these parameters."""
    inside = {name: parameters[name] for name in re.findall(r"{(\w+)", route.path)}
    path = route.path.replace(":path", "").format(**inside)
    headers = {name: value for name, value in parameters.items() if name.startswith("X-")}
    return path, {name: value for name, value in parameters.items() if name not in {*inside, *headers}}, headers


def part_of(answer: Any, example: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return the part of an answer that an example shows."""
    if isinstance(example, dict) and isinstance(answer, dict):
        return {name: part_of(answer[name], value) for name, value in example.items() if name in answer}
    return answer


def lasting(answer: Any) -> Any:  # noqa: ANN401 - any JSON, or text
    """Return an answer without what is another elsewhere: versions, ages, positions, and the blocks of a disk."""
    if isinstance(answer, str):
        return "\n".join(line for line in answer.splitlines() if not line.startswith("id: "))
    if isinstance(answer, dict):
        passing = {*OF_THE_MOMENT, "id", "deleted_at"} if "deleted_at" in answer else OF_THE_MOMENT
        return {name: lasting(value) for name, value in answer.items() if name not in passing}
    return [lasting(value) for value in answer] if isinstance(answer, list) else answer


@contextmanager
def telling(folder: Path) -> Iterator[Story]:
    """Run a new server, whose clock stands and whose ids count, before a model that says what is scripted."""
    path = folder / "tokens.json"
    secret, token = TokenFile(path, now=lambda: AT).create("admin", scopes=("admin",))
    path.write_text(path.read_text("utf-8").replace(token.id, "3f9a1c02b7d5"), "utf-8")
    tokens = TokenFile(path)
    store = FilesStore.open(folder / "workspace", durability="none")
    numbers = count(1)
    reach = Confinement(people=PeopleFile(folder))
    sessions = Sessions(store, now=lambda: AT, new_id=lambda _: f"01JHKZ8V1R{next(numbers):016}", reach=reach)
    limits, code = Limits(None), SignInCode()
    guard = Guard(tokens, limits, hosts={"127.0.0.1"}, rates=UNLIMITED)
    with Upstream(key=MODEL_KEY) as upstream:
        upstream.script(*ANSWERS)
        chats = Chats(Asked(settings_of(upstream)), history_tokens=8000)
        ways = Upstreams(Relay(settings_of(upstream)), lacks_state=True)
        app = create_app(sessions, guard, chats=chats, relay=ways, code=code)
        services_of(app).prices = Flat()
        headers = {"Authorization": f"Bearer {secret}", "Sec-Fetch-Site": "same-origin"}
        with (
            listening(app, access_log=False, lifespan="on") as port,
            httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30) as client,
        ):
            yield Story(code, client)
    limits.close()
    store.close()
