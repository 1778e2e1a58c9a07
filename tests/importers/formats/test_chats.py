"""Chats between people, of Telegram, Slack and Discord: each message comes in once, with its sender and its time."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatkeep import importers
from chatkeep.core.model import Json, Session
from tests.importers.taken import SAMPLES, Taken, damaged, outcome

TELEGRAM = sorted((SAMPLES / "telegram").glob("*.json"))
SLACK = SAMPLES / "slack" / "langchain-slack_export.zip"


def _listed(value: Json) -> Iterator[dict[str, Json]]:
    """Yield the messages anywhere in a document of a chat."""
    if (
        isinstance(value, dict)
        and {"text", "message"} & value.keys()
        and {"from", "sender_id", "author"} & value.keys()
    ):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _listed(inner)


@pytest.mark.parametrize("path", TELEGRAM, ids=lambda path: path.stem)
def test_import_every_message_of_a_telegram_sample(path: Path) -> None:
    """As many messages come in as the file has, with all words, of every layout."""
    counted = list(_listed(json.loads(path.read_text("utf-8"))))
    texts: list[Json] = [one.get("text", one.get("message")) for one in counted]
    words = ["".join(p if isinstance(p, str) else p["text"] for p in text) for text in texts]
    found = Taken(path, "telegram")
    assert len(counted) > 1
    assert words == [message.text for message in found.messages.values()]
    assert [] == found.flaws


def telegram(number: int, text: Json = "hi", **more: Json) -> dict[str, Json]:
    """Return a message as Telegram Desktop writes it."""
    return {
        "id": number,
        "type": "message",
        "date": "2024-01-15T11:30:00",
        "date_unixtime": str(1705314600 + number),
        "from": "Alice",
        "from_id": "user7",
        "text": text,
        **more,
    }


def test_import_a_whole_telegram_export(tmp_path: Path) -> None:
    """Each chat of both lists is a session, with events, pictures and the answers of a bot; styles stay beside."""
    linked = [{"type": "text_link", "text": "rye", "href": "https://example.org"}, " bread"]
    bot = {
        "name": "Baker",
        "type": "bot_chat",
        "id": 5,
        "messages": [
            telegram(1, linked),
            telegram(2, "Yes.", **{"from": "Baker", "from_id": "user5"}),
            telegram(3, "Look", photo="photos/1.jpg", width=3, reactions=[{"emoji": "x"}]),
        ],
    }
    group = {
        "name": "Group",
        "type": "private_group",
        "id": 6,
        "messages": [telegram(1, "", type="service", action="pin_message", actor="Bob", **{"from": None})],
    }
    export = {
        "about": "x",
        "personal_information": {"user_id": 1},
        "contacts": {"list": [{"first_name": "A", "date": "2020-01-01"}]},
        "chats": {"about": "y", "list": [bot, group]},
        "left_chats": {"about": "z", "list": [{**group, "id": 9, "name": None}]},
        "sessions": [{"a": 1}],
    }
    (tmp_path / "result.json").write_text(json.dumps(export))
    found = Taken(tmp_path, "telegram")
    assert [f"telegram-desktop:{number}" for number in (5, 6, 9)] == found.order
    asked, answer, picture = found.session("telegram-desktop:5").messages
    assert ("1", "user", "Alice", "rye bread") == (asked.id, asked.role, asked.name, asked.content)
    assert linked == (asked.metadata or {})["source"]["text"]
    assert ("assistant", "Baker", datetime(2024, 1, 15, 10, 30, 2, tzinfo=UTC)) == (
        answer.role,
        answer.name,
        answer.sent_at,
    )
    assert [{"photo": "photos/1.jpg", "width": 3, "type": "photo"}, {"type": "text", "text": "Look"}] == picture.content
    (event,) = found.session("telegram-desktop:6").messages
    assert ("system", "Bob", "[pin_message]") == (event.role, event.name, event.content)
    assert ("Baker", "telegram") == (
        found.session("telegram-desktop:5").header.title,
        found.session("telegram-desktop:5").header.channel,
    )


@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_keep_whole_telegram_chats(tmp_path: Path, data: st.DataObject) -> None:
    """Damage in a message costs no other message of its chat, and no other chat, unless their bounds are hit."""
    messages = [json.dumps(telegram(number, f'words {number} "[{{,')).encode() for number in range(5)]
    is_export, broken = data.draw(st.booleans()), data.draw(st.integers(1, 3))
    at = data.draw(st.integers(20, len(messages[broken]) - 20))
    messages[broken] = (
        messages[broken][:at] + data.draw(st.sampled_from([b"\xff", b'"', b"\\"])) + messages[broken][at:]
    )
    chat = b'{"name":"T","type":"personal_chat","id":1,"messages":[' + b",".join(messages) + b"]}"
    other = json.dumps({"name": "U", "type": "personal_chat", "id": 2, "messages": [telegram(1)]}).encode()
    document = b'{"chats":{"list":[' + chat + b"," + other + b']},"more":1}' if is_export else chat
    records = outcome(tmp_path / "result.json", document, "telegram")
    found = {one.header.key: [m.id for m in one.messages] for one in records if isinstance(one, Session)}
    assert {str(number) for number in range(5) if number != broken} <= set(found["telegram-desktop:1"])
    assert not is_export or ["1"] == found["telegram-desktop:2"]


def test_import_a_slack_sample(tmp_path: Path) -> None:
    """As many messages come in as the days have, from the zip and from its folder; names stand for ids."""
    with zipfile.ZipFile(SLACK) as packed:
        days = [name for name in packed.namelist() if name.count("/") == 1 and name.endswith(".json")]
        counted = {(name.split("/")[0], one["ts"]) for name in days for one in json.loads(packed.read(name))}
        packed.extractall(tmp_path / "export")
    for place in (SLACK, tmp_path / "export"):
        found = Taken(place, "slack")
        ids = {(session.header.title, message.id) for session in found.by_key.values() for message in session.messages}
        assert {(f"#{channel}", ts) for channel, ts in counted} == ids
        assert [] == found.flaws
        assert "slack-export:C05019B47SB" in found.order


def test_import_the_marks_of_slack(tmp_path: Path) -> None:
    """Mentions, links and escapes become words, and stay beside as they were; threads, bots and files keep facts."""
    day: list[dict[str, Json]] = [
        {
            "type": "message",
            "user": "U1",
            "ts": "1705314600.000100",
            "text": "<@U2> see <https://x.org|x> &amp; <#C1|general> <!here>",
        },
        {
            "type": "message",
            "subtype": "bot_message",
            "username": "ci",
            "ts": "1705314601.000100",
            "text": "",
            "attachments": [{"title": "Build", "text": "green", "id": 1}],
        },
        {"type": "message", "subtype": "channel_join", "user": "U2", "ts": "1705314602.000100", "text": "joined"},
        {
            "type": "message",
            "user": "U9",
            "ts": "1705314603.000100",
            "thread_ts": "1705314600.000100",
            "text": "reply",
            "files": [{"id": "F1", "name": "a.txt"}],
        },
    ]
    channel = tmp_path / "general"
    channel.mkdir()
    (channel / "2024-01-15.json").write_text(json.dumps(day))
    (channel / "2024-01-14.json").write_text("")
    (tmp_path / "channels.json").write_text(json.dumps([{"id": "C1", "name": "general", "created": 1705314000}]))
    (tmp_path / "users.json").write_text(json.dumps([{"id": "U1", "name": "al"}, {"id": "U2", "real_name": "Bo"}]))
    found = Taken(tmp_path, "slack")
    first, bot, join, reply = found.session("slack-export:C1").messages
    assert ("@Bo see x (https://x.org) & #general @here", "al", "user") == (first.text, first.name, first.role)
    assert day[0]["text"] == (first.metadata or {})["source"]["text"]
    assert ("assistant", "ci", "Build\ngreen") == (bot.role, bot.name, bot.text)
    assert ("system", "Bo") == (join.role, join.name)
    assert ("1705314600.000100", "U9") == ((reply.metadata or {})["source"]["thread_ts"], reply.name)
    assert {"id": "F1", "name": "a.txt", "type": "file"} == list(reply.content or ())[1]
    assert datetime(2024, 1, 15, 10, 20, tzinfo=UTC) == found.session("slack-export:C1").header.created_at
    assert {"general, 2024-01-14.json"} == {flaw.place for flaw in found.flaws}


def test_import_a_day_of_slack(tmp_path: Path) -> None:
    """A day given by itself is read, and a damaged message in it costs no other."""
    day = [{"type": "message", "user": "U1", "ts": f"170531460{number}.0", "text": "words"} for number in range(4)]
    texts = [json.dumps(one) for one in day]
    texts[1] = texts[1].replace('"user"', "user")
    path = tmp_path / "general" / "2024-01-15.json"
    path.parent.mkdir()
    path.write_text(f"[{','.join(texts)}]")
    assert "slack" == importers.recognised(path).name
    found = Taken(path, "slack")
    assert ["1705314600.0", "1705314602.0", "1705314603.0"] == list(found.messages)
    assert 2 == len(found.flaws)


def discord(number: int, **more: Json) -> dict[str, Json]:
    """Return a message as DiscordChatExporter writes it."""
    return {
        "id": f"10{number}",
        "type": "Default",
        "timestamp": f"2024-01-15T11:30:0{number}+01:00",
        "timestampEdited": None,
        "isPinned": False,
        "content": f"words {number}",
        "author": {"id": "7", "name": "al", "nickname": "Al", "isBot": False, "roles": []},
        "attachments": [],
        "embeds": [],
        "stickers": [],
        "reactions": [],
        "mentions": [],
        **more,
    }


def channel_of(*messages: dict[str, Json]) -> dict[str, Json]:
    """Return a file of DiscordChatExporter."""
    return {
        "guild": {"id": "1", "name": "Bakers", "iconUrl": "x"},
        "channel": {"id": "2", "type": "GuildTextChat", "category": "Talk", "name": "rye", "topic": None},
        "dateRange": {"after": None, "before": None},
        "exportedAt": "2024-02-01T00:00:00+00:00",
        "messages": list(messages),
        "messageCount": len(messages),
    }


def test_import_discord_in_parts(tmp_path: Path) -> None:
    """The parts of a channel are one session, in their order; bots, notices, embeds and replies keep what they are."""
    embed = {"title": "Loaf", "description": "round", "fields": [{"name": "salt", "value": "2 %"}]}
    bot = discord(1, author={"id": "8", "name": "bot", "isBot": True}, embeds=[embed])
    notice = discord(2, type="GuildMemberJoin", content="Joined the server.")
    reply = discord(3, type="Reply", reference={"messageId": "100"}, attachments=[{"fileName": "a.png"}], isPinned=True)
    for name, ones in (("x", [discord(0)]), ("x [part 2]", [bot, notice]), ("x [part 10]", [reply])):
        (tmp_path / f"{name}.json").write_text(json.dumps(channel_of(*ones)))
    found = Taken(tmp_path, "discord")
    session = found.session("discord-export:2")
    assert ["100", "101", "102", "103"] == [message.id for message in session.messages]
    assert ["user", "assistant", "system", "user"] == [message.role for message in session.messages]
    assert "words 1\nLoaf\nround\nsalt\n2 %" == session.messages[1].text
    assert datetime(2024, 1, 15, 10, 30, tzinfo=UTC) == session.header.created_at
    assert ("Bakers / Talk / rye", "discord", "Al") == (
        session.header.title,
        session.header.channel,
        session.messages[0].name,
    )
    source = (session.messages[3].metadata or {})["source"]
    assert ({"messageId": "100"}, True) == (source["reference"], source["isPinned"])


@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_keep_whole_discord_messages(tmp_path: Path, data: st.DataObject) -> None:
    """Bad bytes in one message cost no other."""
    texts = [json.dumps(discord(number)).encode() for number in range(5)]
    at = data.draw(st.integers(20, 150))
    texts[2] = texts[2][:at] + data.draw(st.sampled_from([b"\xff", b'"', b"\\", b":"])) + texts[2][at:]
    document = json.dumps(channel_of()).encode().replace(b'"messages": []', b'"messages": [' + b",".join(texts) + b"]")
    records = outcome(tmp_path / "a.json", document, "discord")
    found = {message.id for one in records if isinstance(one, Session) for message in one.messages}
    assert {"100", "101", "103", "104"} <= found


@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_read_damaged_chats(tmp_path: Path, data: st.DataObject) -> None:
    """Any damage gives sessions and flaws, never another error."""
    samples = dict.fromkeys(TELEGRAM, "telegram")
    path = data.draw(st.sampled_from(sorted(samples)))
    outcome(tmp_path / "a.json", data.draw(damaged(path.read_bytes())), "telegram")
    outcome(tmp_path / "a.json", data.draw(damaged(json.dumps(channel_of(discord(1))).encode())), "discord")
    place = tmp_path / "export"
    shutil.rmtree(place, ignore_errors=True)
    (place / "general").mkdir(parents=True)
    with zipfile.ZipFile(SLACK) as packed:
        (place / "users.json").write_bytes(data.draw(damaged(packed.read("users.json"))))
        (place / "channels.json").write_bytes(data.draw(damaged(packed.read("channels.json"))))
        day = data.draw(damaged(packed.read("general/2023-04-13.json")))
    (place / "general" / "2023-04-13.json").write_bytes(day)
    assert list(importers.read_sessions(place, "slack"))
