"""The routes that take messages back, replace all of them, and begin sessions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count

import httpx
import pytest

from chatkeep.core.model import Json
from tests.http.conftest import Server

NUMBERS = count(1)


@pytest.fixture
def key() -> str:
    """A key that no other test has."""
    return f"rewound:{next(NUMBERS)}"


def said(number: int, **fields: Json) -> dict[str, Json]:
    """Return a message to append."""
    return {"role": "user" if number % 2 else "assistant", "content": f"line {number}", "id": f"m{number}", **fields}


@pytest.fixture
def talk(client: httpx.Client, key: str) -> str:
    """A session of three messages, by its key."""
    assert 201 == client.post(f"/api/v1/messages?session={key}", json=[said(n) for n in (1, 2, 3)]).status_code
    return key


def window(client: httpx.Client, key: str) -> list[str]:
    """Return the content of the messages of a session."""
    answer = client.get("/api/v1/messages", params={"session": key}).json()
    return [message["content"] for message in answer["messages"]]


@pytest.fixture
def other(server: Server) -> Iterator[dict[str, httpx.Client]]:
    """Clients with one scope or two each."""
    made = {}
    for scopes in (("read",), ("write",), ("delete",), ("write", "delete"), ("read", "write")):
        secret, _ = server.tokens.create("one", scopes=scopes)
        made["+".join(scopes)] = server.client(secret)
    yield made
    for client in made.values():
        client.close()


def test_drop_the_last_message(client: httpx.Client, talk: str) -> None:
    """The answer has what was dropped; nobody finds it afterwards, but the log."""
    answer = client.delete("/api/v1/messages", params={"session": talk, "last": 1})
    told = answer.json()
    assert (200, talk, 4, [[3, 3]], 4) == (
        answer.status_code,
        told["session"],
        told["message_count"],
        told["drops"],
        told["mark"]["seq"],
    )
    assert ["line 3"] == [message["content"] for message in told["messages"]]
    assert ["line 1", "line 2"] == window(client, talk)
    log = client.get("/api/v1/messages", params={"session": talk, "log": "true"}).json()["messages"]
    assert [None, None, None, [[3, 3]]] == [line.get("drops") for line in log]


@pytest.mark.parametrize(
    "chosen,left",
    [
        ({"seq": "2"}, ["line 1", "line 3"]),
        ({"seq": "2-9"}, ["line 1"]),
        ({"id": "m1"}, ["line 2", "line 3"]),
        ({"last": "2"}, ["line 1"]),
        ({"all": "true"}, []),
    ],
)
def test_drop_what_is_chosen(client: httpx.Client, talk: str, chosen: dict[str, str], left: list[str]) -> None:
    """Each way to choose leaves the others; a second time nothing of it is there."""
    assert 200 == client.delete("/api/v1/messages", params={"session": talk, **chosen}).status_code
    assert left == window(client, talk)
    if "last" not in chosen:
        again = client.delete("/api/v1/messages", params={"session": talk, **chosen})
        assert (404, "message_not_found") == (again.status_code, again.json()["code"])


@pytest.mark.parametrize(
    "chosen",
    [
        *({}, {"last": "1", "all": "true"}, {"last": "0"}, {"last": "501"}, {"seq": "0"}, {"seq": "3-2"}, {"seq": "x"}),
        *({"all": "false"}, {"id": ""}, {"last": "1", "mark": "\x00"}, {"last": "1", "force": "1"}),
    ],
)
def test_drop_without_a_good_choice(client: httpx.Client, talk: str, chosen: dict[str, str]) -> None:
    """A bad choice drops nothing, and the answer names the parameter."""
    answer = client.delete("/api/v1/messages", params={"session": talk, **chosen})
    assert (422, 3) == (answer.status_code, len(window(client, talk)))
    assert answer.json()["errors"][0]["field"] in {"last", "seq", "id", "mark", "force"}


def test_drop_sent_again(client: httpx.Client, talk: str) -> None:
    """With a mark of one's own a request may be sent again."""
    asked = {"session": talk, "last": "1", "mark": "undo", "expect_count": "3"}
    first, again = (client.delete("/api/v1/messages", params=asked) for _ in range(2))
    assert (200, first.content) == (again.status_code, again.content)
    assert ["line 1", "line 2"] == window(client, talk)
    stale = client.delete("/api/v1/messages", params={**asked, "mark": "other"})
    assert (409, "count_conflict") == (stale.status_code, stale.json()["code"])


def test_replace_everything(client: httpx.Client, talk: str) -> None:
    """What begins both lists alike stays; the same list again stores nothing."""
    for status, stored in ((201, 1), (200, 0)):
        answer = client.put("/api/v1/messages", params={"session": talk}, json=[said(1), {**said(2), "id": "n"}])
        told = answer.json()
        assert (status, stored, [1, 4]) == (
            answer.status_code,
            told["stored_count"],
            [receipt["seq"] for receipt in told["messages"]],
        )
    assert ["line 1", "line 2"] == window(client, talk)


def test_replace_without_ids(client: httpx.Client, key: str) -> None:
    """Messages without ids are those stored with the same content: a list that grows is stored once."""
    lines = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "?"},
    ]
    for length, stored in ((1, 1), (2, 1), (3, 1), (3, 0), (1, 1)):
        answer = client.put("/api/v1/messages", params={"session": key}, json=lines[:length]).json()
        assert stored == answer["stored_count"]
        assert [line["content"] for line in lines[:length]] == window(client, key)


def test_replace_by_nothing(client: httpx.Client, talk: str, key: str) -> None:
    """An empty list clears a session; it makes none."""
    assert 201 == client.put("/api/v1/messages", params={"session": talk, "mark": "clear"}, json=[]).status_code
    assert [] == window(client, talk)
    assert 404 == client.put("/api/v1/messages", params={"session": f"{key}:none"}, json=[]).status_code


@pytest.mark.parametrize(
    "params,body,status",
    [
        ({"expect_count": "2"}, [said(9)], 409),
        ({"expect_count": "3"}, [said(9)], 201),
        ({}, [said(2)], 409),
        ({}, said(9), 422),
        ({}, [said(9, drops=[[1, 1]])], 422),
        ({}, [{"role": "user"}], 422),
        ({}, "[", 400),
    ],
)
def test_replace_all_or_nothing(
    client: httpx.Client, talk: str, params: dict[str, str], body: Json, status: int
) -> None:
    """A replacement that is refused changes nothing."""
    content = {"content": body, "headers": {"Content-Type": "application/json"}} if body == "[" else {"json": body}
    answer = client.put("/api/v1/messages", params={"session": talk, **params}, **content)
    assert status == answer.status_code, answer.text
    assert (["line 9"] if status == 201 else ["line 1", "line 2", "line 3"]) == window(client, talk)


def test_replace_a_missing_session(client: httpx.Client, key: str) -> None:
    """A session is made unless that is unwanted, or another count is expected."""
    for params, status in (({"create": "false"}, 404), ({"expect_count": "1"}, 409), ({"expect_count": "0"}, 201)):
        answer = client.put("/api/v1/messages", params={"session": key, **params}, json=[said(1)])
        assert status == answer.status_code
    assert ["line 1"] == window(client, key)


def test_replace_by_a_long_list(client: httpx.Client, key: str) -> None:
    """Thousands of messages come in at once, more than an append takes."""
    lines = [said(number) for number in range(1, 2501)]
    for stored in (2500, 0):
        assert stored == client.put("/api/v1/messages", params={"session": key}, json=lines).json()["stored_count"]
    assert 2500 == client.get(f"/api/v1/sessions/{key}").json()["total_message_count"]


def test_read_one_message(client: httpx.Client, talk: str) -> None:
    """A message is found by its id; dropped, in the log alone."""
    asked = {"session": talk, "id": "m2"}
    assert ["line 2"] == [one["content"] for one in client.get("/api/v1/messages", params=asked).json()["messages"]]
    client.delete("/api/v1/messages", params=asked)
    assert 404 == client.get("/api/v1/messages", params=asked).status_code
    log = client.get("/api/v1/messages", params={**asked, "log": "true"}).json()
    assert ([2], False) == ([one["seq"] for one in log["messages"]], log["has_more"])
    assert 422 == client.get("/api/v1/messages", params={**asked, "limit": "5"}).status_code


def test_create_a_session(client: httpx.Client, key: str) -> None:
    """A session begins with its header and messages; once."""
    body = {
        "key": key,
        "channel": "pager",
        "title": " Mine ",
        "metadata": {"user": "alice"},
        "tags": ["x"],
        "pinned": True,
        "created_at": "2024-01-15T10:30:00Z",
        "messages": [said(1), {"role": "user", "content": "no id"}],
    }
    answer = client.post("/api/v1/sessions", json=body)
    told = answer.json()
    assert (201, [1, 2], 2) == (answer.status_code, [one["seq"] for one in told["messages"]], told["line_count"])
    stored = client.get(f"/api/v1/sessions/{key}").json()
    assert ("Mine", "pager", {"user": "alice"}, ["x"], True) == (
        *(stored[name] for name in ("title", "channel", "metadata", "tags", "pinned")),
    )
    again = client.post("/api/v1/sessions", json=body)
    assert (409, "session_exists") == (again.status_code, again.json()["code"])


def test_create_an_empty_session(client: httpx.Client) -> None:
    """Without a key one is made; a session without messages is listed and can be read."""
    made = client.post("/api/v1/sessions", json={})
    key = made.json()["key"]
    assert (201, []) == (made.status_code, window(client, key))
    assert key in client.get("/api/v1/sessions").json()["sessions"]


@pytest.mark.parametrize(
    "body",
    [
        *({"key": " x"}, {"title": ""}, {"tags": [""]}, {"name": "x"}, {"messages": [{"role": "user"}]}),
        *(
            {"messages": [said(1), said(1)]},
            {"messages": [said(1, drops=[[1, 1]])]},
            {"metadata": {"a": "x" * 300_000}},
        ),
    ],
)
def test_create_a_session_with_a_bad_value(client: httpx.Client, key: str, body: dict[str, Json]) -> None:
    """A value against its rule makes no session."""
    assert client.post("/api/v1/sessions", json={"key": key, **body}).status_code in {409, 413, 422}
    assert 404 == client.get(f"/api/v1/sessions/{key}").status_code


def test_fork_a_session(client: httpx.Client, talk: str) -> None:
    """A fork has what stands up to a seq, and knows where it comes from."""
    client.patch(f"/api/v1/sessions/{talk}", json={"metadata": {"user": "alice"}})
    client.delete("/api/v1/messages", params={"session": talk, "seq": "1"})
    answer = client.post("/api/v1/fork", json={"session": talk, "seq": 2, "key": f"{talk}:fork"})
    told = answer.json()
    assert (201, {"user": "alice", "forked_from": {"session": talk, "seq": 2, "copied": 1}}) == (
        answer.status_code,
        told["metadata"],
    )
    assert ["line 2"] == window(client, f"{talk}:fork")
    assert [(1, "m2")] == [(one["seq"], one["id"]) for one in told["messages"]]
    assert 409 == client.post("/api/v1/fork", json={"session": talk, "key": f"{talk}:fork"}).status_code
    whole = client.post("/api/v1/fork", json={"session": talk}).json()
    assert (2, 4) == (whole["total_message_count"], whole["metadata"]["forked_from"]["seq"])


@pytest.mark.parametrize(
    "body,status", [({"seq": 9}, 404), ({"seq": -1}, 422), ({"session": "none"}, 404), ({"seq": 0}, 201)]
)
def test_fork_from_a_seq(client: httpx.Client, talk: str, body: dict[str, Json], status: int) -> None:
    """A seq beyond the end is not there; from 0 a fork begins empty."""
    assert status == client.post("/api/v1/fork", json={"session": talk, **body}).status_code


def test_verbs_need_their_scopes(client: httpx.Client, other: dict[str, httpx.Client], talk: str) -> None:
    """To take back and to replace needs `delete`; a fork needs to read its origin."""
    for name, answer in (
        ("write", other["write"].delete("/api/v1/messages", params={"session": talk, "last": "1"})),
        ("write", other["write"].put("/api/v1/messages", params={"session": talk}, json=[])),
        ("delete", other["delete"].put("/api/v1/messages", params={"session": talk}, json=[])),
        ("write", other["write"].post("/api/v1/fork", json={"session": talk})),
        ("read", other["read"].post("/api/v1/fork", json={"session": talk})),
        ("read", other["read"].post("/api/v1/sessions", json={})),
        ("write", other["write"].post("/api/v1/sessions", json={"messages": [said(1), said(2, drops=[[1, 1]])]})),
    ):
        assert (403, "forbidden") == (answer.status_code, answer.json()["code"]), name
    assert 3 == len(window(client, talk))
    assert 201 == other["write+delete"].put("/api/v1/messages", params={"session": talk}, json=[said(7)]).status_code
    assert 201 == other["read+write"].post("/api/v1/fork", json={"session": talk}).status_code
    assert 200 == other["delete"].delete("/api/v1/messages", params={"session": talk, "last": "1"}).status_code


def test_verbs_stay_within_a_prefix(server: Server, client: httpx.Client, talk: str) -> None:
    """Outside its prefix a token finds nothing to take back, and writes nothing."""
    secret, _ = server.tokens.create("mine", scopes=("read", "write", "delete"), prefix="confined:")
    with server.client(secret) as mine:
        mine.post("/api/v1/messages?session=confined:1", json=said(1))
        assert 404 == mine.delete("/api/v1/messages", params={"session": talk, "last": "1"}).status_code
        assert 403 == mine.put("/api/v1/messages", params={"session": talk}, json=[said(1)]).status_code
        assert 403 == mine.post("/api/v1/sessions", json={"key": f"{talk}:new"}).status_code
        assert 404 == mine.post("/api/v1/fork", json={"session": talk}).status_code
        assert 403 == mine.post("/api/v1/fork", json={"session": "confined:1", "key": f"{talk}:new"}).status_code
        for made in (mine.post("/api/v1/sessions", json={}), mine.post("/api/v1/fork", json={"session": "confined:1"})):
            assert made.json()["key"].startswith("confined:")
    assert 3 == len(window(client, talk))


def test_list_by_metadata(client: httpx.Client, key: str) -> None:
    """Lists, keys and searches choose by metadata; lists show them if asked to."""
    for name, told in (("a", {"user": "al+ice", "n": 1}), ("b", {"user": "bob", "parent": f"{key}:a"})):
        client.post("/api/v1/sessions", json={"key": f"{key}:{name}", "metadata": told, "messages": [said(1)]})
    for query, found in (
        ({"meta.user": "al+ice"}, ["a"]),
        ({"meta.user": "al+ice", "meta.n": "1"}, ["a"]),
        ({"meta.user": "al+ice", "meta.n": "2"}, []),
        ({"parent": f"{key}:a"}, ["b"]),
        ({"parent": f"{key}:a", "meta.user": "bob"}, ["b"]),
    ):
        asked = {"prefix": f"{key}:", **query}
        named = [f"{key}:{name}" for name in found]
        listed = client.get("/api/sessions", params={**asked, "metadata": "true"}).json()
        assert (named, len(found)) == ([one["id"] for one in listed["sessions"]], listed["total"])
        assert named == client.get("/api/v1/sessions", params=asked).json()["sessions"]
        hits = client.get("/api/sessions/search", params={**asked, "q": "line"}).json()
        assert named == [hit["id"] for hit in hits["sessions"]]
    assert {"user": "al+ice", "n": 1} == _listed(client, key, "true")["metadata"]
    assert "metadata" not in _listed(client, key, "false")


def _listed(client: httpx.Client, key: str, metadata: str) -> Json:
    answer = client.get("/api/sessions", params={"prefix": f"{key}:a", "metadata": metadata})
    return answer.json()["sessions"][0]


@pytest.mark.parametrize(
    "query",
    ["meta=x", "meta.=x", "meta.a..b=x", 'meta.a"=x', "meta.a=%00", "meta.%00=x", "metadata.user=x", "meta2.a=x"],
)
def test_list_by_a_bad_entry(client: httpx.Client, query: str) -> None:
    """A filter that says nothing is refused: it would choose everything."""
    assert 422 == client.get(f"/api/sessions?{query}").status_code
    assert 422 == client.get("/api/sessions?" + "&".join(f"meta.a{n}=x" for n in range(17))).status_code


def test_patch_replaces_metadata(client: httpx.Client, talk: str) -> None:
    """Metadata are merged, or replaced as a whole: null is a value then."""
    path = f"/api/v1/sessions/{talk}"
    client.patch(path, json={"metadata": {"a": 1, "b": {"c": 2}}})
    assert {"a": 1, "b": {"c": 2, "d": 3}} == client.patch(path, json={"metadata": {"b": {"d": 3}}}).json()["metadata"]
    told: dict[str, Json] = {"x": None, "b": {}}
    assert told == client.patch(f"{path}?metadata_mode=replace", json={"metadata": told}).json()["metadata"]
    body = {"metadata": {"y": 1}, "metadata_mode": "replace", "pinned": True}
    assert {"y": 1} == client.patch(path, json=body).json()["metadata"]
    assert {"y": 1} == client.patch(f"{path}?metadata_mode=replace", json={"pinned": False}).json()["metadata"]
    assert 422 == client.patch(f"{path}?metadata_mode=all", json={"metadata": {}}).status_code


def test_token_tells_its_rights(server: Server) -> None:
    """Any token may ask for its own scopes, prefix and limit; its hash stays here."""
    secret, token = server.tokens.create("robot", scopes=("delete",), prefix="own:", rate=600)
    with server.client(secret) as mine:
        told = mine.get("/api/v1/token").json()
    assert (token.id, "robot", ["delete"], "own:", 600, None) == (
        *(told[name] for name in ("id", "name", "scopes", "prefix", "rate", "expires_at")),
    )
    assert not {"sha256", "for_page"} & set(told)


def test_lists_by_parent_take_a_key(client: httpx.Client) -> None:
    """Nothing but a key can be a parent; the refusal names the parameter."""
    answer = client.get("/api/sessions", params={"parent": ""})
    assert (422, ["parent"]) == (answer.status_code, [one["field"] for one in answer.json()["errors"]])


def test_append_answers_with_the_time_of_storing(client: httpx.Client, key: str) -> None:
    """A time that the sender says has `stored_at` beside it, which a retry keeps and a sender cannot say."""
    path, long_ago = f"/api/v1/messages?session={key}", "2001-02-03T04:05:06Z"
    begun = datetime.now(UTC)
    client.post(path, json=[said(1, timestamp=long_ago), said(2)])
    first, second = client.get(path).json()["messages"]
    assert long_ago == first["timestamp"]
    assert begun <= datetime.fromisoformat(first["stored_at"]) <= datetime.now(UTC)
    assert "stored_at" not in second
    assert begun <= datetime.fromisoformat(second["timestamp"]) <= datetime.now(UTC)

    assert 200 == client.post(path, json=said(1, timestamp="2002-02-03T04:05:06Z")).status_code
    assert 422 == client.post(path, json=said(3, stored_at=long_ago)).status_code
    assert first == client.get("/api/v1/messages", params={"session": key, "id": "m1"}).json()["messages"][0]
    assert [first, second] == client.get("/api/memory/session", params={"id": key}).json()
    client.post("/api/v1/fork", json={"session": key, "key": f"{key}/fork"})
    assert first == client.get("/api/v1/messages", params={"session": f"{key}/fork"}).json()["messages"][0]
    exported = client.get("/api/v1/export", params={"session": key, "format": "jsonl"}).content
    assert [first["stored_at"], None] == [one.get("stored_at") for one in json.loads(exported)["messages"]]
