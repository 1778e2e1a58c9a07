"""Kept responses as OpenAI's API has them: read, with the items before them, and deleted."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress

from chatkeep.core.history.state.conversation_items import shown_item
from chatkeep.core.history.state.stated_responses import input_items_of, response_of
from chatkeep.core.life.dropping import Chosen
from chatkeep.core.model import Json, Message
from chatkeep.core.standing import said
from chatkeep.errors import InvalidRequestError, MessageNotFoundError, NotFoundError, SessionNotFoundError
from chatkeep.model.state.conversations import ItemPage
from chatkeep.model.state.registers import KeptResponse, KeptResponses
from chatkeep.sessions.sessions import Sessions


class ResponseReading:
    """The operations on kept responses, for one caller."""

    def __init__(self, sessions: Sessions) -> None:
        """Take the sessions within the caller's reach."""
        self._sessions = sessions
        self._registers = KeptResponses(sessions)

    def get(self, response_id: str, include: Collection[str]) -> dict[str, Json]:
        """Return a response, with what `include` names.

        Raises:
            NotFoundError: when it is not kept.
        """
        kept, answer = self._found(response_id)
        told = response_of(response_id, answer, kept.request)
        return {**told, "output": [shown_item(item, include) for item in told["output"]]}

    def delete(self, response_id: str) -> None:
        """Forget a response, and drop its answer if that still stands and its request named no conversation.

        Raises:
            NotFoundError: when it is not kept.
            ForbiddenError: when messages may not drop others here.
        """
        if self._registers.place(response_id) is None:
            raise _missing(response_id)
        found = self._registers.find(response_id)
        with suppress(SessionNotFoundError, MessageNotFoundError):
            self._registers.forget(response_id)
            if found is not None and not found[0].request.get("conversation"):
                self._sessions.drop(found[0].session, Chosen(id=found[1].id))

    def input_items(self, response_id: str, *, after: str | None, limit: int, is_rising: bool) -> ItemPage:
        """Return the items that the model was sent, in their order or the last one first, behind the one `after`.

        Raises:
            NotFoundError: when the response is not kept.
            InvalidRequestError: when none of the items has the id `after`.
        """
        kept, answer = self._found(response_id)
        messages = said(self._sessions.read(kept.session, log=True).messages)
        items = input_items_of(message for message in messages if message.seq < answer.seq)
        if not is_rising:
            items.reverse()
        if after is not None:
            place = next((place for place, item in enumerate(items, start=1) if item.id == after), None)
            if place is None:
                raise InvalidRequestError("after", f"is no item of this response: {after[:128]!r}")
            items = items[place:]
        return ItemPage(tuple(items[:limit]), len(items) > limit)

    def _found(self, response_id: str) -> tuple[KeptResponse, Message]:
        found = self._registers.find(response_id)
        if found is None:
            raise _missing(response_id)
        return found


def _missing(response_id: str) -> NotFoundError:
    return NotFoundError(f"Response with id {response_id[:128]!r} not found.")
