"""Each request goes to the server that its protocol and its model choose, with that server's key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from chatkeep.config import settings_from
from chatkeep.errors import InvalidError
from chatkeep.http.services import services_of
from chatkeep.http.streams.relay import Relay
from chatkeep.http.streams.upstreams import NamedUpstream, Upstreams
from tests.chat.conftest import Chatting, served, settings_of
from tests.chat.upstream import Upstream

Json = Any
NAMES = ("usual", "large", "anthropic", "gemini")
MESSAGE = {"max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
ANTHROPIC = {"anthropic-version": "2023-06-01"}


class Several:
    """A server of Chatkeep, before several models' servers."""

    def __init__(self, chatting: Chatting, servers: dict[str, Upstream]) -> None:
        """Take the server, and the others by their names."""
        self.chatting = chatting
        self._servers = servers

    def taken_by(self, method: str, path: str, body: Json = None, headers: dict[str, str] | None = None) -> str:
        """Return the name of the server that gets a request, whose key it bears."""
        with self.chatting.client() as client:
            answer = client.request(method, path, json=body, headers=headers)
        assert 200 == answer.status_code, answer.text
        (name,) = (name for name, server in self._servers.items() if server.seen)
        seen = self._servers[name].seen.pop()
        keys = [seen.headers.get(name, "") for name in ("x-api-key", "x-goog-api-key", "authorization")]
        assert f"key-of-{name}" in [key.removeprefix("Bearer ") for key in keys]
        return name


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Several]:
    """A server with a usual upstream, one for large models, and one of Anthropic's kind."""
    with ExitStack() as own:
        servers = {name: own.enter_context(Upstream(key=f"key-of-{name}")) for name in NAMES}
        relays = {name: Relay(settings_of(server, key=f"key-of-{name}")) for name, server in servers.items()}
        chatting = own.enter_context(served(tmp_path_factory.mktemp("several"), servers["usual"]))
        others = [
            NamedUpstream("openai", ("large-*",), relays["large"]),
            NamedUpstream("anthropic", (), relays["anthropic"]),
            NamedUpstream("gemini", ("gemini-*",), relays["gemini"]),
        ]
        services_of(chatting.app).upstreams = Upstreams(relays["usual"], others)
        yield Several(chatting, servers)


@pytest.mark.parametrize("size", [1, 100_000])
@pytest.mark.parametrize(
    "path, asked",
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "{text}"}]}),
        ("/v1/responses", {"input": [{"role": "user", "content": "{text}"}]}),
        ("/v1/embeddings", {"input": "{text}"}),
    ],
)
def test_choose_by_the_model(several: Several, path: str, asked: Json, size: int) -> None:
    """A pattern takes the models it matches, in requests of any length, recorded or not; others go to the usual one."""
    field = next(iter(asked))
    text = "giraffe " * size
    for model, name in (("large-model", "large"), ("small-model", "usual")):
        items = text if isinstance(asked[field], str) else [{**asked[field][0], "content": text}]
        assert name == several.taken_by("POST", path, {"model": model, field: items})


def test_choose_by_the_protocol(several: Several) -> None:
    """Messages, and what Anthropic's clients ask besides, go to a server of their kind."""
    body = {"model": "small-model", **MESSAGE}
    assert "anthropic" == several.taken_by("POST", "/v1/messages", body)
    assert "anthropic" == several.taken_by("POST", "/v1/messages/count_tokens", body, ANTHROPIC)
    assert "anthropic" == several.taken_by("GET", "/v1/models", headers=ANTHROPIC)
    assert "large" == several.taken_by("GET", "/v1/models")


@pytest.mark.parametrize(
    "method, path, body, name",
    [
        ("POST", "models/gemini-x:generateContent", {"contents": [{"parts": [{"text": "Hi"}]}]}, "gemini"),
        ("POST", "models/gemini-x:countTokens", {"contents": [{"parts": [{"text": "Hi"}]}]}, "gemini"),
        ("POST", "models/gemma-x:embedContent", {}, "usual"),
        ("GET", "models", None, "gemini"),
        ("GET", "models/gemini-x", None, "gemini"),
        ("GET", "files/gemma-x", None, "gemini"),
        ("POST", "cachedContents", {"model": "models/gemini-x"}, "gemini"),
        ("POST", "cachedContents", {"model": "models/gemma-x"}, "usual"),
    ],
)
def test_choose_for_gemini(several: Several, method: str, path: str, body: Json, name: str) -> None:
    """The path of a model names it, else the body; a request that names none goes to the first server of its kind."""
    assert name == several.taken_by(method, f"/v1beta/{path}", body)


TOML = """
[[upstream]]
name = "local"
kind = "openai"
url = "http://127.0.0.1:11434/v1"
models = ["llama*", "qwen*"]

[[upstream]]
name = "anthropic"
kind = "anthropic"
url = "https://api.anthropic.com/v1"
key_variable = "ANTHROPIC_KEY"
"""


def test_read_upstreams_from_the_file(tmp_path: Path) -> None:
    """Each has its kind, address and models, and its key from a variable; nothing shows the key."""
    (tmp_path / "chatkeep.toml").write_text(TOML)
    local, anthropic = settings_from({"workspace": tmp_path}, {"ANTHROPIC_KEY": "sk-ant-1"}).upstream
    assert ("local", "openai", ("llama*", "qwen*"), "") == (local.name, local.kind, local.models, local.key)
    assert ("https://api.anthropic.com/v1", (), "sk-ant-1") == (anthropic.url, anthropic.models, anthropic.key)
    assert "sk-ant-1" not in repr(anthropic)


@pytest.mark.parametrize(
    "old, new, words",
    [
        ('kind = "openai"', 'kind = "mistral"', "Invalid enum value 'mistral'"),
        ('name = "local"', 'name = "anthropic"', "has the name anthropic twice"),
        ('name = "local"', "", "missing required field `name`"),
        ('name = "local"', 'name = "local"\nkey = "sk"', "name a variable of the environment in key_variable"),
        ('name = "local"', 'name = "local"\ncolour = 1', "unknown field `colour`"),
        ("http://127", "ftp://127", "url"),
        ("ANTHROPIC_KEY", "OTHER_KEY", "OTHER_KEY"),
    ],
)
def test_refuse_a_bad_upstream(tmp_path: Path, old: str, new: str, words: str) -> None:
    """The error names what is wrong, and never a key."""
    (tmp_path / "chatkeep.toml").write_text(TOML.replace(old, new, 1))
    with pytest.raises(InvalidError, match=re.escape(words)):
        settings_from({"workspace": tmp_path}, {"ANTHROPIC_KEY": "sk-ant-1"})


def test_say_that_no_server_takes_a_model(tmp_path: Path) -> None:
    """Without a usual server, a model that no pattern matches is a 503 that says so, and nothing is stored."""
    with Upstream(key="k") as upstream, served(tmp_path, upstream) as chatting, chatting.client() as client:
        relay = Relay(settings_of(upstream, key="k"))
        services_of(chatting.app).upstreams = Upstreams(Relay(None), [NamedUpstream("openai", ("large-*",), relay)])
        asked: httpx.Response = client.post("/v1/responses", json={"model": "small-model", "input": "Hi"})
        assert (503, "model_unset") == (asked.status_code, asked.json()["code"])
        assert () == chatting.sessions.keys().keys
        assert 200 == client.post("/v1/responses", json={"model": "large-model", "input": "Hi"}).status_code
