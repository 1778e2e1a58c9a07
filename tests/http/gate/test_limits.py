"""Rate limits: exact in every minute, and one for all processes."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.errors import BusyError, RateLimitedError
from chatkeep.http.gate.limits import Limits, Standing
from tests.disks import in_memory


class Clock:
    """A monotonic clock that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        """Return the seconds that it was set to."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Return a clock."""
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the place of a database that does not exist yet."""
    return tmp_path / "limits.sqlite3"


@pytest.fixture(params=["file", "memory"])
def limits(path: Path, clock: Clock, request: pytest.FixtureRequest) -> Iterator[Limits]:
    """Return limits in a file, and in memory."""
    made = Limits(path if request.param == "file" else None, clock=clock)
    yield made
    made.close()


@pytest.fixture
def opened(path: Path, clock: Clock) -> Iterator[Callable[[], Limits]]:
    """Return a maker of limits on one file."""
    made: list[Limits] = []

    def open_another() -> Limits:
        made.append(Limits(path, clock=clock))
        return made[-1]

    yield open_another
    for limits in made:
        limits.close()


def passed(limits: Limits, name: str, limit: int, tries: int) -> int:
    """Return how many of the tries pass."""
    count = 0
    for _ in range(tries):
        try:
            limits.take([(name, limit)])
        except RateLimitedError:
            continue
        count += 1
    return count


def test_take_passes_sixty_and_refuses_the_next(limits: Limits, clock: Clock) -> None:
    """The 61st request of a minute is refused, and told when to come back."""
    for number in range(60):
        clock.now = 1000.0 + number / 2
        standing = limits.take([("address:1", 60)])
        assert standing is not None
        assert (60, 59 - number) == (standing.limit, standing.remaining)
    with pytest.raises(RateLimitedError) as caught:
        limits.take([("address:1", 60)])
    assert (60, 31) == (caught.value.limit, caught.value.retry_after_s)


def test_take_passes_again_when_the_window_has_slid(limits: Limits, clock: Clock) -> None:
    """Each request is forgotten after 60 seconds, no sooner and no later."""
    assert passed(limits, "address:1", 60, 60) == 60
    clock.now += 59.999
    assert passed(limits, "address:1", 60, 10) == 0
    clock.now += 0.001
    assert passed(limits, "address:1", 60, 100) == 60


def test_take_after_the_promised_wait_passes(limits: Limits, clock: Clock) -> None:
    """Who comes back when told to is let in."""
    for _ in range(5):
        limits.take([("address:1", 5)])
        clock.now += 0.7
    with pytest.raises(RateLimitedError) as caught:
        limits.take([("address:1", 5)])
    clock.now += caught.value.retry_after_s
    assert limits.take([("address:1", 5)]) is not None


def test_take_does_not_count_what_it_refuses(limits: Limits, clock: Clock) -> None:
    """Trying on and on does not lock one out for longer."""
    assert passed(limits, "address:1", 60, 1000) == 60
    clock.now += 60
    assert passed(limits, "address:1", 60, 1000) == 60


def test_take_counts_all_buckets_or_none(limits: Limits) -> None:
    """A request that one bucket refuses costs the others nothing."""
    assert passed(limits, "token:a", 2, 2) == 2
    for _ in range(10):
        with pytest.raises(RateLimitedError) as caught:
            limits.take([("address:1", 60), ("token:a", 2)])
        assert caught.value.limit == 2
    assert Standing(60, 59, 60) == limits.take([("address:1", 60)])


def test_take_answers_for_the_tightest_bucket(limits: Limits, clock: Clock) -> None:
    """What a client is told is what will stop it first."""
    limits.take([("token:a", 10)])
    clock.now += 20
    assert Standing(10, 8, 40) == limits.take([("address:1", 60), ("token:a", 10)])


def test_take_with_a_lowered_limit_waits_for_enough_to_go(limits: Limits, clock: Clock) -> None:
    """A limit that is lowered holds at once."""
    for _ in range(10):
        limits.take([("token:a", 10)])
        clock.now += 1
    with pytest.raises(RateLimitedError) as caught:
        limits.take([("token:a", 4)])
    assert caught.value.retry_after_s == 56


def test_take_leaves_out_what_is_hidden(limits: Limits) -> None:
    """A bucket that others share is counted, and shown only when it is the only one, or full."""
    buckets = [("address:1", 3), ("token:a", 10)]
    limits.take([("address:1", 3)])
    assert Standing(10, 9, 60) == limits.take(buckets, hidden="address")
    assert Standing(3, 0, 60) == limits.take(buckets[:1], hidden="address")
    with pytest.raises(RateLimitedError) as caught:
        limits.take(buckets, hidden="address")
    assert ("address", 3) == (caught.value.limited_by, caught.value.limit)


def test_take_without_a_limit_counts_nothing(limits: Limits) -> None:
    """A limit of 0 is off, and leaves the others on."""
    assert limits.take([("address:1", 0)]) is None
    assert limits.take([]) is None
    assert Standing(5, 4, 60) == limits.take([("address:1", 0), ("token:a", 5)])


def test_take_keeps_buckets_apart(limits: Limits) -> None:
    """One client's requests are not another's."""
    assert passed(limits, "address:1", 3, 5) == 3
    assert passed(limits, "address:2", 3, 5) == 3


def test_take_on_one_file_is_shared(opened: Callable[[], Limits]) -> None:
    """Two servers on one workspace give 60 together, not each."""
    one, other = opened(), opened()
    assert passed(one, "address:1", 60, 40) + passed(other, "address:1", 60, 40) == 60


def test_take_in_four_processes_passes_sixty(path: Path) -> None:
    """Processes that race for the same minute get 60 requests through, all together."""
    program = """
import pathlib, sys
from chatkeep.errors import RateLimitedError
from chatkeep.http.gate.limits import Limits
limits = Limits(pathlib.Path(sys.argv[1]))
count = 0
for _ in range(100):
    try:
        limits.take([("address:1", 60)])
    except RateLimitedError:
        continue
    count += 1
print(count)
"""
    command = [sys.executable, "-c", program, str(path)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert sum(int(process.communicate(timeout=60)[0]) for process in started) == 60


@given(st.lists(st.floats(0, 40), max_size=60), st.integers(1, 5))
def test_take_never_passes_more_than_the_limit_in_any_minute(pauses: list[float], limit: int) -> None:
    """However requests are spread, no 60 seconds hold more than the limit; and none is refused without need."""
    clock = Clock()
    limits = Limits(None, clock=clock)
    times: list[float] = []
    for pause in pauses:
        clock.now += pause
        now = int(clock.now * 1e6)
        recent = sum(now - time < 60_000_000 for time in times)
        assert (1 if recent < limit else 0) == passed(limits, "token:x", limit, 1)
        if recent < limit:
            times.append(now)
    limits.close()


def test_take_forgets_idle_buckets(opened: Callable[[], Limits], path: Path, clock: Clock) -> None:
    """A million addresses that came once do not stay."""
    limits = opened()
    for number in range(800):
        limits.take([(f"address:{number}", 60)])
    clock.now += 60
    for _ in range(150):
        limits.take([("address:again", 1000)])
    assert apsw.Connection(str(path)).execute("SELECT count(*) FROM hits").get == 150


def test_take_after_a_reboot_forgets_the_time_before(opened: Callable[[], Limits], clock: Clock) -> None:
    """The clock begins again at a reboot; rows of its future count for nobody."""
    before = opened()
    assert passed(before, "address:1", 5, 9) == 5
    before.close()
    clock.now = 3.0
    assert passed(opened(), "address:1", 5, 9) == 5


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_open_keeps_the_files_private_whatever_the_umask(opened: Callable[[], Limits], path: Path, umask: int) -> None:
    """The database, its log and its shared memory are 0600."""
    before = os.umask(umask)
    try:
        opened().take([("address:1", 60)])
    finally:
        os.umask(before)
    modes = {found.name: stat.S_IMODE(found.stat().st_mode) for found in path.parent.iterdir()}
    assert dict.fromkeys(("limits.sqlite3", "limits.sqlite3-shm", "limits.sqlite3-wal"), 0o600) == modes


@pytest.mark.parametrize("damage", [b"not a database" * 500, b"token:x"], ids=["long", "short"])
def test_open_of_a_damaged_file_begins_anew(opened: Callable[[], Limits], path: Path, damage: bytes) -> None:
    """Nothing of value is in the file: it is thrown away."""
    path.write_bytes(damage)
    assert passed(opened(), "address:1", 5, 9) == 5
    assert passed(opened(), "address:1", 5, 9) == 0


def test_open_of_another_layout_begins_anew(opened: Callable[[], Limits], path: Path) -> None:
    """A file of another version is thrown away."""
    other = apsw.Connection(str(path))
    other.execute("CREATE TABLE hits(other)")
    other.close()
    assert passed(opened(), "address:1", 5, 9) == 5


def test_take_after_damage_while_open_begins_anew(opened: Callable[[], Limits], path: Path) -> None:
    """A file that is overwritten under a running server does not stop it."""
    limits = opened()
    limits.take([("address:1", 5)])
    other = apsw.Connection(str(path))
    other.execute("DROP TABLE hits")
    other.close()
    assert passed(limits, "address:1", 5, 9) == 5


def test_take_after_the_file_was_deleted_counts_in_the_new_one(opened: Callable[[], Limits], path: Path) -> None:
    """Servers meet again in one file when somebody has removed it."""
    one, other = opened(), opened()
    assert passed(one, "address:1", 5, 9) == 5
    path.unlink()
    assert passed(other, "address:1", 5, 3) == 3
    assert passed(one, "address:1", 5, 9) == 2


def test_take_where_no_file_can_be_made_counts_alone(tmp_path: Path, clock: Clock) -> None:
    """A disk that refuses stops the sharing, not the server, and not the limit."""
    limits = Limits(tmp_path / "missing" / "limits.sqlite3", clock=clock)
    assert passed(limits, "address:1", 5, 9) == 5
    (tmp_path / "missing").mkdir()
    clock.now += 60
    assert passed(limits, "address:1", 5, 9) == 5
    assert (tmp_path / "missing" / "limits.sqlite3").exists()
    limits.close()


def test_take_when_the_file_is_held_for_long_is_busy(
    opened: Callable[[], Limits], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for ever, and nobody passes uncounted."""
    monkeypatch.setattr("chatkeep.http.gate.limits._BUSY_WAIT_MS", 1)
    limits = opened()
    limits.take([("address:1", 5)])
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(BusyError):
        limits.take([("address:1", 5)])
    other.execute("ROLLBACK")
    assert passed(limits, "address:1", 5, 9) == 4
    other.close()


def test_damaged_database_that_cannot_be_replaced(tmp_path: Path) -> None:
    """A database that is damaged where nothing can be removed is left, and requests are counted here alone."""
    with in_memory(tmp_path / "disk") as disk:
        path = disk.place / "limits.sqlite3"
        path.write_bytes(b"damaged" * 1000)
        disk.let_read_only()
        limits = Limits(path)
        assert [1, 0] == [getattr(limits.take([("address:a", 2)]), "remaining", None) for _ in range(2)]
        with pytest.raises(RateLimitedError):
            limits.take([("address:a", 2)])
        limits.close()
