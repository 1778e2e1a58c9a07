"""Coverage of a few modules by their own tests, measured within a run of the tests.

`CHATKEEP_COVERAGE=1` switches it on. The coverage of all other tests would be slow to measure, and would say little:
a branch counts here only where a test of that module takes it.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from importlib import import_module
from pathlib import Path
from typing import Final

import pytest
from coverage import Coverage

FILES: Final = tuple(
    Path(__file__).parents[1] / name
    for name in (
        "store/files/tree/test_format.py",
        "store/files/tree/test_tree.py",
        "store/files/tree/test_outside.py",
        "store/files/tree/test_trash.py",
        "store/files/writing/test_erasure.py",
        "store/files/test_store.py",
        "store/files/test_refusing_disk.py",
        "crash/test_hostile_folder.py",
        "http/gate/test_guard.py",
    )
)
"""The tests to measure. The measured modules stand in pyproject.toml."""
_MODULES: Final = (
    "chatkeep.store.files.tree.format",
    "chatkeep.store.files.tree.held",
    "chatkeep.store.files.tree.tree",
    "chatkeep.http.gate.guard",
)


class Covering:
    """A plugin to measure while one of the files runs."""

    def __init__(self) -> None:
        """Begin with the lines that run when the modules are imported."""
        self._coverage = Coverage(data_suffix=True)
        self._coverage.start()
        for name in _MODULES:
            import_module(name)
        self._coverage.stop()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Measure a test of the files, with its fixtures."""
        if item.path not in FILES:
            return (yield)
        self._coverage.start()
        try:
            return (yield)
        finally:
            self._coverage.stop()

    def pytest_sessionfinish(self) -> None:
        """Write the data of this process; `coverage combine` joins those of all."""
        self._coverage.save()


_COVERING: Final = Covering() if os.environ.get("CHATKEEP_COVERAGE") else None  # before any test imports a module


def pytest_configure(config: pytest.Config) -> None:
    """Measure if asked to."""
    if _COVERING is not None:
        config.pluginmanager.register(_COVERING)
