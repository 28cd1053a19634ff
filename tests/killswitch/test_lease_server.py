"""The lease protocol over real HTTP: renewals, streams, goodbyes, and who may."""

import contextlib
import json
import queue
import socket
import threading
import time
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlencode

import pytest
from support.killswitch import running_switch, served

from schemas.command import Selector

ME = {"client": "client-0001", "agent": "invoice-agent", "environment": "prod", "version": "4.2"}


@contextlib.contextmanager
def stream(server, **params):
    """The stream's lines, as they come."""
    lines = queue.Queue()
    connection = HTTPConnection(server.host, server.port, timeout=20)
    connection.request("GET", f"/v1/leases/stream?{urlencode(params)}")
    answer = connection.getresponse()
    assert answer.headers["content-type"] == "text/event-stream"

    def read():
        with contextlib.suppress(OSError, HTTPException, ValueError):
            while line := answer.readline():
                lines.put((time.monotonic(), line.decode().rstrip("\n")))
        lines.put((time.monotonic(), None))

    threading.Thread(target=read, daemon=True).start()
    yield lines
    connection.sock.shutdown(socket.SHUT_RDWR)


def next_state(lines):
    while True:
        at, line = lines.get(timeout=10)
        assert line is not None, "the stream ended"
        if line.startswith("data: "):
            return at, json.loads(line.removeprefix("data: "))


def test_a_renewal_names_the_trips_that_can_cover_this_client_and_nobody_elses(http, switch):
    asked = http.post("/v1/leases", json={**ME, "acknowledges": None, "under_way": []})
    assert asked.status_code == 200
    answer = asked.json()
    assert (answer["lease_s"], answer["renew_s"], answer["trips"]) == (15.0, 5.0, [])
    assert answer["digest"] == switch.state.digest
    switch.trip(Selector(agent="Invoice-Agent", tool="refund"), "throttle", by="alice", reason="r")
    switch.trip(Selector(agent="another"), "off", by="alice", reason="r")
    answer = http.post("/v1/leases", json=ME).json()
    assert answer["digest"] == switch.state.digest
    assert [(one["mode"], one["selector"], one["throttle_per_minute"]) for one in answer["trips"]] == [
        ("throttle", {"environment": None, "agent": "Invoice-Agent", "version": None, "tool": "refund"}, 6)
    ]


def test_status_tells_what_the_clients_do(http, switch):
    switch.leases.outlive(0)
    http.post("/v1/leases", json=ME)
    switch.trip(Selector(agent="invoice-agent"), "off", by="alice", reason="r")
    under_way = [{"action": "write", "tool": "refund", "age_ms": 60_000}]
    http.post("/v1/leases", json={**ME, "acknowledges": switch.state.digest, "under_way": under_way})
    status = http.get("/v1/killswitch").json()
    enforcement = status["trips"][0]["enforcement"]
    assert (enforcement["acknowledged"], enforcement["waiting"], enforcement["under_way"]) == (1, 0, 1)
    assert enforcement["state"] == "unknown"  # clients from before the server's start may be unheard
    assert status["fleet"]["live_leases"] == 1
    assert http.delete(f"/v1/leases/{ME['client']}").status_code == 204
    assert http.delete("/v1/leases/nobody-here").status_code == 404
    assert http.get("/v1/killswitch").json()["trips"][0]["enforcement"]["ended"] == 1


def test_a_trip_reaches_two_hundred_streams_within_milliseconds(server, switch):
    with contextlib.ExitStack() as stack:
        streams = [
            stack.enter_context(stream(server, client=f"client-{n:04}", agent=f"a{n}")) for n in range(200)
        ]
        for lines in streams:
            assert next_state(lines)[1]["trips"] == []
        began = time.monotonic()
        switch.trip(Selector(agent="a7"), "off", by="alice", reason="r")
        arrivals = []
        for number, lines in enumerate(streams):
            at, told = next_state(lines)
            arrivals.append(at - began)
            assert told["digest"] == switch.state.digest
            assert len(told["trips"]) == (1 if number == 7 else 0)
            assert "lease_s" not in told
        assert max(arrivals) < 1.0  # threads of this test read; one stream takes a millisecond
        assert min(arrivals) < 0.1


def test_a_server_that_stops_ends_its_streams(switch):
    with served(switch) as server, stream(server, client=ME["client"], agent="a") as lines:
        next_state(lines)
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 1.5
        while lines.get(timeout=5)[1] is not None:
            pass


def test_a_stream_whose_client_went_is_forgotten(server, switch, http):
    with stream(server, client=ME["client"], agent="a") as lines:
        next_state(lines)
    for agent in ("a", "b"):
        switch.trip(Selector(agent=agent), "off", by="alice", reason="r")
    assert http.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"\xff", 400),
        (b'{"client":"client-0001"}', 400),
        (b'{"client":"short","agent":"a"}', 400),
        (b'{"client":"client-0001","agent":""}', 400),
        (b'{"client":"client-0001","agent":"  "}', 400),
        (b'{"client":"client-0001","agent":"' + b"x" * 513 + b'"}', 400),
        (b'{"client":"client-0001","agent":"a","under_way":[' + b"{}," * 32 + b"{}]}", 400),
        (b'{"client":"client-0001","agent":"a","under_way":[{"age_ms":-1}]}', 400),
        (b'{"x":"' + b"y" * 70_000 + b'"}', 413),
    ],
    ids=range(12),
)
def test_bad_renewals_are_refused_in_words(http, body, status):
    answer = http.post("/v1/leases", content=body)
    assert answer.status_code == status
    assert answer.json()["error"]


@pytest.mark.parametrize(
    "query",
    ["", "agent=a", "client=client-0001", "client=x&agent=a", "client=client-0001&agent=%ff", "a" * 5000],
)
def test_bad_streams_are_refused_in_words(http, query):
    answer = http.get(f"/v1/leases/stream?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/leases"), ("POST", "/v1/leases/stream"), ("GET", "/v1/leases/client-0001")],
)
def test_other_methods_are_refused(http, method, path):
    assert http.request(method, path).status_code == 405


def test_a_client_id_is_one_agents(http):
    http.post("/v1/leases", json=ME)
    assert http.post("/v1/leases", json={**ME, "agent": "another"}).status_code == 409


def test_a_restarted_server_knows_how_long_the_leases_before_it_may_last(tmp_path):
    now_s = 1000.0
    with running_switch(tmp_path / "journal", lease_s=60.0, renew_s=5.0):
        pass
    with running_switch(tmp_path / "journal", now_s=lambda: now_s, lease_s=2.0, renew_s=0.5) as switch:
        switch.trip(Selector(agent="a"), "off", by="alice", reason="r")
        for now_s, why in ((1060.9, "clients from before"), (1061.1, "no client")):  # noqa: B007 (the clock)
            assert why in switch.status().trips[0].enforcement.why
