"""The command `chatkeep`: it works on a workspace directly, even beside running servers.

Facts go to stdout, everything else to stderr. An error is one sentence and an exit code:
0 done, 1 failed, 2 bad usage or input, 3 not found, 4 conflict, 5 refused, 7 damaged.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from typer.exceptions import TyperException

import chatkeep
from chatkeep.cli import hints, screen
from chatkeep.cli.interrupts import EXIT_CODE, StoppedError
from chatkeep.cli.loading import AllCommands
from chatkeep.errors import ChatkeepError, InvalidError, SessionNotFoundError

if TYPE_CHECKING:
    from chatkeep.core.model import Json

app = typer.Typer(
    name="chatkeep",
    cls=AllCommands,
    help="The home of your agents' conversations: plain JSON files, durable appends, real search, one HTTP API.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run a command and end the process with its exit code.

    `CHATKEEP_DEBUG=1` shows the traceback of an unexpected error.
    """
    screen.prepare()
    given = sys.argv[1:] if args is None else list(args)
    hints.note_call(sys.argv[0], given)
    try:
        _check_text(given)
        code = app(args=given, prog_name=_prog_name(given), standalone_mode=False)
        sys.stdout.flush()
        if code == EXIT_CODE:  # Ctrl-C, without a sentence of the command's own
            _told(StoppedError(), as_json="--json" in given)
    except (BrokenPipeError, SystemExit) as error:
        if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):
            raise
        screen.abandon_stdout()  # the reader of the output has closed the pipe
        sys.exit(0)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - last chance to make a sentence of it
        sys.exit(_told(error, as_json="--json" in given))
    sys.exit(code)


def _prog_name(args: Sequence[str]) -> str:
    """Return the program's name for usage; shell completion works only under the installed name."""
    completes = "_CHATKEEP_COMPLETE" in os.environ or any("-completion" in arg for arg in args)
    return hints.NAME if completes else hints.program()


def _check_text(args: Sequence[str]) -> None:
    for place, arg in enumerate(args, start=1):
        if any("\ud800" <= character <= "\udfff" for character in arg):  # Python decodes bytes beyond UTF-8 to these
            raise InvalidError(f"argument {place}", "is not UTF-8 text")


def _told(error: BaseException, *, as_json: bool) -> int:
    """Print an error on stderr and return its exit code."""
    if isinstance(error, TyperException) and not as_json and hasattr(error, "show"):
        usage = io.StringIO()
        error.show(usage)  # prints the command's usage too
        screen.complain_at_length(usage.getvalue())
        return error.exit_code
    try:
        sys.stdout.flush()
    except OSError:
        screen.abandon_stdout()
    code, failure = _failure(error)
    if as_json:
        screen.complain_json({"error": failure})
    else:
        key, hint = "", ""
        if isinstance(error, SessionNotFoundError):
            from chatkeep.cli.similar import did_you_mean  # noqa: PLC0415 - only for those who mistype

            hint = did_you_mean(error.similar)
            key = f": {error.key}{'.' if hint else ''}"
        screen.complain(f"{failure['detail']}{key}{hint}")
    if os.environ.get("CHATKEEP_DEBUG"):
        screen.complain_at_length("".join(traceback.format_exception(error)))
    return code


def _failure(error: BaseException) -> tuple[int, dict[str, Json]]:
    """Return the exit code of an error, and its facts for `--json`."""
    if isinstance(error, ChatkeepError):
        from chatkeep.wire.answers import exit_code_of  # noqa: PLC0415 - only for errors
        from chatkeep.wire.errors import advised  # noqa: PLC0415

        about: dict[str, Json] = {
            name: value for name in ("field", "key") if isinstance(value := getattr(error, name, None), str)
        }
        if isinstance(error, SessionNotFoundError) and error.similar:
            about["similar"] = error.similar
        return exit_code_of(error), {"code": error.code, "detail": advised(error), **about}
    if isinstance(error, StoppedError | KeyboardInterrupt):
        return EXIT_CODE, {"code": "stopped", "detail": f"{error}" or f"{StoppedError()}"}
    if isinstance(error, TyperException):
        return error.exit_code, {"code": "usage", "detail": error.format_message()}
    if isinstance(error, typer.Abort):
        return 1, {"code": "failed", "detail": "Aborted."}
    if isinstance(error, OSError):
        return 1, {"code": "failed", "detail": f"{error.filename or 'The output'}: {error.strerror or error}."}
    detail = f"This should not happen: {type(error).__name__}: {error}. CHATKEEP_DEBUG=1 shows where."
    return 1, {"code": "failed", "detail": detail}


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
    """Take the options before a command."""
