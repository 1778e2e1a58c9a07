"""Appends and reads through a library's own calls, for `bench/wanted.py`: runs in the environment of that library.

    PYTHON bench/library.py {openai,adk,langchain} FOLDER < WORK

WORK is lines of JSON: {"verb": "append", "texts": [...]}, one message for each text, to 50 sessions in turn, or
{"verb": "history", "rounds": 100}, the last 50 messages of a session of 1,000. Each line is answered by the times in
seconds. A library without a limit for a history returns all of it, as its users get it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

_SESSIONS = 50
_LONG = 1000  # messages
_LONG_NAME = "long"


class Library(NamedTuple):
    """The calls of a library."""

    append: Callable[[str, str], Awaitable[object]]
    history: Callable[[str], Awaitable[object]]


async def openai(folder: Path) -> Library:
    """Return the calls of `openai-agents`: SQLiteSession."""
    from agents import SQLiteSession  # noqa: PLC0415 - in its own environment alone

    sessions: dict[str, SQLiteSession] = {}

    def session(name: str) -> SQLiteSession:
        return sessions.setdefault(name, SQLiteSession(name, folder / "openai.sqlite3"))

    return Library(
        lambda name, text: session(name).add_items([{"role": "user", "content": text}]),
        lambda name: session(name).get_items(limit=50),
    )


async def adk(folder: Path) -> Library:
    """Return the calls of `google-adk`: DatabaseSessionService on SQLite."""
    from google.adk.events import Event  # noqa: PLC0415 - in its own environment alone
    from google.adk.sessions import DatabaseSessionService  # noqa: PLC0415 - in its own environment alone
    from google.adk.sessions.base_session_service import GetSessionConfig  # noqa: PLC0415 - in its own environment alone
    from google.genai.types import Content, Part  # noqa: PLC0415 - in its own environment alone

    service = DatabaseSessionService(f"sqlite+aiosqlite:///{folder / 'adk.sqlite3'}")
    sessions = {}

    async def append(name: str, text: str) -> object:
        if name not in sessions:
            sessions[name] = await service.create_session(app_name="bench", user_id="user", session_id=name)
        said = Event(author="user", content=Content(role="user", parts=[Part(text=text)]))
        return await service.append_event(sessions[name], said)

    async def history(name: str) -> object:
        newest = GetSessionConfig(num_recent_events=50)
        return await service.get_session(app_name="bench", user_id="user", session_id=name, config=newest)

    return Library(append, history)


async def langchain(folder: Path) -> Library:
    """Return the calls of `langchain-community`: SQLChatMessageHistory, which always loads all messages."""
    from langchain_community.chat_message_histories import SQLChatMessageHistory  # type: ignore[import-not-found]  # noqa: PLC0415
    from langchain_core.messages import HumanMessage  # noqa: PLC0415 - in its own environment alone

    sessions: dict[str, SQLChatMessageHistory] = {}

    def session(name: str) -> SQLChatMessageHistory:
        if name not in sessions:
            place = f"sqlite:///{folder / 'langchain.sqlite3'}"
            sessions[name] = SQLChatMessageHistory(session_id=name, connection=place)
        return sessions[name]

    async def append(name: str, text: str) -> object:
        return session(name).add_message(HumanMessage(text))

    async def history(name: str) -> object:
        return session(name).messages[-50:]

    return Library(append, history)


LIBRARIES: dict[str, Callable[[Path], Awaitable[Library]]] = {"openai": openai, "adk": adk, "langchain": langchain}


async def work(name: str, folder: Path) -> None:
    """Answer the lines of work."""
    library = await LIBRARIES[name](folder)
    for number in range(_LONG):
        await library.append(_LONG_NAME, f"message {number} of a long talk about the weather and the tides " * 3)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        asked = json.loads(line)
        times = []
        calls: list[Callable[[], Awaitable[object]]] = [lambda: library.history(_LONG_NAME)] * asked.get("rounds", 0)
        for place, text in enumerate(asked.get("texts", ())):
            calls.append(lambda name=f"s{place % _SESSIONS}", text=text: library.append(name, text))  # type: ignore[misc]
        for call in calls:
            began = time.perf_counter()
            await call()
            times.append(time.perf_counter() - began)
        sys.stdout.write(json.dumps(times) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1], Path(sys.argv[2])))
