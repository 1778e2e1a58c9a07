"""The numbers of the search engine, each with its unit and reason."""

from __future__ import annotations

from typing import Final

from msgspec import Struct


class Bounds(Struct, frozen=True):
    """How much a search looks at."""

    candidates: int = 400
    """Messages to rank. More of them move no figure of bench/search_quality.py, and each costs 3 us."""
    candidates_of_sessions: int = 150
    """Messages to rank if each session is answered once: its best is enough."""
    listed: int = 2_500
    """Documents; of so few each message is looked up, 2 us each, which is cheaper than finding the newest."""
    step: int = 256
    """Newest documents in the first step to one message of each session; later steps are 4 times as large."""
    sessions_of_step: int = 240
    """Sessions in one step; the set of each is taken out of the rest, 15 us each."""
    of_session: int = 8
    """Newest messages of a session to rank, in the later steps or beyond all candidates: its best is likely there."""
    alike: int = 16
    """Documents; so few with some of the same terms are ranked, not split by their other terms."""
    row: int = 8
    """Tokens side by side; of a longer phrase, few documents have so many of the pairs but not the phrase."""
    words: int = 128
    """Words of a beginning at the end of a phrase, each with its pair. Of more, the texts decide."""
    proofs: int = 2_000
    """Messages read to prove likely matches, 25 us each."""
    proof_bytes: int = 16 << 20
    """Bytes of these messages, about 1 ms for each 1 MiB."""


BOUNDS: Final = Bounds()
