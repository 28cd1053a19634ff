"""Rows of one agent for a comparison of its versions, read from the catalog in the order of their time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from pipeline.detect.canary_report import signals_frame

if TYPE_CHECKING:
    import duckdb
    import polars as pl

CHUNK_ROWS = 50_000
_COLUMNS = (
    *("source", "bound", "broker_time_ms", "start_time_unix_nano", "duration_ns", "trace_id", "span_id"),
    *("agent_id", "agent_version", "environment", "operation", "action", "outcome"),
    *("input_tokens", "output_tokens", "event_hmac"),
)
_END = "start_time_unix_nano + duration_ns"
_ROWS = f"""
SELECT {", ".join(_COLUMNS)}, 'append' AS broker_time_kind,
    CASE WHEN agent_version = $canary THEN 'canary' ELSE 'stable' END AS channel
FROM events
WHERE agent_id = $agent AND environment = $environment AND bound AND {_END} >= $since_ns
    AND ($stable IS NULL OR agent_version IN ($canary, $stable))
ORDER BY {_END}, topic_id, "partition", "offset", item
"""  # noqa: S608 (column names of ours)
_ENVIRONMENTS = """
SELECT DISTINCT environment FROM events WHERE agent_id = $agent AND agent_version = $canary AND bound
ORDER BY environment
"""


class Asked(NamedTuple):
    """Which versions of which agent to compare."""

    agent: str
    environment: str
    canary: str
    stable: str | None
    since_ms: int


def environments_of(connection: duckdb.DuckDBPyConnection, agent: str, canary: str) -> list[str]:
    """The environments in which bound sources sent events of this version."""
    rows = connection.execute(_ENVIRONMENTS, {"agent": agent, "canary": canary}).fetchall()
    return [environment for (environment,) in rows]


def frames(connection: duckdb.DuckDBPyConnection, asked: Asked) -> Iterator[pl.DataFrame]:
    """Signals by end time; the canary's have channel `canary`, all others `stable`."""
    parameters = {
        "agent": asked.agent,
        "environment": asked.environment,
        "canary": asked.canary,
        "stable": asked.stable,
        "since_ns": asked.since_ms * 1_000_000,
    }
    result = connection.execute(_ROWS, parameters)
    names = [column[0] for column in result.description or []]
    while rows := result.fetchmany(CHUNK_ROWS):
        yield signals_frame(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))
