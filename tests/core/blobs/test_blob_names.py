"""Attachments and names: what is an attachment, and that the very message comes back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.blobs.blob_names import (
    SPELLINGS,
    Attachment,
    blob_name,
    blob_names,
    sha256_of,
    with_attachments,
    without_attachments,
)
from chatkeep.core.blobs.media_types import UNKNOWN, media_type
from chatkeep.core.model import Draft

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8
BASE64 = SPELLINGS["base64"](PICTURE)


def lean_of(content: list[Any], bytes_min: int = 1) -> tuple[Draft, dict[str, bytes]]:
    """Return the message without its attachments, and these."""
    kept: dict[str, bytes] = {}

    def keep(found: Attachment) -> None:
        kept[found.name.sha256] = found.content

    return without_attachments(Draft(role="user", content=content), bytes_min, keep), kept


@given(st.binary(min_size=1, max_size=400), st.sampled_from([*SPELLINGS]), st.sampled_from(["", "data:a/b;base64,"]))
def test_put_back_gives_the_very_string(content: bytes, spelling: str, head: str) -> None:
    """Whatever the spelling, a message with its attachments put back is the one that came."""
    part = {"type": "image", "source": {"data": head + SPELLINGS[spelling](content)}, "detail": "high"}
    lean, kept = lean_of([{"type": "text", "text": "look"}, part])
    assert [content] == [*kept.values()]
    assert [sha256_of(content)] == [name.sha256 for name in blob_names(lean)]
    back = with_attachments(lean, lambda name: kept[name.sha256])
    assert Draft(role="user", content=[{"type": "text", "text": "look"}, part]) == back


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{BASE64}"}},
        {"type": "input_image", "image_url": f"data:image/png;base64,{BASE64}"},
        {"type": "input_audio", "input_audio": {"data": BASE64, "format": "wav"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": BASE64}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": BASE64}},
        {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "image", "source": {"data": BASE64}}]},
        {"inlineData": {"mimeType": "image/png", "data": BASE64}},
        {"type": "image_generation_call", "result": BASE64},
        {"type": "file", "url": f"data:image/png;base64,{BASE64}", "mediaType": "image/png"},
    ],
)
def test_attachments_are_found_in_the_parts_of_every_protocol(part: dict[str, Any]) -> None:
    """Each protocol has its own place for the bytes of a picture, a sound or a file."""
    lean, kept = lean_of([part])
    assert [PICTURE] == [*kept.values()]
    assert [part] == with_attachments(lean, lambda name: kept[name.sha256]).content


@pytest.mark.parametrize(
    "part",
    [
        {"type": "text", "text": BASE64},
        {"type": "reasoning", "encrypted_content": BASE64},
        {"type": "thinking", "thinking": BASE64, "signature": BASE64},
        {"type": "redacted_thinking", "data": BASE64},
        {"type": "image_url", "image_url": {"url": "https://example.com/picture.png"}},
        {"type": "image_url", "image_url": {"url": "data:image/svg+xml,%3Csvg%3E"}},
        {"type": "image", "source": {"data": BASE64[:-4] + "===="}},
        {"type": "custom", "data": "words, not bytes " * 200},
    ],
)
def test_text_and_secrets_of_models_stay(part: dict[str, Any]) -> None:
    """Words are for searches, and what a model's server signed is no attachment."""
    lean, kept = lean_of([part])
    assert ([part], {}) == (lean.content, kept)


def test_small_attachments_stay() -> None:
    """An attachment below the size stays in its message, which is the very same object."""
    draft = Draft(role="user", content=[{"type": "image", "source": {"data": BASE64}}])
    assert draft is without_attachments(draft, len(PICTURE) + 1, lambda _: None)
    assert draft is not without_attachments(draft, len(PICTURE), lambda _: None)


def test_says_the_same_whether_attachments_are_kept_apart() -> None:
    """A repeated message is known again, whatever the size was when it was stored."""
    whole = Draft(role="user", content=[{"type": "image", "source": {"data": BASE64}}])
    lean, _ = lean_of([{"type": "image", "source": {"data": BASE64}}])
    other = Draft(role="user", content=[{"type": "image", "source": {"data": SPELLINGS["base64"](b"other")}}])
    assert (True, False) == (whole.says_the_same(lean), other.says_the_same(lean))


@pytest.mark.parametrize(
    "text",
    [
        "chatkeep-blob:",
        f"chatkeep-blob:{'a' * 63};1;base64;",
        f"chatkeep-blob:{'a' * 64};1;base16;",
        f"chatkeep-blob:{'a' * 64};1;base64;javascript:",
        f" chatkeep-blob:{'a' * 64};1;base64;",
    ],
)
def test_odd_names_are_words(text: str) -> None:
    """A text that is not wholly a name is none."""
    assert blob_name(text) is None


@pytest.mark.parametrize(
    "head, name, is_shown",
    [
        (b"\x89PNG\r\n\x1a\n....", "image/png", True),
        (b"\xff\xd8\xff\xe0", "image/jpeg", True),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp", True),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "audio/wav", True),
        (b"\x00\x00\x00\x20ftypisom", "video/mp4", True),
        (b"%PDF-1.7", "application/pdf", False),
        (b"<svg onload=alert(1)>", UNKNOWN.name, False),
        (b"<!doctype html><script>", UNKNOWN.name, False),
        (b"", UNKNOWN.name, False),
    ],
)
def test_media_type_comes_from_the_bytes(head: bytes, name: str, is_shown: bool) -> None:  # noqa: FBT001 - expected
    """What a browser may run has no type here."""
    assert (name, is_shown) == (media_type(head).name, media_type(head).is_shown)
