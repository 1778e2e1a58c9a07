"""No bytes make a parser fail in a way that it does not document: the seeds, their mutations, and what was found."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS, Target

FOUND = Path(__file__).parent / "found"


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_read_seeds(target: Target) -> None:
    """What a fuzzer begins with passes, so that it looks beyond."""
    for seed in target.seeds:
        target.read(seed)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_read_mutations(target: Target, data: st.DataObject) -> None:
    """A seed that is cut, changed at a place, or has bytes put in, is read or refused as documented."""
    seed = data.draw(st.sampled_from(target.seeds))
    start = data.draw(st.integers(0, len(seed)))
    end = data.draw(st.integers(start, min(len(seed), start + 64)))
    target.read(seed[:start] + data.draw(st.binary(max_size=64)) + seed[end:])


@pytest.mark.parametrize("found", sorted(FOUND.glob("*")), ids=lambda path: path.name)
def test_read_findings(found: Path) -> None:
    """What a fuzzer once found stays mended; the file's name begins with that of its target."""
    [target] = [target for target in TARGETS if found.name.startswith(f"{target.name}--")]
    target.read(found.read_bytes())
