"""Sessions as files to take away: for a later import, for people, and for models and other programs.

Each format is a module of `formats`. Those of Chatkeep itself, `json`, `jsonl` and `zip`, lose nothing: export, import
elsewhere and export again give the same bytes. The session alone decides the bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from chatkeep.core.model import Session
from chatkeep.errors import InvalidError
from chatkeep.exporters.exporter import Exporter
from chatkeep.exporters.formats import EXPORTERS

__all__ = ["EXPORT_FORMATS", "Exporter", "check_format", "exported"]

EXPORT_FORMATS: Final[Mapping[str, Exporter]] = {exporter.name: exporter for exporter in EXPORTERS}
"""The formats by their names, the one place for every door."""


def exported(sessions: Iterable[Session], fmt: str, *, single: bool) -> Iterator[bytes]:
    """Yield the sessions as the bytes of one file, piece by piece; set `single` for a file of one session.

    Raises:
        InvalidError: when the format is unknown.
    """
    check_format(fmt)
    return EXPORT_FORMATS[fmt].exported(sessions, single=single)


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
