"""The command `watch`, as it runs beside others."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from chatkeep.core.model import Revision
from chatkeep.store.files.store import FilesStore
from chatkeep.testing import talk


@pytest.mark.parametrize("options", [("--json",), ()])
def test_watch_tells_of_others(tmp_path: Path, options: tuple[str, ...]) -> None:
    """A line for each change under the prefix, as it happens; Ctrl-C ends it well, and nothing acts on a terminal."""
    FilesStore.open(tmp_path).close()
    command = [sys.executable, "-m", "chatkeep", "watch", "--workspace", str(tmp_path), "--prefix", "seen:", *options]
    watching = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert watching.stdout is not None
    assert watching.stderr is not None
    assert "Ctrl-C" in watching.stderr.readline()
    store = FilesStore.open(tmp_path, durability="none")
    store.append("other:1", talk(1))
    store.append("seen:1", talk(2))
    store.revise("seen:1", Revision(title="Mine"))
    store.delete("seen:1")
    store.close()
    lines = [watching.stdout.readline() for _ in range(3)]
    watching.send_signal(signal.SIGINT)
    rest, complaints = watching.communicate(timeout=30)
    assert (0, "", "") == (watching.returncode, rest, complaints)
    if options:
        told = [json.loads(line) for line in lines]
        assert [("created", 2), ("revised", None), ("deleted", None)] == [
            (one["event"], one["last_seq"]) for one in told
        ]
        assert {"seen:1"} == {one["key"] for one in told}
    else:
        assert ["created  seen:1 1-2", "revised  seen:1", "deleted  seen:1"] == [
            line.partition("  line")[0].partition("  Mine")[0].rstrip() for line in lines
        ]
