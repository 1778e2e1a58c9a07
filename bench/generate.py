"""Make a workspace of any size, for measuring.

    python bench/generate.py WORKSPACE [--sessions 100000] [--messages 2000000] [--longest 50000]

The text is made of real word frequencies: a few thousand common English words drawn by Zipf's law,
with rare words, code and Chinese sentences mixed in; a message has about 300 bytes. The session
files are written as the store writes them, without flushing each one.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path

from rich.progress import track

from chatkeep.core.keys import channel_of
from chatkeep.core.model import Header, Message
from chatkeep.core.standing import Role
from chatkeep.store.files.tree import format as session_file
from chatkeep.store.files.tree.tree import file_name

_SEED = 20261121
_BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
_SYLLABLES = (
    "ba",
    "ce",
    "di",
    "fo",
    "gu",
    "ha",
    "je",
    "ki",
    "lo",
    "mu",
    "na",
    "pe",
    "qui",
    "ro",
    "su",
    "tri",
    "blo",
    "gra",
)
_COMMON = (
    "the of and to a in is it you that for on with as be this have are or by from at an was we can your not but all "
    "if will one my what do so how there their which when time would use new about more any like just out up me some "
    "file code error server data user message session test run build function value return install python docker list "
    "please thanks help need want make work change check try open close read write find show again problem question"
)  # the commonest first
_CHINESE = (
    "请帮我把会议改到明天下午三点好的已经更新了这个问题怎么解决数据库连接失败"
    "我们需要重新启动服务器谢谢你的帮助人工智能助手可以查询天气"
)
_CHANNELS = ("telegram", "discord", "slack", "web", "api", "cli")


class Writer:
    """Makes up text. The same seed makes the same text."""

    def __init__(self, seed: int) -> None:
        """Take the seed."""
        self._dice = random.Random(seed)
        rare = ["".join(self._dice.choices(_SYLLABLES, k=self._dice.randint(2, 5))) for _ in range(60_000)]
        self._words = [*_COMMON.split(), *dict.fromkeys(rare)]
        self._weights = list(accumulate(1 / (rank + 2) for rank in range(len(self._words))))

    def text(self) -> str:
        """Return the text of a message: words, sometimes with code, sometimes Chinese."""
        kind = self._dice.random()
        if kind < 0.05:
            start = self._dice.randrange(len(_CHINESE) - 20)
            return "".join(self._dice.sample(_CHINESE, 12)) + _CHINESE[start : start + 20]
        count = min(400, max(3, int(self._dice.lognormvariate(3.6, 0.7))))
        words = " ".join(self._dice.choices(self._words, cum_weights=self._weights, k=count))
        return f"{words}\n```python\nprint({count})\n```" if kind > 0.9 else f"{words}."

    def session(self, key: str, count: int, begin: datetime) -> bytes:
        """Return a session file of so many messages, 20 seconds apart."""
        header = Header(key=key, channel=channel_of(key), title=None, created_at=begin)
        first_line = session_file.header_line(header)
        return session_file.whole_file(first_line, self._lines(count, begin), count)

    def _lines(self, count: int, begin: datetime) -> Iterator[bytes]:
        for seq in range(1, count + 1):
            role: Role = "user" if seq % 2 else "assistant"
            sent_at = begin + timedelta(seconds=20 * seq)
            message = Message(seq=seq, role=role, content=self.text(), sent_at=sent_at, id=f"m{seq}")
            yield from session_file.message_lines([message])


def counts(sessions: int, messages: int, longest: int) -> list[int]:
    """Return how many messages each session has: one very long session, the others near their mean."""
    mean = (messages - longest) / max(1, sessions - 1)
    dice = random.Random(_SEED)
    drawn = [max(1, round(dice.gammavariate(2, mean / 2))) for _ in range(sessions - 1)]
    return [longest, *drawn]


def main() -> None:
    """Write the workspace."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--sessions", type=int, default=100_000)
    parser.add_argument("--messages", type=int, default=2_000_000)
    parser.add_argument("--longest", type=int, default=50_000)
    options = parser.parse_args()
    folder = options.workspace / "sessions"
    folder.mkdir(parents=True, mode=0o700)
    writer = Writer(_SEED)
    total = 0
    sizes = counts(options.sessions, options.messages, options.longest)
    for number, count in enumerate(track(sizes, description="sessions")):
        key = f"{_CHANNELS[number % len(_CHANNELS)]}:{100_000_000 + number * 7919}"
        begin = _BEGIN + timedelta(minutes=7 * number)
        (folder / file_name(key)).write_bytes(writer.session(key, count, begin))
        total += count
    print(f"{len(sizes)} sessions, {total} messages, longest: {_CHANNELS[0]}:100000000")


if __name__ == "__main__":
    main()
