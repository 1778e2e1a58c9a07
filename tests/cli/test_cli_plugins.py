"""Importers of other packages on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from chatkeep.importers import IMPORT_FORMATS
from tests.cli.test_cli_completing import completed
from tests.importers.plugins import GOOD, Site, flock

if TYPE_CHECKING:
    from tests.cli.conftest import Run


def test_import_on_the_command_line_with_plug_ins(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--as` takes the name of an installed importer, lists it, and completes it; a broken one is told on stderr."""
    site = Site(tmp_path / "site", monkeypatch)
    site.install(GOOD)
    site.install("x = 1", "crow", "crow-import")
    birds = str(flock(tmp_path / "flock"))
    listed = run("import", birds, "--as", "owl", code=2).err
    assert f"--as: must be one of {', '.join(IMPORT_FORMATS)}, crow, parrot" in listed
    named = run("import", birds, "--as", "parrot")
    assert ("Imported 2 new and 0 extended sessions with 3 messages.\n", "") == (named.out, named.err)
    found = run("import", birds)
    told = f"{birds} is parrot: it begins with a parrot's mark.\n"
    assert f"{told}Nothing new: 3 messages are here already.\n" == found.out
    assert 1 == found.err.count("The importer crow of crow-import is not used: ")
    assert ["parrot"] == completed(run, monkeypatch, "import x --as par")
