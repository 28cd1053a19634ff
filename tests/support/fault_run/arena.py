"""All that a run consists of: the cluster, the network, the workers on one store, the traffic, the pages."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.fault_run.cluster import Cluster
from support.fault_run.proxy import Door, Network
from support.fault_run.stream import Planted, messages, planted, stream
from support.fault_run.traffic import Traffic
from support.fault_run.workers import Nursery, Worker
from support.running import detectors_alone
from support.webhook import Webhook, running_webhook

from pipeline.audit.log import PartitionLog
from pipeline.audit.store import Store

TOPIC, GROUP = "agents", "auditfuse"
SESSION_S = 6.0
"""The shortest session time-out that a broker allows by default: whoever is unheard for longer is out."""
STORE_MB = 8_192
FLOORS = {"write_burst": 3.0, "auth_failure": 0.4}
"""A minute, for each event a second of all agents: above what an agent does at its usual rate, below what it
does in a planted fault."""


_CONSUMED = "select topic_id, partition, sealed_end from consumed"
_WAITING = (
    "select (select count(*) from appends) "
    "+ (select count(*) from pages where state in ('pending', 'held', 'bundled') and told_in is null)"
)


@dataclass(frozen=True)
class Plan:
    """What a run is made of."""

    seed: int
    nodes: int = 3
    workers: int = 3
    partitions: int = 8
    per_second: float = 250.0
    length_s: float = 3_600.0
    """How long there is something to produce: longer than the run."""
    plant_every_s: float = 60.0
    plant_first_s: float = 15.0
    pool_processes: int = 1
    """Of the first worker that ingests; the others prepare in a thread."""
    newer: Path | None = None
    """Another checkout, which a rolling upgrade goes to; without it, to another configuration."""


class Sealed:
    """How far each input partition is sealed, asked again and again: reads only what its logs have gained."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._logs: dict[tuple[str, int], PartitionLog] = {}

    def ends(self) -> dict[tuple[str, int], int]:
        """Offsets by topic id and partition."""
        store = Store(self._root)
        for key in store.partitions():
            if not key[0].startswith("_"):
                self._logs.setdefault(key, PartitionLog(store, *key))
        return {key: log.refresh().end for key, log in self._logs.items()}


class Arena:
    """A running whole."""

    def __init__(self, plan: Plan, folder: Path, say: Callable[[str], None]) -> None:
        self.plan, self.folder, self.say = plan, folder, say
        self.store = folder / "store"
        self.is_mounted = False
        """Whether the store has a disk of its own, which can really be full."""
        self._numbers = range(1, plan.nodes + 1)
        self.network = Network((Door(name, n) for name in self._readers for n in self._numbers), plan.seed)
        self.workers: list[Worker] = []
        """All that can run; `regulars` are meant to all the time, `ingesting` read and seal."""
        self.webhook: Webhook
        self.plants: list[Planted] = planted(plan.length_s, plan.plant_every_s, plan.plant_first_s)
        self.accepted: list[tuple[str, int, int, int]] = []
        """Gaps that were accepted: topic id, partition, from, to."""
        self.sealed = Sealed(self.store)
        self.started_ms = 0

    @contextlib.contextmanager
    def running(self) -> Iterator["Arena"]:
        """Start everything; it ends with the block."""
        with contextlib.ExitStack() as stack:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.is_mounted = stack.enter_context(_own_disk(self.store, self.folder))
            self.network.start()
            stack.callback(self.network.stop)
            doors = {
                n: {name: self.network.ports[Door(name, n)] for name in self._readers} for n in self._numbers
            }
            self.cluster = Cluster(self.folder / "kafka", doors)
            stack.callback(self.cluster.stop)
            self.cluster.start()
            for node in self.cluster.nodes:
                for name in self._readers:
                    self.network.lead(Door(name, node.number), node.inner[name])
            self.nursery = Nursery()
            stack.callback(self.nursery.close)
            self.newer = Nursery(self.plan.newer) if self.plan.newer else None
            if self.newer:
                stack.callback(self.newer.close)
            asked = Sealed(self.store)  # by the traffic's own thread
            self.traffic = Traffic(
                self.cluster.bootstrap,
                TOPIC,
                self.plan.partitions,
                self.cluster.copies,
                self.folder / "truth",
                lambda: sum(asked.ends().values()),
            )
            stack.callback(self.traffic.stop)
            self.started_ms = int(time.time() * 1000)
            self.traffic.begin(
                messages(
                    stream(
                        self.plan.seed, self.plan.per_second, self.plan.length_s, self.plants, self.started_ms
                    )
                )
            )
            self.webhook = stack.enter_context(running_webhook())
            self.ingesting = [self._worker(name, "ingest") for name in self._readers[:-1]]
            self.joiner = self._worker(self._readers[-1], "ingest")
            self.watcher = self._worker("watcher", "detect,respond,control")
            self.regulars = [*self.ingesting, self.watcher]
            self.workers = [*self.regulars, self.joiner]
            for worker in self.regulars:
                worker.start()
            yield self

    @property
    def _readers(self) -> list[str]:
        """Who reads Kafka: the last one joins now and then."""
        return [f"worker{number}" for number in range(self.plan.workers)] + ["joiner"]

    def end_cluster(self) -> None:
        """All that is left to do is to judge."""
        self.traffic.stop()
        self.cluster.stop()

    def sealed_messages(self) -> int:
        """Messages accounted for in the store."""
        return sum(self.sealed.ends().values())

    def wait(self, condition: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Wait for something that must come. Raises AssertionError where it does not, or where a part of the
        harness or a worker has ended that should not."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if self.traffic.failure is not None:
                raise self.traffic.failure
            assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
            for worker in self.workers:
                assert worker.is_running or not worker.is_meant_to_run, worker.unexpected
            time.sleep(0.1)

    def is_told(self) -> bool:
        """Whether detection has seen all that is sealed, and nothing waits to be appended or delivered."""
        return _is_told(self.watcher.folder / "state.db", self.sealed.ends())

    def wait_sealed_up(self, timeout_s: float = 180) -> None:
        """Wait until everything that was produced is in the store."""
        topic_id = self.traffic.topic_id

        def is_sealed() -> bool:
            ends = self.traffic.ends
            return all(
                self.sealed.ends().get(key, 0) >= end for key, end in ends.items() if key[0] == topic_id
            )

        self.wait(is_sealed, timeout_s, "everything sealed")

    def _worker(self, name: str, roles: str) -> Worker:
        doors = [Door(name, n) for n in self._numbers if name in self._readers]
        servers = ",".join(f"127.0.0.1:{self.network.ports[door]}" for door in doors) or "127.0.0.1:1"
        folder = self.folder / name
        sections: dict[str, Any] = {
            "data_dir": str(folder),
            "store": {"path": str(self.store), "seal_interval_ms": 500, "superseded_grace_s": 60},
            "keys": {"path": str(self.folder / "keys")},
            "kafka": {
                "bootstrap_servers": servers,
                "group_id": GROUP,
                "session_timeout_ms": int(SESSION_S * 1000),
                "heartbeat_interval_ms": 1_000,
                "request_timeout_ms": 8_000,
                "rebalance_timeout_ms": 10_000,
                "stall_timeout_s": 10.0,
                "identity_check_s": 5.0,
            },
            "sources": [
                {
                    "name": TOPIC,
                    "topic": TOPIC,
                    "kind": "kafka",
                    "format": "events",
                    "agents": ["*"],
                    "environments": ["*"],
                }
            ],
            "redaction": {"names": "off"},
            "worker": {
                "processes": self.plan.pool_processes if name == "worker0" else 0,
                "idle_interval_ms": 1_000,
                "idle_interval_max_ms": 4_000,
                "retry_interval_s": 0.5,
                "drain_timeout_s": 5.0,
            },
            "detect": {
                **detectors_alone(*FLOORS),
                **{
                    name: {"floor": {"per_minute": int(floor * self.plan.per_second)}}
                    for name, floor in FLOORS.items()
                },
            },
            "respond": {
                "targets": [{"name": "hook", "url": self.webhook.url, "per_minute": 10_000}],
                "remind_after_s": 0,
                "own_fault_after_s": 86_400,
                "backoff_max_s": 5,
            },
        }
        return Worker(name, folder, self.nursery, sections, ["--role", roles])


def _is_told(database: Path, ends: Mapping[tuple[str, int], int]) -> bool:
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        seen = {(t, p): end for t, p, end in connection.execute(_CONSUMED)}
        waiting = connection.execute(_WAITING).fetchone()[0]
    return waiting == 0 and all(seen.get(key, 0) >= end for key, end in ends.items())


@contextlib.contextmanager
def _own_disk(path: Path, folder: Path) -> Iterator[bool]:
    """A file system of its own for the store, from a file, where this user may mount one."""
    path.mkdir(parents=True, exist_ok=True)
    image = folder / "store.img"
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        yield False
        return
    with image.open("wb") as file:
        file.truncate(STORE_MB * 1024 * 1024)
    if not (_done("mkfs.ext4", "-q", "-m", "0", image) and _done("mount", "-o", "loop", image, path)):
        yield False
        return
    try:
        (path / "lost+found").rmdir()
        yield True
    finally:
        _done("umount", "--lazy", path)


def _done(*command: str | Path) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
