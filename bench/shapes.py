"""Measure searches, in this process, over texts of several shapes and in several orders of their times.

    python bench/shapes.py FOLDER [--messages 200000] [--shapes made code ...] [--orders ascending ...]
        [--rounds 100] [--only common ...] [--chats FILE] [--json FILE] [--cpu] [--keep]

A made workspace for each shape and order: `made` (20,000 made words by Zipf's law, one more word in 93 % of the
messages), `code` (code, paths and logs with hex ids), `cjk` (Chinese, Japanese, Korean), `long` (`made`, all in one
session), `past` (words that were common only long ago, and words that never stand together); with `--chats` also
`chats`, the sessions of an export (JSONL, or that as .zst), over and over. The index is built, and the last hundredth
of the messages is appended afterwards. Every class of query is asked for by relevance and by time, for sessions and
for messages; the table has the median and the slowest in milliseconds, over all four. An answer that is partial is
counted. With --cpu the time is the processor's, for a machine that does other work beside.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import re
import shutil
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Final

import msgspec
import zstandard
from rich.console import Console
from rich.progress import track
from rich.table import Table

from chatkeep.core.keys import channel_of
from chatkeep.core.model import Draft, Header, Message, Selection
from chatkeep.core.search.query import parse_query
from chatkeep.core.search.search import Search
from chatkeep.core.standing import Role
from chatkeep.store.files.store import FilesStore
from chatkeep.store.files.tree import format as session_file
from chatkeep.store.files.tree.tree import file_name

_SEED = 20261130
_BEGIN = datetime(2023, 1, 1, tzinfo=UTC)
_STEP_S = 37
_A_SESSION = 40  # messages
_CHANNELS = ("telegram", "discord", "slack", "web", "api", "cli")
_LATE = 100  # one of so many messages comes after the index was built
_HAN = (
    "请帮我把会议改到明天下午三点好的已经更新了这个问题怎么解决"
    "数据库连接失败我们需要重新启动服务器谢谢你人工智能助手可以查询天气"
)
_KANA = "これはテストですサーバーを再起動してくださいデータベースの接続に失敗しましたありがとうございます明日の会議"
_HANGUL = (
    "안녕하세요 서버를 다시 시작해 주세요 데이터베이스 연결에 실패했습니다 감사합니다 내일 회의 시간을 바꿔 주세요"
)
_NAMES = ("getUserName", "parse_request", "src/core/words.py", "E1234", "foo.bar", "v1.2.3", "--force", "HttpClient")
_VERBS = "GET POST error warning failed started stopped connected timeout retry worker request response cache miss hit"
_ROLES: tuple[Role, ...] = ("user", "assistant", "user", "assistant", "tool")
Fields = dict[str, object]
Asks = dict[str, Callable[[], tuple[str, Fields]]]


class Made:
    """Made words by Zipf's law, with one more word in 93 % of the messages."""

    def __init__(self, dice: random.Random) -> None:
        """Make up the words."""
        self._dice = dice
        letters = "bcdfghjklmnprstvwz", "aeiou"
        made = {
            "".join(dice.choice(letters[place % 2]) for place in range(dice.randint(3, 11))): None
            for _ in range(24_000)
        }
        self._words = list(made)[:20_000]
        self._weights = list(accumulate(1 / (rank + 2.7) for rank in range(len(self._words))))

    def text(self, _: float) -> str:
        """Return the text of a message."""
        count = min(300, max(2, int(self._dice.lognormvariate(3.4, 0.8))))
        said = self._dice.choices(self._words, cum_weights=self._weights, k=count)
        if self._dice.random() < 0.93:
            said.insert(self._dice.randrange(count), "common")
        return " ".join(said)


class Code:
    """Lines of code and of logs, with names, paths and hex ids."""

    def __init__(self, dice: random.Random) -> None:
        """Take the dice."""
        self._dice = dice
        self._modules = [f"{first}_{last}.py" for first in _VERBS.lower().split() for last in _VERBS.lower().split()]

    def text(self, _: float) -> str:
        """Return the text of a message."""
        return "\n".join(self._line() for _ in range(self._dice.randint(1, 9)))

    def _line(self) -> str:
        dice = self._dice
        if dice.random() < 0.4:
            call = f"{dice.choice(_NAMES)}({dice.choice(_NAMES)}, {dice.randrange(1000)})"
            return f"    {call}  # {dice.choice(self._modules)}"
        words = " ".join(dice.choices(_VERBS.split(), k=dice.randint(2, 6)))
        moment = f"2026-0{dice.randint(1, 9)}-1{dice.randrange(10)}T10:{dice.randrange(60):02}"
        return f"{moment} {dice.getrandbits(64):016x} {words}"


class Cjk:
    """Chinese, Japanese and Korean, sometimes with a word of English."""

    def __init__(self, dice: random.Random) -> None:
        """Take the dice."""
        self._dice = dice
        self._letters = [chr(code) for code in range(0x4E00, 0x4E00 + 3000)]
        self._weights = list(accumulate(1 / (rank + 10) for rank in range(len(self._letters))))

    def text(self, _: float) -> str:
        """Return the text of a message."""
        dice, pieces = self._dice, []
        for _ in range(dice.randint(1, 5)):
            source = dice.choice((_HAN, _HAN, _KANA, _HANGUL))
            start = dice.randrange(len(source) - 8)
            pieces.append(source[start : start + dice.randint(3, 14)])
            pieces.append("".join(dice.choices(self._letters, cum_weights=self._weights, k=dice.randint(2, 12))))
        return "、".join(pieces) + dice.choice(("。", " OK", "……", " Python"))


class Past(Made):
    """Words that were common only long ago, and words that are both common and never stand together."""

    def text(self, age: float) -> str:
        """Return the text of a message at this part of all time, 0 is the oldest."""
        said = super().text(age).split()
        told = ["north" if self._dice.random() < 0.5 else "south"]
        if age < 0.05:
            told += ["longago", "ancient", *(["olden"] if self._dice.random() < 0.5 else [])]
        return " ".join([*said[:12], *told, *said[12:30]])


_MAKERS: Final[dict[str, type[Made | Code | Cjk]]] = {
    "made": Made,
    "code": Code,
    "cjk": Cjk,
    "long": Made,
    "past": Past,
}


@dataclass
class Corpus:
    """What a workspace was made of, as far as queries need it."""

    messages: int = 0
    text_bytes: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    texts: list[str] = field(default_factory=list)

    def add(self, text: str, dice: random.Random) -> None:
        """Note a message: each for the counts of words, one of some for pieces."""
        self.messages += 1
        self.text_bytes += len(text.encode())
        if self.messages < 20_000 or dice.random() < 0.05:
            self.counts.update(set(re.findall(r"[A-Za-z_]{2,}|[\u3040-\u9fff]{2}|[\uac00-\ud7a3]{2,}", text.lower())))
            if len(self.texts) < 5000 or dice.random() < 0.1:
                self.texts.append(text)


def _sessions(shape: str, messages: int, chats: Path | None, dice: random.Random) -> Iterator[list[tuple[Role, str]]]:
    """Yield the sessions of a shape, each as roles and texts, in the order in which they would be told."""
    if shape == "chats":
        yield from _chats(chats, messages)
        return
    maker: Made | Code | Cjk = _MAKERS[shape](dice)
    length = messages if shape == "long" else _A_SESSION
    for start in range(0, messages, length):
        count = min(length, messages - start)
        yield [(_ROLES[place % 5], maker.text((start + place) / messages)) for place in range(count)]


def _chats(chats: Path | None, messages: int) -> Iterator[list[tuple[Role, str]]]:
    if chats is None:
        sys.exit("The shape chats needs --chats FILE.")
    left = messages
    while left > 0:
        with chats.open("rb") as raw, contextlib.ExitStack() as stack:
            lines = (
                stack.enter_context(zstandard.ZstdDecompressor().stream_reader(raw)) if chats.suffix == ".zst" else raw
            )
            for line in _lines(lines):
                said = msgspec.json.decode(line)["messages"]
                talk = [(one["role"], one["content"]) for one in said if isinstance(one.get("content"), str)]
                talk = [(role, text) for role, text in talk if role in ("user", "assistant", "tool")][:left]
                if talk:
                    yield talk
                    left -= len(talk)
                if left <= 0:
                    return


def _lines(source: object) -> Iterator[bytes]:
    rest = b""
    while block := source.read(1 << 20):  # type: ignore[attr-defined]
        *whole, rest = (rest + block).split(b"\n")
        yield from whole
    if rest:
        yield rest


def _times(order: str, messages: int, dice: random.Random) -> Callable[[int], datetime]:
    """Return the time of the message with a number, in the order of arrival."""
    if order == "shuffled":
        return lambda _: _BEGIN + timedelta(seconds=_STEP_S * dice.random() * messages)
    sign = 1 if order == "ascending" else -1
    start = 0 if order == "ascending" else messages
    return lambda number: _BEGIN + timedelta(seconds=_STEP_S * (start + sign * number))


def _written(
    folder: Path, shape: str, order: str, messages: int, chats: Path | None
) -> tuple[Corpus, list[tuple[str, Draft]]]:
    """Write the session files; return what they have, and what is to be appended afterwards."""
    dice, corpus, late = random.Random(f"{_SEED} {shape}"), Corpus(), []
    sent_at, number = _times(order, messages, random.Random(_SEED)), 0
    (folder / "sessions").mkdir(parents=True, mode=0o700)
    for place, talk in enumerate(_sessions(shape, messages, chats, dice)):
        channel = _CHANNELS[place % len(_CHANNELS)]
        key = f"{channel}:{place % 500}:{place}"
        lines: list[Message] = []
        for role, text in talk:
            number += 1
            corpus.add(text, dice)
            if number % _LATE == 0 and lines:
                late.append((key, Draft(role=role, content=text, sent_at=sent_at(number), id=f"late{number}")))
                continue
            lines.append(
                Message(seq=len(lines) + 1, role=role, content=text, sent_at=sent_at(number), id=f"m{len(lines)}")
            )
        tags = ("rare",) if place % 97 == 0 else ("half",) if place % 2 else ()
        header = Header(
            key=key,
            channel=channel_of(key),
            title=None,
            created_at=_BEGIN,
            tags=tags,
            pinned=place % 41 == 0,
            archived=place % 7 == 0,
        )
        body = session_file.whole_file(session_file.header_line(header), session_file.message_lines(lines), len(lines))
        (folder / "sessions" / file_name(key)).write_bytes(body)
    return corpus, late


def _unfiltered(ask: Callable[[], str]) -> tuple[str, Fields]:
    return ask(), {}


class Asker:
    """Makes up queries of each class from what a corpus holds."""

    def __init__(self, corpus: Corpus, order: str) -> None:
        """Take the corpus."""
        self._dice = random.Random(_SEED)
        self._texts = corpus.texts
        seen = max(corpus.counts.values(), default=1)
        ranked = [word for word, _ in corpus.counts.most_common()]
        self._common = ranked[:12]
        self._middle = [word for word, count in corpus.counts.items() if 0.002 * seen < count < 0.02 * seen] or ranked[
            12:60
        ]
        self._rare = [word for word, count in corpus.counts.items() if count <= 3] or ranked[-50:]
        self._span = _STEP_S * corpus.messages
        self._order = order

    def classes(self) -> Asks:
        """Return what makes a query of each class, with the filters of the search."""
        several = self._several
        plain: dict[str, Callable[[], str]] = {
            "common": partial(several, "c"),
            "2 common": partial(several, "cc"),
            "3 common": partial(several, "ccc"),
            "middle": partial(several, "m"),
            "2 middle": partial(several, "mm"),
            "rare": partial(several, "r"),
            "common middle": partial(several, "cm"),
            "common rare": partial(several, "cr"),
            "middle rare": partial(several, "mr"),
            "phrase of 2": partial(self._phrase, 2),
            "phrase of 3": partial(self._phrase, 3),
            "phrase of common": lambda: f'"{self._dice.choice(self._common)} {self._dice.choice(self._common)}"',
            "piece as said": lambda: f"{self._cut(5)} ",
            **{f"first {count}": partial(self._beginning, count) for count in (1, 2, 3, 4)},
            "question of 8": lambda: f"how do {several('cmmcmm')}?",
            "question of 12": lambda: f"what is the {several('cmrmcmmcm')}?",
            "no hit": lambda: f"zzqx{self._dice.randrange(10**6)} ",
        }
        asks: Asks = {name: partial(_unfiltered, ask) for name, ask in plain.items()}
        if any(re.search(r"[0-9a-f]{12}", text) for text in self._texts[:200]):
            asks |= {f"hex {count}": partial(self._hex, count) for count in (2, 4, 8)}
        if any(re.search(r"[\u3040-\u9fff]", text) for text in self._texts[:200]):
            asks |= {f"CJK {count}": partial(self._han, count) for count in (1, 2, 4)}
        if "longago" in self._common or any("longago" in text for text in self._texts):
            asks |= {
                "only long ago": lambda: ("longago ", {}),
                "2 long ago": lambda: ("ancient olden ", {}),
                "never together": lambda: (self._dice.choice(("north south ", '"north south"')), {}),
            }
        chosen: dict[str, Callable[[], Fields]] = {
            "a channel": lambda: {"selection": Selection(archived=None, channel=self._dice.choice(_CHANNELS))},
            "a part of the key": lambda: self._under(f"{self._dice.choice(_CHANNELS)}:{self._dice.randrange(500)}:"),
            "a prefix in a part": lambda: self._under(f"{self._dice.choice(_CHANNELS)}:{self._dice.randrange(1, 10)}"),
            "a day": partial(self._window, 86_400),
            "a twentieth of the time": lambda: self._window(self._span / 20),
            "role tool": lambda: {"roles": ("tool",)},
            "any role": lambda: {"roles": None},
            "not archived": lambda: {"selection": Selection(archived=False)},
            "pinned": lambda: {"selection": Selection(archived=None, pinned=True)},
            "a rare tag": lambda: {"selection": Selection(archived=None, tags=("rare",))},
            "half of the sessions": lambda: {"selection": Selection(archived=None, tags=("half",))},
        }
        for name, choose in chosen.items():
            asks[f"common, {name}"] = partial(self._filtered, "c", choose)
            asks[f"2 common, {name}"] = partial(self._filtered, "cc", choose)
        return asks

    def _filtered(self, bands: str, choose: Callable[[], Fields]) -> tuple[str, Fields]:
        return self._several(bands), choose()

    def _several(self, bands: str) -> str:
        of = {"c": self._common, "m": self._middle, "r": self._rare}
        return "".join(f"{self._dice.choice(of[band])} " for band in bands)

    def _cut(self, count: int) -> str:
        words = self._dice.choice(self._texts).split()
        start = self._dice.randrange(max(1, len(words) - count))
        return " ".join(words[start : start + count])

    def _phrase(self, count: int) -> str:
        return '"' + self._cut(count).replace('"', " ") + '"'

    def _beginning(self, count: int) -> str:
        return self._dice.choice((self._common, self._middle, self._rare)[self._dice.randrange(3)])[:count]

    def _hex(self, count: int) -> tuple[str, Fields]:
        return f"{self._dice.getrandbits(64):016x}"[:count], {}

    def _han(self, count: int) -> tuple[str, Fields]:
        while True:
            found = re.findall(rf"[\u3040-\u9fff]{{{count},}}", self._dice.choice(self._texts))
            if found:
                piece = self._dice.choice(found)
                start = self._dice.randrange(len(piece) - count + 1)
                return piece[start : start + count], {}

    def _under(self, prefix: str) -> Fields:
        return {"selection": Selection(archived=None, prefixes=(prefix,))}

    def _window(self, length: float) -> Fields:
        since = _BEGIN + timedelta(seconds=self._dice.random() * max(1.0, self._span - length))
        return {"since": since, "until": since + timedelta(seconds=length)}


def _measured(
    store: FilesStore, asks: Asks, rounds: int, clock: Callable[[], float]
) -> dict[str, tuple[float, float, int]]:
    """Return median, slowest and number of partial answers of each class."""
    found = {}
    for name, ask in track(asks.items(), description="searching"):
        taken, cut = [], 0
        kinds = [(sort, unit) for sort in ("relevance", "recent") for unit in ("session", "message")]
        for turn in range(rounds):
            query, filters = ask()
            sort, unit = kinds[turn % 4]
            search = Search(query=parse_query(query), sort=sort, unit=unit, **filters)  # type: ignore[arg-type]
            began = clock()
            hits = store.search(search)
            taken.append((clock() - began) * 1000)
            cut += hits.partial
        found[name] = (statistics.median(taken), max(taken), cut)
    return found


def _run(options: argparse.Namespace, shape: str, order: str) -> Fields:
    folder = options.folder / f"{shape}-{order}-{options.messages}"
    shutil.rmtree(folder, ignore_errors=True)
    corpus, late = _written(folder, shape, order, options.messages, options.chats)
    clock = time.thread_time if options.cpu else time.perf_counter
    began, cpu = time.perf_counter(), time.process_time()
    with contextlib.closing(FilesStore.open(folder, durability="none")) as store:
        built, built_cpu = time.perf_counter() - began, time.process_time() - cpu
        size = sum(path.stat().st_size for path in folder.glob("index-*"))
        for key, draft in late:
            store.append(key, [draft])
        asks = Asker(corpus, order).classes()
        chosen = {name: ask for name, ask in asks.items() if any(word in name for word in options.only or [""])}
        classes = _measured(store, chosen, options.rounds, clock)
    if not options.keep:
        shutil.rmtree(folder)
    return {
        "shape": shape,
        "order": order,
        "messages": corpus.messages,
        "text_bytes": corpus.text_bytes,
        "index_bytes": size,
        "build_s": round(built, 1),
        "build_cpu_s": round(built_cpu, 1),
        "classes": {name: [round(p50, 2), round(most, 2), cut] for name, (p50, most, cut) in classes.items()},
    }


def main() -> None:
    """Print a table for each shape, with a column for each order."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--shapes", nargs="+", default=["made", "code", "cjk", "long", "past"])
    parser.add_argument("--orders", nargs="+", default=["ascending", "descending", "shuffled"])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--only", nargs="+", help="the classes whose names have one of these words")
    parser.add_argument("--chats", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    results = []
    for shape in options.shapes:
        of_shape = [_run(options, shape, order) for order in options.orders]
        results += of_shape
        Console(width=140).print(_table(shape, of_shape))
        if options.json:
            options.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


def _table(shape: str, results: list[Fields]) -> Table:
    table = Table(title=f"{shape}: median / slowest ms (partial answers)")
    table.add_column("class")
    for one in results:
        part = one["index_bytes"] / one["text_bytes"]  # type: ignore[operator]
        table.add_column(
            f"{one['order']}\n{one['messages']:,}; index {part:.2f} of the text, {one['build_s']} s", justify="right"
        )
    for name in results[0]["classes"]:  # type: ignore[attr-defined]
        cells = []
        for one in results:
            median, most, cut = one["classes"][name]  # type: ignore[index]
            cells.append(f"{median:.1f} / {most:.1f}" + (f" ({cut})" if cut else ""))
        table.add_row(name, *cells)
    return table


if __name__ == "__main__":
    main()
