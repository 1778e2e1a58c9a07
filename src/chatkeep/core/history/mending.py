"""Mending: an invalid message changed until it can be stored, with a mark of each change.

Mending goes in steps, each only if the message still breaks a rule. U+FFFD replaces characters that cannot be stored. A
text replaces levels nested too deep. Long texts are cut until the message and its metadata fit. A short message stands
in for one that is too large in many small parts. The same message is always mended the same way, so it is recognized
when it comes again. `metadata.altered` names the changes.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import msgspec

from chatkeep.core.bounds import DEPTH_MAX, MESSAGE_BYTES_MAX, METADATA_BYTES_MAX
from chatkeep.core.life.message_rules import check_draft, notes_of
from chatkeep.core.model import Draft, Json
from chatkeep.core.standing import EVENT
from chatkeep.core.text.surrogates import UNSTORABLE, storable_text
from chatkeep.errors import InvalidError, TooLargeError

REPLACED: Final = "characters replaced"
SHORTENED: Final = "shortened"
LEFT_OUT: Final = "left out"
_ROOM_BYTES: Final = MESSAGE_BYTES_MAX - (1 << 10)  # leaves 1 KiB for the marks of cuts
_NOTES_BYTES: Final = METADATA_BYTES_MAX - (1 << 10)  # the same, for metadata
_LARGEST: Final = 16  # values of metadata left out by themselves, before all of them are
_NOTES: Final = "notes"  # stands for metadata of too many values
_SPACE: Final = re.compile(r"\s")
_INT_BOUND: Final = 1 << 63
_MARKS_BYTES: Final = 1 << 10
_SHORTEST_BYTES: Final = 1 << 10  # the last limit tried on the length of a text
_DATA_HEAD_CHARS: Final = 64  # kept of encoded data, enough to see its type
_TOO_DEEP: Final = f"[nested more than {DEPTH_MAX} levels deep, left out]"


def storable(draft: Draft) -> Draft:
    """Return the draft, or a storable form of it, marked in its metadata. Equal drafts give equal results."""
    fault = _fault(draft)
    if isinstance(fault, InvalidError):
        draft = _changed(draft, _shallow, SHORTENED)
        draft = _changed(draft, _scrubbed, REPLACED)
    if fault:
        draft = _with_less_metadata(draft)
        fault = _fault(draft)
    if isinstance(fault, TooLargeError):
        for longest in _limits(draft):
            shorter = _changed(draft, partial(_cut, longest=longest), SHORTENED)
            fault = _fault(shorter)
            if not fault:
                return shorter
    return _nothing_of(draft) if fault else draft


def is_too_large(draft: Draft) -> bool:
    """Tell whether a message has to be shortened."""
    return isinstance(_fault(draft), TooLargeError)


def marked(draft: Draft, mark: str) -> Draft:
    """Return the message with this mark of a change."""
    metadata = draft.metadata or {}
    known = metadata.get("altered", ())
    marks = [one for one in known if one != mark] if isinstance(known, list) else []
    return msgspec.structs.replace(draft, metadata={**metadata, "altered": [*marks, mark]})


def scrubbed(value: Json) -> Json:
    """Return a JSON value in a storable form, whatever its size."""
    return _scrubbed(_shallow(value))


def _fault(draft: Draft) -> InvalidError | TooLargeError | None:
    try:
        check_draft(draft)
    except (InvalidError, TooLargeError) as error:
        return error
    except RecursionError:
        return InvalidError("message", "is nested too deep")
    return None


def _changed(draft: Draft, change: Callable[[Json], Json], mark: str) -> Draft:
    """Return the draft with a change made to its content, calls and metadata, and marked if anything differs."""
    content, calls, metadata = change(draft.content), change(draft.tool_calls), change(draft.metadata)
    if content is draft.content and calls is draft.tool_calls and metadata is draft.metadata:
        return draft
    changed = msgspec.structs.replace(draft, content=content, tool_calls=calls, metadata=metadata)
    return marked(changed, mark)


def _mapped(value: Json, change: Callable[[Json], Json]) -> Json:
    """Return a list or object with a change made to each part, or the same object if none differs."""
    if isinstance(value, list):
        items = [change(inner) for inner in value]
        return value if all(new is old for new, old in zip(items, value, strict=True)) else items
    if isinstance(value, dict):
        fields = {change(name): change(inner) for name, inner in value.items()}
        is_same = len(fields) == len(value) and all(
            new is old and name is known
            for (name, new), (known, old) in zip(fields.items(), value.items(), strict=True)
        )
        return value if is_same else fields
    return value


def _scrubbed(value: Json) -> Json:
    """Return the value with U+FFFD for unstorable characters, and numbers out of range as text."""
    if isinstance(value, str):
        return storable_text(value) if UNSTORABLE.search(value) else value
    if isinstance(value, list | dict):
        return _mapped(value, _scrubbed)
    is_odd = isinstance(value, float) and not math.isfinite(value)
    is_huge = isinstance(value, int) and not -_INT_BOUND <= value < 2 * _INT_BOUND
    return str(value) if is_odd or is_huge else value


def _shallow(value: Json, levels: int = DEPTH_MAX - 1) -> Json:
    """Return the value with a text in place of levels too deep; the message itself is one level."""
    if not isinstance(value, list | dict):
        return value
    return _mapped(value, partial(_shallow, levels=levels - 1)) if levels else _TOO_DEEP


def _limits(draft: Draft) -> Iterator[int]:
    """Yield limits on the length of texts, ever shorter, beginning where the message may fit."""
    texts = sorted(_texts((draft.content, draft.tool_calls, draft.metadata)), key=len)
    sizes = [len(text) for text in texts]
    size_bytes = len(msgspec.json.encode(texts[-1])) if texts else 0
    over_bytes = len(msgspec.json.encode(draft)) - _ROOM_BYTES + _MARKS_BYTES
    if over_bytes < size_bytes // 2:  # one text, a little too long
        yield int(sizes[-1] * (1 - over_bytes / size_bytes))
    longest = MESSAGE_BYTES_MAX // 2
    while longest >= _SHORTEST_BYTES:
        if longest <= _SHORTEST_BYTES or sum(min(size, longest) for size in sizes) <= _ROOM_BYTES:
            yield longest
        longest //= 2


def _texts(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _texts(name)
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


def _cut(value: Json, longest: int) -> Json:
    """Return the value with its long texts cut: words keep their beginning, encoded data 64 characters."""
    if isinstance(value, list | dict):
        return _mapped(value, partial(_cut, longest=longest))
    if not isinstance(value, str) or len(value) <= longest:
        return value
    is_data = value.isascii() and not _SPACE.search(value, 0, longest)
    kept = _DATA_HEAD_CHARS if is_data else longest
    return f"{value[:kept]} [cut: {kept} of {len(value)} characters, SHA-256 {_digest(value)}]"


def _with_less_metadata(draft: Draft) -> Draft:
    """Return the draft with metadata that fits: its long texts cut, else without its largest values."""
    notes = notes_of(draft.metadata or {})
    if draft.role == EVENT or _size(notes) <= METADATA_BYTES_MAX:
        return draft
    longest, less = METADATA_BYTES_MAX // 2, notes
    while longest >= _SHORTEST_BYTES and _size(less) > _NOTES_BYTES:
        less = _cut(notes, longest)
        longest //= 2
    for name in sorted(less, key=lambda name: _size(less[name]), reverse=True)[:_LARGEST]:
        if _size(less) <= _NOTES_BYTES:
            break
        less = {**less, name: f"[left out: {_size(notes[name])} bytes, SHA-256 {_digest(_json(notes[name]))}]"}
    if _size(less) > _NOTES_BYTES:  # thousands of small values
        less = {_NOTES: f"[left out: {_size(notes)} bytes, SHA-256 {_digest(_json(notes))}]"}
    kept = {name: value for name, value in (draft.metadata or {}).items() if name not in notes}
    return marked(msgspec.structs.replace(draft, metadata={**kept, **less}), SHORTENED)


def _size(value: Json) -> int:
    return len(msgspec.json.encode(value))


def _json(value: Json) -> str:
    return msgspec.json.encode(value, order="deterministic").decode()


def _nothing_of(draft: Draft) -> Draft:
    """Return a stand-in for a message too large in many small parts."""
    content = f"[A message too large to keep, SHA-256 {_digest(_whole(draft))}]"
    return msgspec.structs.replace(draft, content=content, tool_calls=None, metadata={"altered": [LEFT_OUT]})


def _whole(draft: Draft) -> str:
    return msgspec.json.encode((draft.content, draft.tool_calls), order="deterministic").decode()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
