"""Flags over real HTTP: all fields always, and what they say of whom."""

import httpx
import pytest
from support.killswitch import FLAGS, running_switch, served, trip

from schemas.command import Selector


def test_a_flag_has_all_fields_and_names_the_digest(http, switch):
    answer = http.post(f"{FLAGS}/agent.enabled", json={"context": {"targetingKey": "invoice-agent"}})
    assert answer.status_code == 200
    assert answer.json() == {
        "key": "agent.enabled",
        "value": True,
        "reason": "STATIC",
        "variant": "allowed",
        "metadata": {"digest": switch.state.digest, "mode": "on"},
    }
    made = trip(switch, agent="invoice-agent")
    tripped = http.post(f"{FLAGS}/agent.mode", json={"context": {"agent": "invoice-agent"}}).json()
    assert (tripped["value"], tripped["variant"], tripped["reason"]) == ("off", "off", "TARGETING_MATCH")
    assert tripped["metadata"]["trips"] == made.id
    assert tripped["metadata"]["digest"] == switch.state.digest


@pytest.mark.parametrize("body", [b"", b"{}", b'{"context":{}}', b'{"context":{"agent":""}}'])
def test_a_context_that_does_not_say_who_it_is_is_covered_by_every_trip(http, switch, body):
    trip(switch, agent="somebody-else")
    assert http.post(f"{FLAGS}/agent.enabled", content=body).json()["value"] is False


def test_all_flags_come_with_an_etag_that_changes_with_the_trips(http, switch):
    context = {"context": {"targetingKey": "invoice-agent"}}
    first = http.post(FLAGS, json=context)
    assert [flag["key"] for flag in first.json()["flags"]] == [
        "agent.enabled", "agent.write", "agent.external", "agent.mode",
    ]  # fmt: skip
    etag = first.headers["etag"]
    assert switch.state.digest in etag
    again = http.post(FLAGS, json=context, headers={"if-none-match": f'"other", W/{etag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    trip(switch, agent="invoice-agent")
    changed = http.post(FLAGS, json=context, headers={"if-none-match": etag})
    assert changed.status_code == 200
    assert [flag["value"] for flag in changed.json()["flags"]] == [False, False, False, "off"]
    other = http.post(
        FLAGS, json={"context": {"targetingKey": "x"}}, headers={"if-none-match": changed.headers["etag"]}
    )
    assert other.status_code == 200


def test_throttle_says_how_many_actions_a_minute(http, switch):
    switch.trip(Selector(agent="a"), "throttle", by="alice", reason="r")
    answer = http.post(f"{FLAGS}/agent.write", json={"context": {"agent": "a"}}).json()
    assert answer["value"] is True
    assert answer["metadata"]["throttlePerMinute"] == 6


def test_an_unknown_flag_is_404_in_ofreps_shape(http):
    answer = http.post(f"{FLAGS}/agent.fly", json={})
    assert answer.status_code == 404
    assert answer.json()["errorCode"] == "FLAG_NOT_FOUND"
    assert answer.json()["key"] == "agent.fly"
    assert "agent.enabled" in answer.json()["errorDetails"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "PARSE_ERROR"),
        (b"\xff\xfe", 400, "PARSE_ERROR"),
        (b'{"context":' + b"[" * 30_000, 400, "INVALID_CONTEXT"),
        (b'{"context":{"x":' + b"[" * 30_000 + b"]" * 30_000 + b"}}", 400, "PARSE_ERROR"),
        (b"[]", 400, "INVALID_CONTEXT"),
        (b'{"context":null}', 400, "INVALID_CONTEXT"),
        (b'{"context":{"agent":7}}', 400, "INVALID_CONTEXT"),
        (b'{"context":{"x":"' + b"y" * 70_000 + b'"}}', 413, "PARSE_ERROR"),
    ],
    ids=range(8),
)
@pytest.mark.parametrize("path", [FLAGS, f"{FLAGS}/agent.enabled"])
def test_bad_flag_requests_get_error_details_and_no_more(http, path, body, status, code):
    answer = http.post(path, content=body)
    assert answer.status_code == status
    assert answer.json()["errorCode"] == code
    assert answer.json()["errorDetails"]
    assert "Traceback" not in answer.text


def test_chunked_bodies_are_bounded_too(http):
    answer = http.post(FLAGS, content=(b" " * 8192 for _ in range(40)))
    assert answer.status_code == 413


def test_flags_need_a_token_where_loopback_is_not_open(people_http):
    answer = people_http.post(f"{FLAGS}/agent.enabled", json={})
    assert answer.status_code == 401
    assert answer.json()["errorDetails"]


def test_an_agent_with_an_endless_name_gets_away_from_nothing(http, switch):
    name = "x" * 5000
    made = switch.trip(
        Selector(agent=name), "off", by="auditfuse", reason="r" * 9000, finding_id="fnd_1", automatic=True
    )
    assert len(made.selector.agent) == 512
    for context in ({"agent": name}, {"targetingKey": name}, {"agent": "fine", "targetingKey": name}):
        answer = http.post(f"{FLAGS}/agent.enabled", json={"context": context})
        assert answer.json()["value"] is False
    assert http.post(f"{FLAGS}/agent.enabled", json={"context": {"agent": "fine"}}).json()["value"] is True


def test_white_space_around_a_selector_does_not_miss(http, switch):
    trip(switch, agent=" Invoice-Agent ")
    answer = http.post(f"{FLAGS}/agent.enabled", json={"context": {"agent": "invoice-agent"}})
    assert answer.json()["value"] is False


def test_an_agent_is_stopped_by_a_trip_of_its_redacted_name(tmp_path, control):
    def stands_for(redacted, name):
        return (redacted, name) == ("<PERSON:k1.0123456789abcdef>", "Margaret Thompson")

    with running_switch(tmp_path, control, stands_for=stands_for) as switch, served(switch) as server:
        with httpx.Client(base_url=server.url) as client:
            trip(switch, agent="<PERSON:k1.0123456789abcdef>")
            modes = [
                client.post(f"{FLAGS}/agent.mode", json={"context": {"targetingKey": name}}).json()["value"]
                for name in ("Margaret Thompson", "Margaret Thomson")
            ]
    assert modes == ["off", "on"]
