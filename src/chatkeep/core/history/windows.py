"""Windows: neighbouring messages of a session, cut to a model's budget of tokens.

A model gets whole turns, the newest that fit, behind the system prompt. The newest turn alone may be too large, for
example in a long run of tool calls. Then the model gets its question and the newest messages that followed it, each
call together with its results. So the history is valid wherever it is cut.

The caller passes a function that counts the tokens of a text. `estimate` is the one for models with an unknown
tokenizer. Beyond text, a message has a frame of 4 tokens, a picture counts 1,600 (Anthropic's figure for a large one;
OpenAI's are between 85 and 1,500), and 3 open the answer.

Source: OpenAI Cookbook, How to count tokens with tiktoken; Anthropic, Vision.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from chatkeep.core.checks import encoded_json
from chatkeep.core.history.shapes import anthropic_messages, openai_messages
from chatkeep.core.history.turns import (
    PROMPT_ROLES,
    ContentPart,
    Utterance,
    answers,
    outdated,
    prompt,
    turns_of,
    utterance_of,
)
from chatkeep.core.model import Json, Message
from chatkeep.core.text.reasoning import FIELD, without_reasoning
from chatkeep.errors import InvalidError

TokenCounter = Callable[[str], int]

_FRAME_TOKENS: Final = 4
_IMAGE_TOKENS: Final = 1600
_ANSWER_TOKENS: Final = 3
_UNBOUNDED: Final = 1 << 53  # tokens; more than any model takes
_PLAIN: Final = (string.ascii_letters + string.whitespace).encode()


def estimate(text: str) -> int:
    """Return about how many tokens a model takes for a text, rather too many than too few.

    Four ASCII letters or white space are one token, three other ASCII characters two, and three characters of another
    script four.
    """
    in_ascii = text.encode("ascii", "ignore")
    other = len(in_ascii.translate(None, _PLAIN))
    return -(-(3 * (len(in_ascii) - other) + 8 * other + 16 * (len(text) - len(in_ascii))) // 12)


class Window(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Neighbouring messages of one session, oldest first. `has_more` tells of others further on.

    `needed_tokens` is set if no message fits the budget: the newest would take so many.
    """

    messages: tuple[Message, ...]
    has_more: bool
    needed_tokens: int | None = None

    def for_openai(
        self,
        *,
        max_tokens: int | None = None,
        count: TokenCounter = estimate,
        system: str | None = None,
        tools: Sequence[Json] = (),
    ) -> list[dict[str, Json]]:
        """Return OpenAI's chat messages, oldest first: the argument of `chat.completions.create`.

        If there is a system prompt, given or stored, one `system` message comes first. Then come whole turns, each
        from its question on, with every tool call beside its result. Results and calls without a counterpart are left
        out. With `max_tokens`, only the newest turns within them remain; all messages and the `tools` count. `count`
        maps a text to its tokens, by default with `estimate`.

        Raises:
            InvalidError: when not even the prompt and the newest question fit, or when the window begins behind the
                question of its messages: ask for more of them.
        """
        self._check_begins()
        return for_openai(self.messages, budget=_budget(max_tokens), count=count, system=system, tools=tools)

    def for_anthropic(
        self,
        *,
        max_tokens: int | None = None,
        count: TokenCounter = estimate,
        system: str | None = None,
        tools: Sequence[Json] = (),
    ) -> dict[str, Json]:
        """Return the same as a dict for `messages.create(**...)`: `messages`, and `system` if there is a prompt.

        Raises:
            InvalidError: as `for_openai`.
        """
        self._check_begins()
        return for_anthropic(self.messages, budget=_budget(max_tokens), count=count, system=system, tools=tools)

    def _check_begins(self) -> None:
        """Check for a window within one turn: without its question, no message would be left."""
        history = [utterance_of(message) for message in self.messages]
        is_answer = any(said.role not in PROMPT_ROLES for said in history)
        if is_answer and self.messages[0].seq > 1 and not turns_of(history):
            raise InvalidError("messages", "begin behind their question: ask for more messages")


def tokens(said: Utterance, count: TokenCounter) -> int:
    """Return the tokens of a message, with its calls and its results."""
    total = _FRAME_TOKENS + _tokens_of(said.parts, count) + (1 + count(said.name) if said.name else 0)
    for call in said.calls:
        total += _FRAME_TOKENS + count(call.name) + count(call.arguments)
    for result in said.results:
        total += _FRAME_TOKENS + _tokens_of(result.parts, count)
    return total


def for_openai(
    messages: Sequence[Message],
    *,
    budget: int,
    count: TokenCounter = estimate,
    system: str | None = None,
    tools: Sequence[Json] = (),
) -> list[dict[str, Json]]:
    """Return the newest messages within `budget` tokens, as OpenAI's chat messages, oldest first.

    Before them comes one `system` message: `system`, then the history's system and developer messages in force. It
    counts, and so do the definitions of `tools`, which the caller sends beside the messages. A history without a
    question gives only the prompt. Cost: a look at every message, and a count of the fitting messages and of one turn
    more.

    Raises:
        InvalidError: when not even the prompt and the newest question fit.
    """
    return openai_messages(*_newest(messages, budget, count, system, tools))


def for_anthropic(
    messages: Sequence[Message],
    *,
    budget: int,
    count: TokenCounter = estimate,
    system: str | None = None,
    tools: Sequence[Json] = (),
) -> dict[str, Json]:
    """Return the same as `for_openai`, as Anthropic's `messages` and `system`; no `system` without a prompt.

    Anthropic wants `tools` beside a history with tool calls: the caller sends them.

    Raises:
        InvalidError: when not even the prompt and the newest question fit.
    """
    return anthropic_messages(*_newest(messages, budget, count, system, tools))


def _budget(max_tokens: int | None) -> int:
    return _UNBOUNDED if max_tokens is None else max_tokens


def neighbours(messages: Sequence[Message], *, limit: int, before: int | None, after: int | None) -> Window:
    """Return neighbouring messages of a whole session, as `Store.window` does."""
    between = [
        said for said in messages if (before is None or said.seq < before) and (after is None or said.seq > after)
    ]
    follows = after is not None and before is None
    return Window(messages=tuple(between[:limit] if follows else between[-limit:]), has_more=len(between) > limit)


def fitting(window: Window, tokens_max: int, *, with_reasoning: bool = False) -> Window:
    """Return the newest messages of a window within `tokens_max`, by `estimate`, without the model's thinking.

    `with_reasoning` keeps the thinking, and counts it. All else stays as stored. A tool call and its results stay
    together, with the messages between them. Left out are replaced system prompts, and results without their call in
    the window. If not even the newest message fits, the window says how many tokens it needs.
    """
    gone = outdated([utterance_of(message) for message in window.messages])
    standing = [message for place, message in enumerate(window.messages) if place not in gone]
    messages = standing if with_reasoning else [one for one in map(_without_reasoning, standing) if one is not None]
    history = [utterance_of(message) for message in messages]
    kept: list[int] = []
    needed: int | None = None
    for run in reversed(list(_runs(history))):
        cost = sum(tokens(history[place], estimate) for place in run)
        cost += sum(estimate(messages[place].reasoning) for place in run) if with_reasoning else 0
        if cost > tokens_max:
            needed = None if kept else cost
            break
        tokens_max -= cost
        kept += reversed(run)
    left_out = bool(history) and kept[-1:] != [0]
    return Window(
        messages=tuple(messages[place] for place in reversed(kept)),
        has_more=window.has_more or left_out,
        needed_tokens=needed,
    )


def _without_reasoning(message: Message) -> Message | None:
    """Return a message without the model's thinking, None if it has nothing else."""
    if message.role != "assistant" or not message.reasoning:
        return message
    content = without_reasoning(message.content)
    if not content and not message.tool_calls:
        return None
    metadata = {name: value for name, value in (message.metadata or {}).items() if name != FIELD}
    return msgspec.structs.replace(message, content=content, metadata=metadata or None)


def _newest(
    messages: Sequence[Message], budget: int, count: TokenCounter, system: str | None, tools: Sequence[Json]
) -> tuple[str, list[Utterance]]:
    """Return the prompt, and the newest turns with room beside it."""
    history = [utterance_of(message) for message in messages]
    prompted, turns = prompt(history, system), turns_of(history)
    room = budget - _ANSWER_TOKENS - (_FRAME_TOKENS + count(prompted) if prompted else 0)
    room -= count(encoded_json("tools", list(tools)).decode()) if tools else 0
    kept = _that_fit(turns, room, count)
    if not kept and turns:
        question, *followed = turns[-1]
        room -= tokens(question, count)
        kept = [[question], *_that_fit([[said] for said in followed], room, count)]
    if room < 0:
        raise InvalidError("message", f"does not fit {budget} tokens together with the system prompt: shorten it")
    return prompted, [said for turn in kept for said in turn]


def _that_fit(turns: Sequence[list[Utterance]], room: int, count: TokenCounter) -> list[list[Utterance]]:
    """Return the last turns within the room, oldest first."""
    first = len(turns)
    while first:
        for said in turns[first - 1]:
            room -= tokens(said, count)
            if room < 0:
                return [*turns[first:]]
        first -= 1
    return [*turns]


def _runs(history: Sequence[Utterance]) -> Iterator[list[int]]:
    """Yield the places of inseparable messages, without messages of orphaned results alone."""
    pairs = [(call, result) for (call, _), (result, _) in answers(history).items()]
    last: dict[int, int] = {}
    for call, result in pairs:
        last[call] = max(result, last.get(call, result))
    answering = {result for _, result in pairs}
    run: list[int] = []
    end = -1
    for place, said in enumerate(history):
        if place > end and run:
            yield run
            run = []
        end = max(end, last.get(place, place))
        if said.parts or said.calls or not said.results or place in answering:
            run.append(place)
    if run:
        yield run


def _tokens_of(parts: Sequence[ContentPart], count: TokenCounter) -> int:
    """Count the parts, and a line break between two."""
    counted = sum(count(part) if isinstance(part, str) else _IMAGE_TOKENS for part in parts)
    return counted + max(0, len(parts) - 1)
