"""OpenAI's Conversations: `/v1/conversations`, over the same sessions as every other route."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Final

import msgspec
from msgspec.json import Decoder
from starlette.requests import Request
from starlette.responses import Response

from chatkeep.core.history.state.conversation_items import shown_item
from chatkeep.http.gate.binding import Computed, InPath, InQuery
from chatkeep.http.gate.body import json_of
from chatkeep.http.gate.rules import json_response
from chatkeep.http.routes.state.item_pages import IncludedFields, PageLimit, PageParameter, page_response
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

_NEW: Final = Decoder(NewConversationBody)
_CHANGE: Final = Decoder(ConversationChangeBody)
_ITEMS: Final = Decoder(NewItemsBody)

ConversationId = Annotated[str, InPath(description="The id of the conversation.")]
ItemId = Annotated[str, InPath(description="The id of the item.")]
AfterConversation = Annotated[
    str | None, InQuery(description="`last_id` of the page before, to continue there with older ones.")
]


def _conversations(sessions: Own) -> Conversations:
    return Conversations(sessions)


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
    conversations: OwnConversations, threads: PoolsParameter, conversation_id: ConversationId, asked: PageParameter
) -> Response:
    """List the items of a conversation, the last one first unless `order` says otherwise."""
    return await page_response(threads, partial(conversations.items, conversation_id), asked)


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
