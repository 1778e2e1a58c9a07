"""The importers, one module per format, and the list of them. No other module knows a format.

The first importer in the list that recognises a source reads it, so the general ones stand last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from chatkeep.importers.formats.agents.claude_code import ClaudeCodeImporter
from chatkeep.importers.formats.agents.codex import CodexImporter
from chatkeep.importers.formats.agents.gemini_cli import GeminiCliImporter
from chatkeep.importers.formats.agents.hermes import HermesImporter
from chatkeep.importers.formats.agents.llm import LlmImporter
from chatkeep.importers.formats.agents.nanobot import NanobotImporter
from chatkeep.importers.formats.agents.openclaw import OpenClawImporter
from chatkeep.importers.formats.agents.opencode import OpenCodeImporter
from chatkeep.importers.formats.chatgpt import ChatGptImporter
from chatkeep.importers.formats.chatkeep import SessionLinesImporter, SessionsImporter
from chatkeep.importers.formats.claude_ai import ClaudeAiImporter
from chatkeep.importers.formats.grip import GripImporter
from chatkeep.importers.formats.pocketpaw import PocketPawImporter
from chatkeep.importers.importer import Importer

IMPORTERS: Final[tuple[Callable[[], Importer], ...]] = (
    ChatGptImporter,
    ClaudeAiImporter,
    ClaudeCodeImporter,
    CodexImporter,
    OpenClawImporter,
    GeminiCliImporter,
    NanobotImporter,
    OpenCodeImporter,
    LlmImporter,
    HermesImporter,
    PocketPawImporter,
    GripImporter,
    SessionLinesImporter,
    SessionsImporter,
)
