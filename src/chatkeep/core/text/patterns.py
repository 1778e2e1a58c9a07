"""Patterns of the library `regex`, compiled at their first use instead of at the import of a module.

Compiling all of them takes longer than a small command, and such a command uses few or none.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any, Final

PLAIN_LINE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ,.;'\"?!()%+=-]*")
"""One line of plain words, as most people write: no mark, tag, address, command or code. It needs no other pattern."""


class LazyPattern:
    """A pattern by its text; after the first use, its methods are those of the compiled pattern."""

    def __init__(self, text: str, *, ignores_case: bool = False) -> None:
        """Take the text of the pattern."""
        self.text = text
        self._ignores_case = ignores_case

    @cached_property
    def _compiled(self) -> Any:  # noqa: ANN401 - `regex` has no types
        import regex  # noqa: PLC0415 - loaded with the first pattern

        return regex.compile(self.text, regex.IGNORECASE if self._ignores_case else 0)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - `regex` has no types
        """Return a method of the compiled pattern, and keep it as an attribute of this object."""
        if name.startswith("_"):
            raise AttributeError(name)
        method = getattr(self._compiled, name)
        setattr(self, name, method)
        return method
