"""The promises of `Store.get`, `Store.read` and `Store.window`."""

from __future__ import annotations

import pytest

from chatkeep.core.model import Selection
from chatkeep.core.text.titles import NO_TITLE
from chatkeep.errors import SessionNotFoundError
from chatkeep.store.protocol import Store
from chatkeep.testing.samples import at, draft, talk

_KEY = "cli:default"


class ReadContract:
    """Stored messages come back, whole or in windows."""

    def test_get(self, store: Store) -> None:
        """A summary has the header and the digest of the messages."""
        said = [
            draft("You are terse.", 1, role="system"),
            draft("\n  How do I   check\nfor a prime?", 2),
            draft("Divide.", 3, role="assistant"),
            draft("7", 4, role="tool", tool_call_id="c"),
        ]
        store.append(_KEY, said)
        known = store.get(_KEY)
        assert (_KEY, "cli", None) == (known.header.key, known.header.channel, known.header.title)
        assert (at(1), at(4)) == (known.header.created_at, known.updated_at)
        assert (4, 2) == (known.message_count, known.talk_count)
        assert ("How do I check", "Divide.", None) == (known.title, known.preview, known.damage)
        assert ({}, False, False, ()) == (
            known.header.metadata,
            known.header.archived,
            known.header.pinned,
            known.header.tags,
        )

    def test_get_without_user_message(self, store: Store) -> None:
        """A session without user messages is titled as a new chat."""
        store.append(_KEY, [draft("Welcome!", role="assistant")])
        assert NO_TITLE == store.get(_KEY).title

    def test_get_titled_by_the_first_words(self, store: Store) -> None:
        """The first message with words gives the title, not a blank one; later messages do not change it."""
        store.append(_KEY, [draft(" \n\t"), draft("First words"), draft("Later words")])
        store.append(_KEY, [draft("Last words")])
        known = store.get(_KEY)
        assert ("First words", "Last words") == (known.title, known.preview)

    def test_get_titled_by_what_is_said_to_people(self, store: Store) -> None:
        """Pictures, commands and tokens are title and preview only if no other message can be."""
        store.append(_KEY, [draft("/start"), draft("<|im_start|>"), draft([{"type": "image_url", "image_url": {}}])])
        assert ("/start", "Picture") == (store.get(_KEY).title, store.get(_KEY).preview)
        store.append(_KEY, [draft("Which breed is it?"), draft("<think>Hm.</think>A beagle.", role="assistant")])
        store.append(_KEY, [draft("###STOP###")])
        known = store.get(_KEY)
        assert ("Which breed is it?", "A beagle.") == (known.title, known.preview)
        assert [known] == list(store.list(Selection(), limit=1).sessions)

    def test_get_missing(self, store: Store) -> None:
        """Reading a missing session fails and creates none."""
        with pytest.raises(SessionNotFoundError):
            store.get(_KEY)
        with pytest.raises(SessionNotFoundError):
            store.read(_KEY)
        with pytest.raises(SessionNotFoundError):
            store.window(_KEY, limit=1)
        assert 0 == store.status().session_count

    def test_read(self, store: Store) -> None:
        """A whole session has its header and all its messages, in order."""
        store.append(_KEY, talk(3))
        store.append(_KEY, [draft("line 4", 4)])
        session = store.read(_KEY)
        assert store.get(_KEY).header == session.header
        assert [(n, f"line {n}") for n in range(1, 5)] == [(each.seq, each.content) for each in session.messages]

    @pytest.mark.parametrize(
        "limit,before,after,seqs,has_more",
        [
            (3, None, None, [8, 9, 10], True),
            (10, None, None, [*range(1, 11)], False),
            (11, None, None, [*range(1, 11)], False),
            (3, 8, None, [5, 6, 7], True),
            (3, 4, None, [1, 2, 3], False),
            (3, 3, None, [1, 2], False),
            (3, 1, None, [], False),
            (3, 0, None, [], False),
            (3, 99, None, [8, 9, 10], True),
            (3, None, 0, [1, 2, 3], True),
            (3, None, 5, [6, 7, 8], True),
            (3, None, 7, [8, 9, 10], False),
            (3, None, 9, [10], False),
            (3, None, 10, [], False),
            (3, None, 99, [], False),
            (3, 8, 2, [5, 6, 7], True),
            (3, 8, 4, [5, 6, 7], False),
            (3, 8, 6, [7], False),
            (3, 8, 7, [], False),
            (3, 4, 8, [], False),
        ],
    )
    def test_window(
        self,
        store: Store,
        limit: int,
        before: int | None,
        after: int | None,
        seqs: list[int],
        has_more: bool,  # noqa: FBT001 - one column of the table
    ) -> None:
        """A window has the messages nearest to its bound, oldest first, and `has_more` for the others."""
        store.append(_KEY, talk(10))
        window = store.window(_KEY, limit=limit, before=before, after=after)
        assert (seqs, has_more) == ([message.seq for message in window.messages], window.has_more)
        assert [f"line {seq}" for seq in seqs] == [message.content for message in window.messages]

    def test_window_is_of_whole_messages(self, store: Store) -> None:
        """The messages of a window have every field, as in the whole session."""
        store.append(_KEY, talk(5))
        store.append(_KEY, [draft("7", role="tool", name="adder", tool_call_id="c", metadata={"a": [1]})])
        assert store.read(_KEY).messages[2:] == store.window(_KEY, limit=4).messages

    def test_window_while_appending(self, store: Store) -> None:
        """An older window stays the same while messages are appended."""
        store.append(_KEY, talk(6))
        first = store.window(_KEY, limit=2, before=5)
        store.append(_KEY, [draft("more"), draft("and more")])
        assert first == store.window(_KEY, limit=2, before=5)
