"""Values out of a stream: a text too long to keep is cut, wherever the stream ends, and its neighbours stay whole."""

from __future__ import annotations

import io
import json

import pytest

from chatkeep.core.scanning import Scanner

BYTES_MAX = 300_000  # a text may have a third of it, more than is read at once
TEXT_MAX = BYTES_MAX // 3


@pytest.mark.parametrize("letter", ["z", "é", "漢", '\\"', "\\u00e9"])
@pytest.mark.parametrize("behind", [b"]", b"]" + b" " * (1 << 17)])
def test_cut_a_text_near_its_bound(letter: str, behind: bytes) -> None:
    """A text about as long as its bound is whole, or cut with its length told, and what follows it is read."""
    for size in range(TEXT_MAX - 30, TEXT_MAX + 200, 37):
        count = size // len(letter.encode()) + 1
        stream = io.BytesIO(b'["first","%b",{"last":1}%b' % (letter.encode() * count, behind))
        scanner = Scanner(stream, bytes_max=BYTES_MAX)
        first, text, last = json.loads(scanner.value())
        expected = json.loads(f'"{letter * count}"')
        cuts = [(one.kept, one.count) for one in scanner.cuts]
        assert ("first", {"last": 1}) == (first, last)
        if not cuts:
            assert expected == text
        else:
            ((kept, whole),) = cuts
            assert whole == count
            assert f"{expected[:kept]} [cut: {kept} of {whole} characters]" == text
