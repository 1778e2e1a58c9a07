"""Commands that look after a workspace: `stats`, `reindex`."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator

from chatkeep import wiring
from chatkeep.cli import screen
from chatkeep.cli.facts import cut_facts
from chatkeep.cli.options import AsJson, Workspace, opened_store, settings
from chatkeep.core.model import Selection, Summary
from chatkeep.core.paging import LIST_LIMIT_MAX
from chatkeep.sessions import Sessions

_LARGEST = 10


def stats(*, workspace: Workspace = None, as_json: AsJson = False) -> None:
    """Show how many sessions and messages there are, where, and how large."""
    chosen = settings(workspace)
    with opened_store(chosen) as store:
        sessions = Sessions(store)
        status = sessions.status()
        largest = heapq.nlargest(_LARGEST, _all(sessions), key=lambda summary: summary.message_count)
    cuts = wiring.cuts_in(chosen.workspace)
    if as_json:
        shown = [{"key": one.header.key, "title": one.title, "message_count": one.message_count} for one in largest]
        screen.show_json(
            {
                "workspace": str(chosen.workspace),
                "status": status,
                "largest": shown,
                "cuts": list(map(cut_facts, cuts)),
            }
        )
        return
    messages = screen.counted(status.message_count, "message")
    screen.say(f"{screen.counted(status.session_count, 'session')}, {messages}, {screen.size(status.size_bytes)}")
    screen.say(f"in {chosen.workspace}")
    if status.problems:
        screen.say(f"{screen.counted(len(status.problems), 'file')} cannot be served; run `chatkeep doctor`.")
    if cuts:
        screen.say(f"Repairs have cut bytes off {screen.counted(len(cuts), 'file')}; `chatkeep doctor` names them.")
    if status.channels:
        screen.say()
        rows = [(name, f"{count:,}") for name, count in sorted(status.channels.items(), key=lambda one: -one[1])]
        screen.show_table(("CHANNEL", "SESSIONS"), rows, numbers=("SESSIONS",))
        screen.say()
        screen.show_table(
            ("LARGEST", "TITLE", "MESSAGES"),
            [(one.header.key, one.title, f"{one.message_count:,}") for one in largest],
            numbers=("MESSAGES",),
        )


def reindex(*, workspace: Workspace = None, as_json: AsJson = False) -> None:
    """Build the index anew from the files. It is never needed; it removes all doubt."""
    began = time.monotonic()
    with opened_store(settings(workspace)) as store:
        with screen.count_bar("Indexing") as on_progress:
            store.reindex(on_progress)
        status = store.status()
    took_s = round(time.monotonic() - began, 2)
    counts = {"session_count": status.session_count, "message_count": status.message_count}
    if as_json:
        screen.show_json({**counts, "seconds": took_s})
        return
    messages = screen.counted(status.message_count, "message")
    screen.say(f"Indexed {screen.counted(status.session_count, 'session')}, {messages}, in {took_s} s.")


def _all(sessions: Sessions) -> Iterator[Summary]:
    cursor = None
    while True:
        page = sessions.list(Selection(archived=None), limit=LIST_LIMIT_MAX, cursor=cursor)
        yield from page.sessions
        cursor = page.next_cursor
        if cursor is None:
            return
