"""What the page shows of JSON, and what its buttons copy, is what is stored: only indented."""

from __future__ import annotations

import json
from typing import Any, Final

from playwright.sync_api import Locator, Page, expect

from chatkeep.core.model import Draft, Revision
from tests.http.conftest import Server
from tests.page.conftest import NOON, Visit, said, store
from tests.page.test_flows import link

STORED: Final = (
    '{"id":1312292042121000001,"x":1,"x":2,"one":1.0,"small":1E-7,"vast":1e400,"long":0.1000000000000000055,'
    '"zero":-0.0,"name":"\\u5317\\/","nested":[[],{},{"n":12345678901234567890}]}'
)
INDENTED: Final = """{
  "id": 1312292042121000001,
  "x": 1,
  "x": 2,
  "one": 1.0,
  "small": 1E-7,
  "vast": 1e400,
  "long": 0.1000000000000000055,
  "zero": -0.0,
  "name": "\\u5317\\/",
  "nested": [
    [],
    {},
    {
      "n": 12345678901234567890
    }
  ]
}"""
NOT_JSON: Final = ("[note] 1.0", "{'a': 1.0}", '{"a":1.0', "[1.0,]", '[1.0] {"a":1}', '{"a" 1.0}', "[01]", "[}", '["a]')


def call(arguments: object, result: object, **fields: Any) -> list[Draft]:  # noqa: ANN401 - any JSON
    """Return a call with these arguments, and its result."""
    made = {"id": f"call-{fields}", "type": "function", "function": {"name": "look", "arguments": arguments}, **fields}
    return [
        Draft(role="assistant", content="Let me look.", tool_calls=[made], sent_at=NOON),
        Draft(role="tool", content=result, tool_call_id=made["id"], sent_at=NOON),  # type: ignore[arg-type]
    ]


def opened(page: Page, seq: int) -> Locator:
    """Open the steps of a message; return what is shown in them."""
    for summary in page.locator(f"#m{seq} summary").all():
        summary.click()
    expect(page.locator(f"#m{seq} pre.raw").last).to_be_visible()
    return page.locator(f"#m{seq} pre.raw")


def test_show_json_as_it_is_stored(server: Server, visit: Visit) -> None:
    """Numbers of every kind, names that stand twice and escapes are shown as stored; buttons copy the very text."""
    store(server, "exact:text", call(STORED, STORED))
    page = visit(link("exact:text"), permissions=["clipboard-read", "clipboard-write"])
    shown = opened(page, 1)
    assert [INDENTED, INDENTED] == shown.all_inner_texts()
    for name in ("Copy the call", "Copy the result"):
        page.get_by_role("button", name=name).click()
        expect(page.get_by_text(f"Copied {name[5:]}")).to_be_visible()
        assert STORED == page.evaluate("navigator.clipboard.readText()")


def test_show_numbers_of_answers_as_they_came(server: Server, visit: Visit) -> None:
    """Arguments that are objects, results and parts that are no text keep their numbers."""
    given = {"id": 1312292042121000001, "one": 1.0}
    part = {"type": "file", "file": {"size": 12345678901234567890, "ratio": 2.0}}
    picture = [{"type": "text", "text": "done"}, {"type": "chart", "of": [9007199254740993]}]
    parted = Draft(role="user", content=[part, {"type": "text", "text": "look"}], sent_at=NOON)
    made = {"id": "t", "name": "use", "input": given}
    anthropic = Draft(role="assistant", content=None, tool_calls=[made], sent_at=NOON)
    store(server, "exact:values", [*call(given, picture), parted, anthropic])
    page = visit(link("exact:values"))
    expect(page.locator("#m1 .given")).to_contain_text("1312292042121000001")
    texts = [*opened(page, 1).all_inner_texts(), *opened(page, 3).all_inner_texts(), *opened(page, 4).all_inner_texts()]
    assert [json.dumps(value, indent=2) for value in (given, picture, part, given)] == texts


def test_show_what_is_no_json_as_it_is(server: Server, visit: Visit) -> None:
    """Text that only begins like JSON is not touched."""
    store(server, "exact:other", [draft for n, text in enumerate(NOT_JSON) for draft in call(text, "ok", index=n)])
    page = visit(link("exact:other"))
    expect(page.locator("#m1")).to_be_visible()
    assert list(NOT_JSON) == [opened(page, 2 * n + 1).first.inner_text() for n in range(len(NOT_JSON))]


def test_edit_tags_beside_exact_numbers(server: Server, visit: Visit) -> None:
    """Changing tags on the page sends nothing but them: numbers of the session's metadata stay as they are."""
    store(server, "exact:tags", [said(1, "Tagged")])
    server.sessions.revise("exact:tags", Revision(metadata={"id": 1312292042121000001, "one": 1.0}))
    page = visit(link("exact:tags"))
    expect(page.locator("#m1")).to_be_visible()
    page.keyboard.press("t")
    page.get_by_role("combobox", name="Tags").fill("work")
    with page.expect_request(lambda request: request.method == "PATCH") as asked:
        page.keyboard.press("Enter")
    assert '{"tags":["work"]}' == asked.value.post_data
    asked.value.response()
    stored = server.sessions.get("exact:tags").header
    assert (("work",), {"id": 1312292042121000001, "one": 1.0}) == (stored.tags, stored.metadata)


def test_deep_json_is_shown_in_bounded_room(server: Server, visit: Visit) -> None:
    """Indents do not grow with the square of the depth: what is nested deeply stands on one line, and is all there."""
    deep = "[" * 20_000 + "]" * 20_000
    store(server, "exact:deep", call("{}", deep))
    page = visit(link("exact:deep"))
    opened(page, 1)
    page.get_by_role("button", name="Show the rest").click()
    shown = page.locator("#m1 pre.raw").nth(1).evaluate("(one) => one.textContent")
    assert deep == "".join(shown.split())
    assert len(shown) < len(deep) + 2_000
