"""A server of the sample sessions at /mcp for the conformance tests of the protocol, which send no token.

`python -m tools.conformance.mcp_server` prints its address. It adds a token to requests without one; everything else is
the server as it is.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import uvicorn
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send

from chatkeep.access.tokens import TokenFile
from chatkeep.core.model import Draft
from chatkeep.http.app import create_app
from chatkeep.http.gate.guard import UNLIMITED, Guard
from chatkeep.http.gate.limits import Limits
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.files.store import FilesStore


def _with_token(app: ASGIApp, secret: str) -> ASGIApp:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            MutableHeaders(scope=scope).setdefault("authorization", f"Bearer {secret}")
        await app(scope, receive, send)

    return answer


def main() -> None:
    """Serve until the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="chatkeep-mcp-"))
    tokens = TokenFile(folder / "tokens.json")
    secret, _ = tokens.create("tests", scopes=("read", "write"))
    sessions = Sessions(FilesStore.open(folder / "workspace", durability="none"))
    sessions.append("cli:sample", [Draft(role="user", content="Hello"), Draft(role="assistant", content="Hello!")])
    guard = Guard(tokens, Limits(None), hosts={"127.0.0.1", "localhost"}, rates=UNLIMITED)
    uvicorn.run(_with_token(create_app(sessions, guard), secret), host="127.0.0.1", port=8931, log_level="warning")


if __name__ == "__main__":
    main()
