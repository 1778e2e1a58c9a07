"""Whatever a model's server sends, and however it is cut: chat and the recorder tell the same, and nothing is lost.

How many streams are made up is set by the environment: `CHATKEEP_STREAMS=10000`, as `make streams` does.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatkeep.core.history.tape.tape import Tape
from chatkeep.core.model import Draft, Message
from chatkeep.core.text.reasoning import TextPiece, reasoning_of
from chatkeep.errors import ModelError
from chatkeep.http.gate.rules import Pools
from chatkeep.model import connections
from chatkeep.model.chat import Chats, answer_text
from chatkeep.model.upstream import ModelSettings, Upstream
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.memory import MemoryStore
from tests.chat.streams import Stream, rendered, streams
from tests.chat.told import Call, Told, told

COUNT = int(os.environ.get("CHATKEEP_STREAMS", "300"))
MANY = settings(max_examples=COUNT, deadline=None, suppress_health_check=list(HealthCheck))
cuts = st.lists(st.integers(0, 400), max_size=8)


@dataclass
class Heard:
    """What was made of a stream."""

    draft: Draft | Message | None
    code: str | None
    pieces: list[TextPiece]


class Saying(httpx2.AsyncBaseTransport, httpx2.AsyncByteStream):
    """A connection on which these bytes come, in these pieces, whatever is asked."""

    def __init__(self, pieces: Sequence[bytes], media_type: str, *, is_cut: bool) -> None:
        """Take the pieces, and whether the connection breaks after them."""
        self._pieces = pieces
        self._media_type = media_type
        self._is_cut = is_cut

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answer."""
        headers = {"content-type": self._media_type} if self._media_type else {}
        return httpx2.Response(200, headers=headers, stream=self, request=request)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the pieces."""
        for piece in self._pieces:
            yield piece
        if self._is_cut:
            raise httpx2.ReadError("broken")


def pieces_of(said: bytes, cuts: list[int]) -> list[bytes]:
    """Return bytes in pieces."""
    places = sorted({0, len(said), *(cut for cut in cuts if cut < len(said))})
    return [said[start:end] for start, end in pairwise(places)]


def recorded(pieces: Sequence[bytes], media_type: str, *, is_cut: bool) -> Heard:
    """Return what the recorder makes of an answer."""
    tape = Tape(media_type)
    heard = []
    for piece in pieces:
        tape.add(piece)
        heard += tape.take()
    tape.close()
    cut = "model_cut_off" if is_cut else None
    draft = tape.draft(1, cut)
    code = None if tape.is_complete else (cut or (tape.fault.code if tape.fault else None))
    return Heard(draft, code, heard + tape.take())


def chatted(pieces: Sequence[bytes], media_type: str, *, is_cut: bool) -> Heard:
    """Return what chat makes of the same answer."""
    sessions = Sessions(MemoryStore())
    heard: list[TextPiece] = []

    async def turn() -> str | None:
        model = Upstream(ModelSettings(url="http://127.0.0.1:9/v1", key="k", model="m", timeout_s=5, retries=0))
        chats = Chats(model, history_tokens=100)

        async def hear(piece: TextPiece) -> None:
            heard.append(piece)

        try:
            await (await chats.begin(sessions, Pools(), "Hi", key="a")).run(hear)
        except ModelError as error:
            return error.code
        finally:
            await model.close()
        return None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connections, "transport_to", lambda *_: Saying(pieces, media_type, is_cut=is_cut))
        code = asyncio.run(turn())
    said = sessions.read("a").messages[1:]
    return Heard(said[0] if said else None, code, heard)


def check(heard: Heard, expected: Told, *, by: str) -> None:
    """Check what was made of a stream against what it tells."""
    draft = heard.draft
    if draft is None:
        assert not expected.choice.has_said, by
        assert not heard.pieces, by
        return
    metadata = draft.metadata or {}
    said = expected.choice
    text = answer_text(draft) if isinstance(draft, Draft) else draft.text
    assert (said.text, said.thoughts) == (text, reasoning_of(draft.content, metadata)), by
    assert said.text == "".join(piece.text for piece in heard.pieces if piece.kind == "text"), by
    assert said.calls == calls_of(draft.tool_calls or metadata.get("unfinished_tool_calls")), by
    extra = metadata.get("openai", {})
    old_call = extra.get("function_call", metadata.get("unfinished_function_call"))
    assert (said.old_call or None) == old_call, by
    assert ((said.roles or [None])[0] if len(said.roles) < 2 else said.roles) == extra.get("role"), by
    assert (said.finish or None, expected.usage) == (metadata.get("finish_reason"), metadata.get("usage")), by
    assert said.objects == [part for part in draft.content or () if isinstance(part, dict) and _is_object(part)], by
    kept = [other_of(other) for other in metadata.get("other_choices", ())]
    assert [(one.index, one.written, one.calls, one.finish or None) for one in expected.others] == kept, by
    assert expected.is_whole == ("partial" not in metadata), by
    if not (said.finish or expected.has_ended):
        assert not draft.tool_calls, by
        assert "function_call" not in extra, by


def _is_object(part: dict[str, Any]) -> bool:
    return not {"text", "refusal", "thinking"} & part.keys()


def calls_of(calls: Any) -> list[Call]:  # noqa: ANN401 - calls as they are stored
    """Return calls as a stream tells them."""
    return [
        (call.get("id"), call["function"].get("name"), call["function"].get("arguments", "")) for call in calls or ()
    ]


def other_of(other: dict[str, Any]) -> tuple[int, str, list[Call], str | None]:
    """Return what is kept of a choice that is not stored as the message: its index, words, calls and ending."""
    content = other.get("content") or ""
    parts = [content] if isinstance(content, str) else content
    words = [part if isinstance(part, str) else part.get("text", part.get("refusal", "")) for part in parts]
    calls = calls_of(other.get("tool_calls", other.get("unfinished_tool_calls")))
    return other["index"], "\n".join(filter(None, words)), calls, other.get("finish_reason")


@MANY
@given(streams, cuts)
def test_chat_and_recorder_agree_with_what_a_stream_tells(stream: Stream, cuts: list[int]) -> None:
    """About text, thinking, calls, whether it is whole, and why not."""
    expected = told(stream)
    pieces = pieces_of(rendered(stream), cuts)
    answer = recorded(pieces, stream.media_type, is_cut=False)
    check(answer, expected, by="recorder")
    assert expected.code == answer.code
    same = chatted(pieces, stream.media_type, is_cut=False)
    check(same, expected, by="chat")
    wordless = expected.is_whole and not expected.choice.text
    assert ("model_silent" if wordless else expected.code) == same.code


@MANY
@given(streams, cuts, st.integers(0, 400))
def test_chat_and_recorder_agree_on_a_stream_that_breaks_anywhere(stream: Stream, cuts: list[int], end: int) -> None:
    """What came before the connection broke is kept by both, marked alike."""
    said = rendered(stream)[:end]
    answer = recorded(pieces_of(said, cuts), stream.media_type, is_cut=True)
    same = chatted(pieces_of(said, cuts), stream.media_type, is_cut=True)
    assert (answer.draft is None) == (same.draft is None)
    if answer.draft is not None and same.draft is not None:
        before, after = answer.draft.metadata or {}, same.draft.metadata or {}
        assert (answer.draft.content, answer.draft.tool_calls) == (same.draft.content, same.draft.tool_calls)
        for name in ("partial", "reason", "reasoning", "unfinished_tool_calls"):
            assert before.get(name) == after.get(name)


def test_make_up_streams_of_every_kind() -> None:
    """The generator is no idle one: each kind of ending and of content comes up."""
    seen: set[str] = set()

    @settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(streams)
    def look(stream: Stream) -> None:
        seen.update(_kinds(told(stream)))

    look()
    codes = {"model_reported", "model_unreadable", "model_cut_off", "model_silent"}
    assert (
        codes | {"whole", "text", "thoughts", "calls", "old_call", "roles", "objects", "others", "other than 0"} <= seen
    )


def _kinds(expected: Told) -> Iterator[str]:
    yield "whole" if expected.is_whole else expected.code or ""
    said = expected.choice
    yield from (name for name in ("text", "thoughts", "calls", "old_call", "roles", "objects") if getattr(said, name))
    yield from ["others"] if expected.others else []
    yield from ["other than 0"] if said.index else []
