"""Appending to a Kafka topic."""

import asyncio
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer, errors

from pipeline.errors import TopicError
from pipeline.topics.kafka_config import KafkaConfig, unreachable

_BATCH_BYTES = 1024 * 1024


class KafkaProducer:
    """Appends to one Kafka topic: acks=all, idempotent."""

    def __init__(self, config: KafkaConfig, name: str, *, idempotent: bool = True) -> None:
        """`idempotent=False` is for brokers that only speak Kafka's protocol: a retry may then repeat."""
        self._config = config
        self._name = name
        self._idempotent = idempotent
        self._producer: Any = None
        self._next_partition = 0

    async def start(self) -> None:
        """Connect. Raises TopicError where no broker answers."""
        producer = AIOKafkaProducer(
            **self._config.connection_options(),
            acks="all",
            enable_idempotence=self._idempotent,
            max_batch_size=_BATCH_BYTES,
            max_request_size=self._config.max_request_bytes,
        )
        try:
            await producer.start()
            self._partitions = sorted(await producer.partitions_for(self._name))
        except errors.KafkaError as error:
            await producer.stop()
            raise unreachable(self._config, error) from None
        self._producer = producer

    async def append(
        self, values: Sequence[bytes | None], *, partition: int | None = None, key: bytes | None = None
    ) -> list[tuple[int, int]]:
        """Append in order; returns when all in-sync replicas have it. A value of None is a tombstone and
        needs a key. Raises TopicError where the broker refuses or does not answer."""
        if self._producer is None:
            raise TopicError(f"topic {self._name} is not started: nothing can be appended")
        if partition is None and key is None:
            self._next_partition = (self._next_partition + 1) % len(self._partitions)
            partition = self._partitions[self._next_partition]
        sent: list[asyncio.Future[Any]] = []
        try:
            for value in values:
                sent.append(await self._producer.send(self._name, value, key=key, partition=partition))  # noqa: PERF401
            # All of them are awaited, so that no failure stays behind unseen.
            outcomes = await asyncio.gather(*sent, return_exceptions=True)
        except errors.KafkaError as error:
            await asyncio.gather(*sent, return_exceptions=True)
            raise self._refused(error) from None
        failed = next((o for o in outcomes if isinstance(o, BaseException)), None)
        if isinstance(failed, errors.KafkaError):
            raise self._refused(failed)
        if failed is not None:
            raise failed
        return [(outcome.partition, outcome.offset) for outcome in outcomes]  # type: ignore[union-attr]  # records

    async def stop(self) -> None:
        """Send what waits and disconnect."""
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await producer.stop()

    def _refused(self, error: errors.KafkaError) -> TopicError:
        if isinstance(error, errors.MessageSizeTooLargeError):
            return TopicError(
                f"a message is too large for topic {self._name}; raise kafka.max_request_bytes and the "
                "topic's max.message.bytes"
            )
        return TopicError(f"Kafka did not take an append to {self._name}: {type(error).__name__}")
