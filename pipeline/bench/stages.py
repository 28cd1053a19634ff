"""Every stage's cost on given messages, stage by stage, with the code and in the sizes that a worker uses.

Costs are CPU seconds of this process. Stages run one after another over all messages, so that each is
measured alone; what they make is dropped as soon as the next one has read it.
"""

import gc
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.audit.log import PartitionLog
from pipeline.audit.segment import Built, build_segment
from pipeline.audit.signals import signals_from_rows
from pipeline.audit.store import Store
from pipeline.clock import system_now_ms
from pipeline.decode import Decoded
from pipeline.decode.sources import SourceConfig
from pipeline.detect.config import DetectConfig
from pipeline.detect.fold import Detection
from pipeline.detect.model import SignalBatch
from pipeline.prepare import Batch, Preparation
from pipeline.redact.redactor import RedactedEvent
from pipeline.topics.base import Message
from pipeline.worker_config import WorkerConfig
from schemas.record import Row

STAGES = ("decode", "redact", "encode", "hand over", "chain", "write", "publish", "detect")
TOPIC_ID = "bench." + "0" * 32
FIRST_PREV = bytes(32)
WRITER = "0" * 32


class Stage(NamedTuple):
    """What one stage took for all events."""

    cpu_s: float
    wall_s: float


class Measured(NamedTuple):
    """The stages' costs over the same events."""

    events: int
    messages: int
    raw_bytes: int
    sealed_bytes: int
    """Of the segments made of them."""
    stages: dict[str, Stage]

    def us(self, stage: str) -> float:
        """CPU microseconds an event."""
        return 1e6 * self.stages[stage].cpu_s / self.events


class Timer:
    """Adds up what each stage takes."""

    def __init__(self) -> None:
        self.stages: dict[str, Stage] = {}

    def __call__(self, stage: str, run: Callable[[], object]) -> None:
        """Run it and add its cost to the stage's."""
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        cost = Stage(time.process_time() - cpu, time.perf_counter() - wall)
        so_far = self.stages.get(stage, Stage(0.0, 0.0))
        self.stages[stage] = Stage(so_far.cpu_s + cost.cpu_s, so_far.wall_s + cost.wall_s)


def bench_source(file_format: str) -> SourceConfig:
    """A source that may speak for anybody."""
    return SourceConfig.model_validate(
        {
            "name": "bench",
            "topic": "bench",
            "kind": "local",
            "format": file_format,
            "agents": ("*",),
            "environments": ("*",),
        }
    )


def batches(messages: Sequence[bytes], source: str, worker: WorkerConfig) -> Iterator[Batch]:
    """The messages in the chunks that a worker makes of them, one partition's."""
    now_ms = system_now_ms()
    chunk: list[Message] = []
    held = 0
    for offset, value in enumerate(messages):
        chunk.append(Message(0, offset, now_ms, "append", None, value))
        held += len(value) + 64
        if held >= worker.chunk_bytes or len(chunk) >= worker.chunk_messages:
            yield _batch(chunk, source, now_ms)
            chunk, held = [], 0
    if chunk:
        yield _batch(chunk, source, now_ms)


def _batch(chunk: list[Message], source: str, now_ms: int) -> Batch:
    return Batch(topic_id=TOPIC_ID, partition=0, source=source, messages=chunk, ingest_time_ms=now_ms)


def measure_stages(
    messages: Sequence[bytes],
    prepare: Preparation,
    folder: Path,
    *,
    worker: WorkerConfig,
    seal_rows: int,
    detect: DetectConfig,
) -> Measured:
    """All stages over `messages` of the source `bench`; `folder` is on the disk to be measured.

    `seal_rows`: a segment has about so many rows, as many as come in the seal's interval.
    """
    timer = Timer()
    rows = _prepared(messages, prepare, worker, timer)
    gc.collect()
    store, sealed_bytes = Store(folder / "store"), 0
    detection = Detection(detect)
    log = PartitionLog.open(store, TOPIC_ID, 0)
    log.try_append(log.next_entry("claim", at_ms=1, writer=WRITER, epoch=1, role="writer"))
    for part in _cut(rows, seal_rows):
        sealed_bytes += _sealed(part, store, log, timer)
        timer("detect", lambda part=part: _detected(part, detection))
    return Measured(
        events=sum(row.kind == "event" for row in rows),
        messages=len(messages),
        raw_bytes=sum(map(len, messages)),
        sealed_bytes=sealed_bytes,
        stages=timer.stages,
    )


def _prepared(
    messages: Sequence[bytes], prepare: Preparation, worker: WorkerConfig, timer: Timer
) -> list[Row]:
    """The rows, made and handed from one process to the other as the pool does it."""
    rows: list[Row] = []
    for batch in batches(messages, "bench", worker):
        held = _Held(batch)
        timer("hand over", held.to_the_pool)
        timer("decode", lambda held=held: held.decode(prepare))
        timer("redact", lambda held=held: held.redact(prepare))
        timer("encode", lambda held=held: held.encode(prepare))
        timer("hand over", held.from_the_pool)
        rows += held.rows
    return rows


class _Held:
    """One batch on its way."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._decoded: list[list[Decoded]] = []
        self._redacted: list[list[RedactedEvent]] = []
        self.rows: list[Row] = []

    def to_the_pool(self) -> None:
        self._batch = pickle.loads(pickle.dumps(self._batch, pickle.HIGHEST_PROTOCOL))  # noqa: S301 (ours)

    def decode(self, prepare: Preparation) -> None:
        self._decoded = prepare.decode(self._batch)

    def redact(self, prepare: Preparation) -> None:
        self._redacted = prepare.redact(self._batch, self._decoded)

    def encode(self, prepare: Preparation) -> None:
        self.rows = prepare.rows(self._batch, self._decoded, self._redacted)

    def from_the_pool(self) -> None:
        self.rows = pickle.loads(pickle.dumps(self.rows, pickle.HIGHEST_PROTOCOL))  # noqa: S301 (ours)


def _cut(rows: Sequence[Row], count: int) -> Iterator[Sequence[Row]]:
    """Runs of about `count` rows; a message's rows stay together."""
    start = 0
    while start < len(rows):
        end = min(start + count, len(rows))
        while end < len(rows) and rows[end].offset == rows[end - 1].offset:
            end += 1
        yield rows[start:end]
        start = end


def _sealed(rows: Sequence[Row], store: Store, log: PartitionLog, timer: Timer) -> int:
    state = log.state
    built: list[Built] = []

    def chain() -> None:
        built.append(
            build_segment(
                TOPIC_ID,
                0,
                rows,
                start=state.end,
                end=rows[-1].offset + 1,
                epoch=1,
                kind="seal",
                prev=state.head,
            )
        )

    timer("chain", chain)
    made = built[0]
    timer("write", lambda: store.create_segment(TOPIC_ID, 0, made.ref.name, made.content))
    entry = log.next_entry("seal", at_ms=1, writer=WRITER, epoch=1, segment=made.ref)
    timer("publish", lambda: log.try_append(entry))
    return made.ref.bytes


def _detected(rows: Sequence[Row], detection: Detection) -> None:
    signals = signals_from_rows(rows)
    batch = SignalBatch(
        topic_id=TOPIC_ID, partition=0, start=rows[0].offset, end=rows[-1].offset + 1, signals=signals
    )
    detection.observe(batch)
