"""Chatkeep keeps the conversations of AI agents: plain JSON files, durable appends, real search.

    from chatkeep import Client

    with Client("http://127.0.0.1:8000", token) as client:
        client.append("cli:default", {"role": "user", "content": "Hello"})

The names in `__all__` are the stable Python API; `docs/reference/python.md` describes them. Each name loads on its
first use. So `import chatkeep` alone costs next to nothing, and loads neither a web server nor a database.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from chatkeep.client import AsyncClient, Client
    from chatkeep.core.feed import Change, Changes
    from chatkeep.core.history.windows import Window
    from chatkeep.core.life.dropping import Chosen, Created, Dropped, Mark, NewSession
    from chatkeep.core.model import (
        Appended,
        Draft,
        Header,
        Hit,
        Hits,
        KeyPage,
        Merged,
        Message,
        Page,
        Receipt,
        Revision,
        Selection,
        Session,
        Status,
        Summary,
    )
    from chatkeep.core.search.query import parse_query
    from chatkeep.core.search.search import Search
    from chatkeep.core.standing import SeqRange
    from chatkeep.core.stats import Stats
    from chatkeep.errors import (
        BusyError,
        ChatkeepError,
        CountConflictError,
        ForbiddenError,
        InvalidError,
        MessageConflictError,
        MessageNotFoundError,
        ModelError,
        RateLimitedError,
        SessionExistsError,
        SessionNotFoundError,
        UnauthorizedError,
        UnreachableError,
    )
    from chatkeep.wire.chat import ChatAnswer, ChatDone, ChatReasoning, ChatStart, ChatToken, Usage

__version__ = "0.1.0"

__all__ = [
    "Appended",
    "AsyncClient",
    "BusyError",
    "Change",
    "Changes",
    "ChatAnswer",
    "ChatDone",
    "ChatReasoning",
    "ChatStart",
    "ChatToken",
    "ChatkeepError",
    "Chosen",
    "Client",
    "CountConflictError",
    "Created",
    "Draft",
    "Dropped",
    "ForbiddenError",
    "Header",
    "Hit",
    "Hits",
    "InvalidError",
    "KeyPage",
    "Mark",
    "Merged",
    "Message",
    "MessageConflictError",
    "MessageNotFoundError",
    "ModelError",
    "NewSession",
    "Page",
    "RateLimitedError",
    "Receipt",
    "Revision",
    "Search",
    "Selection",
    "SeqRange",
    "Session",
    "SessionExistsError",
    "SessionNotFoundError",
    "Stats",
    "Status",
    "Summary",
    "UnauthorizedError",
    "UnreachableError",
    "Usage",
    "Window",
    "parse_query",
]

_ROOMS: Final = (
    "errors",
    "core.model",
    "core.standing",
    "core.life.dropping",
    "core.history.windows",
    "core.feed",
    "core.stats",
    "core.search.search",
    "core.search.query",
    "wire.chat",
    "client",
)
"""The modules of the public names, cheapest to load first."""


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public object
    """Return a public name, loading its module on the first use."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    for room in _ROOMS:
        module = import_module(f"{__name__}.{room}")
        if name in vars(module):
            globals()[name] = vars(module)[name]
            return globals()[name]
    raise AssertionError(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
