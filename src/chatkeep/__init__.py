"""Chatkeep keeps the conversations of AI agents: plain JSON files, durable appends, real search."""

__version__ = "0.1.0"
