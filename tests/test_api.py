"""The public Python API: what `chatkeep` itself names."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import chatkeep

PACKAGE = Path(chatkeep.__file__).parent
SERVERS = ("starlette", "uvicorn", "openai", "httpx2", "pydantic", "apsw", "prometheus_client")


def loaded_by(code: str) -> set[str]:
    """Return the names of the modules that a program loads."""
    program = f"import sys\nhad = set(sys.modules)\n{code}\nprint(*(set(sys.modules) - had))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("name", chatkeep.__all__)
def test_name_is_found(name: str) -> None:
    """Each public name stands for something, listed and always the same, that says what it is."""
    found = getattr(chatkeep, name)
    assert found is getattr(chatkeep, name)
    assert name in dir(chatkeep)
    assert found.__doc__


def test_name_that_is_none_is_told() -> None:
    """Another name is an error like that of any module."""
    with pytest.raises(AttributeError, match="'chatkeep' has no attribute 'Clint'"):
        getattr(chatkeep, "Clint")  # noqa: B009 - type checkers know it, too


def test_name_means_one_thing() -> None:
    """No other class or function of the package has a public name."""
    counts = Counter(name for path in PACKAGE.rglob("*.py") for name in _defined(path) if name in chatkeep.__all__)
    assert dict.fromkeys(chatkeep.__all__, 1) == dict(counts)


def test_names_for_type_checkers_are_those_for_programs() -> None:
    """What is imported for type checkers is what `__all__` names, each once and in order."""
    (block,) = [
        node for node in ast.parse((PACKAGE / "__init__.py").read_text("utf-8")).body if isinstance(node, ast.If)
    ]
    imported = [alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(imported) == sorted(chatkeep.__all__)
    assert sorted(chatkeep.__all__) == chatkeep.__all__


def test_import_loads_next_to_nothing() -> None:
    """`import chatkeep` loads no other module of Chatkeep, and none of what it depends on."""
    loaded = loaded_by("import chatkeep")
    assert {"chatkeep"} == {name for name in loaded if name.partition(".")[0] == "chatkeep"}
    assert len(loaded) < 40


def test_import_of_a_client_loads_no_server() -> None:
    """Neither a web server nor a database is loaded for a client."""
    loaded = loaded_by("from chatkeep import *")
    assert "httpx" in loaded
    assert [] == [name for name in SERVERS if name in loaded]


def test_types_are_shipped() -> None:
    """Type checkers of others read the annotations."""
    assert (PACKAGE / "py.typed").is_file()


def _defined(path: Path) -> Iterator[str]:
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
