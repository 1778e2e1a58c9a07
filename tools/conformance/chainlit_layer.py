"""A module of tests: what Chainlit asks of a data layer beyond the tests of its own."""

from __future__ import annotations

import asyncio
import base64
import itertools
import uuid
from collections.abc import Coroutine
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import AsyncMock, Mock

import pytest
from chainlit.context import ChainlitContext, context_var
from chainlit.data.base import BaseDataLayer
from chainlit.data.storage_clients.base import BaseStorageClient
from chainlit.element import Text
from chainlit.session import WebsocketSession
from chainlit.types import Feedback, Pagination, ThreadFilter
from chainlit.user import User
from tools.conformance.homes import place, prefix_of

from chatkeep.adapters.chainlit import ChatkeepDataLayer
from chatkeep.core.model import Draft

if TYPE_CHECKING:
    from collections.abc import Iterator

_numbers = itertools.count()


def _layer(storage: BaseStorageClient | None = None) -> ChatkeepDataLayer:
    home = place(f"chainlit-{next(_numbers)}")
    return ChatkeepDataLayer(home, prefix=f"{prefix_of(home)}chainlit:", storage=storage)


@contextmanager
def _conversation(thread_id: str = "t") -> Iterator[None]:
    """Stand in for the conversation of a browser, as Chainlit's own tests do: elements and steps ask for it."""
    session = Mock(spec=WebsocketSession)
    session.thread_id, session.has_first_interaction = thread_id, True
    token = context_var.set(ChainlitContext(session, emitter=Mock()))
    try:
        yield
    finally:
        context_var.reset(token)


def _run(told: Coroutine[Any, Any, None]) -> None:
    async def within() -> None:
        with _conversation():
            await told

    asyncio.run(within())


def _step(number: int, kind: str = "user_message", thread_id: str = "t", **more: object) -> Any:
    at = f"2026-01-01T00:00:{number:02}.000000Z"
    step = {"id": f"s{number}", "threadId": thread_id, "name": "x", "type": kind, "input": "", "createdAt": at}
    return {"output": f"words {number}", "metadata": {}, "streaming": False, **step, **more}


def _outputs(thread: Any) -> list[str]:
    return [step["output"] for step in thread["steps"]]


def test_have_every_method() -> None:
    """No method is the abstract one, so every feature of the page works."""
    assert not ChatkeepDataLayer.__abstractmethods__
    missing = {
        name
        for name in vars(BaseDataLayer)
        if not name.startswith("_") and getattr(ChatkeepDataLayer, name) is getattr(BaseDataLayer, name)
    }
    assert {"set_step_favorite"} == missing


def test_keep_users() -> None:
    """A user has an id that is a UUID, is created once, and gets new metadata; an unknown one is None."""
    layer = _layer()

    async def told() -> None:
        made = await layer.create_user(User(identifier="ann@a.example", metadata={}))
        assert made is not None
        assert ("ann@a.example", {}, str(uuid.UUID(made.id))) == (made.identifier, made.metadata, made.id)
        assert made == await layer.get_user("ann@a.example")
        assert None is await layer.get_user("nobody")
        again = await layer.create_user(User(identifier="ann@a.example", display_name="Ann", metadata={"a": [None]}))
        assert again is not None
        assert (made.id, made.createdAt, "Ann", {"a": [None]}) == (
            again.id,
            again.createdAt,
            again.display_name,
            again.metadata,
        )

    _run(told())


def test_keep_threads() -> None:
    """A thread has an author, a name and tags; a missing one is None; a deleted one is gone."""
    layer = _layer()

    async def told() -> None:
        user = await layer.create_user(User(identifier="ann"))
        assert user is not None
        await layer.update_thread("a/ü\n")
        thread = await layer.get_thread("a/ü\n")
        assert thread is not None
        assert ("a/ü\n", None, {}, [], []) == tuple(
            thread[name] for name in ("id", "name", "metadata", "steps", "elements")
        )
        with pytest.raises(ValueError, match="Author"):
            await layer.get_thread_author("a/ü\n")
        await layer.update_thread("a/ü\n", name="N" * 300, user_id=user.id, tags=["x", ""])
        assert "ann" == await layer.get_thread_author("a/ü\n")
        thread = await layer.get_thread("a/ü\n")
        assert thread is not None
        assert ("N" * 300, user.id, "ann", ["x", ""]) == tuple(
            thread[name] for name in ("name", "userId", "userIdentifier", "tags")
        )
        assert None is await layer.get_thread("other")
        await layer.delete_thread("a/ü\n")
        await layer.delete_thread("a/ü\n")
        assert None is await layer.get_thread("a/ü\n")

    _run(told())


@pytest.mark.parametrize(
    "changes, expected",
    [
        ([None], {}),
        ([{}], {}),
        ([{"key": "value", "count": 42}], {"key": "value", "count": 42}),
        ([{"important": "data"}, None], {"important": "data"}),
        ([{"old": "o", "keep": "me"}, {"old": "n", "new": "f"}], {"old": "n", "keep": "me", "new": "f"}),
        ([{"a": 1, "b": {"x": None}, "c": 3}, {"b": None, "d": None}], {"a": 1, "c": 3}),
        ([{"a.b": {"n": None}, "\0": 1.5}], {"a.b": {"n": None}, "\0": 1.5}),
    ],
)
def test_merge_metadata(changes: list[Any], expected: object) -> None:
    """The metadata of a thread is merged by its names; None removes one; a call without any leaves it, the name too."""
    layer = _layer()

    async def told() -> None:
        for one in changes:
            await layer.update_thread("t", metadata=one)
        await layer.update_thread("t", name="New Name")
        thread = await layer.get_thread("t")
        assert thread is not None
        assert (expected, "New Name") == (thread["metadata"], thread["name"])

    _run(told())


def test_keep_steps() -> None:
    """Steps come back equal and by time; a changed one has its last form, once; a deleted one is gone."""
    layer = _layer()

    async def told() -> None:
        steps = [
            _step(1, output="the okapi\0"),
            _step(3, "tool", parentId="s2", input="{}", output="[1]", generation={"n": 1}, tags=["x"]),
            _step(2, "run", output=""),
            _step(4, "assistant_message", output="", streaming=True),
        ]
        for one in steps:
            await layer.create_step(dict(one))
        for output in ("In the", "", "In the Congo.", "In the"):
            steps[3] = {**steps[3], "output": output}
            await layer.update_step(dict(steps[3]))
        await layer.update_step(dict(steps[3]))
        thread = await layer.get_thread("t")
        assert thread is not None
        assert [{**steps[place], "feedback": None} for place in (0, 2, 1, 3)] == thread["steps"]
        await layer.delete_step("s2")
        await layer.delete_step("s2")
        await layer.delete_step("none")
        thread = await layer.get_thread("t")
        assert ["the okapi\0", "[1]", "In the"] == _outputs(thread)
        await layer.create_step(_step(2, "run", output="back"))
        assert ["the okapi\0", "back", "[1]", "In the"] == _outputs(await layer.get_thread("t"))

    _run(told())


def test_store_steps_as_messages() -> None:
    """What was said are messages of Chatkeep, and a message of another program is a step."""
    home = place("messages")
    layer = ChatkeepDataLayer(home, prefix=f"{prefix_of(home)}m:")

    async def told() -> None:
        await layer.create_step(_step(1, output="the okapi"))
        await layer.create_step(_step(2, "tool", output="hidden"))
        await layer.create_step(_step(3, "assistant_message", output="draft"))
        await layer.update_step(_step(3, "assistant_message", output="In the Congo."))

    _run(told())
    key = f"{prefix_of(home)}m:t:t"
    assert [("user", "the okapi"), ("assistant", "In the Congo.")] == [
        (message.role, message.content) for message in home.window(key).messages
    ]
    home.append(key, [Draft(role="assistant", content="From elsewhere.")])
    thread = asyncio.run(layer.get_thread("t"))
    assert "From elsewhere." == _outputs(thread)[-1]


def test_write_at_once() -> None:
    """Writes to a thread that run at once come in their order, as Chainlit starts them."""
    layer = _layer()

    async def told() -> None:
        await asyncio.gather(
            layer.create_step(_step(1)),
            *(layer.update_step(_step(1, output=f"{number}")) for number in range(10)),
            *(layer.create_step(_step(number)) for number in range(2, 10)),
        )
        assert ["9", *(f"words {number}" for number in range(2, 10))] == _outputs(await layer.get_thread("t"))

    _run(told())


def test_keep_feedback() -> None:
    """A feedback is with its step, changes, filters threads, and goes, known to this process or not."""
    home = place("feedback")
    layer, other = (ChatkeepDataLayer(home, prefix=f"{prefix_of(home)}f:") for _ in range(2))

    async def told() -> None:
        user = await layer.create_user(User(identifier="ann"))
        assert user is not None
        for thread_id in ("t", "u"):
            await layer.update_thread(thread_id, user_id=user.id)
        await layer.create_step(_step(1, thread_id="u"))
        made = await other.upsert_feedback(Feedback(forId="s1", value=1, comment="good"))
        assert made == await layer.upsert_feedback(Feedback(forId="s1", value=0, id=made))
        thread = await layer.get_thread("u")
        assert thread is not None
        assert {"forId": "s1", "id": made, "value": 0, "comment": None} == thread["steps"][0]["feedback"]
        for value, expected in ((0, ["u"]), (1, []), (None, ["u", "t"])):
            page = await layer.list_threads(Pagination(first=9), ThreadFilter(userId=user.id, feedback=value))
            assert expected == [one["id"] for one in page.data]
        assert True is await other.delete_feedback(made)
        assert False is await other.delete_feedback(made)
        given = await layer.upsert_feedback(Feedback(forId="s1", value=1, id="own", threadId="u"))
        assert "own" == given
        assert True is await other.delete_feedback("own")
        thread = await layer.get_thread("u")
        assert thread is not None
        assert None is thread["steps"][0]["feedback"]
        with pytest.raises(ValueError, match="No thread"):
            await layer.upsert_feedback(Feedback(forId="none", value=1))

    _run(told())


def test_keep_elements() -> None:
    """An element keeps its content in the thread, or in the storage that was given, and goes with its step."""
    storage = AsyncMock(spec=BaseStorageClient)
    storage.upload_file.return_value = {"url": "https://a.example/1", "object_key": "k"}
    storage.get_read_url.return_value = "https://a.example/2"

    async def told(layer: ChatkeepDataLayer, url: str) -> None:
        element = Text(id="e", name="a.txt", mime="text/plain", content="test content", for_id="s1")
        await layer.create_step(_step(1))
        await layer.create_element(element)
        await layer.create_element(Text(id="f", name="b.txt", content="x"))
        found = await layer.get_element("t", "e")
        assert found is not None
        assert ("e", "a.txt", "text/plain", url) == tuple(found[name] for name in ("id", "name", "mime", "url"))
        assert None is await layer.get_element("t", "f")
        assert None is await layer.get_element("none", "e")
        thread = await layer.get_thread("t")
        assert thread is not None
        assert [found] == thread["elements"]
        await layer.delete_element("e")
        assert None is await layer.get_element("t", "e")
        await layer.create_element(element)
        await layer.delete_step("s1")
        assert None is await layer.get_element("t", "e")

    _run(told(_layer(), f"data:text/plain;base64,{base64.b64encode(b'test content').decode()}"))
    _run(told(_layer(storage), "https://a.example/2"))
    storage.delete_file.assert_awaited_with("k")


def test_list_threads() -> None:
    """A user's own threads, the latest first, page by page; words find them."""
    layer = _layer()

    async def told() -> None:
        ann, bob = [await layer.create_user(User(identifier=name)) for name in ("ann", "bob")]
        assert ann is not None
        assert bob is not None
        for number in range(7):
            thread_id = f"t{number}"
            await layer.update_thread(thread_id, name=f"Thread {number}", user_id=(bob if number == 3 else ann).id)
            await layer.create_step(_step(number, thread_id=thread_id, output="okapi" if number % 2 else "zebra"))
        found, cursor = [], None
        for more in (True, True, False):
            page = await layer.list_threads(Pagination(first=2, cursor=cursor), ThreadFilter(userId=ann.id))
            found += [one["name"] for one in page.data]
            assert more is page.pageInfo.hasNextPage
            cursor = page.pageInfo.endCursor
        assert [f"Thread {number}" for number in (6, 5, 4, 2, 1, 0)] == found
        page = await layer.list_threads(Pagination(first=9), ThreadFilter(userId=ann.id, search="okapi"))
        assert {"t1", "t5"} == {one["id"] for one in page.data}
        with pytest.raises(ValueError, match="userId"):
            await layer.list_threads(Pagination(first=2), ThreadFilter())

    _run(told())


def test_keep_favorites() -> None:
    """Steps marked as favorites are found by their user, the latest first, until the mark goes."""
    layer = _layer()

    async def told() -> None:
        user = await layer.create_user(User(identifier="ann"))
        assert user is not None
        await layer.update_thread("t", user_id=user.id)
        for number in (1, 2):
            await layer.create_step(_step(number))
            await layer.set_step_favorite(_step(number), favorite=True)
        assert ["s2", "s1"] == [step["id"] for step in await layer.get_favorite_steps(user.id)]
        await layer.set_step_favorite(_step(2), favorite=False)
        assert ["s1"] == [step["id"] for step in await layer.get_favorite_steps(user.id)]
        assert [] == await layer.get_favorite_steps("nobody")

    _run(told())
