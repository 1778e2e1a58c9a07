"""A backup that is taken while others write has all that was answered before it began, and nothing in halves."""

from __future__ import annotations

import io
import threading
import time
from pathlib import Path

from chatkeep.core.model import Message, Revision, Selection
from chatkeep.sessions import now_utc
from chatkeep.store.files.backups import Backup, restore, write_backup
from chatkeep.store.files.store import FilesStore
from chatkeep.testing import draft

_WRITERS = 4
_SESSIONS = 6
_BACKUPS = 12
_BETWEEN = 20
_SIZES = (1, 100, 3000, 40_000)


def test_back_up_while_others_append(tmp_path: Path) -> None:
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
    for number in range(1, _BACKUPS + 1):
        while sum(map(len, acknowledged)) < number * _BETWEEN:
            time.sleep(0.001)
        before = {said for each in acknowledged for said in list(each)}
        saved = io.BytesIO()
        assert {} == write_backup(workspace, saved, now_utc()).left_out
        backups.append((before, saved))
    stop.set()
    for thread in threads:
        thread.join()
    final = {key: stores[0].read(key).messages for key in stores[0].keys(Selection(archived=None)).keys}
    for store in stores:
        store.close()
    for number, (before, saved) in enumerate(backups):
        backup = Backup(saved)
        assert [] == [item.key for item in backup.manifest.sessions if item.damage]
        place = tmp_path / f"restored{number}"
        restore(place, backup, backup.chosen([]), durability="none")
        _check(place, before, final)


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


def _check(place: Path, before: set[tuple[str, str]], final: dict[str, tuple[Message, ...]]) -> None:
    store = FilesStore.open(place)
    keys = store.keys(Selection(archived=None)).keys
    restored = {key: store.read(key).messages for key in keys}
    assert [] == list((place / "quarantine").iterdir())
    store.close()
    found = {(key, message.id) for key, messages in restored.items() for message in messages}
    assert set() == before - found
    for key, messages in restored.items():
        assert messages == final[key][: len(messages)]
        batches = {(message.id.rpartition(".")[0], message.id.count(".")) for message in messages}
        for batch, _ in batches:
            size = 1 + int(batch.split(".")[1]) % 3
            assert size == sum(message.id.startswith(f"{batch}.") for message in messages)
