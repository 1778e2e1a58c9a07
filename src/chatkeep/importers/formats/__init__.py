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
from chatkeep.importers.formats.chatbot_ui import ChatbotUiImporter
from chatkeep.importers.formats.chatgpt import ChatGptImporter
from chatkeep.importers.formats.chatkeep import SessionLinesImporter, SessionsImporter
from chatkeep.importers.formats.claude_ai import ClaudeAiImporter
from chatkeep.importers.formats.grip import GripImporter
from chatkeep.importers.formats.librechat import LibreChatImporter
from chatkeep.importers.formats.messengers.discord import DiscordImporter
from chatkeep.importers.formats.messengers.slack import SlackImporter
from chatkeep.importers.formats.messengers.telegram import TelegramImporter
from chatkeep.importers.formats.open_webui import OpenWebUiImporter
from chatkeep.importers.formats.openai import OpenAiImporter
from chatkeep.importers.formats.pocketpaw import PocketPawImporter
from chatkeep.importers.formats.sharegpt import ShareGptImporter
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
    OpenWebUiImporter,
    LibreChatImporter,
    TelegramImporter,
    SlackImporter,
    DiscordImporter,
    ShareGptImporter,
    ChatbotUiImporter,
    OpenAiImporter,
    PocketPawImporter,
    GripImporter,
    SessionLinesImporter,
    SessionsImporter,
)
