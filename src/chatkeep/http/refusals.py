"""The problems of the routes, by kinds of routes: each route of the table names those that it may answer."""

from __future__ import annotations

from typing import Final

from chatkeep import errors
from chatkeep.http.openapi import Problems

OPEN: Final[Problems] = (errors.UnknownHostError,)
"""The problems of every route."""
GUARDED: Final[Problems] = (
    *OPEN,
    errors.UnauthorizedError,
    errors.ForbiddenError,
    errors.InvalidError,
    errors.RateLimitedError,
    errors.BusyError,
    errors.StorageError,
    errors.StorageFullError,
    errors.StorageReadOnlyError,
    errors.StorageDeniedError,
)
"""The problems of a route with a token, parameters, and sessions to read."""
ADDRESSED: Final[Problems] = (*GUARDED, errors.SessionNotFoundError, errors.SessionDamagedError)
"""Those of a route about one session."""
SENT: Final[Problems] = (errors.BrokenInputError, errors.TooLargeError, errors.UnsupportedTypeError)
"""Those of a body."""
MODEL: Final[Problems] = (errors.ModelUnsetError, errors.ModelLimitedError, errors.ModelError)
"""Those of a model's server."""
PASSED: Final[Problems] = (*GUARDED, *MODEL, errors.NotFoundError)
"""Those of a route that only passes a request on."""
ASKED: Final[Problems] = (*ADDRESSED, *SENT, *MODEL, errors.ContextTooLongError)
"""Those of a route that stores a request and passes it on."""
AS_OPENAI: Final[Problems] = (*GUARDED, errors.InvalidRequestError, errors.NotFoundError)
"""Those of a route that answers as OpenAI does; the gate before it refuses a bad address with 422, as everywhere."""
AS_OPENAI_ADDRESSED: Final[Problems] = (*AS_OPENAI, errors.SessionDamagedError)
"""Those of such a route about one conversation."""
