"""Chatbot UI's export of its history in JSON: version 4, with folders and prompts beside the chats."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from chatkeep.core.model import Json, Session
from chatkeep.errors import BrokenInputError
from chatkeep.importers.glimpse import objects_of
from chatkeep.importers.importer import Look, Reading, recognised_below
from chatkeep.importers.records import lenient_json
from chatkeep.importers.reports import Flaw
from chatkeep.importers.shaping import SOURCE, list_in, metadata_of, object_in, rest_of, text_in
from chatkeep.importers.sources import Source
from chatkeep.importers.threads.steps import content_from
from chatkeep.importers.threads.trees import Saying, SourceTree, in_a_row, records_in, sessions_of

_LISTS: Final = ("history",)


class ChatbotUiImporter:
    """Chatbot UI's export."""

    name: Final = "chatbot-ui"

    def recognises(self, look: Look) -> str | None:
        """Recognise a chat by its folder and prompt."""
        return "it has a history of chats with folders" if any(map(_is_one, objects_of(look.sight, *_LISTS))) else None

    def files_in(self, folder: Path) -> Iterable[Path]:
        """Return the exports in a folder or below it."""
        return recognised_below(folder, self.recognises, "\0")

    def read(self, source: Source, reading: Reading) -> Iterator[Session | Flaw]:
        """Yield the sessions of a file, and a flaw for each unreadable chat."""
        for record in records_in(source, reading, _is_one, lists=_LISTS):
            if isinstance(record, Flaw):
                yield record
                continue
            try:
                tree = _tree(record.raw)
            except BrokenInputError as error:
                yield Flaw(record.place, str(error))
                continue
            yield from sessions_of(tree, record.place, reading)


def _is_one(value: Json) -> bool:
    is_chat = isinstance(value, dict) and "id" in value and isinstance(value.get("messages"), list)
    return is_chat and "name" in value and ("folderId" in value or "prompt" in value)


def _tree(raw: bytes) -> SourceTree:
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
