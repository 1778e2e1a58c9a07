"""Whatever breaks a rule is mended where it stands, with a mark."""

from __future__ import annotations

import pytest

from chatkeep.core.bounds import MESSAGE_BYTES_MAX, METADATA_BYTES_MAX
from chatkeep.core.history.mending import storable
from chatkeep.core.life.message_rules import check_draft
from chatkeep.core.model import Json
from chatkeep.testing import draft


@pytest.mark.parametrize(
    "metadata,kept",
    [
        ({"a": "word " * 60_000, "b": 1}, {"b": 1}),
        ({"a": "word " * (MESSAGE_BYTES_MAX // 5), "b": 1}, {"b": 1}),
        ({"a": {"b": ["word " * 30_000, "word " * 30_000]}, "c": "x"}, {"c": "x"}),
        ({"a": [1] * 90_000 + ["x" * 200_000], "b": 1}, {"b": 1}),
        ({"a": ["xyz"] * 45_000, "b": 1}, {"b": 1}),
        ({f"name {place}": place for place in range(16_000)}, {}),
        ({"a": "word " * 60_000, "reasoning": {"text": "so " * 200_000}}, {"reasoning": {"text": "so " * 200_000}}),
    ],
)
def test_shorten_large_metadata(metadata: dict[str, Json], kept: dict[str, Json]) -> None:
    """Long texts of metadata are cut, else its largest values left out, with their lengths; all else stays."""
    whole = draft("word " * 1000, metadata=metadata)
    mended = storable(whole)
    check_draft(mended)
    assert whole.content == mended.content
    assert mended.metadata is not None
    assert kept.items() <= mended.metadata.items()
    assert ["shortened"] == mended.metadata["altered"]
    changed = {name: value for name, value in mended.metadata.items() if metadata.get(name) != value}
    assert any(mark in str(changed) for mark in ("[cut: ", "[left out: "))
    assert mended == storable(mended) == storable(whole)


def test_leave_metadata_that_fits() -> None:
    """Metadata at its bound stays as it is."""
    whole = draft("x", metadata={"a": "x" * (METADATA_BYTES_MAX - len('{"a":""}'))})
    assert whole == storable(whole)
