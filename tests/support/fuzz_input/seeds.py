"""Real messages to mutate: the generator's in every form, and the traces of the shared folder if present."""

import base64
import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.canary_otlp import log_with, spans_with_all
from support.traces import FULL_HISTORY, NATIVE, OTLP, TRACES, lines

from pipeline.generate.faults import Fault
from pipeline.generate.stream import StreamConfig, fleet, generate, native_json
from schemas.event import Event

FORMS = ("events", "otlp_json", "otlp_proto", "logs_json", "logs_proto")
"""What a message is written as. The first decides its source, with `otlp` for spans."""
SHARED_LINES, GENERATED = 400, 300
MAX_SEED_BYTES, LARGE_SEEDS = 16_000, 4


def seeds(seed: int, *, use_shared: bool = True) -> Mapping[str, Sequence[bytes]]:
    """Messages by form. Equal arguments, and equal shared files, give equal ones."""
    faults = [Fault("personal_data", "agent-001", 0, 60), Fault("error_spike", "agent-002", 0, 60, factor=30)]
    stream = StreamConfig(seed=seed, agents=fleet(3, 200.0), length_s=60.0, faults=faults)
    events = list(generate(stream))[:GENERATED]
    native = [native_json(event) for event in events]
    native += [b"\n".join(native[n : n + 4]) for n in range(0, 40, 4)]
    spans = [_spans(events[n : n + 1 + n % 5]) for n in range(0, len(events) - 5, 3)]
    spans += [json.loads(spans_with_all())]
    logs = [_logs(events[n : n + 1 + n % 3]) for n in range(0, len(events) - 3, 3)]
    logs += [json.loads(log_with(name)) for name in ("Jane Doe", "a@example.com", "4111 1111 1111 1111")]
    if use_shared and TRACES.is_dir():
        chance = random.Random(seed)
        native += _some(lines(NATIVE), chance)
        spans += [json.loads(line) for path in (OTLP, FULL_HISTORY) for line in _some(lines(path), chance)]
    return {
        "events": native,
        "otlp_json": [json.dumps(one).encode() for one in spans],
        "otlp_proto": [_proto(one, ExportTraceServiceRequest()) for one in spans],
        "logs_json": [json.dumps(one).encode() for one in logs],
        "logs_proto": [_proto(one, ExportLogsServiceRequest()) for one in logs],
    }


def _some(messages: Sequence[bytes], chance: random.Random) -> list[bytes]:
    """Most are small, so that there are many; a few are not."""
    small = [message for message in messages if len(message) <= MAX_SEED_BYTES]
    large = [message for message in messages if len(message) > MAX_SEED_BYTES]
    return chance.sample(small, min(SHARED_LINES, len(small))) + large[:LARGE_SEEDS]


def _resource(event: Event) -> dict[str, Any]:
    return {
        "attributes": _attributes(
            {
                "service.name": event.agent_id,
                "service.version": event.agent_version,
                "deployment.environment.name": event.environment,
            }
        )
    }


def _spans(events: Sequence[Event]) -> dict[str, Any]:
    spans = [
        {
            "name": f"execute_tool {event.action}",
            "traceId": event.trace_id,
            "spanId": event.span_id,
            "startTimeUnixNano": str(event.start_time_unix_nano),
            "endTimeUnixNano": str(event.end_time_unix_nano),
            "kind": 3,
            "attributes": _attributes(_fields(event)),
            "status": {"code": 2 if event.status == "error" else 1},
        }
        for event in events
    ]
    return {"resourceSpans": [{"resource": _resource(events[0]), "scopeSpans": [{"spans": spans}]}]}


def _logs(events: Sequence[Event]) -> dict[str, Any]:
    records = [
        {
            "timeUnixNano": str(event.end_time_unix_nano),
            "traceId": event.trace_id,
            "spanId": event.span_id,
            "eventName": "gen_ai.tool.call",
            "body": {"stringValue": json.dumps(event.output)},
            "attributes": _attributes(_fields(event)),
        }
        for event in events
    ]
    return {"resourceLogs": [{"resource": _resource(events[0]), "scopeLogs": [{"logRecords": records}]}]}


def _fields(event: Event) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": event.action,
        "gen_ai.tool.call.id": event.tool_call_id,
        "gen_ai.tool.call.arguments": json.dumps(event.input),
        "gen_ai.tool.call.result": json.dumps(event.output),
        "gen_ai.conversation.id": event.session_id,
        "gen_ai.request.model": event.model,
        "gen_ai.usage.input_tokens": 321,
        "user.id": event.end_user,
        "error.type": event.error_type,
        "http.response.status_code": event.http_status,
    }


def _attributes(fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"key": key, "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}}
        for key, value in fields.items()
        if value is not None
    ]


def _proto(body: Mapping[str, Any], message: Any) -> bytes:
    """The same request as protobuf. OTLP's JSON writes ids as hex, which protobuf's own reads as base64."""
    parsed = json_format.ParseDict(_with_base64_ids(body), message, ignore_unknown_fields=True)
    return parsed.SerializeToString()


def _with_base64_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: base64.b64encode(bytes.fromhex(one)).decode()
            if key in ("traceId", "spanId", "parentSpanId") and isinstance(one, str)
            else _with_base64_ids(one)
            for key, one in value.items()
        }
    return [_with_base64_ids(one) for one in value] if isinstance(value, list) else value
