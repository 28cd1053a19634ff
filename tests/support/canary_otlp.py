"""OTLP bodies with a canary wherever a text can stand."""

import base64
import json
import time
from typing import Any
from urllib.parse import quote

from support.canaries import CANARIES


def _attributes(value: str) -> list[dict[str, Any]]:
    nested = {"kvlistValue": {"values": [{"key": value, "value": {"stringValue": value}}]}}
    return [
        {"key": "app.note", "value": {"stringValue": f"see {value}"}},
        {"key": value, "value": {"boolValue": True}},
        {"key": "app.list", "value": {"arrayValue": {"values": [{"stringValue": value}, nested]}}},
        {"key": "app.bytes", "value": {"bytesValue": base64.b64encode(value.encode()).decode()}},
        {"key": "gen_ai.tool.call.arguments", "value": {"stringValue": json.dumps({"who": value})}},
        {"key": "gen_ai.conversation.id", "value": {"stringValue": value}},
        {"key": "user.email", "value": {"stringValue": value}},
        {"key": "url.full", "value": {"stringValue": f"https://a.example/?q={quote(value, safe='')}"}},
    ]


def _resource_with(value: str) -> dict[str, Any]:
    return {
        "attributes": [
            {"key": "service.name", "value": {"stringValue": f"agent of {value}"}},
            {"key": "service.version", "value": {"stringValue": value}},
            *_attributes(value),
        ]
    }


def _span_with(value: str, number: int) -> dict[str, Any]:
    now = str(time.time_ns())
    return {
        "name": f"execute_tool {value}",
        "traceId": f"{number + 1:032x}",
        "spanId": f"{number + 1:016x}",
        "traceState": value,
        "startTimeUnixNano": now,
        "endTimeUnixNano": now,
        "attributes": _attributes(value),
        "events": [{"name": "exception", "timeUnixNano": now, "attributes": _attributes(value)}],
        "links": [{"traceId": f"{number + 1:032x}", "spanId": f"{9:016x}", "attributes": _attributes(value)}],
        "status": {"code": 2, "message": f"failed for {value}"},
    }


def spans_with_all() -> bytes:
    """One OTLP body with a span for each canary, which stands in all of its parts."""
    groups = [
        {
            "resource": _resource_with(canary.value),
            "scopeSpans": [{"scope": {"name": canary.value}, "spans": [_span_with(canary.value, number)]}],
        }
        for number, canary in enumerate(CANARIES)
    ]
    return json.dumps({"resourceSpans": groups}).encode()


def log_with(value: str) -> bytes:
    """An OTLP body with log records of each kind, with the value in all of their parts."""
    now = str(time.time_ns())
    tool = {"key": "tool_parameters", "value": {"stringValue": json.dumps({"command": f"grep {value} a"})}}
    records = [
        {"timeUnixNano": now, "body": {"stringValue": f"hello {value}"}, "attributes": _attributes(value)},
        {"timeUnixNano": now, "body": _attributes(value)[2]["value"], "severityText": value},
        {
            "timeUnixNano": now,
            "eventName": "claude_code.tool_result",
            "body": {"stringValue": "claude_code.tool_result"},
            "attributes": [*_attributes(value), tool],
        },
        {
            "timeUnixNano": now,
            "eventName": "codex.tool_decision",
            "body": {"stringValue": value},
            "attributes": [*_attributes(value), tool],
        },
    ]
    group = {"resource": _resource_with(value), "scopeLogs": [{"logRecords": records}]}
    return json.dumps({"resourceLogs": [group]}).encode()
