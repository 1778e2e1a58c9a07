"""The model server that tests talk to is one: OpenAI's own client finds nothing missing."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.chat.completions import Answer, broken, context_too_long, rate_limited
from tests.chat.upstream import Upstream

HELLO: Any = [{"role": "user", "content": "Hello there"}]
TOOLS: Any = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]


def client_of(upstream: Upstream, key: str = "any") -> OpenAI:
    """Return a client that asks once."""
    return OpenAI(base_url=upstream.url, api_key=key, max_retries=0, timeout=10)


def streamed(client: OpenAI, **wanted: Any) -> list[Any]:  # noqa: ANN401 - as the client has it
    """Return the chunks of an answer."""
    return list(client.chat.completions.create(model="small-model", stream=True, **{"messages": HELLO, **wanted}))


def collect(client: OpenAI, tokens: list[str]) -> None:
    """Add the tokens of an answer to the list as they come."""
    stream = client.chat.completions.create(model="small-model", messages=HELLO, stream=True)
    tokens.extend(text for chunk in stream if (text := chunk.choices[0].delta.content))


def test_echo_answers_the_same_streamed_or_not(upstream: Upstream) -> None:
    """Both ways say the same, twice."""
    client = client_of(upstream)
    whole = client.chat.completions.create(model="small-model", messages=HELLO)
    chunks = streamed(client)
    assert "You said: Hello there" == whole.choices[0].message.content
    assert "You said: Hello there" == "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert chunks == streamed(client)
    assert {whole.id} == {chunk.id for chunk in chunks}
    assert "stop" == whole.choices[0].finish_reason == chunks[-1].choices[0].finish_reason
    assert whole.usage is not None
    assert 4 == whole.usage.completion_tokens
    assert [True, True, True] == [seen.complete.wait(5) for seen in upstream.seen]


def test_usage_is_streamed_when_asked_for(upstream: Upstream) -> None:
    """The last chunk has no choices and the counts, the others say that they have none."""
    *others, last = streamed(client_of(upstream), stream_options={"include_usage": True})
    assert [None] * len(others) == [chunk.usage for chunk in others]
    assert ([], 4) == (last.choices, last.usage.completion_tokens)


def test_tools_are_called_and_their_results_taken(upstream: Upstream) -> None:
    """An echo calls the first tool, then tells what it said."""
    client = client_of(upstream)
    first = client.chat.completions.create(model="small-model", messages=HELLO, tools=TOOLS)
    message: Any = first.choices[0].message.model_dump(exclude_none=True)
    call = message["tool_calls"][0]
    assert ("tool_calls", "look_up") == (first.choices[0].finish_reason, call["function"]["name"])
    assert '{"text": "Hello there"}' == call["function"]["arguments"]
    pieces = [chunk.choices[0].delta.tool_calls for chunk in streamed(client, tools=TOOLS)]
    assert call["function"]["arguments"] == "".join(piece[0].function.arguments for piece in pieces if piece)
    result: Any = {"role": "tool", "tool_call_id": call["id"], "content": "42"}
    second = client.chat.completions.create(model="small-model", messages=[*HELLO, message, result], tools=TOOLS)
    assert "The tool said: 42" == second.choices[0].message.content
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="small-model", messages=[*HELLO, result])
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="small-model", messages=[*HELLO, message, *HELLO])


def test_several_choices_images_reasoning_and_limits_are_known(upstream: Upstream) -> None:
    """What clients use beside plain text."""
    client = client_of(upstream)
    image: Any = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    parts: Any = [{"role": "user", "content": [{"type": "text", "text": "See"}, image]}]
    two = client.chat.completions.create(model="small-model", messages=parts, n=2)
    said = [choice.message.content for choice in two.choices]
    assert ["You said: See [image_url]", "You said: See [image_url] (2)"] == said
    upstream.script(Answer("Yes", reasoning="Let me see"))
    thought: Any = client.chat.completions.create(model="small-model", messages=HELLO).choices[0].message
    assert ("Let me see", "Yes") == (thought.reasoning_content, thought.content)
    short = client.chat.completions.create(model="small-model", messages=HELLO, max_tokens=2).choices[0]
    assert ("You said: ", "length") == (short.message.content, short.finish_reason)
    assert ["small-model", "large-model"] == [model.id for model in client.models.list()]


def test_refusals_have_their_statuses(upstream: Upstream) -> None:
    """Each is the error that the client has a class for."""
    upstream.key = "right"
    with pytest.raises(openai.AuthenticationError):
        client_of(upstream, "wrong").models.list()
    client = client_of(upstream, "right")
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="no-model", messages=HELLO)
    upstream.script(rate_limited(9), broken(), context_too_long())
    with pytest.raises(openai.RateLimitError) as it:
        client.chat.completions.create(model="small-model", messages=HELLO)
    assert "9" == it.value.response.headers["retry-after"]
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(model="small-model", messages=HELLO)
    with pytest.raises(openai.BadRequestError) as too_long:
        client.chat.completions.create(model="small-model", messages=HELLO)
    assert "context_length_exceeded" == too_long.value.code


@pytest.mark.parametrize("fault", ["cut_after", "reset_after", "malformed_after", "error_after"])
@pytest.mark.parametrize("count", [0, 2, 4])
def test_streams_break_after_as_many_tokens_as_said(upstream: Upstream, fault: str, count: int) -> None:
    """Before the first token, in the midst, and before the end."""
    faults: dict[str, Any] = {fault: count}
    upstream.script(Answer("one two three four", **faults))
    tokens: list[str] = []
    with pytest.raises((openai.APIError, ValueError)):  # ValueError for what is no JSON
        collect(client_of(upstream), tokens)
    assert count == len(tokens) if fault != "reset_after" else count >= len(tokens)  # a reset drops what is in transit


def test_silence_and_refused_connections_are_felt(upstream: Upstream) -> None:
    """A server that does not answer, and none, which comes back at the same place."""
    upstream.script(Answer(silent=True))
    with pytest.raises(openai.APITimeoutError):
        client_of(upstream).with_options(timeout=0.1).chat.completions.create(model="small-model", messages=HELLO)
    assert upstream.wait_for(1).gone.wait(5)
    upstream.stop()
    with pytest.raises(openai.APIConnectionError):
        client_of(upstream).models.list()
    upstream.start()
    assert client_of(upstream).models.list().data


def test_held_stream_goes_on_when_released_and_notes_a_client_that_leaves(upstream: Upstream) -> None:
    """A test decides when a token comes, and learns that nobody waits for it."""
    upstream.script(Answer("one two", hold_after=1), Answer("one two", hold_after=1))
    with client_of(upstream).chat.completions.create(model="small-model", messages=HELLO, stream=True) as stream:
        assert ["", "one "] == [next(stream).choices[0].delta.content for _ in range(2)]
        upstream.release()
        assert "two" == next(stream).choices[0].delta.content
    with client_of(upstream).chat.completions.create(model="small-model", messages=HELLO, stream=True) as stream:
        next(stream)
    assert upstream.seen[1].gone.wait(5)
