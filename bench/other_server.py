"""Another program's server over sessions of its own format, for `bench/wanted.py`: runs in its environment.

    PYTHON bench/other_server.py pocketpaw HOME PORT < SESSIONS

SESSIONS are lines of JSON, [key, [[role, text, time], ...]]. They are stored as the program stores them, under HOME.
Its limit of requests a second is raised where it has no setting, so that its server is measured and not the limit.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

Said = tuple[str, str, str]
_MANY = 1e9  # requests a second


def pocketpaw(home: Path, port: int, sessions: Iterator[tuple[str, list[Said]]]) -> None:
    """Serve PocketPaw's dashboard."""
    folder = home / ".pocketpaw" / "memory" / "sessions"
    folder.mkdir(parents=True)
    for key, messages in sessions:
        told = [
            {"id": f"{place}", "role": role, "content": text, "timestamp": at, "metadata": {}}
            for place, (role, text, at) in enumerate(messages)
        ]
        (folder / f"{key.replace(':', '_')}.json").write_text(json.dumps(told, indent=2))
    import uvicorn  # noqa: PLC0415 - in its own environment alone
    from pocketpaw.dashboard import app  # type: ignore[import-not-found]  # noqa: PLC0415
    from pocketpaw.memory import get_memory_manager  # type: ignore[import-not-found]  # noqa: PLC0415
    from pocketpaw.security import rate_limiter  # type: ignore[import-not-found]  # noqa: PLC0415

    rate_limiter.api_limiter.rate = rate_limiter.api_limiter.capacity = _MANY
    get_memory_manager()._store.rebuild_session_index()  # noqa: SLF001 - as the program does after a loss
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", ws_ping_interval=None, ws_ping_timeout=None)


SERVERS: dict[str, Callable[[Path, int, Iterator[tuple[str, list[Said]]]], None]] = {"pocketpaw": pocketpaw}


if __name__ == "__main__":
    os.environ["HOME"] = sys.argv[2]
    SERVERS[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]), map(json.loads, sys.stdin))
