"""Looks at what would be published: `python tools/check_dist.py dist` fails when it has too little or too much.

The wheel has each file of the package and nothing else. The source archive has what the wheel is built from and the
documents. Neither has tests, their data, or conversations that are not ours to pass on.
"""

from __future__ import annotations

import re
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PACKAGE: Final = ROOT / "src" / "chatkeep"
_DOCUMENTS: Final = {"README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"}
_NEEDED: Final = {"chatkeep/py.typed", "chatkeep/http/static/index.html", "chatkeep/__init__.py"}
_SOURCE: Final = re.compile(r"(?:src/chatkeep|docs)/.+|pyproject\.toml|PKG-INFO|\.gitignore|[A-Z]+\.md|LICENSE")
_FOREIGN: Final = re.compile(r"locomo|(?:^|/)tests?/|\.pyc$", re.IGNORECASE)
BYTES_MAX: Final = 3_000_000  # of an archive; it has 1.5 MB, most of it fonts and highlighting of the page


def flaws_of(folder: Path) -> Iterator[str]:
    """Yield what is wrong with the archives in a folder."""
    wheels, sources = list(folder.glob("*.whl")), list(folder.glob("*.tar.gz"))
    if (len(wheels), len(sources)) != (1, 1):
        yield f"{folder} has {len(wheels)} wheels and {len(sources)} source archives, not one each"
        return
    package = {f"chatkeep/{path.relative_to(PACKAGE).as_posix()}" for path in _files(PACKAGE)}
    with zipfile.ZipFile(wheels[0]) as wheel:
        in_wheel = {name for name in wheel.namelist() if not name.endswith("/")}
    in_package = {name for name in in_wheel if ".dist-info/" not in name}
    yield from (f"the wheel lacks {name}" for name in sorted((package | _NEEDED) - in_package))
    yield from (f"the wheel has {name}" for name in sorted(in_package - package))
    with tarfile.open(sources[0]) as source:
        in_source = {PurePosixPath(*PurePosixPath(name).parts[1:]).as_posix() for name in source.getnames()}
    needed = {f"src/{name}" for name in package} | _DOCUMENTS
    yield from (f"the source archive lacks {name}" for name in sorted(needed - in_source))
    yield from (f"the source archive has {name}" for name in sorted(in_source) if not _SOURCE.fullmatch(name))
    yield from (f"an archive has {name}" for name in sorted(in_wheel | in_source) if _FOREIGN.search(name))
    yield from (f"{one.name} is larger than {BYTES_MAX}" for one in (*wheels, *sources) if _size(one) > BYTES_MAX)


def _files(folder: Path) -> Iterable[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def _size(path: Path) -> int:
    return path.stat().st_size


if __name__ == "__main__":
    if flaws := list(flaws_of(Path(sys.argv[1]))):
        sys.exit("\n".join(flaws))
