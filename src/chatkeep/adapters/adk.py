"""Agent Development Kit (ADK): a `BaseSessionService` kept by Chatkeep.

A session of the kit is a session here, an event of it a message. The state of a session is its first one, changed by
its events. The states of an app and of a user are in the metadata of sessions of their own. The server changes these
under its lock: one write for each, beside the one of the event.

    from google.adk.cli.service_registry import get_service_registry
    from chatkeep.adapters.adk import service_of_uri

    get_service_registry().register_session_service("chatkeep", service_of_uri)  # in services.py beside the agent
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, Final

from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError as NoSession
from google.adk.events.event import Event
from google.adk.sessions import _session_util
from google.adk.sessions.base_session_service import BaseSessionService, GetSessionConfig, ListSessionsResponse
from google.adk.sessions.session import Session
from google.adk.sessions.state import State

from chatkeep.adapters.backing import Verbs, hashed_name, key_for_name, open_workspace
from chatkeep.adapters.exact import Spoken, item_of_message, message_of_item, words_within
from chatkeep.core.life.dropping import NewSession
from chatkeep.core.model import Draft, Json, Message, Revision, Selection, Summary
from chatkeep.core.standing import EVENT, Role
from chatkeep.errors import SessionExistsError, SessionNotFoundError

if TYPE_CHECKING:
    from chatkeep.client import AsyncClient, Client
    from chatkeep.sessions.sessions import Sessions

_KIND: Final = "adk"
_LISTED: Final = 500  # sessions of a page


class ChatkeepSessionService(BaseSessionService):  # type: ignore[misc]
    """The sessions of the kit, with keys under a prefix. `delete_session` needs the scope `delete`."""

    def __init__(self, place: Client | AsyncClient | Sessions, *, prefix: str = "adk:") -> None:
        """Take a client or the sessions of a workspace; the caller closes it."""
        self._verbs = Verbs(place)
        self._prefix = prefix

    async def create_session(
        self, *, app_name: str, user_id: str, state: dict[str, Any] | None = None, session_id: str | None = None
    ) -> Session:
        """Begin a session.

        Raises:
            AlreadyExistsError: when there is one with this id.
        """
        named = session_id.strip() if session_id else ""
        names = {"app": app_name, "user": user_id, "session": named or str(uuid.uuid4())}
        deltas = _session_util.extract_json_safe_state_delta(state or {})
        first = Draft(role=EVENT, content="", metadata={_KIND: {"state": json.dumps(deltas["session"])}})
        new = NewSession(
            key=self._key(names),
            channel=_KIND,
            metadata={_KIND: {"names": json.dumps(names)}},
            messages=(first,),
        )
        try:
            created = await self._verbs.ask("create", new)
        except SessionExistsError as error:
            raise AlreadyExistsError(f"Session with id {names['session']} already exists.") from error
        await self._merge(names, deltas)
        known = created.summary
        return self._session(names, deltas["session"] | await self._shared(names), (), known.updated_at.timestamp())

    async def get_session(
        self, *, app_name: str, user_id: str, session_id: str, config: GetSessionConfig | None = None
    ) -> Session | None:
        """Return a session with its state and its events, or those that are chosen; None if there is none."""
        names = {"app": app_name, "user": user_id, "session": session_id.strip() if session_id else session_id}
        try:
            messages = (await self._verbs.ask("read", self._key(names))).messages
        except SessionNotFoundError:
            return None
        events = [Event.model_validate(item) for item in _events(messages)]
        state = _initial(messages)
        for event in events:
            state |= _session_util.extract_state_delta(event.actions.state_delta)["session"]
        at = events[-1].timestamp if events else messages[0].sent_at.timestamp()
        return self._session(names, state | await self._shared(names), _chosen(events, config), at)

    async def list_sessions(self, *, app_name: str, user_id: str | None = None) -> ListSessionsResponse:
        """Return the sessions of an app, or of one user of it, without events; their state is the shared one alone."""
        prefix = self._app(app_name) if user_id is None else self._user(app_name, user_id)
        found, shared = [], dict[str, dict[str, Any]]()
        async for names, known in self._listed(prefix):
            if names["user"] not in shared:
                shared[names["user"]] = await self._shared(names)
            found.append(self._session(names, dict(shared[names["user"]]), (), known.updated_at.timestamp()))
        return ListSessionsResponse(sessions=sorted(found, key=lambda one: (one.last_update_time, one.user_id, one.id)))

    async def delete_session(self, *, app_name: str, user_id: str, session_id: str) -> None:
        """Delete a session; the shared state stays."""
        names = {"app": app_name, "user": user_id, "session": session_id.strip() if session_id else session_id}
        with suppress(SessionNotFoundError):
            await self._verbs.ask("delete", self._key(names))

    async def get_user_state(self, *, app_name: str, user_id: str) -> dict[str, Any]:
        """Return the state of a user in an app, without the prefix of its names."""
        return await self._state(self._user_state(app_name, user_id))

    async def append_event(self, session: Session, event: Event) -> Event:
        """Store an event, and apply it to the session in hand; one that is sent again is stored once.

        Raises:
            SessionNotFoundError: of the kit, when there is no such session.
        """
        if event.partial:
            return event
        names = {"app": session.app_name, "user": session.user_id, "session": session.id}
        if any(known == event for known in session.events if known.id == event.id):
            return event
        self._apply_temp_state(session, event)
        event = self._trim_temp_delta_state(event)
        try:
            await self._verbs.ask("append", self._key(names), [_draft_of(event)], create=False)
        except SessionNotFoundError as error:
            raise NoSession(f"Session {session.id} not found.") from error
        await self._merge(names, _session_util.extract_json_safe_state_delta(event.actions.state_delta or {}))
        self._commit_event_to_session(session, event)
        session.last_update_time = event.timestamp
        return event

    def _app(self, app: str) -> str:
        return f"{self._prefix}{hashed_name(app)}:s:"

    def _user(self, app: str, user: str) -> str:
        return f"{self._app(app)}{hashed_name(user)}:"

    def _key(self, names: dict[str, str]) -> str:
        return key_for_name(self._user(names["app"], names["user"]), names["session"])

    def _app_state(self, app: str) -> str:
        return f"{self._prefix}{hashed_name(app)}:state"

    def _user_state(self, app: str, user: str) -> str:
        return f"{self._prefix}{hashed_name(app)}:u:{hashed_name(user)}"

    async def _listed(self, prefix: str) -> AsyncIterator[tuple[dict[str, str], Summary]]:
        """Yield the names and the summaries of the sessions under a prefix."""
        chosen, cursor = Selection(prefixes=(prefix,), archived=None), None
        while True:
            page = await self._verbs.ask("list", chosen, limit=_LISTED, cursor=cursor, metadata=True)
            for known in page.sessions:
                names = _names(known)
                if names:
                    yield names, known
            cursor = page.next_cursor
            if cursor is None:
                return

    async def _shared(self, names: dict[str, str]) -> dict[str, Any]:
        """Return the state of the app and of the user, by the names that a session has for them."""
        of_app = await self._state(self._app_state(names["app"]))
        of_user = await self._state(self._user_state(names["app"], names["user"]))
        return {State.APP_PREFIX + name: value for name, value in of_app.items()} | {
            State.USER_PREFIX + name: value for name, value in of_user.items()
        }

    async def _state(self, key: str) -> dict[str, Any]:
        try:
            known = await self._verbs.ask("get", key)
        except SessionNotFoundError:
            return {}
        kept = known.header.metadata.get(_KIND, {})
        return {json.loads(f'"{name}"'): json.loads(value) for name, value in kept.items()}

    async def _merge(self, names: dict[str, str], deltas: dict[str, dict[str, Any]]) -> None:
        """Change the shared states: the server merges them by their names."""
        places = {
            self._app_state(names["app"]): deltas["app"],
            self._user_state(names["app"], names["user"]): deltas["user"],
        }
        for key, delta in places.items():
            if delta:
                kept = {json.dumps(name)[1:-1]: json.dumps(value) for name, value in delta.items()}
                with suppress(SessionExistsError):
                    await self._verbs.ask("create", NewSession(key=key, channel=_KIND))
                await self._verbs.ask("revise", key, Revision(metadata={_KIND: kept}, archived=True))

    def _session(self, names: dict[str, str], state: dict[str, Any], events: Sequence[Event], at: float) -> Session:
        return Session(
            id=names["session"],
            app_name=names["app"],
            user_id=names["user"],
            state=state,
            events=[*events],
            last_update_time=at,
        )


def service_of_uri(uri: str, **_ignored: object) -> ChatkeepSessionService:
    """Return the service of an address: `chatkeep:///folder`, or `chatkeep+https://host`, its token in CHATKEEP_TOKEN.

    Raises:
        ValueError: for another address.
    """
    scheme, _, rest = uri.partition("://")
    if scheme == "chatkeep":
        return ChatkeepSessionService(ExitStack().enter_context(open_workspace(rest)))
    if scheme in ("chatkeep+http", "chatkeep+https"):
        from chatkeep.client import AsyncClient  # noqa: PLC0415 - a workspace needs no client

        address = f"{scheme.removeprefix('chatkeep+')}://{rest}"
        return ChatkeepSessionService(AsyncClient(address, os.environ["CHATKEEP_TOKEN"]))
    raise ValueError("The address must be chatkeep:///folder, chatkeep+http://host or chatkeep+https://host.")


def _names(known: Summary) -> dict[str, str] | None:
    own = known.header.metadata.get(_KIND)
    if not isinstance(own, dict) or not isinstance(own.get("names"), str):
        return None
    names: dict[str, str] = json.loads(own["names"])
    return names


def _initial(messages: Iterable[Message]) -> dict[str, Any]:
    """Return the state that a session began with."""
    for message in messages:
        kept = (message.metadata or {}).get(_KIND)
        if message.role == EVENT and isinstance(kept, dict) and isinstance(kept.get("state"), str):
            state: dict[str, Any] = json.loads(kept["state"])
            return state
    return {}


def _events(messages: Iterable[Message]) -> list[Json]:
    found = [(message, item_of_message(_KIND, message)) for message in messages if message.role != EVENT]
    return [_foreign(message) if item is None else item for message, item in found]


def _foreign(message: Message) -> Json:
    """Return a message of another program as an event."""
    role = "user" if message.role == "user" else "model"
    content = {"role": role, "parts": [{"text": message.text}]}
    return {"id": message.id, "author": message.role, "content": content, "timestamp": message.sent_at.timestamp()}


def _chosen(events: Sequence[Event], config: GetSessionConfig | None) -> Sequence[Event]:
    if config is None:
        return events
    if config.num_recent_events is not None:
        events = events[-config.num_recent_events :] if config.num_recent_events else []
    if config.after_timestamp is not None:
        old = [place for place, event in enumerate(events) if event.timestamp < config.after_timestamp]
        events = events[old[-1] + 1 :] if old else events
    return events


def _draft_of(event: Event) -> Draft:
    item = json.loads(event.model_dump_json(exclude_none=True))
    content = item.get("content") or {}
    parts = [part for part in content.get("parts") or () if isinstance(part, dict)]
    words = "\n".join(words_within(part["text"]) for part in parts if isinstance(part.get("text"), str))
    role: Role = "user" if event.author == "user" else "assistant" if content else "system"
    return message_of_item(_KIND, item, Spoken(role=role, words=words, id=hashed_name(json.dumps(item))))
