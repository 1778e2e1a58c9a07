"""Claude Agent SDK: a `SessionStore` kept by Chatkeep, with all optional methods.

A transcript is a session. The keys of a project's transcripts begin alike; the names themselves are in the metadata.
An entry keeps its `uuid` as the id of its message: an entry that the SDK sends again is stored once. Times are those of
storing, so that lists and summaries have one clock; the entry has its own time.

A summary is a fold over entries. It is made when summaries are listed, from where the last one ended, and kept in the
metadata with that place. So two writers never race for it, and an append is one write.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
from claude_agent_sdk import fold_session_summary
from claude_agent_sdk.types import (
    SessionKey,
    SessionListSubkeysKey,
    SessionStore,
    SessionStoreEntry,
    SessionStoreListEntry,
    SessionSummaryEntry,
)

from chatkeep.adapters.backing import SessionItems, Verbs, hashed_name, key_for_name
from chatkeep.adapters.exact import Spoken, item_of_message, message_of_item, words_within
from chatkeep.core.bounds import BATCH_MAX
from chatkeep.core.life.dropping import NewSession
from chatkeep.core.model import Draft, Json, Message, Revision, Selection, Summary
from chatkeep.errors import (
    ForbiddenError,
    MessageConflictError,
    SessionExistsError,
    SessionNotFoundError,
)

if TYPE_CHECKING:
    from chatkeep.client import AsyncClient, Client
    from chatkeep.sessions.sessions import Sessions

_KIND: Final = "claude"
_LISTED: Final = 500  # sessions of a page
_WINDOW: Final = 500  # messages fetched at a time


class ChatkeepSessionStore(SessionStore):
    """The transcripts of the SDK as sessions, with keys under a prefix. `delete` needs the scope `delete`."""

    def __init__(self, place: Client | AsyncClient | Sessions, *, prefix: str = "claude:") -> None:
        """Take a client or the sessions of a workspace; the caller closes it."""
        self._verbs = Verbs(place)
        self._prefix = prefix

    async def append(self, key: SessionKey, entries: list[SessionStoreEntry]) -> None:
        """Store entries at the end of a transcript; those stored already, by their `uuid`, stay as they are."""
        drafts = _once([_draft_of(cast("dict[str, Json]", entry)) for entry in entries])
        own = self._key(key)
        for first in range(0, len(drafts), BATCH_MAX):
            await self._stored(own, key, drafts[first : first + BATCH_MAX])

    async def load(self, key: SessionKey) -> list[SessionStoreEntry] | None:
        """Return the entries of a transcript; None if there is none."""
        messages = await SessionItems(self._key(key), self._verbs).read()
        return [_entry(message) for message in messages] or None

    async def list_sessions(self, project_key: str) -> list[SessionStoreListEntry]:
        """Return the transcripts of a project and their times of change, without those of agents below them."""
        return [
            SessionStoreListEntry(session_id=names["session"], mtime=_milliseconds(known.updated_at))
            async for names, known in self._mains(project_key)
        ]

    async def list_session_summaries(self, project_key: str) -> list[SessionSummaryEntry]:
        """Return the summaries of a project's transcripts."""
        return [await self._summary(names, known) async for names, known in self._mains(project_key)]

    async def delete(self, key: SessionKey) -> None:
        """Delete a transcript with those of the agents below it, or one of these."""
        doomed = [self._key(key)]
        if not key.get("subpath"):
            doomed += [known.header.key async for _, known in self._below(key["project_key"], key["session_id"])]
        for one in doomed:
            with suppress(SessionNotFoundError):
                await self._verbs.ask("delete", one)

    async def list_subkeys(self, key: SessionListSubkeysKey) -> list[str]:
        """Return the subpaths below a transcript."""
        return [names["subpath"] async for names, _ in self._below(key["project_key"], key["session_id"])]

    def _key(self, key: SessionKey) -> str:
        subpath = key.get("subpath")
        if subpath:
            return key_for_name(self._agents(key["project_key"], key["session_id"]), subpath)
        return key_for_name(f"{self._project(key['project_key'])}s:", key["session_id"])

    def _project(self, project_key: str) -> str:
        """Return the beginning of the keys of a project's transcripts."""
        return f"{self._prefix}{hashed_name(project_key)}:"

    def _agents(self, project_key: str, session_id: str) -> str:
        """Return the beginning of the keys of the agents' transcripts below one."""
        return f"{self._project(project_key)}a:{hashed_name(session_id)}:"

    async def _stored(self, own: str, key: SessionKey, drafts: Sequence[Draft]) -> None:
        left = list(drafts)
        while left:
            try:
                await self._verbs.ask("append", own, left, create=False)
            except MessageConflictError as error:  # another content under a stored uuid: what is stored stays
                left = [draft for draft in left if draft.id != error.message_id]
            except SessionNotFoundError:
                names = {"project": key["project_key"], "session": key["session_id"], "subpath": key.get("subpath", "")}
                new = NewSession(key=own, channel=_KIND, metadata={_KIND: {"names": json.dumps(names)}})
                with suppress(SessionExistsError):
                    await self._verbs.ask("create", new)
            else:
                return

    async def _mains(self, project_key: str) -> AsyncIterator[tuple[dict[str, str], Summary]]:
        async for names, known in self._listed(f"{self._project(project_key)}s:"):
            yield names, known

    async def _below(self, project_key: str, session_id: str) -> AsyncIterator[tuple[dict[str, str], Summary]]:
        async for names, known in self._listed(self._agents(project_key, session_id)):
            yield names, known

    async def _listed(self, prefix: str) -> AsyncIterator[tuple[dict[str, str], Summary]]:
        """Yield the sessions under a prefix with messages, and their names in the SDK."""
        chosen, cursor = Selection(prefixes=(prefix,), archived=None), None
        while True:
            page = await self._verbs.ask("list", chosen, limit=_LISTED, cursor=cursor, metadata=True)
            for known in page.sessions:
                own = known.header.metadata.get(_KIND)
                if known.message_count and isinstance(own, dict) and isinstance(own.get("names"), str):
                    yield json.loads(own["names"]), known
            cursor = page.next_cursor
            if cursor is None:
                return

    async def _summary(self, names: dict[str, str], known: Summary) -> SessionSummaryEntry:
        """Return the summary of a transcript: the kept one, folded on over the entries behind it."""
        key = SessionKey(project_key=names["project"], session_id=names["session"])
        kept = known.header.metadata[_KIND].get("summary")
        data, folded = json.loads(kept) if isinstance(kept, str) else (None, 0)
        found = None if data is None else _summarised(names, known, data)
        if folded < known.line_count:
            last = folded
            async for messages in self._behind(known.header.key, folded):
                found = fold_session_summary(found, key, [_entry(message) for message in messages])
                last = messages[-1].seq
            if found is not None:
                told = json.dumps([found["data"], last])
                with suppress(ForbiddenError, SessionNotFoundError):  # a token that only reads folds anew
                    revision = Revision(metadata={_KIND: {"summary": told}})
                    await self._verbs.ask("revise", known.header.key, revision)
        return _summarised(names, known, {} if found is None else found["data"])

    async def _behind(self, key: str, seq: int) -> AsyncIterator[Sequence[Message]]:
        while True:
            window = await self._verbs.ask("window", key, after=seq, limit=_WINDOW)
            if window.messages:
                yield window.messages
                seq = window.messages[-1].seq
            if not window.has_more:
                return


def _summarised(names: dict[str, str], known: Summary, data: dict[str, Any]) -> SessionSummaryEntry:
    return SessionSummaryEntry(session_id=names["session"], mtime=_milliseconds(known.updated_at), data=data)


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _once(drafts: Sequence[Draft]) -> list[Draft]:
    """Return the drafts without repetitions of an id."""
    seen: set[str] = set()
    kept = []
    for one in drafts:
        if one.id is None or one.id not in seen:
            kept.append(one)
            seen |= {one.id} if one.id else set()
    return kept


def _draft_of(entry: dict[str, Json]) -> Draft:
    message = entry.get("message")
    role = message.get("role") if isinstance(message, dict) else None
    uuid = entry.get("uuid")
    named = uuid if isinstance(uuid, str) else None
    if entry.get("type") in ("user", "assistant") and role == entry["type"]:
        return message_of_item(_KIND, entry, Spoken(role=role, path=("message", "content"), id=named))
    words = words_within({name: entry.get(name) for name in ("summary", "customTitle", "content")})
    return message_of_item(_KIND, entry, Spoken(role="system", words=words, id=named))


def _entry(message: Message) -> SessionStoreEntry:
    found = item_of_message(_KIND, message)
    if found is None:
        content = msgspec.to_builtins(message.content)
        found = {"type": message.role, "uuid": message.id, "message": {"role": message.role, "content": content}}
    return cast("SessionStoreEntry", found)
