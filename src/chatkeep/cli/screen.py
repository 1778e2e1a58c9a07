"""Output of commands: facts on stdout, complaints on stderr, and no terminal controls from stored text.

A message may contain anything, even escape sequences and characters to turn the reading direction. So may file names,
arguments and words of servers. All text for a terminal goes through `safe_text`: `Styled` and the console apply it to
everything they draw, so no caller can forget it. JSON becomes safe by escaping the characters it leaves alone; its
meaning stays.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from chatkeep.cli import hints
from chatkeep.cli.styled import Styled, rendering_of
from chatkeep.core.text import quoting

if TYPE_CHECKING:
    from datetime import datetime

    from rich.console import Console
    from rich.progress import DownloadColumn, MofNCompleteColumn, Progress

_PIPE_COLUMNS: Final = 240  # width of output into a pipe
_STYLES: Final = {"user": "cyan", "assistant": "green", "tool": "yellow"}
_NOT_ASCII: Final = re.compile("[^\n -~]")
_MINUTE_S: Final = 60
_UNITS: Final = (("year", 365 * 86400), ("month", 30 * 86400), ("day", 86400), ("hour", 3600), ("minute", _MINUTE_S))
_KIB: Final = 1024


def prepare() -> None:
    """Prepare the standard streams for any output.

    A closed stream leads to the null device, or else a workspace file would get its number. A character missing in the
    encoding is printed as an escape.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            nowhere = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 - stays open till the end
            setattr(sys, name, nowhere)  # it takes the lowest free number, so the stream's own
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def abandon_stdout() -> None:
    """Discard all further output to stdout, even at the end of the process."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def safe_text(text: str, *, one_line: bool = False) -> str:
    """Return stored text with visible escapes for terminal controls: ESC becomes its Python escape."""
    safe = quoting.visible(text)
    return " ".join(safe.split()) if one_line else safe


def visible_json(encoded: bytes, *, ascii_only: bool = False) -> str:
    """Return JSON with JSON escapes for terminal controls; its meaning is the same."""
    escaped = _NOT_ASCII if ascii_only else quoting.UNSAFE
    return escaped.sub(lambda found: _json_escape(found.group()), encoded.decode())


def show_json(value: object) -> None:
    """Print a value as indented JSON."""
    _write_json(sys.stdout, value)


def show_json_line(value: object) -> None:
    """Print a value as one line of JSON, at once."""
    _write_json(sys.stdout, value, indent=-1)
    sys.stdout.flush()


def complain_json(value: object) -> None:
    """Print a value as indented JSON on stderr."""
    _write_json(sys.stderr, value)


def say(sentence: str | Styled = "") -> None:
    """Print a sentence on stdout."""
    line = Styled(hints.as_run(sentence)) if isinstance(sentence, str) else sentence
    _print(line, sys.stdout)


def say_markdown(text: str) -> None:
    """Print stored text as Markdown on a terminal, else unchanged; never read it as HTML or as escapes."""
    from markdown_it import MarkdownIt  # noqa: PLC0415 - only for answers
    from rich.markdown import Markdown  # noqa: PLC0415

    console = _console()
    if not console.is_terminal:
        say(Styled(text))
        return
    parser = MarkdownIt().enable("strikethrough").enable("table").disable(["html_inline", "html_block", "escape"])
    shown = Markdown("", hyperlinks=False)
    shown.parsed = parser.parse(safe_text(text))
    for token in shown.parsed:
        for inner in token.children or ():
            if inner.type == "softbreak":  # models mean their line breaks
                inner.type = "hardbreak"
    console.print(shown)


def complain(sentence: str) -> None:
    """Print a sentence on stderr."""
    _print(Styled(hints.as_run(sentence)).on_one_line(), sys.stderr)


def complain_at_length(text: str) -> None:
    """Print lines on stderr."""
    sys.stderr.write(safe_text(text))


def show_exported(pieces: Iterable[bytes], *, is_json: bool) -> None:
    """Print files unchanged; on a terminal, with visible escapes for its controls, in JSON as JSON escapes."""
    for piece in pieces:
        if sys.stdout.isatty():
            sys.stdout.write(visible_json(piece) if is_json else safe_text(piece.decode()))
        else:
            sys.stdout.buffer.write(piece)
    sys.stdout.flush()


def show_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str | Styled]],
    *,
    numbers: Sequence[str] = (),
    spare: Sequence[str] = (),
) -> None:
    """Print rows in columns; `numbers` and `spare` as in `tables.table_lines`."""
    from chatkeep.cli.tables import table_lines  # noqa: PLC0415 - only for tables

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _PIPE_COLUMNS
    for line in table_lines(columns, rows, width, numbers=numbers, spare=spare):
        _print(line, sys.stdout)


def role_style(role: str) -> str:
    """Return the style for the messages of a role."""
    return _STYLES.get(role, "magenta")


def ago(at: datetime, now: datetime) -> str:
    """Return the age of a time, in words."""
    seconds = int((now - at).total_seconds())
    for unit, length in _UNITS:
        count = seconds // length
        if count >= 1:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now" if seconds > -_MINUTE_S else f"{at:%Y-%m-%d}"


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, as in `1 session` or `2,000 sessions`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def size(size_bytes: float) -> str:
    """Return a size in words."""
    for unit in ("bytes", "KiB", "MiB"):
        if size_bytes < _KIB:
            return f"{size_bytes:.0f} {unit}" if unit == "bytes" else f"{size_bytes:.1f} {unit}"
        size_bytes /= _KIB
    return f"{size_bytes:.1f} GiB"


class WorkBar:
    """Progress of work on bytes read: a byte counts once its work is done, not when it is read."""

    def __init__(self, bar: Progress, what: str, total: int) -> None:
        """Take the bar, and the number of bytes to read."""
        self._bar = bar
        self._what = what
        self._total = total
        self._task = bar.add_task(what, total=total)
        self._read = 0

    def has_read(self, count: int) -> None:
        """Add bytes read; the work on them follows."""
        self._read += count

    def done_to_here(self, told: str) -> None:
        """Count all bytes read as done, and show the progress in words."""
        if self._bar.disable:
            return
        if self._read < self._total:
            self._bar.update(self._task, description=f"{self._what} {told}", completed=self._read)
        else:  # the rest has no measure, but is not done
            self._bar.update(self._task, description=f"{self._what} {told}", total=None)


@contextmanager
def work_bar(what: str, total: int) -> Iterator[WorkBar]:
    """Yield the progress of work on `total` bytes; only a terminal's stderr shows the bar, until the work ends."""
    from rich.progress import DownloadColumn  # noqa: PLC0415 - only for long work

    with _bar(DownloadColumn()) as bar:
        yield WorkBar(bar, what, total)


@contextmanager
def count_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function to show progress, given the number done and the total; its first call shows the bar."""
    with ExitStack() as shown:
        bars: list[Progress] = []

        def show(done: int, total: int) -> None:
            if not bars:
                bars.append(_started_bar(what, shown))
            bars[0].update(bars[0].task_ids[0], completed=done, total=total)

        yield show


def _started_bar(what: str, shown: ExitStack) -> Progress:
    from rich.progress import MofNCompleteColumn  # noqa: PLC0415 - only for long work

    bar = _bar(MofNCompleteColumn())
    bar.add_task(what, total=None)
    if not bar.disable:
        shown.enter_context(bar)
    return bar


def _bar(amount: DownloadColumn | MofNCompleteColumn) -> Progress:
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415 - only for long work

    console = _console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), amount, TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _print(line: Styled, stream: TextIO) -> None:
    stream.write(f"{line.drawn(rendering_of(stream))}\n")
    stream.flush()


def _console(*, stderr: bool = False) -> Console:
    from chatkeep.cli.console import SafeConsole  # noqa: PLC0415 - only for what is drawn

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _PIPE_COLUMNS
    return SafeConsole(stderr=stderr, width=width, markup=False, highlight=False, emoji=False)


def _write_json(stream: TextIO, value: object, indent: int = 2) -> None:
    ascii_only = (stream.encoding or "utf-8").lower().replace("-", "") != "utf8"
    import msgspec  # noqa: PLC0415 - only for JSON

    formatted = msgspec.json.format(msgspec.json.encode(value), indent=indent)
    stream.write(visible_json(formatted, ascii_only=ascii_only) + "\n")


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))
