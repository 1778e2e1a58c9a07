"""Commands about people: `link`, `unlink`, `people`."""

from __future__ import annotations

from typing import Annotated

import typer

from chatkeep.cli import screen
from chatkeep.cli.marking import Keys
from chatkeep.cli.options import AsJson, Workspace, opened_sessions
from chatkeep.cli.printing import show_messages
from chatkeep.cli.styled import Styled
from chatkeep.core.life.people import Person, PersonHistory
from chatkeep.sessions.persons import People
from chatkeep.wire.links import PeopleList, UnlinkAnswer, person_history_answer


def link_command(
    keys: Keys,
    *,
    person: Annotated[str, typer.Option(metavar="NAME", help="The name of the person.", show_default=False)],
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Link sessions to a person; no session changes, and `unlink` takes it back."""
    with opened_sessions(workspace) as sessions:
        found = People(sessions).link(person, keys)
    if as_json:
        screen.show_json(found)
        return
    _show(found)


def unlink_command(keys: Keys, *, workspace: Workspace = None, as_json: AsJson = False) -> None:
    """Let sessions belong to nobody."""
    with opened_sessions(workspace) as sessions:
        gone = People(sessions).unlink(keys)
    if as_json:
        screen.show_json(UnlinkAnswer(keys=gone, count=len(gone)))
        return
    screen.say(f"Unlinked {screen.counted(len(gone), 'session')}.")


def people_command(
    person: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="The name of a person.", show_default=False)
    ] = None,
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", help="How many of the newest messages, 1 to 500.")] = 50,
    cursor: Annotated[str | None, typer.Option(help="Go on where a history ended.", show_default=False)] = None,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """List the people, or show what one of them said and heard in all sessions, merged by time."""
    with opened_sessions(workspace) as sessions:
        people = People(sessions)
        found = None if person is None else people.history(person, limit=limit, cursor=cursor)
        everybody = people.all() if found is None else ()
    if found is not None:
        _show_history(found, as_json=as_json)
    elif as_json:
        screen.show_json(PeopleList(people=everybody, count=len(everybody)))
    elif not everybody:
        screen.complain("Nobody is linked yet: `chatkeep link KEY... --person NAME`.")
    for one in () if as_json else everybody:
        _show(one)


def _show(one: Person) -> None:
    name, keys = screen.safe_text(one.person, one_line=True), screen.safe_text(", ".join(one.keys), one_line=True)
    screen.say(Styled(f"{name}", "bold").append(f"  {keys}"))


def _show_history(found: PersonHistory, *, as_json: bool) -> None:
    if as_json:
        screen.show_json(person_history_answer(found))
        return
    last = ""
    for one in found.said:
        if one.session != last:
            screen.say()
            screen.say(Styled(screen.safe_text(one.session, one_line=True), "bold dim"))
            last = one.session
        show_messages([one.message])
    if found.next_cursor:
        screen.say(Styled(f"Earlier messages: --cursor {found.next_cursor}", "dim"))
