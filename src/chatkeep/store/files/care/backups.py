"""Backups: one zip file with the session files of a workspace, and a list of them with their checksums.

    sessions/<name>    the bytes of a session file, each as it was at one moment
    blobs/<sha256>     the attachments that these sessions name
    manifest.json      the list; written last, so a backup cut off before its end has none; with people and deletions

The copy of each session is a committed state, also while others write. If a file does not look whole,
it is read again under its lock. Remains of an interrupted append are not copied. A damaged session is
copied as it is, and marked. Anything else is left out, and named.

A reader believes nothing in a backup. It checks names, sizes, checksums and contents before it puts
a file in place. It accepts two kinds of compression only, both with bounded expansion.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final, cast

import msgspec

from chatkeep.core.blobs.blob_names import is_sha256
from chatkeep.core.life.people import Person
from chatkeep.disk.files import Durability, is_folder
from chatkeep.errors import BrokenInputError, BusyError, ConflictError, NotFoundError, StorageFullError
from chatkeep.store.admin import Backup, Item, Manifest, Progress, Restored, Written
from chatkeep.store.files.care import audit
from chatkeep.store.files.care.audit import Audit
from chatkeep.store.files.care.blob_copies import BLOB_FOLDER, check_blob, copied_blobs, named_in
from chatkeep.store.files.care.inspection import SessionFiles
from chatkeep.store.files.tree import format as session_file
from chatkeep.store.files.tree.blob_room import BlobRoom
from chatkeep.store.files.tree.format import Scan
from chatkeep.store.files.tree.tombstones import Tombstones, is_digest
from chatkeep.store.files.tree.tree import SUFFIX, NotRegularError, Tree, digest_in, file_name, is_text
from chatkeep.store.files.upkeep.intake import NEVER, NO_TEXT, NOT_A_FILE, SIZE_MAX, TOO_LARGE, FileProblem, judged

_MANIFEST: Final = "manifest.json"
_MANIFEST_BYTES_MAX: Final = 1 << 30  # bounds the memory for the list of a strange backup
_FOLDER: Final = "sessions/"
_LEVEL: Final = 3  # of zlib, 1 to 9: fast rather than small
_LARGE_BYTES: Final = 1 << 26  # only larger files have a bound on their expansion; smaller ones fit in memory anyway
# times the compressed size of a large file; a backup stores it uncompressed rather than exceed this
_EXPANSION_MAX: Final = 100
_REGULAR: Final = (stat.S_IFREG | 0o600) << 16  # the Unix mode of each file, where a zip file has it
_COMPRESSIONS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_UNREADABLE: Final = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError)
_LATEST_S: Final = 10**10  # seconds since 1970; no deletion is as late
_NAMED: Final = 5  # keys in an error's sentence


def write_backup(
    workspace: Path,
    output: BinaryIO,
    created_at: datetime,
    on_progress: Progress | None = None,
    *,
    people: Sequence[Person] = (),
) -> Written:
    """Write the sessions of a workspace and its people into a file; nothing in the workspace changes.

    Raises:
        NotFoundError: when there is no workspace.
    """
    if not is_folder(workspace / "sessions"):
        raise NotFoundError(f"There is no workspace in {workspace}.")
    items: list[Item] = []
    named: set[str] = set()
    left_out: dict[str, str] = {}
    room = BlobRoom(workspace)
    with (
        room.shared() if room.is_there else contextlib.nullcontext(),  # no attachment goes meanwhile
        audit.opened_index(workspace) as index,
        SessionFiles(workspace, index) as files,
        zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as into,
    ):
        names = [name for name in files.names() if not name.startswith(".")]
        for done, name in enumerate(names, start=1):
            found = _copied(files, index, name) if is_text(name) else _unnamed(name)
            if isinstance(found, FileProblem):
                left_out[found.name] = found.reason
            elif found is not None:
                item, data = found
                named |= named_in(judged(name, data, NEVER, None), data)
                _put(into, _FOLDER + name, data, created_at)
                items.append(item)
            if on_progress is not None:
                on_progress(done, len(names))
        missing = copied_blobs(into, workspace, named, created_at)
        left_out |= {BLOB_FOLDER + sha256: reason for sha256, reason in missing.items()}
        with contextlib.closing(Tombstones(workspace)) as tombstones:
            deleted = tombstones.deleted()
        blobs, linked = tuple(sorted(named - missing.keys())), tuple(people)
        manifest = Manifest(created_at=created_at, sessions=tuple(items), deleted=deleted, blobs=blobs, people=linked)
        _put(into, _MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)) + b"\n", created_at)
    return Written(manifest=manifest, left_out=left_out)


class BackupFile:
    """A backup open for reading. Opening it reads and checks the list, but not yet the sessions."""

    def __init__(self, source: BinaryIO) -> None:
        """Take an open file.

        Raises:
            BrokenInputError: when it is no backup, is cut off, or has an invalid list.
        """
        try:
            self._zip = zipfile.ZipFile(source)
            infos = self._zip.infolist()
            self._infos = {info.filename: info for info in infos}
            if len(self._infos) != len(infos):
                raise BrokenInputError("The backup is damaged: it has the same thing twice.")
            self.manifest = _manifest_in(self._zip, self._infos.get(_MANIFEST))
        except (*_UNREADABLE, msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise BrokenInputError("This is no backup, or it is damaged or cut off.") from error
        self._check_names()

    def chosen(self, keys: Collection[str]) -> Sequence[Item]:
        """Return the sessions with these keys, in this order; all sessions for no keys.

        Raises:
            NotFoundError: when one is not in the backup.
        """
        known = {item.key: item for item in self.manifest.sessions}
        for key in keys:
            if key not in known:
                raise NotFoundError(f"The backup has no session with the key {key!r}.")
        return [known[key] for key in dict.fromkeys(keys)] if keys else self.manifest.sessions

    def content(self, item: Item) -> bytes:
        """Return the bytes of a session's file, after every check.

        Raises:
            BrokenInputError: when they differ from the list.
        """
        try:
            with self._zip.open(self._infos[_FOLDER + item.file]) as packed:
                data = packed.read(item.size_bytes + 1)
        except _UNREADABLE as error:
            raise BrokenInputError(f"The backup is damaged: {item.file} cannot be read.") from error
        if hashlib.sha256(data).hexdigest() != item.sha256:
            raise BrokenInputError(f"The backup is damaged: {item.file} has another checksum.")
        scan = judged(item.file, data, NEVER, None)
        is_right = isinstance(scan, Scan) and scan.header is not None and scan.header.key == item.key
        if not is_right or (item.damage is None and _said(scan) != (True, item.message_count)):
            raise BrokenInputError(f"The backup is damaged: {item.file} is not the session that it claims to be.")
        return data

    def blob(self, sha256: str) -> BinaryIO:
        """Return an open attachment of the backup; the caller closes it.

        Raises:
            BrokenInputError: when it cannot be read.
        """
        try:
            return cast("BinaryIO", self._zip.open(self._infos[BLOB_FOLDER + sha256]))
        except _UNREADABLE as error:
            raise BrokenInputError(f"The backup is damaged: {sha256} cannot be read.") from error

    def verify(self, items: Sequence[Item], on_progress: Progress | None = None) -> None:
        """Read sessions and their attachments, and check them.

        Raises:
            BrokenInputError: when one differs from the list; it names the first.
        """
        named: set[str] = set()
        for done, item in enumerate(items, start=1):
            named |= blobs_named(self.content(item))
            if on_progress is not None:
                on_progress(done, len(items))
        for sha256 in sorted(named.intersection(self.manifest.blobs)):
            with self.blob(sha256) as content, _readable(sha256):
                check_blob(sha256, content)

    def _check_names(self) -> None:
        if not all(is_digest(key) and 0 <= at < _LATEST_S for key, at in self.manifest.deleted.items()):
            raise BrokenInputError("The backup is damaged: its list names deletions that are none.")
        expected = {_FOLDER + item.file: item for item in self.manifest.sessions}
        blobs = {BLOB_FOLDER + sha256 for sha256 in self.manifest.blobs if is_sha256(sha256)}
        is_listed = len(expected) == len(self.manifest.sessions) and len(blobs) == len(self.manifest.blobs)
        if not is_listed or {*expected, *blobs, _MANIFEST} != set(self._infos):
            raise BrokenInputError("The backup is damaged: its list does not name what is in it.")
        for path, item in expected.items():
            info = self._infos[path]
            if item.file != file_name(item.key) or info.file_size != item.size_bytes or not _is_bounded(info):
                raise BrokenInputError(f"The backup is damaged: {item.file!a} is not what its list says.")


def missing_in(workspace: Path, backup: Backup, items: Sequence[Item]) -> Sequence[Item]:
    """Return the sessions missing in a workspace.

    Raises:
        ConflictError: when the workspace has one of them with other content.
        BrokenInputError: as `Backup.content` says.
    """
    if not (workspace / "sessions").is_dir():
        return items
    missing: list[Item] = []
    others: list[str] = []
    with SessionFiles(workspace, None) as files:
        for item in items:
            if not files.is_there(item.file):
                missing.append(item)
            elif not _is_same(files, item.file, backup.content(item)):
                others.append(item.key)
    if others:
        named = ", ".join(map(repr, others[:_NAMED])) + (" ..." if len(others) > _NAMED else "")
        raise ConflictError(
            f"Sessions that have other content here are never overwritten: {named}. Delete them first; "
            "or unpack the backup and `chatkeep import` its folder, which merges."
        )
    return missing


def restore(
    workspace: Path,
    backup: Backup,
    items: Sequence[Item],
    *,
    durability: Durability = "full",
    on_progress: Progress | None = None,
) -> Restored:
    """Put sessions into a workspace, each atomically and durably; the caller has verified them.

    Raises:
        ConflictError: as `missing_in` says; no session was put in place.
        StorageFullError, StorageError: when the disk refuses; every session put in place so far is whole.
    """
    missing = missing_in(workspace, backup, items)
    place = next(path for path in (workspace, *workspace.parents) if path.exists())
    if missing and shutil.disk_usage(place).free < sum(item.size_bytes for item in missing):
        raise StorageFullError
    tree = Tree(workspace, durability=durability)
    room = BlobRoom(workspace, durability=durability)
    try:
        for done, item in enumerate(missing, start=1):
            try:
                content = backup.content(item)
                with _blobs_in_place(room, backup, item.file, content), tree.created(item.file, content):
                    pass
            except FileExistsError:
                missing_in(workspace, backup, [item])  # another process was quicker
            if on_progress is not None:
                on_progress(done, len(missing))
        _restore_deletions(tree, backup, items)
    finally:
        tree.close()
    there = {item.file for item in items} - {item.file for item in missing}
    return Restored(restored=missing, already_there=[item for item in items if item.file in there])


def blobs_named(content: bytes) -> frozenset[str]:
    """Return the hashes of the attachments that a session in a backup names."""
    return named_in(judged("", content, NEVER, None), content)


@contextlib.contextmanager
def _blobs_in_place(room: BlobRoom, backup: Backup, name: str, content: bytes) -> Iterator[None]:
    """Put the attachments of a session in place, for a block that puts the session there; the backup may lack some.

    A note of them stays: an index of a running server does not know of the session yet.
    """
    hashes = blobs_named(content)
    if not hashes:
        yield
        return
    with room.shared() as folder:
        room.note([name], hashes)
        for sha256 in sorted(hashes.intersection(backup.manifest.blobs)):
            if not room.is_sure(folder, sha256):
                with backup.blob(sha256) as blob:
                    room.put_stream(blob, expected=sha256)
        yield


@contextlib.contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except _UNREADABLE as error:
        raise BrokenInputError(f"The backup is damaged: {name} cannot be read.") from error


def _restore_deletions(tree: Tree, backup: Backup, items: Sequence[Item]) -> None:
    """Forget the deletions of restored sessions; of a whole backup remember the deletions of sessions not here."""
    with contextlib.closing(Tombstones(tree.workspace, is_flushed=tree.is_flushed)) as tombstones:
        tombstones.forget(item.file for item in items)
        if len(items) == len(backup.manifest.sessions):
            here = {digest_in(name) for name, _ in tree.stamps()}
            known = tombstones.deleted()
            deleted = backup.manifest.deleted.items()
            tombstones.remember({key: at for key, at in deleted if key not in here and key not in known})


def is_empty(workspace: Path) -> bool:
    """Tell whether a workspace has no session files, or does not exist."""
    try:
        return not any(not path.name.startswith(".") for path in (workspace / "sessions").iterdir())
    except FileNotFoundError:
        return True


def _copied(files: SessionFiles, index: Audit | None, name: str) -> tuple[Item, bytes] | FileProblem | None:
    """Return a committed state of a session's file, or the reason for having none.

    Returns None if the file is gone.
    """
    try:
        found = _scanned(files, index, name)
        if isinstance(found, tuple) and found[0].state != "whole":
            try:
                with files.locked(name):
                    found = _scanned(files, index, name)
            except BusyError:  # its whole messages are stored; the index may be ahead of this reading
                found = _scanned(files, None, name)
    except FileNotFoundError:
        return None
    except NotRegularError:
        return FileProblem(name, NOT_A_FILE, NEVER)
    except OSError as error:
        return FileProblem(name, f"it cannot be read: {os.strerror(error.errno or 0)}", NEVER)
    if isinstance(found, FileProblem):
        return found
    scan, data = found
    if scan.header is None:
        raise ValueError(name)
    if scan.state == "torn":
        data = session_file.whole_file(data[: scan.body], [data[scan.body : scan.tail]], len(scan.messages))
    item = Item(
        file=name,
        key=scan.header.key,
        message_count=len(scan.messages),
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        damage=scan.reason if scan.state == "damaged" else None,
    )
    return item, data


def _unnamed(name: str) -> FileProblem:
    return FileProblem(os.fsencode(name).decode(errors="backslashreplace"), NO_TEXT, NEVER)


def _scanned(files: SessionFiles, index: Audit | None, name: str) -> tuple[Scan, bytes] | FileProblem:
    data, stamp = files.read(name) if name.endswith(SUFFIX) else (b"", NEVER)
    if stamp.size > SIZE_MAX:
        return FileProblem(name, TOO_LARGE, stamp)
    found = judged(name, data, stamp, index.row(name) if index else None)
    return found if isinstance(found, FileProblem) else (found, data)


def _put(into: zipfile.ZipFile, name: str, data: bytes, at: datetime) -> None:
    info = zipfile.ZipInfo(name, (max(at.year, 1980), at.month, at.day, at.hour, at.minute, at.second))
    info.external_attr = _REGULAR
    info.compress_type = zipfile.ZIP_DEFLATED
    if len(data) > _LARGE_BYTES and len(zlib.compress(data, 1)) * _EXPANSION_MAX < len(data):
        info.compress_type = zipfile.ZIP_STORED
    into.writestr(info, data, compresslevel=_LEVEL)


def _manifest_in(packed: zipfile.ZipFile, info: zipfile.ZipInfo | None) -> Manifest:
    if info is None or info.file_size > _MANIFEST_BYTES_MAX or not _is_bounded(info):
        raise BrokenInputError("This is no backup: it has no list of sessions.")
    with packed.open(info) as file:
        return msgspec.json.decode(file.read(_MANIFEST_BYTES_MAX), type=Manifest)


def _is_bounded(info: zipfile.ZipInfo) -> bool:
    """Tell whether a reader accepts an entry of a backup: a regular file with bounded expansion."""
    is_file = not info.is_dir() and stat.S_IFMT(info.external_attr >> 16) in {0, stat.S_IFREG}
    is_plain = info.compress_type in _COMPRESSIONS and not info.flag_bits & 1
    is_large = info.file_size > _LARGE_BYTES and info.file_size > info.compress_size * _EXPANSION_MAX
    return is_file and is_plain and 0 <= info.file_size <= SIZE_MAX and not is_large


def _said(scan: Scan | FileProblem) -> tuple[bool, int]:
    """Return whether a session is complete, and its number of messages."""
    return (scan.state in {"whole", "loose"}, len(scan.messages)) if isinstance(scan, Scan) else (False, 0)


def _is_same(files: SessionFiles, name: str, data: bytes) -> bool:
    """Tell whether a file has these bytes, apart from its reserved space."""
    try:
        return files.read(name)[0].rstrip(b"\n") == data.rstrip(b"\n")
    except (OSError, NotRegularError):
        return False
