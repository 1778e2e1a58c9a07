"""Everybody can use the page: axe finds nothing against it, in any view, theme or size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import pytest
from playwright.sync_api import Page, expect

from chatkeep.core.model import Draft, Revision
from tests.http.conftest import Server
from tests.page.conftest import DRAWN, NOON, PACKAGES, Visit, called, said, store
from tests.page.test_flows import link

ColorScheme = Literal["light", "dark"]
AXE = PACKAGES / "axe-core" / "axe.min.js"
SIZES = {"phone": (360, 740), "tablet": (820, 1100), "desk": (1360, 850)}
RICH = (
    "## A plan\n\n1. One\n2. [Two](http://example.org)\n\n> quoted\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n"
    '```python\n# says hello\ndef hello(name: str) -> None:\n    print(f"hello {name}", 42)\n```'
    "\n\nUse `code`, and $x^2$: $$\\frac{1}{2}$$ $\\frac{1}{2$ $$\\unknown$$"
    "\n\n- [x] done\n\n3) three\n\nA fact[^1].\n\n[^1]: Its source.\n\n```mermaid\ngraph TD; A-->B\n```"
)


def violations(page: Page, inside: str = "html") -> list[str]:
    """Return what axe finds against a part of the page; of the rows of the list three stand for all."""
    found: Any = page.evaluate(
        """(inside) => axe.run(
            { include: [[inside]], exclude: [[".row:nth-child(n+4)"]] },
            { rules: { "target-size": { enabled: true } } },
        )""",
        inside,
    )
    return [
        f"{rule['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


class Walk:
    """A walk through the page: what axe finds at each stop, in light, in dark, or in both."""

    def __init__(self, page: Page, themes: Sequence[ColorScheme]) -> None:
        """Begin on a page that is open."""
        self.page = page
        self._themes = themes
        self.found: dict[str, list[str]] = {}
        page.add_script_tag(path=AXE)

    def stop(self, name: str, inside: str = "html") -> None:
        """Look at a part of the page as it is now."""
        for theme in self._themes:
            self.page.emulate_media(color_scheme=theme)
            self.page.evaluate(DRAWN)
            self.found[f"{name}, {theme}"] = violations(self.page, inside)

    def go(self, hash_: str) -> None:
        """Lead to another place of the page."""
        self.page.evaluate("(hash) => { location.hash = hash; }", hash_)

    def faults(self) -> dict[str, list[str]]:
        """Return the stops at which something was found."""
        return {name: found for name, found in self.found.items() if found}


def look_at_the_list(walk: Walk) -> None:
    """Stop at the list, its filters, what is selected, the overview, a new chat, the results of a search, the help."""
    page = walk.page
    walk.stop("list")
    page.get_by_role("button", name="More filters").click()
    page.locator(".row").get_by_role("checkbox").first.check()
    walk.stop("filters", "[aria-label=Sessions]")
    page.get_by_role("button", name="Select none").click()
    page.keyboard.press("/")
    page.keyboard.type("plan")
    expect(page.locator(".hit").first).to_be_visible()
    walk.stop("search", "dialog")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    walk.stop("help", "dialog")
    page.keyboard.press("Escape")
    walk.go("#/overview")
    expect(page.locator(".columns").first).to_be_visible()
    page.locator("main").get_by_text("Figures").first.click()
    walk.stop("overview")
    walk.go("#/new")
    expect(page.get_by_text("No model is configured")).to_be_visible()
    walk.stop("new chat")


def look_at_the_session(walk: Walk, key: str) -> None:
    """Stop at a session with all its steps open, its menu, its dialogs, a notice, finding, and where none is."""
    page = walk.page
    walk.go(link(key, 2))
    expect(page.locator(".hljs-string").first).to_be_visible()
    expect(page.locator(".formula.set")).to_have_count(2)
    for summary in page.locator("details.step summary").all():
        summary.click()
    walk.stop("session")
    actions = page.locator(".thread-head").get_by_role("button", name="Actions")
    actions.click()
    walk.stop("menu", "dialog")
    page.get_by_role("menuitem", name="Tags").click()
    walk.stop("tags", "dialog")
    page.keyboard.press("Escape")
    actions.click()
    page.get_by_role("menuitem", name="Rename").click()
    walk.stop("rename", ".thread-head")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Copy message 2").click()
    expect(page.locator(".notice")).to_be_visible()
    page.get_by_role("button", name="Find in this session").click()
    page.keyboard.type("plan")
    expect(page.get_by_text("of 2")).to_be_visible()
    walk.stop("find, notice")
    page.keyboard.press("Escape")
    walk.go(link("axe:none"))
    expect(page.get_by_role("alert")).to_be_visible()
    walk.stop("no session", "main")


@pytest.mark.parametrize(
    "size,themes",
    [("phone", ["dark"]), ("tablet", ["light"]), ("desk", ["light", "dark"])],  # a width changes no colour
    ids=SIZES,
)
def test_axe_finds_nothing(server: Server, visit: Visit, size: str, themes: list[ColorScheme]) -> None:
    """In every view, dialog and menu, in light and in dark, on a phone, a tablet and a desk."""
    if not AXE.exists():
        pytest.skip("axe-core is not here: make test gets it with npm")
    key = f"axe:{size}"
    thought = Draft(
        role="assistant",
        content=f"<think>So.</think>{RICH}",
        metadata={"reasoning_ms": 1200, "partial": True},
        sent_at=NOON,
    )
    store(server, key, [said(1, "Hello, what is the plan?"), thought, *called("look", {"a": 1}, "done")])
    server.sessions.revise(key, Revision(pinned=True, tags=("work", "東京")))
    width, height = SIZES[size]
    # Playwright puts axe in past the policy
    page = visit(viewport={"width": width, "height": height}, bypass_csp=True)
    walk = Walk(page, themes)
    look_at_the_list(walk)
    look_at_the_session(walk, key)
    page.context.clear_cookies()
    walk.go("#/")
    page.reload()
    page.add_script_tag(path=AXE)
    expect(page.get_by_label("Token")).to_be_visible()
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    walk.stop("sign-in")
    assert {} == walk.faults()
    assert 13 * len(themes) == len(walk.found)


def test_axe_sees_a_fault(visit: Visit) -> None:
    """The check above is none if it would not see this: a button without a name, and faint text."""
    if not AXE.exists():
        pytest.skip("axe-core is not here: make test gets it with npm")
    page = visit(bypass_csp=True)
    page.add_script_tag(path=AXE)
    page.evaluate(
        "(text) => document.querySelector('main').insertAdjacentHTML('afterbegin', text)",
        "<button></button><p style='color:#ccc;background:#fff'>faint</p>",
    )
    assert {"button-name", "color-contrast"} == {one.partition(":")[0] for one in violations(page)}
