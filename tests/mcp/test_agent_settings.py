"""Entries in the settings of other programs: inserted into the text, and nothing of it is lost."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatkeep.errors import ConflictError, InvalidError
from chatkeep.mcp.agent_settings import AGENTS, Agent, ServerEntry

CLAUDE, CODEX, CURSOR = AGENTS
ENTRY = ServerEntry(command="/usr/bin/python", arguments=("-m", "chatkeep", "mcp", "--workspace", '/home/a "b"'))
REMOTE = ServerEntry(url="https://chat.example/mcp")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=30, deadline=None)
@given(
    before=st.dictionaries(st.text() | st.just("mcpServers"), VALUES, max_size=5),
    servers=st.none() | st.dictionaries(st.text(), VALUES, max_size=3),
    indent=st.none() | st.integers(0, 4),
    escapes=st.booleans(),
)
def test_insert_into_json(
    before: dict[str, Any], servers: dict[str, Any] | None, indent: int | None, *, escapes: bool
) -> None:
    """Whatever else is in the settings is there afterwards; a second time changes nothing."""
    before.pop("mcpServers", None)
    before |= {} if servers is None else {"mcpServers": {n: v for n, v in servers.items() if n != "chatkeep"}}
    text = json.dumps(before, indent=indent, ensure_ascii=escapes)
    after = CURSOR.text_with(text, ENTRY)
    own = json.loads(after)["mcpServers"].pop("chatkeep")
    assert [*ENTRY.arguments] == own["args"]
    rest = json.loads(after)
    del rest["mcpServers"]["chatkeep"]
    assert {"mcpServers": {}, **before} == rest
    assert after == CURSOR.text_with(after, ENTRY)


def test_insert_keeps_every_byte_around() -> None:
    """Order, indents, numbers as written and names given twice stay as they are."""
    text = '{\r\n\t"b": 1.0e0, "b": 2,\r\n\t"mcpServers" : { "x": {"command": "y"} },\r\n\t"a": [ ]\r\n}\r\n'
    after = CLAUDE.text_with(text, ENTRY)
    start, _, end = text.partition(' "x"')
    assert after.startswith(start)
    assert after.endswith(f' "x"{end}')


@pytest.mark.parametrize("text", ["", " \n", "{}", '{"a": 1}', '{"mcpServers": {}}'])
def test_insert_a_running_server(text: str) -> None:
    """A token is named by its variable, in the way of each program, and stands in no file."""
    for agent, written in ((CLAUDE, "Bearer ${CHATKEEP_TOKEN}"), (CURSOR, "Bearer ${env:CHATKEEP_TOKEN}")):
        own = json.loads(agent.text_with(text, REMOTE))["mcpServers"]["chatkeep"]
        assert {"type": "http", "url": REMOTE.url, "headers": {"Authorization": written}} == own
    own = tomllib.loads(CODEX.text_with("", REMOTE))["mcp_servers"]["chatkeep"]
    assert {"url": REMOTE.url, "bearer_token_env_var": "CHATKEEP_TOKEN"} == own


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a = 1",
        "# note\n[mcp_servers.other]\ncommand = 'x' # why\n",
        "[a]\nb = 1\n\n",
        "mcp_servers.o.command = 'x'",
    ],
)
def test_insert_into_toml(text: str) -> None:
    """The table comes last; comments and all else stay byte for byte."""
    after = CODEX.text_with(text, ENTRY)
    assert after.startswith(text)
    found = tomllib.loads(after)
    own = found["mcp_servers"].pop("chatkeep")
    assert {"command": ENTRY.command, "args": [*ENTRY.arguments]} == own
    assert {"mcp_servers": {}, **tomllib.loads(text)} == found
    assert after == CODEX.text_with(after, ENTRY)


@pytest.mark.parametrize(
    "agent,text",
    [
        (CLAUDE, '{"a": 1,}'),
        (CLAUDE, '// note\n{"a": 1}'),
        (CLAUDE, "[]"),
        (CLAUDE, '{"mcpServers": []}'),
        (CODEX, "a = "),
        (CODEX, "mcp_servers = { other = { command = 'x' } }"),
        (CODEX, "mcp_servers = 3"),
    ],
)
def test_refuse_settings_of_another_form(agent: Agent, text: str) -> None:
    """What cannot be read, or not be inserted into safely, is refused."""
    with pytest.raises(InvalidError):
        agent.text_with(text, ENTRY)


@pytest.mark.parametrize("agent", AGENTS, ids=lambda agent: agent.name)
def test_refuse_to_replace_another_entry(agent: Agent) -> None:
    """A server of this name that is not this one stays."""
    text = agent.text_with("", ServerEntry(command="/elsewhere"))
    with pytest.raises(ConflictError):
        agent.text_with(text, ENTRY)
