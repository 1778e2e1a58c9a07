"""Session files in a checkup: read without a change, and judged name by name.

The first look takes no lock. After a finding, the second look takes the file's lock, so an append under
way is no finding. Only regular files are opened.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Self

from chatkeep.core import checks, model
from chatkeep.core.bounds import MESSAGE_BYTES_MAX
from chatkeep.disk.files import Stamp, read_at, stamp_of
from chatkeep.disk.locks import flock
from chatkeep.errors import BusyError, InvalidError
from chatkeep.store.admin import Finding, FindingKind, Progress, Remedy
from chatkeep.store.files.care.audit import Audit
from chatkeep.store.files.care.blob_copies import named_in
from chatkeep.store.files.care.findings import access_findings
from chatkeep.store.files.tree import format as session_file
from chatkeep.store.files.tree.format import Scan
from chatkeep.store.files.tree.tree import SUFFIX, NotRegularError, file_name, is_file_name, is_text
from chatkeep.store.files.upkeep.intake import (
    ARRIVING,
    NO_TEXT,
    NOT_A_FILE,
    SIZE_MAX,
    STRANGE_NAME,
    TOO_LARGE,
    FileProblem,
    judged,
    may_be_arriving,
)

_LOCK_WAIT_S: Final = 2.0  # then the file is reported as busy
_LINE_BYTES_MAX: Final = MESSAGE_BYTES_MAX + (1 << 12)  # a stored message also has a seq, an id and a time


class SessionFiles:
    """The folder of session files, open for reading.

    `behind` and `wrong` are the names with this verdict on the index, as `Audit.verdict` says. `named` has the blobs
    that each examined file names.
    """

    def __init__(self, workspace: Path, index: Audit | None) -> None:
        """Open the folder; `index` is the index to compare with, if any."""
        self._folder = os.open(workspace / "sessions", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        self._owner = workspace.stat().st_uid
        self._tmp = workspace / "tmp"
        self._index = index
        self.behind: set[str] = set()
        self.wrong: set[str] = set()
        self.named: dict[str, frozenset[str]] = {}

    def __enter__(self) -> Self:
        """Return the open folder."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the folder."""
        os.close(self._folder)

    def names(self) -> list[str]:
        """Return the names in the folder, in order."""
        return sorted(os.listdir(self._folder))  # noqa: PTH208 - of an open folder

    def findings(self, on_progress: Progress | None = None) -> Iterator[Finding]:
        """Yield the findings of each name."""
        names = self.names()
        for done, name in enumerate(names, start=1):
            yield from self.examined(name)
            if on_progress is not None:
                on_progress(done, len(names))

    def examined(self, name: str) -> Sequence[Finding]:
        """Return the findings of a name."""
        if name.startswith("."):
            return [_session_finding(name, "stray", "a hidden file: no session file, and not looked at")]
        if not is_text(name):
            return [_session_finding(os.fsencode(name).decode(errors="backslashreplace"), "foreign", NO_TEXT)]
        found = self._look(name)
        if not found and name not in self.behind | self.wrong:
            return found
        try:
            with self.locked(name):
                return self._look(name)
        except BusyError:
            return [_session_finding(name, "busy", f"somebody has kept it locked for {_LOCK_WAIT_S:.0f} seconds")]
        except (OSError, NotRegularError):
            return self._look(name)

    def key(self, name: str) -> str | None:
        """Return the key of a file's session, None if it cannot be read."""
        try:
            header = session_file.scan(self.read(name)[0]).header
        except (OSError, NotRegularError):
            return None
        return None if header is None else header.key

    def is_there(self, name: str) -> bool:
        """Tell whether the name stands for anything."""
        try:
            os.stat(name, dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def _look(self, name: str) -> Sequence[Finding]:
        self.behind.discard(name)
        self.wrong.discard(name)
        try:
            held = os.stat(name, dir_fd=self._folder, follow_symlinks=False)
            if not stat.S_ISREG(held.st_mode):
                return [_session_finding(name, "foreign", NOT_A_FILE, _unblocking(name))]
            found = [*self._link_findings(name, held), *access_findings(f"sessions/{name}", held, self._owner)]
            return [*found, *self._file_findings(name, held, is_named=bool(found))]
        except (FileNotFoundError, NotRegularError):
            return []  # gone, or gone while it was opened

    def _link_findings(self, name: str, held: os.stat_result) -> Iterator[Finding]:
        """Yield a finding if a file has other names; its first name in `tmp` does no harm."""
        others = held.st_nlink - 1 - (self._names_in_tmp(held) if held.st_nlink > 1 else 0)
        if others > 0:
            reason = f"its bytes have {others} other name(s), through which an append changes something else"
            yield _session_finding(name, "linked", reason, "copy")

    def _names_in_tmp(self, held: os.stat_result) -> int:
        count = 0
        with contextlib.suppress(OSError), os.scandir(self._tmp) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    count += os.path.samestat(entry.stat(follow_symlinks=False), held)
        return count

    def _file_findings(self, name: str, held: os.stat_result, *, is_named: bool) -> Iterator[Finding]:
        """Yield the findings of a regular file; with `is_named`, an earlier finding already explains a denied read."""
        if not name.endswith(SUFFIX) or held.st_size > SIZE_MAX:
            reason = TOO_LARGE if name.endswith(SUFFIX) else STRANGE_NAME
            yield _session_finding(name, "foreign", reason, _unblocking(name))
            return
        try:
            data, stamp = self.read(name)
        except PermissionError:
            if not is_named:
                yield _session_finding(name, "access", "it may not be read")
        except FileNotFoundError:
            raise
        except OSError as error:
            yield _session_finding(name, "foreign", f"it cannot be read: {os.strerror(error.errno or 0)}")
        else:
            yield from self._content_findings(name, data, stamp)

    def _content_findings(self, name: str, data: bytes, stamp: Stamp) -> Iterator[Finding]:
        row = self._index.row(name) if self._index else None
        found = judged(name, data, stamp, row)
        if hashes := named_in(found, data):
            self.named[name] = hashes
        if self._index is not None:
            verdict = self._index.verdict(name, found, stamp)
            if verdict != "true" and not (isinstance(found, Scan) and found.state in {"torn", "loose"}):
                (self.behind if verdict == "behind" else self.wrong).add(name)
        if isinstance(found, FileProblem):
            yield self._foreign(name, found, data)
            return
        key = found.header.key if found.header else None
        if found.state == "torn":
            reason = ARRIVING if may_be_arriving(data, stamp, row) else found.reason
            yield _session_finding(name, "torn", reason, "mend", key)
        elif found.state == "loose":
            yield _session_finding(name, "loose", found.reason, "rewrite", key)
        elif found.state == "damaged":
            yield _session_finding(name, "damaged", found.reason, key=key)
        yield from (_session_finding(name, "odd", reason, key=key) for reason in _oddities(data, found))

    def _foreign(self, name: str, problem: FileProblem, data: bytes) -> Finding:
        """Return the finding for a file without a session of its name.

        A session under a name made up by its owner gets its own name. Under the name of another key, either may
        be wrong. Its session must not turn up under a key others may read, so it is not renamed.
        """
        if mended := session_file.with_new_header(data, lambda key: file_name(key) == name):
            reason = "its header does not parse, its messages do"
            return _session_finding(name, "foreign", reason, "recover", mended[0])
        if problem.rightful is None or is_file_name(name):
            return _session_finding(name, "foreign", problem.reason, _unblocking(name))
        if self.is_there(problem.rightful):
            return _session_finding(name, "foreign", f"{problem.reason}, which is there")
        return _session_finding(name, "foreign", problem.reason, "rename")

    def read(self, name: str) -> tuple[bytes, Stamp]:
        """Return a file's bytes and its state from before the read; no bytes if the file is too large.

        Raises:
            FileNotFoundError: when there is none.
            NotRegularError: when the name stands for something else than a file.
        """
        fd = self._opened(name)
        try:
            stamp = stamp_of(os.fstat(fd))
            return (read_at(fd, 0, stamp.size) if stamp.size <= SIZE_MAX else b""), stamp
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Keep writers from a file; the locked file is the present one of its name.

        Raises:
            FileNotFoundError, NotRegularError: as `read` says.
            BusyError: when somebody keeps it longer than two seconds.
        """
        deadline = time.monotonic() + _LOCK_WAIT_S
        is_it = False
        while not is_it:
            fd = self._opened(name)
            try:
                flock(fd, deadline)
                is_it = os.path.samestat(os.fstat(fd), os.stat(name, dir_fd=self._folder, follow_symlinks=False))
                if is_it:
                    yield
            finally:
                os.close(fd)

    def _opened(self, name: str) -> int:
        held = os.stat(name, dir_fd=self._folder, follow_symlinks=False)
        if not stat.S_ISREG(held.st_mode):
            raise NotRegularError(name)
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._folder)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise NotRegularError(name)
        return fd


def _session_finding(
    name: str, kind: FindingKind, reason: str, remedy: Remedy = "leave", key: str | None = None
) -> Finding:
    return Finding(file=f"sessions/{name}", kind=kind, reason=reason, remedy=remedy, key=key)


def _unblocking(name: str) -> Remedy:
    """Return the remedy for something in the place of a session: set aside only if a session needs its name."""
    return "set aside" if is_file_name(name) else "leave"


def _oddities(data: bytes, scan: Scan) -> Iterator[str]:
    """Yield the parts of a session no door would accept.

    They are served as they are: only the owner knows their meaning.
    """
    seen: dict[str, int] = {}
    for message in scan.messages:
        if (first := seen.setdefault(message.id, message.seq)) != message.seq:
            yield f"messages {first} and {message.seq} have the same id"
    if b"\\u0000" in data:
        for message in scan.messages:
            with contextlib.suppress(InvalidError):
                checks.encoded_json("message", message)
                continue
            yield f"message {message.seq} has a character NUL"
    for message, start, end in zip(scan.messages, scan.starts, scan.ends, strict=False):
        if end - start > _LINE_BYTES_MAX:
            yield f"message {message.seq} is larger than a message may be"
    try:
        if scan.header is not None:
            _check_header(scan.header)
    except InvalidError as error:
        yield f"{error}"


def _check_header(header: model.Header) -> None:
    if header.title is not None:
        checks.check_title(header.title)
    checks.check_channel(header.channel)
    checks.check_tags(header.tags)
    checks.check_metadata(header.metadata)
