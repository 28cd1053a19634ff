"""What most teams write: a Kafka consumer, stock Presidio on every message, rows into DuckDB.

Run as a process of its own; its one argument is JSON, and so is what it prints.
"""

import asyncio
import json
import sys
import time
from typing import Any

import duckdb
from aiokafka import AIOKafkaConsumer
from presidio_anonymizer import AnonymizerEngine

from benchmarks.stock import engine


def measure(asked: dict[str, Any]) -> dict[str, float]:
    """Seconds and events of a script that ran for so long."""
    return asyncio.run(_run(asked["bootstrap"], asked["topic"], asked["seconds"], asked["file"]))


async def _run(bootstrap: str, topic: str, seconds: float, file: str) -> dict[str, float]:
    analyzer, anonymizer = engine(), AnonymizerEngine()
    database = duckdb.connect(file)
    database.execute("CREATE TABLE events (agent VARCHAR, started BIGINT, input VARCHAR, output VARCHAR)")

    def clean(text: str) -> str:
        found = analyzer.analyze(text=text, language="en")
        return anonymizer.anonymize(text=text, analyzer_results=found).text  # pyright: ignore (its own types)

    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    events, wall, cpu = 0, time.perf_counter(), time.process_time()
    try:
        async for message in consumer:
            event = json.loads(message.value)
            texts = [clean(str(event[name])) if event[name] else None for name in ("input", "output")]
            database.execute(
                "INSERT INTO events VALUES (?, ?, ?, ?)",
                [event["agent_id"], event["start_time_unix_nano"], *texts],
            )
            events += 1
            if time.perf_counter() - wall > seconds:
                break
        return {
            "events": events,
            "wall_s": time.perf_counter() - wall,
            "cpu_s": time.process_time() - cpu,
        }
    finally:
        await consumer.stop()


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
