"""The unmodified OpenFeature SDK and its OFREP provider against the real server."""

import pytest
from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason

from schemas.command import Selector

AGENT = EvaluationContext("invoice-agent", {"environment": "prod", "version": "4.2", "tool": "refund"})
OTHER = EvaluationContext("search-agent", {"environment": "prod"})


@pytest.fixture
def client(server):
    api.set_provider(OFREPProvider(server.url), "killswitch-test")
    yield api.get_client("killswitch-test")
    api.clear_providers()


def answers(client, context):
    booleans = ("agent.enabled", "agent.write", "agent.external")
    return [client.get_boolean_value(key, False, context) for key in booleans] + [
        client.get_string_value("agent.mode", "off", context)
    ]


def test_an_untripped_agent_may_do_everything(client):
    assert answers(client, AGENT) == [True, True, True, "on"]
    details = client.get_boolean_details("agent.enabled", False, AGENT)
    assert (details.reason, details.error_code) == (Reason.STATIC, None)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("throttle", [True, True, True, "throttle"]),
        ("approval", [True, False, False, "approval"]),
        ("read_only", [True, False, False, "read_only"]),
        ("off", [False, False, False, "off"]),
    ],
)
def test_a_tripped_agent_sees_its_mode_and_others_do_not(client, switch, mode, expected):
    switch.trip(Selector(agent="invoice-agent"), mode, by="alice", reason="r")
    assert answers(client, AGENT) == expected
    assert answers(client, OTHER) == [True, True, True, "on"]
    details = client.get_string_details("agent.mode", "off", AGENT)
    assert details.reason == Reason.TARGETING_MATCH
    assert details.flag_metadata["digest"] == switch.state.digest


def test_a_reset_opens_the_switch_again(client, switch):
    made = switch.trip(Selector(agent="invoice-agent"), "off", by="alice", reason="r")
    request = switch.request_reset([made.id], by="alice", reason="fixed")
    approval = switch.approve_reset(request.id, by="bob", reason="checked")
    assert switch.wait_sealed(approval.id, 5)
    assert answers(client, AGENT) == [True, True, True, "on"]


def test_an_unknown_flag_and_a_wrong_type_give_the_default(client):
    unknown = client.get_boolean_details("agent.fly", False, AGENT)
    assert (unknown.value, unknown.error_code) == (False, ErrorCode.FLAG_NOT_FOUND)
    wrong = client.get_string_details("agent.enabled", "off", AGENT)
    assert (wrong.value, wrong.error_code) == ("off", ErrorCode.TYPE_MISMATCH)


def test_a_context_that_is_not_understood_gives_the_default_with_the_reason(client):
    details = client.get_boolean_details("agent.enabled", False, EvaluationContext("a", {"version": 3}))
    assert details.value is False
    assert "version" in details.error_message


def test_no_server_means_no_action(client, server):
    assert answers(client, AGENT) == [True, True, True, "on"]
    server.stop()
    assert answers(client, AGENT) == [False, False, False, "off"]
    assert client.get_boolean_details("agent.enabled", False, AGENT).reason == Reason.ERROR


def test_an_agent_with_two_names_is_stopped_by_a_trip_of_either(client, switch):
    switch.trip(Selector(agent="invoice-agent"), "off", by="alice", reason="r")
    both = EvaluationContext("session-17", {"agent": "invoice-agent"})
    assert client.get_boolean_value("agent.enabled", False, both) is False
