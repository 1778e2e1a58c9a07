"""Calls as arguments of httpx."""

from __future__ import annotations

from typing import Any, Final

import httpx

from chatkeep.client import exchange
from chatkeep.client.exchange import Call, Decoded
from chatkeep.client.following import Following

TIMEOUT_S: Final = 30.0
_FOLLOWING_TIMEOUT: Final = httpx.Timeout(TIMEOUT_S, read=60.0)  # seconds; the server sends a comment more often


def sent(url: str, token: str, call: Call[Decoded]) -> dict[str, Any]:
    """Return the arguments of httpx for a call."""
    return {
        "method": call.method,
        "url": url + call.path,
        "params": call.query,
        "content": call.body,
        "headers": exchange.headers(token, call),
        "timeout": httpx.USE_CLIENT_DEFAULT if call.wait_s is None else call.wait_s,
    }


def sent_to_follow(url: str, token: str, following: Following) -> dict[str, Any]:
    """Return the arguments of httpx for following the feed."""
    return {
        "method": "GET",
        "url": url + Following.path,
        "headers": exchange.authorization(token) | following.headers(),
        "timeout": _FOLLOWING_TIMEOUT,
    }
