"""A Kafka broker of a measurement's own, and topics that are loaded before anything is measured."""

import asyncio
import importlib.util
import itertools
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.processes import child_named, usage
from benchmarks.report import ROOT

PARTITIONS = 4
MESSAGE_MAX_BYTES = 16 * 1024 * 1024
BATCH_BYTES = 1 << 20
TOPIC_SETTINGS = {
    "message.timestamp.type": "LogAppendTime",
    "max.message.bytes": str(MESSAGE_MAX_BYTES),
}


class Loaded(NamedTuple):
    """A topic with its messages."""

    topic: str
    messages: int
    bytes: int


class Cluster:
    """A running broker."""

    def __init__(self, bootstrap: str, pid: int | None) -> None:
        self.bootstrap = bootstrap
        self.pid = pid

    @property
    def cpu_s(self) -> float | None:
        """Of the broker so far; None where it runs in a container."""
        return usage(self.pid).cpu_s if self.pid is not None else None

    def load(
        self,
        topic: str,
        messages: Iterable[bytes],
        partitions: int = PARTITIONS,
        topic_settings: Mapping[str, str] = {},
    ) -> Loaded:
        """A new topic with these messages, spread over its partitions in turn."""
        return asyncio.run(self._load(topic, messages, partitions, TOPIC_SETTINGS | dict(topic_settings)))

    def delete(self, topic: str) -> None:
        """Delete a topic, for its room on the disk."""
        asyncio.run(self._delete(topic))

    async def _delete(self, topic: str) -> None:
        async with self._admin() as admin:
            await admin.delete_topics([topic])

    async def _load(
        self, topic: str, messages: Iterable[bytes], partitions: int, topic_settings: Mapping[str, str]
    ) -> Loaded:
        from aiokafka import AIOKafkaProducer
        from aiokafka.admin import NewTopic

        async with self._admin() as admin:
            await admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=dict(topic_settings))])
        count = size = 0
        async with AIOKafkaProducer(
            bootstrap_servers=self.bootstrap,
            max_batch_size=BATCH_BYTES,
            max_request_size=MESSAGE_MAX_BYTES,
        ) as producer:
            await producer.partitions_for(topic)
            filling = [producer.create_batch() for _ in range(partitions)]
            for value, partition in zip(messages, itertools.cycle(range(partitions)), strict=False):
                count += 1
                size += len(value)
                # Batch by batch: a future a message would take ten times as long.
                if filling[partition].append(key=None, value=value, timestamp=None) is None:
                    await producer.send_batch(filling[partition], topic, partition=partition)
                    filling[partition] = producer.create_batch()
                    filling[partition].append(key=None, value=value, timestamp=None)
            for partition, batch in enumerate(filling):
                if batch.record_count():
                    await producer.send_batch(batch, topic, partition=partition)
        return Loaded(topic, count, size)

    def _admin(self) -> Any:
        from aiokafka.admin import AIOKafkaAdminClient

        class _Admin(AIOKafkaAdminClient):
            async def __aenter__(self) -> AIOKafkaAdminClient:
                await self.start()
                return self

            async def __aexit__(self, *_: object) -> None:
                await self.close()

        return _Admin(bootstrap_servers=self.bootstrap)


@contextmanager
def cluster(folder: Path, bootstrap: str | None = None) -> Iterator[Cluster]:
    """Start a broker, where none is given; it ends with the block. Exits with 2 where none can be started."""
    if bootstrap is not None:
        yield Cluster(bootstrap, None)
        return
    script = _script()
    try:
        broker = script.start(script.free_port(), folder / "kafka")
    except script.BrokerError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    try:
        yield Cluster(broker.bootstrap, child_named("kafka.Kafka"))
    finally:
        broker.stop()


def _script() -> Any:
    spec = importlib.util.spec_from_file_location("kafka_broker", ROOT / "scripts" / "kafka" / "broker.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def own_cores(count: int) -> set[int]:
    """The last cores of this machine, for what is measured; the first is left to the broker."""
    cores = sorted(os.sched_getaffinity(0))
    return set(cores[-count:])
