"""Small disks that fill up, and disks that can only be read from some moment on."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

_NOBODY = 65_534


class SmallDisk:
    """A file system of a few MiB, mounted at a place."""

    def __init__(self, place: Path) -> None:
        """Take the place where it is mounted."""
        self.place = place

    @property
    def workspace(self) -> Path:
        """A workspace on it."""
        return self.place / "workspace"

    def fill(self) -> None:
        """Take all of its space, to the last byte."""
        with (self.place / "filling").open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                with suppress(OSError):
                    while True:
                        file.write(b"\0" * size)

    def empty(self) -> None:
        """Give back what was taken."""
        (self.place / "filling").unlink()

    def let_read_only(self) -> None:
        """Let it be read only; nobody may have a file of it open for writing."""
        _run("mount", "-o", "remount,ro", str(self.place))

    def let_write(self) -> None:
        """Let it be written again."""
        _run("mount", "-o", "remount,rw", str(self.place))

    def fail(self) -> None:
        """Let it be read only from this moment on, as ext4 is when it meets an error, whoever has its files open."""
        device = Path(_run("findmnt", "-n", "-o", "SOURCE", str(self.place)).strip()).name
        Path(f"/sys/fs/ext4/{device}/trigger_fs_error").write_text("a test", encoding="utf-8")


@contextmanager
def in_memory(place: Path, size: str = "8m") -> Iterator[SmallDisk]:
    """Mount a small disk in memory."""
    with _mounted(place, "-t", "tmpfs", "-o", f"size={size},mode=0755", "tmpfs") as disk:
        yield disk


@contextmanager
def in_an_image(place: Path, image: Path) -> Iterator[SmallDisk]:
    """Mount a disk with a real file system, ext4, which can fail."""
    with image.open("wb") as file:
        file.truncate(24 << 20)
    _run("mkfs.ext4", "-q", str(image))
    with _mounted(place, "-t", "ext4", "-o", "loop,errors=remount-ro", str(image)) as disk:
        yield disk


@contextmanager
def _mounted(place: Path, *how: str) -> Iterator[SmallDisk]:
    if os.geteuid() != 0:
        pytest.skip("a file system can be mounted by root only")
    place.mkdir(exist_ok=True)
    try:
        _run("mount", *how, str(place))
    except subprocess.CalledProcessError as error:
        pytest.skip(f"nothing can be mounted here: {error.stderr.strip()}")
    try:
        yield SmallDisk(place)
    finally:
        for _ in range(100):  # a process that ended lets go of its files a moment later
            with suppress(subprocess.CalledProcessError):
                _run("umount", str(place))
                break
            time.sleep(0.02)
        else:
            _run("umount", "--lazy", str(place))


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def let_read(workspace: Path) -> None:
    """Let everybody read a workspace, and only its owner write it."""
    for path in (workspace, *workspace.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Let this process be another user's for a while."""
    os.setegid(_NOBODY)
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@contextmanager
def taking_no_writes(state: str, workspace: Path) -> Iterator[None]:
    """Let the small disk with a workspace be `full`, `read-only`, or the workspace of another user, `foreign`."""
    disk = SmallDisk(workspace.parent)
    if state == "full":
        disk.fill()
        yield
        disk.empty()
    elif state == "read-only":
        disk.let_read_only()
        yield
        disk.let_write()
    else:
        let_read(workspace)
        with as_nobody():
            yield
