"""Runs a detector's own cases through the real fold: for its tests, and for detectors that users bring."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from detectors.base import Case, Detector
from detectors.policy import Policy
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
CASE_KEYS = ("at_s", "times", "spread_s", "trip")
"""What a case's event says besides columns of a signal."""

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


class CaseFailure(NamedTuple):
    """What is wrong with a detector or with the outcome of one of its cases."""

    detector: str
    case: str | None
    """None: the detector itself is incomplete."""
    why: str


def failures_of(detector: type[Detector], config: DetectConfig) -> list[CaseFailure]:
    """What is wrong with a detector by its own cases: outcomes, and cases that are missing."""
    found: list[CaseFailure] = []
    unknown = sorted(set(detector.needs) - set(SIGNAL_SCHEMA))
    if unknown:
        found.append(CaseFailure(detector.name, None, f"needs names no signal column: {', '.join(unknown)}"))
    if not any(case.fires for case in detector.cases):
        found.append(CaseFailure(detector.name, None, "it has no case that fires"))
    if all(case.fires for case in detector.cases):
        found.append(CaseFailure(detector.name, None, "it has no case that stays quiet"))
    for case in detector.cases:
        keys = {key for event in case.events for key in event}
        unknown = sorted(keys - set(SIGNAL_SCHEMA) - set(CASE_KEYS))
        why = failure_of(detector, case, config) if not unknown else f"signals have no {', '.join(unknown)}"
        if why is not None:
            found.append(CaseFailure(detector.name, case.name, why))
    return found


def run_case(detector: type[Detector], case: Case, config: DetectConfig) -> list[Found]:
    """The findings of `detector` for the case's events, and that it has failed, where it has."""
    rows, trips, last_ms = _rows(case.events)
    if case.policy:
        config = config.model_copy(update={"policy": Policy.model_validate(case.policy)})
    detection = Detection(config)
    found = detection.trips(trips)
    signals = pl.DataFrame(rows, schema=SIGNAL_SCHEMA, orient="row")
    found += detection.observe(SignalBatch(TOPIC_ID, 0, 0, len(rows), signals))
    found += detection.observe(
        SignalBatch(TOPIC_ID, 0, len(rows), len(rows), signals.clear(), last_ms + AFTERWARDS_MS)
    )
    failed = [f for f in found if f.finding.key.get("failed") == detector.name]
    return failed or [f for f in found if f.finding.detector == detector.name]


def failure_of(detector: type[Detector], case: Case, config: DetectConfig) -> str | None:
    """What is wrong with the case's outcome, in one line; None where it is as stated."""
    found = run_case(detector, case, config)
    kinds = [f.finding.kind for f in found]
    if any("failed" in f.finding.key for f in found):
        return found[0].finding.summary
    if kinds != list(case.fires):
        return f"expected {_listed(case.fires)}, found {_listed(kinds)}"
    if any(f.finding.may_trip for f in found) != case.trips:
        return f"expected that {'one' if case.trips else 'none'} may trip, and it is otherwise"
    return None


def _listed(kinds: Sequence[str]) -> str:
    return ", ".join(kinds) or "nothing"


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
