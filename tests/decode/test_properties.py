"""Whatever a message holds: no crash, at least one item, and everything can be stored."""

import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.decode import decode, log_json, logs_message, native, span_json, spans_message, to_proto

from pipeline.decode import DeadLetter
from pipeline.decode.base import INT64_MAX
from pipeline.decode.dead_letter import REASONS
from schemas.event import Event

SPANS = spans_message(
    span_json({"gen_ai.tool.name": "get_x", "a": [1, {"b": True}], "gen_ai.usage.input_tokens": 5}),
    span_json({"input.value": "text"}, status={"code": 2}),
)
LOGS = logs_message(
    log_json({"event.name": "tool_decision", "decision": "accept"}, "claude_code.tool_decision")
)
SEEDS = [
    json.dumps(native(input={"a": ["é\u2028", None]}, scopes=["x"], approval_id="a")).encode(),
    SPANS,
    LOGS,
    to_proto(ExportTraceServiceRequest(), SPANS),
    to_proto(ExportLogsServiceRequest(), LOGS),
]
INSERTIONS = st.binary(max_size=6) | st.sampled_from([b"{", b'"', b"\\ud800", b"-1"])
FORMATS = st.sampled_from(["events", "otlp_spans", "otlp_logs"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=8), children, max_size=4)
    ),
    max_leaves=12,
)


def check(value: bytes | None, format_: str) -> None:
    decoded = decode(value, format_)
    assert [item.item for item in decoded] == list(range(len(decoded)))
    assert decoded
    assert decoded == decode(value, format_)
    for item in decoded:
        msgspec.json.encode(item.event).decode("utf-8")
        if isinstance(item.event, DeadLetter):
            assert item.event.reason in REASONS
            assert item.bound is False
        else:
            check_event(item.event)


def check_event(event: Event) -> None:
    # The bytes that are stored read back as the same event: nothing in it is of a type it should not be.
    assert msgspec.convert(msgspec.to_builtins(event), Event) == event
    assert event.agent_id
    assert event.environment
    assert event.span_id
    assert event.action_kind is not None
    assert 0 <= event.start_time_unix_nano <= event.end_time_unix_nano <= INT64_MAX


@given(st.binary(max_size=300), FORMATS)
def test_any_bytes(value: bytes, format_: str):
    check(value, format_)


@given(JSON, FORMATS)
def test_any_json(value: Any, format_: str):
    check(json.dumps(value).encode(), format_)


@settings(max_examples=200)
@given(st.sampled_from(SEEDS), FORMATS, st.data())
def test_mutations_of_real_messages(seed: bytes, format_: str, data: st.DataObject):
    content = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content)))
        removed = data.draw(st.integers(0, 6))
        content[at : at + removed] = data.draw(INSERTIONS)
    check(bytes(content), format_)


@given(st.dictionaries(st.sampled_from(list(Event.__struct_fields__)), JSON, max_size=5))
def test_native_events_with_any_values(changes: dict[str, Any]):
    check(json.dumps(native(**changes)).encode(), "events")


def replaced(value: Any, data: st.DataObject) -> Any:
    """`value` with one part somewhere inside it put in place by any JSON."""
    if isinstance(value, dict | list) and value and data.draw(st.integers(0, 5)):
        key = data.draw(st.sampled_from(list(value) if isinstance(value, dict) else list(range(len(value)))))
        copy = dict(value) if isinstance(value, dict) else list(value)
        copy[key] = replaced(value[key], data)
        return copy
    return data.draw(JSON)


@settings(max_examples=200)
@given(st.sampled_from([(SPANS, "otlp_spans"), (LOGS, "otlp_logs")]), st.data())
def test_otlp_json_with_any_part_replaced(seed: tuple[bytes, str], data: st.DataObject):
    message, format_ = seed
    check(json.dumps(replaced(json.loads(message), data)).encode(), format_)


@given(st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=20), max_size=8), st.randoms())
def test_the_order_of_any_attributes_makes_no_difference(attributes: dict[str, str], random: Any):
    shuffled = list(attributes.items())
    random.shuffle(shuffled)
    one = decode(spans_message(span_json(attributes)), "otlp_spans")[0].event
    other = decode(spans_message(span_json(dict(shuffled))), "otlp_spans")[0].event
    assert msgspec.json.encode(one) == msgspec.json.encode(other)
