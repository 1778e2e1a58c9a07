"""Telegram Desktop's export in JSON: `result.json`, of one chat or of all.

Each chat is a session. Its people have the role `user` and their names; the bot of a chat with a bot is the
`assistant`. Calls, joins and other events of a chat have the role `system`. Times are those in seconds where the export
has them; older exports have only local times without an offset.

Lists of messages that other programs made of a chat are read as well: of Telethon, and of chat-miner.

Source: exports of Telegram Desktop 1.3 to 5.x, its `export_output_json.cpp` for the names of the fields.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any, Final, cast

from chatkeep.core.model import Json, Session
from chatkeep.core.scanning import BOM, BrokenValueError, LongValueError, Scanner
from chatkeep.errors import BrokenInputError
from chatkeep.importers.assembly import Assembly, RecordShape
from chatkeep.importers.glimpse import glimpse, objects_of
from chatkeep.importers.importer import Look, Reading, recognised_below
from chatkeep.importers.records import ReadRecord, fitting_key, head_of, lenient_json
from chatkeep.importers.reports import Flaw
from chatkeep.importers.shaping import SOURCE, epoch, list_in, metadata_of, person_in, rest_of, text_in
from chatkeep.importers.sources import Source

_KEY: Final = "telegram-desktop"
_LISTS: Final = ("chats", "left_chats")
_HEAD_BYTES: Final = 1 << 16
_MEDIA: Final = ("photo", "file", "sticker_emoji", "poll", "location_information", "contact_information", "game_title")
_MEDIA_FACTS: Final = (
    *("media_type", "mime_type", "file_name", "file_size", "photo_file_size", "thumbnail", "thumbnail_file_size"),
    *("width", "height", "duration_seconds", "performer", "title", "live_location_period_seconds"),
)
_SAID: Final = ("id", "message.id", "date", "date_unixtime", "from", "text", "author", "message", "timestamp", *_MEDIA)


class TelegramImporter:
    """Telegram Desktop's export, or a file of it."""

    name: Final = "telegram"

    def recognises(self, look: Look) -> str | None:
        """Recognise chats by the fields of their messages."""
        sight = look.sight
        if isinstance(sight, list):
            return "it is a list of messages of a chat" if any(map(_is_listed, objects_of(sight))) else None
        if not isinstance(sight, dict):
            return None
        chats = [sight, *(chat for name in _LISTS for chat in objects_of(sight.get(name), "list"))]
        is_chat = any(_is_chat(chat) for chat in chats)
        is_export = "personal_information" in sight and ("chats" in sight or "contacts" in sight)
        return "it has chats of Telegram Desktop" if is_chat or is_export else None

    def files_in(self, folder: Path) -> Iterable[Path]:
        """Return the files with chats in a folder or below it."""
        return recognised_below(folder, self.recognises, "result")

    def read(self, source: Source, reading: Reading) -> Iterator[Session | Flaw]:
        """Yield the sessions of a file, long ones in parts, and their flaws; memory has one message at a time."""
        with reading.content_of(source) as stream:
            if stream.peek(len(BOM)).startswith(BOM):
                stream.read(len(BOM))
            sight = glimpse(stream.peek(_HEAD_BYTES)[:_HEAD_BYTES])
            scanner = Scanner(cast("Any", stream))
            name = source.name.partition(".json")[0]
            if isinstance(sight, list):
                yield from _assembly({"name": name}, "the chat", name, reading).messages(scanner, {"name": name})
            elif isinstance(sight, dict) and "messages" in sight:
                yield from _assembly({}, "the chat", name, reading).record(scanner)
            else:
                yield from _chats(scanner, name, reading)


def _is_message(value: Mapping[str, Json]) -> bool:
    return ("date" in value or "date_unixtime" in value) and "type" in value and ("text" in value or "id" in value)


def _is_listed(value: Mapping[str, Json]) -> bool:
    is_telethon = "message.id" in value and "sender_id" in value
    return is_telethon or {"timestamp", "author", "message"} <= value.keys() or _is_message(value)


def _is_chat(value: Mapping[str, Json]) -> bool:
    return any(map(_is_message, objects_of(value.get("messages")))) or (
        value.get("messages") == [] and "type" in value and "id" in value and "name" in value
    )


def _assembly(fields: dict[str, Json], place: str, name: str, reading: Reading) -> Assembly:
    """Return the assembly of a chat; its messages are read with the fields before them."""
    shape = RecordShape(
        lambda message: _message(message, fields),
        lambda known, _: _head(known, name),
        reading.zone,
        _is_listed,
    )
    return Assembly(shape, place, reading.now, fields)


def _chats(scanner: Scanner, name: str, reading: Reading) -> Iterator[Session | Flaw]:
    """Yield the sessions of a whole export: an object with two lists of chats among other fields."""
    number = 0
    try:
        for _ in _stops(scanner, _LISTS):
            for _ in _stops(scanner, ("list",)):
                scanner.skip(b"[")
                while scanner.peek() and not scanner.skip(b"]"):
                    number += 1
                    yield from _chat(scanner, number, name, reading)
                    scanner.skip(b",")
    except BrokenValueError as error:
        yield Flaw("the rest", f"It was left out: {error}")
    if not number:
        yield Flaw("the file", "There are no chats in it.")


def _stops(scanner: Scanner, names: Collection[str]) -> Iterator[None]:
    """Go through the object here, and stop at the value of each of these fields; the caller passes it."""
    if not scanner.skip(b"{"):
        _pass(scanner)
        return
    while scanner.peek() and not scanner.skip(b"}"):
        if scanner.name() in names:
            yield
        else:
            _pass(scanner)
        scanner.skip(b",")


def _chat(scanner: Scanner, number: int, name: str, reading: Reading) -> Iterator[Session | Flaw]:
    assembly = _assembly({}, f"chat {number}", f"{name} {number}", reading)
    yield from assembly.record(scanner)
    if assembly.is_broken:
        raw = scanner.find_object(_is_whole_chat)
        if raw is None:
            raise BrokenValueError("No further chat was found behind this damage.")
        assembly = _assembly({}, f"a chat behind chat {number}", f"{name} {number} again", reading)
        yield from assembly.record(Scanner(BytesIO(raw)))


def _is_whole_chat(raw: bytes) -> bool:
    try:
        value = lenient_json(raw).value if b'"messages"' in raw else None
    except BrokenInputError:
        return False
    return isinstance(value, dict) and _is_chat(value)


def _pass(scanner: Scanner) -> None:
    with suppress(LongValueError):
        scanner.value()


def _head(fields: Mapping[str, Json], name: str) -> ReadRecord:
    given = fields.get("id")
    title = text_in(fields.get("name")) or None
    outside_id = str(given) if isinstance(given, int | str) and given != "" else title or name
    rest = rest_of(fields, "id", "name", "messages")
    return head_of(
        {
            "key": fitting_key(_KEY, outside_id),
            "channel": "telegram",
            "title": title,
            "metadata": {SOURCE: {"format": "telegram", "id": outside_id, **rest}},
        }
    )


def _message(value: dict[str, Json], chat: Mapping[str, Json]) -> dict[str, Json]:
    message_id = value.get("id", value.get("message.id"))
    words = _words(value.get("text", value.get("message")))
    media = rest_of({name: value.get(name) for name in _MEDIA})
    action = text_in(value.get("action"))
    content: Json = words or (f"[{action}]" if action else "")
    taken: tuple[str, ...] = _SAID
    if media:
        kind = text_in(value.get("media_type")) or next(iter(media))
        facts: dict[str, Json] = {name: value[name] for name in _MEDIA_FACTS if name in value}
        part: dict[str, Json] = {**media, **facts, "type": kind}
        content = [part, {"type": "text", "text": words}] if words else [part]
        taken = (*_SAID, *_MEDIA_FACTS)
    rest = rest_of(value, *taken)
    if all(one.get("type") == "plain" for one in objects_of(rest.get("text_entities"))):
        rest.pop("text_entities", None)
    if isinstance(value.get("text"), list) and "text_entities" not in rest:
        rest["text"] = value["text"]
    sender = text_in(value.get("from")) or text_in(value.get("author")) or text_in(value.get("actor"))
    name = person_in(sender)
    if sender and sender != name:
        rest["from"] = sender
    return {
        "id": None if message_id is None else str(message_id),
        "role": _role(value, chat),
        "name": name,
        "timestamp": _time(value),
        "content": content,
        "metadata": metadata_of(rest),
    }


def _role(value: Mapping[str, Json], chat: Mapping[str, Json]) -> str:
    if value.get("type") == "service":
        return "system"
    is_bot = chat.get("type") == "bot_chat" and value.get("from_id") == f"user{chat.get('id')}"
    return "assistant" if is_bot else "user"


def _time(value: Mapping[str, Json]) -> Json:
    exact = epoch(value.get("date_unixtime"))
    return exact if isinstance(exact, int | float) else value.get("date", value.get("timestamp"))


def _words(text: Json) -> str:
    """Return a text, also one in pieces with a style."""
    pieces = (piece.get("text") if isinstance(piece, dict) else piece for piece in list_in(text))
    return text if isinstance(text, str) else "".join(map(text_in, pieces))
