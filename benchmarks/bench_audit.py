"""The audit store: what the chain adds to writing Parquet, and how fast a store is verified."""

import sys
import tempfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import duckdb

from benchmarks.report import ROOT, Cost, Report, compare, median, parse_arguments, ratio, show, timed
from benchmarks.rows import TOPIC_ID, generated_rows
from pipeline import durable
from pipeline.audit.arrow import pa
from pipeline.audit.columns import CHAIN_FIELDS, EVENT_COLUMNS, segment_schema, typed_arrays
from pipeline.audit.segment import Footer, write_parquet
from pipeline.audit.store import Store
from pipeline.audit.verify import verify_store
from pipeline.audit.writer import PartitionWriter, new_writer_id
from pipeline.clock import system_now_ms
from schemas.record import Row

SEGMENT_ROWS = 16_000
SEGMENTS = 10
PLAIN_FIELDS = CHAIN_FIELDS[:5]
"""offset, item, kind, meta, payload: what the file holds without salts, hashes and commitments."""
SQL_THREADS = 2


class Verification(NamedTuple):
    """The store, verified in each way."""

    rows: int
    megabytes: float
    every: Cost
    without_columns: Cost
    two_processes_wall_s: float
    sql: Cost


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write build/bench-audit.json."""
    arguments = parse_arguments(__doc__, argv)
    report = Report("bench-audit", arguments)
    segment_rows, segments = (200, 2) if arguments.quick else (SEGMENT_ROWS, SEGMENTS)
    rows = generated_rows(segment_rows * segments)
    with tempfile.TemporaryDirectory(prefix="auditfuse-bench-") as folder:
        appended = _append(Path(folder), rows[:segment_rows], arguments.rounds)
        store = Path(folder) / "store"
        _seal_all(store, rows, segment_rows)
        verified = _verify(store, arguments.rounds, 1 if arguments.quick else 2)
    _append_table(report, appended, rows[:segment_rows])
    _verify_table(report, verified)
    report.figures |= {
        "append_vs_parquet": ratio(appended["chained"], appended["plain"]),
        "append_vs_floor": ratio(appended["chained"], appended["floor"]),
        "append_rows_per_s": segment_rows / median(appended["chained"]).cpu_s,
        "verify_rows_per_s": verified.rows / verified.every.cpu_s,
        "verify_rows_per_s_without_columns": verified.rows / verified.without_columns.cpu_s,
        "verify_two_processes_rows_per_s": verified.rows / verified.two_processes_wall_s,
        "sql_verify_rows_per_s": verified.rows / verified.sql.wall_s,
        "sql_verify_rows_per_cpu_s": verified.rows / verified.sql.cpu_s,
    }
    report.finish()


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
    durable.write_synced(path, write_parquet(table, footer), 0o440)
    durable.sync_directory(path.parent)


def _seal_all(root: Path, rows: Sequence[Row], segment_rows: int) -> None:
    writer = _claim(root)
    for start in range(0, len(rows), segment_rows):
        part = rows[start : start + segment_rows]
        writer.seal(part, part[-1].offset + 1)


def _verify(root: Path, rounds: int, workers: int) -> Verification:
    report = verify_store(root, workers=1)
    assert report.holds, report.faults
    sql = (ROOT / "docs" / "verify.sql").read_text()
    costs = compare(
        {
            "every": lambda: timed(lambda: verify_store(root, workers=1)),
            "links": lambda: timed(lambda: verify_store(root, columns=False, workers=1)),
            "two": lambda: timed(lambda: verify_store(root, workers=workers)),
            "sql": lambda: timed(lambda: _verify_by_sql(root, sql)),
        },
        rounds,
    )
    return Verification(
        rows=report.rows,
        megabytes=report.bytes / 1e6,
        every=median(costs["every"]),
        without_columns=median(costs["links"]),
        two_processes_wall_s=median(costs["two"]).wall_s,
        sql=median(costs["sql"]),
    )


def _verify_by_sql(root: Path, sql: str) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"SET threads = {SQL_THREADS}")
        connection.execute("SET VARIABLE store = ?", [str(root)])
        faults = connection.execute(sql).fetchall()
    assert not faults, faults


def _append_table(report: Report, costs: dict[str, list[Cost]], rows: Sequence[Row]) -> None:
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
    def line(label: str, cost: Cost) -> list[str]:
        return [label, show(verified.rows / cost.cpu_s), show(verified.rows / cost.wall_s)]

    report.table(
        ["verifying", "rows per CPU-s", "rows/s"],
        [
            line("`auditfuse verify`, every verdict, one process", verified.every),
            line("without comparing typed columns", verified.without_columns),
            ["every verdict, two processes", "", show(verified.rows / verified.two_processes_wall_s)],
            line(f"docs/verify.sql, DuckDB with {SQL_THREADS} threads", verified.sql),
        ],
    )
    report.note(
        f"{verified.rows:,} rows, {verified.megabytes:,.0f} MB of segments, in the page cache. The two "
        "processes' time includes starting them."
    )


if __name__ == "__main__":
    sys.exit(main())
