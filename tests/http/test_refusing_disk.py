"""Every route where the disk takes no writes: what can be read is answered, what is refused says why."""

from __future__ import annotations

import tempfile
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Literal

import httpx
import msgspec
import pytest
from msgspec import Struct

from chatkeep.access.tokens import TokenFile
from chatkeep.core.history.state.conversation_ids import conversation_id
from chatkeep.core.model import Json
from chatkeep.http.app import create_app
from chatkeep.http.gate.guard import Guard, Rates
from chatkeep.http.gate.limits import Limits
from chatkeep.http.table import ROUTES
from chatkeep.model.chat import Chats
from chatkeep.model.upstream import ModelSettings, Upstream
from chatkeep.sessions.confinement import Confinement
from chatkeep.sessions.people_file import PeopleFile
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.files.store import FilesStore
from chatkeep.testing import draft, talk
from tests.disks import SmallDisk, in_an_image, in_memory, taking_no_writes
from tests.http.listening import listening
from tests.model.telemetry.told import agent_event, logs, traces

OURS = {"Sec-Fetch-Site": "same-origin"}
KEYS = [f"api:{number}" for number in range(6)]
CODES = {"full": "storage_full", "read-only": "storage_read_only", "failed": "storage_read_only"}
DENIED = "storage_denied"
_FREE = Rates(address=10_000, token=10_000, model=10_000)
_SESSION = {"session": KEYS[0]}
_LARGE = "x" * 10_000
_NOTES = b"notes of a lesson" * 300
CONVERSATION = f"/v1/conversations/{conversation_id(KEYS[0])}"
ITEM = "msg_id-1"
_EXPORT: Json = [{"key": "other:1", "messages": [{"role": "user", "content": "x", "timestamp": 1700000000}]}]


class Case(Struct, frozen=True):
    """A request, and what is to come of it: an answer as before, an answer, a refusal, or one but on a full disk."""

    kind: Literal["same", "reads", "writes", "makes room", "elsewhere"]
    path: str = ""
    query: dict[str, str] = {}
    body: Json = None


# A route that is not here fails the test below: say what is to become of it
CASES: dict[tuple[str, str], Case] = {
    ("GET", "/api/sessions"): Case("same"),
    ("GET", "/api/sessions/search"): Case("same", query={"q": "line"}),
    ("GET", "/api/memory/session"): Case("same", query={"id": KEYS[0]}),
    ("POST", "/api/sessions/{id:path}/title"): Case("writes", f"/api/sessions/{KEYS[0]}/title", body={"title": "New"}),
    ("GET", "/api/sessions/{id:path}"): Case("same", f"/api/sessions/{KEYS[0]}"),
    ("DELETE", "/api/sessions/{id:path}"): Case("makes room", f"/api/sessions/{KEYS[5]}"),
    ("GET", "/api/v1/sessions"): Case("same"),
    ("POST", "/api/v1/sessions/delete"): Case("makes room", body={"keys": [KEYS[4]], "dry_run": False}),
    ("GET", "/api/v1/sessions/{key:path}"): Case("reads", f"/api/v1/sessions/{KEYS[0]}"),
    ("DELETE", "/api/v1/sessions/{key:path}"): Case("makes room", f"/api/v1/sessions/{KEYS[3]}"),
    ("PATCH", "/api/v1/sessions/{key:path}"): Case("writes", f"/api/v1/sessions/{KEYS[0]}", body={"pinned": True}),
    ("GET", "/api/v1/messages"): Case("same", query=_SESSION),
    ("POST", "/api/v1/messages"): Case("writes", query=_SESSION, body={"role": "user", "content": _LARGE}),
    ("PUT", "/api/v1/messages"): Case("writes", query=_SESSION, body=[{"role": "user", "content": _LARGE}]),
    ("DELETE", "/api/v1/messages"): Case("makes room", query={"session": KEYS[1], "last": "1"}),  # fits a reserve
    ("POST", "/api/v1/sessions"): Case("writes", body={"key": "other:2"}),
    ("POST", "/api/v1/fork"): Case("writes", body={"session": KEYS[0], "key": "other:3"}),
    ("POST", "/api/v1/compact"): Case("writes", body={"keys": [KEYS[0]]}),
    ("GET", "/api/v1/trash"): Case("reads"),
    ("POST", "/api/v1/trash/restore"): Case("writes", body={"key": "gone:1"}),
    ("POST", "/api/v1/trash/purge"): Case("makes room", body={"keys": ["gone:2"]}),
    ("GET", "/api/v1/people"): Case("same"),
    ("POST", "/api/v1/people/link"): Case("writes", body={"person": "bob", "keys": [KEYS[0]]}),
    ("POST", "/api/v1/people/unlink"): Case("writes", body={"keys": ["old:1"]}),
    ("GET", "/api/v1/people/history"): Case("same", query={"person": "alice"}),
    ("GET", "/api/v1/token"): Case("reads"),
    ("POST", "/mcp"): Case("same", body={"jsonrpc": "2.0", "id": 1, "method": "tools/list"}),
    ("GET", "/api/v1/export"): Case("same"),
    ("POST", "/api/v1/import"): Case("writes", body=_EXPORT),
    ("POST", "/api/v1/chat"): Case("writes", body={"message": _LARGE, "session_key": KEYS[0]}),
    ("POST", "/api/v1/chat/stream"): Case("writes", body={"message": _LARGE, "session_key": KEYS[0]}),
    ("GET", "/v1/conversations"): Case("same"),
    ("POST", "/v1/conversations"): Case("writes", body={"metadata": {"x": "y"}}),
    ("GET", "/v1/conversations/{conversation_id}"): Case("reads", CONVERSATION),
    ("POST", "/v1/conversations/{conversation_id}"): Case("writes", CONVERSATION, body={"metadata": {"x": "y"}}),
    ("DELETE", "/v1/conversations/{conversation_id}"): Case(
        "makes room", f"/v1/conversations/{conversation_id(KEYS[2])}"
    ),
    ("GET", "/v1/conversations/{conversation_id}/items"): Case("same", f"{CONVERSATION}/items"),
    ("POST", "/v1/conversations/{conversation_id}/items"): Case(
        "writes", f"{CONVERSATION}/items", body={"items": [{"role": "user", "content": _LARGE}]}
    ),
    ("GET", "/v1/conversations/{conversation_id}/items/{item_id:path}"): Case("reads", f"{CONVERSATION}/items/{ITEM}"),
    ("DELETE", "/v1/conversations/{conversation_id}/items/{item_id:path}"): Case(
        "makes room", f"/v1/conversations/{conversation_id(KEYS[1])}/items/{ITEM}"
    ),
    ("GET", "/v1/responses/{response_id}"): Case("elsewhere", "/v1/responses/x"),
    ("DELETE", "/v1/responses/{response_id}"): Case("elsewhere", "/v1/responses/x"),
    ("GET", "/v1/responses/{response_id}/input_items"): Case("elsewhere", "/v1/responses/x/input_items"),
    ("POST", "/v1/responses/{response_id}/cancel"): Case("elsewhere", "/v1/responses/x/cancel"),
    ("POST", "/v1/chat/completions"): Case("elsewhere", body={"model": "m", "messages": []}),
    ("POST", "/v1/messages"): Case("elsewhere", body={"model": "m", "messages": []}),
    ("POST", "/v1/logs"): Case("writes", body=logs(agent_event("user_prompt", 1, {"prompt": "x"}))),
    ("POST", "/v1/traces"): Case("reads", body=traces()),
    ("POST", "/v1/responses"): Case("elsewhere", body={"model": "m", "input": "x"}),
    ("POST", "/v1/{model:path}:generateContent"): Case("elsewhere", "/v1/models/m:generateContent", body={}),
    ("POST", "/v1/{model:path}:streamGenerateContent"): Case(
        "elsewhere", "/v1/models/m:streamGenerateContent", body={}
    ),
    ("POST", "/v1beta/{model:path}:generateContent"): Case("elsewhere", "/v1beta/models/m:generateContent", body={}),
    ("POST", "/v1beta/{model:path}:streamGenerateContent"): Case(
        "elsewhere", "/v1beta/models/m:streamGenerateContent", body={}
    ),
    ("GET", "/v1beta/{path:path}"): Case("elsewhere", "/v1beta/models/m"),
    ("POST", "/v1beta/{path:path}"): Case("elsewhere", "/v1beta/models/m:countTokens", body={}),
    ("DELETE", "/v1beta/{path:path}"): Case("elsewhere", "/v1beta/cachedContents/x"),
    ("GET", "/v1/models"): Case("elsewhere"),
    ("GET", "/v1/{path:path}"): Case("elsewhere", "/v1/models/m"),
    ("POST", "/v1/{path:path}"): Case("elsewhere", "/v1/embeddings", body={}),
    ("DELETE", "/v1/{path:path}"): Case("elsewhere", "/v1/files/x"),
    ("GET", "/api/v1/blobs/{sha256}"): Case("same", f"/api/v1/blobs/{sha256(_NOTES).hexdigest()}"),
    ("GET", "/api/v1/events"): Case("reads"),
    ("GET", "/"): Case("reads"),
    ("GET", "/page/{edition}/{name:path}"): Case("elsewhere", "/page/x/y.js"),
    ("POST", "/signin"): Case("reads", body={"token": "{secret}"}),
    ("DELETE", "/signin"): Case("reads"),
    ("GET", "/api/v1/status"): Case("reads"),
    ("GET", "/api/v1/stats"): Case("same"),
    ("GET", "/api/v1/usage"): Case("same"),
    ("GET", "/metrics"): Case("reads"),
    ("GET", "/health"): Case("same"),
    ("GET", "/openapi.json"): Case("same"),
    ("GET", "/docs"): Case("same"),
}


def test_every_route_is_tried() -> None:
    """A new route says what becomes of it where the disk takes no writes."""
    assert {(route.method, route.path) for route in ROUTES} == set(CASES)


@pytest.mark.parametrize("state", ["full", "read-only", "foreign"])
def test_serve_where_nothing_can_be_written(state: str) -> None:
    """A server that starts in such a workspace answers what can be read, and tells why it refuses the rest."""
    with _disk() as disk:
        secret = _furnish(disk.workspace)
        with _served(disk.workspace) as url:
            before = _answers(url, secret)
        with taking_no_writes(state, disk.workspace), _served(disk.workspace) as url:
            assert [] == _faults(url, secret, before, CODES.get(state, DENIED), is_full=state == "full")


def test_serve_while_the_disk_fills() -> None:
    """A disk that fills under a server loses no answered append, and takes deletions."""
    with _disk() as disk:
        secret = _furnish(disk.workspace)
        with _served(disk.workspace) as url:
            disk.fill()
            last = {"role": "user", "content": "the last words"}
            assert 201 == _ask(url, secret, "POST", Case("writes", "/api/v1/messages", _SESSION, last)).status_code
            found = _ask(url, secret, "GET", Case("reads", "/api/sessions/search", {"q": '"the last words"'})).json()
            assert [(KEYS[0], 4)] == [(hit["id"], hit["seq"]) for hit in found["sessions"]]
            assert 4 == len(_ask(url, secret, "GET", Case("reads", "/api/memory/session", {"id": KEYS[0]})).json())
            listed = _ask(url, secret, "GET", Case("reads", "/api/sessions")).json()["sessions"]
            assert {KEYS[0]: 4} == {one["id"]: one["message_count"] for one in listed if one["message_count"] > 3}
            before = _answers(url, secret)
            assert [] == _faults(url, secret, before, "storage_full", is_full=True, again=disk.fill)
            disk.empty()
            new = Case("writes", "/api/v1/messages", {"session": "new:1"}, last)
            assert 201 == _ask(url, secret, "POST", new).status_code


def test_serve_while_the_disk_fails(tmp_path: Path) -> None:
    """A file system that goes over to read-only under a server is read as before."""
    with in_an_image(tmp_path / "disk", tmp_path / "image") as disk:
        secret = _furnish(disk.workspace)
        with _served(disk.workspace) as url:
            before = _answers(url, secret)
            disk.fail()
            assert [] == _faults(url, secret, before, "storage_read_only", is_full=False)


def test_sign_in_to_the_page_on_a_full_disk() -> None:
    """Who signs in where it cannot be written down is signed in until the server ends, or the token does."""
    with _disk() as disk:
        secret = _furnish(disk.workspace)
        disk.fill()
        with _served(disk.workspace) as url, httpx.Client(base_url=url, headers=OURS) as browser:
            assert 200 == browser.post("/signin", json={"token": secret}).status_code
            assert 200 == browser.get("/api/v1/sessions").status_code
            assert 200 == browser.request("DELETE", "/signin").status_code
            assert 401 == browser.get("/api/v1/sessions").status_code


def _faults(
    url: str,
    secret: str,
    before: dict[tuple[str, str], bytes],
    code: str,
    *,
    is_full: bool,
    again: Callable[[], None] = lambda: None,
) -> list[str]:
    """Return what is wrong with the answers of all routes; `again` takes what room there may be by then."""
    found = []
    for (method, path), case in sorted(CASES.items(), key=lambda item: item[1].kind == "makes room"):
        again()
        answer = _ask(url, secret, method, _at(path, case))
        if case.kind == "same":
            is_well = answer.status_code == 200 and answer.content == before[method, path]
        elif case.kind == "reads" or (case.kind == "makes room" and is_full):
            is_well = answer.status_code == 200
        elif case.kind == "elsewhere":
            is_well = answer.status_code in {404, 422, 502, 503}
        else:
            is_well = answer.status_code == 507 and answer.json()["code"] == code
        if not is_well:
            found.append(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
    return found


def _answers(url: str, secret: str) -> dict[tuple[str, str], bytes]:
    same = {route: case for route, case in CASES.items() if case.kind == "same"}
    return {(method, path): _ask(url, secret, method, _at(path, case)).content for (method, path), case in same.items()}


def _at(path: str, case: Case) -> Case:
    return Case(case.kind, case.path or path, case.query, case.body)


def _ask(url: str, secret: str, method: str, case: Case) -> httpx.Response:
    """Return an answer, of one that does not end its beginning."""
    headers = {"Authorization": f"Bearer {secret}", **(OURS if case.path == "/signin" else {})}
    body = {"token": secret} if case.path == "/signin" and method == "POST" else case.body
    with (
        httpx.Client(base_url=url, headers=headers, timeout=30) as client,
        client.stream(method, case.path, params=case.query, json=body) as answer,
    ):
        if answer.headers.get("content-type", "").startswith("text/event-stream"):
            answer._content = next(answer.iter_raw())
        else:
            answer.read()
        return answer


@contextmanager
def _disk() -> Iterator[SmallDisk]:
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        place.chmod(0o755)
        yield stack.enter_context(in_memory(place / "disk"))


def _furnish(workspace: Path) -> str:
    """Put sessions into a workspace, and return the secret of a token."""
    store = FilesStore.open(workspace)
    for key in KEYS:
        store.append(key, talk(3))
    store.append("old:1", [draft("an old line")])
    notes = {"type": "file", "file": {"file_data": b64encode(_NOTES).decode()}}
    store.append("pic:1", [msgspec.structs.replace(draft("notes"), content=[notes])])
    for key in ("gone:1", "gone:2"):
        store.append(key, talk(3))
        store.delete(key, to_trash=True)
    store.close()
    PeopleFile(workspace).link("alice", ["old:1"])
    return TokenFile(workspace / "tokens.json").create("admin", scopes=("admin",))[0]


@contextmanager
def _served(workspace: Path) -> Iterator[str]:
    """Serve a workspace as `chatkeep serve` does, with a model that nobody reaches."""
    nowhere = ModelSettings(url="http://127.0.0.1:9/v1", key="", model="m", timeout_s=1, retries=0)
    store = FilesStore.open(workspace, watch=True)
    limits = Limits(workspace / "limits.sqlite3")
    guard = Guard(TokenFile(workspace / "tokens.json"), limits, hosts={"127.0.0.1"}, rates=_FREE)
    app = create_app(
        Sessions(store, reach=Confinement(people=PeopleFile(workspace))),
        guard,
        chats=Chats(Upstream(nowhere), history_tokens=1000),
    )
    with listening(app, access_log=False) as port:
        yield f"http://127.0.0.1:{port}"
    limits.close()
    store.close()
