"""What is stored was written by others: whatever it is, no script of it runs and nothing is asked of anybody."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import product
from typing import Final

import pytest
from playwright.sync_api import Page, expect

from chatkeep.core.model import Draft, Revision
from tests.http.conftest import Server
from tests.page.conftest import Seen, Visit, said, settle, store, until
from tests.page.test_flows import link
from tests.page.test_markdown import settled

PAYLOADS: Final = int(
    os.environ.get("CHATKEEP_PAGE_PAYLOADS", "56")
)  # of 728: every script once, as 13 surroundings step over all of them
AT_ONCE: Final = 25
_AWAY: Final = "//evil.example"
_SCRIPTS: Final = (
    "<script>pwned(1)</script>",
    "<img src=x onerror=pwned(1)>",
    "<img src=http:{away}/i.png>",
    "<svg onload=pwned(1)>",
    "<svg><script>pwned(1)</script></svg>",
    "<svg><a xlink:href=javascript:pwned(1)><text y=20>x</text></a></svg>",
    "<svg><animate onbegin=pwned(1) attributeName=x dur=1s>",
    "<svg><use href=http:{away}/u.svg#x>",
    "<svg><style>@import 'http:{away}/s.css'</style></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror=pwned(1)>",
    "<math href=javascript:pwned(1)>x</math>",
    "<iframe src=javascript:parent.pwned(1)>",
    "<iframe srcdoc='<script>parent.pwned(1)</script>'>",
    "<iframe src=http:{away}/f>",
    "<object data=http:{away}/o>",
    "<embed src=http:{away}/e>",
    "<link rel=stylesheet href=http:{away}/l.css>",
    "<link rel=prefetch href=http:{away}/p>",
    "<style>*{{background:url(http:{away}/b.png)}}</style>",
    "<p style='background:url(http:{away}/bg.png)'>x</p>",
    "<video src=http:{away}/v autoplay onerror=pwned(1)></video>",
    "<audio src=x onerror=pwned(1)>",
    "<source srcset=http:{away}/s><picture><source srcset=http:{away}/s2><img></picture>",
    "<img srcset='http:{away}/1.png 1x'>",
    "<input autofocus onfocus=pwned(1)>",
    "<select autofocus onfocus=pwned(1)>",
    "<details open ontoggle=pwned(1)>x</details>",
    "<body onload=pwned(1)>",
    "<marquee onstart=pwned(1)>x</marquee>",
    "<form action=javascript:pwned(1)><button autofocus>x</button></form>",
    "<base href=http:{away}/>",
    "<meta http-equiv=refresh content='0;url=http:{away}/m'>",
    "<template><script>pwned(1)</script></template>",
    '<noscript><p title="</noscript><img src=x onerror=pwned(1)>">',
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=pwned(1)>",
    "<x onclick=pwned(1) tabindex=0 onfocus=pwned(1) autofocus>x</x>",
    "<a href=javascript:pwned(1)>x</a>",
    "<a href=' java\tscript:pwned(1)'>x</a>",
    "<a href=data:text/html,<script>pwned(1)</script>>x</a>",
    "<a href=x onmouseover=pwned(1)>x</a>",
    "<img name=getElementById><form id=page><input name=children>",
    "</textarea><script>pwned(1)</script>",
    "</title><script>pwned(1)</script>",
    "--><script>pwned(1)</script>",
    "]]><script>pwned(1)</script>",
    '"><script>pwned(1)</script>',
    "'><img src=x onerror=pwned(1)>",
    '" onmouseover=pwned(1) x="',
    "javascript:pwned(1)",
    "data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9InB3bmVkKDEpIi8+",
    "${{pwned(1)}}{{{{pwned(1)}}}}",
    "&lt;img src=x onerror=pwned(1)&gt;",
    "<scr<script>ipt>pwned(1)</scr</script>ipt>",
    "<<script>pwned(1)//<</script>",
    "<IMG SRC=JaVaScRiPt:pwned(1)>",
    '{{"__html":"<img src=x onerror=pwned(1)>","type":"script","props":{{}}}}',
)
_AROUND: Final = (
    "{x}",
    "[x]({x})",
    "![x]({x})",
    "[{x}](http:{away}/ok)",
    "```{x}\n{x}\n```",
    "| a |\n|---|\n| {x} |",
    "- [ ] {x}\n> # {x}",
    '<div title="{x}">\n\n**{x}**',
    "[r]: {x}\n![r] [r] `{x}` <{x}>",
    "$${x}$$ \\({x} = 1\\)",
    "```mermaid\ngraph TD; A[{x}] --> B; click A href '{x}'\n```\n[^{x}] <br> | a | {x} |",
    "[^a] \\{x}\\ C:\\{x} **{x}**/\n\n[^a]: {x} [x](<{x}> '{x}')",
    "~~~~{x}\n~~~\n{x}\n~~~~\n1. a\n   > | {x} |\n   > |---|\n   > | $x$ {x} |",
)
_FORMULAS: Final = (
    "\\href{{javascript:pwned(1)}}{{x}}",
    "\\href{{http:{away}/h}}{{x}}",
    "\\url{{javascript:pwned(1)}}",
    "\\includegraphics[height=1em]{{http:{away}/i.png}}",
    "\\htmlData{{src=http:{away}/d, onload=pwned(1)}}{{x}}",
    "\\htmlStyle{{background:url(http:{away}/s.png)}}{{x}}",
    "\\htmlClass{{panes}}{{x}}",
    "\\htmlId{{page}}{{x}}",
    "\\text{{<img src=x onerror=pwned(1)>}}",
    "\\text{{</math><script>pwned(1)</script>}}",
    "x_{{<svg onload=pwned(1)>}}",
    "\\color{{red;background:url(http:{away}/c.png)}}x",
    "\\color{{url(http:{away}/c.png)}}x",
    '\\textcolor{{#000" onmouseover="pwned(1)}}{{x}}',
    "\\colorbox{{expression(pwned(1))}}{{x}}",
    "\\rule{{9999em}}{{9999em}} \\kern-9999em x",
    "\\raisebox{{9999em}}{{x}} \\hspace{{-9999em}}y",
    "\\def\\a{{\\a\\a}}\\a",
    "\\def\\a#1{{#1#1}}\\a{{\\a{{\\a{{\\a{{\\a{{\\a{{\\a{{\\a{{\\a{{\\a{{x}}}}}}}}}}}}}}}}}}}}",
    "\\def\\href#1#2{{\\includegraphics{{http:{away}/r.png}}}}\\href{{a}}{{b}}",
    "\\gdef\\frac#1#2{{\\htmlId{{page}}{{x}}}}\\frac12",
    "\\let\\a\\href\\a{{javascript:pwned(1)}}{{x}}",
    "\\expandafter\\href\\expandafter{{javascript:pwned(1)}}{{x}}",
    "\\csname href\\endcsname{{javascript:pwned(1)}}{{x}}",
    '\\char`\\< \\char"3Cscript \\unicode{{60}}',
    "\\tag{{<a href=javascript:pwned(1)>x</a>}} y",
    "\\verb|<img src=x onerror=pwned(1)>|",
    "\\begin{{array}}{{c@{{\\href{{javascript:pwned(1)}}{{x}}}}c}} 1 & 2 \\end{{array}}",
)

INSERTED: Final = """(text) => {
    try { document.querySelector("#page").insertAdjacentHTML("beforeend", text); } catch (error) { return error.name; }
}"""
ATTACHED: Final = """() => {
    try { new Image().setAttribute("onerror", "pwned(1)"); } catch (error) { return error.name; }
}"""


# Scrolls on, waits until that is drawn, and tells whether it is the end
SCROLLED: Final = """async (box, by) => {
    box.scrollTop += by;
    const isEnd = box.scrollTop + box.clientHeight >= box.scrollHeight - 1;
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    return isEnd;
}"""


def payloads() -> Iterator[str]:
    """Yield texts that try to run a script, or to have something fetched, each in all surroundings of markdown."""
    for around, script in product(_AROUND, _SCRIPTS):
        yield around.format(x=script.format(away=_AWAY), away=_AWAY)


def formulas() -> Iterator[str]:
    """Yield formulas that try the same, and such as would take all the time or room there is."""
    for formula in _FORMULAS:
        yield f"$${formula.format(away=_AWAY)}$$"
    for script in _SCRIPTS:
        yield f"$x_1 \\\\ {script.format(away=_AWAY)}$"
    for deep in ("{", "\\sqrt{", "\\frac{1}{", "x^{", "\\left(", "\\overline{", "\\begin{matrix}", "\\text{"):
        yield f"$${deep * 300}$$"
        yield f"$${deep * 300}x{'}' * 300}$$"


def drafts_of(text: str) -> list[Draft]:
    """Return messages that have the text wherever one can stand."""
    line = " ".join(text.split())
    name = line[:128].strip()
    call_id = "c" + line[:100]
    call = {"id": call_id, "type": "function", "function": {"name": text, "arguments": text}}
    parts = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": text}}, {"type": text}]
    return [
        Draft(role="user", content=text, name=name),
        Draft(role="assistant", content=text, tool_calls=[call]),
        Draft(role="tool", content=text, tool_call_id=call_id, name=name),
        Draft(role="tool", content=text, tool_call_id="other", name=name),
        Draft(role="user", content=parts),
        Draft(role="assistant", content=[{"type": "thinking", "thinking": text}, text]),
    ]


def plant(server: Server, number: int, texts: list[str]) -> str:
    """Store a session whose key, title, tags and channel are the first text, and whose messages are all of them."""
    line = " ".join(texts[0].split())
    key = f"{number} {line}"[:128].strip()
    drafts = [draft for text in texts for draft in drafts_of(text)]
    server.sessions.append(key, drafts, channel=line[:64].strip())
    server.sessions.revise(key, Revision(title=line[:200].strip(), tags=(line[:64].strip(),)))
    return key


@pytest.mark.parametrize("bypass_csp", [True, False], ids=["without the policy", "with it"])
def test_nothing_stored_runs_or_asks(server: Server, visit: Visit, seen: Seen, *, bypass_csp: bool) -> None:
    """In keys, titles, tags, channels, names, calls, results and contents: 0 scripts, 0 requests to others.

    Without the policy the page's own care must suffice.
    """
    every = list(payloads())
    count = PAYLOADS if bypass_csp else PAYLOADS // 4
    texts = every[:: max(1, len(every) // count)]
    assert len(texts) >= min(count, 500)
    mark = "a" if bypass_csp else "b"
    groups = [texts[at : at + AT_ONCE] for at in range(0, len(texts), AT_ONCE)]
    keys = [plant(server, number, [f"{mark} {group[0]}", *group]) for number, group in enumerate(groups)]
    for number, text in enumerate(texts):
        server.sessions.append(f"{mark}{number}{' '.join(text.split())}"[:128].strip(), drafts_of(text)[:1])
    page = visit(bypass_csp=bypass_csp)
    walk_the_list(page)
    for key, group in zip(keys, groups, strict=True):
        page.goto(f"{server.url}/{link(key, 1)}")
        walk_the_session(page, 6 * len(group))
    page.keyboard.press("/")
    for word in ("script", "pwned", "evil"):
        page.get_by_role("combobox", name="Search all messages").fill(word)
        expect(page.locator(".hit").first).to_be_visible()
    settle(page)
    assert ([], []) == (seen.ran, seen.outside)


@pytest.mark.parametrize("bypass_csp", [True, False], ids=["without the policy", "with it"])
def test_no_formula_runs_or_asks(server: Server, visit: Visit, seen: Seen, *, bypass_csp: bool) -> None:
    """Formulas run no script, ask nothing of anybody, leave their place on the page to nothing, and end."""
    key = f"formulas {bypass_csp}"
    texts = list(formulas())
    store(server, key, [said(number, text) for number, text in enumerate(texts)])
    page = visit(bypass_csp=bypass_csp)
    for begin in range(1, len(texts) + 1, AT_ONCE):
        page.goto("about:blank")
        page.goto(f"{server.url}/{link(key, begin)}")
        expect(page.locator(f"#m{begin} .text").first).to_be_visible()
        settled(page)
    assert ([], []) == (seen.ran, seen.outside)
    assert [] == seen.complaints
    others = page.locator(".formula :is(a, img, script, iframe, [href], [src], [id], [onload], [onerror])")
    assert 0 == others.count()
    outside = """() => [...document.querySelectorAll(".message")].filter((message) => {
        const place = message.getBoundingClientRect();
        const points = [[place.left - 20, place.top + 5], [place.right + 20, place.top + 5]];
        return points.some(([x, y]) => message.contains(document.elementFromPoint(x, y)));
    }).length"""
    assert 0 == page.evaluate(outside)


def walk_the_list(page: Page) -> None:
    """Have every row drawn."""
    for _ in range(2000):
        if page.locator(".rows").evaluate(SCROLLED, 600):
            return


def walk_the_session(page: Page, count: int) -> None:
    """Have every message drawn, every step opened, every link under the mouse."""
    for _ in range(count):
        expect(page.locator(".message").first).to_be_visible()
        page.evaluate(
            """() => {
                for (const step of document.querySelectorAll("details.step")) step.open = true;
                for (const link of document.querySelectorAll(".message a, .message [tabindex]")) {
                    link.dispatchEvent(new MouseEvent("mouseover", { bubbles: true }));
                    link.focus({ preventScroll: true });
                }
            }"""
        )
        if page.locator(".scroll").evaluate(SCROLLED, 4000) and not page.locator(".to-end").count():
            return


def test_check_sees_what_runs(visit: Visit, seen: Seen) -> None:
    """The check above is none if it would not see this: text put into the page as HTML."""
    page = visit(bypass_csp=True)
    for text in ("<img src=x onerror=pwned(1)>", "<img src=http://evil.example/i.png>"):
        page.evaluate(INSERTED, text)
    assert until(lambda: bool(seen.ran and seen.outside), page)
    assert (["1"], ["http://evil.example/i.png"]) == (seen.ran, seen.outside)


def test_policy_stops_what_would_run(visit: Visit, seen: Seen) -> None:
    """Where the page's own care failed, the policy holds: no text becomes HTML or a script, nothing far is fetched."""
    page = visit()
    assert "TypeError" == page.evaluate(INSERTED, "<b>x</b>")
    assert "TypeError" == page.evaluate(ATTACHED)
    page.evaluate("() => { document.body.append(Object.assign(new Image(), { src: 'http://evil.example/i.png' })); }")
    assert until(lambda: any("evil.example" in complaint for complaint in seen.complaints), page)
    assert [] == seen.ran
