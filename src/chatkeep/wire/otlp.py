"""OTLP, the protocol of OpenTelemetry, over HTTP: its log records and spans, read from JSON or protobuf.

Both become observations, and each event of a span becomes one too. A record in an odd shape never costs its
neighbours.

Source: the OTLP specification 1.10, "OTLP/HTTP" and "JSON Protobuf Encoding"; opentelemetry-proto 1.9.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
from msgspec import Struct

from chatkeep.core.bounds import BODY_BYTES_MAX, VALUES_MAX
from chatkeep.core.model import Json
from chatkeep.core.text.surrogates import storable_text
from chatkeep.errors import BrokenInputError, InvalidError, TooLargeError
from chatkeep.wire.bodies import check_values

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor
    from google.protobuf.message import Message

Signal = Literal["logs", "traces"]

PROTOBUF_TYPE: Final = "application/x-protobuf"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_NS: Final = 253402300799 * 10**9  # the end of year 9999
_LEVELS_MAX: Final = 32  # of lists and maps in one value
_SIZES: Final = {1: 8, 5: 4}  # bytes of the fields of protobuf with a fixed size
_GZIP: Final = 16 + zlib.MAX_WBITS
_INTEGER: Final = re.compile(r"-?[0-9]{1,19}")  # of 64 bits
_SCOPES: Final = {
    "logs": ("resourceLogs", "scopeLogs", "logRecords"),
    "traces": ("resourceSpans", "scopeSpans", "spans"),
}
_REJECTED: Final = {"logs": "rejectedLogRecords", "traces": "rejectedSpans"}


class Observation(Struct, frozen=True, kw_only=True):
    """A log record, a span, or an event of a span: its name, its values, and the span that it belongs to."""

    name: str
    at: datetime | None
    """The time of the record or event, or the end of the span."""
    values: dict[str, Json]
    body: Json = None
    span: str = ""
    """The ids of the trace and the span, empty without any."""
    service: str = ""
    """The `service.name` of the resource."""


def gunzipped(body: bytes, bytes_max: int = BODY_BYTES_MAX) -> bytes:
    """Return the content of a gzip.

    Raises:
        BrokenInputError: when it is none, or is cut.
        TooLargeError: when the content is larger than `bytes_max`.
    """
    packed = zlib.decompressobj(_GZIP)
    try:
        content = packed.decompress(body, bytes_max + 1)
    except zlib.error as error:
        raise BrokenInputError("The body is not a whole gzip.") from error
    if len(content) > bytes_max:
        raise TooLargeError("body", bytes_max)
    if not packed.eof:
        raise BrokenInputError("The body is not a whole gzip.")
    return content


def observations_in(body: bytes, signal: Signal, *, is_protobuf: bool) -> list[Observation]:
    """Return the records of a request, in their order.

    Raises:
        BrokenInputError: when the body is no such request.
        InvalidError: when it has more than 100,000 values.
    """
    request = _from_protobuf(body, signal) if is_protobuf else _from_json(body)
    outer, middle, inner = _SCOPES[signal]
    if not isinstance(request, dict) or not isinstance(request.get(outer, []), list):
        raise BrokenInputError(f"The body is no request of OTLP: it has no list `{outer}`.")
    return [
        one
        for resource in _objects(request.get(outer))
        for scope in _objects(resource.get(middle))
        for record in _objects(scope.get(inner))
        for one in _observed(record, _service(resource), is_span=signal == "traces")
    ]


def answer_to(signal: Signal, warning: str, *, is_protobuf: bool) -> bytes:
    """Return the answer to an accepted request, with a warning to its sender; empty for none."""
    if is_protobuf:
        told = _messages(signal)[1]()
        if warning:
            told.partial_success.error_message = warning
        return bytes(told.SerializeToString())
    return msgspec.json.encode({"partialSuccess": {_REJECTED[signal]: "0", "errorMessage": warning}} if warning else {})


def _from_json(body: bytes) -> Json:
    check_values(body)
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BrokenInputError("The body is not valid JSON in UTF-8.") from error


def _from_protobuf(body: bytes, signal: Signal) -> Json:
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - most servers get no telemetry

    kind = _messages(signal)[0]
    try:
        _check_fields(body, kind.DESCRIPTOR)
        return _in_json(kind.FromString(body))
    except (DecodeError, IndexError) as error:
        raise BrokenInputError("The body is no request of OTLP in protobuf.") from error


def _check_fields(body: bytes, kind: Descriptor) -> None:
    """Check the number of fields before any is made: a field of two bytes takes up to 130 bytes of memory.

    Raises:
        IndexError: when a field has no end, or is of no kind in use.
        InvalidError: when there are more than 100,000.
    """
    at, ends = 0, [(len(body), kind)]
    for _ in range(VALUES_MAX):
        while ends and at == ends[-1][0]:
            ends.pop()
        if not ends:
            return
        tag, at = _number_at(body, at)
        inner = _fields_of(ends[-1][1]).get(tag >> 3)
        size, at = _size_at(body, at, tag & 7)
        if at + size > ends[-1][0]:
            raise IndexError
        if inner is not None:
            ends.append((at + size, inner))
        else:
            at += size
    if any(at < end for end, _ in ends):
        raise InvalidError("body", f"has more than {VALUES_MAX} values; send it in parts")


@cache
def _fields_of(kind: Descriptor) -> dict[int, Descriptor]:
    """Return the fields that have messages, by their numbers."""
    return {field.number: field.message_type for field in kind.fields if field.message_type is not None}


def _size_at(body: bytes, at: int, kind: int) -> tuple[int, int]:
    """Return the size of a field of a kind, and its offset. Source: "Encoding", protobuf.dev."""
    if kind == 0:
        return 0, _number_at(body, at)[1]
    if kind == 2:  # noqa: PLR2004 - as the source has it
        return _number_at(body, at)
    if kind in _SIZES:
        return _SIZES[kind], at
    raise IndexError


def _number_at(body: bytes, at: int) -> tuple[int, int]:
    """Return the number at an offset, and the offset behind it: seven bits in each byte, the lowest first."""
    number = 0
    for shift in range(0, 70, 7):
        byte = body[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the last one
            return number, at
    raise IndexError


def _messages(signal: Signal) -> tuple[Any, Any]:
    """Return the types of a request and its answer."""
    if signal == "logs":
        from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs  # noqa: PLC0415 - as above

        return logs.ExportLogsServiceRequest, logs.ExportLogsServiceResponse
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces  # noqa: PLC0415 - as above

    return traces.ExportTraceServiceRequest, traces.ExportTraceServiceResponse


def _in_json(message: Message) -> dict[str, Json]:
    """Return a message in the form of its JSON: the fields that are set."""
    return {
        field.json_name: [_field(one) for one in value] if _is_list(value) else _field(value)
        for field, value in message.ListFields()
    }


def _field(value: Any) -> Json:  # noqa: ANN401 - protobuf's values have no common type
    if hasattr(value, "ListFields"):
        return _in_json(value)
    return value.hex() if isinstance(value, bytes) else value


def _is_list(value: object) -> bool:
    return not isinstance(value, str | bytes) and hasattr(value, "__len__")


def _objects(value: Json) -> Iterator[dict[str, Json]]:
    return (one for one in value if isinstance(one, dict)) if isinstance(value, list) else iter(())


def _service(resource: Mapping[str, Json]) -> str:
    held = resource.get("resource")
    name = _values(held.get("attributes")).get("service.name") if isinstance(held, dict) else None
    return name if isinstance(name, str) and not name.startswith("unknown_service") else ""


def _observed(record: Mapping[str, Json], service: str, *, is_span: bool) -> Iterator[Observation]:
    """Yield a record, and the events of a span."""
    span = f"{record.get('traceId', '')}{record.get('spanId', '')}"
    values = _values(record.get("attributes"))
    name = record.get("name") if is_span else record.get("eventName") or values.get("event.name")
    times = ("endTimeUnixNano",) if is_span else ("timeUnixNano", "observedTimeUnixNano")
    for event in _objects(record.get("events")) if is_span else ():
        yield Observation(
            name=_text(event.get("name")),
            at=_time(event, ("timeUnixNano",)),
            values=values | _values(event.get("attributes")),
            span=span,
            service=service,
        )
    body = _value(record.get("body"))
    yield Observation(name=_text(name), at=_time(record, times), values=values, body=body, span=span, service=service)


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _time(record: Mapping[str, Json], names: Iterable[str]) -> datetime | None:
    """Return the first time that is told, in nanoseconds since 1970."""
    for name in names:
        told = record.get(name)
        if isinstance(told, str) and told.isdecimal() and len(told) <= len(str(_LAST_NS)):
            told = int(told)
        if isinstance(told, int) and not isinstance(told, bool) and 0 < told <= _LAST_NS:
            return _EPOCH + timedelta(microseconds=told // 1000)
    return None


def _values(attributes: Json) -> dict[str, Json]:
    """Return a list of keys and values as an object; the first of equal keys wins."""
    found: dict[str, Json] = {}
    for one in _objects(attributes):
        if isinstance(key := one.get("key"), str):
            found.setdefault(storable_text(key), _value(one.get("value")))
    return found


def _value(value: Json, levels: int = _LEVELS_MAX) -> Json:
    """Return a value without its type around it; what is nested too deep becomes null."""
    if not isinstance(value, dict) or not value or levels == 0:
        return None
    kind, held = next(iter(value.items()))
    if kind in ("arrayValue", "kvlistValue"):
        return _nested(kind, held, levels - 1)
    if kind == "stringValue" and isinstance(held, str):
        return storable_text(held)
    if kind == "intValue" and isinstance(held, str):
        return int(held) if _INTEGER.fullmatch(held) else None
    return held if isinstance(held, str | int | float | bool) else None


def _nested(kind: str, held: Json, levels: int) -> Json:
    inner = list(_objects(held.get("values"))) if isinstance(held, dict) else []
    if kind == "arrayValue":
        return [_value(one, levels) for one in inner]
    return {storable_text(f"{one.get('key')}"): _value(one.get("value"), levels) for one in inner}
