"""How fast the page is, in Chromium: the first list, a search as one types, the end of a long session, scrolling back.

    python bench/page.py WORKSPACE [--rounds 10] [--word WORD]

The workspace must exist, with an index; it is only read. It serves it itself, on a port of its own. Times are those
that a reader sees: from the navigation, the last key, the click, until the browser has painted what was asked for.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from playwright.sync_api import Browser, Page, sync_playwright

from chatkeep.access.tokens import TokenFile
from chatkeep.http.routes import page as served

_CHROMIUM: Final = shutil.which("chromium-headless-shell") or shutil.which("chromium")
PAINTED: Final = """(selector) => new Promise((done) => {
    const look = () => document.querySelector(selector)
        ? requestAnimationFrame(() => setTimeout(() => done(performance.now()))) : requestAnimationFrame(look);
    look();
})"""
WATCH: Final = """() => {
    window.stalls = [];
    new PerformanceObserver((list) => window.stalls.push(...list.getEntries().map((entry) => entry.duration)))
        .observe({ type: "longtask" });
}"""


def main() -> None:
    """Measure and print, a line each: the median, the slowest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--word", default="meeting tomorrow")
    given = parser.parse_args()
    weight = sum(len(file.compressed) for file in served.edition().files.values())
    print(f"page weight: {weight / 1000:.0f} kB compressed, {len(served.edition().files)} files")
    with _serving(given.workspace) as (url, secret), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1360, "height": 850})
        context.add_cookies([{"name": f"chatkeep-{url.rpartition(':')[2]}", "value": secret, "url": url}])
        requests: list[str] = []
        context.on("request", lambda request: requests.append(request.url))
        page = context.new_page()
        key, count = _longest(page, url)
        _show("first list", given.rounds, lambda: _first_list(page, url))
        _show("search, after the last key", given.rounds, lambda: _search(page, given.word))
        _show(f"last screen of {count:,} messages", given.rounds, lambda: _open(page, url, key, count))
        _scroll_back(browser, page, 5000)
        print(f"requests to others: {sum(not request.startswith((url, 'data:')) for request in requests)}")
        browser.close()


def _show(name: str, rounds: int, measure: Callable[[], float]) -> None:
    measure()
    times = sorted(measure() for _ in range(rounds))
    print(f"{name}: median {statistics.median(times):.0f} ms, slowest {times[-1]:.0f} ms of {rounds}")


def _first_list(page: Page, url: str) -> float:
    page.goto("about:blank")
    page.goto(f"{url}/", wait_until="commit")
    painted: float = page.evaluate(PAINTED, ".row")
    return painted  # performance.now() counts from the navigation


def _search(page: Page, word: str) -> float:
    page.keyboard.press("/")
    field = page.get_by_role("combobox", name="Search all messages")
    field.fill("")
    page.keyboard.type(word[:-1], delay=60)
    page.wait_for_timeout(300)
    page.evaluate("() => { for (const hit of document.querySelectorAll('.hit')) hit.classList.add('old'); }")
    page.evaluate(
        """() => { addEventListener("input", () => {
            const began = performance.now();
            window.answered = new Promise((done) => new PerformanceObserver((list, observer) => {
                if (!list.getEntries().some((entry) => entry.name.includes("/search"))) return;
                observer.disconnect();
                requestAnimationFrame(() => setTimeout(() => done(performance.now() - began)));
            }).observe({ type: "resource" }));
        }, { capture: true, once: true }); }"""
    )
    page.keyboard.type(word[-1])
    took: float = page.evaluate("() => window.answered")
    page.keyboard.press("Escape")
    return took


def _open(page: Page, url: str, key: str, count: int) -> float:
    page.goto(f"{url}/#/")
    page.wait_for_selector(".overview")
    began = page.evaluate("(hash) => { location.hash = hash; return performance.now(); }", f"#/s/{quote(key, safe='')}")
    painted: float = page.evaluate(PAINTED, f"[data-seq='{count}']")
    return painted - float(began)


def _scroll_back(browser: Browser, page: Page, count: int) -> None:
    """Scroll up until this many messages went by, and print the longest time the page did not answer.

    A task takes longer where other programs take the processor; what it takes itself is told beside it.
    """
    page.evaluate(WATCH)
    first = "() => Number(document.querySelector('.message').dataset.seq)"
    begin = int(page.evaluate(first))
    page.locator(".scroll").hover()
    browser.start_tracing(page=page, categories=["toplevel"])
    while begin - int(page.evaluate(first)) < count and int(page.evaluate(first)) > 1:
        page.mouse.wheel(0, -1500)
        page.wait_for_timeout(16)
    works = _processor_ms(json.loads(browser.stop_tracing())["traceEvents"])
    stalls = sorted(page.evaluate("() => window.stalls"))
    passed = begin - int(page.evaluate(first))
    over = sum(stall > 100 for stall in stalls)
    print(f"scrolling back {passed:,} messages: longest task {max(stalls, default=0):.0f} ms, {over} over 100 ms;")
    print(f"  processor time: longest task {max(works):.0f} ms, all {sum(works) / 1000:.1f} s")


def _processor_ms(events: list[dict[str, Any]]) -> list[float]:
    """Return what the tasks of the page's main thread took of the processor, each."""
    [main] = [
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    ]
    return [event["tdur"] / 1000 for event in events if (event["pid"], event["tid"]) == main and "tdur" in event]


def _longest(page: Page, url: str) -> tuple[str, int]:
    """Return the key of the session with the most messages, and how many."""
    page.goto(url)
    longest = page.evaluate("async () => (await (await fetch('/api/v1/stats')).json()).longest[0]")
    return longest["key"], longest["message_count"]


@contextmanager
def _serving(workspace: Path) -> Iterator[tuple[str, str]]:
    tokens = TokenFile(workspace / "tokens.json")
    secret, token = tokens.create("bench/page.py", scopes=("read",))
    command = [sys.executable, "-m", "chatkeep", "serve", "-w", str(workspace), "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        printed = (re.search(r"Listening on (\S+)", line) for line in server.stdout or ())
        yield next(found[1] for found in printed if found), secret
    finally:
        server.terminate()
        server.communicate(timeout=30)
        tokens.revoke(token.id)


if __name__ == "__main__":
    main()
