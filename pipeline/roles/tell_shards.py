"""Tells the shards of detection what this process seals."""

import asyncio

from pipeline.config import Config
from pipeline.keys import Keys
from pipeline.signals_topic.authentic import Authenticity
from pipeline.signals_topic.partitions import require_partitions
from pipeline.signals_topic.publisher import SignalsPublisher
from pipeline.topics.base import Producer
from pipeline.topics.kafka_producer import KafkaProducer

ROOM_SHARE = 0.9
"""Of the largest message, for the rows of one."""


class TellShards:
    """The publisher of one process, for a topic that fits."""

    def __init__(self, config: Config, keys: Keys) -> None:
        self._config = config
        room = int(config.kafka.max_request_bytes * ROOM_SHARE)
        self.publisher = SignalsPublisher(self._producer, Authenticity(keys), config.signals.partitions, room)

    @property
    def is_ready(self) -> bool:
        """Whether the topic takes what is told."""
        return self.publisher.is_ready

    async def run(self, done: asyncio.Event) -> None:
        """Until `done`. Raises what the topic raises."""
        await require_partitions(self._config.kafka, self._config.signals)
        await self.publisher.run(done)

    def _producer(self) -> Producer:
        return KafkaProducer(self._config.kafka, self._config.signals.topic or "")
