"""Whatever is typed into the search is answered, in time, with nothing that a plain reading would not justify."""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote_from_bytes, urlencode

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette

from chatkeep.access.tokens import TokenFile
from chatkeep.core.model import Draft
from chatkeep.core.search.irregular import FORMS
from chatkeep.http.app import create_app
from chatkeep.http.gate.guard import UNLIMITED, Guard
from chatkeep.http.gate.limits import Limits
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.files.store import FilesStore

QUERY_COUNT: Final = 4_000
BATCH: Final = 20
URL_MAX: Final = 10_000  # bytes of a query
STEMMED: Final = 3  # letters that two forms of an English word have in common
SAID: Final = [
    "How do I find a prime number in Python?",
    "You can test each divisor up to the square root: `is_prime(n)` and getUserName(1) in src/core/words.py",
    "The meeting moved to Thursday in the blue room. Who's coming? AND, OR, NOT, NEAR(zebra giraffe)",
    "It failed with ERR_CONN_RESET (0x80070005), then E1234; see foo:bar, 100% of C:\\Windows\\System32",
    "Ein Café an der langen Straße: ÄÖÜ, œuvre, ﬁnd, Ｆｕｌｌ ｗｉｄｔｈ",
    "我喜欢人工智能和机器学习，也喜欢北京的秋天。",
    "昨日は東京タワーへ行きました。ｶﾞﾗｽのコップ",
    "여러분 안녕하세요, 서울에서 만나요",
    "ดื่มน้ำเย็นกันไหม สวัสดีครับ",
    "Привет, мир! Книги лежат на столе.",
    "Η Ελλάδα είναι εδώ. שלום עולם مرحبا بالعالم मैं हिन्दी बोलता हूँ",
    "We won! 🎉👍🏽 from 🇩🇪 with ❤️, the family 👨‍👩‍👧‍👦 says",
    "the of and to is it that was for on are as with his they at be this",
    'snake_case_name = parse_query("quick brown") * 2 - \'; DROP TABLE words; --',
]
PIECES: Final = [
    *("AND", "OR", "NOT", "NEAR", "NEAR(", "NEAR/2", "text:", "parts :", "rank", "{", "}", "(", ")", "[", "]", "^"),
    *('"', '""', "'", "''", "*", "**", "%", "%%", "_", "-", "--", "+", "~", ":", ";", "\\", "/", ",", ".", "?", "!"),
    *("\0", "\x01", "\x7f", "\ufeff", "\u200b", "\u200d", "\u202e", "\ue000", "\ue001", "\ue0021", "\ufffd", "\ufe0f"),
    *("the", "of", "and", "what", "who's", "don't", "is", "a", "to"),
    *("prime", "primes", "pri", "num", "zebra", "Café", "STRASSE", "is_prime", "username", "E12", "0x", "fu", "книг"),
    *("人", "人工", "工智能", "東京", "タワ", "ガラス", "안녕", "녕하", "น้ำ", "ำ", "สวัส", "हिन्दी", "שלום", "مرح"),
    *("🎉", "👍", "👍🏿", "🇩🇪", "🇪", "👩‍👧", "❤", "1", "42", "١"),
]


class Asked:
    """A server in this process, and who asks it."""

    def __init__(self, app: Starlette, secret: str) -> None:
        """Begin with the first request."""
        self._runner = asyncio.Runner()
        self._app = app
        self._headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {secret}".encode())]

    def get(self, path: str, query: str) -> tuple[int, Any]:
        """Return the status and the body of what the server answers; plain ASGI, as a client would take most time."""
        return self._runner.run(self._get(path, query.encode()))

    async def _get(self, path: str, query: bytes) -> tuple[int, Any]:
        sent: list[Any] = []
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
        }
        scope |= {"path": path, "raw_path": path.encode(), "query_string": query, "root_path": ""}
        scope |= {"headers": self._headers, "client": ("127.0.0.1", 1), "server": ("localhost", 80)}

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:  # noqa: ANN401 - an ASGI message
            sent.append(message)

        await self._app(scope, receive, send)
        return sent[0]["status"], msgspec.json.decode(b"".join(part.get("body", b"") for part in sent[1:]))

    def close(self) -> None:
        """Ask no more."""
        self._runner.close()


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """A server in this process, with sample sessions and what is hard to search; nothing limits the rate."""
    folder: Path = tmp_path_factory.mktemp("search")
    store = FilesStore.open(folder / "workspace", durability="none")
    samples = resources.files("chatkeep.demo").joinpath("sessions.jsonl").read_text()
    for line in samples.splitlines():
        _append(store, msgspec.json.decode(line))
    for n, text in enumerate(SAID):
        store.append(f"own:{n % 5}", [Draft(role="user", content=text, sent_at=_sent_at(n), id=f"own-{n}")])
    tokens = TokenFile(folder / "tokens.json")
    secret, _ = tokens.create("admin", scopes=("admin",))
    limits = Limits(folder / "limits.sqlite")
    guard = Guard(tokens, limits, hosts={"localhost"}, rates=UNLIMITED)
    asked = Asked(create_app(Sessions(store), guard), secret)
    yield asked
    asked.close()
    limits.close()
    store.close()


def _sent_at(n: int) -> datetime:
    return datetime(2024, 3, 1, tzinfo=UTC) + timedelta(hours=n)


def _append(store: FilesStore, session: dict[str, Any]) -> None:
    """Append what was said in a sample session."""
    drafts = [
        Draft(
            role=each["role"], content=each["content"], sent_at=datetime.fromisoformat(each["timestamp"]), id=each["id"]
        )
        for each in session["messages"]
        if each["role"] in {"user", "assistant"} and each["content"]
    ]
    store.append(session["key"], drafts)


# A plain reading: what would justify an answer, worked out apart from the product's own folding and cutting


@lru_cache(maxsize=4096)
def _plain(text: str) -> str:
    """Return a text without case, width and marks on letters that can do without."""
    folded = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", text).casefold())
    kept = (each for each in folded if each > "\u0900" or unicodedata.category(each) != "Mn")
    return "".join(kept).replace("\u200d", " ").replace("\ufe0f", "")


@lru_cache(maxsize=4096)
def _beginnings(text: str) -> frozenset[str]:
    """Return the first letters of each word of a text."""
    return frozenset(word[:STEMMED] for word in re.findall(r"[^\W_]+", _plain(text)))


def _lone(run: str) -> list[str]:
    """Return the characters of scripts without spaces that have letters of other scripts on both sides."""
    found = re.findall(r"[\u0e00-\u0eff\u1000-\u11ff\u1780-\u17ff\u2e80-\u9fff\uac00-\ud7ff]+", run)
    return [piece for piece in found if len(piece) == 1]


def _is_justified(text: str, query: str) -> bool:
    """Tell whether a text has a word, a piece or a sign of a query, or a word that begins like one."""
    plain, asked = _plain(text), _plain(query)
    for run in re.findall(r"[a-z0-9]+|(?:(?![a-z0-9])[^\W_]|[\u0e31-\u0e4e])+", asked):
        pieces = [run, *(run[place : place + 2] for place in range(len(run) - 1) if not run.isascii()), *_lone(run)]
        alike = [run, *(form for forms in FORMS.values() if run in forms or run.startswith(forms[0]) for form in forms)]
        if any(piece in plain for piece in pieces) or {form[:STEMMED] for form in alike} & _beginnings(text):
            return True
    return any(sign in plain for sign in asked if unicodedata.category(sign) == "So")


@pytest.mark.parametrize(
    "text,query,expected",
    [
        ("Two primes", "prime", True),
        ("Two primes", "PRIMED!", True),
        ("They went", "going", True),
        ("Two primes", "zebra two", True),
        ("Two primes", "zebra", False),
        ("喜欢人工智能", "我人工", True),
        ("喜欢人工智能", "人能", False),
        ("We won 🎉", "🎉", True),
        ("We won 🎉", "👍 zebra", False),
        ("Straße", "STRASSE", True),
        ("getUserName", "user", True),
        ("anything", "*", False),
    ],
)
def test_plain_reading(text: str, query: str, expected: bool) -> None:  # noqa: FBT001 - what is expected
    """The reading that answers are held against tells right from wrong."""
    assert expected == _is_justified(text, query)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


pieces = st.sampled_from(PIECES)
said = st.sampled_from(SAID)
queries = st.one_of(
    st.lists(pieces, min_size=1, max_size=8).map("".join),
    st.lists(pieces, min_size=1, max_size=8).map(" ".join),
    st.tuples(said, st.integers(0, 60), st.integers(1, 40)).map(lambda cut: cut[0][cut[1] : cut[1] + cut[2]]),
    said,
    st.text(max_size=30),
    st.text(alphabet=st.characters(categories=("P", "S", "Z", "C")), max_size=20),
    st.sampled_from(["the of and", "is it that", "a", "to be or not to be", "what is the"]),
    st.tuples(pieces, st.integers(1, 1000)).map(lambda times: (times[0] * times[1])[:1000]),
).map(_encoded)
nasty = st.one_of(
    st.binary(max_size=20),
    st.sampled_from(PIECES[-50:]).map(lambda piece: _encoded(f"{piece} " * 3000)),
    st.sampled_from(
        [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xed\xb3\xbf prime", b"\xf4\x90\x80\x80", b"prime\x00", b""]
    ),
)
batches = st.lists(st.one_of(*[queries] * 9, nasty), min_size=BATCH, max_size=BATCH)
options = st.sampled_from(["", "&unit=message", "&sort=recent", "&unit=message&sort=recent", "&role=any"])


@settings(
    max_examples=QUERY_COUNT // BATCH,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
@given(batches, options)
def test_search_for_anything(asked: Asked, batch: list[bytes], option: str) -> None:
    """Thousands of queries: each is answered whole within the time a search has, or refused; each hit is justified."""
    for raw in batch:
        status, page = asked.get("/api/sessions/search", f"q={quote_from_bytes(raw[:URL_MAX])}&limit=4{option}")
        assert status in {200, 422}, raw
        if status == 200:
            _check(asked, raw.decode("utf-8", "replace"), page)


def _check(asked: Asked, query: str, page: dict[str, Any]) -> None:
    """Fail when an answer is cut short, or has what the query does not ask for."""
    assert page["partial"] is False
    for hit in page["sessions"]:
        excerpt = hit["match"]
        is_shown = _is_justified(excerpt, query)
        is_named = not hit["match_count"] and _is_justified(f"{hit['title']} {hit['id']}", query)
        is_told = is_shown or is_named or _is_justified(_message(asked, hit["id"], hit["seq"]), query)
        assert is_told, (query, excerpt)
        for start, end in hit["highlights"]:
            assert 0 <= start < end <= len(excerpt)
            assert _is_justified(excerpt[start:end], query), (query, excerpt[start:end])


def _message(asked: Asked, key: str, seq: int) -> str:
    _, found = asked.get("/api/memory/session", urlencode({"id": key, "before": seq + 1, "limit": 1}))
    return str(found[0]["content"])


@pytest.mark.parametrize(
    "raw,status",
    [
        (b"%ff", 422),
        (b"%ed%a0%80", 422),
        (b"prime%00", 200),
        (b"", 200),
        (b"%20%09", 200),
        (b"a" * 1000, 200),
        (b"a" * 1001, 422),
        (b"a%20" * 5000, 422),
    ],
)
def test_search_for_bad_input(asked: Asked, raw: bytes, status: int) -> None:
    """What is no text, or too long, is refused; what says nothing finds nothing."""
    assert status == asked.get("/api/sessions/search", f"q={raw.decode()}")[0]


@pytest.mark.parametrize(
    "query", ["getUserName", "人工智能", "น้ำเย็น", "안녕", "🎉", "0x80070005", "foo:bar", "prime num"]
)
def test_search_for_what_is_there(asked: Asked, query: str) -> None:
    """What was said is found among the samples, by those who type it as it was written."""
    _, page = asked.get("/api/sessions/search", urlencode({"q": query, "unit": "message"}))
    assert "all" == page["mode"]
    assert page["sessions"]
    for hit in page["sessions"]:
        assert hit["highlights"]
    plain = [_plain(_message(asked, hit["id"], hit["seq"])) for hit in page["sessions"]]
    assert any(_plain(query) in text for text in plain)
