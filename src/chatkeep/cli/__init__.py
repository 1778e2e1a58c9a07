"""The command `chatkeep`: it works on a workspace directly, also beside running servers.

Facts go to stdout, everything else to stderr; an error is one sentence and an exit code:
0 done, 1 failed, 2 bad usage or input, 3 not found, 4 conflict, 5 refused, 7 damaged.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

import chatkeep
from chatkeep.cli import access, reading, screen, serving, transfer, upkeep, writing
from chatkeep.errors import ChatkeepError, SessionNotFoundError
from chatkeep.wire import exit_code_of

app = typer.Typer(
    name="chatkeep",
    help="The home of your agents' conversations: plain JSON files, durable appends, real search, one HTTP API.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("serve")(serving.serve)
app.command("list")(reading.list_sessions)
app.command("show")(reading.show)
app.command("search")(reading.search)
app.command("append")(writing.append)
app.command("rename")(writing.rename)
app.command("delete")(writing.delete)
app.command("export")(transfer.export)
app.command("import")(transfer.import_)
app.add_typer(access.app, name="token")
app.command("stats")(upkeep.stats)
app.command("doctor")(upkeep.doctor)
app.command("reindex")(upkeep.reindex)
app.command("demo")(transfer.demo)


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run a command and end the process with its exit code."""
    try:
        app(args=args, prog_name="chatkeep")
    except ChatkeepError as error:
        screen.complain(f"{error}: {error.key}" if isinstance(error, SessionNotFoundError) else f"{error}")
        sys.exit(exit_code_of(error))
    except OSError as error:
        screen.complain(f"{error.filename or 'A file'}: {error.strerror or error}.")
        sys.exit(1)
    sys.exit(0)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - the form of a typer callback
    if wanted:
        screen.say(f"chatkeep {chatkeep.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take the options that stand before a command."""
