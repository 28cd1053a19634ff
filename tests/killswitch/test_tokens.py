"""Stored tokens: made, listed and revoked by the command line, obeyed by a running server within a second."""

import json
import socket
import threading
import time

import httpx
import pytest
from support.killswitch import FakeControl, running_switch, served
from typer.testing import CliRunner

from pipeline.cli import build_app
from pipeline.control_app import build_control_app, serve_in_thread
from pipeline.errors import ConfigError
from pipeline.killswitch.attempts import FREE, FailedAttempts, network_of
from pipeline.killswitch.tokens import TokenFile
from schemas.command import Selector

FLAGS = "/ofrep/v1/evaluate/flags"
VIEWER = {"name": "vera", "role": "viewer", "sha256": "0" * 64}
NOW_MS = 1_800_000_000_000


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "journal"


@pytest.fixture
def switch(journal):
    with running_switch(journal, FakeControl(), ofrep_open_on_loopback=False) as switch:
        yield switch


@pytest.fixture
def http(switch):
    with served(switch) as server, httpx.Client(base_url=server.url, trust_env=False) as client:
        yield client


@pytest.fixture
def command(tmp_path, journal, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "auditfuse.toml").write_text(f'[killswitch]\njournal = "{journal}"\n')

    def run(*arguments):
        return CliRunner().invoke(build_app(), ["token", *arguments])

    return run


def make(command, name, role, *options):
    done = command("create", name, "--role", role, "--by", "root", "--json", *options)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)["token"]


def until(condition, timeout_s=2.0):
    """Wait until it holds, asking seldom: wrong tokens are answered later and later."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)


def bearer(token):
    return {"authorization": f"Bearer {token}"}


def test_a_token_is_good_within_a_second_and_refused_within_a_second_of_its_end(http, command):
    token = make(command, "alice", "approver")
    headers = bearer(token)
    until(lambda: http.get("/metrics", headers=headers).status_code == 200, 1.5)
    order = {"selector": {"agent": "a"}, "mode": "off", "reason": "r"}
    made = http.post("/v1/killswitch/trips", json=order, headers=headers)
    assert made.json()["command"]["by"] == "alice"
    assert command("revoke", " ALICE ", "--by", "root").exit_code == 0
    until(lambda: http.post("/v1/killswitch/trips", json=order, headers=headers).status_code == 401, 1.5)


def test_only_hashes_are_stored_and_only_for_the_owner(journal, command):
    token = make(command, "alice", "approver")
    path = journal / "tokens.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert token not in path.read_text()
    assert len(token) >= 43  # 256 bits in base64
    shown = command("list").stdout
    assert "alice" in shown and "good" in shown and token not in shown
    assert json.loads(path.read_text())["tokens"][0]["sha256"] not in command("list", "--json").stdout


def test_a_name_has_one_good_token(command):
    make(command, "alice", "viewer")
    again = command("create", "Alice", "--role", "approver")
    assert isinstance(again.exception, ConfigError) and "revoke it first" in str(again.exception)
    assert command("revoke", "alice").exit_code == 0
    make(command, "alice", "approver")
    assert [one["state"] for one in json.loads(command("list", "--json").stdout)["tokens"]] == [
        "revoked",
        "good",
    ]
    assert isinstance(command("revoke", "bob").exception, ConfigError)
    assert isinstance(command("create", "bob", "--role", "boss").exception, ConfigError)


def test_many_at_once_lose_none(journal):
    tokens = TokenFile(journal)

    def create(number):
        tokens.create(f"agent-{number}", "agent", by="root", now_ms=NOW_MS)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tokens.read()) == 8


def test_an_expired_token_is_refused(journal):
    created = TokenFile(journal).create("alice", "viewer", by="root", now_ms=NOW_MS, days=1)
    assert created.token.is_good(NOW_MS + 86_399_999)
    assert not created.token.is_good(NOW_MS + 86_400_000)


def test_with_a_persons_token_the_machines_own_approves_nothing(http, switch, command):
    local = bearer((switch.config.journal / "operator.token").read_text().strip())
    trip = switch.trip(Selector(agent="a"), "off", by="alice", reason="r")

    def approval():
        asked = {"trips": [trip.id], "reason": "r", "by": "alice"}
        request = http.post("/v1/killswitch/resets", json=asked, headers=local).json()["command"]["id"]
        order = {"reason": "r", "by": "bob"}
        return http.post(f"/v1/killswitch/resets/{request}/approval", json=order, headers=local).status_code

    agent = make(command, "invoice-agent", "agent")
    until(lambda: http.post(FLAGS, json={}, headers=bearer(agent)).status_code == 200)
    person = make(command, "carol", "viewer")
    until(lambda: http.get("/v1/killswitch", headers=bearer(person)).status_code == 200)
    assert approval() == 403
    command("revoke", "carol")
    until(lambda: http.get("/v1/killswitch", headers=bearer(person)).status_code == 401)
    assert approval() == 201


@pytest.mark.parametrize(
    ("context", "status"),
    [
        ({"agent": "Invoice-Agent"}, 200),
        ({"targetingKey": " invoice-agent "}, 200),
        ({"agent": "invoice-agent", "targetingKey": "session-4711"}, 200),
        ({}, 200),  # covered by every trip, so it learns of nobody
        ({"agent": "another"}, 403),
        ({"targetingKey": "another"}, 403),
        ({"agent": "another", "targetingKey": "invoice-agent"}, 403),
    ],
)
@pytest.mark.parametrize("path", [FLAGS, f"{FLAGS}/agent.enabled"])
def test_an_agents_token_answers_for_that_agent_only(http, switch, command, path, context, status):
    headers = bearer(make(command, "invoice-agent", "agent"))
    until(lambda: http.post(FLAGS, json={}, headers=headers).status_code == 200)
    answer = http.post(path, json={"context": context}, headers=headers)
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["errorDetails"]


def test_an_agents_token_does_not_learn_of_another_by_the_targeting_key(http, switch, command):
    headers = bearer(make(command, "invoice-agent", "agent"))
    switch.trip(Selector(agent="another"), "off", by="alice", reason="r")
    until(lambda: http.post(FLAGS, json={}, headers=headers).status_code == 200)
    context = {"agent": "invoice-agent", "targetingKey": "another"}
    answer = http.post(f"{FLAGS}/agent.enabled", json={"context": context}, headers=headers)
    assert answer.json()["value"] is True


def test_an_agents_token_leases_for_that_agent_only(http, command):
    own, other = (bearer(make(command, name, "agent")) for name in ("invoice-agent", "another"))
    me = {"client": "client-0001", "agent": "invoice-agent"}
    until(lambda: http.post("/v1/leases", json=me, headers=own).status_code == 200)
    until(lambda: http.post("/v1/leases", json=me, headers=other).status_code == 403)
    assert http.get("/v1/leases/stream", params=me, headers=other).status_code == 403
    assert http.delete("/v1/leases/client-0001", headers=other).status_code == 403
    assert http.get("/v1/killswitch", headers=own).status_code == 403
    assert http.post("/v1/leases", json=me).status_code == 401
    assert http.delete("/v1/leases/client-0001", headers=own).status_code == 204


def test_a_revoked_token_ends_its_stream(http, command):
    token = make(command, "invoice-agent", "agent")
    until(lambda: http.post(FLAGS, json={}, headers=bearer(token)).status_code == 200)
    with socket.create_connection((http.base_url.host, http.base_url.port)) as connection:
        connection.settimeout(5)
        connection.sendall(
            b"GET /v1/leases/stream?client=client-0001&agent=invoice-agent HTTP/1.1\r\nhost: x\r\n"
            b"authorization: Bearer " + token.encode() + b"\r\n\r\n"
        )
        assert b"event: state" in connection.recv(65536)
        command("revoke", "invoice-agent")
        began = time.monotonic()
        received = connection.recv(65536)
        assert received.endswith(b"0\r\n\r\n")
        assert time.monotonic() - began < 2.0


def test_a_garbled_token_file_leaves_the_tokens_as_they_were(http, journal, command, capfd):
    headers = bearer(make(command, "alice", "viewer"))
    until(lambda: http.get("/metrics", headers=headers).status_code == 200)
    (journal / "tokens.json").write_text("{")
    time.sleep(0.7)
    assert http.get("/metrics", headers=headers).status_code == 200


def test_wrong_tokens_are_counted_and_answered_later_and_later_but_a_good_one_never(http, switch, command):
    good = bearer(make(command, "alice", "viewer"))
    until(lambda: http.get("/metrics", headers=good).status_code == 200)
    took = []
    for _ in range(FREE + 3):
        began = time.monotonic()
        assert http.get("/v1/killswitch", headers=bearer("wrong")).status_code == 401
        took.append(time.monotonic() - began)
    assert took[-1] > 0.35  # 0.1, 0.2, 0.4 s
    began = time.monotonic()
    status = http.get("/v1/killswitch", headers=good).json()
    assert http.post(FLAGS, json={}, headers=bearer("wrong")).status_code == 401
    assert time.monotonic() - began < 0.3
    assert status["attempts"]["failed"] >= FREE + 3
    assert status["attempts"]["networks"] == 1
    assert "auditfuse_killswitch_failed_attempts_total" in http.get("/metrics", headers=good).text


def test_many_attempts_at_once_are_no_faster():
    attempts = FailedAttempts()
    delays = []
    for _ in range(40):
        attempts.failed("203.0.113.0/24", 100.0, NOW_MS)
        delays.append(attempts.delay_s("203.0.113.0/24", 100.0))
    assert delays[:FREE] == [0.0] * FREE
    waiting = [delay for delay in delays[FREE:] if delay is not None]
    assert waiting == sorted(waiting) and max(waiting) <= 15.0
    assert delays[-1] is None
    assert attempts.delay_s("198.51.100.0/24", 100.0) == 0.0
    for number in range(10_000):
        attempts.failed(f"network {number}", 101.0, NOW_MS)
    assert attempts.status(101.0).networks <= 4096
    assert attempts.status(2000.0).networks == 0


def test_no_persons_address_is_kept():
    assert network_of("203.0.113.77") == "203.0.113.0/24"
    assert network_of("2001:db8:1:2::9") == "2001:db8:1::/48"
    assert network_of(None) == "unknown"


@pytest.mark.parametrize(
    ("options", "warned"),
    [
        ({}, []),
        ({"host": "::1"}, []),
        ({"host": "0.0.0.0"}, ["no tokens", "TLS"]),
        ({"host": "0.0.0.0", "tls_cert": "c.pem", "tls_key": "k.pem"}, ["no tokens"]),
        ({"host": "control.example", "tokens": [VIEWER]}, ["TLS"]),
    ],
)
def test_listening_beyond_this_machine_without_tokens_or_tls_is_said_in_status(journal, options, warned):
    with running_switch(journal, **options) as switch:
        app = build_control_app(switch, dict)
        server = serve_in_thread(app, "127.0.0.1", 0)
        headers = bearer((journal / "operator.token").read_text().strip())
        with httpx.Client(base_url=server.url, trust_env=False) as client:
            shown = client.get("/v1/killswitch", headers=headers).json()["warnings"]
        server.stop()
    assert len(shown) == len(warned)
    assert all(word in warning for word, warning in zip(warned, shown, strict=True))
