"""The items of OpenAI's Responses as our messages, and back. `item_folding` folds streamed answers.

A request has a list of items, and so has an answer: messages, reasoning, calls of many kinds and their outputs. The
items of a model that stand next to each other are one message of ours:

- A `message` gives its content parts. One plain text becomes a string.
- A `function_call` or `custom_tool_call` becomes one of the `tool_calls`, in the shape of Chat Completions.
- Any other item is a part of the content, as it came: reasoning, searches, images, calls of types unknown to us.

`metadata.responses.items` has what remains of each item, such as its id and status. So `response_items` gives back the
items exactly. Outputs of tools, and messages of others, are one message each.

Source: the API reference of OpenAI's Responses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from chatkeep.core.checks import NAME_CHARS_MAX
from chatkeep.core.history.protocols.speaking import Follows
from chatkeep.core.model import Draft, Json, Message
from chatkeep.core.standing import SAID_ROLES, Role

ITEMS_EXTRA: Final = "responses"
"""Name in a message's metadata of what its items have beside their content."""

_PART: Final = 1
"""In place of an item: it is the next part of the content."""
_CALLS: Final = {"function_call": ("function", "arguments"), "custom_tool_call": ("custom", "input")}
"""Types of calls: the type of Chat Completions, and the field with the input."""
_OUTPUT: Final = "_output"  # ends the types of what tools answer
_TEXTS: Final = ("output_text", "input_text", "text")
_CONTENT: Final = "content"
_INSTRUCTIONS: Final = "instructions"


def draft_of_item(item: Mapping[str, Json]) -> Draft:
    """Return an item of a request or an answer as a message; `gathered` joins those of one turn."""
    kind = item.get("type", "message" if "role" in item or _CONTENT in item else None)
    if kind == "message" and _is_content(item.get(_CONTENT, "")):
        return _message(item)
    if isinstance(kind, str) and kind in _CALLS and _is_call(item, *_CALLS[kind]):
        return _call(item, *_CALLS[kind])
    if isinstance(kind, str) and kind.endswith(_OUTPUT):
        return _result(item)
    is_of_user = kind == "mcp_approval_response" or not isinstance(kind, str)
    return _kept("user" if is_of_user else "assistant", [dict(item)], _PART)


def gathered(drafts: Sequence[Draft]) -> list[Draft]:
    """Join the model's messages that stand next to each other."""
    found: list[Draft] = []
    run: list[Draft] = []
    for draft in drafts:
        if draft.role == "assistant":
            run.append(draft)
            continue
        found += [*_joined(run), draft]
        run = []
    return [*found, *_joined(run)]


def opening(request: Mapping[str, Json]) -> list[Draft]:
    """Return the instructions of a request as a message."""
    instructions = request.get("instructions")
    if not isinstance(instructions, str) or not instructions:
        return []
    return [Draft(role="system", content=instructions, metadata={ITEMS_EXTRA: {_INSTRUCTIONS: True}})]


def is_instruction(message: Message) -> bool:
    """Tell whether a message holds the instructions of a request, which are no item and count for that one alone."""
    told = (message.metadata or {}).get(ITEMS_EXTRA)
    return isinstance(told, dict) and told.get(_INSTRUCTIONS) is True


def response_items(message: Message | Draft) -> list[Json]:
    """Return the items of a message, as they came; of a message of another protocol, as Responses would have them."""
    told = (message.metadata or {}).get(ITEMS_EXTRA)
    kept = told.get("items") if isinstance(told, dict) else None
    if isinstance(kept, list) and kept and _fits(message, kept):
        return list(_given_back(message, kept))
    content = message.content
    if message.role == "tool":
        return [{"type": "function_call_output", "call_id": message.tool_call_id or "", "output": content}]
    is_said = content or not message.tool_calls
    said = [{"role": message.role, _CONTENT: content}] if is_said else []
    calls = (
        call for call in message.tool_calls or () if isinstance(call, dict) and isinstance(call.get("function"), dict)
    )
    return [*said, *({"type": "function_call", "call_id": call.get("id"), **call["function"]} for call in calls)]


def ids_of(message: Message | Draft) -> set[str]:
    """Return the ids of a message's items."""
    return {
        item["id"] for item in response_items(message) if isinstance(item, dict) and isinstance(item.get("id"), str)
    }


def references(draft: Draft) -> list[str]:
    """Return the ids of the items that a model's message names in place of its words; empty if it has words too."""
    parts = draft.content if isinstance(draft.content, list) and not draft.tool_calls else ()
    named = [part.get("id") for part in parts if isinstance(part, dict) and part.get("type") == "item_reference"]
    return [name for name in named if isinstance(name, str)] if len(named) == len(parts) else []


def follows(request: Mapping[str, Json]) -> Follows:
    """Return the answer or the conversation that a request goes on behind."""
    answer, thread = request.get("previous_response_id"), request.get("conversation")
    thread = thread.get("id") if isinstance(thread, dict) else thread
    return Follows(answer if isinstance(answer, str) else "", thread if isinstance(thread, str) else "")


def _fits(message: Message | Draft, kept: Sequence[Json]) -> bool:
    """Tell whether what is kept of the items is about these parts and calls: a window may lack some of them."""
    if not all(rest == _PART or isinstance(rest, dict) for rest in kept):
        return False
    items = [rest for rest in kept if isinstance(rest, dict)]
    calls = sum(item.get("type") in _CALLS for item in items if isinstance(item.get("type"), str))
    if calls != len(message.tool_calls or ()) or not isinstance(message.content, list):
        return calls == len(message.tool_calls or ())
    counts = [held for item in items if isinstance(held := item.get(_CONTENT), int)]
    parts = sum(counts) + sum(isinstance(item.get(_CONTENT), dict) for item in items) + kept.count(_PART)
    return message.role == "tool" or parts == len(message.content)


def _given_back(message: Message | Draft, kept: Sequence[Json]) -> Iterator[Json]:
    content = message.content
    parts = iter(content if isinstance(content, list) else ())
    calls = iter(message.tool_calls or ())
    for rest in kept:
        if rest == _PART:
            yield next(parts, None)
            continue
        item = dict(rest)
        kind = item.get("type")
        if isinstance(kind, str) and kind in _CALLS and (call := next(calls, None)) is not None:
            shape, field = _CALLS[kind]
            yield {**item, "call_id": call["id"], "name": call[shape]["name"], field: call[shape][field]}
        elif isinstance(kind, str) and kind.endswith(_OUTPUT):
            output = content if isinstance(content, str) or "is_list" in item else next(parts, None)
            labels = {"call_id": message.tool_call_id} if message.tool_call_id is not None else {}
            yield {**{name: value for name, value in item.items() if name != "is_list"}, **labels, "output": output}
        else:
            yield _message_back(item, content, parts)


def _message_back(item: dict[str, Json], content: Json, parts: Iterator[Json]) -> Json:
    held = item.get(_CONTENT)
    if isinstance(held, list):  # one plain part without its text
        return {**item, _CONTENT: [{**held[0], "text": content}]}
    if isinstance(held, dict):  # a string in a part of ours
        return {**item, _CONTENT: (next(parts, None) or {}).get("text", "")}
    if isinstance(held, int):
        return {**item, _CONTENT: [next(parts, None) for _ in range(held)]}
    return {**item, _CONTENT: content} if held is None else item


def _message(item: Mapping[str, Json]) -> Draft:
    given, content = item.get("role"), item.get(_CONTENT, "")
    role: Role = given if given in SAID_ROLES else "user"
    rest = {name: value for name, value in item.items() if name != _CONTENT}
    if role != "assistant" and rest == {"role": role} and _CONTENT in item:
        return Draft(role=role, content=content)
    count = {_CONTENT: len(content)} if isinstance(content, list) else {}
    return _kept(role, content, {**rest, **count})


def _call(item: Mapping[str, Json], shape: str, field: str) -> Draft:
    call = {"id": item["call_id"], "type": shape, shape: {"name": item["name"], field: item[field]}}
    rest = {name: value for name, value in item.items() if name not in ("call_id", "name", field)}
    return msgspec.structs.replace(_kept("assistant", None, rest), tool_calls=[call])


def _result(item: Mapping[str, Json]) -> Draft:
    """Return what a tool answers; an output of another type than text or parts is one part."""
    call_id, output = item.get("call_id"), item.get("output")
    is_label = isinstance(call_id, str) and 1 <= len(call_id) <= NAME_CHARS_MAX and call_id.isprintable()
    rest = {name: value for name, value in item.items() if name != "output" and not (is_label and name == "call_id")}
    if isinstance(output, list) and _is_content(output):
        rest["is_list"] = True
    elif isinstance(output, dict):
        output = [output]
    elif not isinstance(output, str):
        return _kept("tool", [dict(item)], _PART)
    return msgspec.structs.replace(_kept("tool", output, rest), tool_call_id=call_id if is_label else None)


def _kept(role: Role, content: Json, rest: Json) -> Draft:
    return Draft(role=role, content=content, metadata={ITEMS_EXTRA: {"items": [rest]}})


def _joined(run: Sequence[Draft]) -> list[Draft]:
    """Return the messages of one turn as one; alone, a plain text stays a string."""
    if not run:
        return []
    kept = [_rest(draft) for draft in run]
    calls = [call for draft in run for call in draft.tool_calls or ()]
    marks = list(dict.fromkeys(mark for draft in run for mark in (draft.metadata or {}).get("altered", ())))
    contents = [draft.content for draft in run]
    metadata = {ITEMS_EXTRA: {"items": kept}, **({"altered": marks} if marks else {})}
    return [Draft(role="assistant", content=_content(contents, kept), tool_calls=calls or None, metadata=metadata)]


def _rest(draft: Draft) -> Json:
    """Return what remains of a message's one item; a mended message may have lost it."""
    told = (draft.metadata or {}).get(ITEMS_EXTRA)
    kept = told.get("items") if isinstance(told, dict) else None
    rest = kept[0] if isinstance(kept, list) and len(kept) == 1 else None
    if isinstance(rest, dict) or (rest == _PART and isinstance(draft.content, list)):
        return rest
    count = len(draft.content) if isinstance(draft.content, list) else None
    return {"type": "message", "role": "assistant", **({} if count is None else {_CONTENT: count})}


def _content(contents: Sequence[Json], kept: list[Json]) -> Json:
    """Return the contents of a turn as one, and note in `kept` what this changes."""
    said = [place for place, content in enumerate(contents) if content is not None]
    if not said:
        return None
    if len(said) == 1:
        place = said[0]
        content = contents[place]
        if isinstance(content, str):
            return content
        if len(content) == 1 and kept[place] != _PART and _is_plain(content[0]):
            kept[place] = {
                **kept[place],
                _CONTENT: [{name: value for name, value in content[0].items() if name != "text"}],
            }
            return content[0]["text"]
        return content
    parts: list[Json] = []
    for place in said:
        content = contents[place]
        if isinstance(content, str):
            kept[place] = {**kept[place], _CONTENT: {"text": True}}
            parts.append({"type": "output_text", "text": content})
        else:
            parts += content
    return parts


def _is_plain(part: Json) -> bool:
    """Tell whether a part is a text and nothing else."""
    if not isinstance(part, dict) or part.get("type") not in _TEXTS or not isinstance(part.get("text"), str):
        return False
    return all(not value for name, value in part.items() if name not in ("type", "text"))


def _is_call(item: Mapping[str, Json], _: str, field: str) -> bool:
    return all(isinstance(item.get(name), str) for name in ("call_id", "name", field))


def _is_content(value: Json) -> bool:
    if isinstance(value, list):
        return all(isinstance(part, dict | str) for part in value)
    return isinstance(value, str)
