"""Every command where the disk takes no writes: what can be read is read, what is refused says why."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import httpx
import pytest
from msgspec import Struct

from chatkeep.access.tokens import TokenFile
from chatkeep.errors import StorageDeniedError
from chatkeep.store.files.store import FilesStore
from chatkeep.testing import talk
from tests.cli.called import all_commands
from tests.cli.test_cli_serve import serving
from tests.disks import as_nobody, in_memory, taking_no_writes
from tests.syncing.following import Home, append, line

if TYPE_CHECKING:
    from tests.cli.conftest import Outcome, Run

Kind = Literal["reads", "writes", "makes room", "checks"]
State = Literal["full", "read-only", "foreign"]
KEYS = [f"api:{number}" for number in range(4)]
_SAID = {"role": "user", "content": "x" * 10_000}
REASONS = {"full": "No space is left", "read-only": "can only be read", "foreign": "Permission denied"}


class Case(Struct, frozen=True):
    """How a command is called, and what is to come of it. `{aside}` is a folder on another disk."""

    kind: Kind
    args: str = ""
    code: int = 0
    """Of what reads: that of a workspace that is well."""


# A command that is not here fails the test below: say what is to become of it
CASES: dict[str, Case] = {
    "list": Case("reads", "--json"),
    "show": Case("reads", "api:0"),
    "search": Case("reads", "line --json"),
    "export": Case("reads"),
    "stats": Case("reads", "--json"),
    "usage": Case("reads", "--json"),
    "token list": Case("reads", "--json"),
    "backup": Case("checks", "{aside}/backup.zip --json"),
    "doctor": Case("checks", "--json"),
    "append": Case("writes", "new:1 text --role user"),
    "drop": Case("makes room", "api:2 --last 1"),  # or takes as little as a file has in reserve
    "replace": Case("writes", "api:1 {aside}/list.json"),
    "create": Case("writes", "new:2"),
    "fork": Case("writes", "api:1 new:3"),
    "compact": Case("writes", "api:1"),
    "rename": Case("writes", "api:1 Name"),
    "tag": Case("writes", "api:1 work"),
    "untag": Case("writes", "api:1 work"),
    "pin": Case("writes", "api:1"),
    "hold": Case("writes", "api:1"),
    "release": Case("writes", "api:1"),
    "unpin": Case("writes", "api:1"),
    "archive": Case("writes", "api:1"),
    "unarchive": Case("writes", "api:1"),
    "delete": Case("makes room", "api:2 --yes"),
    "link": Case("writes", "api:1 --person bob"),
    "unlink": Case("writes", "api:3"),
    "people": Case("reads", "alice --json"),
    "prune": Case("reads", "--json"),  # without rules
    "webhooks list": Case("reads", "--json"),  # without any
    "webhooks test": Case("reads", "none", code=3),
    "webhooks dead": Case("reads", "none", code=3),
    "webhooks replay": Case("reads", "none", code=3),
    "trash list": Case("reads", "--json"),
    "trash restore": Case("writes", "gone:1"),
    "trash purge": Case("makes room", "gone:2 --yes"),
    "import": Case("writes", "{aside}/import.jsonl"),
    "sync": Case("writes", "{aside}/history/.claude --once"),
    "restore": Case("writes", "{aside}/kept.zip --add"),
    "reindex": Case("writes"),
    "token create": Case("writes"),
    "token revoke": Case("writes", "{token}"),
    "demo": Case("writes"),
}
LASTING = {"serve", "watch", "chat", "open", "mcp", "mcp install", "db init", "db migrate", "db check"}
"""These run until they are stopped, ask a server, or write elsewhere: see below, `tests/mcp`,
`tests/http/test_refusing_disk.py`, `tests/chat`, `tests/store/postgres`."""


def test_every_command_is_tried() -> None:
    """A new command says what becomes of it where the disk takes no writes."""
    assert set(all_commands()) == {*CASES, *LASTING}


@pytest.mark.parametrize("state", ["full", "read-only", "foreign"])
def test_use_commands_where_nothing_can_be_written(run: Run, monkeypatch: pytest.MonkeyPatch, state: State) -> None:
    """What reads answers as ever, what writes is refused with the reason, and on a full disk deleting works."""
    with _furnished(run, monkeypatch) as (workspace, aside):
        calls = {name: _args(name, case, aside, run) for name, case in CASES.items()}
        before = {name: run(*calls[name], code=case.code) for name, case in CASES.items() if case.kind == "reads"}
        for name in ("reindex", "doctor"):
            run(*calls[name])  # what is imported late is there then, also for who may not read it
        files = _contents(workspace)
        with taking_no_writes(state, workspace):
            for name, case in CASES.items():
                _try(run, state, name, case, calls[name], before)
        assert files == {**_contents(workspace), **({} if state != "full" else _of_key(files, KEYS[2]))}


@pytest.mark.parametrize("state", ["full", "read-only", "foreign"])
def test_use_commands_without_an_index(run: Run, monkeypatch: pytest.MonkeyPatch, state: State) -> None:
    """What reads answers as ever where there is no index, and none can be made."""
    with _furnished(run, monkeypatch) as (workspace, aside):
        calls = {name: _args(name, case, aside, run) for name, case in CASES.items() if case.kind == "reads"}
        before = {name: run(*args, code=CASES[name].code) for name, args in calls.items()}
        for path in workspace.glob("index*"):
            path.unlink()
        with taking_no_writes(state, workspace):
            for name, args in calls.items():
                assert before[name] == run(*args, code=CASES[name].code)


def test_fix_an_index_on_a_full_disk(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor says why the index is not put right, and puts it right once there is room."""
    with _furnished(run, monkeypatch) as (workspace, _):
        for path in workspace.glob("index*"):
            path.unlink()
        with taking_no_writes("full", workspace):
            said = run("doctor", "--fix").out
            assert ("Not done: No space is left" in said, "Done:" in said) == (True, False), said
        assert "Done: brought up to date." in run("doctor", "--fix").out


@pytest.mark.parametrize("has_tokens", [True, False])
@pytest.mark.parametrize("state", ["full", "read-only"])
def test_serve_where_nothing_can_be_written(
    run: Run, monkeypatch: pytest.MonkeyPatch, state: State, *, has_tokens: bool
) -> None:
    """A server reads there; without a token that could be kept it lends one, says so, and keeps nothing of it."""
    with _furnished(run, monkeypatch) as (workspace, _):
        secret = run("token", "create", "--scope", "admin", "--json").json["token"]
        if not has_tokens:
            (workspace / "tokens.json").unlink()
        with taking_no_writes(state, workspace), serving(workspace) as (address, printed):
            if not has_tokens:
                assert REASONS[state] in printed
                secret = re.findall(r"Token: (ck_[A-Za-z0-9_-]{32,})", printed)[0]
            headers = {"Authorization": f"Bearer {secret}"}
            listed = httpx.get(f"{address}/api/v1/sessions", headers=headers).json()["sessions"]
            assert KEYS[:3] == listed
            assert 1 == len(
                httpx.get(f"{address}/api/sessions/search?q=line&limit=1", headers=headers).json()["sessions"]
            )
            refused = httpx.post(f"{address}/api/v1/messages?session=new:1", headers=headers, json=_SAID)
            assert (507 if has_tokens else 403) == refused.status_code
            deleted = httpx.delete(f"{address}/api/v1/sessions/{KEYS[2]}", headers=headers)
            assert (200 if state == "full" else 507) == deleted.status_code
        assert has_tokens == (workspace / "tokens.json").exists()


@pytest.mark.parametrize("state", ["full", "read-only"])
def test_watch_where_nothing_can_be_written(run: Run, monkeypatch: pytest.MonkeyPatch, state: State) -> None:
    """Changes are told as far as there can be any, until Ctrl-C."""
    with _furnished(run, monkeypatch) as (workspace, _), taking_no_writes(state, workspace):
        watching = subprocess.Popen(
            [sys.executable, "-m", "chatkeep", "watch", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=hear_interrupts,  # noqa: PLW1509 - the child is new
        )
        assert watching.stdout is not None
        assert watching.stderr is not None
        assert "Watching; Ctrl-C stops.\n" == watching.stderr.readline()
        if state == "full":
            run("delete", KEYS[2], "--yes")
            assert {"event": "deleted", "key": KEYS[2]}.items() <= json.loads(watching.stdout.readline()).items()
        watching.send_signal(signal.SIGINT)
        assert (0, ("", "")) == (watching.wait(20), watching.communicate())


def test_lend_a_token_where_none_can_be_kept() -> None:
    """It is good for as long as the server runs, and is not lent where it is not known whether there are tokens."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o755)
        tokens = TokenFile(place / "tokens.json")
        with as_nobody():
            with pytest.raises(StorageDeniedError):
                tokens.create_first()
            secret, lent = tokens.lend()
            assert ("read", "delete") == lent.scopes
            assert (lent, lent, (lent,)) == (tokens.find(secret), tokens.get(lent.id), tokens.all())
        assert [] == list(place.iterdir())
        other, kept = TokenFile(place / "tokens.json").create("kept")
        assert (kept, lent) == (tokens.find(other), tokens.find(secret))
        with as_nobody(), pytest.raises(StorageDeniedError):
            TokenFile(place / "tokens.json").lend()


def hear_interrupts() -> None:
    """Let a child hear Ctrl-C although these tests may run in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _try(run: Run, state: State, name: str, case: Case, args: list[str], before: dict[str, Outcome]) -> None:
    if case.kind == "reads":
        assert before[name] == run(*args, code=case.code), name
    elif name == "doctor" and state == "foreign":
        assert {"access", "behind"} == {one["kind"] for one in run(*args, code=7).json["findings"]}
    elif case.kind == "checks" or (case.kind == "makes room" and state == "full"):
        run(*args)
    else:
        refused = run(*args, code=1)
        assert REASONS[state] in refused.err, (name, refused)
        recognised = f"{args[1]} is jsonl: it has a JSON object on each line.\n" if name == "import" else ""
        assert recognised == refused.out, name


def _args(name: str, case: Case, aside: Path, run: Run) -> list[str]:
    token = run("token", "list", "--json").json["tokens"][0]["id"]
    return [*name.split(), *(part.format(aside=aside, token=token) for part in case.args.split())]


@contextmanager
def _furnished(run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, Path]]:
    """Yield a workspace on a disk of its own, with sessions, and a folder beside with something to take in."""
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        place.chmod(0o755)
        disk = stack.enter_context(in_memory(place / "disk"))
        aside = place / "aside"
        aside.mkdir()
        aside.chmod(0o777)
        store = FilesStore.open(disk.workspace)
        for key in KEYS:
            store.append(key, talk(3))
        for key in ("gone:1", "gone:2"):
            store.append(key, talk(3))
            store.delete(key, to_trash=True)
        store.close()
        monkeypatch.setenv("CHATKEEP_WORKSPACE", str(disk.workspace))
        run("token", "create")
        run("link", "api:3", "--person", "alice")
        run("backup", str(aside / "kept.zip"))
        (aside / "import.jsonl").write_text(run("export", KEYS[0], "--format", "jsonl").out.replace(KEYS[0], "other:1"))
        (aside / "list.json").write_text(json.dumps([_SAID]))
        append(Home(aside / "history").transcript(1), line("x" * 10_000))
        run("demo", "--workspace", str(aside / "demo"))
        run("restore", str(aside / "kept.zip"), "--workspace", str(aside / "restored"))
        run("delete", KEYS[3], "--yes")
        yield disk.workspace, aside


def _contents(workspace: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in [*(workspace / "sessions").iterdir(), workspace / "tokens.json"]}


def _of_key(files: dict[str, bytes], key: str) -> dict[str, bytes]:
    start = key.replace(":", "-")
    return {name: data for name, data in files.items() if name.startswith(start)}
