"""Sessions as files to take away: for a later import, for people, and for models and other programs.

Each format is a module of `formats`. Those of Chatkeep itself, `json`, `jsonl` and `zip`, lose nothing: export, import
elsewhere and export again give the same bytes. The session alone decides the bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec

from chatkeep.core.history.windows import Window
from chatkeep.core.model import Header, Session
from chatkeep.errors import InvalidError
from chatkeep.exporters.exporter import Exporter
from chatkeep.exporters.formats import EXPORTERS

__all__ = ["EXPORT_FORMATS", "SHAPES", "Exporter", "check_format", "exported", "shaped_window"]

_NO_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)

EXPORT_FORMATS: Final[Mapping[str, Exporter]] = {exporter.name: exporter for exporter in EXPORTERS}
"""The formats by their names, the one place for every door."""

SHAPES: Final = {"openai": "openai", "responses": "responses", "anthropic": "anthropic", "ui": "ai-sdk"}
"""The formats in which protocols have a history, by the names of these shapes."""


def exported(sessions: Iterable[Session], fmt: str, *, single: bool) -> Iterator[bytes]:
    """Yield the sessions as the bytes of one file, piece by piece; set `single` for a file of one session.

    Raises:
        InvalidError: when the format is unknown.
    """
    check_format(fmt)
    return EXPORT_FORMATS[fmt].exported(sessions, single=single)


def shaped_window(key: str, window: Window, shape: str) -> bytes:
    """Return a window as a protocol has a history, in JSON: the one document of an export, with `has_more`."""
    header = Header(key=key, channel="", title=None, created_at=_NO_TIME)
    session = Session(
        header=header, messages=tuple(msgspec.structs.replace(one, drops=None) for one in window.messages)
    )
    document = b"".join(EXPORT_FORMATS[SHAPES[shape]].exported([session], single=True)).rstrip()
    return document[:-1] + (b',"has_more":true}' if window.has_more else b',"has_more":false}')


def check_format(fmt: str, *, log: bool = False) -> None:
    """Check the format of an export, for sessions as they stand or for their logs.

    Raises:
        InvalidError: when it is unknown, or no format for a log.
    """
    if fmt not in EXPORT_FORMATS:
        raise InvalidError("format", f"must be one of {', '.join(EXPORT_FORMATS)}")
    if log and not EXPORT_FORMATS[fmt].has_logs:
        *others, last = (name for name, exporter in EXPORT_FORMATS.items() if exporter.has_logs)
        raise InvalidError("log", f"goes with {', '.join(others)} and {last}: the other formats have what stands")
