"""Faults of auditfuse itself, the heartbeat, and the page that needs no state database."""

import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import SecretStr
from support.respond import START_MS, found, locked, open_state, paging_to
from support.webhook import running_webhook

from pipeline.own_parts import Lag
from pipeline.respond.config import RespondConfig
from pipeline.respond.heartbeat import Heartbeat
from pipeline.respond.own_faults import OwnFault, OwnFaults
from pipeline.respond.pager import ApprisePager
from pipeline.respond.state import StateDatabase
from pipeline.respond.state_watch import StateWatch
from pipeline.respond.targets import HeartbeatConfig

pytestmark = pytest.mark.usefixtures("each_database_long")

HALTED = OwnFault("self_halted", "traces/3", "Partition 3 of source traces is halted; see auditfuse gap list")


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateDatabase]:
    database = open_state(tmp_path)
    yield database
    database.close()


class Parts:
    """What is broken, at a time that the test sets."""

    def __init__(self, state: StateDatabase) -> None:
        self.broken: list[OwnFault] = []
        self.now_ms = START_MS
        self.changes = 0
        self.own = OwnFaults(state, RespondConfig(), lambda: self.broken, self._changed, lambda: self.now_ms)

    def _changed(self) -> None:
        self.changes += 1

    def run(self, seconds: int) -> None:
        for _ in range(seconds // 5):
            self.now_ms += int(self.own.step() * 1000)


def test_a_fault_that_lasts_is_a_critical_incident_until_it_is_gone(state: StateDatabase) -> None:
    parts = Parts(state)
    parts.broken = [HALTED]
    parts.run(60)
    assert state.incidents() == []
    parts.run(10)
    [incident] = state.incidents()
    assert (incident.agent_id, incident.detector) == ("auditfuse", "self_halted")
    assert incident.severity == "critical"
    assert "Partition 3 of source traces is halted" in incident.summary
    state.resolve_quiet(parts.now_ms + 10**9)
    assert len(state.incidents()) == 1  # it is over when the fault is, not when nothing more is said
    parts.broken = []
    parts.run(55)
    assert len(state.incidents()) == 1
    parts.run(20)
    assert state.incidents() == []
    assert parts.changes == 2


def test_a_short_fault_is_none(state: StateDatabase) -> None:
    parts = Parts(state)
    for _ in range(5):
        parts.broken = [HALTED]
        parts.run(30)
        parts.broken = []
        parts.run(10)
    assert state.incidents() == []


def test_a_fault_that_goes_on_after_somebody_resolved_it_is_told_again(state: StateDatabase) -> None:
    parts = Parts(state)
    parts.broken = [HALTED]
    parts.run(70)
    [incident] = state.incidents()
    state.resolve(incident.incident_id, "maria", "I thought so", parts.now_ms)
    parts.run(60)
    assert (state.incidents(), parts.changes) == ([], 1)
    parts.run(10)
    assert [one.detector for one in state.incidents()] == ["self_halted"]
    parts.run(600)
    assert parts.changes == 2


def test_a_new_process_closes_what_is_repaired(state: StateDatabase) -> None:
    parts = Parts(state)
    parts.broken = [HALTED]
    parts.run(70)
    again = Parts(state)
    again.now_ms = parts.now_ms
    again.run(70)
    assert state.incidents() == []


def test_a_stream_that_never_rests_is_not_behind() -> None:
    lag, key = Lag(), ("traces", 0)
    for second in range(300):
        assert lag.seconds({key: second * 100}, {key: max(second - 5, 0) * 100}, float(second)) < 20
    stuck = max(lag.seconds({key: s * 100}, {key: 29_400}, float(s)) for s in range(300, 420))
    assert stuck > 100


@contextmanager
def monitor() -> Generator[tuple[str, list[str]]]:
    """A monitor that counts its beats."""
    beats: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            beats.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/ping", beats
    server.shutdown()
    server.server_close()


def test_the_monitor_hears_only_that_all_is_well() -> None:
    hindrance: list[str | None] = [None]
    with monitor() as (url, beats):
        config = HeartbeatConfig(url=SecretStr(url), interval_s=20)
        heart = Heartbeat(config, lambda: hindrance[0], lambda: START_MS)
        assert heart.step() == 20
        hindrance[0] = "detection does not run"
        heart.step()
        assert beats == ["/ping"]
        hindrance[0] = None
        heart.step()
        assert beats == ["/ping", "/ping"]
    heart.step()  # the monitor is away: that ends nothing here


def test_that_the_state_database_is_away_is_paged_without_it(tmp_path: Path) -> None:
    with running_webhook() as webhook:
        config = paging_to(webhook.url, dead_man_after_s=60)
        state = open_state(tmp_path, config, busy_timeout_ms=1, retry_for_ms=1)
        now_ms = [START_MS]
        watch = StateWatch(state, ApprisePager(config), config, lambda: now_ms[0])
        watch.step()
        with locked(tmp_path):
            for _ in range(10):
                watch.step()
                now_ms[0] += 15_000
        [page] = webhook.requests
        assert page["title"].startswith("CRITICAL auditfuse cannot page: the state database cannot be used")
        watch.step()
        assert [one["event"] for one in webhook.requests] == ["trigger", "resolve"]
        state.close()


def test_own_incidents_explain_silence(state: StateDatabase) -> None:
    parts = Parts(state)
    parts.broken = [OwnFault("self_source_down", "traces", "Source traces is not read")]
    parts.run(70)
    state.consume([found("agent-1", detector="silence")], {}, parts.now_ms)
    assert [one.detector for one in state.incidents()] == ["self_source_down"]
