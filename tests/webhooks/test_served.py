"""A server with a webhook, killed and started again, while its receiver fails, hangs, and comes and goes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest

from chatkeep.access.tokens import TokenFile
from chatkeep.core.model import Draft
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.files.store import FilesStore
from tests.cli.test_cli_serve import COMMAND
from tests.webhooks.receiving import SECRET_TEXT, receiving

if TYPE_CHECKING:
    from tests.cli.conftest import Run


def _configure(workspace: Path, url: str, attempts: int) -> None:
    lines = [f'url = "{url}"', 'name = "ci"', 'secret_variable = "HOOK_SECRET"', "allow_private = true"]
    lines += ["retry_s = 0.05", "timeout_s = 1", f"attempts = {attempts}"]
    (workspace / "chatkeep.toml").write_text("\n".join(["[[webhook]]", *lines]))


@contextmanager
def _served(workspace: Path, ending: signal.Signals) -> Iterator[httpx.Client]:
    """Serve a workspace, and end the server by a signal."""
    secret, _ = TokenFile(workspace / "tokens.json").create("t", scopes=("admin",))
    environ = {**os.environ, "CHATKEEP_WORKSPACE": str(workspace), "CHATKEEP_PORT": "0", "HOOK_SECRET": SECRET_TEXT}
    with (workspace / "log").open("w+") as log:
        command = [*COMMAND, "serve", "--no-search-process"]
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
        try:
            _wait(lambda: "Started server process" in (workspace / "log").read_text())
            found = re.search(r"Listening on (\S+)", (workspace / "log").read_text())
            assert found is not None
            headers = {"Authorization": f"Bearer {secret}"}
            with httpx.Client(base_url=found[1], headers=headers, timeout=30) as client:
                yield client
        finally:
            process.send_signal(ending)
            process.wait(30)
    assert "Traceback" not in (workspace / "log").read_text()


def _wait(is_so: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _append(client: httpx.Client, key: str) -> None:
    said = {"role": "user", "content": "secret words"}
    assert 201 == client.post("/api/v1/messages", params={"session": key}, json=said).status_code


def test_tell_of_each_change_over_kills(tmp_path: Path) -> None:
    """Every change is told at least once and in its session's order, though servers and receivers die."""
    keys = ("a", "b", "c")
    with receiving() as receiver:
        port = urlsplit(receiver.url).port or 0
        _configure(tmp_path, receiver.url, 100)
        receiver.answers = [200, 500, "hang", 503, 200, "drip"]
        with _served(tmp_path, signal.SIGKILL) as client:
            for _ in range(4):
                for key in keys:
                    _append(client, key)
            _wait(lambda: receiver.tries >= 6)
        told, ids = receiver.told(), receiver.ids
    store = FilesStore.open(tmp_path)
    Sessions(store).append("a", [Draft(role="user", content="while nobody serves")])
    store.close()
    with _served(tmp_path, signal.SIGTERM) as client:
        client.delete("/api/v1/sessions/b")
        with receiving(port) as receiver:
            _wait(lambda: ("session.deleted", "b", None) in receiver.told())
            metrics = client.get("/metrics").text
        told, ids = told + receiver.told(), ids + receiver.ids
    seen: dict[str, list[tuple[str, int | None]]] = defaultdict(list)
    first: dict[str, tuple[object, ...]] = {}
    for one, request_id in zip(told, ids, strict=True):
        if first.setdefault(request_id, one) is one:
            seen[one[1]].append((one[0], one[2]))
    said: list[tuple[str, int | None]] = [("session.created", 1), *(("session.appended", seq) for seq in (2, 3, 4))]
    assert {"a": [*said, ("session.appended", 5)], "b": [*said, ("session.deleted", None)], "c": said} == seen
    assert 'chatkeep_webhook_requests_total{outcome="sent",webhook="ci"}' in metrics


def test_use_the_commands(run: Run, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They list webhooks, try one, list what is dead, and send it again until nothing is left."""
    FilesStore.open(workspace).close()
    with receiving() as receiver:
        _configure(workspace, receiver.url, 1)
        assert {"name": "ci", "served": False, "dead": 0}.items() <= run("webhooks", "list", "--json").json["webhooks"][
            0
        ].items()
        assert "HOOK_SECRET" in run("webhooks", "test", "ci", code=2).err
        monkeypatch.setenv("HOOK_SECRET", SECRET_TEXT)
        assert "took the request" in run("webhooks", "test", "ci").out
        assert [("test", None, None)] == receiver.told()
        receiver.answers = [500, 500]
        with _served(workspace, signal.SIGTERM) as client:
            _append(client, "a")
            _append(client, "b")
            _wait(lambda: receiver.tries >= 3)
            assert run("webhooks", "list", "--json").json["webhooks"][0]["served"]
        assert ["status 500"] * 2 == [one["reason"] for one in run("webhooks", "dead", "ci", "--json").json["dead"]]
        receiver.answers = [200, 500]
        assert {"sent": 1, "left": 1} == {
            name: value
            for name, value in run("webhooks", "replay", "ci", "--json", code=1).json.items()
            if name != "reason"
        }
        assert "Sent 1 dead letter; 0 are left." in run("webhooks", "replay", "ci").out
        assert ["a", "b"] == [key for _, key, _ in receiver.told() if key]
    assert "There are no dead letters." in run("webhooks", "dead", "ci").out
