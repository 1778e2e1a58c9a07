"""What a bare installation does without, and what it says where that is needed."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from chatkeep import wiring

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
BARE = """
import sys
for name in {missing!r}:
    sys.modules[name] = None
from chatkeep.cli import main
main(sys.argv[1:])
"""


MODULES = {"opentelemetry_proto": "opentelemetry"}
"""The modules of packages with another name."""


def modules(requirements: list[str]) -> set[str]:
    """Return the modules that requirements bring."""
    names = {re.split(r"[\[<>=]", requirement)[0].lower().replace("-", "_") for requirement in requirements}
    return {MODULES.get(name, name) for name in names}


def run_without(extras: list[str], *arguments: str, folder: Path) -> tuple[int, str]:
    """Return the exit code of a command, and all that it says, where the packages of these extras are not installed."""
    program = BARE.format(missing=sorted({name for extra in extras for name in wiring.EXTRAS[extra]}))
    command = [sys.executable, "-c", program, *arguments, "--workspace", str(folder / "w")]
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "CHATKEEP_MODEL_URL": "http://127.0.0.1:9/v1"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("extra", sorted(wiring.EXTRAS))
def test_extra_brings_what_it_is_checked_for(extra: str) -> None:
    """What is looked for is what the extra declares, no more and no less, and no bare installation has it."""
    brought = modules(PROJECT["optional-dependencies"][extra]) - {"pydantic"}  # the command line brings it, too
    assert brought == set(wiring.EXTRAS[extra])
    assert not modules(PROJECT["dependencies"]) & set(wiring.EXTRAS[extra])


def test_extra_all_brings_every_other() -> None:
    """One word installs everything that is for people who use it."""
    assert ["chatkeep[server,model,mcp,postgres,tokenizers,prices]"] == PROJECT["optional-dependencies"]["all"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("append", "cli:a", "--role", "user", "Hello"),
        ("list",),
        ("search", "hello"),
        ("doctor",),
        ("stats",),
        ("token", "create"),
        ("demo",),
        ("backup", "copy.zip"),
    ],
)
def test_command_runs_without_extras(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """What works on the workspace itself needs neither a web server nor a model's client."""
    run_without(["server", "model"], "append", "cli:b", "--role", "user", "Hello", folder=tmp_path)
    code, said = run_without(["server", "model"], *_within(arguments, tmp_path), folder=tmp_path)
    assert (0, False) == (code, "pip install" in said), said


@pytest.mark.parametrize(
    "extra,arguments",
    [("server", ("serve", "--port", "0")), ("model", ("chat", "Hello")), ("model", ("serve", "--port", "0"))],
)
def test_command_says_which_extra_it_needs(extra: str, arguments: tuple[str, ...], tmp_path: Path) -> None:
    """One sentence with the command that installs it, and nothing was opened or made."""
    code, said = run_without([extra], *arguments, folder=tmp_path)
    wanted = "server" if arguments[0] == "serve" else extra  # the model's packages are a part of the server's, too
    assert 1 == code
    assert re.fullmatch(rf"[^\n]+ needs more packages\. Install them: pip install 'chatkeep\[{wanted}\]'\n", said), said
    assert not (tmp_path / "w").exists()


def _within(arguments: tuple[str, ...], folder: Path) -> list[str]:
    return [str(folder / argument) if argument.endswith(".zip") else argument for argument in arguments]
