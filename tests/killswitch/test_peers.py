"""Two and three real control servers: a trip on one is served by all at once, the store being down."""

import contextlib
import socket

import httpx
import pytest
from support.killswitch import FakeControl, running_switch, served, until

from pipeline.killswitch.tokens import TokenFile
from schemas.command import Selector

FLAG = "/ofrep/v1/evaluate/flags/agent.enabled"


class Host:
    """A control server, its switch and its way to it."""

    def __init__(self, switch, server, http):
        self.switch, self.server, self.http = switch, server, http

    def is_enabled(self, agent):
        return self.http.post(FLAG, json={"context": {"agent": agent}}).json()["value"]

    def trips(self):
        return {trip["id"]: trip for trip in self.http.get("/v1/killswitch").json()["trips"]}


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Starts hosts that are each other's peers, on one `_control` or on their own."""
    now_s = [1000.0]
    with contextlib.ExitStack() as stack:

        def start_host(name, port, others, control, **options):
            TokenFile(tmp_path / name).create(f"peer-{name}", "peer", by="root", now_ms=1) if others else None
            peers = []
            for other, its_port in others.items():
                secret = TokenFile(tmp_path / other).create(name, "peer", by="root", now_ms=1).secret
                monkeypatch.setenv(f"PEER_{name}_{other}", secret)
                peers.append({"url": f"http://127.0.0.1:{its_port}", "token_env": f"PEER_{name}_{other}"})
            switch = stack.enter_context(
                running_switch(
                    tmp_path / name, control, now_s=lambda: now_s[0], port=port, peers=peers, **options
                )
            )
            server = stack.enter_context(served(switch, port))
            http = stack.enter_context(httpx.Client(base_url=server.url, trust_env=False))
            return Host(switch, server, http)

        def start_all(names, control=None, **options):
            ports = {name: free_port() for name in names}
            hosts = [
                start_host(
                    name,
                    ports[name],
                    {other: port for other, port in ports.items() if other != name},
                    control or FakeControl(),
                    **options,
                )
                for name in names
            ]
            for host in hosts:
                until(lambda host=host: all(peer["heard"] for peer in status(host)["peers"]))
            return hosts

        start_all.now_s = now_s
        yield start_all


def status(host):
    return host.http.get("/v1/killswitch").json()


def broken_control():
    control = FakeControl()
    control.broken = True
    return control


def test_a_trip_is_served_by_every_host_at_once_with_the_store_down(start):
    control = broken_control()
    a, b, c = start(["a", "b", "c"], control)
    trip = a.switch.trip(Selector(agent="invoice-agent"), "off", by="alice", reason="pays twice")
    until(lambda: not b.is_enabled("invoice-agent") and not c.is_enabled("invoice-agent"), 1.0)
    until(lambda: {host.trips()[trip.id]["standing"] for host in (a, b, c)} == {"journaled"})
    assert {host.switch.state.digest for host in (a, b, c)} == {a.switch.state.digest}
    assert b.trips()[trip.id]["reason"] == "pays twice"
    assert (b.trips()[trip.id]["by"], b.trips()[trip.id]["automatic"]) == ("alice", False)
    control.broken = False
    until(lambda: {host.trips()[trip.id]["standing"] for host in (a, b, c)} == {"sealed"}, 10)
    assert [row.id for row in control.rows] == [trip.id]


def test_a_lifted_trip_is_not_brought_back_by_a_peer(start):
    a, b = start(["a", "b"], FakeControl())
    trip = a.switch.trip(Selector(agent="a"), "off", by="alice", reason="r")
    until(lambda: trip.id in b.trips() and b.trips()[trip.id]["standing"] == "sealed")
    request = b.switch.request_reset([trip.id], by="alice", reason="r")
    until(lambda: b.switch.standing(request.id) == "sealed")
    b.switch.approve_reset(request.id, by="bob", reason="r")
    until(lambda: not b.trips() and not a.trips(), 10)
    before = len(b.switch.state.in_force)
    a.switch.trip(Selector(agent="other"), "off", by="alice", reason="r")
    until(lambda: len(b.switch.state.in_force) == before + 1)
    assert trip.id not in b.trips()


def test_the_reason_is_kept_as_redacted_not_as_withheld(start):
    control = FakeControl()
    a, b = start(["a", "b"], control)
    a.switch._redact = lambda text, wait_s: text.replace("marta@example.org", "<EMAIL>")
    trip = a.switch.trip(Selector(agent="a"), "off", by="alice", reason="wrote to marta@example.org")
    until(lambda: b.trips().get(trip.id, {}).get("reason") == "wrote to <EMAIL>")
    until(lambda: b.trips()[trip.id]["standing"] == "sealed")
    assert [row.reason for row in control.rows] == ["wrote to <EMAIL>"]


def test_a_trip_is_enforced_only_when_the_clients_of_all_hosts_are(start):
    a, b = start(["a", "b"], FakeControl())
    start.now_s[0] += 100  # past the leases of earlier processes
    me, other = {"client": "client-0001", "agent": "x"}, {"client": "client-0002", "agent": "x"}
    a.http.post("/v1/leases", json=me)
    b.http.post("/v1/leases", json=other)
    trip = a.switch.trip(Selector(agent="x"), "off", by="alice", reason="r")

    def enforcement(host):
        return host.trips()[trip.id]["enforcement"]

    a.http.post("/v1/leases", json={**me, "acknowledges": a.switch.state.digest})
    until(lambda: trip.id in b.trips())
    until(lambda: (enforcement(a)["acknowledged"], enforcement(a)["waiting"]) == (1, 1))
    assert enforcement(a)["state"] == "asked"
    b.http.post("/v1/leases", json={**other, "acknowledges": b.switch.state.digest})
    until(lambda: [enforcement(host)["state"] for host in (a, b)] == ["enforced", "enforced"], 5)
    b.server.stop()
    start.now_s[0] += 11
    until(lambda: enforcement(a)["state"] == "unknown")
    assert "127.0.0.1" in enforcement(a)["why"]
    assert [peer["heard"] for peer in status(a)["peers"]] == [False]


@pytest.mark.parametrize(
    "change",
    [
        {"command": "expire"},
        {"command": "reset_approval"},
        {"id": "../../etc/passwd"},
        {"mode": "on"},
        {"reason": "r" * 3000},
        {"selector": {"agent": "x" * 600}},
        {"trips": ["trip_00000000"]},
    ],
)
def test_a_peer_can_only_trip(start, change):
    (a,) = start(["a"])
    secret = TokenFile(a.switch.config.journal).create("b", "peer", by="root", now_ms=1).secret
    headers = {"authorization": f"Bearer {secret}"}
    command = {
        "kind": "command", "id": "trip_0123456789ab", "command": "trip", "at_ms": 1, "by": "alice",
        "automatic": False, "reason": "r", "selector": {"agent": "x"}, "mode": "off",
    }  # fmt: skip
    path = "/v1/peers/exchange"
    until(lambda: a.http.post(path, json={"host": "b", "trips": []}, headers=headers).status_code == 200)
    answer = a.http.post(
        path, json={"host": "b", "trips": [{"trip": {**command, **change}}]}, headers=headers
    )
    assert answer.status_code == 400
    assert a.trips() == {}
    good = a.http.post(path, json={"host": "b", "trips": [{"trip": command}]}, headers=headers)
    assert good.json()["digest"] == a.switch.state.digest
    assert list(a.trips()) == [command["id"]]
    order = {"selector": {}, "mode": "off", "reason": "r", "by": "b"}
    assert a.http.post("/v1/killswitch/trips", json=order, headers=headers).status_code == 403


def test_only_peers_exchange(start):
    (a,) = start(["a"])
    local = {"authorization": f"Bearer {(a.switch.config.journal / 'operator.token').read_text().strip()}"}
    message = {"host": "b", "trips": []}
    assert a.http.post("/v1/peers/exchange", json=message).status_code == 401
    assert a.http.post("/v1/peers/exchange", json=message, headers=local).status_code == 403
