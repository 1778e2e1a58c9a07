"""Both clients are one: what the one says and does, the other does, awaited."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from chatkeep.client import AsyncClient, Client
from chatkeep.client.async_connection import AsyncConnection
from chatkeep.client.async_session_log import AsyncSessionLog
from chatkeep.client.sync_connection import Connection
from chatkeep.client.sync_session_log import SessionLog

ROOT = Path(__file__).parents[2]
TWINS = [(Client, AsyncClient), (SessionLog, AsyncSessionLog), (Connection, AsyncConnection)]
_AWAITED = {"AsyncGenerator": "Generator", "AsyncClient": "Client", "__aenter__": "__enter__", "__aexit__": "__exit__"}


def waiting(text: str) -> str:
    """Return what a text about what is awaited says of its twin."""
    for word, twin in _AWAITED.items():
        text = text.replace(word, twin)
    return re.sub(r"<function .+? at \w+>", "a function", text)


def verbs(kind: type) -> list[str]:
    """Return the names of what a class defines, as its twin would have them."""
    return [waiting(name) for name, value in vars(kind).items() if callable(value)]


@pytest.mark.parametrize("one,other", TWINS)
def test_twins_have_the_same_verbs(one: type, other: type) -> None:
    """No verb is missing in either, and they stand in one order."""
    assert verbs(one) == verbs(other)
    assert len(verbs(one)) > 4


@pytest.mark.parametrize(
    "verb,one,other", [(verb, one, other) for one, other in TWINS for verb in vars(one) if verb[0] != "_"]
)
def test_twins_say_the_same(verb: str, one: type, other: type) -> None:
    """A verb has one signature and one docstring."""
    sync, awaited = getattr(one, verb), getattr(other, verb)
    assert waiting(str(inspect.signature(awaited))) == waiting(str(inspect.signature(sync)))
    assert waiting(awaited.__doc__) == sync.__doc__
    assert inspect.iscoroutinefunction(awaited) or inspect.isasyncgenfunction(awaited)
    assert not inspect.iscoroutinefunction(sync)
    assert not inspect.isasyncgenfunction(sync)


def test_twins_are_made_from_one_source() -> None:
    """What is made is what the source makes today."""
    command = [sys.executable, str(ROOT / "tools" / "sync_client.py"), "--check"]
    assert (0, b"") == ((done := subprocess.run(command, capture_output=True, check=False)).returncode, done.stderr)
