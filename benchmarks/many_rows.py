"""Ten million rows to query: real segments of our schema and settings, laid out as compaction leaves them.

Rows are generated ones over and over, each time with other ids and later times. Their hashes are not made,
so such a store cannot be verified; queries do not look at hashes.
"""

import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.rows import TOPIC_ID, generated_rows
from pipeline.audit import chain
from pipeline.audit.arrow import Table, pa, pc, pq
from pipeline.audit.log import PartitionLog
from pipeline.audit.query import Query, open_catalog
from pipeline.audit.segment import (
    ROW_GROUP_ROWS,
    EventFacts,
    Footer,
    build_segment,
    segment_ref,
    write_parquet,
)
from pipeline.audit.store import Store, open_store
from schemas.log_entry import SegmentRef

COMPACTED_FILE_ROWS = 5 * ROW_GROUP_ROWS
"""About 128 MB, which is where compaction ends."""
REPEATS_A_GROUP = 7
"""Rows of each row group that keep their ids: repeats of those of the first."""
_WRITER = "0" * 32
_NS_PER_MS = 1_000_000
_RENAMED = {
    "trace_id": 0,
    "span_id": 0,
    "parent_span_id": 0,
    "session_id": 5,
    "request_id": 4,
    "event_hmac": 0,
}
"""Ids, and where in each a number of eight digits goes."""


class Timing(NamedTuple):
    """How long one query takes, in milliseconds of wall time: the median of a few."""

    name: str
    ms: float
    rows: int
    """That it returned."""


def make_many_rows(
    folder: Path, rows: int, file_rows: Sequence[int], group_rows: int = ROW_GROUP_ROWS
) -> list[Store]:
    """One store for each size of file, all with the same rows, of which `group_rows` are generated."""
    folder.mkdir(parents=True, exist_ok=True)
    base = _write_base(folder, group_rows)
    stores = [open_store(folder / f"rows-{size}") for size in file_rows]
    groups = range(0, -(-rows // group_rows))
    lots = [list(groups[first : first + 5]) for first in groups[::5]]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        made = list(
            pool.map(_write_lot, *zip(*((base, stores, file_rows, lot) for lot in lots), strict=True))
        )
    for i, store in enumerate(stores):
        _publish(store, [ref for lot in made for ref in lot[i]])
    return stores


def _write_base(folder: Path, count: int) -> Path:
    """So many generated rows; one row group, or less."""
    rows = generated_rows(count)
    prev = chain.first_prev(TOPIC_ID, 0)
    built = build_segment(TOPIC_ID, 0, rows, start=0, end=len(rows), epoch=1, kind="seal", prev=prev)
    path = folder / "base.parquet"
    path.write_bytes(built.content)
    return path


def _write_lot(
    base: Path, stores: Sequence[Store], file_rows: Sequence[int], groups: Sequence[int]
) -> list[list[SegmentRef]]:
    table = pq.read_table(base)
    lot = pa.concat_tables([_later(table, group) for group in groups])
    return [
        [_write_file(store, lot.slice(first, size)) for first in range(0, lot.num_rows, size)]
        for store, size in zip(stores, file_rows, strict=True)
    ]


def _later(table: Table, group: int) -> Table:
    """The rows with other ids, as if they had come after `group` times as many."""
    times = table.column("start_time_unix_nano")
    bounds = pc.min_max(times).as_py()
    step_ns = (bounds["max"] - bounds["min"]) // _NS_PER_MS * _NS_PER_MS
    columns = {name: table.column(name) for name in table.column_names}
    columns["offset"] = pc.add(columns["offset"], group * table.num_rows)
    columns["start_time_unix_nano"] = pc.add(times, group * step_ns)
    for name in ("broker_time_ms", "ingest_time_ms"):
        columns[name] = pc.add(columns[name], group * step_ns // _NS_PER_MS)
    for name, at in _RENAMED.items():
        renamed = pc.utf8_replace_slice(columns[name], at, at + 8, f"{group:08x}")
        kept = columns[name].slice(0, REPEATS_A_GROUP)
        columns[name] = pa.chunked_array([*kept.chunks, *renamed.slice(REPEATS_A_GROUP).chunks])
    return pa.Table.from_arrays(list(columns.values()), schema=table.schema)


def _write_file(store: Store, table: Table) -> SegmentRef:
    offsets = table.column("offset")
    start, end = offsets[0].as_py(), offsets[-1].as_py() + 1
    footer = Footer(
        topic_id=TOPIC_ID,
        partition=0,
        start=start,
        end=end,
        epoch=1,
        kind="seal",
        prev=_head(start),
        head=_head(end),
        rows=table.num_rows,
        merkle_root=_head(end),
    )
    content = write_parquet(table, footer)
    ends = pc.min_max(pc.add(table.column("start_time_unix_nano"), table.column("duration_ns"))).as_py()
    brokers = pc.max(table.column("broker_time_ms")).as_py()
    facts = EventFacts(table.num_rows, ends["min"] // _NS_PER_MS, ends["max"] // _NS_PER_MS, brokers)
    ref = segment_ref(footer, content, facts)
    store.create_segment(TOPIC_ID, 0, ref.name, content)
    return ref


def _head(offset: int) -> str:
    return sha256(offset.to_bytes(8, "big")).hexdigest() if offset else chain.first_prev(TOPIC_ID, 0).hex()


def _publish(store: Store, refs: Sequence[SegmentRef]) -> None:
    log = PartitionLog.open(store, TOPIC_ID, 0)
    entry = log.next_entry("claim", at_ms=0, writer=_WRITER, epoch=1, role="writer")
    assert log.try_append(entry)
    for ref in refs:
        assert log.try_append(log.next_entry("seal", at_ms=ref.end, writer=_WRITER, epoch=1, segment=ref))


def measure_queries(store: Store, rounds: int) -> list[Timing]:
    """The usual questions, asked through the catalog of `store`, which is built first."""
    with open_catalog(store) as query:
        bounds = _fetch(query, "SELECT min(start_time), max(start_time) FROM events")[0]
        middle = bounds[0] + (bounds[1] - bounds[0]) / 2
        rare = (
            "SELECT trace_id FROM events WHERE start_time >= TIMESTAMP '{}' AND trace_id IS NOT NULL LIMIT 1"
        )
        trace_id = _fetch(query, rare.format(middle))[0][0]
        return [_timing(query, name, sql, rounds) for name, sql in _questions(middle, trace_id)]


def _questions(middle: Any, trace_id: str) -> Iterator[tuple[str, str]]:
    yield "count", "SELECT count(*) FROM events"
    yield (
        "errors per agent and minute in an hour",
        "SELECT environment, agent_id, minute, errors FROM agents_by_minute WHERE errors > 0 "
        f"AND minute >= TIMESTAMP '{middle}' AND minute < TIMESTAMP '{middle}' + INTERVAL 1 HOUR",
    )
    yield (
        "top tools with p95",
        "SELECT action, count(*) AS calls, quantile_cont(duration_ms, 0.95) FROM events "
        "GROUP BY action ORDER BY calls DESC LIMIT 10",
    )
    yield "one trace by id", f"SELECT * FROM events WHERE trace_id = '{trace_id}' ORDER BY start_time"


def _timing(query: Query, name: str, sql: str, rounds: int) -> Timing:
    found = _fetch(query, sql)
    return Timing(name, statistics.median(_ms(lambda: _fetch(query, sql)) for _ in range(rounds)), len(found))


def _fetch(query: Query, sql: str) -> list[Any]:
    return [row for result in query.run(sql) for row in result.fetchall()]


def _ms(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return 1000 * (time.perf_counter() - started)
