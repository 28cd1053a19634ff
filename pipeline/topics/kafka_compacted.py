"""Reading a compacted Kafka topic from its beginning to its present end."""

from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition, errors

from pipeline.errors import TopicError
from pipeline.topics.kafka_config import KafkaConfig, unreachable

_POLL_MS = 500
MAX_SILENT_POLLS = 60


async def live_keys(config: KafkaConfig, name: str) -> set[bytes]:
    """The keys whose newest value is no tombstone. Raises TopicError where no broker answers, or it stops
    to answer for half a minute."""
    consumer: Any = AIOKafkaConsumer(
        name,
        **config.connection_options(),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    try:
        await consumer.start()
        return await _read(consumer, name, config)
    except errors.KafkaError as error:
        raise unreachable(config, error) from None
    finally:
        await consumer.stop()


async def _read(consumer: Any, name: str, config: KafkaConfig) -> set[bytes]:
    places: list[TopicPartition] = list(consumer.assignment())  # without a group: all partitions
    if not places:
        raise TopicError(f"there is no topic {name}; make it, with cleanup.policy=compact")
    ends = await consumer.end_offsets(places)
    await consumer.seek_to_beginning(*places)
    found: set[bytes] = set()
    silent = 0
    while any([await consumer.position(place) < ends[place] for place in places]):
        batches = await consumer.getmany(timeout_ms=_POLL_MS)
        silent = 0 if batches else silent + 1
        if silent > MAX_SILENT_POLLS:
            raise unreachable(config, TimeoutError())
        for messages in batches.values():
            for message in messages:
                if message.key is not None:
                    (found.discard if message.value is None else found.add)(message.key)
    return found
