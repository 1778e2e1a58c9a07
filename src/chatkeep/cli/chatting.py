"""The command `chat_command`: a session with the model, on a terminal or through pipes.

The modules for the model and for editing lines load when a chat begins: other commands never need them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Annotated, Final

import typer

from chatkeep import wiring
from chatkeep.cli import completing
from chatkeep.cli.options import AsJson, Workspace, workspace_store
from chatkeep.cli.writing import stdin_text
from chatkeep.config import settings_from
from chatkeep.core.bounds import MESSAGE_BYTES_MAX
from chatkeep.core.keys import parse_key
from chatkeep.errors import InvalidError, ModelUnsetError
from chatkeep.sessions.sessions import Sessions

DEFAULT_KEY: Final = "cli:default"


def chat_command(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TEXT]...",
            help="A message, or - to read one from stdin; else you are asked.",
            show_default=False,
        ),
    ] = None,
    *,
    session: Annotated[
        str,
        typer.Option(
            "--session",
            "-s",
            metavar="KEY",
            help="The key of the session, which need not exist.",
            autocompletion=completing.key_completions,
        ),
    ] = DEFAULT_KEY,
    model: Annotated[str | None, typer.Option(help="Model that answers, if not the one of the settings.")] = None,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Chat with the model, or ask it one question. If stdin is not a terminal, each of its lines is a message."""
    key = parse_key(session)
    text = " ".join(words) if words else None
    settings = settings_from({"workspace": workspace, "model": model}, os.environ)
    chats = wiring.chats_of(settings)
    if chats is None:
        raise ModelUnsetError("model_url")
    chats.model.model_for(None)
    from chatkeep.cli import replies  # noqa: PLC0415 - loads the modules for chat

    is_talk = text is None and not as_json and sys.stdin.isatty() and sys.stdout.isatty()
    with workspace_store(settings, watch=is_talk) as store:
        if is_talk:
            from chatkeep.cli.talk import Talk  # noqa: PLC0415 - loads the line editor

            replies.run_turn(Talk(Sessions(store), chats, key).hold())
        else:
            shown = replies.AsEvents() if as_json else replies.AsText()
            replies.run_turn(replies.answer_all(Sessions(store), chats, key, _texts(text), shown))


def _texts(text: str | None) -> Iterator[str]:
    """Yield the messages to send: the given text, or each non-blank line of stdin."""
    if text is not None:
        only = stdin_text() if text == "-" else text
        if not only.strip():
            raise InvalidError("text", "there is nothing to send")
        yield only
        return
    number = 0
    while line := sys.stdin.buffer.readline(MESSAGE_BYTES_MAX + 2):
        number += 1
        try:
            said = line.decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            reason = "is not UTF-8 text" if len(line) <= MESSAGE_BYTES_MAX else "is larger than a message may be"
            raise InvalidError(f"line {number} of stdin", reason) from error
        if said.strip():
            yield said
