"""Produce to the test broker: topics with any number of partitions, messages in order."""

import asyncio
import uuid
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

MAX_MESSAGE_BYTES = 8 * 1024 * 1024


def unique(name: str) -> str:
    """A topic name that no other test uses."""
    return f"{name}-{uuid.uuid4().hex[:8]}"


async def create_topic(bootstrap: str, name: str, partitions: int, **settings: str) -> None:
    """A topic stamped by the broker, as auditfuse wants it."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    wanted = {
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(MAX_MESSAGE_BYTES),
        **{key.replace("_", "."): value for key, value in settings.items()},
    }
    try:
        await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=wanted)])
    finally:
        await admin.close()


async def produce(bootstrap: str, topic: str, messages: Sequence[bytes], partitions: int) -> None:
    """Send messages round robin and wait until the broker has all of them."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", max_request_size=MAX_MESSAGE_BYTES, linger_ms=5
    )
    await producer.start()
    try:
        sent = [
            await producer.send(topic, message, partition=number % partitions)
            for number, message in enumerate(messages)
        ]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()
