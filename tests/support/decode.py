"""Building messages and decoding them: shared by the tests of decode and of the receiver."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.decode import DeadLetter, Decoded, decode_message
from pipeline.decode.action_kind import ToolPatterns
from pipeline.decode.sources import SourceConfig
from schemas.event import Event

TOPIC_ID = "agents." + "ab" * 16
NOW_MS = 1_793_577_700_000
START_NS = 1_793_577_607_871_509_334
TRACE_ID = "b529736a43b77c91bf7227a6f606a209"
SPAN_ID = "244ff82c23bd9620"
TRACES = Path(__file__).parents[3] / "shared" / "data" / "traces"


def source(format_: str = "events", **changes: Any) -> SourceConfig:
    settings: dict[str, Any] = {"name": "test", "topic": "agents", "agents": ("*",), "environments": ("*",)}
    return SourceConfig.model_validate(settings | {"format": format_} | changes)


def decode(
    value: bytes | None,
    format_: str = "events",
    *,
    offset: int = 7,
    patterns: ToolPatterns | None = None,
    now_ms: int = NOW_MS,
    **changes: Any,
) -> list[Decoded]:
    return decode_message(
        value,
        topic_id=TOPIC_ID,
        partition=1,
        offset=offset,
        broker_time_ms=now_ms,
        source=source(format_, **changes),
        patterns=patterns or ToolPatterns(),
    )


def native(**changes: Any) -> dict[str, Any]:
    """A whole native event; a change to ... leaves the key out."""
    event = {
        "start_time_unix_nano": START_NS,
        "duration_ns": 1_000_000,
        "agent_id": "invoices",
        "environment": "prod",
        "operation": "execute_tool",
        "action": "get_invoice",
        "action_kind": "read",
        "span_id": SPAN_ID,
        "status": "ok",
    }
    return {key: value for key, value in (event | changes).items() if value is not ...}


def event_of(decoded: list[Decoded]) -> Event:
    assert len(decoded) == 1
    assert isinstance(decoded[0].event, Event), decoded[0].event
    return decoded[0].event


def dead_letter_of(decoded: list[Decoded]) -> DeadLetter:
    assert len(decoded) == 1
    assert isinstance(decoded[0].event, DeadLetter), decoded[0].event
    return decoded[0].event


def decode_native(**changes: Any) -> Event:
    return event_of(decode(json.dumps(native(**changes)).encode()))


def any_value(value: Any) -> dict[str, Any]:
    """A plain value as OTLP/JSON writes it."""
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [any_value(item) for item in value]}}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": attributes_json(value)}}
    return {"stringValue": value}


def attributes_json(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": any_value(value)} for key, value in attributes.items()]


def span_json(attributes: dict[str, Any], /, **changes: Any) -> dict[str, Any]:
    span = {
        "traceId": TRACE_ID,
        "spanId": SPAN_ID,
        "parentSpanId": "",
        "name": "step",
        "startTimeUnixNano": str(START_NS),
        "endTimeUnixNano": str(START_NS + 5_000_000),
        "attributes": attributes_json(attributes),
        "status": {},
    }
    return {key: value for key, value in (span | changes).items() if value is not ...}


def spans_message(*spans: dict[str, Any], resource: dict[str, Any] | None = None) -> bytes:
    resource = {"service.name": "invoices"} if resource is None else resource
    return json.dumps(
        {
            "resourceSpans": [
                {
                    "resource": {"attributes": attributes_json(resource)},
                    "scopeSpans": [{"scope": {"name": "test"}, "spans": list(spans)}],
                }
            ]
        }
    ).encode()


def log_json(attributes: dict[str, Any], body: Any = None, /, **changes: Any) -> dict[str, Any]:
    record: dict[str, Any] = {
        "timeUnixNano": str(START_NS),
        "severityNumber": 9,
        "attributes": attributes_json(attributes),
    }
    if body is not None:
        record["body"] = any_value(body)
    return record | changes


def logs_message(*records: dict[str, Any], resource: dict[str, Any] | None = None) -> bytes:
    resource = {"service.name": "claude-code"} if resource is None else resource
    return json.dumps(
        {
            "resourceLogs": [
                {
                    "resource": {"attributes": attributes_json(resource)},
                    "scopeLogs": [{"logRecords": list(records)}],
                }
            ]
        }
    ).encode()


def decode_span(attributes: dict[str, Any], resource: dict[str, Any] | None = None, **changes: Any) -> Event:
    return event_of(decode(spans_message(span_json(attributes, **changes), resource=resource), "otlp_spans"))


def decode_log(
    attributes: dict[str, Any], body: Any = None, resource: dict[str, Any] | None = None, **changes: Any
) -> Event:
    return event_of(
        decode(logs_message(log_json(attributes, body, **changes), resource=resource), "otlp_logs")
    )


def to_proto(message: Any, content: bytes) -> bytes:
    """An OTLP/JSON request as protobuf: json_format wants base64 where OTLP has hex ids."""
    from base64 import b64encode

    from google.protobuf import json_format

    def rewrite(value: Any) -> Any:
        if isinstance(value, list):
            return [rewrite(item) for item in value]
        if not isinstance(value, dict):
            return value
        ids = ("traceId", "spanId", "parentSpanId")
        return {
            key: b64encode(bytes.fromhex(item)).decode() if key in ids else rewrite(item)
            for key, item in value.items()
        }

    return json_format.ParseDict(rewrite(json.loads(content)), message).SerializeToString()


def trace_lines(name: str) -> list[bytes]:
    path = TRACES / name
    if not path.exists():
        pytest.skip(f"{name} is not there: ../shared/data is absent")
    with gzip.open(path) as lines:
        return lines.read().splitlines()
