"""The use cases add to a store: rules for what comes in, ids and times, and confinement."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta, timezone
from itertools import count

import pytest

from chatkeep.core.bounds import MESSAGE_BYTES_MAX, METADATA_BYTES_MAX
from chatkeep.core.life.dropping import Chosen, Mark
from chatkeep.core.model import Draft, Message, Revision, Selection
from chatkeep.core.usage.spending import UsageQuery
from chatkeep.errors import (
    ForbiddenError,
    InvalidError,
    InvalidKeyError,
    SessionNotFoundError,
    TooLargeError,
)
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.memory import MemoryStore
from chatkeep.testing import at, draft, search_for, session, talk

MINE, THEIRS = "mine:1", "theirs:1"


@pytest.fixture
def sessions() -> Sessions:
    """Return use cases over an empty store, with a clock that stands still and ids 1, 2, 3 ..."""
    ids = count(1)
    return Sessions(MemoryStore(), now=lambda: at(100), new_id=lambda _: str(next(ids)))


@pytest.fixture
def confined(sessions: Sessions) -> Sessions:
    """Return use cases confined to `mine:`, over a store with a session there and one elsewhere."""
    sessions.append(MINE, talk(2))
    sessions.append(THEIRS, talk(2))
    return sessions.confined("mine:")


def test_append_fills_in_ids_and_times(sessions: Sessions) -> None:
    """A message without id and time gets both; one with them keeps them, its time in UTC."""
    tokyo = at(0).astimezone(timezone(timedelta(hours=9)))
    sessions.append(MINE, [Draft(role="user", content="a"), Draft(role="user", content="b", id="x", sent_at=tokyo)])
    found = [(said.id, said.sent_at, said.sent_at.utcoffset()) for said in sessions.window(MINE).messages]

    assert [("1", at(100), timedelta(0)), ("x", at(0), timedelta(0))] == found


def test_append_notes_the_time_of_storing(sessions: Sessions) -> None:
    """A time that the sender says gets the time of storing beside it; the sender cannot say that one."""
    sessions.append(MINE, [draft("a", 1, stored_at=at(2)), Draft(role="user", content="b", stored_at=at(2))])

    assert [(at(1), at(100)), (at(100), None)] == [(one.sent_at, one.stored_at) for one in sessions.read(MINE).messages]


def test_drop_notes_the_time_of_storing(sessions: Sessions) -> None:
    """A mark with a time of the sender has the time of storing, too."""
    sessions.append(MINE, talk(2))
    sessions.drop(MINE, Chosen(last=1), mark=Mark(sent_at=at(3)))

    assert at(100) == sessions.read(MINE, log=True).messages[-1].stored_at


def test_fork_keeps_the_time_of_storing(sessions: Sessions) -> None:
    """The messages of a fork keep both of their times, also where they were stored first."""
    sessions.append(MINE, [draft("a", 1)])
    stored = sessions.read(MINE).messages
    later = sessions.at(at(500), lambda _: "later")
    later.fork(MINE, new_key="mine:2")

    assert stored == sessions.read("mine:2").messages
    assert at(100) == stored[0].stored_at


def test_append_makes_ids_in_order() -> None:
    """Ids that are made sort as the messages stand, in one batch and over many, on a clock that stands still."""
    sessions = Sessions(MemoryStore(), now=lambda: at(100))
    for size in (1000, 1, 100):
        sessions.confined("mine:").append(MINE, [Draft(role="user", content="a") for _ in range(size)])
    ids = [said.id for said in sessions.read(MINE).messages]

    assert sorted(set(ids)) == ids


DECOMPOSED, COMPOSED = "cafe\u0301", "caf\u00e9"


def test_names_are_compared_composed(sessions: Sessions) -> None:
    """A prefix, a channel and a tag mean the same in either spelling, stored or asked for."""
    key = f"{DECOMPOSED}:1"
    sessions.append(key, talk(2), channel=DECOMPOSED)
    sessions.revise(key, Revision(tags=(DECOMPOSED, COMPOSED)))
    header = sessions.get(key).header
    assert (f"{COMPOSED}:1", COMPOSED, (COMPOSED,)) == (header.key, header.channel, header.tags)
    for name in (DECOMPOSED, COMPOSED):
        for selection in (Selection(prefixes=(name,)), Selection(channel=name), Selection(tags=(name,))):
            assert 1 == sessions.list(selection).total
            assert [header.key] == list(sessions.keys(selection).keys)
            assert 1 == len(list(sessions.read_all(selection)))
            assert 1 == len(sessions.search(search_for("line", selection=selection)).hits)
        assert (1, 1) == (sessions.status(name).session_count, sessions.stats(name).session_count)
        assert 1 == sessions.confined(name).list().total
        assert sessions.confined(name).sees(header.key)
        assert 1 == Sessions(sessions._store, prefix=name).list().total


def test_prefix_cut_within_a_letter(sessions: Sessions) -> None:
    """A prefix is what it spells: a letter without its accent is another one."""
    sessions.append(f"{COMPOSED}:1", talk(2))
    assert 0 == sessions.list(Selection(prefixes=("cafe",))).total
    assert 1 == sessions.list(Selection(prefixes=("caf",))).total


def test_append_without_a_key(sessions: Sessions) -> None:
    """A key is made, of the form that grip-ai's Sessions API names; a confined one is made under its prefix."""
    key = sessions.append(None, [draft()]).key

    assert (4 + 12, "api:") == (len(key), key[:4])
    assert sessions.confined("mine:").append(None, [draft()]).key.startswith("mine:")


def test_read_all_goes_on_page_by_page(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every session comes once, by key; one that is deleted meanwhile is left out."""
    monkeypatch.setattr("chatkeep.sessions.sessions._KEYS_AT_ONCE", 2)
    for number in range(7):
        sessions.append(f"s:{number}", talk(1))
    read = sessions.read_all(Selection())
    first = next(read).header.key
    sessions.delete("s:1")
    sessions.delete("s:4")

    assert ["s:0", "s:2", "s:3", "s:5", "s:6"] == [first, *(one.header.key for one in read)]


@pytest.mark.parametrize("number", [0, 1001])
def test_append_too_few_or_many(sessions: Sessions, number: int) -> None:
    """An append has 1 to 1000 messages."""
    with pytest.raises(InvalidError):
        sessions.append(MINE, [draft()] * number)


@pytest.mark.parametrize(
    "said",
    [
        draft("nul \0"),
        draft("half \ud800"),
        draft(None),
        draft([1]),
        draft("x", id="line\nbreak"),
        draft("x", id="y" * 129),
        Draft(role="user", content="x", id=""),
        draft("x", metadata={"deep": ["\0"]}),
    ],
)
def test_append_breaking_a_rule(sessions: Sessions, said: Draft) -> None:
    """One message that breaks a rule keeps the whole append out."""
    with pytest.raises(InvalidError):
        sessions.append(MINE, [draft(), said])
    with pytest.raises(SessionNotFoundError):
        sessions.get(MINE)


def test_append_too_large(sessions: Sessions) -> None:
    """A message has at most 16 MiB."""
    with pytest.raises(TooLargeError):
        sessions.append(MINE, [draft("x" * MESSAGE_BYTES_MAX)])


@pytest.mark.parametrize("key", ["", " a", "a ", "a\nb", "\ud800", "x" * 129, "a\u200b", "a\u202eb"])
def test_verbs_with_a_bad_key(sessions: Sessions, key: str) -> None:
    """No verb takes what is no key."""
    verbs: list[Callable[[], object]] = [
        lambda: sessions.append(key, [draft()]),
        lambda: sessions.get(key),
        lambda: sessions.read(key),
        lambda: sessions.window(key),
        lambda: sessions.rename(key, "x"),
        lambda: sessions.delete(key),
        lambda: sessions.merge(session(key)),
    ]
    for verb in verbs:
        with pytest.raises(InvalidKeyError):
            verb()


def test_key_in_another_form(sessions: Sessions) -> None:
    """Two spellings of one text are one session."""
    sessions.append("cafe\u0301", [draft()])

    assert "café" == sessions.get("café").header.key


def test_confined_reads(confined: Sessions) -> None:
    """A confined caller finds, lists and counts its own, and nothing else exists."""
    verbs: list[Callable[[], object]] = [
        lambda: confined.get(THEIRS),
        lambda: confined.read(THEIRS),
        lambda: confined.window(THEIRS),
        lambda: confined.rename(THEIRS, "x"),
        lambda: confined.delete(THEIRS),
    ]
    for verb in verbs:
        with pytest.raises(SessionNotFoundError):
            verb()
    keys, listed = confined.keys(), confined.list()
    assert ((MINE,), 1) == (keys.keys, keys.total)
    assert ([MINE], 1) == ([one.header.key for one in listed.sessions], listed.total)
    assert [MINE] == [hit.key for hit in confined.search(search_for("line")).hits]
    assert [MINE] == [one.header.key for one in confined.read_all(Selection())]
    assert (MINE,) == confined.existing([THEIRS, MINE])
    assert 1 == confined.status().session_count
    assert 1 == confined.stats().session_count
    assert 0 == confined.stats("elsewhere:", unit="day").session_count


def test_confined_writes(sessions: Sessions, confined: Sessions) -> None:
    """A confined caller cannot write elsewhere, and what it deletes in bulk is its own."""
    with pytest.raises(ForbiddenError):
        confined.append(THEIRS, [draft()])
    with pytest.raises(ForbiddenError):
        confined.merge(session(THEIRS, talk(3)))
    assert (MINE,) == confined.delete_all([THEIRS, MINE])
    assert (THEIRS,) == sessions.keys().keys


def test_confined_to_a_foreign_prefix(confined: Sessions) -> None:
    """A filter cannot widen what a caller is confined to."""
    assert () == confined.keys(Selection(prefixes=("theirs:",))).keys
    assert (MINE,) == confined.keys(Selection(prefixes=("m",))).keys


@pytest.mark.parametrize("limit", [0, -1, 501])
def test_limits_out_of_range(sessions: Sessions, limit: int) -> None:
    """A list and a window have 1 to 500 entries."""
    sessions.append(MINE, talk(1))
    with pytest.raises(InvalidError):
        sessions.list(limit=limit)
    with pytest.raises(InvalidError):
        sessions.window(MINE, limit=limit)


def test_window_for_a_model(sessions: Sessions) -> None:
    """A window within a token budget has the newest messages that fit."""
    sessions.append(MINE, [draft("x" * 400, number) for number in range(5)])
    window = sessions.window(MINE, max_tokens=250)

    assert ([4, 5], True) == ([said.seq for said in window.messages], window.has_more)


@pytest.mark.parametrize(
    "revision",
    [
        Revision(title=" "),
        Revision(title="x" * 201),
        Revision(title="a\0"),
        Revision(tags=("",)),
        Revision(tags=("x" * 65,)),
        Revision(tags=tuple(map(str, range(65)))),
        Revision(metadata={"x": "y" * METADATA_BYTES_MAX}),
    ],
)
def test_revise_breaking_a_rule(sessions: Sessions, revision: Revision) -> None:
    """A value that breaks its rule changes nothing."""
    sessions.append(MINE, talk(1))
    before = sessions.get(MINE)
    with pytest.raises(InvalidError):
        sessions.revise(MINE, revision)

    assert before == sessions.get(MINE)


def test_merge_breaking_a_rule(sessions: Sessions) -> None:
    """A session from elsewhere that breaks a rule is not taken in, and the message is named."""
    bad = session(MINE, [draft("fine", id="1"), draft("nul \0", id="2")])
    with pytest.raises(InvalidError, match=r"messages\[2\]"):
        sessions.merge(bad)
    with pytest.raises(SessionNotFoundError):
        sessions.get(MINE)


def test_delete_all_leaves_out_what_is_missing(sessions: Sessions) -> None:
    """Bulk deletion answers the keys that were there."""
    sessions.append(MINE, talk(1))

    assert (MINE,) == sessions.delete_all([MINE, "missing", MINE])


def test_usage_of_a_fork_after_a_drop(sessions: Sessions) -> None:
    """A fork counts each answer of its own, also where fewer lines were copied than the origin has."""
    sessions.append(MINE, talk(6))
    sessions.drop(MINE, Chosen(last=4))
    assert 2 == sessions.fork(MINE, new_key=THEIRS).summary.line_count
    told = {"usage": {"input": 5, "output": 1}}
    sessions.append(THEIRS, [Draft(role="assistant", content="own", metadata=told)])

    assert 1 == sessions.usage(UsageQuery(session=THEIRS)).total.call_count


def test_message_id_sorts_by_time(sessions: Sessions) -> None:
    """Made ids are unique and sort by their time."""
    store = MemoryStore()
    times = iter(at(seconds) for seconds in range(100))
    timed = Sessions(store, now=lambda: next(times))
    for _ in range(50):
        timed.append(MINE, [Draft(role="user", content="x")])
    ids = [said.id for said in timed.window(MINE, limit=500).messages]

    assert (sorted(set(ids)), 26) == (ids, len(ids[0]))
    assert isinstance(timed.window(MINE).messages[0], Message)


def test_confined_twice(confined: Sessions) -> None:
    """Confinement can be narrowed, never widened."""
    assert () == confined.confined("mine:2").keys().keys
    with pytest.raises(ForbiddenError):
        confined.confined("")
