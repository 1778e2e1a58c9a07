"""A protocol of models' servers, as the recorder knows it: requests and answers, read as our messages.

The relay, the order of storing, recognition and forks are the same for all protocols. A protocol says only this:
where a request has its messages, which message each of them is, and how the pieces of an answer fold into one.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import NamedTuple, Protocol

from msgspec import Struct

from chatkeep.core.history.folding import Complaint
from chatkeep.core.model import Draft, Json, Message
from chatkeep.core.text.reasoning import TextPiece


class Follows(NamedTuple):
    """The place at the model's server that a request goes on behind: an answer, or the end of a thread; empty for none.

    Such a request has only the new messages.
    """

    answer: str = ""
    thread: str = ""


class AnswerFold(Protocol):
    """A model's answer, folded from the pieces in which it arrives."""

    facts: dict[str, Json]
    """The server's facts about the answer: `model`, `response_id`, `usage`."""
    is_known: bool
    """Whether a piece looked like one of this protocol's answers."""

    @property
    def has_ended(self) -> bool:
        """Whether the server ended the whole answer."""
        ...

    @property
    def has_begun(self) -> bool:
        """Whether the answer has begun, even without content."""
        ...

    @property
    def has_said(self) -> bool:
        """Whether there is any content."""
        ...

    @property
    def has_thought(self) -> bool:
        """Whether there is any reasoning."""
        ...

    @property
    def has_spoken(self) -> bool:
        """Whether there are words of an answer, or calls."""
        ...

    @property
    def finish_reason(self) -> str:
        """The server's reason for the end, empty without one."""
        ...

    def add(self, piece: Json) -> None:
        """Fold in a piece, or a whole answer; a value other than an object adds nothing."""
        ...

    def add_beginning(self, text: str) -> None:
        """Take the words of a whole answer cut in the middle."""
        ...

    def complaint(self, piece: dict[str, Json], *, is_error: bool) -> Complaint | None:
        """Return the error in a piece, None if there is none. `is_error` says that its event has the name `error`."""
        ...

    def end(self) -> None:
        """Note the end of the answer, even without a reason."""
        ...

    def close(self) -> None:
        """Note that no more comes."""
        ...

    def take(self) -> list[TextPiece]:
        """Return the text and thinking since the last call."""
        ...

    def draft(self, metadata: Mapping[str, Json]) -> Draft | None:
        """Return the answer as a message with these facts, None if it has no content."""
        ...


class ModelProtocol(Struct, frozen=True, kw_only=True):
    """A protocol: how its requests and answers are read."""

    name: str
    prefix: str
    """The beginning of keys that we make for its conversations."""
    path: str
    """The path of its requests below the base URL."""
    kind: str = "openai"
    """The kind of server that speaks it."""
    key_header: str = "authorization"
    """The header with the server's key."""
    items: str
    """The field of a request with the list of its messages."""
    takes_text: bool = False
    """Whether a bare text, or nothing, may stand in place of the list."""
    opening: Callable[[Mapping[str, Json]], list[Draft]]
    """Returns the messages in other fields of a request, such as instructions."""
    draft: Callable[[Mapping[str, Json]], Draft]
    """Returns one of the listed messages as ours."""
    gathered: Callable[[Sequence[Draft]], list[Draft]] = list
    """Joins neighbouring messages that are one of ours."""
    asker: Callable[[Mapping[str, Json]], str]
    """Returns the name in a request of the person asking."""
    follows: Callable[[Mapping[str, Json]], Follows] = lambda _: Follows()
    """Returns the place that a request goes on behind."""
    references: Callable[[Draft], Sequence[str]] = lambda _: ()
    """Returns the ids of stored items that a message names in place of its words."""
    ids: Callable[[Message], Container[str]] = lambda _: ()
    """Returns the ids of a stored message's items."""
    is_aside: Callable[[Mapping[str, Json]], bool] = lambda _: False
    """Tells whether a request is a program's own, beside its user's conversation; such a one is not recorded."""
    answer: Callable[[], AnswerFold]
    """Returns the fold of an answer, before its first piece."""
    text_field: bytes
    """The field of a whole answer with its words, for the beginning of a cut one."""
    last_lines: tuple[bytes, ...]
    """Beginnings of the first line of a stream's last event, without spaces."""
    marks_end: bool = True
    """Whether an event ends the answer for good; otherwise more may follow until the stream ends."""
    missing_end: str
    """Names the missing end of a cut answer."""
    takes_lists: bool = False
    """Whether a body may be a list of the pieces of a stream."""
