"""Conversations that are sent again and again are stored once, every branch of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.history.completions import drafts_of_request
from chatkeep.core.history.recognition import fork_key
from chatkeep.core.history.tape.tape import Tape
from chatkeep.core.history.windows import Window, fitting, for_openai
from chatkeep.core.model import Appended, Draft, Message, Selection
from chatkeep.core.standing import Role
from chatkeep.core.usage.spending import UsageQuery
from chatkeep.errors import BusyError, ForbiddenError
from chatkeep.model import recording
from chatkeep.model.asked import Asked
from chatkeep.model.places import Root
from chatkeep.model.recording import Recording, hold, root_of
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.files.store import FilesStore
from chatkeep.store.memory import MemoryStore

ROOT = "openai:tests"
Path_ = tuple[tuple[str, str], ...]
Hold = Callable[[Sessions, str, Sequence[Draft]], str]


@pytest.fixture
def sessions() -> Sessions:
    """Sessions that nobody has used."""
    return Sessions(MemoryStore())


def test_append_only_what_is_new(sessions: Sessions) -> None:
    """A client that sends all of its conversation each turn has it stored once, in one session."""
    said: list[Draft] = []
    for turn in range(30):
        said.append(user(f"question {turn}"))
        assert ROOT == hold(sessions, ROOT, said)
        said.append(answer(f"answer {turn}"))
        assert ROOT == hold(sessions, ROOT, said)
    assert (ROOT,) == sessions.keys().keys
    assert path_of(said) == path_of(sessions.read(ROOT).messages)


def test_recognise_what_clients_change(sessions: Sessions) -> None:
    """Answers that come back trimmed, without thoughts, as parts or encoded anew are the same."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1, "b": [2]}'}}
    again = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"b":[2],"a":1}'}}
    hold(
        sessions,
        ROOT,
        [
            Draft(role="system", content="Be brief."),
            user("hello"),
            Draft(role="assistant", content="<think>\nA greeting.\n</think>\n\nHi there! ", metadata={"model": "m"}),
            user("call"),
            Draft(role="assistant", content="I call.", tool_calls=[call]),
        ],
    )
    key = hold(
        sessions,
        ROOT,
        [
            Draft(role="developer", content="Be brief."),
            Draft(role="user", content=[{"type": "text", "text": "hello"}]),
            answer("Hi there!"),
            user("call"),
            Draft(role="assistant", content=None, tool_calls=[again]),
            Draft(role="tool", content="3", tool_call_id="c1"),
        ],
    )
    assert ROOT == key
    assert 6 == len(sessions.read(ROOT).messages)


@pytest.mark.parametrize(
    "other",
    [
        Draft(role="user", content=[{"type": "image_url", "image_url": {"url": "data:image/png;base64,BBBB"}}]),
        Draft(role="user", content="", name="bob"),
        Draft(role="assistant", content="", metadata={"openai": {"refusal": "No."}}),
        Draft(role="assistant", content=None, tool_calls=[{"id": "c1", "function": {"name": "f", "arguments": "{}"}}]),
        Draft(role="tool", content="", tool_call_id="c1"),
    ],
)
def test_tell_apart_what_differs_beside_text(sessions: Sessions, other: Draft) -> None:
    """Messages without a different word may still differ."""
    same_role = Draft(role=other.role, content="", name="alice", tool_call_id="c0" if other.role == "tool" else None)
    hold(sessions, ROOT, [user("hello"), same_role])
    assert ROOT != hold(sessions, ROOT, [user("hello"), other])


def test_fork_where_a_conversation_leaves_a_session(sessions: Sessions) -> None:
    """An edit makes a session of its own, which begins with what is shared and says where it left."""
    hold(sessions, ROOT, [user("one"), answer("1"), user("two"), answer("2")])
    key = hold(sessions, ROOT, [user("one"), answer("1"), user("other")])
    assert key != ROOT
    fork, origin = sessions.read(key), sessions.read(ROOT)
    assert {"forked_from": {"session": ROOT, "seq": 2}} == fork.header.metadata
    assert origin.messages[:2] == fork.messages[:2]
    assert ["one", "1", "other"] == [message.text for message in fork.messages]
    assert ["one", "1", "two", "2"] == [message.text for message in origin.messages]


def test_count_the_tokens_of_a_fork_once(sessions: Sessions) -> None:
    """What a fork shares was paid for once, also behind an answer that was cut off."""
    usage = {"model": "m", "usage": {"input": 100, "output": 10}}
    first = msgspec.structs.replace(answer("1"), metadata=usage)
    cut = Draft(role="assistant", content="hal", metadata={"partial": True, **usage})
    hold(sessions, ROOT, [user("zero"), first, user("one")])
    sessions.append(ROOT, [cut])
    hold(sessions, ROOT, [user("zero"), first, user("one"), answer("2"), user("two")])
    key = hold(sessions, ROOT, [user("zero"), first, user("one"), answer("2"), user("other"), first])
    assert key != ROOT
    assert {"session": ROOT, "seq": 5, "copied": 4} == sessions.get(key).header.metadata["forked_from"]
    counts = {one.name: one.call_count for one in sessions.usage(UsageQuery(by="session")).rows}
    assert {ROOT: 2, key: 1} == counts


def test_retry_adds_only_the_answer(sessions: Sessions) -> None:
    """A request that is sent again before it was answered is there already."""
    said = [user("one")]
    for _ in range(3):
        assert ROOT == hold(sessions, ROOT, said)
    assert ROOT == hold(sessions, ROOT, [*said, answer("1")])
    assert 2 == len(sessions.read(ROOT).messages)


def test_retry_goes_on_after_an_answer_that_was_cut_off(sessions: Sessions) -> None:
    """What came of an answer stays, marked; the next one follows it, and so does the conversation."""
    cut = Draft(role="assistant", content="Hello wo", metadata={"partial": True, "reason": "model_cut_off"})
    whole = Draft(role="assistant", content="Hello world", metadata={"finish_reason": "stop"})
    hold(sessions, ROOT, [user("hi"), cut])
    hold(sessions, ROOT, [user("hi"), whole])
    hold(sessions, ROOT, [user("hi"), answer("Hello world"), user("more")])
    assert (ROOT,) == sessions.keys().keys
    assert ["hi", "Hello wo", "Hello world", "more"] == [said.text for said in sessions.read(ROOT).messages]


def test_stopped_answer_comes_back_shorter(sessions: Sessions) -> None:
    """Who stops an answer may have seen less of it than was stored."""
    cut = Draft(role="assistant", content="Hello world", metadata={"partial": True, "reason": "client_gone"})
    hold(sessions, ROOT, [user("hi"), cut])
    assert ROOT == hold(sessions, ROOT, [user("hi"), answer("Hello"), user("more")])
    assert ["hi", "Hello world", "more"] == [said.text for said in sessions.read(ROOT).messages]


def system(text: str) -> Draft:
    """Return a system prompt."""
    return Draft(role="system", content=text)


def called(sessions: Sessions, said: Sequence[Draft], answered: str, *, named: bool = False) -> str:
    """Have a call recorded, request and answer, and return its session."""
    call = Recording(sessions, Root(ROOT, is_named=named), said)
    call.begin()
    call.finish(answer(answered))
    assert call.key
    return call.key


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("role", ["system", "developer"])
def test_go_on_under_a_prompt_that_changes(sessions: Sessions, role: Role, *, named: bool) -> None:
    """A clock in the system prompt parts nothing: each prompt is one more message, windows have the newest."""
    said: list[Draft] = []
    for turn in range(4):
        said.append(user(f"question {turn}"))
        prompt = Draft(role=role, content=f"It is {turn} o'clock. Be brief.")
        assert ROOT == called(sessions, [prompt, *said], f"answer {turn}", named=named)
        said.append(answer(f"answer {turn}"))
    assert (ROOT,) == sessions.keys().keys
    stored = sessions.read(ROOT).messages
    assert [role, *["user", "assistant", role] * 3, "user", "assistant"] == [message.role for message in stored]
    assert [f"It is {turn} o'clock. Be brief." for turn in range(4)] == [one.text for one in stored if one.role == role]
    asked = for_openai(stored, budget=10_000)
    assert ["It is 3 o'clock. Be brief."] == [one["content"] for one in asked if one["role"] == "system"]
    shown = fitting(Window(messages=stored, has_more=False), 10_000).messages
    assert ["It is 3 o'clock. Be brief."] == [one.text for one in shown if one.role == role]


def test_keep_agents_apart_that_are_greeted_alike(sessions: Sessions) -> None:
    """Other instructions, the same first message, no answer in common: two conversations, each of which goes on."""
    agents = {"cook": "You cook. It is {}.", "pilot": "You fly. It is {}.", "": ""}
    keys = {
        name: called(sessions, [*([system(text.format(1))] if text else []), user("hi")], f"I am the {name}.")
        for name, text in agents.items()
    }
    assert 3 == len(set(keys.values()))
    for name, text in agents.items():
        said = [user("hi"), answer(f"I am the {name}."), user("more")]
        assert keys[name] == called(sessions, [*([system(text.format(2))] if text else []), *said], "well")
        assert ["hi", f"I am the {name}.", "more", "well"] == [
            message.text for message in sessions.read(keys[name]).messages if message.role != "system"
        ]


def test_keep_agents_apart_that_answer_alike(sessions: Sessions) -> None:
    """Even then each goes on where its own instructions stand, though a clock in them has moved."""
    agents = ("You cook and clean. It is {}.", "You fly planes. It is {}.")
    keys = [called(sessions, [system(text.format(1)), user("hi")], "Hello!") for text in agents]
    assert 2 == len(set(keys))
    for key, text in zip(keys, agents, strict=True):
        said = [system(text.format(2)), user("hi"), answer("Hello!"), user(text)]
        assert key == called(sessions, said, "well")


def test_fork_under_a_prompt_that_changes(sessions: Sessions) -> None:
    """An edit of a named session is a fork all the same; the new prompt stands in the fork alone."""
    called(sessions, [system("at 1"), user("one")], "1", named=True)
    called(sessions, [system("at 1"), user("one"), answer("1"), user("two")], "2", named=True)
    key = called(sessions, [system("at 2"), user("one"), answer("1"), user("other")], "3", named=True)
    assert key != ROOT
    assert ["at 1", "one", "1", "two", "2"] == [message.text for message in sessions.read(ROOT).messages]
    assert ["at 1", "one", "1", "at 2", "other", "3"] == [message.text for message in sessions.read(key).messages]
    said = [system("at 3"), user("one"), answer("1"), user("other"), answer("3"), user("more")]
    assert key == called(sessions, said, "4", named=True)


def test_store_a_reminder_between_messages_once(sessions: Sessions) -> None:
    """A system message that moves along with the talk is no new one each time."""
    said: list[Draft] = [system("Be brief.")]
    for turn in range(3):
        said.append(user(f"question {turn}"))
        called(sessions, [*said[:-1], system("Remember the rules."), said[-1]], f"answer {turn}")
        said.append(answer(f"answer {turn}"))
    (key,) = sessions.keys().keys
    prompts = [message.text for message in sessions.read(key).messages if message.role == "system"]
    assert ["Be brief.", "Remember the rules."] == prompts


def test_find_a_fork_without_its_root(sessions: Sessions) -> None:
    """A fork goes on when the session that it left was deleted."""
    hold(sessions, ROOT, [user("one"), answer("1")])
    key = hold(sessions, ROOT, [user("one"), answer("other")])
    sessions.delete(ROOT)
    assert key == hold(sessions, ROOT, [user("one"), answer("other"), user("two")])
    assert (key,) == sessions.keys().keys


def test_answer_to_a_deleted_session_is_dropped(sessions: Sessions) -> None:
    """Who deletes a session while the model answers does not get it back."""
    call = Recording(sessions, Root(ROOT), [user("one")])
    call.begin()
    sessions.delete(ROOT)
    call.finish(answer("1"))
    assert () == sessions.keys().keys


def test_make_another_key_when_one_is_taken(sessions: Sessions) -> None:
    """A session that happens to have a fork's key stays as it is."""
    said = [user("one"), answer("other")]
    hold(sessions, ROOT, [user("one"), answer("1")])
    taken = fork_key(ROOT, said)
    sessions.append(taken, [user("something else")])
    key = hold(sessions, ROOT, said)
    assert key not in (ROOT, taken)
    assert key == hold(sessions, ROOT, said)
    assert ["something else"] == [message.text for message in sessions.read(taken).messages]


def test_hold_histories_longer_than_one_append(sessions: Sessions) -> None:
    """A first request may bring any number of messages."""
    said = [user(str(number)) if number % 2 else answer(str(number)) for number in range(2500)]
    hold(sessions, ROOT, said)
    key = hold(sessions, ROOT, [*said[:2400], user("other"), *said[:1200]])
    assert path_of(said) == path_of(sessions.read(ROOT).messages)
    assert 3601 == len(sessions.read(key).messages)


def test_hold_from_many_threads_and_stores(tmp_path: Path) -> None:
    """Requests at the same time, in several processes' stores, leave every branch once."""
    stores = [FilesStore.open(tmp_path, durability="none") for _ in range(2)]
    branches = [[user("hi"), answer(f"answer {number % 4}"), user("more")] for number in range(16)]
    barrier = threading.Barrier(len(branches))

    def client(number: int) -> None:
        own = Sessions(stores[number % 2])
        barrier.wait()
        for length in (1, 2, 3):
            hold(own, ROOT, branches[number][:length])

    threads = [threading.Thread(target=client, args=(number,)) for number in range(len(branches))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check_branches(Sessions(stores[0]), branches)
    for store in stores:
        store.close()


texts = st.sampled_from(["a", "b", "c"])
moves = st.tuples(
    st.integers(0, 3), st.sampled_from(["say", "edit", "regenerate", "retry"]), texts, texts, st.integers(0, 8)
)


@given(st.lists(moves, max_size=40))
def test_store_every_branch_once(said: list[tuple[int, str, str, str, int]]) -> None:
    """Whatever clients do at once, each leaf of the tree of their conversations is one session, and no other is."""
    sessions = Sessions(MemoryStore())
    check_branches(sessions, played(sessions, said, hold))


@pytest.mark.parametrize(
    "odd, kept, is_complete",
    [
        (b'{"choices":[{"delta":{"content":"\\ud83d"}}]}', "a\ufffdb", True),
        (b"[" * 100_000, "ab", False),
    ],
)
def test_keep_what_stands_around_an_odd_event(odd: bytes, kept: str, *, is_complete: bool) -> None:
    """Half a character is told as such, and what is nested without end is left out; all else is kept."""
    event = b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n'
    tape = Tape("text/event-stream")
    tape.add(event % b"a" + b"data: " + odd + b"\n\n" + event % b"b" + b"data: [DONE]\n\n")
    assert is_complete == tape.is_complete
    draft = tape.draft(1, "cut")
    assert draft is not None
    assert kept == draft.content


@given(st.lists(moves, max_size=30), st.integers(0, 3))
def test_store_every_branch_once_without_holding_it(said: list[tuple[int, str, str, str, int]], late: int) -> None:
    """What a request said is let go of when it is stored; its answer is stored all the same, whoever came between."""
    sessions = Sessions(MemoryStore())
    waiting: list[tuple[Recording, Draft]] = []

    def answered(own: Sessions, root: str, drafts: Sequence[Draft]) -> str:
        if drafts[-1].role != "assistant":
            return hold(own, root, drafts)
        call = Recording(own, Root(root), drafts[:-1])
        call.begin()
        assert () == call._drafts
        waiting.append((call, drafts[-1]))
        while len(waiting) > late:
            finish(*waiting.pop(0))
        return str(call.key)

    branches = played(sessions, said, answered)
    for call, answer in waiting:
        finish(call, answer)
    check_branches(sessions, branches)


def finish(call: Recording, answer: Draft) -> None:
    """Have an answer stored, as it comes from a model."""
    call.finish(msgspec.structs.replace(answer, metadata={"finish_reason": "stop"}))


def test_finish_without_reading_what_is_stored(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer costs what it is itself, however long its conversation."""
    call = Recording(sessions, Root(ROOT), [user("one"), answer("1"), user("two")])
    call.begin()
    monkeypatch.setattr(Sessions, "read", None)
    call.finish(answer("2"))
    monkeypatch.undo()
    assert ["one", "1", "two", "2"] == [message.text for message in sessions.read(ROOT).messages]


def test_tell_that_sessions_have_to_be_read_first(sessions: Sessions) -> None:
    """An answer behind the end of its session is stored at once; one that others came before is not, until `finish`."""
    call = Recording(sessions, Root(ROOT), [user("one")])
    call.begin()
    other = Recording(sessions, Root(ROOT), [user("one")])
    other.begin()
    assert other.is_behind(answer("1"))
    assert not call.is_behind(answer("2"))
    assert ["one", "1"] == [message.text for message in sessions.read(ROOT).messages]
    call.finish(answer("2"))
    assert [["one", "1"], ["one", "2"]] == sorted(
        [message.text for message in sessions.read(key).messages] for key in sessions.keys().keys
    )


def test_forget_what_could_not_be_stored(sessions: Sessions) -> None:
    """A request that was given up is not stored with its answer, nor is that without it."""
    call = Recording(sessions, Root(ROOT), [user("one")])
    call.forget()
    with pytest.raises(BusyError):
        call.finish(answer("1"))
    assert () == sessions.keys().keys


def test_store_a_long_request_in_parts(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    """No append has more than two megabytes of messages, unless one has; others come between."""
    sizes: list[int] = []
    append = Sessions.append

    def noted(own: Sessions, key: str, drafts: Sequence[Draft], **options: Any) -> Appended:  # noqa: ANN401 - as `append` takes them
        sizes.append(sum(len(str(draft.content)) for draft in drafts))
        return append(own, key, drafts, **options)

    monkeypatch.setattr(Sessions, "append", noted)
    texts = ["x" * size for size in (900_000, 900_000, 900_000, 3_000_000, 10, 10)]
    hold(sessions, ROOT, [user(text) for text in texts])
    assert [1_800_000, 900_000, 3_000_000, 20] == sizes
    assert texts == [message.text for message in sessions.read(ROOT).messages]


@pytest.mark.parametrize("flaw", ["append all", "never fork", "fork anew"])
def test_find_flaws_in_recording(monkeypatch: pytest.MonkeyPatch, flaw: str) -> None:
    """The check of branches fails when recording doubles, drops or mixes them."""
    numbers = iter(range(1000))

    def append_all(sessions: Sessions, root: str, drafts: Sequence[Draft]) -> str:
        return sessions.append(root, drafts).key

    def never_fork(sessions: Sessions, root: str, drafts: Sequence[Draft]) -> str:
        count = len(sessions.read(root).messages) if root in sessions.keys().keys else 0
        return sessions.append(root, drafts[count:]).key if drafts[count:] else root

    if flaw == "fork anew":
        monkeypatch.setattr(recording, "fork_key", lambda *_: f"{ROOT}.{next(numbers)}")
    flawed = {"append all": append_all, "never fork": never_fork, "fork anew": hold}[flaw]
    sessions = Sessions(MemoryStore())
    moves = [(0, "say", "a", "b", 0), (0, "edit", "b", "a", 0), (1, "say", "a", "c", 0), (0, "say", "c", "a", 0)]
    branches = played(sessions, moves * 2, flawed)
    with pytest.raises(AssertionError):
        check_branches(sessions, branches)


def played(sessions: Sessions, moves: Sequence[tuple[int, str, str, str, int]], hold: Hold) -> list[list[Draft]]:
    """Have clients talk, and return all conversations that were sent or answered."""
    clients: list[list[Draft]] = [[], [], [], []]
    sent = []
    for number, kind, asked, answered, place in moves:
        history = clients[number]
        if kind == "edit" or not history:
            history = [*history[: place // 2 * 2], user(asked)]
        elif kind == "say":
            history = [*history, user(asked)]
        else:
            history = history[:-1]
        for _ in range(2 if kind == "retry" else 1):
            hold(sessions, ROOT, history)
        clients[number] = [*history, answer(answered)]
        hold(sessions, ROOT, clients[number])
        sent.append(clients[number])
    return sent


def check_branches(sessions: Sessions, branches: Sequence[Sequence[Draft]]) -> None:
    """Check that the sessions are the leaves of the tree of these conversations."""
    paths = {path_of(branch) for branch in branches}
    leaves = [path for path in paths if not any(path == other[: len(path)] for other in paths if other != path)]
    stored = [path_of(session.messages) for session in sessions.read_all(Selection(archived=None))]
    assert sorted(leaves) == sorted(stored)


def path_of(said: Sequence[Draft | Message]) -> Path_:
    """Return what a conversation says."""
    return tuple((one.role, str(one.content)) for one in said)


def user(text: str) -> Draft:
    """Return a user's message."""
    return Draft(role="user", content=text)


def answer(text: str) -> Draft:
    """Return an answer."""
    return Draft(role="assistant", content=text)


@pytest.mark.parametrize("length", [3, 115])
def test_plant_nothing_where_others_are(length: int) -> None:
    """A confined client reaches no conversation of others, names it what it may: roots, forks and marks of ours."""
    store, prefix = MemoryStore(), "b" * length + ":"
    everyone, confined = Sessions(store), Sessions(store, prefix=prefix)
    said = [user("hello"), answer("hi"), user("how?"), answer("so")]
    theirs = hold(everyone, "a:root", said)
    fork = hold(everyone, "a:root", [*said[:2], user("why?")])
    before = [everyone.read(key) for key in (theirs, fork)]
    marks = {"forked_from": {"session": fork, "seq": 1}, "partial": True, "replaces": True, "session_key": fork}
    messages = [{"role": one.role, "content": one.content, "metadata": marks, **marks} for one in said[:3]]
    drafts = drafts_of_request({"messages": messages}) or []
    for named in (theirs, fork, f"{theirs}.planted"):
        for header, request in ((named, {}), (None, {"metadata": {"session_key": named}})):
            with pytest.raises(ForbiddenError):
                root_of(confined, Asked(request, drafts), header, "me")
    root = root_of(confined, Asked({"user": theirs, "metadata": {"forked_from": fork}}, drafts), None, "me").key
    for branch in (drafts, [*drafts[:2], user("else")], [*drafts, answer("so"), user("more")]):
        with suppress(ForbiddenError):  # of a prefix so long that no key of a fork fits behind it
            hold(confined, root, branch)
    assert before == [everyone.read(key) for key in (theirs, fork)]
    own = [key for key in everyone.keys().keys if key not in (theirs, fork)]
    assert own
    assert all(key.startswith(prefix) for key in own)
    for key in own:
        for message in everyone.read(key).messages:
            assert {"partial", "replaces", "forked_from"}.isdisjoint(message.metadata or {})
