"""The real traces: the native file and both OTLP files hold the same events."""

import json
from collections import Counter
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.decode import decode, to_proto, trace_lines

from pipeline.decode.action_kind import ToolPatterns
from schemas.event import Event

EVENTS = "taubench.events.ndjson.gz"
OTLP = ["taubench.otlp.ndjson.gz", "taubench.full-history.otlp.ndjson.gz"]
AUDIT_FIELDS = {"approval_id", "approval_status", "action_kind", "target", "principal", "scopes", "channel"}
COMPARED = (
    *(
        "start_time_unix_nano",
        "duration_ns",
        "trace_id",
        "span_id",
        "parent_span_id",
        "session_id",
        "agent_id",
    ),
    *("agent_version", "environment", "channel", "principal", "scopes", "end_user", "operation"),
    *("action", "action_kind", "target", "tool_call_id", "model", "approval_id", "approval_status", "status"),
    *("error_type", "input_tokens", "output_tokens"),
)
PATTERNS = ToolPatterns(
    external=("send_certificate", "transfer_to_*"),
    write=("book_*", "cancel_*", "update_*"),
    read=("get_*", "search_*", "list_*"),
    none=("think", "calculate"),
)


def events(lines: list[bytes], format_: str, patterns: ToolPatterns | None = None) -> list[Event]:
    found: list[Event] = []
    for offset, line in enumerate(lines):
        for item in decode(line, format_, offset=offset, patterns=patterns, now_ms=1_793_700_000_000):
            assert isinstance(item.event, Event)
            found.append(item.event)
    return found


def multiset(found: list[Event], leave_out: frozenset[str] = frozenset()) -> Counter[str]:
    names = [name for name in COMPARED if name not in leave_out]
    return Counter(repr([getattr(event, name) for name in names]) for event in found)


def without_audit(line: bytes) -> bytes:
    def strip(value: Any) -> Any:
        if isinstance(value, list):
            return [strip(item) for item in value if not _is_audit(item)]
        return {key: strip(item) for key, item in value.items()} if isinstance(value, dict) else value

    return json.dumps(strip(json.loads(line))).encode()


def _is_audit(value: Any) -> bool:
    return isinstance(value, dict) and str(value.get("key", "")).startswith("audit.")


def test_the_native_file_decodes_to_its_own_values():
    lines = trace_lines(EVENTS)
    found = events(lines, "events")
    assert len(found) == 5108
    for line, event in zip(lines, found, strict=True):
        sent = json.loads(line)
        assert {name: getattr(event, name) for name in sent} == sent


@pytest.mark.parametrize("name", OTLP)
def test_otlp_files_hold_the_same_events_as_the_native_file(name: str):
    native = events(trace_lines(EVENTS), "events")
    assert multiset(events(trace_lines(name), "otlp_spans")) == multiset(native)


def test_protobuf_holds_the_same_events():
    lines = trace_lines(OTLP[0])
    protobuf = [to_proto(ExportTraceServiceRequest(), line) for line in lines[::7]]
    assert events(protobuf, "otlp_spans") == events(lines[::7], "otlp_spans")


def test_without_audit_attributes_tool_patterns_give_the_same_action_kinds():
    native = events(trace_lines(EVENTS), "events")
    stripped = [without_audit(line) for line in trace_lines(OTLP[0])]
    assert not any(b"audit." in line for line in stripped)
    found = events(stripped, "otlp_spans", PATTERNS)
    left_out = frozenset(AUDIT_FIELDS - {"action_kind"})
    assert multiset(found, left_out) == multiset(native, left_out)
    assert not any("action_kind_inferred" in event.flags for event in found)


def test_the_verbs_alone_are_right_for_most_tools():
    native = {event.span_id: event.action_kind for event in events(trace_lines(EVENTS), "events")}
    stripped = [without_audit(line) for line in trace_lines(OTLP[0])]
    tools = [event for event in events(stripped, "otlp_spans") if event.operation == "execute_tool"]
    right = sum(event.action_kind == native[event.span_id] for event in tools)
    assert right / len(tools) > 0.95
