r"""The address of a store: a folder, or a URL such as `files:/srv/chatkeep` or `memory:`.

    a folder                  as given; `~` is the home directory
    files:PATH                a folder, absolute or relative; also files:///PATH and files://localhost/PATH
    SCHEME:REST               another kind of store

A URL writes other characters as `%` and two digits: `files:/a%20b`. A scheme has at least two letters, so
`C:\data` is a folder. A folder with a colon in its name is written as `./a:b`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote, unquote

from chatkeep.errors import InvalidError

FILES: Final = "files"
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(.*)", re.DOTALL)
_HERE: Final = ("", "localhost")  # hosts in a URL of this machine
_DRIVE: Final = re.compile(r"/[A-Za-z]:([/\\]|\Z)")  # as a URL writes it


class StoreAddress(NamedTuple):
    """The scheme of a store, in lower case, and the rest: for `files` an absolute path, else as given."""

    scheme: str
    rest: str

    @property
    def folder(self) -> Path:
        """The folder of session files."""
        return Path(self.rest)

    @property
    def url(self) -> str:
        """The address as a URL; `store_address` reads it back."""
        return f"{self.scheme}:{quote(self.rest) if self.scheme == FILES else self.rest}"


def folder_address(folder: Path) -> StoreAddress:
    """Return the address of the session files in a folder."""
    return StoreAddress(FILES, str(folder.absolute()))


def store_address(text: str, field: str = "store", *, base: Path | None = None) -> StoreAddress:
    """Return the address written in a text; relative paths are relative to `base`, else to the current folder.

    Raises:
        InvalidError: for `field`, when the text names no folder of this machine. It never repeats the address,
            which may have a password in it.
    """
    url = _URL.fullmatch(text)
    scheme = url[1].lower() if url else FILES
    if url and scheme != FILES:
        return StoreAddress(scheme, url[2])
    try:
        path = Path(_path_in(url[2], field) if url else text).expanduser()
        if "\0" in str(path):
            raise InvalidError(field, "cannot be the name of a folder")
        if not text.strip() or (url and not url[2].strip("/")):
            raise InvalidError(field, "names no folder; write files:/path/of/a/folder")
        path = ((base or Path()) / path).absolute()
        str(path).encode()
    except (ValueError, RuntimeError) as error:  # not UTF-8, or an unknown home directory
        raise InvalidError(field, "cannot be the name of a folder") from error
    return StoreAddress(FILES, str(path))


def _path_in(rest: str, field: str) -> str:
    """Return the path in the rest of a `files:` URL."""
    if "?" in rest or "#" in rest:
        raise InvalidError(field, "has a ? or a #; in a URL write them as %3F and %23")
    if rest.startswith("//"):
        host, slash, rest = rest[2:].partition("/")
        if host.lower() not in _HERE:
            raise InvalidError(field, "names a host; a folder of this machine is written files:///path")
        rest = slash + rest
    path = unquote(rest, errors="strict")
    return path[1:] if os.name == "nt" and _DRIVE.match(path) else path
