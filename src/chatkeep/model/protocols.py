"""The protocols of models' servers that Chatkeep records, by name. A new protocol is one module and one line here."""

from __future__ import annotations

from typing import Final

from chatkeep.core.history.folding import COMPLETIONS
from chatkeep.core.history.protocol import ModelProtocol

PROTOCOLS: Final[dict[str, ModelProtocol]] = {protocol.name: protocol for protocol in (COMPLETIONS,)}
