"""Nothing that is stored, named, typed or answered acts on a terminal; JSON and files have it exactly."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from chatkeep import wiring
from chatkeep.access.tokens import TokenFile
from chatkeep.cli import main, screen
from chatkeep.core.model import Header, Message, Session
from chatkeep.store.files.store import FilesStore
from chatkeep.store.files.tree.tree import file_name, kept_name
from chatkeep.testing import draft
from tests.cli.called import all_commands

if TYPE_CHECKING:
    from tests.cli.conftest import Run

ACTS = "\x1b]0;taken\x07\x1b]8;;http://evil\x1b\\\x1b]52;c;aGk=\x07\x1b[2J\x9b31m\x9d0;x\x9c\x90q\x08\r\u202e\u2066\u200f\x7f\u2028"
"""Titles, links and the clipboard, moves and colours, of one byte too; what turns the direction; other line ends."""
NAME = ACTS.replace("/", "")
_OWN = re.compile(r"\x1b\[(?!2J)\??[0-9;]*[A-Za-z]")
_UNSAFE = set("\x07\x08\x9b\x9c\x9d\x90\u202e\u2066\u200f\x7f\u2028\x1b")
KEY = "cli:evil"
# What a command is given beside the options; `{}` is a folder with files of hostile content
ARGS: dict[str, list[list[str]]] = {
    "list": [[], ["--json"], ["--channel", ACTS], ["--since", ACTS], ["--cursor", ACTS], ["--meta", ACTS]],
    "show": [[KEY], [KEY, "--plain"], [KEY, "--json"], [ACTS], [KEY + "x"]],
    "search": [["needle"], ["needle", "--json"], [ACTS], ["--open", f"{KEY}#1", "needle"], ["--open", ACTS]],
    "append": [[KEY, ACTS, "--role", "user"], [ACTS, "x", "--role", "user"], [KEY, "x", "--role", ACTS]],
    "drop": [
        [KEY, "--last", "1"],
        [KEY, "--id", ACTS],
        [ACTS, "--all"],
        [KEY, "--seq", ACTS],
        [KEY, "--all", "--json"],
    ],
    "replace": [[KEY, "{}/none" + NAME], ["x", "{}/" + NAME + ".json"], [ACTS, "{}/none"]],
    "create": [[ACTS], ["a", "--title", ACTS], ["b", "--meta", "x=" + ACTS, "--json"], ["c", "--channel", ACTS]],
    "fork": [[KEY], [KEY, ACTS], [ACTS], [KEY, "d", "--json"]],
    "compact": [[KEY], [ACTS], ["--all", "--json"], ["--channel", ACTS]],
    "rename": [[KEY, "needle"], [KEY, ACTS], [ACTS, "x"]],
    "tag": [[KEY, ACTS], [KEY, "plain"]],
    "untag": [[KEY, ACTS]],
    "pin": [[KEY], [ACTS]],
    "unpin": [[KEY]],
    "hold": [[KEY], [ACTS]],
    "prune": [[], ["--dry-run"], ["--json"]],
    "release": [[KEY]],
    "archive": [[KEY]],
    "unarchive": [[KEY]],
    "link": [[KEY, "--person", ACTS], [KEY, "--person", "a"], [ACTS, "--person", "a"]],
    "people": [[], ["a"], [ACTS], ["--json"]],
    "unlink": [[KEY], [ACTS]],
    "delete": [[ACTS, "--yes"], ["--prefix", ACTS, "--yes"]],
    "webhooks list": [[], ["--json"]],
    "webhooks test": [[ACTS]],
    "webhooks dead": [[ACTS]],
    "webhooks replay": [[ACTS]],
    "trash list": [[], ["--json"], ["--prefix", ACTS]],
    "trash restore": [[ACTS], ["x", "--id", ACTS]],
    "trash purge": [[ACTS, "--yes"], ["--older-than", ACTS], ["--all", "--dry-run"]],
    "export": [[], [KEY], ["--format", "md"], ["--format", ACTS], [KEY, "-o", "{}/no/" + NAME]],
    "import": [["{}/" + NAME + ".json"], ["{}"], ["{}/none" + NAME], ["{}", "--as", ACTS], ["{}", "--timezone", ACTS]],
    "sync": [["{}", "--once"], ["{}/none" + NAME], ["{}", "--as", "codex", "--once"], ["{}", "--as", ACTS]],
    "db init": [["--bad" + ACTS]],
    "db migrate": [["--bad" + ACTS]],
    "db check": [[], ["--bad" + ACTS]],
    "demo": [[]],
    "stats": [[], ["--json"]],
    "usage": [["--by", "session"], ["--by", "tag", "--json"], ["--by", ACTS], ["--session", ACTS], ["--since", ACTS]],
    "doctor": [[], ["--json"], ["--fix"]],
    "backup": [["{}/" + NAME + ".zip"], ["{}/no/" + NAME]],
    "restore": [["{}/" + NAME + ".json"], ["{}/none" + NAME]],
    "reindex": [[]],
    "token create": [["--name", ACTS], ["--scope", ACTS], ["--prefix", ACTS]],
    "token list": [[], ["--json"]],
    "token revoke": [[ACTS]],
    "open": [["--url", ACTS]],
    "mcp": [["--bad" + ACTS]],
    "mcp install": [[ACTS], ["cursor", "--url", ACTS], ["codex", "--url", "http://a.example/" + ACTS]],
    "serve": [["--host", ACTS], ["--model-url", ACTS], ["--port", ACTS]],
    "chat": [["x"], ["--session", ACTS, "x"], ["--model", ACTS, "x"]],
    "watch": [["--bad" + ACTS]],
}


def test_every_command_is_tried() -> None:
    """A new command is tried, too."""
    assert set(all_commands()) == set(ARGS)


@pytest.fixture
def evil(run: Run, workspace: Path, tmp_path: Path) -> Path:
    """Return a folder with hostile files, beside a workspace that has nothing else."""
    run("demo")
    message = Message(
        seq=1,
        id="m",
        role="assistant",
        name="needle",
        content=f"needle {ACTS} [bold]x[/] `{ACTS}` [a]({ACTS})\n\n```{ACTS}\n{ACTS}\n```\n",
        tool_calls=[{"id": ACTS, "function": {"name": ACTS, "arguments": ACTS}}, {ACTS: ACTS}],
        metadata={ACTS: ACTS},
        sent_at=datetime.now(UTC),
    )
    said = Message(seq=2, id="n", role="tool", content=ACTS, name=None, sent_at=datetime.now(UTC))
    header = Header(key=KEY, channel="cli", title="needle", created_at=datetime.now(UTC), metadata={ACTS: ACTS})
    with closing(FilesStore.open(workspace)) as store:
        store.merge(Session(header=header, messages=(message, said)))
        store.append("cli:other", [draft(f"{ACTS} needle")])
    path = workspace / "sessions" / file_name(KEY)
    found = json.loads(path.read_text())
    text = path.read_text().replace('"title":"needle"', f'"title":{json.dumps(ACTS)},"tags":[{json.dumps(ACTS)}]')
    path.write_text(
        text.replace('"name":"needle"', f'"name":{json.dumps(ACTS)}').replace(
            '"channel":"cli"', f'"channel":{json.dumps(ACTS)}', 1
        )
    )
    assert found["key"] == KEY
    (workspace / "sessions" / f"{NAME}.json").write_text(f"{{{ACTS}")
    (workspace / "sessions" / NAME).symlink_to("nowhere")
    (workspace / "tmp" / NAME).write_text(ACTS)
    for name in (NAME, kept_name(NAME, "cut"), kept_name(NAME, "old")):
        (workspace / "quarantine" / name).write_text(ACTS)
    _, token = TokenFile(workspace / "tokens.json").create("needle")
    tokens = workspace / "tokens.json"
    tokens.write_text(tokens.read_text().replace('"needle"', json.dumps(ACTS)))
    tokens.chmod(0o600)
    assert token.name == "needle"
    folder = tmp_path / "evil"
    folder.mkdir()
    (folder / f"{NAME}.json").write_text(json.dumps({"key": ACTS, "messages": [{"role": ACTS, "content": ACTS}]}))
    return folder


def _said(args: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """Return all that a command prints where stdout and stderr are terminals."""
    for stream in (sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(ACTS.encode())))
    with pytest.raises(SystemExit):
        main(args)
    printed = capsys.readouterr()
    return printed.out + printed.err


def _acts(said: str) -> str:
    """Return what acts on a terminal, but the colours and moves of the console's own."""
    return "".join(sorted(set(_OWN.sub("", said)) & _UNSAFE))


@pytest.mark.parametrize("name", ARGS)
def test_print_nothing_that_acts(
    name: str, evil: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of each command: what it shows of the store, of files and of its arguments, and its complaints."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("PAGER", "")
    monkeypatch.setenv("CHATKEEP_MODEL_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("CHATKEEP_MODEL", "m\x1b]0;x\x07")
    monkeypatch.setenv("CHATKEEP_MODEL_RETRIES", "0")
    for given in ARGS[name]:
        args = [*name.split(), *(part.format(evil) if part.startswith("{}") else part for part in given)]
        said = _said(args, monkeypatch, capsys)
        assert said, args
        assert (args, "") == (args, _acts(said)), ascii(said)


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("name", ARGS)
def test_complain_of_any_option_harmlessly(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of each option that takes a value, of each command, with errors as text and as JSON."""
    monkeypatch.setenv("CHATKEEP_DEBUG", "1")
    params = all_commands()[name].params
    options = [param.opts[0] for param in params if param.opts[0].startswith("-") and not param.is_flag]
    for option in ["--bad" + ACTS, *options]:
        for more in ([], ["--json"]):
            said = _said([*name.split(), option, ACTS, "--nonsense" + ACTS, *more], monkeypatch, capsys)
            assert (option, "") == (option, _acts(said)), ascii(said)


def test_export_exactly_but_to_a_terminal(
    evil: Path, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where programs read, a session is exported as it is; on a terminal JSON stays JSON and means the same."""
    run("export", KEY, "--output", str(evil / "out"))
    exact = json.loads((evil / "out").read_bytes())
    assert ACTS in exact["messages"][0]["content"]
    said = _said(["export", KEY], monkeypatch, capsys)
    assert exact == json.loads(said[: said.rindex("}") + 1])


def test_log_what_others_say_harmlessly() -> None:
    """A line of the log is one line, and nothing in it acts."""
    root = logging.getLogger()
    kept, level, root.handlers = root.handlers, root.level, []
    try:
        wiring.start_log()
        (handler,) = root.handlers
        record = logging.LogRecord("x", logging.INFO, "", 1, "%s\nfake line", (ACTS,), None)
        line = handler.format(record)
    finally:
        root.handlers = kept
        root.setLevel(level)
    assert ("", 1) == (_acts(line), len(line.splitlines()))


def test_draw_nothing_that_acts_whoever_prints(capsys: pytest.CaptureFixture[str]) -> None:
    """The console itself lets nothing through, in sentences, progress and tables."""
    screen.say(f"raw {ACTS}")
    with screen.count_bar(ACTS) as on_progress:
        on_progress(1, 2)
    screen.show_table((ACTS,), [(ACTS,)])
    printed = capsys.readouterr()
    assert ("", "") == (_acts(printed.out), _acts(printed.err))
    assert os.linesep in printed.out
