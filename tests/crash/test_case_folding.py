"""A file system that takes names for the same that differ in case only: NTFS, mounted so from an image."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from chatkeep.core.model import Revision, Selection
from chatkeep.store.files.store import FilesStore
from chatkeep.store.files.tree.tree import file_name
from chatkeep.testing import draft, search_for, talk

_KEYS = ("A:B", "A:b", "a:B", "a:b", "straße", "STRASSE", "CON", "con.")
_IMAGE_MIB = 64


@pytest.fixture
def folding(tmp_path: Path) -> Iterator[Path]:
    """Give a workspace where case is folded, or say why there can be none."""
    if os.geteuid() != 0:
        pytest.skip("a file system can be mounted by root only")
    make, mount, umount = map(shutil.which, ("mkfs.ntfs", "lowntfs-3g", "umount"))
    if make is None or mount is None or umount is None:
        pytest.skip("ntfs-3g is not installed")
    image, place = tmp_path / "image", tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(_IMAGE_MIB << 20)
    place.mkdir()
    subprocess.run([make, "-F", "-q", str(image)], check=True, capture_output=True)
    mounted = subprocess.run([mount, "-o", "ignore_case", str(image), str(place)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"NTFS cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield place / "workspace"
    for _ in range(50):
        if subprocess.run([umount, str(place)], capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.1)
    subprocess.run([umount, "--lazy", str(place)], check=True)


def test_store_where_case_is_folded(folding: Path) -> None:
    """Keys that differ in case have files of their own; a copy in capitals of a file is no second session."""
    with closing(FilesStore.open(folding)) as store:
        for number, key in enumerate(_KEYS):
            store.append(key, [*talk(2), draft(f"plum{number}")])
        assert (folding / "sessions" / file_name("a:b").upper()).is_file()
    (folding / "sessions" / file_name("a:b")).rename(folding / "sessions" / "brief")
    (folding / "sessions" / "brief").rename(folding / "sessions" / file_name("a:b"))
    with closing(FilesStore.open(folding)) as store:
        assert tuple(sorted(_KEYS)) == store.keys(Selection()).keys
        for number, key in enumerate(_KEYS):
            assert [key] == [hit.key for hit in store.search(search_for(f"plum{number}")).hits]
            assert 4 == store.append(key, [draft("more")]).message_count
            assert f"Title {number}" == store.revise(key, Revision(title=f"Title {number}")).title
        store.delete("a:b")
        assert len(_KEYS) - 1 == store.status().session_count
        assert 4 == len(store.read("A:B").messages)
