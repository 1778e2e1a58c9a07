"""The attachments of the sessions within reach: their names in messages, and their bytes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from typing import BinaryIO, Final, TypeVar

import msgspec

from chatkeep.core.blobs.blob_names import (
    INLINE_BYTES_MAX,
    BlobName,
    blob_names,
    is_sha256,
    sha256_of,
    with_attachments,
)
from chatkeep.core.bounds import MESSAGE_BYTES_MAX
from chatkeep.core.model import Draft, Message, Session
from chatkeep.disk.short_reads import check_read
from chatkeep.errors import BlobNotFoundError, InvalidError, TooLargeError
from chatkeep.sessions.confinement import Confinement
from chatkeep.store.protocol import OwnStore

PUT_BACK_MAX: Final = 1 << 30  # bytes of attachments, in all messages of one answer
_WRONG: Final = "names an attachment that is not stored within reach: send its bytes"
_M = TypeVar("_M", bound=Draft | Message)


class Attachments:
    """The attachments of a store, confined as the use cases are."""

    def __init__(self, store: OwnStore, reach: Confinement) -> None:
        """Take the store, and the reach of the caller."""
        self._store = store
        self._reach = reach

    def opened(self, sha256: str) -> BinaryIO:
        """Return an open attachment that a session within reach names; the caller closes it.

        Raises:
            BlobNotFoundError: when there is none.
        """
        if not is_sha256(sha256):
            raise BlobNotFoundError
        return self._store.blob(sha256, self._reach.prefix)

    def put(self, source: BinaryIO) -> BlobName | None:
        """Store an attachment for a message to come, as `OwnStore.put_blob` says."""
        return self._store.put_blob(source)

    def checked(self, lines: Sequence[_M]) -> Sequence[_M]:
        """Return messages whose names of attachments are true and within reach.

        Raises:
            InvalidError: when one is not.
            TooLargeError: when a message would be too large with its attachments.
        """
        for line in lines:
            names = blob_names(line)
            encoded = [_encoded_bytes(name) for name in names if name.size_bytes <= INLINE_BYTES_MAX]
            if encoded and len(msgspec.json.encode(line)) + sum(encoded) > MESSAGE_BYTES_MAX:
                raise TooLargeError("message with its attachments", MESSAGE_BYTES_MAX)
            for name in names:
                self._check(name)
        return lines

    def within_reach(self, lines: Sequence[Message]) -> None:
        """Check messages from elsewhere: a confined caller names no attachment of others.

        Raises:
            InvalidError: when it does.
        """
        if self._reach.prefix:
            for line in lines:
                for name in blob_names(line):
                    self._check(name)

    def _check(self, name: BlobName) -> None:
        try:
            with self._store.blob(name.sha256, self._reach.prefix) as file:
                size_bytes = os.fstat(file.fileno()).st_size
        except BlobNotFoundError:
            raise InvalidError("content", _WRONG) from None
        if size_bytes != name.size_bytes:
            raise InvalidError("content", "names an attachment of another size")

    def whole(self, session: Session) -> Session:
        """Return a session with its attachments, as `put_back` does."""
        return msgspec.structs.replace(session, messages=self.put_back(session.messages))

    def put_back(self, lines: Iterable[Message]) -> tuple[Message, ...]:
        """Return messages with their attachments, unless the caller wants their names.

        A name stays for a blob that is missing or damaged, and for one too large to have come in a message.

        Raises:
            TooLargeError: when the attachments have more than 1 GiB in all.
        """
        messages = tuple(lines)
        if not self._reach.puts_back:
            return messages
        named = [blob_names(line) for line in messages]
        if not any(named):
            return messages
        size_bytes = sum(name.size_bytes for names in named for name in names if name.size_bytes <= INLINE_BYTES_MAX)
        check_read(size_bytes)
        found = _Found(self._store)
        return tuple(
            with_attachments(line, found.content) if names else line
            for line, names in zip(messages, named, strict=True)
        )


def _encoded_bytes(name: BlobName) -> int:
    """Return the size of an attachment in its message: base64 has four letters for three bytes."""
    return -(-name.size_bytes // 3) * 4


class _Found:
    """The attachments read for one answer, each once."""

    def __init__(self, store: OwnStore) -> None:
        self._store = store
        self._contents: dict[str, bytes | None] = {}
        self._left = PUT_BACK_MAX

    def content(self, name: BlobName) -> bytes | None:
        """Return the bytes of an attachment, None if there are none to trust."""
        if name.sha256 not in self._contents:
            self._contents[name.sha256] = self._read(name)
        content = self._contents[name.sha256]
        if content is not None:
            self._left -= len(content)
            if self._left < 0:
                raise TooLargeError("answer with its attachments", PUT_BACK_MAX)
        return content

    def _read(self, name: BlobName) -> bytes | None:
        with contextlib.suppress(BlobNotFoundError), self._store.blob(name.sha256) as file:
            content = file.read(INLINE_BYTES_MAX + 1)
            if len(content) == name.size_bytes and sha256_of(content) == name.sha256:
                return content
        return None
