"""The last result of `auditfuse bench` on this machine, kept in the cache directory for `auditfuse run`."""

import os
from collections.abc import Collection
from pathlib import Path

import msgspec
import structlog

from pipeline.bench.advice import Advice, Costs, bound
from pipeline.config import Config

FILE = "bench.json"

log = structlog.get_logger()


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured here."""

    at_ms: int
    machine: str
    cores: int
    events: int
    costs: Costs
    advice: Advice


def keep(config: Config, result: Result) -> Path:
    """Write it; returns where. Raises OSError."""
    path = _path(config)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    path.write_bytes(msgspec.json.encode(result))
    return path


def kept(config: Config) -> Result | None:
    """The last result; None where there is none that can be read."""
    try:
        return msgspec.json.decode(_path(config).read_bytes(), type=Result)
    except (OSError, msgspec.MsgspecError):
        return None


def usable_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def tell_bound(config: Config, roles: Collection[str]) -> None:
    """Log which stage bounds this process as it is configured, where the machine was measured."""
    result = kept(config)
    if result is None or "ingest" not in roles:
        return
    found = bound(result.costs, config.worker.processes, usable_cores(), detects="detect" in roles)
    log.info(
        "bounded, by the last auditfuse bench",
        stage=found.stage,
        by=found.where,
        events_per_s=round(found.events_per_s),
        processes=config.worker.processes,
        recommended_processes=result.advice.processes,
    )


def _path(config: Config) -> Path:
    return config.store.cache / FILE
