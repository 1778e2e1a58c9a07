"""The part of the table with the state of OpenAI's API: conversations, and responses kept for others.

An application without them leaves their requests to the model's server.
"""

from __future__ import annotations

from typing import Final

from chatkeep import errors
from chatkeep.http.gate.rules import DELETE, READ, WRITE
from chatkeep.http.openapi import Body, Route, RouteAnswer
from chatkeep.http.refusals import AS_OPENAI, AS_OPENAI_ADDRESSED, SENT
from chatkeep.http.routes.state import conversation_routes, response_routes
from chatkeep.wire.conversation_objects import (
    ConversationChangeBody,
    ConversationList,
    ConversationObject,
    DeletedConversation,
    DeletedResponse,
    ItemList,
    NewConversationBody,
    NewItemsBody,
)

CONVERSATIONS: Final = (
    Route(
        "GET",
        "/v1/conversations",
        READ,
        conversation_routes.list_conversations,
        RouteAnswer(ConversationList),
        AS_OPENAI,
        as_openai=True,
    ),
    Route(
        "POST",
        "/v1/conversations",
        WRITE,
        conversation_routes.create_conversation,
        RouteAnswer(ConversationObject),
        (*AS_OPENAI, *SENT, errors.MessageConflictError),
        Body(NewConversationBody),
        as_openai=True,
    ),
    Route(
        "GET",
        "/v1/conversations/{conversation_id}",
        READ,
        conversation_routes.get_conversation,
        RouteAnswer(ConversationObject),
        AS_OPENAI_ADDRESSED,
        as_openai=True,
    ),
    Route(
        "POST",
        "/v1/conversations/{conversation_id}",
        WRITE,
        conversation_routes.update_conversation,
        RouteAnswer(ConversationObject),
        (*AS_OPENAI_ADDRESSED, *SENT),
        Body(ConversationChangeBody),
        as_openai=True,
    ),
    Route(
        "DELETE",
        "/v1/conversations/{conversation_id}",
        DELETE,
        conversation_routes.delete_conversation,
        RouteAnswer(DeletedConversation),
        AS_OPENAI_ADDRESSED,
        as_openai=True,
    ),
    Route(
        "GET",
        "/v1/conversations/{conversation_id}/items",
        READ,
        conversation_routes.list_items,
        RouteAnswer(ItemList),
        AS_OPENAI_ADDRESSED,
        as_openai=True,
    ),
    Route(
        "POST",
        "/v1/conversations/{conversation_id}/items",
        WRITE,
        conversation_routes.create_items,
        RouteAnswer(ItemList),
        (*AS_OPENAI_ADDRESSED, *SENT, errors.MessageConflictError),
        Body(NewItemsBody),
        as_openai=True,
    ),
    Route(
        "GET",
        "/v1/conversations/{conversation_id}/items/{item_id:path}",
        READ,
        conversation_routes.get_item,
        RouteAnswer(dict),
        AS_OPENAI_ADDRESSED,
        as_openai=True,
    ),
    Route(
        "DELETE",
        "/v1/conversations/{conversation_id}/items/{item_id:path}",
        DELETE,
        conversation_routes.delete_item,
        RouteAnswer(ConversationObject),
        (*AS_OPENAI_ADDRESSED, errors.CountConflictError),
        as_openai=True,
    ),
)
"""OpenAI's Conversations, over the sessions."""

KEPT_RESPONSES: Final = (
    Route(
        "GET",
        "/v1/responses/{response_id}",
        READ,
        response_routes.get_response,
        RouteAnswer(dict),
        AS_OPENAI_ADDRESSED,
        as_openai=True,
    ),
    Route(
        "DELETE",
        "/v1/responses/{response_id}",
        DELETE,
        response_routes.delete_response,
        RouteAnswer(DeletedResponse),
        AS_OPENAI_ADDRESSED,
        as_openai=True,
    ),
    Route(
        "GET",
        "/v1/responses/{response_id}/input_items",
        READ,
        response_routes.list_input_items,
        RouteAnswer(ItemList),
        AS_OPENAI_ADDRESSED,
        as_openai=True,
    ),
    Route(
        "POST",
        "/v1/responses/{response_id}/cancel",
        WRITE,
        response_routes.cancel_response,
        RouteAnswer(dict),
        AS_OPENAI_ADDRESSED,
        as_openai=True,
    ),
)
"""Responses kept for a server without state; with another one these requests pass."""
