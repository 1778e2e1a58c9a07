"""What all tests share."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

pytest.register_assert_rewrite("chatkeep.testing", "tests.crash.scorecard")
pytest_plugins = ["tests.crash.scorecard", "pytester"]

settings.register_profile("ci", derandomize=True)  # what lands was run; machines of people look for more
if os.environ.get("CI"):
    settings.load_profile("ci")
