"""Measure what the search finds: LoCoMo's questions, and pieces of Chinese, Japanese and Korean text.

    python bench/search_quality.py [--locomo ../shared/data/locomo_dev.json]
        [--cases ../shared/data/cjk_cases.json --corpus ../shared/data/scale/sessions.jsonl.zst]

LoCoMo (Maharana et al., 2024, CC BY-NC 4.0: for evaluation only) asks questions about long
conversations and names the turns that hold the answers. A turn is stored as "Speaker: text [image:
caption]". Recall@k is the share of those turns among the first k messages found (`unit=message`), MRR
the mean reciprocal rank of the first of them among 100, hit@k whether the first k sessions found hold
one of them. Measured with every conversation in one store, and with each in a store of its own.

The CJK cases come with the number of sessions and messages that contain each; recall and precision
compare the sessions that are found with those that contain the text.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import zstandard
from msgspec import Struct
from rich.console import Console
from rich.progress import track
from rich.table import Table

from chatkeep.core.model import Draft, Selection, Unit
from chatkeep.core.search.query import parse_query
from chatkeep.core.search.search import Search
from chatkeep.core.standing import Role
from chatkeep.store.files.store import FilesStore

_DATA = Path(__file__).parents[1].parent / "shared" / "data"
_CATEGORIES = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}
_BASELINES = (
    ("any word, BM25, unstemmed", 0.410, 0.471, 0.541, 0.348),
    ("+ Porter stems, stop words dropped", 0.478, 0.551, 0.628, 0.417),
    ("+ a column of neighbours (0.4)", 0.577, 0.661, 0.730, 0.498),
    ("+ two neighbours on each side (0.3)", 0.634, 0.711, 0.777, 0.530),
)
_BEGIN = datetime(2023, 1, 1, tzinfo=UTC)
_EVER = 600.0


class Question(Struct, frozen=True):
    """A question and the turns (session key, seq) that answer it."""

    conversation: str
    text: str
    category: int
    gold: frozenset[tuple[str, int]]


class Score:
    """Sums over questions."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self.sums: defaultdict[str, float] = defaultdict(float)
        self.count = 0

    def add(self, gold: frozenset[tuple[str, int]], turns: Sequence[tuple[str, int]], sessions: Sequence[str]) -> None:
        """Take in what was found for a question."""
        self.count += 1
        for k in (5, 10, 20):
            self.sums[f"R@{k}"] += len(gold & set(turns[:k])) / len(gold)
        self.sums["MRR"] += next((1 / rank for rank, turn in enumerate(turns, start=1) if turn in gold), 0.0)
        wanted = {key for key, _ in gold}
        for k in (1, 5):
            self.sums[f"hit@{k}"] += bool(wanted & set(sessions[:k]))

    def cells(self) -> list[str]:
        """Return the means as a row of a table shows them."""
        means = (self.sums[name] / max(1, self.count) for name in ("R@5", "R@10", "R@20", "MRR", "hit@1", "hit@5"))
        return [f"{mean:.3f}" for mean in means]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--locomo", type=Path, default=_DATA / "locomo_dev.json")
    parser.add_argument("--cases", type=Path, default=_DATA / "cjk_cases.json")
    parser.add_argument("--corpus", type=Path, default=_DATA / "scale" / "sessions.jsonl.zst")
    options = parser.parse_args()
    console = Console(width=120)
    if options.locomo.exists():
        console.print(locomo_table(json.loads(options.locomo.read_text(encoding="utf-8"))))
    if options.cases.exists() and options.corpus.exists():
        cases = json.loads(options.cases.read_text(encoding="utf-8"))["cases"]
        console.print(cjk_table(cases, list(_corpus(options.corpus))))


def locomo_table(conversations: list[Any]) -> Table:
    """Return how LoCoMo's questions fare."""
    table = Table(title="LoCoMo: turns by recall@k and MRR, sessions by hit@k")
    for column in ("", "questions", "R@5", "R@10", "R@20", "MRR", "hit@1", "hit@5", "ms"):
        table.add_column(column, justify="left" if not column else "right")
    questions = [question for conversation in conversations for question in _questions(conversation)]
    overall, by_category, taken_ms = _asked(conversations, questions)
    table.add_row("all conversations in one store", str(overall.count), *overall.cells(), f"{taken_ms:.1f}")
    for category, score in sorted(by_category.items()):
        table.add_row(f"  {_CATEGORIES[category]}", str(score.count), *score.cells(), "")
    apart = Score()
    for conversation in conversations:
        own, _, _ = _asked([conversation], _questions(conversation))
        apart.count += own.count
        for name, total in own.sums.items():
            apart.sums[name] += total
    table.add_row("each conversation in its own", str(apart.count), *apart.cells(), "")
    table.add_section()
    for name, *figures in _BASELINES:
        table.add_row(f"baseline: {name}", "", *(f"{figure:.3f}" for figure in figures), "", "", "")
    table.caption = "Baselines: SQLite FTS5 in one index, on all ten conversations and categories 1 to 4."
    return table


def cjk_table(cases: list[Any], corpus: list[Any]) -> Table:
    """Return how the pieces of text fare."""
    table = Table(title="Pieces of Chinese, Japanese and Korean text: sessions that contain them")
    for column in ("characters", "cases", "recall", "precision", "ms"):
        table.add_column(column, justify="right")
    holding = [(session["key"], [str(message["content"]) for message in session["messages"]]) for session in corpus]
    with _filled(_as_drafts(corpus)) as store:
        for length in sorted({case["characters"] for case in cases}):
            recalled = wanted = right = found_count = 0
            taken_s = 0.0
            same = [case for case in cases if case["characters"] == length]
            for case in track(same, description=f"{length} characters"):
                truth = {key for key, texts in holding if any(case["query"] in text for text in texts)}
                began = time.perf_counter()
                found = set(_sessions(store, case["query"], limit=100_000))
                taken_s += time.perf_counter() - began
                recalled, wanted = recalled + len(truth & found), wanted + len(truth)
                right, found_count = right + len(truth & found), found_count + len(found)
            shares = (f"{100 * recalled / wanted:.2f} %", f"{100 * right / max(1, found_count):.2f} %")
            table.add_row(str(length), str(len(same)), *shares, f"{1000 * taken_s / len(same):.1f}")
    return table


def _asked(conversations: list[Any], questions: list[Question]) -> tuple[Score, dict[int, Score], float]:
    """Return the scores of questions over a store of conversations, and the mean time of a search in ms."""
    overall = Score()
    by_category: defaultdict[int, Score] = defaultdict(Score)
    taken_s = 0.0
    with _filled(_turns(conversations)) as store:
        for question in questions:
            began = time.perf_counter()
            turns = _messages(store, question.text)
            taken_s += time.perf_counter() - began
            sessions = _sessions(store, question.text, limit=20)
            overall.add(question.gold, turns, sessions)
            by_category[question.category].add(question.gold, turns, sessions)
    return overall, by_category, 1000 * taken_s / max(1, len(questions))


def _messages(store: FilesStore, text: str) -> list[tuple[str, int]]:
    return [(hit.key, hit.seq) for hit in store.search(_search(text, "message", 100)).hits]


def _sessions(store: FilesStore, text: str, *, limit: int) -> list[str]:
    return [hit.key for hit in store.search(_search(text, "session", limit)).hits]


def _search(text: str, unit: Unit, limit: int) -> Search:
    everything = Selection(archived=None)
    return Search(query=parse_query(text), selection=everything, roles=None, unit=unit, limit=limit, deadline_s=_EVER)


class _filled:  # noqa: N801 - used as a with statement
    """A store of sessions in a folder that goes away again."""

    def __init__(self, sessions: Iterable[tuple[str, list[Draft]]]) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._store = FilesStore.open(Path(self._folder.name), durability="none")
        for key, drafts in sessions:
            self._store.append(key, drafts)
        self._store.close()

    def __enter__(self) -> FilesStore:
        self._store = FilesStore.open(Path(self._folder.name), durability="none")
        return self._store

    def __exit__(self, *_: object) -> None:
        self._store.close()
        self._folder.cleanup()


def _turns(conversations: list[Any]) -> Iterator[tuple[str, list[Draft]]]:
    """Yield the sessions of LoCoMo conversations."""
    for conversation in conversations:
        said = conversation["conversation"]
        names = sorted((name for name in said if re.fullmatch(r"session_\d+", name)), key=lambda name: int(name[8:]))
        for day, name in enumerate(names):
            drafts = []
            for place, turn in enumerate(said[name]):
                image = f" [image: {turn['blip_caption']}]" if turn.get("blip_caption") else ""
                text = f"{turn['speaker']}: {turn['text']}{image}"
                role: Role = "user" if turn["speaker"] == said["speaker_a"] else "assistant"
                sent_at = _BEGIN + timedelta(days=7 * day, seconds=20 * place)
                drafts.append(Draft(role=role, content=text, sent_at=sent_at, id=f"m{place + 1}"))
            if drafts:
                yield f"{conversation['sample_id']}:{name}", drafts


def _questions(conversation: Any) -> list[Question]:  # noqa: ANN401 - as the file has it
    """Return the questions of a conversation whose evidence names turns that exist."""
    places = {}
    said = conversation["conversation"]
    for name in (name for name in said if re.fullmatch(r"session_\d+", name)):
        for seq, turn in enumerate(said[name], start=1):
            places[turn["dia_id"]] = (f"{conversation['sample_id']}:{name}", seq)
    found = []
    for asked in conversation["qa"]:
        named = re.findall(r"D\d+:\d+", " ".join(asked["evidence"]))
        if gold := frozenset(places[turn] for turn in named if turn in places):
            found.append(Question(conversation["sample_id"], asked["question"], asked["category"], gold))
    return found


def _corpus(path: Path) -> Iterator[Any]:
    with path.open("rb") as raw, zstandard.ZstdDecompressor().stream_reader(raw) as plain:
        yield from map(json.loads, io.TextIOWrapper(plain, encoding="utf-8"))


def _as_drafts(corpus: list[Any]) -> Iterator[tuple[str, list[Draft]]]:
    for session in track(corpus, description="storing the corpus"):
        drafts = [
            Draft(
                role=message["role"],
                content=message["content"],
                sent_at=datetime.fromisoformat(message["timestamp"]).astimezone(UTC),
                id=f"m{seq}",
            )
            for seq, message in enumerate(session["messages"], start=1)
        ]
        yield session["key"], drafts


if __name__ == "__main__":
    main()
