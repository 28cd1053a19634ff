"""Kill after kill of one `auditfuse run`, with an incident of its own from either topic in each round."""

import asyncio
import itertools
import json
import signal
import time
import urllib.request
from hashlib import sha256
from pathlib import Path
from typing import Any

from support.broker import TestBroker
from support.crash import Kill, Launcher
from support.crash_checks import Sealed
from support.produce import produce, unique
from support.running import detectors_alone, free_port, write_config
from support.webhook import Webhook

REFUSALS = 22
"""More than the floor of 20 a minute: one incident an agent."""
PARTITIONS = 2
HIT_TIMEOUT_S = 60.0
QUIET_INTERVAL_S = 0.1


class Stage:
    """A folder with a configuration, and what was sent there."""

    def __init__(
        self, folder: Path, kafka: TestBroker, topic: str, webhook: Webhook, *, detect: bool = True
    ) -> None:
        self.folder = folder
        self.store = folder / "store"
        self.unsent: list[bytes] = []
        self.accepted: list[bytes] = []
        self.http_port, self.control_port = free_port(), free_port()
        folder.mkdir(exist_ok=True)
        everyone = {"agents": ["*"], "environments": ["*"], "approvals": "trusted", "format": "events"}
        write_config(
            folder,
            data_dir=".",
            store={
                "seal_interval_ms": 30,
                "compact_interval_s": 0.2,
                "compact_fan_in_files": 3,
                "superseded_grace_s": 3,
            },
            worker={"processes": 0, "idle_interval_ms": 200, "retry_interval_s": 0.1},
            redaction={"names": "off"},
            checkpoint={"interval_s": 0.2},
            topics={"partitions": 1},
            kafka={
                "bootstrap_servers": kafka.bootstrap,
                "group_id": unique("kills"),
                "group_instance_id": "one",
            },
            sources=[
                {"name": "http", "topic": "http", "kind": "local", **everyone},
                {"name": "kafka", "topic": topic, "kind": "kafka", **everyone},
            ],
            dead_letters={"topic": f"{topic}.dead-letters"},
            http={"port": self.http_port, "default_sources": ["http"]},
            killswitch={
                "port": self.control_port,
                "auto_trip": {
                    "detectors": {"auth_failure": {"mode": "enforce" if detect else "shadow", "trip": "off"}},
                    "per_fleet_hour": 10_000,
                    "max_agents_share": 1.0,
                },
            },
            detect={
                "auth_failure": {"floor": {"per_minute": 20 if detect else 1_000_000}},
                **detectors_alone("auth_failure"),
            },
            respond={"targets": [{"name": "hook", "url": webhook.url, "per_minute": 10_000}]},
        )

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.control_port}/readyz", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def log(self) -> str:
        return (self.folder / "run.log").read_text()[-4_000:]

    def holds(self, topic: str, messages: int) -> bool:
        """Whether the store holds all that was accepted, and all messages of the Kafka topic."""
        by_http = Sealed(self.store, "http").messages()
        return by_http >= len(self.accepted) and Sealed(self.store, topic).messages() == messages

    def send(self) -> bool:
        """Send what is unsent, as an exporter does; False where it was not accepted."""
        while self.unsent:
            headers = {"Content-Type": "application/json"}
            request = urllib.request.Request(
                f"http://127.0.0.1:{self.http_port}/v1/events", self.unsent[0], headers
            )
            try:
                with urllib.request.urlopen(request, timeout=5) as answer:
                    assert answer.status == 200
            except OSError:
                return False
            self.accepted.append(self.unsent.pop(0))
        return True


def event(agent: str, number: int, **changes: Any) -> dict[str, Any]:
    digest = sha256(f"{agent}/{number}".encode()).hexdigest()
    return {
        "start_time_unix_nano": time.time_ns(),
        "duration_ns": 1_000,
        "trace_id": digest[:32],
        "span_id": digest[32:48],
        "agent_id": agent,
        "agent_version": "1",
        "environment": "prod",
        "operation": "execute_tool",
        "action": "read_payroll",
        "action_kind": "read",
        "target": "hr://payroll",
        "status": "ok",
        "input": {"mail": f"{agent}.{number}@example.com"},
        **changes,
    }


def refusals(agent: str) -> list[dict[str, Any]]:
    """Enough refused authorizations for an incident."""
    refused = {"status": "error", "error_type": "PermissionDenied", "http_status": 403}
    return [event(agent, number, **refused) for number in range(REFUSALS)]


def body(events: list[dict[str, Any]]) -> bytes:
    return b"\n".join(json.dumps(one).encode() for one in events)


class Rounds:
    """Kill after kill, each with an incident of its own from either topic."""

    def __init__(self, kafka: TestBroker, topic: str, launcher: Launcher, trace: Path) -> None:
        self._kafka = kafka
        self.topic = topic
        self._launcher = launcher
        self._trace = trace
        self._numbers = itertools.count()
        self.agents: list[str] = []
        self.messages = 0

    def kill(
        self, stage: Stage, kill: Kill, *, at_stop: bool = False, timeout_s: float = HIT_TIMEOUT_S
    ) -> bool:
        """Run until it has killed itself there; False where it did not come to that."""
        self.plan(stage)
        self._launcher.start(stage.folder, kill, self._trace)
        deadline = time.monotonic() + timeout_s
        quiet_at, asked = time.monotonic(), False
        while not self._launcher.has_ended():
            is_sent = stage.send()
            if at_stop and is_sent and not asked:
                self._launcher.send(signal.SIGTERM)
                asked = True
            if is_sent and time.monotonic() > quiet_at and not asked:
                quiet_at = time.monotonic() + QUIET_INTERVAL_S
                stage.unsent.append(body([event("quiet", next(self._numbers))]))
            if time.monotonic() > deadline:
                self._launcher.end(signal.SIGKILL)
                return False
            time.sleep(0.005)
        assert self._launcher.status == -signal.SIGKILL, f"{kill}: {self._launcher.status}\n{stage.log()}"
        return True

    def plan(self, stage: Stage) -> None:
        """One incident by HTTP, one from Kafka, and a dead letter."""
        number = next(self._numbers)
        stage.unsent.append(body(refusals(f"http-{number}")))
        messages = [body([one]) for one in refusals(f"kafka-{number}")]
        asyncio.run(produce(self._kafka.bootstrap, self.topic, [*messages, b"not an event"], PARTITIONS))
        self.messages += len(messages) + 1
        self.agents += [f"http-{number}", f"kafka-{number}"]
