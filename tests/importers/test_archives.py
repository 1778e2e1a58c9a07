"""Zip archives are opened, and hostile ones refused before anything is imported."""

from __future__ import annotations

import io
import json
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from chatkeep import importers
from chatkeep.errors import InvalidError
from chatkeep.importers import archives
from tests.importers.taken import SAMPLES, Taken

GOOD = (SAMPLES / "chatgpt" / "gpt_example.json").read_bytes()


def _zip(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in entries:
            packed.writestr(name, data, zipfile.ZIP_DEFLATED)
    return path


def _special(name: str, kind: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system = 3
    entry.external_attr = (kind | 0o644) << 16
    return entry


def _bomb(path: Path) -> Path:
    """Write an archive with an entry that says to expand to 300 MiB."""
    packed = bytearray(_zip(path, ("conversations.json", GOOD)).read_bytes())
    at = packed.index(b"PK\x01\x02") + 24
    packed[at : at + 4] = struct.pack("<L", 300 << 20)
    path.write_bytes(packed)
    return path


def _overlapping(path: Path) -> Path:
    """Write an archive with a second entry at the place of the first."""
    packed = _zip(path, ("conversations.json", GOOD), ("b.json", GOOD)).read_bytes()
    at = packed.rindex(b"PK\x01\x02") + 42
    path.write_bytes(packed[:at] + struct.pack("<L", 0) + packed[at + 4 :])
    return path


def _damaged(path: Path) -> Path:
    packed = bytearray(_zip(path, ("conversations.json", GOOD)).read_bytes())
    packed[len(packed) // 2] ^= 0xFF
    path.write_bytes(packed)
    return path


def _packed_by(path: Path, method: int) -> Path:
    """Write an archive by a method that takes as much memory as the archive asks for."""
    with zipfile.ZipFile(path, "w", method) as packed:
        packed.writestr("conversations.json", GOOD)
    return path


def _protected(path: Path) -> Path:
    packed = bytearray(_zip(path, ("conversations.json", GOOD)).read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        packed[packed.index(mark) + offset] |= 1
    path.write_bytes(packed)
    return path


def _cut(path: Path) -> Path:
    path.write_bytes(_zip(path, ("conversations.json", GOOD)).read_bytes()[:-30])
    return path


HOSTILE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "out of it": (lambda path: _zip(path, ("conversations.json", GOOD), ("../a.json", b"{}")), "leads out"),
    "deep out of it": (lambda path: _zip(path, ("a/../../a.json", b"{}")), "leads out"),
    "root": (lambda path: _zip(path, ("/etc/a.json", b"{}")), "leads out"),
    "drive": (lambda path: _zip(path, ("C:/a.json", b"{}")), "leads out"),
    "backslash": (lambda path: _zip(path, ("a\\..\\..\\a.json", b"{}")), "leads out"),
    "link": (lambda path: _zip(path, (_special("a.json", stat.S_IFLNK), b"/etc/passwd")), "is a link"),
    "pipe": (lambda path: _zip(path, (_special("a.json", stat.S_IFIFO), b"")), "is no file"),
    "bomb": (_bomb, "expands to more than"),
    "overlap": (_overlapping, "overlap"),
    "one path": (lambda path: _zip(path, ("a.json", b"{}"), ("a.json/b.json", b"{}")), "one name"),
    "damage": (_damaged, "is damaged"),
    "LZMA": (lambda path: _packed_by(path, zipfile.ZIP_LZMA), "bzip2 or LZMA"),
    "bzip2": (lambda path: _packed_by(path, zipfile.ZIP_BZIP2), "bzip2 or LZMA"),
    "password": (_protected, "protected by a password"),
    "cut": (_cut, "is damaged"),
    "long name": (lambda path: _zip(path, ("a" * 300 + ".json", b"{}")), "too long a name"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_refuse_a_hostile_archive(tmp_path: Path, kind: str) -> None:
    """It is refused as a whole with a sentence that says why, and leaves nothing behind."""
    make, reason = HOSTILE[kind]
    path = make(tmp_path / "a.zip")
    with pytest.raises(InvalidError, match=reason):
        importers.recognised(path)
    with pytest.raises(InvalidError, match=reason):
        list(importers.read_sessions(path, "chatgpt"))
    assert ["a.zip"] == [file.name for file in tmp_path.iterdir()]


def _lying(path: Path) -> None:
    """Say in the end of an archive that there is one entry."""
    data = path.read_bytes()
    path.write_bytes(data[:-14] + struct.pack("<HH", 1, 1) + data[-10:])


def _commented(path: Path) -> None:
    """Give an archive a comment with the mark of an end in it."""
    with zipfile.ZipFile(path, "a") as packed:
        packed.comment = b"a comment " * 1000


def _marked(path: Path) -> None:
    """Put the mark of an end into the end of an archive, as the place of its list."""
    data = path.read_bytes()
    path.write_bytes(data[:-6] + b"PK\x05\x06" + data[-2:])


@pytest.mark.parametrize("change", [lambda _: None, _lying, _commented, _marked])
def test_refuse_too_many_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    """The number of entries is bounded, and counted before they are taken into memory, whatever the archive says."""
    change(_zip(tmp_path / "a.zip", ("a.json", b"{}"), ("b.json", b"{}")))
    monkeypatch.setattr(archives, "_ENTRIES_MAX", 1)
    monkeypatch.setattr(zipfile, "ZipFile", None)
    with pytest.raises(InvalidError, match="more than 1 entries"):
        importers.recognised(tmp_path / "a.zip")


def test_count_the_entries_of_a_large_archive(tmp_path: Path) -> None:
    """An archive with the list of a large one is counted, too."""
    path, listed = tmp_path / "a.zip", (b"PK\x01\x02" + bytes(42)) * 50_001
    large = b"PK\x06\x06" + bytes(36) + struct.pack("<QQ", len(listed), 4)
    end = b"PK\x05\x06" + bytes(8) + b"\xff" * 8 + bytes(2)
    path.write_bytes(b"PK\x03\x04" + listed + large + b"PK\x06\x07" + bytes(16) + end)
    with pytest.raises(InvalidError, match="more than 50,000 entries"):
        importers.recognised(path)


def test_import_an_archive(tmp_path: Path) -> None:
    """The conversations in an archive are imported, wherever they lie in it; pictures are not unpacked."""
    path = _zip(
        tmp_path / "export.zip",
        ("my export/user.json", json.dumps({"id": "user-1"}).encode()),
        ("my export/conversations.json", GOOD),
        ("my export/picture.png", b"\x89PNG"),
        ("my export/chat.html", b"<html>"),
    )
    taken = Taken(path, "chatgpt")
    assert 12 == len(taken.messages)
    counted: list[int] = []
    with archives.unpacked_archive(path, counted.append) as folder:
        assert isinstance(folder, Path)
        files = sorted(file.name for file in folder.rglob("*") if file.is_file())
        assert ["conversations.json", "user.json"] == files
        assert 0o700 == stat.S_IMODE(folder.stat().st_mode)
    assert len(GOOD) + 16 == sum(counted)
    assert not folder.exists()


def test_leave_other_sources_alone(tmp_path: Path) -> None:
    """A file, a folder and a pipe stay as they are; a file is no archive by its name."""
    (tmp_path / "a.zip").write_text("{}")
    for source in (tmp_path, tmp_path / "a.zip", tmp_path / "none", importers.Piped("a", io.BytesIO(b"PK\x03\x04"))):
        with archives.unpacked_archive(source) as same:
            assert source is same
