"""Runs a detector's own cases through the real fold: for its tests, and for detectors that users bring."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from detectors.base import Case, Detector
from pipeline.detect.config import DetectConfig
from pipeline.detect.fold import Detection
from pipeline.detect.model import Found, SignalBatch, Trip
from schemas.command import Selector
from schemas.signal import SIGNAL_SCHEMA

CASE_START_MS = 1_790_002_800_000
"""The beginning of an hour, so that cases mean the same minutes everywhere."""
AFTERWARDS_MS = 600_000
"""Every case ends with so much idle time, so that all its minutes are judged."""
TOPIC_ID = "case." + "0" * 32

PLAIN: dict[str, Any] = {
    "topic_id": TOPIC_ID,
    "partition": 0,
    "item": 0,
    "source": "case",
    "bound": True,
    "broker_time_kind": "append",
    "duration_ns": 0,
    "agent_id": "case-agent",
    "environment": "case",
    "channel": "stable",
    "action_kind": "read",
    "status": "ok",
    "outcome": "ok",
    "scopes": [],
    "flags": [],
    "redactions": [],
}


def run_case(detector: type[Detector], case: Case, config: DetectConfig) -> list[Found]:
    """The findings of `detector` for the case's events."""
    rows, trips, last_ms = _rows(case.events)
    detection = Detection(config)
    found = detection.trips(trips)
    signals = pl.DataFrame(rows, schema=SIGNAL_SCHEMA, orient="row")
    found += detection.observe(SignalBatch(TOPIC_ID, 0, 0, len(rows), signals))
    found += detection.observe(
        SignalBatch(TOPIC_ID, 0, len(rows), len(rows), signals.clear(), last_ms + AFTERWARDS_MS)
    )
    return [f for f in found if f.finding.detector == detector.name]


def failure_of(detector: type[Detector], case: Case, config: DetectConfig) -> str | None:
    """What is wrong with the case's outcome, in one line; None where it is as stated."""
    found = run_case(detector, case, config)
    kinds = [f.finding.kind for f in found]
    if kinds != list(case.fires):
        return f"{detector.name}: {case.name}: expected {list(case.fires)}, found {kinds}"
    if any(f.finding.may_trip for f in found) != case.trips:
        return f"{detector.name}: {case.name}: expected may_trip to be {case.trips}"
    return None


def _rows(events: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], list[Trip], int]:
    timed: list[tuple[int, dict[str, Any]]] = []
    trips: list[Trip] = []
    for number, event in enumerate(events):
        fields = dict(event)
        at_ms = CASE_START_MS + int(fields.pop("at_s") * 1000)
        times, spread_s = fields.pop("times", 1), fields.pop("spread_s", 0)
        mode = fields.pop("trip", None)
        if mode is not None:
            selector = Selector(agent=PLAIN["agent_id"])
            trips.append(Trip(trip_id=f"case-{number}", selector=selector, mode=mode, served_at_ms=at_ms))
            continue
        timed += [(at_ms + int(i * spread_s * 1000 / times), fields) for i in range(times)]
    timed.sort(key=lambda row: row[0])
    rows = [_row(offset, at_ms, fields) for offset, (at_ms, fields) in enumerate(timed)]
    return rows, trips, timed[-1][0] if timed else CASE_START_MS


def _row(offset: int, at_ms: int, fields: dict[str, Any]) -> dict[str, Any]:
    """A signal with plain defaults, ids and a digest of its own."""
    digest = hashlib.sha256(f"case {offset}".encode()).hexdigest()
    start_ns = at_ms * 1_000_000 - fields.get("duration_ns", 0)
    own = {"offset": offset, "broker_time_ms": at_ms, "start_time_unix_nano": start_ns}
    # A repeat has all ids in common: a stated span stands for a stated trace.
    trace_id = digest[:32] if "span_id" not in fields else "0af7651916cd43dd8448eb211c80319c"
    return PLAIN | own | {"trace_id": trace_id, "span_id": digest[:16], "event_hmac": digest} | fields
