"""What a process loads before it answers: a module on the way of every request costs each start and each process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_STORE = """
from datetime import UTC, datetime
from pathlib import Path
from chatkeep.core.model import Draft, Selection
from chatkeep.core.search.query import parse_query
from chatkeep.core.search.search import Search
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.files.store import FilesStore

store = FilesStore.open(Path(sys.argv[1]))
sessions = Sessions(store)
sessions.append("cli:a", [Draft(role="user", content="plain words")])
assert 1 == sessions.list().total
assert 1 == len(sessions.window("cli:a").messages)
assert 1 == len(sessions.search(Search(query=parse_query("words"), limit=5)).hits)
store.close()
"""
_SERVER = "import chatkeep.http.app\n"
_TOLD = "\nprint(*{one for one in sys.modules if one.split('.')[0] not in sys.stdlib_module_names and one[:2] != '__'})"
FOR_STORE = {"apsw", "chatkeep", "cython_runtime", "msgspec", "pyroaring", "regex", "Stemmer", "typing_extensions"}
NEVER = {"chatkeep.cli", "chatkeep.client", "chatkeep.testing", "fastapi", "jinja2", "pydantic", "rich", "typer"}


def loaded_by(program: str, folder: Path) -> set[str]:
    """Return the modules beyond Python's own that a new process has after a program."""
    command = [sys.executable, "-c", f"import sys\n{program}{_TOLD}", str(folder)]
    return set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())


def test_store_works_with_few_packages(tmp_path: Path) -> None:
    """An append, a list, a window and a search load the database, sets, stems, patterns and structs: no more."""
    found = {name.split(".")[0] for name in loaded_by(_STORE, tmp_path)}
    assert {"apsw", "chatkeep", "msgspec"} <= found
    assert set() == {name for name in found - FOR_STORE if not name.startswith("_")}


@pytest.mark.parametrize("program", [_STORE, _SERVER])
def test_hot_path_loads_no_other_door(program: str, tmp_path: Path) -> None:
    """Neither the store nor the server loads the command line, the client or a framework for models of data."""
    assert set() == NEVER & loaded_by(program, tmp_path)
