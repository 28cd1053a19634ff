"""The control server over real HTTP: flags, orders, tokens and roles, and what it does with bad input."""

import hashlib
import socket
import time

import httpx
import pytest
from support.killswitch import FakeControl, operator_headers, running_switch, served, until

from pipeline.control_app import serve_in_thread
from pipeline.errors import ConfigError
from schemas.command import Selector

FLAGS = "/ofrep/v1/evaluate/flags"
PEOPLE = {"vera": "viewer", "rita": "responder", "aldo": "approver", "abel": "approver", "bot": "agent"}
TRIP = {"selector": {"agent": "invoice-agent"}, "mode": "off", "reason": "pays twice"}


@pytest.fixture
def control():
    return FakeControl()


@pytest.fixture
def switch(tmp_path, control):
    with running_switch(tmp_path / "journal", control) as switch:
        yield switch


@pytest.fixture
def http(switch):
    with served(switch) as server, httpx.Client(base_url=server.url, trust_env=False) as client:
        yield client


@pytest.fixture
def people_http(tmp_path, control):
    tokens = [
        {"name": name, "role": role, "sha256": hashlib.sha256(f"{name}-token".encode()).hexdigest()}
        for name, role in PEOPLE.items()
    ]
    with running_switch(tmp_path / "journal", control, tokens=tokens, ofrep_open_on_loopback=False) as switch:
        with served(switch) as server, httpx.Client(base_url=server.url, trust_env=False) as client:
            client.switch = switch
            yield client


def bearer(name):
    return {"authorization": f"Bearer {name}-token"}


def trip(switch, **selector):
    return switch.trip(Selector(**selector), "off", by="alice", reason="r")


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


def test_a_trip_over_http_is_served_at_once(http, switch):
    answer = http.post("/v1/killswitch/trips", json=TRIP | {"by": "alice"}, headers=operator_headers(switch))
    assert answer.status_code == 201
    assert answer.json()["standing"] in {"journaled", "sealed"}
    assert answer.json()["digest"] == switch.state.digest
    assert not http.post(f"{FLAGS}/agent.enabled", json={"context": {"agent": "invoice-agent"}}).json()[
        "value"
    ]
    shown = http.get("/v1/killswitch").json()
    assert [(one["id"], one["by"], one["mode"]) for one in shown["trips"]] == [
        (answer.json()["command"]["id"], "alice", "off")
    ]


def test_a_reset_over_http_takes_two_people(http, switch):
    made = trip(switch, agent="invoice-agent")
    headers = operator_headers(switch)
    asked = http.post(
        "/v1/killswitch/resets", json={"trips": [made.id], "reason": "fixed", "by": "alice"}, headers=headers
    )
    assert asked.status_code == 201
    request_id = asked.json()["command"]["id"]
    assert request_id in asked.json()["next"]
    path = f"/v1/killswitch/resets/{request_id}/approval"
    twice = http.post(path, json={"reason": "me again", "by": "ALICE "}, headers=headers)
    assert twice.status_code == 409
    assert "another person" in twice.json()["error"]
    assert http.get("/v1/killswitch").json()["trips"]
    approved = http.post(path, json={"reason": "checked", "by": "bob"}, headers=headers)
    assert (approved.status_code, approved.json()["standing"]) == (201, "sealed")
    assert http.get("/v1/killswitch").json()["trips"] == []


def test_without_a_token_nobody_trips_not_even_from_this_machine(http, switch):
    for headers in (
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": "Basic YWxpY2U6eA=="},
        bearer(""),
    ):
        answer = http.post("/v1/killswitch/trips", json=TRIP | {"by": "alice"}, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    assert switch.state.in_force == ()


def test_the_machines_token_is_for_its_owner_alone_and_not_through_a_proxy(http, switch):
    token_file = switch.config.journal / "operator.token"
    assert token_file.stat().st_mode & 0o777 == 0o600
    headers = operator_headers(switch) | {"x-forwarded-for": "203.0.113.9"}
    assert http.post("/v1/killswitch/trips", json=TRIP | {"by": "alice"}, headers=headers).status_code == 401
    assert http.post(FLAGS, json={}, headers={"x-forwarded-for": "203.0.113.9"}).status_code == 401


@pytest.mark.parametrize(
    ("name", "may"),
    [
        ("bot", (200, 403, 403, 403, 403)),
        ("vera", (200, 200, 403, 403, 403)),
        ("rita", (200, 200, 201, 404, 403)),
        ("aldo", (200, 200, 201, 404, 404)),
        ("eve", (401, 401, 401, 401, 401)),
    ],
)
def test_roles(people_http, name, may):
    http = people_http
    reset = {"trips": ["trip_none"], "reason": "r"}
    assert may == (
        http.post(FLAGS, json={}, headers=bearer(name)).status_code,
        http.get("/v1/killswitch", headers=bearer(name)).status_code,
        http.post("/v1/killswitch/trips", json=TRIP, headers=bearer(name)).status_code,
        http.post("/v1/killswitch/resets", json=reset, headers=bearer(name)).status_code,
        http.post(
            "/v1/killswitch/resets/reset_x/approval", json={"reason": "r"}, headers=bearer(name)
        ).status_code,
    )


def test_a_tokens_name_is_recorded_whatever_the_order_says(people_http):
    made = people_http.post("/v1/killswitch/trips", json=TRIP | {"by": "somebody"}, headers=bearer("aldo"))
    assert made.json()["command"]["by"] == "aldo"
    trips = [made.json()["command"]["id"]]
    asked = people_http.post(
        "/v1/killswitch/resets", json={"trips": trips, "reason": "r"}, headers=bearer("aldo")
    )
    path = f"/v1/killswitch/resets/{asked.json()['command']['id']}/approval"
    order = {"reason": "r", "by": "abel"}
    assert people_http.post(path, json=order, headers=bearer("aldo")).status_code == 409
    local = operator_headers(people_http.switch)
    assert people_http.post(path, json=order, headers=local).status_code == 403
    assert people_http.post(path, json={"reason": "r"}, headers=bearer("abel")).json()["standing"] == "sealed"


def test_flags_need_a_token_where_loopback_is_not_open(people_http):
    answer = people_http.post(f"{FLAGS}/agent.enabled", json={})
    assert answer.status_code == 401
    assert answer.json()["errorDetails"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[" * 30_000, 400),
        (b'{"mode":"off"}', 400),
        (b'{"mode":"sideways","reason":"r","selector":{},"by":"a"}', 400),
        (b'{"mode":"off","reason":"r","selector":{},"by":"a","untilms":5}', 400),
        (b'{"mode":"off","reason":"r","selector":{"agent":"a"}}', 400),
        (b'{"mode":"off","reason":"' + b"r" * 70_000 + b'"}', 413),
    ],
    ids=range(8),
)
def test_bad_orders_are_refused_in_words(http, switch, body, status):
    answer = http.post("/v1/killswitch/trips", content=body, headers=operator_headers(switch))
    assert answer.status_code == status
    assert answer.json()["error"]
    assert "Traceback" not in answer.text
    assert switch.state.in_force == ()


def test_an_error_inside_shows_nothing_of_itself(http, switch, monkeypatch, capfd):
    def fail():
        raise RuntimeError("secret-of-a-message")

    monkeypatch.setattr(switch, "status", fail)
    answer = http.get("/v1/killswitch")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "secret-of-a-message" not in "".join(capfd.readouterr())


def test_health_readiness_and_metrics(http, switch):
    assert http.get("/healthz").json() == {"status": "ok"}
    assert http.get("/readyz").json() == {"ready": True, "parts": {"killswitch": True}, "conditions": {}}
    trip(switch, agent="a")
    answer = http.get("/metrics")
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert 'auditfuse_killswitch_trips_in_force{mode="off"} 1.0' in answer.text
    assert answer.text.endswith("# EOF\n")


def test_unknown_paths_and_methods_are_json(http):
    assert http.get("/nothing").json() == {"error": "Not Found"}
    assert http.delete("/v1/killswitch").status_code == 405
    assert http.get(FLAGS).status_code == 405


def test_a_client_that_sends_nothing_delays_nobody(http):
    base = http.base_url
    idle = [socket.create_connection((base.host, base.port)) for _ in range(50)]
    for connection in idle:
        connection.sendall(
            b"POST /ofrep/v1/evaluate/flags HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"
        )
    began = time.monotonic()
    assert http.post(FLAGS, json={}).status_code == 200
    assert time.monotonic() - began < 1.0
    for connection in idle:
        connection.close()


def test_a_trip_that_cannot_be_journaled_is_answered_as_volatile(http, switch, control, monkeypatch):
    control.broken = True
    monkeypatch.setattr("pipeline.killswitch.journal.durable.create_exclusive", _no_space)
    headers = operator_headers(switch)
    answer = http.post("/v1/killswitch/trips", json=TRIP | {"by": "alice"}, headers=headers)
    assert (answer.status_code, answer.json()["standing"]) == (202, "volatile")
    assert "restart forgets it" in answer.json()["next"]
    flag = http.post(f"{FLAGS}/agent.enabled", json={"context": {"agent": "invoice-agent"}}).json()
    assert flag["value"] is False
    assert flag["metadata"]["volatile"] is True
    until(lambda: "killswitch_trips_volatile 1.0" in http.get("/metrics").text)


def test_a_taken_port_is_a_configuration_error(http):
    with pytest.raises(ConfigError, match=r"cannot listen on 127\.0\.0\.1"):
        serve_in_thread(None, "127.0.0.1", http.base_url.port)


def _no_space(*args):
    raise OSError(28, "No space left on device")


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
