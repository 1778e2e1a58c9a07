"""The formats, one module each. A new one is a module, and a line here.

documents        our own: a document, a line for each session, and an archive of documents
transcripts      a transcript in Markdown, for people
printed_page     the same as one page for browsers and printers
chat_messages    messages of OpenAI's Chat Completions
response_inputs  items of OpenAI's Responses
message_blocks   Anthropic's messages
ui_messages      messages of the AI SDK's user interfaces
"""

from __future__ import annotations

from typing import Final

from chatkeep.exporters.exporter import Exporter
from chatkeep.exporters.formats.chat_messages import OpenAIExporter
from chatkeep.exporters.formats.documents import ArchiveExporter, DocumentExporter, LinesExporter
from chatkeep.exporters.formats.message_blocks import AnthropicExporter
from chatkeep.exporters.formats.printed_page import PageExporter
from chatkeep.exporters.formats.response_inputs import ResponsesExporter
from chatkeep.exporters.formats.transcripts import MarkdownExporter
from chatkeep.exporters.formats.ui_messages import UiMessagesExporter

EXPORTERS: Final[tuple[Exporter, ...]] = (
    DocumentExporter(),
    LinesExporter(),
    ArchiveExporter(),
    MarkdownExporter(),
    PageExporter(),
    OpenAIExporter(),
    ResponsesExporter(),
    AnthropicExporter(),
    UiMessagesExporter(),
)
"""The exporters, the default first."""
