"""Chat: store a message, ask the model, and store its answer in the same session.

The message is durable before the model is asked. The answer is appended once complete. When it breaks off, or its
client leaves, the part so far is appended. Its metadata has the mark `partial` and the reason. An empty part is not
stored. Either way the session stays whole and the next turn works.

Turns on one session do not wait for each other. Each message is stored at once, in the order of arrival. Each turn
asks with the messages up to its own, so a later turn sees the messages of earlier ones. Answers are stored in the
order of completion. A session deleted meanwhile stays deleted, and its answer is dropped.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, Final, cast

import msgspec
from msgspec import Struct

from chatkeep.core.checks import encoded_json
from chatkeep.core.history.completions import EXTRA
from chatkeep.core.history.tape.tape import Tape
from chatkeep.core.history.turns import utterance_of
from chatkeep.core.history.windows import TokenCounter, Window, for_openai, tokens
from chatkeep.core.keys import KEY_CHARS_MAX, composed
from chatkeep.core.model import MODEL_TITLE, Draft, Json, Message, Revision, text_of
from chatkeep.core.paging import LIST_LIMIT_MAX
from chatkeep.core.text import titles
from chatkeep.core.text.reasoning import TextPiece, reasoning_of, without_reasoning
from chatkeep.errors import ChatkeepError, InvalidKeyError, ModelSilentError
from chatkeep.model.endings import CLOSE_WAIT_S, ending_of, patiently
from chatkeep.model.tokenizers import counter
from chatkeep.model.upstream import Model
from chatkeep.sessions.sessions import Sessions
from chatkeep.threads import Threads
from chatkeep.wire.chat import ChatDone, Usage

_KEY: Final = re.compile(r"[\w:.@-]+")
_TITLE_SOURCE_CHARS: Final = 2000  # characters of question and answer each, in the request for a title
_TITLE_PROMPT: Final = (
    "Give the following exchange a title of at most six words, in its language. "
    "Answer with the title alone, without quotation marks and full stop."
)
_FRAME: Final = "\"'`*#«»„“” \t\n."  # models add these around a title in spite of the prompt
_log = logging.getLogger("chatkeep")

OnPiece = Callable[[TextPiece], Awaitable[None]]
"""Takes a piece of the answer, or of the thinking before it."""


class Answered(Struct, frozen=True, kw_only=True):
    """A complete answer, stored under `seq`; 0 before it is stored."""

    key: str
    text: str
    seq: int
    finish_reason: str
    usage: Usage


def done_of(answered: Answered) -> ChatDone:
    """Return the last event of an answer's stream."""
    return ChatDone(
        usage=answered.usage, session_key=answered.key, seq=answered.seq, finish_reason=answered.finish_reason
    )


class Chats:
    """The turns of sessions with one model."""

    def __init__(
        self,
        model: Model,
        *,
        history_tokens: int,
        system_prompt: str = "",
        titled: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the model, its budget for history in tokens, and whether it also makes titles."""
        self.model = model
        self.history_tokens = history_tokens
        self.system_prompt = system_prompt
        self.clock = clock
        self._titled = titled
        self._background: set[asyncio.Task[None]] = set()
        self.running: set[asyncio.Task[Any]] = set()

    async def begin(
        self,
        sessions: Sessions,
        threads: Threads,
        message: str,
        *,
        key: str | None = None,
        model: str | None = None,
        channel: str | None = None,
    ) -> Turn:
        """Store the message and return its turn.

        With `key` None a key is made, with `model` None the configured model answers. `channel` applies to a new
        session; None takes it from the key.

        Raises:
            ModelUnsetError: when no model is configured.
            InvalidError: when the message or the key breaks a rule.
            ForbiddenError, TooLargeError, SessionDamagedError, BusyError, StorageError: as in `Sessions.append`.
        """
        chosen = self.model.model_for(model)
        encoded_json("message", message)
        draft = Draft(role="user", content=message)
        appended = await threads.write(sessions.append, key, [draft], channel=channel)
        return Turn(self, sessions, threads, appended.key, appended.receipts[0].seq, chosen)

    def title_soon(self, turn: Turn, answered: Answered) -> None:
        """Let the model make a title in the background, if titles are on."""
        if self._titled:
            task = asyncio.create_task(_give_title(self.model, turn, answered))
            self._background.add(task)
            task.add_done_callback(self._background.discard)

    async def settle(self) -> None:
        """Wait up to 10 s for the titles under way."""
        if self._background:
            await asyncio.wait(self._background, timeout=CLOSE_WAIT_S)

    async def close(self) -> None:
        """Cancel titles, wait up to 10 s for running turns to store their answers, then close the model."""
        for task in self._background:
            task.cancel()
        if self.running:
            await asyncio.wait(self.running, timeout=CLOSE_WAIT_S)
        await self.model.close()


class Turn:
    """A stored message and its answer. Run it once."""

    def __init__(self, chats: Chats, sessions: Sessions, threads: Threads, key: str, seq: int, model: str) -> None:
        """Take the place of the stored message and the model to ask."""
        self.key = key
        self.seq = seq
        self.model = model
        self.sessions = sessions
        self.threads = threads
        self.answer_seq: int | None = None
        """The seq of the answer or of its part; None before it is stored."""
        self.heard: Answered | None = None
        """The complete answer, even one the store refused: its client still gets it."""
        self._chats = chats
        self._tape: Tape | None = None

    async def run(self, emit: OnPiece) -> Answered:
        """Ask the model, emit each piece of the answer as it arrives, and store the answer.

        Raises:
            ModelError: when the model's server fails; the part so far is stored.
            SessionNotFoundError: when the session was deleted meanwhile.
            BusyError, SessionDamagedError, StorageError: when the store refuses the answer.
        """
        began = self._chats.clock()
        if task := asyncio.current_task():
            self._chats.running.add(task)
            task.add_done_callback(self._chats.running.discard)
        try:
            window, asked = await self.threads.read(self._history)
            await self._ask(asked, emit)
        except ChatkeepError as error:
            await self._store_what_came(began, error.code, f"{error}")
            raise
        except asyncio.CancelledError as error:
            await self._store_what_came(began, ending_of(error))
            raise
        except Exception:  # an error nobody foresaw
            await self._store_what_came(began, ChatkeepError.code)
            raise
        answered = await self._store(began)
        if _is_first(window):
            self._chats.title_soon(self, answered)
        return answered

    def _history(self) -> tuple[Window, list[dict[str, Json]]]:
        """Return the session up to this turn, and the messages for the model."""
        window = self.sessions.window(self.key, before=self.seq + 1, limit=LIST_LIMIT_MAX)
        return window, _asked(window.messages, self._chats, counter(self.model))

    async def _ask(self, asked: Sequence[Json], emit: OnPiece) -> None:
        async with aclosing(cast("Any", self._chats.model.answer(self.model, asked))) as said:
            async for piece in said:
                if isinstance(piece, Tape):
                    self._tape = piece
                else:
                    await emit(piece)

    async def _store(self, began: float) -> Answered:
        """Store a complete answer.

        Raises:
            ModelSilentError: when the answer has no text; its other parts are stored.
        """
        draft = await self._keep(partial(self._hear_whole, self._elapsed_ms(began)))
        assert self._tape is not None  # noqa: S101 - the promise of `Model.answer`
        assert draft is not None  # noqa: S101 - a complete answer has a draft
        if self.heard is None:
            raise ModelSilentError(self._tape.answer.finish_reason, beside=_beside(draft))
        return msgspec.structs.replace(self.heard, seq=self.answer_seq or 0)

    def _hear_whole(self, elapsed_ms: int) -> Draft | None:
        """Return a complete answer, and note it in `heard`."""
        draft = None if self._tape is None else self._tape.draft(elapsed_ms)
        if self._tape is not None and draft is not None and (text := answer_text(draft)):
            answer = self._tape.answer
            usage = answer.facts.get("usage", {})
            counts = {name: usage.get(name) for name in ("prompt_tokens", "completion_tokens")}
            known = {name: count if _is_count(count) else 0 for name, count in counts.items()}
            self.heard = Answered(
                key=self.key, text=text, seq=0, finish_reason=answer.finish_reason, usage=Usage(**known)
            )
        return draft

    async def _store_what_came(self, began: float, reason: str, detail: str = "") -> None:
        """Store and mark the part so far of an answer; only log a failure, as a caller raises the first error."""
        if self._tape is None or self.answer_seq:
            return
        try:
            await self._keep(partial(self._hear_rest, self._elapsed_ms(began), reason, detail))
        except ChatkeepError as error:
            _log.warning("A partial answer could not be stored: %s", error.code)

    def _hear_rest(self, elapsed_ms: int, reason: str, detail: str) -> Draft | None:
        """Return the part of an answer that arrived, None for nothing."""
        if self._tape is None:
            return None
        self._tape.close()
        draft = self._tape.draft(elapsed_ms, reason)
        if draft is None or not detail or not (draft.metadata or {}).get("partial"):
            return draft
        return msgspec.structs.replace(draft, metadata={"detail": detail, **(draft.metadata or {})})

    async def _keep(self, make: Callable[[], Draft | None]) -> Draft | None:
        """Make an answer and store it, and return it as made. A thread does both: an answer may be long."""

        def keep() -> Draft | None:
            said = make()
            if said is not None:
                draft = msgspec.structs.replace(
                    said, id=made_id, metadata={"model": self.model, **(said.metadata or {})}
                )
                appended = patiently(partial(self.sessions.append, self.key, [draft], create=False))
                self.answer_seq = appended.receipts[0].seq
            return said

        made_id = self.sessions.new_id()  # one id for all tries, so the answer is stored once
        # Start the thread before the first await: a second cancellation, as when the server stops, cannot prevent it
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, keep))

    def _elapsed_ms(self, began: float) -> int:
        return round((self._chats.clock() - began) * 1000)


def answer_text(draft: Draft) -> str:
    """Return the text of an answer, without the thinking before it."""
    return text_of(without_reasoning(draft.content))


def check_chat_key(key: str, prefix: str = "") -> None:
    """Check a key against the narrower rules of chat; the token's own `prefix` is exempt.

    Source: grip-ai's Chat API.

    Raises:
        InvalidKeyError: when the key has other characters, or too many.
    """
    key = composed(key)
    if len(key) > KEY_CHARS_MAX or not _KEY.fullmatch(key.removeprefix(prefix)):
        raise InvalidKeyError(f"must have 1 to {KEY_CHARS_MAX} letters, digits or _ : . @ -", "session_key")


def _asked(messages: Sequence[Message], chats: Chats, count: TokenCounter) -> list[dict[str, Json]]:
    """Return the messages for the model: the newest turns within the budget, and always the last message."""
    room = chats.history_tokens + tokens(utterance_of(messages[-1]), count) + count(chats.system_prompt)
    return for_openai(messages, budget=room, count=count, system=chats.system_prompt or None)


def _beside(draft: Draft) -> str:
    """Return in words the model's output in place of an answer."""
    extra = (draft.metadata or {}).get(EXTRA, {})
    if draft.tool_calls or "function_call" in extra:
        return "called tools, which chat does not run"
    return "thought about it" if reasoning_of(draft.content, draft.metadata) else "sent other parts"


def _is_count(value: Json) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_first(window: Window) -> bool:
    return not window.has_more and all(map(_is_no_answer, window.messages))


def _is_no_answer(message: Message) -> bool:
    return message.role != "assistant" or bool((message.metadata or {}).get("partial"))


async def _give_title(model: Model, turn: Turn, answered: Answered) -> None:
    """Let the model make a title for a session without one; only log a failure."""
    try:
        header = (await turn.threads.read(turn.sessions.get, turn.key)).header
        if header.title is not None or MODEL_TITLE in header.metadata:
            return
        asked = await turn.threads.read(turn.sessions.window, turn.key, before=turn.seq + 1, limit=1)
        exchange = f"{asked.messages[0].text[:_TITLE_SOURCE_CHARS]}\n\n{answered.text[:_TITLE_SOURCE_CHARS]}"
        request = [{"role": "system", "content": _TITLE_PROMPT}, {"role": "user", "content": exchange}]
        pieces = [piece async for piece in model.answer(turn.model, request) if isinstance(piece, TextPiece)]
        said = "".join(piece.text for piece in pieces if piece.kind == "text")
        if title := titles.title(said.strip(_FRAME), None).said:
            made = Revision(metadata={MODEL_TITLE: title.strip(_FRAME)})
            await turn.threads.write(turn.sessions.revise, turn.key, made)
    except ChatkeepError as error:
        _log.warning("No title was made: %s", error.code)
