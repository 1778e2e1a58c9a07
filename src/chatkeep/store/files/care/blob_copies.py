"""The attachments of sessions in checkups and backups: those that are named, and whether their bytes are right.

blobs/<sha256>   in a backup: the bytes of an attachment that its sessions name
"""

from __future__ import annotations

import contextlib
import hashlib
import stat
import zipfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final

from chatkeep.core.blobs.blob_names import blob_names, hashes_in
from chatkeep.disk.files import is_folder
from chatkeep.errors import BlobNotFoundError, BrokenInputError, StorageError
from chatkeep.store.admin import Finding
from chatkeep.store.files.care.findings import access_findings
from chatkeep.store.files.tree.blob_room import BlobRoom
from chatkeep.store.files.tree.format import Scan
from chatkeep.store.files.tree.trash import Trash
from chatkeep.store.files.tree.tree import Tree
from chatkeep.store.files.upkeep.intake import FileProblem

BLOB_FOLDER: Final = "blobs/"
_REGULAR: Final = (stat.S_IFREG | 0o600) << 16  # the Unix mode of a file, where a zip file has it
_PIECE_BYTES: Final = 1 << 20
_MISSING: Final = "it is missing"
_OTHER: Final = "its bytes are others than its name says"


def named_in(found: Scan | FileProblem, data: bytes) -> frozenset[str]:
    """Return the hashes of the blobs that a file names; in one that is not whole, whatever looks like a name counts."""
    names = {name.sha256 for line in found.messages for name in blob_names(line)} if isinstance(found, Scan) else set()
    if not isinstance(found, Scan) or found.state == "damaged":
        names |= hashes_in(data)
    return frozenset(names)


def blob_findings(workspace: Path, owner: int, named: Mapping[str, Collection[str]]) -> Iterator[Finding]:
    """Yield the faults of blobs: missing, damaged, open to others, or named by nothing.

    `named` has the blobs of each session file. Cost: one reading of every blob.
    """
    room = BlobRoom(workspace)
    if not room.is_there:
        missing: Iterable[tuple[str, str]] = ((sha256, name) for name in named for sha256 in named[name])
        yield from (_missing(sha256, name) for sha256, name in missing)
        return
    yield from access_findings("blobs", (workspace / "blobs").lstat(), owner)
    there = dict(room.names())
    for name, hashes in named.items():
        yield from (_missing(sha256, name) for sha256 in hashes if sha256 not in there)
    known = frozenset[str]().union(*named.values()) | _in_trash(workspace)
    for sha256 in sorted(there):
        path = workspace / "blobs" / sha256
        with contextlib.suppress(FileNotFoundError):
            yield from access_findings(f"blobs/{sha256}", path.lstat(), owner)
        if _fault_of(room, sha256) == _OTHER:
            yield Finding(file=f"blobs/{sha256}", kind="blob", reason=_OTHER, remedy="set aside")
        elif sha256 not in known:
            reason = "no session names it; a message with it may be on its way"
            yield Finding(file=f"blobs/{sha256}", kind="unnamed", reason=reason)


def copied_blobs(into: zipfile.ZipFile, workspace: Path, hashes: Iterable[str], at: datetime) -> Mapping[str, str]:
    """Copy blobs into a backup; return the reasons for those left out, by their hashes."""
    left_out: dict[str, str] = {}
    room = BlobRoom(workspace)
    for sha256 in sorted(hashes):
        if fault := _fault_of(room, sha256):
            left_out[sha256] = fault
            continue
        info = zipfile.ZipInfo(
            BLOB_FOLDER + sha256, (max(at.year, 1980), at.month, at.day, at.hour, at.minute, at.second)
        )
        info.external_attr = _REGULAR
        with room.opened(sha256) as blob, into.open(info, "w", force_zip64=True) as copy:
            while piece := blob.read(_PIECE_BYTES):
                copy.write(piece)
    return left_out


def check_blob(sha256: str, content: BinaryIO) -> None:
    """Read a blob of a backup.

    Raises:
        BrokenInputError: when its bytes are others than its name says.
    """
    if _sha256_of(content) != sha256:
        raise BrokenInputError(f"The backup is damaged: the attachment {sha256} has another checksum.")


def _fault_of(room: BlobRoom, sha256: str) -> str | None:
    try:
        with room.opened(sha256) as blob:
            return None if _sha256_of(blob) == sha256 else _OTHER
    except BlobNotFoundError:
        return _MISSING
    except (StorageError, OSError):
        return "it cannot be read"


def _sha256_of(content: BinaryIO) -> str:
    digest = hashlib.sha256()
    while piece := content.read(_PIECE_BYTES):
        digest.update(piece)
    return digest.hexdigest()


def _missing(sha256: str, name: str) -> Finding:
    return Finding(file=f"blobs/{sha256}", kind="blob", reason=f"{name} names it, and it is missing")


def _in_trash(workspace: Path) -> frozenset[str]:
    if not is_folder(workspace / "trash"):
        return frozenset()
    with contextlib.closing(Tree(workspace, durability="none")) as tree:
        return Trash(tree).blobs()
