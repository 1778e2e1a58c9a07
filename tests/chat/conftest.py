"""A model server for the tests of chat."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chat.upstream import Upstream


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """A model server of one test's own."""
    with Upstream() as upstream:
        yield upstream
