"""Evidence: the newest events behind a finding, and SQL that lists the rest. Never part of a finding."""

from collections import deque
from collections.abc import Sequence

import polars as pl

from detectors.base import CountingDetector
from detectors.key import ALL_AGENTS, Key

KEPT_ROWS = 50_000
SAMPLES = 5
COLUMNS = ("env", "agent", "via", "trace_id", "session_id", "topic_id", "partition", "offset", "item")


class Recent:
    """The newest rows that any detector counts, bounded. Not in snapshots: it is for people only."""

    def __init__(self, detectors: Sequence[CountingDetector]) -> None:
        self._detectors = detectors
        self._frames: deque[pl.DataFrame] = deque()
        self._rows = 0

    def add(self, rows: pl.DataFrame) -> None:
        """Rows with derived columns."""
        if not self._detectors:
            return
        hits = rows.filter(pl.any_horizontal([d.hits() for d in self._detectors]))
        if hits.is_empty():
            return
        self._frames.append(hits.select(*COLUMNS, *(d.hits().alias(d.name) for d in self._detectors)))
        self._rows += hits.height
        while self._rows > KEPT_ROWS and len(self._frames) > 1:
            self._rows -= self._frames.popleft().height

    def samples(self, key: Key, detector: str) -> dict[str, object]:
        """Up to five of the newest events: traces, sessions, row identities."""
        mine = (
            (pl.col("env") == key.environment)
            & (pl.col("agent") == key.agent_id)
            & (pl.col("via") == key.via)
        )
        parts: list[pl.DataFrame] = []
        for frame in reversed(self._frames):
            parts.append(frame.filter(mine & pl.col(detector)))
            if sum(part.height for part in parts) >= SAMPLES:
                break
        if not parts:
            return {"traces": [], "sessions": [], "rows": []}
        rows = pl.concat(parts).head(SAMPLES)
        identity = rows.select(pl.format("{}/{}/{}/{}", "topic_id", "partition", "offset", "item"))
        return {
            "traces": rows["trace_id"].drop_nulls().unique(maintain_order=True).to_list(),
            "sessions": rows["session_id"].drop_nulls().unique(maintain_order=True).to_list(),
            "rows": identity.to_series().to_list(),
        }


def look_further(key: Key, condition: str, start_ms: int, end_ms: int, *, append_time: bool) -> str:
    """A query for the catalog: the events of that key and window that meet the condition."""
    if key.via.startswith("source:"):
        whose = f"not bound and source = {_quoted(key.via.removeprefix('source:'))}"
    else:
        whose = f"environment = {_quoted(key.environment)}"
        if key.agent_id != ALL_AGENTS:
            whose += f" and agent_id = {_quoted(key.agent_id)}"
    time = "broker_time_ms" if append_time else "(start_time_unix_nano + duration_ns) // 1000000"
    order = 'order by topic_id, "partition", "offset", item'
    # Text for a person to paste: every outside string in it is quoted.
    return (
        f"select * from events where {whose} and {condition} "  # noqa: S608
        f"and {time} >= {start_ms} and {time} < {end_ms} {order}"
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
