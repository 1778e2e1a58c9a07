"""Times and days in parameters: a text that names none is refused with a sentence."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chatkeep.errors import InvalidError
from chatkeep.wire.bodies import parse_date, parse_time


@pytest.mark.parametrize("parse", [parse_time, parse_date])
@pytest.mark.parametrize("text", ["", "x", "\udc81", "2024-13-45", "2024-01-15T10:30:00Z\0"])
def test_refuse_what_names_no_time(parse: Callable[[str, str], object], text: str) -> None:
    """A terminal may hand over bytes that are no text; they are refused like any other word."""
    with pytest.raises(InvalidError, match="since"):
        parse("since", text)
