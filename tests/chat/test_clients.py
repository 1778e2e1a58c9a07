"""Clients of OpenAI's API behave through the proxy as with the model's server itself, and all they say is stored."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest

from chatkeep.core.model import Selection
from tests.chat import completions, talks
from tests.chat.completions import Answer
from tests.chat.conftest import MODEL_KEY, served
from tests.chat.upstream import Upstream

Json = Any
TURNS = int(os.environ.get("CHATKEEP_CLIENT_TURNS", "20"))
SCRIPT = Path(__file__).parent / "js" / "talk.mjs"
NODE = shutil.which("node") if (SCRIPT.parent / "node_modules" / "openai").exists() else None
_FAILURE = re.compile(r"fail:(\d+)")
_ERRORS = {
    429: completions.rate_limited(0),
    500: completions.broken(),
    400: completions.context_too_long(),
    401: completions.unauthorised(),
}


class Failing:
    """Answers by echo, but fails at first where a message asks for it."""

    def __init__(self) -> None:
        """Begin without a failure."""
        self._failed: set[str] = set()

    def __call__(self, request: Json) -> Answer:
        """Return the answer to a request."""
        said = str(request["messages"][-1]["content"])
        wanted = _FAILURE.match(said)
        if wanted is None or said in self._failed:
            return completions.ECHO
        self._failed.add(said)
        return _ERRORS[int(wanted[1])]


def sync(url: str, key: str, style: str) -> Json:
    """Talk with the Python client."""
    return talks.talk(openai.OpenAI(base_url=url, api_key=key, max_retries=0), style, TURNS)


def asynchronous(url: str, key: str, style: str) -> Json:
    """Talk with the asynchronous Python client."""
    return talks.talk(openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=0), style, TURNS)


def javascript(url: str, key: str, style: str) -> Json:
    """Talk with the JavaScript client."""
    command = [str(NODE), str(SCRIPT), url, key, style, str(TURNS)]
    done = subprocess.run(command, check=True, capture_output=True, timeout=120)
    return json.loads(done.stdout)


@pytest.mark.parametrize("style", talks.STYLES)
@pytest.mark.parametrize(
    "talk",
    [
        sync,
        asynchronous,
        pytest.param(
            javascript, marks=pytest.mark.skipif(NODE is None, reason="needs node, and `npm ci` in tests/chat/js")
        ),
    ],
)
def test_clients_work_unchanged(talk: Callable[[str, str, str], Json], style: str, tmp_path: Path) -> None:
    """Each client gets the same results through the proxy; the one session recorded is its conversation."""
    with Upstream(key=MODEL_KEY, answer=Failing()) as upstream:
        direct = talk(upstream.url, MODEL_KEY, style)
        seen = [one.body for one in upstream.seen]
    with Upstream(key=MODEL_KEY, answer=Failing()) as upstream, served(tmp_path, upstream) as chatting:
        passed = talk(f"{chatting.url}/v1", chatting.secret, style)
        assert seen == [one.body for one in upstream.seen]
        (session,) = chatting.sessions.read_all(Selection(archived=None))
    assert direct == passed
    assert [_plain(said) for said in passed["messages"]] == [
        _plain(talks.message_of(said)) for said in session.messages
    ]
    answers = [said for said in session.messages if said.role == "assistant"]
    assert all((said.metadata or {})["usage"]["completion_tokens"] > 0 for said in answers)
    assert all((said.metadata or {})["tokens"]["output"] > 0 for said in answers)
    assert not any("partial" in (said.metadata or {}) for said in session.messages)


def _plain(said: Json) -> Json:
    """Return a message without what clients add that says nothing."""
    return {name: value for name, value in said.items() if value is not None and value != [] and name != "parsed"}
