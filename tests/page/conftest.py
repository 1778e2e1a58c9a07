"""A real browser, signed in to a server on a loopback port."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, Final, Protocol

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright

from chatkeep.core.model import Draft
from tests.chat.conftest import MODEL_KEY, Chatting, served
from tests.chat.upstream import Upstream
from tests.http.conftest import Server, serving

CHROMIUM: Final = shutil.which("chromium-headless-shell") or shutil.which("chromium")
PACKAGES: Final = Path(__file__).parent / "js" / "node_modules"
NOON: Final = datetime(2024, 3, 1, 12, tzinfo=UTC)
PATIENCE_MS: Final = 20_000  # a machine that is busy with other tests may take long
DRAWN: Final = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
ROUND_TRIPS: Final = "async () => { for (let nth = 0; nth < 10; nth += 1) await fetch('/api/v1/status'); }"
_NEWEST: Final = count(500_000, 1_000)
_EXPECTED: Final = ("401 (Unauthorized)",)


@dataclass
class Seen:
    """What happened in a browser that should not: requests to others, scripts that were smuggled in, complaints."""

    outside: list[str] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


class Signed(Protocol):
    """A server, and a token for it."""

    @property
    def url(self) -> str:
        """Where the server is."""

    @property
    def secret(self) -> str:
        """A token for it."""


Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, for a module: Playwright's event loop must not meet those of other tests.

    The one without windows takes half the processor time of the other.
    """
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here: apt-get install chromium-headless-shell")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the tests of a module: a list shows what others have stored, and all of that is drawn."""
    with serving(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def seen() -> Seen:
    """What the browser of this test did."""
    return Seen()


@pytest.fixture
def visit(browser: Browser, server: Server, seen: Seen) -> Iterator[Visit]:
    """Open the page signed in, at a place, in a browser with these options."""
    with visiting(browser, server, seen) as visit:
        yield visit


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chatting]:
    """A server with a model, for the tests of a module."""
    with Upstream(key=MODEL_KEY) as upstream, served(tmp_path_factory.mktemp("chatting"), upstream) as chatting:
        yield chatting


@pytest.fixture
def talking(browser: Browser, running: Chatting, seen: Seen) -> Iterator[Visit]:
    """Open the page of that server; nothing complains."""
    running.upstream.forget()
    with visiting(browser, running, seen) as visit:
        yield visit
    assert Seen() == seen


@contextmanager
def visiting(browser: Browser, server: Signed, seen: Seen) -> Iterator[Visit]:
    """Hand over what opens the page of a server, and close all that it opened."""
    contexts: list[BrowserContext] = []

    def visited(place: str = "", **options: Any) -> Page:  # noqa: ANN401 - what Playwright takes
        context = browser.new_context(**options)
        contexts.append(context)
        context.request.post(
            f"{server.url}/signin", data={"token": server.secret}, headers={"Sec-Fetch-Site": "same-origin"}
        )
        context.on("request", lambda request: _note(request, server.url, seen))
        context.expose_binding("pwned", lambda _, what: seen.ran.append(str(what)))
        page = context.new_page()
        page.on("dialog", lambda dialog: seen.ran.append(dialog.message))
        page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        page.on("console", lambda message: _hear(message, seen))
        page.goto(f"{server.url}/{place}")
        page.wait_for_selector(".row, .nothing, .sign-in")
        return page

    yield visited
    for context in contexts:
        context.close()


def settle(page: Page) -> None:
    """Wait until the page has drawn what it was told, and the answers to all that it had asked before are here."""
    page.evaluate(DRAWN)
    page.evaluate(ROUND_TRIPS)
    page.evaluate(DRAWN)


def until(holds: Callable[[], bool], page: Page | None = None, *, patience_ms: int = PATIENCE_MS) -> bool:
    """Wait until something holds, and tell whether it did in time; what is told of a page needs that page.

    Playwright's `wait_for_function` is of no use here: it polls by `eval` in the page, which Trusted Types refuse.
    """
    give_up_at = time.monotonic() + patience_ms / 1000
    while not (is_held := holds()) and time.monotonic() < give_up_at:
        if page is None:
            time.sleep(0.02)
        else:
            page.evaluate(DRAWN)
    return is_held


def _note(request: Request, url: str, seen: Seen) -> None:
    if not request.url.startswith((f"{url}/", "data:", "blob:")):
        seen.outside.append(request.url)


def _hear(message: ConsoleMessage, seen: Seen) -> None:
    if message.type == "error" and not any(words in message.text + message.location["url"] for words in _EXPECTED):
        seen.complaints.append(message.text)


def store(server: Server, key: str, drafts: Sequence[Draft], channel: str | None = None) -> None:
    """Store a session: its messages a minute apart."""
    for begin in range(0, len(drafts), 1000):
        server.sessions.append(key, list(drafts[begin : begin + 1000]), channel=channel)


def newest() -> int:
    """Return a number whose message is newer than those of all tests before, in whatever order they run."""
    return next(_NEWEST)


def said(number: int, content: str, role: str = "user") -> Draft:
    """Return the message with this number."""
    return Draft(role=role, content=content, sent_at=NOON + timedelta(minutes=number))  # type: ignore[arg-type]


def called(name: str, arguments: object, result: str) -> list[Draft]:
    """Return a call of a tool, and its result."""
    call = {
        "id": f"call-{name[:40]}",
        "type": "function",
        "function": {"name": name, "arguments": json.dumps(arguments)},
    }
    return [
        Draft(role="assistant", content="Let me look.", tool_calls=[call], sent_at=NOON),
        Draft(role="tool", content=result, tool_call_id=call["id"], sent_at=NOON),  # type: ignore[arg-type]
    ]
