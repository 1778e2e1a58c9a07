"""A module of tests: the promises of LlamaIndex' own chat stores, kept by Chatkeep."""

from __future__ import annotations

import asyncio
import itertools

from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
from llama_index.core.memory import ChatMemoryBuffer
from tools.conformance.homes import place, prefix_of

from chatkeep.adapters.llama_index import ChatkeepChatStore
from chatkeep.core.model import Draft

_numbers = itertools.count()


def _store() -> ChatkeepChatStore:
    home = place(f"store-{next(_numbers)}")
    return ChatkeepChatStore(home, prefix=prefix_of(home))


def _said(text: str, role: str = "user") -> ChatMessage:
    return ChatMessage(role=role, content=text)


def _filled() -> ChatkeepChatStore:
    store = _store()
    for key in ("user1", "user2"):
        store.add_message(key, _said("hello"))
        store.add_message(key, _said("world", "assistant"))
    return store


def test_add_messages() -> None:
    """Each chat has its own messages in order; one may be put in at a place."""
    store = _filled()
    assert ["user1", "user2"] == store.get_keys()
    assert [_said("hello"), _said("world", "assistant")] == store.get_messages("user2")
    store.add_message("user1", _said("first"), idx=0)
    assert [_said("first"), _said("hello"), _said("world", "assistant")] == store.get_messages("user1")
    assert [] == store.get_messages("user3")


def test_place_among_messages() -> None:
    """Events that other programs keep in a chat take no place, and stay where they are."""
    home = place("events")
    store, key = ChatkeepChatStore(home, prefix=prefix_of(home)), f"{prefix_of(home)}c"
    event = Draft(role="event", content=None, metadata={"state": 1})
    home.append(key, [event, Draft(role="user", content="b"), event])
    for text, idx in (("d", 9), ("c", -1), ("a", 0)):
        store.add_message("c", _said(text), idx=idx)
    assert ["a", "b", "c", "d"] == [message.content for message in store.get_messages("c")]
    assert ["event", "user", "user", "event", "user", "user"] == [one.role for one in home.read(key).messages]


def test_set_messages() -> None:
    """A list replaces what was there; an empty one leaves nothing."""
    store = _filled()
    store.set_messages("user1", [_said("new")])
    assert [_said("new")] == store.get_messages("user1")
    store.set_messages("user1", [])
    assert ([], ["user2"]) == (store.get_messages("user1"), store.get_keys())


def test_delete_messages() -> None:
    """All messages of a chat, one by its place, or the last: each is returned, None where there is none."""
    store = _filled()
    assert [_said("hello"), _said("world", "assistant")] == store.delete_messages("user1")
    assert [] == store.get_messages("user1")
    assert None is store.delete_messages("user1")
    assert None is store.delete_messages("no such")
    assert None is store.delete_message("user2", -3)
    assert None is store.delete_message("user2", 2)
    assert _said("hello") == store.delete_message("user2", 0)
    assert _said("world", "assistant") == store.delete_last_message("user2")
    assert None is store.delete_last_message("user2")
    assert None is store.delete_last_message("no such")


def test_delete_one_after_another() -> None:
    """A place counts what is there now, however much was deleted before."""
    store = _store()
    store.set_messages("c", [_said(text) for text in "abcde"])
    for idx, text in ((0, "a"), (0, "b"), (1, "d"), (-1, "e"), (0, "c")):
        assert _said(text) == store.delete_message("c", idx)
    assert None is store.delete_message("c", 0)


def test_use_the_methods_for_coroutines() -> None:
    """They do the same."""
    store = _store()

    async def told() -> None:
        await store.aset_messages("a", [_said("x"), _said("y")])
        await store.async_add_message("a", _said("z"))
        assert _said("x") == await store.adelete_message("a", 0)
        assert _said("z") == await store.adelete_last_message("a")
        assert ([_said("y")], ["a"]) == (await store.aget_messages("a"), await store.aget_keys())

    asyncio.run(told())


def test_keep_every_block_and_value() -> None:
    """Pictures, further arguments and characters that JSON text cannot hold come back."""
    store = _store()
    blocks = [TextBlock(text="a\0b"), ImageBlock(url="https://a.example/x.png")]
    message = ChatMessage(role="assistant", blocks=blocks, additional_kwargs={"n": 2**70, "tool": {"a": [1, None]}})
    store.add_message("k\ney", message)
    assert [message] == store.get_messages("k\ney")


def test_remember_with_a_buffer() -> None:
    """A memory of the framework goes on where another with the same chat ended."""
    store = _store()
    ChatMemoryBuffer.from_defaults(chat_store=store, chat_store_key="c", token_limit=500).put(_said("my name is Ada"))
    again = ChatMemoryBuffer.from_defaults(chat_store=store, chat_store_key="c", token_limit=500)
    assert [_said("my name is Ada")] == again.get()
