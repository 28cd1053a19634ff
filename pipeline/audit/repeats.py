"""Repeats: rows that hold an event which another row holds too, so that it is counted once.

A row is a repeat where another one of the same source, trace id, span id and event digest lies within
24 hours of it by broker time and has a lower row identity. That says nothing of the order of arrival,
so it comes out the same however the rows came in. Derived span ids never repeat: they are made from
the row identity.

Found as segments are published, in a working file of the catalog's directory, which can be deleted
at any time: it is made anew from the live segments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
CREATE TABLE IF NOT EXISTS seen (low UBIGINT, high UBIGINT, broker_time_ms BIGINT, topic_id VARCHAR,
    "partition" INTEGER, "offset" BIGINT, item INTEGER);
CREATE TABLE IF NOT EXISTS repeats (topic_id VARCHAR, "partition" INTEGER, "offset" BIGINT, item INTEGER);
"""
_FRESH = """
INSERT INTO fresh
SELECT (digest & 18446744073709551615)::UBIGINT, (digest >> 64)::UBIGINT,
    broker_time_ms, $topic_id AS topic_id, $partition::INTEGER AS "partition", "offset", item
FROM (SELECT *, md5_number(concat_ws(chr(0), source, coalesce(trace_id, ''), span_id, event_hmac)) AS digest
      FROM read_parquet($paths))
WHERE "offset" >= $from AND kind = 'event' AND event_hmac IS NOT NULL
  AND NOT list_contains(flags, 'span_id_derived')
"""
_FOUND = f"""
INSERT INTO repeats
WITH ranked AS (
    SELECT *,
        row_number() OVER (PARTITION BY low, high ORDER BY topic_id, "partition", "offset", item) AS rank
    FROM seen WHERE low IN (SELECT low FROM fresh)
    QUALIFY count(*) OVER (PARTITION BY low, high) > 1
), near AS (
    SELECT *, min(rank) OVER (PARTITION BY low, high ORDER BY broker_time_ms
                              RANGE BETWEEN {WINDOW_MS} PRECEDING AND {WINDOW_MS} FOLLOWING) AS lowest
    FROM ranked
)
SELECT topic_id, "partition", "offset", item FROM near WHERE lowest < rank
EXCEPT FROM repeats
"""  # noqa: S608 (a number of ours)
"""By windows, not by pairs: an event that a sender repeats ten thousand times has a hundred million.
Every row of `seen` is looked at, but of half its digest only: 8 bytes a row decide for all but a few."""
_FRESH_ROWS = 100_000
"""So many rows are looked up at once, of all partitions together."""


class PublishedRows(NamedTuple):
    """A partition's live files, [(end, absolute path)] in order, and where its log ends."""

    topic_id: str
    partition: int
    end: int
    files: list[tuple[int, str]]


class Repeats:
    """The working file, open for one build of the catalog."""

    def __init__(self, path: Path | None, prepare: Callable[[duckdb.DuckDBPyConnection], None]) -> None:
        """`prepare` lets the connection read the published files."""
        import duckdb

        self._connection = duckdb.connect(str(path) if path else ":memory:", config={"memory_limit": "512MB"})
        prepare(self._connection)
        self._connection.execute(_SCHEMA)

    def __enter__(self) -> Repeats:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def add(self, partitions: Iterable[PublishedRows]) -> None:
        """Take in what was published since the last time."""
        self._connection.execute("CREATE OR REPLACE TEMP TABLE fresh AS FROM seen LIMIT 0")
        self._connection.execute("BEGIN")
        for rows in partitions:
            self._add(rows)
            if self._count("fresh") >= _FRESH_ROWS:
                self._find()
                self._connection.execute("BEGIN")
        self._find()
        latest = "(SELECT max(broker_time_ms) FROM seen)"
        self._connection.execute(f"DELETE FROM seen WHERE broker_time_ms < {latest} - {_FORGOTTEN_MS}")  # noqa: S608 (a number of ours)

    @property
    def count(self) -> int:
        """How many rows are repeats."""
        return self._count("repeats")

    def copy_to(self, path: Path) -> None:
        """Fill the table `repeats` of the catalog at `path`."""
        from pipeline.audit.views.base import quoted

        self._connection.execute(f"ATTACH {quoted(str(path))} AS target")
        self._connection.execute("INSERT INTO target.repeats FROM repeats")
        self._connection.execute("DETACH target")

    def _add(self, rows: PublishedRows) -> None:
        known = self._connection.execute(
            'SELECT "end" FROM progress WHERE topic_id = ? AND "partition" = ?',
            [rows.topic_id, rows.partition],
        ).fetchone()
        start = known[0] if known else 0
        paths = [path for end, path in rows.files if end > start]
        if rows.end <= start:
            return
        if paths:
            values = {"topic_id": rows.topic_id, "partition": rows.partition, "paths": paths, "from": start}
            self._connection.execute(_FRESH, values)
        self._connection.execute(
            "INSERT OR REPLACE INTO progress VALUES (?, ?, ?)", [rows.topic_id, rows.partition, rows.end]
        )

    def _find(self) -> None:
        """Find the repeats among what is fresh and what was seen, and end the transaction."""
        if self._count("fresh"):
            self._connection.execute("INSERT INTO seen FROM fresh")
            self._connection.execute(_FOUND)
            self._connection.execute("DELETE FROM fresh")
        self._connection.execute("COMMIT")

    def _count(self, table: str) -> int:
        row = self._connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 (a name of ours)
        return row[0] if row else 0
