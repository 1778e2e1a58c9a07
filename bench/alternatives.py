"""Measure the store beside the usual way: one JSON file rewritten for every message, everything read for every list.

    python bench/alternatives.py [--sessions 1000] [--messages 20] [--lengths 10 1000 10000]

The usual way is written out below, as session stores commonly do it (json.dump of the whole file,
os.replace, no flush; a list and a search read every file). Chatkeep answers an append only when it
is on the disk. Both run in this process, in turn, on the same sessions; figures are medians in
milliseconds, and how many times as long the usual way takes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from chatkeep.core.model import Draft, Selection
from chatkeep.core.search.query import parse_query
from chatkeep.core.search.search import Search
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.files.store import FilesStore

_TEXT = "How do I check whether a number is prime, and is there a faster way for large ones? " * 2


class UsualStore:
    """One JSON file per session, read and rewritten whole."""

    def __init__(self, folder: Path) -> None:
        """Take the folder."""
        self._folder = folder

    def append(self, key: str, text: str) -> None:
        """Add a message by writing the session anew."""
        path = self._path(key)
        session = json.loads(path.read_text() if path.exists() else '{"messages": []}')
        session["messages"].append({"role": "user", "content": text, "timestamp": time.time()})
        session["updated_at"] = time.time()
        self.put(key, session)

    def put(self, key: str, session: dict[str, object]) -> None:
        """Write a session."""
        temporary = self._path(key).with_suffix(".tmp")
        temporary.write_text(json.dumps(session, indent=2))
        temporary.replace(self._path(key))

    def newest(self) -> list[dict[str, object]]:
        """Return the 50 newest sessions, by reading all."""
        sessions = [json.loads(path.read_text()) for path in self._folder.glob("*.json")]
        return sorted(sessions, key=lambda session: -session["updated_at"])[:50]

    def history(self, key: str) -> list[dict[str, object]]:
        """Return the last 50 messages, by reading the session."""
        messages: list[dict[str, object]] = json.loads(self._path(key).read_text())["messages"]
        return messages[-50:]

    def search(self, text: str) -> list[str]:
        """Return the keys of up to 20 sessions that contain a text, by reading all."""
        found = []
        for path in self._folder.glob("*.json"):
            session = json.loads(path.read_text())
            if any(text in message["content"].lower() for message in session["messages"]):
                found.append(session["key"])
        return found[:20]

    def _path(self, key: str) -> Path:
        return self._folder / f"{key.replace(':', '_')}.json"


def compare(name: str, ours: Callable[[], object], usual: Callable[[], object], rounds: int) -> None:
    """Print the medians of two calls made in turn."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for place, call in enumerate((ours, usual)):
            os.sync()  # what the other one wrote would be flushed on this one's time
            began = time.perf_counter()
            call()
            times[place].append((time.perf_counter() - began) * 1000)
    one, other = map(statistics.median, times)
    print(f"{name:44} {one:9.3f} ms {other:10.3f} ms {other / one:9.1f}x")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--messages", type=int, default=20)
    parser.add_argument("--lengths", type=int, nargs="*", default=[10, 1000, 10_000])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".") as folder:
        (Path(folder) / "usual").mkdir()
        usual = UsualStore(Path(folder) / "usual")
        store = FilesStore.open(Path(folder) / "ours")
        _measure(Sessions(store), usual, options.sessions, options.messages, options.lengths)
        store.close()


def _measure(ours: Sessions, usual: UsualStore, sessions: int, messages: int, lengths: list[int]) -> None:
    def fill(key: str, texts: list[str]) -> None:
        for start in range(0, len(texts), 1000):
            ours.append(key, [Draft(role="user", content=text) for text in texts[start : start + 1000]])
        said = [{"role": "user", "content": text, "timestamp": time.time()} for text in texts]
        usual.put(key, {"key": key, "updated_at": time.time(), "messages": said})

    for number in range(sessions):
        fill(f"telegram:{number}", [f"{_TEXT} {number} {place}" for place in range(messages)])
    for length in lengths:
        fill(f"long:{length}", [_TEXT] * length)
    print(f"{'':44} {'Chatkeep':>12} {'rewriting':>13} {'ratio':>10}")
    draft = Draft(role="user", content=_TEXT)
    for length in lengths:
        key = f"long:{length}"
        append = partial(ours.append, key, [draft]), partial(usual.append, key, _TEXT)
        history = partial(ours.window, key, limit=50), partial(usual.history, key)
        compare(f"append to {length:,} messages", *append, 30)
        compare(f"last 50 of {length:,} messages", *history, 30)
    compare(f"newest 50 of {sessions:,} sessions", partial(ours.list, Selection(), limit=50), usual.newest, 10)
    for text in ("977 11", "prime", "nothing of the kind"):
        search = Search(query=parse_query(text), deadline_s=60)
        compare(f"search {text!r}", partial(ours.search, search), partial(usual.search, text), 10)


if __name__ == "__main__":
    main()
