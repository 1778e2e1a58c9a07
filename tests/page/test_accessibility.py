"""Everybody can use the page: axe finds nothing against it, in any view, theme or size."""

from __future__ import annotations

import os
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from chatkeep.core.model import Revision
from tests.http.conftest import Server
from tests.page.conftest import PACKAGES, Visit, called, said, store
from tests.page.test_flows import link

AXE = PACKAGES / "axe-core" / "axe.min.js"
SIZES = {"phone": (360, 740), "tablet": (820, 1100), "desk": (1360, 850)}
VIEWS = [("light", "phone"), ("dark", "desk")]
if os.environ.get("CHATKEEP_PAGE_VIEWS") == "all":
    VIEWS = [(theme, size) for theme in ("light", "dark") for size in SIZES]
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


@pytest.mark.parametrize("theme,size", VIEWS)
def test_axe_finds_nothing(server: Server, visit: Visit, theme: str, size: str) -> None:
    """The list, a session, search, the menu, dialogs, the help sheet and sign-in."""
    if not AXE.exists():
        pytest.skip("axe-core is not here: make test gets it with npm")
    key = f"axe:{theme}-{size}"
    store(
        server,
        key,
        [
            said(1, "Hello, what is the plan?"),
            said(2, f"<think>So.</think>{RICH}", "assistant"),
            *called("look", {"a": 1}, "done"),
        ],
    )
    server.sessions.revise(key, Revision(pinned=True, tags=("work", "東京")))
    width, height = SIZES[size]
    # Playwright puts axe in past the policy
    page = visit(color_scheme=theme, viewport={"width": width, "height": height}, bypass_csp=True)
    page.add_script_tag(path=AXE)
    found = {"list": violations(page)}
    page.get_by_role("button", name="More filters").click()
    found["filters"] = violations(page)
    page.evaluate("() => { location.hash = '#/overview'; }")
    expect(page.locator(".columns").first).to_be_visible()
    found["overview"] = violations(page)
    page.evaluate("() => { location.hash = '#/new'; }")
    expect(page.get_by_text("No model is configured")).to_be_visible()
    found["new chat"] = violations(page)
    page.evaluate("(hash) => { location.hash = hash; }", link(key, 2))
    expect(page.locator(".hljs-string").first).to_be_visible()
    expect(page.locator(".formula.set")).to_have_count(2)
    for summary in page.locator("details.step summary").all():
        summary.click()
    found["session"] = violations(page)
    page.locator(".thread-head").get_by_role("button", name="Actions").click()
    found["menu"] = violations(page, "dialog")
    page.get_by_role("menuitem", name="Rename").click()
    found["rename"] = violations(page)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Find in this session").click()
    found["find"] = violations(page)
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("plan")
    expect(page.locator(".hit").first).to_be_visible()
    found["search"] = violations(page, "dialog")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    found["help"] = violations(page, "dialog")
    page.keyboard.press("Escape")
    page.context.clear_cookies()
    page.evaluate("() => { location.hash = '#/'; }")
    page.reload()
    page.add_script_tag(path=AXE)
    expect(page.get_by_label("Token")).to_be_visible()
    found["sign-in"] = violations(page)
    assert {} == {view: all_of_it for view, all_of_it in found.items() if all_of_it}


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
