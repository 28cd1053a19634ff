"""A trip works with the store read-only, the broker dead and the state database locked, all at once.

Nothing is mocked: a broker of this test's own is stopped, another process holds the database's lock, and
the store's directories are 0555 for a server that has given up root's power to ignore that.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.broker import broker_script
from support.produce import create_topic, produce
from support.readonly import obey_permissions, set_writable
from support.running import Running, auditfuse, free_port, sealed_rows, wait_until, write_config
from support.service import QUICK, event, kafka, locked, query, source, verified

from pipeline.topics.kafka import KafkaConfig
from pipeline.topics.kafka_compacted import live_keys

TOPIC = "agent-events"
TRIPS = "auditfuse.trips"
FLAG = "/ofrep/v1/evaluate/flags/agent.enabled"
SERVED_WITHIN_S = 1.0
pytestmark = [pytest.mark.kafka_apache, pytest.mark.timeout(240)]


class Broker:
    """A broker of this test's own, which it may stop and start again on the same files."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._port = broker_script().free_port()
        self._running: Any = None
        self.bootstrap = f"127.0.0.1:{self._port}"

    def start(self) -> None:
        self._running = broker_script().start(self._port, self._directory)

    def stop(self) -> None:
        if self._running is not None:
            self._running.stop()
            self._running = None


class Service(NamedTuple):
    """A server that has sealed some events, and the broker it reads from."""

    server: Running
    broker: Broker
    folder: Path

    @property
    def store(self) -> Path:
        return self.folder / "store"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    if not (broker_script().docker_engine_answers() or broker_script().jvm_available()):
        pytest.skip("needs a broker that it may stop: Docker, or Java and Maven")
    broker = Broker(tmp_path / "kafka")
    port = free_port()
    write_config(
        tmp_path,
        data_dir=str(tmp_path),
        kafka=kafka(broker.bootstrap, "broken"),
        sources=[source(TOPIC)],
        killswitch={"port": port, "topic": TRIPS},
        **QUICK,
    )
    try:
        broker.start()
        asyncio.run(create_topic(broker.bootstrap, TOPIC, 1))
        asyncio.run(create_topic(broker.bootstrap, TRIPS, 1, cleanup_policy="compact"))
        asyncio.run(produce(broker.bootstrap, TOPIC, [event() for _ in range(20)], 1))
        with Running(tmp_path, port, preexec=obey_permissions) as server:
            server.wait_ready()
            yield Service(server, broker, tmp_path)
    finally:
        set_writable(tmp_path / "store", writable=True)
        broker.stop()


def test_a_trip_is_served_and_outlives_the_server_with_everything_broken(service: Service) -> None:
    server, folder = service.server, service.folder
    wait_until(lambda: sealed_rows(service.store) == 20, 30, "20 events sealed")
    with everything_broken(service):
        assert is_enabled(server, "pays-twice")
        served_s = trip_by_http(server, "pays-twice")
        print(f"\ntrip by HTTP, order to flag: {served_s * 1000:.1f} ms")
        assert served_s < SERVED_WITHIN_S
        served_s, command_s = trip_by_command(service, "probes")
        print(f"trip by command, order to flag: {served_s * 1000:.1f} ms; whole command {command_s:.2f} s")
        assert served_s < SERVED_WITHIN_S

        server.kill()
        done = trip(folder, "while-nothing-runs")
        assert "no control server answers" in done.stderr
        began = time.monotonic()
        server.restart()
        wait_until(lambda: server.get("/healthz")[0] == 200, 30, "the control server answers")
        print(f"restarted, everything still broken: answers after {time.monotonic() - began:.2f} s")
        for agent in ("pays-twice", "probes", "while-nothing-runs"):
            assert not is_enabled(server, agent)
        assert is_enabled(server, "another")
        assert server.get("/readyz")[0] == 503
        assert standings(server) == {"journaled"}
    began = time.monotonic()
    wait_until(lambda: standings(server) == {"sealed"}, 60, "the trips' records sealed")
    print(f"all back: records sealed after {time.monotonic() - began:.2f} s")
    wait_until(lambda: len(published(service)) == 4, 60, "the trips and their digest published")
    asyncio.run(produce(service.broker.bootstrap, TOPIC, [event() for _ in range(5)], 1))
    wait_until(lambda: sealed_rows(service.store) == 25, 60, "the events after it sealed")
    assert server.stop() == 0, server.log()
    sealed = query(folder, 'select agent_id, command, mode from killswitch order by "offset"')
    assert sealed == [
        {"agent_id": agent, "command": "trip", "mode": "off"}
        for agent in ("pays-twice", "probes", "while-nothing-runs")
    ]
    verified(folder)
    assert "Traceback" not in server.log()


@contextlib.contextmanager
def everything_broken(service: Service) -> Iterator[None]:
    """Broker dead, database locked, store read-only; all of it back at the end."""
    service.broker.stop()
    set_writable(service.store, writable=False)
    refused = subprocess.run(
        [sys.executable, "-c", "import sys; open(sys.argv[1], 'w')", service.store / "probe"],
        preexec_fn=obey_permissions,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "PermissionError" in refused.stderr
    with locked(service.folder / "state.db"):
        yield
    set_writable(service.store, writable=True)
    service.broker.start()


def published(service: Service) -> set[bytes]:
    """The keys of the topic of trips."""
    return asyncio.run(live_keys(KafkaConfig(bootstrap_servers=service.broker.bootstrap), TRIPS))


def trip_by_http(server: Running, agent: str) -> float:
    """Seconds from the order to the flag that says no."""
    order = {"selector": {"agent": agent}, "mode": "off", "reason": "pays twice", "by": "alice"}
    began = time.monotonic()
    request = urllib.request.Request(
        f"{server.control}/v1/killswitch/trips",
        json.dumps(order).encode(),
        {**operator(server), "content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=5) as response:
        assert response.status == 201
    assert not is_enabled(server, agent)
    return time.monotonic() - began


def trip_by_command(service: Service, agent: str) -> tuple[float, float]:
    """Seconds from the server's receipt of the order to the flag that says no, and of the whole command."""
    stopped_at: list[float] = []

    def ask() -> None:
        while is_enabled(service.server, agent):
            time.sleep(0.002)
        stopped_at.append(time.time())

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    began = time.monotonic()
    done = trip(service.folder, agent)
    command_s = time.monotonic() - began
    asking.join(10)
    answer = json.loads(done.stdout)
    assert answer["standing"] == "journaled"
    return stopped_at[0] - answer["command"]["at_ms"] / 1000, command_s


def trip(folder: Path, agent: str) -> subprocess.CompletedProcess[str]:
    """`auditfuse killswitch trip`, as the server's user."""
    order = ("--agent", agent, "--mode", "off", "--reason", "drill", "--by", "alice", "--json")
    return auditfuse(
        "killswitch", "trip", "--config", "auditfuse.toml", *order, cwd=folder, preexec_fn=obey_permissions
    )


def is_enabled(server: Running, agent: str) -> bool:
    """What an OpenFeature SDK asks before an agent acts."""
    request = urllib.request.Request(
        server.control + FLAG,
        json.dumps({"context": {"targetingKey": agent}}).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=5) as response:
        return json.load(response)["value"]


def standings(server: Running) -> set[str]:
    """How safe the records of the trips in force are."""
    request = urllib.request.Request(f"{server.control}/v1/killswitch", headers=operator(server))
    with urllib.request.urlopen(request, timeout=5) as response:
        return {trip["standing"] for trip in json.load(response)["trips"]}


def operator(server: Running) -> dict[str, str]:
    """The header of this machine's operator."""
    token = (server.folder / "journal" / "operator.token").read_text().strip()
    return {"authorization": f"Bearer {token}"}
