"""The bytes of attachments: as their own kind, never as a page or a script, in whole or in part."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from typing import Annotated, BinaryIO, Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from chatkeep.core.blobs.blob_names import INLINE_BYTES_MAX, sha256_of
from chatkeep.core.blobs.media_types import TYPE_HEAD_BYTES, media_type
from chatkeep.errors import BlobNotFoundError
from chatkeep.http.gate.binding import InPath
from chatkeep.http.services import Own, PoolsParameter
from chatkeep.sessions.sessions import Sessions
from chatkeep.threads import Threads

ATTACHMENT_POLICY: Final = "default-src 'none'; sandbox; frame-ancestors 'none'"
_CHUNK_BYTES: Final = 1 << 18
_RANGE: Final = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
_OK: Final = 200
_PARTIAL: Final = 206
_UNCHANGED: Final = 304
_UNSATISFIABLE: Final = 416

Sha256 = Annotated[str, InPath(description="The SHA-256 of the attachment, in hex.")]


async def get_blob(request: Request, sessions: Own, threads: PoolsParameter, sha256: Sha256) -> Response:
    """Return the bytes of an attachment that a session visible to the token names, whole or the asked range of them.

    Its first bytes give its type. A browser shows pictures, sounds and films, and saves everything else.
    """
    file = await threads.read(_opened, sessions, sha256)
    tag = f'"{sha256}"'
    size_bytes = os.fstat(file.fileno()).st_size
    headers = {"Cache-Control": "private, no-cache", "ETag": tag, "Accept-Ranges": "bytes"}
    if tag in request.headers.get("if-none-match", ""):
        file.close()
        return Response(status_code=_UNCHANGED, headers=headers)
    kind = media_type(os.pread(file.fileno(), TYPE_HEAD_BYTES, 0))
    headers |= {
        "Content-Security-Policy": ATTACHMENT_POLICY,
        "Content-Disposition": "inline" if kind.is_shown else "attachment",  # no name: the page has the sender's own
    }
    status, start, end = _asked(request.headers.get("range", ""), size_bytes)
    if status == _UNSATISFIABLE:
        file.close()
        return Response(status_code=status, headers={**headers, "Content-Range": f"bytes */{size_bytes}"})
    if status == _PARTIAL:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size_bytes}"
    headers["Content-Length"] = str(end - start)
    return StreamingResponse(_pieces(file, start, end, threads), status, headers, media_type=kind.name)


def _opened(sessions: Sessions, sha256: str) -> BinaryIO:
    """Return an open attachment; one of a size to check at once is checked."""
    file = sessions.attachments.opened(sha256)
    if os.fstat(file.fileno()).st_size <= INLINE_BYTES_MAX:
        content = file.read()
        if sha256_of(content) != sha256:
            file.close()
            raise BlobNotFoundError
    return file


def _asked(given: str, size_bytes: int) -> tuple[int, int, int]:
    """Return the status of the answer, and the first byte of it and the one behind the last.

    Several ranges, or an odd one, count as none. Source: RFC 9110, section 14.
    """
    found = _RANGE.fullmatch(given)
    if found is None or found[0] == "bytes=-":
        return _OK, 0, size_bytes
    if not found[1]:
        start, end = max(0, size_bytes - int(found[2])), size_bytes
    else:
        start = int(found[1])
        end = min(int(found[2]) + 1, size_bytes) if found[2] else size_bytes
        if found[2] and int(found[2]) < start:
            return _OK, 0, size_bytes
    return (_PARTIAL, start, end) if start < end else (_UNSATISFIABLE, 0, 0)


async def _pieces(file: BinaryIO, start: int, end: int, threads: Threads) -> AsyncIterator[bytes]:
    try:
        while start < end:
            piece = await threads.read(os.pread, file.fileno(), min(_CHUNK_BYTES, end - start), start)
            if not piece:
                return  # another program has cut it: the client sees too few bytes
            yield piece
            start += len(piece)
    finally:
        file.close()
