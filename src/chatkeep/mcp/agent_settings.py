"""The MCP server as an entry in the settings of other programs: the new text of a file, with all of the old in it.

Nothing there is parsed and written anew: the entry is inserted into the text, and the rest stays byte for byte,
comments, order and indents too. A file that is not as expected is refused.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any, Final

from msgspec import Struct

from chatkeep.errors import ConflictError, InvalidError

ENTRY_NAME: Final = "chatkeep"
TOKEN_VARIABLE: Final = "CHATKEEP_TOKEN"  # noqa: S105 - the name of a variable
_SERVERS: Final = "mcpServers"
_TABLE: Final = "mcp_servers"
_BLANK: Final = re.compile(r"[ \t\r\n]*")
_DECODER: Final = json.JSONDecoder()


class ServerEntry(Struct, frozen=True, kw_only=True):
    """The way to the server: a command to start it, or the URL of a running one, whose token is in a variable."""

    command: str = ""
    arguments: tuple[str, ...] = ()
    url: str = ""


class Agent(Struct, frozen=True, kw_only=True):
    """A program with MCP servers in its settings: its name, and its file below the home folder.

    `folder` is a variable with the folder of the file, in place of the usual one.
    """

    name: str
    file: PurePosixPath
    folder: str = ""
    is_toml: bool = False
    reference: str = ""
    """How its settings name the variable with the token."""

    def text_with(self, text: str, entry: ServerEntry) -> str:
        """Return the text of its settings with the entry in it; the same text if it is there already.

        Raises:
            InvalidError: when the settings cannot be read.
            ConflictError: when they have another entry of this name.
        """
        if self.is_toml:
            return _toml_with(text, entry)
        return _json_with(text, self._json_entry(entry))

    def _json_entry(self, entry: ServerEntry) -> dict[str, Any]:
        if not entry.url:
            return {"type": "stdio", "command": entry.command, "args": [*entry.arguments]}
        return {"type": "http", "url": entry.url, "headers": {"Authorization": f"Bearer {self.reference}"}}


AGENTS: Final[Sequence[Agent]] = (
    Agent(name="claude-code", file=PurePosixPath(".claude.json"), reference=f"${{{TOKEN_VARIABLE}}}"),
    Agent(name="codex", file=PurePosixPath(".codex/config.toml"), folder="CODEX_HOME", is_toml=True),
    Agent(name="cursor", file=PurePosixPath(".cursor/mcp.json"), reference=f"${{env:{TOKEN_VARIABLE}}}"),
)
"""The programs by their names."""


def _json_with(text: str, entry: dict[str, Any]) -> str:
    before = _read_json(text) if text.strip() else {}
    servers = before.get(_SERVERS, {})
    if not isinstance(servers, dict):
        raise InvalidError(_SERVERS, "in the settings is no object")
    if ENTRY_NAME in servers:
        return _same(text, servers[ENTRY_NAME] == entry)
    if not text.strip():
        return json.dumps({_SERVERS: {ENTRY_NAME: entry}}, indent=2) + "\n"
    member = json.dumps({ENTRY_NAME: entry}, indent=2)[1:-1].rstrip()
    places = _members(text)
    if _SERVERS in places:
        new = _inserted(text, places[_SERVERS], member.replace("\n", "\n  "), is_first=not servers, depth=1)
    else:
        whole = json.dumps({_SERVERS: {ENTRY_NAME: entry}}, indent=2)[1:-1].rstrip()
        new = _inserted(text, _BLANK.match(text).end(), whole, is_first=not before, depth=0)  # type: ignore[union-attr]
    if _read_json(new) != {**before, _SERVERS: {**servers, ENTRY_NAME: entry}}:
        raise InvalidError("settings", "have a form in which the entry cannot be inserted safely")
    return new


def _read_json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InvalidError("settings", f"are no JSON ({error}); add the entry yourself") from error
    if not isinstance(found, dict):
        raise InvalidError("settings", "are no object of JSON; add the entry yourself")
    return found


def _members(text: str) -> dict[str, int]:
    """Return the names in the outermost object with the places of their values; of a name twice the last counts."""
    found: dict[str, int] = {}
    at = _skipped(text, _skipped(text, 0) + 1)
    while text[at] == '"':
        name, at = _DECODER.raw_decode(text, at)
        at = _skipped(text, _skipped(text, at) + 1)  # behind the colon
        found[name] = at
        _, at = _DECODER.raw_decode(text, at)
        at = _skipped(text, at)
        if text[at] == ",":
            at = _skipped(text, at + 1)
    return found


def _skipped(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at


def _inserted(text: str, brace: int, member: str, *, is_first: bool, depth: int) -> str:
    end = f"\n{'  ' * depth}" if is_first else ","
    rest = text[brace + 1 :].lstrip() if is_first else text[brace + 1 :]
    return f"{text[: brace + 1]}{member}{end}{rest}"


def _toml_with(text: str, entry: ServerEntry) -> str:
    try:
        before = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidError("settings", f"are no TOML ({error}); add the entry yourself") from error
    given: dict[str, Any] = (
        {"url": entry.url, "bearer_token_env_var": TOKEN_VARIABLE}
        if entry.url
        else {"command": entry.command, "args": [*entry.arguments]}
    )
    servers = before.get(_TABLE, {})
    if not isinstance(servers, dict):
        raise InvalidError(_TABLE, "in the settings is no table")
    if ENTRY_NAME in servers:
        return _same(text, servers[ENTRY_NAME] == given)
    lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in given.items()]
    gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
    new = f"{text}{gap}[{_TABLE}.{ENTRY_NAME}]\n" + "\n".join(lines) + "\n"
    try:
        is_good = tomllib.loads(new) == {**before, _TABLE: {**servers, ENTRY_NAME: given}}
    except tomllib.TOMLDecodeError:
        is_good = False
    if not is_good:
        raise InvalidError("settings", "have a form in which the entry cannot be inserted safely")
    return new


def _same(text: str, is_same: bool) -> str:  # noqa: FBT001 - the outcome of a comparison
    if not is_same:
        raise ConflictError(
            f"There is another server named '{ENTRY_NAME}' in these settings already; nothing was changed."
        )
    return text
