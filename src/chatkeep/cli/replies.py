"""Answers of the model on the command line: asked for, shown piece by piece, stopped by Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

import msgspec
from msgspec import Struct

from chatkeep.cli import screen
from chatkeep.core.text.reasoning import TextPiece
from chatkeep.errors import ChatkeepError
from chatkeep.model.chat import Answered, Chats, Turn, done_of
from chatkeep.sessions.sessions import Sessions
from chatkeep.threads import Threads
from chatkeep.wire.chat import ChatReasoning, ChatStart, ChatToken

CHANNEL: Final = "cli"
_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SIGNALLED: Final = 128  # added by shells to the number of a signal


class Shown(Protocol):
    """A display of an answer."""

    def start(self, key: str) -> None:
        """Begin; the message is stored."""
        ...

    async def add(self, piece: TextPiece) -> None:
        """Show a piece of the answer, or of the thinking before it."""
        ...

    def end(self, answered: Answered | None) -> None:
        """Finish; `answered` is None when the answer broke off."""
        ...


class AsText:
    """A display as text, with terminal controls made visible."""

    def __init__(self) -> None:
        """Begin without text."""
        self._last = "\n"
        self._held = ""

    def start(self, _: str) -> None:
        """Show nothing yet."""

    async def add(self, piece: TextPiece) -> None:
        """Print a piece of the answer. A piece may end inside CR LF, so a final CR waits for the next piece."""
        if piece.kind == "reasoning":
            return
        text = self._held + piece.text
        self._held = "\r" if text.endswith("\r") else ""
        self._print(text[: len(text) - len(self._held)])

    def end(self, _: Answered | None) -> None:
        """Print the rest, and end the line."""
        self._print(self._held)
        self._print("" if self._last == "\n" else "\n")
        self._held = ""

    def _print(self, text: str) -> None:
        if text:
            sys.stdout.write(screen.safe_text(text))
            sys.stdout.flush()
            self._last = text[-1]


class AsEvents:
    """A display as lines of JSON, with the names of the Chat API's events."""

    def start(self, key: str) -> None:
        """Print the event `start`."""
        _print_event("start", ChatStart(session_key=key))

    async def add(self, piece: TextPiece) -> None:
        """Print an event `token`, or `reasoning`."""
        if piece.kind == "reasoning":
            _print_event("reasoning", ChatReasoning(text=piece.text))
        else:
            _print_event("token", ChatToken(text=piece.text))

    def end(self, answered: Answered | None) -> None:
        """Print the event `done`, if the answer is complete."""
        if answered is not None:
            _print_event("done", done_of(answered))


async def begun_turn(chats: Chats, sessions: Sessions, key: str, text: str) -> Turn:
    """Store a message and return its turn, as in `Chats.begin`."""
    return await chats.begin(sessions, Threads(), text, key=key, channel=CHANNEL)


async def finished(turn: Turn, shown: Shown) -> None:
    """Ask the model and show its answer; Ctrl-C stops it.

    Raises:
        ChatkeepError: when Ctrl-C stopped it, or as in `Turn.run`. The answer so far is stored.
        SystemExit: when another signal ends the process. The answer so far is stored.
    """
    answered: Answered | None = None
    shown.start(turn.key)
    task = asyncio.create_task(turn.run(shown.add))
    try:
        with _caught(task) as signals:
            answered = await task
    except asyncio.CancelledError:
        if not signals:
            raise
        if signals[0] != signal.SIGINT:
            sys.exit(_SIGNALLED + signals[0])
        kept = "nothing of the answer came" if turn.answer_seq is None else "what came of the answer is kept"
        raise ChatkeepError(f"Stopped; {kept}.") from None
    finally:
        shown.end(answered)


async def answer_all(sessions: Sessions, chats: Chats, key: str, texts: Iterable[str], shown: Shown) -> None:
    """Answer messages one by one; stop at the first failure."""
    try:
        for text in texts:
            await finished(await begun_turn(chats, sessions, key, text), shown)
        await chats.settle()
    finally:
        await chats.close()


def run_turn(talk: Coroutine[object, object, None]) -> None:
    """Run a coroutine to its end."""

    async def run() -> None:
        # Between answers Ctrl-C must also end a wait for input, and cancelling the task would not
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        await talk

    asyncio.run(run())


@contextmanager
def _caught(task: asyncio.Task[Answered]) -> Iterator[list[int]]:
    """Cancel the task at a signal to end the process; yield the signals received."""
    came: list[int] = []

    def stop(number: int) -> None:
        came.append(number)
        task.cancel()

    loop = asyncio.get_running_loop()
    caught = [number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    for number in caught:
        loop.add_signal_handler(number, stop, number)
    try:
        yield came
    finally:
        for number in caught:
            loop.remove_signal_handler(number)


def _print_event(name: str, told: Struct) -> None:
    screen.show_json_line({"event": name, **msgspec.to_builtins(told)})
