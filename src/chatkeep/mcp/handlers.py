"""The tools, resources and prompts as a server of the protocol's SDK, for one caller.

A server is cheap to make, so that each request of HTTP has its own: nothing of one caller is within reach of another.
An error of a tool is an answer that the model can read; an unknown name is an error of the protocol.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import parse_qsl, quote, unquote

import mcp_types as types
import msgspec
from mcp.server import Server, ServerRequestContext
from mcp.shared.exceptions import MCPError
from msgspec import Struct

import chatkeep
from chatkeep.core.keys import parse_key
from chatkeep.core.model import Selection, Summary
from chatkeep.errors import ChatkeepError, ForbiddenError
from chatkeep.mcp import prompts, shown, tools
from chatkeep.sessions.sessions import Sessions
from chatkeep.wire.errors import advised

SESSION_URI: Final = "chatkeep://session/"
_TEMPLATE: Final = SESSION_URI + "{key}{?cursor}"
_LISTED: Final = 50  # resources of a page
_COMPLETED: Final = 50  # keys of a completion
_JSON: Final = "application/json"
_BY_NAME: Final = {tool.name: tool for tool in tools.TOOLS}
_INSTRUCTIONS: Final = (
    "Chatkeep keeps the conversations of people and agents. Find what was said with `search`, look at a hit with "
    "`read_around`, name the session and the seq of what you rely on. " + shown.UNTRUSTED
)
_T = TypeVar("_T")
_Context = ServerRequestContext[Any]
logging.getLogger("mcp").setLevel(logging.CRITICAL)  # its errors may quote arguments; answers say them


class Run(Protocol):
    """Runs blocking work of a kind beside the event loop, and returns its result."""

    def __call__(self, lane: tools.Lane, work: Callable[[], _T]) -> Awaitable[_T]:
        """Run it."""
        ...


class Caller(Struct, frozen=True, kw_only=True):
    """Somebody at the door: its sessions, confined to its prefix; the check of its scopes; and the threads for it."""

    sessions: Sessions
    check: Callable[[str], None]
    """Raises ForbiddenError when the caller lacks a scope."""
    run: Run

    def may(self, scope: str) -> bool:
        """Tell whether the caller has a scope."""
        try:
            self.check(scope)
        except ForbiddenError:
            return False
        return True


class _Handlers:
    """The handlers of the protocol's requests, for one caller."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def list_tools(self, _: _Context, __: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        """List the tools within the caller's scopes."""
        return types.ListToolsResult(tools=[_described(one) for one in tools.TOOLS if self._caller.may(one.scope)])

    async def call_tool(self, _: _Context, asked: types.CallToolRequestParams) -> types.CallToolResult:
        """Run a tool."""
        tool = _BY_NAME.get(asked.name)
        if tool is None:
            raise MCPError(types.INVALID_PARAMS, f"There is no tool {asked.name[:100]!r}.")
        try:
            self._caller.check(tool.scope)
            given = msgspec.convert(asked.arguments or {}, tool.arguments)
            answer = await self._caller.run(tool.lane, lambda: tool.work(self._caller.sessions, given))
        except msgspec.ValidationError as error:
            return _refused(_sentence(error))
        except ChatkeepError as error:
            return _refused(advised(error))
        return types.CallToolResult(content=[_text(shown.shown_text(answer))], structured_content=_plain(answer))

    async def list_resources(
        self, _: _Context, asked: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        """List sessions as resources, the latest activity first."""
        cursor = asked.cursor if asked else None
        page = await self._read(lambda: self._caller.sessions.list(Selection(), limit=_LISTED, cursor=cursor))
        return types.ListResourcesResult(
            resources=[_resource(known) for known in page.sessions], next_cursor=page.next_cursor
        )

    async def list_templates(
        self, _: _Context, __: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        """List the form of a session's address."""
        session = types.ResourceTemplate(
            name="session",
            title="A stored session",
            uri_template=_TEMPLATE,
            description="The messages of a session by pages. `key` is the session's key, percent-encoded; `cursor` is "
            "the `next_cursor` of the page before. " + shown.UNTRUSTED,
            mime_type=_JSON,
        )
        return types.ListResourceTemplatesResult(resource_templates=[session])

    async def read_resource(self, _: _Context, asked: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        """Read a page of a session."""
        key, cursor = _key_and_cursor(asked.uri)
        part = await self._part(key, cursor, "beginning")
        return types.ReadResourceResult(contents=[_contents(asked.uri, part)])

    async def list_prompts(self, _: _Context, __: types.PaginatedRequestParams | None) -> types.ListPromptsResult:
        """List the prompts."""
        return types.ListPromptsResult(prompts=[_prompt(one) for one in prompts.PROMPTS])

    async def get_prompt(self, _: _Context, asked: types.GetPromptRequestParams) -> types.GetPromptResult:
        """Return a prompt with its arguments in it."""
        known = next((one for one in prompts.PROMPTS if one.name == asked.name), None)
        if known is None:
            raise MCPError(types.INVALID_PARAMS, f"There is no prompt {asked.name[:100]!r}.")
        given = asked.arguments or {}
        for name, _about, is_needed in known.arguments:
            if is_needed and not given.get(name, "").strip():
                raise MCPError(types.INVALID_PARAMS, f"The argument {name!r} is missing.")
        if known.name == prompts.RECALL:
            said = [_said(_text(prompts.recall_text(given["question"])))]
        else:
            part = await self._part(given["session"], None, "end")
            said = [
                _said(_text(prompts.hand_over_text(part.session, given.get("goal", "")))),
                _said(types.EmbeddedResource(resource=_contents(_uri(part.session), part))),
            ]
        return types.GetPromptResult(description=known.description, messages=said)

    async def complete(self, _: _Context, asked: types.CompleteRequestParams) -> types.CompleteResult:
        """Return the keys that begin as an argument does."""
        if asked.argument.name not in ("key", "session"):
            return types.CompleteResult(completion=types.Completion(values=[]))
        chosen = Selection(prefixes=(asked.argument.value,), archived=None)
        page = await self._read(lambda: self._caller.sessions.keys(chosen, limit=_COMPLETED))
        found = types.Completion(values=[*page.keys], total=page.total, has_more=page.next_cursor is not None)
        return types.CompleteResult(completion=found)

    async def _part(self, key: str, cursor: str | None, start: str) -> shown.SessionPart:
        given = {"session": key, "cursor": cursor, "start": start}
        return await self._read(
            lambda: tools.session_part(self._caller.sessions, msgspec.convert(given, tools.ReadArguments))
        )

    async def _read(self, work: Callable[[], _T]) -> _T:
        """Return what work reads.

        Raises:
            MCPError: with the sentence of the error.
        """
        try:
            self._caller.check("read")
            return await self._caller.run("read", work)
        except ChatkeepError as error:
            raise MCPError(types.INVALID_PARAMS, advised(error)) from error
        except msgspec.ValidationError as error:
            raise MCPError(types.INVALID_PARAMS, _sentence(error)) from error


def server_for(caller: Caller) -> Server[Any]:
    """Return the server for a caller."""
    handlers = _Handlers(caller)
    made: Server[Any] = Server(
        "chatkeep",
        version=chatkeep.__version__,
        title="Chatkeep",
        instructions=_INSTRUCTIONS,
        on_list_tools=handlers.list_tools,
        on_call_tool=handlers.call_tool,
        on_list_resources=handlers.list_resources,
        on_list_resource_templates=handlers.list_templates,
        on_read_resource=handlers.read_resource,
        on_list_prompts=handlers.list_prompts,
        on_get_prompt=handlers.get_prompt,
        on_completion=handlers.complete,
    )
    made.middleware.clear()  # spans for tracing, with the names of tools and sessions
    return made


def schema_of(kind: type[Struct]) -> dict[str, Any]:
    """Return the JSON schema of a struct, as an object at its root."""
    (reference,), parts = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    root = dict(parts.pop(reference["$ref"].rpartition("/")[2]))
    root.pop("title", None)
    return {**root, "$defs": dict(parts)} if parts else root


_SCHEMAS: Final[Mapping[type[Struct], dict[str, Any]]] = {
    kind: schema_of(kind) for tool in tools.TOOLS for kind in (tool.arguments, tool.answer)
}


def _described(tool: tools.McpTool) -> types.Tool:
    hints = types.ToolAnnotations(
        title=tool.title,
        read_only_hint=tool.only_reads,
        destructive_hint=False,
        idempotent_hint=tool.only_reads,
        open_world_hint=False,
    )
    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=_SCHEMAS[tool.arguments],
        output_schema=_SCHEMAS[tool.answer],
        annotations=hints,
    )


def _prompt(known: prompts.McpPrompt) -> types.Prompt:
    given = [
        types.PromptArgument(name=name, description=about, required=is_needed)
        for name, about, is_needed in known.arguments
    ]
    return types.Prompt(name=known.name, title=known.title, description=known.description, arguments=given)


def _resource(known: Summary) -> types.Resource:
    part = shown.shown_session(known)
    return types.Resource(uri=_uri(part.session), name=part.session, title=part.title, mime_type=_JSON)


def _uri(key: str) -> str:
    return SESSION_URI + quote(key, safe="")


def _key_and_cursor(uri: str) -> tuple[str, str | None]:
    """Return the key and the cursor in an address.

    Raises:
        MCPError: when it is no address of a session.
    """
    path, _, query = uri.partition("?")
    if not path.startswith(SESSION_URI):
        raise MCPError(types.INVALID_PARAMS, f"There is no resource {uri[:200]!r}.")
    try:
        key = parse_key(unquote(path.removeprefix(SESSION_URI), errors="strict"))
    except (ChatkeepError, UnicodeDecodeError) as error:
        raise MCPError(types.INVALID_PARAMS, f"The address has no key of a session: {uri[:200]!r}.") from error
    return key, dict(parse_qsl(query.replace("+", "%2B"))).get("cursor")


def _contents(uri: str, part: shown.SessionPart) -> types.TextResourceContents:
    return types.TextResourceContents(uri=uri, mime_type=_JSON, text=shown.shown_text(part))


def _said(content: types.ContentBlock) -> types.PromptMessage:
    return types.PromptMessage(role="user", content=content)


def _text(text: str) -> types.TextContent:
    return types.TextContent(text=text)


def _plain(answer: Struct) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(answer)
    return plain


def _refused(sentence: str) -> types.CallToolResult:
    return types.CallToolResult(content=[_text(sentence)], is_error=True)


def _sentence(error: msgspec.ValidationError) -> str:
    return f"The arguments are wrong: {error}"
