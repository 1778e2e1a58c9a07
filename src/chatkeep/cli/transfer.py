"""Commands to carry sessions in: `import`, `demo`."""

# ruff: noqa: PLR0913 - a command has as many parameters as it has options

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo

import typer

from chatkeep import importers
from chatkeep.cli import hints, screen
from chatkeep.cli.interrupts import stoppable
from chatkeep.cli.options import AsJson, RedactOption, Workspace, choice, made_sessions, path_of, tell_redaction
from chatkeep.core.digest import Digest, summary
from chatkeep.core.model import Session
from chatkeep.core.text.redaction import Redaction
from chatkeep.errors import InvalidError, SessionDeletedError
from chatkeep.exporters.redacting import redacted_session
from chatkeep.importers import Catalogue, Flaw, Importer, Piped, Report, Source
from chatkeep.wire.answers import exit_code_of

_SHOWN_SOURCES = 10
_SHOWN_SAMPLES = 3  # sessions of a preview
_SHOWN_UNKNOWN = 5  # files of no known format
_SHOWN_KEYS = 5  # sessions deleted here; the rest only as a count
_SHOWN_FLAWS = 20  # the rest only as a count
_AGAIN = "the same command goes on, and takes nothing in twice."
_PARTLY_FAILED = 1  # exit code
_NOTHING_USABLE = 2  # exit code


RestoreOption = Annotated[
    bool | None,
    typer.Option(
        "--restore-deleted/--leave-deleted",
        help="Bring back sessions that were deleted here, or leave them out; else only an export of Chatkeep does.",
        show_default=False,
    ),
]


def _format_completions(_: typer.Context, incomplete: str) -> list[str]:
    """Return the names of import formats with this beginning, also those of other packages."""
    names = importers.Catalogue(lambda _: None).names
    return [name for name in names if name.startswith(incomplete)]


def import_(
    paths: Annotated[
        list[Path],
        typer.Argument(
            parser=path_of,
            metavar="PATH",
            help="Files or folders, also .zip, .gz and .zst; - is stdin.",
            show_default=False,
        ),
    ],
    *,
    fmt: Annotated[
        str,
        typer.Option(
            "--as",
            help=f"{', '.join(importers.IMPORT_FORMATS)}, or a plug-in's; else told by the content.",
            show_default=False,
            autocompletion=_format_completions,
        ),
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be imported.")] = False,
    timezone: Annotated[
        str, typer.Option(help="Where times without an offset belong, as Europe/Oslo; else this machine's zone.")
    ] = "",
    restore_deleted: RestoreOption = None,
    redact: RedactOption = False,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Import sessions from files. A second import adds only new messages; stored messages never change."""
    zone = _zone(timezone) if timezone else None
    known = importers.Catalogue(screen.complain)
    if fmt:
        choice("--as", fmt, tuple(known.names))
    with ExitStack() as archives:
        opened = [(path, archives.enter_context(importers.unpacked_archive(_source(path)))) for path in paths]
        planned = [one for path, source in opened for one in _planned(path, source, fmt, known)]
        if not (as_json or fmt):
            _tell_formats(planned)
        restores = _is_own(planned) if restore_deleted is None else restore_deleted
        how = _How(zone, [] if dry_run else None, Redaction() if redact else None, restores)
        report, count = _imported([(one.source, one.importer) for one in planned], workspace, how)
    if as_json:
        screen.show_json(report)
    else:
        _tell(report, count, dry_run=dry_run)
        _tell_samples(how.samples or ())
    if how.redaction:
        tell_redaction(how.redaction)
    _end(report, count)


def _end(report: Report, count: int) -> None:
    """End with the exit code for what came of an import."""
    if report.failure == SessionDeletedError.code:
        raise typer.Exit(exit_code_of(SessionDeletedError))
    if report.errors or not (count or report.left_out):
        raise typer.Exit(_PARTLY_FAILED if count else _NOTHING_USABLE)


def demo(*, workspace: Workspace = None, as_json: AsJson = False) -> None:
    """Add the sample sessions, to try things out; a second run adds nothing."""
    with as_file(files("chatkeep.demo").joinpath("sessions.jsonl")) as path, made_sessions(workspace) as sessions:
        report = importers.take_in(sessions, importers.read_sessions(path, "jsonl"), restore_deleted=True)
    if as_json:
        screen.show_json(report)
        return
    _tell(report, 1, dry_run=False)
    screen.say("Try next:")
    for words in (("list",), ("search", "cancel flight"), ("show", "telegram:5550142"), ("serve",)):
        screen.say(f"  {hints.command(*words)}")


class _How(NamedTuple):
    """The way of an import: with a list for samples nothing is stored, and it takes up the first sessions."""

    zone: ZoneInfo | None
    samples: list[Session] | None
    redaction: Redaction | None
    restore_deleted: bool

    def masked(self, record: Session | Flaw) -> Session | Flaw:
        """Return a record without its secrets, if that is asked for."""
        return (
            record if self.redaction is None or isinstance(record, Flaw) else redacted_session(record, self.redaction)
        )


class _Planned(NamedTuple):
    source: Source
    importer: Importer
    shown: str
    reason: str


def _planned(path: Path, source: Source, fmt: str, known: Catalogue) -> Iterator[_Planned]:
    """Yield the sources in what the user named, each with its importer, and say which files no importer knows."""
    if fmt:
        yield _Planned(source, known.importer(fmt), str(path), "")
        return
    plan = importers.plan_of(source, known)
    if plan.unknown:
        names = ", ".join(str(path) for path in plan.unknown[:_SHOWN_UNKNOWN])
        more = ", ..." if len(plan.unknown) > _SHOWN_UNKNOWN else ""
        screen.complain(f"Left out, as no importer knows them: {names}{more}")
    for one in plan.sources:
        is_part = isinstance(one.source, Path) and one.source != source
        shown = one.source if is_part or str(path) == "-" else path
        yield _Planned(one.source, one.importer, shown.name if isinstance(shown, Piped) else str(shown), one.reason)


def _is_own(planned: Sequence[_Planned]) -> bool:
    """Tell whether all sources are exports of Chatkeep."""
    return all(one.importer.name in importers.OWN_FORMATS for one in planned)


def _tell_formats(planned: Sequence[_Planned]) -> None:
    """Say the format of each source, and the reason for taking it for that."""
    for one in planned[:_SHOWN_SOURCES]:
        screen.say(f"{one.shown} is {one.importer.name}: {one.reason}.")
    if len(planned) > _SHOWN_SOURCES:
        screen.say(f"... and {screen.counted(len(planned) - _SHOWN_SOURCES, 'more source')}.")


def _tell_samples(samples: Sequence[Session]) -> None:
    """Show some of the sessions of a preview: key, date and beginning."""
    for session in samples:
        shown = summary(session.header, Digest().plus(*session.messages))
        screen.say(f"  {shown.header.key} · {shown.header.created_at:%Y-%m-%d} · {shown.title}")


def _imported(
    sources: Sequence[tuple[Source, Importer]],
    workspace: Path | None,
    how: _How,
) -> tuple[Report, int]:
    """Import the sessions of all sources, each with its importer, and return the report and their count."""
    samples = how.samples
    dry_run = samples is not None
    size_bytes = sum(_size(file) for source, importer in sources for file in importers.files_of(source, importer))
    count = 0

    def so_far() -> str:
        return (
            "nothing was imported."
            if dry_run
            else f"at least {screen.counted(count, 'session')} imported so far; {_AGAIN}"
        )

    with made_sessions(workspace) as sessions, screen.work_bar("Importing", size_bytes) as bar, stoppable(so_far):

        def note(record: Session | Flaw) -> None:
            nonlocal count
            is_new = isinstance(record, Session) and not importers.goes_on(record)
            count += is_new
            if samples is not None and is_new and isinstance(record, Session) and len(samples) < _SHOWN_SAMPLES:
                samples.append(record)
            bar.done_to_here(screen.counted(count, "session"))

        records = (
            record
            for source, importer in sources
            for record in importers.read_sessions(
                source, importer, zone=how.zone, on_bytes=bar.has_read, stored_ids=importers.ids_in(sessions)
            )
        )
        take_in = importers.would_take_in if dry_run else importers.take_in
        masked = map(how.masked, records)
        report = take_in(sessions, masked, on_session=note, restore_deleted=how.restore_deleted)
    return report, count


def _source(path: Path) -> Source:
    """Return the source at a path; pipes and devices open here, as they open only once."""
    if str(path) == "-":
        return Piped("stdin", sys.stdin.buffer)
    if path.is_file() or path.is_dir() or not path.exists():
        return path
    return Piped(str(path), path.open("rb", buffering=0))


def _size(file: Source) -> int:
    return file.stat().st_size if isinstance(file, Path) else 0


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise InvalidError("--timezone", "must be the name of a time zone, as Europe/Oslo") from error


def _tell(report: Report, count: int, *, dry_run: bool) -> None:
    if not (count or report.errors or report.left_out):
        screen.complain("There are no sessions in it; nothing was imported.")
    elif _took(report):
        did = "Would import" if dry_run else "Imported"
        sessions = f"{report.sessions_created:,} new and {screen.counted(report.sessions_extended, 'extended session')}"
        skipped = f", {report.messages_skipped:,} were here already" if report.messages_skipped else ""
        screen.say(f"{did} {sessions} with {screen.counted(report.messages_added, 'message')}{skipped}.")
    elif count:
        verb = "is" if report.messages_skipped == 1 else "are"
        skipped = screen.counted(report.messages_skipped, "message")
        screen.say(f"Nothing new: {skipped} {verb} here already." if report.messages_skipped else "Nothing new.")
    else:
        screen.complain("Nothing was imported.")
    if report.left_out:
        _tell_left_out(report)
    for flaw in report.errors[:_SHOWN_FLAWS]:
        screen.complain(f"{flaw.place}: {flaw.reason}")
    if len(report.errors) > _SHOWN_FLAWS:
        screen.complain(f"... and {len(report.errors) - _SHOWN_FLAWS} more errors; --json lists them.")


def _tell_left_out(report: Report) -> None:
    """Say which sessions were left out because they were deleted here, and how to bring them back."""
    named = ", ".join(screen.safe_text(key, one_line=True) for key in report.left_out[:_SHOWN_KEYS])
    more = ", ..." if report.sessions_left_out > _SHOWN_KEYS else ""
    verb, them = ("was", "it") if report.sessions_left_out == 1 else ("were", "them")
    screen.complain(
        f"{screen.counted(report.sessions_left_out, 'session')} left out that {verb} deleted here: {named}{more}. "
        f"--restore-deleted brings {them} back."
    )


def _took(report: Report) -> bool:
    return bool(report.sessions_created or report.sessions_extended)
