"""The checker itself: it has to find what is planted."""

import msgspec
import pytest

from chatkeep.core.model import Header, Message, Session
from chatkeep.testing import at
from tests.crash.history import History, content_of


def _session(*ids: str) -> Session:
    header = Header(key="a", channel="api", title=None, created_at=at(0))
    messages = tuple(
        Message(seq=seq, role="user", content=content_of(one, 10), sent_at=at(0), id=one)
        for seq, one in enumerate(ids, start=1)
    )
    return Session(header=header, messages=messages)


@pytest.fixture
def history() -> History:
    """A writer that was told of 1, 2 and 3, and was killed over 4."""
    found = History()
    lines = [line for number in "123" for line in (f"try a {number} 10", f"ack a {number}")]
    found.take("w", [*lines, "try a 4 10"])
    return found


@pytest.mark.parametrize("ids", [("1", "2", "3"), ("1", "2", "3", "4")])
def test_faults_none(history: History, ids: tuple[str, ...]) -> None:
    """A message that was not acknowledged may be there or not."""
    assert [] == history.faults(_session(*ids))


@pytest.mark.parametrize(
    "ids,fault",
    [
        (("1", "3"), "lost 2"),
        (("1", "2", "2", "3"), "doubled"),
        (("2", "1", "3"), "order"),
        (("1", "2", "3", "5"), "nobody sent 5"),
    ],
)
def test_faults_planted(history: History, ids: tuple[str, ...], fault: str) -> None:
    """Losses, doubles, disorder and inventions are found."""
    assert any(fault in found for found in history.faults(_session(*ids)))


def test_faults_half_an_append() -> None:
    """An append of several messages of which only some are there is found."""
    history = History()
    history.take("w", ["try a 7.0 10", "try a 7.1 10"])
    assert ["a: half of 7"] == history.faults(_session("7.0"))


def test_faults_altered_content(history: History) -> None:
    """A changed byte is found."""
    session = _session("1", "2", "3")
    altered = msgspec.structs.replace(session.messages[0], content="x" * 10)
    session = msgspec.structs.replace(session, messages=(altered, *session.messages[1:]))
    assert ["a: 1 is altered or misplaced"] == history.faults(session)
