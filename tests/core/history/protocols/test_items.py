"""Items of Responses become messages and come back exactly, and answers are folded as independent code folds them.

How many streams are made up is set by the environment: `CHATKEEP_STREAMS=10000`, as `make streams` does.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatkeep.core.history.protocols.item_folding import RESPONSES
from chatkeep.core.history.protocols.items import draft_of_item, gathered, ids_of, response_items
from chatkeep.core.history.recognition import is_same
from chatkeep.core.history.tape.tape import Tape
from chatkeep.core.history.turns import turns_of, utterance_of
from chatkeep.core.life.message_rules import check_draft
from chatkeep.core.model import Draft, text_of
from tests.chat.messages_said import message_of

Json = Any
COUNT = int(os.environ.get("CHATKEEP_STREAMS", "100"))
MANY = settings(max_examples=COUNT, deadline=None, suppress_health_check=list(HealthCheck))

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=10)
names = st.text("abc", min_size=1, max_size=4)
values = st.recursive(st.none() | st.integers(-9, 9) | texts, lambda inner: st.lists(inner, max_size=2), max_leaves=3)
citations = st.fixed_dictionaries({"type": st.just("url_citation"), "url": texts})
output_texts = st.fixed_dictionaries(
    {"type": st.just("output_text"), "text": texts, "annotations": st.lists(citations, max_size=2)}
)
refusals = st.fixed_dictionaries({"type": st.just("refusal"), "refusal": texts})
messages = st.fixed_dictionaries(
    {
        "type": st.just("message"),
        "id": names,
        "role": st.just("assistant"),
        "status": st.just("completed"),
        "content": st.lists(output_texts | refusals, min_size=1, max_size=2),
    }
)
reasonings = st.fixed_dictionaries(
    {
        "type": st.just("reasoning"),
        "id": names,
        "summary": st.lists(st.fixed_dictionaries({"type": st.just("summary_text"), "text": texts}), max_size=2),
    },
    optional={
        "encrypted_content": texts,
        "content": st.lists(
            st.fixed_dictionaries({"type": st.just("reasoning_text"), "text": texts}), min_size=1, max_size=2
        ),
    },
)
calls = st.fixed_dictionaries(
    {"type": st.just("function_call"), "id": names, "call_id": names, "name": names, "arguments": texts}
) | st.fixed_dictionaries({"type": st.just("custom_tool_call"), "call_id": names, "name": names, "input": texts})
servers = st.one_of(
    st.fixed_dictionaries({"type": st.just("web_search_call"), "id": names, "action": values}),
    st.fixed_dictionaries({"type": st.just("mcp_call"), "id": names, "name": names, "arguments": texts}),
    st.fixed_dictionaries({"type": st.just("code_interpreter_call"), "id": names, "code": texts}),
    st.fixed_dictionaries({"type": st.just("of_tomorrow"), "deep": values}),
)
outputs = st.lists(messages | reasonings | calls | servers, max_size=4)
parts = st.lists(
    st.fixed_dictionaries({"type": st.just("input_text"), "text": texts})
    | st.fixed_dictionaries({"type": st.just("input_image"), "image_url": texts}),
    max_size=2,
)
asked = st.one_of(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "system", "developer", "assistant"]), "content": texts | parts},
        optional={"type": st.just("message"), "phase": names},
    ),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["function_call_output", "custom_tool_call_output"]), "output": texts | parts},
        optional={"call_id": names, "id": names},
    ),
    st.fixed_dictionaries({"type": st.just("computer_call_output"), "call_id": names, "output": st.just({"a": 1})}),
    st.fixed_dictionaries({"type": st.just("item_reference"), "id": names}),
    st.fixed_dictionaries({"type": st.just("mcp_approval_response"), "approve": st.booleans()}),
    messages | reasonings | calls | servers,
)
sizes = st.lists(st.integers(1, 6), min_size=1, max_size=4)


@MANY
@given(st.lists(asked, max_size=6))
def test_items_come_back_exactly(items: list[Json]) -> None:
    """Whatever items a request has, its messages give them back, in their order, and can be stored."""
    drafts = gathered([draft_of_item(item) for item in items])
    for draft in drafts:
        check_draft(draft)
    assert items == [item for draft in drafts for item in response_items(draft)]
    assert not any(one.role == other.role == "assistant" for one, other in pairwise(drafts))


@MANY
@given(outputs)
def test_recognise_an_answer_that_is_sent_back(output: list[Json]) -> None:
    """The items of an answer, sent back as they came, are the message that is stored."""
    tape = Tape("application/json", protocol=RESPONSES)
    tape.add(json.dumps({"object": "response", "id": "r", "status": "completed", "output": output}).encode())
    tape.close()
    draft = tape.draft(1)
    if draft is None:
        return
    (said,) = gathered([draft_of_item(item) for item in output])
    assert output == response_items(draft)
    assert is_same(message_of(draft), said)
    assert ids_of(draft) == {item["id"] for item in output if "id" in item}


def events_of(output: Sequence[Json], sizes: Sequence[int], status: str) -> Iterator[Json]:
    """Yield the events of a response with this output."""
    begun = {"id": "resp_1", "object": "response", "model": "m", "output": []}
    yield {"type": "response.created", "response": {**begun, "status": "in_progress", "error": None}}
    for index, item in enumerate(output):
        at = {"output_index": index, "item_id": item.get("id", "")}
        empty: Json = {name: [] for name in ("content", "summary") if name in item}
        empty |= {name: "" for name in ("arguments", "input", "code") if name in item}
        yield {"type": "response.output_item.added", "output_index": index, "item": {**item, **empty}}
        for kind, field in TEXTS.get(item["type"], ()):
            yield from ({"type": f"{kind}.delta", **at, "delta": piece} for piece in cut(item[field], sizes))
            yield {"type": f"{kind}.done", **at, field: item[field]}
        for name, kind, place in (
            ("summary", "reasoning_summary_part", "summary"),
            ("content", "content_part", "content"),
        ):
            for number, part in enumerate(item.get(name, ())):
                yield from part_events(part, f"response.{kind}", {**at, f"{place}_index": number}, sizes)
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    usage = {"input_tokens": 3, "output_tokens": 7}
    told = {**begun, "status": status, "usage": usage, "output": list(output)}
    told |= {"incomplete_details": {"reason": "max_output_tokens"}} if status == "incomplete" else {}
    yield {"type": f"response.{status}", "response": told}


TEXTS = {
    "function_call": (("response.function_call_arguments", "arguments"),),
    "custom_tool_call": (("response.custom_tool_call_input", "input"),),
    "mcp_call": (("response.mcp_call_arguments", "arguments"),),
    "code_interpreter_call": (("response.code_interpreter_call_code", "code"),),
}
PART_TEXTS = {
    "output_text": "response.output_text",
    "reasoning_text": "response.reasoning_text",
    "summary_text": "response.reasoning_summary_text",
    "refusal": "response.refusal",
}


def part_events(part: Json, kind: str, at: Json, sizes: Sequence[int]) -> Iterator[Json]:
    """Yield the events of one part."""
    field = "refusal" if "refusal" in part else "text"
    empty = {**part, field: "", **({"annotations": []} if "annotations" in part else {})}
    yield {"type": f"{kind}.added", **at, "part": empty}
    name = PART_TEXTS[part["type"]]
    yield from ({"type": f"{name}.delta", **at, "delta": piece} for piece in cut(part[field], sizes))
    for number, one in enumerate(part.get("annotations", ())):
        told = {"annotation_index": number, "annotation": one}
        yield {"type": "response.output_text.annotation.added", **at, **told}
    yield {"type": f"{name}.done", **at, field: part[field]}
    yield {"type": f"{kind}.done", **at, "part": part}


def cut(text: str, sizes: Sequence[int]) -> Iterator[str]:
    """Yield a text in pieces of these sizes, which come again and again."""
    place = 0
    while place < len(text):
        for size in sizes:
            yield text[place : place + size]
            place += size


def fold(events: Sequence[Json]) -> tuple[list[Json], list[Json]]:
    """Return the items of a stream and its unfinished calls: the fold of these tests."""
    items: list[Json] = []
    done: set[int] = set()
    for event in copy.deepcopy(events):
        kind, index = event["type"], event.get("output_index")
        if "response" in event:
            items = event["response"]["output"] or items
            done |= set(range(len(items))) if event["response"]["output"] else set()
        elif kind == "response.output_item.added":
            items.append(event["item"])
        elif kind == "response.output_item.done":
            items[index] = event["item"]
            done.add(index)
        elif index is not None:
            grow(items[index], event)
    is_over = events[-1]["type"] in ("response.completed", "response.incomplete") if events else False
    unfinished = {place for place, item in enumerate(items) if place not in done and item["type"].endswith("_call")}
    unfinished = set() if is_over else unfinished
    return [item for place, item in enumerate(items) if place not in unfinished], [
        items[at] for at in sorted(unfinished)
    ]


def grow(item: Json, event: Json) -> None:
    """Change an item as an event says."""
    holder, place = item, None
    for name in ("content", "summary"):
        if f"{name}_index" in event:
            holder, place = item[name], event[f"{name}_index"]
    if "part" in event:
        holder[place:] = [event["part"]]
        return
    if place is not None:
        holder = holder[place]
    if "annotation" in event:
        holder["annotations"].append(event["annotation"])
    for name in ("text", "refusal", "arguments", "input", "code"):
        if name in event:
            holder[name] = event[name]
        elif "delta" in event and name in holder:
            holder[name] += event["delta"]
            break


def recorded(events: Sequence[Json], size: int) -> tuple[Draft | None, bool]:
    """Return what the recorder makes of events that come in pieces of a size."""
    tape = Tape("text/event-stream", protocol=RESPONSES)
    said = b"".join(f"event: {one.get('type', 'message')}\ndata: {json.dumps(one)}\n\n".encode() for one in events)
    for start in range(0, len(said), size):
        tape.add(said[start : start + size])
    tape.close()
    return tape.draft(1), tape.is_complete


@MANY
@given(outputs, sizes, st.sampled_from(["completed", "incomplete"]), st.data())
def test_fold_equals_independent_code(output: list[Json], sizes: list[int], status: str, data: st.DataObject) -> None:
    """Items and unfinished calls are the same, whole or cut after any event; unknown events change nothing."""
    events = list(events_of(output, sizes, status))
    end = data.draw(st.integers(0, len(events)))
    for place in data.draw(st.lists(st.integers(0, len(events)), max_size=2)):
        events.insert(place, {"type": "response.of_tomorrow.delta", "output_index": 0, "delta": "x"})
    for shown in (events, events[:end]):
        draft, is_complete = recorded(shown, data.draw(st.integers(1, 200)))
        known = [event for event in shown if "of_tomorrow" not in event["type"]]
        whole, unfinished = fold(known)
        if draft is None:
            assert not any(item["type"] not in ("message", "reasoning") for item in (*whole, *unfinished))
            continue
        metadata = draft.metadata or {}
        assert whole == (response_items(draft) if whole or draft.content else [])
        assert unfinished == metadata.get("unfinished_items", [])
        assert is_complete == ("partial" not in metadata) == any(one["type"] == f"response.{status}" for one in known)


def test_keep_the_items_of_a_last_event_without_output() -> None:
    """A server may leave the output out of its last event; the items that came stand."""
    item = {"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}
    response = {"object": "response", "id": "r", "status": "completed", "output": []}
    draft, is_complete = recorded(
        [
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": response},
        ],
        1000,
    )
    assert draft is not None
    assert ("Hi", True) == (draft.content, is_complete)


@pytest.mark.parametrize(
    "error",
    [
        {"type": "error", "code": "server_error", "message": "It broke."},
        {"type": "response.failed", "response": {"status": "failed", "error": {"message": "It broke."}, "output": []}},
        {"error": {"message": "It broke."}},
    ],
)
def test_error_ends_an_answer(error: Json) -> None:
    """The part before it is kept, with the server's words."""
    delta = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "Hel"}
    draft, is_complete = recorded([delta, error], 50)
    assert draft is not None
    assert not is_complete
    assert ("Hel", "model_reported") == (text_of(draft.content), (draft.metadata or {})["reason"])
    assert "It broke." in (draft.metadata or {})["detail"]


def test_response_at_work_in_the_background_is_no_answer_yet() -> None:
    """A queued response has said nothing."""
    tape = Tape("application/json", protocol=RESPONSES)
    tape.add(json.dumps({"object": "response", "id": "r", "status": "queued", "output": []}).encode())
    tape.close()
    assert (None, False) == (tape.draft(1), tape.is_complete)


@pytest.mark.parametrize("status", [{}, [], 1, "of tomorrow"])
def test_take_a_status_of_any_type(status: Json) -> None:
    """A server's status may be anything; the output is kept."""
    output = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}]
    tape = Tape("text/event-stream", protocol=RESPONSES)
    tape.add(b"data: %b\n\n" % json.dumps({"object": "response", "status": status, "output": output}).encode())
    tape.close()
    draft = tape.draft(1)
    assert draft is not None
    assert ("Hi", None) == (draft.content, (draft.metadata or {}).get("finish_reason"))


def test_mended_items_are_still_joined() -> None:
    """A message that had to be shortened may have lost what its items had beside the content."""
    bare = Draft(role="assistant", content="[too large]", metadata={"altered": ["left out"]})
    call = draft_of_item({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"})
    (joined,) = gathered([bare, call, msgspec.structs.replace(bare, metadata=None)])
    assert "[too large]\n[too large]" == text_of(joined.content)
    assert ["left out"] == (joined.metadata or {})["altered"]
    assert 3 == len(response_items(joined))


def test_give_back_a_message_without_its_reasoning() -> None:
    """A window may leave reasoning out; the other items then come as Responses would have them."""
    output: list[Json] = [
        {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "Hm"}]},
        {"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]},
        {"type": "function_call", "id": "fc", "call_id": "c", "name": "f", "arguments": "{}"},
    ]
    (said,) = gathered([draft_of_item(item) for item in output])
    assert output == response_items(said)
    assert isinstance(said.content, list)
    bare = msgspec.structs.replace(said, content=said.content[1:])
    assert [
        {"role": "assistant", "content": said.content[1:]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
    ] == response_items(bare)


def test_send_a_custom_call_to_any_provider() -> None:
    """A tool that takes a text has its input in an object, as all providers take it, and its output behind it."""
    call = draft_of_item({"type": "custom_tool_call", "call_id": "c", "name": "sh", "input": "ls"})
    told = draft_of_item({"type": "custom_tool_call_output", "call_id": "c", "output": "a.txt"})
    history = [Draft(role="user", content="List it."), *gathered([call, told])]
    (turn,) = turns_of([utterance_of(message_of(draft)) for draft in history])
    assert ("sh", '{"input":"ls"}') == (turn[1].calls[0].name, turn[1].calls[0].arguments)
    assert ("a.txt",) == turn[1].results[0].parts
