"""Options shared by commands, and the workspace they open."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chatkeep.cli import completing, screen
from chatkeep.errors import InvalidError, NotFoundError, SessionDamagedError, SessionNotFoundError, StorageError

if TYPE_CHECKING:
    from chatkeep.config import Settings
    from chatkeep.core.model import Json
    from chatkeep.core.text.redaction import Redaction
    from chatkeep.sessions.sessions import Sessions
    from chatkeep.store.protocol import Served


def path_of(text: str) -> Path:
    """Return the path of an argument; refuse an empty one, as it would be the current folder."""
    if not text:
        raise typer.BadParameter("must not be empty")
    return Path(text)


Workspace = Annotated[
    Path | None,
    typer.Option(
        "--workspace",
        "-w",
        parser=path_of,
        metavar="DIR",
        help="Folder of the sessions; else $CHATKEEP_WORKSPACE, else the platform's data folder.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
ChannelOption = Annotated[
    str | None,
    typer.Option(help="Only sessions of this channel.", show_default=False, autocompletion=completing.channels),
]
PrefixOption = Annotated[
    str,
    typer.Option(
        help="Only sessions whose key begins like this.", show_default=False, autocompletion=completing.key_completions
    ),
]
TagsOption = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="TAG", help="Only sessions with this tag; repeated, with all.", show_default=False),
]
PersonOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="Only sessions linked to this person.", show_default=False)
]
PinnedOption = Annotated[bool | None, typer.Option(help="Only pinned sessions, or only others.", show_default=False)]
RedactOption = Annotated[
    bool, typer.Option("--redact", help="Mask secrets: API keys, tokens, private keys, passwords.")
]
ExpectCount = Annotated[
    int | None, typer.Option(help="Only if the session has this many lines in its log.", show_default=False)
]
KeyArgument = Annotated[
    str, typer.Argument(help="The key of the session.", show_default=False, autocompletion=completing.key_completions)
]


def choice(option: str, given: str, allowed: tuple[str, ...]) -> Json:
    """Return the value of an option after checking it against the choices."""
    if given not in allowed:
        raise InvalidError(option, f"must be one of {', '.join(allowed)}")
    return given


def tell_redaction(redaction: Redaction) -> None:
    """Say how many secrets of each kind were masked, never the secrets."""
    counts = [screen.counted(count, kind) for kind, count in sorted(redaction.counts.items())]
    screen.complain(f"Masked {', '.join(counts)}." if counts else "No secrets were found to mask.")


def meta_entries(given: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return the names and values of options such as `user=alice`.

    Raises:
        InvalidError: when one lacks its name or its value.
    """
    pairs = [text.partition("=") for text in given]
    if not all(name and equals for name, equals, _ in pairs):
        raise InvalidError("--meta", "must be NAME=VALUE")
    return tuple((name, value) for name, _, value in pairs)


def existing_keys(sessions: Sessions, keys: Sequence[str], done: str) -> Sequence[str]:
    """Return the stored form of the keys, each once; a damaged session counts as existing.

    Raises:
        NotFoundError: naming the first key without a session; its sentence says that nothing was `done`.
    """
    from chatkeep.cli.similar import did_you_mean, similar_keys  # noqa: PLC0415 - not for help
    from chatkeep.core.keys import parse_key  # noqa: PLC0415

    parsed = tuple(dict.fromkeys(map(parse_key, keys)))
    for key in parsed:
        try:
            sessions.get(key)
        except SessionDamagedError:
            continue
        except SessionNotFoundError as error:
            hint = did_you_mean(similar_keys(sessions, key))
            raise NotFoundError(f"No session has the key {key!r}; nothing was {done}.{hint}") from error
    return parsed


def settings(workspace: Path | None) -> Settings:
    """Return the settings for a command with direct access to the workspace; it creates a missing one.

    Raises:
        InvalidError: when the store would end with the command.
    """
    from chatkeep import wiring  # noqa: PLC0415 - not for help
    from chatkeep.config import settings_from  # noqa: PLC0415

    chosen = settings_from({"workspace": workspace}, os.environ)
    wiring.check_lasting(chosen)
    return chosen


def existing(workspace: Path | None) -> Settings:
    """Return the settings for a command without a right to create a workspace.

    Raises:
        NotFoundError: when the workspace is missing, perhaps by a mistyped name.
    """
    chosen = settings(workspace)
    check_existing(chosen)
    return chosen


def check_existing(chosen: Settings) -> None:
    """Check that a workspace exists, with the store of the settings.

    Raises:
        NotFoundError: when it does not.
    """
    from chatkeep import wiring  # noqa: PLC0415 - not for help

    with named(chosen.place):
        if wiring.is_workspace(chosen):
            return
        if chosen.store:
            raise NotFoundError(f"There is no store in {chosen.place}, as the setting `store` says.")
        raise NotFoundError(
            f"There is no workspace in {chosen.place}. Name another with --workspace or CHATKEEP_WORKSPACE, or make "
            "one: `chatkeep demo` puts samples into it, `chatkeep serve` serves it."
        )


@contextmanager
def named(place: Path | str) -> Iterator[None]:
    """Put the place of a store in front of storage errors; only here, as a server must not reveal its path."""
    try:
        yield
    except StorageError as error:
        error.args = (f"{place}: {error}",)
        raise


@contextmanager
def opened_sessions(workspace: Path | None) -> Iterator[Sessions]:
    """Yield the sessions of an existing workspace; safe beside running servers."""
    with _sessions_of(existing(workspace)) as sessions, _similar_named(sessions):
        yield sessions


@contextmanager
def made_sessions(workspace: Path | None) -> Iterator[Sessions]:
    """Yield the sessions of a workspace, creating a missing one; safe beside running servers."""
    with _sessions_of(settings(workspace)) as sessions, _similar_named(sessions):
        yield sessions


@contextmanager
def _sessions_of(chosen: Settings) -> Iterator[Sessions]:
    from chatkeep import wiring  # noqa: PLC0415 - not for help
    from chatkeep.sessions.sessions import Sessions  # noqa: PLC0415

    with workspace_store(chosen) as store:
        yield Sessions(store, reach=wiring.reach_of(chosen))


@contextmanager
def _similar_named(sessions: Sessions) -> Iterator[Sessions]:
    """Yield the sessions; add similar keys to the error for a missing session."""
    try:
        yield sessions
    except SessionNotFoundError as error:
        from chatkeep.cli.similar import similar_keys  # noqa: PLC0415 - only for those who mistype

        error.similar = similar_keys(sessions, error.key)
        raise


@contextmanager
def workspace_store(
    chosen: Settings, *, watch: bool = False, on_problem: Callable[[str, str], None] | None = None
) -> Iterator[Served]:
    """Yield the store of a workspace; show a bar while its index is built."""
    from chatkeep import wiring  # noqa: PLC0415 - not for help

    with named(chosen.place), screen.count_bar("Indexing") as on_progress:
        store = wiring.opened_store(chosen, watch=watch, on_progress=on_progress, on_problem=on_problem)
    try:
        yield store
    finally:
        store.close()
