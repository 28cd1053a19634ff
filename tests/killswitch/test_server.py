"""The control server over real HTTP: flags, orders, tokens and roles, and what it does with bad input."""

import socket
import time

import pytest
from support.killswitch import FLAGS, bearer, operator_headers, trip, until

from pipeline.control_app import serve_in_thread
from pipeline.errors import ConfigError

TRIP = {"selector": {"agent": "invoice-agent"}, "mode": "off", "reason": "pays twice"}


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
