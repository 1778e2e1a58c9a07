"""Folders of other servers: read as those servers read them, and by an import."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from chatkeep.cli.laying_out import lay_out
from chatkeep.core.model import Draft, Revision, Session
from chatkeep.exporters.layouts import LAYOUTS
from chatkeep.store.files.store import FilesStore
from chatkeep.store.memory import MemoryStore
from chatkeep.testing import at
from tests.cli.conftest import Run

CALL = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"n": 1312292042121000001}'}}
LOST = {"id": "c2", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
TALK = [
    Draft(role="system", content="Be kind", id="m1", sent_at=at(0)),
    Draft(role="user", content="How warm is it?", sent_at=at(1), id="one"),
    Draft(role="assistant", content=None, tool_calls=[CALL], id="m2", sent_at=at(2)),
    Draft(role="tool", content="-3 °C", tool_call_id="c1", id="m3", sent_at=at(3)),
    Draft(role="assistant", content="It is -3 °C.", id="m4", sent_at=at(4), metadata={"model": "m"}),
    Draft(role="event", content=None, metadata={"state": 1}, id="m5", sent_at=at(5)),
    Draft(role="assistant", content=None, tool_calls=[LOST], id="m6", sent_at=at(6)),
]
SAID = ["Be kind", "How warm is it?", "It is -3 °C."]


@pytest.fixture
def laid(workspace: Path) -> Path:
    """Store a conversation, one whose file would have the same name, one that says nothing, and a long key."""
    store = FilesStore.open(workspace)
    store.append("telegram:1/2", TALK)
    store.revise("telegram:1/2", Revision(title="Weather"))
    store.append("telegram:1:2", TALK[:2])
    store.append("telegram:3", TALK[5:6])
    store.append("telegram:" + "天" * 110, TALK[:2])
    store.close()
    return workspace


def _read(folder: Path, name: str) -> Any:  # noqa: ANN401 - JSON of another server
    return json.loads((folder / "sessions" / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.usefixtures("laid")
@pytest.mark.parametrize("tool", ["pocketpaw", "grip"])
def test_write_a_folder(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str) -> None:
    """All that the server can keep is there, what it cannot keep is told, and an import finds the same words."""
    told = run("export", "--to", tool, "--output", str(tmp_path / "theirs"))
    names = sorted(path.name for path in (tmp_path / "theirs" / "sessions").iterdir())
    index = ["_index.json"] if tool == "pocketpaw" else []
    assert [*index, "telegram_1_2.json"] == names
    assert "Wrote 1 session" in told.out
    assert "another session has the file telegram_1_2.json" in told.err
    assert "telegram:3 is left out: it has nothing" in told.err
    assert "too long for the name of a file" in told.err

    monkeypatch.setenv("CHATKEEP_WORKSPACE", str(tmp_path / "again"))
    run("import", str(tmp_path / "theirs"))
    (key,) = (one["id"] for one in run("list", "--json").json["sessions"])
    messages = run("show", key, "--json").json["messages"]
    assert SAID == [
        one["content"] for one in messages if one["role"] in ("system", "user", "assistant") if one["content"]
    ]


@pytest.mark.usefixtures("laid")
def test_write_what_pocketpaw_reads(run: Run, tmp_path: Path) -> None:
    """Each message has the fields that PocketPaw asks for, and the index names the session as its list does."""
    run("export", "telegram:1/2", "--to", "pocketpaw", "--output", str(tmp_path))
    messages = _read(tmp_path, "telegram_1_2")
    assert SAID == [one["content"] for one in messages]
    assert [at(0), at(1), at(4)] == [datetime.fromisoformat(one["timestamp"]) for one in messages]
    assert {"id", "role", "content", "timestamp", "metadata"} == set(messages[0])
    assert {"model": "m"} == messages[-1]["metadata"]
    entry = _read(tmp_path, "_index")["telegram_1_2"]
    assert ("Weather", "Weather", "telegram", 3, SAID[-1]) == tuple(
        entry[name] for name in ("title", "user_title", "channel", "message_count", "preview")
    )


@pytest.mark.usefixtures("laid")
def test_write_what_grip_reads(run: Run, tmp_path: Path) -> None:
    """Calls stand before their results, with their arguments exactly; a call without a result is left out."""
    run("export", "telegram:1/2", "--to", "grip", "--output", str(tmp_path))
    told = _read(tmp_path, "telegram_1_2")
    assert ("telegram:1/2", at(0).timestamp()) == (told["key"], told["created_at"])
    assert ["system", "user", "assistant", "tool", "assistant"] == [one["role"] for one in told["messages"]]
    call, result = told["messages"][2:4]
    assert [{"id": "c1", "function_name": "look_up", "arguments": {"n": 1312292042121000001}}] == call["tool_calls"]
    assert ("c1", "-3 °C", "look_up") == (result["tool_call_id"], result["content"], result["name"])


def test_leave_out_what_pocketpaw_keeps(run: Run, workspace: Path, tmp_path: Path) -> None:
    """No session takes the name of the index, of the aliases or of a summary; the others are written."""
    store = FilesStore.open(workspace)
    for key in ("_index", "_aliases", "cli:a_compaction", "cli:a"):
        store.append(key, TALK[:2])
    store.close()
    told = run("export", "--to", "pocketpaw", "--output", str(tmp_path / "theirs"))
    assert {"_index.json", "cli_a.json"} == {path.name for path in (tmp_path / "theirs" / "sessions").iterdir()}
    assert ["cli_a"] == list(_read(tmp_path / "theirs", "_index"))
    assert 3 == told.err.count("for itself")


def test_leave_no_part_of_a_folder(tmp_path: Path) -> None:
    """A stopped command leaves no folder: half of the sessions would look like all, and stop the next attempt."""
    store = MemoryStore()
    store.append("a", TALK)

    def stopped() -> Iterator[Session]:
        yield store.read("a")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lay_out(LAYOUTS["grip"], stopped(), tmp_path)
    assert [] == list(tmp_path.iterdir())


@pytest.mark.usefixtures("laid")
def test_refuse_a_folder(run: Run, tmp_path: Path) -> None:
    """A folder must be named and must be new; nothing is written where no session fits."""
    assert "name the folder" in run("export", "--to", "grip", code=2).err
    run("export", "telegram:1:2", "--to", "grip", "--output", str(tmp_path))
    assert "is there already" in run("export", "--to", "grip", "--output", str(tmp_path), code=4).err
    run("export", "telegram:3", "--to", "grip", "--output", str(tmp_path / "none"), code=3)
    assert not (tmp_path / "none" / "sessions").exists()
