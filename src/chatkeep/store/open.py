"""Stores by their address: the one module to name a backend.

Another store adds itself with one line in `KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple, Protocol

import msgspec
from msgspec import Struct

from chatkeep.core.blobs.blob_names import BLOB_BYTES_DEFAULT
from chatkeep.disk.files import Durability, is_there
from chatkeep.errors import ChatkeepError, InvalidError
from chatkeep.store.address import FILES, StoreAddress

if TYPE_CHECKING:
    from chatkeep.store.admin import Admin, Backup
    from chatkeep.store.postgres.tables.migrating import SchemaState
    from chatkeep.store.protocol import Served


class StoreOptions(Struct, frozen=True, kw_only=True):
    """The way to open a store. A store may ignore a wish without a meaning for it.

    With `watch`, changes by other programs are visible within two seconds. With `follow`, another process has
    the store open and does all upkeep. `on_problem` is called with the name of each file not served whole, and
    the reason. Attachments of `attachment_bytes` and more have files of their own.
    """

    durability: Durability = "full"
    attachment_bytes: int = BLOB_BYTES_DEFAULT
    watch: bool = False
    follow: bool = False
    on_progress: Callable[[int, int], None] | None = None
    on_problem: Callable[[str, str], None] | None = None


class KnownNames(Protocol):
    """Names of a store, read without opening it: fast, perhaps behind the last changes, and empty in case of doubt."""

    def keys(self, prefix: str, limit: int) -> Sequence[str]:
        """Return at most so many keys with this beginning, by code point."""

    def channels(self) -> Sequence[str]:
        """Return the channels with sessions, by code point."""


class WriteRules(Struct, frozen=True):
    """What the settings ask of every write: how far it gets, and the attachments with files of their own."""

    durability: Durability = "full"
    attachment_bytes: int = BLOB_BYTES_DEFAULT

    @property
    def encoded(self) -> str:
        """The rules as JSON, for another process."""
        return msgspec.json.encode(self).decode()


class StoreKind(NamedTuple):
    """A kind of store: how to write its address, open it, see whether it exists, and care for it.

    `is_shared` tells whether several processes can open one store, `has_helpers` whether a server lets others search
    and write for it. `names` are for shell completion; without them it opens the store. An `is_prompt` store answers
    from its index at once, and keeps `disk.short_reads`: so an event loop may wait for it.
    """

    form: str
    opened: Callable[[StoreAddress, StoreOptions], Served]
    exists: Callable[[StoreAddress], bool]
    is_shared: bool
    has_helpers: bool = False
    admin: Callable[[StoreAddress], Admin] | None = None
    names: Callable[[StoreAddress], KnownNames] | None = None
    is_prompt: bool = False


def opened_at(address: StoreAddress, options: StoreOptions) -> Served:
    """Return the store at an address; the caller closes it. A missing store is created.

    Raises:
        InvalidError: when there is no such kind of store.
        StorageError: when it cannot be opened.
    """
    return kind_of(address).opened(address, options)


def admin_of(address: StoreAddress) -> Admin:
    """Return the care for a store.

    Raises:
        InvalidError: when there is no such kind of store, or this kind has no care.
    """
    admin = kind_of(address).admin
    if admin is None:
        raise InvalidError("store", f"a store of the kind {address.scheme}: cannot be checked, rebuilt or backed up")
    return admin(address)


def kind_of(address: StoreAddress, field: str = "store") -> StoreKind:
    """Return the kind of store at an address.

    Raises:
        InvalidError: for `field`, naming the kinds.
    """
    kind = KINDS.get(address.scheme)
    if kind is None:
        forms = " and ".join(one.form for one in KINDS.values())
        raise InvalidError(field, f"there is no store of the kind {address.scheme}: (there are {forms})")
    return kind


def opened_backup(source: BinaryIO) -> Backup:
    """Return a backup open for reading. Backups have one format, whatever the store.

    Raises:
        BrokenInputError: when it is no backup, is cut off, or has an invalid list.
    """
    from chatkeep.store.files.care.backups import BackupFile  # noqa: PLC0415 - only for the care

    return BackupFile(source)


def _files(address: StoreAddress, options: StoreOptions) -> Served:
    from chatkeep.store.files.store import FilesStore  # noqa: PLC0415 - not for settings and tokens

    return FilesStore.open(
        address.folder,
        durability=options.durability,
        watch=options.watch,
        follow=options.follow,
        on_progress=options.on_progress,
        on_problem=options.on_problem,
        blob_bytes=options.attachment_bytes,
    )


def _memory(address: StoreAddress, options: StoreOptions) -> Served:  # noqa: ARG001 - there is nothing to choose
    from chatkeep.store.memory import MemoryStore  # noqa: PLC0415 - loaded only by those who ask for it

    if address.rest:
        raise InvalidError("store", "memory: has neither a name nor a place")
    return MemoryStore()


def _postgres(address: StoreAddress, options: StoreOptions) -> Served:  # noqa: ARG001 - the database has its own
    with _extra_needed():
        from chatkeep.store.postgres.postgres_store import PostgresStore  # noqa: PLC0415 - loaded only by those who ask for it

    return PostgresStore.open(address.url)


def _has_tables(address: StoreAddress) -> bool:
    return state_of_tables(address).version > 0


def state_of_tables(address: StoreAddress, *, renew: bool = False) -> SchemaState:
    """Return the state of the tables of a store in a database; with `renew`, bring them to the newest version first.

    The answer is then the state before.

    Raises:
        InvalidError: when a store of this kind has no tables.
        BusyError: when the database cannot be reached.
        StorageError: when its tables are of a newer version than this program's.
    """
    if address.scheme != "postgresql":
        raise InvalidError(
            "store", f"a store of the kind {address.scheme}: has no tables; name one as postgresql://..."
        )
    with _extra_needed():
        from chatkeep.store.postgres.tables.migrating import tables_of  # noqa: PLC0415 - as above

    return tables_of(address.url, renew=renew)


@contextmanager
def _extra_needed() -> Iterator[None]:
    """Name the extra to install where its modules are missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"psycopg", "psycopg_pool"}:
            raise
        install = "Install them: pip install 'chatkeep[postgres]'"
        raise ChatkeepError(f"A store in PostgreSQL needs more packages. {install}") from error


def _has_files(address: StoreAddress) -> bool:
    return is_there(address.folder / "sessions")


def _names_in_files(address: StoreAddress) -> KnownNames:
    from chatkeep.store.files.index.known_names import IndexNames  # noqa: PLC0415 - only for completion

    return IndexNames(address.folder)


def _care_for_files(address: StoreAddress) -> Admin:
    from chatkeep.store.files.care.files_admin import FilesAdmin  # noqa: PLC0415 - only for the care

    return FilesAdmin(address.folder)


KINDS: Final[Mapping[str, StoreKind]] = {
    FILES: StoreKind(
        "files:FOLDER",
        _files,
        _has_files,
        is_shared=True,
        has_helpers=True,
        admin=_care_for_files,
        names=_names_in_files,
        is_prompt=True,
    ),
    "memory": StoreKind("memory:", _memory, lambda _: True, is_shared=False),
    "postgresql": StoreKind("postgresql://HOST/DATABASE", _postgres, _has_tables, is_shared=True),
}
"""The kinds of stores, by the scheme of their addresses."""
