"""Appends from memory: what the last append left serves the next one, and never hides what others did meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from chatkeep.core.model import Draft, Revision
from chatkeep.core.standing import SeqRange
from chatkeep.errors import CountConflictError, MessageConflictError
from chatkeep.store.files.store import FilesStore
from chatkeep.store.files.writing import known_ends
from chatkeep.testing.samples import draft

_KEY = "cli:a"


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[FilesStore, FilesStore]]:
    """Yield two stores over one workspace, as two processes have them."""
    with closing(FilesStore.open(tmp_path)) as one, closing(FilesStore.open(tmp_path)) as other:
        yield one, other


def _say(store: FilesStore, *numbers: int) -> None:
    for number in numbers:
        store.append(_KEY, [_message(number)])


def _message(number: int, text: str = "line") -> Draft:
    return draft(f"{text} {number}", number, id=f"id-{number}")


def _count_lookups(monkeypatch: pytest.MonkeyPatch, store: FilesStore) -> list[str]:
    found: list[str] = []
    index = store._upkeep.index
    asked = index.row_and_spots

    def row_and_spots(name: str, key: str, ids: object) -> object:
        found.append(key)
        return asked(name, key, ids)  # type: ignore[arg-type]

    monkeypatch.setattr(index, "row_and_spots", row_and_spots)
    return found


def test_append_again_and_again_asks_the_index_once(
    two: tuple[FilesStore, FilesStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the first append to a session looks it up."""
    _say(two[0], 1)
    lookups = _count_lookups(monkeypatch, two[0])
    _say(two[0], *range(2, 12))
    assert [_KEY] == lookups
    assert 11 == two[1].get(_KEY).line_count


def test_append_after_another_process(two: tuple[FilesStore, FilesStore]) -> None:
    """A session written by two processes in turn has all their messages, each once, in the order of the appends."""
    for number in range(1, 41):
        _say(two[number % 3 == 0], number)
    _say(two[0], *range(1, 41))
    _say(two[1], *range(1, 41))
    for store in two:
        messages = store.window(_KEY, limit=100).messages
        assert [(number, f"id-{number}") for number in range(1, 41)] == [(one.seq, one.id) for one in messages]


def test_append_what_is_known_by_memory(two: tuple[FilesStore, FilesStore]) -> None:
    """A repetition stores nothing, other content of the id is refused, and so is a count that does not hold."""
    store, _ = two
    _say(store, 1, 2, 3, 4)
    for number in range(1, 5):
        assert 0 == store.append(_KEY, [_message(number)]).stored_count
        with pytest.raises(MessageConflictError):
            store.append(_KEY, [_message(number, "another")])
    with pytest.raises(CountConflictError):
        store.append(_KEY, [_message(5)], expect_count=3)
    assert (5, 1) == ((told := store.append(_KEY, [_message(5)], expect_count=4)).message_count, told.stored_count)


@pytest.mark.parametrize("change", ["rename", "drop", "delete", "edit", "reindex"])
def test_append_after_a_change_of_another_kind(two: tuple[FilesStore, FilesStore], tmp_path: Path, change: str) -> None:
    """What another process made of the session counts at once, whatever this one remembers of it."""
    one, other = two
    _say(one, 1, 2, 3)
    _CHANGES[change](other, tmp_path)
    told = one.append(_KEY, [_message(9)])
    lines = one.read(_KEY, log=True).messages
    assert told.message_count == len(lines) == other.get(_KEY).line_count
    assert list(range(1, len(lines) + 1)) == [line.seq for line in lines]
    assert "id-9" == lines[-1].id
    assert one.get(_KEY) == other.get(_KEY)


def _rename(store: FilesStore, _: Path) -> None:
    store.revise(_KEY, Revision(title="Another"))


def _drop(store: FilesStore, _: Path) -> None:
    store.append(_KEY, [replace(_message(4), drops=(SeqRange(2, 3),))])


def _delete(store: FilesStore, _: Path) -> None:
    store.delete(_KEY)
    _say(store, 7)


def _edit(_: FilesStore, workspace: Path) -> None:
    (path,) = (workspace / "sessions").iterdir()
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content.replace(b"line 2", b"LINE 2"))


def _reindex(store: FilesStore, _: Path) -> None:
    store.reindex()


_CHANGES: dict[str, Callable[[FilesStore, Path], None]] = {
    "rename": _rename,
    "drop": _drop,
    "delete": _delete,
    "edit": _edit,
    "reindex": _reindex,
}


def test_append_to_more_sessions_than_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded: sessions and long ones fall out of it, and their appends go on by the index."""
    monkeypatch.setattr(known_ends, "_SESSIONS_MAX", 3)
    monkeypatch.setattr(known_ends, "_KEPT_LINES_MAX", 4)
    with closing(FilesStore.open(tmp_path)) as store:
        for number in range(1, 13):
            for place in range(5):
                store.append(f"cli:{place}", [_message(number)])
                assert len(store._writer._ends._ends) <= 3
        for place in range(5):
            _say_all = [store.append(f"cli:{place}", [_message(number)]).stored_count for number in range(1, 13)]
            assert [0] * 12 == _say_all
            assert 12 == store.get(f"cli:{place}").line_count
