"""OpenAI's Conversations: `/v1/conversations`, over the same sessions as every other route."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec.json import Decoder
from starlette.requests import Request
from starlette.responses import Response

from chatkeep.core.history.state.conversation_items import INCLUDES, shown_item
from chatkeep.errors import InvalidError
from chatkeep.http.gate.binding import Computed, InPath, InQuery
from chatkeep.http.gate.body import json_of
from chatkeep.http.gate.rules import json_response
from chatkeep.http.services import Own, PoolsParameter
from chatkeep.model.state.conversations import Conversations, metadata_texts_of
from chatkeep.wire.answers import json_bytes
from chatkeep.wire.conversation_objects import (
    ConversationChangeBody,
    DeletedConversation,
    NewConversationBody,
    NewItemsBody,
    conversation_list,
    conversation_object,
    item_list,
    listed_conversation,
)

_PAGE_MAX: Final = 100  # conversations or items in a list
_NEW: Final = Decoder(NewConversationBody)
_CHANGE: Final = Decoder(ConversationChangeBody)
_ITEMS: Final = Decoder(NewItemsBody)

ConversationId = Annotated[str, InPath(description="The id of the conversation.")]
ItemId = Annotated[str, InPath(description="The id of the item.")]
PageLimit = Annotated[int, InQuery(ge=1, le=_PAGE_MAX, description="Return at most so many.")]
AfterConversation = Annotated[
    str | None, InQuery(description="`last_id` of the page before, to continue there with older ones.")
]
AfterItem = Annotated[str | None, InQuery(description="`last_id` of the page before, to continue there.")]
ItemOrder = Annotated[Literal["asc", "desc"], InQuery(description="`asc`: the first item first. `desc`: the last one.")]
Included = Annotated[
    tuple[str, ...],
    InQuery(
        alias="include",
        max_length=len(INCLUDES),
        description="Return these fields of items, too. Repeat it for several.",
        schema={"items": {"enum": [*INCLUDES]}},
    ),
]
IncludedToo = Annotated[
    tuple[str, ...],
    InQuery(
        alias="include[]",
        max_length=len(INCLUDES),
        description="The same, as OpenAI's own clients write it.",
        schema={"items": {"enum": [*INCLUDES]}},
    ),
]


def _include(some: Included = (), others: IncludedToo = ()) -> frozenset[str]:
    """Return the fields to include.

    Raises:
        InvalidError: for an unknown one.
    """
    named = frozenset((*some, *others))
    if unknown := sorted(named.difference(INCLUDES)):
        raise InvalidError("include", f"{unknown[0][:64]!r} is none of {', '.join(INCLUDES)}")
    return named


def _conversations(sessions: Own) -> Conversations:
    return Conversations(sessions)


IncludedFields = Annotated[frozenset[str], Computed(_include)]
OwnConversations = Annotated[Conversations, Computed(_conversations)]


async def list_conversations(
    conversations: OwnConversations, threads: PoolsParameter, limit: PageLimit = 20, after: AfterConversation = None
) -> Response:
    """List conversations by their latest activity, newest first; OpenAI has no such list."""
    page = await threads.read(conversations.page, after, limit)
    found = [listed_conversation(one, metadata_texts_of(one.header.metadata)) for one in page.conversations]
    return json_response(json_bytes(conversation_list(found, has_more=page.has_more)))


async def create_conversation(request: Request, conversations: OwnConversations, threads: PoolsParameter) -> Response:
    """Begin a conversation, with metadata and up to 20 items."""
    body = await json_of(request, threads, _NEW)
    summary = await threads.write(conversations.create, body.metadata or {}, body.items or ())
    return json_response(json_bytes(conversation_object(summary, metadata_texts_of(summary.header.metadata))))


async def get_conversation(
    conversations: OwnConversations, threads: PoolsParameter, conversation_id: ConversationId
) -> Response:
    """Return a conversation without its items."""
    summary = await threads.read(conversations.get, conversation_id)
    return json_response(json_bytes(conversation_object(summary, metadata_texts_of(summary.header.metadata))))


async def update_conversation(
    request: Request, conversations: OwnConversations, threads: PoolsParameter, conversation_id: ConversationId
) -> Response:
    """Put metadata in place of those of a conversation."""
    body = await json_of(request, threads, _CHANGE)
    summary = await threads.write(conversations.update, conversation_id, body.metadata or {})
    return json_response(json_bytes(conversation_object(summary, metadata_texts_of(summary.header.metadata))))


async def delete_conversation(
    conversations: OwnConversations, threads: PoolsParameter, conversation_id: ConversationId
) -> Response:
    """Delete a conversation, and the session that it is."""
    await threads.write(conversations.delete, conversation_id)
    return json_response(json_bytes(DeletedConversation(id=conversation_id)))


async def list_items(
    conversations: OwnConversations,
    threads: PoolsParameter,
    conversation_id: ConversationId,
    include: IncludedFields,
    *,
    limit: PageLimit = 20,
    after: AfterItem = None,
    order: ItemOrder = "desc",
) -> Response:
    """List the items of a conversation, the last one first unless `order` says otherwise."""

    def listed() -> bytes:
        page = conversations.items(conversation_id, after=after, limit=limit, is_rising=order == "asc")
        return json_bytes(item_list(page.items, include, has_more=page.has_more))

    return json_response(await threads.read(listed))


async def create_items(
    request: Request,
    conversations: OwnConversations,
    threads: PoolsParameter,
    conversation_id: ConversationId,
    include: IncludedFields,
) -> Response:
    """Append up to 20 items to a conversation, all or none."""
    body = await json_of(request, threads, _ITEMS)
    found = await threads.write(conversations.add, conversation_id, body.items)
    return json_response(json_bytes(item_list(found, include)))


async def get_item(
    conversations: OwnConversations,
    threads: PoolsParameter,
    conversation_id: ConversationId,
    item_id: ItemId,
    include: IncludedFields,
) -> Response:
    """Return an item of a conversation."""
    found = await threads.read(conversations.item, conversation_id, item_id)
    return json_response(msgspec.json.encode(shown_item(found.item, include)))


async def delete_item(
    conversations: OwnConversations, threads: PoolsParameter, conversation_id: ConversationId, item_id: ItemId
) -> Response:
    """Take an item out of a conversation, and return the conversation; the item stays in the log."""
    summary = await threads.write(conversations.drop, conversation_id, item_id)
    return json_response(json_bytes(conversation_object(summary, metadata_texts_of(summary.header.metadata))))
