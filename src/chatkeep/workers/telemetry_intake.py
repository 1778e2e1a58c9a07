"""Telemetry, taken in by another process (see `appending`): parsing it and finding its conversations takes long."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct

from chatkeep.model.telemetry.observing import observe
from chatkeep.sessions.sessions import Sessions
from chatkeep.wire.otlp import Signal, answer_to, gunzipped, observations_in
from chatkeep.workers.appending import StoredAnswer


class Telemetry(Struct, frozen=True, kw_only=True, tag=True):
    """The task to store the conversations that a request of OTLP tells of; `by` is its caller."""

    only_reads: ClassVar[bool] = False
    is_whole: ClassVar[bool] = False
    prefix: str
    signal: Signal
    by: str
    is_protobuf: bool
    is_packed: bool


def taken_down(sessions: Sessions, what: Telemetry, body: bytes) -> StoredAnswer:
    """Store the conversations, and return the answer to the request.

    Raises:
        BrokenInputError, InvalidError, TooLargeError: as in `wire.otlp`.
        ChatkeepError: as in `observe`.
    """
    body = gunzipped(body) if what.is_packed else body
    observations = observations_in(body, what.signal, is_protobuf=what.is_protobuf)
    del body
    observed = observe(sessions, observations, what.by)
    return StoredAnswer(answer_to(what.signal, observed.warning, is_protobuf=what.is_protobuf))
