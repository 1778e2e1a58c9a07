"""Branches on the page: a question asked again or in other words, forks, and the way between them."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.chat.completions import Answer
from tests.chat.conftest import Chatting
from tests.page.conftest import Visit, said


@pytest.fixture
def visit(talking: Visit) -> Visit:
    """Open the page of a server with a model."""
    return talking


def talk(running: Chatting, key: str) -> str:
    """Store two questions with their answers; return the address of the session."""
    roles = ("user", "assistant", "user", "assistant")
    drafts = [said(number, f"{key} {number}", role=role) for number, role in enumerate(roles, start=1)]
    running.sessions.append(key, drafts)
    return f"#/s/{key}"


def act(page: Page, seq: int, name: str) -> None:
    """Choose an action of a message."""
    page.locator(f"#m{seq}").hover()
    page.get_by_role("button", name=f"{name}, message {seq}").click()


def test_ask_in_other_words(running: Chatting, visit: Visit) -> None:
    """A question in other words is asked in a fork; the session stays as it was, and each leads to the other."""
    page = visit(talk(running, "page:reword"))
    running.upstream.script(Answer("Another answer"))
    act(page, 3, "Ask in other words")
    field = page.get_by_role("textbox", name="Ask in other words")
    expect(field).to_have_value("page:reword 3")
    expect(field).to_be_focused()
    field.fill("Something else")
    field.press("Enter")
    expect(page.locator("#m4")).to_contain_text("Another answer")
    expect(page.locator("#m3")).to_contain_text("Something else")
    expect(page.locator("#m2")).to_contain_text("page:reword 2")
    assert ["page:reword 1", "page:reword 2", "Something else"] == [
        one["content"] for one in running.upstream.seen[-1].body["messages"]
    ]
    assert 4 == running.sessions.get("page:reword").line_count

    at_third = page.locator("#m3").get_by_role("navigation", name="Branches")
    expect(at_third).to_have_text("2 of 2")
    at_third.get_by_role("link", name="Branch before").click()
    expect(page.locator("#m3")).to_contain_text("page:reword 3")
    expect(at_third).to_have_text("1 of 2")


def test_leave_a_question_as_it_was(running: Chatting, visit: Visit) -> None:
    """Escape and Cancel leave the question alone, and nothing was asked."""
    page = visit(talk(running, "page:leave"))
    for way in ("Escape", "Cancel"):
        act(page, 1, "Ask in other words")
        page.get_by_role("textbox", name="Ask in other words").fill("Never asked")
        if way == "Escape":
            page.keyboard.press("Escape")
        else:
            page.get_by_role("button", name="Cancel").click()
        expect(page.locator("#m1 .text")).to_have_text("page:leave 1")
    assert 4 == running.sessions.get("page:leave").line_count
    assert [] == [one for one in running.upstream.seen if one.method == "POST"]


def test_ask_again_and_again(running: Chatting, visit: Visit) -> None:
    """Each answer to the same question is a branch of its own, also if a fork was forked; all lead to all."""
    page = visit(talk(running, "page:again"))
    for nth in (2, 3):
        running.upstream.script(Answer(f"Answer {nth}"))
        act(page, 2, "Ask again")
        expect(page.locator("#m2")).to_contain_text(f"Answer {nth}")
        expect(page.locator("#m1").get_by_role("navigation", name="Branches")).to_have_text(f"{nth} of {nth}")
    for expected in ("2 of 3", "1 of 3"):
        page.locator("#m1").get_by_role("link", name="Branch before").click()
        expect(page.locator("#m1").get_by_role("navigation", name="Branches")).to_have_text(expected)
    expect(page.locator("#m2")).to_contain_text("page:again 2")
    expect(page.locator("#m4")).to_contain_text("page:again 4")


def test_fork_here(running: Chatting, visit: Visit) -> None:
    """A fork has what stood up to a message and opens; it leads back, even before anything was said in it."""
    page = visit(talk(running, "page:fork"))
    act(page, 2, "Fork from here")
    expect(page.locator(".message")).to_have_count(2)
    switch = page.get_by_role("navigation", name="Branches")
    expect(switch).to_have_text("2 of 2")
    switch.get_by_role("link", name="Branch before").click()
    expect(page.locator("#m4")).to_contain_text("page:fork 4")
    expect(page.locator("#m3").get_by_role("navigation", name="Branches")).to_have_text("1 of 2")
