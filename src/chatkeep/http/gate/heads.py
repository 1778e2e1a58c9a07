"""The headers of a request, as ASGI has them: Starlette's `Headers` costs several calls for each look."""

from __future__ import annotations

from starlette.types import Scope


def values_of_header(scope: Scope, name: bytes) -> list[str]:
    """Return the values of a header by its name in lower case, in order."""
    return [value.decode("latin-1") for known, value in scope["headers"] if known == name]


def has_header(scope: Scope, name: bytes) -> bool:
    """Tell whether a request has a header, by its name in lower case."""
    return any(known == name for known, _ in scope["headers"])
