"""Folders of sessions as other servers keep them, one module each: many sessions move there at once.

safe_named   PocketPaw
keyed        grip
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from chatkeep.exporters.layouts.keyed import GripLayout
from chatkeep.exporters.layouts.layout import FolderLayout
from chatkeep.exporters.layouts.safe_named import PocketPawLayout

__all__ = ["LAYOUTS", "FolderLayout"]

LAYOUTS: Final[Mapping[str, FolderLayout]] = {one.name: one for one in (PocketPawLayout(), GripLayout())}
"""The layouts by the names of their servers."""
