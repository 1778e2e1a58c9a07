"""The npm package, used by node against a server."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from chatkeep.exporters import exported
from tests.http.conftest import serving

ROOT = Path(__file__).parents[2]
NODE = shutil.which("node")


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_use_from_javascript(tmp_path: Path) -> None:
    """Every verb of the package does what it says, its errors have codes, and chats come back exactly."""
    with serving(tmp_path) as server:
        command = [str(NODE), str(ROOT / "tests" / "clients" / "use.mjs"), server.url, server.secret]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert (0, "") == (done.returncode, done.stderr)
        chat = server.sessions.read("js:chat")
        assert b'"id": "u1"' in b"".join(exported([chat], "ai-sdk", single=True))
    assert {
        "appended": 501,
        "read": [501, "word0", "word500"],
        "dropped": 502,
        "changes": [["created", None], ["appended", 501], ["appended", 502]],
        "replaced": 503,
        "found": ["js:a b/ü"],
        "listed": [["js:a b/ü", "frank"]],
        "revised": "Renamed",
        "tagged": 1,
        "fork": "js:fork",
        "walked": ["js:a b/ü", "js:fork"],
        "exported": ["the axolotl"],
        "scopes": ["admin"],
        "errors": [
            [True, "session_not_found", 404],
            [True, "session_exists", 409],
            [True, "invalid", 422],
            [True, "unauthorized", 401],
            [True, "unreachable", 0],
        ],
        "none": [],
        "lines": 5,
        "exact": True,
        "last": ["u2", "a2"],
        "chat_found": ["js:chat"],
        "foreign": [{"type": "step-start"}, {"type": "text", "text": "From elsewhere."}],
        "long": [1201, "0", "1200"],
        "bad": "TypeError",
        "twice": 3,
        "beside": True,
        "broken": [True, "unreachable", 0],
    } == json.loads(done.stdout)


def test_publish_every_file() -> None:
    """The package names each of its files, and has no dependencies."""
    folder = ROOT / "clients" / "js"
    package = json.loads((folder / "package.json").read_text("utf-8"))
    assert {*package["files"], "package.json"} == {path.name for path in folder.iterdir()}
    assert not {"dependencies", "peerDependencies", "optionalDependencies"} & package.keys()
