"""Eight processes on one workspace: two servers, importers, command lines and programs append together."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from chatkeep.store.files.store import FilesStore
from chatkeep.tokens import TokenFile
from tests.crash.history import History
from tests.crash.serving import served

MESSAGES = 20_000

# What each kind of writer runs: its name, the workspace or the server, the token, the number of
# messages and of sessions, and the file of its notes are given. Each notes its tries and answers as
# tests.crash.history reads them.
_COMMON = """
import random, sys
from pathlib import Path
from tests.crash.history import draft_of

name, place, token, messages, sessions, notes = sys.argv[1:]
dice, out = random.Random(name), open(notes, "w", buffering=1)

def note(append, ids, key):
    out.writelines(f"try {key} {one} 40\\n" for one in ids)
    append(key, [draft_of(one, 40) for one in ids])
    out.writelines(f"ack {key} {one}\\n" for one in ids)

def run(append, step):
    for number in range(0, int(messages), step):
        ids = [f"{name}.{number}.{part}" for part in range(min(step, int(messages) - number))]
        note(append, ids, f"many:{dice.randrange(int(sessions))}")
"""
_PROGRAM = """
from chatkeep.store.files.store import FilesStore
store = FilesStore.open(Path(place), lock_timeout_s=60)
run(store.append, 1)
store.close()
"""
_CLIENT = """
from chatkeep.client import Client
with Client(place, token) as client:
    run(client.append, 5)
"""
_IMPORTER = """
import json, subprocess

def append(key, drafts):
    said = [{"role": "user", "content": one.content, "id": one.id, "timestamp": 0} for one in drafts]
    path = Path(notes + ".jsonl")
    path.write_text(json.dumps({"key": key, "channel": "api", "messages": said}))
    command = [sys.executable, "-m", "chatkeep", "import", str(path), "--workspace", place]
    subprocess.run(command, check=True, capture_output=True)

run(append, 50)
"""
_COMMAND_LINE = """
import subprocess

def append(key, drafts):
    for one in drafts:
        command = [sys.executable, "-m", "chatkeep", "append", key, "--role", "user", "--id", one.id, "-"]
        subprocess.run([*command, "--workspace", place], input=one.content.encode(), check=True, capture_output=True)

run(append, 1)
"""
_CODE = {"client": _CLIENT, "importer": _IMPORTER, "command-line": _COMMAND_LINE, "program": _PROGRAM}
_SHARES = {
    "client-a": 4000,
    "client-b": 4000,
    "importer": 500,
    "command-line": 20,
    "program-a": 5740,
    "program-b": 5740,
}


@pytest.mark.parametrize("sessions", [1, 100])
def test_append_from_eight_processes(tmp_path: Path, sessions: int) -> None:
    """20,000 messages from eight processes are all there once, in the order each was told."""
    workspace, history = tmp_path / "workspace", History()
    FilesStore.open(workspace).close()
    secret, _ = TokenFile(workspace / "tokens.json").create(name="test", scopes=("admin",))
    with served(workspace) as first, served(workspace) as second:
        places = {"client-a": first, "client-b": second}
        writers = {
            name: _started(name, places.get(name, str(workspace)), secret, str(share), str(sessions), tmp_path / name)
            for name, share in _SHARES.items()
        }
        for name, writer in writers.items():
            _, problems = writer.communicate(timeout=240)
            assert (name, 0, "") == (name, writer.returncode, problems[-2000:])
            history.take(name, (tmp_path / name).read_text().splitlines())
        for server in (first, second):
            seen = httpx.get(f"{server}/api/v1/status", headers={"Authorization": f"Bearer {secret}"}).json()
            assert MESSAGES == seen["message_count"]
    assert MESSAGES == sum(map(len, history.acknowledged.values()))
    with closing(FilesStore.open(workspace)) as store:
        assert [] == [fault for key in sorted(history.keys()) for fault in history.faults(store.read(key))]
        assert MESSAGES == store.status().message_count


def _started(name: str, *arguments: str | Path) -> subprocess.Popen[str]:
    root = Path(__file__).parents[2]
    program = _COMMON + _CODE[name.removesuffix("-a").removesuffix("-b")]
    return subprocess.Popen(
        [sys.executable, "-c", program, name, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}"},
        cwd=root,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
