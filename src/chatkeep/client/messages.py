"""Messages to append: drafts, dicts, and the message objects of model SDKs all become drafts.

A dict has the fields of a `Draft`, with the time as `timestamp`: RFC 3339 text, Unix seconds or a datetime. An
object with a method `model_dump` (OpenAI's, Anthropic's, any of pydantic) counts as its dump, also within a dict:
`{"role": "assistant", "content": response.content}`. Other fields of an OpenAI message go to `metadata.openai`, as in
the recording proxy. A dict with an unknown field is refused, because it may be a typing error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol, cast, runtime_checkable

import msgspec

from chatkeep.core.history import completions
from chatkeep.core.model import Draft, Json, Message
from chatkeep.core.standing import ROLES
from chatkeep.core.text.reasoning import FIELDS
from chatkeep.errors import InvalidError
from chatkeep.wire.bodies import DraftBody, draft_of_body

_OWN: Final = frozenset(DraftBody.__struct_fields__)
_MODELS: Final = frozenset(("annotations", "audio", "function_call", "refusal", *FIELDS))
"""Further fields of messages of OpenAI, and of servers with its protocol."""
_OURS_ALONE: Final = frozenset(("id", "metadata", "timestamp"))
_ENVELOPE: Final = frozenset(("model", "parsed", "status", "stop_reason", "stop_sequence", "type", "usage"))
"""Fields of SDK objects about the making of a message. They are left out."""
_AS_THEY_ARE: Final = (bytes, bytearray, memoryview)  # and so refused, instead of turned into base64


@runtime_checkable
class Dumps(Protocol):
    """An object of a model's SDK, or any other of pydantic."""

    def model_dump(self) -> Mapping[str, Any]:
        """Return the object as a dict."""
        ...


Appendable = Draft | Message | Mapping[str, Any] | Dumps
"""One message to append."""


def drafts_of(given: Appendable | Iterable[Appendable]) -> list[Draft]:
    """Return one message, or several in their order, as drafts.

    Raises:
        InvalidError: for anything but a message, an unknown field or role; it names the message and the field.
    """
    if isinstance(given, str | bytes):
        raise InvalidError("messages", 'a text is no message: give {"role": "user", "content": "..."}')
    if isinstance(given, Draft | Message | Mapping | Dumps):
        return [_draft(given, "message")]
    if not isinstance(given, Iterable):
        raise _no_message("messages", given)
    return [_draft(one, f"messages[{place}]") for place, one in enumerate(given)]


def _draft(given: object, where: str) -> Draft:
    if isinstance(given, Draft):
        return given
    if isinstance(given, Message):
        stored = msgspec.structs.asdict(given)
        del stored["seq"]
        if stored.pop("extra"):
            raise InvalidError(
                where, "has fields that Chatkeep does not know, which an append does not take; merge does"
            )
        return Draft(**stored)
    if isinstance(given, Mapping):
        return _from_fields(_plain(given, where), where, is_strict=True)
    if isinstance(given, Dumps):
        fields = _plain(given.model_dump(), where)
        told = {name: value for name, value in fields.items() if name not in _ENVELOPE}
        return _from_fields(told, where, is_strict=False)
    raise _no_message(where, given)


def _from_fields(fields: Mapping[str, Json], where: str, *, is_strict: bool) -> Draft:
    """Return the draft of these fields. A foreign field with null or an empty list counts as absent."""
    told = {name: value for name, value in fields.items() if name in _OWN or (value is not None and value != [])}
    if "choices" in told:
        raise InvalidError(where, "is a whole answer of a model: give its message, choices[0].message")
    unknown = sorted(told.keys() - _OWN - _MODELS) if is_strict else ()
    if unknown:
        raise InvalidError(f"{where}.{unknown[0]}", f"is no field of a message: these are {', '.join(sorted(_OWN))}")
    if told.get("role") not in ROLES:
        raise InvalidError(f"{where}.role", f"must be one of {', '.join(ROLES)}")
    own = _converted({name: told[name] for name in _OWN & told.keys()}, where)
    if told.keys() <= _OWN:
        return own
    shaped = {name: value for name, value in told.items() if name not in _OURS_ALONE}
    whole = completions.draft_of_completion(shaped, own.metadata)
    return msgspec.structs.replace(whole, id=own.id, sent_at=own.sent_at)


def _converted(fields: dict[str, Json], where: str) -> Draft:
    try:
        return draft_of_body(msgspec.convert(fields, DraftBody))
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at `$")
        raise InvalidError(f"{where}{place.rstrip('`')}", reason) from error


def _plain(said: Mapping[str, Any], where: str) -> Mapping[str, Json]:
    """Return a message as JSON, with the objects within it dumped."""
    try:
        plain = msgspec.to_builtins(dict(said), builtin_types=_AS_THEY_ARE, str_keys=True, enc_hook=_dumped)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidError(where, f"is not a JSON value: {error}") from error
    return cast("Mapping[str, Json]", plain)


def _dumped(value: object) -> Json:
    if isinstance(value, Dumps):
        return value.model_dump()
    raise TypeError(f"it holds an object of type {type(value).__name__}")


def _no_message(where: str, given: object) -> InvalidError:
    return InvalidError(where, f"an object of type {type(given).__name__} is no message: give a dict or a Draft")
