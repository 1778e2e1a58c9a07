"""What people who stay with the page do every day, and what newcomers stumbled over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from chatkeep.access.page_sessions import SignInCode
from chatkeep.core.model import Draft, Revision
from chatkeep.http.services import services_of
from tests.http.conftest import Server
from tests.page.conftest import Seen, Visit, newest, said, settle, store, until
from tests.page.test_flows import DOT, link, rows

EDITION = "document.querySelector('script').src.replace(/\\/main.js$/, '')"
DROP = """([name, text, place]) => {
  const files = new DataTransfer();
  files.items.add(new File([text], name));
  const init = { dataTransfer: files, bubbles: true, cancelable: true };
  document.querySelector(place).dispatchEvent(new DragEvent("drop", init));
}"""
FOLDED = """async ([edition, texts]) => {
  const { folded } = await import(`${edition}/text/folding.js`);
  return texts.map((text) => folded(text).length);
}"""
READ = """async ([edition, messages]) => {
  const part = (name) => import(`${edition}/text/${name}.js`);
  const { figuresOf, figureWords } = await part("figures");
  const { hasFailed } = await part("outcomes");
  const { attachmentIn } = await part("attachments");
  return messages.map((message) => [
    figureWords(figuresOf(message)).join(" "), hasFailed(message),
    (Array.isArray(message.content) ? message.content : []).map((part) => {
      const file = attachmentIn(part);
      return file && `${file.kind} ${file.name} ${file.type}`;
    }),
  ]);
}"""


@pytest.fixture(autouse=True)
def _quiet(seen: Seen) -> object:
    """After each test: nothing was asked of others, nothing ran that should not, nothing failed."""
    yield
    assert Seen() == seen


def edition_of(page: Page) -> str:
    """Return where the scripts of the page are."""
    found: str = page.evaluate(EDITION)
    return found


def test_pinned_sessions_stand_at_the_top(server: Server, visit: Visit) -> None:
    """However old, and as soon as they are pinned; unpinned they go back to their time."""
    at = newest()
    for number in (1, 2, 3):
        store(server, f"page:top-{number}", [said(at + number, f"Top {number}")], channel="top")
    server.sessions.revise("page:top-1", Revision(pinned=True))
    page = visit()
    page.get_by_label("Channel").select_option("top")
    titles = page.locator(".row .title")
    expect(titles).to_have_text(["Top 1", "Top 3", "Top 2"])
    page.locator("[data-key='page:top-2']").get_by_role("link").focus()
    page.keyboard.press("p")
    expect(titles).to_have_text(["Top 2", "Top 1", "Top 3"])
    assert until(lambda: server.sessions.get("page:top-2").header.pinned)
    for number in (1, 2):
        server.sessions.revise(f"page:top-{number}", Revision(pinned=False))
    expect(titles).to_have_text(["Top 3", "Top 2", "Top 1"])


def test_address_lands_on_its_message_while_pictures_load(server: Server, visit: Visit) -> None:
    """Pictures above it that come late move it nowhere; the end stays the end as well."""
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DOT}"}}
    drafts = [Draft(role="user", content=[{"type": "text", "text": f"Number {nth}"}, picture]) for nth in range(1, 31)]
    store(server, "page:pictures", drafts)
    page = visit(link("page:pictures", 17))
    target = page.locator("#m17")
    expect(target).to_be_in_viewport()
    grow = "document.querySelectorAll('.picture').forEach((one) => { one.style.height = '250px'; })"
    page.evaluate(grow)
    settle(page)
    expect(target).to_be_in_viewport(ratio=0.9)
    page.keyboard.press("Shift+G")
    expect(page.locator("#m30")).to_be_in_viewport()
    page.evaluate(grow.replace("250", "350"))
    settle(page)
    expect(page.locator("#m30")).to_be_in_viewport(ratio=0.9)


def test_fold_splits_no_block_and_hides_no_short_rest(visit: Visit) -> None:
    """A fold ends before a piece of code, or behind it; what is shorter than a screen behind it is shown."""
    page = visit()
    code = "```python\n" + "x = 1\n" * 60 + "```"
    before = "A sentence about it, and some words more.\n\n" * 15
    texts = [f"Look:\n\n{code}\n\nThat is all.", f"{before}{code}\n\n{'More of it. ' * 400}", "word " * 900, "a" * 9000]
    whole, begin, words, letters = page.evaluate(FOLDED, [edition_of(page), texts])
    assert len(texts[0]) == whole
    assert before.rstrip() == texts[1][:begin].rstrip()
    assert "word" == texts[2][:words].split()[-1]
    assert 3000 == letters


def test_facts_failures_and_files_are_read(visit: Visit) -> None:
    """Of programs that name them in different ways; what is none of these is left alone."""
    page = visit()
    openai = {"model": "m", "usage": {"prompt_tokens": 1200, "completion_tokens": 3}, "latency_ms": 2000}
    anthropic = {"model": "c", "usage": {"input_tokens": 5, "output_tokens": 6}, "cost": 0.5}
    files = [
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,eHg="}},
        {"type": "input_audio", "input_audio": {"format": "wav", "data": "eHg="}},
        {"type": "image_url", "image_url": {"url": "https://example.org/x/y%20z.png?a=b"}},
        {
            "type": "document",
            "title": "Notes",
            "source": {"type": "base64", "media_type": "text/plain", "data": "eHg="},
        },
        {"type": "custom", "name": "no file"},
    ]
    failed = ['{"error": "no"}', "Error: no such file", "Traceback (most recent call last):\n", '{"exit_code": 1}']
    good = ['{"error": null}', "Errors were found in 0 files", '{"exit_code": 0}', "The error rate is 2 %", ""]
    messages: list[dict[str, Any]] = [
        {"metadata": openai, "content": ""},
        {"metadata": anthropic, "content": None},
        {"metadata": {"is_error": True}, "content": "x"},
        {"content": files},
        *({"content": text} for text in (*failed, *good)),
    ]
    read = page.evaluate(READ, [edition_of(page), messages])
    assert ["m 1,200 + 3 tokens 2 s", "c 5 + 6 tokens $0.50"] == [one[0] for one in read[:2]]
    assert [True] * 5 + [False] * 5 == [read[2][1], *(one[1] for one in read[4:])]
    assert [
        "file a.pdf application/pdf",
        "audio  audio/wav",
        "picture y z.png ",
        "file Notes text/plain",
        None,
    ] == read[3][2]


def test_link_put_into_the_open_page_signs_in(server: Server, browser: Browser) -> None:
    """The address of the open page changes behind its # only, and so does that of a page where one is signed in."""
    store(server, "page:pasted", [said(1, "Signed in by a pasted link")])
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(server.url)
        expect(page.get_by_label("Token")).to_be_visible()
        services_of(server.app).code = code = SignInCode()
        page.goto(f"{server.url}/#code={code.unspent}")
        expect(page.locator(".row").first).to_be_visible()
        assert "code" not in page.url
        page.goto(f"{server.url}/#code=wrong")
        expect(page.locator(".row").first).to_be_visible()


def test_select_ranges_and_change_them_together(server: Server, visit: Visit) -> None:
    """Shift selects all up to here; tags and pins are set for all; Escape ends the selection before anything else."""
    for number in range(1, 5):
        store(server, f"page:range-{number}", [said(number, f"Range {number}")], channel="range")
    server.sessions.revise("page:range-2", Revision(tags=("old", "two")))
    server.sessions.revise("page:range-3", Revision(tags=("old",)))
    page = visit()
    page.get_by_label("Channel").select_option("range")
    page.get_by_role("checkbox", name="Select Range 3").check()
    page.get_by_role("checkbox", name="Select Range 2").click(modifiers=["Shift"])
    bar = page.get_by_role("toolbar", name="Selected sessions")
    expect(bar.get_by_text("2 selected")).to_be_visible()
    bar.get_by_role("button", name="Tags").click()
    expect(page.locator("dialog .chip")).to_have_text(["old"])
    page.get_by_role("button", name="Remove the tag old").click()
    page.keyboard.type("new tag")
    page.keyboard.press("Enter")
    assert until(lambda: server.sessions.get("page:range-2").header.tags == ("two", "new tag"))
    assert until(lambda: server.sessions.get("page:range-3").header.tags == ("new tag",))
    bar.get_by_role("button", name="All", exact=True).click()
    expect(bar.get_by_text("4 selected")).to_be_visible()
    bar.get_by_role("button", name="Pin").click()
    assert until(lambda: all(server.sessions.get(f"page:range-{nth}").header.pinned for nth in range(1, 5)))
    bar.get_by_role("button", name="Unpin").click()
    assert until(lambda: not any(server.sessions.get(f"page:range-{nth}").header.pinned for nth in range(1, 5)))
    page.locator(".row").get_by_role("link", name="Range 4").click()
    expect(page.locator(".message")).to_have_count(1)
    page.keyboard.press("f")
    expect(page.get_by_role("search")).to_be_visible()
    for closed in (page.get_by_role("search"), bar):
        page.keyboard.press("Escape")
        expect(closed).to_have_count(0)
        assert page.url.endswith(link("page:range-4"))
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def test_undo_of_archiving_leaves_what_was_archived_before(server: Server, visit: Visit) -> None:
    """Of sessions that are selected together only those come back to the list that were in it."""
    for name in ("before", "now"):
        store(server, f"page:archive-{name}", [said(1, f"Archive {name}")], channel="archive")
    server.sessions.revise("page:archive-before", Revision(archived=True))
    page = visit()
    page.get_by_label("Channel").select_option("archive")
    page.get_by_label("State").select_option("all")
    for name in ("before", "now"):
        page.get_by_role("checkbox", name=f"Select Archive {name}").check()
    page.get_by_role("toolbar").get_by_role("button", name="Archive").click()
    expect(page.get_by_text("Archived: Archive now")).to_be_visible()
    assert server.sessions.get("page:archive-now").header.archived
    page.get_by_role("button", name="Undo").click()
    assert until(lambda: not server.sessions.get("page:archive-now").header.archived)
    settle(page)
    assert server.sessions.get("page:archive-before").header.archived


def test_deleted_session_is_selected_no_more(server: Server, visit: Visit) -> None:
    """What waits for its deletion is out of sight, and so out of the selection."""
    for number in (1, 2):
        store(server, f"page:chosen-{number}", [said(number, f"Chosen {number}")], channel="chosen")
    page = visit()
    page.clock.install()
    page.get_by_label("Channel").select_option("chosen")
    for number in (1, 2):
        page.get_by_role("checkbox", name=f"Select Chosen {number}").check()
    page.locator("[data-key='page:chosen-1']").get_by_role("link").focus()
    page.keyboard.press("Delete")
    expect(page.get_by_role("toolbar").get_by_text("1 selected")).to_be_visible()
    page.keyboard.press("Control+z")
    expect(page.locator(".row")).to_have_count(2)


def test_undo_is_one_notice_and_a_key(server: Server, visit: Visit) -> None:
    """Of several things that can be undone the last is shown; undone, the one before is; a session is open again."""
    at = newest()
    for number in (1, 2):
        store(server, f"page:undo-{number}", [said(at + number, f"Undo {number}")])
    page = visit(link("page:undo-2"))
    page.clock.install()
    page.locator("[data-key='page:undo-1']").get_by_role("link").focus()
    page.keyboard.press("Delete")
    page.locator(".scroll").focus()
    page.keyboard.press("Delete")
    expect(page.get_by_role("button", name="Undo")).to_have_count(1)
    expect(page.get_by_text("Deleted: Undo 2")).to_be_visible()
    page.keyboard.press("Control+z")
    expect(page.get_by_role("heading", level=1)).to_have_text("Undo 2")
    expect(page.get_by_text("Deleted: Undo 1")).to_be_visible()
    page.keyboard.press("Control+z")
    expect(page.locator(".notice")).to_have_count(0)
    assert {"Undo 1", "Undo 2"} <= {*rows(page)}


def test_import_says_what_came_of_each_file(server: Server, visit: Visit, seen: Seen, tmp_path: Path) -> None:
    """Files that are dropped are imported, and the report counts; one that is no export is told, and costs no other."""
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.json"
    message = {"role": "user", "content": "Imported", "id": "m1", "timestamp": "2024-01-01T00:00:00Z"}
    good.write_text(json.dumps({"key": "page:imported", "messages": [message]}), "utf-8")
    bad.write_text("{", "utf-8")
    page = visit()
    page.evaluate(
        """() => dispatchEvent(new DragEvent("dragenter", { dataTransfer: (() => {
            const files = new DataTransfer();
            files.items.add(new File(["x"], "x.json"));
            return files;
        })() }))"""
    )
    expect(page.get_by_text("Drop files to import them")).to_be_visible()
    page.locator("input[type=file]").first.set_input_files([bad, good])
    report = page.get_by_role("dialog", name="Import")
    expect(report.get_by_text("2 files read")).to_be_visible()
    expect(report.locator("li", has_text="bad.json").get_by_role("alert")).to_be_visible()
    expect(report.locator("li", has_text="good.jsonl")).to_contain_text("1 new session, 0 extended, 1 message added")
    assert "Imported" == server.sessions.read("page:imported").messages[0].content
    seen.complaints.clear()  # the browser's own words about the refusal


def test_import_takes_what_is_dropped_on_its_report(server: Server, visit: Visit, seen: Seen) -> None:
    """Files that come while a report is open are imported as well; one that is refused says why, and what reads it."""
    page = visit()
    report = page.get_by_role("dialog", name="Import")
    for name, place in (("first", "body"), ("second", "dialog")):
        message = {"role": "user", "content": name, "id": name, "timestamp": "2024-01-01T00:00:00Z"}
        text = json.dumps({"key": f"page:dropped-{name}", "messages": [message]})
        page.evaluate(DROP, [f"{name}.jsonl", text, place])
        expect(report.locator("li", has_text=f"{name}.jsonl")).to_contain_text("1 message added")
        assert name == server.sessions.read(f"page:dropped-{name}").messages[0].content
    page.evaluate(DROP, ["other.json", '[{"mapping": {}}]', "dialog"])
    expect(report.get_by_text("It has no `messages`.")).to_be_visible()
    expect(report.get_by_text("`chatkeep import` reads those of other programs")).to_be_visible()
    seen.complaints.clear()  # the browser's own words about the refusal


def test_counts_follow_what_the_reader_changes(visit: Visit) -> None:
    """The overview counts what was imported, and filters offer its channel, its tags, and a tag just given."""
    page = visit()
    figure = page.locator(".figures dd").first
    expect(figure).not_to_have_text("…")
    before = int(figure.inner_text().replace(",", ""))
    page.get_by_role("button", name="More filters").click()
    tags = page.get_by_label("Tag", exact=True).locator("option")
    expect(page.locator(".ranks").first).to_be_visible()
    message = {"role": "user", "content": "Counted", "id": "m1", "timestamp": "2024-01-01T00:00:00Z"}
    session = {"key": "page:counted", "channel": "counted", "tags": ["brought"], "messages": [message]}
    page.evaluate(DROP, ["counted.jsonl", json.dumps(session), "body"])
    expect(figure).to_have_text(f"{before + 1:,}")
    expect(page.get_by_label("Channel").locator("option", has_text="counted")).to_have_count(1)
    expect(tags.get_by_text("brought", exact=True)).to_have_count(1)
    page.get_by_role("button", name="Close", exact=True).click()
    page.locator("[data-key='page:counted']").get_by_role("link").focus()
    page.keyboard.press("t")
    page.get_by_role("combobox", name="Tags").fill("given")
    page.keyboard.press("Enter")
    expect(tags.get_by_text("given", exact=True)).to_have_count(1)


def test_server_away_is_a_quiet_sign(server: Server, visit: Visit, seen: Seen) -> None:
    """While nobody answers a line says so; it goes when the server is back, and what failed meanwhile is read."""
    store(server, "page:away", [said(1, "Read when it is back")])
    page = visit()
    sign = page.get_by_text("The server is away.")
    page.route("**/api/v1/*", lambda route: route.abort())
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # the feed is followed anew
    expect(sign).to_be_visible()
    page.evaluate("(hash) => { location.hash = hash; }", link("page:away"))
    expect(page.get_by_role("alert")).to_contain_text("does not answer")
    page.unroute("**/api/v1/*")
    expect(sign).to_have_count(0)
    expect(page.locator("#m1")).to_contain_text("Read when it is back")
    settle(page)
    seen.complaints.clear()  # the browser's own words about the requests that failed


def test_saved_page_has_all_and_runs_nothing(server: Server, visit: Visit, browser: Browser) -> None:
    """A session saved as a web page shows its messages without a server, and text in it stays text."""
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    drafts = [
        said(1, "<script>pwned(1)</script> **bold** </style><img src=x onerror=pwned(2)>"),
        Draft(role="assistant", content=None, tool_calls=[call]),
        Draft(role="tool", content="Error: <b>no</b>", tool_call_id="c1"),
    ]
    store(server, "page:saved", drafts)
    server.sessions.revise("page:saved", Revision(title="A <b>title</b> / 東京"))
    page = visit(link("page:saved"))
    page.locator(".thread-head").get_by_role("button", name="Actions").click()
    with page.expect_download() as started:
        page.get_by_role("menuitem", name="Save as a web page").click()
    assert "A-b-title-b-東京.html" == started.value.suggested_filename
    saved = Path(started.value.path()).read_text("utf-8")
    ran: list[str] = []
    with browser.new_context() as context:
        context.expose_binding("pwned", lambda _, what: ran.append(str(what)))
        alone = context.new_page()
        alone.on("request", lambda request: ran.append(request.url))
        alone.set_content(saved)
        expect(alone.get_by_role("heading", level=1)).to_have_text("A <b>title</b> / 東京")
        expect(alone.locator("#m1 strong")).to_have_text("bold")
        expect(alone.get_by_text("<script>pwned(1)</script>")).to_be_visible()
        alone.locator("summary", has_text="look").click()
        expect(alone.locator(".step.failed pre").last).to_have_text("Error: <b>no</b>")
        assert [] == [what for what in ran if not what.startswith("data:")]


def test_theme_and_language_are_kept(visit: Visit) -> None:
    """German for whom the browser says so; a choice holds after a reload, for the theme too."""
    page = visit("#/overview", locale="de-DE", color_scheme="light")
    expect(page.get_by_role("heading", name="Überblick")).to_be_visible()
    assert "de" == page.locator("html").get_attribute("lang")
    page.keyboard.press(",")
    page.get_by_label("Farben").select_option("dark")
    page.get_by_label("Sprache").select_option("en")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    assert "rgb(23, 22, 20)" == page.evaluate("getComputedStyle(document.body).backgroundColor")
