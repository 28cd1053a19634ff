"""The compaction pass: neighbouring small segments become one, files that nobody needs go, old log entries
are bundled, and snapshots of the logs are kept fresh.

The rows of a segment, their order, their hashes and links stay as they are.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import NamedTuple

import structlog

from pipeline import metrics
from pipeline.audit.bundle import LogBundler, covered_entries
from pipeline.audit.compact_plan import plan_runs
from pipeline.audit.entries import Clock, boot_clock_s
from pipeline.audit.log import PartitionLog, PartitionState
from pipeline.audit.merge import merge
from pipeline.audit.store import CHECKPOINT, SegmentName, Store, StoreConfig
from pipeline.audit.writer import new_writer_id
from pipeline.clock import NowMs
from pipeline.errors import AuditfuseError, Fenced, StoreError
from pipeline.repeated import Repeated
from schemas.log_entry import SegmentRef

PASS_MAX_RUNS = 4
"""So many merges a partition and pass: the others get their turn, and stopping does not wait for long."""
_HASH_BLOCK_BYTES = 16 * 1024 * 1024

log = structlog.get_logger()


class CompactReport(NamedTuple):
    """What a pass did."""

    merged: int = 0
    """Segments that were replaced by larger ones."""
    made: int = 0
    """Segments made of them."""
    deleted: int = 0
    """Files deleted: replaced and past their grace period, or never published."""
    bundled: int = 0
    """Log entries put into bundles."""

    def plus(self, other: "CompactReport") -> "CompactReport":
        """Both passes together."""
        return CompactReport(*map(sum, zip(self, other, strict=True)))


class PartitionCompactor:
    """Compacts one partition. Claims maintenance only when there is something to do.

    An error drops the claim: the next pass claims anew and sweeps what this one left behind.
    """

    def __init__(
        self,
        store: Store,
        topic_id: str,
        partition: int,
        config: StoreConfig,
        *,
        writer_id: str,
        now_ms: NowMs,
        clock_s: Clock = boot_clock_s,
    ) -> None:
        self._log = PartitionLog(store, topic_id, partition, clock_s=clock_s)
        self._bundler = LogBundler(self._log, clock_s)
        self._config = config
        self._writer_id = writer_id
        self._now_ms = now_ms
        self._epoch: int | None = None
        self._refused: set[str] = set()
        """Files that the storage does not let go: an object lock or a policy keeps them."""

    def run_once(self) -> CompactReport:
        """Merge what is due and delete what nobody reads any more.

        Raises Fenced where another host took over maintenance, StoreError where a segment is not
        what the log says (nothing is made from it), OSError. All may be tried again.
        """
        try:
            return self._run_once()
        except (StoreError, OSError):
            self._epoch = None
            raise

    def tend_log(self, checkpoint: PartitionState) -> CompactReport:
        """Bundle the entries that `checkpoint`, the state of `_checkpoint`, covers, and keep a snapshot for
        those who open the log. Needs no claim.

        Raises StoreError where entries and bundles do not fit together, OSError.
        """
        state = self._log.refresh()
        self._log.save_snapshot()
        done = self._bundler.run_once(covered_entries(state, checkpoint))
        return CompactReport(deleted=done.deleted, bundled=done.bundled)

    def _run_once(self) -> CompactReport:
        state = self._log.refresh()
        runs = plan_runs(list(state.live.values()), self._config, state.idle_until_ms)[:PASS_MAX_RUNS]
        if not runs and not self._doomed(state):
            return CompactReport()
        if self._epoch is None:
            self._epoch = self._claim()
        for run in runs:
            try:
                self._replace(run, self._epoch)
            except FileNotFoundError:
                # Where another host holds maintenance by now, it has replaced or swept what is missing.
                self._current()
                raise
        doomed = self._doomed(self._current())
        deleted = sum(self._delete(name) for name in doomed)
        return CompactReport(sum(map(len, runs)), len(runs), deleted)

    def _delete(self, name: str) -> bool:
        try:
            self._log.store.delete_segment(self._log.topic_id, self._log.partition, name)
        except PermissionError as error:
            if not self._refused:
                log.warning(
                    "the storage keeps replaced segments", topic_id=self._log.topic_id, reason=error.strerror
                )
            self._refused.add(name)
            return False
        return True

    def _claim(self) -> int:
        while True:
            epoch = self._log.refresh().maintenance_epoch + 1
            entry = self._log.next_entry(
                "claim", at_ms=self._now_ms(), writer=self._writer_id, epoch=epoch, role="maintenance"
            )
            if self._log.try_append(entry):
                return epoch

    def _current(self) -> PartitionState:
        state = self._log.refresh()
        if (state.maintenance_writer, state.maintenance_epoch) != (self._writer_id, self._epoch):
            raise Fenced(f"maintenance of {state.topic_id}/{state.partition} was claimed by another host")
        return state

    def _replace(self, run: Sequence[SegmentRef], epoch: int) -> None:
        """Put one segment in the place of `run`: made, read back, then published."""
        partition_log, store = self._log, self._log.store
        where = (partition_log.topic_id, partition_log.partition)
        built = merge(store, *where, run, epoch=epoch)
        store.create_segment(*where, built.ref.name, built.content)
        if self._stored_hash(built.ref) != built.ref.sha256:
            raise StoreError(f"segment {where[0]}/{where[1]}/{built.ref.name} does not read back as written")
        while True:
            self._current()
            entry = partition_log.next_entry(
                "compact",
                at_ms=self._now_ms(),
                writer=self._writer_id,
                epoch=epoch,
                inputs=[ref.name for ref in run],
                outputs=[built.ref],
            )
            if partition_log.try_append(entry):
                return

    def _stored_hash(self, ref: SegmentRef) -> str:
        digest = sha256()
        with self._log.store.open_segment(self._log.topic_id, self._log.partition, ref.name) as source:
            while block := source.read(_HASH_BLOCK_BYTES):
                digest.update(block)
        return digest.hexdigest()

    def _doomed(self, state: PartitionState) -> list[str]:
        """Files that no entry makes live and none ever will, replaced ones only after their grace."""
        grace_ms = self._config.superseded_grace_s * 1000
        resting = {name for name, at in state.retired.items() if self._now_ms() - at < grace_ms}
        names = self._log.store.segment_names(state.topic_id, state.partition)
        return [
            name
            for name in names
            if name not in state.live
            and name not in resting
            and name not in self._refused
            and self._is_dead(name, state)
        ]

    def _is_dead(self, text: str, state: PartitionState) -> bool:
        """Whether a file that is not live can never become so, even if the log has gone on since."""
        name = SegmentName.parse(text)
        if name is None:
            return False
        if name.kind in ("compact", "erase"):
            return name.epoch < state.maintenance_epoch or name.epoch == self._epoch or text in state.retired
        return name.start < state.end


class Compactor(Repeated):
    """Passes over all partitions of a store, again and again. A stop comes between two partitions; what is
    half done is nothing, and a later pass sweeps it."""

    def __init__(self, store: Store, config: StoreConfig, *, writer_id: str, now_ms: NowMs) -> None:
        super().__init__("compactor", config.compact_interval_s)
        self._store = store
        self._config = config
        self._writer_id = writer_id
        self._now_ms = now_ms
        self._partitions: dict[tuple[str, int], PartitionCompactor] = {}
        self._checkpoint = PartitionLog(store, CHECKPOINT, 0)
        self.is_ours: Callable[[tuple[str, int]], bool] = lambda _: True
        """Which partitions it passes over, where several hosts share them."""

    def work(self) -> None:
        """One pass."""
        try:
            with metrics.compaction_seconds.time():
                report = self.run_once()
            metrics.compacted_files.inc(report.merged)
        except OSError as error:
            log.error("the store cannot be listed, compaction waits", reason=type(error).__name__)

    def run_once(self) -> CompactReport:
        """One pass over all partitions. A partition that fails is logged and left for the next pass."""
        report = CompactReport()
        for key in self._store.partitions():
            if self.stopping.is_set():
                break
            if self.is_ours(key):
                report = report.plus(self._try_once(key))
        return report

    def pass_over(self, key: tuple[str, int]) -> CompactReport:
        """One pass over one partition. Raises what stopped it."""
        if key not in self._partitions:
            self._partitions[key] = PartitionCompactor(
                self._store, *key, self._config, writer_id=self._writer_id, now_ms=self._now_ms
            )
        partition = self._partitions[key]
        return partition.run_once().plus(partition.tend_log(self._checkpoint.refresh()))

    def _try_once(self, key: tuple[str, int]) -> CompactReport:
        try:
            return self.pass_over(key)
        except Fenced:
            log.info("another host compacts this partition", topic_id=key[0], partition=key[1])
        except (AuditfuseError, OSError) as error:
            metrics.compaction_failures.inc()
            reason = str(error) if isinstance(error, AuditfuseError) else type(error).__name__
            log.error("compaction failed", topic_id=key[0], partition=key[1], reason=reason)
        return CompactReport()


Progress = Callable[[CompactReport, int, int], None]
"""Called before each pass with the report so far, the partitions done, and those there are."""


def compact_store(
    store: Store, config: StoreConfig, *, now_ms: NowMs, progress: Progress | None = None
) -> CompactReport:
    """Pass over every partition until nothing is due. Raises what stopped a partition, StoreError where there
    is no store."""
    store.require()
    report = CompactReport()
    compactor = Compactor(store, config, writer_id=new_writer_id(), now_ms=now_ms)
    partitions = store.partitions()
    for number, key in enumerate(partitions):
        done = None
        while done != CompactReport():
            if progress is not None:
                progress(report, number, len(partitions))
            done = compactor.pass_over(key)
            report = report.plus(done)
    return report
