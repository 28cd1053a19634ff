"""The role detect, where detection is shared out: this member's shards are the partitions of the signals
topic that its group gives it."""

import asyncio
import functools
import threading
from collections.abc import Callable, Mapping, Sequence

import structlog

from pipeline import metrics
from pipeline.audit.erase.orders import ControlRows
from pipeline.errors import TopicError
from pipeline.roles.parts import Parts
from pipeline.roles.supervise import Supervisor
from pipeline.signals_topic.authentic import Authenticity, Forged
from pipeline.signals_topic.message import Unreadable, cut_of, decoded
from pipeline.signals_topic.partitions import require_partitions
from pipeline.signals_topic.shard import Shard
from pipeline.signals_topic.snapshot_folder import StoreFolder
from pipeline.signals_topic.told import Told, ToldStore
from pipeline.tail import Handover, Tail
from pipeline.topics.base import Message, OffsetOutOfRange
from pipeline.topics.kafka import KafkaConsumer
from pipeline.watch import Watch

POLL_S = 0.25
POLL_MESSAGES = 500
THREAD_STOP_S = 30.0

log = structlog.get_logger()


class ShardWatch:
    """One shard: its watch, and the thread that runs it while the shard is this member's."""

    def __init__(self, parts: Parts, store: ToldStore, shard: Shard, on_found: Callable[[], None]) -> None:
        self.shard = shard
        self._store = store
        self._authenticity = Authenticity(parts.keys)
        self._handover = Handover()
        self._told = Told(parts.config.signals.sweep_s)
        self._tail = Tail(store, self._handover, shard=shard, is_due=self._told.is_due)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.watch = Watch(
            tail=self._tail,
            detect=parts.config.detect,
            state=parts.state,
            switch=parts.switch,
            snapshots=StoreFolder(parts.store, shard, parts.now_ms),
            on_found=on_found,
            now_ms=parts.now_ms,
            control=ControlRows(parts.store),
            notices=parts.notices,
            shard=shard,
        )

    def start(self) -> None:
        """Begin, or go on once the thread before has ended."""
        before, self._stop = self._thread, threading.Event()
        run = functools.partial(self._run, before, self._stop)
        self._thread = threading.Thread(target=run, name=f"watch {self.shard.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Commit what was found, and stop: another member may go on. Blocking."""
        self._stop.set()
        self._handover.arrived.set()
        if self._thread is not None:
            self._thread.join(THREAD_STOP_S)

    def _run(self, before: threading.Thread | None, stop: threading.Event) -> None:
        if before is not None:
            before.join()
        self.watch.run(self._handover.arrived, stop)

    def take(self, message: Message) -> None:
        """What the topic tells. Nothing depends on it."""
        try:
            told = decoded(self._authenticity.checked(message.value or b"", self.shard))
        except Forged:
            metrics.signals_refused.inc()
            return
        except Unreadable:
            return  # of another version
        key = (told.topic_id, told.partition)
        if self._tail.is_past(key, told.n):
            return
        self._store.tell(*key, told.n, told.entry)
        part = cut_of(told)
        if told.segment is not None and part is not None:
            self._handover.put(told.segment, part.signals, part.marker)
        self._told.tell(key, told.n)
        self._handover.arrived.set()


class DetectShards:
    """Reads the signals topic, and runs a watch for each of its partitions that are this member's."""

    def __init__(self, parts: Parts, supervisor: Supervisor, on_found: Callable[[], None]) -> None:
        self._parts = parts
        self._supervisor = supervisor
        self._on_found = on_found
        self._store = ToldStore(parts.store)
        self._watches: dict[int, ShardWatch] = {}
        self._owned: set[int] = set()
        self._unplaced: set[int] = set()
        """Whose messages were not yet begun at the topic's end."""
        self._consumer: KafkaConsumer | None = None
        self._stop = threading.Event()

    def start(self) -> None:
        """Nothing is detected before `run`."""

    async def run(self, done: asyncio.Event) -> None:
        """Detect in this member's shards until `done`."""
        ending = asyncio.create_task(self._end_at(done))
        try:
            if await asyncio.to_thread(self._parts.await_state, self._stop):
                read = functools.partial(self._read, done)
                await self._supervisor.run("signals topic", read, done)
        finally:
            ending.cancel()

    def close(self) -> None:
        """All is over by now."""

    def readiness(self) -> dict[str, bool]:
        """This member has taken its place, and every shard that it has goes on. It may have none."""
        watches = [self._watches[number] for number in list(self._owned)]
        return {
            "signals topic": self._consumer is not None,
            "detection": all(one.watch.is_ready for one in watches),
        }

    def conditions(self) -> dict[str, str]:
        """What fails is tried again."""
        return {}

    @property
    def findings(self) -> int:
        """Findings of this process."""
        return sum(one.watch.findings for one in self._watches.values())

    async def _read(self, done: asyncio.Event) -> None:
        config = self._parts.config
        await require_partitions(config.kafka, config.signals)
        consumer = KafkaConsumer(config.kafka, config.signals.topic or "")
        await consumer.start(self._on_assigned, self._on_revoked)
        self._consumer = consumer
        try:
            while not done.is_set():
                await self._poll(consumer)
        finally:
            self._consumer = None
            await consumer.stop()
            await self._on_revoked(list(self._owned))

    async def _poll(self, consumer: KafkaConsumer) -> None:
        if self._unplaced:
            await self._go_to_end(consumer)
        try:
            batches = await consumer.poll(POLL_S, POLL_MESSAGES)
        except OffsetOutOfRange as missing:
            self._unplaced.add(missing.partition)
            return
        for number, messages in batches.items():
            watch = self._watches.get(number)
            if watch is not None and number in self._owned and number not in self._unplaced:
                await asyncio.to_thread(_take_all, watch, messages)

    async def _go_to_end(self, consumer: KafkaConsumer) -> None:
        """What was told before is in the store, and sooner read there."""
        try:
            bounds = await consumer.bounds(sorted(self._unplaced))
        except TopicError:
            return
        for number, one in bounds.items():
            consumer.seek(number, one.high_watermark)
        self._unplaced -= bounds.keys()

    def _on_assigned(self, numbers: Sequence[int]) -> Mapping[int, int]:
        log.info("detects for shards", shards=sorted(numbers))
        for number in numbers:
            if number not in self._watches:
                shard = Shard(number, self._parts.config.signals.partitions)
                self._watches[number] = ShardWatch(self._parts, self._store, shard, self._on_found)
            self._watches[number].start()
        self._owned.update(numbers)
        self._unplaced.update(numbers)
        return dict.fromkeys(numbers, 0)

    async def _on_revoked(self, numbers: Sequence[int]) -> None:
        """Kept in memory for a while: most rebalances give the same shards back."""
        self._owned.difference_update(numbers)
        self._unplaced.difference_update(numbers)
        stopping = [self._watches[number] for number in numbers if number in self._watches]
        await asyncio.gather(*(asyncio.to_thread(one.stop) for one in stopping))

    async def _end_at(self, done: asyncio.Event) -> None:
        await done.wait()
        self._stop.set()


def _take_all(watch: ShardWatch, messages: Sequence[Message]) -> None:
    for message in messages:
        watch.take(message)
