"""The models' servers: which one a request goes to, by its protocol and its model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from chatkeep.http.streams.relay import Relay


class NamedUpstream(NamedTuple):
    """A further server: the kind of its API, the patterns of its models (none for all), and the way to it."""

    kind: str
    models: tuple[str, ...]
    relay: Relay


class Upstreams:
    """All models' servers, in their order; the usual one takes what no other takes."""

    def __init__(
        self,
        usual: Relay,
        others: Sequence[NamedUpstream] = (),
        *,
        keeps_conversations: bool = False,
        lacks_state: bool = False,
    ) -> None:
        """Take the usual server, and the others in the order of choice."""
        self.usual = usual
        self._others = others
        self.keeps_conversations = keeps_conversations
        """Whether requests about conversations go to the usual server: it keeps them itself."""
        self.lacks_state = lacks_state
        """Whether the servers keep no responses, so that Chatkeep keeps them."""

    @property
    def has_choice(self) -> bool:
        """Whether a request's model may decide."""
        return bool(self._others)

    def check(self) -> None:
        """Check for any configured server.

        Raises:
            ModelUnsetError: when there is none.
        """
        if not self._others:
            self.usual.check()

    def relay_for(self, kind: str, model: str) -> Relay:
        """Return the way to the server for a model; without a model, the first server of the kind.

        Raises:
            ModelUnsetError: when no server takes it.
        """
        for other in self._others:
            if other.kind == kind and (not model or _is_one_of(model, other.models)):
                return other.relay
        self.usual.check()
        return self.usual

    async def close(self) -> None:
        """Close the ways to all servers."""
        for relay in (*(other.relay for other in self._others), self.usual):
            await relay.close()


def _is_one_of(model: str, patterns: Iterable[str]) -> bool:
    return not patterns or any(fnmatchcase(model, pattern) for pattern in patterns)
