"""A canary against the stable version over rows of the store: the detector's own comparison, told in full."""

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec
import polars as pl

from detectors.canary import Canary, Compared, Verdict
from detectors.latency import Latency
from detectors.window import MINUTE_MS
from pipeline.detect.calls import Calls
from pipeline.detect.columns import derive
from pipeline.detect.config import DetectConfig
from pipeline.detect.slots import Slots
from pipeline.detect.slow_calls import SlowCalls
from pipeline.detect.trials import BLOCK_MINUTES, Trial, Trials
from schemas.signal import SIGNAL_SCHEMA

FAR_LATE_MS = 10**15
"""Rows come in the order of their own time: none of them is late."""


class CanaryReport(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict, and what it stands on."""

    environment: str
    agent_id: str
    canary: str
    stable: str | None
    """None: every other version."""
    verdict: Verdict
    reached_at: str | None
    """When the verdict was first reached (UTC): what was once shown stays shown."""
    needed_log10_e: float
    """Evidence from which something counts as shown."""
    compared: list[Compared]


def compare(
    frames: Iterable[pl.DataFrame], config: DetectConfig, named: tuple[str, str, str, str | None], now_ms: int
) -> CanaryReport:
    """Compare over `frames`: signals of one agent and environment by end time, those of the canary with
    channel `canary`. `named`: environment, agent, canary, stable."""
    trials = Trials(Canary(config.canary))
    slots = Slots(config.max_keys)
    calls = Calls([SlowCalls(Latency(config.latency)), trials], slots, config.max_pending)
    for frame in frames:
        # Which rows they are of is not asked for here, and a frame needs it to be of one partition.
        placed = frame.with_columns(
            pl.col("topic_id").fill_null(""), pl.col("partition", "offset", "item").fill_null(0)
        )
        rows = derive(placed, None, FAR_LATE_MS)
        if rows.height:
            slots.meet(rows)
            calls.add(rows)
            calls.close(int(rows["minute"].min()))  # pyright: ignore[reportArgumentType] (of integers)
    calls.close(now_ms // MINUTE_MS + 1)
    trial = next(iter(trials.trials.values()), None)
    if trial is not None and (trial.block + 1) * BLOCK_MINUTES * MINUTE_MS <= now_ms:
        trial.end_block(trials.detector, now_ms // MINUTE_MS)
    return _report(trials.detector, trial, named)


def signals_frame(columns: dict[str, list[object]]) -> pl.DataFrame:
    """A frame of SIGNAL_SCHEMA from some of its columns; the others are null."""
    height = len(next(iter(columns.values())))
    return pl.DataFrame(
        [pl.Series(name, columns.get(name, [None] * height), dtype) for name, dtype in SIGNAL_SCHEMA.items()]
    )


def _report(detector: Canary, trial: Trial | None, named: tuple[str, str, str, str | None]) -> CanaryReport:
    environment, agent_id, canary, stable = named
    verdict: Verdict = trial.verdict if trial else "not yet"
    minute = trial.reached.get(verdict) if trial else None
    at = datetime.fromtimestamp(minute * MINUTE_MS / 1000, UTC).isoformat() if minute is not None else None
    return CanaryReport(
        environment=environment,
        agent_id=agent_id,
        canary=canary,
        stable=stable,
        verdict=verdict,
        reached_at=at,
        needed_log10_e=detector.needed_log10_e,
        compared=trial.compared(detector) if trial else [],
    )
