import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.decode import decode, decode_native, decode_span, event_of, span_json, spans_message

from pipeline.decode.action_kind import DerivedKind, ToolPatterns, derive_action_kind, kind_by_verb
from schemas.event import ActionKind

PATTERNS = ToolPatterns(external=("send_*",), write=("update_*", "*_send_*"), read=("Get*",), none=("think",))


@pytest.mark.parametrize(
    ("tool", "kind"),
    [
        ("get_reservation_details", "read"),
        ("listInvoices", "read"),
        ("mcp__github__create_issue", "write"),
        ("github.delete-repo", "write"),
        ("UpdateUser", "write"),
        ("book_reservation", "write"),
        ("send_email", "external"),
        ("transferToHuman", "external"),
        ("refundPayment", "external"),
        ("HTTPGetRequest", "read"),
        ("search_and_delete", "write"),
        ("get_update_status", "read"),
        ("think", "none"),
        ("calculate", "none"),
        ("Bash", None),
        ("getaway", None),
        ("", None),
        ("日本語", None),
    ],
)
def test_the_first_verb_of_a_name_decides(tool: str, kind: ActionKind | None):
    assert kind_by_verb(tool) == kind


@pytest.mark.parametrize(
    ("claimed", "tool", "expected"),
    [
        ("read", "send_mail", DerivedKind("read", inferred=False)),
        ("unknown", "send_mail", DerivedKind("external", inferred=False)),
        ("nonsense", "send_mail", DerivedKind("external", inferred=False)),
        (None, "update_send_x", DerivedKind("write", inferred=False)),
        (None, "GetX", DerivedKind("read", inferred=False)),
        (None, "getX", DerivedKind("read", inferred=True)),
        (None, "think", DerivedKind("none", inferred=False)),
        (None, "frobnicate", DerivedKind("unknown", inferred=False)),
        (None, None, DerivedKind("none", inferred=False)),
    ],
)
def test_the_senders_word_then_patterns_then_the_verb(claimed: str, tool: str, expected: DerivedKind):
    assert derive_action_kind(claimed, tool, PATTERNS) == expected


def test_inferred_kinds_are_flagged_and_configured_ones_are_not():
    inferred = decode_native(action_kind=..., action="delete_invoice")
    assert (inferred.action_kind, inferred.flags) == ("write", ["action_kind_inferred"])
    message = spans_message(
        span_json({"gen_ai.tool.name": "send_mail"}),
        resource={"service.name": "a", "deployment.environment.name": "prod"},
    )
    configured = event_of(decode(message, "otlp_spans", patterns=PATTERNS))
    assert (configured.action_kind, configured.flags) == ("external", [])


@pytest.mark.parametrize("operation", ["chat", "invoke_agent", "embeddings"])
def test_steps_that_are_no_tool_calls_act_on_nothing(operation: str):
    assert decode_native(action_kind=..., operation=operation, action="delete_all").action_kind == "none"
    span = decode_span({"gen_ai.operation.name": operation, "gen_ai.tool.name": "delete_all"})
    assert span.action_kind == "none"


@given(st.text(max_size=300))
def test_any_name_has_a_kind(tool: str):
    first = derive_action_kind(None, tool, PATTERNS)
    assert first == derive_action_kind(None, tool, PATTERNS)
