"""An answer that comes late, after something else has happened, undoes nothing of that."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from chatkeep.core.model import Revision
from tests.http.conftest import Server
from tests.page.conftest import Seen, Visit, newest, said, settle, store, until
from tests.page.test_flows import link


@pytest.fixture(autouse=True)
def _quiet(seen: Seen) -> object:
    """After each test: nothing was asked of others, nothing ran that should not, nothing failed."""
    yield
    assert Seen() == seen


def held(
    page: Page,
    pattern: str | re.Pattern[str],
    meanwhile: Callable[[], None],
    do: Callable[[], object],
    method: str = "GET",
) -> None:
    """Do something on the page; the answer to its first such request comes after what is done meanwhile."""
    met: list[Route] = []
    released: list[bool] = []

    def hold(route: Route) -> None:
        if met or route.request.method != method:
            route.fallback()
            return
        met.append(route)
        answer = route.fetch()
        meanwhile()
        route.fulfill(response=answer)
        released.append(True)

    page.route(pattern, hold)
    do()
    assert until(lambda: bool(released), page)
    page.unroute(pattern, hold)
    settle(page)


def refuse(page: Page, pattern: str) -> None:
    """Let the server refuse such requests of the page."""
    page.route(pattern, lambda route: route.fulfill(status=429, json={"detail": "Slow down."}))


def many(server: Server, channel: str, count: int) -> None:
    """Store sessions of a channel, which are more than the first page of the list."""
    for number in range(count):
        store(server, f"page:{channel}-{number}", [said(number, f"{channel} {number}")], channel=channel)


def test_enter_while_a_search_is_asked(server: Server, visit: Visit) -> None:
    """Enter opens the best of what was typed, when its answer is there, and never a hit of something typed before."""
    store(server, "page:cassowary", [said(1, "a cassowary")])
    store(server, "page:echidna", [said(1, "an echidna")])
    page = visit()
    page.keyboard.press("/")
    page.keyboard.type("cassowary")
    expect(page.locator(".hit .excerpt mark")).to_have_text("cassowary")
    field = page.get_by_role("combobox", name="Search all messages")
    field.fill("")
    opened: list[str] = []

    def answered() -> None:
        field.press("Enter")
        opened.append(page.url)

    page.keyboard.type("cassowary")
    expect(page.locator(".hit .excerpt mark")).to_have_text("cassowary")
    held(page, re.compile("search.*echidna"), answered, lambda: field.fill("echidna"))
    expect(page.locator(".message.marked")).to_contain_text("echidna")
    assert [page.url] != opened
    assert page.url.endswith(link("page:echidna", 1))


def test_change_while_the_list_is_read(server: Server, visit: Visit) -> None:
    """A list that the server made before something changed does not undo what the feed told meanwhile."""
    at = newest()
    store(server, "page:changed", [said(at, "One")])
    store(server, "page:gone", [said(at + 1, "Three")])
    page = visit()
    changed = page.locator("[data-key='page:changed']")
    gone = page.locator("[data-key='page:gone']")
    expect(gone).to_be_visible()

    def change() -> None:
        store(server, "page:changed", [said(at + 2, "Two")])
        server.sessions.delete("page:gone")
        expect(changed.get_by_text("2 messages")).to_be_visible()
        expect(gone).to_have_count(0)

    held(page, "**/api/sessions?*archived=all*", change, lambda: page.get_by_label("State").select_option("all"))
    expect(changed.get_by_text("2 messages")).to_be_visible()
    expect(gone).to_have_count(0)


def test_deletion_while_the_list_is_read_on(server: Server, visit: Visit) -> None:
    """The count is right though the page of the list, and its count, are from before a deletion."""
    many(server, "onward", 55)
    page = visit()
    count = page.locator(".filters .count")
    gone = page.locator("[data-key='page:onward-54']")

    def delete() -> None:
        expect(gone).to_be_visible()
        server.sessions.delete("page:onward-54")
        expect(gone).to_have_count(0)

    held(page, "**/api/sessions?*limit=500*", delete, lambda: page.get_by_label("Channel").select_option("onward"))
    expect(page.locator(".row").first).to_have_attribute("aria-setsize", "54")
    expect(count).to_have_text("54 sessions")


def test_deletion_while_it_is_counted(server: Server, visit: Visit, seen: Seen) -> None:
    """A count from before a deletion does not last."""
    many(server, "tally", 52)
    page = visit()
    refuse(page, "**/api/sessions?*limit=500*")
    page.get_by_label("Channel").select_option("tally")
    expect(page.get_by_role("alert")).to_contain_text("Slow down.")
    gone = page.locator("[data-key='page:tally-51']")

    def delete() -> None:
        expect(gone).to_be_visible()
        server.sessions.delete("page:tally-51")
        expect(gone).to_have_count(0)

    held(page, re.compile(r"/api/sessions\?.*limit=1$"), delete, lambda: server.sessions.delete("page:tally-0"))
    expect(page.locator(".filters .count")).to_have_text("50 sessions")
    seen.complaints.clear()  # the browser's own words about the refusal


def test_change_of_the_last_row_read(server: Server, visit: Visit, seen: Seen) -> None:
    """The last session that was read stays in the list when it changes in place, though more are to be read."""
    many(server, "brink", 52)
    page = visit()
    refuse(page, "**/api/sessions?*limit=500*")
    page.get_by_label("Channel").select_option("brink")
    expect(page.get_by_role("alert")).to_contain_text("Slow down.")
    page.locator(".rows").evaluate("(box) => { box.scrollTop = box.scrollHeight; }")
    last = page.locator("[data-key='page:brink-2']")
    expect(last).to_be_visible()
    server.sessions.revise("page:brink-2", Revision(title="Still the last"))
    expect(last).to_contain_text("Still the last")
    seen.complaints.clear()  # the browser's own words about the refusal


def test_refusal_after_a_deletion(server: Server, visit: Visit, seen: Seen) -> None:
    """A change that is refused because the session is gone does not bring it back to the list."""
    at = newest()
    store(server, "page:refused", [said(at, "Refused")])
    page = visit()
    row = page.locator("[data-key='page:refused']")

    def delete_and_ask(route: Route) -> None:
        server.sessions.delete("page:refused")
        answer = route.fetch()
        expect(row).to_have_count(0)
        route.fulfill(response=answer)

    page.route("**/api/v1/sessions/page%3Arefused", delete_and_ask, times=1)
    row.get_by_role("link").press("p")
    expect(page.locator(".notice.problem")).to_have_count(1)
    expect(row).to_have_count(0)
    seen.complaints.clear()  # the browser's own words about the refusal


def test_refusal_after_a_change(server: Server, visit: Visit, seen: Seen) -> None:
    """A change that is refused takes back itself alone."""
    at = newest()
    store(server, "page:kept", [said(at, "Kept")])
    page = visit()
    row = page.locator("[data-key='page:kept']")

    def change_and_refuse(route: Route) -> None:
        expect(row.get_by_text("Pinned")).to_have_count(1)
        store(server, "page:kept", [said(at + 1, "More")])
        expect(row.get_by_text("2 messages")).to_be_visible()
        route.fulfill(status=429, json={"detail": "Slow down."})

    page.route("**/api/v1/sessions/page%3Akept", change_and_refuse, times=1)
    row.get_by_role("link").press("p")
    expect(page.get_by_text("Slow down.")).to_be_visible()
    expect(row.get_by_text("Pinned")).to_have_count(0)
    expect(row.get_by_text("2 messages")).to_be_visible()
    seen.complaints.clear()  # the browser's own words about the refusal


def rename(page: Page, key: str, title: str) -> None:
    """Give a session of the list another title."""
    page.locator(f"[data-key='{key}'] .title").dblclick()
    page.get_by_role("textbox", name="Title").fill(title)
    page.keyboard.press("Enter")


def test_deletion_while_a_title_is_saved(server: Server, visit: Visit, seen: Seen) -> None:
    """The answer to a renaming does not bring back a session that was deleted after it."""
    at = newest()
    store(server, "page:named", [said(at, "Named")])
    page = visit()
    row = page.locator("[data-key='page:named']")

    def delete() -> None:
        server.sessions.delete("page:named")
        expect(row).to_have_count(0)

    held(page, "**/api/v1/sessions/page%3Anamed", delete, lambda: rename(page, "page:named", "Mine"), "PATCH")
    expect(row).to_have_count(0)
    seen.complaints.clear()  # the browser's own words about the session that is gone


def test_renaming_while_a_title_is_saved(server: Server, visit: Visit) -> None:
    """The answer to a renaming does not undo a later one from elsewhere."""
    at = newest()
    store(server, "page:renamed", [said(at, "Renamed")])
    store(server, "page:other", [said(at + 1, "Other")])
    page = visit()
    row = page.locator("[data-key='page:renamed']")

    def rename_again() -> None:
        server.sessions.rename("page:renamed", "Theirs")
        page.keyboard.press("Escape")
        expect(row.locator(".title")).to_have_text("Theirs")

    held(page, "**/api/v1/sessions/page%3Arenamed", rename_again, lambda: rename(page, "page:renamed", "Mine"), "PATCH")
    expect(row.locator(".title")).to_have_text("Theirs")


def test_another_session_while_one_is_asked_for(server: Server, visit: Visit) -> None:
    """The head is that of the session that is open, not of one that was opened before and answered later."""
    at = newest()
    for number, name in enumerate(("slow", "quick")):
        store(server, f"page:{name}", [said(at + number, name)])
        server.sessions.revise(f"page:{name}", Revision(archived=True))
    page = visit()
    head = page.get_by_role("heading", level=1)

    def go_on() -> None:
        page.evaluate("(hash) => { location.hash = hash; }", link("page:quick"))
        expect(head).to_have_text("quick")

    slow = "**/api/v1/sessions/page%3Aslow"
    held(page, slow, go_on, lambda: page.evaluate("(hash) => { location.hash = hash; }", link("page:slow")))
    expect(head).to_have_text("quick")


def test_change_while_a_session_is_asked_for(server: Server, visit: Visit) -> None:
    """What the feed tells of a session that is being opened is not undone by an answer from before that."""
    at = newest()
    store(server, "page:asked", [said(at, "Asked")])
    server.sessions.revise("page:asked", Revision(archived=True))
    page = visit()
    head = page.get_by_role("heading", level=1)

    def change() -> None:
        server.sessions.rename("page:asked", "Newer")
        store(server, "page:after", [said(at + 1, "Told after it")])
        expect(page.locator("[data-key='page:after']")).to_be_visible()

    asked = "**/api/v1/sessions/page%3Aasked"
    held(page, asked, change, lambda: page.evaluate("(hash) => { location.hash = hash; }", link("page:asked")))
    expect(head).to_have_text("Newer")


def test_session_begun_anew_while_it_is_open(server: Server, visit: Visit, seen: Seen) -> None:
    """A session that was deleted and has begun anew shows what is in it now, and nothing of what was."""
    at = newest()
    store(server, "page:anew", [said(number, f"Old {number}") for number in range(3)])
    page = visit(link("page:anew"))
    expect(page.locator("#m3")).to_be_visible()
    server.sessions.delete("page:anew")
    expect(page.get_by_role("alert")).to_contain_text("no session with this key")
    store(server, "page:anew", [said(at, "New")])
    expect(page.locator(".message")).to_have_count(1)
    expect(page.locator("#m1")).to_contain_text("New")
    seen.complaints.clear()  # the browser's own words about the session that was gone


def test_another_day_while_one_is_looked_for(server: Server, visit: Visit) -> None:
    """Only the day that was chosen last is jumped to, and none when the reader is elsewhere by then."""
    store(server, "page:days", [said(number * 60, f"Hour {number}") for number in range(100)])
    page = visit(link("page:days"), timezone_id="UTC")
    expect(page.locator("#m100")).to_be_in_viewport()
    page.keyboard.press("f")
    day = page.get_by_label("Jump to a day")

    def choose_another() -> None:
        day.fill("2024-03-04")
        expect(page.locator(".message.marked")).to_contain_text("Hour 60")

    newest = "**/api/v1/messages?session=page%3Adays&limit=1"
    held(page, newest, choose_another, lambda: day.fill("2024-03-02"))
    expect(page.locator(".message.marked")).to_contain_text("Hour 60")
    away = page.get_by_role("link", name="Chatkeep")
    held(page, newest, away.click, lambda: day.fill("2024-03-03"))
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def test_day_that_cannot_be_looked_for(server: Server, visit: Visit, seen: Seen) -> None:
    """A jump that is refused says why."""
    store(server, "page:no-day", [said(0, "One")])
    page = visit(link("page:no-day"))
    expect(page.locator("#m1")).to_be_visible()
    page.keyboard.press("f")
    refuse(page, "**/api/v1/messages?session=page%3Ano-day&limit=1")
    page.get_by_label("Jump to a day").fill("2024-03-02")
    expect(page.locator(".notice.problem")).to_contain_text("Slow down.")
    seen.complaints.clear()  # the browser's own words about the refusal


def test_figures_that_come_late(server: Server, visit: Visit) -> None:
    """Older figures that come after newer ones are left aside."""
    at = newest()
    store(server, "page:figure", [said(at, "Figure")])
    page = visit()
    figure = page.locator(".figures dd").first
    expect(figure).not_to_have_text("…")
    count = int(figure.inner_text().replace(",", ""))

    def come_back() -> None:
        store(server, "page:figure-more", [said(at + 1, "One more")])
        page.get_by_role("link", name="Chatkeep").click()
        expect(figure).to_have_text(f"{count + 1:,}")

    held(page, "**/api/v1/status", come_back, page.locator("[data-key='page:figure'] a").click)
    expect(figure).to_have_text(f"{count + 1:,}")


def test_reset_while_a_session_beside_the_list_is_open(server: Server, visit: Visit) -> None:
    """When the feed has lost its place, what is open is asked about anew, though no list has it."""
    at = newest()
    store(server, "page:beside", [said(at, "Old name")])
    server.sessions.revise("page:beside", Revision(archived=True))
    page = visit()
    events = iter(["ready", "reset"])

    def tell(route: Route) -> None:
        name = next(events, "ready")
        route.fulfill(content_type="text/event-stream", body=f"event: {name}\nid: {name}\ndata: {{}}\n\n")

    page.route("**/api/v1/events", tell)
    page.goto(server.url + "/" + link("page:beside"))
    page.reload()
    expect(page.get_by_role("heading", name="Old name")).to_be_visible()
    server.sessions.revise("page:beside", Revision(title="New name"))
    expect(page.get_by_role("heading", name="New name")).to_be_visible()


def test_change_before_anybody_listens(visit: Visit) -> None:
    """What changes between the first drawing of a part of the page and its listening is drawn."""
    page = visit()
    shown = page.evaluate(
        """async () => {
          const part = (name) => import(document.querySelector(`link[href$="/${name}"]`).href);
          const { html, render, useLayoutEffect } = await part("vendor/preact.js");
          const { Observable } = await part("state/observable.js");
          const { useObserved } = await part("views/hooks.js");
          const state = Object.assign(new Observable(), { count: 0 });
          const Part = () => {
            useObserved(state);
            useLayoutEffect(() => { state.count = 1; state.changed(); }, []);
            return html`<p>${state.count}</p>`;
          };
          const box = document.createElement("div");
          render(html`<${Part} />`, box);
          for (let turn = 0; turn < 100 && box.textContent !== "1"; turn++) {
            await new Promise((done) => setTimeout(done, 20));
          }
          return box.textContent;
        }"""
    )
    assert shown == "1"
