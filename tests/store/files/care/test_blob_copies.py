"""Attachments in backups and checkups: copied, restored, and named when they are missing, damaged or needless."""

from __future__ import annotations

import contextlib
import io
import os
import zipfile
from base64 import b64encode
from pathlib import Path

import pytest

from chatkeep.core.model import Draft
from chatkeep.errors import BrokenInputError
from chatkeep.sessions.message_ids import now_utc
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.files.care.backups import BackupFile, restore, write_backup
from chatkeep.store.files.care.checkup import examined
from chatkeep.store.files.care.remedies import fixed
from chatkeep.store.files.store import FilesStore
from chatkeep.store.files.tree.blob_room import BlobRoom

PICTURE = b"\x89PNG\r\n\x1a\n" + os.urandom(5000)
CONTENT = [{"type": "image", "source": {"type": "base64", "data": b64encode(PICTURE).decode()}}]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace with one picture in two sessions."""
    place = tmp_path / "workspace"
    with contextlib.closing(FilesStore.open(place)) as store:
        for key in ("a", "b"):
            Sessions(store).append(key, [Draft(role="user", content=CONTENT)])
    return place


def backup_of(workspace: Path) -> io.BytesIO:
    """Return a backup."""
    saved = io.BytesIO()
    assert {} == write_backup(workspace, saved, now_utc()).left_out
    return saved


def findings_in(workspace: Path) -> list[tuple[str, str, str]]:
    """Return the kinds, remedies and reasons of the findings about blobs."""
    return [(one.kind, one.remedy, one.reason) for one in examined(workspace) if one.kind in {"blob", "unnamed"}]


def test_backup_brings_attachments_back(tmp_path: Path, workspace: Path) -> None:
    """A restored session has its picture, and the backup has the picture once."""
    backup = BackupFile(backup_of(workspace))
    backup.verify(backup.chosen([]))
    assert 1 == len(backup.manifest.blobs)
    place = tmp_path / "restored"
    restore(place, backup, backup.chosen(["b"]))
    with contextlib.closing(FilesStore.open(place)) as store:
        assert CONTENT == Sessions(store).read("b").messages[0].content
    assert [] == findings_in(place)


def test_restored_attachment_stays_beside_a_server(workspace: Path) -> None:
    """An open store that has not seen a restored session yet does not remove its picture with another session's."""
    backup = BackupFile(backup_of(workspace))
    with contextlib.closing(FilesStore.open(workspace)) as store:
        store.delete("a")
        restore(workspace, backup, backup.chosen(["a"]))
        store.delete("b")
        assert CONTENT == Sessions(store).read("a").messages[0].content
    assert ([], []) == (findings_in(workspace), [*(workspace / "pending").iterdir()])


def test_backup_with_other_bytes_is_refused(tmp_path: Path, workspace: Path) -> None:
    """An attachment with other bytes than its name says is found by a verification, and never restored."""
    changed = io.BytesIO()
    with zipfile.ZipFile(backup_of(workspace)) as packed, zipfile.ZipFile(changed, "w") as other:
        for info in packed.infolist():
            data = packed.read(info)
            other.writestr(info, data[:-1] + b"?" if info.filename.startswith("blobs/") else data)
    backup = BackupFile(changed)
    with pytest.raises(BrokenInputError, match="another checksum"):
        backup.verify(backup.chosen([]))
    with pytest.raises(BrokenInputError, match="other bytes"):
        restore(tmp_path / "restored", backup, backup.chosen([]))
    assert [] == [*BlobRoom(tmp_path / "restored").names()]


def test_backup_names_a_missing_attachment(workspace: Path) -> None:
    """A backup says what it could not copy."""
    (blob,) = (workspace / "blobs").iterdir()
    blob.unlink()
    assert {f"blobs/{blob.name}": "it is missing"} == write_backup(workspace, io.BytesIO(), now_utc()).left_out


def test_checkup_finds_nothing_in_a_good_workspace(workspace: Path) -> None:
    """A picture that a session names, or a session in the trash, is as it should be."""
    assert [] == findings_in(workspace)
    with contextlib.closing(FilesStore.open(workspace)) as store:
        for key in ("a", "b"):
            store.delete(key, to_trash=True)
    assert [] == findings_in(workspace)


def test_checkup_names_missing_attachments(workspace: Path) -> None:
    """Each session without its picture is named."""
    (blob,) = (workspace / "blobs").iterdir()
    blob.unlink()
    assert [("blob", "leave")] * 2 == [found[:2] for found in findings_in(workspace)]


def test_checkup_sets_damaged_attachments_aside(workspace: Path) -> None:
    """Wrong bytes are moved away, and then the picture is missing until it comes again."""
    (blob,) = (workspace / "blobs").iterdir()
    blob.write_bytes(b"wrong")
    assert [("blob", "set aside", "its bytes are others than its name says")] == findings_in(workspace)
    outcomes = fixed(workspace, lambda: examined(workspace))
    assert 1 == sum((one.done or "").startswith("moved to quarantine") for one in outcomes)
    with contextlib.closing(FilesStore.open(workspace)) as store:
        Sessions(store).append("c", [Draft(role="user", content=CONTENT)])
    assert [] == findings_in(workspace)


def test_checkup_names_needless_attachments(workspace: Path) -> None:
    """A blob that nothing names does no harm, and is named."""
    BlobRoom(workspace).put_stream(io.BytesIO(b"nobody's"))
    assert ["unnamed"] == [found[0] for found in findings_in(workspace)]
