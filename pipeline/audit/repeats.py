"""Repeats: rows that hold an event which another row holds too, so that it is counted once.

A row is a repeat where another one of the same source, trace id, span id and event digest lies within
24 hours of it by broker time and has a lower row identity. That says nothing of the order of arrival,
so it comes out the same however the rows came in. Derived span ids never repeat: they are made from
the row identity.

Found as segments are published, in a working file of the catalog's directory, which can be deleted
at any time: it is made anew from the live segments.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import duckdb

WINDOW_MS = 24 * 3_600_000
_FORGOTTEN_MS = 2 * WINDOW_MS
"""Rows are kept until two windows below the latest broker time, for partitions that run behind."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS progress (topic_id VARCHAR, "partition" INTEGER, "end" BIGINT,
    PRIMARY KEY (topic_id, "partition"));
CREATE TABLE IF NOT EXISTS seen (digest UHUGEINT, broker_time_ms BIGINT, topic_id VARCHAR,
    "partition" INTEGER, "offset" BIGINT, item INTEGER);
CREATE TABLE IF NOT EXISTS repeats (topic_id VARCHAR, "partition" INTEGER, "offset" BIGINT, item INTEGER);
"""
_FRESH = """
CREATE OR REPLACE TEMP TABLE fresh AS
SELECT md5_number(concat_ws(chr(0), source, coalesce(trace_id, ''), span_id, event_hmac)) AS digest,
    broker_time_ms, $topic_id AS topic_id, $partition::INTEGER AS "partition", "offset", item
FROM read_parquet($paths)
WHERE "offset" >= $from AND kind = 'event' AND event_hmac IS NOT NULL
  AND NOT list_contains(flags, 'span_id_derived')
"""
_FOUND = f"""
INSERT INTO repeats
WITH ranked AS (
    SELECT *, row_number() OVER (PARTITION BY digest ORDER BY topic_id, "partition", "offset", item) AS rank
    FROM seen WHERE digest IN (SELECT digest FROM fresh)
    QUALIFY count(*) OVER (PARTITION BY digest) > 1
), near AS (
    SELECT *, min(rank) OVER (PARTITION BY digest ORDER BY broker_time_ms
                              RANGE BETWEEN {WINDOW_MS} PRECEDING AND {WINDOW_MS} FOLLOWING) AS lowest
    FROM ranked
)
SELECT topic_id, "partition", "offset", item FROM near WHERE lowest < rank
EXCEPT FROM repeats
"""  # noqa: S608 (a number of ours)
"""By windows, not by pairs: an event that a sender repeats ten thousand times has a hundred million."""


class PublishedRows(NamedTuple):
    """A partition's live files, [(end, absolute path)] in order, and where its log ends."""

    topic_id: str
    partition: int
    end: int
    files: list[tuple[int, str]]


class Repeats:
    """The working file, open for one build of the catalog."""

    def __init__(self, path: Path | None) -> None:
        import duckdb

        self._connection = duckdb.connect(str(path) if path else ":memory:", config={"memory_limit": "512MB"})
        self._connection.execute(_SCHEMA)

    def __enter__(self) -> Repeats:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def add(self, partitions: Iterable[PublishedRows]) -> None:
        """Take in what was published since the last time."""
        for rows in partitions:
            self._add(rows)
        latest = "(SELECT max(broker_time_ms) FROM seen)"
        self._connection.execute(f"DELETE FROM seen WHERE broker_time_ms < {latest} - {_FORGOTTEN_MS}")  # noqa: S608 (a number of ours)

    def copy_to(self, path: Path) -> int:
        """Copy the table `repeats` into the DuckDB file at `path`; returns how many there are."""
        from pipeline.audit.views import quoted

        self._connection.execute(f"ATTACH {quoted(str(path))} AS target")
        self._connection.execute("CREATE TABLE target.repeats AS FROM repeats")
        self._connection.execute("DETACH target")
        return _count(self._connection)

    def _add(self, rows: PublishedRows) -> None:
        known = self._connection.execute(
            'SELECT "end" FROM progress WHERE topic_id = ? AND "partition" = ?',
            [rows.topic_id, rows.partition],
        ).fetchone()
        start = known[0] if known else 0
        paths = [path for end, path in rows.files if end > start]
        if rows.end <= start:
            return
        self._connection.execute("BEGIN")
        if paths:
            values = {"topic_id": rows.topic_id, "partition": rows.partition, "paths": paths, "from": start}
            self._connection.execute(_FRESH, values)
            self._connection.execute("INSERT INTO seen FROM fresh")
            self._connection.execute(_FOUND)
        self._connection.execute(
            "INSERT OR REPLACE INTO progress VALUES (?, ?, ?)", [rows.topic_id, rows.partition, rows.end]
        )
        self._connection.execute("COMMIT")


def _count(connection: duckdb.DuckDBPyConnection) -> int:
    row = connection.execute("SELECT count(*) FROM repeats").fetchone()
    return row[0] if row else 0
