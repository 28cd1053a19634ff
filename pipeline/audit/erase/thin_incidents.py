"""Which rows an incident rests on: what its findings name, and what happened in their windows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec
import numpy as np
import polars as pl
from sqlalchemy import select

from detectors.key import ALL_AGENTS
from pipeline.audit.erase.match import Mask
from pipeline.audit.store import Store
from pipeline.replay.recorded import recorded_findings
from pipeline.respond.state import StateDatabase
from pipeline.respond.tables import appends
from schemas.finding import FindingRow

MAX_WINDOW_MS = 3_600_000
"""Of a finding about a longer time only what its evidence names is kept: a rule that looks back over a month
would keep the month."""
_NS_PER_MS = 1_000_000
_OF_TRACE, _OF_SESSION = ("trace", "trace_id"), ("session", "session_id")


def findings_with_incidents(store: Store, state: StateDatabase) -> list[FindingRow]:
    """Those that are sealed, and those on their way there. Raises StateUnavailable."""
    bodies = select(appends.c.body).where(appends.c.kind == "finding")
    waiting: Sequence[bytes] = ()
    if state.schema_version() is not None:
        waiting = state.read(lambda connection: connection.scalars(bodies).all())
    # The ones on their way first: what is sealed meanwhile is read then.
    found = [msgspec.json.decode(body, type=FindingRow) for body in waiting]
    found += recorded_findings(store).findings.values()
    return [row for row in found if row.incident_id]


class Incidents:
    """Says of rows whether an incident rests on them."""

    def __init__(self, findings: Iterable[FindingRow]) -> None:
        self._traces: set[str] = set()
        self._sessions: set[str] = set()
        self._rows: set[str] = set()
        spans: dict[tuple[str, str], list[tuple[int, int]]] = {}
        for row in findings:
            finding = row.finding
            self._traces.update(_texts(row.evidence.get("traces")), _named(finding.key, _OF_TRACE))
            self._sessions.update(_texts(row.evidence.get("sessions")), _named(finding.key, _OF_SESSION))
            self._rows.update(_texts(row.evidence.get("rows")))
            if 0 <= finding.window_end_ms - finding.window_start_ms <= MAX_WINDOW_MS:
                whose = (finding.environment, finding.agent_id)
                spans.setdefault(whose, []).append((finding.window_start_ms, finding.window_end_ms))
        self._windows = {whose: _merged(found) for whose, found in spans.items()}

    def mask(self, topic_id: str, events: pl.DataFrame) -> Mask:
        """The rows of an event topic that one rests on."""
        identity = pl.format("{}/{}/{}/{}", pl.lit(topic_id), "partition", "offset", "item")
        named = events.select(
            pl.col("trace_id").is_in(list(self._traces)).fill_null(value=False)
            | pl.col("session_id").is_in(list(self._sessions)).fill_null(value=False)
            | identity.is_in(list(self._rows))
        ).to_series()
        return named.to_numpy() | self._in_windows(events)

    def _in_windows(self, events: pl.DataFrame) -> Mask:
        """By event time or append time, whichever: findings speak in either."""
        found = np.zeros(events.height, np.bool_)
        ended_ms = ((events["start_time_unix_nano"] + events["duration_ns"]) // _NS_PER_MS).to_numpy()
        stored_ms = events["broker_time_ms"].to_numpy()
        for (environment, agent), windows in self._of(events):
            whose = pl.col("environment") == environment
            if agent != ALL_AGENTS:
                whose &= pl.col("agent_id") == agent
            near = _within(windows, ended_ms) | _within(windows, stored_ms)
            found |= near & events.select(whose).to_series().to_numpy()
        return found

    def _of(self, events: pl.DataFrame) -> Iterator[tuple[tuple[str, str], np.ndarray]]:
        there = events.select("environment", "agent_id").unique().rows()
        wanted = {*there, *((environment, ALL_AGENTS) for environment, _ in there)}
        return ((whose, self._windows[whose]) for whose in wanted if whose in self._windows)


def _merged(spans: list[tuple[int, int]]) -> np.ndarray:
    """Disjoint [start, end) in order, as an array of two columns."""
    merged: list[list[int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    return np.array(merged, np.int64)


def _within(windows: np.ndarray, times: np.ndarray) -> Mask:
    place = np.searchsorted(windows[:, 0], times, "right") - 1
    return (place >= 0) & (times < windows[np.maximum(place, 0), 1])


def _texts(value: object) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []  # pyright: ignore[reportUnknownVariableType] (any JSON)


def _named(key: dict[str, str], names: tuple[str, ...]) -> list[str]:
    return [key[name] for name in names if name in key]
