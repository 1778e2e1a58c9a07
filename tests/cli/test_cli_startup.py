"""A command loads what it needs. Modules are counted, no time is measured; `bench/startup.py` measures it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chatkeep.cli.db_tables import db_app
from chatkeep.cli.deleted import trash_app
from chatkeep.cli.loading import COMMANDS, first_sentence
from chatkeep.cli.telling_others import hooks_app
from chatkeep.cli.tokens import tokens_app
from chatkeep.store.files.store import FilesStore
from chatkeep.testing import talk
from tests.cli.called import all_commands
from tests.cli.conftest import Run

_SCRIPT = """
import sys
from chatkeep.cli import main
try:
    main(sys.argv[1:])
finally:
    print(*sys.modules, file=sys.stderr)
"""
NEVER = {
    "anyio",
    "asyncio",
    "email",
    "httpx",
    "importlib.metadata",
    "importlib.resources",
    "markdown_it",
    "multiprocessing",
    "openai",
    "platformdirs",
    "prompt_toolkit",
    "pydantic",
    "pygments",
    "rich",
    "socket",
    "tomllib",
    "uvicorn",
    "watchfiles",
    "zoneinfo",
    "zstandard",
    "chatkeep.access",
    "chatkeep.exporters",
    "chatkeep.importers",
    "chatkeep.model",
    "chatkeep.store.files.care",
}
"""What none of the commands below needs; each name stands for all that is below it."""
NO_STORE = {"apsw", "regex", "Stemmer", "chatkeep.core.model", "chatkeep.sessions.sessions", "chatkeep.wiring"}
NO_VALUE = NO_STORE | {"msgspec", "chatkeep.config", "chatkeep.store", "chatkeep.wire"}


@pytest.mark.parametrize(
    "words,more",
    [
        ("--help", NO_VALUE),
        ("--version", NO_VALUE),
        ("list", {"regex"}),
        ("list --json", {"regex", "chatkeep.cli.printing", "chatkeep.cli.tables"}),
        ("search message", {"regex", "chatkeep.cli.tables"}),
        ("search --json message", {"regex", "chatkeep.cli.printing", "chatkeep.cli.tables"}),
        ("append cli:default hello --role user", {"regex", "chatkeep.wire", "chatkeep.cli.printing"}),
        ("append cli:default hello --role user --json", {"regex", "chatkeep.cli.printing"}),
    ],
)
def test_load_what_a_command_needs(words: str, more: set[str], workspace: Path) -> None:
    """Nothing else is loaded: no checks of values, no server, no watching, no other command."""
    _fill(workspace)
    loaded = _loaded(words.split(), {"CHATKEEP_WORKSPACE": str(workspace)})
    assert "typer" in loaded
    assert [] == sorted((NEVER | more) & loaded)
    rooms = {place.partition(".")[0] for place, _ in COMMANDS.values()}
    wanted = {COMMANDS[words.split(maxsplit=1)[0]][0].partition(".")[0]} if words[0] != "-" else set()
    assert wanted == {room for room in rooms if f"chatkeep.cli.{room}" in loaded}


@pytest.mark.parametrize(
    "line,offered,never",
    [
        ("chatkeep li", ["list", "link"], NO_VALUE),
        ("chatkeep token re", ["revoke"], NO_STORE - {"chatkeep.core.model"}),
        ("chatkeep list --cha", ["--channel"], NO_VALUE),
        ("chatkeep search x --ro", ["--role"], NO_VALUE),
        ("chatkeep append k x --role dev", ["developer"], NO_VALUE),
        ("chatkeep show cli:", ["cli:default"], NO_STORE - {"apsw"}),
        ("chatkeep append cli:", ["cli:default"], NO_STORE - {"apsw"}),
        ("chatkeep list --channel c", ["cli"], NO_STORE - {"apsw"}),
    ],
)
def test_complete_without_opening_the_store(line: str, offered: list[str], never: set[str], workspace: Path) -> None:
    """The shell is offered commands and options without a store, and keys and channels without opening it."""
    _fill(workspace)
    words = {"_CHATKEEP_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
    ended = _run([], {"CHATKEEP_WORKSPACE": str(workspace), **words})
    assert offered == ended.stdout.split()
    never = NEVER - {"chatkeep.access", "tomllib"} | never
    assert [] == sorted(never & set(ended.stderr.split()))


def test_list_each_command_by_its_own_words() -> None:
    """What the list of commands says of one is the first sentence of its own description."""
    commands = all_commands()
    own = {name: first_sentence(commands[name].callback) for name in COMMANDS if name in commands}
    assert own == {name: sentence for name, (_, sentence) in COMMANDS.items() if name in own}
    groups = {"db": db_app, "token": tokens_app, "trash": trash_app, "webhooks": hooks_app}
    assert groups.keys() == COMMANDS.keys() - own.keys()
    assert {name: COMMANDS[name][1] for name in groups} == {name: group.info.help for name, group in groups.items()}


@pytest.mark.parametrize("given", ["x", "1.5", "", "9" * 30, "0x10", "\u0663", "-"])
def test_refuse_a_number_as_typer_does(run: Run, empty: Path, given: str) -> None:
    """A number that is not plainly one is checked, and the sentence says what it has to be."""
    assert empty.exists()
    said = run("list", "--limit", given, code=2).err
    assert "limit" in said
    assert ("valid integer" in said) == (given != "9" * 30)


@pytest.mark.parametrize("given,shown", [("2", 2), ("+2", 2), ("002", 2), (" 2 ", 2)])
def test_take_a_number_as_typer_does(run: Run, empty: Path, given: str, shown: int) -> None:
    """Whatever is checked in full means what it meant without a short way."""
    store = FilesStore.open(empty)
    for number in range(3):
        store.append(f"cli:{number}", talk(1))
    store.close()
    assert shown == len(run("list", "--json", "--limit", given).json["sessions"])


def _fill(workspace: Path) -> None:
    store = FilesStore.open(workspace)
    store.append("cli:default", talk(3))
    store.close()


def _loaded(args: list[str], environ: dict[str, str]) -> set[str]:
    return set(_run(args, environ).stderr.split())


def _run(args: list[str], environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _SCRIPT, *args]
    return subprocess.run(command, env=os.environ | environ, capture_output=True, text=True, check=True, timeout=60)
