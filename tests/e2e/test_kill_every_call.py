"""A real SIGKILL at each write, link, fsync, append and commit of the protocol, restarts in between."""

import asyncio
import itertools
import json
import shutil
import signal
import time
import urllib.request
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from support.broker import TestBroker
from support.crash import Kill, Launcher, launching, traced
from support.crash_checks import Sealed, StoredRow, assert_sound, finding_ids, incidents, pages_of
from support.produce import create_topic, produce, unique
from support.running import free_port, wait_until, write_config
from support.webhook import Webhook, running_webhook

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]

REFUSALS = 22
"""More than the floor of 20 a minute: one incident an agent."""
PARTITIONS = 2
HIT_TIMEOUT_S = 60.0
PAST_S = 6.0
"""What a first run comes to, it comes to within this time."""
QUIET_INTERVAL_S = 0.1

FIRST_RUN = [
    ("mkdir", "journal"),
    ("mkdir", "key"),
    ("open", "key"),
    ("write", "key"),
    ("fsync", "key"),
    ("link", "key"),
    ("unlink", "key"),
    ("mkdir", "directory of topics"),
    ("mkdir", "topic being made"),
    ("open", "topic being made"),
    ("write", "topic being made"),
    ("fsync", "topic being made"),
    ("rename", "directory of topics"),
    ("fsync", "directory of topics"),
    ("mkdir", "directory of the store"),
    ("fsync", "directory of the store"),
    ("mkdir", "directory of entries"),
    ("mkdir", "directory of segments"),
    ("mkdir", "state of the sequencer"),
    ("link", "state of the sequencer"),
    ("mkdir", "directory of checkpoints"),
    ("replace", "key"),
    ("mkdir", "catalog"),
    ("commit", "appends+consumed+deliveries+findings+incidents+pages+published+schema_version+targets"),
]
"""What only a new folder sees, roughly in its order."""
AT_STOP = [("mkdir", "snapshot"), *((call, "snapshot") for call in ("open", "write", "fsync", "replace"))]
LINKED = [
    "writer claim entry",
    "seal entry",
    "idle entry",
    "append entry of _control",
    "append entry of _findings",
    "maintenance claim entry",
    "compact entry",
    "batch entry",
    "checkpoint",
    "segment of kind seal",
    "segment of kind compact",
    "segment of _control",
    "segment of _findings",
    "journal",
]
COMMITTED = [
    "consumed",
    "appends+consumed+findings+incidents+pages",
    "appends",
    "deliveries+pages+targets",
    "published",
    "consumer group",
]
ALWAYS = [
    *((call, place) for call in ("open", "write", "fsync") for place in ("staged entry", "staged segment")),
    *((call, place) for call in ("open", "write", "fsync") for place in ("journal", "topic file being made")),
    *((call, "staged checkpoint") for call in ("open", "write", "fsync", "unlink")),
    *((call, "state of the sequencer") for call in ("open", "write", "fsync", "replace")),
    ("fsync", "directory of checkpoints"),
    ("unlink", "staged entry"),
    ("unlink", "staged segment"),
    ("unlink", "segment that is not live"),
    ("unlink", "journal"),
    ("replace", "journal"),
    ("open", "producer lock"),
    ("replace", "topic file"),
    ("write", "topic file"),
    ("fsync", "topic file"),
    ("unlink", "topic file"),
    ("fsync", "directory of entries"),
    ("fsync", "directory of segments"),
    ("open", "catalog lock"),
    ("open", "catalog"),
    ("write", "catalog"),
    ("fsync", "catalog"),
    ("replace", "catalog"),
    ("send", "page"),
    ("append", "Kafka topic"),
    *(("link", place) for place in LINKED),
    *(("commit", place) for place in COMMITTED),
]
"""What every run comes to. The list is complete: any other call fails the test."""
SOMETIMES = [
    ("unlink", "catalog"),
    ("unlink", "state of the sequencer"),
    ("builtin open", "directory of the store"),
]
"""What a run comes to only after certain kills; the last: a merge is built in a file without a name."""
SEVERAL = [
    ("link", "writer claim entry"),
    ("link", "seal entry"),
    ("link", "segment of kind seal"),
    ("fsync", "directory of entries"),
    ("write", "staged entry"),
    ("fsync", "topic file"),
    ("commit", "consumed"),
]
"""Of these a later occurrence too; they come several times within a run."""
TORN = [("write", place) for place in ("staged entry", "staged segment", "topic file", "journal")]
BEFORE = [
    *(("link", place) for place in LINKED),
    *(("commit", place) for place in COMMITTED),
    ("send", "page"),
    ("replace", "topic file"),
]
PROTOCOL = {"write", "link", "fsync", "replace", "append", "commit", "send"}
"""What is killed at. The other calls are known and seen, and leave nothing durable by themselves."""
KILLS = [
    *(Kill(*one, 1, "after") for one in ALWAYS if one[0] in PROTOCOL),
    *(Kill(*one, 1, "before") for one in BEFORE),
    *(Kill(*one, 3, "after") for one in SEVERAL),
    *(Kill(*one, 1, "torn") for one in TORN),
]


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
            detect={"auth_failure": {"floor": {"per_minute": 20 if detect else 1_000_000}}},
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


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    with launching() as launcher:
        yield launcher


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with running_webhook() as webhook:
        yield webhook


def test_killed_in_its_first_run(
    tmp_path: Path, kafka: TestBroker, launcher: Launcher, webhook: Webhook
) -> None:
    topic = unique("first-kills")
    asyncio.run(create_topic(kafka.bootstrap, topic, PARTITIONS))
    trace = tmp_path / "trace"
    rounds = Rounds(kafka, topic, launcher, trace)
    stages = [Stage(tmp_path / "0", kafka, topic, webhook)]
    for one in FIRST_RUN:
        if not rounds.kill(stages[-1], Kill(*one), timeout_s=PAST_S):  # this folder is past it
            stages.append(Stage(tmp_path / str(len(stages)), kafka, topic, webhook))
            assert rounds.kill(stages[-1], Kill(*one)), f"never came to {one}"
    assert_known(trace)
    for stage in stages:
        launcher.start(stage.folder)
        wait_until(stage.send, 20, "everything is sent")
        wait_until(lambda stage=stage: stage.holds(topic, rounds.messages), 20, "everything is sealed")
        assert launcher.end(signal.SIGTERM) == 0, stage.log()
        assert_sound(stage.store)


def test_killed_at_every_call(
    tmp_path: Path, kafka: TestBroker, launcher: Launcher, webhook: Webhook
) -> None:
    topic = unique("kills")
    asyncio.run(create_topic(kafka.bootstrap, topic, PARTITIONS))
    trace = tmp_path / "trace"
    rounds = Rounds(kafka, topic, launcher, trace)
    stage = Stage(tmp_path / "killed", kafka, topic, webhook)
    for one in AT_STOP:
        assert rounds.kill(stage, Kill(*one), at_stop=True), f"never came to {one}:\n{stage.log()}"
    for kill in KILLS:
        assert rounds.kill(stage, kill), f"never came to {kill}:\n{stage.log()}"
    assert_known(trace)
    assert not set(ALWAYS) - traced(trace), "calls that the list names and no run has made"

    rounds.plan(stage)
    launcher.start(stage.folder, trace=trace)
    wait_until(stage.send, 20, "everything is sent")
    database = stage.folder / "state.db"
    wait_until(
        lambda: set(incidents(database).values()) >= refused(rounds), 60, "every agent has an incident"
    )
    wait_until(lambda: all(pages_of(webhook, database).values()), 60, "every incident is paged")
    assert launcher.end(signal.SIGTERM) == 0, stage.log()
    assert_known(trace)

    rows = assert_sound(stage.store)
    pages = pages_of(webhook, database)
    assert set(pages.values()) == {1}, pages
    assert sorted(v for v in incidents(database).values() if v.endswith("/auth_failure")) == sorted(
        refused(rounds)
    )
    found = finding_ids(stage.store)
    assert len(found) == len(set(found)) >= len(pages)
    clean = Stage(tmp_path / "clean", kafka, topic, webhook, detect=False)
    assert_same(rows, uninterrupted(clean, stage, rounds, launcher), topic)


def assert_known(trace: Path) -> None:
    """The trace holds no call that the lists do not."""
    unknown = traced(trace) - {*FIRST_RUN, *AT_STOP, *ALWAYS, *SOMETIMES}
    assert not unknown, f"calls that no list here knows, so that nothing was killed at them: {unknown}"


def refused(rounds: Rounds) -> set[str]:
    return {f"{agent}/auth_failure" for agent in rounds.agents}


def uninterrupted(clean: Stage, stage: Stage, rounds: Rounds, launcher: Launcher) -> list[StoredRow]:
    """The rows of a run of the same messages, with the same keys, that nobody kills."""
    shutil.copytree(stage.folder / "keys", clean.folder / "keys")
    clean.unsent = list(stage.accepted)
    launcher.start(clean.folder)
    wait_until(clean.send, 60, "everything is sent")
    wait_until(lambda: clean.holds(rounds.topic, rounds.messages), 60, "everything is sealed")
    assert launcher.end(signal.SIGTERM) == 0, clean.log()
    return assert_sound(clean.store)


def assert_same(rows: list[StoredRow], clean: list[StoredRow], topic: str) -> None:
    """Of Kafka row by row; of what came by HTTP, where a retry is a repeat, event by event."""
    here, there = ({row[1:4]: row.content for row in of if row.topic == topic} for of in (rows, clean))
    assert here == there
    here, there = (
        {(json.dumps({**row.meta, "origin": None}), row.payload) for row in of if row.topic == "http"}
        for of in (rows, clean)
    )
    assert here == there
