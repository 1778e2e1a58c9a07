"""The container: linted, without root, with the workspace as a volume and a health check that tells the truth."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_INSTRUCTION = re.compile(r"([A-Z]+)\s+(.*)", re.DOTALL)


def instructions(stage: int) -> list[tuple[str, str]]:
    """Return the instructions of a stage of the Dockerfile, each with what it is given."""
    lines = [line for line in (ROOT / "Dockerfile").read_text("utf-8").splitlines() if not line.startswith("#")]
    text = "\n".join(lines).replace("\\\n", " ")
    stages = re.split(r"^(?=FROM )", text, flags=re.MULTILINE)[1:]
    return [found.groups() for line in stages[stage].splitlines() if (found := _INSTRUCTION.match(line))]  # type: ignore[misc]


def test_dockerfile_is_clean() -> None:
    """Hadolint has nothing to say."""
    hadolint = shutil.which("hadolint", path=Path(sys.executable).parent)
    assert hadolint is not None
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stdout)


def test_container_runs_without_root() -> None:
    """The user of the last stage is a number other than 0, as Kubernetes wants it; nothing comes after it as root."""
    names = [name for name, _ in instructions(-1)]
    users = [given for name, given in instructions(-1) if name == "USER"]
    assert ["10001:10001"] == users
    assert not {"RUN", "COPY", "ADD"} & set(names[names.index("USER") :])


def test_container_keeps_the_workspace_in_a_volume() -> None:
    """What is stored is in the volume, which belongs to the user alone, and the server reads it from there."""
    given = dict(instructions(-1))
    (volume,) = json.loads(given["VOLUME"])
    assert f"CHATKEEP_WORKSPACE={volume}" in given["ENV"]
    assert f"install -d -m 700 -o chatkeep -g chatkeep {volume}" in given["RUN"]
    assert ["chatkeep", "serve"] == [*json.loads(given["ENTRYPOINT"]), *json.loads(given["CMD"])]


class _Health(BaseHTTPRequestHandler):
    """A server that is well, or not."""

    status = 200

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(self.status if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""


@pytest.fixture
def health() -> Iterator[HTTPServer]:
    """Return a server on a loopback port."""
    server = HTTPServer(("127.0.0.1", 0), _Health)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(10)


@pytest.mark.parametrize("status", [200, 503])
def test_health_check_tells_whether_the_server_is_well(
    health: HTTPServer, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command of the health check ends with 0 exactly when `/health` answers 200."""
    monkeypatch.setattr(_Health, "status", status)
    _, command = dict(instructions(-1))["HEALTHCHECK"].split("CMD ", 1)
    program, *arguments = json.loads(command)
    assert "python" == program
    environ = {**os.environ, "CHATKEEP_PORT": str(health.server_port)}
    done = subprocess.run([sys.executable, *arguments], env=environ, capture_output=True, check=False)
    assert (status == 200) == (done.returncode == 0)


def test_image_has_only_what_the_wheel_needs() -> None:
    """Neither tests, nor data, nor a folder of one's own gets into the build."""
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert "*" == next(line for line in lines if not line.startswith("#"))
    assert {"src", "pyproject.toml", "constraints.txt", "README.md", "LICENSE"} == {
        line[1:] for line in lines if line.startswith("!")
    }
