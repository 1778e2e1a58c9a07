"""What people do with the page, done in a real browser."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from chatkeep.access.page_sessions import SignInCode
from chatkeep.core.model import Draft, Revision
from chatkeep.errors import NotFoundError
from chatkeep.http.routes import page as served
from chatkeep.http.services import services_of
from tests.http.conftest import Server, serving
from tests.page.conftest import DRAWN, PACKAGES, Seen, Visit, called, newest, said, store, until, visiting

TOPMOST = "[...document.querySelectorAll('.message')].find((m) => m.getBoundingClientRect().bottom > 200).dataset.seq"
DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.fixture(autouse=True)
def _quiet(seen: Seen) -> object:
    """After each test: nothing was asked of others, nothing ran that should not, nothing failed."""
    yield
    assert Seen() == seen


def link(key: str, seq: int | None = None) -> str:
    """Return the address of a session, or of a message in it."""
    return f"#/s/{quote(key, safe='')}" + (f"/{seq}" if seq else "")


def rows(page: Page) -> list[str]:
    """Return the titles in the list, from the top."""
    return [row.strip() for row in page.locator(".row .title").all_inner_texts()]


def is_gone(server: Server, key: str) -> bool:
    """Tell whether there is no such session."""
    try:
        server.sessions.get(key)
    except NotFoundError:
        return True
    return False


def test_list_says_that_no_file_can_be_read(browser: Browser, seen: Seen, tmp_path: Path) -> None:
    """A folder with nothing but unreadable files is not shown as an empty one, until a session can be read."""
    folder = tmp_path / "workspace" / "sessions"
    folder.mkdir(parents=True, mode=0o700)
    for name in ("one.json", "two.json"):
        (folder / name).write_text("no session")
    with serving(tmp_path) as server, visiting(browser, server, seen) as visit:
        page = visit()
        expect(page.locator(".nothing")).to_contain_text("No session can be read, but 2 files are here.")
        expect(page.locator(".nothing")).to_contain_text("chatkeep doctor")
        expect(page.get_by_text("No sessions yet.")).to_have_count(0)
        store(server, "page:readable", [said(1, "Readable")])
        expect(page.locator(".row .title")).to_have_text(["Readable"])


def test_sign_in_with_the_link(server: Server, browser: Browser) -> None:
    """The link shows the sessions and leaves no code in the address; used again it says why it opens nothing."""
    services_of(server.app).code = code = SignInCode()
    store(server, "page:link", [said(1, "Signed in by a link")])
    address = f"{server.url}/#code={code.unspent}"
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(address)
        expect(page.locator(".row").first).to_be_visible()
        assert "code" not in page.url
        page.reload()
        expect(page.locator(".row").first).to_be_visible()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("Token")).to_be_visible()
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(address)
        expect(page.get_by_role("alert")).to_contain_text("has been used")


def test_sign_in_with_a_token(server: Server, browser: Browser) -> None:
    """A wrong token is told; the right one shows the sessions, and stays out of the reach of scripts."""
    store(server, "page:token", [said(1, "Signed in by a token")])
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(server.url)
        page.get_by_label("Token").fill("ck_wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("does not know this token")
        page.get_by_label("Token").fill(server.secret)
        page.get_by_role("button", name="Sign in").click()
        expect(page.locator(".row").first).to_be_visible()
        assert page.evaluate("document.cookie + JSON.stringify({...localStorage, ...sessionStorage})") == "{}"


def test_list_follows_what_others_do(server: Server, visit: Visit) -> None:
    """A session that grows comes to the top; one that is renamed or deleted elsewhere is so here."""
    at = newest()
    store(server, "page:live-a", [said(at, "First of two")])
    store(server, "page:live-b", [said(at + 1, "Second of two")])
    page = visit()
    assert ["Second of two", "First of two"] == rows(page)[:2]
    store(server, "page:live-a", [said(at + 2, "and more")])
    expect(page.locator(".row .title").first).to_have_text("First of two")
    server.sessions.rename("page:live-b", "Another name")
    expect(page.locator(".row .title").nth(1)).to_have_text("Another name")
    server.sessions.delete("page:live-b")
    expect(page.locator(".row", has_text="Another name")).to_have_count(0)


def test_open_session_follows_what_is_appended(server: Server, visit: Visit) -> None:
    """Who is at the end stays at the end."""
    store(server, "page:grows", [said(number, f"Line {number}\n\n" * 5) for number in range(30)])
    page = visit(link("page:grows"))
    expect(page.locator("#m30")).to_be_in_viewport()
    store(server, "page:grows", [said(40, "The newest one", "assistant")])
    expect(page.locator(".message").get_by_text("The newest one")).to_be_in_viewport()


def test_rename_in_place(server: Server, visit: Visit, seen: Seen) -> None:
    """In the list and in the head: Enter saves, Escape does not, a refusal keeps the text and says why."""
    at = newest()
    key = "page:rename/ä b"
    store(server, key, [said(at, "Before")])
    page = visit()
    row = page.locator(f'.row[data-key="{key}"]')
    field = page.get_by_role("textbox", name="Title")
    row.get_by_role("link").focus()
    page.keyboard.press("F2")
    expect(field).to_have_value("Before")
    page.keyboard.type("Not this")
    page.keyboard.press("Escape")
    expect(row.locator(".title")).to_have_text("Before")
    expect(row.get_by_role("link")).to_be_focused()
    row.locator(".title").dblclick()
    field.fill("x" * 201)
    page.keyboard.press("Enter")
    expect(row.get_by_role("alert")).to_contain_text("200")
    expect(field).to_have_value("x" * 201)
    assert "Before" == server.sessions.get(key).title
    field.fill("From the list")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("From the list")
    expect(row.locator(".title")).to_have_text("From the list")
    page.locator(".thread-head").get_by_role("button", name="Actions").click()
    page.get_by_role("menuitem", name="Rename").click()
    field.fill("After <b>it</b>")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("After <b>it</b>")
    assert "After <b>it</b>" == server.sessions.get(key).title
    page.get_by_role("button", name="After <b>it</b>", exact=True).click()
    field.fill("")
    page.keyboard.press("Enter")
    expect(row.locator(".title")).to_have_text("Before")
    assert server.sessions.get(key).header.title is None
    seen.complaints.clear()  # the browser's own words about the refusal


def test_focus_while_the_list_moves(server: Server, visit: Visit) -> None:
    """What has the focus in a row keeps it when other sessions pass that row: its link, and the title being renamed."""
    at = newest()
    store(server, "page:passed", [said(at, "Passed")])
    store(server, "page:passes", [said(at + 1, "Passes")])
    page = visit()
    first, row = page.locator(".row").first, page.locator("[data-key='page:passed']")
    link_in_row = row.get_by_role("link")
    title = page.get_by_role("textbox", name="Title")

    def pass_by(number: int) -> None:
        for key in ("page:passed", "page:passes"):
            store(server, key, [said(number, "More")])
            expect(first).to_have_attribute("data-key", key)
            number += 1

    link_in_row.focus()
    pass_by(at + 2)
    expect(link_in_row).to_be_focused()
    row.locator(".title").dblclick()
    pass_by(at + 4)
    expect(title).to_be_focused()
    page.keyboard.type("In place")
    pass_by(at + 6)
    expect(title).to_have_value("In place")
    page.keyboard.press("Enter")
    expect(row.locator(".title")).to_have_text("In place")
    row.locator(".title").dblclick()
    page.get_by_role("main").click(position={"x": 2, "y": 200})
    expect(title).to_have_count(0)


def test_pin_tag_and_archive(server: Server, visit: Visit) -> None:
    """What the menu and the keys do is done on the server; archiving can be undone."""
    key = "page:marks/ä b"
    store(server, key, [said(1, "Marked")])
    page = visit(link(key))
    expect(page.get_by_role("heading", level=1)).to_have_text("Marked")
    page.keyboard.press("p")
    assert until(lambda: server.sessions.get(key).header.pinned)
    page.keyboard.press("t")
    page.get_by_role("combobox", name="Tags").fill("work, 東京,work")
    page.keyboard.press("Enter")
    assert until(lambda: server.sessions.get(key).header.tags == ("work", "東京"))
    server.sessions.revise(key, Revision(tags=("a, b",)))
    expect(page.locator(".row .tag").get_by_text("a, b")).to_have_count(1)
    page.keyboard.press("t")
    page.keyboard.press("Enter")
    page.locator(".thread-head").get_by_role("button", name="Actions").click()
    page.keyboard.press("ArrowDown")
    page.get_by_role("menuitem", name="Archive").click()
    assert until(lambda: server.sessions.get(key).header.archived)
    page.get_by_role("button", name="Undo").click()
    assert until(lambda: not server.sessions.get(key).header.archived)
    assert ("a, b",) == server.sessions.get(key).header.tags
    server.sessions.revise(key, Revision(pinned=False))  # for pinned sessions are the first rows of all tests


def test_delete_waits_and_can_be_undone(server: Server, visit: Visit) -> None:
    """A deletion shows at once and asks the server later; undone, it never does. Who leaves the page meant it."""
    for name in ("one", "two"):
        store(server, f"page:gone-{name}", [said(1, f"Delete {name}")])
    page = visit(link("page:gone-one"))
    page.clock.install()
    page.keyboard.press("Delete")
    page.get_by_role("button", name="Undo").click()
    page.clock.run_for(10_000)
    assert not is_gone(server, "page:gone-one")
    page.goto(f"{server.url}/{link('page:gone-two')}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Delete two")
    page.keyboard.press("Delete")
    expect(page.get_by_text("Deleted: Delete two")).to_be_visible()
    assert not is_gone(server, "page:gone-two")
    page.clock.run_for(7_000)
    assert until(lambda: is_gone(server, "page:gone-two"))
    page.goto(f"{server.url}/{link('page:gone-one')}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Delete one")
    page.keyboard.press("Delete")
    expect(page.get_by_text("Deleted: Delete one")).to_be_visible()
    page.goto("about:blank")
    assert until(lambda: is_gone(server, "page:gone-one"))


def test_several_at_once(server: Server, visit: Visit) -> None:
    """Selected sessions are saved as one file of lines, and archived together."""
    at = newest()
    for number in (1, 2):
        store(server, f"page:many-{number}", [said(at + number, f"Many {number}")], channel="many")
    page = visit()
    page.get_by_label("Channel").select_option("many")
    expect(page.locator(".row")).to_have_count(2)
    for number in (1, 2):
        page.get_by_role("checkbox", name=f"Select Many {number}").check()
    with page.expect_download() as started:
        page.get_by_role("toolbar").get_by_role("button", name="Save").click()
    assert 2 == Path(started.value.path()).read_text("utf-8").count('"key":')
    page.get_by_role("toolbar").get_by_role("button", name="Archive").click()
    expect(page.get_by_text("No session matches")).to_be_visible()
    page.get_by_label("State").select_option("archived")
    expect(page.locator(".row")).to_have_count(2)


def test_keys_act_where_the_focus_is(server: Server, visit: Visit) -> None:
    """They scroll a session that was opened, and change the one that has the focus in the list, else the open one."""
    at = newest()
    store(server, "page:focus-a", [said(at + 2, "Focus a")])
    store(server, "page:focus-b", [said(at + 1 - number, f"Focus b {number}") for number in range(30, 0, -1)])
    page = visit()
    page.locator(".row").get_by_role("link", name="Focus b").press("Enter")
    expect(page.locator("#m30")).to_be_in_viewport()
    page.keyboard.press("Home")
    expect(page.locator("#m1")).to_be_in_viewport()
    page.locator(".row").get_by_role("link", name="Focus a").focus()
    page.keyboard.press("p")
    assert until(lambda: server.sessions.get("page:focus-a").header.pinned)
    page.get_by_role("checkbox", name="Select Focus a").check()
    page.keyboard.press("e")
    assert until(lambda: server.sessions.get("page:focus-a").header.archived)
    assert not server.sessions.get("page:focus-b").header.pinned
    server.sessions.revise("page:focus-a", Revision(pinned=False))
    page.goto(f"{server.url}/#/no-such-place")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def test_what_is_not_read_yet_counts(server: Server, visit: Visit, seen: Seen) -> None:
    """Where reading on failed it is told and can be tried again; the count is right though a row was never seen."""
    for number in range(52):
        store(server, f"page:deep-{number}", [said(number, f"Deep {number}")], channel="deep")
    page = visit()
    page.route("**/api/sessions?*limit=500*", lambda route: route.fulfill(status=429, json={"detail": "Slow down."}))
    page.get_by_label("Channel").select_option("deep")
    expect(page.get_by_role("alert")).to_contain_text("Slow down.")
    expect(page.locator(".filters .count")).to_have_text("52 sessions")
    server.sessions.delete("page:deep-0")
    expect(page.locator(".filters .count")).to_have_text("51 sessions")
    page.unroute("**/api/sessions?*limit=500*")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("alert")).to_have_count(0)
    page.locator(".rows").evaluate("(box) => { box.scrollTop = box.scrollHeight; }")
    expect(page.locator(".row .title").last).to_have_text("Deep 1")
    seen.complaints.clear()  # the browser's own words about the refusal


def test_filters(server: Server, visit: Visit) -> None:
    """By channel, tag, pin and days of the reader's zone; what comes to match shows at once, with its count."""
    for number, name in enumerate(("early", "middle", "late")):
        store(server, f"page:sift-{name}", [said((number - 2) * 24 * 60, f"Sift {name}")], channel="sift")
    server.sessions.revise("page:sift-early", Revision(tags=("gold", "x"), pinned=True))
    server.sessions.revise("page:sift-middle", Revision(tags=("gold",)))
    page = visit(timezone_id="Pacific/Auckland")
    page.get_by_label("Channel").select_option("sift")
    expect(page.locator(".row .title")).to_have_text(["Sift early", "Sift late", "Sift middle"])
    page.get_by_role("button", name="More filters").click()
    page.get_by_label("Tag").select_option("gold")
    expect(page.locator(".row .title")).to_have_text(["Sift early", "Sift middle"])
    page.get_by_label("State").select_option("pinned")
    expect(page.locator(".row .title")).to_have_text(["Sift early"])
    server.sessions.revise("page:sift-middle", Revision(pinned=True))
    expect(page.locator(".row .title")).to_have_text(["Sift middle", "Sift early"])
    page.get_by_label("Until").fill("2024-02-29")
    expect(page.locator(".row .title")).to_have_text(["Sift early"])
    page.get_by_role("button", name="Clear filters").click()
    page.get_by_label("Channel").select_option("sift")
    page.get_by_label("From").fill("2024-03-01")
    expect(page.locator(".row .title")).to_have_text(["Sift middle", "Sift late"])
    expect(page.locator(".filters .count")).to_have_text("2 sessions")
    page.get_by_label("From").fill("2024-03-02")
    expect(page.locator(".row .title")).to_have_text(["Sift late"])
    page.get_by_label("From").fill("2024-03-03")
    page.get_by_role("button", name="Clear filters").last.click()
    expect(page.locator(".row", has_text="Sift early")).to_be_visible()
    for name in ("early", "middle"):
        server.sessions.revise(f"page:sift-{name}", Revision(pinned=False))


def test_overview_counts(server: Server, visit: Visit) -> None:
    """The figures are those of the server, over time too; a large session is a link."""
    store(server, "page:largest", [said(number, "word " * 2000) for number in range(200)])
    with server.client() as client:
        stats = client.get("/api/v1/stats").json()
    page = visit()
    figures = page.locator(".figures dd")
    expect(figures.nth(0)).to_have_text(f"{stats['session_count']:,}")
    expect(figures.nth(1)).to_have_text(f"{stats['message_count']:,}")
    for title, of in (("New sessions by month", "session_count"), ("Messages by month", "message_count")):
        plot = page.locator("section", has=page.get_by_role("heading", name=title))
        plot.get_by_text("Figures").click()
        march = next(period for period in stats["periods"] if period["start"] == "2024-03-01")
        expect(plot.get_by_role("row", name="March 2024").get_by_role("cell")).to_have_text(f"{march[of]:,}")
    for one in stats["channels"][:3]:
        expect(page.locator(".ranks").first.get_by_role("row", name=one["channel"]).first).to_contain_text(
            f"{one['message_count']:,}"
        )
    page.locator(".ranks").last.get_by_role("link").first.click()
    assert page.url.endswith(link(stats["largest"][0]["key"]))


def test_search_as_you_type_opens_the_message(server: Server, visit: Visit) -> None:
    """Results come while one types, hits are marked exactly; Enter opens the very message, marked."""
    drafts = [said(number, f"Filler {number}") for number in range(1, 300)]
    drafts[149] = said(150, "😀😀 the quokkas of Rottnest 😀")
    store(server, "page:found", drafts)
    page = visit()
    page.keyboard.press("/")
    page.keyboard.type("rottnest quokka")
    expect(page.locator(".hit")).to_have_count(1)
    expect(page.locator(".hit mark")).to_have_text(["quokkas", "Rottnest"])
    page.keyboard.press("Enter")
    expect(page.locator(".message.marked")).to_contain_text("quokkas")
    expect(page.locator(".message.marked")).to_be_in_viewport()
    assert page.url.endswith(link("page:found", 150))
    expect(page.locator("#m149")).to_be_in_viewport()


def test_what_was_found_is_unfolded(server: Server, visit: Visit) -> None:
    """A hit far down in a long message is there to be read, and so is one in the result of a call."""
    long = "\n\n".join(f"Line {number}" for number in range(80)) + " bandicoot"
    store(server, "page:unfold", [said(1, long), *called("look_up", {}, "the potoroo")])
    page = visit(link("page:unfold"))
    for word, role in (("bandicoot", "any"), ("potoroo", "any")):
        expect(page.get_by_text(word)).to_have_count(0)
        page.keyboard.press("/")
        page.get_by_label("Who said it").select_option(role)
        page.get_by_role("combobox", name="Search all messages").fill(word)
        expect(page.locator(".hit mark")).to_have_text(word)
        page.keyboard.press("Enter")
        expect(page.locator(".message.marked").get_by_text(word)).to_be_visible()


def test_words_in_a_long_message_are_in_sight(server: Server, visit: Visit) -> None:
    """Who comes to a message longer than the screen for a word of it sees the word, by a search and by finding."""
    long = "\n\n".join(f"Line {number}" for number in range(300))
    store(server, "page:long", [said(1, f"{long} the bilby {long} and the quoll {long}")])
    page = visit()
    in_sight = """() => {
      const [range] = CSS.highlights.get("found") ?? [];
      const box = document.querySelector(".scroll")?.getBoundingClientRect();
      const place = range?.getBoundingClientRect();
      return place?.top >= box?.top && place.bottom <= box.bottom ? `${range}` : null;
    }"""
    page.keyboard.press("/")
    page.keyboard.type("bilby")
    expect(page.locator(".hit mark")).to_have_text("bilby")
    page.keyboard.press("Enter")
    assert until(lambda: page.evaluate(in_sight) == "bilby")
    page.keyboard.press("f")
    page.keyboard.type("quoll")
    assert until(lambda: page.evaluate(in_sight) == "quoll")


def test_search_says_what_it_did(server: Server, visit: Visit) -> None:
    """Arrows choose, no hit is told, and Escape leads back."""
    for number in (1, 2):
        store(server, f"page:arrow-{number}", [said(number, f"wombat number {number}")])
    page = visit()
    page.keyboard.press("Control+k")
    page.keyboard.type("wombat")
    expect(page.locator(".hit")).to_have_count(2)
    page.keyboard.press("ArrowDown")
    expect(page.locator(".hit").nth(1)).to_have_attribute("aria-selected", "true")
    page.get_by_role("combobox", name="Search all messages").fill("nosuchwordanywhere")
    expect(page.get_by_text("Nothing found.")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("combobox", name="Search all messages")).to_have_count(0)


def test_search_goes_on_page_by_page(server: Server, visit: Visit) -> None:
    """A search has further pages, by button and by arrow; each session comes once."""
    for number in range(70):
        store(server, f"page:many-{number}", [said(number, f"numbat {number}")])
    page = visit()
    page.keyboard.press("/")
    page.keyboard.type("numbat")
    expect(page.locator(".hit")).to_have_count(30)
    expect(page.get_by_text("The best 30 sessions")).to_be_visible()
    page.get_by_role("button", name="More results").click()
    expect(page.locator(".hit")).to_have_count(60)
    page.get_by_role("combobox", name="Search all messages").focus()
    for _ in range(60):
        page.keyboard.press("ArrowDown")
    expect(page.locator(".hit")).to_have_count(70)
    expect(page.get_by_role("button", name="More results")).to_have_count(0)
    expect(page.get_by_text("70 sessions", exact=True)).to_be_visible()
    assert 70 == len(set(page.locator(".hit .excerpt").all_inner_texts()))


def test_search_leads_to_where_there_are_hits(server: Server, visit: Visit) -> None:
    """A search without hits says where there would be some, and leads there; a title that was found is marked."""
    store(server, "page:inside", [said(1, "Look it up"), *called("look_up", {}, "one dibbler")])
    store(server, "page:named", [said(2, "Something else")])
    server.sessions.revise("page:named", Revision(title="On the mulgara"))
    page = visit()
    page.keyboard.press("/")
    page.keyboard.type("dibbler")
    page.get_by_role("button", name="1 from Tool").click()
    expect(page.locator(".hit mark")).to_have_text("dibbler")
    expect(page.get_by_label("Who said it")).to_have_value("tool")
    page.get_by_label("Who said it").select_option("")
    page.get_by_role("combobox", name="Search all messages").fill("mulgara")
    expect(page.locator(".hit .title mark")).to_have_text("mulgara")
    expect(page.locator(".hit .facts")).to_contain_text("found by title")


def test_long_session_is_read_by_windows(server: Server, visit: Visit) -> None:
    """It opens at its end with few elements; scrolling up reads what is older, in order, without a gap or a jump."""
    store(
        server,
        "page:windows",
        [said(number, f"Message {number} " + "word " * (number % 90)) for number in range(1, 601)],
    )
    page = visit(link("page:windows"))
    expect(page.locator("#m600")).to_be_in_viewport()
    assert page.locator(".message").count() <= 100
    box = page.locator(".scroll")
    box.hover()
    shown = "[...document.querySelectorAll('.message')].map((m) => Number(m.dataset.seq))"

    def scroll_back() -> bool:
        top = page.evaluate(TOPMOST)
        page.mouse.wheel(0, -900)
        page.evaluate(DRAWN)
        now = page.evaluate(TOPMOST)
        assert int(top) - 40 < int(now) <= int(top)
        return bool(page.evaluate(shown)[0] < 460)

    assert until(scroll_back, page)
    seqs = page.evaluate(shown)
    assert list(range(seqs[0], seqs[0] + len(seqs))) == seqs
    assert len(seqs) <= 120
    page.get_by_role("link", name="To the end").click()
    expect(page.locator("#m600")).to_be_in_viewport()
    box.evaluate("(box) => { box.scrollTop = 0; }")
    expect(page.locator("#m600")).not_to_be_in_viewport()
    page.keyboard.press("G")
    expect(page.locator("#m600")).to_be_in_viewport()


def test_append_while_the_session_is_read(server: Server, visit: Visit) -> None:
    """What is appended after the server has read the messages, and before they are here, is shown all the same."""
    at = newest()
    store(server, "page:late", [said(at, "Early")])
    page = visit()
    expect(page.locator("[data-key='page:late']")).to_be_visible()

    def append_meanwhile(route: Route) -> None:
        answer = route.fetch()
        store(server, "page:late", [said(at + 1, "late")])
        expect(page.locator(".row", has_text="late").get_by_text("2 messages")).to_be_visible()
        route.fulfill(response=answer)

    page.route("**/api/v1/messages?*", append_meanwhile, times=1)
    page.locator("[data-key='page:late']").click()
    expect(page.locator("#m2")).to_have_text(re.compile("late"))


def test_find_within_a_session(server: Server, visit: Visit) -> None:
    """Hits of this session alone, from the newest to older ones; a day can be jumped to."""
    store(
        server,
        "page:find",
        [said(number * 60, f"note {'numbat' if number % 50 == 7 else 'x'} {number}") for number in range(200)],
    )
    store(server, "page:find-other", [said(20_000 + number, "numbat elsewhere") for number in range(220)])
    page = visit(link("page:find"), timezone_id="UTC")
    expect(page.locator("#m200")).to_be_in_viewport()
    page.keyboard.press("f")
    page.keyboard.type("numbat")
    expect(page.get_by_text("1 of 4")).to_be_visible()
    expect(page.locator(".message.marked")).to_contain_text("numbat 157")
    page.keyboard.press("Enter")
    expect(page.locator(".message.marked")).to_contain_text("numbat 107")
    assert until(lambda: page.evaluate("CSS.highlights.get('found')?.size > 0"), page)
    page.get_by_label("Jump to a day").fill("2024-03-04")
    expect(page.locator(".message.marked")).to_be_in_viewport()
    expect(page.locator(".message.marked")).to_contain_text("note x 60")
    page.get_by_label("Find in this session").last.press("Escape")
    expect(page.locator(".scroll")).to_be_focused()


def test_messages_are_drawn_as_meant(server: Server, visit: Visit) -> None:
    """Markdown, tables and code are; raw HTML is text; calls hold their results; long ones are folded."""
    markdown = (
        "# Head\n\n**bold** <u>raw</u>\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\nprint('hi')\n```\n\n- [x] done"
    )
    picture = f"data:image/png;base64,{DOT}"
    parts = Draft(
        role="user",
        content=[
            {"type": "text", "text": "שלום עולם"},
            {"type": "image_url", "image_url": {"url": picture}},
            {"type": "image_url", "image_url": {"url": "http://elsewhere.example/x.png"}},
        ],
    )
    long = "\n\n".join(f"Paragraph {number}" for number in range(500))
    store(
        server,
        "page:drawn",
        [said(1, markdown, "assistant"), parts, *called("look_up", {"q": 1}, '{"a": [1]}'), said(5, long)],
    )
    page = visit(link("page:drawn", 1))
    first = page.locator("#m1")
    expect(first.locator("strong")).to_have_text("bold")
    expect(first.get_by_text("<u>raw</u>")).to_be_visible()
    expect(first.locator("td")).to_have_text(["1", "2"])
    expect(first.locator(".hljs-string")).to_have_text("'hi'")
    expect(first.get_by_text("☑ done")).to_be_visible()
    expect(page.locator("#m2 img")).to_have_count(1)
    assert "rtl" == page.locator("#m2 p").evaluate("(element) => getComputedStyle(element).direction")
    step = page.locator("#m3 details")
    expect(page.locator("#m4")).to_have_count(0)
    step.locator("summary").click()
    expect(step.locator("pre").nth(1)).to_have_text('{\n  "a": [\n    1\n  ]\n}')
    expect(page.get_by_text("Paragraph 499")).to_have_count(0)
    page.get_by_role("button", name="Show the rest").click()
    expect(page.get_by_text("Paragraph 499")).to_be_visible()


def test_results_stand_with_their_own_calls(server: Server, visit: Visit) -> None:
    """Ids of calls that are used again in every turn mix up no results; one that no call asked for stands alone."""
    turns = [draft for number in range(3) for draft in called("again", {"q": number}, f"Result {number}")]
    store(server, "page:ids", [*turns, turns[-1]])
    page = visit(link("page:ids"))
    for number, seq in enumerate((1, 3, 5)):
        page.locator(f"#m{seq} summary").click()
        expect(page.locator(f"#m{seq} pre").nth(1)).to_have_text(f"Result {number}")
    expect(page.locator(".message")).to_have_count(4)
    expect(page.locator("#m7 summary")).to_contain_text("Result 2")


def test_copy_button_copies_the_code(server: Server, visit: Visit) -> None:
    """What lands in the clipboard is the code as it was written."""
    store(server, "page:copy", [said(1, "```\nx = '<b>'\n\ty\n```", "assistant")])
    page = visit(link("page:copy"), permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy", exact=True).click()
    expect(page.get_by_text("Copied the code")).to_be_visible()
    assert "x = '<b>'\n\ty\n" == page.evaluate("navigator.clipboard.readText()")


def test_phone_shows_one_pane(server: Server, visit: Visit) -> None:
    """The list, then the session, then back; nothing is wider than the screen."""
    at = newest()
    store(server, "page:phone", [said(at, "On a phone " + "x" * 300)])
    page = visit(viewport={"width": 360, "height": 700}, has_touch=True)
    page.locator(".row").first.click()
    expect(page.locator(".message").first).to_be_visible()
    expect(page.locator(".row")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.get_by_role("link", name="Back to the list").click()
    expect(page.locator(".row").first).to_be_visible()


def test_what_is_missing_is_told(server: Server, visit: Visit, seen: Seen) -> None:
    """A session that is not there, and a server that went away, are told in words with a way on."""
    at = newest()
    page = visit(link("page:never-was"))
    expect(page.get_by_role("alert")).to_contain_text("no session with this key")
    store(server, "page:down", [said(at + 1, "Still here")])
    expect(page.locator(".row", has_text="Still here")).to_be_visible()  # later news would read it again
    page.route("**/api/v1/messages*", lambda route: route.abort())
    page.goto(f"{server.url}/{link('page:down')}")
    expect(page.get_by_role("alert")).to_contain_text("does not answer")
    page.unroute("**/api/v1/messages*")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#m1")).to_contain_text("Still here")
    page.route("**/api/v1/messages*", lambda route: route.fulfill(status=429, json={"detail": "Slow down."}))
    store(server, "page:down", [said(at + 2, "More")])
    expect(page.get_by_role("alert")).to_contain_text("Slow down.")
    expect(page.locator("#m1")).to_contain_text("Still here")
    page.unroute("**/api/v1/messages*")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#m2")).to_contain_text("More")
    page.get_by_role("checkbox", name="Select Still here").check()
    server.sessions.delete("page:down")
    expect(page.get_by_role("alert")).to_contain_text("no session with this key")
    expect(page.get_by_role("toolbar")).to_have_count(0)
    seen.complaints.clear()  # the browser's own words about both


def test_chat_without_a_model_says_how(visit: Visit) -> None:
    """Where no model is configured it is told how to, without a failing request; a session has no place to write in."""
    page = visit("#/new")
    expect(page.get_by_text("No model is configured")).to_be_visible()
    expect(page.get_by_label("Message", exact=True)).to_have_count(0)


def test_vendored_files_are_as_in_the_packages() -> None:
    """What `npm ci` brings is, byte for byte, what the page loads."""
    if not (PACKAGES / "katex").exists():
        pytest.skip("the packages are not here: make test gets them with npm")
    lines = files("chatkeep.http").joinpath("static", "vendor", "VERSIONS.txt").read_text("utf-8").splitlines()
    found = [line.split("\t") for line in lines if line.count("\t") == 5][1:]
    assert len(found) > 20
    for name, package, version, path, _, _ in found:
        assert (PACKAGES / package / path).read_bytes() == served.edition().files[f"vendor/{name}"].plain
        assert f'"version": "{version}"' in (PACKAGES / package / "package.json").read_text("utf-8")
