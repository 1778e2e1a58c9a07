"""A server of Chatkeep that dies in the midst of an answer has lost nothing that it acknowledged."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from chatkeep.access.tokens import TokenFile
from chatkeep.store.files.store import FilesStore
from tests.chat.completions import Answer
from tests.chat.conftest import events_of
from tests.chat.upstream import Upstream


def test_killed_server_has_the_message_and_next_serves_the_session(tmp_path: Path, upstream: Upstream) -> None:
    """After kill -9 the message is there, and of the answer nothing; the settings come from the environment."""
    environ = {**os.environ, "CHATKEEP_MODEL_URL": upstream.url, "CHATKEEP_MODEL": "small-model"}
    upstream.script(Answer("one two three", hold_after=2))
    secret, _ = TokenFile(tmp_path / "tokens.json").create("admin", scopes=("admin",))
    command = [sys.executable, "-m", "chatkeep", "serve", "--workspace", str(tmp_path), "--port", "0"]
    server = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert server.stdout is not None
    try:
        address = next(line.split()[2] for line in server.stdout if line.startswith("Listening on"))
        body = {"message": "Count", "session_key": "cli:default"}
        headers = {"Authorization": f"Bearer {secret}"}
        with httpx.stream("POST", f"{address}/api/v1/chat/stream", json=body, headers=headers, timeout=20) as response:
            events = events_of(response.iter_lines())
            assert ["start", "token", "token"] == [next(events)[0] for _ in range(3)]
            server.kill()
            server.wait(20)
    finally:
        server.kill()
        server.communicate(timeout=20)
    store = FilesStore.open(tmp_path)
    assert ["Count"] == [message.content for message in store.read("cli:default").messages]
    store.close()


@pytest.mark.parametrize("signal_", [signal.SIGKILL, signal.SIGTERM])
def test_ended_server_has_what_passed_through(tmp_path: Path, upstream: Upstream, signal_: signal.Signals) -> None:
    """After kill -9 what was asked is there; a server that ends by itself has stored what came of the answer too."""
    upstream.script(Answer("one two three", hold_after=2))
    secret, _ = TokenFile(tmp_path / "tokens.json").create("admin", scopes=("admin",))
    command = [sys.executable, "-m", "chatkeep", "serve", "--workspace", str(tmp_path), "--port", "0"]
    environ = {**os.environ, "CHATKEEP_MODEL_URL": upstream.url}
    server = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert server.stdout is not None
    try:
        address = next(line.split()[2] for line in server.stdout if line.startswith("Listening on"))
        body = {"model": "small-model", "stream": True, "messages": [{"role": "user", "content": "Count"}]}
        headers = {"Authorization": f"Bearer {secret}", "X-Session-Key": "cli:default"}
        with httpx.stream("POST", f"{address}/v1/chat/completions", json=body, headers=headers, timeout=20) as response:
            lines = response.iter_lines()  # kept: without it the client closes the connection, and is gone
            next(line for line in lines if '"two ' in line)
            server.send_signal(signal_)
            if signal_ == signal.SIGTERM:
                server.send_signal(signal_)  # the second one does not wait for the answer
            server.wait(20)
    finally:
        server.kill()
        server.communicate(timeout=20)
    store = FilesStore.open(tmp_path)
    said = [(message.content, (message.metadata or {}).get("reason")) for message in store.read("cli:default").messages]
    assert [("Count", None), ("one two ", "server_ended")][: 1 if signal_ == signal.SIGKILL else 2] == said
    store.close()
