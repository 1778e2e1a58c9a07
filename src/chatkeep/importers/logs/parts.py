"""The parts of a foreign message's content, the texts in them, and digests of values without an id."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from chatkeep.core.bounds import is_deeper
from chatkeep.core.history.mending import scrubbed
from chatkeep.core.model import Json
from chatkeep.errors import BrokenInputError
from chatkeep.importers.records import lenient_json


def content_of(parts: Sequence[Json]) -> str | list[Json]:
    """Return the content with these parts: the text itself if one plain text is all there is, "" for none."""
    if not parts:
        return ""
    text = plain_text(parts[0]) if len(parts) == 1 else None
    return [one if isinstance(one, dict | str) else {"value": one} for one in parts] if text is None else text


def plain_text(part: Json) -> str | None:
    """Return the text of a part with nothing else in it; None for another part."""
    if isinstance(part, str):
        return part
    is_plain = isinstance(part, dict) and part.keys() <= {"type", "text"} and part.get("type", "text") == "text"
    text = part.get("text") if is_plain else None
    return text if isinstance(text, str) else None


def texts_in(value: Json) -> str:
    """Return the texts of a content or a part, one per line."""
    if isinstance(value, list):
        return "\n".join(filter(None, map(texts_in, value)))
    text = value.get("text") if isinstance(value, dict) else value
    return text if isinstance(text, str) else ""


def value_digest(value: Json) -> str:
    """Return a short digest of a JSON value."""
    return hashlib.blake2b(msgspec.json.encode(value, order="deterministic"), digest_size=8).hexdigest()


def text_for(value: Json) -> str:
    """Return a text as it is, another value as JSON, and nothing for None."""
    return value if isinstance(value, str) else "" if value is None else msgspec.json.encode(value).decode()


def json_in(value: Json) -> Json:
    """Return the value of JSON in a text or bytes; another value, or a text that is no JSON, as it is."""
    if not isinstance(value, str | bytes):
        return value
    raw = value.encode(errors="surrogatepass") if isinstance(value, str) else value
    try:
        found = lenient_json(raw).value
    except BrokenInputError:
        return value if isinstance(value, str) else None
    return scrubbed(found) if is_deeper(raw) else found
