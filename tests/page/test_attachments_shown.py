"""Attachments that the server keeps beside the messages: pictures are shown, files can be saved."""

from __future__ import annotations

import os
import struct
import zlib
from base64 import b64encode
from pathlib import Path

import pytest
from playwright.sync_api import expect

from chatkeep.core.model import Draft
from tests.http.conftest import Server
from tests.page.conftest import Seen, Visit, store, until
from tests.page.test_flows import link

SIDE = 64  # pixels


@pytest.fixture(autouse=True)
def _quiet(seen: Seen) -> object:
    """After each test: nothing was asked of others, nothing ran that should not, nothing failed."""
    yield
    assert Seen() == seen


def picture() -> bytes:
    """Return a PNG file of noise, so that it does not shrink."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + os.urandom(3 * SIDE) for _ in range(SIDE))
    head = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_show_a_picture_and_save_a_file(server: Server, visit: Visit) -> None:
    """A picture kept apart is loaded from this server, and a file beside it is saved as it came."""
    notes = os.urandom(5000)
    source = {"type": "base64", "media_type": "image/png", "data": b64encode(picture()).decode()}
    file = {"filename": "notes.pdf", "file_data": f"data:application/pdf;base64,{b64encode(notes).decode()}"}
    content = [{"type": "image", "source": source}, {"type": "file", "file": file}]
    store(server, "page:blobs", [Draft(role="user", content=content)])
    page = visit(link("page:blobs"))
    shown = page.locator("img.picture")
    expect(shown).to_be_visible()
    assert until(lambda: SIDE == shown.evaluate("one => one.naturalWidth"))
    with page.expect_download() as saved:
        page.locator(".attachment a").click()
    assert ("notes.pdf", notes) == (saved.value.suggested_filename, Path(saved.value.path()).read_bytes())
