"""The writer of one partition: claims it, seals rows into it, and stops for good once fenced.

Recovery is the normal path: a claim folds the log, takes the next epoch and sweeps what an earlier
writer left unpublished; sealing goes on at the fold's end. Nothing is adopted.
"""

import secrets
from collections.abc import Callable, Sequence

from pipeline.audit.log import PartitionLog, PartitionState
from pipeline.audit.segment import Built, build_segment
from pipeline.audit.store import SegmentName, Store
from pipeline.clock import NowMs
from pipeline.errors import Fenced, Halt, StoreError
from schemas.log_entry import EntryKind, LogEntry, SegmentRef
from schemas.record import Row

OnEntry = Callable[[LogEntry], None]
"""Called after an entry was created, in whatever thread did it. Must not block and must not raise."""
STAGING_KEPT_MS = 3_600_000


def _nobody(entry: LogEntry) -> None:
    del entry


def new_writer_id() -> str:
    """128 random bits, hex: no two processes share one."""
    return secrets.token_hex(16)


class PartitionWriter:
    """Made by `claim`. One thread at a time. Every method raises Fenced once a later claim exists."""

    def __init__(
        self, log: PartitionLog, writer_id: str, epoch: int, now_ms: NowMs, on_entry: OnEntry = _nobody
    ) -> None:
        self._log = log
        self._on_entry = on_entry
        self._writer_id = writer_id
        self._epoch = epoch
        self._now_ms = now_ms
        self._unpublished: Built | None = None

    @classmethod
    def claim(
        cls,
        store: Store,
        topic_id: str,
        partition: int,
        *,
        writer_id: str,
        now_ms: NowMs,
        on_entry: OnEntry = _nobody,
    ) -> "PartitionWriter":
        """Take the partition from whoever has it, and sweep their unpublished segments.

        Safe to repeat after an OSError: it claims once more.
        """
        log = PartitionLog.open(store, topic_id, partition)
        while True:
            epoch = log.state.epoch + 1
            entry = log.next_entry("claim", at_ms=now_ms(), writer=writer_id, epoch=epoch, role="writer")
            if log.try_append(entry):
                break
            log.refresh()
        _sweep(log)
        store.objects.clean_staging(now_ms() - STAGING_KEPT_MS)
        on_entry(entry)
        return cls(log, writer_id, epoch, now_ms, on_entry)

    @property
    def topic_id(self) -> str:
        return self._log.topic_id

    @property
    def partition(self) -> int:
        return self._log.partition

    @property
    def state(self) -> PartitionState:
        """The partition as of the last call."""
        return self._log.state

    @property
    def end(self) -> int:
        """Where the next segment starts; everything below is sealed."""
        return self._log.state.end

    @property
    def halted(self) -> str | None:
        """The reason why the partition waits for a person, as the log now says."""
        return self._current().halted

    def seal(self, rows: Sequence[Row], end: int) -> SegmentRef:
        """Publish `rows` as the segment [self.end, end).

        Rows are ordered by (offset, item) and lie within; at least one. Offsets without rows (control
        records, compacted messages) simply lie within some segment. After an OSError it is not known
        whether the segment was published: call again with the same rows and end until it returns.
        Raises Fenced, Halt, ValueError.
        """
        if self._unpublished is None:
            state = self._current()
            self._require_running(state)
            self._unpublished = build_segment(
                state.topic_id,
                state.partition,
                rows,
                start=state.end,
                end=end,
                epoch=self._epoch,
                kind="seal",
                prev=state.head,
            )
        built = self._unpublished
        if (built.ref.end, built.ref.rows) != (end, len(rows)):
            raise ValueError("the seal before this one is not known to have succeeded: repeat that one")
        self._publish(built)
        self._unpublished = None
        return built.ref

    def idle(self, high_watermark: int, idle_until_ms: int) -> None:
        """Say that nothing lies below `high_watermark` but what is sealed, and that nothing with an
        append time before `idle_until_ms` can still come."""
        self._append("idle", end=high_watermark, idle_until_ms=idle_until_ms)

    def halt(self, reason: str, at: int) -> None:
        """Stop the partition at its end, `at`, until a person accepts a gap or resumes it."""
        if self._current().halted is None:
            self._append("halt", end=at, reason=reason)

    def _publish(self, built: Built) -> None:
        """Put the segment and its entry in place; both may be there already."""
        log, ref = self._log, built.ref
        log.store.create_segment(log.topic_id, log.partition, ref.name, built.content)
        while True:
            state = self._current()
            if ref.name in state.live or ref.name in state.retired:
                return  # an earlier attempt persisted
            self._require_running(state)
            if state.end != ref.start:
                raise StoreError(
                    f"{state.topic_id}/{state.partition} goes on at {state.end}, past rows that were not "
                    "sealed; claim the partition again"
                )
            entry = log.next_entry(
                "seal", at_ms=self._now_ms(), writer=self._writer_id, epoch=self._epoch, segment=ref
            )
            if log.try_append(entry):
                self._on_entry(entry)
                return

    def _append(self, kind: EntryKind, **fields: object) -> None:
        while True:
            state = self._current()
            if kind != "halt":
                self._require_running(state)
            entry = self._log.next_entry(
                kind, at_ms=self._now_ms(), writer=self._writer_id, epoch=self._epoch, **fields
            )
            if self._log.try_append(entry):
                self._on_entry(entry)
                return

    def _current(self) -> PartitionState:
        state = self._log.refresh()
        if (state.writer, state.epoch) != (self._writer_id, self._epoch):
            raise Fenced(
                f"{state.topic_id}/{state.partition} was claimed by another writer (epoch {state.epoch}); "
                "this one has stopped writing to it"
            )
        return state

    def _require_running(self, state: PartitionState) -> None:
        if state.halted is not None:
            raise Halt(state.topic_id, state.partition, state.halted, way_out(state))


def way_out(state: PartitionState) -> str:
    """What a person can run to let a halted partition go on."""
    where = f"{state.topic_id} {state.partition}"
    return (
        f"Run: auditfuse gap resume {where} --reason … --by …   or, to give up offsets: "
        f"auditfuse gap accept {where} --to OFFSET --reason … --by …"
    )


def _sweep(log: PartitionLog) -> None:
    """Delete sealed files of lower epochs that no entry published: their offsets are read again.

    Their writers are fenced already, so nothing can publish them any more.
    """
    state = log.state
    for text in log.store.segment_names(log.topic_id, log.partition):
        name = SegmentName.parse(text)
        known = text in state.live or text in state.retired
        if name and name.kind == "seal" and name.epoch < state.epoch and not known:
            log.store.discard_segment(log.topic_id, log.partition, text)
