"""Telemetry as programs send it, made up in the shapes of the real ones."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from chatkeep.wire.otlp import Observation, observations_in

AT = 1_768_473_000_000_000_000
SESSION = "8d3f0c1e-0001"
Json = Any


def value(held: Json) -> Json:
    """Return a value with its type around it."""
    if isinstance(held, bool):
        return {"boolValue": held}
    if isinstance(held, int):
        return {"intValue": str(held)}
    if isinstance(held, float):
        return {"doubleValue": held}
    if isinstance(held, list):
        return {"arrayValue": {"values": [value(one) for one in held]}}
    if isinstance(held, dict):
        return {"kvlistValue": {"values": values(held)}}
    return {"stringValue": held}


def values(held: dict[str, Json]) -> list[Json]:
    """Return attributes."""
    return [{"key": key, "value": value(one)} for key, one in held.items()]


def logs(*records: Json, service: str = "") -> Json:
    """Return a request with log records."""
    return {"resourceLogs": [_resource(service) | {"scopeLogs": [{"logRecords": list(records)}]}]}


def traces(*spans: Json, service: str = "") -> Json:
    """Return a request with spans."""
    return {"resourceSpans": [_resource(service) | {"scopeSpans": [{"spans": list(spans)}]}]}


def span(held: dict[str, Json], *, name: str = "chat", seconds: int = 0, events: list[Json] | None = None) -> Json:
    """Return a span that ended so many seconds later."""
    time = str(AT + seconds * 10**9)
    return {
        "traceId": "a" * 32,
        "spanId": "b" * 16,
        "name": name,
        "endTimeUnixNano": time,
        "attributes": values(held),
    } | ({"events": events} if events else {})


def agent_event(name: str, sequence: int, held: dict[str, Json], prompt: str = "p-1") -> Json:
    """Return an event of a coding agent."""
    told = {"event.name": name, "session.id": SESSION, "event.sequence": sequence, "prompt.id": prompt, **held}
    return {
        "timeUnixNano": str(AT + sequence * 10**6),
        "body": {"stringValue": f"claude_code.{name}"},
        "attributes": values(told),
    }


def answer_body(identity: str, *blocks: Json) -> dict[str, Json]:
    """Return the values of an event with a whole answer."""
    usage = {"input_tokens": 11, "output_tokens": 7}
    told = {"id": identity, "type": "message", "role": "assistant", "model": "opus", "content": list(blocks)}
    return {"body": json.dumps(told | {"stop_reason": "end_turn", "usage": usage}), "query_source": "sdk"}


def in_json(request: Json) -> list[Observation]:
    """Return the observations in a request sent as JSON."""
    signal = "logs" if "resourceLogs" in request else "traces"
    return observations_in(msgspec.json.encode(request), signal, is_protobuf=False)  # type: ignore[arg-type]


def protobuf_of(request: Json) -> bytes:
    """Return a request in protobuf."""
    kind: Any = ExportLogsServiceRequest if "resourceLogs" in request else ExportTraceServiceRequest
    return bytes(ParseDict(request, kind(), ignore_unknown_fields=True).SerializeToString())


def _resource(service: str) -> dict[str, Json]:
    return {"resource": {"attributes": values({"service.name": service} if service else {})}}
