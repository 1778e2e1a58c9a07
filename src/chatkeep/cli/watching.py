"""The command `watch`: the changes in a workspace, line by line."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from chatkeep.cli import facts, screen
from chatkeep.cli.options import AsJson, PrefixOption, Workspace, existing, workspace_store
from chatkeep.cli.styled import Styled
from chatkeep.core.feed import Change
from chatkeep.core.model import Json
from chatkeep.errors import BusyError
from chatkeep.sessions.sessions import Sessions

_POLL_S = 0.2  # seconds
_STYLES = {"created": "green", "appended": "cyan", "revised": "yellow", "deleted": "red"}


def watch(*, prefix: PrefixOption = "", workspace: Workspace = None, as_json: AsJson = False) -> None:
    """Print every change to a session, by any process, until Ctrl-C."""
    with contextlib.suppress(KeyboardInterrupt), workspace_store(existing(workspace), watch=True) as store:
        for change in _changes(Sessions(store, prefix=prefix)):
            if as_json:
                screen.show_json_line(_fact(change))
            else:
                screen.say(_line(change))


def _changes(sessions: Sessions) -> Iterator[Change]:
    position = sessions.changes(None).position
    screen.complain("Watching; Ctrl-C stops.")
    while True:
        with contextlib.suppress(BusyError):  # another process keeps the index busy; the next poll gets the changes
            answer = sessions.changes(position)
            if not answer.is_known:
                yield Change(position=answer.position, kind="reset")
            yield from answer.changes
            if answer.position != position:
                position = answer.position
                continue
        time.sleep(_POLL_S)


def _fact(change: Change) -> dict[str, Json]:
    return {
        "event": change.kind,
        "key": change.key,
        "first_seq": change.first_seq,
        "last_seq": change.last_seq,
        "session": None if change.summary is None else facts.listed(change.summary),
    }


def _line(change: Change) -> Styled:
    if change.kind == "reset":
        return Styled("What changed meanwhile cannot be told.")
    seqs = "" if change.last_seq is None else f" {change.first_seq}-{change.last_seq}"
    title = "" if change.summary is None else f"  {screen.safe_text(change.summary.title, one_line=True)}"
    kind = Styled(f"{change.kind:8}", _STYLES[change.kind])
    return kind.append(f" {screen.safe_text(change.key, one_line=True)}{seqs}{title}")
