"""A session with the model on a terminal: earlier messages, then message and answer by turns, and a few commands."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from chatkeep.cli import hints, printing, replies, screen
from chatkeep.cli.lines import Lines
from chatkeep.cli.styled import Styled
from chatkeep.core.history.windows import Window
from chatkeep.core.model import Message, Selection
from chatkeep.core.paging import LIST_LIMIT_MAX
from chatkeep.core.search.query import parse_query
from chatkeep.core.search.search import Search
from chatkeep.errors import ChatkeepError, InvalidError, SessionNotFoundError
from chatkeep.model.chat import Chats
from chatkeep.sessions.sessions import Sessions
from chatkeep.wire.errors import advised

_SHOWN_MAX: Final = 20  # messages
_HITS_MAX: Final = 10  # hits
_HELP: Final = """\
/title [TITLE]  shows the title, or gives the session another one
/new            begins a new session
/search TEXT    finds sessions by what was said in them
/help           shows this
/quit           leaves, as Ctrl-D does

Enter sends. Alt-Enter, or \\ before Enter, begins another line. The arrow keys bring back what was typed before.
Ctrl-C stops an answer, and clears the line. A message that is to begin with / is typed with a blank before it."""


class Talk:
    """A person's talk with the model in a session."""

    def __init__(self, sessions: Sessions, chats: Chats, key: str) -> None:
        """Take the session's key; the session need not exist."""
        self._sessions = sessions
        self._chats = chats
        self._key = key
        self._shown_seq = 0
        self._own_seq: int | None = None
        self._is_over = False
        self._commands: Mapping[str, Callable[[str], None]] = MappingProxyType(
            {
                "/title": self._entitle,
                "/new": self._begin_anew,
                "/search": self._search,
                "/help": lambda _: screen.say(_HELP),
                "/quit": self._leave,
            }
        )

    async def hold(self) -> None:
        """Show earlier messages, then answer until the person leaves."""
        messages = self._show_beginning()
        lines = Lines(message.text for message in messages if message.role == "user")
        screen.say(Styled("/help tells what can be typed; Ctrl-D leaves.", "dim"))
        try:
            while not self._is_over:
                text = await lines.next()
                if text is None:
                    break
                try:
                    await self._take(text)
                    self._show_news()
                except ChatkeepError as error:
                    screen.complain(advised(error))
                except KeyboardInterrupt:
                    screen.complain("Stopped.")
        finally:
            await self._chats.close()

    async def _take(self, text: str) -> None:
        """Run a typed command, or send the message."""
        if not text.strip():
            return
        if not text.startswith("/"):
            await self._answer(text)
            return
        name, _, rest = text.partition(" ")
        command = self._commands.get(name.strip())
        if command is None:
            raise InvalidError(name, "is no command; /help lists them, and a blank before it makes it a message")
        command(rest.strip())

    async def _answer(self, text: str) -> None:
        turn = await replies.begun_turn(self._chats, self._sessions, self._key, text)
        if turn.seq <= self._shown_seq:  # the session was deleted and made again
            self._shown_seq = 0
        self._show_news(before=turn.seq)
        self._shown_seq = turn.seq
        try:
            await replies.finished(turn, replies.AsText())
        finally:
            self._own_seq = turn.answer_seq
        screen.say()

    def _show_beginning(self) -> tuple[Message, ...]:
        """Show the newest messages of the session and return them."""
        try:
            summary = self._sessions.get(self._key)
        except SessionNotFoundError:
            screen.say(f"A new session: {screen.safe_text(self._key, one_line=True)}")
            return ()
        window = self._sessions.window(self._key, limit=_SHOWN_MAX)
        printing.show_head(summary, self._sessions.now())
        if window.has_more:
            told = f"Earlier messages: {hints.command('show', self._key, '--before', str(window.messages[0].seq))}"
            screen.say(Styled(told, "dim"))
        self._show(window)
        screen.say()
        return window.messages

    def _show_news(self, before: int | None = None) -> None:
        """Show messages by others since the last one shown."""
        try:
            window = self._sessions.window(self._key, after=self._shown_seq, before=before, limit=LIST_LIMIT_MAX)
        except SessionNotFoundError:
            self._shown_seq = 0
            return
        self._show(window)

    def _show(self, window: Window) -> None:
        news = [message for message in window.messages if message.seq != self._own_seq]
        if window.messages:
            self._shown_seq = window.messages[-1].seq
        if news:
            printing.show_messages(news)
            screen.say()

    def _entitle(self, title: str) -> None:
        try:
            summary = self._sessions.rename(self._key, title) if title else self._sessions.get(self._key)
        except SessionNotFoundError as error:
            raise ChatkeepError("There is no session yet: it begins with the first message.") from error
        screen.say(f"Title: {screen.safe_text(summary.title, one_line=True)}")

    def _begin_anew(self, _: str) -> None:
        self._key = f"{replies.CHANNEL}:{secrets.token_hex(6)}"
        self._shown_seq, self._own_seq = 0, None
        self._show_beginning()

    def _search(self, text: str) -> None:
        if not text:
            raise InvalidError("/search", "needs the words to find")
        wanted = Search(query=parse_query(text), selection=Selection(archived=None), limit=_HITS_MAX)
        printing.show_hits(self._sessions.search(wanted), self._sessions.now())

    def _leave(self, _: str) -> None:
        self._is_over = True
