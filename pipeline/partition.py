"""One claimed partition: its messages are prepared and sealed in order, within bounded memory.

    feed → chunks → prepare (pool, a few under way) → rows → seal (thread) → published

Only `seal` makes anything durable; what was not sealed when the process dies is read again.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from pipeline import metrics
from pipeline.audit.store import StoreConfig
from pipeline.audit.writer import PartitionWriter
from pipeline.cancellation import is_cancelled
from pipeline.clock import NowMs
from pipeline.errors import Fenced, StoreError
from pipeline.prepare import Batch
from pipeline.redact.stand_ins import count_stand_ins
from pipeline.topics.base import Message
from pipeline.worker_config import WorkerConfig
from schemas.log_entry import SegmentRef
from schemas.record import DeadLetterMeta, EventMeta, Row

log = structlog.get_logger()

CHUNKS_UNDER_WAY = 3

Prepare = Callable[[Batch], Awaitable[list[Row]]]
OnSealed = Callable[[str, int, SegmentRef, Sequence[Row]], None]


@dataclass(frozen=True, kw_only=True)
class Stages:
    """What all partitions of a process share: what comes before and after them, and their limits."""

    prepare: Prepare
    on_sealed: OnSealed
    worker: WorkerConfig
    store: StoreConfig
    now_ms: NowMs


class Partition:
    """The messages of one partition on their way into the store."""

    def __init__(
        self, writer: PartitionWriter, source: str, stages: Stages, *, confirm: Callable[[], Awaitable[None]]
    ) -> None:
        self.writer = writer
        self.source = source
        self._stages = stages
        self._confirm = confirm
        self._chunks: asyncio.Queue[list[Message]] = asyncio.Queue()
        self._prepared: asyncio.Queue[tuple[list[Message], asyncio.Task[list[Row]]]] = asyncio.Queue(
            CHUNKS_UNDER_WAY
        )
        self._rows: list[Row] = []
        self._row_bytes = 0
        self._held_bytes = 0
        self._buffered_bytes = 0
        self._arrived: deque[tuple[int, int, bool]] = deque()
        """Of each chunk not sealed yet: its end, its first message's time, whether that is the broker's."""
        self._next_end = writer.end
        self._first_row_at: float | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._flush = asyncio.Event()
        self._drained = asyncio.Event()
        self.failure: BaseException | None = None

    @property
    def topic_id(self) -> str:
        """The topic's id."""
        return self.writer.state.topic_id

    @property
    def number(self) -> int:
        """The partition's number in its topic."""
        return self.writer.state.partition

    @property
    def sealed_end(self) -> int:
        """Everything below this offset is in the store."""
        return self.writer.end

    @property
    def held_bytes(self) -> int:
        """Bytes of the messages that were fed and are not sealed yet."""
        return self._held_bytes

    @property
    def oldest_ms(self) -> int | None:
        """The broker's time of the oldest message that was fed and is not sealed yet."""
        return self._arrived[0][1] if self._arrived else None

    @property
    def waiting(self) -> dict[str, int]:
        """How much waits for what: chunks for a process, chunks in one, rows for the seal."""
        return {
            "a process": self._chunks.qsize(),
            "its result": self._prepared.qsize(),
            "the seal": len(self._rows),
        }

    @property
    def is_empty(self) -> bool:
        """Nothing waits to be prepared or sealed."""
        return self._held_bytes == 0 and not self._rows

    def start(self) -> None:
        """Begin to prepare and seal."""
        self._tasks = [
            asyncio.create_task(self._guard(self._submit())),
            asyncio.create_task(self._guard(self._seal_all())),
        ]

    def feed(self, messages: Sequence[Message]) -> None:
        """Take over messages in offset order."""
        chunk: list[Message] = []
        size = 0
        for message in messages:
            chunk.append(message)
            size += _size(message)
            if size >= self._stages.worker.chunk_bytes or len(chunk) >= self._stages.worker.chunk_messages:
                self._enqueue(chunk, size)
                chunk, size = [], 0
        if chunk:
            self._enqueue(chunk, size)

    async def finish(self, timeout_s: float) -> bool:
        """Seal what was fed, then stop. Returns False where the time ran out: the rest is read again."""
        self._flush.set()
        try:
            async with asyncio.timeout(timeout_s):
                while not self.is_empty and self.failure is None:
                    self._drained.clear()
                    await self._drained.wait()
        except TimeoutError:
            pass
        await self.abandon()
        return self.is_empty

    async def abandon(self) -> None:
        """Stop at once; what was not sealed is read again by whoever claims the partition next."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while not self._prepared.empty():
            self._prepared.get_nowait()[1].cancel()

    def _enqueue(self, chunk: list[Message], size: int) -> None:
        self._held_bytes += size
        first, end = chunk[0], chunk[-1].offset + 1
        self._arrived.append((end, first.time_ms, first.time_kind == "append"))
        self._chunks.put_nowait(chunk)

    async def _guard(self, work: Awaitable[None]) -> None:
        try:
            await work
        except (Exception, asyncio.CancelledError) as error:  # kept, and raised by the worker's loop
            if is_cancelled(error):
                raise
            self.failure = error
            self._drained.set()

    async def _submit(self) -> None:
        while True:
            chunk = await self._chunks.get()
            batch = Batch(
                topic_id=self.topic_id,
                partition=self.number,
                source=self.source,
                messages=chunk,
                ingest_time_ms=self._stages.now_ms(),
            )
            await self._prepared.put((chunk, asyncio.ensure_future(self._stages.prepare(batch))))

    async def _seal_all(self) -> None:
        while True:
            ready = await self._next_prepared()
            if ready is not None:
                chunk, rows = ready
                self._buffer(chunk, rows)
            if self._rows and self._seal_is_due():
                await self._seal()

    async def _next_prepared(self) -> tuple[list[Message], list[Row]] | None:
        """The next prepared chunk, or None when it is time to seal before one is ready."""
        try:
            async with asyncio.timeout(self._wait_s()):
                chunk, task = await self._prepared.get()
        except TimeoutError:
            return None
        return chunk, await task

    def _wait_s(self) -> float | None:
        if self._flush.is_set():
            return 0.05
        if self._first_row_at is None:
            return 0.5
        return max(0.0, self._first_row_at + self._stages.store.seal_interval_ms / 1000 - time.monotonic())

    def _buffer(self, chunk: list[Message], rows: list[Row]) -> None:
        if self._first_row_at is None:
            self._first_row_at = time.monotonic()
        self._rows += rows
        self._row_bytes += sum(len(row.meta) + len(row.payload) for row in rows)
        self._next_end = chunk[-1].offset + 1
        self._buffered_bytes += sum(map(_size, chunk))

    def _seal_is_due(self) -> bool:
        limits = self._stages.store
        due_at = (self._first_row_at or 0.0) + limits.seal_interval_ms / 1000
        return (
            len(self._rows) >= limits.seal_max_rows
            or self._row_bytes >= limits.seal_max_bytes
            or time.monotonic() >= due_at
            or (self._flush.is_set() and self._chunks.empty() and self._prepared.empty())
        )

    async def _seal(self) -> None:
        """Publish the waiting rows. A store that cannot take them is tried until it can."""
        await self._confirm()  # after they were read: else a topic made anew would be sealed as the old one
        started = time.monotonic()
        while True:
            try:
                reference = await asyncio.to_thread(self.writer.seal, self._rows, self._next_end)
                break
            except Fenced:
                raise
            except (StoreError, OSError) as error:
                metrics.seal_failures.inc()
                log.error(
                    "seal failed, will be tried again", partition=self.number, error=type(error).__name__
                )
                await asyncio.sleep(self._stages.worker.retry_interval_s)
        metrics.seal_seconds.observe(time.monotonic() - started)
        rows, self._rows = self._rows, []
        self._held_bytes -= self._buffered_bytes
        self._row_bytes = self._buffered_bytes = 0
        self._first_row_at = None
        _count(self.source, rows)
        self._measure(reference)
        self._stages.on_sealed(self.topic_id, self.number, reference, rows)
        self._drained.set()

    def _measure(self, reference: SegmentRef) -> None:
        now_ms = self._stages.now_ms()
        _, oldest_ms, is_append_time = self._arrived[0]
        if is_append_time:
            metrics.sealed_latency_seconds.observe(max(0, now_ms - oldest_ms) / 1000)
        while self._arrived and self._arrived[0][0] <= reference.end:
            self._arrived.popleft()
        metrics.sealed_bytes.labels(self.source).inc(reference.bytes)
        metrics.chain_head_time.labels(self.source).set(now_ms / 1000)


def _count(source: str, rows: Sequence[Row]) -> None:
    for kind, number in Counter(row.kind for row in rows).items():
        metrics.rows_sealed.labels(source, kind).inc(number)
    entities: Counter[str] = Counter()
    for row in rows:
        if isinstance(row.fields, EventMeta):
            entities.update(row.fields.redactions)
            if "redaction_failed" in row.fields.flags:
                _count_stand_ins(row)
        elif isinstance(row.fields, DeadLetterMeta):
            metrics.dead_letters.labels(row.fields.reason).inc()
    for entity, number in entities.items():
        metrics.redactions.labels(entity).inc(number)


def _count_stand_ins(row: Row) -> None:
    for (kind, reason), number in count_stand_ins((row.meta, row.payload)).items():
        counter = metrics.redaction_cut if kind == "CUT" else metrics.redaction_failed
        counter.labels(reason).inc(number)


def _size(message: Message) -> int:
    return len(message.value or b"") + 64
