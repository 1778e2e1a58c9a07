"""Existing keys similar to a mistyped one."""

from __future__ import annotations

import difflib
from typing import Final

from chatkeep.core.model import Selection
from chatkeep.sessions.sessions import Sessions

_SHOWN: Final = 3  # keys
_LOOKED_AT: Final = 200  # keys for each beginning, and newest sessions; a hint may not read more
_ALIKE: Final = 0.7  # of 1; below it, difflib's measure calls unrelated words alike


def similar_keys(sessions: Sessions, key: str) -> tuple[str, ...]:
    """Return up to three keys similar to one; examines at most 1,200 keys."""
    found: dict[str, str] = {}
    beginnings = {key[:size] for size in (len(key), max(1, len(key) // 2), min(2, len(key)))}
    for beginning in sorted({*beginnings, key.lower(), key.upper()}):
        selection = Selection(prefixes=(beginning,), archived=None)
        found.update((known, known.casefold()) for known in sessions.keys(selection, limit=_LOOKED_AT).keys)
    newest = sessions.list(Selection(archived=None), limit=_LOOKED_AT).sessions
    found.update((known.header.key, known.header.key.casefold()) for known in newest)
    plain = key.casefold()
    parts = [known for known, folded in found.items() if plain in folded or folded == plain]
    close = difflib.get_close_matches(plain, found.values(), n=_SHOWN, cutoff=_ALIKE)
    alike = [known for like in dict.fromkeys(close) for known, folded in found.items() if folded == like]
    titled = [known.header.key for known in newest if known.title.casefold() == plain]
    return tuple(dict.fromkeys((*alike, *sorted(parts, key=len), *titled)))[:_SHOWN]


def did_you_mean(keys: tuple[str, ...]) -> str:
    """Return a question with these keys, after a blank; empty without keys."""
    return f" Did you mean {' or '.join(keys)}?" if keys else ""
