"""What all tests share."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import settings

pytest.register_assert_rewrite("chatkeep.testing", "tests.crash.scorecard")
pytest_plugins = ["tests.crash.scorecard", "pytester"]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A job in the background of a script ignores it, and so would every program that tests start to interrupt
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("ci", derandomize=True)  # what lands was run; machines of people look for more
if os.environ.get("CI"):
    settings.load_profile("ci")
