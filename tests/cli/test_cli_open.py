"""The command `open`: a link for a browser, at any time, where a server listens."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import httpx

from chatkeep.access.sign_in_links import LINKS_FILE
from tests.cli.conftest import Run
from tests.http.conftest import serving


def test_open_the_page_of_a_running_server(run: Run, tmp_path: Path) -> None:
    """The link's code signs one browser in, though another process made it after the server started."""
    with serving(tmp_path / "served") as server:
        workspace = str(server.tokens.path.parent)
        done = run("open", "-w", workspace, "--url", f"{server.url}/", "--json")
        address, code = json.loads(done.out)["url"].split("/#code=")
        assert server.url == address
        ours = {"Sec-Fetch-Site": "same-origin"}
        answers = [httpx.post(f"{address}/signin", json={"code": code}, headers=ours).status_code for _ in range(2)]
        assert [200, 401] == answers


def test_open_where_no_server_listens(run: Run, workspace: Path) -> None:
    """The error says what to do, and no link is made; an address that is none is refused as bad input."""
    run("demo")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    done = run("open", "--url", f"http://127.0.0.1:{port}", code=1)
    assert "chatkeep serve" in done.err
    assert "--url" in run("open", "--url", "ftp://x", code=2).err
    assert not (workspace / LINKS_FILE).exists()
