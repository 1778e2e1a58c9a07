"""Fixtures of the command line, for what webhooks do there."""

from __future__ import annotations

from tests.cli.conftest import run, workspace

__all__ = ["run", "workspace"]
