"""Publishes what this process seals to the shards of detection, behind the seals and never in their way.

Nothing depends on it but speed: what is dropped here, or lost on the way, the shards find in the store.
"""

import asyncio
import contextlib
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog

from pipeline import metrics
from pipeline.audit.log import encode_entry
from pipeline.audit.signals import signals_from_rows
from pipeline.signals_topic.authentic import Authenticity
from pipeline.signals_topic.message import SignalsMessage, encoded, with_rows
from pipeline.signals_topic.shard import all_shards, cut
from pipeline.topics.base import Producer
from schemas.log_entry import LogEntry, SegmentRef
from schemas.record import Row

MAX_ENTRIES, MAX_ROWS = 4_096, 100_000
"""That wait; beyond it the oldest are dropped."""
MAX_UNSEALED = 64
WAIT_S = 0.5
STOP_S = 5.0

log = structlog.get_logger()


class _Waiting(NamedTuple):
    entry: LogEntry
    rows: Sequence[Row]


class SignalsPublisher:
    """`entry` and `sealed` are called from any thread and return at once; `run` publishes."""

    def __init__(
        self,
        producer: Callable[[], Producer],
        authenticity: Authenticity,
        shards: int,
        max_message_bytes: int,
    ) -> None:
        self._new_producer = producer
        self._authenticity = authenticity
        self._shards = all_shards(shards)
        self._max_bytes = max_message_bytes
        self._lock = threading.Lock()
        self._seals: OrderedDict[str, LogEntry] = OrderedDict()
        """Seals whose rows are still to be handed over, by segment."""
        self._waiting: deque[_Waiting] = deque()
        self._rows = 0
        self._arrived = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.is_ready = False

    def entry(self, entry: LogEntry) -> None:
        """An entry of an input partition was created."""
        if entry.segment is None:
            self._put(_Waiting(entry, ()))
            return
        with self._lock:
            self._seals[entry.segment.name] = entry
            while len(self._seals) > MAX_UNSEALED:
                self._seals.popitem(last=False)

    def sealed(self, segment: SegmentRef, rows: Sequence[Row]) -> None:
        """The rows of a seal; its entry was told before."""
        with self._lock:
            entry = self._seals.pop(segment.name, None)
        if entry is not None:
            self._put(_Waiting(entry, rows))

    async def run(self, done: asyncio.Event) -> None:
        """Publish until `done`, then what waits. Raises what the topic raises; call it again to go on."""
        self._loop = asyncio.get_running_loop()
        producer = self._new_producer()
        await producer.start()
        self.is_ready = True
        try:
            while not done.is_set() or self._waiting:
                await self._publish(producer)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._arrived.wait(), 0.0 if done.is_set() else WAIT_S)
                self._arrived.clear()
        finally:
            self.is_ready = False
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(producer.stop(), STOP_S)

    async def _publish(self, producer: Producer) -> None:
        while (one := self._take()) is not None:
            messages = await asyncio.to_thread(self._encoded, one)
            await asyncio.gather(
                *(
                    producer.append([message], partition=shard.number)
                    for shard, message in zip(self._shards, messages, strict=True)
                )
            )
            metrics.signals_published.inc(len(one.rows))

    def _encoded(self, one: _Waiting) -> list[bytes]:
        """A message for every shard, in their order."""
        sign, contents = self._authenticity.signed, self._contents(one)
        return [sign(content, shard) for content, shard in zip(contents, self._shards, strict=True)]

    def _contents(self, one: _Waiting) -> list[bytes]:
        entry, segment = one.entry, one.entry.segment
        message = SignalsMessage(
            topic_id=entry.topic_id,
            partition=entry.partition,
            n=entry.n,
            entry=encode_entry(entry),
            segment=None if segment is None else segment.name,
        )
        if segment is None:
            return [encoded(message)] * len(self._shards)
        cuts = cut(signals_from_rows(one.rows), self._shards)
        return [with_rows(message, part, self._max_bytes) for part in cuts]

    def _put(self, one: _Waiting) -> None:
        with self._lock:
            self._waiting.append(one)
            self._rows += len(one.rows)
            while len(self._waiting) > MAX_ENTRIES or (self._rows > MAX_ROWS and len(self._waiting) > 1):
                self._rows -= len(self._waiting.popleft().rows)
                metrics.signals_dropped.inc()
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._arrived.set)

    def _take(self) -> _Waiting | None:
        with self._lock:
            if not self._waiting:
                return None
            one = self._waiting.popleft()
            self._rows -= len(one.rows)
            return one
