"""Answers encoded once, for as long as a store gives the same value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from chatkeep.core.history.windows import Window
from chatkeep.core.model import Page
from chatkeep.core.unknown import written, written_window
from chatkeep.wire.answers import json_bytes, session_page

_READY_MAX: Final = 64  # answers
_READY_BYTES: Final = 1 << 16  # of an answer: with their values, about 20 MB for all


class ReadyAnswers:
    """The JSON of the last lists and histories. A store gives the same value again while nothing has changed."""

    def __init__(self) -> None:
        """Begin without any."""
        self._ready: dict[int, tuple[object, bytes]] = {}

    def page(self, page: Page, unreadable: int = 0) -> bytes:
        """Return a page of sessions as JSON."""
        if unreadable:
            return json_bytes(session_page(page, unreadable))
        return self._encoded(page, lambda: session_page(page))

    def history(self, window: Window) -> bytes:
        """Return the messages of a window as JSON."""
        return self._encoded(window.messages, lambda: written(window.messages))

    def window(self, window: Window) -> bytes:
        """Return a window as JSON."""
        return self._encoded(window, lambda: written_window(window))

    def _encoded(self, value: object, answer: Callable[[], Struct | Sequence[Struct | msgspec.Raw]]) -> bytes:
        found = self._ready.get(id(value))
        if found is not None and found[0] is value:  # it is kept here, so no other value has its id
            return found[1]
        encoded = json_bytes(answer())
        if len(encoded) <= _READY_BYTES:
            if len(self._ready) >= _READY_MAX:
                self._ready.clear()
            self._ready[id(value)] = (value, encoded)
        return encoded
