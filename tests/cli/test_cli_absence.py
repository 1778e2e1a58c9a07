"""An empty answer is no empty store: what is not there, not matched or not readable is told apart."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from chatkeep.access.tokens import TokenFile
from chatkeep.errors import StorageDeniedError
from chatkeep.store.files.store import FilesStore
from chatkeep.testing import talk
from tests.disks import as_nobody, let_read

if TYPE_CHECKING:
    from tests.cli.conftest import Run


@pytest.fixture
def public() -> Iterator[Path]:
    """Return a workspace of root's with three sessions, in a folder that everybody may enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        store = FilesStore.open(Path(folder) / "workspace")
        for number in range(3):
            store.append(f"api:{number}", talk(2))
        store.close()
        yield Path(folder) / "workspace"


@pytest.mark.parametrize(
    "args",
    [
        ("list",),
        ("show", "a"),
        ("search", "x"),
        ("export",),
        ("stats",),
        ("watch",),
        ("doctor",),
        ("doctor", "--fix"),
        ("backup", "backup.zip"),
        ("rename", "a", "x"),
        ("delete", "a", "--yes"),
        ("delete", "--prefix", "a", "--yes"),
        ("append", "a", "x", "--role", "user", "--no-create"),
        ("reindex",),
        ("token", "list"),
        ("token", "revoke", "x"),
    ],
)
@pytest.mark.parametrize("is_there", [False, True])
def test_use_a_mistyped_folder(run: Run, tmp_path: Path, args: tuple[str, ...], *, is_there: bool) -> None:
    """What makes no session makes no workspace, whether the folder is there or not: it says that there is none."""
    mistyped = tmp_path / "mistyped"
    if is_there:
        mistyped.mkdir()
    assert f"There is no workspace in {mistyped}." in run(*args, "--workspace", str(mistyped), code=3).err
    assert ([] if is_there else None) == (list(mistyped.iterdir()) if mistyped.exists() else None)


def test_filter_that_matches_nothing_is_named(run: Run) -> None:
    """An empty list says which filters made it so, and how many sessions there are without them."""
    run("demo")
    assert (
        "No session matches --prefix nowhere: --channel web --tag x --pinned; without that there are 11 sessions."
        in (run("list", "--prefix", "nowhere:", "--channel", "web", "--tag", "x", "--pinned").out)
    )
    assert (
        "No session matches --channel web --archived; without that" in run("list", "--archived", "--channel", "web").out
    )
    assert [] == run("list", "--prefix", "nowhere:", "--json").json["sessions"]


def test_search_says_where_else_there_are_hits(run: Run) -> None:
    """A search that finds nothing says in how many sessions it looked, and whether its filters hid something."""
    run("append", "a", "an apple", "--role", "tool")
    run("append", "b", "a pear", "--role", "user")
    assert "Nothing found so, but 1 message with --role tool." in run("search", "apple").out
    assert "1 message without the other filters" in run("search", "pear", "--until", "2020-01-01").out
    assert "Nothing found so, but in 1 session without filters" in run("search", "pear", "--prefix", "a").out
    assert "Nothing found in 2 sessions." in run("search", "plum", "--role", "any").out


@pytest.mark.parametrize(
    "args",
    [
        ("list",),
        ("list", "--json"),
        ("search", "line"),
        ("search", "line", "--json"),
        ("export",),
        ("stats",),
        ("stats", "--json"),
    ],
)
def test_files_that_cannot_be_read_are_no_empty_store(run: Run, public: Path, args: tuple[str, ...]) -> None:
    """Where files are there and none can be read, a command says how many, and why, and fails."""
    let_read(public)
    for path in (public / "sessions").iterdir():
        path.chmod(0o600)
    run(*args, "--workspace", str(public))  # what is imported late is there then
    for path in public.glob("index*"):
        path.unlink()
    with as_nobody():
        failed = run(*args, "--workspace", str(public), code=7)
    assert "There is no session, but 3 files that cannot be read:" in failed.err
    assert "3 files: The storage refused: Permission denied." in failed.err


def test_an_index_that_can_be_read_does_not_hide_that_files_cannot(run: Run, public: Path) -> None:
    """What the index knows is listed; what has to be read from a file is refused with the reason."""
    let_read(public)
    for path in (public / "sessions").iterdir():
        path.chmod(0o600)
    listed = run("list", "--workspace", str(public)).out
    for path in public.glob("index*"):
        path.chmod(0o644)
    with as_nobody():
        assert listed == run("list", "--workspace", str(public)).out
        for args, code in ((("search", "line"), 1), (("show", "api:1"), 1), (("export", "api:1"), 1), (("export",), 7)):
            refused = run(*args, "--workspace", str(public), code=code).err
            assert "Permission denied" in refused or "api:0, api:1, api:2" in refused


def test_a_folder_that_cannot_be_read_is_no_empty_store(run: Run, public: Path) -> None:
    """Where the folder of the sessions is closed, the refusal is told."""
    let_read(public)
    (public / "sessions").chmod(0o700)
    run("list", "--workspace", str(public))
    with as_nobody():
        assert "Permission denied" in run("list", "--workspace", str(public), code=1).err
        assert "Permission denied" in run("export", "--workspace", str(public), code=1).err


@pytest.mark.parametrize("closed", ["the file", "the folder"])
def test_tokens_that_cannot_be_read_are_not_none(run: Run, public: Path, closed: str) -> None:
    """A token file that cannot be read is refused: no first token is made, and none is taken for missing."""
    run("token", "create", "--workspace", str(public))
    let_read(public)
    (public / "tokens.json" if closed == "the file" else public).chmod(0o600)
    with as_nobody():
        assert "Permission denied" in run("token", "list", "--workspace", str(public), code=1).err
        tokens = TokenFile(public / "tokens.json")
        for use in (tokens.create_first, tokens.all, lambda: tokens.find("ck_x")):
            with pytest.raises(StorageDeniedError):
                use()


@pytest.mark.parametrize("closed", ["", "sessions", "sessions/*"])
def test_source_that_cannot_be_read_is_no_empty_folder(run: Run, public: Path, closed: str) -> None:
    """A folder or file that may not be read is named with the reason, and is not one without sessions."""
    let_read(public)
    for path in (public / "sessions").iterdir() if closed.endswith("*") else (public / closed,):
        path.chmod(0o600)
    code = 2 if closed.endswith("*") else 1
    with tempfile.TemporaryDirectory() as into, as_nobody():
        failed = run("import", str(public / "sessions"), "--workspace", f"{into}/workspace", code=code)
    assert "Permission denied" in failed.err
