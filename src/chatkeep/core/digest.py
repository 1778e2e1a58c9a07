"""The digest of a session: its counts, title, preview and latest time, folded from its lines one after the other."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec
from msgspec import Struct

from chatkeep.core.model import Header, Message, Summary, title_of
from chatkeep.core.standing import TALK_ROLES, Drops, holds, said
from chatkeep.core.text import titles


class Digest(Struct, frozen=True, kw_only=True):
    """The facts of a session for a list, folded from one line after the other.

    `line_count` counts the lines, `message_count` the standing ones besides events, `talk_count` those of users and
    assistants. `title_hint` and `preview_hint` describe messages without words for people, until a message has some.
    `title_seq` and `preview_seq` are the seqs of the messages with the title and the preview, 0 without one.
    `latest_at` is the time of the latest line, a dropped one included: to take back is activity too.
    """

    line_count: int = 0
    message_count: int = 0
    talk_count: int = 0
    auto_title: str | None = None
    title_hint: str = ""
    title_seq: int = 0
    preview: str = ""
    preview_hint: str = ""
    preview_seq: int = 0
    latest_at: datetime | None = None

    def plus(self, *lines: Message) -> Digest:
        """Return the digest of the same lines and these after them. Drops count within these lines alone."""
        messages = said(lines)
        talk = [message for message in messages if message.role in TALK_ROLES]
        latest_at = max((line.sent_at for line in lines), default=self.latest_at)
        counted = msgspec.structs.replace(
            self,
            line_count=self.line_count + len(lines),
            message_count=self.message_count + len(messages),
            talk_count=self.talk_count + len(talk),
            latest_at=latest_at if self.latest_at is None or latest_at is None else max(self.latest_at, latest_at),
        )
        return counted.titled(one for one in talk if one.role == "user").previewed(reversed(talk))

    def titled(self, asked: Iterable[Message]) -> Digest:
        """Return the digest with a title, if it lacks one: from the user's messages, oldest first.

        It reads no further than the first message with words for people.
        """
        if self.auto_title:
            return self
        title, seq = _first_short((titles.title(one.text, one.content), one.seq) for one in asked)
        if title.said or not self.title_hint:
            hint = "" if title.said else title.described
            return msgspec.structs.replace(self, auto_title=title.said or None, title_hint=hint, title_seq=seq)
        return self

    def previewed(self, talk: Iterable[Message]) -> Digest:
        """Return the digest with the preview of further messages, newest first; the first words end the reading."""
        preview, seq = _first_short((titles.preview(one.text, one.content), one.seq) for one in talk)
        if preview.said or (preview.described and not self.preview):
            hint = "" if preview.said else preview.described
            return msgspec.structs.replace(self, preview=preview.said, preview_hint=hint, preview_seq=seq)
        return self

    def less(self, message_count: int, talk_count: int, gone: Drops) -> Digest:
        """Return the digest without dropped messages: so many, with the seqs `gone`.

        If the title or the preview was theirs, there is none: `titled` and `previewed` find another one.
        """
        counted = msgspec.structs.replace(
            self,
            message_count=self.message_count - message_count,
            talk_count=self.talk_count - talk_count,
        )
        if holds(gone, self.title_seq):
            counted = msgspec.structs.replace(counted, auto_title=None, title_hint="", title_seq=0)
        if holds(gone, self.preview_seq):
            counted = msgspec.structs.replace(counted, preview="", preview_hint="", preview_seq=0)
        return counted

    @property
    def made_title(self) -> str | None:
        """The title from the messages, None if they give none."""
        return self.auto_title or self.title_hint or None


def summary(header: Header, digest: Digest, damage: str | None = None) -> Summary:
    """Return a session's summary. `damage` says why it is read-only, None for a whole one."""
    return Summary(
        header=header,
        line_count=digest.line_count,
        message_count=digest.message_count,
        talk_count=digest.talk_count,
        title=title_of(header, digest.made_title),
        preview=digest.preview or digest.preview_hint,
        updated_at=digest.latest_at or header.created_at,
        damage=damage,
    )


def _first_short(texts: Iterable[tuple[titles.Short, int]]) -> tuple[titles.Short, int]:
    """Return the first words for people, else the first description, and the seq of its message; 0 without either."""
    described, place = "", 0
    for text, seq in texts:
        if text.said:
            return titles.Short(text.said, ""), seq
        if text.described and not described:
            described, place = text.described, seq
    return titles.Short("", described), place
