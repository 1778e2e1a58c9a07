"""A module of tests: the promises of ADK's own session services, kept by Chatkeep."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions
from google.adk.sessions.base_session_service import GetSessionConfig
from google.genai import types
from tools.conformance.homes import place, prefix_of

from chatkeep.adapters.adk import ChatkeepSessionService, service_of_uri

_numbers = itertools.count()
_ALICE: dict[str, Any] = {"app_name": "guide", "user_id": "alice"}


def _service() -> ChatkeepSessionService:
    home = place(f"adk-{next(_numbers)}")
    return ChatkeepSessionService(home, prefix=f"{prefix_of(home)}adk:")


def _event(text: str, at: float = 1.0, **delta: object) -> Event:
    content = types.Content(role="user", parts=[types.Part(text=text)])
    return Event(author="user", content=content, timestamp=at, actions=EventActions(state_delta=delta))


def test_keep_sessions_and_events() -> None:
    """A session comes back equal, with every event; an unknown one is None; an id is taken once."""
    service = _service()

    async def told() -> None:
        assert None is await service.get_session(**_ALICE, session_id="1")
        session = await service.create_session(**_ALICE, session_id=" 1 ", state={"k": {"a": [1, None]}})
        assert "1" == session.id
        with pytest.raises(AlreadyExistsError):
            await service.create_session(**_ALICE, session_id="1")
        await service.append_event(session, _event("the okapi\0", 2.5, k=2))
        await service.append_event(session, _event("grazes", 3.25))
        found = await service.get_session(**_ALICE, session_id="1")
        assert session == found
        assert {"k": 2} == found.state
        await service.delete_session(**_ALICE, session_id="1")
        await service.delete_session(**_ALICE, session_id="1")
        assert None is await service.get_session(**_ALICE, session_id="1")
        with pytest.raises(SessionNotFoundError):
            await service.append_event(session, _event("x"))

    asyncio.run(told())


def test_share_state() -> None:
    """The state of the app is for all, that of a user for its sessions, temporary state for none."""
    service = _service()

    async def told() -> None:
        first = await service.create_session(**_ALICE, state={"app:a": 1, "user:u": 2, "temp:t": 3, "s": 4})
        assert {"app:a": 1, "user:u": 2, "s": 4} == first.state
        await service.append_event(first, _event("x", 9.0, **{"app:a": 5, "user:v": None, "temp:t": 6, "s": 7}))
        second = await service.create_session(**_ALICE)
        assert {"app:a": 5, "user:u": 2, "user:v": None} == second.state
        other = await service.create_session(app_name="guide", user_id="bob")
        assert {"app:a": 5} == other.state
        assert {} == (await service.create_session(app_name="guide2", user_id="alice")).state
        assert {"u": 2, "v": None} == await service.get_user_state(**_ALICE)
        found = await service.get_session(**_ALICE, session_id=first.id)
        assert found is not None
        assert {"app:a": 5, "user:u": 2, "user:v": None, "s": 7} == found.state

    asyncio.run(told())


def test_choose_events() -> None:
    """The last events, or those from a time on; the state is that of all."""
    service = _service()

    async def told(**config: float) -> list[float]:
        found = await service.get_session(**_ALICE, session_id="c", config=GetSessionConfig(**config))
        assert found is not None
        assert {"n": 5.0} == found.state
        return [event.timestamp for event in found.events]

    async def asked() -> None:
        session = await service.create_session(**_ALICE, session_id="c")
        for number in (1.0, 2.0, 3.0, 4.0, 5.0):
            await service.append_event(session, _event("x", number, n=number))
        assert [4.0, 5.0] == await told(num_recent_events=2)
        assert [] == await told(num_recent_events=0)
        assert [3.0, 4.0, 5.0] == await told(after_timestamp=3.0)
        assert [5.0] == await told(after_timestamp=3.0, num_recent_events=1)

    asyncio.run(asked())


def test_list_sessions() -> None:
    """Those of a user or of the whole app, oldest first, without events; other apps do not show."""
    service = _service()

    async def told() -> None:
        for user, number, at in (("alice", "2", 20.0), ("alice", "1", 10.0), ("bob", "3", 15.0)):
            session = await service.create_session(app_name="guide", user_id=user, session_id=number)
            await service.append_event(session, _event("x", at))
        await service.create_session(app_name="other", user_id="alice", session_id="4")
        own = (await service.list_sessions(**_ALICE)).sessions
        assert {"1", "2"} == {session.id for session in own}
        assert [[], []] == [session.events for session in own]
        assert {"1", "2", "3"} == {one.id for one in (await service.list_sessions(app_name="guide")).sessions}
        assert [] == (await service.list_sessions(app_name="none")).sessions

    asyncio.run(told())


def test_store_once_what_comes_again() -> None:
    """An event sent again is stored once, a partial one never, and different events may share an id."""
    service = _service()

    async def told() -> None:
        session = await service.create_session(**_ALICE, session_id="o")
        first = _event("x")
        for event in (
            first,
            first,
            first.model_copy(update={"timestamp": 2.0}),
            _event("y").model_copy(update={"partial": True}),
        ):
            await service.append_event(session, event)
        found = await service.get_session(**_ALICE, session_id="o")
        assert found is not None
        assert [1.0, 2.0] == [event.timestamp for event in found.events]

    asyncio.run(told())


def test_store_once_what_comes_after_a_failure() -> None:
    """An event whose answer was lost, and that a session read before is sent with again, is stored once."""
    service = _service()

    async def told() -> None:
        session = await service.create_session(**_ALICE, session_id="f")
        before, event = session.model_copy(deep=True), _event("x", 1.0, n=1)
        await service.append_event(session, event)
        await service.append_event(before, event)
        found = await service.get_session(**_ALICE, session_id="f")
        assert found is not None
        assert ([event], {"n": 1}) == (found.events, found.state)

    asyncio.run(told())


def test_open_by_address(tmp_path: object) -> None:
    """A workspace and a server have addresses; any other is refused."""
    assert isinstance(service_of_uri(f"chatkeep://{tmp_path}/w"), ChatkeepSessionService)
    with pytest.raises(ValueError, match="chatkeep"):
        service_of_uri("sqlite:///x")
