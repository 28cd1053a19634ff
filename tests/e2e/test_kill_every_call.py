"""A real SIGKILL at each write, link, fsync, append and commit of the protocol, restarts in between."""

import json
import signal
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from support.broker import TestBroker
from support.crash import Kill, Launcher
from support.produce import unique
from support.running import free_port, write_config
from support.webhook import Webhook

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

REFUSALS = 22
"""More than the floor of 20 a minute: one incident an agent."""
PARTITIONS = 2
AFTER, BEFORE, TORN = "after", "before", "torn"

FIRST_RUN: dict[tuple[str, str], tuple[str, ...]] = {}
EVERY_RUN: dict[tuple[str, str], tuple[str, ...]] = {}
AT_STOP: dict[tuple[str, str], tuple[str, ...]] = {}


class Stage:
    """A folder with a configuration, and what was sent there."""

    def __init__(self, folder: Path, kafka: TestBroker, topic: str, webhook: Webhook) -> None:
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
            store={"seal_interval_ms": 30, "compact_interval_s": 0.3, "compact_fan_in_files": 4},
            worker={"processes": 0, "idle_interval_ms": 200, "retry_interval_s": 0.1},
            redaction={"names": "off"},
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
                    "detectors": {"auth_failure": {"mode": "enforce", "trip": "off"}},
                    "per_fleet_hour": 10_000,
                    "max_agents_share": 1.0,
                },
            },
            respond={"targets": [{"name": "hook", "url": webhook.url, "per_minute": 10_000}]},
        )

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.control_port}/readyz", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

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


def refusals(agent: str) -> list[dict[str, Any]]:
    now_ns = time.time_ns()
    return [
        {
            "start_time_unix_nano": now_ns + number,
            "duration_ns": 1_000,
            "trace_id": f"{hash(agent) & (2**128 - 1):032x}",
            "span_id": f"{hash((agent, number)) & (2**64 - 1):016x}",
            "agent_id": agent,
            "agent_version": "1",
            "environment": "prod",
            "operation": "execute_tool",
            "action": "read_payroll",
            "action_kind": "read",
            "target": "hr://payroll",
            "status": "error",
            "error_type": "PermissionDenied",
            "http_status": 403,
            "input": {"mail": f"{agent}.{number}@example.com"},
        }
        for number in range(REFUSALS)
    ]


def body(events: list[dict[str, Any]]) -> bytes:
    return b"\n".join(json.dumps(event).encode() for event in events)


def until_killed(launcher: Launcher, stage: Stage, kill: Kill, *, stop: bool = False) -> None:
    """Let it run, sending, until it kills itself."""
    deadline = time.monotonic() + 20
    stopped = False
    while not launcher.has_ended():
        sent = stage.send()
        if stop and sent and not stopped and stage.is_ready():
            launcher.send(signal.SIGTERM)
            stopped = True
        if time.monotonic() > deadline:
            raise AssertionError(
                f"it never came to {kill}:\n{(stage.folder / 'run.log').read_text()[-3000:]}"
            )
        time.sleep(0.01)
    assert launcher.status == -signal.SIGKILL, (
        f"{kill}: ended with {launcher.status}:\n{(stage.folder / 'run.log').read_text()[-3000:]}"
    )
