"""A backup that is taken while others write has all that was answered before it began, and nothing in halves."""

from __future__ import annotations

import io
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from chatkeep.core.model import Message, Revision, Selection
from chatkeep.sessions.message_ids import now_utc
from chatkeep.store.files.care.backups import BackupFile, restore, write_backup
from chatkeep.store.files.store import FilesStore
from chatkeep.testing import draft
from tests.crash.scorecard import Score

_WRITERS = 4
_SESSIONS = 6
_BACKUPS = 12
_BETWEEN = 20
_SIZES = (1, 100, 3000, 40_000)


@pytest.mark.campaign("backups under way of appends")
def test_back_up_while_others_append(tmp_path: Path, score: Score) -> None:
    """Each restored session is a beginning of what the session became, whole, and has all that was acknowledged."""
    workspace = tmp_path / "workspace"
    stores = [FilesStore.open(workspace, durability="none") for _ in range(_WRITERS)]
    stop = threading.Event()
    acknowledged: list[list[tuple[str, str]]] = [[] for _ in stores]
    threads = [
        threading.Thread(target=_write, args=(store, number, acknowledged[number], stop))
        for number, store in enumerate(stores)
    ]
    for thread in threads:
        thread.start()
    backups: list[tuple[set[tuple[str, str]], io.BytesIO]] = []
    try:
        for number in range(1, _BACKUPS + 1):
            while sum(map(len, acknowledged)) < number * _BETWEEN:
                time.sleep(0.001)
            before = {said for each in acknowledged for said in list(each)}
            saved = io.BytesIO()
            assert {} == write_backup(workspace, saved, now_utc()).left_out
            backups.append((before, saved))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    final = {key: stores[0].read(key).messages for key in stores[0].keys(Selection(archived=None)).keys}
    for store in stores:
        store.close()
    for number, (before, saved) in enumerate(backups):
        backup = BackupFile(saved)
        assert [] == [item.key for item in backup.manifest.sessions if item.damage]
        place = tmp_path / f"restored{number}"
        restore(place, backup, backup.chosen([]), durability="none")
        score.count(1, _faults(place, before, final))
    score.note(acknowledged=sum(map(len, acknowledged)))


def _write(store: FilesStore, number: int, acknowledged: list[tuple[str, str]], stop: threading.Event) -> None:
    """Append batches to sessions that others append to, and now and then change a header."""
    count = 0
    while not stop.is_set():
        count += 1
        key = f"shared:{count % _SESSIONS}"
        ids = [f"{number}.{count}.{part}" for part in range(1 + count % 3)]
        store.append(key, [draft("x" * _SIZES[count % len(_SIZES)], id=one) for one in ids])
        acknowledged.extend((key, one) for one in ids)
        if count % 10 == 0:
            store.revise(key, Revision(title=f"{number}.{count}"))


def _faults(place: Path, before: set[tuple[str, str]], final: dict[str, tuple[Message, ...]]) -> list[str]:
    """Return what is wrong with what was restored, given what was answered before the backup and what came of it."""
    store = FilesStore.open(place)
    keys = store.keys(Selection(archived=None)).keys
    restored = {key: store.read(key).messages for key in keys}
    store.close()
    there = {(key, message.id) for key, messages in restored.items() for message in messages}
    found = [f"{path.name} was torn" for path in (place / "quarantine").iterdir()]
    found += [f"lost {message_id} of {key}" for key, message_id in before - there]
    for key, messages in restored.items():
        if messages != final[key][: len(messages)]:
            found.append(f"{key} is no beginning of what it became")
        sizes = Counter(message.id.rpartition(".")[0] for message in messages)
        found += [f"half of {batch}" for batch, size in sizes.items() if size != 1 + int(batch.split(".")[1]) % 3]
    return found
