"""Run the frameworks' own tests against the adapters: `make conformance`.

Each framework has an environment of its own in `.conformance`, so that no pin of one meets that of another. Its tests
come from its source archive, or are those beside this file. They run in process and over HTTP. A test that looks into
the framework's own store is left out, by its name and with the reason.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
HOME = ROOT / ".conformance"


class Suite(NamedTuple):
    """The tests of a framework: what to install, where they are, and the names of those left out."""

    name: str
    install: Sequence[str]
    plugin: str
    archive: str = ""
    tests: Sequence[str] = ()
    left_out: Sequence[str] = ()
    options: Sequence[str] = ()


_SQLITE = (  # they look into SQLite: its connections, locks, transactions, rows broken by hand, its closing
    "close_closes_worker_thread_connections",
    "closed_rejects_empty_add_items",
    "corrupt",
    "file_lock_is_shared_across_instances",
    "releases_write_lock",
    "rolls_back",
    "rollback_failure",
    "close_retries_quarantined_connection",
    "post_commit_cancellation",
    "worker_threads",
    "retired_connections",
)
SUITES = (
    Suite(
        "openai-agents",
        ("openai-agents==0.24.0", "pytest-asyncio"),
        "for_openai_agents",
        "openai-agents==0.24.0",
        (
            "tests/memory/test_session.py",
            "tests/memory/test_session_limit.py",
            str(ROOT / "tools" / "conformance" / "conversations_session.py"),
        ),
        _SQLITE,
    ),
    Suite(
        "langchain",
        (
            "langchain-core==1.8.4",
            *("langchain-tests", "syrupy", "blockbuster", "pytest-asyncio", "pytest-mock", "pytest-socket"),
            "pytest-benchmark",
        ),
        "for_langchain",
        "langchain-core==1.8.4",
        ("tests/unit_tests/chat_history", "tests/unit_tests/runnables/test_history.py"),
        ("test_chat_history_deprecated",),  # of the class in memory
        ("-o", "addopts="),
    ),
    Suite("claude", ("claude-agent-sdk==0.2.189",), "for_claude"),
    Suite("adk", ("google-adk==2.13.0",), "for_adk"),
    Suite("pydantic-ai", ("pydantic-ai-slim==2.68.0",), "for_pydantic_ai"),
    Suite("llama-index", ("llama-index-core==0.14.25",), "for_llama_index"),
    Suite(
        "chainlit",
        ("chainlit==2.12.0", "pytest-asyncio", "sqlalchemy[asyncio]", "aiosqlite"),
        "for_chainlit",
        "chainlit==2.12.0",
        ("tests/data/test_sql_alchemy.py", str(ROOT / "tools" / "conformance" / "chainlit_layer.py")),
        options=("-c", os.devnull, "--rootdir=.", "-o", "asyncio_mode=auto"),
    ),
    Suite("ai-sdk", (), "for_ai_sdk"),
)

_SECTIONS = {"langchain": "LangGraph", "ai-sdk": "AI SDK"}  # further sections of the how-to, by their headings


def main() -> int:
    """Run the suites, and say how many tests passed in each; 1 if one failed."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("names", nargs="*", help="suites to run; all without names")
    names = given.parse_args().names
    failed = False
    for suite in SUITES:
        if names and suite.name not in names:
            continue
        python = _installed(suite)
        for over in ("files", "http"):
            done = _run(suite, python, over)
            counted = re.findall(r"^\d+ (?:passed|failed).*$", done.stdout, re.MULTILINE)
            print(f"{suite.name:14} over {over:6} {counted[-1] if counted else 'no result'}", flush=True)  # noqa: T201
            if done.returncode:
                print(done.stdout[-8000:], done.stderr[-4000:])  # noqa: T201
            failed = failed or done.returncode != 0
        for block in _examples(suite.name):
            with tempfile.TemporaryDirectory() as folder:
                done = subprocess.run([python, "-c", block], cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
            print(f"{suite.name:14} example {done.stdout.strip() or done.stderr}", flush=True)  # noqa: T201
            failed = failed or done.returncode != 0
    return int(failed)


def _examples(name: str) -> Sequence[str]:
    """Return the examples of a framework in the documentation."""
    text = (ROOT / "docs" / "how-to" / "keep-frameworks-sessions.md").read_text("utf-8")
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    own = [
        part for part in sections if f"chatkeep[{name}]" in part or part.startswith(_SECTIONS.get(name, "chatkeep["))
    ]
    return [block for part in own for block in re.findall(r"^```python\n(.*?)^```$", part, re.MULTILINE | re.DOTALL)]


def _installed(suite: Suite) -> Path:
    folder = HOME / suite.name
    python = folder / "bin" / "python"
    ready = folder / "ready"
    wanted = " ".join(suite.install)
    if not ready.exists() or ready.read_text() != wanted:
        venv.create(folder, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-e", f"{ROOT}[server]", "pytest", *suite.install], check=True)  # noqa: S603
        ready.write_text(wanted)
    return python


def _run(suite: Suite, python: Path, over: str) -> subprocess.CompletedProcess[str]:
    source = _unpacked(suite, python) if suite.archive else ROOT
    tests = suite.tests or (f"tools/conformance/{suite.plugin}.py",)
    own = ("-p", f"tools.conformance.{suite.plugin}") if suite.archive else ("-c", os.devnull, f"--rootdir={ROOT}")
    left_out = ("-k", " and ".join(f"not {name}" for name in suite.left_out)) if suite.left_out else ()
    environ = {**os.environ, "CHATKEEP_OVER": over, "PYTHONPATH": str(ROOT)}
    command = [python, "-m", "pytest", "-q", *suite.options, *own, *left_out, *tests]
    return subprocess.run(command, cwd=source, env=environ, capture_output=True, text=True, check=False)  # noqa: S603


def _unpacked(suite: Suite, python: Path) -> Path:
    """Return the folder with the source archive of a framework."""
    folder = HOME / f"{suite.name}-source"
    if not folder.exists():
        pip = [str(python), "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        subprocess.run([*pip, "--dest", str(HOME), suite.archive], check=True)  # noqa: S603
        name, _, version = suite.archive.partition("==")
        archive = HOME / f"{name.replace('-', '_')}-{version}.tar.gz"
        with tarfile.open(archive) as opened:
            opened.extractall(HOME, filter="data")
        (HOME / archive.name.removesuffix(".tar.gz")).rename(folder)
    return folder


if __name__ == "__main__":
    sys.exit(main())
