"""The command `doctor`: the problems of a workspace, and their remedies."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from chatkeep import wiring
from chatkeep.cli import screen
from chatkeep.cli.facts import cut_facts
from chatkeep.cli.interrupts import stoppable
from chatkeep.cli.options import AsJson, Workspace, check_existing, named
from chatkeep.cli.styled import Styled
from chatkeep.config import place_from
from chatkeep.core.model import Json
from chatkeep.errors import SessionDamagedError
from chatkeep.store.admin import Admin, Finding, Outcome
from chatkeep.wire.answers import exit_code_of

_REMEDIES = {
    "mend": "cuts it back to its whole messages and keeps what is cut; so does the next append",
    "rewrite": "brings it into form and keeps the file as it was; the next append brings it into form too",
    "recover": "gives it a header with what can be read of it, and keeps the file as it was",
    "rename": "gives it the name that its session has to have",
    "set aside": "moves it to the folder `quarantine`",
    "protect": "gives it to the owner of the workspace alone",
    "copy": "copies it to a file of its own; the other names keep the old one",
    "rebuild": "keeps it aside and builds it anew from the files",
    "update": "brings it up to date; so does every other command",
}
_ADVICE = {
    "damaged": "It is read-only and never overwritten: put a backup copy in its place, or delete the session.",
    "foreign": "It is not served: move it away, or put a backup copy in its place.",
    "odd": "It is served as it is: only its owner knows what was meant.",
    "access": "Give it to the owner of the workspace alone.",
    "busy": "Look again; if it stays so, a program hangs that has the file open.",
    "blob": "The messages that name it are whole without it: put a backup copy in its place.",
    "unnamed": "It does no harm: move it away, unless a message with it is on its way.",
    "stray": "It does no harm: move it away if nobody needs it.",
    "pages": "No browser is signed in: mend or remove the file, and browsers sign in again.",
    "people": "No session is found by person: mend or remove the file, and link the sessions again.",
    "deletions": "An import may bring back what was deleted: look at the file, or move it away.",
    "tokens": "No token is accepted: mend or remove the file, then `chatkeep token create`.",
}
_UNKNOWN = "Rendering at it; nothing is done about it here."


def doctor(
    *,
    fix: Annotated[bool, typer.Option("--fix", help="Put right what can be; no byte is deleted.")] = False,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Check every file and list each problem with its remedy; nothing changes without --fix."""
    chosen = place_from(workspace, os.environ)
    check_existing(chosen)
    with named(chosen.place), screen.count_bar("Reading") as on_progress:
        if fix:
            with stoppable(lambda: "what was put right stays so; `chatkeep doctor --fix` goes on."):
                outcomes: Sequence[Outcome] = wiring.fixed_workspace(chosen, on_progress)
        else:
            outcomes = [Outcome(finding=one) for one in wiring.findings_in(chosen, on_progress)]
    bad = [outcome for outcome in outcomes if outcome.finding.needs_care and outcome.done is None]
    admin = wiring.admin_for(chosen)
    if as_json:
        screen.show_json(
            {
                "findings": list(map(_facts, outcomes)),
                "need_care": len(bad),
                "cuts": list(map(cut_facts, admin.cuts())),
                "set_aside": [f"quarantine/{name}" for name in admin.set_aside()],
            }
        )
    else:
        for outcome in outcomes:
            _tell(outcome)
        _tell_sum(outcomes, bad)
        _tell_kept(admin, Path(chosen.place) / "quarantine")
    if bad:
        raise typer.Exit(exit_code_of(SessionDamagedError))


def _facts(outcome: Outcome) -> dict[str, Json]:
    finding = outcome.finding
    return {
        "file": finding.file,
        "key": finding.key,
        "kind": finding.kind,
        "reason": finding.reason,
        "needs_care": finding.needs_care,
        "remedy": finding.remedy,
        "advice": _advice(finding),
        "done": outcome.done,
        "hindrance": outcome.hindrance,
    }


def _advice(finding: Finding) -> str:
    if finding.remedy == "leave":
        return _ADVICE.get(finding.kind, _UNKNOWN)
    return f"`chatkeep doctor --fix` {_REMEDIES[finding.remedy]}."


def _tell(outcome: Outcome) -> None:
    finding = outcome.finding
    key = f" ({screen.safe_text(finding.key, one_line=True)})" if finding.key else ""
    screen.say(Styled(f"{screen.safe_text(finding.file, one_line=True)}{key}", "bold"))
    screen.say(Styled(f"  {finding.kind}: {screen.safe_text(finding.reason, one_line=True)}"))
    if outcome.done is not None:
        screen.say(Styled(f"  Done: {outcome.done}.", "green"))
    elif outcome.hindrance is not None:
        screen.say(Styled(f"  Not done: {outcome.hindrance}.", "red"))
    else:
        screen.say(Styled(f"  {_advice(finding)}"))


def _tell_sum(outcomes: Sequence[Outcome], bad: Sequence[Outcome]) -> None:
    places = len({outcome.finding.file for outcome in bad})
    done = sum(outcome.done is not None for outcome in outcomes)
    if done:
        screen.say(f"{screen.counted(done, 'finding')} put right.")
    if bad:
        screen.say(f"{screen.counted(places, 'file')} {'needs' if places == 1 else 'need'} care.")
    else:
        screen.say("All files are well.")


def _tell_kept(admin: Admin, kept: Path) -> None:
    cuts, aside = admin.cuts(), admin.set_aside()
    if cuts:
        screen.say(f"Repairs have cut off or replaced what was not stored whole; it is kept in {kept}:")
    for cut in cuts:
        key = f" ({screen.safe_text(cut.key, one_line=True)})" if cut.key else ""
        screen.say(f"  {screen.counted(len(cut.names), 'cut')} of {screen.safe_text(cut.file, one_line=True)}{key}")
    if aside:
        screen.say(f"{screen.counted(len(aside), 'file')} set aside in {kept}:")
    for name in aside:
        screen.say(f"  {screen.safe_text(name, one_line=True)}")
