"""The trash of a workspace: files that are here or there, and hostile ones."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from chatkeep.core.model import Selection
from chatkeep.errors import SessionDamagedError, SessionNotFoundError, StorageError
from chatkeep.store.files.care.checkup import examined
from chatkeep.store.files.store import FilesStore
from chatkeep.store.files.tree.tombstones import Tombstones
from chatkeep.store.files.tree.tree import Tree, file_name
from chatkeep.testing import at, draft, session, talk

KEY = "telegram:1"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilesStore]:
    """Yield an open store."""
    with closing(FilesStore.open(tmp_path, durability="none")) as opened:
        yield opened


def test_a_deleted_file_moves_as_it_is(store: FilesStore, tmp_path: Path) -> None:
    """The trash has the same file, private to its owner, and a checkup finds nothing to do."""
    store.append(KEY, talk(2))
    content = (tmp_path / "sessions" / file_name(KEY)).read_bytes()
    store.delete(KEY, to_trash=True)
    (kept,) = (tmp_path / "trash").iterdir()
    assert (content, 0o600, 0o700) == (
        kept.read_bytes(),
        kept.stat().st_mode & 0o777,
        kept.parent.stat().st_mode & 0o777,
    )
    assert [] == [finding for finding in examined(tmp_path) if finding.needs_care]


def test_a_checkup_looks_at_the_folder(store: FilesStore, tmp_path: Path) -> None:
    """A trash open to others, or something else in its place, is found: deletions to the trash then fail."""
    store.append(KEY, talk(2))
    store.delete(KEY, to_trash=True)
    trash = tmp_path / "trash"
    trash.chmod(0o755)
    assert [("trash", "access")] == [(one.file, one.kind) for one in examined(tmp_path) if one.needs_care]
    trash.rename(tmp_path / "aside")
    trash.symlink_to(tmp_path / "aside")
    assert [("trash", "foreign")] == [(one.file, one.kind) for one in examined(tmp_path) if one.needs_care]


def test_another_store_brings_it_back(store: FilesStore, tmp_path: Path) -> None:
    """Every process with the workspace sees one trash."""
    store.append(KEY, talk(2))
    store.delete(KEY, to_trash=True)
    with closing(FilesStore.open(tmp_path, durability="none")) as other:
        assert 2 == other.restore(KEY).message_count
    assert ((), 2) == (store.trash(), store.get(KEY).message_count)


def test_a_damaged_session_comes_back_damaged(store: FilesStore, tmp_path: Path) -> None:
    """Whatever the bytes of a session are, the trash gives them back."""
    store.append(KEY, talk(3))
    path = tmp_path / "sessions" / file_name(KEY)
    path.write_bytes(path.read_bytes().replace(b'"line 2"', b'"line 2'))
    spoilt = path.read_bytes()
    store.delete(KEY, to_trash=True)
    assert [KEY] == [one.key for one in store.trash()]
    assert store.restore(KEY).damage is not None
    assert spoilt == path.read_bytes()


def test_every_readable_header_is_listed(store: FilesStore, tmp_path: Path) -> None:
    """A header as long as the bounds allow, or in another layout, is read like any other."""
    most = {"a": "x" * (256 * 1024 - 8)}
    store.merge(session("long", talk(1), metadata=most, extra=most))
    store.append(KEY, talk(2))
    path = tmp_path / "sessions" / file_name(KEY)
    path.write_text(json.dumps(json.loads(path.read_bytes()), indent=2))
    for key in ("long", KEY):
        store.delete(key, to_trash=True)
    assert [KEY, "long"] == [one.key for one in store.trash()]


def test_a_session_without_a_readable_header_is_purged(store: FilesStore, tmp_path: Path) -> None:
    """Nobody sees it in the trash, yet it does not outlive a purge of every key; until then it can come back."""
    path = tmp_path / "sessions" / file_name(KEY)
    for _ in range(2):
        store.append(KEY, talk(2))
        path.write_bytes(b"spoilt" + path.read_bytes())
        store.delete(KEY, to_trash=True)
    assert () == store.trash()
    with pytest.raises(SessionDamagedError):
        store.restore(KEY)
    assert path.read_bytes().startswith(b"spoilt")
    for kept in ({"keys": [KEY]}, {"prefix": "telegram:"}, {"before": at(0)}):
        assert () == store.purge(**kept)
        assert 1 == len(list((tmp_path / "trash").iterdir()))
    assert () == store.purge()
    assert [] == list((tmp_path / "trash").iterdir())


def test_strangers_in_the_trash_stay_alone(store: FilesStore, tmp_path: Path) -> None:
    """Links, folders, pipes and other files are no sessions, lead nowhere, and outlive a purge."""
    store.append(KEY, talk(2))
    store.delete(KEY, to_trash=True)
    (kept,) = (tmp_path / "trash").iterdir()
    secret = tmp_path / "secret.json"
    secret.write_bytes(kept.read_bytes().replace(KEY.encode(), b"telegram:9"))
    place = f"{kept.parent}/1700000000000000-00000001-"
    Path(f"{place}{file_name('telegram:9')}").symlink_to(secret)
    os.mkfifo(f"{place}{file_name('telegram:8')}")
    Path(f"{place}folder.json").mkdir()
    (kept.parent / "notes.txt").write_text("mine")
    assert [KEY] == [one.key for one in store.trash()]
    for key in ("telegram:8", "telegram:9"):
        with pytest.raises((SessionNotFoundError, StorageError)):
            store.restore(key)
    assert [KEY] == [one.key for one in store.purge()]
    assert 4 == len(list(kept.parent.iterdir()))


def test_a_crash_leaves_one_session(store: FilesStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deletion or restoration that breaks off leaves the session whole, and nothing back from the dead."""
    store.append(KEY, talk(2))

    class CrashError(BaseException):
        """The end of a process."""

    def crash(*_: object, **__: object) -> None:
        raise CrashError

    for place, name in ((Tree, "move_out"), (Tombstones, "end")):
        with monkeypatch.context() as planted:
            planted.setattr(place, name, crash)
            with pytest.raises(CrashError):
                store.delete(KEY, to_trash=True)
        with closing(FilesStore.open(tmp_path, durability="none")) as again:
            assert 1 == len(again.trash()) + len(again.keys(Selection()).keys)
            assert (name == "end") == again.is_deleted(KEY)
    with monkeypatch.context() as planted:
        planted.setattr("chatkeep.store.files.tree.trash.Trash.remove", crash)
        with pytest.raises(CrashError):
            store.restore(KEY)
    with closing(FilesStore.open(tmp_path, durability="none")) as again:
        assert (2, False) == (again.get(KEY).message_count, again.is_deleted(KEY))
        assert 3 == again.append(KEY, [draft("more")], expect_count=2).message_count


def test_a_deletion_that_cannot_be_forgotten_stands(store: FilesStore, tmp_path: Path) -> None:
    """Where the list of deletions cannot be written, the session stays in the trash, and comes back later."""
    store.append(KEY, talk(2))
    store.delete(KEY, to_trash=True)
    deletions, aside = tmp_path / "tombstones", tmp_path / "aside"
    deletions.rename(aside)
    deletions.write_text("no list")
    with pytest.raises(StorageError):
        store.restore(KEY)
    with pytest.raises(SessionNotFoundError):
        store.get(KEY)
    aside.rename(deletions)
    assert ([KEY], True) == ([one.key for one in store.trash()], store.is_deleted(KEY))
    assert (2, False) == (store.restore(KEY).message_count, store.is_deleted(KEY))


def test_a_link_is_deleted_for_good(store: FilesStore, tmp_path: Path) -> None:
    """A name that is no file has nothing to keep."""
    aside = tmp_path / "aside"
    aside.write_text("{}")
    (tmp_path / "sessions" / file_name(KEY)).symlink_to(aside)
    store.delete(KEY, to_trash=True)
    assert ((), "{}") == (store.trash(), aside.read_text())
