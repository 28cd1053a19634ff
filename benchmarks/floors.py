"""The least that the libraries take for the same events: fetch, decode, hash, and write the same rows.

Run as a process of its own; its one argument is JSON, and so is what it prints.
"""

import asyncio
import hashlib
import io
import json
import sys
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from aiokafka import AIOKafkaConsumer

from benchmarks.looped import Looped
from benchmarks.report import scratch
from pipeline.audit.columns import typed_arrays, typed_columns
from pipeline.bench.stages import TOPIC_ID, batches, bench_source
from pipeline.decode.action_kind import ToolPatterns
from pipeline.keys import Keys
from pipeline.prepare import Preparation
from pipeline.redact.config import RedactionConfig
from pipeline.worker_config import WorkerConfig


def measure(asked: dict[str, Any]) -> dict[str, float]:
    """CPU microseconds an event of each."""
    looped = Looped(asked["file"], messages=asked.get("of_file"))
    messages = list(islice(looped.messages(), asked["messages"]))
    table = _rows(messages, looped.format)
    events = table.num_rows
    costs = {
        "fetch": asyncio.run(_fetch_s(asked["bootstrap"], asked["topic"], len(messages))),
        "decode": _cpu_s(lambda: [msgspec.json.decode(one) for one in messages]),
        "SHA-256": _cpu_s(lambda: [hashlib.sha256(one).digest() for one in messages]),
        "Parquet": _cpu_s(lambda: pq.write_table(table, io.BytesIO(), compression="zstd")),
    }
    return {name: 1e6 * spent / events for name, spent in costs.items()}


def _rows(messages: Sequence[bytes], file_format: str) -> pa.Table:
    """The columns that are sealed of these messages, but for what the chain adds; nothing is redacted."""
    options = {"enabled": False}
    keys = Keys(Path(scratch().name))
    prepare = Preparation(
        [bench_source(file_format)], ToolPatterns(), RedactionConfig.model_validate(options), keys
    )
    rows = [row for batch in batches(messages, "bench", WorkerConfig()) for row in prepare(batch)]
    names = ["meta", "payload", *(column.name for column in typed_columns(TOPIC_ID))]
    written = [pa.array([row.meta for row in rows]), pa.array([row.payload for row in rows])]
    return pa.table(dict(zip(names, [*written, *typed_arrays(TOPIC_ID, rows)], strict=True)))


async def _fetch_s(bootstrap: str, topic: str, messages: int) -> float:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        seen, began = 0, time.process_time()
        while seen < messages:
            polled = await consumer.getmany(timeout_ms=200, max_records=1000)
            seen += sum(map(len, polled.values()))
        return (time.process_time() - began) * messages / seen
    finally:
        await consumer.stop()


def _cpu_s(run: Callable[[], object]) -> float:
    began = time.process_time()
    run()
    return time.process_time() - began


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
