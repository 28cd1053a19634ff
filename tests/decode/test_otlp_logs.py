import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from support.decode import (
    NOW_MS,
    SPAN_ID,
    START_NS,
    TRACE_ID,
    decode,
    decode_log,
    event_of,
    log_json,
    logs_message,
    to_proto,
)

CODEX = {"service.name": "codex_cli_rs", "service.version": "0.50", "env": "dev"}


def claude(name: str, **attributes: object):
    return decode_log({"event.name": name, "session.id": "s-1", **attributes}, f"claude_code.{name}")


def codex(name: str, **attributes: object):
    return decode_log({"event.name": f"codex.{name}", "conversation.id": "c-1", **attributes}, None, CODEX)


@pytest.mark.parametrize(
    ("decision", "status"),
    [("accept", "granted"), ("reject", "denied")],
)
def test_claude_codes_decisions_are_approvals(decision: str, status: str):
    event = claude(
        "tool_decision", tool_name="Edit", decision=decision, source="user_temporary", tool_use_id="t-1"
    )
    assert (event.operation, event.action, event.action_kind) == ("tool_decision", "Edit", "none")
    assert (event.approval_status, event.approval_id, event.tool_call_id) == (status, "t-1", "t-1")
    assert event.approval_source == "agent"
    assert "approval_not_bound" in event.flags
    assert event.attributes["source"] == "user_temporary"
    assert event.session_id == "s-1"


@pytest.mark.parametrize(
    ("decision", "status"),
    [
        ("approved", "granted"),
        ("approved_for_session", "granted"),
        ("denied", "denied"),
        ("abort", "denied"),
    ],
)
def test_codexs_decisions_are_approvals(decision: str, status: str):
    event = codex("tool_decision", tool_name="shell", call_id="call_9", decision=decision, source="user")
    assert (event.agent_id, event.agent_version, event.environment) == ("codex_cli_rs", "0.50", "unknown")
    assert (event.operation, event.action, event.action_kind) == ("tool_decision", "shell", "none")
    assert (event.approval_status, event.approval_id, event.tool_call_id) == (status, "call_9", "call_9")


def test_a_trusted_source_makes_decisions_count():
    record = log_json({"event.name": "codex.tool_decision", "decision": "approved", "call_id": "c"})
    event = event_of(decode(logs_message(record, resource=CODEX), "otlp_logs", approvals="trusted"))
    assert event.approval_source == "gateway"


def test_a_tools_result_is_a_tool_call_that_ends_at_the_record():
    event = claude(
        "tool_result", tool_name="delete_file", success="false", duration_ms="120", error="no such file",
        tool_input='{"path":"a"}',
    )  # fmt: skip
    assert (event.operation, event.action, event.action_kind) == ("execute_tool", "delete_file", "write")
    assert (event.duration_ns, event.end_time_unix_nano) == (120_000_000, START_NS)
    assert (event.status, event.status_message, event.input) == ("error", "no such file", '{"path":"a"}')
    event = codex("tool_result", tool_name="shell", call_id="c", arguments="ls", output="a", success="true")
    assert (event.status, event.input, event.output, event.tool_call_id) == ("ok", "ls", "a", "c")


def test_model_calls_and_their_errors():
    event = claude(
        "api_request", model="m-1", input_tokens=10, output_tokens="20", duration_ms=5, cost_usd=0.1
    )
    assert (event.operation, event.action, event.model, event.status) == ("chat", "m-1", "m-1", "ok")
    assert (event.input_tokens, event.output_tokens, event.action_kind) == (10, 20, "none")
    assert event.attributes["cost_usd"] == 0.1
    event = claude("api_error", model="m-1", error="overloaded", status_code="529")
    assert (event.status, event.http_status, event.status_message) == ("error", 529, "overloaded")


def test_a_prompt_is_the_input_of_its_event():
    event = claude("user_prompt", prompt="hello", prompt_length="5")
    assert (event.operation, event.input, event.action_kind) == ("user_prompt", "hello", "none")


@pytest.mark.parametrize(
    ("attributes", "body", "changes"),
    [
        ({"event.name": "claude_code.user_prompt"}, None, {}),
        ({"event.name": "user_prompt"}, "claude_code.user_prompt", {}),
        ({"event.name": "user_prompt"}, None, {}),
        ({}, "claude_code.user_prompt", {}),
        ({}, None, {"eventName": "claude_code.user_prompt"}),
    ],
)
def test_the_event_name_is_found_wherever_the_sender_puts_it(
    attributes: dict[str, str], body: str | None, changes: dict[str, str]
):
    assert decode_log({"prompt": "hi", **attributes}, body, **changes).operation == "user_prompt"


def test_generic_records_keep_body_severity_and_ids():
    event = decode_log(
        {"k": "v"}, {"a": [1]}, {"service.name": "svc", "deployment.environment.name": "prod"},
        traceId=TRACE_ID, spanId=SPAN_ID, severityNumber=17, severityText="ERROR",
    )  # fmt: skip
    assert (event.agent_id, event.operation, event.action_kind, event.status) == (
        "svc",
        "log",
        "none",
        "error",
    )
    assert (event.output, event.trace_id, event.parent_span_id) == ({"a": [1]}, TRACE_ID, SPAN_ID)
    assert event.span_id != SPAN_ID
    assert event.flags == ["span_id_derived"]
    assert event.attributes == {"k": "v", "otel.severity": "ERROR"}


def test_bare_names_mean_nothing_in_records_of_others():
    event = decode_log(
        {"decision": "approved", "model": "m", "event.name": "my.event"}, None, {"service.name": "a"}
    )
    assert (event.approval_status, event.model, event.action) == (None, None, "my.event")
    assert event.attributes["decision"] == "approved"


def test_genai_attributes_on_a_record_are_mapped_as_on_spans():
    event = decode_log(
        {"gen_ai.tool.name": "get_x", "gen_ai.conversation.id": "c"}, None, {"service.name": "a"}
    )
    assert (event.operation, event.action, event.action_kind, event.session_id) == (
        "execute_tool",
        "get_x",
        "read",
        "c",
    )


def test_a_record_without_time_takes_the_observed_one_and_else_the_brokers():
    assert decode_log({}, timeUnixNano="0", observedTimeUnixNano="9").start_time_unix_nano == 9
    event = decode_log({}, timeUnixNano=None)
    assert event.start_time_unix_nano == NOW_MS * 1_000_000
    assert "fields_defaulted" in event.flags


def test_protobuf_gives_the_same_events_as_json():
    message = logs_message(
        log_json(
            {"event.name": "tool_result", "tool_name": "Edit", "duration_ms": 5}, "claude_code.tool_result"
        ),
        log_json({"a": [1, {"b": 2.5}]}, {"x": True}, traceId=TRACE_ID, spanId=SPAN_ID, severityText="INFO"),
    )
    from_json = decode(message, "otlp_logs")
    assert len(from_json) == 2
    assert from_json == decode(to_proto(ExportLogsServiceRequest(), message), "otlp_logs")
