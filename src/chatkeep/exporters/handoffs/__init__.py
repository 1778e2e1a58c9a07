"""Sessions handed to other tools, one module each: a log of the tool's own, for it to resume.

transcript_lines   Claude Code
rollout_lines      Codex
agent_entries      OpenClaw
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from chatkeep.exporters.handoffs.agent_entries import OpenClawHandOff
from chatkeep.exporters.handoffs.handing import Handed, HandOff
from chatkeep.exporters.handoffs.rollout_lines import CodexHandOff
from chatkeep.exporters.handoffs.transcript_lines import ClaudeCodeHandOff

__all__ = ["HAND_OFFS", "HandOff", "Handed"]

HAND_OFFS: Final[Mapping[str, HandOff]] = {
    one.name: one for one in (ClaudeCodeHandOff(), CodexHandOff(), OpenClawHandOff())
}
"""The tools by their names."""
