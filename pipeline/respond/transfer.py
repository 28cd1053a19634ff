"""How a new state database gets what it has to know: from an SQLite file, or from the store alone."""

from typing import Any

from sqlalchemy import Connection, Table, func, insert, select, text

from pipeline.audit.log import PartitionLog
from pipeline.audit.store import APPEND_PARTITIONS, Store
from pipeline.errors import StoreError
from pipeline.respond import schema, tables
from pipeline.respond.state import StateDatabase

_ROWS_AT_ONCE = 500


def begin_now(state: StateDatabase, store: Store) -> dict[tuple[str, int], int]:
    """Count all that is sealed as consumed: detection learns from it and tells nothing of it. For a database
    that was lost. Returns the ends. Raises StoreError where anything was consumed already."""
    keys = [key for key in store.partitions() if key[0] not in APPEND_PARTITIONS]
    ends = {key: PartitionLog.open(store, *key).state.end for key in keys}
    rows = [
        {"shard": tables.ALL, "topic_id": topic_id, "partition": partition, "sealed_end": end}
        for (topic_id, partition), end in ends.items()
    ]

    def transaction(connection: Connection) -> None:
        _require_empty(connection)
        if rows:
            connection.execute(insert(tables.consumed), rows)

    state.write(transaction)
    return ends


def copy_state(source: StateDatabase, target: StateDatabase) -> dict[str, int]:
    """Copy every row into a database that has none, all or nothing; returns how many of each table.

    Nothing may write to the source meanwhile. Raises StoreError.
    """
    schema.check(source.schema_version() or 0)
    copied = [table for table in tables.metadata.sorted_tables if table is not tables.schema_version]

    def transaction(reading: Connection, writing: Connection) -> dict[str, int]:
        _require_empty(writing)
        return {table.name: _copy(table, reading, writing) for table in copied}

    return source.read(lambda reading: target.write(lambda writing: transaction(reading, writing)))


def _copy(table: Table, reading: Connection, writing: Connection) -> int:
    count = 0
    rows = reading.execute(select(table), execution_options={"yield_per": _ROWS_AT_ONCE}).mappings()
    for part in rows.partitions():
        writing.execute(insert(table), [dict(row) for row in part])
        count += len(part)
    if count and "seq" in table.c and writing.dialect.name == "postgresql":
        highest: Any = writing.scalar(select(func.max(table.c.seq)))
        # Numbers that were copied are not given again.
        given = text("SELECT setval(pg_get_serial_sequence(:name, 'seq'), :highest)")
        writing.execute(given, {"name": table.name, "highest": highest})
    return count


def _require_empty(connection: Connection) -> None:
    for table in (tables.consumed, tables.incidents, tables.pages):
        if connection.execute(select(*table.primary_key).limit(1)).first() is not None:
            raise StoreError(
                "the state database has been used already; this is for a new one: nothing may be told twice"
            )
