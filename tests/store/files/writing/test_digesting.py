"""Lines that drop others, in files: formats, layouts, damage, the index, and the cost."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from chatkeep.core.model import Json, Message
from chatkeep.core.standing import SeqRange, said
from chatkeep.store.files.care.checkup import examined
from chatkeep.store.files.store import FilesStore
from chatkeep.store.files.tree.tree import file_name
from chatkeep.testing import draft, search_for, talk

KEY = "telegram:1"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilesStore]:
    """Yield an open store."""
    with closing(FilesStore.open(tmp_path, durability="none")) as opened:
        yield opened


def pop(store: FilesStore, *ranges: tuple[int, int], key: str = KEY) -> None:
    """Drop ranges of seqs."""
    store.append(key, [draft("", 99, role="event", drops=tuple(SeqRange(*one) for one in ranges))])


def contents(store: FilesStore) -> list[object]:
    """Return what stands."""
    return [message.content for message in store.window(KEY, limit=500).messages]


def path_of(workspace: Path) -> Path:
    """Return the session's file."""
    return workspace / "sessions" / file_name(KEY)


def as_format_1(workspace: Path) -> None:
    """Make the session one of format 1."""
    path = path_of(workspace)
    path.write_bytes(path.read_bytes().replace(b'{"format":2,', b'{"format":1,', 1))


def test_pop_keeps_every_line_for_other_readers(store: FilesStore, tmp_path: Path) -> None:
    """The file is JSON with every line as it was said, and the documented fold finds what stands."""
    store.append(KEY, talk(4))
    pop(store, (2, 2), (4, 4))
    lines = json.loads(path_of(tmp_path).read_bytes())["messages"]
    gone = {seq for line in lines for first, last in line.get("drops", ()) for seq in range(first, last + 1)}
    assert ["line 1", "line 3"] == [
        line["content"] for line in lines if line["seq"] not in gone and line["role"] != "event"
    ]
    assert [1, 2, 3, 4, 5] == [line["seq"] for line in lines]
    assert all({"role", "content", "timestamp", "id"} <= line.keys() for line in lines)


def test_pop_takes_a_file_of_format_1_to_format_2(tmp_path: Path) -> None:
    """A file begun by an older version is read and appended to as it is; its first drop makes it one of format 2."""
    with closing(FilesStore.open(tmp_path)) as store:
        store.append(KEY, talk(3))
    as_format_1(tmp_path)
    with closing(FilesStore.open(tmp_path)) as store:
        store.append(KEY, [draft("more", 4)])
        assert path_of(tmp_path).read_bytes().startswith(b'{"format":1,')
        pop(store, (2, 3))
        assert path_of(tmp_path).read_bytes().startswith(b'{"format":2,')
        assert ["line 1", "more"] == contents(store)
    assert [] == list(examined(tmp_path))


def test_index_built_anew_has_what_stands(tmp_path: Path) -> None:
    """Without its index a workspace tells the same, and its audit finds no fault."""
    with closing(FilesStore.open(tmp_path)) as store:
        store.append("other:1", talk(2))
        for turn in range(3):
            store.append(KEY, [draft(f"zebra {turn}", turn), draft("state", turn, role="event")])
            store.append("other:1", [draft("between")])
        pop(store, (1, 2), (5, 5))
        before = store.get(KEY)
        assert [] == list(examined(tmp_path))
    for path in tmp_path.glob("index*"):
        path.unlink()
    with closing(FilesStore.open(tmp_path)) as store:
        after = store.get(KEY)
        assert (before.line_count, before.message_count, before.title) == (
            after.line_count,
            after.message_count,
            after.title,
        )
        assert ["zebra 1"] == contents(store)
        assert [3] == [hit.seq for hit in store.search(search_for("zebra", unit="message")).hits]
        assert [4, 6] == sorted(hit.seq for hit in store.search(search_for("state", unit="message", roles=None)).hits)
    assert [] == list(examined(tmp_path))


def test_file_rewritten_with_fewer_lines_keeps_what_is_dropped(tmp_path: Path) -> None:
    """Another program takes lines out and writes another layout: the same messages are gone as before."""
    with closing(FilesStore.open(tmp_path)) as store:
        store.append(KEY, talk(6))
        pop(store, (3, 4))
    document = json.loads(path_of(tmp_path).read_bytes())
    del document["messages"][0]
    path_of(tmp_path).write_text(json.dumps(document, indent=1))
    with closing(FilesStore.open(tmp_path)) as store:
        assert ["line 2", "line 5", "line 6"] == contents(store)
        assert 6 == store.get(KEY).line_count


def test_torn_drop_drops_nothing(tmp_path: Path) -> None:
    """An append that was cut never happened: what it was to drop stands."""
    with closing(FilesStore.open(tmp_path)) as store:
        store.append(KEY, talk(3))
        size = path_of(tmp_path).read_bytes().index(b"],")
        pop(store, (2, 3))
    data = path_of(tmp_path).read_bytes()
    path_of(tmp_path).write_bytes(data[: size + 40].ljust(len(data), b"\n"))
    with closing(FilesStore.open(tmp_path)) as store:
        assert ["line 1", "line 2", "line 3"] == contents(store)
        assert 3 == store.get(KEY).line_count


def test_other_process_sees_a_drop_at_once(tmp_path: Path) -> None:
    """A second store on the workspace finds nothing of what the first one dropped."""
    with closing(FilesStore.open(tmp_path)) as one, closing(FilesStore.open(tmp_path)) as other:
        one.append(KEY, [draft("zebra", 1), draft("lion", 2)])
        assert 1 == len(other.search(search_for("lion")).hits)
        pop(one, (2, 2))
        assert () == other.search(search_for("lion")).hits
        assert (["zebra"], "zebra") == (contents(other), other.get(KEY).preview)


def test_document_of_a_dropped_message_is_not_given_again(store: FilesStore) -> None:
    """The words of the last message, dropped, never find a later one."""
    store.append(KEY, [draft("lion", 1), draft("zebra", 2)])
    pop(store, (1, 2))
    pop(store, (3, 3))
    store.append(KEY, [draft("tiger", 3)])
    assert () == store.search(search_for("zebra", roles=None)).hits
    assert 1 == len(store.search(search_for("tiger")).hits)


def test_pop_costs_no_more_in_a_long_session(tmp_path: Path) -> None:
    """To drop one message takes as many steps in a session of 4,000 messages as in one of 40."""
    with closing(FilesStore.open(tmp_path, durability="none")) as store:
        for key, count in (("short", 40), ("long", 4000)):
            for first in range(0, count, 1000):
                store.append(key, [draft(f"{key} {n}", n) for n in range(first, min(first + 1000, count))])
            store.append(key, [draft("one more", 9)])
            pop(store, (count + 1, count + 1), key=key)
        short, long = (
            calls_of(lambda key=key, count=count: pop(store, (count, count), key=key))  # type: ignore[misc]
            for key, count in (("short", 40), ("long", 4000))
        )
        append = calls_of(lambda: store.append("long", [draft("again", 10)]))
    assert long <= 1.2 * short
    assert long <= 2 * append


def test_title_and_preview_are_those_of_the_whole_log(store: FilesStore, tmp_path: Path) -> None:
    """Whatever is dropped, in whatever order, title and preview are what a reading of the whole file gives."""
    texts: tuple[str | list[Json], ...] = ("", "one", [{"type": "image_url"}], "two", "", "three")
    store.append(KEY, [draft(text, n, role="assistant" if n % 3 == 2 else "user") for n, text in enumerate(texts * 3)])
    for seq in (2, 18, 16, 4, 6, 8, 14, 3, 12, 10, 15, 9, 1, 17, 5, 13, 7, 11):
        pop(store, (seq, seq))
        left = said(store.read(KEY, log=True).messages)
        assert (len(left), words(left)) == (store.get(KEY).message_count, bool(store.get(KEY).preview))
    assert [] == list(examined(tmp_path))


def words(messages: Sequence[Message]) -> bool:
    """Tell whether any message gives a preview."""
    return any(message.content for message in messages)


def calls_of(work: Callable[[], object]) -> int:
    """Return the number of calls of functions that a piece of work takes, those of C included."""
    count = 0

    def seen(_frame: object, event: str, _arg: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count
