"""Following files: each change is read once it is seen, and every file is looked at now and then.

The system tells of changes, so a file at rest costs nothing. Looks at all files find what happened while nobody
followed, or what the system did not tell; they take at most a hundredth of the time. Databases lie in folders with much
else, so those folders alone are looked at in each round.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from msgspec import Struct

from chatkeep.disk.files import Stamp
from chatkeep.errors import BusyError, ChatkeepError, StorageError
from chatkeep.importers import Flaw
from chatkeep.importers.homes import HistoryPlace, Homed
from chatkeep.syncing.chosen import SyncedHome
from chatkeep.syncing.copies import Copies
from chatkeep.syncing.due import DueFile, DueFiles
from chatkeep.syncing.notices import Notices
from chatkeep.syncing.positions import Positions
from chatkeep.syncing.taking import Taken, Taker
from chatkeep.syncing.walking import FileStamps, SyncedFile, files_at, source_at, stamps_of

_TICK_S: Final = 0.25  # between rounds without a change
_STILL_S: Final = 2.0  # a file that keeps still so long is not being written
_AGAIN_S: Final = 1.0  # before a busy session is tried again
_REFUSED_S: Final = 5.0  # before a refusing disk is tried again
_LOOK_S: Final = 10.0  # between looks at all files, at least, and
_LOOKS: Final = 100  # times as long as the last look took;
_BLIND_LOOK_S: Final = 0.5  # without news of changes, at least, and
_BLIND_LOOKS: Final = 10  # times as long
_COARSE_NS: Final = 20_000_000  # two changes within so long may leave one and the same time

_UNKNOWN: Final = (Stamp(0, 0, 0, 0),)  # the state of a file that may be gone

OnTaken = Callable[[Taken], None]
OnTrouble = Callable[[str, str], None]
"""Gets a place and a sentence."""


class Kept(NamedTuple):
    """What a sync keeps on the disk: positions, and copies of changed files."""

    positions: Positions
    copies: Copies


class _Home(Struct, frozen=True):
    format: str
    importer: Homed
    places: Sequence[HistoryPlace]

    def has(self, path: Path) -> bool:
        """Tell whether a path lies in one of the places."""
        return any(
            path.parent == place.folder or (place.is_deep and place.folder in path.parents) for place in self.places
        )


class _Doubt(Struct, frozen=True):
    """What was wrong with a file that may still be written."""

    stamps: FileStamps
    errors: Sequence[Flaw]
    until: float


class Follower:
    """Follows the homes of programs into a store."""

    def __init__(
        self,
        homes: Sequence[SyncedHome],
        taker: Taker,
        kept: Kept,
        *,
        on_taken: OnTaken,
        on_problem: OnTrouble,
    ) -> None:
        """Take the homes; nothing is read yet."""
        self._chosen = homes
        self._homes: list[_Home] = []
        self._taker = taker
        self._positions, self._copies = kept
        self._on_taken = on_taken
        self._on_problem = on_problem
        self._due = DueFiles()
        self._doubts: dict[Path, _Doubt] = {}
        self._notices = Notices(())

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Let the system tell of changes for the length of the block, from its beginning on."""
        self._find_places()
        self._notices = Notices(self._deep_folders())
        try:
            yield
        finally:
            self._notices.close()

    def catch_up(self, stop: threading.Event | None = None) -> None:
        """Read all files that changed since they were read; tell at once what is wrong with them.

        Raises:
            StorageError: when the disk refuses.
        """
        self._look_at_all()
        while self._due and not (stop is not None and stop.is_set()):
            self._work()
            for path in self._notices.wait(0):
                self._note(path)
            time.sleep(self._due.wait_s(time.monotonic(), _TICK_S))
        self._tell_doubts(time.monotonic() + _STILL_S)

    def waiting(self) -> Sequence[FileStamps]:
        """Look at all files, and return the states of those to read."""
        self._look_at_all()
        return [stamps for path in self._due.paths() if (stamps := stamps_of(path)) is not None]

    def follow(self, stop: threading.Event) -> None:
        """Read what changed, until `stop` is set, best while `watching`; a refusing disk is tried again."""
        refused = ""
        while not stop.is_set():
            folders = self._deep_folders()
            try:
                self._follow(folders, stop)
                refused = ""
            except StorageError as error:
                if refused != error.code:
                    refused = error.code
                    self._on_problem("the workspace", str(error))
                stop.wait(_REFUSED_S)
            if folders != self._deep_folders():
                self._notices.close()
                self._notices = Notices(self._deep_folders())

    def _follow(self, folders: Sequence[Path], stop: threading.Event) -> None:
        """Follow until the set of folders changes."""
        next_look = next_tick = 0.0
        while not stop.is_set():
            began = time.monotonic()
            if began >= next_look:
                self._look_at_all()
                next_look = _next_look(began, time.monotonic(), is_live=self._notices.is_live)
                if folders != self._deep_folders():
                    return
            elif began >= next_tick:
                self._look(one for home in self._homes for one in _shallow(home))
                self._tell_doubts(began)
                next_tick = time.monotonic() + _TICK_S
            for path in self._notices.wait(self._due.wait_s(time.monotonic(), _TICK_S)):
                self._note(path)
            self._work()

    def _find_places(self) -> None:
        self._homes = []
        for one in self._chosen:
            importer = one.importer()
            self._homes.append(_Home(one.format, importer, importer.places(one.folder)))

    def _deep_folders(self) -> Sequence[Path]:
        places = (place for home in self._homes for place in home.places if place.is_deep)
        return sorted({place.folder for place in places if place.folder.is_dir()})

    def _look_at_all(self) -> None:
        self._find_places()
        for left in self._copies.left:
            self._due.add(DueFile(SyncedFile(left.file), left.format), _UNKNOWN)
        self._copies.left.clear()
        for home in self._homes:
            self._look((one, home) for place in home.places for one in files_at(place, home.importer))

    def _look(self, files: Iterator[tuple[SyncedFile, _Home]], *, is_news: bool = False) -> None:
        for source, home in files:
            self._add_changed(source, home, is_news=is_news)

    def _note(self, path: Path) -> None:
        """Note that the system tells of a change of this path."""
        for home in self._homes:
            if not home.has(path):
                continue
            source = source_at(home.importer, path)
            if source is not None:
                self._add_changed(source, home, is_news=True)
            elif path.is_dir():  # moved here with all that is in it
                self._look(((one, home) for one in files_at(HistoryPlace(path), home.importer)), is_news=True)

    def _add_changed(self, source: SyncedFile, home: _Home, *, is_news: bool) -> None:
        stamps = stamps_of(source.path)
        if stamps is None:
            self._positions.put(source.path, None)
        elif stamps != self._positions.of(source.path):
            self._due.add(DueFile(source, home.format), stamps)
            if is_news:
                self._copies.make(source.path, home.format, stamps[0].size)

    def _work(self) -> None:
        """Read one file that is due."""
        if (one := self._due.take(time.monotonic())) is not None:
            self._read(one)

    def _read(self, one: DueFile) -> None:
        path, began_ns = one.source.path, time.time_ns()
        stamps = stamps_of(path)  # what changes from here on is read again
        try:
            taken = self._taken(one)
        except (BusyError, StorageError) as error:
            self._read_again(one, _AGAIN_S)
            if isinstance(error, StorageError):
                raise
            return
        except Exception as error:  # noqa: BLE001 - a file that we fail to read costs no other one
            reason = str(error) if isinstance(error, ChatkeepError) else f"{type(error).__name__}: {error}"
            self._on_problem(str(path), f"It could not be read: {reason.rstrip('.')}.")
            taken = None
        if taken is None:
            self._positions.put(path, stamps)
            return
        now = time.monotonic()
        self._due.let_rest(path, taken.seconds, now)
        if not taken.is_whole:
            self._read_again(one, _AGAIN_S)
        elif began_ns - _COARSE_NS < taken.stamps[0].modified_ns < time.time_ns() + _COARSE_NS:
            self._read_again(one, _TICK_S)
        else:
            self._positions.put(path, taken.stamps)
        if taken.report.errors:
            self._doubts[path] = _Doubt(taken.stamps, taken.report.errors, now + _STILL_S)
        self._on_taken(taken)

    def _taken(self, one: DueFile) -> Taken | None:
        """Take in what a file had before it changed, and what it has now."""
        copies = [*self._copies.take(one.source.path)]
        try:
            while copies:
                earlier = self._taker.take(one.source, one.format, copies[0].content())
                if earlier is not None:
                    self._on_taken(earlier)
                copies.pop(0).drop()
            return self._taker.take(one.source, one.format)
        finally:
            self._copies.put_back(one.source.path, copies)

    def _read_again(self, one: DueFile, pause_s: float) -> None:
        if (stamps := stamps_of(one.source.path)) is not None:
            self._due.add(one, stamps, time.monotonic() + pause_s)

    def _tell_doubts(self, now: float) -> None:
        """Tell what is wrong with files that kept still meanwhile."""
        for path, doubt in [one for one in self._doubts.items() if one[1].until <= now]:
            del self._doubts[path]
            if stamps_of(path) == doubt.stamps:
                for flaw in doubt.errors:
                    place = flaw.place.removeprefix(path.name).removeprefix(", ")
                    self._on_problem(str(path), f"{place}: {flaw.reason}" if place else flaw.reason)


def _shallow(home: _Home) -> Iterator[tuple[SyncedFile, _Home]]:
    places = (place for place in home.places if not place.is_deep)
    return ((one, home) for place in places for one in files_at(place, home.importer))


def _next_look(began: float, ended: float, *, is_live: bool) -> float:
    """Return the time of the next look at all files."""
    least, times = (_LOOK_S, _LOOKS) if is_live else (_BLIND_LOOK_S, _BLIND_LOOKS)
    return ended + max(least, (ended - began) * times)
