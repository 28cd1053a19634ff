"""`auditfuse bench`: generated events through every stage, for a few seconds, and what follows from it."""

import asyncio
import platform
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from aiokafka import errors
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from pipeline.bench.advice import Costs, advise
from pipeline.bench.kept import Result, usable_cores
from pipeline.bench.stages import Measured, Stage, bench_source, measure_stages
from pipeline.clock import system_now_ms
from pipeline.config import Config
from pipeline.errors import TopicError
from pipeline.generate.stream import StreamConfig, fleet, generate, native_json
from pipeline.keys import Keys
from pipeline.pool import calm_collector
from pipeline.prepare import Preparation
from pipeline.topics.kafka import KafkaConsumer, KafkaProducer
from pipeline.topics.kafka_config import unreachable

AGENTS = 200
CALLS_PER_MINUTE = 60.0
BLOCK_EVENTS = 2_000
"""Measured at once; a segment has as many rows."""
KAFKA_EVENTS = 20_000
KAFKA_TIMEOUT_S = 60.0
PARTITIONS = 4
"""Where nothing else is known: the partitions that one process seals."""

Tell = Callable[[str], None]


def run_bench(config: Config, seconds: float, *, kafka: bool, tell: Tell) -> Result:
    """Measure this machine for about so many seconds, models loaded first.

    Raises TopicError where `kafka` and the cluster cannot be used.
    """
    tell("loading the models")
    events = _events()
    fetch_us = asyncio.run(_fetch_us(config, events, tell)) if kafka else 0.0
    with tempfile.TemporaryDirectory(prefix="bench-", dir=_beside_the_store(config)) as folder:
        prepare = Preparation(
            [bench_source("events")], config.tools, config.redaction, Keys(Path(folder) / "keys")
        )
        prepare.load()
        calm_collector()
        measured = list(_blocks(config, prepare, events, Path(folder), seconds, tell))
    us = _us(measured)
    if kafka:
        us["fetch"] = fetch_us
    count = sum(one.events for one in measured)
    synced_s = sum(one.stages[stage].wall_s for one in measured for stage in ("write", "publish"))
    costs = Costs(
        us=us,
        sync_ms=1000 * synced_s / len(measured),
        event_bytes=sum(one.raw_bytes for one in measured) / count,
    )
    cores = usable_cores()
    system = f"{platform.system()}, Python {platform.python_version()}"
    return Result(
        at_ms=system_now_ms(),
        machine=f"{platform.machine()}, {cores} cores, {system}",
        cores=cores,
        events=count,
        costs=costs,
        advice=advise(costs, cores, PARTITIONS, detects=True),
    )


def _events() -> Iterator[bytes]:
    """Messages of a fleet of agents, the same ones always, without end."""
    config = StreamConfig(agents=fleet(AGENTS, CALLS_PER_MINUTE), length_s=30 * 24 * 3600)
    return map(native_json, generate(config))


def _beside_the_store(config: Config) -> Path:
    """A folder on the store's disk, or on the cache's where the store lies elsewhere."""
    place = config.store.local_directory.absolute().parent
    place.mkdir(parents=True, exist_ok=True, mode=0o750)
    return place


def _blocks(
    config: Config, prepare: Preparation, events: Iterator[bytes], folder: Path, seconds: float, tell: Tell
) -> Iterator[Measured]:
    """Block after block until the time is up; the first one, which warms everything up, is left out."""
    deadline = time.monotonic() + seconds
    number = 0
    while number < 2 or time.monotonic() < deadline:
        tell(f"measuring, {number * BLOCK_EVENTS:,} events")
        measured = measure_stages(
            list(islice(events, BLOCK_EVENTS)),
            prepare,
            folder / str(number),
            worker=config.worker,
            seal_rows=BLOCK_EVENTS,
            detect=config.detect,
        )
        if number:
            yield measured
        number += 1


def _us(measured: Sequence[Measured]) -> dict[str, float]:
    """CPU microseconds an event, over all blocks."""
    total: dict[str, Stage] = {}
    for one in measured:
        for name, cost in one.stages.items():
            so_far = total.get(name, Stage(0.0, 0.0))
            total[name] = Stage(so_far.cpu_s + cost.cpu_s, so_far.wall_s + cost.wall_s)
    events = sum(one.events for one in measured)
    return {name: 1e6 * cost.cpu_s / events for name, cost in total.items()}


async def _fetch_us(config: Config, events: Iterator[bytes], tell: Tell) -> float:
    """CPU microseconds to read a message of the configured cluster; from a topic of its own."""
    topic = f"auditfuse-bench-{secrets.token_hex(6)}"
    tell(f"producing to {topic}")
    admin = await _admin(config)
    try:
        await _create(admin, topic)
        producer = KafkaProducer(config.kafka, topic)
        await producer.start()
        await producer.append(list(islice(events, KAFKA_EVENTS)))
        await producer.stop()
        return await _read(config, topic)
    finally:
        await admin.delete_topics([topic])
        await admin.close()


async def _read(config: Config, topic: str) -> float:
    kafka = config.kafka.model_copy(update={"group_id": topic, "group_instance_id": None})
    consumer = KafkaConsumer(kafka, topic)

    async def revoked(_: Sequence[int]) -> None:
        return

    await consumer.start(lambda numbers: dict.fromkeys(numbers, 0), revoked)
    try:
        seen, began, deadline = 0, time.process_time(), time.monotonic() + KAFKA_TIMEOUT_S
        while seen < KAFKA_EVENTS:
            if time.monotonic() > deadline:
                raise TopicError(f"only {seen} of {KAFKA_EVENTS} messages came back from {topic}")
            polled = await consumer.poll(0.2, config.worker.poll_messages)
            if not seen:
                began = time.process_time()
            seen += sum(map(len, polled.values()))
        return 1e6 * (time.process_time() - began) / seen
    finally:
        await consumer.stop()


async def _admin(config: Config) -> AIOKafkaAdminClient:
    admin = AIOKafkaAdminClient(**config.kafka.connection_options())
    try:
        await admin.start()
    except errors.KafkaError as error:
        raise unreachable(config.kafka, error) from None
    return admin


async def _create(admin: AIOKafkaAdminClient, topic: str) -> None:
    response: Any = await admin.create_topics([NewTopic(topic, PARTITIONS, 1)])
    code = response.topic_errors[0][1]
    if code:
        raise TopicError(
            f"the cluster did not make the topic {topic} (Kafka's error {code}); "
            "give this user the right to create it, or run auditfuse bench without --kafka"
        )
