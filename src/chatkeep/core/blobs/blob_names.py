"""Attachments: the bytes of pictures, sounds and files inside messages, and the names that stand in for them.

A client sends an attachment as base64 in a part of a message, often with the beginning of a data URL before it. A
store may keep the bytes elsewhere, once, as a *blob*. The string in the part is then the blob's *name*:

    chatkeep-blob:<sha256>;<bytes>;<spelling>;<text before the base64>

Nothing else in the part changes. The spelling says how the base64 was written, so the very string can be put back. A
string that no spelling gives back stays as it is. Text for people is never an attachment, whatever it looks like.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

_Json = Any  # a client's own value
_L = TypeVar("_L", bound=Struct)

BLOB_BYTES_DEFAULT: Final = 4096
"""Smaller attachments stay in their message: a file takes a block of the disk, in most file systems of this size."""
BLOB_BYTES_MAX: Final = 1 << 30
INLINE_BYTES_MAX: Final = 12 << 20
"""Larger blobs came from files, never from a message: as base64, this is the 16 MiB of the longest one."""

_SCHEME: Final = "chatkeep-blob:"
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_NAME: Final = re.compile(r"chatkeep-blob:([0-9a-f]{64});([0-9]{1,10});([a-z0-9-]{1,20});(|data:[ -~]{0,250};base64,)")
_ANY_NAME: Final = re.compile(rb"chatkeep-blob:([0-9a-f]{64});")
_FIELDS: Final = ("content", "tool_calls", "metadata")
_HEAD_CHARS: Final = 250  # of a data URL before its base64
_TEXTS: Final = frozenset(  # fields with words, or with secrets of a model's server that look like base64
    ("text", "arguments", "thinking", "refusal", "encrypted_content", "signature", "thoughtSignature",
     "thought_signature", "id", "name", "title"),
)  # fmt: skip
_BYTES: Final = frozenset(  # fields with bytes by their name alone
    ("data", "file_data", "b64_json", "base64", "blob", "bytes", "image_b64", "partial_image_b64"),
)  # fmt: skip
_SECRET_TYPES: Final = frozenset(("redacted_thinking", "thinking", "reasoning", "encrypted"))
_BEGINNINGS: Final = (  # of base64, for what people attach: PNG, JPEG, GIF, RIFF, PDF, ZIP, Ogg, ID3, fLaC
    "iVBORw0KGgo", "/9j/", "R0lGOD", "UklGR", "JVBERi", "UEsDB", "T2dnUw", "SUQz", "ZkxhQ",
)  # fmt: skip
_LINE_CHARS: Final = 76  # of base64 in mails


class BlobName(Struct, frozen=True):
    """The name of a blob in a part: its hash, its size, the spelling of the base64, and the text before it."""

    sha256: str
    size_bytes: int
    spelling: str = "base64"
    head: str = ""

    def __str__(self) -> str:
        """Return the name as it stands in a part."""
        return f"{_SCHEME}{self.sha256};{self.size_bytes};{self.spelling};{self.head}"

    def put_back(self, content: bytes) -> str:
        """Return the string that stood in the part."""
        return self.head + SPELLINGS[self.spelling](content)


class Attachment(Struct, frozen=True):
    """The name of a blob, and its bytes."""

    name: BlobName
    content: bytes


def sha256_of(content: bytes) -> str:
    """Return the hash of a blob, in hex."""
    return hashlib.sha256(content).hexdigest()


def is_sha256(text: str) -> bool:
    """Tell whether a text can be the hash of a blob."""
    return _SHA256.fullmatch(text) is not None


def blob_name(text: str) -> BlobName | None:
    """Return the name in the string of a part, None if it is none."""
    if not text.startswith(_SCHEME):
        return None
    found = _NAME.fullmatch(text)
    if found is None or found[3] not in SPELLINGS:
        return None
    return BlobName(found[1], int(found[2]), found[3], found[4])


def without_attachments(line: _L, bytes_min: int, keep: Callable[[Attachment], None]) -> _L:
    """Return a message with names in place of its attachments of at least so many bytes; `keep` gets each of them."""

    def change(text: str, field: str, beside: Mapping[str, _Json]) -> str:
        found = _attachment(text, field, beside, bytes_min)
        if found is None:
            return text
        keep(found)
        return str(found.name)

    return _changed(line, change)


def with_attachments(line: _L, fetch: Callable[[BlobName], bytes | None]) -> _L:
    """Return a message with its attachments in place of their names; a name stays where `fetch` returns None."""

    def change(text: str, field: str, _: Mapping[str, _Json]) -> str:
        name = None if field in _TEXTS else blob_name(text)
        content = None if name is None or name.size_bytes > INLINE_BYTES_MAX else fetch(name)
        return text if name is None or content is None else name.put_back(content)

    return _changed(line, change)


def blob_names(line: Struct) -> tuple[BlobName, ...]:
    """Return the names of blobs in a message, as often as they stand there. Cost: a look at each value."""
    named = (text for field, text in _strings(line) if field not in _TEXTS and text.startswith(_SCHEME))
    return tuple(filter(None, map(blob_name, named)))


def hashes_in(data: bytes) -> frozenset[str]:
    """Return the hashes in whatever looks like a name, for bytes that cannot be read as messages."""
    return frozenset(found.decode() for found in _ANY_NAME.findall(data))


def may_name(line: Struct, bytes_min: int) -> bool:
    """Tell whether a message may have an attachment of at least so many bytes, or a name. Cost: as `blob_names`."""
    chars_min = bytes_min * 4 // 3
    return any(len(text) >= chars_min or text.startswith(_SCHEME) for _, text in _strings(line))


def unattached(line: _L) -> _L:
    """Return a message for a comparison: with names in place of all attachments, wherever their bytes are kept."""
    return without_attachments(line, 1, lambda _: None)


def _strings(line: Struct) -> Iterator[tuple[str, str]]:
    """Yield the strings in a message's parts, tool calls and metadata, each with the field that it stands in."""
    left = [("text", value) for value in (getattr(line, field) for field in _FIELDS) if value]
    if len(left) == 1 and type(left[0][1]) is str:
        return  # as for most messages: text for people
    while left:
        field, value = left.pop()
        if type(value) is dict:
            left.extend(value.items())
        elif type(value) is list:
            left.extend([(field, inner) for inner in value])
        elif type(value) is str:
            yield field, value


def _changed(line: _L, change: Callable[[str, str, Mapping[str, _Json]], str]) -> _L:
    """Return a message with changed strings in its parts, tool calls and metadata; the same object if none changed."""
    changes: dict[str, _Json] = {}
    for field in _FIELDS:
        value = getattr(line, field)
        if value and not isinstance(value, str):
            new = _walked(value, "text", {}, change)  # a bare string among parts is text
            if new is not value:
                changes[field] = new
    return msgspec.structs.replace(line, **changes) if changes else line


def _walked(
    value: _Json, field: str, beside: Mapping[str, _Json], change: Callable[[str, str, Mapping[str, _Json]], str]
) -> _Json:
    if isinstance(value, str):
        return change(value, field, beside)
    if isinstance(value, dict):
        changed = {name: _walked(inner, name, value, change) for name, inner in value.items()}
        return changed if any(changed[name] is not inner for name, inner in value.items()) else value
    if isinstance(value, list):
        items = [_walked(inner, field, beside, change) for inner in value]
        return items if any(new is not inner for new, inner in zip(items, value, strict=True)) else value
    return value


def _attachment(text: str, field: str, beside: Mapping[str, _Json], bytes_min: int) -> Attachment | None:
    """Return the attachment in a string of a part; None if it has none, or one below the size."""
    if field in _TEXTS or len(text) * 3 < bytes_min * 4 or not text.isascii():
        return None
    head = _head(text)
    if head is None or not (head or _has_bytes(text, field, beside)):
        return None
    found = _decoded(text[len(head) :])
    if found is None or len(found[0]) < bytes_min:
        return None
    content, spelling = found
    name = BlobName(sha256_of(content), len(content), spelling, head)
    return Attachment(name, content) if blob_name(str(name)) else None


def _head(text: str) -> str | None:
    """Return the beginning of a data URL up to its base64, empty for other strings, None for other data URLs."""
    if not text.startswith("data:"):
        return ""
    head, comma, _ = text[:_HEAD_CHARS].partition(",")
    return head + comma if comma and head.endswith(";base64") else None


def _has_bytes(text: str, field: str, beside: Mapping[str, _Json]) -> bool:
    """Tell whether a field has bytes, by its name and that of its object's type, or by the beginning of a picture."""
    if field in _BYTES:
        return beside.get("type") not in _SECRET_TYPES
    return text.startswith(_BEGINNINGS)


def _decoded(text: str) -> tuple[bytes, str] | None:
    """Return the bytes of base64 and its spelling; None if no spelling gives the text back."""
    is_for_urls = "-" in text or "_" in text
    plain = text.translate(_FROM_URLS) if is_for_urls else text
    try:
        content = binascii.a2b_base64(plain + "=" * (-len(plain) % 4) if "\n" not in plain else plain)
    except binascii.Error:
        return None
    for spelling, spelled in SPELLINGS.items():
        if spelling.startswith("base64url") is is_for_urls and _is_spelled(text, content, spelled):
            return content, spelling
    return None


def _is_spelled(text: str, content: bytes, spelled: Callable[[bytes], str]) -> bool:
    head = content[: 3 * _LINE_CHARS]  # a first look at a piece, before all of it is encoded
    return spelled(head)[: _LINE_CHARS + 1] == text[: _LINE_CHARS + 1] and spelled(content) == text


def _padded(content: bytes) -> str:
    return binascii.b2a_base64(content, newline=False).decode()


def _bare(content: bytes) -> str:
    return _padded(content).rstrip("=")


def _for_urls(content: bytes) -> str:
    return _padded(content).translate(_TO_URLS)


def _bare_for_urls(content: bytes) -> str:
    return _for_urls(content).rstrip("=")


def _lines(content: bytes, end: str = "\n") -> str:
    return end.join(_pieces(_padded(content)))


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), _LINE_CHARS):
        yield text[start : start + _LINE_CHARS]


_TO_URLS: Final = str.maketrans("+/", "-_")
_FROM_URLS: Final = str.maketrans("-_", "+/")
SPELLINGS: Final[Mapping[str, Callable[[bytes], str]]] = {
    "base64": _padded,
    "base64-bare": _bare,
    "base64url": _for_urls,
    "base64url-bare": _bare_for_urls,
    "base64-lines": _lines,
    "base64-lines-end": lambda content: _lines(content) + "\n",
    "base64-crlf": lambda content: _lines(content, "\r\n"),
    "base64-crlf-end": lambda content: _lines(content, "\r\n") + "\r\n",
}
"""The ways to write base64, by name: with padding or bare, with the letters for URLs, in lines as mails have it."""
