"""The folder: names that are a key's own, private files, locks that end, disks that refuse."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.disk import locks
from chatkeep.disk.files import Durability
from chatkeep.disk.locks import is_held
from chatkeep.errors import BusyError, StorageError, StorageFullError
from chatkeep.store.files.tree.tree import KEPT, NotRegularError, Tree, file_name, is_file_name, kept_name

NAME = "a-1.json"
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=128)


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    """Yield a tree whose locks are waited for a moment only."""
    tree = Tree(tmp_path / "workspace", lock_timeout_s=0.2)
    yield tree
    tree.close()


@given(texts, texts)
def test_file_name_is_the_keys_own(one: str, other: str) -> None:
    """Different keys have different names, also where case is folded; names are short and plain."""
    names = file_name(one), file_name(other)

    assert (one == other) == (names[0].casefold() == names[1].casefold())
    assert all(len(name) <= 86 and name.isascii() and not name.startswith((".", "-")) for name in names)
    assert all(map(is_file_name, names))


@pytest.mark.parametrize("keys", [("a:b", "a/b", "a_b", "a b", "a@b", "A:b"), ("é", "e\u0301"), ("con", "CON", "con.")])
def test_file_name_of_similar_keys(keys: tuple[str, ...]) -> None:
    """Keys that other stores put into one file have files of their own."""
    assert len(keys) == len({file_name(key).casefold() for key in keys})


@pytest.mark.parametrize("mask", [0, 0o022, 0o077])
def test_files_are_private(tmp_path: Path, mask: int) -> None:
    """Files are 0600 and folders 0700 from their first moment, whatever the umask."""
    old = os.umask(mask)
    try:
        tree = Tree(tmp_path / "workspace")
        with tree.created(NAME, b"{}\n"):
            pass
        tree.quarantine(NAME, b"cut")
        tree.close()
    finally:
        os.umask(old)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "workspace").rglob("*") if path.is_file()}
    folders = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "workspace").rglob("*") if path.is_dir()}

    assert ({0o600}, {0o700}) == (modes, folders)


def test_locked_by_another_process(tree: Tree) -> None:
    """A file that somebody keeps is waited for until the time-out, then it is busy; others are free."""
    with tree.created(NAME, b"{}\n"), tree.created("b-2.json", b"{}\n"):
        pass
    path = tree.sessions_path / NAME
    code = f"import fcntl, sys; f = open({str(path)!r}); fcntl.flock(f, 2); print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(BusyError), tree.locked(NAME):
            pass
        with tree.locked("b-2.json") as file:
            assert b"{}\n" == file.read()
        holder.communicate(b"")
    with tree.locked(NAME) as file:
        assert b"{}\n" == file.read()


def test_locked_by_another_thread(tree: Tree) -> None:
    """Threads of one process keep files from one another too."""
    with tree.created(NAME, b"{}\n"):
        refused: list[type[BaseException]] = []

        def try_it() -> None:
            try:
                with tree.locked(NAME):
                    pass
            except BusyError:
                refused.append(BusyError)

        thread = threading.Thread(target=try_it)
        thread.start()
        thread.join()

    assert [BusyError] == refused


def test_locked_after_a_replacement(tree: Tree) -> None:
    """Who waited for a file that was replaced meanwhile gets the new one."""
    with tree.created(NAME, b"old\n"):
        pass
    got: list[bytes] = []

    def wait_for_it() -> None:
        with tree.locked(NAME) as file:
            got.append(file.read())

    thread = threading.Thread(target=wait_for_it)
    with tree.locked(NAME) as file:
        thread.start()
        tree.replace(file, b"new\n")
        assert b"new\n" == file.read()
    thread.join()

    assert [b"new\n"] == got


def test_created_twice(tree: Tree) -> None:
    """A name is given once; the second maker is told, and leaves nothing behind."""
    with tree.created(NAME, b"first\n"):
        pass
    with pytest.raises(FileExistsError), tree.created(NAME, b"second\n"):
        pass

    assert (b"first\n", []) == (tree.read(NAME)[0], _names(tree.workspace / "tmp"))


@pytest.mark.parametrize("kind", ["symlink", "fifo", "folder"])
def test_names_that_are_no_files(tree: Tree, tmp_path: Path, kind: str) -> None:
    """Links, pipes and folders are told apart, never followed, never waited for."""
    (tmp_path / "secret").write_text("secret")
    path = tree.sessions_path / NAME
    if kind == "symlink":
        path.symlink_to(tmp_path / "secret")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(NotRegularError):
        tree.read(NAME)
    with pytest.raises(NotRegularError), tree.locked(NAME):
        pass

    assert [(NAME, None)] == list(tree.stamps())


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _in_small_files(code: str, size: int, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a process that cannot make files larger than so many bytes."""
    program = f"""
import resource, signal
from pathlib import Path
from chatkeep.errors import *
from chatkeep.store.files.tree.tree import Tree
tree = Tree(Path({str(tmp_path)!r}))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))
"""
    return subprocess.run([sys.executable, "-c", program + code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("room", [4096, 4100, 8191])
def test_overwrite_tail_on_a_full_disk(tmp_path: Path, room: int) -> None:
    """A disk that fills up in the middle of a write is told, and the file is byte by byte what it was."""
    content = b"x" * 4000 + b"\n" * 96
    tree = Tree(tmp_path)
    with tree.created(NAME, content):
        pass
    tree.close()
    code = f"""
with tree.locked({NAME!r}) as file:
    try:
        file.overwrite_tail(3000, b"y" * 6000)
    except StorageFullError as error:
        print("full")
"""
    outcome = _in_small_files(code, room, tmp_path)

    assert ("full\n", "") == (outcome.stdout, outcome.stderr)
    assert content == (tmp_path / "sessions" / NAME).read_bytes()[:4096]
    assert (tmp_path / "sessions" / NAME).read_bytes()[4096:].strip(b"\n") == b""


def test_overwrite_tail_when_the_flush_fails(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed flush is an error, and what was written is taken back."""

    def refuse(fd: int) -> None:
        raise OSError(5, "Input/output error")

    with tree.created(NAME, b"a" * 50 + b"\n" * 50) as file:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", refuse)
            with pytest.raises(StorageError) as refused:
                file.overwrite_tail(50, b"b" * 20)

        assert (b"a" * 50 + b"\n" * 50, False) == (file.read(), isinstance(refused.value, StorageFullError))


@pytest.mark.parametrize("size", [10, 5000, 20_000])
def test_overwrite_tail_gives_back_an_end_read_before(tree: Tree, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """A failed flush leaves the bytes under the write as they were, also where the end was read before it."""

    def refuse(fd: int) -> None:
        raise OSError(5, "Input/output error")

    stored = b"a" * 2 + bytes(range(32, 127)) * 84
    with tree.created(NAME, stored) as file:
        assert stored[2:4098] == file.end_at(2)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", refuse)
            with pytest.raises(StorageError):
                file.overwrite_tail(2, b"b" * size)

        assert stored == file.read().rstrip(b"\n")


def test_sweep_leaves_what_is_held(tree: Tree) -> None:
    """Files that an ended process left unborn are removed; those of a living one stay."""
    left = tree.workspace / "tmp" / "left"
    left.write_bytes(b"")
    os.utime(left, (0, 0))
    young = tree.workspace / "tmp" / "young"
    young.write_bytes(b"")
    tree.sweep()

    assert ["young"] == _names(tree.workspace / "tmp")


def test_created_without_a_durable_name(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that cannot be made durable is taken back."""

    def refuse(fd: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(StorageError), tree.created(NAME, b"{}\n"):
            pass
    assert [] == list(tree.sessions_path.iterdir())


@pytest.mark.parametrize("call", ["fsync", "fdatasync", "link"])
def test_created_together_on_a_failing_disk(tree: Tree, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """If the disk refuses a flush or the third name, there is none of the files, and nothing is left over."""
    good_calls, real = iter(range(2 if call == "link" else 0)), getattr(os, call)

    def refuse(*args: object, **options: object) -> object:
        if next(good_calls, None) is None:
            raise OSError(5, "Input/output error")
        return real(*args, **options)

    contents = {file_name(f"cli:{number}"): b"{}" for number in range(5)}
    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        with pytest.raises(StorageError), tree.created_together(contents):
            pass
    assert [] == list(tree.stamps())
    assert [] == list((tree.workspace / "tmp").iterdir())
    with tree.created_together(contents) as made:
        assert list(contents) == list(made)
        assert all(tree.is_held(name) for name in made)


def test_created_together_with_a_name_taken(tree: Tree) -> None:
    """The file of another writer stays, and the others are made."""
    names = [file_name(f"cli:{number}") for number in range(3)]
    with tree.created(names[1], b"theirs"):
        pass
    with tree.created_together(dict.fromkeys(names, b"ours")) as made:
        assert [names[0], names[2]] == list(made)
    assert [b"ours", b"theirs", b"ours"] == [tree.read(name)[0] for name in names]
    assert [] == list((tree.workspace / "tmp").iterdir())


def test_open_makes_folders_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders that are made are flushed into those that hold them, so that no session vanishes with its folder."""
    flushed: list[str] = []
    real = os.fsync

    def flush(fd: int) -> None:
        flushed.append(str(Path(f"/proc/self/fd/{fd}").readlink()))
        real(fd)

    monkeypatch.setattr(os, "fsync", flush)
    Tree(tmp_path / "above" / "workspace").close()

    assert {str(tmp_path), str(tmp_path / "above"), str(tmp_path / "above" / "workspace")} <= set(flushed)


def test_is_file_name_of_others() -> None:
    """What people call their files is no name of ours."""
    assert not any(map(is_file_name, ["notes.json", f"{file_name('a')}.bak", file_name("a").upper(), "", ".json"]))


@pytest.mark.parametrize("takes_part", [True, False])
def test_overwrite_tail_gives_back_what_it_reserved(
    tree: Tree,
    monkeypatch: pytest.MonkeyPatch,
    takes_part: bool,  # noqa: FBT001 - drawn from a table
) -> None:
    """A disk that is full before the write begins leaves the file as it was, byte by byte and in size."""
    real = os.pwrite

    def refuse(fd: int, content: bytes, place: int) -> int:
        if takes_part and place == 100:
            return real(fd, content[:10], place)
        raise OSError(28, "No space left on device")

    with tree.created(NAME, b"a" * 100) as file:
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", refuse)
            with pytest.raises(StorageFullError):
                file.overwrite_tail(50, b"b" * 100)
        assert b"a" * 100 == file.read().rstrip(b"\n")


def test_flushing_nothing_when_nothing_has_to_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without durability, no write waits for the disk."""

    def refuse(fd: int) -> None:
        raise AssertionError(fd)

    made = Tree(tmp_path / "workspace")  # its folders are flushed once
    made.close()
    monkeypatch.setattr(os, "fsync", refuse)
    monkeypatch.setattr(os, "fdatasync", refuse)
    tree = Tree(tmp_path / "workspace", durability="none")
    with tree.created(NAME, b"{}\n") as file:
        file.overwrite_tail(2, b"x\n")
        tree.replace(file, b"[]\n")
    tree.quarantine(NAME, b"cut")
    tree.remove(NAME)
    tree.close()


def test_unreadable_names(tree: Tree) -> None:
    """Names that are no text are told in a form that is, and are no sessions."""
    (tree.sessions_path / os.fsdecode(b"caf\xe9.json")).write_bytes(b"{}")
    (tree.sessions_path / NAME).write_bytes(b"{}")
    assert [r"caf\xe9.json"] == tree.unreadable_names()
    assert [NAME] == [name for name, _ in tree.stamps()]


@pytest.mark.parametrize("other", [b"new\n", None])
def test_locked_while_the_name_changes(tree: Tree, monkeypatch: pytest.MonkeyPatch, other: bytes | None) -> None:
    """A lock on a file that lost its name just then is let go: the new file is locked, or there is none."""
    with tree.created(NAME, b"old\n"):
        pass
    path, real = tree.sessions_path / NAME, locks.flock
    waits: list[int] = []

    def flock(fd: int, deadline: float) -> None:
        real(fd, deadline)
        waits.append(fd)
        if len(waits) == 1:
            path.unlink()
            if other is not None:
                path.write_bytes(other)

    monkeypatch.setattr("chatkeep.store.files.tree.tree.flock", flock)
    descriptors = _descriptor_count(tree)
    if other is None:
        with pytest.raises(FileNotFoundError), tree.locked(NAME):
            pass
    else:
        with tree.locked(NAME) as file:
            assert other == file.read()
    assert descriptors == _descriptor_count(tree)


def test_is_held(tree: Tree) -> None:
    """An unborn file is held while it is locked; one that is gone is nobody's to remove."""
    folder = os.open(tree.workspace / "tmp", os.O_RDONLY)
    unborn = tree.workspace / "tmp" / "unborn"
    unborn.write_bytes(b"")
    os.utime(unborn, (0, 0))
    assert (True, False) == (is_held("gone", folder), is_held("unborn", folder))
    with unborn.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert is_held("unborn", folder)
    os.close(folder)


def test_looking_at_a_file_that_the_disk_refuses(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the storage that failed: nothing says that the file is none, and it is closed."""
    with tree.created(NAME, b"{}\n"):
        pass

    def refuse(fd: int) -> os.stat_result:
        raise OSError(5, "Input/output error")

    descriptors = _descriptor_count(tree)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", refuse)
        with pytest.raises(StorageError):
            tree.read(NAME)
    assert descriptors == _descriptor_count(tree)


def test_what_was_flushed_is_kept_though_the_disk_does_not_show_it(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """An append is not refused because it cannot be read again; other bytes in its place are told."""
    with tree.created(NAME, b"{}\n") as file:
        assert file.stamp() == tree.kept_stamp(file, 0, b"{}")
        assert tree.kept_stamp(file, 0, b"[]") is None

        def refuse(fd: int, size: int, start: int) -> bytes:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(os, "pread", refuse)
        assert file.stamp() == tree.kept_stamp(file, 0, b"{}")


def _descriptor_count(tree: Tree) -> int:
    """Return how many descriptors are open below the tree's workspace; threads of other tests open and close theirs."""
    workspace = os.path.realpath(tree.sessions_path.parent)
    return sum(os.path.realpath(path).startswith(f"{workspace}/") for path in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize("name", ["é" * 127, "會" * 85, "a" * 255, "a.json", "\udcff" * 200])
def test_kept_name_fits_a_file_system(name: str) -> None:
    """A name in quarantine has room beside any name of a file, and is recognised."""
    kept = kept_name(name, "old")
    assert len(os.fsencode(kept)) <= 190
    assert (found := KEPT.fullmatch(kept)) is not None
    assert os.fsencode(name).startswith(os.fsencode(found[1]))


@pytest.mark.parametrize("durability", ["full", "none"])
def test_write_long_content_with_flushes_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durability: Durability
) -> None:
    """A long text never leaves the disk more than a MiB to flush at once: others' flushes would wait for all of it."""
    content = b"{" + b"a" * (5 << 20) + b"\n"
    unflushed = [0]
    pwrite, fdatasync = os.pwrite, os.fdatasync

    def counted(fd: int, data: bytes, start: int) -> int:
        written = pwrite(fd, data, start)
        unflushed.append(unflushed[-1] + written)
        return written

    def flushed(fd: int) -> None:
        fdatasync(fd)
        unflushed.append(0)

    monkeypatch.setattr(os, "pwrite", counted)
    monkeypatch.setattr(os, "fdatasync", flushed)
    tree = Tree(tmp_path / "workspace", durability=durability)
    with tree.created(NAME, content) as file:
        file.overwrite_tail(len(content), content)
    with tree.created_together({"b-2.json": content}) as made, tree.locked(NAME) as file:
        tree.replace(file, content)
    tree.close()

    assert ["b-2.json"] == list(made)
    assert {content} == {(tmp_path / "workspace" / "sessions" / name).read_bytes() for name in (NAME, "b-2.json")}
    assert (durability == "full") == (max(unflushed) <= 1 << 20)
