"""Carrying sessions out and in from the command line, and the samples."""

from __future__ import annotations

import json
import shutil
import stat
import zipfile
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import zstandard

from chatkeep.core.model import Summary
from chatkeep.sessions.sessions import Sessions

if TYPE_CHECKING:
    from tests.cli.conftest import Run

SAMPLES = Path(__file__).parent.parent / "importers" / "samples"
RECORD = '{"key":"telegram:7","created_at":"2024-01-01T09:00:00+09:00","messages":[{"role":"user","content":"東京"}]}\n'


def test_add_the_samples(run: Run) -> None:
    """The samples fill many channels, come with their licences, and are added once."""
    added = run("demo")
    again = run("demo", "--json").json
    assert "Imported 11 new" in added.out
    assert "chatkeep list" in added.out
    assert (0, 0, 0) == (again["sessions_created"], again["messages_added"], len(again["errors"]))
    channels = {one["channel"] for one in run("list", "--all", "--json").json["sessions"]}
    assert {"telegram", "discord", "slack", "web", "api", "cli"} <= channels
    names = {file.name for file in files("chatkeep.demo").iterdir()}
    assert {"LICENSE.pi-mono.txt", "LICENSE.tau-bench.txt", "README.md", "sessions.jsonl"} <= names
    assert len(files("chatkeep.demo").joinpath("sessions.jsonl").read_bytes()) < 150_000


@pytest.mark.parametrize("fmt", ["json", "jsonl"])
def test_export_and_import_everything(run: Run, tmp_path: Path, fmt: str) -> None:
    """Export, import into an empty workspace, export again: the same bytes; the file is for its owner alone."""
    first, second, other = tmp_path / f"1.{fmt}", tmp_path / f"2.{fmt}", str(tmp_path / "other")
    run("demo")
    run("export", "--format", fmt, "--output", str(first))
    report = run("import", str(first), "--workspace", other, "--json").json
    run("export", "--format", fmt, "--output", str(second), "--workspace", other)
    assert (11, []) == (report["sessions_created"], report["errors"])
    assert first.read_bytes() == second.read_bytes()
    assert 0o600 == stat.S_IMODE(first.stat().st_mode)


def test_export_one_session(run: Run, workspace: Path) -> None:
    """One session goes to stdout as the bytes of its file in the workspace, without the reserved space."""
    run("append", "a/b", "hé", "--role", "user")
    (file,) = (workspace / "sessions").glob("*.json")
    assert file.read_text().rstrip("\n") + "\n" == run("export", "a/b").out
    assert run("export", "a/b", "--format", "md").out.startswith("# hé\n")


def test_export_deleted_meanwhile(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that is deleted between the look at it and the reading is told as missing; no empty file is left."""
    run("append", "a", "x", "--role", "user")
    get = Sessions.get

    def deleted_after(sessions: Sessions, key: str) -> Summary:
        found = get(sessions, key)
        sessions.delete(key)
        return found

    monkeypatch.setattr(Sessions, "get", deleted_after)
    run("export", "a", "--output", str(tmp_path / "out.json"), code=3)
    assert not (tmp_path / "out.json").exists()


def test_export_nothing(run: Run, tmp_path: Path) -> None:
    """Without sessions, or without this one, no file is written."""
    output = tmp_path / "out.json"
    run("export", "--output", str(output), code=3)
    run("export", "missing", "--output", str(output), code=3)
    run("append", "a", "x", "--role", "user")
    run("export", "--format", "xml", "--output", str(output), code=2)
    nowhere = tmp_path / "no" / "out.json"
    assert f"{nowhere}: No such file or directory.\n" == run("export", "--output", str(nowhere), code=1).err
    assert [] == list(tmp_path.glob("*out*"))


def test_export_beside_a_damaged_session(run: Run, workspace: Path) -> None:
    """Damaged sessions are left out and named; all others are exported."""
    run("append", "good", "x", "--role", "user")
    run("append", "bad", "x", "--role", "user")
    (file,) = (workspace / "sessions").glob("bad*.json")
    file.write_bytes(b"\0" * 4096)
    exported = run("export", "--format", "jsonl", code=7)
    assert file.name in exported.err
    assert ["good"] == [json.loads(line)["key"] for line in exported.out.splitlines()]


def test_import_dry_run(run: Run, tmp_path: Path) -> None:
    """A dry run says what would come, and stores nothing."""
    path = tmp_path / "a.jsonl"
    path.write_text(RECORD)
    assert "Would import 1 new" in run("import", str(path), "--dry-run").out
    assert 0 == run("list", "--json").json["total"]
    assert "Imported 1 new" in run("import", str(path)).out
    assert "Nothing new: 1 message" in run("import", str(path)).out
    assert "Nothing new" in run("import", str(path), "--dry-run").out


def test_import_leaves_out_deleted_sessions(run: Run, tmp_path: Path) -> None:
    """Deleted sessions stay away if asked to, named with the way to bring them back; nothing else is no success."""
    exported = tmp_path / "all.jsonl"
    for key in ("a", "b"):
        run("append", key, "x", "--role", "user")
    run("export", "--format", "jsonl", "--output", str(exported))
    run("delete", "a", "--yes")
    kept = run("import", str(exported), "--leave-deleted")
    assert "1 session left out that was deleted here: a. --restore-deleted brings it back." in kept.err
    assert "1 message is here already" in kept.out
    run("delete", "b", "--yes")
    foretold = run("import", str(exported), "--leave-deleted", "--dry-run", "--json", code=4).json
    report = run("import", str(exported), "--leave-deleted", "--json", code=4).json
    assert (["a", "b"], 2, 0, []) == (
        report["left_out"],
        report["sessions_left_out"],
        report["sessions_created"],
        report["errors"],
    )
    assert foretold == report
    assert "Imported 2 new" in run("import", str(exported)).out
    assert "2 messages are here already" in run("import", str(exported)).out


def test_import_of_another_program_leaves_out_deleted_sessions(run: Run, tmp_path: Path) -> None:
    """A history that is imported again and again brings back what was deleted here only when asked to."""
    path = tmp_path / "sharegpt.jsonl"
    path.write_text('{"id":"a","conversations":[{"from":"human","value":"hi"},{"from":"gpt","value":"yo"}]}\n')
    assert "Imported 1 new" in run("import", str(path)).out
    key = run("list", "--json").json["sessions"][0]["key"]
    run("delete", key, "--yes")
    assert f"deleted here: {key}." in run("import", str(path), code=4).err
    assert "Imported 1 new" in run("import", str(path), "--restore-deleted").out


def test_import_names_each_flaw(run: Run, tmp_path: Path) -> None:
    """What can be imported is, each flaw is named, and the exit code tells that something failed."""
    path = tmp_path / "a.jsonl"
    path.write_text("{broken\n" + RECORD + '{"key":"x","messages":[{"role":"user","content":"a\\u0000b"}]}\n')
    partly = run("import", str(path), code=1)
    assert "Imported 2 new" in partly.out
    assert "line 1" in partly.err
    assert "line 3, message 1: Characters that cannot be stored were replaced by U+FFFD." in partly.err
    assert 2 == len(run("import", str(path), "--json", code=1).json["errors"])
    again = run("import", str(path), code=1)
    assert again.out.endswith("\nNothing new: 2 messages are here already.\n")
    assert "line 1" in again.err


def test_preview_an_import(run: Run, tmp_path: Path) -> None:
    """A preview says the format and why, counts, and shows the first sessions; nothing is stored."""
    said = '[{"role":"user","content":"What is rye?","timestamp":"2024-01-15T10:30:00Z"}]'
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f'{{"key":"a:{number}","messages":{said}}}\n' for number in range(5)))
    lines = run("import", str(path), "--dry-run").out.splitlines()
    assert [f"{path} is jsonl: it has a JSON object on each line.", "Would import 5 new"] == [lines[0], lines[1][:18]]
    assert [f"  a:{number} \u00b7 2024-01-15 \u00b7 What is rye?" for number in range(3)] == lines[2:]
    assert "Imported 5 new" in run("import", str(path), "--as", "jsonl").out


def test_import_a_zip_archive(run: Run, tmp_path: Path) -> None:
    """A zip archive is named as the user did, not as the folder that it is unpacked to; a hostile one is refused."""
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.write(SAMPLES / "chatgpt" / "gpt_example.json", "conversations.json")
    done = run("import", str(path))
    assert f"{path} is chatgpt: it has conversations with ChatGPT's mapping.\n" in done.out
    assert "Imported 1 new and 0 extended sessions with 12 messages." in done.out
    with zipfile.ZipFile(path, "a") as packed:
        packed.writestr("../conversations.json", "[]")
    assert "leads out of the archive" in run("import", str(path), code=2).err


def test_import_of_a_refused_session_alone(run: Run, tmp_path: Path) -> None:
    """A file of which nothing can be used is no `Nothing new`."""
    path = tmp_path / "a.jsonl"
    path.write_text('{"key":"x","messages":[{"role":"user","content":7}]}\n')
    refused = run("import", str(path), code=2)
    assert f"{path} is jsonl: it has a JSON object on each line.\n" == refused.out
    assert refused.err.startswith("Nothing was imported.\na.jsonl, line 1, message 1: It was left out: content")


@pytest.mark.parametrize("args", [(), ("--as", "json"), ("--as", "jsonl"), ("--as", "grip")])
def test_import_empty_file(run: Run, tmp_path: Path, args: tuple[str, ...]) -> None:
    """An empty file is called that, and nothing else."""
    (tmp_path / "a.jsonl").touch()
    assert "is empty" in run("import", str(tmp_path / "a.jsonl"), *args, code=2).err


def test_import_cut_file(run: Run, tmp_path: Path) -> None:
    """A file that was cut between two blocks of its compression is no success, also when all that is left is good."""
    pack = zstandard.ZstdCompressor().compressobj()
    head = pack.compress(RECORD.encode()) + pack.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    (tmp_path / "a.jsonl.zst").write_bytes(head)
    for said in ("Imported 1 new", "Nothing new: 1 message is here already."):
        partly = run("import", str(tmp_path / "a.jsonl.zst"), code=1)
        assert said in partly.out
        assert "a.jsonl.zst: The compressed data is damaged: it ends too early.\n" == partly.err


@pytest.mark.parametrize("content", ["", "\n\n", "[3]", "{}", "nonsense", "{broken\n{broken\n", '{"key":"a"}'])
@pytest.mark.parametrize("fmt", ["json", "jsonl", "grip", "pocketpaw"])
def test_import_of_nothing_is_no_success(run: Run, tmp_path: Path, content: str, fmt: str) -> None:
    """A file without sessions ends with a sentence and exit code 2, whatever it was taken for."""
    path = tmp_path / "a.json"
    path.write_text(content)
    refused = run("import", str(path), "--as", fmt, code=2)
    assert refused.err.strip()
    assert "" == refused.out
    assert 0 == run("list", "--json").json["total"]


@pytest.mark.parametrize(
    "args", [("missing.json",), (".",), ("a.json", "--as", "word"), ("a.json", "--timezone", "Mars/Base"), ()]
)
def test_import_refused(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...]) -> None:
    """A path that is not there, an empty folder, an unknown format or zone: exit code 2 and a sentence."""
    monkeypatch.chdir(tmp_path)
    if "a.json" in args:
        (tmp_path / "a.json").write_text(RECORD)
    assert run("import", *args, code=2).err.strip()


def test_import_other_programs(run: Run) -> None:
    """Folders of PocketPaw and grip are known by their content, several at once."""
    report = run(
        "import", str(SAMPLES / "pocketpaw"), str(SAMPLES / "grip"), "--timezone", "Europe/Oslo", "--json"
    ).json
    assert (5, 18, []) == (report["sessions_created"], report["messages_added"], report["errors"])
    created = {one["id"]: one["created_at"] for one in run("list", "--json").json["sessions"]}
    assert "2026-11-21T00:54:01.806484Z" == created["discord:1_2"]
    assert "user:alice:project-planning" in created


def test_import_a_folder_of_many_formats(run: Run, tmp_path: Path) -> None:
    """Each file of a mixture goes to its own importer; a file of no known format is named, and costs nothing."""
    shutil.copytree(SAMPLES / "codex", tmp_path / "a" / ".codex")
    shutil.copytree(SAMPLES / "nanobot" / "workspace", tmp_path / "a" / "b")
    (tmp_path / "a" / "settings.json").write_text("{}")
    said = run("import", str(tmp_path / "a"))
    assert "Imported 7 new" in said.out
    assert "no importer knows them" in said.err
    assert "settings.json" in said.err
    assert "Nothing new" in run("import", str(tmp_path / "a")).out


def test_import_hostile_names(run: Run, tmp_path: Path) -> None:
    """What a file says of itself does not act on the terminal when its flaws are named."""
    path = tmp_path / "a.jsonl"
    path.write_text(
        json.dumps({"key": "\x1b[2J\u202e", "messages": [{"role": "\x1b]0;x\x07", "content": "x"}]}) + "\n" + RECORD
    )
    assert not set(run("import", str(path), code=1).err) & set("\x1b\x07\u202e")


def test_export_chosen_sessions(run: Run, tmp_path: Path) -> None:
    """Several keys, or filters, choose sessions; both at once are refused, and a choice of nothing is an error."""
    run("demo")
    keys = [one["key"] for one in run("list", "--all", "--json").json["sessions"]]
    named = run("export", keys[0], keys[1], keys[0], "--format", "jsonl").out
    assert keys[:2] == [json.loads(line)["key"] for line in named.splitlines()]
    told = run("export", "--prefix", "telegram:", "--format", "openai").out
    assert {"telegram"} == {json.loads(line)["key"].partition(":")[0] for line in told.splitlines()}
    assert "either keys or filters" in run("export", keys[0], "--channel", "cli", code=2).err
    assert "No session matches" in run("export", "--tag", "nobody", code=3).err
    run("export", keys[0], "nobody", code=3)


def test_import_an_exported_archive(run: Run, tmp_path: Path) -> None:
    """An archive comes back whole, recognised by itself, its list left alone."""
    archive, other = tmp_path / "all.zip", str(tmp_path / "other")
    run("demo")
    run("export", "--format", "zip", "--output", str(archive))
    assert "Left out" not in (imported := run("import", str(archive), "--workspace", other)).err
    assert "Imported 11 new" in imported.out
    assert run("export", "--format", "jsonl").out == run("export", "--format", "jsonl", "--workspace", other).out


@pytest.mark.parametrize("tool,variable", [("claude-code", "CLAUDE_CONFIG_DIR"), ("codex", "CODEX_HOME")])
def test_hand_over_a_session(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str, variable: str
) -> None:
    """A session becomes a new file in the tool's folder, once; the way to resume it is told."""
    home = tmp_path / "home"
    monkeypatch.setenv(variable, str(home))
    run("append", "a", "Hello", "--role", "user")
    assert "is there no" not in (missing := run("export", "a", "--to", tool, code=3)).err
    assert "--output" in missing.err
    home.mkdir()
    told = run("export", "a", "--to", tool).out
    (written,) = (path for path in home.rglob("*") if path.is_file())
    assert str(written) in told
    assert "resume" in told
    assert "already" in run("export", "a", "--to", tool, code=4).err
    run("export", "a", "--to", tool, "--output", str(tmp_path / "elsewhere.jsonl"))
    assert written.read_bytes() == (tmp_path / "elsewhere.jsonl").read_bytes()
    again = run("export", "a", "--to", tool, "--output", str(tmp_path / "elsewhere.jsonl"), code=4)
    assert "name another file" in again.err
    assert "keys or filters" in run("export", "a", "--to", tool, "--channel", "cli", code=2).err
    assert "one session" in run("export", "--to", tool, code=2).err
    run("export", "a", "--to", "nobody", code=2)


def test_redact_an_import_and_an_export(run: Run, tmp_path: Path, workspace: Path) -> None:
    """A masked secret is in no file, no index and no words of a command; its kind and number are told."""
    canary = "sk-proj-c4n4ryZq8Xv2Lk9Rt5Wm3Pd7Hs1Bn6"
    record = {"key": "a", "messages": [{"role": "user", "content": f"Use {canary}", "id": "1"}]}
    source = tmp_path / "source.json"
    source.write_text(json.dumps(record))
    told = run("import", str(source), "--redact")
    assert "Masked 1 api key." in told.err
    assert "1 message is here already" in run("import", str(source), "--redact").out
    kept = [path.read_bytes() for path in workspace.rglob("*") if path.is_file()]
    assert not any(canary.encode() in content for content in kept)
    run("import", str(source), "--workspace", str(other := tmp_path / "other"))
    shown = run("export", "a", "--redact", "--format", "md", "--workspace", str(other))
    assert "Use \\[redacted: api key\\]" in shown.out or "Use [redacted: api key]" in shown.out
    assert canary not in shown.out + shown.err + told.out + told.err
    assert "No secrets" in run("export", "a", "--redact").err
