"""Who produces, at the stream's own pace, and reads the topic back beside it."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.errors import KafkaError
from support.fault_run.spool import Record, Spool

from pipeline.topics.kafka_config import KafkaConfig
from pipeline.topics.kafka_topic_id import TopicIdentity

PRODUCER_PATIENCE_MS = 120_000
MOST_BEHIND, ASK_EVERY = 15_000, 500


class Traffic:
    """Produces until stopped, reads the topic back beside it, and changes the topic as an operator might.

    Everything of it runs in one thread, directly at the brokers: it is no part of what fails.
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        partitions: int,
        copies: int,
        folder: Path,
        sealed: Callable[[], int],
    ) -> None:
        """`sealed`: how many messages the store accounts for, to wait for a machine that is too slow."""
        self._sealed = sealed
        self.topic, self.partitions = topic, partitions
        self._bootstrap, self._copies, self._folder = bootstrap, copies, folder
        folder.mkdir(parents=True, exist_ok=True)
        self.topic_id = ""
        self.spools: dict[tuple[str, int], Spool] = {}
        self.acknowledged: Counter[tuple[str, int]] = Counter()
        self.produced = 0
        self.reached_s = 0.0
        """When, after the start, what was produced last was due."""
        self.failure: BaseException | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="traffic", daemon=True)
        self._thread.start()
        self._producer: Any = None
        self._source: Iterator[tuple[float, bytes | None]] = iter(())
        self._started_s = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self._may_produce = asyncio.Event()
        self._is_ended = asyncio.Event()
        self._unanswered = 0

    def begin(self, source: Iterator[tuple[float, bytes | None]]) -> None:
        """Create the topic and begin to produce."""
        self._source = source
        self._call(self._begin())

    def hold(self, *, is_on: bool) -> None:
        """Produce nothing meanwhile; what falls due waits."""
        self._loop.call_soon_threadsafe(self._may_produce.clear if is_on else self._may_produce.set)

    def settle(self, timeout_s: float = 120) -> None:
        """Produce nothing more for now; returns when all that was sent is acknowledged and read back."""
        self.hold(is_on=True)
        self._call(self._settled(timeout_s), timeout_s + 5)

    @property
    def ends(self) -> dict[tuple[str, int], int]:
        """How far each partition has been read back."""
        return {key: spool.end for key, spool in self.spools.items()}

    def expire(self, partition: int, before: int) -> None:
        """Delete what lies below an offset, as retention does."""
        self._call(self._expire(partition, before))

    def inject(self, values: Sequence[bytes | None]) -> None:
        """Produce these too, in a row, to one partition."""
        self._call(self._inject(values))

    def recreate(self) -> None:
        """Delete the topic and make it anew. Settle first."""
        self._call(self._recreate(), 120)

    def stop(self) -> None:
        """End it. What was read back stays."""
        if self._loop.is_closed():
            return
        self._call(self._stop(), 60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _call(self, work: Any, timeout_s: float = 60) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    async def _begin(self) -> None:
        await self._create()
        await self._open_producer()
        self._started_s = time.monotonic()
        self._may_produce.set()
        self._tasks = [
            asyncio.create_task(self._guarded(work())) for work in (self._produce, self._read_back)
        ]

    async def _guarded(self, work: Any) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 (told by the harness)
            self.failure = error

    async def _create(self) -> None:
        settings = {"message.timestamp.type": "LogAppendTime", "retention.ms": "-1"}
        while True:
            async with _admin(self._bootstrap) as admin:
                answer = await admin.create_topics(
                    [NewTopic(self.topic, self.partitions, self._copies, topic_configs=settings)]
                )
            if answer.topic_errors[0][1] == 0:
                break
            await asyncio.sleep(0.5)  # the one before is still being deleted
        identity = TopicIdentity(KafkaConfig(bootstrap_servers=self._bootstrap), self.topic)
        self.topic_id = await identity.look_up(create=True)
        await identity.close()
        for partition in range(self.partitions):
            path = self._folder / f"{self.topic_id}-{partition}"
            self.spools[self.topic_id, partition] = Spool(path)

    async def _produce(self) -> None:
        for number, (due_s, value) in enumerate(self._source):
            await asyncio.sleep(max(0.0, self._started_s + due_s - time.monotonic()))
            await self._may_produce.wait()
            if self._is_ended.is_set():
                return
            await self._send(value, number % self.partitions)
            self.reached_s = due_s
            if number % ASK_EVERY == 0:
                await self._wait_for_store()

    async def _wait_for_store(self) -> None:
        """What is asked for is faults, not a backlog that only grows."""
        while self.produced - await asyncio.to_thread(self._sealed) > MOST_BEHIND:
            if self._is_ended.is_set() or not self._may_produce.is_set():
                return
            await asyncio.sleep(0.5)

    async def _send(self, value: bytes | None, partition: int) -> None:
        self.produced += 1
        self._unanswered += 1
        key = None if value is not None else b"-"  # a tombstone needs one
        sent = await self._producer.send(self.topic, value, key, partition=partition)
        sent.add_done_callback(self._answered)

    async def _inject(self, values: Sequence[bytes | None]) -> None:
        await self._may_produce.wait()
        for value in values:
            await self._send(value, len(values) % self.partitions)

    def _answered(self, sent: "asyncio.Future[Any]") -> None:
        self._unanswered -= 1
        if sent.cancelled() or sent.exception() is not None:
            self.failure = sent.exception() if not sent.cancelled() else None
            return
        self.acknowledged[self.topic_id, sent.result().partition] += 1

    async def _read_back(self) -> None:
        """With a plain consumer, each topic id from its beginning."""
        while not self._is_ended.is_set():
            topic_id = self.topic_id
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self._bootstrap, auto_offset_reset="earliest", enable_auto_commit=False
            )
            await consumer.start()
            consumer.assign([TopicPartition(self.topic, p) for p in range(self.partitions)])
            try:
                while topic_id == self.topic_id and not self._is_ended.is_set():
                    found = await consumer.getmany(timeout_ms=200, max_records=2_000)
                    for tp, records in found.items():
                        self._keep(self.spools[topic_id, tp.partition], records)
            except KafkaError:
                await asyncio.sleep(0.5)
            finally:
                await consumer.stop()

    def _keep(self, spool: Spool, records: list[Any]) -> None:
        for record in records:
            if record.offset >= spool.end:
                spool.append(Record(record.offset, record.timestamp, record.value))

    async def _settled(self, timeout_s: float) -> None:
        async with asyncio.timeout(timeout_s):
            await self._producer.flush()
            while self._unanswered or any(  # noqa: ASYNC110
                self.spools[key].end < count for key, count in self.acknowledged.items()
            ):
                await asyncio.sleep(0.05)

    async def _expire(self, partition: int, before: int) -> None:
        async with _admin(self._bootstrap) as admin:
            await admin.delete_records(
                {TopicPartition(self.topic, partition): RecordsToDelete(before_offset=before)}
            )

    async def _recreate(self) -> None:
        async with _admin(self._bootstrap) as admin:
            await admin.delete_topics([self.topic])
        await self._producer.stop()  # its sequence numbers belong to the topic that was
        await self._create()
        await self._open_producer()

    async def _open_producer(self) -> None:
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            acks="all",
            enable_idempotence=True,
            linger_ms=5,
            request_timeout_ms=PRODUCER_PATIENCE_MS,
        )
        await self._producer.start()

    async def _stop(self) -> None:
        self._is_ended.set()
        self._may_produce.set()
        await asyncio.wait(self._tasks, timeout=10)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._producer.stop()


class _admin:  # noqa: N801 (used as a function)
    def __init__(self, bootstrap: str) -> None:
        self._client = AIOKafkaAdminClient(bootstrap_servers=bootstrap)

    async def __aenter__(self) -> Any:
        await self._client.start()
        return self._client

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()
