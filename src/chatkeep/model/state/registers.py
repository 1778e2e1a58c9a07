"""Responses that Chatkeep keeps for servers without state: where each one stands, and the requests behind them.

The answer itself is a message of its session. A *register* beside it leads from the id of a response to that message,
and has the settings of its request. Registers are archived sessions of events, 256 under each prefix, so an id is found
at once however many there are. They are files like all sessions: a restart loses nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import msgspec
from msgspec import Struct

from chatkeep.core.checks import NAME_CHARS_MAX
from chatkeep.core.history.state.conversation_items import base_of
from chatkeep.core.life.dropping import Chosen, Mark, NewSession
from chatkeep.core.model import Draft, Json, Message
from chatkeep.core.standing import EVENT, said
from chatkeep.errors import (
    InvalidError,
    MessageConflictError,
    MessageNotFoundError,
    SessionExistsError,
    SessionNotFoundError,
)
from chatkeep.sessions.sessions import Sessions

_REGISTER: Final = "openai:responses."
_NO_SETTINGS: Final = ("input", "stream", "stream_options")
_KEPT: Final = "response"
"""Name in the metadata of an event of a register: the place of a response."""


class KeptResponse(Struct, frozen=True, kw_only=True):
    """The place of a response: its session, the id of its message, and the settings of its request."""

    session: str
    message: str
    request: dict[str, Json] = {}


class KeptResponses:
    """The registers within the reach of a caller."""

    def __init__(self, sessions: Sessions) -> None:
        """Take the sessions within reach."""
        self._sessions = sessions

    def keep(self, response_id: str, kept: KeptResponse) -> None:
        """Note the place of a response, once; an id that no event may have is left out.

        Raises:
            StorageError: as in `Sessions.append`.
        """
        if not 1 <= len(response_id) <= NAME_CHARS_MAX:
            return
        key = self._register(response_id)
        event = Draft(role=EVENT, content="", id=response_id, metadata={_KEPT: msgspec.to_builtins(kept)})
        with suppress(MessageConflictError, InvalidError):  # a server that gives an id twice means the first
            try:
                self._sessions.append(key, [event], create=False)
            except SessionNotFoundError:
                with suppress(SessionExistsError):
                    self._sessions.create(NewSession(key=key, archived=True))
                self._sessions.append(key, [event])

    def place(self, response_id: str) -> KeptResponse | None:
        """Return the place of a response, also where its answer is gone; None for one not kept."""
        register = self._register(response_id)
        with suppress(SessionNotFoundError, MessageNotFoundError):
            self._sessions.message(register, _mark_of(response_id), log=True)
            return None
        try:
            event = self._sessions.message(register, response_id, log=True)
            return msgspec.convert((event.metadata or {}).get(_KEPT), KeptResponse)
        except (SessionNotFoundError, MessageNotFoundError, InvalidError, msgspec.ValidationError):
            return None

    def find(self, response_id: str) -> tuple[KeptResponse, Message] | None:
        """Return a response that is kept, with the message of its answer; None where either is gone."""
        kept = self.place(response_id)
        if kept is None:
            return None
        try:
            return kept, self._answer(kept)
        except (SessionNotFoundError, MessageNotFoundError, InvalidError):
            return None

    def forget(self, response_id: str) -> None:
        """Drop the place of a response.

        Raises:
            MessageNotFoundError: when it is not kept.
            ForbiddenError: when messages may not drop others here.
        """
        mark = Mark(id=_mark_of(response_id))
        self._sessions.drop(self._register(response_id), Chosen(id=response_id), mark=mark)

    def _answer(self, kept: KeptResponse) -> Message:
        """Return the message of an answer, also where a deleted item before it made it be stored again.

        Raises:
            SessionNotFoundError, MessageNotFoundError: when it is gone.
        """
        with suppress(MessageNotFoundError):
            return self._sessions.message(kept.session, kept.message)
        messages = said(self._sessions.read(kept.session, log=True).messages)
        moved = next((one for one in messages if base_of(one) == kept.message), None)
        if moved is None:
            raise MessageNotFoundError
        return moved

    def _register(self, response_id: str) -> str:
        """Return the key of the register of an id."""
        digest = hashlib.sha256(response_id.encode("utf-8", "surrogatepass")).hexdigest()
        return f"{self._sessions.prefix}{_REGISTER}{digest[:2]}"


def _mark_of(response_id: str) -> str:
    """Return the id of the line that drops the place of a response."""
    return f"gone.{hashlib.sha256(response_id.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


def settings_in(fields: Mapping[str, msgspec.Raw], bytes_max: int) -> dict[str, Json]:
    """Return the fields of a request that its response repeats, the short ones first, as far as there is room.

    A field with a number that we cannot keep is left out.
    """
    told = {name: bytes(raw) for name, raw in fields.items() if name not in _NO_SETTINGS}
    found: dict[str, Json] = {}
    for name, value in sorted(told.items(), key=lambda one: len(one[1])):
        bytes_max -= len(value) + len(name)
        if bytes_max < 0:
            break
        with suppress(msgspec.ValidationError):  # a number out of range
            found[name] = msgspec.json.decode(value)
    return found
