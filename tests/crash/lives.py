"""What happens in the life of sessions: drops, forks, clears, compactions, trash, restorations and rules of retention.

An act does one of them to a store, with ids and times of its own, so the store in memory tells what has to be there
afterwards. A picture is all that can be seen of one key: its session, its log, its lists, and what the trash has of it.
Run as a program it does acts in a workspace, and notes `try N` before and `ack N` after each.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Final, Literal, get_args

from msgspec import Struct

from chatkeep.core.life.dropping import Chosen, Mark, forked
from chatkeep.core.life.retention import RetentionRule
from chatkeep.core.model import Draft, Json, Message, Revision, Selection
from chatkeep.core.standing import Drops, SeqRange
from chatkeep.errors import BusyError, ConflictError, NotFoundError, SessionNotFoundError
from chatkeep.sessions.retaining import due, let_go
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.files.store import FilesStore
from chatkeep.store.files.tree import format as session_file
from chatkeep.store.memory import MemoryStore
from chatkeep.store.protocol import OwnStore
from chatkeep.testing import at
from tests.crash.plants import PLANTS

Verb = Literal[
    "append", "pop", "rewind", "clear", "replace", "fork", "compact", "trash", "delete", "restore", "purge", "hold",
    "prune",
]  # fmt: skip
VERBS: Final[tuple[Verb, ...]] = get_args(Verb)
_WEIGHTS: Final = (9, 4, 2, 1, 2, 3, 3, 4, 1, 5, 1, 1, 2)
_REFUSALS: Final = (NotFoundError, ConflictError)
_KEYS: Final = 3
_FORKS: Final = 2
_SIZES: Final = (1, 40, 420, 3_000)
_ALL: Final = Selection(archived=None)
_SHOWN: Final = 24  # characters of a content
_ACTIONS: Final[tuple[Literal["archive", "trash", "delete"], ...]] = ("archive", "trash", "delete")

A_WORD: Final = re.compile(rb"x[0-9a-f]{20}")
"""What `word_of` returns."""


class Act(Struct, frozen=True):
    """Something done to the session of a key; `number` is its place in the program, `size` that of its messages."""

    verb: Verb
    number: int
    key: str
    other: str
    ids: tuple[str, ...]
    seq: int

    @property
    def mark(self) -> Mark:
        """The line that drops others in it."""
        return Mark(id=f"mark {self.number}", sent_at=at(self.number))

    @property
    def drafts(self) -> list[Draft]:
        """Its messages."""
        return [
            Draft(role="user", content=words_of(one), id=one, sent_at=at(self.number), stored_at=at(self.number))
            for one in self.ids
        ]


Line = tuple[str, str, str, Drops | None]


class Picture(Struct, frozen=True):
    """All that can be seen of a key. A `log` has id, role, content and drops of every line, None without a session."""

    header: tuple[object, ...] | None
    log: tuple[Line, ...] | None
    standing: tuple[str, ...]
    is_listed: bool
    trash: tuple[tuple[Line, ...], ...]
    is_deleted: bool


class Model:
    """The store in memory, with the logs of what is in its trash.

    `erasable` has the words that no other session and no deletion ever had: a compaction promises for these alone that
    no byte of the workspace tells them.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.store = MemoryStore()
        self.erasable: set[str] = set()
        self._logs: dict[str, tuple[Line, ...]] = {}

    def do(self, act: Act) -> None:
        """Do an act; the logs of what goes to the trash are kept."""
        before = {key: _lines(self.store.read(key, log=True).messages) for key in self.store.keys(_ALL).keys}
        do(self.store, act)
        self.erasable |= {word_of(one) for one in act.ids}
        for key in before.keys() - set(self.store.keys(_ALL).keys) | ({act.key} if act.verb == "fork" else set()):
            self.erasable -= {word_of(name) for name, *_ in before.get(key, ())}
        for one in self.store.trash():
            self._logs.setdefault(one.id, before.get(one.key, ()))

    def pictures(self, prefix: str) -> Mapping[str, Picture]:
        """Return what has to be seen."""
        trash = [(one.key, self._logs[one.id]) for one in self.store.trash(prefix)]
        return _pictures(self.store, prefix, trash)


def keys_of(prefix: str) -> tuple[str, ...]:
    """Return all keys that acts under a prefix may touch."""
    forks = (f"{prefix}fork{number}" for number in range(_FORKS))
    return (*(f"{prefix}{number}" for number in range(_KEYS)), *forks)


def act_at(prefix: str, number: int) -> Act:
    """Return the act in a place of the program of a prefix: chosen by lot, and the same each time."""
    dice = random.Random(f"{prefix}{number}")  # noqa: S311 - repeatable
    verb: Verb = dice.choices(VERBS, _WEIGHTS)[0] if number >= _KEYS else "append"
    key = dice.choice(keys_of(prefix)) if number >= _KEYS else f"{prefix}{number}"
    sizes = [dice.choice(_SIZES) for _ in range(dice.choice((1, 1, 2, 4)))] if verb in {"append", "replace"} else []
    ids = tuple(f"{prefix}{number}.{part}.{size}" for part, size in enumerate(sizes))
    return Act(verb, number, key, f"{prefix}fork{dice.randrange(_FORKS)}", ids, dice.randint(1, 4))


def words_of(message_id: str) -> str:
    """Return the content of a message, made from its id: a word of its own, over and over."""
    word = word_of(message_id)
    return (f"{word} " * (int(message_id.rpartition(".")[2]) // len(word) + 1)).strip()


def word_of(message_id: str) -> str:
    """Return the word that is in no other message."""
    return f"x{hashlib.sha256(message_id.encode()).hexdigest()[:20]}"


def do(store: OwnStore, act: Act) -> None:
    """Do an act; what the store refuses it has not done."""
    with suppress(*_REFUSALS):
        _DOINGS[act.verb](store, act)


def pictures(store: FilesStore, workspace: Path, prefix: str) -> Mapping[str, Picture]:
    """Return what can be seen of the sessions under a prefix."""
    trash = [
        (one.key, _lines(session_file.scan((workspace / "trash" / one.id).read_bytes()).messages))
        for one in store.trash(prefix)
    ]
    return _pictures(store, prefix, trash)


def words_left(seen: Iterable[Picture]) -> set[str]:
    """Return the words of all lines that still say something, dropped ones among them."""
    lines = [line for one in seen for log in (one.log or (), *one.trash) for line in log]
    return {word_of(name) for name, _, content, _ in lines if content}


def _pictures(store: OwnStore, prefix: str, trash: Sequence[tuple[str, tuple[Line, ...]]]) -> Mapping[str, Picture]:
    listed = set(store.keys(Selection(prefixes=(prefix,), archived=None)).keys)
    return {
        key: _picture(store, key, is_listed=key in listed, trash=tuple(log for one, log in trash if one == key))
        for key in keys_of(prefix)
    }


def _picture(store: OwnStore, key: str, *, is_listed: bool, trash: tuple[tuple[Line, ...], ...]) -> Picture:
    header: tuple[object, ...] | None = None
    log: tuple[Line, ...] | None = None
    standing: tuple[str, ...] = ()
    with suppress(SessionNotFoundError):
        whole, said, known = store.read(key, log=True), store.read(key), store.get(key)
        header = (known.header.title, known.header.archived, known.header.held, str(known.header.metadata))
        log, standing = _lines(whole.messages), tuple(one.id for one in said.messages)
        window = store.window(key, limit=500).messages
        assert standing == tuple(one.id for one in window), f"{key}: its window differs from its file"
        assert known.message_count == len(standing), f"{key}: its count differs from its file"
    return Picture(header, log, standing, is_listed, trash, store.is_deleted(key))


def _lines(messages: Iterable[Message]) -> tuple[Line, ...]:
    return tuple((one.id, one.role, _short(one.content), one.drops) for one in messages)


def _short(content: Json) -> str:
    """Return a text that stands for a content, and is the same for no other."""
    return f"{str(content)[:_SHOWN]} {hashlib.sha256(str(content).encode()).hexdigest()}" if content else ""


def _append(store: OwnStore, act: Act) -> None:
    store.append(act.key, act.drafts)


def _pop(store: OwnStore, act: Act) -> None:
    store.drop(act.key, Chosen(last=1), mark=act.mark)


def _rewind(store: OwnStore, act: Act) -> None:
    store.drop(act.key, Chosen(seqs=SeqRange(act.seq, act.seq + 2)), mark=act.mark)


def _clear(store: OwnStore, act: Act) -> None:
    store.drop(act.key, Chosen(everything=True), mark=act.mark)


def _replace(store: OwnStore, act: Act) -> None:
    store.replace(act.key, act.drafts, mark=act.mark)


def _fork(store: OwnStore, act: Act) -> None:
    store.create(forked(store.read(act.key, log=True), None, act.other, at(act.number)))


def _compact(store: OwnStore, act: Act) -> None:
    store.compact([act.key])


def _trash(store: OwnStore, act: Act) -> None:
    store.delete(act.key, to_trash=True)


def _delete(store: OwnStore, act: Act) -> None:
    store.delete(act.key)


def _restore(store: OwnStore, act: Act) -> None:
    store.restore(act.key)


def _purge(store: OwnStore, act: Act) -> None:
    store.purge(keys=[act.key])


def _hold(store: OwnStore, act: Act) -> None:
    store.revise(act.key, Revision(held=bool(act.seq % 2), title=f"Title {act.number}"))


def _prune(store: OwnStore, act: Act) -> None:
    now: datetime = at(act.number)
    prefix = act.key.rstrip("0123456789").removesuffix("fork")
    rules = [RetentionRule(action=_ACTIONS[act.seq % 3], prefix=prefix, keep_newest=act.seq)]
    sessions = Sessions(store, now=lambda: now)
    for one in due(sessions, rules):
        let_go(sessions, one, rules)


_DOINGS: Final[Mapping[Verb, Callable[[OwnStore, Act], None]]] = {
    "append": _append,
    "pop": _pop,
    "rewind": _rewind,
    "clear": _clear,
    "replace": _replace,
    "fork": _fork,
    "compact": _compact,
    "trash": _trash,
    "delete": _delete,
    "restore": _restore,
    "purge": _purge,
    "hold": _hold,
    "prune": _prune,
}


def live(workspace: Path, prefix: str, numbers: Iterable[int], note: Callable[[bytes], object]) -> None:
    """Do acts in a workspace, noting each try and each answer."""
    store = FilesStore.open(workspace, lock_timeout_s=60)
    for number in numbers:
        act = act_at(prefix, number)
        note(b"try %d\n" % number)
        do_at_last(store, act)
        note(b"ack %d\n" % number)
    store.close()


def do_at_last(store: FilesStore, act: Act) -> None:
    """Do an act, again and again while others keep the store busy."""
    while True:
        with suppress(BusyError):
            return do(store, act)


if __name__ == "__main__":
    PLANTS[sys.argv[4]]()
    live(Path(sys.argv[1]), sys.argv[2], range(int(sys.argv[3])), lambda line: os.write(1, line))
