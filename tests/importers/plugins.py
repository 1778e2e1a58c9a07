"""A made-up package with an importer, and files of its format."""

from __future__ import annotations

from pathlib import Path

import pytest

from chatkeep.importers import ENTRY_POINTS

GOOD = """
from pathlib import Path
from chatkeep.importers import assembled

class Importer:
    name = "parrot"

    def __init__(self):
        self.read_before = []

    def recognises(self, look):
        return "it begins with a parrot's mark" if look.head.startswith(b"PARROT") else None

    def files_in(self, folder):
        return sorted(folder.rglob("*.parrot"))

    def read(self, source, reading):
        with reading.content_of(source) as stream:
            messages = [{"role": "user", "content": line.decode().strip()} for line in stream][1:]
        self.read_before.append(source.name)
        record = {"key": f"parrot:{Path(source.name).stem}", "messages": messages}
        record["metadata"] = {"n": len(self.read_before)}
        yield from assembled(record, source.name, now=reading.now)
"""


class Site:
    """A folder of installed packages, each with one importer."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Begin without packages; until the test ends, Python looks here first."""
        self.folder = folder
        folder.mkdir()
        monkeypatch.syspath_prepend(str(folder))

    def install(self, code: str, name: str = "parrot", package: str = "parrot-import") -> None:
        """Install a package whose importer has this name and code."""
        self.describe(package, f"[{ENTRY_POINTS}]\n{name} = {self._module(package)}:Importer\n")
        (self.folder / f"{self._module(package)}.py").write_text(code)

    def describe(self, package: str, entry_points: str) -> None:
        """Install the metadata of a package alone."""
        folder = self.folder / f"{package.replace('-', '_')}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(entry_points)

    def _module(self, package: str) -> str:
        """Return a name of a module that no other test has loaded."""
        return f"made_up_{self.folder.parent.name}_{package}".replace("-", "_").replace(".", "_")


def flock(folder: Path) -> Path:
    """Return a folder with two files of the made-up format, one of them deep."""
    (folder / "deep").mkdir(parents=True)
    (folder / "a.parrot").write_text("PARROT\nhello\nhello again\n")
    (folder / "deep" / "b.parrot").write_text("PARROT\ngood bye\n")
    return folder
