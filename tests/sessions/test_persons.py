"""People: links, confinement, filters, and histories merged over sessions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from chatkeep.core.life.people import PERSON_KEYS_MAX, Person
from chatkeep.core.model import Revision, Selection
from chatkeep.core.standing import SeqRange
from chatkeep.errors import (
    ConflictError,
    InvalidCursorError,
    InvalidError,
    NotFoundError,
    SessionNotFoundError,
    StorageError,
)
from chatkeep.sessions.confinement import Confinement
from chatkeep.sessions.people_file import PEOPLE_FILE, PeopleFile
from chatkeep.sessions.persons import People
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.files.store import FilesStore
from chatkeep.store.memory import MemoryStore
from chatkeep.testing import draft, search_for


@pytest.fixture(params=["memory", "files"])
def sessions(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sessions]:
    """Yield sessions of three channels, with a word that all of them have."""
    store = MemoryStore() if request.param == "memory" else FilesStore.open(tmp_path)
    with closing(store):
        sessions = Sessions(store, reach=Confinement(people=PeopleFile(tmp_path)))
        sessions.append("telegram:1", [draft(f"needle t{n}", n * 10, id=f"t{n}") for n in (1, 2, 3)])
        sessions.append("discord:2", [draft(f"needle d{n}", n * 10 + 5, id=f"d{n}") for n in (1, 2)])
        sessions.append("slack:3", [draft("needle s1", 40, id="s1")])
        yield sessions


@pytest.fixture
def people(sessions: Sessions) -> People:
    """Return the people, with one of two sessions."""
    people = People(sessions)
    people.link("alice", ["telegram:1", "discord:2"])
    return people


def found(sessions: Sessions, name: str) -> tuple[set[str], set[str], tuple[str, ...]]:
    """Return what a list, a search and the keys find by person."""
    chosen = Selection(person=name, archived=None)
    hits = sessions.search(search_for("needle", selection=chosen, unit="message")).hits
    listed = {one.header.key for one in sessions.list(chosen).sessions}
    return listed, {hit.key for hit in hits}, sessions.keys(chosen).keys


def test_link_and_unlink(sessions: Sessions, people: People) -> None:
    """Linked sessions are found by person, unlinked ones are not, and no session changes."""
    before = sessions.read("telegram:1", log=True)
    assert (Person(person="alice", keys=("discord:2", "telegram:1")),) == people.all()
    keys = {"discord:2", "telegram:1"}
    assert (keys, keys, ("discord:2", "telegram:1")) == found(sessions, "alice")
    assert ("discord:2",) == people.unlink(["discord:2"])
    assert ({"telegram:1"}, {"telegram:1"}, ("telegram:1",)) == found(sessions, "alice")
    people.unlink(["telegram:1"])
    assert () == people.all()
    assert (set(), set(), ()) == found(sessions, "alice")
    assert before == sessions.read("telegram:1", log=True)


def test_link_refused(people: People) -> None:
    """A missing session, a key of another person, no key, too many and a bad name link nothing."""
    for error, name, keys in (
        (SessionNotFoundError, "alice", ["slack:3", "gone:1"]),
        (ConflictError, "bob", ["slack:3", "telegram:1"]),
        (InvalidError, "bob", []),
        (InvalidError, " ", ["slack:3"]),
        (InvalidError, "a\nb", ["slack:3"]),
    ):
        with pytest.raises(error):
            people.link(name, keys)
    with pytest.raises(NotFoundError, match="belongs to nobody"):
        people.unlink(["telegram:1", "slack:3"])
    assert [("alice", ("discord:2", "telegram:1"))] == [(one.person, one.keys) for one in people.all()]


def test_link_too_many(tmp_path: Path) -> None:
    """A person has a bounded number of keys; one more changes nothing."""
    book = PeopleFile(tmp_path)
    book.link("alice", [f"a:{number}" for number in range(PERSON_KEYS_MAX)])
    with pytest.raises(InvalidError, match="more than"):
        book.link("alice", ["b:1"])
    assert PERSON_KEYS_MAX == len(book.keys_of("alice"))


def test_link_after_a_deletion(sessions: Sessions, people: People) -> None:
    """A deleted session is found no more, and its key can be unlinked; a link of an archived one stays."""
    sessions.delete("discord:2")
    sessions.revise("telegram:1", Revision(archived=True))
    assert ({"telegram:1"}, {"telegram:1"}, ("telegram:1",)) == found(sessions, "alice")
    assert 0 == sessions.list(Selection(person="alice")).total
    assert ["t1", "t2", "t3"] == [one.message.id for one in people.history("alice").said]
    people.unlink(["discord:2"])
    assert ("telegram:1",) == people.get("alice").keys


def test_people_within_a_prefix(sessions: Sessions, people: People) -> None:
    """Who is confined sees and links the keys under the prefix alone, in lists, searches and histories too."""
    people.link("bob", ["slack:3"])
    confined = sessions.confined("telegram:")
    own = People(confined)
    assert (Person(person="alice", keys=("telegram:1",)),) == own.all()
    assert ({"telegram:1"}, {"telegram:1"}, ("telegram:1",)) == found(confined, "alice")
    assert (set(), set(), ()) == found(confined, "bob")
    assert {"telegram:1"} == {one.session for one in own.history("alice").said}
    with pytest.raises(NotFoundError):
        own.history("bob")
    for refused in (lambda: own.link("alice", ["slack:3"]), lambda: own.unlink(["discord:2"])):
        with pytest.raises(SessionNotFoundError):
            refused()
    assert ("discord:2", "telegram:1") == people.get("alice").keys


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_history_by_pages(people: People, limit: int) -> None:
    """Pages go back in time over all sessions, without a gap or a repetition, and end."""
    seen: list[str] = []
    cursor = None
    while True:
        page = people.history("alice", limit=limit, cursor=cursor)
        seen = [one.message.id for one in page.said] + seen
        cursor = page.next_cursor
        if cursor is None:
            break
    assert ["t1", "d1", "t2", "d2", "t3"] == seen


def test_history_of_times_out_of_order(sessions: Sessions, people: People) -> None:
    """Within a session the order is that of the log, whatever the times say; what was dropped is left out."""
    sessions.append("telegram:1", [draft("late", 1, id="t4"), draft("", 60, id="t5", role="event")])
    sessions.append("telegram:1", [draft("later", 70, id="t6", drops=(SeqRange(2, 2),))])
    ids = [one.message.id for one in people.history("alice").said]
    assert ["t1", "t3", "t4", "t6"] == [one for one in ids if one.startswith("t")]
    assert "t6" == ids[-1]


def test_history_beside_writers(sessions: Sessions, people: People) -> None:
    """A page after another one neither repeats nor skips a message, while others append."""
    first = people.history("alice", limit=2)
    sessions.append("discord:2", [draft("new", 90, id="d3")])
    second = people.history("alice", limit=50, cursor=first.next_cursor)
    assert ["t1", "d1", "t2", "d2", "t3"] == [one.message.id for one in (*second.said, *first.said)]


def test_history_of_long_sessions(sessions: Sessions, people: People) -> None:
    """Sessions longer than a reading are merged as well, each message once."""
    sessions.append("telegram:1", [draft(f"t {n}", 100 + 2 * n, id=f"t{n}") for n in range(10, 75)])
    sessions.append("discord:2", [draft(f"d {n}", 101 + 2 * n, id=f"d{n}") for n in range(10, 75)])
    page = people.history("alice", limit=130)
    assert [f"{name}{n}" for n in range(10, 75) for name in "td"] == [one.message.id for one in page.said]
    assert 5 == len(people.history("alice", cursor=page.next_cursor).said)


def test_history_with_a_bad_cursor(people: People) -> None:
    """A cursor of another person, of links changed since, or none of ours is refused."""
    cursor = people.history("alice", limit=1).next_cursor
    assert cursor is not None
    people.link("bob", ["slack:3"])
    for name, bad in (("bob", cursor), ("alice", "x"), ("alice", cursor + "A"), ("alice", "é")):
        with pytest.raises(InvalidCursorError):
            people.history(name, cursor=bad)
    people.unlink(["discord:2"])
    with pytest.raises(InvalidCursorError):
        people.history("alice", cursor=cursor)


@pytest.mark.parametrize(
    "content", ["", "{", '{"format":1}', '{"format":2,"people":[]}', '{"format":1,"people":[],"x":1}']
)
def test_people_of_a_broken_file(tmp_path: Path, content: str) -> None:
    """A file that is not ours, or broken, is neither overwritten nor taken for an empty one."""
    (tmp_path / PEOPLE_FILE).write_text(content)
    (tmp_path / PEOPLE_FILE).chmod(0o600)
    book = PeopleFile(tmp_path)
    for act in (book.all, lambda: book.link("alice", ["a"]), lambda: book.unlink(["a"]), lambda: book.keys_of("alice")):
        with pytest.raises(StorageError):
            act()
    assert content == (tmp_path / PEOPLE_FILE).read_text()


def test_people_file_of_two_processes(tmp_path: Path) -> None:
    """What one links the other sees, and the file is its owner's alone."""
    one, other = PeopleFile(tmp_path), PeopleFile(tmp_path)
    assert () == other.all()
    one.link("alice", ["a"])
    assert ("a",) == other.keys_of("alice")
    other.link("bob", ["b"])
    other.unlink(["a"])
    assert [("bob", ("b",))] == [(each.person, each.keys) for each in one.all()]
    assert 0o600 == (tmp_path / PEOPLE_FILE).stat().st_mode & 0o777


def test_people_without_a_list() -> None:
    """Sessions without a list of people find nobody, and say so where somebody is linked."""
    sessions = Sessions(MemoryStore())
    sessions.append("a", [draft("needle")])
    assert (set(), set(), ()) == found(sessions, "alice")
    with pytest.raises(NotFoundError, match="no list of people"):
        People(sessions).link("alice", ["a"])
