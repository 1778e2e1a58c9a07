"""The thread that seals in PostgreSQL: whatever goes wrong, it looks again."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import TYPE_CHECKING, cast

import pytest

from chatkeep.errors import BusyError
from chatkeep.store.postgres.words import sealing_rows
from chatkeep.store.postgres.words.sealing_rows import Sealer

if TYPE_CHECKING:
    from chatkeep.store.postgres.tables.postgres_pool import Postgres


@pytest.mark.parametrize("error", [MemoryError, ValueError, BusyError])
def test_look_again_after_any_error(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of a sealing, foreseen or not, does not end the thread."""
    looks = 0
    has_looked_again = threading.Event()

    def seal(*_: object) -> int:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise error
        has_looked_again.set()
        return 0

    monkeypatch.setattr(sealing_rows, "_PAUSE_S", 0.01)
    monkeypatch.setattr(sealing_rows, "seal", seal)
    with closing(Sealer(cast("Postgres", None))) as sealer:
        sealer.start()
        assert has_looked_again.wait(30)
