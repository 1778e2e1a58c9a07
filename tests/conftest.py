"""What all tests share."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("chatkeep.testing", "tests.crash.scorecard")
pytest_plugins = ["tests.crash.scorecard", "tests.house.covering", "tests.store.postgres.cluster", "pytester"]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A job in the background of a script ignores it, and so would every program that tests start to interrupt
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No test fails because its machine is slow. What lands was run as it is; machines of people look for more.
settings.register_profile("any", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("any"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "any")
