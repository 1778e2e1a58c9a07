"""A module of tests: the AI SDK's own check of messages (`validateUIMessages`) on what Chatkeep gives, and its way."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tools.conformance.homes import address_of, is_over_http, place, prefix_of

from chatkeep.adapters.ai_sdk import ChatkeepChat, UIMessage
from chatkeep.core.model import Draft
from chatkeep.exporters import exported

_HOME = Path(__file__).parents[2] / ".conformance" / "ai-sdk-js"
_AI = "ai@6.0.326"
_CLIENT = Path(__file__).parents[2] / "clients" / "js" / "index.js"
_CHECK = """
import { validateUIMessages } from "ai";
const texts = []; for await (const text of process.stdin) texts.push(text);
const given = JSON.parse(texts.join(""));
console.log(JSON.stringify(await validateUIMessages({ messages: given })));
"""
_TALK = """
import { convertToModelMessages, validateUIMessages } from "ai";
import { Chatkeep } from "%s";
const [url, token, id] = process.argv.slice(1);
const client = new Chatkeep({ url, token });
for (let turn = 0; turn < 3; turn++) {
  const messages = await client.loadChat(id);
  messages.push({ id: `u${turn}`, role: "user", parts: [{ type: "text", text: `turn ${turn}` }] });
  await client.saveChat({ id, messages });
  messages.push({ id: `a${turn}`, role: "assistant", metadata: { turn }, parts: [
    { type: "step-start" }, { type: "reasoning", text: "hm" },
    { type: "tool-look", toolCallId: `c${turn}`, state: "output-available", input: { q: turn }, output: [turn] },
    { type: "text", text: "done" }] });
  await client.saveChat({ id, messages });
}
const checked = await validateUIMessages({ messages: await client.loadChat(id) });
console.log(JSON.stringify([checked.length, (await convertToModelMessages(checked)).length]));
"""
_numbers = itertools.count()


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    """Install the package once."""
    _HOME.mkdir(parents=True, exist_ok=True)
    if not (_HOME / "node_modules" / "ai").exists():
        npm = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(_HOME)]
        subprocess.run([*npm, _AI], check=True)  # noqa: S603


def _node(program: str, *arguments: str, given: str = "") -> Any:
    command = ["node", "--input-type=module", "--eval", program, "--", *arguments]
    done = subprocess.run(command, input=given, capture_output=True, text=True, cwd=_HOME, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _chat() -> ChatkeepChat:
    home = place(f"chat-{next(_numbers)}")
    return ChatkeepChat("c", home, prefix=f"{prefix_of(home)}ai:")


def _text(message_id: str, role: str, *texts: str) -> UIMessage:
    return {"id": message_id, "role": role, "parts": [{"type": "text", "text": text} for text in texts]}


def test_give_valid_messages() -> None:
    """What was saved comes back equal, with every kind of part, and passes the check."""
    chat = _chat()
    parts: list[dict[str, Any]] = [
        {"type": "step-start"},
        {"type": "reasoning", "text": "Let me see.", "state": "done", "providerMetadata": {"p": {"signature": "s"}}},
        {"type": "tool-w", "toolCallId": "1", "state": "output-available", "input": {"a": 1}, "output": {"b": [None]}},
        {"type": "tool-w", "toolCallId": "2", "state": "output-error", "input": {}, "errorText": "no"},
        {"type": "dynamic-tool", "toolName": "d", "toolCallId": "3", "state": "input-available", "input": "x"},
        {"type": "source-url", "sourceId": "s", "url": "https://a.example/", "title": "A"},
        {"type": "source-document", "sourceId": "d", "mediaType": "text/plain", "title": "D"},
        {"type": "file", "mediaType": "image/png", "url": "data:image/png;base64,iVBORw0KGgo=", "filename": "x.png"},
        {"type": "data-weather", "id": "w", "data": {"degrees": -0.5}},
        {"type": "text", "text": "The okapi \U0001f992 lives there.", "state": "done"},
    ]
    said = [
        _text("s", "system", "Be brief."),
        _text("u", "user", "Where\0?", ""),
        {**_text("a", "assistant"), "parts": parts},
    ]
    asyncio.run(chat.save(said))
    assert said == asyncio.run(chat.load())
    assert said == _node(_CHECK, given=json.dumps(said))


def test_grow_an_answer() -> None:
    """An answer that grows under its id, a regenerated and an edited one: the last that was saved counts."""
    chat = _chat()
    first, second = _text("u", "user", "Where?"), _text("a", "assistant", "In")
    grown, other = _text("a", "assistant", "In the Congo."), _text("b", "assistant", "I do not know.")
    for messages in ([first], [first, second], [first, grown], [first, other], [_text("u", "user", "What?")]):
        asyncio.run(chat.save(messages))
        assert messages == asyncio.run(chat.load())
    asyncio.run(chat.add([grown]))
    assert [grown] == asyncio.run(chat.load(last=1))
    assert grown == asyncio.run(chat.pop())
    asyncio.run(chat.clear())
    assert ([], None) == (asyncio.run(chat.load()), asyncio.run(chat.pop()))


def test_give_valid_messages_of_others() -> None:
    """A session that other programs wrote is a valid chat, too: tools, thinking, pictures, events, odd roles."""
    home = place("others")
    key = f"{prefix_of(home)}others"
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    picture = {"type": "image_url", "image_url": {"url": "https://a.example/x.png"}}
    home.append(
        key,
        [
            Draft(role="developer", content="Be brief."),
            Draft(role="event", content="", metadata={"x": 1}),
            Draft(role="user", content=[{"type": "text", "text": "?"}, picture]),
            Draft(role="assistant", content=None, tool_calls=[call], metadata={"reasoning": "hm"}),
            Draft(role="tool", content="found", tool_call_id="c"),
            Draft(role="assistant", content="There.", metadata={"ai_sdk": {"item": {"id": 1}, "base64": "!"}}),
        ],
    )
    found = asyncio.run(ChatkeepChat(key, home).load())
    assert ["system", "user", "assistant"] == [message["role"] for message in found]
    document = json.loads(b"".join(exported([home.read(key)], "ai-sdk", single=True)))
    assert document["messages"] == _node(_CHECK, given=json.dumps(document["messages"]))


if is_over_http():  # as the package speaks it alone

    def test_talk_from_javascript() -> None:
        """The npm package keeps a chat turn by turn, valid for the SDK and its models, and Python reads the same."""
        home = place("javascript")
        key = f"{prefix_of(home)}js"
        assert [6, 9] == _node(_TALK % _CLIENT, *address_of(home), key)
        found = asyncio.run(ChatkeepChat(key, home).load())
        assert ["u0", "a0", "u1", "a1", "u2", "a2"] == [message["id"] for message in found]
