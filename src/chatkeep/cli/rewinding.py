"""Commands for the life of a session: `drop_command`, `replace_command`, `create_command`, `fork_command`."""

# ruff: noqa: PLR0913 - a command has as many parameters as it has options

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from chatkeep.cli import facts, screen
from chatkeep.cli.options import (
    AsJson,
    ExpectCount,
    KeyArgument,
    Workspace,
    made_sessions,
    meta_entries,
    opened_sessions,
    path_of,
)
from chatkeep.cli.writing import stdin_bytes
from chatkeep.core.bounds import LARGE_BODY_BYTES_MAX
from chatkeep.core.life.dropping import Chosen, Created, Mark, NewSession
from chatkeep.core.standing import Drops
from chatkeep.core.unknown import written
from chatkeep.errors import NotFoundError, TooLargeError
from chatkeep.wire.answers import append_answer
from chatkeep.wire.lives import DropAnswer, replacement_of_body, seqs_of_text

MarkOption = Annotated[
    str | None, typer.Option(help="An id of your own: a repetition drops nothing more.", show_default=False)
]


def drop_command(
    key: KeyArgument,
    *,
    last: Annotated[int | None, typer.Option(help="The last so many messages.", show_default=False)] = None,
    seq: Annotated[str, typer.Option(help="The message with this number, or a range: 5-9.")] = "",
    message_id: Annotated[
        str | None, typer.Option("--id", help="The message with this id.", show_default=False)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything, events too.")] = False,
    mark: MarkOption = None,
    expect_count: ExpectCount = None,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Take back messages of a session; the log keeps them."""
    lines = Chosen(last=last, seqs=seqs_of_text(seq) if seq else None, id=message_id, everything=everything)
    with opened_sessions(workspace) as sessions:
        dropped = sessions.drop(key, lines, mark=Mark(id=mark), expect_count=expect_count)
    if as_json:
        answer = DropAnswer(
            session=dropped.key,
            message_count=dropped.message_count,
            drops=dropped.drops,
            mark=dropped.mark,
            messages=(),
        )
        screen.show_json({**msgspec.structs.asdict(answer), "messages": written(dropped.messages)})
        return
    screen.say(f"Dropped {_told(dropped.drops)} of {screen.safe_text(dropped.key, one_line=True)}.")


def replace_command(
    key: KeyArgument,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", parser=path_of, help="A JSON list of messages, - for stdin.", show_default=False
        ),
    ],
    *,
    create: Annotated[bool, typer.Option("--create/--no-create", help="Make the session if there is none.")] = True,
    mark: MarkOption = None,
    expect_count: ExpectCount = None,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Replace all messages of a session by those of a file, in one step; those that begin both alike stay."""
    drafts = replacement_of_body(_content(source))
    with (made_sessions if create else opened_sessions)(workspace) as sessions:
        replaced = sessions.replace(key, drafts, create=create, mark=Mark(id=mark), expect_count=expect_count)
    if as_json:
        screen.show_json(append_answer(replaced))
        return
    named = screen.safe_text(replaced.key, one_line=True)
    if not replaced.stored_count:
        screen.say(f"Nothing to change: {named} has these messages.")
        return
    gone = f", dropped {_told(replaced.drops)}" if replaced.drops else ""
    new = replaced.stored_count if drafts else 0
    screen.say(f"Stored {screen.counted(new, 'new message')} in {named}{gone}.")


def create_command(
    key: Annotated[str | None, typer.Argument(help="The key; one is made without it.", show_default=False)] = None,
    *,
    title: Annotated[str | None, typer.Option(help="The title.", show_default=False)] = None,
    channel: Annotated[str | None, typer.Option(help="The channel.", show_default=False)] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", metavar="TAG", help="A tag; repeatable.", show_default=False)
    ] = None,
    meta: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="An entry of the metadata, a text; repeatable.", show_default=False),
    ] = None,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Begin a session without messages; fail if its key has one."""
    new = NewSession(
        key=key, channel=channel, title=title, tags=tuple(tag or ()), metadata=dict(meta_entries(meta or ()))
    )
    with made_sessions(workspace) as sessions:
        _tell(sessions.create(new), "Began", as_json=as_json)


def fork_command(
    key: KeyArgument,
    new_key: Annotated[
        str | None, typer.Argument(help="The key of the new session; one is made without it.", show_default=False)
    ] = None,
    *,
    seq: Annotated[
        int | None, typer.Option(help="The number of the last message to take; all without it.", show_default=False)
    ] = None,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Begin a session with the first messages of another one, as far as they stand."""
    with opened_sessions(workspace) as sessions:
        _tell(sessions.fork(key, seq=seq, new_key=new_key), "Forked to", as_json=as_json)


def _tell(created: Created, did: str, *, as_json: bool) -> None:
    if as_json:
        screen.show_json(facts.listed(created.summary))
        return
    count = screen.counted(len(created.receipts), "message")
    screen.say(f"{did} {screen.safe_text(created.summary.header.key, one_line=True)}, with {count}.")


def _told(drops: Drops) -> str:
    """Return ranges of seqs in words."""
    named = ", ".join(f"{first}" if first == last else f"{first} to {last}" for first, last in drops)
    return f"{'message' if len(drops) == 1 and drops[0].first == drops[0].last else 'messages'} {named}"


def _content(source: Path) -> bytes:
    if str(source) == "-":
        data = stdin_bytes(LARGE_BODY_BYTES_MAX + 1)
    else:
        try:
            with source.open("rb") as file:
                data = file.read(LARGE_BODY_BYTES_MAX + 1)
        except OSError as error:
            raise NotFoundError(f"{source}: {error.strerror or error}.") from error
    if len(data) > LARGE_BODY_BYTES_MAX:
        raise TooLargeError("file", LARGE_BODY_BYTES_MAX)
    return data
