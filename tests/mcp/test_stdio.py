"""The server as a program starts it: over stdin and stdout, on a workspace."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio

from chatkeep.core.model import Draft
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.files.store import FilesStore
from mcp import Client, StdioServerParameters

CALLS_MOST = 3
QUESTIONS: Mapping[str, tuple[str, str]] = {
    "Which reservation has the flight from MCO to CLT?": ("cancel my flights from MCO to CLT", "3FRNFB"),
    "How was the duplication in interactive-mode.ts to be removed?": (
        "interactive-mode.ts code duplication swapping the editor",
        "create helper methods",
    ),
    "Which reservation did the person on Discord want to cancel?": ("cancel flights under reservation ID", "SI5UKW"),
}
"""Questions over the demo sessions, with the words that an agent would search and those of the answer."""


def test_answer_questions_over_stdio(tmp_path: Path) -> None:
    """Three questions take three calls each; what others store is seen; with --read-only no tool stores."""
    subprocess.run([sys.executable, "-m", "chatkeep", "demo", "--workspace", tmp_path], check=True, capture_output=True)
    store = FilesStore.open(tmp_path, durability="none")
    sessions = Sessions(store)

    async def asking() -> None:
        started = ["-m", "chatkeep", "mcp", "--workspace", str(tmp_path), "--read-only"]
        async with Client(StdioServerParameters(command=sys.executable, args=started)) as client:
            assert "append" not in {tool.name for tool in (await client.list_tools()).tools}
            for query, answer in QUESTIONS.values():
                assert answer in await _answered(client, query)
            sessions.append("new:1", [Draft(role="user", content="the axolotl sleeps")])
            for _ in range(100):
                if (await _called(client, "search", query="axolotl"))["hits"]:
                    return
                await anyio.sleep(0.1)
            raise AssertionError("not seen")

    anyio.run(asking)
    store.close()


async def _answered(client: Client, query: str) -> str:
    """Return what a search and a look around its first two hits show: three calls."""
    hits = (await _called(client, "search", query=query))["hits"]
    read = [
        await _called(client, "read_around", session=hit["session"], seq=hit["seq"]) for hit in hits[: CALLS_MOST - 1]
    ]
    return json.dumps(read)


async def _called(client: Client, tool: str, **arguments: object) -> dict[str, Any]:
    told: dict[str, Any] = (await client.call_tool(tool, arguments)).structured_content
    return told
