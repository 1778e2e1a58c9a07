"""The tokens of an answer, in one form for every protocol.

Servers count in many shapes. OpenAI's and Google's counts of the input include the part read from a cache; Anthropic's
stand beside it. Google counts thinking beside the answer, the others within it. Here `input` is all of the input, with
`cached` and `cache_write` as parts of it, and `output` is all of the output, with `reasoning` as a part. A number that
a server does not tell is missing, not 0.

Source: the API references of OpenAI, Anthropic and Google, and the logs of Codex, OpenCode, OpenClaw and Gemini CLI.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from chatkeep.core.model import Json

TOKENS: Final = "tokens"
"""Name in a message's metadata of its token counts in this form."""
TOKENS_MAX: Final = 1_000_000_000  # tokens of one answer; a greater number is an error of the server

_INPUTS: Final = (
    *("input", "input_tokens", "inputTokens", "prompt_tokens", "promptTokens", "promptTokenCount"),
    "prompt_eval_count",
)
_OUTPUTS: Final = (
    *("output", "output_tokens", "outputTokens", "completion_tokens", "completionTokens", "candidatesTokenCount"),
    "eval_count",
)
_CACHED: Final = (
    *("cached", "cached_input_tokens", "cachedInputTokens", "cachedContentTokenCount", "prompt_cache_hit_tokens"),
    *("prompt_tokens_details.cached_tokens", "input_tokens_details.cached_tokens"),
)
_WRITTEN: Final = (
    *("cache_write", "prompt_tokens_details.cache_write_tokens"),
    "input_tokens_details.cache_write_tokens",
)
_REASONING: Final = (
    *("reasoning", "reasoning_output_tokens", "reasoningTokens"),
    *("completion_tokens_details.reasoning_tokens", "output_tokens_details.reasoning_tokens"),
)
_CACHED_BESIDE: Final = ("cache_read_input_tokens", "cacheRead", "cache.read")
_WRITTEN_BESIDE: Final = ("cache_creation_input_tokens", "cacheWrite", "cache.write")
_THOUGHT_BESIDE: Final = ("thoughtsTokenCount", "thoughts")
_TOOLS_BESIDE: Final = ("toolUsePromptTokenCount", "tool")
_WHOLE_INPUTS: Final = frozenset(("prompt_tokens", "promptTokens"))
"""Counts of the input that include the cache even where its parts have the names of those beside."""


class TokenCounts(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The tokens of an answer; None for a number not told."""

    input: int
    output: int
    cached: int | None = None
    """Of the input, read from a cache."""
    cache_write: int | None = None
    """Of the input, written to a cache."""
    reasoning: int | None = None
    """Of the output, thinking."""


def token_counts(usage: Json) -> TokenCounts | None:
    """Return the token counts in a server's usage, None without any."""
    if not isinstance(usage, dict):
        return None
    found = next(((name, count) for name in _INPUTS if (count := _number(usage, (name,))) is not None), None)
    output = _number(usage, _OUTPUTS)
    if found is None and output is None:
        return None
    name, held = found or ("", 0)
    cached, written = _number(usage, _CACHED), _number(usage, _WRITTEN)
    beside = [_number(usage, names) for names in (_CACHED_BESIDE, _WRITTEN_BESIDE)]
    cached, written = (own if told is None else told for own, told in zip((cached, written), beside, strict=True))
    if name not in _WHOLE_INPUTS:
        held += sum(filter(None, beside))
    held += _number(usage, _TOOLS_BESIDE) or 0
    said, thought = _output(usage, output or 0)
    return _fitting(TokenCounts(input=held, output=said, cached=cached, cache_write=written, reasoning=thought))


def _output(usage: Mapping[str, Json], output: int) -> tuple[int, int | None]:
    """Return all of the output, and the thinking in it."""
    reasoning, beside = _number(usage, _REASONING), _number(usage, _THOUGHT_BESIDE)
    if beside is not None:
        return output + beside, beside
    if reasoning is not None and isinstance(usage.get("cache"), dict):  # OpenCode's
        return output + reasoning, reasoning
    return output, reasoning


def _fitting(counts: TokenCounts) -> TokenCounts:
    """Return the counts with no part greater than its whole."""
    cached = None if counts.cached is None else min(counts.cached, counts.input)
    written = None if counts.cache_write is None else min(counts.cache_write, counts.input - (cached or 0))
    thought = None if counts.reasoning is None else min(counts.reasoning, counts.output)
    return TokenCounts(input=counts.input, output=counts.output, cached=cached, cache_write=written, reasoning=thought)


def _number(usage: Mapping[str, Json], names: Iterable[str]) -> int | None:
    """Return the first number of tokens under these names; a point parts an object's name from one in it."""
    for name in names:
        outer, _, inner = name.partition(".")
        value = usage.get(outer)
        if inner:
            value = value.get(inner) if isinstance(value, dict) else None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= TOKENS_MAX:
            return value
    return None
