"""A request says things: none of its messages is one of our events, which are kept and not said."""

from __future__ import annotations

import pytest

from chatkeep.core.history.protocols.speaking import ModelProtocol
from chatkeep.model.protocols import PROTOCOLS


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_read_no_message_of_a_request_as_an_event(protocol: ModelProtocol) -> None:
    """A role unknown to the protocol is a user's, and stays beside the message."""
    draft = protocol.draft({"role": "event", "content": "Hi"})
    assert ("user", "Hi") == (draft.role, draft.content)
    assert "event" in str(draft.metadata)
