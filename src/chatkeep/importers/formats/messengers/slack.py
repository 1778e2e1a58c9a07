"""Slack's export: a folder or zip with a folder per channel, and in it a file per day.

Each channel, group and direct chat is a session. People have the role `user` and their names, apps and bots are the
`assistant`, and joins and other notices have the role `system`. Names stand for the ids in a text, and its marks for
links are undone; a text changed so is kept as it was beside it. Replies stand where their time puts them; `thread_ts`
names their thread.

Source: exports of the years 2016 to 2023, and Slack's pages on its message events.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

from chatkeep.core.model import Json, Session, utc
from chatkeep.core.scanning import BOM, BrokenValueError, LongValueError, Scanner
from chatkeep.errors import BrokenInputError, ChatkeepError
from chatkeep.importers.assembly import ALTERED, sentence
from chatkeep.importers.glimpse import objects_of
from chatkeep.importers.importer import Look, Reading
from chatkeep.importers.records import (
    ImportedMessage,
    fitting_key,
    head_of,
    lenient_json,
    mended_message,
    why,
)
from chatkeep.importers.reports import Flaw
from chatkeep.importers.shaping import SOURCE, epoch, list_in, metadata_of, object_in, person_in, rest_of, text_in
from chatkeep.importers.sources import READ_ERRORS, Source, files_below, read_failure
from chatkeep.importers.threads.numbering import in_parts

_KEY: Final = "slack-export"
_INDEXES: Final = ("channels.json", "groups.json", "dms.json", "mpims.json")
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}\.json")
_INDEX_BYTES_MAX: Final = 64 << 20
_SAID: Final = ("type", "ts", "text", "attachments", "files", "file", "username")
_TALK: Final = frozenset(
    (None, "", "bot_message", "me_message", "file_share", "file_comment", "thread_broadcast", "reply_broadcast")
)
_MARK: Final = re.compile(r"<([^<>|]+)(?:\|([^<>]*))?>")


class _Place(NamedTuple):
    """The lists of an export: its channels by the names of their folders, and the names of people by id."""

    channels: Mapping[str, dict[str, Json]]
    people: Mapping[str, str]


class SlackImporter:
    """Slack's export, or a day of it. One import reads the lists of an export once."""

    name: Final = "slack"

    def __init__(self) -> None:
        """Begin without any lists."""
        self._place = cache(_place_at)

    def recognises(self, look: Look) -> str | None:
        """Recognise a folder by its lists and days, and a day by its messages."""
        if look.is_folder and look.path is not None:
            return "it has a folder of days for each channel" if _folders_in(look.path) else None
        is_day = isinstance(look.sight, list) and any(map(_is_message, objects_of(look.sight)))
        return "it is a day of a Slack channel" if is_day else None

    def files_in(self, folder: Path) -> Iterable[Path]:
        """Return the folders of the channels."""
        return _folders_in(folder)

    def read(self, source: Source, reading: Reading) -> Iterator[Session | Flaw]:
        """Yield the session of a channel's folder, or of one day, in parts; and its flaws."""
        folder = source if isinstance(source, Path) and source.is_dir() else None
        days = _days_in(folder) if folder is not None else [source]
        beside = source.parent if isinstance(source, Path) else None
        root = beside if folder is not None or beside is None else beside.parent
        place = self._place(root) if root is not None else _Place({}, {})
        name = source.name if folder is not None or beside is None else beside.name
        channel = place.channels.get(name, {})
        outside_id = text_in(channel.get("id")) or name
        created = epoch(channel.get("created"))
        head = head_of(
            {
                "key": fitting_key(_KEY, outside_id),
                "channel": "slack",
                "title": _title(channel, name, place.people),
                "created_at": created if isinstance(created, int | float) and created > 0 else None,
                "metadata": {SOURCE: {"format": "slack", "id": outside_id, **rest_of(channel, "id")}},
            }
        ).value
        begun = head.created_at or _first_time(days, reading) or reading.now()
        yield from in_parts(head, begun, _said(days, place.people, reading))


def _is_message(value: Mapping[str, Json]) -> bool:
    is_stamped = isinstance(value.get("ts"), str) and value.get("type") == "message"
    return is_stamped and ("text" in value or "user" in value or "subtype" in value)


def _folders_in(folder: Path) -> list[Path]:
    """Return the folders of the channels beside the lists of an export, which may lie in a folder of the archive."""
    if not folder.is_dir():
        return []
    roots = {file.parent for file in files_below(folder, _INDEXES.__contains__)} or {folder}
    return [one for root in sorted(roots) for one in sorted(root.iterdir()) if _is_channel(one)]


def _is_channel(folder: Path) -> bool:
    return folder.is_dir() and not folder.is_symlink() and bool(_days_in(folder))


def _days_in(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if _DAY.fullmatch(file.name) and file.is_file())


def _place_at(root: Path) -> _Place:
    channels: dict[str, dict[str, Json]] = {}
    for index in _INDEXES:
        for one in _listed(root / index):
            kind = {"kind": index.removesuffix(".json")}
            channels.update({text_in(one.get(name)): one | kind for name in ("id", "name") if text_in(one.get(name))})
    people = {text_in(one.get("id")): _name_of(one) for one in _listed(root / "users.json")}
    return _Place(channels, people)


def _listed(index: Path) -> Iterator[dict[str, Json]]:
    """Yield the objects of a list beside the days; a missing or damaged one has none."""
    try:
        if index.stat().st_size <= _INDEX_BYTES_MAX:
            yield from objects_of(lenient_json(index.read_bytes().removeprefix(BOM)).value)
    except (OSError, BrokenInputError):
        return


def _name_of(person: Mapping[str, Json]) -> str:
    profile = object_in(person.get("profile"))
    names = (profile.get("display_name"), profile.get("real_name"), person.get("real_name"), person.get("name"))
    return next(filter(None, map(text_in, names)), "")


def _title(channel: Mapping[str, Json], name: str, people: Mapping[str, str]) -> str:
    if channel.get("kind") == "dms":
        return ", ".join(people.get(one) or str(one) for one in list_in(channel.get("members"))) or name
    return f"#{text_in(channel.get('name')) or name}"


def _first_time(days: Iterable[Source], reading: Reading) -> datetime | None:
    for day in days:
        for one in _values(day, Reading(now=reading.now)):
            if isinstance(one, dict) and isinstance(at := epoch(one.get("ts")), int | float):
                return utc(datetime.fromtimestamp(at, UTC))
    return None


def _said(days: Iterable[Source], people: Mapping[str, str], reading: Reading) -> Iterator[ImportedMessage | Flaw]:
    for day in days:
        for number, value in enumerate(_values(day, reading), start=1):
            place = f"{day.name}, message {number}"
            if not isinstance(value, dict):
                yield Flaw(place if value is None else day.name, f"It was left out: {value or 'it is no object'}.")
                continue
            try:
                said, told = mended_message(_message(value, people), reading.zone)
            except (ChatkeepError, RecursionError) as error:
                yield Flaw(place, f"It was left out: {why(error).removesuffix('.')}.")
                continue
            if told:
                yield Flaw(place, sentence(told), ALTERED)
            yield said


def _values(day: Source, reading: Reading) -> Iterator[dict[str, Json] | str | None]:
    """Yield the objects of a day; a sentence for damage, None for another value."""
    try:
        with reading.content_of(day) as stream:
            if stream.peek(len(BOM)).startswith(BOM):
                stream.read(len(BOM))
            scanner = Scanner(cast("Any", stream))
            is_list = scanner.skip(b"[")
            while scanner.peek() and not (is_list and scanner.skip(b"]")):
                yield from _value(scanner)
                scanner.skip(b",")
    except (*READ_ERRORS, BrokenInputError) as error:
        yield f"the file cannot be read: {read_failure(error).removesuffix('.')}"
    except BrokenValueError as error:
        yield f"the rest of the file is damaged: {str(error).removesuffix('.')}"


def _value(scanner: Scanner) -> Iterator[dict[str, Json] | str | None]:
    try:
        raw: bytes | None = scanner.value()
    except LongValueError:
        yield "it is too large"
        return
    except BrokenValueError as error:
        yield f"a message is damaged: {str(error).removesuffix('.')}"
        raw = scanner.find_object(lambda found: _is_message(object_in(_parsed(found))))
        if raw is None:
            raise
    if raw is not None:
        value = _parsed(raw)
        yield value if isinstance(value, dict) else None


def _parsed(raw: bytes) -> Json:
    try:
        return lenient_json(raw).value
    except BrokenInputError:
        return None


def _message(value: dict[str, Json], people: Mapping[str, str]) -> dict[str, Json]:
    subtype, bot = value.get("subtype"), object_in(value.get("bot_profile"))
    is_bot = subtype == "bot_message" or ("bot_id" in value and value["bot_id"] and subtype in {None, ""})
    given = text_in(value.get("text"))
    words = _words(given, people)
    parts = [_attachment(one, people) for one in map(object_in, list_in(value.get("attachments")))]
    files = [*list_in(value.get("files")), *([value["file"]] if "file" in value else [])]
    parts += [{**object_in(one), "type": "file"} for one in files]
    sender = people.get(text_in(value.get("user"))) or text_in(value.get("username")) or text_in(bot.get("name"))
    profile = object_in(value.get("user_profile"))
    name = sender or text_in(profile.get("real_name")) or text_in(value.get("user")) or text_in(value.get("bot_id"))
    is_talk = subtype is None or (isinstance(subtype, str) and subtype in _TALK)
    rest = rest_of(value, *_SAID)
    if words != given:
        rest["text"] = given
    return {
        "id": text_in(value.get("ts")) or None,
        "role": "assistant" if is_bot else "user" if is_talk else "system",
        "name": person_in(name),
        "timestamp": epoch(value.get("ts")),
        "content": [*([{"type": "text", "text": words}] if words else []), *parts] if parts else words,
        "metadata": metadata_of(rest),
    }


def _attachment(value: dict[str, Json], people: Mapping[str, str]) -> dict[str, Json]:
    words = [text_in(value.get(name)) for name in ("pretext", "title", "text")]
    found = "\n".join(filter(None, words)) or text_in(value.get("fallback"))
    return {**value, "type": "attachment", "text": _words(found, people)}


def _words(text: str, people: Mapping[str, str]) -> str:
    """Return a text with names for ids, and without the marks of links."""

    def plain(mark: re.Match[str]) -> str:
        target, label = mark[1], mark[2]
        if target[:1] in {"@", "#"}:
            return target[0] + (people.get(target[1:]) or label or target[1:])
        if target[:1] == "!":
            return label or f"@{target[1:].partition('^')[0]}"
        return target if not label or label == target else f"{label} ({target})"

    return html.unescape(_MARK.sub(plain, text)) if "<" in text or "&" in text else text
