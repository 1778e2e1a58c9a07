"""Where an adapter's sessions are: a client of a server, or a workspace in this process.

The verbs of all of them are those of `sessions.Sessions`. A blocking one runs in a thread if an adapter may not block.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from chatkeep.core.bounds import BATCH_MAX
from chatkeep.core.keys import parse_key
from chatkeep.core.life.dropping import Chosen
from chatkeep.core.model import Draft, Message
from chatkeep.core.standing import said
from chatkeep.errors import InvalidKeyError, MessageNotFoundError, SessionNotFoundError

if TYPE_CHECKING:
    from chatkeep.client import AsyncClient, Client
    from chatkeep.sessions.sessions import Sessions

_WINDOW: Final = 500  # messages fetched at a time
_HASH_CHARS: Final = 24
_HASHED: Final = "~"


@contextmanager
def open_workspace(folder: Path | str, *, trash_days: int = 0) -> Iterator[Sessions]:
    """Yield the sessions of a workspace, without a server; safe beside servers. A missing workspace is made.

    It reads no settings of the workspace: with `trash_days` a deleted session goes to the trash, else it is gone.
    """
    from chatkeep.sessions.confinement import Confinement  # noqa: PLC0415 - a client needs no store
    from chatkeep.sessions.sessions import Sessions  # noqa: PLC0415
    from chatkeep.store.address import folder_address  # noqa: PLC0415
    from chatkeep.store.open import StoreOptions, opened_at  # noqa: PLC0415

    store = opened_at(folder_address(Path(folder).absolute()), StoreOptions(watch=True))
    try:
        yield Sessions(store, reach=Confinement(trash_days=trash_days))
    finally:
        store.close()


def key_for_name(prefix: str, name: str) -> str:
    """Return the key for a name of a framework: the name itself behind the prefix if a key may be so, else its hash.

    Different names have different keys.
    """
    plain = prefix + name
    with suppress(InvalidKeyError):
        if parse_key(plain) == plain and not name.startswith(_HASHED):
            return plain
    return f"{prefix}{_HASHED}{hashed_name(name)}"


def hashed_name(name: str) -> str:
    """Return a part of a key that stands for a name."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_CHARS]


class Verbs:
    """The verbs of a place, blocking or not as the place has them."""

    def __init__(self, place: Client | AsyncClient | Sessions) -> None:
        """Take the place; the caller closes it."""
        self._place: Any = place
        self._is_async = asyncio.iscoroutinefunction(place.get)

    def call(self, verb: str, *args: object, **options: object) -> Any:  # noqa: ANN401 - as the verb has it
        """Run a verb, and wait for it here.

        Raises:
            TypeError: when the place is an AsyncClient.
        """
        if self._is_async:
            raise TypeError("This adapter blocks: give it a Client or a workspace, not an AsyncClient.")
        return getattr(self._place, verb)(*args, **options)

    async def ask(self, verb: str, *args: object, **options: object) -> Any:  # noqa: ANN401 - as the verb has it
        """Run a verb without blocking the event loop."""
        if self._is_async:
            return await getattr(self._place, verb)(*args, **options)
        return await asyncio.to_thread(self.call, verb, *args, **options)


class SessionItems:
    """The messages of one session, without its events: read, add, take back. A missing session is an empty one."""

    def __init__(self, key: str, verbs: Verbs) -> None:
        """Take the session's key, and the way to it."""
        self.key = key
        self._verbs = verbs

    async def read(self, last: int | None = None) -> list[Message]:
        """Return all messages that stand, or the last ones, oldest first."""
        try:
            if last is None:
                return [*said((await self._verbs.ask("read", self.key)).messages)]
            found: list[Message] = []
            before = None
            while len(found) < last:
                limit = min(last - len(found), _WINDOW)
                window = await self._verbs.ask("window", self.key, limit=limit, before=before)
                found = [*window.messages, *found]
                if not window.has_more:
                    break
                before = window.messages[0].seq
        except SessionNotFoundError:
            return []
        return found

    async def add(self, drafts: Sequence[Draft], channel: str | None = None) -> None:
        """Append messages: at once up to 1000 of them, else in portions."""
        for first in range(0, len(drafts), BATCH_MAX):
            await self._verbs.ask("append", self.key, drafts[first : first + BATCH_MAX], channel=channel)

    async def replace(self, drafts: Sequence[Draft]) -> None:
        """Replace all messages, in one step."""
        if drafts:
            await self._verbs.ask("replace", self.key, drafts)
        else:
            await self.clear()

    async def drop(self, lines: Chosen) -> tuple[Message, ...]:
        """Take back messages, and return them; none if there are none."""
        try:
            dropped: tuple[Message, ...] = (await self._verbs.ask("drop", self.key, lines)).messages
        except (SessionNotFoundError, MessageNotFoundError):
            return ()
        return dropped

    async def clear(self) -> None:
        """Take back everything; the session itself stays."""
        await self.drop(Chosen(everything=True))
