"""Markdown as models write it: of a text no character is lost or changed but the marks that are meant to vanish."""

from __future__ import annotations

import re
from typing import Final

import pytest
from playwright.sync_api import Page, expect

from chatkeep.core.model import Draft
from tests.http.conftest import Server
from tests.page.conftest import NOON, PATIENCE_MS, Seen, Visit, said, store, until
from tests.page.test_flows import link
from tests.page.written import TEXTS, Written
from tests.page.written_marks import MARKED
from tests.page.written_mixed import MIXED
from tests.page.written_nested import NESTED

# What a reader sees of a message: set formulas as their source, without the heads of code
VISIBLE: Final = """(seq) => {
  const box = document.querySelector(`#m${seq} .text`);
  for (const head of box.querySelectorAll("figcaption")) head.remove();
  for (const formula of box.querySelectorAll(".formula.set")) {
    formula.style.whiteSpace = "pre";
    formula.textContent = `⟦${formula.querySelector("annotation").textContent}⟧`;
  }
  return box.innerText;
}"""
AT_ONCE: Final = 30


@pytest.fixture(autouse=True)
def _quiet(seen: Seen) -> object:
    """After each test: nothing was asked of others, nothing failed."""
    yield
    assert Seen() == seen


def lines(text: str) -> list[str]:
    """Return the lines of a text that are not empty, without blanks around them."""
    return [
        line.strip() for line in re.sub("⟦\\s*(.*?)\\s*⟧", "⟦\\1⟧", text, flags=re.DOTALL).split("\n") if line.strip()
    ]


WAITING = """() => {
    const waiting = document.querySelector(".formula:not(.set):not(.failed)");
    waiting?.scrollIntoView({ block: "center" });
    return !waiting;
}"""


def settled(page: Page) -> None:
    """Wait until every formula is set, or has failed; each is brought into sight, for till then it waits."""
    # Asked again and again: a formula above may move one out of sight
    assert until(lambda: page.evaluate(WAITING), page, patience_ms=2 * PATIENCE_MS)


def show(server: Server, visit: Visit, key: str, *texts: str) -> Page:
    """Return the page with messages of these texts, all drawn."""
    store(server, key, [said(number, text) for number, text in enumerate(texts)])
    page = visit(link(key))
    expect(page.locator(f"#m{len(texts)} .text")).to_be_visible()
    settled(page)
    return page


@pytest.mark.parametrize("texts", [TEXTS, NESTED, MARKED, MIXED], ids=["plain", "nested", "marked", "mixed"])
def test_no_character_is_lost_or_changed(server: Server, visit: Visit, texts: list[Written]) -> None:
    """Numbers, formulas, scripts, code, tables, tags and links: a hundred texts, and twice as many of harder ones."""
    assert len(texts) >= 100
    seen = []
    for begin in range(0, len(texts), AT_ONCE):
        group = [text for text, _ in texts[begin : begin + AT_ONCE]]
        page = show(server, visit, f"written:{len(texts)}-{begin}", *group)
        seen += [page.evaluate(VISIBLE, number + 1) for number in range(len(group))]
    wrong = [
        (text, lines(shown))
        for (text, visible), shown in zip(texts, seen, strict=True)
        if lines(text if visible is None else visible) != lines(shown)
    ]
    assert [] == wrong


def test_emphasis_strikes_and_aligns_as_written(server: Server, visit: Visit) -> None:
    """Beside Chinese too marks need no blanks; one tilde strikes nothing; columns stand as their heads say."""
    table = "| a | b | c |\n|:--|:-:|--:|\n| 1 | 2 | 3 |"
    texts = ("**注意：**请看**“关键”**的*词*", "3~5 and ~~gone~~", table, "1. a\n3. b\n\ntext\n\n5) c", "- [x] done")
    page = show(server, visit, "written:marks", *texts)
    assert ["注意：", "“关键”"] == page.locator("#m1 strong").all_inner_texts()
    assert ["词"] == page.locator("#m1 em").all_inner_texts()
    assert ["gone"] == page.locator("#m2 s").all_inner_texts()
    cells = page.locator("#m3 td")
    assert ["left", "center", "right"] == cells.evaluate_all("(all) => all.map((td) => getComputedStyle(td).textAlign)")
    assert [1, 3, 5] == page.locator("#m4 li").evaluate_all("(all) => all.map((li) => li.value)")
    assert "none" == page.locator("#m5 li").evaluate("(li) => getComputedStyle(li).listStyleType")


def test_formulas_are_set_and_the_rest_is_not(server: Server, visit: Visit) -> None:
    """Formulas are set, prices are not; what cannot be set is its source; nothing is loaded where there is none."""
    texts = ("$x^2$ \\(y\\) $$z$$", "$5 and $10", "$\\frac{1}{2$", "`$x$`", "$$\\unknown{x}$$")
    page = show(server, visit, "written:formulas", *texts)
    counts = [page.locator(f"#m{n} .formula.set math").count() for n in range(1, 6)]
    assert [3, 0, 0, 0, 0] == counts
    failed = page.locator("#m5 .formula.failed")
    expect(failed).to_have_text("$$\\unknown{x}$$")
    assert "cannot be set" in (failed.get_attribute("title") or "")
    assert "KaTeX_Math" in page.locator("#m1 .mathnormal").first.evaluate("(e) => getComputedStyle(e).fontFamily")
    store(server, "written:none", [said(1, "No formula: $5")])
    other = visit(link("written:none"))
    expect(other.locator("#m1 .text")).to_be_visible()
    loaded = "performance.getEntriesByType('resource').filter((one) => one.name.includes('katex')).length"
    assert 0 == other.evaluate(loaded)


def test_code_stands_alone_in_text_that_runs_from_the_right(server: Server, visit: Visit) -> None:
    """`code()` keeps its order in Hebrew and Arabic, and the columns of such a table run from the right."""
    page = show(server, visit, "written:rtl", "שלום `code()` עולם", "| עברית | b |\n|---|---|\n| א | 2 |", "Text עברית")
    directions = "(element) => getComputedStyle(element).direction"
    assert "rtl" == page.locator("#m1 p").evaluate(directions)
    assert "ltr isolate" == page.locator("#m1 code").evaluate(
        "(code) => `${getComputedStyle(code).direction} ${getComputedStyle(code).unicodeBidi}`"
    )
    assert "rtl" == page.locator("#m2 table").evaluate(directions)
    first, second = page.locator("#m2 td").evaluate_all("(all) => all.map((td) => td.getBoundingClientRect().x)")
    assert first > second
    assert "ltr" == page.locator("#m3 p").evaluate(directions)


def test_reasoning_is_folded_wherever_it_stands(server: Server, visit: Visit) -> None:
    """In tags, in parts, in metadata, in the fields that servers send: it is shown folded, never as the answer."""
    told = {
        "tags": Draft(role="assistant", content="<think>\nThought *1*\n</think>\n\nAnswer"),
        "mistral": Draft(role="assistant", content="[THINK]Thought *1*[/THINK]Answer"),
        "kimi": Draft(role="assistant", content="◁think▷Thought *1*◁/think▷Answer"),
        "cohere": Draft(role="assistant", content="<|START_THINKING|>Thought *1*<|END_THINKING|>Answer"),
        "unclosed": Draft(role="assistant", content="<thinking>Thought *1*"),
        "part": Draft(
            role="assistant",
            content=[
                {"type": "thinking", "thinking": "Thought *1*", "signature": "x"},
                {"type": "text", "text": "Answer"},
            ],
        ),
        "summary": Draft(
            role="assistant",
            content=[
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Thought *1*"}]},
                {"type": "text", "text": "Answer"},
            ],
        ),
        "field": Draft(
            role="assistant",
            content="Answer",
            metadata={"openai": {"reasoning_content": "Thought *1*", "reasoning": "Thought *1*"}},
        ),
        "ours": Draft(
            role="assistant", content="Answer", metadata={"reasoning": {"text": "Thought *1*", "from": "reasoning"}}
        ),
    }
    others = [
        Draft(role="user", content="<think>I</think> am a user"),
        Draft(role="assistant", content="Use `<think>`: <think>text</think>"),
        Draft(role="assistant", content="```\n<think>code</think>\n```"),
    ]
    store(server, "written:thoughts", [*told.values(), *others])
    page = visit(link("written:thoughts"))
    expect(page.locator(f"#m{len(told) + len(others)}")).to_be_visible()
    for seq, name in enumerate(told, 1):
        message = page.locator(f"#m{seq}")
        texts = [] if name == "unclosed" else ["Answer"]
        assert texts == message.locator(":scope > .text").all_inner_texts()
        expect(message.locator(".thought .name")).to_have_text("Reasoning")
        message.locator(".thought summary").click()
        expect(message.locator(".thought .text")).to_have_text("Thought 1")
    for seq in range(len(told) + 1, len(told) + len(others) + 1):
        expect(page.locator(f"#m{seq} .text")).to_contain_text("<think>")
        expect(page.locator(f"#m{seq} .thought")).to_have_count(0)


def test_reasoning_says_how_long_it_took(server: Server, visit: Visit) -> None:
    """Above it stands how long the model has thought, where that was measured; what is no time is left aside."""
    times = {400: "0.4 s", 4_000: "4 s", 12_345: "12 s", 125_000: "2 min 5 s", None: "", -5: "", "long": ""}
    store(
        server,
        "written:times",
        [
            Draft(role="assistant", content="<think>So</think>Yes", metadata={"reasoning_ms": ms}, sent_at=NOON)
            for ms in times
        ],
    )
    page = visit(link("written:times"))
    expected = [f"Thought for {words}" if words else "Reasoning" for words in times.values()]
    expect(page.locator(".thought .name")).to_have_text(expected)


def test_end_of_an_answer_says_why(server: Server, visit: Visit) -> None:
    """Under an answer that is not whole stands why, with the words of the model's server as text."""
    ends: dict[str, dict[str, object]] = {
        "Nobody waited": {"partial": True, "reason": "client_gone"},
        "Chatkeep was stopped": {"partial": True, "reason": "server_ended"},
        "This answer was cut off. <b>Overloaded</b>": {
            "partial": True,
            "reason": "model_error",
            "detail": "<b>Overloaded</b>",
        },
        "Reason: model_cut_off.": {"partial": True, "reason": "model_cut_off"},
        "cut off. Try later": {"partial": True, "error": {"message": "Try later"}},
        "limit of tokens": {"finish_reason": "length"},
        "held back": {"finish_reason": "content_filter"},
    }
    drafts = [Draft(role="assistant", content="Half", metadata=metadata, sent_at=NOON) for metadata in ends.values()]
    store(server, "written:ends", drafts)
    page = visit(link("written:ends"))
    expect(page.locator("#m1 .aside")).to_be_visible()
    for seq, words in enumerate(ends, 1):
        assert words in " ".join(page.locator(f"#m{seq} > .aside").all_inner_texts())
