"""The two doors of the MCP server: stdin and stdout of a process, and one request of HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatkeep.core.bounds import BODY_BYTES_MAX
from chatkeep.errors import ForbiddenError
from chatkeep.mcp.handlers import Caller, Run, server_for
from chatkeep.mcp.tools import Lane
from chatkeep.sessions.sessions import Sessions

_AT_ONCE = 4  # threads of a process for one program
_T = TypeVar("_T")


async def serve_stdio(sessions: Sessions, *, only_reads: bool = False) -> None:
    """Serve the program that started this process, until it closes stdin."""
    threads = CapacityLimiter(_AT_ONCE)

    def check(scope: str) -> None:
        if only_reads and scope != "read":
            raise ForbiddenError("This server was started with --read-only.")

    async def run(lane: Lane, work: Callable[[], _T]) -> _T:  # noqa: ARG001 - one program needs no lanes
        return await to_thread.run_sync(work, limiter=threads)

    server = server_for(Caller(sessions=sessions, check=check, run=run))
    async with stdio_server() as (heard, said):
        await server.run(heard, said, server.create_initialization_options())


def http_answer(sessions: Sessions, check: Callable[[str], None], run: Run, body: bytes) -> ASGIApp:
    """Return the answer to a request of HTTP whose body was read: one message of the protocol, one answer in JSON."""
    caller = Caller(sessions=sessions, check=check, run=run)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        given = [_request(body)]

        async def read_again() -> Message:
            return given.pop() if given else await receive()

        manager = StreamableHTTPSessionManager(
            server_for(caller), stateless=True, json_response=True, max_request_body_size=BODY_BYTES_MAX
        )
        async with manager.run():
            await manager.handle_request(_trimmed(scope), read_again, send)

    return answer


def _trimmed(scope: Scope) -> Scope:
    """Return a request without the blanks around the values of headers, which are no part of them (RFC 9110, 5.5)."""
    return {**scope, "headers": [(name, value.strip(b" \t")) for name, value in scope["headers"]]}


def _request(body: bytes) -> Message:
    return {"type": "http.request", "body": body, "more_body": False}
