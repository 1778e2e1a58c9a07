"""The key dialect does what the contract's sections 3, 5 and 8 say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx
import pytest

from chatkeep.core.model import Json
from chatkeep.http.routes.keys import disposition

if TYPE_CHECKING:
    from tests.http.conftest import Server

HI = {"role": "user", "content": "hi", "id": "m1"}
YO = {"role": "assistant", "content": "yo", "id": "m2"}


def _append(client: httpx.Client, key: str, body: Json, **parameters: str | int) -> httpx.Response:
    return client.post("/api/v1/messages", params={"session": key, **parameters}, json=body)


def test_append_answers_places_and_makes_a_key_when_none_is_given(client: httpx.Client) -> None:
    """201 with the key, the count, and the place, id and time of each message."""
    answer = client.post("/api/v1/messages", json=[HI, {"role": "assistant", "content": "yo"}])
    appended = answer.json()
    assert (answer.status_code, appended["message_count"]) == (201, 2)
    assert re.fullmatch(r"api:[0-9a-f]{12}", appended["session"])
    assert [receipt["seq"] for receipt in appended["messages"]] == [1, 2]
    assert all(receipt["id"] and receipt["timestamp"].endswith("Z") for receipt in appended["messages"])


def test_append_of_a_stored_message_answers_its_first_place(client: httpx.Client) -> None:
    """200 for a replay, even with a stale count; the rest of a batch is stored; other content is 409."""
    first = _append(client, "replay:1", HI)
    again = _append(client, "replay:1", HI, expect_count=0)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["messages"] == first.json()["messages"]
    mixed = _append(client, "replay:1", [HI, YO])
    assert (mixed.status_code, [r["seq"] for r in mixed.json()["messages"]]) == (201, [1, 2])
    other = _append(client, "replay:1", [{"role": "user", "content": "new"}, HI | {"content": "other"}])
    assert (other.status_code, other.json()["code"]) == (409, "message_conflict")
    assert client.get("/api/v1/sessions/replay:1").json()["total_message_count"] == 2


def test_append_checks_count_and_existence(client: httpx.Client) -> None:
    """`expect_count` refuses what came too late, `create=false` what is not there."""
    assert _append(client, "count:1", HI, expect_count=0).status_code == 201
    late = _append(client, "count:1", YO, expect_count=0)
    assert (late.status_code, late.json()["code"], late.json()["found"]) == (409, "count_conflict", 1)
    assert _append(client, "count:none", HI, create="false").status_code == 404
    assert client.get("/api/v1/sessions/count:none").status_code == 404


def test_keys_are_listed_by_code_point_in_pages(client: httpx.Client) -> None:
    """`count` is what the filters match, whatever the limit."""
    for key in ("sheet:b", "sheet:A", "sheet:ä", "sheet:a"):
        _append(client, key, HI)
    assert client.get("/api/v1/sessions?prefix=sheet:").json()["sessions"] == [
        "sheet:A",
        "sheet:a",
        "sheet:b",
        "sheet:ä",
    ]
    first = client.get("/api/v1/sessions?prefix=sheet:&limit=3").json()
    assert (len(first["sessions"]), first["count"]) == (3, 4)
    rest = client.get("/api/v1/sessions", params={"prefix": "sheet:", "cursor": first["next_cursor"]}).json()
    assert (rest["sessions"], rest["count"], rest["next_cursor"]) == (["sheet:ä"], 4, None)


def test_asking_for_a_session_makes_none(client: httpx.Client) -> None:
    """404, and the list is as before."""
    before = client.get("/api/v1/sessions").json()["count"]
    assert client.get("/api/v1/sessions/never:there").status_code == 404
    assert client.get("/api/v1/sessions").json()["count"] == before


def test_revise_changes_what_is_given_and_merges_metadata(client: httpx.Client) -> None:
    """The rest stays; null in metadata removes; the activity does not change; a null title is none."""
    _append(client, "revise:1", HI)
    updated_at = client.get("/api/v1/sessions/revise:1").json()["updated_at"]
    client.patch("/api/v1/sessions/revise:1", json={"title": " T ", "metadata": {"a": 1, "b": {"c": 2}}})
    body = {"pinned": True, "tags": ["x", "y"], "metadata": {"a": None, "b": {"d": 3}}}
    revised = client.patch("/api/v1/sessions/revise:1", json=body).json()
    assert (revised["title"], revised["pinned"], revised["tags"]) == ("T", True, ["x", "y"])
    assert (revised["metadata"], revised["updated_at"]) == ({"b": {"c": 2, "d": 3}}, updated_at)
    assert client.patch("/api/v1/sessions/revise:1", json={"title": None}).json()["title"] == "hi"
    assert client.patch("/api/v1/sessions/revise:none", json={}).status_code == 404


def test_revise_a_hold(client: httpx.Client) -> None:
    """A held session says so, in the list too; a released one does not."""
    _append(client, "revise:held", HI)
    assert client.patch("/api/v1/sessions/revise:held", json={"held": True}).json()["held"] is True
    listed = client.get("/api/sessions", params={"prefix": "revise:held"}).json()["sessions"]
    assert [True] == [session["held"] for session in listed]
    assert "held" not in client.patch("/api/v1/sessions/revise:held", json={"held": False}).json()
    assert client.patch("/api/v1/sessions/revise:held", json={"held": None}).status_code == 422


def test_windows_go_both_ways_and_fit_a_budget(client: httpx.Client) -> None:
    """The newest by default, `after` goes on, `max_tokens` never splits a tool call from its result."""
    call = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    talk = [
        {"role": "user", "content": "x" * 400},
        {"role": "assistant", "content": None, "tool_calls": call},
        {"role": "tool", "content": "y" * 400, "tool_call_id": "c1"},
        {"role": "assistant", "content": "done"},
    ]
    _append(client, "window:1", talk)

    def seqs(**parameters: int) -> tuple[list[int], bool]:
        window = client.get("/api/v1/messages", params={"session": "window:1", **parameters}).json()
        return [message["seq"] for message in window["messages"]], window["has_more"]

    assert seqs() == ([1, 2, 3, 4], False)
    assert seqs(limit=2) == ([3, 4], True)
    assert seqs(limit=2, before=3) == ([1, 2], False)
    assert seqs(limit=2, after=1) == ([2, 3], True)
    assert seqs(max_tokens=50) == ([4], True)
    assert seqs(max_tokens=200) == ([2, 3, 4], True)


def test_window_says_what_would_fit(client: httpx.Client) -> None:
    """A budget that takes nothing is answered with one that takes the newest; an empty session needs none."""
    _append(client, "window:2", [HI, {"role": "assistant", "content": "z" * 400}])

    def window(max_tokens: int) -> Json:
        return client.get("/api/v1/messages", params={"session": "window:2", "max_tokens": max_tokens}).json()

    nothing = window(0)
    assert (nothing["messages"], nothing["has_more"]) == ([], True)
    needed = nothing["needed_tokens"]
    assert window(needed - 1) == nothing
    assert [message["seq"] for message in window(needed)["messages"]] == [2]
    assert "needed_tokens" not in window(needed)


@pytest.mark.parametrize("path", ["/api/v1/sessions/a:b/messages", "/api/sessions/a:b/messages"])
def test_messages_below_a_session_are_elsewhere(client: httpx.Client, path: str) -> None:
    """The address that other APIs have for messages says where they are here, to every method."""
    found = [client.get(path), client.delete(path), client.post(path, json=HI)]
    assert [answer.status_code for answer in found] == [404, 404, 405]
    assert {answer.json()["help"] for answer in found} == {
        "The messages of a session are at /api/v1/messages?session=KEY."
    }
    assert "help" not in client.get("/api/v1/sessions/a:b").json()


def test_refusals_of_a_message_name_what_is_allowed(client: httpx.Client) -> None:
    """A role that is none is answered with those that are, missing content with when it may be."""
    refused = _append(client, "refused:1", [HI | {"role": "human"}]).json()
    assert refused["errors"][0]["field"] == "[0].role"
    assert refused["detail"].endswith("must be one of system, developer, user, assistant, tool, event")
    refused = _append(client, "refused:1", {"role": "user"}).json()
    assert "is missing" in refused["detail"]


def test_names_mean_the_same_in_either_spelling(client: httpx.Client) -> None:
    """A decomposed prefix, channel or tag finds what a composed one does, at every route that filters."""
    decomposed, composed = "re\u0301sume\u0301", "r\u00e9sum\u00e9"
    _append(client, f"{decomposed}:1", HI, channel=decomposed)
    client.patch(f"/api/v1/sessions/{decomposed}:1", json={"tags": [decomposed]})
    for name in (decomposed, composed):
        for query in ({"prefix": name}, {"channel": name}, {"tag": name}):
            assert client.get("/api/sessions", params=query).json()["total"] == 1
            assert client.get("/api/v1/sessions", params=query).json()["sessions"] == [f"{composed}:1"]
            assert len(client.get("/api/sessions/search", params={"q": "hi", **query}).json()["sessions"]) == 1
        for route in ("status", "stats"):
            assert client.get(f"/api/v1/{route}", params={"prefix": name}).json()["session_count"] == 1
        for body in ({"prefix": name}, {"channel": name}, {"keys": [f"{name}:1"]}):
            assert client.post("/api/v1/sessions/delete", json=body).json()["keys"] == [f"{composed}:1"]
    assert client.delete(f"/api/v1/sessions/{decomposed}:1").json()["key"] == f"{composed}:1"


def test_bulk_deletion_shows_first_and_deletes_when_told(client: httpx.Client) -> None:
    """The dry run is the default; keys that do not exist are left out; filters all apply."""
    for key in ("bulk:a", "bulk:b", "other:c"):
        _append(client, key, HI | {"timestamp": 1700000000})

    def deleted(**body: Json) -> Json:
        return client.post("/api/v1/sessions/delete", json=body).json()

    shown = {"keys": ["bulk:a", "bulk:b"], "count": 2, "dry_run": True}
    assert deleted(prefix="bulk:", older_than="30d") == shown
    assert deleted(prefix="bulk:", older_than="2000-01-01T00:00:00Z")["keys"] == []
    assert deleted(keys=["bulk:b", "bulk:none"], dry_run=False) == {"keys": ["bulk:b"], "count": 1, "dry_run": False}
    assert deleted(prefix="bulk:", dry_run=False)["keys"] == ["bulk:a"]
    assert client.get("/api/v1/sessions/other:c").status_code == 200


@pytest.mark.parametrize(
    "body,asked,named",
    [
        ({"keys": ["gone:a", "gone:b"]}, "'gone:a', 'gone:b'", ["gone:a", "gone:b"]),
        ({"keys": []}, "an empty list of keys", []),
        ({"prefix": "gone:", "older_than": "30d"}, "prefix 'gone:', older_than '30d'", []),
        ({"channel": "gone"}, "channel 'gone'", []),
    ],
)
def test_bulk_deletion_of_nothing_is_no_success(body: Json, asked: str, named: list[str], client: httpx.Client) -> None:
    """It is 404 and says what was asked for and not found; a dry run only says that there would be none."""
    _append(client, "there:a", HI)
    shown = client.post("/api/v1/sessions/delete", json=body)
    assert (200, 0) == (shown.status_code, shown.json()["count"])
    answer = client.post("/api/v1/sessions/delete", json={**body, "dry_run": False})
    expected = {
        "detail": f"No session was found for {asked}; nothing was deleted.",
        "status": 404,
        "code": "not_found",
        "keys": [],
        "count": 0,
        "dry_run": False,
        "not_found": named,
    }
    assert (404, expected) == (answer.status_code, answer.json())
    assert "application/problem+json" == answer.headers["content-type"]


@pytest.mark.parametrize(
    "body",
    [{}, {"dry_run": False}, {"keys": ["a"], "prefix": "b"}, {"older_than": "soon"}, {"keys": "a"}, {"keys": [""]}],
)
def test_bulk_deletion_of_what_is_not_clear_is_refused(body: Json, client: httpx.Client) -> None:
    """Everything is never meant by saying nothing."""
    assert client.post("/api/v1/sessions/delete", json=body).status_code == 422


@pytest.mark.parametrize("fmt", ["json", "jsonl"])
def test_export_comes_back_identical_by_import(fmt: str, client: httpx.Client) -> None:
    """Delete, import, export again: the same bytes, unless deleted ones are left out; import again: nothing new."""
    _append(client, "trip/1", [HI | {"metadata": {"n": 1.0}}, YO | {"content": "line\r\n🎉"}])
    client.patch("/api/v1/sessions/trip/1", json={"title": "Trip", "tags": ["x"], "pinned": True})
    query = {"session": "trip/1", "format": fmt}
    exported = client.get("/api/v1/export", params=query)
    client.delete("/api/v1/sessions/trip/1")
    headers = {"Content-Type": "application/octet-stream"}
    url = f"/api/v1/import?format={fmt}"
    refused = client.post(f"{url}&restore_deleted=false", content=exported.content, headers=headers)
    assert (409, "session_deleted", ["trip/1"]) == (
        refused.status_code,
        refused.json()["code"],
        refused.json()["left_out"],
    )
    imported = client.post(f"{url}", content=exported.content, headers=headers).json()
    assert imported == {
        "sessions_created": 1,
        "sessions_extended": 0,
        "messages_added": 2,
        "messages_skipped": 0,
        "errors": [],
        "sessions_left_out": 0,
        "left_out": [],
    }
    assert client.get("/api/v1/export", params=query).content == exported.content
    again = client.post(url, content=exported.content, headers=headers).json()
    assert (again["sessions_created"], again["messages_added"], again["messages_skipped"]) == (0, 0, 2)


def test_export_of_all_has_every_session(client: httpx.Client) -> None:
    """Without `session` the file has all that the token sees, archived ones too."""
    _append(client, "all:1", HI)
    client.patch("/api/v1/sessions/all:1", json={"archived": True})
    keys = [session["key"] for session in client.get("/api/v1/export").json()]
    assert "all:1" in keys
    assert len(keys) == client.get("/api/v1/sessions?archived=all").json()["count"]
    assert client.get("/api/v1/export?session=all:none").status_code == 404
    assert client.get("/api/v1/export?session=all:1&format=md").text.startswith("# hi")


@pytest.mark.parametrize(
    "name,plain",
    [
        ("a/b:c", 'filename="a-b-c.json"'),
        ('x"; filename="evil.exe', 'filename="x-filename-evil.exe.json"'),
        ("日本語", 'filename="session.json"'),
        ("../../etc/passwd", 'filename="etc-passwd.json"'),
    ],
)
def test_downloads_have_names_that_no_key_can_break(name: str, plain: str) -> None:
    """A plain name for old clients, the exact one for the others, and no folder in either."""
    header = disposition(name, ".json")
    assert header.startswith(f"attachment; {plain}; filename*=UTF-8''")
    assert header.isascii()
    assert not re.search(r"[/\\\r\n]", header)


def test_token_without_the_scope_is_told_which(server: Server) -> None:
    """403 that names the scope, for every route that needs another one."""
    secret, _ = server.tokens.create("reader", scopes=("read",))
    with server.client(secret) as reader:
        assert reader.get("/api/v1/sessions").status_code == 200
        for scope, answer in (
            ("write", reader.post("/api/v1/messages?session=x", json=HI)),
            ("write", reader.patch("/api/v1/sessions/x", json={})),
            ("write", reader.post("/api/v1/import", json={})),
            ("delete", reader.delete("/api/v1/sessions/x")),
            ("delete", reader.delete("/api/sessions/x")),
            ("delete", reader.post("/api/v1/sessions/delete", json={"prefix": "x"})),
        ):
            assert (answer.status_code, scope in answer.json()["detail"]) == (403, True)


def test_token_of_a_prefix_sees_nothing_else(server: Server, client: httpx.Client) -> None:
    """Reading and deleting outside is 404, appending 403; lists, search, export and status know nothing of it."""
    secret, _ = server.tokens.create("mine", scopes=("read", "write", "delete"), prefix="mine:")
    _append(client, "theirs:1", HI | {"content": "xylophone"})
    _append(client, "mine:1", HI | {"content": "xylophone"})
    with server.client(secret) as mine:
        outside = [
            mine.get("/api/v1/sessions/theirs:1"),
            mine.get("/api/memory/session?id=theirs:1"),
            mine.get("/api/v1/messages?session=theirs:1"),
            mine.get("/api/v1/export?session=theirs:1"),
            mine.delete("/api/v1/sessions/theirs:1"),
            mine.delete("/api/sessions/theirs:1"),
            mine.patch("/api/v1/sessions/theirs:1", json={"title": "x"}),
            mine.post("/api/sessions/theirs:1/title", json={"title": "x"}),
        ]
        assert {answer.status_code for answer in outside} == {404}
        assert {answer.text for answer in outside} == {mine.get("/api/v1/sessions/mine:none").text}
        assert _append(mine, "theirs:1", YO).status_code == 403
        assert mine.post("/api/v1/messages", json=HI).json()["session"].startswith("mine:")
        assert all(key.startswith("mine:") for key in mine.get("/api/v1/sessions").json()["sessions"])
        assert all(s["id"].startswith("mine:") for s in mine.get("/api/sessions").json()["sessions"])
        hits = mine.get("/api/sessions/search?q=xylophone").json()["sessions"]
        assert [hit["id"] for hit in hits] == ["mine:1"]
        assert all(session["key"].startswith("mine:") for session in mine.get("/api/v1/export").json())
        assert mine.get("/api/v1/status").json()["session_count"] == mine.get("/api/v1/sessions").json()["count"]
        counted = mine.get("/api/v1/stats").json()
        assert counted["session_count"] == mine.get("/api/v1/status").json()["session_count"]
        assert all(one["key"].startswith("mine:") for one in counted["largest"] + counted["longest"])
        assert mine.get("/api/v1/stats?prefix=theirs:").json()["session_count"] == 0
        assert mine.post("/api/v1/sessions/delete", json={"keys": ["theirs:1"], "dry_run": False}).json()["count"] == 0
        report = mine.post("/api/v1/import", json={"key": "theirs:9", "messages": [HI]}).json()
        assert (report["sessions_created"], len(report["errors"])) == (0, 1)
        assert mine.get("/metrics").status_code == 403
    assert client.get("/api/v1/sessions/theirs:1").status_code == 200


def test_append_with_an_unknown_field_says_which_there_are(client: httpx.Client) -> None:
    """A field that is not known is a mistake, or asks for what this server cannot do: the refusal names the others."""
    answer = client.post("/api/v1/messages?session=strict:1", json=[HI, HI | {"mood": "1-3"}])
    (flaw,) = answer.json()["errors"]
    assert (422, "[1].mood") == (answer.status_code, flaw["field"])
    assert "there are role, content, timestamp, id, name, tool_calls, tool_call_id, metadata, drops" in flaw["message"]


def test_unknown_fields_come_back_at_every_door(client: httpx.Client) -> None:
    """What an import brought besides the known fields is in histories, windows and exports."""
    record = {"key": "strange:1", "folder": "inbox", "messages": [HI | {"mood": {"good": [1, None]}}]}
    assert client.post("/api/v1/import", json=record).status_code == 200
    history = client.get("/api/memory/session?id=strange:1").json()
    window = client.get("/api/v1/messages?session=strange:1").json()["messages"]
    exported = client.get("/api/v1/export?session=strange:1").json()
    assert {"good": [1, None]} == history[0]["mood"]
    assert history == window == exported["messages"]
    assert "inbox" == exported["folder"]


@pytest.mark.parametrize("text", ["\u0011", " a", "a ", "x" * 600])
@pytest.mark.parametrize("field", ["prefix", "channel"])
def test_delete_by_a_filter_that_no_session_can_match(client: httpx.Client, field: str, text: str) -> None:
    """It finds nothing, as in lists, and the OpenAPI document allows every text that the server takes."""
    answer = client.post("/api/v1/sessions/delete", json={field: text})
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    described = schemas["BulkBody"]["properties"][field]["anyOf"]
    assert (200, 0) == (answer.status_code, answer.json()["count"])
    assert {"type": "string", "minLength": 1} in described


def test_append_that_drops_needs_the_scope_delete(server: Server, client: httpx.Client) -> None:
    """A token with `write` alone only adds: by an append, short or long, and by an import; it is told the scope."""
    pop = {"role": "event", "content": "", "drops": [[2, 2]]}
    secret, _ = server.tokens.create("writer", scopes=("read", "write"))
    with server.client(secret) as writer:
        assert _append(writer, "drops:1", [HI, YO]).status_code == 201
        for body in (pop, pop | {"metadata": {"long": "x" * 20_000}}):
            refused = _append(writer, "drops:1", body)
            assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
            assert "'delete'" in refused.json()["detail"]
        log = {"key": "drops:1", "messages": [HI, {**pop, "id": "m3", "drops": [[1, 1]]}]}
        refused = writer.post("/api/v1/import", json=log)
        assert [("forbidden", "drops:1")] == [(one["code"], one["place"]) for one in refused.json()["errors"]]
    assert [1, 2] == _seqs(client, "drops:1")
    secret, _ = server.tokens.create("deleter", scopes=("write", "delete"))
    with server.client(secret) as deleter:
        assert _append(deleter, "drops:1", pop).status_code == 201
    assert [1] == _seqs(client, "drops:1")


def test_log_comes_in_and_out_whole(client: httpx.Client) -> None:
    """An export of the log, taken in elsewhere and exported again, is the same; without it, what stands is."""
    url = "/api/v1/import?format=jsonl"
    _append(client, "log:1", [HI, YO, {"role": "event", "metadata": {"a": 1}, "id": "e1"}])
    _append(client, "log:1", {"role": "user", "content": "rather", "id": "m3", "drops": [[1, 1]]})
    parameters: dict[str, bool]
    for parameters in ({"log": True}, {}):
        before = client.get("/api/v1/export", params={"session": "log:1", "format": "jsonl", **parameters}).content
        elsewhere = before.replace(b"log:1", b"log:2")
        kind = {"Content-Type": "application/jsonl"}
        assert client.post(url, content=elsewhere, headers=kind).json()["errors"] == []
        query: dict[str, str | bool] = {"session": "log:2", "format": "jsonl", **parameters}
        assert elsewhere == client.get("/api/v1/export", params=query).content
        assert [YO["content"], "rather"] == [
            message["content"]
            for message in client.get("/api/v1/messages", params={"session": "log:2"}).json()["messages"]
        ]
        client.delete("/api/v1/sessions/log:2")
    assert client.get("/api/v1/export", params={"format": "md", "log": True}).status_code == 422


def test_log_of_many_lines_comes_in_whole(client: httpx.Client) -> None:
    """A log in several parts drops the same messages after an import, though a line before it was lost on the way."""
    for first in range(0, 2500, 500):
        _append(client, "long:1", [{"role": "user", "content": f"line {n}"} for n in range(first, first + 500)])
        _append(client, "long:1", {"role": "event", "drops": [[first + 1, first + 2], [first + 400, first + 450]]})
    log = client.get("/api/v1/export", params={"session": "long:1", "format": "jsonl", "log": True}).content
    broken = log.replace(b"long:1", b"long:2").replace(b'"role":"user","content":"line 7"', b'"role":"?","content":""')
    kind = {"Content-Type": "application/jsonl"}
    assert 1 == len(client.post("/api/v1/import?format=jsonl", content=broken, headers=kind).json()["errors"])
    expected, actual = (_contents(client, key) for key in ("long:1", "long:2"))
    assert [content for content in expected if content != "line 7"] == actual


def test_append_of_bad_drops_says_what_they_should_be(client: httpx.Client) -> None:
    """Ranges that are none, or reach ahead, are refused with the field, and nothing is stored."""
    _append(client, "bad:1", [HI, YO])
    for drops in ([], [[2]], [[2, 1]], [[0, 1]], [["a", "b"]], [[1, 3]], [[1, 1]] * 1001, "1"):
        refused = _append(client, "bad:1", {"role": "event", "drops": drops})
        assert (refused.status_code, refused.json()["errors"][0]["field"].split(".")[0][:5]) == (422, "drops")
    assert [1, 2] == _seqs(client, "bad:1")


def _seqs(client: httpx.Client, key: str) -> list[int]:
    return [one["seq"] for one in client.get("/api/v1/messages", params={"session": key}).json()["messages"]]


def _contents(client: httpx.Client, key: str) -> list[str]:
    found: list[str] = []
    before: dict[str, int] = {}
    while True:
        window = client.get("/api/v1/messages", params={"session": key, "limit": 500, **before}).json()
        found[:0] = [one["content"] for one in window["messages"]]
        if not window["has_more"]:
            return found
        before = {"before": window["messages"][0]["seq"]}
