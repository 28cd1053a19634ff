"""From what stages cost to what bounds a process, and to settings that fit. Pure."""

from collections.abc import Mapping

import msgspec

POOLED = ("decode", "redact", "encode")
"""Stages that run in the processes of the pool."""
OWN = ("fetch", "chain", "write", "publish")
"""Stages of the main process, where it ingests; `detect` where it detects too."""
ENOUGH = 0.97
"""A setting that reaches so much of the best rate with less is as good."""
MB = 1024 * 1024
QUEUED_S = 2.0
"""Of messages, so many seconds should fit into a partition's queue."""
LEAST_QUEUE_BYTES, MOST_QUEUE_BYTES = 8 * MB, 64 * MB
SYNC_SHARE = 0.1
"""Of the seal's interval, at most so much is spent waiting for the disk."""
LEAST_INTERVAL_MS, MOST_INTERVAL_MS = 1_000, 5_000


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """What an event costs on this machine."""

    us: dict[str, float]
    """CPU microseconds of each stage."""
    sync_ms: float
    """Wall milliseconds until a segment and its log entry are on the disk."""
    event_bytes: float
    """Of a message, by its events."""


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """What limits a process, and to how much."""

    stage: str
    events_per_s: float
    where: str
    """Words for people: the pool, the main process, or the cores."""


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """Settings for this machine."""

    processes: int
    """worker.processes"""
    queue_bytes: int
    """worker.queue_bytes"""
    seal_interval_ms: int
    """store.seal_interval_ms"""
    bound: Bound
    """With these settings."""


def bound(costs: Costs, processes: int, cores: int, *, detects: bool) -> Bound:
    """What bounds a process that ingests with so many processes in its pool, on so many cores."""
    us = costs.us
    pool_us = sum(us.get(stage, 0.0) for stage in POOLED)
    own = (*OWN, "detect") if detects else OWN
    main_us = sum(us.get(stage, 0.0) for stage in own)
    if processes == 0:
        return _bound(us, (*POOLED, *own), 1e6 / (pool_us + main_us), "the one process, in turn")
    handed_us = us.get("hand over", 0.0)
    total_us = pool_us + main_us + handed_us
    rates = {
        "the pool's processes": processes * 1e6 / (pool_us + handed_us / 2),
        "the main process": 1e6 / (main_us + handed_us / 2),
        "the cores": cores * 1e6 / total_us,
    }
    where = min(rates, key=rates.__getitem__)
    stages = {
        "the pool's processes": POOLED,
        "the main process": (*own, "hand over"),
        "the cores": (*POOLED, *own, "hand over"),
    }[where]
    return _bound(us, stages, rates[where], where)


def _bound(us: Mapping[str, float], stages: tuple[str, ...], events_per_s: float, where: str) -> Bound:
    stage = max(stages, key=lambda name: us.get(name, 0.0))
    return Bound(stage=stage, events_per_s=events_per_s, where=where)


def advise(costs: Costs, cores: int, partitions: int, *, detects: bool) -> Advice:
    """The fewest processes that reach about the best rate, and queues and seals to go with it."""
    rates = {
        processes: bound(costs, processes, cores, detects=detects).events_per_s
        for processes in range(cores + 1)
    }
    best = max(rates.values())
    processes = min(number for number, rate in rates.items() if rate >= ENOUGH * best)
    reached = bound(costs, processes, cores, detects=detects)
    queue = QUEUED_S * reached.events_per_s * costs.event_bytes / max(1, partitions)
    interval_ms = costs.sync_ms * max(1, partitions) / SYNC_SHARE
    return Advice(
        processes=processes,
        queue_bytes=_within(_whole_mb(queue), LEAST_QUEUE_BYTES, MOST_QUEUE_BYTES),
        seal_interval_ms=_within(
            round(interval_ms / 500) * 500,
            LEAST_INTERVAL_MS,
            MOST_INTERVAL_MS,
        ),
        bound=reached,
    )


def _whole_mb(size: float) -> int:
    return -(-int(size) // MB) * MB


def _within(value: int, least: int, most: int) -> int:
    return max(least, min(most, value))
