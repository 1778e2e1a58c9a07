"""Clients that leave out older messages go on with their session."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatkeep.core.history.trimming import STANDS_IN
from chatkeep.core.model import Draft
from chatkeep.model.asked import Asked
from chatkeep.model.places import Root
from chatkeep.model.recording import Recording, root_of
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.memory import MemoryStore

ROOT = "user:alice:geography"
Trim = Callable[[list[Draft]], list[Draft]]


@pytest.fixture
def sessions() -> Sessions:
    """Sessions that nobody has used."""
    return Sessions(MemoryStore())


def last(count: int) -> Trim:
    """Keep the last messages."""
    return lambda said: said[-count:]


def prompted(count: int) -> Trim:
    """Keep the system prompt and the last messages."""
    return lambda said: [system("Be brief."), *said[-count:]]


def head_and_tail(first: int, count: int) -> Trim:
    """Keep the first and the last messages."""
    return lambda said: said if len(said) <= first + count else [*said[:first], *said[-count:]]


def summed_up(role: str, count: int) -> Trim:
    """Put one message in place of all but the last ones."""

    def trim(said: list[Draft]) -> list[Draft]:
        if len(said) <= count:
            return said
        told = f"Summary: {' / '.join(str(one.content) for one in said[: len(said) - count][-2:])}"
        return [Draft(role=role, content=told), *said[-count:]]  # type: ignore[arg-type]

    return trim


@pytest.mark.parametrize(
    "trim",
    [
        *(last(count) for count in (1, 2, 3, 4, 7)),
        *(prompted(count) for count in (1, 2, 5)),
        head_and_tail(1, 3),
        head_and_tail(2, 4),
        summed_up("system", 3),
        summed_up("developer", 2),
    ],
)
def test_go_on_with_a_named_session_without_its_beginning(sessions: Sessions, trim: Trim) -> None:
    """A client that sends the last messages alone has one session, with every message once."""
    said: list[Draft] = []
    for turn in range(12):
        said.append(user(f"question {turn}"))
        assert ROOT == called(sessions, trim(said), f"answer {turn}")
        said.append(answer(f"answer {turn}"))
    assert (ROOT,) == sessions.keys().keys
    assert talk_of(said) == talk_of(sessions, ROOT)


@pytest.mark.parametrize("role", ["user", "assistant"])
def test_store_a_summary_once(sessions: Sessions, role: str) -> None:
    """A summary in place of older messages is one more message, marked, once for each of its wordings."""
    said = [one for turn in range(4) for one in (user(f"question {turn}"), answer(f"answer {turn}"))]
    called(sessions, said[:-1], "answer 3")
    summary = Draft(role=role, content="So far: four questions.")  # type: ignore[arg-type]
    for turn in range(4, 9):
        said.append(user(f"question {turn}"))
        assert ROOT == called(sessions, [summary, *said[-3:]], f"answer {turn}")
        said.append(answer(f"answer {turn}"))
    assert (ROOT,) == sessions.keys().keys
    stored = sessions.read(ROOT).messages
    marked = [one for one in stored if (one.metadata or {}).get(STANDS_IN)]
    assert [(9, "So far: four questions.")] == [(one.seq, one.text) for one in marked]
    assert talk_of(said) == [(one.role, one.content) for one in stored if one not in marked]


def test_fork_a_trimmed_conversation_with_all_of_it(sessions: Sessions) -> None:
    """An edit, or another answer to the last question, is a fork with everything that was left out."""
    said = [one for turn in range(5) for one in (user(f"question {turn}"), answer(f"answer {turn}"))]
    called(sessions, said[:-1], "answer 4")
    again = called(sessions, said[-3:-1], "another answer")
    edited = called(sessions, [*said[-4:-2], user("another question")], "well")
    assert 3 == len({ROOT, again, edited})
    assert talk_of(said) == talk_of(sessions, ROOT)
    assert [*talk_of(said[:-1]), ("assistant", "another answer")] == talk_of(sessions, again)
    assert [*talk_of(said[:-2]), ("user", "another question"), ("assistant", "well")] == talk_of(sessions, edited)
    more = [answer("another answer"), user("more")]
    assert again == called(sessions, [*said[-2:-1], *more], "yes")
    assert 3 == len(sessions.keys().keys)


def test_ask_a_trimmed_question_again(sessions: Sessions) -> None:
    """A question sent again after a failure is stored once, also behind a part of an answer."""
    said = [one for turn in range(3) for one in (user(f"question {turn}"), answer(f"answer {turn}"))]
    called(sessions, said[:-1], "answer 2")
    for _ in range(2):
        call = Recording(sessions, Root(ROOT, is_named=True), [*said[-2:], user("question 3")])
        call.begin()
    call.finish(Draft(role="assistant", content="answ", metadata={"partial": True}))
    assert ROOT == called(sessions, [*said[-2:], user("question 3")], "answer 3")
    call = Recording(sessions, Root(ROOT, is_named=True), [user("question 3"), answer("answer 3"), user("question 4")])
    call.begin()
    call.finish(Draft(role="assistant", content="Four wor", metadata={"partial": True}))
    assert ROOT == called(sessions, [user("question 4"), answer("Four"), user("question 5")], "answer 5")
    assert (ROOT,) == sessions.keys().keys
    assert ["question 3", "answ", "answer 3", "question 4", "Four wor", "question 5", "answer 5"] == [
        one.text for one in sessions.read(ROOT).messages[6:]
    ]


def test_go_on_with_results_of_tools(sessions: Sessions) -> None:
    """A window may begin in the middle of a tool's work."""
    call = Draft(
        role="assistant", content=None, tool_calls=[{"id": "c1", "function": {"name": "f", "arguments": "{}"}}]
    )
    result = Draft(role="tool", content="3", tool_call_id="c1")
    said = [user("one"), answer("1"), user("two")]
    called(sessions, said, call)
    assert ROOT == called(sessions, [user("two"), call, result], "2")
    assert ROOT == called(sessions, [result, answer("2"), user("three")], "3")
    assert [*talk_of(said), *talk_of([call, result, answer("2"), user("three"), answer("3")])] == talk_of(
        sessions, ROOT
    )


def test_recognise_a_long_end_without_a_name(sessions: Sessions) -> None:
    """Without a name, two answers or a long one tell which session goes on, of the same caller alone."""
    said: list[Draft] = []
    keys = []
    for turn in range(12):
        said.append(user(f"question {turn}"))
        keys.append(unnamed(sessions, said[-5:], f"answer {turn}"))
        said.append(answer(f"answer {turn}"))
    assert 1 == len(set(keys))
    assert talk_of(said) == talk_of(sessions, keys[0])
    long = [answer("A long answer. " * 20), user("more")]
    unnamed(sessions, [*said, user("last")], "A long answer. " * 20)
    assert keys[0] == unnamed(sessions, long, "yes")
    assert keys[0] != unnamed(sessions, [*said[-4:], *long, answer("yes"), user("well")], "so", by="another")


@pytest.mark.parametrize("shared", [1, 2])
def test_begin_anew_with_a_short_end_without_a_name(sessions: Sessions, shared: int) -> None:
    """A few words that stand in many conversations continue none of them."""
    said = [user("one"), answer("1"), user("thanks"), answer("You are welcome!")]
    first = unnamed(sessions, said[:-1], "You are welcome!")
    assert first != unnamed(sessions, [*said[-shared:], user("something else")], "yes")
    assert talk_of(said) == talk_of(sessions, first)


def test_begin_anew_where_two_sessions_end_alike(sessions: Sessions) -> None:
    """An end that two sessions of the caller share tells nothing."""
    end = [user("and?"), answer("so"), user("then?"), answer("well")]
    keys = {unnamed(sessions, [user(opening), answer("1"), *end[:-1]], "well") for opening in ("one", "two")}
    keys.add(unnamed(sessions, [*end, user("more")], "yes"))
    assert 3 == len(keys)


def test_begin_anew_under_other_instructions(sessions: Sessions) -> None:
    """Another agent that gets the end of a conversation has one of its own; a summary in the prompt parts nothing."""
    said = [one for turn in range(5) for one in (user(f"question {turn}"), answer(f"answer {turn}"))]
    cook = "You are a cook, and brief."
    key = unnamed(sessions, [system(cook), *said[:-1]], "answer 4")
    assert key != unnamed(sessions, [system("Sum up."), *said[-4:], user("Go on.")], "summary")
    assert key == unnamed(sessions, [system(f"{cook}\n\nSo far: questions."), *said[-4:], user("more")], "yes")


windows = st.tuples(
    st.integers(1, 6), st.sampled_from(["say", "retry"]), st.sampled_from("abc"), st.sampled_from("abc")
)


@given(st.lists(windows, max_size=25), st.sampled_from(["", "Be brief."]))
def test_lose_no_message_of_a_trimmed_conversation(moves: list[tuple[int, str, str, str]], prompt: str) -> None:
    """Whatever windows a client sends of words that repeat, each of its messages is stored, in order."""
    sessions = Sessions(MemoryStore())
    said: list[Draft] = []
    for count, kind, asked, answered in moves:
        said.append(user(asked))
        window = said[-2 * count - 1 :]
        sent = [system(prompt), *window] if prompt else window
        for _ in range(2 if kind == "retry" else 1):
            call = Recording(sessions, Root(ROOT, is_named=True), sent)
            call.begin()
        call.finish(answer(answered))
        said.append(answer(answered))
    stored = [talk_of(sessions, key) for key in sessions.keys().keys]
    assert not said or any(is_within(talk_of(said[-2:]), talk) for talk in stored)
    assert set(talk_of(said)) <= {one for talk in stored for one in talk}


def is_within(few: Sequence[tuple[str, object]], many: Sequence[tuple[str, object]]) -> bool:
    """Tell whether messages stand in a row among others."""
    return any(list(few) == list(many[place : place + len(few)]) for place in range(len(many)))


def called(sessions: Sessions, said: Sequence[Draft], answered: str | Draft) -> str:
    """Have a call under the session's name recorded, request and answer, and return its session."""
    return recorded(Recording(sessions, Root(ROOT, is_named=True), said), answered)


def unnamed(sessions: Sessions, said: Sequence[Draft], answered: str, by: str = "me") -> str:
    """Have a call without a name recorded, request and answer, and return its session."""
    return recorded(Recording(sessions, root_of(sessions, Asked({}, list(said)), None, by), said), answered)


def recorded(call: Recording, answered: str | Draft) -> str:
    """Have a call recorded, request and answer, and return its session."""
    call.begin()
    call.finish(answer(answered) if isinstance(answered, str) else answered)
    assert call.key
    return call.key


def talk_of(said: Sequence[Draft] | Sessions, key: str = "") -> list[tuple[str, object]]:
    """Return what a conversation or a session says, without system prompts."""
    lines = said.read(key).messages if isinstance(said, Sessions) else said
    return [(one.role, one.content) for one in lines if one.role not in ("system", "developer")]


def system(text: str) -> Draft:
    """Return a system prompt."""
    return Draft(role="system", content=text)


def user(text: str) -> Draft:
    """Return a user's message."""
    return Draft(role="user", content=text)


def answer(text: str) -> Draft:
    """Return an answer."""
    return Draft(role="assistant", content=text)
