"""Makes the waiting client from the one that is awaited: each `sync_` module from its `async_` module.

    python tools/sync_client.py          writes them
    python tools/sync_client.py --check  fails when one is not what it would write

Only words change: what is awaited is called, and asynchronous kinds give way to their waiting twins. So both clients
have the same verbs, docstrings and behaviour, and a fix is written once.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

CLIENT: Final = Path(__file__).parents[1] / "src" / "chatkeep" / "client"
NAMES: Final = ("connection", "session_log", "client")
_TWINS: Final = {
    "AsyncClient": "Client",
    "AsyncConnection": "Connection",
    "AsyncGenerator": "Generator",
    "AsyncSessionLog": "SessionLog",
    "Awaitable[None]": "None",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "aclose": "close",
    "aclosing": "closing",
    "aiter_bytes": "iter_bytes",
    "aread": "read",
    "async_client": "sync_client",
    "async_connection": "sync_connection",
    "async_session_log": "sync_session_log",
    "asyncio": "time",
}
_WORD: Final = re.compile("|".join(rf"(?<!\w){re.escape(word)}(?!\w)" for word in _TWINS))
_MARK: Final = re.compile(r"\b(?:async|await) ")


def made(name: str) -> str:
    """Return the text of a waiting module, formatted as all are."""
    source = (CLIENT / f"async_{name}.py").read_text("utf-8")
    waiting = _MARK.sub("", _WORD.sub(lambda word: _TWINS[word[0]], source))
    text = f"# Made from async_{name}.py by `make client`: change that one\n{waiting}"
    tidy = _ruff("check", "--fix", "--quiet", "--unsafe-fixes", "--select=I,F401,UP028", text=text)
    return _ruff("format", text=tidy)


def _ruff(*arguments: str, text: str) -> str:
    command = (sys.executable, "-m", "ruff", *arguments, "--stdin-filename", str(CLIENT / "made.py"), "-")
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout  # noqa: S603 - ours


def main() -> None:
    """Write the modules, or check them."""
    stale = {path: text for name in NAMES if _read(path := CLIENT / f"sync_{name}.py") != (text := made(name))}
    if stale and "--check" in sys.argv[1:]:
        sys.exit(f"Run `make client`: {', '.join(path.name for path in stale)} would change.")
    for path, text in stale.items():
        path.write_text(text, "utf-8")


def _read(path: Path) -> str:
    return path.read_text("utf-8") if path.exists() else ""


if __name__ == "__main__":
    main()
