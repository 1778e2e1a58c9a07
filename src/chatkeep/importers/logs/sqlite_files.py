"""SQLite databases of other programs, read without a change to them or to the folder around them.

The program may be running. SQLite itself would write beside a database with a write-ahead log, even only to read it.
So such a database is copied with its log to a folder of our own, and read there; the copy is made again when either
file changed meanwhile. A database without a log is read in place, as one that nobody changes; a change is noticed at
the end. A rollback journal left by a crash is copied, too: the copy is rolled back, not the original.

Text of invalid UTF-8 is mended value by value. Views, triggers and functions named in the schema never run.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

import apsw

from chatkeep.core.model import Json
from chatkeep.errors import BrokenInputError
from chatkeep.importers.importer import Reading
from chatkeep.importers.sources import READ_ERRORS, Source, unpacked

MAGIC: Final = b"SQLite format 3\0"
_LOGS: Final = ("-wal", "-journal")
_ATTEMPTS: Final = 5  # copies of a database that changes meanwhile
_IMMUTABLE: Final = "file:{}?mode=ro&immutable=1"
_SETTINGS: Final = (
    (apsw.SQLITE_DBCONFIG_DEFENSIVE, 1),
    (apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0),
    (apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0),
    (apsw.SQLITE_DBCONFIG_ENABLE_VIEW, 0),
)

FoundRow = dict[str, Json]


class _Stamp(NamedTuple):
    size_bytes: int
    changed_ns: int
    inode: int


class _Stamps(NamedTuple):
    """The state of a database and the files beside it, None for a missing one."""

    whole: _Stamp | None
    log: _Stamp | None
    journal: _Stamp | None


class SqliteFile:
    """An open database: its tables with their columns, and the rows in them."""

    def __init__(self, connection: apsw.Connection) -> None:
        """Read the schema.

        Raises:
            BrokenInputError: when it is damaged.
        """
        self._connection = connection
        self._conditions: dict[tuple[str, str], str] = {}
        self.columns: Mapping[str, Sequence[str]] = dict(self._schema())

    def rows(self, table: str, *, order: Sequence[str] = (), by: str = "", value: Json = None) -> Iterator[FoundRow]:
        """Yield the rows of a table as objects, in the order of those of these columns that it has.

        With `by`, yield only those with this value in that column; the first such question sorts the column once.

        Raises:
            BrokenInputError: when the database is damaged there; the rows before are good.
        """
        columns = self.columns.get(table, ())
        if not columns or (by and by not in columns):
            return
        names = ", ".join(map(_as_bytes, columns))
        sorting = ", ".join(_quoted(name) for name in order if name in columns)
        try:
            condition = f" WHERE {self._condition(table, by)}" if by else ""
            sql = f"SELECT {names} FROM {_quoted(table)}{condition}{f' ORDER BY {sorting}' if sorting else ''}"  # noqa: S608 - names of the schema, quoted
            for row in self._connection.execute(sql, (value,) if by else ()):
                pairs = zip(columns, row[::2], row[1::2], strict=True)
                yield {name: _mended(found, kind) for name, found, kind in pairs}
        except apsw.Error as error:
            raise BrokenInputError(f"The database is damaged: {error}.") from error

    def _condition(self, table: str, column: str) -> str:
        """Return a condition for one value of a column; without an index there, make one in a database of our own."""
        if (known := self._conditions.get((table, column))) is not None:
            return known
        condition = f"{_quoted(column)} = ?"
        if not self._is_indexed(table, column):
            lookup = f"temp.lookup_{len(self._conditions)}"
            value, name = _quoted(column), _quoted(table)
            try:
                self._connection.execute(f"CREATE TEMP TABLE {lookup[5:]} (value, place)")
                self._connection.execute(f"INSERT INTO {lookup} SELECT {value}, rowid FROM {name}")  # noqa: S608 - quoted
                self._connection.execute(f"CREATE INDEX {lookup}_values ON {lookup[5:]} (value, place)")
                condition = f"rowid IN (SELECT place FROM {lookup} WHERE value = ?)"  # noqa: S608 - a name of ours
            except apsw.SQLError:  # a table without row ids has an index of its own
                pass
        self._conditions[table, column] = condition
        return condition

    def _is_indexed(self, table: str, column: str) -> bool:
        sql = (
            "SELECT 1 FROM pragma_index_list(?1) AS one, pragma_index_info(one.name) AS part "
            "WHERE part.seqno = 0 AND part.name = ?2 "
            "UNION ALL SELECT 1 FROM pragma_table_info(?1) WHERE pk = 1 AND name = ?2 AND type LIKE 'integer'"
        )
        return any(True for _ in self._connection.execute(sql, (table, column)))

    def _schema(self) -> Iterator[tuple[str, Sequence[str]]]:
        try:
            for name, *_ in list(self._connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")):
                found = self._connection.execute("SELECT name FROM pragma_table_info(?)", (name,))
                yield str(name), [str(column) for column, *_ in found]
        except (apsw.Error, UnicodeError) as error:
            raise BrokenInputError(f"It cannot be read as a database: {error}.") from error


@contextmanager
def database_in(source: Source, reading: Reading) -> Iterator[SqliteFile]:
    """Yield the database in a file, plain or compressed, or in a pipe.

    Raises:
        BrokenInputError: when it is none, is damaged, or changes all the time.
        OSError, and the errors of `READ_ERRORS`: when it cannot be read.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chatkeep-")))
        path = _steady(source, folder) if isinstance(source, Path) and _is_plain(source) else None
        if path is None:
            path = folder / "database"
            with reading.content_of(source) as content, path.open("wb") as file:
                shutil.copyfileobj(content, file)
        else:
            reading.on_bytes(path.stat().st_size)
        connection = _connected(path, is_own=folder in path.parents)
        stack.callback(connection.close)
        before = None if folder in path.parents else _stamps(path)
        yield SqliteFile(connection)
        if before is not None and before != _stamps(path):
            raise BrokenInputError("The database changed while it was read: import it again.")


def tables_at(path: Path | None) -> Mapping[str, Sequence[str]]:
    """Return the columns of each table of a database; nothing for another file, a missing one, or a pipe."""
    if path is None or not path.is_file():
        return {}
    try:
        with unpacked(path) as stream:
            is_database = stream.peek(len(MAGIC)).startswith(MAGIC)
        return _columns_at(path, _stamps(path)) if is_database else {}
    except (BrokenInputError, *READ_ERRORS):
        return {}


@lru_cache(maxsize=16)
def _columns_at(path: Path, _: _Stamps) -> Mapping[str, Sequence[str]]:
    """Return the tables as they are without the log, or with it if they are only there."""
    try:
        if _is_plain(path):
            with closing(_connected(path, is_own=False)) as connection:
                columns = SqliteFile(connection).columns
            if columns:
                return columns
        with database_in(path, Reading()) as database:
            return database.columns
    except (BrokenInputError, *READ_ERRORS):
        return {}


def _steady(source: Path, folder: Path) -> Path:
    """Return the database itself, or a copy of it with its log when it has one."""
    for _ in range(_ATTEMPTS):
        before = _stamps(source)
        logs = [name for name, stamp in zip(_LOGS, before[1:], strict=True) if stamp is not None and stamp.size_bytes]
        if not logs:
            return source
        for name in ("", *logs):
            shutil.copyfile(f"{source}{name}", folder / f"database{name}")
        if before == _stamps(source):
            return folder / "database"
        for name in logs:
            (folder / f"database{name}").unlink()
    raise BrokenInputError("The database changes all the time: stop its program, or import a backup of it.")


def _stamps(path: Path) -> _Stamps:
    return _Stamps(*(_stamp(Path(f"{path}{name}")) for name in ("", *_LOGS)))


def _stamp(path: Path) -> _Stamp | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return _Stamp(found.st_size, found.st_mtime_ns, found.st_ino)


def _is_plain(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def _connected(path: Path, *, is_own: bool) -> apsw.Connection:
    """Open a database for reading; only a copy of our own may be recovered from its log."""
    try:
        if is_own:
            connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        else:
            flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
            connection = apsw.Connection(_IMMUTABLE.format(quote(str(path.absolute()))), flags=flags)
        for setting, value in _SETTINGS:
            connection.config(setting, value)
    except apsw.Error as error:
        raise BrokenInputError(f"It cannot be read as a database: {error}.") from error
    return connection


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _as_bytes(name: str) -> str:
    """Return the expressions for a column's value, texts as bytes, and for its type."""
    column = _quoted(name)
    return f"CASE typeof({column}) WHEN 'text' THEN CAST({column} AS BLOB) ELSE {column} END, typeof({column})"


def _mended(value: Json, kind: Json) -> Json:
    return value.decode(errors="replace") if kind == "text" and isinstance(value, bytes) else value
