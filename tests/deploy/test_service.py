"""The unit of systemd: it parses, it confines the server, and leaves it what it needs."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from chatkeep.config import settings_from

UNIT = Path(__file__).parents[2] / "deploy" / "chatkeep.service"
ANALYZE = shutil.which("systemd-analyze") or "systemd-analyze is missing"
EXPOSURE_MAX = 15  # tenths; systemd calls less than 20 OK


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """Return the unit with a program that exists here."""
    path = tmp_path / "chatkeep.service"
    text = UNIT.read_text("utf-8")
    assert "ExecStart=/opt/chatkeep/bin/chatkeep serve\n" in text
    path.write_text(text.replace("/opt/chatkeep/bin/chatkeep", sys.executable), "utf-8")
    return path


def test_unit_is_understood(unit: Path) -> None:
    """Each word of it is one that systemd knows."""
    done = subprocess.run([ANALYZE, "verify", unit], capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)


def test_unit_confines_the_server(unit: Path) -> None:
    """By systemd's own measure it is hardly exposed."""
    command = [ANALYZE, "security", "--offline=yes", f"--threshold={EXPOSURE_MAX}", "--no-pager", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout


def test_unit_names_the_workspace_that_systemd_makes() -> None:
    """The state folder is closed to others and is what the server opens."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(UNIT.read_text("utf-8"))
    service = parser["Service"]
    name, _, value = service["Environment"].partition("=")
    assert Path("/var/lib") / service["StateDirectory"] == settings_from({}, {name: value}).workspace
    assert ("0700", "0077") == (service["StateDirectoryMode"], service["UMask"])
    assert "root" != service["User"]
