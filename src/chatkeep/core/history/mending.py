"""What can be stored of a message that breaks a rule, and how that is told.

A message is mended in steps, each only if it still breaks a rule: characters that cannot be stored become
U+FFFD, what is nested too deep becomes a text, long texts are cut until the message fits, and a message
that is too large in many small parts is stood for by a short one. The same message is mended the same way
each time, so it is known when it comes again; `metadata.altered` names what was done.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import msgspec

from chatkeep.core.bounds import DEPTH_MAX, MESSAGE_BYTES_MAX
from chatkeep.core.history.joining import storable_text
from chatkeep.core.model import Draft, Json, check_draft
from chatkeep.errors import InvalidError, TooLargeError

REPLACED: Final = "characters replaced"
SHORTENED: Final = "shortened"
LEFT_OUT: Final = "left out"
_ROOM_BYTES: Final = MESSAGE_BYTES_MAX - (1 << 10)  # the marks of what was cut take some
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")
_SPACE: Final = re.compile(r"\s")
_INT_BOUND: Final = 1 << 63
_MARKS_BYTES: Final = 1 << 10
_SHORTEST_BYTES: Final = 1 << 10
_DATA_HEAD_CHARS: Final = 64
_TOO_DEEP: Final = f"[nested more than {DEPTH_MAX} levels deep, left out]"


def storable(draft: Draft) -> Draft:
    """Return the draft, or what can be stored of it: the same for the same draft, and marked in its metadata."""
    fault = _fault(draft)
    if isinstance(fault, InvalidError):
        draft = _changed(draft, _shallow, SHORTENED)
        draft = _changed(draft, _scrubbed, REPLACED)
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
    """Return the message with this mark of what was done to it."""
    metadata = draft.metadata or {}
    known = metadata.get("altered", ())
    marks = [one for one in known if one != mark] if isinstance(known, list) else []
    return msgspec.structs.replace(draft, metadata={**metadata, "altered": [*marks, mark]})


def scrubbed(value: Json) -> Json:
    """Return a JSON value as it can be stored, but for its size."""
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
    """Return the draft with a change made to all that a client may fill, and marked if that changes anything."""
    content, calls, metadata = change(draft.content), change(draft.tool_calls), change(draft.metadata)
    if content is draft.content and calls is draft.tool_calls and metadata is draft.metadata:
        return draft
    changed = msgspec.structs.replace(draft, content=content, tool_calls=calls, metadata=metadata)
    return marked(changed, mark)


def _mapped(value: Json, change: Callable[[Json], Json]) -> Json:
    """Return a list or object with a change made to each part, itself if that changes none."""
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
    """Return the value with U+FFFD for what cannot be stored, and numbers out of range as text."""
    if isinstance(value, str):
        return storable_text(value) if _UNSTORABLE.search(value) else value
    if isinstance(value, list | dict):
        return _mapped(value, _scrubbed)
    is_odd = isinstance(value, float) and not math.isfinite(value)
    is_huge = isinstance(value, int) and not -_INT_BOUND <= value < 2 * _INT_BOUND
    return str(value) if is_odd or is_huge else value


def _shallow(value: Json, levels: int = DEPTH_MAX - 1) -> Json:
    """Return the value with a text in place of what is nested too deep; a message is a level itself."""
    if not isinstance(value, list | dict):
        return value
    return _mapped(value, partial(_shallow, levels=levels - 1)) if levels else _TOO_DEEP


def _limits(draft: Draft) -> Iterator[int]:
    """Yield how long texts may be, ever shorter, beginning where the message may fit."""
    texts = sorted(_texts((draft.content, draft.tool_calls, draft.metadata)), key=len)
    sizes = [len(text) for text in texts]
    size_bytes = len(msgspec.json.encode(texts[-1])) if texts else 0
    over_bytes = len(msgspec.json.encode(draft)) - _ROOM_BYTES + _MARKS_BYTES
    if over_bytes < size_bytes // 2:  # one text that is a little too long
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
    """Return the value with its long texts cut: of words the beginning stays, of encoded data next to nothing."""
    if isinstance(value, list | dict):
        return _mapped(value, partial(_cut, longest=longest))
    if not isinstance(value, str) or len(value) <= longest:
        return value
    is_data = value.isascii() and not _SPACE.search(value, 0, longest)
    kept = _DATA_HEAD_CHARS if is_data else longest
    return f"{value[:kept]} [cut: {kept} of {len(value)} characters, SHA-256 {_digest(value)}]"


def _nothing_of(draft: Draft) -> Draft:
    """Return a message that stands for one that is too large in many small parts."""
    content = f"[A message too large to keep, SHA-256 {_digest(_whole(draft))}]"
    return msgspec.structs.replace(draft, content=content, tool_calls=None, metadata={"altered": [LEFT_OUT]})


def _whole(draft: Draft) -> str:
    return msgspec.json.encode((draft.content, draft.tool_calls), order="deterministic").decode()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
