"""Builders of signal frames: a plain event with defaults, and batches of one partition."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Any

import polars as pl

from pipeline.detect import Detection, Found, SignalBatch
from pipeline.detect.config import DetectConfig
from schemas.signal import SIGNAL_SCHEMA

START_MS = 1_790_000_000_000 // 3_600_000 * 3_600_000
"""The beginning of an hour in 2026."""
TOPIC = "events." + "0" * 32

_numbers = count(1)


def signal(at_ms: int, **fields: Any) -> dict[str, Any]:
    """One signal that ends at `at_ms` and is appended at that moment, of a bound source."""
    number = next(_numbers)
    duration_ns = fields.get("duration_ns", 0)
    row: dict[str, Any] = {
        "source": "topic:events",
        "bound": True,
        "broker_time_ms": at_ms,
        "broker_time_kind": "append",
        "start_time_unix_nano": at_ms * 1_000_000 - duration_ns,
        "duration_ns": duration_ns,
        "trace_id": f"{number:032x}",
        "span_id": f"{number:016x}",
        "session_id": f"conv_{number // 10:024x}",
        "agent_id": "invoice-agent",
        "environment": "prod",
        "channel": "stable",
        "operation": "execute_tool",
        "action": "create_invoice",
        "action_kind": "read",
        "status": "ok",
        "outcome": "ok",
        "scopes": [],
        "flags": [],
        "redactions": [],
        "event_hmac": f"{number:064x}",
    }
    return row | fields


def signals(at_ms: int, times: int, spread_s: float = 0, **fields: Any) -> list[dict[str, Any]]:
    """`times` signals spread evenly from `at_ms` over `spread_s` seconds."""
    return [signal(at_ms + int(i * spread_s * 1000 / times), **fields) for i in range(times)]


def frame(rows: Sequence[Mapping[str, Any]], partition: int = 0, start: int = 0) -> pl.DataFrame:
    """Rows as one partition's sealed signals, offsets from `start`."""
    origin = [
        {"topic_id": TOPIC, "partition": partition, "offset": start + i, "item": 0} | dict(row)
        for i, row in enumerate(rows)
    ]
    return pl.DataFrame(origin, schema=SIGNAL_SCHEMA, orient="row")


def batch(rows: Sequence[Mapping[str, Any]], partition: int = 0, start: int = 0) -> SignalBatch:
    """A sealed batch of these rows."""
    return SignalBatch(TOPIC, partition, start, start + len(rows), frame(rows, partition, start))


def batches(rows: Sequence[Mapping[str, Any]], partition: int = 0, size: int = 500) -> list[SignalBatch]:
    """The rows of one partition, cut into batches."""
    return [batch(rows[i : i + size], partition, i) for i in range(0, len(rows), size)]


def idle(end: int, until_ms: int, partition: int = 0) -> SignalBatch:
    """An idle entry."""
    return SignalBatch(TOPIC, partition, end, end, frame([]), until_ms)


def observe_all(detection: Detection, observed: Iterable[SignalBatch]) -> list[Found]:
    """What all batches yield, in order."""
    return [found for one in observed for found in detection.observe(one)]


def detect(
    rows: Sequence[Mapping[str, Any]], config: DetectConfig | None = None, size: int = 500
) -> list[Found]:
    """What rows of one partition yield, with an idle entry ten minutes later that closes all minutes."""
    detection = Detection(config or DetectConfig())
    found = observe_all(detection, batches(rows, size=size))
    last = max((row["broker_time_ms"] for row in rows), default=START_MS)
    return found + detection.observe(idle(len(rows), last + 600_000))


def identities(found: Iterable[Found]) -> list[str]:
    """The findings' bytes that must not depend on arrival, in a fixed order."""
    import msgspec

    return sorted(msgspec.json.encode(f.finding).decode() for f in found)
