"""Discord chats as DiscordChatExporter writes them in JSON: a file per channel, or several parts of one.

Each channel is a session. People have the role `user` and their names, bots are the `assistant`, and joins, pins and
other notices have the role `system`. Attachments, embeds and stickers are parts of a message; the words of an embed
are found.

Source: DiscordChatExporter 2.x, `JsonMessageWriter`, for the names of the fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, cast

from chatkeep.core.model import Json, Session
from chatkeep.core.scanning import BOM, Scanner
from chatkeep.importers.assembly import Assembly, RecordShape
from chatkeep.importers.importer import Look, Reading, recognised_below
from chatkeep.importers.records import ReadRecord, fitting_key, head_of
from chatkeep.importers.reports import Flaw
from chatkeep.importers.shaping import SOURCE, list_in, metadata_of, object_in, person_in, rest_of, text_in
from chatkeep.importers.sources import Source

_KEY: Final = "discord-export"
_SAID: Final = (
    *("id", "timestamp", "content", "author", "attachments", "embeds", "stickers", "forwardedMessage", "isPinned"),
)
_TALK: Final = frozenset(
    ("Default", "Reply", "ChatInputCommand", "ContextMenuCommand", "ThreadStarterMessage", "0", "19", "")
)
_NUMBER: Final = re.compile(r"(\d+)")


class DiscordImporter:
    """Files of DiscordChatExporter."""

    name: Final = "discord"

    def recognises(self, look: Look) -> str | None:
        """Recognise a channel of a guild, or a direct chat."""
        sight = look.sight
        is_channel = isinstance(sight, dict) and isinstance(sight.get("guild"), dict) and "channel" in sight
        return "it is a channel by DiscordChatExporter" if is_channel else None

    def files_in(self, folder: Path) -> Iterable[Path]:
        """Return the files with channels in a folder or below it; the parts of one in their order."""
        return sorted(recognised_below(folder, self.recognises), key=_in_order)

    def read(self, source: Source, reading: Reading) -> Iterator[Session | Flaw]:
        """Yield the session of a file, a long one in parts, and its flaws; memory has one message at a time."""
        with reading.content_of(source) as stream:
            if stream.peek(len(BOM)).startswith(BOM):
                stream.read(len(BOM))
            scanner = Scanner(cast("Any", stream))
            if scanner.peek() != b"{":
                yield Flaw("the file", "It is not JSON of a channel: an object.")
                return
            shape = RecordShape(_message, _head, reading.zone, _is_message)
            yield from Assembly(shape, "the channel", reading.now).record(scanner)


def _in_order(path: Path) -> list[tuple[int, str]]:
    pieces = _NUMBER.split(str(path).removesuffix(".json"))
    return [(int(piece), "") if piece.isdecimal() else (-1, piece) for piece in pieces]


def _is_message(value: Mapping[str, Json]) -> bool:
    return "id" in value and "timestamp" in value and ("author" in value or "content" in value)


def _head(fields: Mapping[str, Json], _: str) -> ReadRecord:
    channel, guild = object_in(fields.get("channel")), object_in(fields.get("guild"))
    outside_id = str(channel.get("id") or channel.get("name") or guild.get("id") or "unknown")
    names = (text_in(guild.get("name")), text_in(channel.get("category")), text_in(channel.get("name")))
    rest = rest_of(fields, "messages", "messageCount", "exportedAt", "dateRange")
    return head_of(
        {
            "key": fitting_key(_KEY, outside_id),
            "channel": "discord",
            "title": " / ".join(filter(None, names)) or None,
            "metadata": {SOURCE: {"format": "discord", "id": outside_id, **rest}},
        }
    )


def _message(value: dict[str, Json]) -> dict[str, Json]:
    author = object_in(value.get("author"))
    words = text_in(value.get("content"))
    parts = [*_parts("attachment", value.get("attachments")), *map(_embed, list_in(value.get("embeds")))]
    parts += _parts("sticker", value.get("stickers"))
    if forwarded := object_in(value.get("forwardedMessage")):
        parts.append({**forwarded, "type": "forwarded", "text": text_in(forwarded.get("content"))})
    kind = str(value.get("type") or "")
    role = "system" if kind not in _TALK else "assistant" if author.get("isBot") is True else "user"
    name = text_in(author.get("nickname")) or text_in(author.get("name"))
    rest = rest_of(value, *_SAID)
    if value.get("isPinned") is True:
        rest["isPinned"] = True
    return {
        "id": None if value.get("id") is None else str(value["id"]),
        "role": role,
        "name": person_in(name),
        "timestamp": value.get("timestamp"),
        "content": [*([{"type": "text", "text": words}] if words else []), *parts] if parts else words,
        "metadata": metadata_of({**rest, **({"author": author} if author else {})}),
    }


def _parts(kind: str, values: Json) -> list[dict[str, Json]]:
    return [{**object_in(value), "type": kind} for value in list_in(values)]


def _embed(value: Json) -> dict[str, Json]:
    embed = object_in(value)
    inner = map(object_in, list_in(embed.get("fields")))
    fields = [text_in(one.get(name)) for one in inner for name in ("name", "value")]
    words = [text_in(embed.get("title")), text_in(embed.get("description")), *fields]
    return {**embed, "type": "embed", "text": "\n".join(filter(None, words))}
