"""What writers were told, and what a store must show for it afterwards.

A writer notes, line by line, what it is about to say (`try KEY ID SIZE`) and, once that was
answered, `ack KEY ID`. A kill leaves at most its last try without an answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from chatkeep.core.model import Draft, Message, Session
from chatkeep.testing import at


def content_of(message_id: str, size: int) -> str:
    """Return the text of a message, made from its id, so that whoever has the id knows every byte."""
    pattern = hashlib.sha256(message_id.encode()).hexdigest()
    return (pattern * (size // len(pattern) + 1))[:size]


def draft_of(message_id: str, size: int) -> Draft:
    """Return the draft that a writer sends for an id."""
    return Draft(role="user", content=content_of(message_id, size), id=message_id, sent_at=at(0))


@dataclass
class History:
    """What all writers tried, and what they were told is stored, in the order of the telling."""

    tried: dict[str, tuple[str, int]] = field(default_factory=dict)
    acknowledged: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def take(self, writer: str, lines: Iterable[str]) -> None:
        """Add the notes of a writer."""
        for line in lines:
            word, key, message_id, *size = line.split()
            if word == "try":
                self.tried[message_id] = (key, int(size[0]))
            else:
                self.acknowledged.setdefault((writer, key), []).append(message_id)

    def faults(self, session: Session) -> list[str]:
        """Return what is wrong with a session: lost, doubled, disordered, invented or altered messages."""
        key = session.header.key
        places = {message.id: message.seq for message in session.messages}
        found = [f"{key}: doubled ids"] if len(places) != len(session.messages) else []
        if [message.seq for message in session.messages] != list(range(1, len(session.messages) + 1)):
            found.append(f"{key}: seqs are not 1, 2, 3 ...")
        for (writer, where), ids in self.acknowledged.items():
            if where == key:
                found += [f"{key}: lost {message_id}" for message_id in ids if message_id not in places]
                order = [places[message_id] for message_id in ids if message_id in places]
                if order != sorted(order):
                    found.append(f"{key}: the messages of {writer} are not in the order of their acknowledgements")
        return (
            found
            + self._halves(key, places)
            + [fault for message in session.messages for fault in self._message_faults(key, message)]
        )

    def keys(self) -> set[str]:
        """Return the keys of which something was acknowledged."""
        return {key for _, key in self.acknowledged}

    def _halves(self, key: str, places: dict[str, int]) -> list[str]:
        """Return the appends of which some messages are there and some are not; ids are `APPEND.PART`."""
        appends: dict[str, set[bool]] = {}
        for message_id, (where, _) in self.tried.items():
            if where == key:
                appends.setdefault(message_id.rpartition(".")[0] or message_id, set()).add(message_id in places)
        return [f"{key}: half of {append}" for append, there in appends.items() if len(there) > 1]

    def _message_faults(self, key: str, message: Message) -> list[str]:
        if message.id not in self.tried:
            return [f"{key}: nobody sent {message.id}"]
        where, size = self.tried[message.id]
        altered = message.content != content_of(message.id, size)
        return [f"{key}: {message.id} is altered or misplaced"] if altered or where != key else []
