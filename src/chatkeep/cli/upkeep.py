"""Commands that look after a workspace: `stats`, `doctor`, `reindex`."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import typer

from chatkeep import wire, wiring
from chatkeep.cli import screen
from chatkeep.cli.options import AsJson, Workspace, opened_store, settings
from chatkeep.core.model import Json, Selection, Summary
from chatkeep.core.paging import LIST_LIMIT_MAX
from chatkeep.errors import SessionDamagedError, StorageError
from chatkeep.sessions import Sessions

_LARGEST = 10
_ADVICE = {
    "torn": "The next append mends it; nothing acknowledged is lost.",
    "loose": "It is served as it is; the next append brings it into form.",
    "damaged": "It is read-only and never overwritten: put a backup copy in its place, or delete the session.",
    "foreign": "It is not served: move it out of the folder `sessions`.",
    "tokens": "No token is accepted: mend or remove the file, then `chatkeep token create`.",
}
_HARMLESS = frozenset(("torn", "loose"))


def stats(*, workspace: Workspace = None, as_json: AsJson = False) -> None:
    """Show how many sessions and messages there are, where, and how large."""
    chosen = settings(workspace)
    with opened_store(chosen) as store:
        sessions = Sessions(store)
        status = sessions.status()
        cuts = wiring.cuts_of(store)
        largest = heapq.nlargest(_LARGEST, _all(sessions), key=lambda summary: summary.message_count)
    if as_json:
        shown = [{"key": one.header.key, "title": one.title, "message_count": one.message_count} for one in largest]
        screen.show_json(
            {
                "workspace": str(chosen.workspace),
                "status": status,
                "largest": shown,
                "cuts": list(map(_cut_facts, cuts)),
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


def doctor(*, workspace: Workspace = None, as_json: AsJson = False) -> None:
    """Read every file through and name each that is damaged or foreign, and what to do; nothing is changed."""
    chosen = settings(workspace)
    with opened_store(chosen) as store:
        findings = [(one.file, one.key, str(one.kind), one.reason) for one in store.check()]
        cuts = wiring.cuts_of(store)
    try:
        wiring.token_file(chosen.workspace).all()
    except StorageError as error:
        findings.append(("tokens.json", None, "tokens", str(error)))
    bad = [kind for _, _, kind, _ in findings if kind not in _HARMLESS]
    if as_json:
        names = ("file", "key", "kind", "reason", "advice")
        shown = [dict(zip(names, (*finding, _ADVICE[finding[2]]), strict=True)) for finding in findings]
        screen.show_json({"findings": shown, "cuts": list(map(_cut_facts, cuts))})
    else:
        for file, key, kind, reason in findings:
            screen.say(screen.styled(f"{file}{f' ({key})' if key else ''}", "bold"))
            screen.say(screen.styled(f"  {kind}: {reason}\n  {_ADVICE[kind]}", ""))
        screen.say(
            f"{screen.counted(len(bad), 'file')} {'needs' if len(bad) == 1 else 'need'} care."
            if bad
            else "All files are well."
        )
        _show_cuts(cuts, chosen.workspace)
    if bad:
        raise typer.Exit(wire.exit_code_of(SessionDamagedError))


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


def _show_cuts(cuts: Sequence[wiring.Cuts], workspace: Path) -> None:
    if cuts:
        screen.say(f"Repairs have cut off what was not stored whole; it is kept in {workspace / 'quarantine'}:")
    for cut in cuts:
        key = f" ({screen.visible(cut.key, one_line=True)})" if cut.key else ""
        screen.say(f"  {screen.counted(len(cut.names), 'cut')} of {screen.visible(cut.file, one_line=True)}{key}")


def _cut_facts(cuts: wiring.Cuts) -> dict[str, Json]:
    return {
        "file": cuts.file,
        "key": cuts.key,
        "count": len(cuts.names),
        "names": [f"quarantine/{n}" for n in cuts.names],
    }


def _all(sessions: Sessions) -> Iterator[Summary]:
    cursor = None
    while True:
        page = sessions.list(Selection(archived=None), limit=LIST_LIMIT_MAX, cursor=cursor)
        yield from page.sessions
        cursor = page.next_cursor
        if cursor is None:
            return
