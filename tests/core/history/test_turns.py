"""Turns: what becomes of each thing that a stored history may have, and of parts in either provider's shape."""

from __future__ import annotations

from typing import Any

import pytest

from chatkeep.core.history.windows import for_anthropic, for_openai
from chatkeep.core.model import Json, Message
from tests.core.history.histories import PIXEL, stored
from tests.core.history.provider_rules import refused_by_anthropic, refused_by_openai

PLENTY = 1 << 40
HTTPS, DATA = "https://example.org/a.png", f"data:image/png;base64,{PIXEL}"
BASE64 = {"type": "base64", "media_type": "image/png", "data": PIXEL}
ASK = {"role": "user", "content": "add"}


def call(call_id: str | None, name: str = "add", arguments: Json = "{}") -> dict[str, Any]:
    """Return a tool call."""
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def calling(*calls: dict[str, Any], content: Json = None) -> dict[str, Any]:
    """Return an assistant's message with tool calls."""
    return {"role": "assistant", "content": content, "tool_calls": [*calls]}


def result(call_id: str | None, content: Json = "2") -> dict[str, Any]:
    """Return a tool's message."""
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def sent(*messages: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what OpenAI is sent of a history; both providers take it."""
    history = stored([*messages])
    chat = for_openai(history, budget=PLENTY)
    assert [] == refused_by_openai(chat)
    assert [] == refused_by_anthropic(for_anthropic(history, budget=PLENTY))
    return chat


def test_results_go_behind_their_call() -> None:
    """Results in another order, or after a question that came between, stand behind their call in its order."""
    late = sent(
        ASK, calling(call("a"), call("b")), result("b", "B"), {"role": "user", "content": "?"}, result("a", "A")
    )
    assert [
        ASK,
        calling(call("a"), call("b")),
        result("a", "A"),
        result("b", "B"),
        {"role": "user", "content": "?"},
    ] == late


def test_calls_without_results_are_left_out() -> None:
    """A run that was cut leaves the answered calls and the words; a message with neither goes."""
    assert [ASK, calling(call("b")), result("b")] == sent(ASK, calling(call("a"), call("b")), result("b"))
    assert [ASK, {"role": "assistant", "content": "I add."}] == sent(ASK, calling(call("a"), content="I add."))
    assert [ASK, ASK] == sent(ASK, calling(call("a")), ASK)


def test_results_without_calls_are_left_out() -> None:
    """Orphaned results go, and of a result that is there twice the first stays."""
    assert [ASK, calling(call("a")), result("a")] == sent(
        ASK, result("z"), calling(call("a")), result("a"), result("a", "3")
    )


def test_results_without_an_id_answer_in_order() -> None:
    """Where nobody gave ids, results answer the calls before them one by one, and ids are made."""
    chat = sent(ASK, calling(call(None), call(None)), result(None, "A"), result(None, "B"))
    assert ["call_2_0", "call_2_1"] == [each["id"] for each in chat[1]["tool_calls"]]
    assert [result("call_2_0", "A"), result("call_2_1", "B")] == chat[2:]


def test_ids_used_again_are_made_anew() -> None:
    """Within what is sent, an id names one call; one that a provider refuses is replaced."""
    step = [calling(call("a")), result("a")]
    assert ["a", "call_4_0"] == [each["tool_call_id"] for each in sent(ASK, *step, *step) if "tool_call_id" in each]
    assert result("call_2_0") == sent(ASK, calling(call("a b")), result("a b"))[2]
    made = [calling(call("call_5_0")), result("call_5_0")]
    assert "call_5_0_" == sent(ASK, ASK, *made, *made[:1], *made[1:])[-1]["tool_call_id"]


def test_a_session_begins_at_a_question() -> None:
    """What was said before the first question is left out, and without a question there is nothing but the prompt."""
    greeting = {"role": "assistant", "content": "Hello!"}
    assert [ASK] == sent(greeting, {"role": "user", "content": " "}, ASK)
    assert [{"role": "system", "content": "Be kind."}] == sent(greeting, {"role": "system", "content": "Be kind."})


def test_prompts_are_one_and_first() -> None:
    """System and developer messages, whatever their place, stand in front, each once, behind the caller's."""
    history = stored(
        [ASK, {"role": "developer", "content": "Be kind."}, ASK, {"role": "system", "content": "Be brief."}] * 2
    )
    chat = for_openai(history, budget=PLENTY, system="You are Ann.")
    assert [{"role": "system", "content": "You are Ann.\n\nBe kind.\n\nBe brief."}, *[ASK] * 4] == chat
    assert (
        "You are Ann.\n\nBe kind.\n\nBe brief."
        == for_anthropic(history, budget=PLENTY, system="You are Ann.")["system"]
    )


def test_a_partial_answer_counts_for_its_text() -> None:
    """Of an answer that was cut the text stays, a call that was cut goes, and one that has nothing goes."""
    cut = {"role": "assistant", "content": "The sum is ", "metadata": {"partial": True}}
    failed = {"role": "assistant", "content": "", "metadata": {"partial": True}}
    assert [ASK, {"role": "assistant", "content": "The sum is "}] == sent(
        ASK, {**cut, "tool_calls": [call("a", "add", "{")]}
    )
    assert [ASK, ASK] == sent(ASK, failed, ASK)
    last = for_anthropic(stored([ASK, cut]), budget=PLENTY)["messages"][-1]
    assert [{"type": "text", "text": "The sum is"}] == last["content"]


@pytest.mark.parametrize(
    "arguments,expected",
    [
        ('{"n":1}', {"n": 1}),
        ({"n": 1}, {"n": 1}),
        ("", {}),
        (None, {}),
        ('{"n"', {"INVALID_JSON": '{"n"'}),
        ("[1]", {"INVALID_JSON": "[1]"}),
        (7, {"INVALID_JSON": "7"}),
    ],
)
def test_arguments_are_an_object(arguments: Json, expected: dict[str, Any]) -> None:
    """Arguments that are no JSON object are wrapped in one, for servers parse them."""
    history = stored([ASK, calling(call("a", "my.tool", arguments)), result("a")])
    use = for_anthropic(history, budget=PLENTY)["messages"][1]["content"]
    assert [{"type": "tool_use", "id": "a", "name": "my_tool", "input": expected}] == use


@pytest.mark.parametrize(
    "part,openai,anthropic",
    [
        ({"type": "image_url", "image_url": {"url": HTTPS}}, HTTPS, {"type": "url", "url": HTTPS}),
        ({"type": "input_image", "image_url": DATA}, DATA, BASE64),
        ({"type": "image", "source": BASE64}, DATA, BASE64),
        ({"type": "image", "source": {"type": "url", "url": HTTPS}}, HTTPS, {"type": "url", "url": HTTPS}),
    ],
)
def test_pictures_in_either_shape(part: dict[str, Any], openai: str, anthropic: dict[str, Any]) -> None:
    """A user's picture goes to each provider in its own shape."""
    chat = sent({"role": "user", "content": ["See:", part]})
    assert [{"type": "text", "text": "See:"}, {"type": "image_url", "image_url": {"url": openai}}] == chat[0]["content"]
    block = for_anthropic(stored([{"role": "user", "content": [part]}]), budget=PLENTY)["messages"][0]["content"]
    assert [{"type": "image", "source": anthropic}] == block


def test_parts_that_nobody_takes_leave_their_name() -> None:
    """A user's sound or file, or a picture that is none, is named; thoughts are nobody's to be sent."""
    parts = [
        {"type": "input_audio"},
        {"type": "image", "source": {}},
        {"file": 1},
        {"type": "thinking", "thinking": "Hm"},
    ]
    assert "[input_audio]\n[image]\n[attachment]" == sent({"role": "user", "content": parts})[0]["content"]
    assert [ASK] == sent(ASK, {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm"}, {"type": "x"}]})


def test_anthropic_history_comes_back() -> None:
    """What was stored in Anthropic's shape goes back in it, and to OpenAI as calls and results."""
    text = {"type": "text", "text": "add"}
    uses = [{"type": "tool_use", "id": call_id, "name": "add", "input": {"n": 1}} for call_id in "ab"]
    image = {"type": "image", "source": BASE64}
    results: list[dict[str, Any]] = [
        {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "2"}, image]},
        {"type": "tool_result", "tool_use_id": "b", "content": [{"type": "text", "text": "no"}], "is_error": True},
    ]
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": [text]},
        {"role": "assistant", "content": [text, *uses]},
        {"role": "user", "content": [*results, text]},
        {"role": "assistant", "content": [text]},
    ]
    assert {"messages": messages} == for_anthropic(stored(messages), budget=PLENTY)
    calls = [call(call_id, "add", '{"n":1}') for call_id in "ab"]
    assert [
        ASK,
        calling(*calls, content="add"),
        result("a", "2\n[image]"),
        result("b", "no"),
        ASK,
        {"role": "assistant", "content": "add"},
    ] == sent(*messages)


def test_a_call_in_both_shapes_is_one() -> None:
    """A message that has its calls twice, as parts and beside them, makes each once."""
    use = {"type": "tool_use", "id": "a", "name": "add", "input": {}}
    assert [ASK, calling(call("a")), result("a")] == sent(ASK, calling(call("a"), content=[use]), result("a"))


def test_anthropic_neighbours_are_merged() -> None:
    """Questions in a row are one message for Anthropic, and so are answers."""
    answer = {"role": "assistant", "content": "2"}
    request = for_anthropic(stored([ASK, ASK, answer, answer, ASK]), budget=PLENTY)
    assert [2, 2, 1] == [len(message["content"]) for message in request["messages"]]


def test_an_empty_result_says_so() -> None:
    """A tool that answered nothing has answered."""
    assert result("a", "(no output)") == sent(ASK, calling(call("a")), result("a", ""))[2]


def test_names_that_are_refused_are_left_out() -> None:
    """A speaker's name goes to OpenAI where it takes it."""
    assert [{**ASK, "name": "ann"}, ASK] == sent({**ASK, "name": "ann"}, {**ASK, "name": "Ann B"})


def test_the_stored_messages_stay_as_they_are() -> None:
    """Making a request changes nothing of what it is made from."""
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "text", "text": "a "}]},
        {"role": "assistant", "content": "b "},
    ]
    history: list[Message] = stored(messages)
    for_anthropic(history, budget=PLENTY)
    assert stored(messages) == history
