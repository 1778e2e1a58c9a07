"""Answers kept in memory are the present ones, whoever writes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chatkeep.core.model import Draft, Revision, Selection
from chatkeep.disk.short_reads import LongReadError, short_reads
from chatkeep.errors import SessionNotFoundError
from chatkeep.store.files.store import FilesStore
from chatkeep.store.files.tree.tree import file_name

ALL = Selection(archived=None)
T0 = datetime(2026, 1, 1, tzinfo=UTC)


def say(text: str, number: int) -> Draft:
    """Return a message of a user."""
    return Draft(role="user", content=text, id=f"m{number}", sent_at=T0 + timedelta(seconds=number))


def test_list_again_is_the_same_page(tmp_path: Path) -> None:
    """While nobody writes, a page is made once."""
    with_one = FilesStore.open(tmp_path)
    with_one.append("cli:a", [say("one", 1)])
    page = with_one.list(ALL, limit=5)
    assert with_one.list(ALL, limit=5) is page
    assert with_one.list(ALL, limit=6) is not page
    with_one.close()


def test_list_with_metadata_is_not_kept(tmp_path: Path) -> None:
    """Memory has a bound: metadata may have 256 KiB a session, so neither pages nor sessions with it are kept."""
    store = FilesStore.open(tmp_path)
    store.append("cli:a", [say("one", 1)])
    first, second = (store.list(ALL, limit=5, metadata=True) for _ in range(2))
    assert first == second
    assert first is not second
    assert first.sessions[0] is not second.sessions[0]
    store.close()


def test_list_after_writes_of_another_store(tmp_path: Path) -> None:
    """A page follows every change answered by another process, which has an index connection of its own."""
    here, there = FilesStore.open(tmp_path), FilesStore.open(tmp_path)
    for number in range(1, 30):
        there.append(f"cli:{number % 3}", [say(f"text {number}", number)])
        newest = here.list(ALL, limit=5).sessions[0]
        assert (f"cli:{number % 3}", f"text {number}") == (newest.header.key, newest.preview)
    there.revise("cli:1", Revision(title="Named"))
    assert "Named" in {one.title for one in here.list(ALL, limit=5).sessions}
    there.delete("cli:1")
    assert ["cli:2", "cli:0"] == [one.header.key for one in here.list(ALL, limit=5).sessions]
    here.close()
    there.close()


def test_list_after_the_index_was_removed(tmp_path: Path) -> None:
    """A page of an index that is gone is no answer."""
    store = FilesStore.open(tmp_path)
    store.append("cli:a", [say("one", 1)])
    assert 1 == store.list(ALL, limit=5).total
    for path in tmp_path.glob("index-*"):
        path.unlink()
    other = FilesStore.open(tmp_path)
    other.append("cli:b", [say("two", 2)])
    assert 2 == store.list(ALL, limit=5).total
    store.close()
    other.close()


def test_window_again_is_the_same_until_its_session_changes(tmp_path: Path) -> None:
    """A window is kept while its own session is as it was; a change of another session does not count."""
    here, there = FilesStore.open(tmp_path), FilesStore.open(tmp_path)
    there.append("cli:a", [say("one", 1)])
    window = here.window("cli:a", limit=5)
    there.append("cli:b", [say("two", 2)])
    assert here.window("cli:a", limit=5) is window
    for number in range(3, 20):
        there.append("cli:a", [say(f"text {number}", number)])
        assert f"text {number}" == here.window("cli:a", limit=5).messages[-1].content
    there.delete("cli:a")
    with pytest.raises(SessionNotFoundError):
        here.window("cli:a", limit=5)
    here.close()
    there.close()


def test_window_after_a_change_from_outside(tmp_path: Path) -> None:
    """A kept window gives way to a file that another program has written, though the index does not know yet."""
    store = FilesStore.open(tmp_path)
    store.append("cli:a", [say("one", 1), say("two", 2)])
    assert "two" == store.window("cli:a", limit=1).messages[0].content
    path = tmp_path / "sessions" / file_name("cli:a")
    path.write_bytes(path.read_bytes().replace(b'"two"', b'"six"'))
    assert "six" == store.window("cli:a", limit=1).messages[0].content
    path.unlink()
    with pytest.raises(SessionNotFoundError):
        store.window("cli:a", limit=1)
    store.close()


def test_window_of_a_large_message_is_not_kept(tmp_path: Path) -> None:
    """Memory has a bound: a large window is read each time."""
    store = FilesStore.open(tmp_path)
    store.append("cli:a", [say("x" * 100_000, 1)])
    assert store.window("cli:a", limit=1) is not store.window("cli:a", limit=1)
    store.close()


def test_many_questions_leave_the_last_answers(tmp_path: Path) -> None:
    """However many pages and windows are asked for, each answer is right."""
    store = FilesStore.open(tmp_path)
    store.append("cli:a", [say(f"text {number}", number) for number in range(1, 201)])
    for _ in range(2):
        for limit in range(1, 101):
            assert limit == len(store.window("cli:a", limit=limit).messages)
            assert 1 == store.list(ALL, limit=limit).total
    store.close()


def test_read_kept_answers_without_a_file(tmp_path: Path) -> None:
    """Under a bound of no bytes only a kept window and a row of the index are answered: an event loop may wait."""
    store = FilesStore.open(tmp_path)
    store.append("cli:a", [say("one", 1)])
    with short_reads(0):
        assert store.get("cli:a").message_count == 1
        with pytest.raises(LongReadError):
            store.window("cli:a", limit=5)
        with pytest.raises(LongReadError):  # perhaps a file that the index does not have yet
            store.get("cli:b")
    window = store.window("cli:a", limit=5)
    with short_reads(0):
        assert store.window("cli:a", limit=5) is window
    store.append("cli:a", [say("two", 2)])
    with short_reads(0), pytest.raises(LongReadError):
        store.window("cli:a", limit=5)
    store.close()
