"""The users and the threads of Chainlit as sessions: their headers, and lists of them."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from chainlit.types import ThreadDict
from chainlit.user import PersistedUser, User

from chatkeep.adapters.backing import Verbs, key_for_name
from chatkeep.adapters.chainlit.thread_entries import KIND, ThreadItem, plain_item
from chatkeep.core.checks import TITLE_CHARS_MAX, check_title
from chatkeep.core.life.dropping import NewSession
from chatkeep.core.model import Json, Revision, Selection, Summary
from chatkeep.core.paging import LIST_LIMIT_MAX
from chatkeep.core.search.query import parse_query
from chatkeep.core.search.search import Search
from chatkeep.errors import InvalidError, SessionExistsError, SessionNotFoundError

_USERS: Final = uuid.UUID("6f3f0f6c-8a5e-5d0e-9f52-6a8f6a4d1c11")  # the namespace of the ids of users


class Directory:
    """The headers of users and threads, with keys under a prefix. A user's id is made of the identifier."""

    def __init__(self, verbs: Verbs, prefix: str) -> None:
        """Take the way to the sessions, and the beginning of their keys."""
        self._verbs = verbs
        self._prefix = prefix

    def key(self, thread_id: str) -> str:
        """Return the key of a thread."""
        return key_for_name(f"{self._prefix}t:", thread_id)

    def new(self, thread_id: str, changes: dict[str, Json] | None = None, title: str | None = None) -> NewSession:
        """Return a thread to begin."""
        kept: dict[str, Json] = {"id": json.dumps(thread_id), "created_at": _now(), **(changes or {})}
        if isinstance(kept.get("values"), dict):
            kept["values"] = {name: value for name, value in kept["values"].items() if value is not None}
        return NewSession(key=self.key(thread_id), channel=KIND, title=title, metadata={KIND: kept})

    async def user(self, user_id: str) -> PersistedUser | None:
        """Return a user by id; None if there is none."""
        try:
            own = own_metadata(await self._verbs.ask("get", self._user_key(user_id)))
        except SessionNotFoundError:
            return None
        kept = json.loads(own["user"])
        return PersistedUser(
            id=user_id,
            createdAt=own["created_at"],
            identifier=kept["identifier"],
            display_name=kept["display_name"],
            metadata=kept["metadata"],
        )

    async def keep_user(self, user: User) -> PersistedUser | None:
        """Keep a user; one that is there gets the new metadata."""
        user_id = id_of_user(user.identifier)
        told = {"identifier": user.identifier, "metadata": user.metadata, "display_name": user.display_name}
        kept = {"user": json.dumps(plain_item(told))}
        created = {KIND: {"created_at": _now(), **kept}}
        new = NewSession(key=self._user_key(user_id), channel=KIND, metadata=created, archived=True)
        try:
            await self._verbs.ask("create", new)
        except SessionExistsError:
            await self._verbs.ask("revise", new.key, Revision(metadata={KIND: kept}))
        return await self.user(user_id)

    async def change(self, thread_id: str, changes: dict[str, Json], name: str | None) -> None:
        """Change the header of a thread, or begin it: a merge patch of its metadata, and a name."""
        title = None if name is None else _title(name)
        new = self.new(thread_id, changes, title)
        revision = Revision(metadata={KIND: changes})
        if title is not None:
            revision = Revision(metadata={KIND: changes}, title=title)
        try:
            await self._verbs.ask("create", new)
        except SessionExistsError:
            if changes:
                await self._verbs.ask("revise", new.key, revision)

    async def page(
        self, user_id: str, text: str | None, limit: int, cursor: str | None
    ) -> tuple[Sequence[Summary], str | None]:
        """Return a page of the threads of a user, or with a text those that a search finds, and the next cursor."""
        chosen = self._selection(user_id)
        if not text:
            listed = await self._verbs.ask("list", chosen, limit=limit, cursor=cursor, metadata=True)
            return listed.sessions, listed.next_cursor
        asked = Search(query=parse_query(text), selection=chosen, limit=limit, cursor=cursor)
        hits = await self._verbs.ask("search", asked)
        found = []
        for hit in hits.hits:
            with suppress(SessionNotFoundError):
                found.append(await self._verbs.ask("get", hit.key))
        return found, hits.next_cursor

    async def threads(self, user_id: str | None = None, mark: str | None = None) -> AsyncIterator[Summary]:
        """Yield all threads, or those of a user, or those of them with a mark; latest activity first."""
        cursor = None
        while True:
            page = await self._verbs.ask(
                "list", self._selection(user_id, mark), limit=LIST_LIMIT_MAX, cursor=cursor, metadata=True
            )
            for known in page.sessions:
                yield known
            cursor = page.next_cursor
            if cursor is None:
                return

    def _user_key(self, user_id: str) -> str:
        return key_for_name(f"{self._prefix}u:", user_id)

    def _selection(self, user_id: str | None, mark: str | None = None) -> Selection:
        wanted = [(f"{KIND}.user", user_id)] if user_id is not None else []
        wanted += [(f"{KIND}.{mark}", "yes")] if mark else []
        return Selection(prefixes=(f"{self._prefix}t:",), archived=None, metadata=tuple(wanted))


def id_of_user(identifier: str) -> str:
    """Return the id of a user."""
    return str(uuid.uuid5(_USERS, identifier))


def own_metadata(known: Summary) -> dict[str, Any]:
    """Return what a thread or a user has in the metadata of its session."""
    kept = known.header.metadata.get(KIND)
    return kept if isinstance(kept, dict) else {}


def id_of_thread(known: Summary) -> str:
    """Return the id of a thread; the key of a session that another program began."""
    kept = own_metadata(known).get("id")
    return str(json.loads(kept)) if isinstance(kept, str) else known.header.key


def thread_of(known: Summary, steps: Sequence[ThreadItem], elements: Sequence[ThreadItem]) -> ThreadDict:
    """Return a thread as Chainlit has it."""
    own = own_metadata(known)
    return ThreadDict(
        id=id_of_thread(known),
        createdAt=own.get("created_at") or known.header.created_at.isoformat(),
        name=json.loads(own["name"]) if "name" in own else None,
        userId=own.get("user"),
        userIdentifier=own.get("author"),
        tags=json.loads(own["tags"]) if "tags" in own else None,
        metadata={json.loads(f'"{name}"'): json.loads(value) for name, value in own.get("values", {}).items()},
        steps=[*steps],
        elements=[*elements],
    )


def patch_of(values: dict[str, Any]) -> dict[str, Json]:
    """Return the metadata of a thread as a merge patch: each value as JSON text, and None for what goes."""
    return {
        json.dumps(name)[1:-1]: None if value is None else json.dumps(value, default=str)
        for name, value in values.items()
    }


def _title(name: str) -> str | None:
    """Return the name of a thread as a title; None if a title cannot be so."""
    try:
        return check_title(" ".join(name.split())[:TITLE_CHARS_MAX])
    except InvalidError:
        return None


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
