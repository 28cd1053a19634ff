"""Topics of Apache Kafka, through aiokafka: the consumer here, the producer beside it.

The store decides where reading goes on, so nothing here trusts the group's committed offsets: they are
written for lag displays only. Why each precaution is there is said where it is.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition, errors

from pipeline.errors import TopicError, TopicReplaced
from pipeline.topics import kafka_group
from pipeline.topics.base import Bounds, Message, OffsetOutOfRange, OnAssigned, OnRevoked
from pipeline.topics.kafka_config import KafkaConfig, unreachable
from pipeline.topics.kafka_producer import KafkaProducer
from pipeline.topics.kafka_topic_id import TopicIdentity

__all__ = ["KafkaConfig", "KafkaConsumer", "KafkaProducer"]

_LOG_APPEND_TIME = 1
_CONFIRM_TIMEOUT_S = 2.0
_log: Any = structlog.get_logger(__name__)


class KafkaConsumer:
    """One member of the consumer group, reading one topic."""

    def __init__(self, config: KafkaConfig, name: str) -> None:
        self._config = config
        self._name = name
        self._topic_id = ""
        self._consumer: Any = None
        self._on_assigned: OnAssigned = lambda _: {}
        self._on_revoked: OnRevoked | None = None
        self._failure: BaseException | None = None
        self._expected: dict[int, int] = {}
        self._paused: set[int] = set()
        self._progress_s: dict[int, float] = {}
        self._identity = TopicIdentity(config, name)
        self._confirming = asyncio.Lock()
        self._confirmed_s = 0.0
        self._asked_s = 0.0
        self._stalled: list[int] = []
        self._watching: asyncio.Task[None] | None = None
        self.restarts = 0
        """How often the watchdog has made the consumer anew."""

    @property
    def topic_id(self) -> str:
        """`<name>.<32 hex>` of the topic's UUID, known after start."""
        return self._topic_id

    async def start(self, on_assigned: OnAssigned, on_revoked: OnRevoked) -> None:
        """Look up the topic and join the group; partitions are assigned later, while polling. Raises
        TopicError where no broker answers or the topic is not there."""
        self._on_assigned, self._on_revoked = on_assigned, on_revoked
        try:
            self._topic_id = await self._identity.look_up(create=True)
            await self._join()
        except BaseException:
            await self._identity.close()
            raise

    async def poll(self, timeout_s: float, max_messages: int) -> dict[int, list[Message]]:
        """As `Consumer.poll`."""
        self._raise_failure()
        found = await self._poll_once(timeout_s, min(max_messages, self._config.max_poll_records))
        self._raise_failure()
        self._progress_s.update(dict.fromkeys(found, time.monotonic()))
        await self._watch()
        return found

    def pause(self, partitions: Sequence[int]) -> None:
        """Deliver nothing of these partitions until resumed; it outlives a rebalance that keeps them."""
        self._paused.update(partitions)
        for tp in self._assigned(partitions):
            self._consumer.pause(tp)

    def resume(self, partitions: Sequence[int]) -> None:
        """Deliver them again."""
        self._paused.difference_update(partitions)
        for tp in self._assigned(partitions):
            self._consumer.resume(tp)
            self._progress_s[tp.partition] = time.monotonic()

    def seek(self, partition: int, offset: int) -> None:
        """Go on reading a partition at `offset`; one that is not ours is placed when it is assigned."""
        for tp in self._assigned([partition]):
            self._consumer.seek(tp, offset)
            self._expected[partition] = offset
            self._progress_s[partition] = time.monotonic()

    async def bounds(self, partitions: Sequence[int]) -> dict[int, Bounds]:
        """The offsets that each partition holds. Raises TopicError where the broker does not answer."""
        named = [TopicPartition(self._name, p) for p in partitions]
        try:
            starts = await self._consumer.beginning_offsets(named)
            ends = await self._consumer.end_offsets(named)
        except errors.KafkaError as error:
            raise unreachable(self._config, error) from None
        return {tp.partition: Bounds(starts[tp], ends[tp]) for tp in named}

    async def confirm(self) -> None:
        """As `Consumer.confirm`: a topic that was deleted and made anew under a running consumer is
        another topic, and aiokafka fetches by name alone."""
        asked_s = time.monotonic()
        async with self._confirming:
            if self._confirmed_s >= asked_s:
                return  # a look-up that began later has answered for this caller too
            began_s = time.monotonic()
            try:
                async with asyncio.timeout(_CONFIRM_TIMEOUT_S):
                    now_id = await self._identity.look_up(timeout_s=0.0)
            except (TopicError, TimeoutError) as error:
                _log.warning(
                    "kafka topic could not be looked up", topic=self._name, error=type(error).__name__
                )
                return
            if now_id != self._topic_id:
                raise TopicReplaced(
                    f"topic {self._name} was deleted and made anew (it was {self._topic_id}, it is {now_id})"
                )
            self._confirmed_s = began_s

    async def commit(self, ends: Mapping[int, int]) -> None:
        """Show the group's lag. A failure is logged and no more: the store knows what is sealed."""
        offsets = {tp: ends[tp.partition] for tp in self._assigned(list(ends))}
        if not offsets:
            return
        try:
            await self._consumer.commit(offsets)
        except errors.KafkaError as error:
            _log.warning("kafka commit failed", topic=self._name, error=type(error).__name__)

    async def stop(self) -> None:
        """Give the partitions back (the listener is called) and leave the group."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
            self._watching = None
        try:
            if self._consumer is not None:
                await self._leave()
        finally:
            await self._identity.close()

    async def _leave(self) -> None:
        try:
            await self._revoke()
        finally:
            consumer, self._consumer = self._consumer, None
            await kafka_group.end(consumer)

    async def _join(self) -> None:
        config = self._config
        # aiokafka must never choose an offset: with "none" it says so instead of skipping.
        consumer = AIOKafkaConsumer(
            **config.connection_options(),
            # A group for each topic: a rebalance of one leaves the others alone.
            group_id=f"{config.group_id}.{self._name}",
            group_instance_id=config.group_instance_id,
            enable_auto_commit=False,
            auto_offset_reset="none",
            check_crcs=True,
            session_timeout_ms=config.session_timeout_ms,
            heartbeat_interval_ms=config.heartbeat_interval_ms,
            rebalance_timeout_ms=config.rebalance_timeout_ms,
            max_poll_records=config.max_poll_records,
            fetch_max_bytes=config.fetch_max_bytes,
            max_partition_fetch_bytes=config.max_partition_fetch_bytes,
            fetch_max_wait_ms=250,
        )
        try:
            await consumer.start()
        except errors.KafkaError as error:
            await kafka_group.end(consumer)
            raise unreachable(config, error) from None
        self._consumer = consumer
        # Subscribed after the start, which would else wait for the assignment, and can hang in it.
        consumer.subscribe([self._name], listener=kafka_group.Listener(self._place, self._revoke, self._fail))

    async def _poll_once(self, timeout_s: float, max_messages: int) -> dict[int, list[Message]]:
        try:
            # getmany itself waits without end while partitions are reassigned.
            async with asyncio.timeout(timeout_s + 0.5):
                batches = await self._consumer.getmany(
                    timeout_ms=int(timeout_s * 1000), max_records=max_messages
                )
        except TimeoutError:
            return {}
        except errors.NoOffsetForPartitionError:
            return {}  # asked for before our seek took effect
        except errors.OffsetOutOfRangeError as error:
            self._raise_out_of_range(error)
            return {}
        except errors.KafkaError as error:
            raise TopicError(f"cannot read topic {self._name}: {type(error).__name__}") from None
        return {
            tp.partition: messages
            for tp, records in batches.items()
            if (messages := self._accept(tp, records))
        }

    def _accept(self, tp: TopicPartition, records: Sequence[Any]) -> list[Message]:
        """Records come only from a partition that our listener has placed, and only from the expected
        offset on: whatever was fetched from the committed offset before the seek is dropped."""
        expected = self._expected.get(tp.partition)
        if expected is None:
            return []
        messages = [_message(record) for record in records if record.offset >= expected]
        if messages:
            self._expected[tp.partition] = messages[-1].offset + 1
        return messages

    def _raise_out_of_range(self, error: errors.OffsetOutOfRangeError) -> None:
        offsets: dict[TopicPartition, int] = error.args[0]
        for tp, offset in offsets.items():
            if tp.partition in self._expected:
                raise OffsetOutOfRange(tp.partition, offset) from None

    def _fail(self, error: Exception) -> None:
        self._failure = error

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _assigned(self, partitions: Sequence[int]) -> list[TopicPartition]:
        mine: set[TopicPartition] = self._consumer.assignment() if self._consumer is not None else set()
        return [tp for p in partitions if (tp := TopicPartition(self._name, p)) in mine]

    async def _revoke(self) -> None:
        lost = sorted(self._expected)
        self._expected, self._progress_s = {}, {}
        if lost and self._on_revoked is not None:
            await self._on_revoked(lost)

    def _place(self, assigned: Sequence[TopicPartition]) -> None:
        """Runs without an await: a concurrent poll would deliver from the committed offset."""
        partitions = sorted(tp.partition for tp in assigned)
        self._paused &= set(partitions)
        if not partitions:
            return
        offsets = self._on_assigned(partitions)
        for partition in partitions:
            self.seek(partition, offsets[partition])
        self.pause(sorted(self._paused))

    async def _watch(self) -> None:
        """Looks at what aiokafka does not tell, beside the polls: a broker that is away holds none up."""
        now_s = time.monotonic()
        if self._watching is not None:
            if not self._watching.done():
                return
            self._watching.result()
            self._watching = None
            if self._stalled:
                await self._begin_anew()
        overdue = [
            p
            for p, at_s in self._progress_s.items()
            if p not in self._paused and now_s - at_s > self._config.stall_timeout_s
        ]
        if now_s - max(self._confirmed_s, self._asked_s) > self._config.identity_check_s:
            self._asked_s = now_s
            self._watching = asyncio.create_task(self._confirm_idle())
        elif overdue:
            self._progress_s.update(dict.fromkeys(overdue, now_s))
            self._watching = asyncio.create_task(self._look_for_stalls(overdue))

    async def _confirm_idle(self) -> None:
        """Where nothing comes, nobody else asks."""
        try:
            await self.confirm()
        except TopicReplaced as error:
            self._failure = error

    async def _look_for_stalls(self, partitions: Sequence[int]) -> None:
        """Nothing came for long: that is a stall only where there is something to read."""
        try:
            bounds = await self.bounds(partitions)
        except TopicError:
            return  # the broker is away: nothing to make better here
        self._stalled = [p for p in self._expected if p in bounds and self._lags(p, bounds[p])]

    async def _begin_anew(self) -> None:
        """aiokafka has known ways to stand still with messages to read; a new member goes on."""
        _log.warning(
            "kafka consumer made no progress, joins anew", topic=self._name, partitions=self._stalled
        )
        self._stalled = []
        self.restarts += 1
        await self._revoke()
        await kafka_group.end(self._consumer)
        await self._join()

    def _lags(self, partition: int, bounds: Bounds) -> bool:
        """aiokafka's position is beyond the expected offset where it passed over control records."""
        subscription = self._consumer._subscription.subscription
        state = subscription.assignment.state_value(TopicPartition(self._name, partition))
        return partition not in self._paused and state.position < bounds.high_watermark


def _message(record: Any) -> Message:
    kind = "append" if record.timestamp_type == _LOG_APPEND_TIME else "create"
    return Message(record.partition, record.offset, record.timestamp, kind, record.key, record.value)
