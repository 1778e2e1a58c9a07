"""Chat on the page, with a model's server on a real socket."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, Route, expect

from chatkeep.core.model import Draft
from tests.chat.completions import Answer, broken
from tests.chat.conftest import Chatting
from tests.page.conftest import DRAWN, Seen, Visit, settle, until


@pytest.fixture
def visit(talking: Visit) -> Visit:
    """Open the page of a server with a model."""
    return talking


def say(page: Page, words: str) -> None:
    """Write a message and send it."""
    page.get_by_label("Message", exact=True).fill(words)
    page.keyboard.press("Enter")


def key_of(page: Page) -> str:
    """Return the key of the session that is open."""
    page.wait_for_url("**/#/s/*")
    return page.locator(".thread-head .key").inner_text()


def test_begin_go_on_stop_and_fail(running: Chatting, visit: Visit) -> None:
    """A new session opens while its answer comes; it goes on, can be stopped, and says why a model fails.

    Whatever happens, what was said is stored, and so is what came of an answer.
    """
    upstream = running.upstream
    page = visit("#/new")
    upstream.script(Answer("Hello **you** there", hold_after=2))
    page.get_by_label("Model", exact=True).select_option("large-model")
    say(page, "Hello model")
    key = key_of(page)
    expect(page.locator("#m1")).to_contain_text("Hello model")
    expect(page.locator(".messages").get_by_role("log", name="Answer")).to_contain_text("Hello")
    upstream.release()
    expect(page.locator("#m2 strong")).to_have_text("you")
    expect(page.get_by_role("log", name="Answer")).to_have_count(0)
    assert "large-model" == upstream.seen[-1].body["model"]

    say(page, "Go on")
    expect(page.locator("#m4")).to_contain_text("Go on")
    assert ["user", "assistant", "user"] == [message["role"] for message in upstream.seen[-1].body["messages"]]

    upstream.script(Answer("one two three four", hold_after=2))
    say(page, "Count")
    expect(page.get_by_role("log", name="Answer")).to_contain_text("two")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#m6")).to_contain_text("This answer was cut off.")
    assert ("assistant", "one two ") == running.said(key)[-1]

    upstream.script(broken())
    say(page, "Are you well?")
    expect(page.get_by_role("alert")).to_contain_text("500")
    expect(page.locator("#m7")).to_contain_text("Are you well?")
    say(page, "Still there?")
    expect(page.locator("#m9")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)
    assert ("user", "Are you well?") == running.said(key)[6]


def test_answer_stays_until_it_is_read(running: Chatting, visit: Visit) -> None:
    """An answer that is complete is seen until its message is there, though something else was being read."""
    upstream = running.upstream
    page = visit("#/new")
    upstream.script(Answer("All of it", hold_after=2))
    say(page, "Tell me")
    key = key_of(page)
    expect(page.locator("#m1")).to_be_visible()
    answer = page.get_by_role("log", name="Answer")
    expect(answer).to_contain_text("All")
    shown: list[int] = []

    def hold(route: Route) -> None:
        got = route.fetch()
        upstream.release()
        expect(page.get_by_role("button", name="Send")).to_be_visible()
        page.evaluate(DRAWN)
        shown.append(answer.count())
        route.fulfill(response=got)

    page.route("**/api/v1/messages?*", hold, times=1)
    running.sessions.append(key, [Draft(role="user", content="From elsewhere")])
    expect(page.locator("#m3")).to_be_visible()
    expect(answer).to_have_count(0)
    assert [1] == shown


def test_what_is_not_taken_stays_to_be_sent(running: Chatting, visit: Visit, seen: Seen) -> None:
    """A message that the server did not take is told, and stands in its place again."""
    page = visit("#/new")
    page.route("**/api/v1/chat/stream", lambda route: route.abort())
    say(page, "Hello?")
    expect(page.get_by_role("alert")).to_contain_text("does not answer")
    expect(page.get_by_label("Message", exact=True)).to_have_value("Hello?")
    page.unroute("**/api/v1/chat/stream")
    page.keyboard.press("Enter")
    assert ("user", "Hello?") == running.said(key_of(page))[0]
    expect(page.locator("#m2")).to_be_visible()
    seen.complaints.clear()  # the browser's own words about the request that failed


def told(page: Page) -> None:
    """Remember all that a screen reader is told from now on."""
    page.evaluate(
        """() => {
            window.told = [];
            const note = () => {
                const words = document.querySelector("[aria-label=Progress]").textContent.trim();
                if (words && words !== told.at(-1)) told.push(words);
            };
            new MutationObserver(note).observe(document.body, { subtree: true, childList: true, characterData: true });
        }"""
    )


def test_screen_readers_are_told_when_an_answer_begins_and_ends(running: Chatting, visit: Visit) -> None:
    """Twice a turn and no more: pieces of an answer are not read out. A failure is an alert, a stop is said."""
    upstream = running.upstream
    page = visit("#/new")
    told(page)
    upstream.script(Answer("one two three four five six"))
    say(page, "Count")
    expect(page.locator("#m2")).to_contain_text("six")
    assert until(lambda: page.evaluate("told.length") > 1, page)
    settle(page)
    assert ["The model answers.", "Answer complete."] == page.evaluate("told")
    upstream.script(Answer("one two three", hold_after=2))
    say(page, "Again")
    answer = page.get_by_role("log", name="Answer")
    expect(answer).to_contain_text("two")
    assert "off" == answer.get_attribute("aria-live")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#m4")).to_be_visible()
    assert until(lambda: page.evaluate("told.length") > 3, page)
    settle(page)
    assert ["The model answers.", "Answer stopped."] == page.evaluate("told")[2:]
    upstream.script(broken())
    say(page, "Are you well?")
    expect(page.get_by_role("alert")).to_contain_text("500")
    settle(page)
    assert "Answer complete." not in page.evaluate("told")[4:]


def test_thinking_is_folded_while_it_comes(running: Chatting, visit: Visit) -> None:
    """What a model thinks between tags is never shown as its answer: neither while it comes nor afterwards."""
    upstream = running.upstream
    page = visit("#/new")
    upstream.script(Answer("<think>Let me see. </think>It is four.", hold_after=3))
    say(page, "What is 2 + 2?")
    thinking = page.locator(".growing .thought")
    expect(thinking).to_contain_text("Thinking")
    thinking.locator("summary").click()
    expect(thinking.locator(".text")).to_contain_text("Let me")
    expect(page.get_by_role("log", name="Answer")).to_have_text("")
    upstream.release()
    message = page.locator("#m2")
    expect(message.locator(".thought .name")).to_have_text(re.compile(r"Thought for \d+(\.\d)? s"))
    expect(message.locator(":scope > .text")).to_have_text("It is four.")
    message.locator(".thought summary").click()
    expect(message.locator(".thought .text")).to_have_text("Let me see.")


def test_unsent_text_stays_with_its_session(running: Chatting, visit: Visit) -> None:
    """In another session it is not there, and back in its own it is, also after a reload; sent, it is gone."""
    for name in ("one", "two"):
        running.sessions.append(f"draft:{name}", [Draft(role="user", content=f"Session {name}")])
    page = visit("#/s/draft%3Aone")
    field = page.get_by_label("Message", exact=True)
    field.fill("Not sent yet")
    page.goto(f"{running.url}/#/s/draft%3Atwo")
    expect(page.get_by_role("heading", level=1)).to_have_text("Session two")
    expect(field).to_have_value("")
    page.goto(f"{running.url}/#/s/draft%3Aone")
    page.reload()
    expect(field).to_have_value("Not sent yet")
    field.press("Enter")
    expect(page.locator("#m2")).to_contain_text("Not sent yet")
    page.reload()
    expect(page.locator("#m3 .answer-facts")).to_contain_text("small-model")
    expect(field).to_have_value("")
