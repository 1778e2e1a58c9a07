"""Histories for a model, drawn by hypothesis: orderly ones in each provider's shape, and whatever clients may store."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from chatkeep.core.model import Json, Message
from chatkeep.core.standing import Role
from chatkeep.testing.samples import at

PIXEL = "iVBORw0KGgo="
IDS = st.sampled_from(["a", "b", "c", "call_3_0", "call_3_0_", "x y", "z" * 41, ""])
WORDS = st.sampled_from(["", " ", "\n\t", "hello", "two words ", "東京は", "🎉", " end\n", "x" * 300])
ROLES: tuple[Role, ...] = ("system", "developer", "user", "user", "assistant", "assistant", "tool", "tool")
ODD: st.SearchStrategy[Json] = st.sampled_from([None, 1, [], {}, "x", True])
ARGUMENTS = st.sampled_from(['{"n": 1}', "", " ", "{", "[1]", "1e999", '"\\ud800"', "[" * 5000, {"n": 1}, {}, None, 7])
PARTS = st.one_of(
    WORDS,
    st.fixed_dictionaries({"type": st.sampled_from(["text", "input_text", "thinking", [], None]), "text": WORDS}),
    st.builds(
        lambda url: {"type": "image_url", "image_url": url}, st.one_of(ODD, st.builds(lambda u: {"url": u}, ODD))
    ),
    st.sampled_from(
        [
            {},
            {"type": "image_url", "image_url": {"url": "http://example.org/a.png"}},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,A"}},
            {"type": "input_image", "image_url": "https://example.org/a.png"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/tiff", "data": PIXEL}},
            {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
            {"type": "input_audio", "input_audio": {"data": "", "format": "mp3"}},
            {"type": "document", "source": {}},
            {"type": "refusal", "refusal": "No."},
            {"type": "redacted_thinking", "data": "x"},
            {"type": "tool_use"},
            {"type": "tool_result"},
        ]
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("tool_use"),
            "id": IDS | ODD,
            "name": WORDS,
            "input": st.dictionaries(st.text(max_size=3), ODD),
        }
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("tool_result"),
            "tool_use_id": IDS | ODD,
            "content": st.one_of(WORDS, ODD, st.just([{"type": "text", "text": "r"}, {"type": "image"}])),
            "is_error": ODD,
        }
    ),
)
CALLS = st.one_of(
    st.builds(
        lambda i, n, a: {"id": i, "type": "function", "function": {"name": n, "arguments": a}},
        IDS | ODD,
        WORDS,
        ARGUMENTS,
    ),
    ODD,
    st.just({"id": "a", "type": "custom", "custom": {}}),
)
CONTENT: st.SearchStrategy[Json] = st.one_of(WORDS, WORDS, st.none(), st.lists(PARTS, max_size=4))


@st.composite
def wild(draw: st.DrawFn, most: int = 14) -> list[Message]:
    """Draw what clients may have stored, beginning and ending anywhere."""
    first = draw(st.integers(1, 5))
    return [
        Message(
            seq=seq,
            role=draw(st.sampled_from(ROLES)),
            content=draw(CONTENT),
            sent_at=at(seq),
            id=str(seq),
            name=draw(st.sampled_from([None, None, "ann", "a b", "é"])),
            tool_calls=draw(st.none() | st.lists(CALLS, max_size=3)),
            tool_call_id=draw(st.none() | IDS),
            metadata=draw(st.sampled_from([None, {"partial": True}])),
        )
        for seq in range(first, first + draw(st.integers(0, most)))
    ]


@st.composite
def orderly(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw OpenAI chat messages as a tidy client keeps them: questions, parallel calls with results, answers."""
    messages: list[dict[str, Any]] = []
    words = st.text("abc 東京🎉", min_size=1, max_size=9).filter(str.strip)
    for turn in range(draw(st.integers(0, 4))):
        messages.append({"role": "user", "content": draw(words)})
        for step in range(draw(st.integers(0, 3))):
            ids = [f"call_{turn}_{step}_{n}" for n in range(draw(st.integers(1, 3)))]
            function = {"name": "add", "arguments": json.dumps({"n": turn})}
            calls = [{"id": call_id, "type": "function", "function": function} for call_id in ids]
            messages.append({"role": "assistant", "content": draw(st.none() | words), "tool_calls": calls})
            messages += ({"role": "tool", "tool_call_id": call_id, "content": draw(words)} for call_id in ids)
        if draw(st.booleans()):
            messages.append({"role": "assistant", "content": draw(words)})
    return messages


def stored(messages: list[dict[str, Any]]) -> list[Message]:
    """Return messages as a session has them."""
    return [Message(seq=seq, sent_at=at(seq), id=str(seq), **said) for seq, said in enumerate(messages, start=1)]
