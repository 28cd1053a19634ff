"""The role ingest: input topics are read, redacted and sealed. Any number of members share the partitions."""

import asyncio
import functools
from collections.abc import Callable, Sequence

from pipeline.audit.writer import PartitionWriter
from pipeline.config import Config
from pipeline.decode.sources import SourceConfig
from pipeline.keys import Keys
from pipeline.partition import Stages
from pipeline.pool import PreparePool
from pipeline.prepare import Preparation
from pipeline.roles.maintenance import Maintenance
from pipeline.roles.parts import Parts
from pipeline.roles.supervise import Supervisor
from pipeline.roles.tell_shards import TellShards
from pipeline.topics.base import Consumer
from pipeline.topics.kafka import KafkaConsumer
from pipeline.topics.local import LocalConsumer
from pipeline.worker import Worker
from schemas.log_entry import LogEntry, SegmentRef
from schemas.record import Row

HandOver = Callable[[SegmentRef, Sequence[Row]], None]
"""Takes what was just sealed."""


class Ingest:
    """A worker for each source, and what looks after the store."""

    def __init__(self, parts: Parts, supervisor: Supervisor, hand_over: HandOver | None) -> None:
        """`hand_over`: to the detection of this process."""
        config = parts.config
        self._parts = parts
        self._supervisor = supervisor
        self._hand_over = hand_over
        self.pool = PreparePool(
            functools.partial(build_preparation, config, tuple(parts.sources)), config.worker.processes
        )
        self.maintenance = Maintenance(parts)
        self._tell: TellShards | None = None if parts.shards is None else TellShards(config, parts.keys)
        self.workers: dict[str, Worker] = {}
        self.sealed_ends: dict[tuple[str, int], int] = {}
        """Where each partition that this process has sealed goes on …"""
        self.sealed_starts: dict[tuple[str, int], int] = {}
        """… and where this process began to seal it."""
        self.sealed_rows = 0
        self.sealed_dead_letters = 0

    def start(self) -> None:
        """Begin to look after the store."""
        self.maintenance.start()

    async def run(self, done: asyncio.Event) -> None:
        """Read until `done`, and seal what was read."""
        self.pool.warm_up()
        sealed = asyncio.Event()
        telling = asyncio.create_task(self._tell_shards(sealed))
        stopping = asyncio.create_task(self._stop_at(done))
        reading = [
            asyncio.create_task(
                self._supervisor.run(
                    f"source {source.name}", functools.partial(self._read, source, done), done
                )
            )
            for source in self._parts.sources
        ]
        try:
            await asyncio.gather(*reading)
        finally:
            stopping.cancel()
            sealed.set()
            await telling

    def close(self) -> None:
        """The last look after the store shows all that was sealed."""
        self.maintenance.close()
        self.pool.close()

    @property
    def is_caught_up(self) -> bool:
        """Every message that was there is sealed."""
        return all(s.name in self.workers and self.workers[s.name].is_caught_up for s in self._parts.sources)

    def readiness(self) -> dict[str, bool]:
        """Every source is read."""
        parts = {
            f"source {s.name}": s.name in self.workers and self.workers[s.name].is_ready
            for s in self._parts.sources
        }
        return parts if self._tell is None else parts | {"signals topic": self._tell.is_ready}

    def conditions(self) -> dict[str, str]:
        """Partitions that wait for a person."""
        return {
            f"partition {partition} of source {name} halted": why
            for name, worker in list(self.workers.items())
            for partition, why in worker.halted.items()
        }

    async def _tell_shards(self, sealed: asyncio.Event) -> None:
        if self._tell is not None:
            await self._supervisor.run("signals topic", functools.partial(self._tell.run, sealed), sealed)

    async def _stop_at(self, done: asyncio.Event) -> None:
        await done.wait()
        for worker in self.workers.values():
            worker.stop()

    async def _read(self, source: SourceConfig, done: asyncio.Event) -> None:
        config = self._parts.config
        worker = Worker(
            self._consumer(source),
            source.name,
            Stages(
                prepare=self.pool.prepare,
                on_sealed=self._on_sealed,
                worker=config.worker,
                store=config.store,
                now_ms=self._parts.now_ms,
            ),
            claim=self._claim,
        )
        self.workers[source.name] = worker
        if not done.is_set():
            await worker.run()

    def _consumer(self, source: SourceConfig) -> Consumer:
        if source.kind == "kafka":
            return KafkaConsumer(self._parts.config.kafka, source.topic)
        return LocalConsumer(self._parts.config.topics, source.topic, self._parts.keys)

    def _claim(self, topic_id: str, partition: int) -> PartitionWriter:
        parts = self._parts
        return PartitionWriter.claim(
            parts.store,
            topic_id,
            partition,
            writer_id=parts.writer_id,
            now_ms=parts.now_ms,
            on_entry=self._on_entry,
        )

    def _on_entry(self, entry: LogEntry) -> None:
        if self._tell is not None:
            self._tell.publisher.entry(entry)

    def _on_sealed(self, topic_id: str, partition: int, segment: SegmentRef, rows: Sequence[Row]) -> None:
        self.sealed_starts.setdefault((topic_id, partition), segment.start)
        self.sealed_ends[topic_id, partition] = segment.end
        self.sealed_rows += len(rows)
        self.sealed_dead_letters += sum(row.kind == "dead_letter" for row in rows)
        if self._hand_over is not None:
            self._hand_over(segment, rows)
        if self._tell is not None:
            self._tell.publisher.sealed(segment, rows)


def build_preparation(config: Config, sources: tuple[SourceConfig, ...]) -> Preparation:
    """The preparation of one process of the pool."""
    return Preparation(sources, config.tools, config.redaction, Keys(config.keys.path))
