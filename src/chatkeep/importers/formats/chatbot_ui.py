"""Chatbot UI's export of its history in JSON: version 4, with folders and prompts beside the chats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chatkeep.core.model import Json
from chatkeep.errors import BrokenInputError
from chatkeep.importers.records import lenient_json
from chatkeep.importers.shaping import SOURCE, list_in, metadata_of, object_in, rest_of, text_in
from chatkeep.importers.threads.steps import content_from
from chatkeep.importers.threads.trees import Saying, SourceTree, TreeImporter, in_a_row


class ChatbotUiImporter(TreeImporter):
    """Chatbot UI's export."""

    name = "chatbot-ui"
    reason = "it has a history of chats with folders"
    lists = ("history",)

    def is_tree(self, value: Json) -> bool:
        """Recognise a chat by its folder and prompt."""
        is_chat = isinstance(value, dict) and "id" in value and isinstance(value.get("messages"), list)
        return is_chat and "name" in value and ("folderId" in value or "prompt" in value)

    def tree_of(self, raw: bytes) -> SourceTree:
        """Return a chat, which has no branches."""
        value, told = lenient_json(raw)
        if not isinstance(value, dict) or not text_in(value.get("id")):
            raise BrokenInputError("It has no id.")
        messages = {f"#{number}": one for number, one in enumerate(list_in(value.get("messages")), start=1)}
        source = {"format": "chatbot-ui", "id": value["id"], **rest_of(value, "id", "name", "messages")}
        model = text_in(object_in(value.get("model")).get("id"))
        return SourceTree(
            name="chatbot-ui",
            id=value["id"],
            fields={"channel": "chatbot-ui", "title": value.get("name") or None, "metadata": {SOURCE: source}},
            parents=in_a_row(messages),
            said=lambda path: _said(path, messages, model, told),
        )


def _said(path: Sequence[str], messages: dict[str, Json], model: str, told: tuple[str, ...]) -> Iterator[Saying]:
    for one in path:
        value = object_in(messages[one])
        facts = {"model": model} if value.get("role") == "assistant" else {}
        metadata = metadata_of(rest_of(value, "role", "content", "type"), **facts)
        content = content_from(value.get("content"))
        yield Saying(one, {"role": value.get("role"), "content": content, "metadata": metadata}, told)
