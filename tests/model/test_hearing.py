"""However long an answer is, the event loop reads a bounded piece of it in each turn, and others have the next."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Sequence

import pytest

from chatkeep.core.history.tape.tape import Tape
from chatkeep.core.text.reasoning import TextPiece
from chatkeep.errors import ModelError
from chatkeep.http.gate.rules import Pools
from chatkeep.model import connections, hearing
from chatkeep.model.chat import Chats
from chatkeep.model.hearing import AT_ONCE_BYTES, TURN_BYTES, TURN_PIECES
from chatkeep.model.upstream import ModelSettings, Upstream
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.memory import MemoryStore
from tests.chat.test_streams import Saying

EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"word "}}]}\n\n'
END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
LONG = b"x" * (1 << 20)
LONG_EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % LONG
BODY = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"%b"},"finish_reason":"stop"}]}' % LONG
MODEL = ModelSettings(url="http://127.0.0.1:9/v1", key="k", model="m", timeout_s=5, retries=0)


class Watched:
    """Counts what the event loop's own thread reads of an answer in each of its turns."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        """Listen to each tape."""
        self.turn = 0
        self.added: Counter[int] = Counter()
        """Bytes that came in each turn, on the loop."""
        self.longest = 0
        """The most that the loop has read at once: what came, and what was held until then."""
        self.drafts = 0
        """Answers that the loop itself has put together."""
        self._main = threading.get_ident()
        add, close, draft = Tape.add, Tape.close, Tape.draft

        def count_add(tape: Tape, piece: bytes) -> None:
            if threading.get_ident() == self._main:
                self.added[self.turn] += len(piece)
                self.longest = max(self.longest, tape.waiting_bytes + len(piece))
            add(tape, piece)

        def count_close(tape: Tape) -> None:
            if threading.get_ident() == self._main:
                self.longest = max(self.longest, tape.unread_bytes)
            close(tape)

        def count_draft(tape: Tape, latency_ms: int, cut: str | None = None) -> object:
            self.drafts += threading.get_ident() == self._main
            return draft(tape, latency_ms, cut)

        patch.setattr(Tape, "add", count_add)
        patch.setattr(Tape, "close", count_close)
        patch.setattr(Tape, "draft", count_draft)

    async def count_turns(self) -> None:
        """Count each turn of the event loop."""
        while True:
            self.turn += 1
            await asyncio.sleep(0)


def answered(pieces: Sequence[bytes], patch: pytest.MonkeyPatch, *, is_cut: bool = False) -> tuple[Watched, str]:
    """Let chat hear an answer, and return what was counted and what is stored."""
    watched, sessions = Watched(patch), Sessions(MemoryStore())
    patch.setattr(connections, "transport_to", lambda *_: Saying(pieces, "text/event-stream", is_cut=is_cut))

    async def turn() -> None:
        counting = asyncio.create_task(watched.count_turns())
        model = Upstream(MODEL)
        try:
            turn = await Chats(model, history_tokens=100).begin(sessions, Pools(), "Hi", key="a")
            await turn.run(ignored)
        except ModelError:
            assert is_cut
        finally:
            counting.cancel()
            await model.close()

    asyncio.run(turn())
    return watched, sessions.read("a").messages[-1].text


async def ignored(_: TextPiece) -> None:
    """Do nothing with a piece."""


def test_read_a_bounded_piece_of_many_small_events_in_each_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte of small events that came at once is read in at least 64 turns of the event loop."""
    watched, text = answered([EVENT * 16_000 + END], monkeypatch)
    assert "word " * 16_000 == text
    assert len(EVENT * 16_000 + END) == watched.added.total()
    assert TURN_BYTES >= max(watched.added.values())
    assert 0 == watched.drafts


@pytest.mark.parametrize("said", [LONG_EVENT + END, BODY], ids=["event", "JSON"])
@pytest.mark.parametrize("is_cut", [False, True])
def test_read_what_is_long_beside_the_event_loop(said: bytes, is_cut: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001 - pytest names it
    """One long event, or a long answer in one piece, is read in a thread, however it ends."""
    watched, text = answered([said], monkeypatch, is_cut=is_cut)
    assert LONG.decode() == text
    assert AT_ONCE_BYTES >= watched.longest
    assert 0 == watched.drafts


def test_store_what_came_of_a_long_answer_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer whose connection breaks is put together in a thread, too."""
    watched, text = answered([EVENT * 4000], monkeypatch, is_cut=True)
    assert "word " * 4000 == text
    assert TURN_BYTES >= max(watched.added.values())
    assert 0 == watched.drafts


def test_wait_for_a_thread_that_reads_before_giving_up() -> None:
    """A cancellation comes when the thread is done: nobody else changes what it changes."""
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        may_end.wait(20)
        ended.set()

    async def cancel() -> None:
        task = asyncio.create_task(hearing.to_its_end(asyncio.to_thread(work)))
        await asyncio.to_thread(begun.wait, 20)
        for _ in range(2):
            task.cancel()
            await asyncio.sleep(0)
        assert not task.done()
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert ended.is_set()


def test_part_what_came_between_turns() -> None:
    """Pieces of any size come in pieces of a turn, in order, with nothing lost."""

    async def came() -> AsyncIterator[bytes]:
        for size in (0, 1, TURN_BYTES, TURN_BYTES + 1, 3 * TURN_BYTES):
            yield bytes(size)

    async def sizes() -> list[int]:
        return [len(piece) async for piece in hearing.each_in_its_turn(came())]

    assert [1, TURN_BYTES, TURN_BYTES, 1, TURN_BYTES, TURN_BYTES, TURN_BYTES] == asyncio.run(sizes())


def test_tell_a_bounded_number_of_pieces_in_each_turn() -> None:
    """One event may have a piece for each of its characters; other tasks have turns while they are told."""
    pieces = [TextPiece("text", str(number)) for number in range(3 * TURN_PIECES)]
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def told() -> list[tuple[TextPiece, int]]:
        counting = asyncio.create_task(count())
        seen = [(piece, turns) async for piece in hearing.told_in_turns(pieces)]
        counting.cancel()
        return seen

    seen = asyncio.run(told())
    assert pieces == [piece for piece, _ in seen]
    assert TURN_PIECES >= max(Counter(turn for _, turn in seen).values())
