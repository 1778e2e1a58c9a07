"""The shell offers what there is: keys, channels, roles and formats."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from chatkeep.store.files.store import FilesStore
from chatkeep.testing import talk

if TYPE_CHECKING:
    from tests.cli.conftest import Run


@pytest.mark.parametrize(
    "words,offered",
    [
        ("show a", ["api:1", "api:2"]),
        ("show cli:", ["cli:default"]),
        ("delete api:1 a", ["api:1", "api:2"]),
        ("rename cl", ["cli:default"]),
        ("export api:2", ["api:2"]),
        ("list --channel c", ["cli"]),
        ("search x --prefix api:", ["api:1", "api:2"]),
        ("append cli:default x --role s", ["system"]),
        ("export --format j", ["json", "jsonl"]),
        ("import x --as p", ["pocketpaw"]),
        ("search x --role a", ["assistant", "any"]),
        ("pin cl", ["cli:default"]),
        ("chat -s cl", ["cli:default"]),
        ("show nobody", []),
    ],
)
def test_complete_a_word(
    run: Run, workspace: Path, monkeypatch: pytest.MonkeyPatch, words: str, offered: list[str]
) -> None:
    """What begins as the last word does is offered."""
    store = FilesStore.open(workspace)
    for key in ("api:1", "api:2", "cli:default"):
        store.append(key, talk(1))
    store.close()
    assert offered == completed(run, monkeypatch, words)


def test_complete_without_a_workspace(run: Run, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is none, nothing is offered, and none is made."""
    assert [] == completed(run, monkeypatch, "show a")
    assert not workspace.exists()


def completed(run: Run, monkeypatch: pytest.MonkeyPatch, words: str) -> list[str]:
    """Return what bash is offered for a command line that ends here."""
    monkeypatch.setenv("_CHATKEEP_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"chatkeep {words}")
    monkeypatch.setenv("COMP_CWORD", str(len(words.split())))
    return run().out.split()
