"""The command `chat`: on a real terminal and through pipes, against a model server that speaks the real protocol."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from chatkeep.cli import screen
from chatkeep.cli.replies import AsText
from chatkeep.core.model import Draft, Message
from chatkeep.core.text.reasoning import TextPiece
from chatkeep.sessions.sessions import Sessions
from chatkeep.store.files.store import FilesStore
from tests.chat.completions import Answer
from tests.chat.upstream import Upstream
from tests.cli.terminals import ALT_ENTER, CTRL_C, CTRL_D, ENTER, UP, Terminal

if TYPE_CHECKING:
    from tests.cli.conftest import Run

KEY = "cli:default"
HOSTILE = "\x1b]0;taken\x07 \x1b[2J\x9b31m \u202egnp\r\nnext\rback"
TAKEN = (b"\x1b]0;", b"\x1b[2J", "\x9b".encode(), "\u202e".encode(), b"\x07")


@pytest.fixture(scope="module")
def running() -> Iterator[Upstream]:
    """A model server for all tests."""
    with Upstream() as upstream:
        yield upstream


@pytest.fixture
def upstream(running: Upstream) -> Upstream:
    """The model server, with nothing scripted."""
    running.forget()
    return running


@pytest.fixture
def environ(upstream: Upstream, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The settings of a chat, also for commands in this process."""
    settings = {
        "CHATKEEP_WORKSPACE": str(workspace),
        "CHATKEEP_MODEL_URL": upstream.url,
        "CHATKEEP_MODEL": "small-model",
        "CHATKEEP_MODEL_RETRIES": "0",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return settings


@pytest.fixture
def sessions(workspace: Path) -> Iterator[Sessions]:
    """The sessions as another program sees them that runs beside the chat."""
    store = FilesStore.open(workspace, durability="none")
    yield Sessions(store)
    store.close()


def said(sessions: Sessions, key: str = KEY) -> list[tuple[str, Any]]:
    """Return who said what."""
    return [(message.role, message.content) for message in sessions.read(key).messages]


def last(sessions: Sessions) -> Message:
    """Return the newest message."""
    return sessions.read(KEY).messages[-1]


def test_chat_and_resume(environ: dict[str, str], upstream: Upstream, sessions: Sessions) -> None:
    """An answer is shown while it comes and stored; who comes back sees what was said, and the model too."""
    with Terminal("chat", environ=environ) as terminal:
        upstream.script(Answer("first second", hold_after=1))
        terminal.say("What " + ALT_ENTER + "comes\\" + ENTER + "now?")
        terminal.wait_for("first")
        assert "second" not in terminal.shown
        upstream.release()
        terminal.wait_for("second")
        terminal.ask()
        terminal.type(CTRL_D)
        assert 0 == terminal.end()
    question = "What \ncomes\nnow?"
    assert [("user", question), ("assistant", "first second")] == said(sessions)
    assert ("cli", {"small-model"}) == (sessions.get(KEY).header.channel, {(last(sessions).metadata or {})["model"]})

    with Terminal("chat", environ=environ) as terminal:
        shown = terminal.ask()
        assert "2 messages" in shown
        assert f"{question}\n\nassistant" in shown
        assert "first second" in shown
        terminal.type(UP + UP + " Really?" + ENTER)  # to its first line, which ends there
        terminal.wait_for("You said: What ")
        terminal.say("/quit")
        assert 0 == terminal.end()
    assert ["What \ncomes\nnow?", "first second"] == [one["content"] for one in upstream.seen[1].body["messages"][:2]]
    assert "Really?" in said(sessions)[2][1]


def test_commands_in_a_chat(environ: dict[str, str], sessions: Sessions) -> None:
    """A session is named, left for a new one, and found again; what is no command is not sent."""
    sessions.append("old", [Draft(role="user", content="The stars above")])
    with Terminal("chat", "--session", "team/our talk", environ=environ) as terminal:
        terminal.say("/title Early")
        terminal.wait_for("no session yet")
        terminal.say("hello")
        terminal.wait_for("You said: hello")
        terminal.say("/title A good name")
        terminal.wait_for("Title: A good name")
        terminal.say("/search stars")
        terminal.wait_for("old#1")
        terminal.say("/serch stars")
        terminal.wait_for("/help lists them")
        terminal.say("/new")
        terminal.wait_for("session: ")
        key = terminal.wait_for("\n").strip()
        terminal.say(" /title is sent")
        terminal.wait_for("You said:  /title is sent")
        terminal.say("unfinished" + CTRL_C + "/quit")
        assert 0 == terminal.end()
    assert "A good name" == sessions.get("team/our talk").title
    assert key.startswith("cli:")
    assert [("user", " /title is sent"), ("assistant", "You said:  /title is sent")] == said(sessions, key)
    assert "cli" == sessions.get("team/our talk").header.channel


def test_stop_an_answer(environ: dict[str, str], upstream: Upstream, sessions: Sessions) -> None:
    """Ctrl-C ends the answer, not the chat: what came is kept and marked, and shown once."""
    with Terminal("chat", environ=environ) as terminal:
        upstream.script(Answer("one two three", hold_after=2), Answer("never", hold_after=0))
        terminal.say("Count!")
        terminal.wait_for("two")
        terminal.type(CTRL_C)
        terminal.wait_for("what came of the answer is kept")
        assert upstream.seen[0].gone.wait(20)
        assert ("one two ", True) == (last(sessions).content, (last(sessions).metadata or {})["partial"])
        terminal.say("Again!")
        upstream.wait_for(2)
        terminal.type(CTRL_C)
        terminal.wait_for("nothing of the answer came")
        terminal.say("hello")
        terminal.wait_for("You said: hello")
        terminal.ask()
        assert 1 == terminal.shown.count("one two")
        upstream.script(Answer("four five", hold_after=1))
        terminal.type("Go on" + ENTER)
        terminal.wait_for("four")
        os.kill(terminal.process.pid, signal.SIGHUP)
        assert 128 + signal.SIGHUP == terminal.end()
    expected = ["Count!", "one two ", "Again!", "hello", "You said: hello", "Go on", "four "]
    assert expected == [content for _, content in said(sessions)]


def test_messages_of_others(environ: dict[str, str], upstream: Upstream, sessions: Sessions) -> None:
    """What other programs say in the session is shown, once, before one is asked again; a deleted one begins anew."""
    with Terminal("chat", environ=environ) as terminal:
        terminal.ask()
        sessions.append(KEY, [Draft(role="user", content="from afar")])
        upstream.script(Answer("mine", hold_after=0))
        terminal.type("hello" + ENTER)
        assert "#1" in terminal.wait_for("from afar")
        upstream.wait_for(1)
        sessions.append(KEY, [Draft(role="tool", content="also here")])
        upstream.release()
        terminal.wait_for("mine")
        assert "#3" in terminal.wait_for("also here")
        terminal.ask()
        sessions.delete(KEY)
        sessions.append(KEY, [Draft(role="user", content="reborn")])
        terminal.type("anew" + ENTER)
        assert "#1" in terminal.wait_for("reborn")
        terminal.wait_for("You said: anew")
        terminal.say("/quit")
        assert 0 == terminal.end()
        assert [1, 1, 1] == [terminal.shown.count(text) for text in ("from afar", "also here", "mine")]
    assert ["reborn", "anew", "You said: anew"] == [content for _, content in said(sessions)]


def test_nothing_acts_on_the_terminal(environ: dict[str, str], upstream: Upstream, sessions: Sessions) -> None:
    """Escape sequences are written out: stored ones, and those of an answer, wherever it is cut."""
    sessions.append(KEY, [Draft(role="user", content=HOSTILE, name="\u202e")])
    cut = " ".join(HOSTILE)  # tokens end at white space
    upstream.script(Answer(HOSTILE), Answer(cut))
    with Terminal("chat", environ=environ) as terminal:
        for text in ("go", "on"):
            terminal.say(text)
        terminal.say("/search gnp next")
        terminal.wait_for("#")
        terminal.say(UP)
        terminal.say("/quit")
        assert 0 == terminal.end()
        assert [] == [act for act in TAKEN if act in terminal.raw]
        assert "\\x1b]0;taken\\x07 \\x1b[2J\\x9b31m \\u202egnp\nnext\\rback" in terminal.shown
    assert [HOSTILE, cut] == [content for role, content in said(sessions) if role == "assistant"][:2]


def test_cut_anywhere(capsys: pytest.CaptureFixture[str]) -> None:
    """However an answer is cut into pieces, it looks the same."""

    async def show(pieces: tuple[str, str]) -> str:
        shown = AsText()
        for piece in pieces:
            await shown.add(TextPiece("text", piece))
        shown.end(None)
        return capsys.readouterr().out

    async def show_all() -> set[str]:
        return {await show((HOSTILE[:place], HOSTILE[place:])) for place in range(len(HOSTILE) + 1)}

    assert {screen.safe_text(HOSTILE) + "\n"} == asyncio.run(show_all())


def test_model_fails_on_a_terminal(environ: dict[str, str], upstream: Upstream, sessions: Sessions) -> None:
    """A model that cannot be reached, or breaks off, is told of, and the chat goes on."""
    with Terminal("chat", environ=environ) as terminal:
        terminal.ask()
        upstream.stop()
        terminal.type("hello" + ENTER)
        terminal.wait_for("cannot be reached")
        upstream.start()
        upstream.script(Answer("one two", cut_after=1))
        terminal.say("again")
        terminal.wait_for("was cut off")
        terminal.say("hello")
        terminal.wait_for("You said: hello")
        terminal.ask()
    assert ["hello", "again", "one ", "hello", "You said: hello"] == [content for _, content in said(sessions)]


@pytest.mark.usefixtures("environ")
def test_chat_through_pipes(run: Run, sessions: Sessions) -> None:
    """Each line of stdin is a message, or all of it, or an argument is; answers alone are printed."""
    assert "You said: one\nYou said: /quit\n" == run("chat", stdin=b"one\r\n\n \n/quit").out
    assert "You said: two\nlines\n" == run("chat", "-", stdin=b"two\nlines\n").out
    assert "You said: three\n" == run("chat", "--session", KEY, "three").out
    assert "You said: four\n" == run("chat", "-s", "a b/c", "-", stdin=b"four").out
    assert ["one", "/quit", "two\nlines", "three"] == [content for role, content in said(sessions) if role == "user"]
    assert 2 == sessions.get("a b/c").message_count


@pytest.mark.usefixtures("environ")
def test_chat_as_events(run: Run, upstream: Upstream) -> None:
    """With `--json` each event of the Chat API is a line; the text is as it came."""
    upstream.script(Answer("one \x1b[2J"), Answer("two", cut_after=0))
    answered = run("chat", "--json", stdin=b"hello\nagain\nnever\n", code=1)
    events = [json.loads(line) for line in answered.out.splitlines()]
    assert ["start", "token", "token", "done", "start"] == [event.pop("event") for event in events]
    assert {"session_key": KEY} == events[0] == events[4]
    assert "one \x1b[2J" == events[1]["text"] + events[2]["text"]
    assert (2, "stop", 2) == (events[3]["seq"], events[3]["finish_reason"], events[3]["usage"]["completion_tokens"])
    assert "\x1b" not in answered.out
    assert "model_cut_off" == json.loads(answered.err)["error"]["code"]
    assert 2 == len(upstream.seen)


@pytest.mark.usefixtures("environ")
def test_chat_refuses(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be sent, and where nobody answers, is a sentence and an exit code."""
    assert "nothing to send" in run("chat", "-", stdin=b" \n", code=2).err
    assert "line 2 of stdin: is not UTF-8" in run("chat", stdin=b"a\n\xff\n", code=2).err
    assert "key: " in run("chat", "--session", "a\nb", "hello", code=2).err
    assert "no model 'other'" in run("chat", "hello", "--model", "other", code=1).err
    monkeypatch.setenv("CHATKEEP_MODEL_URL", "http://127.0.0.1:9/v1")
    assert "cannot be reached" in run("chat", "hello", code=1).err
    monkeypatch.setenv("CHATKEEP_MODEL", "")
    assert "set CHATKEEP_MODEL, or model in chatkeep.toml" in run("chat", "hello", code=1).err
    monkeypatch.setenv("CHATKEEP_MODEL_URL", "")
    assert "set CHATKEEP_MODEL_URL, or model_url in chatkeep.toml" in run("chat", "hello", code=1).err


def test_title_by_the_model(
    run: Run, environ: dict[str, str], sessions: Sessions, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chat through a pipe waits for the title that it asked for."""
    assert environ
    monkeypatch.setenv("CHATKEEP_MODEL_TITLES", "true")
    upstream.script(Answer("hi"), Answer("A warm welcome", pause_s=0.02))
    run("chat", "hello")
    assert "A warm welcome" == sessions.get(KEY).title


def test_load_what_chats_only_to_chat() -> None:
    """Who does not chat, not even asks how to, does not wait for what only a chat needs."""
    script = "import sys, chatkeep.cli as c\ntry: c.main(['chat', '--help'])\nfinally: print(sorted(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert "'chatkeep.cli.chatting'" in ended.stdout
    for module in ("openai", "prompt_toolkit", "asyncio.runners", "chatkeep.model.chat"):
        assert f"'{module}'" not in ended.stdout
