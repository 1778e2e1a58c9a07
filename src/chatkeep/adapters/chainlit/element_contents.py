"""The content of Chainlit's elements: with a storage client of Chainlit, or else in the thread itself."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import TYPE_CHECKING, Final

from chatkeep.adapters.chainlit.thread_entries import ThreadItem, plain_item

if TYPE_CHECKING:
    from chainlit.data.storage_clients.base import BaseStorageClient
    from chainlit.element import Element

_INLINE_BYTES: Final = 8 << 20  # a message has room for this much as base64
_UNKNOWN: Final = "application/octet-stream"


class Contents:
    """Where the content of elements is. Without a storage client it is a `data:` address in the thread."""

    def __init__(self, storage: BaseStorageClient | None) -> None:
        """Take a storage client, or none."""
        self._storage = storage

    async def kept(self, element: Element) -> ThreadItem:
        """Return an element as an entry of its thread, after its content is kept.

        Raises:
            ValueError: without a storage client, when the content is larger than 8 MiB.
        """
        item = plain_item(element.to_dict())
        item["mime"] = item.get("mime") or _UNKNOWN
        content = None if element.url else element.content
        if element.path:
            content = await asyncio.to_thread(Path(element.path).read_bytes)
        if content is None:
            return item
        if self._storage is None:
            return {**item, "url": _data_address(content, item["mime"])}
        wanted = f"{element.thread_id}/{element.id}/{element.name}"
        stored = await self._storage.upload_file(wanted, content, item["mime"], overwrite=True)
        return {**item, "url": stored.get("url"), "objectKey": stored.get("object_key")}

    async def readable(self, item: ThreadItem) -> ThreadItem:
        """Return an element with an address that is good now."""
        if self._storage is None or not item.get("objectKey"):
            return item
        return {**item, "url": await self._storage.get_read_url(item["objectKey"])}

    async def forget(self, item: ThreadItem) -> None:
        """Delete the content of an element."""
        if self._storage is not None and item.get("objectKey"):
            await self._storage.delete_file(item["objectKey"])

    async def close(self) -> None:
        """Close the storage client."""
        if self._storage is not None:
            await self._storage.close()


def _data_address(content: bytes | str, mime: str) -> str:
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    if len(data) > _INLINE_BYTES:
        raise ValueError("An element of more than 8 MiB needs a storage client: ChatkeepDataLayer(..., storage=...).")
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"
