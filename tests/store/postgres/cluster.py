"""A PostgreSQL for tests: a cluster in a folder of its own, on a socket there and on no network."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psycopg
import pytest
from psycopg import sql

from chatkeep.store.postgres.postgres_store import PostgresStore

_OWNER: Final = "postgres"  # PostgreSQL does not run as root
_TABLES: Final = ("sessions", "messages", "calls", "trash", "deletions", "changes", "postings", "fresh", "gone")
_READY_S: Final = 30.0
_QUICK: Final = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class Cluster:
    """A running PostgreSQL; `stop` and `start` may follow each other."""

    def __init__(self, folder: Path, settings: tuple[str, ...]) -> None:
        """Make the cluster and start it."""
        self._folder = folder
        self._user = _OWNER if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        if os.geteuid() == 0:
            shutil.chown(folder, self._user)
        self._run("initdb", "-D", str(folder / "data"), "-U", "chatkeep", "-A", "trust", "-E", "UTF8", "--no-sync")
        lines = ("listen_addresses=''", f"unix_socket_directories='{folder}'", "max_connections=60", *settings)
        with (folder / "data/postgresql.conf").open("a") as file:
            file.write("\n".join(lines) + "\n")
        self.start()

    def url(self, name: str) -> str:
        """Return the address of a database in it."""
        return f"postgresql:///{name}?host={self._folder}&user=chatkeep"

    def make(self, name: str) -> str:
        """Make a database, and return its address."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as db:
            db.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-l", str(self._folder / "log"), "-w", "start")
        until = time.monotonic() + _READY_S
        while True:
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self.url("postgres")).close()
                return
            if time.monotonic() > until:
                raise TimeoutError((self._folder / "log").read_text())
            time.sleep(0.05)

    def stop(self, mode: str = "immediate") -> None:
        """Stop it: `immediate` is a crash, as far as the database knows."""
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-m", mode, "-w", "stop")

    def _run(self, program: str, *args: str) -> None:
        user = self._user if os.geteuid() == 0 else None
        subprocess.run(
            [_program(program), *args],
            check=True,
            user=user,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
        )


@contextlib.contextmanager
def cluster(*, is_durable: bool = False) -> Iterator[Cluster]:
    """Yield a new cluster, and remove it afterwards. Unless it has to be durable, nothing waits for the disk."""
    folder = Path(tempfile.mkdtemp(prefix="chatkeep-pg-"))
    try:
        running = Cluster(folder, () if is_durable else _QUICK)
        try:
            yield running
        finally:
            with contextlib.suppress(subprocess.CalledProcessError):
                running.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _program(name: str) -> str:
    """Return the path of a program of PostgreSQL: Debian keeps them outside the path."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = next((str(folder / name) for folder in folders if (folder / name).exists()), None) or shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"{name}: install postgresql")
    return found


def emptied(store: PostgresStore) -> PostgresStore:
    """Return a store without anything in its tables, as after its making."""
    with store._database.writing() as db:
        for table in _TABLES:
            db.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
        db.execute("UPDATE marks SET sealed = sealed + 1, last_number = 0, epoch = sha256(epoch)")
    return store


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """Yield a PostgreSQL for all tests of a process; each takes a database of its own."""
    with cluster() as running:
        yield running


@pytest.fixture(scope="session")
def postgres_store(postgres: Cluster) -> Iterator[PostgresStore]:
    """Yield a store for all tests of a process; each empties it first."""
    store = PostgresStore.open(postgres.make("shared"))
    yield store
    store.close()
