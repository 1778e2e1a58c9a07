"""Times as people type them: a day, a month, an age; days are local to this machine's zone."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Final

from chatkeep.errors import InvalidError

HELP: Final = "2024-01-31, 2024-01, yesterday, today, 7d, 12h or 2024-01-31T10:30:00Z; days are local"
_DAY: Final = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?", re.ASCII)
_AGE: Final = re.compile(r"(\d{1,9})([smhdw])", re.ASCII)
_LOCAL: Final = re.compile(r"(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?)", re.ASCII)
_DAYS_BACK: Final = {"today": 0, "yesterday": 1}
_WEEK_DAYS: Final = 7


def moment(option: str, text: str, now: datetime) -> datetime:
    """Return the moment named by a text, in UTC: the beginning of a day, month or year, or so long before now.

    Raises:
        InvalidError: naming the option, when the text names no time.
    """
    from chatkeep.core.model import utc  # noqa: PLC0415 - only for times
    from chatkeep.wire.bodies import parse_time  # noqa: PLC0415

    typed = text.strip().lower()
    try:
        if typed == "now":
            return now
        if typed in _DAYS_BACK:
            return _begin(now.astimezone().date() - timedelta(days=_DAYS_BACK[typed]))
        if _AGE.fullmatch(typed):
            return _ago(option, typed, now)
        if day := _DAY.fullmatch(typed):
            return _begin(date(*(int(part or 1) for part in day.groups())))
        if _LOCAL.fullmatch(typed.upper()):
            return utc(datetime.fromisoformat(typed.upper()).astimezone())
        return parse_time(option, text.strip())
    except (ValueError, OverflowError, InvalidError) as error:
        raise InvalidError(option, f"must be a time: {HELP}") from error


def _begin(day: date) -> datetime:
    """Return the beginning of a day on this machine."""
    from chatkeep.core.model import utc  # noqa: PLC0415 - only for times

    return utc(datetime(day.year, day.month, day.day).astimezone())


def _ago(option: str, text: str, now: datetime) -> datetime:
    from chatkeep.wire.bodies import parse_duration  # noqa: PLC0415 - only for times

    try:
        if text.endswith("w"):
            return now - timedelta(days=_WEEK_DAYS * int(text[:-1]))
        return now - parse_duration(option, text)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)
