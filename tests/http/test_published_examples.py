"""The examples that PocketPaw's and grip-ai's API pages print, run as they are: curl, `requests` and `httpx`."""

from __future__ import annotations

import contextlib
import io
import json
import re
import subprocess
from urllib.parse import quote

import httpx
import pytest

from chatkeep.core.model import Json

ROLES = {"user", "assistant"}
CURL = {
    "list": 'curl -X GET "http://localhost:8000/api/sessions?limit=50" -H "Authorization: Bearer <token>"',
    "list_typed": (
        'curl -X GET "http://localhost:8000/api/sessions" -H "Content-Type: application/json" '
        '-H "Authorization: Bearer <token>"'
    ),
    "search": (
        'curl -X GET "http://localhost:8000/api/sessions/search?q=prime&limit=20" -H "Authorization: Bearer <token>"'
    ),
    "history": (
        'curl -X GET "http://localhost:8000/api/memory/session?id=session_abc123" -H "Authorization: Bearer <token>"'
    ),
}
PYTHON = {
    "list": """
import requests
response = requests.get(
"http://localhost:8000/api/sessions",
params={"limit": 50},
headers={"Authorization": "Bearer <token>"},
)
print(response.json())
""",
    "search": """
import requests
response = requests.get(
"http://localhost:8000/api/sessions/search",
params={"q": "prime", "limit": 20},
headers={"Authorization": "Bearer <token>"},
)
print(response.json())
""",
    "history": """
import requests
response = requests.get(
"http://localhost:8000/api/memory/session",
params={"id": "session_abc123"},
headers={"Authorization": "Bearer <token>"},
)
print(response.json())
""",
}
EXAMPLES: dict[str, Json] = {
    "list": {
        "sessions": [
            {
                "id": "session_abc123",
                "title": "Python prime numbers",
                "created_at": "2024-01-15T10:30:00Z",
                "updated_at": "2024-01-15T11:45:00Z",
                "message_count": 12,
                "channel": "web",
            }
        ],
        "total": 42,
    },
    "search": {
        "sessions": [
            {
                "id": "session_abc123",
                "title": "Python prime numbers",
                "channel": "web",
                "match": "Here's a function to check if a number is prime...",
                "match_role": "assistant",
                "last_activity": "2024-01-15T11:45:00Z",
            }
        ]
    },
    "history": [
        {
            "role": "user",
            "content": "How do I check if a number is prime in Python?",
            "timestamp": "2024-01-15T10:30:00Z",
        }
    ],
}
EXAMPLES["list_typed"] = EXAMPLES["list"]
MESSAGES = [
    {
        "role": "user",
        "content": "How do I check if a number is prime in Python?",
        "timestamp": "2024-01-15T10:30:00Z",
        "id": "m1",
    },
    {
        "role": "assistant",
        "content": "Here's a function to check if a number is prime...",
        "timestamp": "2024-01-15T10:30:05Z",
        "id": "m2",
    },
]


def _has_shape(expected: Json, actual: Json) -> bool:
    """Tell whether the answer has all that the example has, each of the same type; times end in Z."""
    if isinstance(expected, dict):
        return all(name in actual and _has_shape(value, actual[name]) for name, value in expected.items())
    if isinstance(expected, list):
        return isinstance(actual, list) and bool(actual) and all(_has_shape(expected[0], item) for item in actual)
    is_time = isinstance(expected, str) and expected.endswith("Z")
    return type(expected) is type(actual) and (not is_time or re.fullmatch(r"\d{4}-.*T.*Z", actual) is not None)


@pytest.fixture(autouse=True)
def _stored(client: httpx.Client) -> None:
    answer = client.post("/api/v1/messages", params={"session": "session_abc123", "channel": "web"}, json=MESSAGES)
    assert answer.status_code in {200, 201}


@pytest.fixture
def base(client: httpx.Client) -> str:
    """Where the server is."""
    return str(client.base_url).rstrip("/")


@pytest.mark.parametrize("name", CURL)
def test_curl_answers_as_printed(name: str, base: str, server_secret: str) -> None:
    """The printed command, with base URL and token filled in, answers the printed shape."""
    command = CURL[name].replace("http://localhost:8000", base).replace("<token>", server_secret)
    ran = subprocess.run(["sh", "-c", f"{command} -s"], capture_output=True, check=True, timeout=30)  # noqa: S607
    assert _has_shape(EXAMPLES[name], json.loads(ran.stdout))


@pytest.mark.parametrize("library", ["requests", "httpx"])
@pytest.mark.parametrize("name", PYTHON)
def test_snippet_answers_as_printed(name: str, library: str, base: str, server_secret: str) -> None:
    """The printed program, with base URL and token filled in, prints the printed shape."""
    program = PYTHON[name].replace("requests", library).replace("http://localhost:8000", base)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(program.replace("<token>", server_secret), {})  # noqa: S102 - the page's own program
    shown: Json = eval(printed.getvalue(), {})  # noqa: S307 - what the program printed is a Python value
    assert _has_shape(EXAMPLES[name], shown)


def test_key_dialect_answers_as_grip_describes(client: httpx.Client) -> None:
    """Keys are listed sorted with their count; details have Unix times; deletion names the key; then 404."""
    key = "user:alice:project-planning"
    client.post("/api/v1/messages", params={"session": key}, json=MESSAGES)
    listed = client.get("/api/v1/sessions").json()
    assert listed["sessions"] == sorted(listed["sessions"])
    assert listed["count"] == len(listed["sessions"])
    detail = client.get(f"/api/v1/sessions/{key}").json()
    assert detail == client.get(f"/api/v1/sessions/{quote(key, safe='')}").json() | {
        "age_seconds": detail["age_seconds"]
    }
    assert {"key": key, "message_count": 2, "created_at": 1705314600.0, "updated_at": 1705314605.0}.items() <= (
        detail.items()
    )
    assert detail["age_seconds"] == round(detail["age_seconds"], 1) > 0
    assert client.delete(f"/api/v1/sessions/{key}").json() == {"deleted": True, "key": key}
    again = client.delete(f"/api/v1/sessions/{key}")
    assert (again.status_code, again.json()["detail"]) == (404, "Session not found")


def test_object_dialect_deletes_and_renames_as_described(client: httpx.Client) -> None:
    """Both verbs answer {"status":"ok"}, and 404 for a session that is not there."""
    client.post("/api/v1/messages", params={"session": "seed:rename"}, json=MESSAGES)
    renamed = client.post("/api/sessions/seed:rename/title", json={"title": "  My own  "})
    assert renamed.json() == {"status": "ok"}
    titles = {session["id"]: session["title"] for session in client.get("/api/sessions?limit=500").json()["sessions"]}
    assert titles["seed:rename"] == "My own"
    assert client.delete("/api/sessions/seed:rename").json() == {"status": "ok"}
    assert client.delete("/api/sessions/seed:rename").status_code == 404
    assert client.post("/api/sessions/seed:rename/title", json={"title": "x"}).status_code == 404
