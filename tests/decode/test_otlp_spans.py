import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.decode import (
    NOW_MS,
    SPAN_ID,
    START_NS,
    TRACE_ID,
    decode,
    decode_span,
    event_of,
    span_json,
    spans_message,
    to_proto,
)

from schemas.event import Event

GEN_AI = {
    "gen_ai.conversation.id": "conv-1",
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.agent.id": "invoices/v2",
    "gen_ai.agent.version": "2.1",
    "gen_ai.request.model": "m-1",
    "gen_ai.tool.name": "pay_invoice",
    "gen_ai.tool.call.id": "call_1",
    "gen_ai.tool.call.arguments": {"id": 7, "lines": [1.5, True, "x"]},
    "gen_ai.tool.call.result": "paid",
    "gen_ai.usage.input_tokens": 11,
    "gen_ai.usage.output_tokens": 3,
    "user.id": "u-1",
    "error.type": "timeout",
    "http.response.status_code": 504,
    "audit.principal.id": "sa:invoices",
    "audit.auth.scopes": ["invoices:write", "mail:send"],
    "audit.action.kind": "external",
    "audit.target": "bank://account",
    "audit.approval.id": "appr-1",
    "audit.approval.status": "granted",
    "audit.request.id": "req-1",
    "audit.credential.id": "key-1",
    "audit.credential.expires": "2027-01-01T00:00:00Z",
    "audit.config.version": "c-9",
    "team": "finance",
}
RESOURCE = {
    "service.name": "invoice-service",
    "service.version": "9",
    "deployment.environment.name": "prod",
    "audit.deployment.channel": "canary",
    "host.name": "h-1",
}


def test_every_field_of_the_mapping_arrives():
    event = decode_span(
        GEN_AI, RESOURCE, parentSpanId="00f067aa0ba902b7", status={"code": 2, "message": "late"}
    )
    shown = {name: getattr(event, name) for name in event.__struct_fields__}
    assert shown == {
        "start_time_unix_nano": START_NS,
        "agent_id": "invoices/v2",
        "schema_version": 1,
        "duration_ns": 5_000_000,
        "trace_id": TRACE_ID,
        "span_id": SPAN_ID,
        "parent_span_id": "00f067aa0ba902b7",
        "session_id": "conv-1",
        "request_id": "req-1",
        "agent_version": "2.1",
        "config_version": "c-9",
        "environment": "prod",
        "channel": "canary",
        "principal": "sa:invoices",
        "credential_id": "key-1",
        "credential_expires": "2027-01-01T00:00:00Z",
        "scopes": ["invoices:write", "mail:send"],
        "end_user": "u-1",
        "operation": "execute_tool",
        "action": "pay_invoice",
        "action_kind": "external",
        "target": "bank://account",
        "tool_call_id": "call_1",
        "model": "m-1",
        "approval_id": "appr-1",
        "approval_status": "granted",
        "approval_source": "agent",
        "status": "error",
        "status_message": "late",
        "error_type": "timeout",
        "http_status": 504,
        "input": {"id": 7, "lines": [1.5, True, "x"]},
        "output": "paid",
        "input_tokens": 11,
        "output_tokens": 3,
        "attributes": {
            "host.name": "h-1",
            "otel.span.name": "step",
            "service.name": "invoice-service",
            "service.version": "9",
            "team": "finance",
        },
        "flags": ["approval_not_bound"],
    }


def test_protobuf_gives_the_same_event_as_json():
    span = span_json(
        GEN_AI | {"raw": 2**40, "none": "", "deep": {"a": [{"b": -1}]}},
        events=[
            {
                "name": "exception",
                "timeUnixNano": "5",
                "attributes": [{"key": "a", "value": {"intValue": "1"}}],
            }
        ],
        links=[{"traceId": TRACE_ID, "spanId": SPAN_ID}],
        status={"code": 1},
    )
    message = spans_message(span, resource=RESOURCE)
    from_json = event_of(decode(message, "otlp_spans"))
    from_proto = event_of(decode(to_proto(ExportTraceServiceRequest(), message), "otlp_spans"))
    assert from_json == from_proto
    assert from_json.attributes["otel.span.events"] == [
        {"name": "exception", "time_unix_nano": 5, "attributes": {"a": 1}}
    ]


@given(st.permutations(list(GEN_AI)), st.permutations(list(RESOURCE)))
def test_the_order_of_attributes_makes_no_difference(order: list[str], resource_order: list[str]):
    event = decode_span({key: GEN_AI[key] for key in order}, {key: RESOURCE[key] for key in resource_order})
    reference = decode_span(GEN_AI, RESOURCE)
    assert json.dumps(event.attributes) == json.dumps(reference.attributes)
    assert event == reference


ALIASES = [
    ("session_id", "session.id"),
    ("session_id", "traceloop.association.properties.session_id"),
    ("end_user", "user.hash"),
    ("end_user", "enduser.pseudo.id"),
    ("model", "gen_ai.response.model"),
    ("model", "llm.model_name"),
    ("tool_call_id", "tool_call.id"),
    ("target", "server.address"),
    ("target", "url.full"),
    ("target", "mcp.resource.uri"),
    ("input", "input.value"),
    ("input", "tool.parameters"),
    ("input", "traceloop.entity.input"),
    ("input", "gen_ai.input.messages"),
    ("output", "output.value"),
    ("output", "traceloop.entity.output"),
    ("environment", "deployment.environment"),
    ("error_type", "exception.type"),
    ("agent_version", "service.version"),
]


@pytest.mark.parametrize(("field", "attribute"), ALIASES)
def test_aliases_fill_the_field(field: str, attribute: str):
    event = decode_span({attribute: "value"})
    assert getattr(event, field) == "value"
    assert attribute not in event.attributes


def test_the_better_name_wins_and_the_other_is_kept():
    event = decode_span(
        {"session.id": "s", "gen_ai.conversation.id": "c", "input.value": "i", "tool.parameters": "t"}
    )
    assert (event.session_id, event.input) == ("c", "t")
    assert (event.attributes["session.id"], event.attributes["input.value"]) == ("s", "i")


def test_a_spans_own_attribute_beats_the_resources():
    resource = {"service.name": "a", "deployment.environment.name": "prod", "session.id": "r"}
    event = decode_span({"deployment.environment.name": "dev", "gen_ai.conversation.id": "c"}, resource)
    assert (event.environment, event.session_id) == ("dev", "c")
    assert event.attributes["session.id"] == "r"


@pytest.mark.parametrize(
    ("attributes", "operation", "action", "kind"),
    [
        ({"openinference.span.kind": "TOOL", "tool.name": "get_x"}, "execute_tool", "get_x", "read"),
        ({"openinference.span.kind": "LLM", "llm.model_name": "m"}, "chat", "m", "none"),
        ({"openinference.span.kind": "AGENT", "agent.name": "a"}, "invoke_agent", "a", "none"),
        ({"traceloop.span.kind": "tool", "traceloop.entity.name": "get_x"}, "execute_tool", "get_x", "read"),
        ({"traceloop.span.kind": "workflow", "traceloop.workflow.name": "w"}, "invoke_workflow", "w", "none"),
        ({"mcp.method.name": "tools/call", "gen_ai.tool.name": "get_x"}, "execute_tool", "get_x", "read"),
        ({"gen_ai.tool.name": "get_x"}, "execute_tool", "get_x", "read"),
        ({"gen_ai.request.model": "m"}, "chat", "m", "none"),
        ({"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "a"}, "invoke_agent", "a", "none"),
        ({"http.request.method": "DELETE"}, None, "step", "none"),
    ],
)
def test_the_step_is_recognized_in_each_convention(
    attributes: dict[str, str], operation: str | None, action: str, kind: str
):
    event = decode_span(attributes)
    assert (event.operation, event.action, event.action_kind) == (operation, action, kind)


@pytest.mark.parametrize(
    ("status", "attributes", "expected"),
    [
        ({}, {}, "ok"),
        (None, {}, "ok"),
        ({"code": 1}, {"error.type": "x"}, "ok"),
        ({"code": 2}, {}, "error"),
        ({"code": "STATUS_CODE_ERROR"}, {}, "error"),
        ({}, {"error.type": "x"}, "error"),
    ],
)
def test_a_span_without_status_ended_well_unless_it_names_an_error(
    status: dict[str, object] | None, attributes: dict[str, str], expected: str
):
    assert decode_span(attributes, status=status).status == expected


def test_values_of_the_wrong_type_stay_attributes():
    event = decode_span(
        {
            "gen_ai.usage.input_tokens": "12",
            "gen_ai.usage.output_tokens": "many",
            "session.id": 42,
            "audit.auth.scopes": {"a": "b"},
            "http.response.status_code": 7,
            "audit.action.kind": "destroy",
        }
    )
    assert (event.input_tokens, event.output_tokens, event.session_id) == (12, None, "42")
    assert (event.scopes, event.http_status) == ([], None)
    assert event.attributes == {
        "audit.action.kind": "destroy",
        "audit.auth.scopes": {"a": "b"},
        "gen_ai.usage.output_tokens": "many",
        "http.response.status_code": 7,
    }


@pytest.mark.parametrize("missing", ["", None, "0" * 32, ...])
def test_missing_ids_and_times_are_filled_and_flagged(missing: object):
    changes = {"traceId": missing, "spanId": missing, "startTimeUnixNano": ..., "endTimeUnixNano": ...}
    event = decode_span({}, {"deployment.environment.name": "prod"}, **changes)
    assert event.trace_id is None
    assert event.span_id is not None
    assert len(event.span_id) == 16
    assert (event.agent_id, event.start_time_unix_nano) == ("unknown", NOW_MS * 1_000_000)
    assert event.flags == ["fields_defaulted", "span_id_derived"]


def test_upper_case_ids_join_with_lower_case_ones_and_others_stay_as_they_are():
    event = decode_span({}, traceId=TRACE_ID.upper(), spanId="Not-Hex")
    assert (event.trace_id, event.span_id) == (TRACE_ID, "Not-Hex")


def test_a_span_that_ends_before_it_starts_lasts_nothing():
    event = decode_span({}, {"service.name": "a", "deployment.environment.name": "p"}, endTimeUnixNano="5")
    assert (event.duration_ns, event.flags) == (0, ["time_negative"])
    assert decode_span({}, endTimeUnixNano=...).duration_ns == 0


def test_special_numbers_bytes_and_empty_values_are_plain_json():
    attributes = [
        {"key": "nan", "value": {"doubleValue": "NaN"}},
        {"key": "bytes", "value": {"bytesValue": "AAE="}},
        {"key": "empty", "value": {}},
        {"key": "none"},
        {"key": "list", "value": {"arrayValue": {}}},
        {"key": "map", "value": {"kvlistValue": {}}},
        {"key": "int", "value": {"intValue": 5}},
        {"key": "digits", "value": {"intValue": "-9007199254740993"}},
    ]
    message = spans_message(span_json({}, attributes=attributes, name=""))
    expected = {
        "bytes": "AAE=",
        "digits": -9007199254740993,
        "empty": None,
        "int": 5,
        "list": [],
        "map": {},
        "nan": "NaN",
        "none": None,
    }
    assert event_of(decode(message, "otlp_spans")).attributes == expected
    assert (
        event_of(decode(to_proto(ExportTraceServiceRequest(), message), "otlp_spans")).attributes == expected
    )


def test_resources_scopes_and_spans_are_items_in_the_order_of_the_message():
    first = json.loads(spans_message(span_json({}, name="a"), span_json({}, name="b")))
    second = json.loads(spans_message(span_json({}, name="c"), resource={"service.name": "other"}))
    message = json.dumps({"resourceSpans": first["resourceSpans"] + second["resourceSpans"]}).encode()
    for value in (message, to_proto(ExportTraceServiceRequest(), message)):
        decoded = decode(value, "otlp_spans")
        events = [item.event for item in decoded if isinstance(item.event, Event)]
        assert [item.item for item in decoded] == [0, 1, 2]
        assert [(event.action, event.agent_id) for event in events] == [
            ("a", "invoices"),
            ("b", "invoices"),
            ("c", "other"),
        ]


def test_a_fixed_encoding_takes_no_other():
    message = spans_message(span_json({}))
    assert isinstance(decode(message, "otlp_spans", encoding="json")[0].event, Event)
    assert not isinstance(decode(message, "otlp_spans", encoding="protobuf")[0].event, Event)


def test_protobuf_whose_length_byte_looks_like_json_is_recognized():
    for name_length in range(40, 160):
        message = spans_message(span_json({}, name="n" * name_length), resource={})
        content = to_proto(ExportTraceServiceRequest(), message)
        assert event_of(decode(content, "otlp_spans")).action == "n" * name_length
    assert event_of(decode(b"\n " + spans_message(span_json({})), "otlp_spans")).agent_id == "invoices"
