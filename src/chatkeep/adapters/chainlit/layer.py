"""The data layer of Chainlit: each of its verbs as a few of Chatkeep's."""

from __future__ import annotations

import json
import uuid
from collections import OrderedDict
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, cast

from chainlit.context import ChainlitContextException, context
from chainlit.data.base import BaseDataLayer
from chainlit.data.utils import queue_until_user_message
from chainlit.types import Feedback, PageInfo, PaginatedResponse, Pagination, ThreadDict, ThreadFilter
from chainlit.user import PersistedUser, User

from chatkeep.adapters.backing import Verbs
from chatkeep.adapters.chainlit.directory import (
    Directory,
    id_of_thread,
    id_of_user,
    own_metadata,
    patch_of,
    thread_of,
)
from chatkeep.adapters.chainlit.element_contents import Contents
from chatkeep.adapters.chainlit.thread_entries import (
    EntryKind,
    ThreadItem,
    ThreadLines,
    entries,
    plain_item,
    thread_parts,
)
from chatkeep.core.model import Json, Summary
from chatkeep.errors import SessionNotFoundError

if TYPE_CHECKING:
    from chainlit.data.storage_clients.base import BaseStorageClient
    from chainlit.element import Element, ElementDict
    from chainlit.step import StepDict

    from chatkeep.client import AsyncClient, Client
    from chatkeep.sessions.sessions import Sessions

_LISTED: Final = 200  # threads of a page: the most that a search returns
_REMEMBERED: Final = 10_000  # entries whose threads this process remembers
_THREAD_OF: Final = "@"  # between a feedback's own id and that of its thread


class ChatkeepDataLayer(BaseDataLayer):  # type: ignore[misc]
    """The threads, steps, feedback, elements and users of Chainlit, with keys under a prefix.

    Changing a step and deleting take back, so they need the scope `delete`. The content of an element goes to
    `storage`, a storage client of Chainlit; without one it is kept in the thread, up to 8 MiB.
    """

    def __init__(
        self,
        place: Client | AsyncClient | Sessions,
        *,
        prefix: str = "chainlit:",
        storage: BaseStorageClient | None = None,
    ) -> None:
        """Take a client or the sessions of a workspace; the caller closes it."""
        verbs = Verbs(place)
        self._verbs = verbs
        self._directory = Directory(verbs, prefix)
        self._threads = ThreadLines(verbs)
        self._contents = Contents(storage)
        self._known: OrderedDict[tuple[EntryKind, str], str] = OrderedDict()

    async def get_user(self, identifier: str) -> PersistedUser | None:
        """Return a user; None if there is none."""
        return await self._directory.user(id_of_user(identifier))

    async def create_user(self, user: User) -> PersistedUser | None:
        """Keep a user; one that is there gets the new metadata."""
        return await self._directory.keep_user(user)

    async def get_thread_author(self, thread_id: str) -> str:
        """Return the identifier of the user of a thread.

        Raises:
            ValueError: when there is no such thread, or nobody's.
        """
        with suppress(SessionNotFoundError):
            own = own_metadata(await self._verbs.ask("get", self._directory.key(thread_id)))
            if "author" in own:
                return str(own["author"])
        raise ValueError(f"Author not found for thread_id {thread_id}")

    async def get_thread(self, thread_id: str) -> ThreadDict | None:
        """Return a thread with its steps by time, their feedback, and its elements; None if there is none."""
        key = self._directory.key(thread_id)
        try:
            known, lines = await self._verbs.ask("get", key), await self._threads.lines(key)
        except SessionNotFoundError:
            return None
        steps, elements = thread_parts(lines, thread_id)
        return thread_of(known, steps, [await self._contents.readable(element) for element in elements])

    async def list_threads(self, pagination: Pagination, filters: ThreadFilter) -> PaginatedResponse:
        """Return a page of a user's threads without their steps, latest activity first, or as a search orders them.

        Raises:
            ValueError: without a user.
        """
        if not filters.userId:
            raise ValueError("userId is required")
        found: list[ThreadDict] = []
        cursor, has_more = pagination.cursor, True
        while has_more and len(found) < pagination.first:
            limit = min(_LISTED, pagination.first - len(found))
            page, cursor = await self._directory.page(filters.userId, filters.search, limit, cursor)
            has_more = cursor is not None
            found += [thread_of(known, [], []) for known in page if await self._is_wanted(known, filters.feedback)]
        first = found[0]["id"] if found else None
        return PaginatedResponse(pageInfo=PageInfo(has_more, first, cursor), data=found)

    async def update_thread(
        self,
        thread_id: str,
        name: str | None = None,
        user_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        tags: list[str] | None = None,
    ) -> None:
        """Change a thread, or begin it; metadata is merged by its names, and None removes one."""
        named = name if name is not None else (metadata or {}).get("name")
        changes: dict[str, Json] = {} if named is None else {"name": json.dumps(str(named))}
        if user_id is not None:
            user = await self._directory.user(user_id)
            changes |= {"user": user_id, **({"author": user.identifier} if user else {})}
        if tags is not None:
            changes["tags"] = json.dumps(tags)
        if metadata:
            changes["values"] = patch_of(metadata)
        await self._directory.change(thread_id, changes, None if named is None else str(named))

    async def delete_thread(self, thread_id: str) -> None:
        """Delete a thread, with the stored content of its elements."""
        key = self._directory.key(thread_id)
        with suppress(SessionNotFoundError):
            for entry in entries(await self._threads.lines(key)):
                if entry.kind == "element":
                    await self._contents.forget(entry.item)
            await self._verbs.ask("delete", key)

    @queue_until_user_message()
    async def create_step(self, step_dict: StepDict) -> None:
        """Store a step at the end of its thread, or in place of the one with its id."""
        item = plain_item(step_dict)
        thread_id = item.get("threadId") or _thread_here()
        if thread_id is None:
            raise ValueError("A step needs a threadId.")
        await self._put(thread_id, "step", item)
        if _is_favorite(item):  # so that its thread is found among all
            await self._directory.change(thread_id, {"favorites": "yes"}, None)

    @queue_until_user_message()
    async def update_step(self, step_dict: StepDict) -> None:
        """Store a step in place of the one with its id."""
        await self.create_step(step_dict)

    @queue_until_user_message()
    async def delete_step(self, step_id: str) -> None:
        """Take a step out of its thread, with its feedback and its elements."""
        await self._remove("step", step_id, None)

    async def get_favorite_steps(self, user_id: str) -> list[StepDict]:
        """Return the steps that a user marked, the latest first: from the threads that ever had such a mark."""
        found: list[ThreadItem] = []
        async for known in self._directory.threads(user_id, mark="favorites"):
            with suppress(SessionNotFoundError):
                steps, _ = thread_parts(await self._threads.lines(known.header.key), id_of_thread(known))
                found += [step for step in steps if _is_favorite(step)]
        found.sort(key=lambda one: str(one.get("createdAt")), reverse=True)
        return found

    async def upsert_feedback(self, feedback: Feedback) -> str:
        """Store a feedback, or another value of it, and return its id.

        Raises:
            ValueError: when no thread has the step.
        """
        given = feedback.id.partition(_THREAD_OF)[2] if feedback.id else ""
        thread_id = feedback.threadId or given or await self._thread_of("step", feedback.forId)
        if not thread_id:
            raise ValueError(f"No thread has the step {feedback.forId}.")
        feedback.id = feedback.id or f"{uuid.uuid4()}{_THREAD_OF}{thread_id}"
        await self._put(thread_id, "feedback", plain_item({**asdict(feedback), "threadId": thread_id}))
        return str(feedback.id)

    async def delete_feedback(self, feedback_id: str) -> bool:
        """Take a feedback back; False if there is none."""
        thread_id = feedback_id.partition(_THREAD_OF)[2] or None
        return await self._remove("feedback", feedback_id, thread_id) is not None

    @queue_until_user_message()
    async def create_element(self, element: Element) -> None:
        """Store an element of a step, and its content.

        Raises:
            ValueError: without a storage client, when the content is larger than 8 MiB.
        """
        if element.for_id:
            await self._put(element.thread_id, "element", await self._contents.kept(element))

    async def get_element(self, thread_id: str, element_id: str) -> ElementDict | None:
        """Return an element; None if there is none."""
        found = await self._threads.current(self._directory.key(thread_id), "element", element_id)
        return None if found is None else cast("ElementDict", await self._contents.readable(found.item))

    @queue_until_user_message()
    async def delete_element(self, element_id: str, thread_id: str | None = None) -> None:
        """Take an element out of its thread, with its stored content."""
        item = await self._remove("element", element_id, thread_id)
        if item is not None:
            await self._contents.forget(item)

    async def build_debug_url(self) -> str:
        """Return no address: there is none."""
        return ""

    async def close(self) -> None:
        """Close the storage client; the caller closes the place."""
        await self._contents.close()

    async def _put(self, thread_id: str, kind: EntryKind, item: ThreadItem) -> None:
        await self._threads.put(self._directory.new(thread_id), kind, item)
        self._remember(kind, item["id"], thread_id)

    async def _remove(self, kind: EntryKind, entry_id: str, thread_id: str | None) -> ThreadItem | None:
        found = thread_id or await self._thread_of(kind, entry_id)
        return await self._threads.remove(self._directory.key(found), kind, entry_id) if found else None

    async def _is_wanted(self, known: Summary, value: int | None) -> bool:
        """Tell whether a thread has a feedback of a value; without a value every thread counts."""
        if value is None:
            return True
        with suppress(SessionNotFoundError):
            steps, _ = thread_parts(await self._threads.lines(known.header.key), id_of_thread(known))
            return any((step["feedback"] or {}).get("value") == value for step in steps)
        return False

    async def _thread_of(self, kind: EntryKind, entry_id: str) -> str | None:
        """Return the thread of an entry: as remembered, the one at hand, or else the first of all that has it."""
        for thread_id in (self._known.get((kind, entry_id)), _thread_here()):
            if thread_id and await self._threads.has(self._directory.key(thread_id), kind, entry_id):
                return thread_id
        async for known in self._directory.threads():
            if await self._threads.has(known.header.key, kind, entry_id):
                return id_of_thread(known)
        return None

    def _remember(self, kind: EntryKind, entry_id: str, thread_id: str) -> None:
        self._known[kind, entry_id] = thread_id
        self._known.move_to_end((kind, entry_id))
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


def _is_favorite(step: ThreadItem) -> bool:
    return bool((step.get("metadata") or {}).get("favorite"))


def _thread_here() -> str | None:
    """Return the thread of the conversation that this code runs for; None outside of one."""
    try:
        return cast("str | None", getattr(context.session, "thread_id", None))
    except ChainlitContextException:
        return None
