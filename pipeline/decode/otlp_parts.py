"""Spans, log records and resources as one neutral form, from OTLP/JSON and from protobuf."""

from functools import cache
from typing import Any, NamedTuple

import msgspec

from pipeline.decode import dead_letter
from pipeline.decode.base import MAX_DEPTH, DecodeError
from pipeline.decode.otlp_values import (
    AnyValue,
    Budget,
    KeyValue,
    json_id,
    json_pairs,
    json_value,
    nanoseconds,
    proto_id,
    proto_pairs,
    proto_value,
)

Pairs = list[tuple[str, Any]]


class SpanParts(NamedTuple):
    """A span as told; times are nanoseconds, 0 where absent."""

    trace_id: str | None
    span_id: str | None
    parent_span_id: str | None
    name: str | None
    start: int
    end: int
    status_code: int | str | None
    status_message: str | None
    attributes: Pairs
    events: list[dict[str, Any]]
    links: list[dict[str, Any]]


class LogParts(NamedTuple):
    """A log record as told; times are nanoseconds, 0 where absent."""

    trace_id: str | None
    span_id: str | None
    time: int
    observed_time: int
    severity: int
    severity_text: str | None
    event_name: str | None
    body: Any
    attributes: Pairs


class _Status(msgspec.Struct):
    code: int | str | None = None
    message: str | None = None


class _SpanEvent(msgspec.Struct, rename="camel"):
    name: str | None = None
    time_unix_nano: int | str | None = None
    attributes: list[KeyValue] | None = None


class _Link(msgspec.Struct, rename="camel"):
    trace_id: str | None = None
    span_id: str | None = None
    attributes: list[KeyValue] | None = None


class _Span(msgspec.Struct, rename="camel"):
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    name: str | None = None
    start_time_unix_nano: int | str | None = None
    end_time_unix_nano: int | str | None = None
    attributes: list[KeyValue] | None = None
    events: list[_SpanEvent] | None = None
    links: list[_Link] | None = None
    status: _Status | None = None


class _LogRecord(msgspec.Struct, rename="camel"):
    trace_id: str | None = None
    span_id: str | None = None
    time_unix_nano: int | str | None = None
    observed_time_unix_nano: int | str | None = None
    severity_number: int | str | None = None
    severity_text: str | None = None
    event_name: str | None = None
    body: AnyValue | None = None
    attributes: list[KeyValue] | None = None


class _Resource(msgspec.Struct):
    attributes: list[KeyValue] | None = None


_span_decoder = msgspec.json.Decoder(_Span)
_log_decoder = msgspec.json.Decoder(_LogRecord)
_resource_decoder = msgspec.json.Decoder(_Resource)
_any_decoder = msgspec.json.Decoder()

SPAN_KEYS = _Span.__struct_encode_fields__
LOG_KEYS = _LogRecord.__struct_encode_fields__


def json_resource_pairs(raw: bytes | msgspec.Raw) -> Pairs:
    """The attributes of a JSON resource."""
    if not raw:
        return []
    resource: _Resource | None = _decode_json(_resource_decoder, raw, ())
    return list(json_pairs(resource.attributes if resource else None, Budget()))


def json_span(raw: bytes | msgspec.Raw) -> SpanParts:
    """A span of OTLP/JSON. Raises DecodeError."""
    span: _Span = _decode_json(_span_decoder, raw, SPAN_KEYS)
    budget = Budget()
    budget.spend(len(span.events or ()) + len(span.links or ()))
    status = span.status or _Status()
    return SpanParts(
        json_id(span.trace_id),
        json_id(span.span_id),
        json_id(span.parent_span_id),
        span.name or None,
        nanoseconds(span.start_time_unix_nano),
        nanoseconds(span.end_time_unix_nano),
        status.code,
        status.message or None,
        list(json_pairs(span.attributes, budget)),
        [
            _span_event(event.name, nanoseconds(event.time_unix_nano), json_pairs(event.attributes, budget))
            for event in span.events or ()
        ],
        [
            _link(json_id(link.trace_id), json_id(link.span_id), json_pairs(link.attributes, budget))
            for link in span.links or ()
        ],
    )


def json_log(raw: bytes | msgspec.Raw) -> LogParts:
    """A log record of OTLP/JSON. Raises DecodeError."""
    record: _LogRecord = _decode_json(_log_decoder, raw, LOG_KEYS)
    budget = Budget()
    return LogParts(
        json_id(record.trace_id),
        json_id(record.span_id),
        nanoseconds(record.time_unix_nano),
        nanoseconds(record.observed_time_unix_nano),
        record.severity_number if isinstance(record.severity_number, int) else 0,
        record.severity_text or None,
        record.event_name or None,
        json_value(record.body, MAX_DEPTH, budget),
        list(json_pairs(record.attributes, budget)),
    )


def proto_resource_pairs(content: bytes) -> Pairs:
    """The attributes of a protobuf resource."""
    resource = _parse(_messages().resource, content)
    return list(proto_pairs(resource.attributes, Budget()))


def proto_span(content: bytes) -> SpanParts:
    """A protobuf span. Raises DecodeError."""
    span = _parse(_messages().span, content)
    budget = Budget()
    budget.spend(len(span.events) + len(span.links))
    return SpanParts(
        proto_id(span.trace_id),
        proto_id(span.span_id),
        proto_id(span.parent_span_id),
        span.name or None,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        span.status.code,
        span.status.message or None,
        list(proto_pairs(span.attributes, budget)),
        [
            _span_event(event.name, event.time_unix_nano, proto_pairs(event.attributes, budget))
            for event in span.events
        ],
        [
            _link(proto_id(link.trace_id), proto_id(link.span_id), proto_pairs(link.attributes, budget))
            for link in span.links
        ],
    )


def proto_log(content: bytes) -> LogParts:
    """A protobuf log record. Raises DecodeError."""
    record = _parse(_messages().log_record, content)
    budget = Budget()
    return LogParts(
        proto_id(record.trace_id),
        proto_id(record.span_id),
        record.time_unix_nano,
        record.observed_time_unix_nano,
        record.severity_number,
        record.severity_text or None,
        record.event_name or None,
        proto_value(record.body, MAX_DEPTH, budget),
        list(proto_pairs(record.attributes, budget)),
    )


def _span_event(name: str | None, time: int, pairs: Any) -> dict[str, Any]:
    return {"name": name or "", "time_unix_nano": time, "attributes": dict(sorted(pairs))}


def _link(trace_id: str | None, span_id: str | None, pairs: Any) -> dict[str, Any]:
    return {"trace_id": trace_id, "span_id": span_id, "attributes": dict(sorted(pairs))}


def _decode_json(decoder: Any, raw: bytes | msgspec.Raw, keys: tuple[str, ...]) -> Any:
    try:
        return decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        fault = dead_letter.json_fault(error, bytes(raw))
        fault.position = None  # relative to the item, whose own place in the JSON is not known
        fault.keys = _keys_of(raw, keys)
        raise fault from None


def _keys_of(raw: bytes | msgspec.Raw, keys: tuple[str, ...]) -> dict[str, str]:
    try:
        return dead_letter.known_keys(_any_decoder.decode(raw), keys)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}


class _Messages(NamedTuple):
    span: Any
    log_record: Any
    resource: Any
    decode_error: type[Exception]


@cache
def _messages() -> _Messages:
    # Imported at the first protobuf message: senders of JSON need none of it.
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    return _Messages(Span, LogRecord, Resource, DecodeError)


def _parse(message: Any, content: bytes) -> Any:
    try:
        return message.FromString(content)
    except _messages().decode_error:
        raise DecodeError(dead_letter.NOT_PROTOBUF) from None
