"""Which traces may be thinned: every row of them is looked at, over all partitions, before one is touched.

Memory: about 20 bytes a trace of the slice of time that is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import polars as pl

from pipeline.audit.arrow import ParquetFile, Table, pa
from pipeline.audit.erase.kept import Holds
from pipeline.audit.erase.live import each_live
from pipeline.audit.erase.match import Mask, columns_of
from pipeline.audit.erase.thin_incidents import Incidents
from pipeline.audit.erase.thin_rows import COLUMNS, HOLD, INCIDENT, ROUTINE, YOUNG, Rules, events_of
from pipeline.audit.log import PartitionLog
from pipeline.audit.store import APPEND_PARTITIONS, Store

PartitionKey = tuple[str, int]
GATHERED_ROWS = 4_000_000
"""So many verdicts of rows are brought together into those of their traces."""
_NOTHING = pl.DataFrame(schema={"key": pl.UInt64, "reason": pl.UInt8})


class Slice(NamedTuple):
    """A span of broker time, [from, before)."""

    from_ms: int
    before_ms: int


class Judge:
    """Says of rows what keeps them; `now_ms`, findings and holds are those of one pass."""

    def __init__(
        self,
        rules: Rules,
        incidents: Incidents,
        holds: Holds,
        seen: Mapping[PartitionKey, int],
        *,
        key: bytes,
        now_ms: int,
    ) -> None:
        """`seen`: the ends up to which detection has drawn its findings: what lies beyond waits for it."""
        self._rules = rules
        self._incidents = incidents
        self._holds = holds
        self._seen = seen
        self._key = key
        self._now_ms = now_ms

    def columns(self, topic_id: str) -> list[str]:
        """What `rows` needs; a hold may look for values in the records themselves."""
        held = columns_of(topic_id) if self._holds.any else []
        return list(dict.fromkeys([*COLUMNS, *held]))

    def rows(self, topic_id: str, table: Table) -> pl.DataFrame:
        """The events of a table with `key`, their trace's hash, and `reason`, what keeps each by itself."""
        if self._holds.any:
            table = table.append_column("held", pa.array(self._holds.mask(topic_id, table)))
        events = self._rules.judged(events_of(table, self._key), self._now_ms)
        if self._holds.any:
            events = _lowered(events, events["held"].to_numpy(), HOLD)
        events = _lowered(events, self._incidents.mask(topic_id, events), INCIDENT)
        ends = {
            partition: self._seen.get((topic_id, partition), 0) for partition in events["partition"].unique()
        }
        end = events["partition"].replace_strict(ends, return_dtype=pl.Int64).to_numpy() if ends else 0
        return _lowered(events, events["offset"].to_numpy() >= end, YOUNG)

    @property
    def holds_in_force(self) -> list[str]:
        """The ids of the holds that are heeded."""
        return self._holds.ids

    def renew(self) -> None:
        """Read the holds anew."""
        self._holds.refresh()


def _lowered(events: pl.DataFrame, where: Mask, reason: int) -> pl.DataFrame:
    lowered = np.where(where, np.minimum(events["reason"].to_numpy(), reason), events["reason"].to_numpy())
    return events.with_columns(pl.Series("reason", lowered, pl.UInt8))


Times = dict[str, tuple[int, int, int] | None]
"""By segment: the first and the last broker time and the rows, None where none is left. Read once each."""


def _times_of(file: ParquetFile) -> tuple[int, int, int] | None:
    metadata = file.metadata
    at = metadata.schema.names.index("broker_time_ms")
    found = [metadata.row_group(group).column(at).statistics for group in range(metadata.num_row_groups)]
    known = [one for one in found if one is not None and one.has_min_max]
    if not known:
        return None
    return min(one.min for one in known), max(one.max for one in known), metadata.num_rows


class Traces:
    """Reads the events of a store and judges their traces."""

    def __init__(self, store: Store, judge: Judge, times: Times, span_ms: int) -> None:
        """`span_ms`: how far apart the rows of one trace may lie."""
        self._store = store
        self._judge = judge
        self._times = times
        self._span_ms = span_ms

    def segments(self) -> list[tuple[int, int, int]]:
        """(first, last broker time, rows) of every live segment that has any, by the last time."""
        names: set[str] = set()
        for log in self._logs():
            live = log.refresh().live
            if not all(name in self._times for name in live):
                for name, bounds in each_live(log, self._bounds):
                    self._times[name] = bounds
            names |= live.keys()
        for name in self._times.keys() - names:
            del self._times[name]
        return sorted((found for found in self._times.values() if found), key=lambda one: one[1])

    def _bounds(self, name: str, file: ParquetFile) -> Iterator[tuple[str, tuple[int, int, int] | None]]:
        yield name, _times_of(file)

    def routine(self, part: Slice) -> tuple[Routine, int | None]:
        """The traces with rows in the slice that nothing keeps, and the earliest broker time in it of a row
        whose trace is only too young."""
        gathered = Gathered(part)
        for topic_id, table in self._tables(part):
            gathered.add(self._judge.rows(topic_id, table))
        return gathered.result(self._judge)

    def _logs(self) -> Iterator[PartitionLog]:
        for topic_id, partition in self._store.partitions():
            if topic_id not in APPEND_PARTITIONS:
                yield PartitionLog.open(self._store, topic_id, partition)

    def _tables(self, part: Slice) -> Iterator[tuple[str, Table]]:
        first, last = part.from_ms - self._span_ms, part.before_ms + self._span_ms
        for log in self._logs():
            columns = self._judge.columns(log.topic_id)

            def read(name: str, file: ParquetFile, columns: list[str] = columns) -> Iterator[Table]:
                bounds = self._times[name] if name in self._times else _times_of(file)
                if bounds is not None and bounds[0] < last and bounds[1] >= first:
                    for group in range(file.num_row_groups):
                        yield file.read_row_group(group, columns=columns, use_threads=False)

            for table in each_live(log, read):
                yield log.topic_id, table


class Gathered:
    """The verdicts of rows, brought together trace by trace: what keeps one row keeps its trace."""

    def __init__(self, part: Slice) -> None:
        self._part = part
        self._whole = _NOTHING
        self._parts: list[pl.DataFrame] = []
        self._inside: list[pl.DataFrame] = []
        self._rows = 0

    def add(self, rows: pl.DataFrame) -> None:
        """Rows with `key` and `reason`."""
        self._parts.append(rows.select("key", "reason"))
        inside = pl.col("broker_time_ms").is_between(self._part.from_ms, self._part.before_ms, closed="left")
        self._inside.append(
            rows.filter(inside).group_by("key").agg(pl.len().alias("rows"), pl.col("broker_time_ms").min())
        )
        self._rows += rows.height
        if self._rows > GATHERED_ROWS:
            self._bring_together()

    def result(self, judge: Judge) -> tuple[Routine, int | None]:
        """As `Traces.routine`."""
        self._bring_together()
        told = (
            self._inside[0].join(self._whole, on="key")
            if self._inside
            else _NOTHING.with_columns(rows=pl.lit(0), broker_time_ms=pl.lit(0))
        )
        counts = dict(told.group_by("reason").agg(pl.col("rows").sum()).rows())
        young = told.filter(pl.col("reason") == YOUNG)["broker_time_ms"].min()
        keys = told.filter(pl.col("reason") == ROUTINE)["key"].sort().to_numpy()
        return Routine(keys, judge, counts), None if young is None else int(young)  # type: ignore[call-overload] # a number

    def _bring_together(self) -> None:
        whole = pl.concat([self._whole, *self._parts])
        self._whole, self._parts, self._rows = whole.group_by("key").agg(pl.col("reason").min()), [], 0
        if self._inside:
            inside = pl.concat(self._inside).group_by("key")
            self._inside = [inside.agg(pl.col("rows").sum(), pl.col("broker_time_ms").min())]


class Routine:
    """The traces that lose their payloads: what an erasure chooses its rows by."""

    columns = COLUMNS

    def __init__(self, keys: np.ndarray, judge: Judge, counts: Mapping[int, int]) -> None:
        self._keys = keys
        self._judge = judge
        self.counts = counts
        """Rows of the slice by the number of what keeps their trace, or ROUTINE."""

    @property
    def traces(self) -> int:
        """How many."""
        return len(self._keys)

    def mask(self, topic_id: str, table: Table) -> Mask:
        """The rows of those traces. A row that came since, and that something keeps, is not among them."""
        numbered = table.append_column("place", pa.array(np.arange(table.num_rows)))
        events = self._judge.rows(topic_id, numbered)
        chosen = np.isin(events["key"].to_numpy(), self._keys) & (events["reason"] == ROUTINE).to_numpy()
        mask = np.zeros(table.num_rows, np.bool_)
        mask[events["place"].to_numpy()[chosen]] = True
        return mask

    def renew(self) -> None:
        """A hold was placed or lifted: those of one that is held stay from now on, row by row."""
        self._judge.renew()
