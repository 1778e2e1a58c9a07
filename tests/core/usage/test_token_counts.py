"""Every server's counts of tokens mean the same in our form."""

from __future__ import annotations

from typing import Any

import pytest

from chatkeep.core.usage.token_counts import TokenCounts, token_counts

COMPLETIONS = {
    "prompt_tokens": 100,
    "completion_tokens": 30,
    "total_tokens": 130,
    "prompt_tokens_details": {"cached_tokens": 60, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 20},
}
RESPONSES = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 60},
    "output_tokens": 30,
    "output_tokens_details": {"reasoning_tokens": 20},
}
MESSAGES = {
    "input_tokens": 30,
    "cache_creation_input_tokens": 10,
    "cache_read_input_tokens": 60,
    "output_tokens": 30,
    "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 0},
}
GEMINI = {
    "promptTokenCount": 90,
    "toolUsePromptTokenCount": 10,
    "cachedContentTokenCount": 60,
    "candidatesTokenCount": 10,
    "thoughtsTokenCount": 20,
    "totalTokenCount": 130,
}


@pytest.mark.parametrize(
    "usage,expected",
    [
        (COMPLETIONS, (100, 30, 60, None, 20)),
        (RESPONSES, (100, 30, 60, None, 20)),
        (MESSAGES, (100, 30, 60, 10, None)),
        (GEMINI, (100, 30, 60, None, 20)),
        ({"prompt_tokens": 100, "completion_tokens": 30, "prompt_cache_hit_tokens": 60}, (100, 30, 60, None, None)),
        (
            {"input_tokens": 100, "cached_input_tokens": 60, "output_tokens": 30, "reasoning_output_tokens": 20},
            (100, 30, 60, None, 20),
        ),
        ({"input": 40, "output": 10, "reasoning": 20, "cache": {"read": 60, "write": 0}}, (100, 30, 60, 0, 20)),
        ({"input": 30, "output": 30, "cacheRead": 60, "cacheWrite": 10, "totalTokens": 130}, (100, 30, 60, 10, None)),
        ({"input": 90, "output": 10, "cached": 60, "thoughts": 20, "tool": 10, "total": 130}, (100, 30, 60, None, 20)),
        (
            {"inputTokens": 100, "outputTokens": 30, "cachedInputTokens": 60, "reasoningTokens": 20},
            (100, 30, 60, None, 20),
        ),
        ({"prompt_eval_count": 100, "eval_count": 30}, (100, 30, None, None, None)),
        ({**COMPLETIONS, "cache_read_input_tokens": 60, "cache_creation_input_tokens": 10}, (100, 30, 60, 10, 20)),
        ({"input": 100, "output": 30, "cached": 60, "cache_write": 10, "reasoning": 20}, (100, 30, 60, 10, 20)),
        ({"promptTokenCount": 5}, (5, 0, None, None, None)),
        ({"completion_tokens": 5}, (0, 5, None, None, None)),
    ],
)
def test_read_the_counts_of_every_server(usage: Any, expected: tuple[int | None, ...]) -> None:  # noqa: ANN401 - as sent
    """All of the input, all of the output, and the parts of each that the server told."""
    read, said, cached, written, thought = expected
    counts = TokenCounts(input=read or 0, output=said or 0, cached=cached, cache_write=written, reasoning=thought)
    assert counts == token_counts(usage)


@pytest.mark.parametrize(
    "usage", [None, [], "100", {}, {"total_tokens": 5}, {"prompt_tokens": -1}, {"input": {"a": 1}}]
)
def test_read_no_counts_where_there_are_none(usage: Any) -> None:  # noqa: ANN401 - as sent
    """What tells no tokens is unknown, and not 0."""
    assert token_counts(usage) is None
