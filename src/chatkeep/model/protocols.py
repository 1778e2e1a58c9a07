"""The protocols of models' servers that Chatkeep records, by name. A new protocol is one module and one line here."""

from __future__ import annotations

from typing import Final

from chatkeep.core.history.protocols.anthropic import MESSAGES
from chatkeep.core.history.protocols.chat_completions import COMPLETIONS
from chatkeep.core.history.protocols.gemini import GEMINI
from chatkeep.core.history.protocols.item_folding import RESPONSES
from chatkeep.core.history.protocols.speaking import ModelProtocol

PROTOCOLS: Final[dict[str, ModelProtocol]] = {
    protocol.name: protocol for protocol in (COMPLETIONS, MESSAGES, RESPONSES, GEMINI)
}
