"""`make soak`: `auditfuse run` for hours at half of what one core can do; does anything grow?

One line of `build/soak.csv` every ten seconds: memory, descriptors, threads, tasks, lag, files of the store.
At the end the slope of each (the median of the slopes between pairs, which no outlier moves), and a verdict:
exit code 1 where something grows.
"""

import argparse
import asyncio
import csv
import json
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from itertools import combinations, cycle
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.cluster import Cluster, cluster
from benchmarks.looped import Looped
from benchmarks.report import ROOT, machine
from benchmarks.sealed_runs import Program, Sealed, settings, source, wait_rows

TOPIC = "soak"
PARTITIONS = 4
INTERVAL_S = 10.0
SETTLED_SHARE = 0.25
"""The first part of the time, in which memos and windows fill, is left out of the slopes."""
PAIRS = 400
"""Of so many points at most, evenly taken, all pairs are looked at."""
TICK_S = 0.02
GUESSED_PER_S = 1_000.0
KEPT = {"retention.bytes": str(256 << 20), "segment.bytes": str(64 << 20), "retention.ms": "600000"}


class Point(NamedTuple):
    """One line of the CSV."""

    seconds: float
    rss_mb: float
    open_files: int
    threads: int
    processes: int
    tasks: float
    lag_messages: float
    lag_seconds: float
    rows: int
    live_store_files: int
    """Segments and log entries."""


class Limit(NamedTuple):
    """How much a column may grow in an hour: a share of its median, or so many, whichever is more."""

    share: float
    least: float


LIMITS = {
    "rss_mb": Limit(0.05, 10),
    "open_files": Limit(0.02, 2),
    "threads": Limit(0.02, 2),
    "processes": Limit(0.0, 0.5),
    "tasks": Limit(0.02, 2),
    "lag_seconds": Limit(0.0, 5),
}


class Growth(NamedTuple):
    """What became of a column."""

    column: str
    median: float
    per_hour: float
    allowed: float

    @property
    def grows(self) -> bool:
        """Whether it grew by more than is allowed."""
        return self.per_hour > self.allowed


def main(argv: Sequence[str] | None = None) -> int:
    """Run, write the CSV, print the verdict."""
    asked = _arguments(argv)
    seconds = 4.0 if asked.quick else asked.hours * 3600
    per_s = 50.0 if asked.quick else asked.rate or _half_rate(asked.out)
    asked.out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="auditfuse-soak-", dir=asked.scratch) as folder,
        cluster(Path(folder), asked.bootstrap) as broker,
    ):
        points = _soak(Path(folder), broker, asked, seconds, per_s)
    growth = growths(points)
    _print(points, growth, per_s)
    figures = {one.column: {"median": one.median, "per_hour": one.per_hour} for one in growth}
    told = {"machine": machine(), "hours": points[-1].seconds / 3600, "events_per_s": per_s, **figures}
    (asked.out / "soak.json").write_text(json.dumps(told, indent=2) + "\n")
    return 0 if asked.quick else int(any(one.grows for one in growth))


def growths(points: Sequence[Point]) -> list[Growth]:
    """The slope of each column that has a limit, once everything has settled."""
    settled = [p for p in points if p.seconds >= SETTLED_SHARE * points[-1].seconds]
    chosen = settled[:: -(-len(settled) // PAIRS)]
    found: list[Growth] = []
    for column, limit in LIMITS.items():
        values = [(p.seconds / 3600, float(getattr(p, column))) for p in chosen]
        slopes = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(values, 2) if x2 > x1]
        middle = statistics.median(y for _, y in values)
        slope = statistics.median(slopes) if slopes else 0.0
        found.append(Growth(column, middle, slope, max(limit.share * middle, limit.least)))
    return found


def _soak(
    folder: Path, broker: Cluster, asked: argparse.Namespace, seconds: float, per_s: float
) -> list[Point]:
    topic = f"{TOPIC}-{time.time_ns()}"
    broker.load(topic, [], PARTITIONS, KEPT)
    looped = Looped("native", messages=30 if asked.quick else None)
    quick = {"redaction": {"enabled": False}, "worker": {"processes": 0}} if asked.quick else {}
    kafka = {"bootstrap_servers": broker.bootstrap, "group_id": topic}
    stop = threading.Event()
    configured = settings({"kafka": kafka, **quick}) + source(topic, "events")
    with Program(folder / "run", configured) as program:
        sending = threading.Thread(
            target=lambda: asyncio.run(_produce(broker.bootstrap, topic, looped, per_s, stop)), daemon=True
        )
        sending.start()
        sealed = Sealed(program.store, topic)
        wait_rows(program, sealed, 1)
        interval_s = 0.5 if asked.quick else INTERVAL_S
        points = list(_watched(program, sealed, seconds, interval_s, asked.out / "soak.csv"))
        stop.set()
        sending.join(30)
    return points


def _watched(
    program: Program, sealed: Sealed, seconds: float, interval_s: float, path: Path
) -> Iterator[Point]:
    """A point at every interval, written as it is made."""
    began = time.monotonic()
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Point._fields)
        while (elapsed := time.monotonic() - began) < seconds:
            program.require()
            point = _point(program, sealed, elapsed)
            writer.writerow([round(value, 1) for value in point])
            file.flush()
            yield point
            time.sleep(max(0.0, began + elapsed + interval_s - time.monotonic()))


def _point(program: Program, sealed: Sealed, elapsed: float) -> Point:
    used, metrics = program.usage(), _metrics(program.port)
    return Point(
        seconds=elapsed,
        rss_mb=used.rss_mb,
        open_files=used.open_files,
        threads=used.threads,
        processes=used.processes,
        tasks=metrics.get("auditfuse_tasks", 0.0),
        lag_messages=metrics.get("auditfuse_lag_messages", 0.0),
        lag_seconds=metrics.get("auditfuse_lag_seconds", 0.0),
        rows=sealed.look(),
        live_store_files=sum(1 for _ in program.store.rglob("*.parquet"))
        + sum(1 for _ in program.store.rglob("*.json")),
    )


def _metrics(port: int) -> dict[str, float]:
    """The sum of each metric over its labels; nothing where the server does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return {}
    found: dict[str, float] = {}
    for line in text.splitlines():
        name, _, value = line.rpartition(" ")
        if not line.startswith("#") and name:
            bare = name.partition("{")[0]
            found[bare] = found.get(bare, 0.0) + float(value)
    return found


async def _produce(bootstrap: str, topic: str, looped: Looped, per_s: float, stop: threading.Event) -> None:
    """Send at a steady rate, event times as of now, until told to stop."""
    from aiokafka import AIOKafkaProducer

    messages, partitions = looped.messages(time.time_ns()), cycle(range(PARTITIONS))
    began, events = time.perf_counter(), 0.0
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=5) as producer:
        while not stop.is_set():
            while events < (time.perf_counter() - began) * per_s:
                await producer.send(topic, next(messages), partition=next(partitions))
                events += looped.events_a_message
            await asyncio.sleep(TICK_S)


def _half_rate(out: Path) -> float:
    """Half of what `make bench` found, else a guess."""
    try:
        figures: dict[str, Any] = json.loads((out / "bench.json").read_text())
        return float(figures["events_per_s_core"]) / 2
    except (OSError, ValueError, KeyError, TypeError):
        print(f"build/bench.json has no rate: {GUESSED_PER_S:,.0f} events/s", file=sys.stderr)
        return GUESSED_PER_S


def _print(points: Sequence[Point], growth: Sequence[Growth], per_s: float) -> None:
    last = points[-1]
    print(f"### make soak\n\n{machine()}; {last.seconds / 3600:.2f} h at {per_s:,.0f} events/s.\n")
    print("| column | median | growth an hour | allowed | |\n|---|---:|---:|---:|---|")
    for one in growth:
        print(
            f"| {one.column} | {one.median:,.1f} | {one.per_hour:+,.2f} | {one.allowed:,.1f} | "
            f"{'grows' if one.grows else ''} |"
        )
    print(f"\n{last.rows:,} rows sealed; {last.live_store_files:,} files in the store at the end.")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=2.0, help="how long (default 2)")
    parser.add_argument(
        "--rate", type=float, default=None, help="events/s (default: half of build/bench.json's)"
    )
    parser.add_argument("--quick", action="store_true", help="some seconds: only shows that it works")
    parser.add_argument("--out", type=Path, default=ROOT / "build", help="where the files go")
    parser.add_argument("--scratch", type=Path, default=None, help="a folder for topic and store")
    parser.add_argument("--bootstrap", default=None, help="a broker that runs already, in place of its own")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
