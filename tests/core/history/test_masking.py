"""A secret never comes back, however it is written and cut in pieces; everything else does, unchanged."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.history.masking import Mask, MaskedPieces

KEY = 'sk-Aa+b/c"d\\e='
STARS = b"*"
FORMS = [
    KEY.encode(),
    json.dumps(KEY).strip('"').encode(),
    KEY.replace("\\", "\\\\").replace('"', '\\"').replace("/", "\\/").encode(),
    "".join(f"\\u{ord(one):04x}" for one in KEY).encode(),
    "".join(f"\\u{ord(one):04X}" for one in KEY).encode(),
    "".join(f"%{ord(one):02X}" for one in KEY).encode(),
    "".join(f"%{ord(one):02x}" if one in '+/"\\=' else one for one in KEY).encode(),
]


def piecewise(pieces: list[bytes], key: str = KEY) -> tuple[bytes, list[bytes]]:
    """Return what is told in all, and after each piece."""
    masked = MaskedPieces(Mask(key))
    told = [masked.take(piece) for piece in pieces]
    return b"".join([*told, masked.end()]), told


@pytest.mark.parametrize("form", FORMS)
def test_mask_a_secret_in_two_pieces(form: bytes) -> None:
    """Wherever it is cut in two, stars stand in its place, as many as it had bytes."""
    for place in range(len(form) + 1):
        told, _ = piecewise([b"a " + form[:place], form[place:] + b" sk-Aa b"])
        assert told == b"a " + STARS * len(form) + b" sk-Aa b"


@pytest.mark.parametrize("form", FORMS)
def test_mask_a_secret_that_comes_byte_by_byte(form: bytes) -> None:
    """Nothing of it is told before it is known not to be the secret."""
    told, _ = piecewise([bytes((one,)) for one in b"sk-A" + form + b"s" + form])
    assert told == b"sk-A" + STARS * len(form) + b"s" + STARS * len(form)


def test_hold_back_only_what_may_become_the_secret() -> None:
    """What cannot be its beginning is told at once."""
    _, told = piecewise([b"data: a\n\n", b"risk sk", b"sk-Bb ", b"sk-Aa", b"."])
    assert told == [b"data: a\n\n", b"risk ", b"sksk-Bb ", b"", b"sk-Aa."]


@pytest.mark.parametrize("key", ["", "none", "ollama"])
def test_mask_no_word(key: str) -> None:
    """A key that is too short to be a secret would take words out of answers."""
    told, _ = piecewise([b"none of ", b"ollama"], key)
    assert told == b"none of ollama"
    assert "ollama none" == Mask(key).text("ollama none")


def test_mask_all_of_a_value() -> None:
    """Texts and names at any place of JSON are masked, and nothing else is touched."""
    stars = "*" * len(KEY)
    value = {"a": [f"x{KEY}", 1, None, True, {KEY: [KEY]}], "b": "risk"}
    assert {"a": [f"x{stars}", 1, None, True, {stars: [stars]}], "b": "risk"} == Mask(KEY).value(value)


@given(st.lists(st.sampled_from([*FORMS, b"s", b"sk-", b"\\", b"%", b"\\u00", b"a", b"\n", b"%7", b"sk-Aa+b"])))
def test_masking_pieces_is_masking_the_whole(pieces: list[bytes]) -> None:
    """However a text is cut, the same is told of it."""
    told, _ = piecewise(pieces)
    assert told == Mask(KEY).data(b"".join(pieces))
