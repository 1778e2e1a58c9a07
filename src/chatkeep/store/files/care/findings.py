"""Findings about the mode and the owner of files and folders."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import Final

from chatkeep.store.admin import Finding, Remedy

_FILE_MODE: Final = 0o600  # for the owner alone
_FOLDER_MODE: Final = 0o700  # for the owner alone


def access_findings(file: str, held: os.stat_result, owner: int) -> Iterator[Finding]:
    """Yield the faults of mode and owner. A file with other names is left alone: these may be outside."""
    usual = _FOLDER_MODE if stat.S_ISDIR(held.st_mode) else _FILE_MODE
    is_ours = stat.S_ISDIR(held.st_mode) or held.st_nlink == 1
    remedy: Remedy = "protect" if is_ours else "leave"
    if stat.S_IMODE(held.st_mode) & 0o777 != usual:
        reason = f"its mode is {stat.S_IMODE(held.st_mode):04o}, and is to be {usual:04o}"
        yield Finding(file=file, kind="access", reason=reason, remedy=remedy)
    if held.st_uid != owner:
        reason = f"it belongs to user {held.st_uid}, the workspace to user {owner}"
        yield Finding(file=file, kind="access", reason=reason, remedy=remedy)
