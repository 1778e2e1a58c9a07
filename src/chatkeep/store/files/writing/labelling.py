"""The labels of messages on their way into a session, made before the locks that others wait for."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import partial
from typing import Final

import msgspec

from chatkeep.core.model import Message
from chatkeep.errors import BusyError, StorageError
from chatkeep.store.files.index.sets.postings import put_long
from chatkeep.store.files.upkeep.upkeep import Upkeep
from chatkeep.store.sets.terms import Indexed, labels_of

_NUMBER_BITS: Final = 62  # of the number of a long text


def labelled(upkeep: Upkeep, messages: Sequence[Message]) -> list[Indexed]:
    """Return the labels of messages; those of a long one enter the index now, in a transaction of their own.

    So an append of many long texts holds up no other writer. If the index cannot be written now, the append tells.
    """
    return [_with_long(upkeep, labels_of(message)) for message in messages]


def _with_long(upkeep: Upkeep, one: Indexed) -> Indexed:
    if not one.is_long:
        return one
    numbered = msgspec.structs.replace(one, long=secrets.randbits(_NUMBER_BITS))
    try:
        upkeep.note(partial(put_long, one=numbered))
    except (BusyError, StorageError):
        return one
    return numbered
