"""The schema of the database: numbered files of SQL, each run once, in order, under one lock, forwards only."""

from __future__ import annotations

import re
from importlib import resources
from typing import Final, NamedTuple

from chatkeep.errors import StorageError
from chatkeep.store.postgres.tables.postgres_pool import PgConnection, Postgres

_LOCK: Final = 0x43686174  # of this schema among the advisory locks of the database
_FILE: Final = re.compile(r"(\d{4})_\w+\.sql")
_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS chatkeep_schema (version integer PRIMARY KEY, made_at timestamptz DEFAULT now())"
)
_ENCODING: Final = "UTF8"
# Not `to_regclass`: that answers from what the connection knew before it waited for the lock
_HAS_TABLE: Final = (
    "SELECT EXISTS (SELECT 1 FROM pg_tables WHERE tablename = 'chatkeep_schema' "
    "AND schemaname = ANY(current_schemas(false)))"
)


class Migration(NamedTuple):
    """A step of the schema: its number, and its statements."""

    version: int
    statements: str


class SchemaState(NamedTuple):
    """The version of a database's schema, 0 without one, and the newest that this program knows."""

    version: int
    newest: int

    @property
    def is_current(self) -> bool:
        """Whether this program can work with it."""
        return self.version == self.newest


def migrations() -> list[Migration]:
    """Return all steps in order."""
    folder = resources.files(__package__).joinpath("migrations")
    named = ((_FILE.fullmatch(file.name), file) for file in folder.iterdir())
    found = (Migration(int(name[1]), file.read_text(encoding="utf-8")) for name, file in named if name)
    return sorted(found)


def schema_state(database: Postgres) -> SchemaState:
    """Return the state of a database's schema."""
    with database.borrowed() as db:
        return SchemaState(_version(db), migrations()[-1].version)


def migrate(database: Postgres) -> SchemaState:
    """Bring the schema to the newest version, and return the state before.

    Raises:
        StorageError: when the schema is newer than this program.
    """
    steps = migrations()
    with database.writing() as db:
        db.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        db.execute("SET LOCAL statement_timeout = 0")
        before = SchemaState(_version(db), steps[-1].version)
        check_version(before)
        db.execute(_TABLE)
        for step in steps:
            if step.version > before.version:
                db.execute(step.statements)
                db.execute("INSERT INTO chatkeep_schema (version) VALUES (%s)", (step.version,))
    return before


def tables_of(url: str, *, renew: bool) -> SchemaState:
    """Return the state of the schema at an address; with `renew` the one before it is brought to the newest version."""
    database = Postgres(url)
    database.open()
    try:
        return migrate(database) if renew else schema_state(database)
    finally:
        database.close()


def made_ready(database: Postgres) -> None:
    """Make the tables in an empty database; check those of another.

    Raises:
        StorageError: when they are of another version than this program's.
    """
    state = schema_state(database)
    check_version(state)
    if not state.version:
        migrate(database)
    elif not state.is_current:
        raise StorageError("The tables are of an older version: run `chatkeep db migrate`.")


def check_version(state: SchemaState) -> None:
    """Check that this program is not older than the schema.

    Raises:
        StorageError: when it is.
    """
    if state.version > state.newest:
        raise StorageError(
            f"The database has version {state.version} of the schema, and this program knows {state.newest}: "
            "install a newer Chatkeep."
        )


def _version(db: PgConnection) -> int:
    """Return the version of the tables, 0 without any.

    Raises:
        StorageError: when the database cannot hold every text.
    """
    encoding = db.info.parameter_status("server_encoding")
    if encoding != _ENCODING:
        raise StorageError(
            f"The database has the encoding {encoding}, which does not hold every text: make it by "
            f"`createdb -E {_ENCODING} -T template0`."
        )
    (found,) = db.execute(_HAS_TABLE).fetchone() or (False,)
    if not found:
        return 0
    (version,) = db.execute("SELECT coalesce(max(version), 0) FROM chatkeep_schema").fetchone() or (0,)
    return int(version)
