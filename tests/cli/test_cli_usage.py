"""Tokens and their cost on the command line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from chatkeep.sessions.sessions import Sessions
from chatkeep.store.files.store import FilesStore
from chatkeep.testing import draft

if TYPE_CHECKING:
    from tests.cli.conftest import Run

USAGE = {"prompt_tokens": 1_000_000, "completion_tokens": 2000, "prompt_tokens_details": {"cached_tokens": 400_000}}


def furnish(workspace: Path) -> None:
    """Store an answer with a known price, one of an unknown model, and one without tokens."""
    store = FilesStore.open(workspace)
    metadata = (
        {"model": "gpt-4o", "usage": USAGE},
        {"model": "my-own", "usage": {"input": 7, "output": 3}},
        {"model": "gpt-4o"},
    )
    said = [draft("Hi", 86_400 * n, role="assistant", metadata=one) for n, one in enumerate(metadata)]
    Sessions(store).append("cli:a", [draft("Hello"), *said])
    store.close()


def test_show_usage(run: Run, workspace: Path) -> None:
    """Tables say the tokens and the cost of each group, and what of them is unknown."""
    furnish(workspace)
    shown = run("usage", "--by", "model").out
    assert re.search(r"^MODEL +ANSWERS +INPUT +CACHED +OUTPUT +REASONING +COST$", shown, re.MULTILINE)
    assert re.search(r"^gpt-4o +2 +1,000,000 +400,000 +2,000 +0 +\$2\.02 or more$", shown, re.MULTILINE)
    assert re.search(r"^my-own +1 +7 +0 +3 +0 +unknown$", shown, re.MULTILINE)
    assert re.search(r"^in all +3 +1,000,007 .*\$2\.02 or more$", shown, re.MULTILINE)
    assert "The server told no tokens for 1 answer." in shown
    assert "The cost of 2 answers is unknown." in shown
    assert re.search(r"^2024-01-16 +1 +7 ", run("usage").out, re.MULTILINE)
    assert re.search(r"^cli:a +Hello +3 ", run("usage", "--by", "session").out, re.MULTILINE)
    assert re.search(r"^\(no tag\) +3 ", run("usage", "--by", "tag").out, re.MULTILINE)


def test_print_usage_for_programs(run: Run, workspace: Path) -> None:
    """JSON has every figure, and null for a cost that nobody knows."""
    furnish(workspace)
    found = run("usage", "--by", "model", "--json").json
    assert [("gpt-4o", 2.02), ("my-own", None)] == [(one["name"], one["cost_usd"]) for one in found["rows"]]
    assert (3, 1, 2) == tuple(found["total"][f"{name}_count"] for name in ("call", "uncounted", "unpriced"))
    assert found["prices"].startswith("genai-prices ")
    chosen = run("usage", "--since", "2024-01-16", "--until", "2024-01-16", "--session", "cli:a", "--json").json
    assert ["2024-01-16"] == [one["name"] for one in chosen["rows"]]
    assert 2 == run("usage", "-n", "1", "--json").json["row_count"] - len(
        run("usage", "-n", "1", "--json").json["rows"]
    )


def test_usage_says_what_to_do(run: Run, workspace: Path) -> None:
    """Wrong options, a missing session and a store without answers each have their sentence."""
    furnish(workspace)
    assert "must be one of day, model, channel, session, tag" in run("usage", "--by", "week", code=2).err
    assert "1 to 1000" in run("usage", "-n", "0", code=2).err
    assert (
        "must not be later than --until" in run("usage", "--since", "2024-02-01", "--until", "2024-01-01", code=2).err
    )
    assert "cli:b" in run("usage", "--session", "cli:b", code=3).err
    assert "No answers of models are stored" in run("usage", "--channel", "fax").out
