"""The protocol of an exporter: one class for each format, without any state of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from chatkeep.core.model import Session


class Exporter(Protocol):
    """A writer of one format."""

    @property
    def name(self) -> str:
        """The name of the format, for `--format` and `format=`."""
        ...

    @property
    def media_type(self) -> str:
        """The media type of its files."""
        ...

    @property
    def suffix(self) -> str:
        """The end of its files' names, with the dot."""
        ...

    @property
    def has_logs(self) -> bool:
        """Whether it can keep every line of a log: events, and what was dropped."""
        ...

    @property
    def is_binary(self) -> bool:
        """Whether its files are no text."""
        ...

    def exported(self, sessions: Iterable[Session], *, single: bool) -> Iterator[bytes]:
        """Yield the sessions as the bytes of one file, piece by piece; `single` means a file of one session.

        The sessions come one after the other, and no more than one is held at a time.
        """
        ...
