"""A deployment of several processes on one shared store, and one process that does all of it alone."""

import hashlib
import json
import secrets
from pathlib import Path
from typing import Any

import msgspec
from pydantic import SecretStr
from support.running import Running, detectors_alone, free_port, write_config
from support.service import kafka, source
from support.webhook import Webhook

from pipeline.audit.control import read_rows
from pipeline.audit.log import PartitionLog
from pipeline.audit.store import FINDINGS, Store
from pipeline.generate.faults import Fault
from pipeline.generate.stream import StreamConfig, fleet, generate, native_json
from pipeline.respond.config import StateConfig
from pipeline.respond.state import StateDatabase
from pipeline.signals_topic.shard import all_shards
from schemas.finding import FindingRow

DETECTORS = ("auth_failure", "write_burst", "error_spike", "shared_dependency", "runaway_session")
LEARNS_FAST = {
    "learning_minutes": 4,
    "learning_hours": 0,
    "learning_events": 40,
    "page_at": 100.0,
    "trip_at": 1000.0,
}
SHARDS = 3
"""Two of the agents, one of the fleet."""
PEER_TOKEN = secrets.token_urlsafe(32)
TRIPPED = "agent-002"
MINUTES = 10
FAILING = [f"agent-{n:03d}" for n in range(3, 10)]


def stream(start_ms: int) -> list[bytes]:
    """Ten agents: one writes too much, one is refused, and several fail at once at what they share."""
    faults = [
        Fault("write_burst", "agent-001", 360, 60, 20.0),
        Fault("auth_failure", TRIPPED, 360, 60, 50.0),
        *(Fault("error_spike", name, 400, 120, 60.0) for name in FAILING),
    ]
    config = StreamConfig(
        seed=4, agents=fleet(10, 40.0), start_ms=start_ms, length_s=MINUTES * 60, faults=faults
    )
    return [native_json(event) for event in generate(config)]


def sections(
    folder: Path, store: Path, bootstrap: str, topic: str, group: str, webhook: Webhook
) -> dict[str, Any]:
    """What all processes have in common: everything that is found depends on the messages alone."""
    detect = detectors_alone(*DETECTORS) | {"error_spike": {"statistic": LEARNS_FAST}}
    return {
        "data_dir": str(folder),
        "store": {"path": str(store), "seal_interval_ms": 400},
        "keys": {"path": str(store.parent / "keys")},
        "checkpoint": {"enabled": False},
        "kafka": kafka(bootstrap, group),
        "sources": [source(topic)],
        "detect": detect,
        "respond": {
            "targets": [{"name": "hook", "url": webhook.url, "per_minute": 600}],
            "agent_pages_together_s": 0,
            "backoff_first_s": 0.2,
            "backoff_max_s": 0.5,
        },
        "redaction": {"enabled": False},
        # No idle entry: they tell of the time at which a process looked, which is another in every run.
        "worker": {"processes": 0, "idle_interval_ms": 3_600_000},
    }


def killswitch(port: int, **options: Any) -> dict[str, Any]:
    """Trips by itself."""
    return {
        "port": port,
        "auto_trip": {
            "detectors": {"auth_failure": {"mode": "enforce", "trip": "off"}},
            "max_agents_share": 1.0,
            "per_fleet_hour": 10,
        },
        **options,
    }


class Deployment:
    """Two ingest, two detect and two respond processes, and one that serves the kill switch."""

    def __init__(
        self, folder: Path, bootstrap: str, topic: str, signals: str, database: str, webhook: Webhook
    ) -> None:
        self._folder, self._bootstrap, self._topic = folder, bootstrap, topic
        self._signals, self._database, self._webhook = signals, database, webhook
        self.store = folder / "store"
        self.port = free_port()
        peer = {"name": "detect", "role": "peer", "sha256": hashlib.sha256(PEER_TOKEN.encode()).hexdigest()}
        self.control = self._member("control", "control", tokens=[peer], port=self.port)
        towards = [{"url": f"http://127.0.0.1:{self.port}", "token_env": "PEER_TOKEN"}]
        self.detect = [self._member(f"detect-{n}", "detect", peers=towards) for n in "ab"]
        self.respond = [self._member(f"respond-{n}", "respond") for n in "ab"]
        self.ingest = [self._member(f"ingest-{n}", "ingest") for n in "ab"]

    def is_detected(self) -> bool:
        """Whether every shard has seen everything that is sealed."""
        shards = [shard.name for shard in all_shards(SHARDS)]
        return consumed(self._database, shards) == [ends(self.store)] * SHARDS

    @property
    def members(self) -> list[Running]:
        return [self.control, *self.detect, *self.respond, *self.ingest]

    def _member(self, name: str, role: str, port: int | None = None, **options: Any) -> Running:
        own = self._folder / name
        own.mkdir()
        port = port or free_port()
        shared = sections(
            own, self.store, self._bootstrap, self._topic, f"group-{self._topic}", self._webhook
        )
        write_config(
            own,
            **shared,
            state={"url": self._database, "migrate": True},
            signals={"topic": self._signals, "partitions": SHARDS, "sweep_s": 1.0},
            killswitch=killswitch(port, **options),
        )
        return Running(own, port, {"PEER_TOKEN": PEER_TOKEN}, arguments=("--role", role))

    def active(self) -> Running:
        """The member that responds: it says no word of standing by."""
        return next(one for one in self.respond if "stands by" not in one.log())


def consumed(url: str, shards: list[str]) -> list[dict[tuple[str, int], int]]:
    """How far each shard has come, by the state database."""
    state = StateDatabase(StateConfig(url=SecretStr(url)))
    try:
        return [state.sealed_ends(shard) for shard in shards]
    finally:
        state.close()


def ends(store: Path) -> dict[tuple[str, int], int]:
    """Where each partition's newest segment ends."""
    opened = Store(store)
    logs = {key: PartitionLog.open(opened, *key) for key in opened.partitions() if not key[0].startswith("_")}
    return {
        key: max(segment.end for segment in log.state.live.values())
        for key, log in logs.items()
        if log.state.live
    }


class Alone:
    """One process with every role, on a store of its own."""

    def __init__(self, folder: Path, bootstrap: str, topic: str, webhook: Webhook) -> None:
        folder.mkdir()
        self.store = folder / "store"
        port = free_port()
        shared = sections(folder, self.store, bootstrap, topic, f"alone-{topic}", webhook)
        # The same keys: what is redacted is redacted alike.
        write_config(folder, **shared, killswitch=killswitch(port))
        self._database = f"sqlite:///{folder / 'state.db'}"
        self.server = Running(folder, port)

    def is_detected(self) -> bool:
        """Whether everything that is sealed was seen."""
        return consumed(self._database, ["all"]) == [ends(self.store)]


def findings(store: Path) -> dict[str, bytes]:
    """Id → bytes of the finding, as `_findings` has them; each once, or this fails."""
    found: dict[str, bytes] = {}
    for row in read_rows(Store(store), FINDINGS):
        if row.meta is not None and msgspec.json.decode(row.meta, type=dict[str, Any])["kind"] == "finding":
            one = msgspec.json.decode(row.meta, type=FindingRow)
            if one.finding.agent_id != "auditfuse":
                assert one.id not in found, one.id
                found[one.id] = msgspec.json.encode(one.finding)
    return found


def pages(webhook: Webhook) -> set[str]:
    """The dedup keys of the pages of agents, but of those whose failures a shared cause explains: which of
    them are told before the cause is, and which as a part of it, is a matter of moments."""
    titles = {key: page["title"] for key, page in webhook.by_dedup_key.items()}
    explained = ("auditfuse", *FAILING)
    return {key for key, title in titles.items() if not any(f"{name} " in title for name in explained)}


def is_enabled(control: Running, agent: str) -> bool:
    """What the kill switch answers an agent."""
    import urllib.request

    request = urllib.request.Request(
        f"{control.control}/ofrep/v1/evaluate/flags/agent.enabled",
        json.dumps({"context": {"targetingKey": agent}}).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=5) as response:
        return bool(json.load(response)["value"])
