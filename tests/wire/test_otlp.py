"""Requests of OTLP are read alike from JSON and protobuf; an odd record costs only itself."""

from __future__ import annotations

import gzip
from typing import Any

import msgspec
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

from chatkeep.core.bounds import VALUES_MAX
from chatkeep.errors import BrokenInputError, ChatkeepError, InvalidError, TooLargeError
from chatkeep.wire.otlp import answer_to, gunzipped, observations_in
from tests.model.telemetry.told import agent_event, in_json, logs, protobuf_of, span, traces

Json = Any
HELD: dict[str, Json] = {"text": "東京", "number": -7, "half": 0.5, "flag": True, "list": ["a", 1], "map": {"b": [2]}}
EVENT = {"name": "e", "timeUnixNano": "7000", "attributes": span({"text": "own"})["attributes"]}


@pytest.mark.parametrize(
    "request_",
    [logs(agent_event("user_prompt", 1, HELD), service="s"), traces(span(HELD, events=[EVENT]), service="s")],
)
def test_read_json_and_protobuf_alike(request_: Json) -> None:
    """Every kind of value, the times, the names of service and span, and the events of a span."""
    signal: Any = "logs" if "resourceLogs" in request_ else "traces"
    told = in_json(request_)
    assert told == [
        msgspec.structs.replace(one, span=told[0].span)  # ids are hex in JSON, bytes in protobuf
        for one in observations_in(protobuf_of(request_), signal, is_protobuf=True)
    ]
    assert HELD == {name: told[-1].values[name] for name in HELD}
    assert "s" == told[0].service
    if signal == "traces":
        assert [("e", "own"), ("chat", "東京")] == [(one.name, one.values["text"]) for one in told]


@pytest.mark.parametrize(
    "odd",
    [
        5,
        "x",
        None,
        [],
        {"attributes": 5},
        {"attributes": [5, {"key": 5}, {"key": "a"}, {"key": "a", "value": 5}, {"key": "a", "value": {}}]},
        {
            "attributes": [
                {"key": "a", "value": {"arrayValue": 5}},
                {"key": "b", "value": {"kvlistValue": {"values": 5}}},
            ]
        },
        {"attributes": [{"key": "a", "value": {"intValue": "9" * 40}}], "timeUnixNano": "9" * 40, "body": 5},
        {"attributes": [{"key": "a", "value": {"intValue": "--5"}}, {"key": "b", "value": {"intValue": "٣"}}]},
        {"attributes": [{"key": "a", "value": {"stringValue": "\x00"}}], "timeUnixNano": "-1", "events": 5},
        {"timeUnixNano": 1e300, "endTimeUnixNano": True, "traceId": [], "events": [5, {"attributes": 5}]},
    ],
)
def test_read_beside_odd_records(odd: Json) -> None:
    """A good record beside an odd one is read."""
    good = span({"a": "good"}) | {"eventName": "chat", "timeUnixNano": "5"}
    for request in (logs(odd, good), traces(odd, good)):
        assert "good" == in_json(request)[-1].values["a"]


def test_read_values_nested_deep() -> None:
    """A value nested deeper than anybody needs becomes null, in protobuf too."""
    deep: Json = "end"
    for _ in range(40):
        deep = [deep]
    request = logs(agent_event("user_prompt", 1, {"deep": deep, "near": "here"}))
    told = observations_in(protobuf_of(request), "logs", is_protobuf=True)
    assert "here" == told[0].values["near"]
    assert '"end"' not in msgspec.json.encode(told[0].values["deep"]).decode()


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"5", b'{"resourceLogs":5}', b"\xff", b"\x0a\xff\xff", b"[" * 200_000]
)
@pytest.mark.parametrize("is_protobuf", [True, False])
def test_refuse_what_is_no_request(body: bytes, is_protobuf: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Other bytes are refused with a sentence, whatever they are; an empty request of protobuf is a request."""
    if is_protobuf and body in (b"", b"[]"):
        body = b"\x0a\x05ab"
    with pytest.raises(ChatkeepError):
        observations_in(body, "logs", is_protobuf=is_protobuf)


def test_refuse_too_many_values() -> None:
    """The number of values has a bound in both forms, so that small bytes take no large memory."""
    many = logs(*({"body": {"intValue": 1}} for _ in range(VALUES_MAX)))
    for body, is_protobuf in ((msgspec.json.encode(many), False), (protobuf_of(many), True)):
        with pytest.raises(InvalidError, match="values"):
            observations_in(body, "logs", is_protobuf=is_protobuf)


def test_count_values_before_any_is_made() -> None:
    """Two bytes of protobuf take up to 130 bytes of memory, so nothing behind too many is even looked at."""
    with pytest.raises(InvalidError, match="values"):
        observations_in(b"\x0a\x00" * (VALUES_MAX + 1) + b"\xff", "logs", is_protobuf=True)
    assert [] == observations_in(b"\x0a\x00" * VALUES_MAX, "logs", is_protobuf=True)


@pytest.mark.parametrize("field", [b"\x78\x96\x01", b"\x79" + bytes(8), b"\x7a\x02ab", b"\x7d" + bytes(4)])
def test_read_beside_fields_of_later_versions(field: bytes) -> None:
    """A field of any kind that no version has yet is passed over, and a cut one is refused."""
    request = logs(agent_event("user_prompt", 1, HELD))
    body = protobuf_of(request)
    assert observations_in(body, "logs", is_protobuf=True) == observations_in(body + field, "logs", is_protobuf=True)
    with pytest.raises(BrokenInputError):
        observations_in(body + field[:-1], "logs", is_protobuf=True)


def test_unpack_a_bounded_gzip() -> None:
    """A gzip is gunzipped up to the bound of a body, and no further."""
    assert b"abc" == gunzipped(gzip.compress(b"abc"))
    with pytest.raises(TooLargeError):
        gunzipped(gzip.compress(bytes(20 << 20)))
    for broken in (b"", b"abc", gzip.compress(b"abc")[:-3]):
        with pytest.raises(BrokenInputError):
            gunzipped(broken)


def test_answer_with_a_warning() -> None:
    """An answer is empty, or has a warning in the form that the sender's library shows."""
    assert b"{}" == answer_to("logs", "", is_protobuf=False)
    assert b"" == answer_to("traces", "", is_protobuf=True)
    told = {"partialSuccess": {"rejectedLogRecords": "0", "errorMessage": "Mind!"}}
    assert told == msgspec.json.decode(answer_to("logs", "Mind!", is_protobuf=False))
    answer = ExportLogsServiceResponse.FromString(answer_to("logs", "Mind!", is_protobuf=True))
    assert "Mind!" == answer.partial_success.error_message
