"""The command `export`: sessions as files for a later import, for people, and for other programs."""

# ruff: noqa: PLR0913 - a command has as many parameters as it has options

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from chatkeep.cli import absence, completing, screen
from chatkeep.cli.handing_off import hand_off
from chatkeep.cli.interrupts import stoppable
from chatkeep.cli.laying_out import lay_out
from chatkeep.cli.options import (
    ChannelOption,
    PinnedOption,
    PrefixOption,
    RedactOption,
    TagsOption,
    Workspace,
    choice,
    opened_sessions,
    path_of,
    tell_redaction,
)
from chatkeep.core.model import Selection, Session
from chatkeep.core.text.redaction import Redaction
from chatkeep.disk.replacing import fresh_file
from chatkeep.errors import InvalidError, NotFoundError, SessionDamagedError, SessionNotFoundError, StorageError
from chatkeep.exporters import EXPORT_FORMATS, exported
from chatkeep.exporters.handoffs import HAND_OFFS
from chatkeep.exporters.layouts import LAYOUTS
from chatkeep.exporters.redacting import redacted_session
from chatkeep.sessions.sessions import Sessions
from chatkeep.wire.answers import exit_code_of

_EVERYTHING = Selection(archived=None, prefixes=("",))

KeysArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY]...",
        help="The sessions; all of them, or those of the filters, if left out.",
        show_default=False,
        autocompletion=completing.key_completions,
    ),
]
FormatOption = Annotated[
    str,
    typer.Option("--format", help=f"{', '.join(EXPORT_FORMATS)}.", autocompletion=completing.one_of(*EXPORT_FORMATS)),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", parser=path_of, metavar="FILE", help="A file to write; else stdout.", show_default=False
    ),
]

ToolOption = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="TOOL",
        help=f"Hand one session to {', '.join(HAND_OFFS)}; or write all as a folder of {' or '.join(LAYOUTS)}.",
        show_default=False,
        autocompletion=completing.one_of(*HAND_OFFS, *LAYOUTS),
    ),
]


def export(
    keys: KeysArgument = None,
    *,
    fmt: FormatOption = "json",
    output: OutputOption = None,
    prefix: PrefixOption = "",
    channel: ChannelOption = None,
    tags: TagsOption = None,
    pinned: PinnedOption = None,
    tool: ToolOption = "",
    redact: RedactOption = False,
    workspace: Workspace = None,
) -> None:
    """Write sessions for a later import, for people or for models. An import can read `json`, `jsonl` and `zip`."""
    selection = Selection(prefixes=(prefix,), channel=channel, archived=None, pinned=pinned, tags=tuple(tags or ()))
    if keys and selection != _EVERYTHING:
        raise InvalidError("KEY", "give either keys or filters")
    if tool and choice("--to", tool, (*HAND_OFFS, *LAYOUTS)) in HAND_OFFS:
        hand_off(tool, keys or (), output, workspace, redact=redact)
        return
    choice("--format", fmt, tuple(EXPORT_FORMATS))
    _check_terminal(fmt, output)
    damaged: list[str] = []
    redaction = Redaction() if redact else None
    end = "what was printed is not whole." if output is None else f"{output} was not written."
    with opened_sessions(workspace) as sessions, stoppable(lambda: end):
        chosen = _named(sessions, keys, damaged) if keys else _matching(sessions, selection, damaged)
        masked = (redacted_session(one, redaction) for one in chosen) if redaction else chosen
        if tool:
            lay_out(LAYOUTS[tool], masked, output)
        else:
            _write(exported(masked, fmt, single=len(keys or ()) == 1), fmt, output)
    if redaction:
        tell_redaction(redaction)
    if damaged:
        screen.complain(
            f"Damaged or unreadable, so left out or not whole: {', '.join(damaged)}. Run `chatkeep doctor`."
        )
        raise typer.Exit(exit_code_of(SessionDamagedError))


def _write(pieces: Iterable[bytes], fmt: str, output: Path | None) -> None:
    if output is None:
        screen.show_exported(pieces, is_json="json" in EXPORT_FORMATS[fmt].media_type)
        return
    with fresh_file(output) as file:
        file.writelines(pieces)


def _check_terminal(fmt: str, output: Path | None) -> None:
    if EXPORT_FORMATS[fmt].is_binary and output is None and sys.stdout.isatty():
        raise InvalidError("--output", f"{fmt} is no text: name a file")


def _named(sessions: Sessions, keys: Sequence[str], damaged: list[str]) -> Iterable[Session]:
    """Return the sessions of these keys, each once; a missing one is an error before anything is written."""
    known = [sessions.get(key) for key in keys]
    damaged += [one.header.key for one in known if one.damage]
    named = dict.fromkeys(one.header.key for one in known)
    first, *others = named
    return [sessions.read(first)] if not others else map(sessions.read, named)


def _matching(sessions: Sessions, selection: Selection, damaged: list[str]) -> Iterable[Session]:
    keys = sessions.keys(selection).keys
    if keys:
        damaged.extend(sessions.status().problems if selection == _EVERYTHING else ())
        return _readable(sessions, keys, damaged)
    absence.end_if_unreadable(sessions.status())
    raise NotFoundError("There are no sessions to export." if selection == _EVERYTHING else "No session matches.")


def _readable(sessions: Sessions, keys: Sequence[str], damaged: list[str]) -> Iterator[Session]:
    """Yield the sessions of these keys, and add damaged ones to `damaged`."""
    for key in keys:
        try:
            if sessions.get(key).damage:
                damaged.append(key)
            yield sessions.read(key)
        except SessionNotFoundError:
            continue  # deleted meanwhile
        except (SessionDamagedError, StorageError):
            damaged.append(key)
