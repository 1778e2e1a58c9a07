"""Attachments beside the sessions: once, before the message that names them, and gone with the last one."""

from __future__ import annotations

import contextlib
import io
import json
import os
import stat
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from chatkeep.core.model import Draft
from chatkeep.errors import BlobNotFoundError, BusyError, InvalidError, StorageFullError, TooLargeError
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.files.index.databases import InMemory
from chatkeep.store.files.index.index import Index
from chatkeep.store.files.store import FilesStore
from chatkeep.store.files.tree.blob_room import BlobRoom
from tests.disks import in_memory

PICTURE = b"\x89PNG\r\n\x1a\n" + os.urandom(5000)


def parts(content: bytes = PICTURE) -> list[Any]:
    """Return a message's content with an attachment."""
    url = f"data:image/png;base64,{b64encode(content).decode()}"
    return [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": url}}]


def said(content: bytes = PICTURE, message_id: str | None = None) -> Draft:
    """Return a message with an attachment."""
    return Draft(role="user", content=parts(content), id=message_id)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilesStore]:
    """A store whose writes are flushed."""
    with contextlib.closing(FilesStore.open(tmp_path)) as opened:
        yield opened


@pytest.fixture
def sessions(store: FilesStore) -> Sessions:
    """The use cases over it."""
    return Sessions(store)


def blobs_in(workspace: Path) -> list[bytes]:
    """Return the contents of all blobs."""
    return [path.read_bytes() for path in sorted((workspace / "blobs").iterdir())]


def test_append_keeps_an_attachment_once(tmp_path: Path, sessions: Sessions) -> None:
    """A picture in many sessions takes its room once, and the files of the sessions stay small."""
    for number in range(20):
        sessions.append(f"k:{number}", [said()])
    assert [PICTURE] == blobs_in(tmp_path)
    assert all(path.stat().st_size <= 4096 for path in (tmp_path / "sessions").iterdir())
    assert all(parts() == sessions.read(f"k:{number}").messages[0].content for number in range(20))
    assert (1, len(PICTURE)) == (sessions.status().blob_count, sessions.status().blob_bytes)


def test_append_again_is_known(sessions: Sessions) -> None:
    """The same message sent again is stored once, with its bytes or with their name."""
    sessions.append("k", [said(message_id="m")])
    named = sessions.naming.read("k").messages[0].content
    assert 0 == sessions.append("k", [said(message_id="m")]).stored_count
    assert 0 == sessions.append("k", [Draft(role="user", content=named, id="m")]).stored_count


def test_blobs_are_private(tmp_path: Path, sessions: Sessions) -> None:
    """Nobody but the owner reads an attachment."""
    sessions.append("k", [said()])
    (blob,) = (tmp_path / "blobs").iterdir()
    assert (0o600, 0o700) == (stat.S_IMODE(blob.stat().st_mode), stat.S_IMODE(blob.parent.stat().st_mode))


def test_session_files_are_readable_without_blobs(tmp_path: Path, sessions: Sessions) -> None:
    """Without its attachments a session is still plain JSON, and every message is there."""
    sessions.append("k", [said()])
    (file,) = (tmp_path / "sessions").iterdir()
    for blob in (tmp_path / "blobs").iterdir():
        blob.unlink()
    assert "look" == json.loads(file.read_text())["messages"][0]["content"][0]["text"]
    assert "chatkeep-blob:" in str(sessions.read("k").messages[0].content)


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("/etc/hostname"), os.mkfifo, Path.mkdir])
def test_other_thing_under_a_name_is_no_blob(tmp_path: Path, sessions: Sessions, make: Callable[[Path], None]) -> None:
    """A link, a pipe or a folder where a blob was counts as none: the session is read, with the name."""
    sessions.append("k", [said()])
    (blob,) = (tmp_path / "blobs").iterdir()
    blob.unlink()
    make(blob)
    assert sessions.naming.read("k") == sessions.read("k")
    with pytest.raises(BlobNotFoundError):
        sessions.attachments.opened(blob.name)


def test_damaged_blob_is_not_trusted(tmp_path: Path, sessions: Sessions) -> None:
    """A blob with other bytes than its name says is never put into a message; the bytes sent again mend it."""
    sessions.append("k", [said()])
    (blob,) = (tmp_path / "blobs").iterdir()
    blob.write_bytes(PICTURE[:-1] + b"\0" if PICTURE[-1:] != b"\0" else PICTURE[:-1] + b"\1")
    assert parts() != sessions.read("k").messages[0].content
    sessions.append("other", [said()])
    assert parts() == sessions.read("k").messages[0].content


@pytest.mark.parametrize("to_trash", [False, True])
def test_delete_takes_the_last_name(tmp_path: Path, sessions: Sessions, to_trash: bool) -> None:  # noqa: FBT001 - cases
    """An attachment goes with the last session that names it; one in the trash names it until it is purged."""
    sessions.append("a", [said()])
    sessions.append("b", [said()])
    sessions.delete("a")
    assert [PICTURE] == blobs_in(tmp_path)
    sessions.delete("b", to_trash=to_trash)
    if to_trash:
        assert [PICTURE] == blobs_in(tmp_path)
        sessions.trash.restore("b")
        assert parts() == sessions.read("b").messages[0].content
        sessions.delete("b", to_trash=True)
        sessions.trash.purge("")
    assert ([], []) == (blobs_in(tmp_path), [*(tmp_path / "pending").iterdir()])


def test_restored_session_keeps_its_attachment(
    tmp_path: Path, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session back from the trash before the index could hear of it names its picture, for other processes too."""
    monkeypatch.setattr("chatkeep.store.files.index.databases._BUSY_S", 0.1)
    sessions.append("a", [said()])
    sessions.append("b", [said()])
    sessions.delete("a", to_trash=True)
    with contextlib.closing(FilesStore.open(tmp_path)) as other:
        with contextlib.closing(apsw.Connection(str(Index.path_in(tmp_path)))) as keeper:
            keeper.execute("BEGIN IMMEDIATE")
            with pytest.raises(BusyError):
                sessions.trash.restore("a")
        other.delete("b")
    assert parts() == sessions.read("a").messages[0].content


def test_compact_takes_the_names_of_erased_lines(tmp_path: Path, sessions: Sessions) -> None:
    """A dropped picture stays until its line is erased for good."""
    sessions.append("k", [said(message_id="m"), Draft(role="user", content="stays")])
    from chatkeep.core.life.dropping import Chosen  # noqa: PLC0415 - only here

    sessions.drop("k", Chosen(id="m"))
    assert [PICTURE] == blobs_in(tmp_path)
    sessions.compact(["k"])
    assert [] == blobs_in(tmp_path)


def test_fork_names_the_attachment_too(tmp_path: Path, sessions: Sessions) -> None:
    """A fork keeps the picture of its origin."""
    sessions.append("k", [said()])
    sessions.fork("k", new_key="f")
    sessions.delete("k")
    assert parts() == sessions.read("f").messages[0].content
    sessions.delete("f")
    assert [] == blobs_in(tmp_path)


def test_fork_of_a_session_without_its_attachment(tmp_path: Path, sessions: Sessions) -> None:
    """A lost picture takes nothing else with it: its session can be forked, and the bytes sent again mend both."""
    sessions.append("k", [said()])
    (blob,) = (tmp_path / "blobs").iterdir()
    blob.unlink()
    sessions.fork("k", new_key="f")
    sessions.append("again", [said()])
    assert [parts(), parts()] == [sessions.read(key).messages[0].content for key in "kf"]


def test_name_of_nothing_is_refused(tmp_path: Path, sessions: Sessions) -> None:
    """No message may name an attachment that is not there, and none comes to be."""
    sessions.append("k", [said()])
    named = sessions.naming.read("k").messages[0].content
    sessions.delete("k")
    with pytest.raises(InvalidError, match="send its bytes"):
        sessions.append("k", [Draft(role="user", content=named)])
    assert [] == [*(tmp_path / "sessions").iterdir()]


def test_names_count_as_their_base64(tmp_path: Path, sessions: Sessions) -> None:
    """A message of names is no larger than one of bytes may be: an export of it can be imported."""
    for number in range(2):
        sessions.append("k", [said(PICTURE + bytes([number]) * (6 << 20))])
    named = [message.content[1] for message in sessions.naming.read("k").messages if isinstance(message.content, list)]
    with pytest.raises(TooLargeError):
        sessions.append("k", [Draft(role="user", content=named)])
    sessions.append("one", [Draft(role="user", content=named[:1])])
    with contextlib.closing(FilesStore.open(tmp_path / "other")) as other:
        Sessions(other).merge(sessions.read("one"))
        assert sessions.read("one").messages == Sessions(other).read("one").messages


def test_confined_caller_names_only_what_it_reads(sessions: Sessions) -> None:
    """Whoever knows the hash of another's picture gets neither the picture nor a session that names it."""
    sessions.append("theirs:1", [said()])
    content = sessions.naming.read("theirs:1").messages[0].content
    assert isinstance(content, list)
    part = content[1]
    mine = sessions.confined("mine:")
    with pytest.raises(InvalidError, match="send its bytes"):
        mine.append("mine:1", [Draft(role="user", content=[part])])
    sha256 = part["image_url"]["url"].split(":")[1][:64]
    with pytest.raises(BlobNotFoundError):
        mine.attachments.opened(sha256)
    with contextlib.closing(sessions.attachments.opened(sha256)) as file:
        assert PICTURE == file.read()
    mine.append("mine:1", [said()])
    with contextlib.closing(mine.attachments.opened(sha256)) as file:
        assert PICTURE == file.read()


def test_rebuild_knows_the_names(tmp_path: Path, store: FilesStore, sessions: Sessions) -> None:
    """Who names what comes from the files: a lost index changes nothing."""
    sessions.append("a", [said()])
    sessions.append("b", [said()])
    store.close()
    for index in tmp_path.glob("index*"):
        index.unlink()
    with contextlib.closing(FilesStore.open(tmp_path)) as again:
        Sessions(again).delete("a")
        assert [PICTURE] == blobs_in(tmp_path)
        Sessions(again).delete("b")
        assert [] == blobs_in(tmp_path)


def test_write_that_broke_off_leaves_nothing(tmp_path: Path, store: FilesStore) -> None:
    """A process that died between the attachment and its message leaves a note; the next opening removes both."""
    store.close()
    room = BlobRoom(tmp_path)
    name = room.put_stream(io.BytesIO(PICTURE))
    room.note(["never-written.json"], [name.sha256])
    with contextlib.closing(FilesStore.open(tmp_path)):
        assert ([], []) == (blobs_in(tmp_path), [*(tmp_path / "pending").iterdir()])


def test_message_of_a_dead_process_keeps_its_attachment(tmp_path: Path, store: FilesStore, sessions: Sessions) -> None:
    """A message written before its process could tell the index names its attachment all the same."""
    sessions.append("k", [said()])
    (blob,), (file,) = (tmp_path / "blobs").iterdir(), (tmp_path / "sessions").iterdir()
    content = file.read_bytes()
    store.close()
    file.unlink()
    with contextlib.closing(FilesStore.open(tmp_path, durability="none")) as other:
        BlobRoom(tmp_path).note([file.name], [blob.name])
        file.write_bytes(content)  # the index has not seen it
        other.settle()
        assert [PICTURE] == blobs_in(tmp_path)


def test_index_in_memory_hears_of_names_before_a_removal(tmp_path: Path) -> None:
    """A process whose index left a full disk removes no attachment that another process named meanwhile."""
    with in_memory(tmp_path / "disk") as disk, contextlib.closing(FilesStore.open(disk.workspace)) as store:
        sessions = Sessions(store)
        sessions.append("a", [said()])
        disk.fill()
        with contextlib.suppress(StorageFullError):
            for number in range(1000):
                sessions.append("a", [Draft(role="user", content=f"more {number}")])
        assert isinstance(store._upkeep.index.medium, InMemory)
        disk.empty()
        with contextlib.closing(FilesStore.open(disk.workspace)) as other:
            Sessions(other).append("b", [said()])
            sessions.delete("a")
            assert parts() == Sessions(other).read("b").messages[0].content


def test_damaged_session_keeps_its_attachments(tmp_path: Path, sessions: Sessions, store: FilesStore) -> None:
    """A blob named in the unreadable part of a file is not taken for one that nothing names."""
    sessions.append("whole", [said()])
    sessions.append("broken", [Draft(role="user", content="first"), said()])
    store.close()
    (file,) = (path for path in (tmp_path / "sessions").iterdir() if path.name.startswith("broken"))
    file.write_bytes(file.read_bytes().replace(b'"seq":2', b'"seq":9').replace(b"first", b'fi"st'))
    with contextlib.closing(FilesStore.open(tmp_path)) as again:
        Sessions(again).delete("whole")
    assert [PICTURE] == blobs_in(tmp_path)


def test_delete_does_not_wait_for_a_backup(tmp_path: Path, sessions: Sessions) -> None:
    """A backup keeps every attachment to its end. A deletion meanwhile answers soon, and the next one takes both."""
    for number in range(5):
        sessions.append(f"k:{number}", [said(PICTURE + bytes([number]))])
    began_s = time.monotonic()
    with BlobRoom(tmp_path).shared():
        for number in range(4):
            sessions.delete(f"k:{number}")
    assert time.monotonic() - began_s < 4
    sessions.delete("k:4")
    assert [] == blobs_in(tmp_path)


@pytest.mark.parametrize("spelled", [b"fi", b'"'], ids=["unseen", "damaged"])
def test_trash_keeps_the_attachments_of_an_unknown_file(
    tmp_path: Path, sessions: Sessions, store: FilesStore, spelled: bytes
) -> None:
    """A file in the trash keeps its picture, though the index never had its last state, or could not read it."""
    sessions.append("whole", [said()])
    sessions.append("other", [Draft(role="user", content="first"), said()])
    store.close()
    (file,) = (path for path in (tmp_path / "sessions").iterdir() if path.name.startswith("other"))
    content = file.read_bytes()
    file.unlink()
    with contextlib.closing(FilesStore.open(tmp_path)) as again:
        file.write_bytes(content.replace(b"fi", spelled))
        Sessions(again).delete("other", to_trash=True)
        Sessions(again).delete("whole")
    assert [PICTURE] == blobs_in(tmp_path)


def test_append_while_its_attachment_goes(tmp_path: Path, sessions: Sessions) -> None:
    """Of an append that names a picture and a deletion of the last session with it, the message keeps its picture."""
    failures: list[BaseException] = []

    def come_and_go(mine: str) -> None:
        try:
            for number in range(15):
                sessions.append(f"{mine}:{number}", [said()])
                assert parts() == sessions.read(f"{mine}:{number}").messages[0].content
                sessions.delete(f"{mine}:{number}")
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [threading.Thread(target=come_and_go, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ([], []) == (failures, blobs_in(tmp_path))


def test_full_disk_stores_neither(tmp_path: Path, sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an attachment does not fit, its message is not stored, and no half of a blob stays."""
    written = os.write

    def refuse(fd: int, data: bytes) -> int:
        if len(data) > 4096:
            raise OSError(28, "No space left on device")
        return written(fd, data)

    monkeypatch.setattr(os, "write", refuse)
    with pytest.raises(StorageFullError):
        sessions.append("k", [said()])
    monkeypatch.undo()
    assert ([], []) == (blobs_in(tmp_path), [*(tmp_path / "sessions").iterdir()])
