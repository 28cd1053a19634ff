"""Reading a raw message again, at the place where it was read first."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition, errors

from pipeline.errors import TopicError
from pipeline.keys import Keys
from pipeline.topics.kafka_config import KafkaConfig, unreachable
from pipeline.topics.kafka_topic_id import TopicIdentity
from pipeline.topics.local_files import KEY_NAME, TopicDirectory
from pipeline.topics.local_reader import FileReader

READ_TIMEOUT_S = 30.0

Place = tuple[int, int]
"""(partition, offset)."""


class NotHeld(Exception):
    """Why a topic does not hold a message any more, in words."""


RawMessages = Mapping[Place, bytes | NotHeld | None]
"""What is at each place: its bytes, None for a tombstone."""


async def kafka_messages(config: KafkaConfig, topic_id: str, places: Sequence[Place]) -> RawMessages:
    """Messages of a Kafka topic, read outside of any consumer group. Raises TopicError where the cluster does
    not answer or the topic is another one now."""
    name = topic_id.rpartition(".")[0]
    identity = TopicIdentity(config, name)
    try:
        _require_same(topic_id, await identity.look_up())
    finally:
        await identity.close()
    consumer: Any = AIOKafkaConsumer(
        **config.connection_options(),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_bytes=config.fetch_max_bytes,
        max_partition_fetch_bytes=config.max_partition_fetch_bytes,
    )
    try:
        await consumer.start()
        return await _read(consumer, name, sorted(places))
    except errors.KafkaError as error:
        raise unreachable(config, error) from None
    finally:
        await consumer.stop()


async def _read(consumer: Any, name: str, places: Sequence[Place]) -> RawMessages:
    partitions = [TopicPartition(name, partition) for partition in sorted({p for p, _ in places})]
    consumer.assign(partitions)
    starts, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
    found: dict[Place, bytes | NotHeld | None] = {}
    for partition, offset in places:
        at = TopicPartition(name, partition)
        if not starts[at] <= offset < ends[at]:
            found[partition, offset] = NotHeld(f"the topic begins at offset {starts[at]} now: it has expired")
            continue
        consumer.seek(at, offset)
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                record = await consumer.getone(at)
        except (TimeoutError, errors.OffsetOutOfRangeError):
            found[partition, offset] = NotHeld("the broker did not give it: try again, or it has expired")
            continue
        is_it = record.offset == offset
        found[partition, offset] = record.value if is_it else NotHeld("the topic was compacted since")
    return found


def local_messages(topics: Path, keys: Keys, topic_id: str, places: Sequence[Place]) -> RawMessages:
    """Messages of a local topic. Raises TopicError where it is another one now, or damaged. Blocking."""
    name = topic_id.rpartition(".")[0]
    if not (topics / name / "topic.json").exists():
        raise TopicError(f"there is no topic {name} in {topics} any more")
    directory = TopicDirectory.open(topics, name, 1, keys.get(KEY_NAME))
    _require_same(topic_id, directory.topic_id)
    return {place: _local_message(directory, *place) for place in places}


def _local_message(directory: TopicDirectory, partition: int, offset: int) -> bytes | NotHeld | None:
    files = [file for file in directory.files(partition) if file.start <= offset]
    if not files:
        return NotHeld("its file was deleted once it was sealed")
    reader = FileReader(directory, partition, files[-1])
    try:
        for message in reader.next_frame(from_offset=offset) or []:
            if message.offset == offset:
                return message.value
    finally:
        reader.close()
    return NotHeld("the topic does not hold its offset")


def _require_same(topic_id: str, now_id: str) -> None:
    if topic_id != now_id:
        name = topic_id.rpartition(".")[0]
        raise TopicError(
            f"topic {name} was deleted and made anew (it was {topic_id}, it is {now_id}): what it held is "
            "gone"
        )
