"""Signals: what detectors see of sealed rows. Only typed columns are read, never a payload."""

from collections.abc import Sequence
from typing import cast

import polars as pl

from pipeline.audit.arrow import Table, pa
from pipeline.audit.columns import EVENT_COLUMNS, typed_arrays
from pipeline.audit.segment import open_parquet
from pipeline.audit.store import Store
from schemas.log_entry import SegmentRef
from schemas.record import Row
from schemas.signal import SIGNAL_SCHEMA

_FROM_FILE = ["kind", *SIGNAL_SCHEMA]


def read_signals(store: Store, topic_id: str, partition: int, ref: SegmentRef) -> pl.DataFrame:
    """The event rows of a segment in row order, with the columns of SIGNAL_SCHEMA.

    Raises FileNotFoundError where the segment was replaced and deleted: refresh the log.
    """
    with store.open_segment(topic_id, partition, ref.name) as source:
        table = open_parquet(source).read(columns=_FROM_FILE)
    return _signals(table)


def signals_from_rows(rows: Sequence[Row]) -> pl.DataFrame:
    """The same frame, straight from rows that were just sealed."""
    events = [row for row in rows if row.kind == "event"]
    arrays = {
        column.name: array
        for column, array in zip(EVENT_COLUMNS, typed_arrays("", events), strict=True)
        if column.name in SIGNAL_SCHEMA
    }
    arrays["kind"] = pa.array(["event"] * len(events), pa.string())
    arrays["offset"] = pa.array([row.offset for row in events], pa.int64())
    arrays["item"] = pa.array([row.item for row in events], pa.int32())
    return _signals(pa.table(arrays))


def _signals(table: Table) -> pl.DataFrame:
    frame = cast("pl.DataFrame", pl.from_arrow(table))
    # An erased row has null typed columns: it is no signal any more.
    events = frame.filter((pl.col("kind") == "event") & pl.col("agent_id").is_not_null())
    return events.select(pl.col(name).cast(column) for name, column in SIGNAL_SCHEMA.items())
