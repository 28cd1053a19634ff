"""Detection: signals/s through all detectors together, and the memory that many agents take."""

import multiprocessing
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple

from benchmarks.report import Cost, Report, parse_arguments, peak_rss_mb, show, timed

SIGNALS_PER_SECOND = 5_000
"""Of event time: how fast the generated fleet emits."""
START_MS = 1_790_000_000_000 // 3_600_000 * 3_600_000
TOPIC_ID = "bench." + "0" * 32
OUTCOMES = {"ok": 0.95, "error": 0.04, "denied": 0.01}
KINDS = {"read": 0.4, "write": 0.1, "external": 0.05, "none": 0.45}


class Case(NamedTuple):
    """One run, in a process of its own."""

    keys: int
    batches: int
    batch_rows: int


class Outcome(NamedTuple):
    """What came of it. Memory is the process's peak, before the first signal and after the last."""

    case: Case
    cost: Cost
    before_mb: float
    peak_mb: float
    snapshot_mb: float
    findings: int

    @property
    def signals(self) -> int:
        """How many were observed."""
        return self.case.batches * self.case.batch_rows


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write build/bench-detect.json."""
    arguments = parse_arguments(__doc__, argv, rounds=3)
    report = Report("bench-detect", arguments)
    if arguments.quick:
        cases = {"small": Case(100, 2, 500)}
    else:
        cases = {"10k": Case(10_000, 40, 16_000), "100k": Case(100_000, 70, 16_000)}
    outcomes = {
        name: _median([_alone(case) for _ in range(arguments.rounds)]) for name, case in cases.items()
    }
    report.table(
        [
            "keys",
            "signals",
            "signals per CPU-s",
            "signals/s",
            "peak RSS, MB",
            "of it before, MB",
            "snapshot, MB",
        ],
        [_row(outcome) for outcome in outcomes.values()],
    )
    report.note(
        f"One polars thread; batches of {next(iter(cases.values())).batch_rows:,} signals as after a full "
        f"segment, agents drawn evenly, {SIGNALS_PER_SECOND:,} signals a second of event time, no fault "
        "planted. A key is an agent in an environment. Reading the sealed rows and the state database's "
        "transaction are not counted."
    )
    first, last = next(iter(outcomes.values())), list(outcomes.values())[-1]
    report.figures |= {
        "signals_per_s": first.signals / first.cost.cpu_s,
        "signals_per_s_100k_keys": last.signals / last.cost.cpu_s,
        "rss_mb_10k_keys": first.peak_mb,
        "rss_mb_100k_keys": last.peak_mb,
    }
    report.finish()


def _median(outcomes: list[Outcome]) -> Outcome:
    return sorted(outcomes, key=lambda o: o.cost.cpu_s)[len(outcomes) // 2]


def _alone(case: Case) -> Outcome:
    """In a fresh process, since peak memory is one of the process's life."""
    context = multiprocessing.get_context("spawn")
    os.environ["POLARS_MAX_THREADS"] = "1"  # read as polars is imported, in the child
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_observe, case).result()


def _observe(case: Case) -> Outcome:
    from pipeline.detect.config import DetectConfig
    from pipeline.detect.fold import Detection
    from pipeline.detect.model import SignalBatch

    detection = Detection(DetectConfig())
    found: list[Any] = []
    wall = cpu = before_mb = 0.0
    for number in range(case.batches):
        start = number * case.batch_rows
        batch = SignalBatch(TOPIC_ID, 0, start, start + case.batch_rows, _frame(case, number))
        before_mb = before_mb or peak_rss_mb()
        cost = timed(lambda b=batch: found.extend(detection.observe(b)))
        wall, cpu = wall + cost.wall_s, cpu + cost.cpu_s
    peak_mb = peak_rss_mb()
    snapshot_mb = len(detection.snapshot()) / 1e6
    return Outcome(case, Cost(wall, cpu), before_mb, peak_mb, snapshot_mb, len(found))


def _frame(case: Case, number: int) -> Any:
    """A batch of signals; each batch another part of the agents first, so that all of them are seen."""
    import numpy as np
    import polars as pl

    from schemas.signal import SIGNAL_SCHEMA

    count, first = case.batch_rows, number * case.batch_rows
    random = np.random.default_rng(number)
    span_ms = count * 1000 // SIGNALS_PER_SECOND
    at_ms = START_MS + number * span_ms + np.sort(random.integers(0, span_ms, count))
    in_turn = first < case.keys
    agents = (first + np.arange(count)) % case.keys if in_turn else random.integers(0, case.keys, count)
    ids = [f"{first + i:032x}" for i in range(count)]
    columns: dict[str, Any] = {
        "topic_id": [TOPIC_ID] * count,
        "partition": [0] * count,
        "offset": list(range(first, first + count)),
        "item": [0] * count,
        "source": ["bench"] * count,
        "bound": [True] * count,
        "broker_time_ms": at_ms,
        "broker_time_kind": ["append"] * count,
        "start_time_unix_nano": at_ms * 1_000_000 - 5_000_000,
        "duration_ns": [5_000_000] * count,
        "trace_id": ids,
        "span_id": [one[16:] for one in ids],
        "session_id": ids,
        "agent_id": [f"agent-{agent:06d}" for agent in agents],
        "agent_version": ["1.0"] * count,
        "environment": ["prod"] * count,
        "operation": ["execute_tool"] * count,
        "action": ["lookup_invoice"] * count,
        "action_kind": random.choice(list(KINDS), count, p=list(KINDS.values())),
        "outcome": random.choice(list(OUTCOMES), count, p=list(OUTCOMES.values())),
        "flags": [[]] * count,
        "event_hmac": [2 * one for one in ids],
    }
    known = {
        name: pl.Series(name, columns.get(name, [None] * count), dtype)
        for name, dtype in SIGNAL_SCHEMA.items()
    }
    return pl.DataFrame(known)


def _row(outcome: Outcome) -> list[str]:
    return [
        f"{outcome.case.keys:,}",
        f"{outcome.signals:,}",
        show(outcome.signals / outcome.cost.cpu_s),
        show(outcome.signals / outcome.cost.wall_s),
        show(outcome.peak_mb),
        show(outcome.before_mb),
        show(outcome.snapshot_mb),
    ]


if __name__ == "__main__":
    sys.exit(main())
