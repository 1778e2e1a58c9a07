"""The search of the files: what it answers when more matches than it looks at, and after every loss of the index."""

from __future__ import annotations

import contextlib
import os
import random
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Final

import apsw
import msgspec
import pytest

from chatkeep.core.model import Draft, Hits, Revision, Selection, Sort, Unit
from chatkeep.core.search.highlighter import highlights
from chatkeep.core.search.query import is_in, parse_query, words_of
from chatkeep.core.search.ranker import Match, Scores
from chatkeep.core.search.search import Search
from chatkeep.core.search.stems import stem
from chatkeep.core.standing import Role
from chatkeep.store.engine import collector, planner, proof, searching
from chatkeep.store.engine.candidates import Candidates, Ranking
from chatkeep.store.engine.pool import Pool
from chatkeep.store.engine.tuning import Bounds
from chatkeep.store.files.index.sets import lexicon, sealing, selections
from chatkeep.store.files.index.turns import committing
from chatkeep.store.files.store import FilesStore
from chatkeep.store.files.tree.tree import file_name
from chatkeep.store.memory import MemoryStore
from chatkeep.store.protocol import Store
from chatkeep.store.sets import terms
from chatkeep.testing import at, draft, search_for

RARE: Final = ["zebra", "giraffe", "Straße", "E1234", "getUserName", "snake_case_name", "人工智能", "東京", "🎉", "น้ำ"]
MIDDLE: Final = ["meeting", "meetings", "room", "rooms", "prime", "number", "café", "안녕하세요", "学习", "horse"]
COMMON: Final = ["please", "report", "the", "is", "data", "好"]
ROLES: Final[tuple[Role, ...]] = ("user", "assistant", "assistant", "tool")
SMALL: Final = Bounds(
    candidates=12,
    candidates_of_sessions=9,
    listed=40,
    step=4,
    sessions_of_step=3,
    of_session=2,
    alike=2,
    words=3,
)
UNITS: Final[tuple[Unit, ...]] = ("session", "message")
SORTS: Final[tuple[Sort, ...]] = ("relevance", "recent")
QUERIES: Final = [
    "zebra",
    "please",
    "please ",
    "report data ",
    "the data is in the report",
    "please report the zebra",
    "meeting room ",
    '"meeting room"',
    '"please report"',
    "prime number zebra giraffe ",
    "Where is the meeting room, please?",
    "What is the zebra number?",
    "which prime giraffe data is a report?",
    "p",
    "pr",
    "mee",
    "report p",
    "E1234",
    "1234",
    "user name",
    "snake_case",
    "case_name report ",
    "strasse",
    "cafe",
    "人工智能",
    "智",
    "好",
    "好 学习",
    "人工学习智能",
    "안녕",
    "น้ำ",
    "🎉",
    "🎉 please",
    "nothing_has_this ",
    "nothing data ",
    '"the is" "is the"?',
    '"the is" "is to"',
    "to-be by-us",
]
BEGINNINGS: Final = ["w", "w1", "w2 ", "please w", "w please", "zebra w", "no_such w", "Which room data is w"]


@pytest.fixture
def few_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every bound so small that a small workspace goes beyond it, and seal few messages at a time."""
    for module in (collector, planner, proof, searching):
        monkeypatch.setattr(module, "BOUNDS", SMALL)
    monkeypatch.setattr(sealing, "SEALED_FROM", 20)
    monkeypatch.setattr(sealing, "_ROWS", 500)
    monkeypatch.setattr(committing, "_PAUSE_S", 0)
    monkeypatch.setattr(lexicon, "WORDS_MAX", 5)
    monkeypatch.setattr(selections, "_FEW", 2)
    monkeypatch.setattr(terms, "LONG_BYTES", 60)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilesStore]:
    """Yield a store in an empty workspace."""
    opened = _open(tmp_path)
    yield opened
    opened.close()


def _open(workspace: Path) -> FilesStore:
    return FilesStore.open(workspace, durability="none")


def _talks(seed: int, *, session_count: int = 30, batch_count: int = 60) -> list[tuple[str, list[Draft]]]:
    """Return batches of messages, the same for a seed, their times in no order; some times are equal."""
    dice = random.Random(seed)  # noqa: S311 - the same at each run
    talks = []
    for batch in range(batch_count):
        said = []
        for place in range(dice.randint(1, 20)):
            words = dice.choices(COMMON, k=dice.randint(0, 6)) + dice.choices(MIDDLE, k=dice.randint(0, 2))
            words += [f"w{dice.randint(0, 300)}"]
            words += [dice.choice(RARE)] if dice.random() < 0.1 else []
            dice.shuffle(words)
            message = draft(" ".join(words), dice.randint(0, 3000), id=f"{batch}-{place}", role=dice.choice(ROLES))
            said.append(message)
        prefix = "telegram" if dice.random() < 0.3 else "api"
        talks.append((f"{prefix}:{dice.randrange(session_count)}", said))
    return talks


def _fill(stores: list[Store], seed: int) -> None:
    for key, said in _talks(seed):
        for store in stores:
            store.append(key, said)


def _settled(workspace: Path, seed: int, *others: Store) -> FilesStore:
    """Return a store with what is made of a seed, all of its words counted."""
    store = _open(workspace)
    _fill([store, *others], seed)
    store.close()
    return _open(workspace)


def _searches(queries: Sequence[str] = QUERIES, **fields: object) -> list[Search]:
    return [
        search_for(query, unit=unit, sort=sort, **fields)  # type: ignore[arg-type]
        for query, unit, sort in product(queries, UNITS, SORTS)
    ]


def _filters() -> list[dict[str, object]]:
    return [
        {},
        {"limit": 3},
        {"limit": 100},
        {"roles": None, "limit": 7},
        {"roles": ("tool",)},
        {"selection": Selection(prefixes=("telegram:",))},
        {"selection": Selection(prefixes=("api:1",))},
        {"selection": Selection(channel="telegram"), "since": at(1000)},
        {"since": at(500), "until": at(700)},
        {"until": at(100), "limit": 50},
    ]


def _ids(hits: Hits) -> list[tuple[str, int]]:
    return [(hit.key, hit.seq) for hit in hits.hits]


# What is answered when there are more matches than are looked at


@pytest.mark.usefixtures("few_candidates")
@pytest.mark.parametrize("fields", _filters(), ids=str)
@pytest.mark.parametrize("queries", [QUERIES, BEGINNINGS], ids=["words", "beginnings"])
def test_find_recent(store: FilesStore, queries: list[str], fields: dict[str, object]) -> None:
    """By time, the answer is that of a store which looks at everything, whatever the bounds and the filters."""
    memory = MemoryStore()
    _fill([store, memory], seed=1)
    for search in _searches(queries, **fields):
        if search.sort == "recent":
            expected, found = memory.search(search), store.search(search)
            assert (search.query.text, expected.mode, _ids(expected)) == (search.query.text, found.mode, _ids(found))
            assert expected.hits == found.hits, search.query.text


@pytest.mark.usefixtures("few_candidates")
@pytest.mark.parametrize("fields", _filters(), ids=str)
@pytest.mark.parametrize("queries", [QUERIES, BEGINNINGS], ids=["words", "beginnings"])
def test_find_relevant(store: FilesStore, queries: list[str], fields: dict[str, object]) -> None:
    """As many are answered as by a store that looks at everything, nothing but true matches, and all are counted."""
    memory = MemoryStore()
    _fill([store, memory], seed=2)
    for search in _searches(queries, **fields):
        expected, found = memory.search(msgspec.structs.replace(search, limit=500)), store.search(search)
        assert (search.query.text, min(search.limit, len(expected.hits))) == (search.query.text, len(found.hits))
        assert len(found.hits) == len(set(_ids(found)))
        counts = {hit.key: hit.match_count for hit in expected.hits}
        for hit in found.hits:
            _justify(memory, search, found, hit.key, hit.seq)
            if expected.mode == found.mode:
                assert (search.query.text, counts[hit.key]) == (search.query.text, hit.match_count)


def _justify(memory: MemoryStore, search: Search, found: Hits, key: str, seq: int) -> None:
    """Fail unless a message matches, and passes the filters."""
    message = memory.read(key).messages[seq - 1]
    words, query = words_of(message.text), search.query
    if found.mode == "all":
        assert all(is_in(words, term) for term in query.terms)
    else:
        assert any(is_in(words, term) for term in query.relaxed)
    assert search.roles is None or message.role in search.roles
    assert search.since is None or message.sent_at >= search.since
    assert search.until is None or message.sent_at < search.until
    assert key.startswith(search.selection.prefix or "")


@pytest.mark.usefixtures("few_candidates")
@pytest.mark.parametrize("unit,sort", list(product(UNITS, SORTS)))
def test_find_with_a_smaller_limit(store: FilesStore, unit: Unit, sort: Sort) -> None:
    """When everything that matches is looked at, a smaller limit answers the first of what a greater one does."""
    _fill([store], seed=3)
    for query in ("zebra", "人工智能", "E1234", '"prime number"'):
        every = _ids(store.search(search_for(query, unit=unit, sort=sort, limit=9)))
        for limit in (1, 4):
            assert every[:limit] == _ids(store.search(search_for(query, unit=unit, sort=sort, limit=limit)))


def test_find_all_when_there_are_few(store: FilesStore) -> None:
    """Within the bounds all is found that matches."""
    memory = MemoryStore()
    _fill([store, memory], seed=4)
    for search in _searches(roles=None, limit=500):
        expected, found = memory.search(search), store.search(search)
        answers = [
            {hit.key if search.unit == "session" else (hit.key, hit.seq) for hit in hits.hits}
            for hits in (expected, found)
        ]
        assert (search.query.text, expected.mode, answers[0]) == (search.query.text, found.mode, answers[1])


# The index comes and goes


@pytest.mark.usefixtures("few_candidates")
@pytest.mark.parametrize("seed", [5, 6])
def test_find_after_loss_of_the_index(tmp_path: Path, seed: int) -> None:
    """An index that is made again from the files answers the same, in the same order."""
    asked = [search for fields in _filters()[::3] for search in _searches([*QUERIES, *BEGINNINGS], **fields)]
    store = _settled(tmp_path, seed)
    before = [store.search(search) for search in asked]
    store.close()
    for path in tmp_path.glob("index*"):
        path.unlink()
    store = _open(tmp_path)
    for search, expected in zip(asked, before, strict=True):
        found = store.search(search)
        assert (search, expected.mode, _ids(expected)) == (search, found.mode, _ids(found))
        assert (expected.hits, expected.elsewhere) == (found.hits, found.elsewhere)
    store.close()


@pytest.mark.usefixtures("few_candidates")
def test_find_after_loss_of_the_index_and_deletions(tmp_path: Path) -> None:
    """Sessions that were deleted leave no trace in the matches and counts of what is left."""
    store = _open(tmp_path)
    _fill([store], seed=7)
    for n in range(0, 30, 2):
        for prefix in ("api", "telegram"):
            if store.keys(Selection(prefixes=(f"{prefix}:{n}",)), limit=1).keys[:1] == (f"{prefix}:{n}",):
                store.delete(f"{prefix}:{n}")
    asked = [search for search in _searches(limit=500) if search.unit == "message" or search.sort == "recent"]
    before = [store.search(search) for search in asked]
    store.close()
    for path in tmp_path.glob("index*"):
        path.unlink()
    store = _open(tmp_path)
    for search, expected in zip(asked, before, strict=True):
        found = store.search(search)
        assert (search, expected.mode, set(_ids(expected))) == (search, found.mode, set(_ids(found)))
    store.close()


def test_build_in_order_of_time(tmp_path: Path) -> None:
    """Files enter a new index as their sessions began, whenever somebody copied them there."""
    with contextlib.closing(_open(tmp_path)) as store:
        for n in (3, 0, 4, 1, 2):
            store.append(f"api:{n}", [draft("please report", 1000 * n)])
    for path in tmp_path.glob("index*"):
        path.unlink()
    for n in range(5):
        os.utime(tmp_path / "sessions" / file_name(f"api:{n}"), (10**9 - n, 10**9 - n))
    with contextlib.closing(_open(tmp_path)):
        (path,) = tmp_path.glob("index-*.sqlite3")
        with contextlib.closing(apsw.Connection(str(path))) as db:
            keys = [key for (key,) in db.execute("SELECT key FROM messages JOIN sessions USING (sid) ORDER BY doc")]
    assert [f"api:{n}" for n in range(5)] == keys


def test_find_after_reopening(tmp_path: Path) -> None:
    """What one store took in, another over the same workspace finds, at once and after the first is closed."""
    first, second = _open(tmp_path), _open(tmp_path)
    first.append("api:1", [draft("Giraffes are tall")])
    second.append("api:2", [draft("A giraffe slept, 東京タワー")])
    for store in (first, second):
        assert {"api:1", "api:2"} == {hit.key for hit in store.search(search_for("giraf")).hits}
        assert {"api:1", "api:2"} == {hit.key for hit in store.search(search_for("giraffe ")).hits}
    first.close()
    second.close()
    third = _open(tmp_path)
    assert ["api:2"] == [hit.key for hit in third.search(search_for("giraffe タワ")).hits]
    third.close()


@pytest.mark.parametrize("typed", ["okapi", "okapis ", "oka", "o", "Okapi*", "okapi's"])
def test_find_a_new_word(store: FilesStore, typed: str) -> None:
    """A word that nobody used before is found at once: whole, by its beginning, in its other forms."""
    _fill([store], seed=8)
    store.append("new:1", [draft("Two okapis!", 5000)])
    assert "new:1" == store.search(search_for(typed, sort="recent")).hits[0].key
    store.delete("new:1")
    assert "new:1" not in {hit.key for hit in store.search(search_for(typed, limit=500)).hits}
    store.append("new:1", [draft("One okapi.", 5000)])
    store.revise("new:1", Revision(title="Mine"))
    assert [("new:1", "Mine")] == [(hit.key, hit.title) for hit in store.search(search_for("okapis ")).hits]


@pytest.mark.parametrize("typed", ["please ", "ple", "please report "])
@pytest.mark.parametrize("later", [0, 1500])
def test_count_matches_of_older_sessions(store: FilesStore, typed: str, later: int) -> None:
    """The matches of sessions are counted, also if newer messages do not match."""
    for n in range(40):
        store.append(f"api:{n}", [draft("please report" if m % 3 else "no", 100 * n + m) for m in range(30)])
    for n in range(0, later, 500):
        store.append("api:later", [draft("nothing", 5000 + n + m) for m in range(500)])
    hits = store.search(search_for(typed, limit=10)).hits
    assert (10, {20}) == (len(hits), {hit.match_count for hit in hits})


def test_find_by_a_beginning_that_became_common(store: FilesStore) -> None:
    """A word that has become one of the commonest with a beginning since these were remembered is found by it."""
    words = [f"w{n:03}" for n in range(450)]
    store.append("old:1", [draft(" ".join(words), n, id=str(n)) for n in range(8)])
    store.append("old:2", [draft("nothing", n, id=str(n)) for n in range(2000)])
    before = {hit.key for hit in store.search(search_for("w", limit=500)).hits}
    store.append("new:1", [draft(words[-1], n, id=str(n)) for n in range(1000)])
    store.append("new:2", [draft(words[-1], n, id=str(n)) for n in range(1000)])
    assert {"old:1"} == before
    for asked in (search_for("w", selection=Selection(prefixes=("new:",))), search_for("w", sort="recent")):
        assert {"new:1", "new:2"} <= {hit.key for hit in store.search(asked).hits}


def test_find_newest_of_a_beginning_of_many_words(store: FilesStore) -> None:
    """The newest messages are found by a beginning, however many commoner words begin alike."""
    said = [draft(f"w{n:03}", n) for n in range(400)]
    store.append("api:1", [*said, *(draft(f"w{n:03}", -n) for n in range(80))])
    hits = store.search(search_for("w", sort="recent", unit="message", limit=5))
    assert [400, 399, 398, 397, 396] == [hit.seq for hit in hits.hits]


@pytest.mark.parametrize("sort", SORTS)
def test_find_beside_a_long_session(store: FilesStore, sort: Sort) -> None:
    """One session that has all of the newest matches is answered once, and fully counted; others fill the answer."""
    for n in range(40):
        store.append(f"api:{n}", [draft("a word", n)])
    store.append("api:long", [draft("a word", 1000 + n) for n in range(1200)])
    hits = store.search(search_for("word ", sort=sort, limit=41)).hits
    expected = {"api:long": 1200} | {f"api:{n}": 1 for n in range(40)}
    assert (41, expected) == (len(hits), {hit.key: hit.match_count for hit in hits})


@pytest.mark.usefixtures("few_candidates")
def test_find_nothing_where_nothing_is(store: FilesStore) -> None:
    """Whatever is asked for in a part without sessions, the answer is empty, and all of it."""
    _fill([store], seed=1)
    for search in _searches([*QUERIES, *BEGINNINGS], selection=Selection(prefixes=("nowhere:",))):
        assert Hits(hits=()) == store.search(search)


@pytest.mark.usefixtures("few_candidates")
def test_find_the_last_of_one_time(tmp_path: Path) -> None:
    """Of many messages of a session that were sent at the same time, the last is answered."""
    with contextlib.closing(_open(tmp_path)) as store:
        store.append("api:1", [draft("a word", id=str(n)) for n in range(20)])
    with contextlib.closing(_open(tmp_path)) as store:
        assert [("api:1", 20)] == _ids(store.search(search_for("word ", sort="recent")))


def test_find_words_in_a_row(store: FilesStore) -> None:
    """A phrase is found in exactly the messages that have it, whatever other pairs of words these and others have."""
    words = ["the", "a", "north", "star", "東", "deck"]
    dice = random.Random(8)  # noqa: S311 - the same at each run
    weights = [2.0**-place for place in range(len(words))]
    said = [" ".join(dice.choices(words, weights, k=8)) for _ in range(300)]
    store.append("api:1", [draft(text, number) for number, text in enumerate(said)])
    for _ in range(150):
        row = dice.choices(words, weights, k=dice.choice((3, 4, 5, 8)))
        wanted = {number for number, text in enumerate(said, 1) if " ".join(row) in text}
        hits = store.search(search_for(f'"{" ".join(row)}"', unit="message", limit=300))
        assert wanted == {hit.seq for hit in hits.hits if hits.mode == "all"}


def test_find_words_in_a_row_of_a_long_message(store: FilesStore) -> None:
    """However often a message says the words of a phrase, and however many these are, to find it is no long work."""
    store.append("api:1", [draft("a b " * 50_000 + "a a b")])
    for words in ("a a b", "b a b a", "a b " * 200):
        hits = store.search(search_for(f'"{words.strip()}"'))
        assert ([("api:1", 1)], False, "all") == (_ids(hits), hits.partial, hits.mode)


def test_rank_a_pair_of_one_message(store: FilesStore) -> None:
    """A pair of characters that one message has weighs as much as a word of one, also after the index is built."""
    memory = MemoryStore()
    for each in (store, memory):
        each.append("api:a", [draft("東京 and a longer text here", 0)])
        each.append("api:b", [draft("zebra", 5)])
        each.append("api:c", [draft("nothing of that", 6, id=str(n)) for n in range(3)])
    store.reindex()
    for query in ("東京 zebra ", "zebra 東京"):
        assert _ids(memory.search(search_for(query))) == _ids(store.search(search_for(query)))


def test_find_recent_of_a_question_of_common_words(store: FilesStore) -> None:
    """By time, too, a message that has every word of a question stands before newer ones that have some."""
    store.append("api:1", [draft("report of the data in a meeting room", 0), draft("a room", 1)])
    hits = store.search(search_for("Which meeting room has the report data?", sort="recent", limit=1))
    assert ("all", [("api:1", 1)]) == (hits.mode, _ids(hits))


@pytest.mark.usefixtures("few_candidates")
@pytest.mark.parametrize("query", ["report to the zebra", "the report of", "what is the data of a report?"])
def test_find_what_was_said_word_by_word(store: FilesStore, query: str) -> None:
    """What has the very words of the query is a candidate however old it is, and is counted as all else."""
    for n in range(60):
        store.append(f"api:{n}", [draft("the data, a report, zebra", 100 + n), draft("a report of data", 99)])
    store.append("api:old", [draft(f"so {query} and more", 0), draft("no report, no zebra, no data", 1)])
    for unit, places in (("session", [("api:old", 1, 2)]), ("message", [("api:old", 1, 2)])):
        found = store.search(search_for(query, unit=unit)).hits[:1]  # type: ignore[arg-type]
        assert places == [(hit.key, hit.seq, hit.match_count) for hit in found]


def test_prove_quotes_among_many_that_only_seem_so(store: FilesStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts that turn out not to quote a query only lose their place: nobody chooses and scores all messages anew."""
    rankings: list[int] = []
    ranking = Candidates.ranking

    def counted(self: Candidates, pool: Pool) -> Ranking:
        rankings.append(len(pool.typed))
        return ranking(self, pool)

    for number in range(120):
        quote = "crimson violet ochre" if number % 4 == 0 else "violet ochre or crimson violet"
        store.append(f"cli:{number:03}", [draft(quote, number)])
    monkeypatch.setattr(Candidates, "ranking", counted)
    found = _ids(store.search(search_for("crimson violet ochre", limit=30)))
    assert [120] == rankings
    assert {f"cli:{number:03}" for number in range(0, 120, 4)} == {key for key, _ in found}


def test_rank_a_bounded_number_in_few_sessions(store: FilesStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many messages of few sessions match, few of each are ranked beyond the newest of all."""
    sizes: list[int] = []
    scores = Scores.__init__

    def counted(self: Scores, matches: Sequence[Match], weights: Sequence[float]) -> None:
        sizes.append(len(matches))
        scores(self, matches, weights)

    for key in ("a", "b", "c"):
        store.append(f"cli:{key}", [draft(f"okapi {number}", number) for number in range(700)])
    monkeypatch.setattr(Scores, "__init__", counted)
    found = store.search(search_for("okapi"))
    assert [(f"cli:{key}", 700) for key in "abc"] == sorted((hit.key, hit.match_count) for hit in found.hits)
    assert max(sizes) <= 400 + 3 * 8


@pytest.mark.parametrize("keys", ["ab", "ba"])
def test_find_a_phrase_among_equals(store: FilesStore, keys: str) -> None:
    """Of messages that are as good as each other all are looked at for a phrase, in whatever order they came."""
    said = {"a": "zebra tall", "b": "tall zebra"}
    for key in keys:
        store.append(f"api:{key}", [draft(said[key], id="1")])
    assert [("api:b", 1), ("api:a", 1)] == _ids(store.search(search_for("tall zebra ")))


def test_count_the_few_that_filters_leave(tmp_path: Path) -> None:
    """Where filters leave few of very many matches, most of them of one session, those are all counted."""
    with contextlib.closing(_open(tmp_path)) as store:
        store.append("api:1", [draft("a word", role="tool") for _ in range(600)])
        store.append("api:2", [draft("a word") for _ in range(150)])
    with contextlib.closing(_open(tmp_path)) as store:
        (hit,) = store.search(search_for("word ")).hits
    assert ("api:2", 150) == (hit.key, hit.match_count)


# Highlights

FORMS: Final = [
    *("zebra", "zebras", "giraffe", "meeting", "meetings", "running", "runs", "prime", "café", "straße", "œuvre"),
    *("привет", "книги", "ελλάδα", "שלום", "हिन्दी", "getUserName", "E1234", "snake_case_name", "src/core/words.py"),
    *("人工智能", "機器學習", "東京タワー", "안녕하세요", "สวัสดี", "น้ำ", "🎉", "👍🏽", "🇩🇪", "👨\u200d👩\u200d👧", "42"),
]
GLUE: Final = [" ", "  ", "\n", ", ", ". ", " – ", "\r\n\r\n", " (", ") "]


def _written(dice: random.Random, word: str) -> str:
    """Return a word in one of the ways to write it."""
    ways = (
        str,
        str,
        str.upper,
        lambda text: unicodedata.normalize("NFD", text),
        lambda text: "".join(chr(ord(each) + 0xFEE0) if "!" <= each <= "~" else each for each in text),
    )
    return str(dice.choice(ways)(word))


def _said(dice: random.Random, count: int, forms: Sequence[str] = FORMS) -> str:
    return "".join(_written(dice, dice.choice(forms)) + dice.choice(GLUE) for _ in range(count))


def _plain(text: str) -> str:
    """Return a text without case, width, accents and skin tones; written apart from the product's own folding."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    kept = [each for each in folded if not (unicodedata.combining(each) and ord(each) < 0x370)]
    return "".join(each for each in kept if each not in "\u200d🏽" and not "\u0591" <= each <= "\u05c7")


def _is_hit(shown: str, asked: str) -> bool:
    """Tell whether a highlight is what was asked for: the same, begun so, or another form of it."""
    found, wanted = _plain(shown), _plain(asked)
    return found.startswith(wanted) or (found.isalpha() and stem(found) == stem(wanted))


def test_highlights_of_a_hundred_thousand_hits(store: FilesStore) -> None:
    """Every highlight cuts out what folds to the term, begins with it or shares its stem; the store says the same."""
    dice = random.Random(11)  # noqa: S311 - the same at each run
    checked = 0
    while checked < 100_000:
        said = dice.sample(FORMS, 5)
        text = _said(dice, 120, said)
        for asked in said:
            for start, end in highlights(text, parse_query(asked)):
                assert _is_hit(text[start:end], asked), (text[start:end], asked)
                checked += 1
    for n in range(40):
        store.append(f"api:{n}", [draft(_said(dice, 60), n + m) for m in range(10)])
    stored = 0
    for asked, sort in product(FORMS, SORTS):
        for hit in store.search(search_for(asked, unit="message", sort=sort, limit=60)).hits:
            assert hit.highlights
            for start, end in hit.highlights:
                assert _is_hit(hit.excerpt[start:end], asked), (hit.excerpt[start:end], asked)
                stored += 1
    assert stored > 3000


def test_highlights_of_every_word(store: FilesStore) -> None:
    """No word is found that is not shown: the hits of a text are as many as a plain count of what was put in."""
    dice = random.Random(12)  # noqa: S311 - the same at each run
    for _ in range(200):
        said = dice.choices(["zebra", "東京タワー", "🎉", "café", "E1234"], k=30)
        text = "".join(_written(dice, word) + " " for word in said)
        for asked in set(said):
            assert said.count(asked) == len(highlights(text, parse_query(f'"{asked}"')))


def test_find_in_time_of_messages_far_apart(store: FilesStore) -> None:
    """Messages of any year stand in the order of their times."""
    years = [3000, 1970, 2024, 9000, 1800, 2023]
    for year in years:
        sent_at = at(0) + timedelta(days=365 * (year - 2024))
        store.append(f"api:{year}", [msgspec.structs.replace(draft("zebra"), sent_at=sent_at)])
    found = [hit.key for hit in store.search(search_for("zebra", sort="recent")).hits]
    assert [f"api:{year}" for year in sorted(years, reverse=True)] == found
