"""The worker: reads one input topic, and hands each partition's messages to its `Partition`.

The store decides what has been read: on assignment a partition is claimed in its log and read from its
sealed end; offsets are committed to the broker for lag displays only.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from pipeline import metrics
from pipeline.audit.writer import PartitionWriter, way_out
from pipeline.clock import LeastClock
from pipeline.errors import Fenced, StoreError
from pipeline.partition import Partition, Stages
from pipeline.topics.base import Bounds, Consumer, OffsetOutOfRange

log = structlog.get_logger()

HOUSEKEEPING_INTERVAL_S = 1.0
POLL_TIMEOUT_S = 0.2
IDLE_MARGIN_MS = 2_000
"""Clocks of broker and worker may differ by this much before an idle entry says too much."""

Claim = Callable[[str, int], PartitionWriter]


class Worker:
    """Consumes one topic until stopped."""

    def __init__(
        self,
        consumer: Consumer,
        source: str,
        stages: Stages,
        *,
        claim: Claim,
    ) -> None:
        self._consumer = consumer
        self._source = source
        self._stages = stages
        self._claim = claim
        self._partitions: dict[int, Partition] = {}
        self._paused: set[int] = set()
        self._halted: set[int] = set()
        self._out_of_range: set[int] = set()
        self._fenced: set[int] = set()
        self._bounds: dict[int, Bounds] = {}
        self._idle: dict[int, tuple[float, float]] = {}
        self._committed: dict[int, int] = {}
        self._clock = LeastClock(stages.now_ms)
        self._stop = asyncio.Event()
        self._is_started = False

    @property
    def is_ready(self) -> bool:
        """Reads its topic, and nobody else writes what it reads."""
        return self._is_started and not self._fenced

    @property
    def halted(self) -> dict[int, str]:
        """Partitions that wait for a person's decision, with the reason."""
        return {
            p: self._partitions[p].writer.state.halted or "" for p in self._halted if p in self._partitions
        }

    @property
    def is_caught_up(self) -> bool:
        """Every partition of ours is sealed up to the high watermark seen last."""
        return bool(self._bounds) and all(
            partition in self._partitions and self._partitions[partition].sealed_end >= bounds.high_watermark
            for partition, bounds in self._bounds.items()
        )

    def stop(self) -> None:
        """Ask `run` to seal what it has and return."""
        self._stop.set()

    async def run(self) -> None:
        """Consume until `stop`. Raises what must end the process."""
        await self._consumer.start(self._on_assigned, self._on_revoked)
        self._is_started = True
        housekeeping_at = 0.0
        try:
            while not self._stop.is_set():
                await self._poll()
                if time.monotonic() >= housekeeping_at:
                    await self._housekeep()
                    housekeeping_at = time.monotonic() + HOUSEKEEPING_INTERVAL_S
        finally:
            self._is_started = False
            await self._on_revoked(list(self._partitions))
            await self._consumer.stop()

    async def _poll(self) -> None:
        try:
            batches = await self._consumer.poll(POLL_TIMEOUT_S, self._stages.worker.poll_messages)
        except OffsetOutOfRange as missing:
            if missing.partition in self._partitions:
                self._pause(missing.partition)
                self._out_of_range.add(missing.partition)
            return
        for number, messages in batches.items():
            partition = self._partitions.get(number)
            if partition is None:
                continue
            partition.feed(messages)
            if messages[-1].time_kind == "append":
                self._clock.heard(messages[-1].time_ms)
            metrics.messages_read.labels(self._source).inc(len(messages))
            self._idle.pop(number, None)
        self._apply_backpressure()

    def _apply_backpressure(self) -> None:
        limit = self._stages.worker.queue_bytes
        held = {number: partition.held_bytes for number, partition in self._partitions.items()}
        full = [n for n, size in held.items() if size >= limit and n not in self._paused]
        waiting = self._paused - self._halted - self._out_of_range
        roomy = [n for n in waiting if n in held and held[n] <= limit // 2]
        if full:
            self._consumer.pause(full)
            self._paused.update(full)
        if roomy:
            self._consumer.resume(roomy)
            self._paused.difference_update(roomy)

    def _on_assigned(self, numbers: Sequence[int]) -> dict[int, int]:
        """Claim, then read on from the sealed end. Runs without awaiting: see `OnAssigned`."""
        starts: dict[int, int] = {}
        for number in numbers:
            writer = self._claim(self._consumer.topic_id, number)
            partition = Partition(writer, self._source, self._stages, confirm=self._consumer.confirm)
            self._partitions[number] = partition
            partition.start()
            starts[number] = writer.end
            if writer.state.halted:
                self._halted.add(number)
        self._consumer.resume(numbers)  # whatever held them back before they were lost
        if self._halted:
            self._consumer.pause(sorted(self._halted))
            self._paused |= self._halted
        return starts

    async def _on_revoked(self, numbers: Sequence[int]) -> None:
        leaving = [self._partitions.pop(number) for number in numbers if number in self._partitions]
        await asyncio.gather(
            *(partition.finish(self._stages.worker.drain_timeout_s) for partition in leaving)
        )
        await self._commit(leaving)
        for number in numbers:
            self._forget(number)
            self._fenced.discard(number)

    def _forget(self, number: int) -> None:
        for kept in (self._paused, self._halted, self._out_of_range):
            kept.discard(number)
        for known in (self._bounds, self._idle, self._committed):
            known.pop(number, None)

    def _pause(self, number: int) -> None:
        self._consumer.pause([number])
        self._paused.add(number)

    async def _commit(self, partitions: Sequence[Partition]) -> None:
        ends = {
            partition.number: partition.sealed_end
            for partition in partitions
            if self._committed.get(partition.number) != partition.sealed_end
        }
        if not ends:
            return
        try:
            await self._consumer.commit(ends)
        except Exception as error:  # noqa: BLE001 (for lag displays only: the store has the truth)
            log.warning("commit failed", source=self._source, error=type(error).__name__)
        else:
            self._committed.update(ends)

    async def _housekeep(self) -> None:
        await self._raise_failures()
        metrics.halted_partitions.labels(self._source).set(len(self._halted))
        metrics.paused_partitions.labels(self._source).set(len(self._paused))
        held_bytes = sum(partition.held_bytes for partition in self._partitions.values())
        metrics.buffered_bytes.labels(self._source).set(held_bytes)
        self._measure_waits()
        owned = list(self._partitions)
        if not owned:
            return
        self._bounds = await self._consumer.bounds(owned)
        await self._commit(list(self._partitions.values()))
        for number, partition in list(self._partitions.items()):
            bounds = self._bounds.get(number)
            if bounds is None:
                continue
            metrics.lag_messages.labels(self._source, str(number)).set(
                max(0, bounds.high_watermark - partition.sealed_end)
            )
            if number in self._halted:
                await self._resume_if_decided(number, partition)
            elif number in self._out_of_range and partition.is_empty:
                await self._settle_out_of_range(number, partition, bounds)
            elif partition.is_empty and partition.sealed_end == bounds.high_watermark:
                await self._note_idle(number, partition)

    def _measure_waits(self) -> None:
        metrics.tasks.set(len(asyncio.all_tasks()))
        waits: Counter[str] = Counter()
        oldest_ms: list[int] = []
        for partition in self._partitions.values():
            waits.update(partition.waiting)
            if partition.oldest_ms is not None:
                oldest_ms.append(partition.oldest_ms)
        for wait, count in waits.items():
            metrics.waiting.labels(self._source, wait).set(count)
        age_ms = self._stages.now_ms() - min(oldest_ms) if oldest_ms else 0
        metrics.lag_seconds.labels(self._source).set(max(0, age_ms) / 1000)

    async def _raise_failures(self) -> None:
        for number, partition in list(self._partitions.items()):
            if isinstance(partition.failure, Fenced):
                await self._give_up(number)
            elif partition.failure is not None:
                raise partition.failure

    async def _give_up(self, number: int) -> None:
        """Another writer has claimed the partition: it is not ours any more, whatever the broker says."""
        log.error("fenced: another writer has claimed the partition", source=self._source, partition=number)
        self._consumer.pause([number])
        await self._partitions.pop(number).abandon()
        self._forget(number)
        self._fenced.add(number)

    async def _in_log(self, number: int, call: Callable[..., Any], *arguments: Any) -> bool:
        """Whether the log took it. What fails is tried again with the next round, save what is fenced."""
        try:
            await asyncio.to_thread(call, *arguments)
        except Fenced:
            await self._give_up(number)
        except (StoreError, OSError) as error:
            log.error("log entry failed, will be tried again", partition=number, error=type(error).__name__)
        else:
            return True
        return False

    async def _note_idle(self, number: int, partition: Partition) -> None:
        """Seal idle entries at growing intervals, so that a quiet partition holds nobody's watermark back."""
        now = time.monotonic()
        first = self._stages.worker.idle_interval_ms / 1000
        due, interval = self._idle.get(number, (now + first, first))
        if now < due:
            self._idle[number] = (due, interval)
            return
        idle_until_ms = self._clock.now_ms() - IDLE_MARGIN_MS
        if not await self._in_log(number, partition.writer.idle, partition.sealed_end, idle_until_ms):
            return
        longer = min(2 * interval, self._stages.worker.idle_interval_max_ms / 1000)
        self._idle[number] = (now + longer, longer)

    async def note_end(self, until_ms: int) -> None:
        """Nothing more comes, or only what is younger: seal that. For who reads a file, not a stream."""
        for number, partition in list(self._partitions.items()):
            await self._in_log(number, partition.writer.idle, partition.sealed_end, until_ms)

    async def _settle_out_of_range(self, number: int, partition: Partition, bounds: Bounds) -> None:
        """The topic does not hold what comes next, and all that came before is sealed: begin at the
        topic's start if nothing was, else halt."""
        await self._consumer.confirm()
        if partition.sealed_end == 0 and bounds.log_start <= bounds.high_watermark:
            self._out_of_range.discard(number)
            self._paused.discard(number)
            self._consumer.seek(number, bounds.log_start)
            self._consumer.resume([number])
            return
        end = partition.sealed_end
        if end < bounds.log_start:
            reason = (
                f"offsets {end} to {bounds.log_start - 1} were deleted from the topic before they were "
                f"sealed; it begins at {bounds.log_start} now"
            )
        else:
            reason = (
                f"the store is sealed up to offset {end}, the topic ends at {bounds.high_watermark}: "
                "it is not the topic that it was; give its source a new topic"
            )
        if await self._in_log(number, partition.writer.halt, reason, end):
            log.error(
                "partition halted",
                source=self._source,
                partition=number,
                reason=reason,
                way_out=way_out(partition.writer.state),
            )
            self._out_of_range.discard(number)
            self._halted.add(number)

    async def _resume_if_decided(self, number: int, partition: Partition) -> None:
        if not await self._in_log(number, lambda: partition.writer.halted) or partition.writer.state.halted:
            return
        self._halted.discard(number)
        self._paused.discard(number)
        self._consumer.seek(number, partition.sealed_end)
        self._consumer.resume([number])
        log.info("partition goes on", source=self._source, partition=number, offset=partition.sealed_end)
