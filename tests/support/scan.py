"""Everything that auditfuse has written, opened: every byte as it lies there, and what it decodes to."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from pipeline.keys import Keys
from pipeline.topics.local_files import KEY_NAME, TopicDirectory
from pipeline.topics.local_reader import FileReader

Found = tuple[str, bytes]
"""(where, what is there)"""


def files(folder: Path, *, leave_out: tuple[Path, ...] = ()) -> Iterator[Found]:
    """Every file below, as bytes and as what it holds. `leave_out`: folders that are not looked into."""
    paths = sorted(folder.rglob("*"))
    newest_catalog = max((path for path in paths if path.suffix == ".duckdb"), default=None)
    for path in paths:
        if not path.is_file() or any(path.is_relative_to(left) for left in leave_out):
            continue
        where = str(path.relative_to(folder))
        yield where, path.read_bytes()
        if path.suffix == ".parquet":
            yield from _parquet(where, path)
        elif path.suffix == ".db":
            yield from _sqlite(where, path)
        elif path == newest_catalog:
            yield from _duckdb(where, path)


def local_topic(topics: Path, name: str, keys: Path) -> Iterator[Found]:
    """A local topic's messages, decrypted."""
    directory = TopicDirectory.open(topics, name, 1, Keys(keys).get(KEY_NAME))
    for partition in range(directory.partitions):
        for file in directory.files(partition):
            reader = FileReader(directory, partition, file)
            while (messages := reader.next_frame()) is not None:
                for message in messages:
                    where = f"{name}/{partition}/{message.offset}"
                    yield where, (message.key or b"") + b"\n" + (message.value or b"")
            reader.close()


async def kafka_topics(bootstrap: str) -> set[str]:
    """The names of the broker's topics, but its own."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        return {name for name in await admin.list_topics() if not name.startswith("__")}
    finally:
        await admin.close()


async def kafka_messages(bootstrap: str, topic: str) -> list[tuple[bytes | None, bytes | None]]:
    """(key, value) of every message of a topic as it is now."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in await _partitions(bootstrap, topic)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        messages: list[tuple[bytes | None, bytes | None]] = []
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for batch in (await consumer.getmany(timeout_ms=500)).values():
                messages += [(record.key, record.value) for record in batch]
        return messages
    finally:
        await consumer.stop()


async def _partitions(bootstrap: str, topic: str) -> list[int]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        (description,) = await admin.describe_topics([topic])
        return [partition["partition"] for partition in description["partitions"]]
    finally:
        await admin.close()


def _lines(rows: Any) -> bytes:
    """Cells as text and bytes, one a line."""
    cells = (cell for row in rows for cell in row)
    return b"\n".join(cell if isinstance(cell, bytes) else str(cell).encode() for cell in cells)


def _parquet(where: str, path: Path) -> Iterator[Found]:
    table = pq.read_table(path)
    for name in table.column_names:
        yield f"{where}:{name}", _lines((cell,) for cell in table.column(name).to_pylist())
    yield f"{where}:metadata", repr(pq.read_metadata(path).metadata).encode()


def _sqlite(where: str, path: Path) -> Iterator[Found]:
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        tables = database.execute("select name from sqlite_master where type = 'table'").fetchall()
        for (table,) in tables:
            yield f"{where}:{table}", _lines(database.execute(f'select * from "{table}"'))


def _duckdb(where: str, path: Path) -> Iterator[Found]:
    with duckdb.connect(str(path), read_only=True) as catalog:
        views = catalog.execute("select view_name, sql from duckdb_views() where not internal").fetchall()
        tables = catalog.execute("select table_name, sql from duckdb_tables() where not internal").fetchall()
        for name, sql in [*views, *tables]:
            yield f"{where}:{name}:sql", str(sql).encode()
            yield f"{where}:{name}", _lines(catalog.execute(f'select * from "{name}"').fetchall())
