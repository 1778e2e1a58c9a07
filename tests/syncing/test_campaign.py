"""A sample of the campaign: what was ever complete is stored once, and no file is touched."""

from __future__ import annotations

import os
from pathlib import Path

from tests.syncing.campaign import campaign

FILES = int(os.environ.get("CHATKEEP_SYNC_FILES", "12"))
SECONDS = float(os.environ.get("CHATKEEP_SYNC_SECONDS", "2"))
KILLS = int(os.environ.get("CHATKEEP_SYNC_KILLS", "1"))


def test_follow_programs_that_do_all_they_can_to_their_files(tmp_path: Path) -> None:
    """They append, tear, truncate, cut, rotate, copy, rewrite, replace and delete, while the sync is killed."""
    figures = campaign(tmp_path, files=FILES, seconds=SECONDS, rate=30, kills=KILLS)
    assert figures["lines"] > FILES
    assert ([], [], []) == (figures["lost"], figures["doubled"], figures["unknown"])
