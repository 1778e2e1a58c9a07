"""No text holds up the page: its work grows with the length of the text, and what is vast is drawn in parts.

Work is counted, not timed: the browser's own count of how often each piece of our scripts was run.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final

import pytest
from playwright.sync_api import CDPSession, Page, expect

from chatkeep.core.model import Draft
from tests.http.conftest import Server
from tests.page.conftest import NOON, Visit, called, said, store, until
from tests.page.test_flows import link

MEBIBYTE: Final = 1 << 20
GROWTH_MAX: Final = 2.6  # of the work, when the text is twice as long
SLACK: Final = 20_000  # runs of a piece of script: what begins once, or when a list is made larger


def repeated(piece: str) -> Callable[[int], str]:
    """Return texts that are one piece again and again."""
    return lambda size: piece * (size // len(piece))


def growing(line: str) -> Callable[[int], str]:
    """Return texts whose lines are set in ever deeper."""
    return lambda size: "\n".join(" " * 2 * depth + line for depth in range(int(size**0.5)))


HOSTILE: Final[dict[str, Callable[[int], str]]] = {
    **{
        piece: repeated(piece)
        for piece in (
            *("a", "`", "[", "![", "*", "*a ", "a**b", "_a_b", "__a", "|", ">", "> ", "<", "<!--", "<a ", "- ", "1. "),
            *("[a](b", "[a](<b", "[a]:b\n", "~~a", "~", "http://a.b ", "www.", "a@", "a.", "1", "```\n", "#", "##a\n"),
            *("\n", " ", "\t", "=", "-", "\\", "&", "&#", "*_`[<>]!", "a:", "$", "$a ", "$$\n", "\\[", "\\[\n", "\\("),
            *("\\begin{a}\n", "[^a]", "[^a]: b\n", "a\n-\n", "a|b\n-|-\n", "```md\n```x\n", "<br>", "中**", "\u202e"),
            *(
                "\u0315\u0300",
                "👩\u200d",
                "\ud55c",
                "(",
                "{",
                "}",
                '"',
                '\\"',
                "<think>",
                "</think>",
                "<think></think>",
                "- a\n",
            ),
            *("a b\n\n", "> a\n", "'", "x^", "\u200b", ":", "/", "~~~\n", "***a ", "a** ", "[x] "),
        )
    },
    "brackets": lambda size: "[" * (size // 2) + "]" * (size // 2),
    "runs of ticks": lambda size: " ".join("`" * run for run in range(1, int(size**0.5))),
    "deep lists": growing("- a"),
    "deep counts": growing("1. a"),
    "deep quotes": lambda size: "\n".join("> " * (line % 50) + "a" for line in range(size // 50)),
    "wide table": lambda size: "|a" * (size // 6) + "\n" + "|-" * (size // 6) + "\n" + "|a\n" * (size // 9),
    "long table": lambda size: "|a|\n|-|\n" + "|b|\n" * (size // 4),
    "deep JSON": lambda size: "[" * (size // 2) + "]" * (size // 2),
    "wide JSON": lambda size: "[" + "1," * (size // 2) + "1]",
    "JSON of strings": lambda size: '{"a":"' + '\\\\\\"' * (size // 4) + '"}',
    "objects": lambda size: '{"a":' * (size // 7) + "1" + "}" * (size // 7),
}
# Everything that is done with the text of a message before the browser lays it out
DRAWN: Final = """async ([edition, text]) => {
  const part = (name) => import(`${edition}/${name}`);
  const { groupsOf } = await part("text/markdown.js");
  const { indented, itemsOf } = await part("text/json.js");
  const { partedSoFar, withoutReasoning } = await part("text/reasoning.js");
  for (const group of groupsOf(text)) if (!group.isPlain) group.html();
  indented(text);
  itemsOf(JSON.stringify([text, { text }]));
  partedSoFar(text);
  withoutReasoning({ role: "assistant", content: [text, { type: "text", text }] });
}"""
# How many characters the browser's own searches pass over, while long plain text is cut into pieces
SCANNED: Final = """async ([edition, piece, count]) => {
  const { drawPlain } = await import(`${edition}/text/rendering.js`);
  const [own, text] = [{}, piece.repeat(count)];
  let passed = 0;
  for (const [name, begin] of [["indexOf", () => 0], ["lastIndexOf", (text) => text.length]]) {
    own[name] = String.prototype[name];
    String.prototype[name] = function (sought, from = begin(this)) {
      const found = own[name].call(this, sought, from);
      passed += Math.abs((found < 0 ? this.length - begin(this) : found) - from);
      return found;
    };
  }
  drawPlain(document.createElement("div"), text);
  Object.assign(String.prototype, own);
  return passed;
}"""
VISIBLE: Final = "(seq) => document.querySelector(`#m${seq} .text`).textContent.length"


@pytest.fixture
def page(visit: Visit) -> Page:
    """The page, opened."""
    return visit()


def runs(devtools: CDPSession) -> int:
    """Return how often the pieces of our scripts were run since this was last asked."""
    found: Any = devtools.send("Profiler.takePreciseCoverage")
    return sum(
        piece["count"]
        for script in found["result"]
        for function in script["functions"]
        for piece in function["ranges"]
        if "/page/" in script["url"]
    )


def test_work_grows_with_the_text(page: Page) -> None:
    """Of hostile texts twice as long make about twice the work, in Markdown, JSON and reasoning alike."""
    edition = page.evaluate("document.querySelector('script').src.replace(/\\/main.js$/, '')")
    devtools = page.context.new_cdp_session(page)
    devtools.send("Profiler.enable")
    devtools.send("Profiler.startPreciseCoverage", {"callCount": True, "detailed": True})
    worse = {}
    for name, text in HOSTILE.items():
        counts = []
        for size in (4_000, 8_000, 16_000):
            runs(devtools)
            page.evaluate(DRAWN, [edition, text(size)])
            counts.append(runs(devtools))
        assert counts[0] > 0
        if any(after > GROWTH_MAX * before + SLACK for before, after in pairwise(counts)):
            worse[name] = counts
    assert {} == worse


@pytest.mark.parametrize("piece", ["a", "a ", "a\n"])
def test_pieces_are_cut_in_one_pass(page: Page, piece: str) -> None:
    """Long plain text is cut into pieces without looking through all that came before each."""
    edition = page.evaluate("document.querySelector('script').src.replace(/\\/main.js$/, '')")
    passed = [page.evaluate(SCANNED, [edition, piece, count]) for count in (1_000_000, 2_000_000)]
    assert passed[1] <= GROWTH_MAX * max(passed[0], SLACK)


def test_check_sees_what_grows_faster(page: Page) -> None:
    """The check above is none if it would not see this: a loop in a loop in a script of the page."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("Profiler.enable")
    devtools.send("Profiler.startPreciseCoverage", {"callCount": True, "detailed": True})
    counts = []
    for size in (200, 400):
        runs(devtools)
        nested = f"for (let i = 0; i < {size}; i++) for (let j = 0; j < {size}; j++) {{ if (j === i) continue; }}"
        page.evaluate(f"() => {{ {nested} }}\n//# sourceURL=/page/x/nested.js")
        counts.append(runs(devtools))
    assert counts[1] > GROWTH_MAX * counts[0]


@pytest.mark.parametrize("piece,mebibytes", [("a", 15), ("word ", 5), ("**中** `c`\n\n", 5)])
def test_open_a_message_of_many_mebibytes(server: Server, visit: Visit, piece: str, mebibytes: int) -> None:
    """A message of the largest size opens with its first part; the rest comes when asked for, in pieces."""
    size = mebibytes * MEBIBYTE // len(json.dumps(piece, ensure_ascii=False)[1:-1].encode())
    key = f"cost:vast-{piece.strip()[:3]}"
    store(server, key, [said(1, "Before"), said(2, piece * size), said(3, "After")])
    page = visit(link(key))
    expect(page.locator("#m3")).to_be_in_viewport()
    assert page.evaluate(VISIBLE, 2) <= 4_000
    page.get_by_role("button", name="Show the rest").click()
    expect(page.locator("#m2 .told")).to_contain_text("Shown as plain text")
    told = page.locator("#m2 .told").inner_text()
    assert until(lambda: page.evaluate(VISIBLE, 2) == len(piece) * size + len(told), page)
    pieces = page.locator("#m2 .piece")
    assert pieces.count() >= len(piece) * size // 20_000
    assert max(pieces.evaluate_all("(all) => all.map((one) => one.textContent.length)")) <= 20_000
    seen = "(all) => all.filter((one) => one.checkVisibility({ contentVisibilityAuto: true })).length"
    page.get_by_role("button", name="Show less").click()
    assert until(lambda: page.evaluate(VISIBLE, 2) <= 4_000, page)
    assert pieces.evaluate_all(seen) <= 20


def test_open_a_result_of_many_mebibytes(server: Server, visit: Visit) -> None:
    """The result of a call, however long, is shown from its beginning, and all of it when asked for."""
    result = '{"a": "' + "word " * (MEBIBYTE * 3) + '"}'
    store(server, "cost:result", called("vast", {}, result))
    page = visit(link("cost:result"))
    page.locator("#m1 summary").click()
    shown = page.locator("#m1 pre.raw").nth(1)
    expect(shown).to_contain_text("word")
    length = "(one) => one.textContent.length"
    assert shown.evaluate(length) <= 10_000
    page.get_by_role("button", name="Show the rest").click()
    assert until(lambda: shown.evaluate(length) == len(result), page)


def test_vast_blocks_are_plain_and_said_to_be(server: Server, visit: Visit) -> None:
    """A table, a list or a paragraph too large to be laid out is shown whole as plain text, and the reader is told."""
    texts = {
        "table": "|a|b|\n|-|-|\n" + "|c|d|\n" * 3_000,
        "list": "- item\n" * 5_000,
        "paragraph": "word *and* " * 3_000,
    }
    store(server, "cost:blocks", [said(1, f"# Head\n\n{text}\nLast\n\nThe end.") for text in texts.values()])
    page = visit(link("cost:blocks", 1))
    expect(page.locator("#m3 .text")).to_be_visible()
    for seq, text in enumerate(texts.values(), 1):
        message = page.locator(f"#m{seq}")
        if message.get_by_role("button", name="Show the rest").count():
            message.get_by_role("button", name="Show the rest").click()
        expect(message.locator(".told")).to_contain_text("Shown as plain text")
        expect(message.get_by_role("heading", name="Head")).to_be_visible()
        expect(message.get_by_text("The end.")).to_be_visible()
        pieces = message.locator(".piece").evaluate_all("(all) => all.map((one) => one.textContent).join('')")
        assert text.strip() in pieces


def test_deep_nesting_loses_nothing(server: Server, visit: Visit) -> None:
    """What is nested deeper than the page draws is there as text."""
    deep = "\n".join(f"{'> ' * depth}level {depth}\n{'> ' * depth}" for depth in range(1, 90))
    store(server, "cost:deep", [Draft(role="user", content=deep, sent_at=NOON)])
    page = visit(link("cost:deep", 1))
    expect(page.locator("#m1 .text")).to_contain_text("level 1")
    if page.get_by_role("button", name="Show the rest").count():
        page.get_by_role("button", name="Show the rest").click()
    for depth in (1, 30, 59, 60, 61, 89):
        expect(page.locator("#m1 .text")).to_contain_text(f"level {depth}")


def test_finding_marks_a_bounded_number_of_words(server: Server, visit: Visit) -> None:
    """A word that stands everywhere is marked where there is a reader for it, not a million times."""
    store(server, "cost:find", [said(1, "numbat " * 400_000)])
    page = visit(link("cost:find", 1))
    page.get_by_role("button", name="Show the rest").click()
    expect(page.locator("#m1 .told")).to_be_visible()
    page.keyboard.press("f")
    page.keyboard.type("numbat")
    assert until(lambda: page.evaluate("CSS.highlights.get('found')?.size > 0"), page)
    assert page.evaluate("CSS.highlights.get('found').size") <= 3_000


def test_code_that_takes_too_long_to_colour_stays_as_it_is(server: Server, visit: Visit) -> None:
    """Colours are found beside the page: code on which the rules of a language take seconds holds up nothing."""
    hostile = f"```java\n{'$' * 19_000}\n```"
    store(server, "cost:colour", [said(1, hostile), said(2, "```python\nprint('hi')\n```")])
    page = visit(link("cost:colour", 1))
    expect(page.locator("#m1 .text")).to_be_visible()
    if page.get_by_role("button", name="Show the rest").count():
        page.get_by_role("button", name="Show the rest").click()
    expect(page.locator("#m2 .hljs-string")).to_have_text("'hi'")
    assert "$" * 19_000 == page.locator("#m1 code").inner_text().strip()
