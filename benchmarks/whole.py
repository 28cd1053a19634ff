"""The parts of `make bench`: each measures, adds a table and figures, and leaves nothing behind."""

import importlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.cluster import PARTITIONS, Cluster, Loaded, own_cores
from benchmarks.looped import Looped
from benchmarks.report import ROOT, Arguments, Report, goal, show
from benchmarks.sealed_runs import SealedRun, has_roles, sealed_run, settings, source

ONE_CORE = {"worker": {"processes": 0}}
"""One process that does everything in threads: nothing is handed between processes."""


class Load(NamedTuple):
    """Messages of one kind, for ever."""

    file: str
    unique: bool
    asked_per_s: int | None
    """Events a second asked of one core, end to end."""
    of_file: int | None = None
    """Of the file's messages, so many are looped."""


LOADS = {
    "native": Load("native", False, 4_000),
    "OTLP": Load("OTLP", False, None),
    "OTLP, full history": Load("OTLP, full history", False, 2_000),
    "native, unique text": Load("native", True, 800),
}
MOST_PER_S = {"native": 4_500, "OTLP": 4_500, "OTLP, full history": 2_400, "native, unique text": 1_000}
"""So many events are loaded for every second that a run is to take."""


class Sizes(NamedTuple):
    """How much is measured."""

    seconds: float = 60.0
    """Of each run end to end."""
    of_file: int | None = None
    stage_events: int = 10_000
    script_s: float = 30.0
    backlog_messages: int = 10_000_000
    backlog_s: float = 60.0
    latency_s: float = 60.0
    pages: int = 30
    rival_spans: int = 2_000


QUICK = Sizes(
    seconds=0.02,
    of_file=30,
    stage_events=60,
    script_s=0.5,
    backlog_messages=2_000,
    backlog_s=1.0,
    latency_s=3.0,
    pages=1,
    rival_spans=50,
)


class GrowingReport(Report):
    """A report whose figures can be saved before it is finished."""

    def save(self) -> None:
        """Write what was measured so far."""
        out = self._arguments.out
        out.mkdir(parents=True, exist_ok=True)
        (out / "bench.part.json").write_text(json.dumps(self.figures, indent=2) + "\n")


class Topic(NamedTuple):
    """A loaded topic."""

    loaded: Loaded
    events: int
    file_format: str


class Bench:
    """What all parts share."""

    def __init__(
        self, *, arguments: Arguments, sizes: Sizes, cluster: Cluster, folder: Path, rivals: bool
    ) -> None:
        self.arguments = arguments
        self.sizes = sizes
        self.cluster = cluster
        self.folder = folder
        self.rivals = rivals
        self.report = GrowingReport("bench", arguments)
        self.peak_rss_mb: list[float] = []
        self._runs = 0

    @property
    def rounds(self) -> int:
        """Medians of so many."""
        return self.arguments.rounds

    def load(self, name: str, seconds: float, topic: str) -> Topic:
        """A topic with events for so many seconds."""
        load = LOADS[name]
        looped = Looped(load.file, unique=load.unique, messages=self.sizes.of_file)
        messages = max(len(looped.templates), int(seconds * MOST_PER_S[name] / looped.events_a_message))
        sent = islice(looped.messages(), messages)
        loaded = self.cluster.load(topic, sent)
        return Topic(loaded, looped.events_in(messages), looped.format)

    def run(
        self,
        topic: Topic,
        sections: dict[str, dict[str, Any]],
        *,
        cores: int | None = 1,
        roles: str = "ingest",
    ) -> SealedRun:
        """Seal the topic, from its beginning."""
        self._runs += 1
        number = f"run-{self._runs}"
        kafka = {"bootstrap_servers": self.cluster.bootstrap, "group_id": f"bench-{os.getpid()}-{number}"}
        quick = {"redaction": {"enabled": False}} if self.arguments.quick else {}
        configured = settings({"kafka": kafka, **quick, **sections}) + source(
            topic.loaded.topic, topic.file_format
        )
        found = sealed_run(
            self.folder / number,
            configured,
            topic.loaded.topic,
            topic.events,
            cores=own_cores(cores) if cores else None,
            broker=self.cluster.pid,
            roles=roles,
        )
        self.peak_rss_mb.append(found.peak_rss_mb)
        return found

    def told(self, module: str, **asked: Any) -> dict[str, Any]:
        """What a measurement in a process of its own tells; in this one where nothing is meant."""
        if self.arguments.quick:
            return importlib.import_module(f"benchmarks.{module}").measure(asked)
        environment = dict(os.environ)
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"):
            environment[name] = "1"
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{module}", json.dumps(asked)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"benchmarks.{module} ended with {done.returncode}")
        return json.loads(done.stdout)

    @cached_property
    def native_per_s(self) -> float:
        """Events a second of one core, as measured, or a guess where that part was left out."""
        figure = self.report.figures.get("events_per_s_core")
        return float(figure) if isinstance(figure, int | float) else 1_000.0


def median_run(runs: Sequence[SealedRun]) -> SealedRun:
    """The medians of each figure for itself."""
    brokers = [run.broker_cpu_s for run in runs if run.broker_cpu_s is not None]
    return SealedRun(
        rows=int(statistics.median(run.rows for run in runs)),
        wall_s=statistics.median(run.wall_s for run in runs),
        cpu_s=statistics.median(run.cpu_s for run in runs),
        peak_rss_mb=max(run.peak_rss_mb for run in runs),
        broker_cpu_s=statistics.median(brokers) if brokers else None,
    )


def stages(bench: Bench) -> None:
    """CPU microseconds an event of each stage, alone; memory by how far a process goes."""
    names = ("fetch", "decode", "redact", "encode", "hand over", "chain", "write", "publish", "detect")
    us: dict[str, dict[str, float]] = {}
    for name in _some(bench):
        load = LOADS[name]
        looped = Looped(load.file, messages=bench.sizes.of_file)
        asked = {
            "file": load.file,
            "unique": load.unique,
            "of_file": bench.sizes.of_file,
            "file_format": looped.format,
            "messages": max(1, int(bench.sizes.stage_events / looped.events_a_message)),
            "redact": not bench.arguments.quick,
        }
        topic = bench.load(name, bench.sizes.stage_events / MOST_PER_S[name], "stages")
        kafka = {"bootstrap": bench.cluster.bootstrap, "topic": "stages"}
        fetch = bench.told("stage_costs", what="fetch", messages=topic.loaded.messages, **kafka)
        found = bench.told("stage_costs", what="stages", rounds=bench.rounds, **asked)
        if name == "native":
            bench.report.figures["sealed_bytes_an_event"] = found["sealed_bytes"] / found["events"]
        us[name] = {"fetch": fetch["fetch_us"] / looped.events_a_message, **found["us"]}
        bench.cluster.delete("stages")
    rss = _memory(bench)
    bench.report.table(
        ["CPU µs an event", *us, "RSS, MB"],
        [[stage, *(show(found[stage]) for found in us.values()), rss.get(stage, "")] for stage in names],
    )
    bench.report.note(
        "Each stage alone, over the same events, memo cold at the start. *hand over*: between two processes, "
        "both ways, where the pool has processes. RSS: peak of a process that goes so far, native events, "
        "what it was given subtracted."
    )
    bench.report.figures |= {f"stage_us {name}": found for name, found in us.items()}


def _memory(bench: Bench) -> dict[str, str]:
    if bench.arguments.quick:
        return {}
    asked = {"file": "native", "unique": False, "file_format": "events", "messages": bench.sizes.stage_events}
    upto = ("decode", "redact", "encode", "chain")
    found = {one: bench.told("stage_costs", what="memory", upto=one, **asked)["rss_mb"] for one in upto}
    bench.report.figures["stage_rss_mb"] = found
    return {stage: show(mb) for stage, mb in found.items()}


def _some(bench: Bench) -> list[str]:
    return ["native"] if bench.arguments.quick else list(LOADS)


def end_to_end(bench: Bench) -> None:
    """Kafka → sealed on one core, on each file."""
    found: dict[str, SealedRun] = {}
    megabytes: dict[str, float] = {}
    for name in _some(bench):
        topic = bench.load(name, bench.sizes.seconds, "end-to-end")
        found[name] = median_run([bench.run(topic, ONE_CORE) for _ in range(bench.rounds)])
        megabytes[name] = topic.loaded.bytes / topic.events * found[name].rows / 1e6
        bench.cluster.delete("end-to-end")
        print(f"  {name}: {found[name].per_cpu_s:.0f} events per CPU-s", file=sys.stderr, flush=True)
    bench.report.table(
        [
            "Kafka → sealed",
            "events",
            "s",
            "events/s",
            "MB/s",
            "events per CPU-s",
            "CPU µs",
            "RSS, MB",
            "Kafka, µs",
        ],
        [_end_row(name, run, megabytes[name]) for name, run in found.items()],
    )
    role = "`auditfuse run --role ingest`" if has_roles() else "`auditfuse run`"
    bench.report.note(
        f"{role} on one core (`worker.processes = 0`), Kafka on the other; {PARTITIONS} partitions, names "
        "redacted, memo cold at the start. Files are looped with fresh ids, later times and other values, "
        "so that each file's own share of repeats holds; *unique text*: no value ever comes back. From the "
        "first seal on; reading, redaction, sealing, compaction, catalog and checkpoints are in it. "
        "*Kafka*: the broker's own CPU, not counted in ours."
    )
    keys = {
        "native": "events_per_s_core",
        "OTLP": "events_per_s_core_otlp",
        "OTLP, full history": "events_per_s_core_full_history",
        "native, unique text": "events_per_s_core_unique",
    }
    bench.report.figures |= {keys[name]: run.per_cpu_s for name, run in found.items()}
    bench.report.figures |= {f"{keys[name]}_wall": run.rows / run.wall_s for name, run in found.items()}
    bench.report.table(
        ["asked of one core, events per CPU-s", "figure", "asked", ""],
        [
            goal(name, run.per_cpu_s, asked)
            for name, run in found.items()
            if (asked := LOADS[name].asked_per_s) is not None
        ],
    )


def _end_row(name: str, run: SealedRun, megabytes: float) -> list[str]:
    return [
        name,
        f"{run.rows:,}",
        show(run.wall_s),
        show(run.rows / run.wall_s),
        show(megabytes / run.wall_s),
        show(run.per_cpu_s),
        show(1e6 / run.per_cpu_s),
        show(run.peak_rss_mb),
        "" if run.broker_cpu_s is None else show(1e6 * run.broker_cpu_s / run.rows),
    ]


def beside(bench: Bench) -> None:
    """The plain script, and the sum of the floors, on the native file."""
    topic = bench.load("native", min(bench.sizes.seconds, 5.0), "beside")
    kafka = {"bootstrap": bench.cluster.bootstrap, "topic": "beside"}
    file = bench.folder / "script.duckdb"
    script = {"cpu_s": 1.0, "events": 1}  # quick: not its libraries, which take seconds to load
    if not bench.arguments.quick:
        script = bench.told("plain_script", seconds=bench.sizes.script_s, file=str(file), **kafka)
    messages = min(topic.loaded.messages, bench.sizes.stage_events)
    asked = {"file": "native", "of_file": bench.sizes.of_file, "messages": messages}
    floors = [bench.told("floors", **kafka, **asked) for _ in range(bench.rounds)]
    floor = {name: statistics.median(one[name] for one in floors) for name in floors[0]}
    bench.cluster.delete("beside")
    ours_us = 1e6 / bench.native_per_s
    script_us = 1e6 * script["cpu_s"] / script["events"]
    floor_us = sum(floor.values())
    rows = [
        ["auditfuse, Kafka → sealed", show(ours_us), "1"],
        ["plain script: aiokafka, stock Presidio, DuckDB", show(script_us), show(script_us / ours_us)],
        ["sum of the floors", show(floor_us), show(floor_us / ours_us)],
        *([f"… {name}", show(us), show(us / ours_us)] for name, us in floor.items()),
    ]
    bench.report.table(["native events", "CPU µs an event", "times ours"], rows)
    bench.report.figures |= {
        "ratio_script": script_us / ours_us,
        "ratio_floor": ours_us / floor_us,
        "script_us": script_us,
        "floor_us": floor,
    }
    bench.report.table(
        ["asked", "figure", "at least", ""], [goal("times the plain script", script_us / ours_us, 200)]
    )


PARTS: dict[str, Callable[[Bench], None]] = {"stages": stages, "end to end": end_to_end, "beside": beside}
