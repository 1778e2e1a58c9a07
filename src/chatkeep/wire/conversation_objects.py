"""The JSON of OpenAI's Conversations: bodies, conversations, items, and lists of both.

Source: the API reference of OpenAI's Conversations.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from chatkeep.core.history.state.conversation_ids import conversation_id
from chatkeep.core.history.state.conversation_items import ITEMS_MAX, ConversationItem, shown_item
from chatkeep.core.model import Json, Summary

METADATA_ENTRIES_MAX: Final = 16
METADATA_NAME_CHARS_MAX: Final = 64
METADATA_TEXT_CHARS_MAX: Final = 512
_METADATA_SCHEMA: Final[dict[str, Json]] = {
    "maxProperties": METADATA_ENTRIES_MAX,
    "propertyNames": {"minLength": 1, "maxLength": METADATA_NAME_CHARS_MAX},
}
_ITEMS_SCHEMA: Final[dict[str, Json]] = {"maxItems": ITEMS_MAX}

MetadataText = Annotated[str, Meta(max_length=METADATA_TEXT_CHARS_MAX)]
MetadataTexts = Annotated[dict[str, MetadataText], Meta(extra_json_schema=_METADATA_SCHEMA)]
Items = Annotated[list[dict[str, Json]], Meta(max_length=ITEMS_MAX, extra_json_schema=_ITEMS_SCHEMA)]


class NewConversationBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A conversation to begin, with its metadata and up to 20 items."""

    items: Items | None = None
    metadata: MetadataTexts | None = None


class ConversationChangeBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The metadata to put in place of those of a conversation; null for none."""

    metadata: MetadataTexts | None


class NewItemsBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Up to 20 items to append to a conversation."""

    items: Items


class ConversationObject(Struct, frozen=True, kw_only=True):
    """A conversation, as OpenAI has it."""

    id: str
    object: Literal["conversation"] = "conversation"
    created_at: int
    metadata: dict[str, str]


class ListedConversation(ConversationObject, frozen=True, kw_only=True):
    """A conversation in a list, with the session that it is."""

    session: str
    title: str
    updated_at: int


class DeletedConversation(Struct, frozen=True, kw_only=True):
    """A conversation that is no more."""

    id: str
    object: Literal["conversation.deleted"] = "conversation.deleted"
    deleted: bool = True


class DeletedResponse(Struct, frozen=True, kw_only=True):
    """A response that is no more."""

    id: str
    object: Literal["response"] = "response"
    deleted: bool = True


class ConversationList(Struct, frozen=True, kw_only=True):
    """Neighbouring conversations. `last_id` is the `after` of the next page."""

    object: Literal["list"] = "list"
    data: tuple[ListedConversation, ...]
    first_id: str | None
    last_id: str | None
    has_more: bool


class ItemList(Struct, frozen=True, kw_only=True):
    """Neighbouring items. `last_id` is the `after` of the next page."""

    object: Literal["list"] = "list"
    data: tuple[dict[str, Json], ...]
    first_id: str | None
    last_id: str | None
    has_more: bool


def conversation_object(summary: Summary, metadata: dict[str, str]) -> ConversationObject:
    """Return a conversation with these metadata."""
    header = summary.header
    made_at = int(header.created_at.timestamp())
    return ConversationObject(id=conversation_id(header.key), created_at=made_at, metadata=metadata)


def listed_conversation(summary: Summary, metadata: dict[str, str]) -> ListedConversation:
    """Return a conversation of a list with these metadata."""
    header = summary.header
    return ListedConversation(
        id=conversation_id(header.key),
        created_at=int(header.created_at.timestamp()),
        metadata=metadata,
        session=header.key,
        title=summary.title,
        updated_at=int(summary.updated_at.timestamp()),
    )


def conversation_list(found: Sequence[ListedConversation], *, has_more: bool) -> ConversationList:
    """Return a list of conversations."""
    first, last = (found[0].id, found[-1].id) if found else (None, None)
    return ConversationList(data=tuple(found), first_id=first, last_id=last, has_more=has_more)


def item_list(found: Sequence[ConversationItem], include: Collection[str], *, has_more: bool = False) -> ItemList:
    """Return a list of items, with what `include` names."""
    first, last = (found[0].id, found[-1].id) if found else (None, None)
    data = tuple(shown_item(one.item, include) for one in found)
    return ItemList(data=data, first_id=first, last_id=last, has_more=has_more)
