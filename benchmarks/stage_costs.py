"""What each stage takes, in a process of its own: its one argument is JSON, and so is what it prints."""

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.looped import Looped
from benchmarks.processes import usage
from benchmarks.redactors import WARM_UP
from benchmarks.report import scratch
from pipeline.audit.segment import build_segment
from pipeline.bench.stages import TOPIC_ID, batches, bench_source, measure_stages
from pipeline.decode.action_kind import ToolPatterns
from pipeline.detect.config import DetectConfig
from pipeline.keys import Keys
from pipeline.pool import calm_collector
from pipeline.prepare import Preparation
from pipeline.redact.config import RedactionConfig
from pipeline.topics.kafka import KafkaConsumer
from pipeline.topics.kafka_config import KafkaConfig
from pipeline.worker_config import WorkerConfig

SEAL_ROWS = 1_000
"""A segment's rows where four partitions bring 4,000 events a second: as in the runs end to end."""
PARTS = ("start", "decode", "redact", "encode", "chain")


def measure(asked: dict[str, Any]) -> dict[str, Any]:
    """What is asked for."""
    if asked["what"] == "fetch":
        return {"fetch_us": asyncio.run(_fetch_us(asked["bootstrap"], asked["topic"], asked["messages"]))}
    if asked["what"] == "memory":
        return {"rss_mb": _peak_mb(_messages(asked), asked["file_format"], asked["upto"])}
    return _stages(_messages(asked), asked)


def _messages(asked: dict[str, Any]) -> list[bytes]:
    looped = Looped(asked["file"], unique=asked["unique"], messages=asked.get("of_file"))
    return list(islice(looped.messages(), asked["messages"]))


def _stages(messages: list[bytes], asked: dict[str, Any]) -> dict[str, Any]:
    """CPU microseconds an event, the median of the rounds; every round begins with an empty memo."""
    us: dict[str, list[float]] = {}
    events = sealed_bytes = 0
    for _ in range(asked["rounds"]):
        with tempfile.TemporaryDirectory(prefix="auditfuse-bench-") as folder:
            measured = measure_stages(
                messages,
                _preparation(asked["file_format"], asked["redact"]),
                Path(folder),
                worker=WorkerConfig(),
                seal_rows=SEAL_ROWS,
                detect=DetectConfig(),
            )
        events, sealed_bytes = measured.events, measured.sealed_bytes
        for stage in measured.stages:
            us.setdefault(stage, []).append(measured.us(stage))
    return {
        "events": events,
        "sealed_bytes": sealed_bytes,
        "us": {stage: statistics.median(each) for stage, each in us.items()},
    }


def _preparation(file_format: str, redact: bool = True) -> Preparation:
    """As in a process of the pool: models loaded, nothing remembered."""
    keys, redaction = Keys(Path(scratch().name)), RedactionConfig(enabled=redact)
    prepare = Preparation([bench_source(file_format)], ToolPatterns(), redaction, keys)
    prepare.load(WARM_UP)
    calm_collector()
    return prepare


async def _fetch_us(bootstrap: str, topic: str, messages: int) -> float:
    """CPU microseconds a message, as the worker reads them."""
    config = KafkaConfig(bootstrap_servers=bootstrap, group_id=f"fetch-{time.time_ns()}")
    consumer = KafkaConsumer(config, topic)

    async def revoked(_: Sequence[int]) -> None:
        return

    await consumer.start(lambda numbers: dict.fromkeys(numbers, 0), revoked)
    try:
        while not await consumer.poll(0.2, 1):
            pass
        seen, began = 0, time.process_time()
        while seen < messages - 1:
            polled = await consumer.poll(0.2, WorkerConfig().poll_messages)
            seen += sum(map(len, polled.values()))
        return 1e6 * (time.process_time() - began) / seen
    finally:
        await consumer.stop()


def _peak_mb(messages: list[bytes], file_format: str, upto: str) -> float:
    """The peak memory of a process that does this much of the work, less that of the messages themselves."""
    parts = PARTS[: PARTS.index(upto) + 1]
    if upto != "start":
        _work(messages, file_format, parts)
    held_mb = sum(map(len, messages)) / 1e6
    return usage(os.getpid()).peak_rss_mb - held_mb


def _work(messages: list[bytes], file_format: str, parts: Sequence[str]) -> None:
    prepare = _preparation(file_format) if "redact" in parts else None
    keys = Keys(Path(scratch().name))
    bare = Preparation([bench_source(file_format)], ToolPatterns(), RedactionConfig(), keys)
    rows: list[Any] = []
    end, prev = 0, bytes(32)
    for batch in batches(messages, "bench", WorkerConfig()):
        decoded = (prepare or bare).decode(batch)
        if prepare is None:
            continue
        redacted = prepare.redact(batch, decoded)
        if "encode" in parts:
            made = prepare.rows(batch, decoded, redacted)
            rows += made if "chain" in parts else []
        if len(rows) >= SEAL_ROWS:
            built = build_segment(
                TOPIC_ID, 0, rows, start=end, end=rows[-1].offset + 1, epoch=1, kind="seal", prev=prev
            )
            end, prev = built.ref.end, bytes.fromhex(built.ref.head)
            rows = []


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
