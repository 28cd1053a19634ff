"""Compaction: neighbouring small segments become one, so that a partition keeps few live files.

Sizes fall into tiers, each a fan-in larger than the one below; neighbours up to one tier are merged
once there are enough of them, so a row is rewritten about once a tier. The rows, their order and
their links stay; the footer keeps the link of every original segment.
"""

import threading
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

import structlog

from pipeline.audit.log import PartitionLog, PartitionState
from pipeline.audit.merge import merge
from pipeline.audit.store import SegmentName, Store, StoreConfig
from pipeline.audit.writer import new_writer_id
from pipeline.clock import NowMs
from pipeline.errors import AuditfuseError, Fenced, StoreError
from schemas.log_entry import SegmentRef

SMALLEST_TIER_BYTES = 64 * 1024
ENTRY_MAX_INPUTS = 1000

log = structlog.get_logger()


class CompactReport(NamedTuple):
    """What a pass did."""

    merged: int = 0
    """Segments that were replaced by larger ones."""
    made: int = 0
    """Segments made of them."""
    deleted: int = 0
    """Files deleted: replaced and past their grace period, or never published."""


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
    ) -> None:
        self._log = PartitionLog(store, topic_id, partition)
        self._config = config
        self._writer_id = writer_id
        self._now_ms = now_ms
        self._epoch: int | None = None

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

    def _run_once(self) -> CompactReport:
        state = self._log.refresh()
        runs = plan_runs(list(state.live.values()), self._config)
        if not runs and not self._doomed(state):
            return CompactReport()
        if self._epoch is None:
            self._epoch = self._claim()
        for run in runs:
            self._replace(run, self._epoch)
        doomed = self._doomed(self._current())
        for name in doomed:
            self._log.store.delete_segment(self._log.topic_id, self._log.partition, name)
        return CompactReport(sum(map(len, runs)), len(runs), len(doomed))

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
        if sha256(store.read_segment(*where, built.ref.name)).hexdigest() != built.ref.sha256:
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

    def _doomed(self, state: PartitionState) -> list[str]:
        """Files that no entry makes live and none ever will, replaced ones only after their grace."""
        grace_ms = self._config.superseded_grace_s * 1000
        resting = {name for name, at in state.retired.items() if self._now_ms() - at < grace_ms}
        names = self._log.store.segment_names(state.topic_id, state.partition)
        return [
            name
            for name in names
            if name not in state.live and name not in resting and self._is_dead(name, state)
        ]

    def _is_dead(self, text: str, state: PartitionState) -> bool:
        """Whether a file that is not live can never become so, even if the log has gone on since."""
        name = SegmentName.parse(text)
        if name is None:
            return False
        if name.kind in ("compact", "erase"):
            return name.epoch < state.maintenance_epoch or name.epoch == self._epoch or text in state.retired
        return name.start < state.end


class Compactor:
    """Compacts all partitions of a store, pass after pass, in a thread of its own."""

    def __init__(self, store: Store, config: StoreConfig, *, writer_id: str, now_ms: NowMs) -> None:
        self._store = store
        self._config = config
        self._writer_id = writer_id
        self._now_ms = now_ms
        self._partitions: dict[tuple[str, int], PartitionCompactor] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="compactor", daemon=True)

    def start(self) -> None:
        """Begin to pass over the store at the configured interval."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the partition under way, then stop. What is half done is nothing; a later pass sweeps it."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def run_once(self) -> CompactReport:
        """One pass over all partitions. A partition that fails is logged and left for the next pass."""
        report = CompactReport()
        for key in self._store.partitions():
            if self._stopping.is_set():
                break
            if key not in self._partitions:
                self._partitions[key] = PartitionCompactor(
                    self._store, *key, self._config, writer_id=self._writer_id, now_ms=self._now_ms
                )
            done = self._try_once(self._partitions[key], key)
            report = CompactReport(*map(sum, zip(report, done, strict=True)))
        return report

    def _try_once(self, partition: PartitionCompactor, key: tuple[str, int]) -> CompactReport:
        try:
            return partition.run_once()
        except Fenced:
            log.info("another host compacts this partition", topic_id=key[0], partition=key[1])
        except (AuditfuseError, OSError) as error:
            reason = str(error) if isinstance(error, AuditfuseError) else type(error).__name__
            log.error("compaction failed", topic_id=key[0], partition=key[1], reason=reason)
        return CompactReport()

    def _run(self) -> None:
        while not self._stopping.wait(self._config.compact_interval_s):
            self.run_once()


def compact_store(store: Store, config: StoreConfig, *, now_ms: NowMs) -> CompactReport:
    """Pass over every partition until nothing is due. Raises what stopped a partition."""
    report, writer_id = CompactReport(), new_writer_id()
    for key in store.partitions():
        partition = PartitionCompactor(store, *key, config, writer_id=writer_id, now_ms=now_ms)
        while (done := partition.run_once()) != CompactReport():
            report = CompactReport(*map(sum, zip(report, done, strict=True)))
    return report


def plan_runs(live: Sequence[SegmentRef], config: StoreConfig) -> list[list[SegmentRef]]:
    """The runs of neighbours to merge now; `live` is in order. Small tiers go first."""
    tiers = [_tier(ref, config) for ref in live]
    taken: set[int] = set()
    runs: list[list[SegmentRef]] = []
    for limit in range(max(tiers, default=0) + 1):
        due = [
            i
            for i, ref in enumerate(live)
            if i not in taken and tiers[i] <= limit and ref.bytes < config.compact_target_bytes
        ]
        for chunk in _chunks(live, due, config):
            taken.update(chunk)
            runs.append([live[i] for i in chunk])
    return runs


def _tier(ref: SegmentRef, config: StoreConfig) -> int:
    tier, limit = 0, SMALLEST_TIER_BYTES
    while ref.bytes >= limit:
        tier, limit = tier + 1, limit * config.compact_fan_in_files
    return tier


def _chunks(live: Sequence[SegmentRef], due: Sequence[int], config: StoreConfig) -> Iterator[list[int]]:
    """Neighbours among `due`, cut at the target size, as far as merging them is worth it."""
    chunk: list[int] = []
    size = 0
    for i in due:
        full = size >= config.compact_target_bytes or len(chunk) >= ENTRY_MAX_INPUTS
        if chunk and (full or i != chunk[-1] + 1):
            if _is_worth_it([live[one].bytes for one in chunk], config):
                yield chunk
            chunk, size = [], 0
        chunk.append(i)
        size += live[i].bytes
    if chunk and _is_worth_it([live[one].bytes for one in chunk], config):
        yield chunk


def _is_worth_it(sizes: Sequence[int], config: StoreConfig) -> bool:
    """Enough files, and of one size: a large one is not rewritten again for a few small ones."""
    if sum(sizes) >= config.compact_target_bytes:
        return len(sizes) >= 2
    return len(sizes) >= config.compact_fan_in_files and 2 * sum(sizes) >= config.compact_fan_in_files * max(
        sizes
    )
