"""A server started as a person starts it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from chatkeep.access.tokens import TokenFile

COMMAND = (sys.executable, "-m", "chatkeep")


@contextmanager
def serving(workspace: Path, *args: str) -> Iterator[tuple[str, str]]:
    """Yield the address of a server, and what it printed before it listened."""
    environ = {**os.environ, "CHATKEEP_WORKSPACE": str(workspace), "CHATKEEP_PORT": "0"}
    process = subprocess.Popen(
        [*COMMAND, "serve", *args], env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    try:
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            if "Started server process" in line:
                break
        printed = "".join(lines)
        found = re.search(r"Listening on (\S+)", printed)
        assert found is not None, printed
        assert 200 == httpx.get(f"{found[1]}/health", timeout=20).status_code
        yield found[1], printed
    finally:
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=20)
    assert "Traceback" not in rest
    assert process.returncode in (0, -signal.SIGTERM)


def test_serve_has_closed_all_at_its_end(tmp_path: Path) -> None:
    """When a server that was told to end is gone, so are the processes beside it, and nobody has the index open."""
    environ = {**os.environ, "CHATKEEP_WORKSPACE": str(tmp_path), "CHATKEEP_PORT": "0"}
    with (tmp_path / "log").open("w+") as log:
        process = subprocess.Popen([*COMMAND, "serve"], env=environ, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while "Started server process" not in (tmp_path / "log").read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert [*tmp_path.glob("index-*-wal")]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (0, -signal.SIGTERM)
    assert [] == [*tmp_path.glob("index-*-wal")]


def test_serve_for_the_first_time(tmp_path: Path) -> None:
    """The first start prints a token that opens every door, once, and says where the workspace is."""
    with serving(tmp_path / "w") as (address, printed):
        secret = re.search(r"ck_[A-Za-z0-9_-]{32,}", printed)
        assert secret is not None
        assert f"Workspace: {tmp_path / 'w'}" in printed
        assert f"curl -H 'Authorization: Bearer {secret[0]}' {address}/api/sessions" in printed
        link = re.search(rf"{re.escape(address)}/#code=([\w-]+)\n", printed)
        assert link is not None
        page = {"Sec-Fetch-Site": "same-origin"}
        answers = [httpx.post(f"{address}/signin", json={"code": link[1]}, headers=page) for _ in range(2)]
        assert [200, 401] == [answer.status_code for answer in answers]
        with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {secret[0]}"}) as client:
            said = {"role": "user", "content": "hi"}
            assert 201 == client.post("/api/v1/messages?session=a/b", json=said).status_code
            beside = ["append", "a/b", "ho", "--role", "assistant", "-w", str(tmp_path / "w")]
            subprocess.run([*COMMAND, *beside], check=True, capture_output=True, timeout=20)
            answer = client.get("/api/v1/sessions/a/b")
            assert 2 == answer.json()["message_count"]
            assert "server" not in answer.headers
            assert 421 == client.get("/api/sessions", headers={"Host": "evil.example"}).status_code
        assert 401 == httpx.get(f"{address}/api/sessions").status_code
    with serving(tmp_path / "w", "--allow-host", "chat.example") as (address, printed):
        assert "ck_" not in printed
        assert "-m chatkeep token create` makes another" in printed
        headers = {"Authorization": f"Bearer {secret[0]}", "Host": "chat.example"}
        assert ["a/b"] == httpx.get(f"{address}/api/v1/sessions", headers=headers).json()["sessions"]


def test_serve_beside_foreign_files(tmp_path: Path) -> None:
    """What cannot be served is logged at every start, one line each; its name does not act on the terminal."""
    (tmp_path / "sessions").mkdir()
    (tmp_path / "sessions" / "a\x1b[2J\nb.json").write_text("[]")
    for _ in range(2):
        with serving(tmp_path) as (_, printed):
            (line,) = [line for line in printed.splitlines() if "cannot be served whole" in line]
            assert "WARNING chatkeep" in line
            assert r"'a\x1b[2J\nb.json'" in line
            assert "\x1b" not in printed


def test_serve_counts_requests(tmp_path: Path) -> None:
    """The limits of the command line hold, and forwarded addresses count for nothing."""
    with serving(tmp_path, "--rate-limit-ip", "3") as (address, _):
        statuses = [
            httpx.get(f"{address}/api/sessions", headers={"X-Forwarded-For": f"10.0.0.{n}"}).status_code
            for n in range(4)
        ]
    assert [401, 401, 401, 429] == statuses


def test_serve_prints_the_limits_in_force(tmp_path: Path) -> None:
    """Who starts a server sees what its programs share, and how one gets a limit of its own; those limits hold."""
    options = ("--rate-limit-ip", "0", "--rate-limit-token", "5", "--rate-limit-model", "2")
    with serving(tmp_path, *options) as (address, printed):
        (line,) = [line for line in printed.splitlines() if line.startswith("Requests a minute: ")]
        assert "no limit from one address, 5 with one token, 2 with one token to the model (/v1)" in line
        assert "-m chatkeep token create --rate N`" in line  # as this very program was called
        secret = TokenFile(tmp_path / "tokens.json").create(scopes=("read",))[0]
        with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {secret}"}) as client:
            for path, limit, kind in (("/api/sessions", 5, "token"), ("/v1/models", 2, "model")):
                answers = [client.get(path) for _ in range(limit + 1)]
                assert [429] == [one.status_code for one in answers if one.status_code == 429]
                assert (kind, limit, 60) == tuple(
                    answers[-1].json()[name] for name in ("limited_by", "limit", "window_s")
                )
        told = answers[-1].json()["error"]["message"]
        assert "rate_limit_model" in told
        assert "token create --rate" in told


def test_serve_bounds_the_head(tmp_path: Path) -> None:
    """A request whose head never ends is cut off."""
    with serving(tmp_path) as (address, _):
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n")
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                connection.sendall((b"X-Much: " + b"x" * 4096 + b"\r\n") * 10_000)
        assert 200 == httpx.get(f"{address}/health").status_code


def test_serve_on_a_port_that_is_taken(tmp_path: Path) -> None:
    """A port in use, or an address that is not ours, is a sentence and exit code 1."""
    with serving(tmp_path) as (address, _):
        port = address.rpartition(":")[2]
        for args in (("--port", port), ("--host", "192.0.2.1")):
            refused = subprocess.run(
                [*COMMAND, "serve", "-w", str(tmp_path), *args], capture_output=True, text=True, check=False, timeout=20
            )
            assert 1 == refused.returncode
            assert refused.stderr.startswith("Cannot listen on")
            assert 1 == len(refused.stderr.splitlines())


def test_start_quickly() -> None:
    """Help is there at once: nothing that only servers need is imported for it."""
    script = "import sys, chatkeep.cli; print([m for m in ('starlette', 'uvicorn', 'httpx') if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=20)
    assert "[]" == loaded.stdout.strip()
