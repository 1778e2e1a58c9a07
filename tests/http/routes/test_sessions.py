"""The object dialect does what the contract's sections 2 and 8 say."""

from __future__ import annotations

import httpx
import pytest

from chatkeep.core.model import Json


def _add(client: httpx.Client, key: str, *texts: str, minute: int = 0, **parameters: str) -> None:
    at = f"2024-02-01T10:{minute:02}:00Z"
    messages = [{"role": "user", "content": text, "timestamp": at} for text in texts]
    answer = client.post("/api/v1/messages", params={"session": key, **parameters}, json=messages)
    assert answer.status_code == 201


def _ids(answer: httpx.Response) -> list[str]:
    return [session["id"] for session in answer.json()["sessions"]]


@pytest.fixture
def prefix(client: httpx.Client, request: pytest.FixtureRequest) -> str:
    """The beginning of five keys, of which the last is the newest."""
    prefix = f"{request.node.name}:"
    for number in range(5):
        _add(client, f"{prefix}{number}", f"Hello {number}", minute=number)
    return prefix


def test_list_is_newest_first_and_counts_what_the_filters_match(client: httpx.Client, prefix: str) -> None:
    """`limit` cuts the list, not the total."""
    answer = client.get("/api/sessions", params={"prefix": prefix, "limit": 2})
    assert _ids(answer) == [f"{prefix}4", f"{prefix}3"]
    assert answer.json()["total"] == 5


def test_list_skips_and_repeats_nothing_while_sessions_change(client: httpx.Client, prefix: str) -> None:
    """A session that did not move is met exactly once, whatever happens to the others."""
    first = client.get("/api/sessions", params={"prefix": prefix, "limit": 2})
    _add(client, f"{prefix}new", "I am new", minute=30)
    _add(client, f"{prefix}0", "I move up", minute=31)
    client.delete(f"/api/sessions/{prefix}3")
    cursor = first.json()["next_cursor"]
    rest = client.get("/api/sessions", params={"prefix": prefix, "limit": 500, "cursor": cursor})
    assert _ids(rest) == [f"{prefix}2", f"{prefix}1"]
    assert rest.json()["next_cursor"] is None


def test_list_of_a_tag_or_of_pins(client: httpx.Client, prefix: str) -> None:
    """Both dialects and the search take `tag`, several of them for sessions that have all, and `pinned`."""
    for number, tags in enumerate((["x"], ["x", "a, b"], ["a, b"])):
        client.patch(f"/api/v1/sessions/{prefix}{number}", json={"tags": tags, "pinned": number == 0})
    for chosen, expected in (
        ("tag=x", "10"),
        ("tag=x&tag=a,%20b", "1"),
        ("tag=x&pinned=true", "0"),
        ("tag=x&pinned=false", "1"),
        ("tag=x&pinned=all", "10"),
        ("tag=X", ""),
        ("tag=", ""),
        ("tag=%00", ""),
        ("pinned=false", "4321"),
    ):
        keys = [f"{prefix}{number}" for number in expected]
        answer = client.get(f"/api/sessions?prefix={prefix}&{chosen}")
        assert (_ids(answer), answer.json()["total"]) == (keys, len(keys))
        listed = client.get(f"/api/v1/sessions?prefix={prefix}&{chosen}&limit=5").json()
        assert (listed["sessions"], listed["count"]) == (sorted(keys), len(keys))
        found = client.get(f"/api/sessions/search?q=hello&sort=recent&prefix={prefix}&{chosen}")
        assert _ids(found) == keys
    cursor = client.get(f"/api/sessions?prefix={prefix}&tag=x&limit=1").json()["next_cursor"]
    page = client.get("/api/sessions", params={"prefix": prefix, "tag": "x", "limit": 1, "cursor": cursor})
    assert (_ids(page), page.json()["next_cursor"]) == ([f"{prefix}0"], None)
    assert client.get("/api/sessions", params={"prefix": prefix, "tag": "y", "cursor": cursor}).status_code == 422


def test_list_shows_archived_sessions_only_when_asked(client: httpx.Client, prefix: str) -> None:
    """`archived=true` shows them alone, `all` among the others."""
    client.patch(f"/api/v1/sessions/{prefix}1", json={"archived": True})
    counts = {
        archived: client.get("/api/sessions", params={"prefix": prefix, "archived": archived}).json()["total"]
        for archived in ("false", "true", "all")
    }
    assert counts == {"false": 4, "true": 1, "all": 5}
    assert client.get("/api/sessions", params={"prefix": prefix}).json()["total"] == 4


def test_list_filters_by_channel(client: httpx.Client, prefix: str) -> None:
    """The channel is the one given, else the one the key names, else api."""
    _add(client, f"{prefix}x", "hi", channel="web-two")
    answer = client.get("/api/sessions", params={"prefix": prefix, "channel": "web-two"})
    assert _ids(answer) == [f"{prefix}x"]


def test_session_shows_its_title_preview_and_counts(client: httpx.Client) -> None:
    """The title comes from the first user message until somebody sets one; counts are of all messages."""
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "  \nHow   are you?\nreally"},
        {"role": "assistant", "content": "Fine."},
    ]
    client.post("/api/v1/messages?session=shows:1", json=messages)
    (session,) = client.get("/api/sessions?prefix=shows:1").json()["sessions"]
    assert (session["title"], session["preview"], session["message_count"]) == ("How are you?", "Fine.", 3)
    assert client.get("/api/v1/sessions/shows:1").json()["message_count"] == 2


def test_history_is_the_last_messages_oldest_first(client: httpx.Client) -> None:
    """`limit` keeps the newest, `before` pages back."""
    _add(client, "history:1", *(f"m{number}" for number in range(1, 61)))
    history = client.get("/api/memory/session?id=history:1").json()
    assert [message["seq"] for message in history] == list(range(11, 61))
    assert [m["content"] for m in client.get("/api/memory/session?id=history:1&limit=1").json()] == ["m60"]
    before = client.get("/api/memory/session?id=history:1&limit=2&before=11").json()
    assert [message["seq"] for message in before] == [9, 10]
    assert client.get("/api/memory/session?id=history:none").status_code == 404


@pytest.mark.parametrize(
    "content",
    [
        "# Markdown\n```py\nprint('x')\n```",
        "a\r\nb\r\n  leading",
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f עברית \u202e!",
        [{"type": "text", "text": "part"}, {"type": "image_url", "image_url": {"url": "x"}}],
        "",
        "</script><b>",
    ],
)
def test_content_comes_back_exactly(content: Json, client: httpx.Client) -> None:
    """Nothing is trimmed, folded or escaped."""
    key = client.post("/api/v1/messages", json={"role": "user", "content": content}).json()["session"]
    assert client.get("/api/memory/session", params={"id": key}).json()[0]["content"] == content


def test_search_answers_each_session_once_by_its_best_message(client: httpx.Client) -> None:
    """The excerpt has the hit, the highlights slice to it, the seq anchors it."""
    _add(client, "find:1", "nothing here", "the Zirkonium ring", "zirkonium again")
    answer = client.get("/api/sessions/search", params={"q": "ZIRKONIUM", "prefix": "find:"}).json()
    (hit,) = answer["sessions"]
    start, end = hit["highlights"][0]
    assert hit["match"][start:end].lower() == "zirkonium"
    assert (hit["match_count"], hit["match_role"], answer["mode"]) == (2, "user", "all")
    client.delete("/api/sessions/find:1")
    assert client.get("/api/sessions/search?q=zirkonium&prefix=find:").json()["sessions"] == []


@pytest.mark.parametrize("query", ["", "   ", '"', "*", "(", "AND", '""', "\t%"])
def test_searching_for_no_words_never_fails(query: str, client: httpx.Client) -> None:
    """No character is an operator; a blank query finds nothing."""
    answer = client.get("/api/sessions/search", params={"q": query})
    assert answer.status_code == 200
    assert query.strip() or answer.json()["sessions"] == []


def test_search_filters_by_role_and_time(client: httpx.Client) -> None:
    """`since` is inclusive, `until` exclusive; tool messages only when asked for."""
    for role, minute in (("user", 0), ("tool", 1)):
        body = {"role": role, "content": "quokka", "timestamp": f"2024-02-01T10:0{minute}:00Z"}
        client.post(f"/api/v1/messages?session=filter:{role}", json=body)

    def found(**parameters: str) -> list[str]:
        return _ids(client.get("/api/sessions/search", params={"q": "quokka", "sort": "recent", **parameters}))

    assert found() == ["filter:user"]
    assert found(role="tool") == ["filter:tool"]
    assert found(role="any") == ["filter:tool", "filter:user"]
    assert found(since="2024-02-01T10:00:00Z", until="2024-02-01T10:00:00Z") == []
    assert found(since="2024-02-01T10:00:00Z", until="2024-02-01T10:00:01Z") == ["filter:user"]


def test_get_one_session(client: httpx.Client) -> None:
    """A session by itself is as in the list, with its metadata; also when its key has slashes."""
    _add(client, "one/a b:1", "Hello")
    client.patch("/api/v1/sessions/one/a b:1", json={"metadata": {"a": 1}, "tags": ["x"]})
    answer = client.get("/api/sessions/one/a b:1")
    listed = client.get("/api/sessions", params={"prefix": "one/"}).json()["sessions"][0]
    assert (answer.status_code, answer.json()) == (200, {"metadata": {"a": 1}, **listed})
    assert client.head("/api/sessions/one/a b:1").status_code == 200
    missing = client.get("/api/sessions/none")
    assert (missing.status_code, missing.json()["code"]) == (404, "session_not_found")
