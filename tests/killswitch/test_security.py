"""Who must not: refused, recorded, and the flags are answered as fast as ever meanwhile."""

import contextlib
import re
import socket
import time

import httpx
import pytest
import yaml
from support.docs import ROOT
from support.killswitch import bearer, people_tokens, running_switch, served, until

from pipeline.killswitch import protocol
from pipeline.killswitch.http import MAX_BODY_BYTES
from pipeline.killswitch.server import ControlEndpoints
from schemas.command import Selector

FLAG = "/ofrep/v1/evaluate/flags/agent.enabled"
DOCUMENT = yaml.safe_load((ROOT / "docs" / "openapi.yaml").read_text())
OPERATIONS = [
    (method.upper(), path, operation)
    for path, operations in DOCUMENT["paths"].items()
    if "servers" not in operations and not path.startswith("/incidents")
    for method, operation in operations.items()
]
GUARDED = [(method, path) for method, path, operation in OPERATIONS if "security" in operation]
RIGHT = {
    (method, path): operation.get("description", "").removeprefix("Right: ").rstrip(".")
    for method, path, operation in OPERATIONS
}
FROM_ELSEWHERE = {"x-forwarded-for": "203.0.113.9"}


@pytest.fixture
def switch(tmp_path, control):
    with running_switch(tmp_path / "journal", control, tokens=people_tokens()) as switch:
        yield switch


def refusals(http, why):
    name = f'auditfuse_killswitch_refusals_total{{why="{why}"}} '
    lines = http.get("/metrics").text.splitlines()
    return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))


def place(path):
    return re.sub(r"\{\w+\}", "agent.enabled" if "flags" in path else "client-0001", path)


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_without_a_token_nothing_but_health_is_answered_from_elsewhere(http, switch, method, path):
    for headers in ({}, {"authorization": "Bearer wrong"}):
        answer = http.request(method, place(path), headers=headers | FROM_ELSEWHERE)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    assert switch.state.in_force == ()


@pytest.mark.parametrize(("method", "path"), [one for one in GUARDED if RIGHT[one] != "flags"])
def test_an_agents_token_gets_flags_and_leases_alone(http, switch, method, path):
    before = refusals(http, "role")
    answer = http.request(method, place(path), headers=bearer("bot"), content=b"{}")
    assert answer.status_code == 403
    assert refusals(http, "role") == before + 1
    assert switch.state.in_force == ()


def test_every_documented_right_is_one_that_the_code_knows():
    assert set(RIGHT.values()) - {""} == {"flags", "view", "trip", "request", "approve", "peer"}
    assert callable(ControlEndpoints.allow)


def test_one_person_with_two_spellings_does_not_reset_alone(http, switch):
    trip = switch.trip(Selector(agent="a"), "off", by="alice", reason="r")
    asked = http.post(
        "/v1/killswitch/resets", json={"trips": [trip.id], "reason": "r"}, headers=bearer("aldo")
    )
    path = f"/v1/killswitch/resets/{asked.json()['command']['id']}/approval"
    before = refusals(http, "conflict")
    for by in ("abel", "aldo", " ALDO"):  # the token's name counts, not the order's
        answer = http.post(path, json={"reason": "r", "by": by}, headers=bearer("aldo"))
        assert answer.status_code == 409
    assert refusals(http, "conflict") == before + 3
    assert len(switch.state.in_force) == 1


def test_a_forged_digest_acknowledges_nothing_and_is_recorded(http, switch):
    switch.leases.outlive(0)
    me = {"client": "client-0001", "agent": "a"}
    switch.trip(Selector(agent="a"), "off", by="alice", reason="r")
    before = refusals(http, "digest")
    for forged in ("0" * 64, switch.state.digest[:-1] + "x", "W/" + switch.state.digest):
        assert http.post("/v1/leases", json={**me, "acknowledges": forged}).status_code == 200
    assert refusals(http, "digest") == before + 3
    enforcement = http.get("/v1/killswitch").json()["trips"][0]["enforcement"]
    assert (enforcement["acknowledged"], enforcement["waiting"]) == (0, 1)


@pytest.mark.parametrize("path", [FLAG, "/v1/leases", "/v1/killswitch/trips"])
@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_that_are_too_large_are_refused_and_recorded(http, path, chunked):
    why = "lease" if path == "/v1/leases" else "body"
    before = refusals(http, why)
    body = b" " * (MAX_BODY_BYTES + 1)
    answer = http.post(path, content=iter([body]) if chunked else body, headers=bearer("aldo"))
    assert answer.status_code == 413
    assert refusals(http, why) == before + 1


def test_endless_headers_end_the_connection(server, http):
    before = refusals(http, "headers")
    with socket.create_connection((server.host, server.port)) as connection:
        connection.settimeout(5)
        with contextlib.suppress(ConnectionError):
            connection.sendall(b"POST / HTTP/1.1\r\n")
            for _ in range(300):
                connection.sendall(b"x-filler: " + b"y" * 1000 + b"\r\n")
        with contextlib.suppress(ConnectionError):
            assert connection.recv(100) == b""
    until(lambda: refusals(http, "headers") == before + 1)


def test_a_request_that_comes_byte_by_byte_is_ended(server, http, monkeypatch):
    monkeypatch.setattr(protocol, "HEADERS_TIMEOUT_S", 0.3)
    before = refusals(http, "slow")
    with socket.create_connection((server.host, server.port)) as connection:
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            for byte in b"POST /ofrep/v1/evaluate/flags HTTP/1.1\r\nx-filler: " + b"y" * 500:
                connection.sendall(bytes([byte]))
                time.sleep(0.02)
        assert time.monotonic() - began < 3.0
    assert refusals(http, "slow") == before + 1


def test_slow_clients_take_no_room_from_those_that_ask(switch, monkeypatch):
    monkeypatch.setattr(protocol, "max_connections", lambda: 60)
    with served(switch) as server, httpx.Client(base_url=server.url, trust_env=False) as http:
        http.get("/healthz")
        slow = []
        for number in range(150):
            connection = socket.create_connection((server.host, server.port))
            kinds = (b"", b"POST / HTTP/1.1\r\nhost:", b"POST /v1/killswitch/trips HTTP/1.1\r\nhost: x\r\n"
                     b"content-length: 60000\r\n\r\n{")  # fmt: skip
            connection.sendall(kinds[number % 3])
            slow.append(connection)
        took = []
        for _ in range(40):
            began = time.monotonic()
            answer = http.post(FLAG, json={"context": {"agent": "a"}})
            took.append(time.monotonic() - began)
            assert answer.status_code == 200
        assert sorted(took)[30] < 0.1
        assert refusals(http, "connection") > 0
        for connection in slow:
            connection.close()


def test_a_stream_that_is_not_read_delays_no_other(server, switch):
    with contextlib.ExitStack() as stack:
        for number in range(20):
            connection = stack.enter_context(socket.create_connection((server.host, server.port)))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            query = f"client=client-{number:04}&agent=a"
            connection.sendall(f"GET /v1/leases/stream?{query} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        http = stack.enter_context(httpx.Client(base_url=server.url, trust_env=False))
        for number in range(5):
            switch.trip(Selector(agent="a", tool=f"t{number}"), "off", by="alice", reason="r" * 500)
        began = time.monotonic()
        assert http.post(FLAG, json={"context": {"agent": "a"}}).json()["value"] is False
        assert time.monotonic() - began < 0.5
