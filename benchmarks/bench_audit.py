"""The audit store: what the chain adds to writing Parquet, how fast a store is verified and queried."""

import itertools
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import duckdb
import msgspec

from benchmarks.audit_memory import COMPACT_TARGET_BYTES, peak_mb
from benchmarks.many_entries import measure_opening
from benchmarks.many_rows import COMPACTED_FILE_ROWS, Timing, make_many_rows, measure_queries
from benchmarks.report import ROOT, Cost, Report, compare, median, parse_arguments, ratio, show, timed
from benchmarks.rows import TOPIC_ID, generated_rows
from benchmarks.tamper import count_tamper_cases
from pipeline import durable
from pipeline.audit.arrow import pa
from pipeline.audit.columns import CHAIN_FIELDS, EVENT_COLUMNS, segment_schema, typed_arrays
from pipeline.audit.segment import ROW_GROUP_ROWS, SEALED_LEVEL, Footer, write_parquet
from pipeline.audit.store import Store
from pipeline.audit.verify import Wanted, verify_store
from pipeline.audit.writer import PartitionWriter, new_writer_id
from pipeline.clock import system_now_ms
from schemas.record import Row

PLAIN_FIELDS = CHAIN_FIELDS[:5]
"""offset, item, kind, meta, payload: what the file holds without salts, hashes and commitments."""
SQL_THREADS = 2


class Sizes(NamedTuple):
    """How much of everything is measured."""

    segment_rows: int = 16_000
    generated_segments: int = 2
    """As many are generated; further ones repeat them at later offsets."""
    small_segments: int = 8
    large_segments: int = 64
    queried_rows: int = 10_000_000
    queried_segments: int = 1_000
    queried_group_rows: int = ROW_GROUP_ROWS
    """As many of the queried rows are generated; the others are these with other ids and times."""
    log_entries: int = 1_000_000
    bit_flips: int = 1_000
    every_attack: int = 1
    """Every so-manieth case of the tamper matrix."""


QUICK = Sizes(200, 2, 2, 4, 4_000, 4, 1_000, 4_150, 3, 15)


class Verification(NamedTuple):
    """The store, verified in each way."""

    rows: int
    megabytes: float
    every: list[Cost]
    without_columns: list[Cost]
    two: list[Cost]
    sql: list[Cost]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write build/bench-audit.json."""
    arguments = parse_arguments(__doc__, argv, rounds=3)
    report = Report("bench-audit", arguments)
    sizes = QUICK if arguments.quick else Sizes()
    rows = generated_rows(sizes.segment_rows * sizes.generated_segments)
    with tempfile.TemporaryDirectory(prefix="auditfuse-bench-") as name:
        folder = Path(name)
        appended = _append(folder, rows[: sizes.segment_rows], arguments.rounds)
        _append_table(report, appended, rows[: sizes.segment_rows])
        stores = [folder / "small", folder / "large"]
        for store, segments in zip(stores, (sizes.small_segments, sizes.large_segments), strict=True):
            _seal_all(store, itertools.islice(_segments(rows, sizes.segment_rows), segments))
        _verify_table(report, _verify(stores[1], arguments.rounds))
        _memory_table(report, stores, sizes.large_segments // sizes.small_segments)
        _query_table(report, folder, sizes, arguments.rounds)
        opening = measure_opening(folder, sizes.log_entries)
    report.figures |= {
        "open_million_entries_s": max(opening.claim_s, opening.query_s),
        "open_million_entries_without_snapshot_s": opening.claim_without_snapshot_s,
    }
    report.note(
        f"A log of {opening.entries:,} entries: a writer has claimed its partition after "
        f"{show(opening.claim_s)} s, `auditfuse sql` has counted the rows after {show(opening.query_s)} s. "
        f"Without a snapshot, every entry folded, the claim takes {show(opening.claim_without_snapshot_s)} s."
    )
    _tamper_note(report, sizes.bit_flips, sizes.every_attack)
    report.finish()


def _segments(rows: Sequence[Row], segment_rows: int) -> Iterator[list[Row]]:
    """The rows a segment at a time, then the same at later offsets, without end."""
    for turn in itertools.count():
        for start in range(0, len(rows), segment_rows):
            yield [_later(row, turn * len(rows)) for row in rows[start : start + segment_rows]]


def _later(row: Row, offsets: int) -> Row:
    """The row `offsets` further on."""
    origin = msgspec.structs.replace(row.fields.origin, offset=row.offset + offsets)
    fields = msgspec.structs.replace(row.fields, origin=origin)
    return msgspec.structs.replace(
        row, offset=row.offset + offsets, meta=msgspec.json.encode(fields), fields=fields
    )


def _append(folder: Path, rows: Sequence[Row], rounds: int) -> dict[str, list[Cost]]:
    """The same rows sealed, written as plain Parquet, and only hashed."""
    writers = iter(range(1_000_000))

    def chained() -> Cost:
        writer = _claim(folder / f"chained-{next(writers)}")
        return timed(lambda: writer.seal(rows, rows[-1].offset + 1))

    def plain() -> Cost:
        path = folder / f"plain-{next(writers)}.parquet"
        return timed(lambda: _write_plain(path, rows))

    def floor() -> Cost:
        return timed(lambda: [sha256(row.meta + row.payload).digest() for row in rows])

    return compare({"chained": chained, "plain": plain, "floor": floor}, rounds)


def _claim(root: Path) -> PartitionWriter:
    return PartitionWriter.claim(Store(root), TOPIC_ID, 0, writer_id=new_writer_id(), now_ms=system_now_ms)


def _write_plain(path: Path, rows: Sequence[Row]) -> None:
    """The same columns without the chain's, by the same writer with the same settings, synced to disk."""
    arrays = [pa.array([getattr(row, field.name) for row in rows], field.type) for field in PLAIN_FIELDS]
    names = [field.name for field in PLAIN_FIELDS] + [column.name for column in EVENT_COLUMNS]
    table = pa.Table.from_arrays([*arrays, *typed_arrays(TOPIC_ID, rows)], names=names)
    assert set(names) < set(segment_schema(TOPIC_ID).names)
    footer = Footer(
        topic_id=TOPIC_ID,
        partition=0,
        start=0,
        end=len(rows),
        epoch=1,
        kind="seal",
        prev="",
        head="",
        rows=len(rows),
        merkle_root="",
    )
    durable.write_synced(path, write_parquet(table, footer, SEALED_LEVEL), 0o440)
    durable.sync_directory(path.parent)


def _seal_all(root: Path, segments: Iterator[list[Row]]) -> None:
    writer = _claim(root)
    for rows in segments:
        writer.seal(rows, rows[-1].offset + 1)


def _verify(root: Path, rounds: int) -> Verification:
    store = Store(root)
    report = verify_store(store, workers=1)
    assert report.holds, report.faults
    sql = (ROOT / "docs" / "verify.sql").read_text()
    costs = compare(
        {
            "every": lambda: timed(lambda: verify_store(store, workers=1)),
            "links": lambda: timed(lambda: verify_store(store, Wanted(columns=False), workers=1)),
            "two": lambda: timed(lambda: verify_store(store, workers=2)),
            "sql": lambda: timed(lambda: _verify_by_sql(root, sql)),
        },
        rounds,
    )
    megabytes = report.bytes / 1e6
    return Verification(report.rows, megabytes, costs["every"], costs["links"], costs["two"], costs["sql"])


def _verify_by_sql(root: Path, sql: str) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"SET threads = {SQL_THREADS}")
        connection.execute("SET VARIABLE store = ?", [str(root)])
        faults = connection.execute(sql).fetchall()
    assert not faults, faults


def _append_table(report: Report, costs: dict[str, list[Cost]], rows: Sequence[Row]) -> None:
    report.figures |= {
        "append_vs_parquet": ratio(costs["chained"], costs["plain"]),
        "append_vs_floor": ratio(costs["chained"], costs["floor"]),
        "append_rows_per_s": len(rows) / median(costs["chained"]).cpu_s,
    }
    labels = {
        "chained": "seal: chain, Merkle tree, Parquet, log entry, all synced",
        "plain": "the same Parquet without the chain's columns, synced",
        "floor": "SHA-256 of the same bytes, nothing written",
    }
    table: list[list[str]] = []
    for name, label in labels.items():
        cost = median(costs[name])
        of_plain = ratio(costs[name], costs["plain"])
        table.append([label, show(len(rows) / cost.cpu_s), show(len(rows) / cost.wall_s), show(of_plain)])
    report.table(["appending", "rows per CPU-s", "rows/s", "times plain Parquet"], table)
    size = sum(len(row.meta) + len(row.payload) for row in rows) / len(rows)
    floor = ratio(costs["chained"], costs["floor"])
    report.note(
        f"{len(rows):,} generated rows a segment, {size:,.0f} bytes of record each. Sealing takes "
        f"{show(floor)} times the CPU of the SHA-256 floor."
    )


def _verify_table(report: Report, verified: Verification) -> None:
    rows, every, sql = verified.rows, median(verified.every), median(verified.sql)
    walls = zip(verified.every, verified.two, strict=True)
    two_cores = statistics.median(one.wall_s / two.wall_s for one, two in walls)

    def line(label: str, cost: Cost) -> list[str]:
        return [label, show(rows / cost.cpu_s), show(rows / cost.wall_s)]

    without_columns = median(verified.without_columns)
    report.table(
        ["verifying", "rows per CPU-s", "rows/s"],
        [
            line("`auditfuse verify`, every verdict, one process", every),
            line("without comparing typed columns", without_columns),
            ["every verdict, two processes", "", show(rows / median(verified.two).wall_s)],
            line(f"docs/verify.sql, DuckDB with {SQL_THREADS} threads", sql),
        ],
    )
    report.note(
        f"{rows:,} rows, {verified.megabytes:,.0f} MB of segments, in the page cache. Two processes are "
        f"{show(two_cores)} times as fast as one, starting them included."
    )
    report.figures |= {
        "verify_rows_per_s": rows / every.cpu_s,
        "verify_rows_per_s_without_columns": rows / without_columns.cpu_s,
        "verify_two_cores_ratio": two_cores,
        "sql_verify_rows_per_s": rows / sql.wall_s,
        "sql_verify_rows_per_cpu_s": rows / sql.cpu_s,
    }


def _memory_table(report: Report, stores: Sequence[Path], times: int) -> None:
    """Of a small and a large store; compacting is last, since it changes them."""
    table: list[list[str]] = []
    started = peak_mb("start", stores[0])
    for what in ("verify", "compact"):
        peaks = [peak_mb(what, store) for store in stores]
        table.append([f"`auditfuse {what}`", *(show(peak) for peak in peaks), show(started)])
        report.figures |= {f"{what}_peak_mb_small": peaks[0], f"{what}_peak_mb_large": peaks[1]}
    report.table(["peak memory", "small store, MB", "large store, MB", "of it before, MB"], table)
    report.note(
        f"The large store has {times} times the rows of the small one. One process; compaction to files of "
        f"{COMPACT_TARGET_BYTES // 1024 // 1024} MB."
    )


def _query_table(report: Report, folder: Path, sizes: Sizes, rounds: int) -> None:
    """The same rows compacted, and in a thousand segments."""
    file_rows = [COMPACTED_FILE_ROWS, -(-sizes.queried_rows // sizes.queried_segments)]
    stores = make_many_rows(folder / "many-rows", sizes.queried_rows, file_rows, sizes.queried_group_rows)
    compacted, thousand = (measure_queries(store, rounds) for store in stores)
    pairs = list(zip(compacted, thousand, strict=True))
    report.table(
        [
            f"querying {sizes.queried_rows:,} rows",
            "compacted, ms",
            f"{sizes.queried_segments:,} segments, ms",
        ],
        [[one.name, show(one.ms), show(other.ms)] for one, other in pairs],
    )
    report.note("Through the views of the catalog, wall time, files in the page cache.")
    report.figures |= {
        "query_ms_max": _most(compacted),
        "query_thousand_segments_ms_max": _most(thousand),
        "query_ms": {timing.name: timing.ms for timing in compacted},
        "query_thousand_segments_ms": {timing.name: timing.ms for timing in thousand},
    }


def _most(timings: Sequence[Timing]) -> float:
    return max(timing.ms for timing in timings)


def _tamper_note(report: Report, bit_flips: int, every_attack: int) -> None:
    count = count_tamper_cases(bit_flips, every_attack)
    report.figures |= {"tamper_cases": count.cases, "tamper_unseen": count.unseen}
    report.note(
        f"The tamper matrix: {count.cases:,} cases, {bit_flips:,} of them one flipped bit; {count.unseen} "
        "went unseen."
    )


if __name__ == "__main__":
    sys.exit(main())
