"""Real traces over days: no page once the detectors have learned, and planted faults are found."""

from collections.abc import Callable

import polars as pl
import pytest
from support.signals import START_MS, observe_all
from support.stretched import DAY_MS, Stream, day, more, some
from support.traces import needs_shared

from pipeline.detect import DetectConfig, Detection, Found

pytestmark = [pytest.mark.shared, needs_shared, pytest.mark.long, pytest.mark.timeout(300)]

LEARNED_DAYS, WATCHED_DAYS = 3, 3
CONFIG = DetectConfig()
FAULT_FROM_MS, FAULT_MS = 10 * 3_600_000, 4 * 3_600_000
"""Into the day after, and for how long."""
WRITE, EXTERNAL = pl.col("action_kind") == "write", pl.col("action_kind") == "external"
SECRET = pl.lit([{"key": "JWT", "value": 1}], dtype=pl.List(pl.Struct({"key": pl.String, "value": pl.Int64})))
Plant = Callable[[pl.DataFrame], pl.DataFrame]

FAULTS: dict[str, Plant] = {
    "write_burst": lambda rows: more(rows, WRITE, 9),
    "external_burst": lambda rows: more(rows, EXTERNAL, 19),
    "error_spike": lambda rows: some(rows, 0.5, [pl.lit("error").alias("outcome")]),
    "auth_failure": lambda rows: some(rows, 0.3, [pl.lit("denied").alias("outcome")]),
    "throttling": lambda rows: some(rows, 0.3, [pl.lit("throttled").alias("outcome")]),
    "latency": lambda rows: rows.with_columns(pl.col("duration_ns") * 5),
    "secret_exposure": lambda rows: some(rows, 0.3, [SECRET.alias("redactions")]),
    "action_mix": lambda rows: some(rows, 0.5, [pl.lit("list_all_airports").alias("action")]),
}


@pytest.fixture(scope="module")
def learned() -> tuple[bytes, list[Found], int]:
    """A snapshot after all days, what was found in the watched ones, and how many rows there were."""
    detection, stream = Detection(CONFIG), Stream()
    observe_all(detection, [stream.append(day(n)) for n in range(LEARNED_DAYS)])
    found = observe_all(
        detection, [stream.append(day(n)) for n in range(LEARNED_DAYS, LEARNED_DAYS + WATCHED_DAYS)]
    )
    return detection.snapshot(), found, detection.ends[next(iter(detection.ends))]


def test_no_finding_once_learned(learned: tuple[bytes, list[Found], int]) -> None:
    assert [f.finding.summary for f in learned[1]] == []


@pytest.mark.parametrize("detector", FAULTS)
def test_a_planted_fault_is_found(learned: tuple[bytes, list[Found], int], detector: str) -> None:
    detection, stream = Detection.restore(CONFIG, learned[0]), Stream(learned[2])
    last = LEARNED_DAYS + WATCHED_DAYS
    from_ms = START_MS + last * DAY_MS + FAULT_FROM_MS
    rows = day(last)
    at = pl.col("broker_time_ms")
    calm = rows.filter(at < from_ms)
    fault = FAULTS[detector](rows.filter((at >= from_ms) & (at < from_ms + FAULT_MS)))
    assert detection.observe(stream.append(calm)) == []
    found = detection.observe(stream.append(fault, from_ms + FAULT_MS + 600_000))
    assert detector in {f.finding.detector for f in found}
