"""OpenAI's Chat Completions as a protocol: `completions` reads requests, `folding` folds answers."""

from __future__ import annotations

from typing import Final

from chatkeep.core.history.completions import END, draft_of_completion
from chatkeep.core.history.folding import ModelAnswer
from chatkeep.core.history.protocols.speaking import ModelProtocol

COMPLETIONS: Final = ModelProtocol(
    name="completions",
    prefix="openai:",
    path="chat/completions",
    items="messages",
    opening=lambda _: [],
    draft=draft_of_completion,
    asker=lambda request: str(request.get("user")),
    answer=ModelAnswer,
    text_field=b"content",
    last_lines=(b"data:" + END,),
    missing_end="a finish reason and without [DONE]",
)
"""OpenAI's Chat Completions, and all that is sent under its name."""
