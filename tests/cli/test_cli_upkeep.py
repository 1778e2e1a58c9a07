"""Looking after a workspace and its tokens from the command line."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from chatkeep.access.page_sessions import PageSessions
from chatkeep.access.tokens import TokenFile
from chatkeep.store.files.index.index import Index
from chatkeep.store.files.store import FilesStore

if TYPE_CHECKING:
    from tests.cli.conftest import Run


def test_count_everything(run: Run, workspace: Path) -> None:
    """Counts, channels and the largest sessions are shown."""
    run("demo")
    facts = run("stats", "--json").json
    assert str(workspace) == facts["workspace"]
    assert (11, {"telegram": 2}.items() <= facts["status"]["channels"].items()) == (
        facts["status"]["session_count"],
        True,
    )
    for name, column in (("largest", "size_bytes"), ("longest", "message_count")):
        sizes = [one[column] for one in facts[name]]
        assert (10, sorted(sizes, reverse=True)) == (len(sizes), sizes)
    assert facts["message_count"] == sum(one["message_count"] for one in facts["periods"])
    assert 11 == sum(one["session_count"] for one in facts["channels"])
    shown = run("stats").out
    assert "11 sessions" in shown
    assert re.search(r"^2024-05 +8 +151$", shown, re.MULTILINE)
    assert re.search(r"^telegram +2 +26$", shown, re.MULTILINE)
    assert re.search(r"^voucher +1$", shown, re.MULTILINE)
    assert "must be one of month, day" in run("stats", "--unit", "week", code=2).err
    run("append", "today", "Hi", "--role", "user")
    (today,) = run("stats", "--unit", "day", "--json").json["periods"]
    assert (1, 1) == (today["session_count"], today["message_count"])
    assert re.search(r"^20\d\d-\d\d-\d\d +1 +1$", run("stats", "--unit", "day").out, re.MULTILINE)
    FilesStore.open(workspace / "empty").close()
    assert "0 sessions, 0 messages" in run("stats", "--workspace", str(workspace / "empty")).out


def test_rebuild_the_index(run: Run, workspace: Path) -> None:
    """Building the index anew, or removing it, changes no answer."""
    run("demo")
    listed = run("list", "--all", "--json").out
    assert 11 == run("reindex", "--json").json["session_count"]
    assert listed == run("list", "--all", "--json").out
    for file in workspace.glob("index*"):
        file.unlink()
    assert listed == run("list", "--all", "--json").out


@pytest.mark.parametrize("is_there", [True, False])
def test_reindex_once(run: Run, workspace: Path, monkeypatch: pytest.MonkeyPatch, *, is_there: bool) -> None:
    """The index is built once, also where there was none."""
    run("demo")
    if not is_there:
        for path in workspace.glob("index*"):
            path.unlink()
    built: list[Index] = []
    finish = Index.finish

    def counted(index: Index) -> None:
        built.append(index)
        finish(index)

    monkeypatch.setattr(Index, "finish", counted)
    assert 11 == run("reindex", "--json").json["session_count"]
    assert 1 == len(built)


@pytest.mark.usefixtures("empty")
def test_find_what_is_damaged(run: Run, workspace: Path) -> None:
    """Every damaged or foreign file is named with a reason and advice; nothing is changed; the others are served."""
    assert "All files are well." in run("doctor").out
    run("demo")
    for text in ("one", "two", "three"):
        run("append", "hurt", text, "--role", "user")
    sessions = workspace / "sessions"
    (damaged,) = sessions.glob("hurt*")
    content = damaged.read_bytes()
    damaged.write_bytes(content.replace(b'{"seq":2,', b'{"seq":x,'))
    (sessions / "notes.json").write_text("[]")
    (sessions / "link.json").symlink_to(damaged)
    before = {file: file.read_bytes() for file in sessions.iterdir()}
    found = {Path(one["file"]).name: one for one in run("doctor", "--json", code=7).json["findings"]}
    index = next(workspace.glob("index-*")).name
    assert {damaged.name, "notes.json", "link.json", index} == set(found)
    assert all(one["reason"] and one["advice"] for one in found.values())
    assert "damaged" == found[damaged.name]["kind"]
    assert "need care" in run("doctor", code=7).out
    assert before == {file: file.read_bytes() for file in sessions.iterdir()}
    assert 12 == len(run("list", "--all", "--json").json["sessions"])
    key = found[damaged.name]["key"]
    assert "doctor" in run("append", key, "x", "--role", "user", code=7).err
    run("delete", key, "--yes")
    run("show", key, code=3)


@pytest.mark.usefixtures("empty")
def test_find_what_repairs_cut_off(run: Run, workspace: Path) -> None:
    """Bytes that a repair cut off are named with their session and their place, for they may hold what was said."""
    assert [] == run("doctor", "--json").json["cuts"]
    run("append", "torn", "one", "--role", "user")
    (file,) = (workspace / "sessions").glob("torn*")
    for said in ("two", "three"):
        written = file.read_bytes()
        end = written.rindex(b"],")
        file.write_bytes(written[:end] + b',{"seq":2,"role":"user","content":"' + said.encode())
        os.utime(file, (0, 0))
        run("append", "torn", said, "--role", "user")
    kept = sorted(path.name for path in (workspace / "quarantine").iterdir())
    (cut,) = run("doctor", "--json").json["cuts"]
    assert (file.name, "torn", 2) == (cut["file"], cut["key"], cut["count"])
    assert [f"quarantine/{name}" for name in kept] == cut["names"]
    assert [cut] == run("stats", "--json").json["cuts"]
    told = run("doctor").out
    assert str(workspace / "quarantine") in told
    assert f"2 cuts of {file.name} (torn)" in told
    assert "1 file" in run("stats").out


def test_put_right_what_can_be(run: Run, workspace: Path) -> None:
    """What would be done is said, then done, and said again; what is left needs care until somebody has cared."""
    for key in ("torn", "hurt", "pipe"):
        for text in ("one", "two", "three"):
            run("append", key, text, "--role", "user")
    torn, hurt, pipe = (next((workspace / "sessions").glob(f"{key}-*")) for key in ("torn", "hurt", "pipe"))
    torn.write_bytes(torn.read_bytes().rstrip(b"\n") + b"half")
    hurt.write_bytes(hurt.read_bytes().replace(b'{"seq":2,', b'{"seq":x,'))
    pipe.unlink()
    os.mkfifo(pipe)
    for path in (torn, hurt):
        os.utime(path, (0, 0))
    told = run("doctor", code=7).out
    assert 2 == told.count("`chatkeep doctor --fix` ") - told.count("brings it up to date")
    assert "2 files need care." in told
    facts = run("doctor", "--fix", "--json", code=7).json
    outcomes = {Path(one["file"]).name: one["done"] is not None for one in facts["findings"]}
    assert {torn.name: True, hurt.name: False, pipe.name: True}.items() <= outcomes.items()
    assert (1, 1, 1) == (facts["need_care"], len(facts["cuts"]), len(facts["set_aside"]))
    assert (workspace / facts["set_aside"][0]).is_fifo()
    assert "1 file needs care." in run("doctor", "--fix", code=7).out
    run("append", "torn", "four", "--role", "user")
    run("append", "pipe", "anew", "--role", "user")
    run("delete", "hurt", "--yes")
    assert "All files are well." in run("doctor").out
    assert "1 file set aside" in run("doctor", "--fix").out


def test_look_at_nothing(run: Run, workspace: Path) -> None:
    """Looking for damage in a workspace that does not exist makes none, and finds nothing well."""
    assert f"There is no workspace in {workspace}." in run("doctor", code=3).err
    assert not workspace.exists()


def test_find_a_damaged_token_file(run: Run, workspace: Path) -> None:
    """A token file that cannot be read is named as well."""
    run("token", "create")
    (workspace / "tokens.json").write_text("{")
    assert "tokens.json" in run("doctor", code=7).out


def test_make_list_and_revoke_tokens(run: Run, workspace: Path) -> None:
    """A token is printed once, listed without its secret, and revoked by its id or itself."""
    secret = run(
        "token", "create", "--name", "bot", "--scope", "read", "--prefix", "telegram:", "--rate", "9"
    ).out.strip()
    other = run("token", "create", "--expires", "30d", "--json").json
    assert re.fullmatch(r"ck_[A-Za-z0-9_-]{32,}", secret)
    first, second = run("token", "list", "--json").json["tokens"]
    assert ("bot", ["read"], "telegram:", 9, None) == tuple(
        first[name] for name in ("name", "scopes", "prefix", "rate", "expires_at")
    )
    assert (["read", "write"], False) == (second["scopes"], second["expired"])
    assert secret not in run("token", "list").out + (workspace / "tokens.json").read_text()
    assert 0o600 == stat.S_IMODE((workspace / "tokens.json").stat().st_mode)
    assert first["id"] in run("token", "revoke", secret).out
    assert other["id"] == run("token", "revoke", other["id"], "--json").json["revoked"]["id"]
    assert "No token" in run("token", "revoke", secret, code=3).err
    assert "No tokens." in run("token", "list").out


def test_list_and_end_page_sessions(run: Run, workspace: Path) -> None:
    """Browsers that signed in are listed with their token and their time, and ended by their id or with their token."""
    secret = run("token", "create", "--name", "bot").out.strip()
    pages = PageSessions(TokenFile(workspace / "tokens.json"))
    token = TokenFile(workspace / "tokens.json").find(secret)
    browser = "Mozilla/5.0 (X11; Linux x86_64) Firefox/130.0"
    pasted, linked, other = (pages.open(by, browser=browser) for by in (token, None, token))
    listed = run("token", "list").out
    assert "Signed in to the page:" in listed
    assert re.search(rf"{pasted[1].id} +bot +Firefox on Linux +20.* UTC +20.* UTC", listed)
    assert re.search(rf"{linked[1].id} +a sign-in link ", listed)
    assert not re.search(r"ckp_", listed + run("token", "list", "--json").out)
    told = run("token", "list", "--json").json["page_sessions"]
    assert [(token.id, "bot"), (None, None), (token.id, "bot")] == [
        (one["token_id"], one["token_name"]) for one in told
    ]
    assert f"Ended page session {pasted[1].id}." in run("token", "revoke", pasted[1].id).out
    assert linked[1].id == run("token", "revoke", linked[0], "--json").json["revoked"]["id"]
    assert [other[1].id] == [one["id"] for one in run("token", "list", "--json").json["page_sessions"]]
    run("token", "revoke", secret)
    assert [] == run("token", "list", "--json").json["page_sessions"]
    assert "No token or page session" in run("token", "revoke", other[1].id[:-1], code=3).err


@pytest.mark.parametrize(
    "args",
    [
        ("--scope", "all"),
        ("--expires", "soon"),
        ("--expires", "0s"),
        ("--rate", "-1"),
        ("--prefix", " x"),
        ("--name", "\x1b"),
    ],
)
@pytest.mark.usefixtures("empty")
def test_make_a_bad_token(run: Run, args: tuple[str, ...]) -> None:
    """A value that breaks its rule is named, and no token is made."""
    assert run("token", "create", *args, code=2).err
    assert [] == run("token", "list", "--json").json["tokens"]
